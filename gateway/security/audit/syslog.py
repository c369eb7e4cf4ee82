"""Entries to a collector as they are written: RFC 5424 over /dev/log, UDP (RFC 5426) or TLS (RFC 5425).

A thread of its own sends; what finds no room in its queue, or no collector, is counted and not sent again: the chain on
the box has it, and the checkpoints among the entries show what is missing. The text of a message is the entry.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import socket
import ssl
import threading
from contextlib import suppress
from typing import Any

log = logging.getLogger("mdi.audit")

DEV_LOG = "/dev/log"
AUDIT, NOTICE = 13, 5  # RFC 5424, 6.2.1: facility "log audit", severity "notice"
QUEUE = 4096
TIMEOUT_S = 5.0
PAUSE_S = 5.0  # between tries to reach a collector
_WHERE = re.compile(r"(udp|tls)://(\[[^\]]+\]|[^:\[\]]+):(\d{1,5})")


def packet(line: bytes, host: str) -> bytes:
    """Return an entry as a syslog message. host: the gateway's name."""
    entry = json.loads(line)
    head = f"<{AUDIT * 8 + NOTICE}>1 {entry['t_utc']} {host} mdi-{entry['writer']} - {entry['event'][:32]} - "
    return head.encode() + line.rstrip(b"\n")


class Syslog:
    """Sends to one collector. to: local, udp://host:port, tls://host:port; ca: file with its CA, for tls."""

    def __init__(self, to: str, gateway: str, ca: str = "", dev_log: str = DEV_LOG) -> None:
        self.sent = self.lost = 0
        self._to, self._gateway, self._ca, self._dev_log = to, gateway, ca, dev_log
        self._queue: queue.Queue[bytes] = queue.Queue(QUEUE)
        self._stop = threading.Event()
        self._socket: socket.socket | None = None
        self._said = ""
        self._thread = threading.Thread(target=self._run, name="syslog", daemon=True)
        self._thread.start()

    def __call__(self, line: bytes) -> None:
        """Hand over one line of the audit log; never waits."""
        try:
            self._queue.put_nowait(packet(line, self._gateway))
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Send what waits, for a bounded time."""
        self._stop.set()
        self._thread.join(TIMEOUT_S)

    def _run(self) -> None:
        while not (self._stop.is_set() and self._queue.empty()):
            try:
                message = self._queue.get(timeout=0.2)
            except queue.Empty:
                continue
            self._send(message)
        if self._socket is not None:
            self._socket.close()

    def _send(self, message: bytes) -> None:
        for again in (True, False):  # a collector that was started anew has closed the old connection
            try:
                if self._socket is None:
                    self._socket = self._connect()
                framed = b"%d %s" % (len(message), message) if self._to.startswith("tls") else message
                self._socket.sendall(framed)
            except OSError as fault:
                if self._socket is not None:
                    with suppress(OSError):
                        self._socket.close()
                    self._socket = None
                    if again:
                        continue
                self.lost += 1
                self._say(fault.strerror or type(fault).__name__)
                self._stop.wait(PAUSE_S)
                return
            self.sent += 1
            self._say("")
            return

    def _connect(self) -> socket.socket:
        if self._to == "local":
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            made.connect(self._dev_log)
            return made
        found = _WHERE.fullmatch(self._to)
        if found is None:
            raise OSError("no address of a collector")
        host, port = found[2].strip("[]"), int(found[3])
        if found[1] == "udp":
            family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            made = socket.socket(family, kind, proto)
            made.connect(address)
            return made
        context = ssl.create_default_context(cafile=self._ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 9662
        plain = socket.create_connection((host, port), TIMEOUT_S)
        return context.wrap_socket(plain, server_hostname=host)

    def _say(self, trouble: str) -> None:
        if trouble != self._said:
            self._said = trouble
            if trouble:
                log.warning("the syslog collector is not reached: %s; the audit log on the box goes on", trouble)

    def status(self) -> dict[str, Any]:
        """Return what `mdi status` shows."""
        return {"sent": self.sent, "lost": self.lost, "trouble": self._said}
