"""The packets of the N-200, every 10 s and when something changes.

    STX RnnnSnnnPnnnLnnnHnnnOnnnAnnnMnnnTnnnnnnQnnn CR LF [ETX] CHKSM ETX

How CHKSM is made is not in the page of the guide that was found, so it is not looked at. T and Q are not explained.
"""

from __future__ import annotations

import re
from typing import NamedTuple

BEGIN, END = b"\x02", b"\r"
LONGEST = 45  # characters between STX and CR
TRAILER = 5  # LF, ETX, a checksum of one or two characters, ETX: what follows on a packet and is no garbage
_PACKET = re.compile(rb"R(\d{3})S(\d{3})P(\d{3})L(\d{3})H(\d{3})O(\d{3})A(\d{3})M(\d{3})T\d{6}Q\d{3}")

LOCKED, ATTACHED, AUDIO, LOST = 0x01, 0x02, 0x04, 0x80
"""M: pulse locked, sensor attached, audio enabled, monitor lost. Bit 3, "ECG not in use", says nothing of a value."""


class Packet(NamedTuple):
    """One packet. alarms: bits 0 high rate, 1 low rate, 2 low saturation, 3 high saturation."""

    rate: int
    saturation: int
    amplitude: int
    rate_low: int
    rate_high: int
    saturation_low: int
    alarms: int
    status: int

    @property
    def measures(self) -> bool:
        """Tell whether its values are a measurement."""
        return self.status & (LOCKED | ATTACHED | LOST) == LOCKED | ATTACHED


def read(content: bytes) -> Packet | None:
    """Read what stands between STX and CR; None when it is no packet."""
    found = _PACKET.fullmatch(content)
    return Packet(*map(int, found.groups())) if found else None
