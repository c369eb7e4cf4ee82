"""A link that is opened only when opening it is harmless: asked anew at each opening, of what its kind can know.

In production it is refused, and the port tries again as with any line that is not there; in lab it is said once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from gateway.core.errors import LinkError
from gateway.links.base import Link

log = logging.getLogger("mdi.link")


class Guarded:
    """Implements Link around another one. harm: returns why it may not be opened, "" when it may."""

    def __init__(self, link: Link, harm: Callable[[], str], where: str, lab: bool) -> None:
        self._link, self._harm, self._where, self._lab = link, harm, where, lab
        self._said = ""

    def open(self) -> None:
        """Ask, then open. LinkError: it may not be opened, or it cannot be."""
        why = self._harm()
        if why and not self._lab:
            hint = "ip link set CHANNEL type can bitrate … listen-only on"
            raise LinkError(f"not opened: {why}", self._where, hint)
        if why != self._said:
            self._said = why
            if why:
                log.warning("%s: LAB: opened, although %s", self._where, why)
        self._link.open()

    def read(self, timeout: float) -> list[tuple[int, bytes]]:
        """As the link."""
        return self._link.read(timeout)

    def write(self, data: bytes) -> None:
        """As the link."""
        self._link.write(data)

    def close(self) -> None:
        """As the link."""
        self._link.close()
