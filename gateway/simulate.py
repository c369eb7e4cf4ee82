"""The shell around a simulator: gives the sans-IO device of a driver a wire that a gateway can open.

    Pty          a serial line: /dev/pts/N, with a link of your own name to it
    TcpServer    a device on the network, loopback only; one client at a time
    CanBus       a CAN bus: the simulator's can_frame records as a socketcand daemon on loopback

A wire is a context manager with three calls; `serve` runs device and wire in one thread until told to stop.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import sys
import termios
import threading
import time
import tty
from pathlib import Path
from typing import Protocol, Self

from gateway.core.errors import LinkError
from gateway.core.protocol import Simulator
from gateway.socketcand_server import SocketcandServer

READ_MAX = 65536


class Wire(Protocol):
    """The device's end of a line."""

    where: str

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def read(self, timeout: float) -> bytes:
        """Return what the gateway wrote, b"" after `timeout` seconds or earlier."""

    def write(self, data: bytes) -> None:
        """Put the device's bytes on the line; nobody there: they are lost, as on a cable."""


class Pty:
    """A pseudo-terminal in raw mode. link: a path that points to it, so that a configuration can name it."""

    def __init__(self, link: Path | None = None) -> None:
        self._link = link

    def __enter__(self) -> Self:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self._slave = slave  # kept open: a pty whose last opener has gone reads as unplugged
        self.where = os.ttyname(slave)
        os.set_blocking(self._master, False)
        if self._link:
            self._link.parent.mkdir(parents=True, exist_ok=True)
            self._link.unlink(missing_ok=True)
            self._link.symlink_to(self.where)
            self.where = str(self._link)
        return self

    def __exit__(self, *_: object) -> None:
        if self._link:
            self._link.unlink(missing_ok=True)
        os.close(self._slave)
        os.close(self._master)

    def read(self, timeout: float) -> bytes:
        """See Wire."""
        if not select.select([self._master], [], [], timeout)[0]:
            return b""
        try:
            return os.read(self._master, READ_MAX)
        except OSError:  # nobody has the other end open
            return b""

    def write(self, data: bytes) -> None:
        """See Wire. A line that nobody reads fills up; what does not fit is lost, old bytes go first."""
        while data and (taken := self.write_some(data)):
            data = data[taken:]
        if data:
            termios.tcflush(self._slave, termios.TCIFLUSH)

    def write_some(self, data: bytes) -> int:
        """Write what fits now; return how much. For whoever wants to lose nothing (a replay)."""
        try:
            return os.write(self._master, data)
        except BlockingIOError:
            return 0

    def writable(self, timeout: float) -> bool:
        """Wait until something fits again."""
        return bool(select.select([], [self._master], [], timeout)[1])

    def unread(self) -> int:
        """Return how many bytes the gateway has not read yet."""
        return int.from_bytes(fcntl.ioctl(self._slave, termios.FIONREAD, bytes(4)), sys.byteorder)


class TcpServer:
    """A listening socket on loopback that serves one client at a time."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._address = (host, port)
        self._client: socket.socket | None = None

    def __enter__(self) -> Self:
        try:
            self._server = socket.create_server(self._address)
        except OSError as fault:
            raise LinkError(f"cannot listen: {fault.strerror}", f"{self._address[0]}:{self._address[1]}") from fault
        self.port = self._server.getsockname()[1]
        self.where = f"{self._address[0]}:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()
        self._server.close()

    def read(self, timeout: float) -> bytes:
        """See Wire."""
        waiting = [self._server] if self._client is None else [self._server, self._client]
        ready = select.select(waiting, [], [], timeout)[0]
        if self._server in ready:
            self._drop()
            self._client, _ = self._server.accept()
            self._client.setblocking(False)
            self._connected()
        elif self._client in ready:
            return self._receive()
        return b""

    def write(self, data: bytes) -> None:
        """See Wire."""
        if self._client is None or not data:
            return
        try:
            self._client.sendall(data)
        except OSError:  # gone, or does not read: the device goes on without it
            self._drop()

    def _receive(self) -> bytes:
        assert self._client is not None
        try:
            data = self._client.recv(READ_MAX)
        except OSError:
            data = b""
        if not data:
            self._drop()
        return data

    def _connected(self) -> None:
        """A client is there."""

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class CanBus(TcpServer):
    """A CAN bus on loopback: what is written are can_frame records, what a client sees is a socketcand daemon."""

    def __init__(self, port: int, channel: str = "can0") -> None:
        super().__init__(port)
        self._channel = channel
        self._connected()

    def _connected(self) -> None:
        self._records = Outbox()
        self._daemon = SocketcandServer(self._records, self._channel, time.time() - time.monotonic())

    def read(self, timeout: float) -> bytes:
        """Answer commands; nothing that a client sends reaches the simulated devices."""
        wake = self._daemon.next_wake()
        now = time.monotonic()
        self._daemon.receive_data(super().read(timeout if wake is None else min(timeout, max(0.0, wake - now))), now)
        self._flush()
        return b""

    def write(self, data: bytes) -> None:
        """See Wire."""
        if self._client is not None:
            self._records.data += data
        self._flush()

    def _flush(self) -> None:
        now = time.monotonic()
        super().write(self._daemon.data_to_send(now))
        if self._daemon.closed:
            self._drop()


class Outbox:
    """A simulator that says what was put into it."""

    def __init__(self) -> None:
        self.data = b""

    def receive_data(self, data: bytes, now: float) -> None:
        """A listener has nothing to say to the bus."""

    def data_to_send(self, now: float) -> bytes:  # noqa: ARG002  # the contract's signature
        """Return and forget what was put in."""
        data, self.data = self.data, b""
        return data

    def next_wake(self) -> float | None:
        """At once when there is something."""
        return 0.0 if self.data else None


def serve(simulator: Simulator, wire: Wire, stop: threading.Event) -> None:
    """Run the device on an entered wire until `stop`."""
    while not stop.is_set():
        now = time.monotonic()
        wire.write(simulator.data_to_send(now))
        wake = simulator.next_wake()
        wait = 0.5 if wake is None else min(0.5, max(0.0, wake - time.monotonic()))
        data = wire.read(wait)
        if data:
            simulator.receive_data(data, time.monotonic())
