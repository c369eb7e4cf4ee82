"""systemd, as a service sees it: the socket that it tells things, and a watchdog with a bound."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping


class Systemd:
    """The other end of NOTIFY_SOCKET. address: a path, or "@name" in the abstract name space.

    watchdog_s: s without WATCHDOG=1 after which `expired` says so, counted from READY=1, as systemd.service(5) has it.
    """

    def __init__(self, address: str, watchdog_s: float = 20.0) -> None:
        self.watchdog_s = watchdog_s
        self.words: list[str] = []
        self.status = ""
        self.environment: Mapping[str, str] = {
            "NOTIFY_SOCKET": address,
            "WATCHDOG_USEC": str(round(watchdog_s * 1e6)),
        }
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)
        self._pinged: float | None = None

    @property
    def address(self) -> str:
        return self.environment["NOTIFY_SOCKET"]

    def heard(self) -> list[str]:
        """Return the datagrams that have come since the last call."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                break
        for word in found:
            if word in ("READY=1", "WATCHDOG=1"):
                self._pinged = time.monotonic()
            if word.startswith("STATUS="):
                self.status = word.removeprefix("STATUS=")
        self.words += found
        return found

    def expired(self) -> bool:
        """Tell whether a watchdog would end the service now."""
        self.heard()
        return self._pinged is not None and time.monotonic() - self._pinged > self.watchdog_s

    def ready(self) -> bool:
        """Tell whether the service has said that it is ready, since it was started."""
        self.heard()
        return "READY=1" in self.words

    def pings(self) -> int:
        """Return how often the watchdog was fed since the service was started."""
        self.heard()
        return self.words.count("WATCHDOG=1")

    def started_anew(self) -> None:
        """The service is started again: what was heard is of the one before."""
        self.heard()
        self.words, self._pinged = [], None

    def heard_status(self) -> str:
        """Return what the service said last of how it stands."""
        self.heard()
        return self.status

    def close(self) -> None:
        self._socket.close()
