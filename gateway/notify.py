"""What a service tells systemd (sd_notify): ready, what it does now, alive, reloading, stopping.

    NOTIFY_SOCKET    address of a datagram socket: a path, or "@name" in the abstract name space
    WATCHDOG_USEC    systemd ends the process when it hears no WATCHDOG=1 for so long
    WATCHDOG_PID     whom that concerns; another process of the service is not watched

Each message is one datagram of KEY=VALUE lines (sd_notify(3), systemd 252). It is our own: python-systemd is a C
extension, sdnotify is not maintained and does not read the watchdog's variables. Without systemd it does nothing.

The socket is opened once: a process that has run out of file descriptors can still say that it is alive.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping

log = logging.getLogger("mdi.notify")


class Notify:
    """One service's line to systemd. watchdog_s: s within which a ping is due; None when nobody waits for one."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if address else None
        self._status = ""
        self._failed = ""
        self.watchdog_s = _watchdog_s(environment, pid)

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self) -> None:
        """All is in place, after a start or a reload."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The orderly end has begun."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Everybody has made progress. Whoever calls this must know it: see gateway.supervise."""
        self._send("WATCHDOG=1")

    def status(self, line: str) -> None:
        """Say what the service does, in one line for a person; said again only when it changes."""
        line = " ".join(line.split())
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def _send(self, message: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(message.encode(), socket.MSG_DONTWAIT, self._address)
            self._failed = ""
        except OSError as fault:  # whoever started us is gone or does not read: no reason to end what reads devices
            if str(fault) != self._failed:
                self._failed = str(fault)
                log.warning("systemd cannot be told %s: %s", message.partition("=")[0], fault)


def _watchdog_s(environment: Mapping[str, str], pid: int) -> float | None:
    microseconds, whom = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or not int(microseconds) or (whom and whom != str(pid)):
        return None
    return int(microseconds) / 1e6
