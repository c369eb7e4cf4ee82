"""The listening end of the pages: a unix socket that only its group may open, or the loopback."""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from gateway.config_security import WebSettings
from gateway.core.errors import LinkError

RIGHTS = 0o660  # the socket: its group is the reverse proxy's
CLIENTS = 32
KEEP_ALIVE_S = 5
BACKLOG = 16


def listen(settings: WebSettings) -> socket.socket:
    """Return the listening socket. Raises: LinkError. That an address is the loopback, the settings have checked."""
    try:
        if not settings.listen:
            return _unix(Path(settings.socket))
        host, _, port = settings.listen.rpartition(":")
        address = ipaddress.ip_address(host.strip("[]"))
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((str(address), int(port)))
    except OSError as fault:
        where = settings.listen or settings.socket
        raise LinkError(f"cannot listen: {fault.strerror}", where, "another program has it, or no rights") from fault
    return found


def _unix(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_socket():
        path.unlink()
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~RIGHTS)  # never open for others, not even for a moment
    try:
        found.bind(str(path))
    finally:
        os.umask(before)
    return found


def serve(app: ASGIApp, listening: socket.socket, stop: threading.Event) -> None:
    """Answer until `stop` is set."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        limit_concurrency=CLIENTS,
        timeout_keep_alive=KEEP_ALIVE_S,
        backlog=BACKLOG,
        ws="none",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="web")
    thread.start()
    while thread.is_alive() and not stop.wait(0.2):
        pass
    server.should_exit = True
    thread.join()
