"""Where a link or a sink leads to, in the words of a conduit. Pure: derived from settings, nothing is opened."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Way:
    """One way out of this box, or into it.

    kind: serial, can, tcp, udp, mqtt or file, as [[conduit]] kind names it
    key: the setting that says where it leads; device: path or name of a bus; host, port: of the other side
    inbound: the other side begins, and this box listens on `port`
    """

    kind: str
    key: str
    device: str = ""
    host: str = ""
    port: int = 0
    inbound: bool = False

    def __str__(self) -> str:
        """Return where it leads, for a person."""
        if self.device:
            return f"{self.kind} {self.device}"
        return f"{self.kind} {self.host or 'anybody'}:{self.port}" + (" (listening)" if self.inbound else "")
