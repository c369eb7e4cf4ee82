"""Data formats 8 and 13: one record once a second, and one record for each spot check.

DF8    1R.O LMAH | 0 HR6..0 | 0 SpO2 | 0.S. F..B              no checksum
DF13   00 02 00 0D | length, 2 bytes | data | sum of the data | 03
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from drivers.nonin.packets import Skipped

# ---- data format 8

DF8_LENGTH = 4
IN_STEP = 3
"""So many records must stand back to back before one is believed, because nothing but the four top bits guards them.

A stream of data format 2 (a wrong setting) shows the same top bits in up to two records in a row, never in three: its
byte 0x01 comes every five bytes, where the third would begin [computed].
"""
DF8_OOT, DF8_LPRF, DF8_MPRF, DF8_ARTF = 0x20, 0x10, 0x08, 0x04  # byte 0; 0x40 is reserved, on old models perhaps SNSD
DF8_SPA, DF8_SNSA, DF8_LOW_BAT = 0x20, 0x08, 0x01  # byte 3


class Df8Record(NamedTuple):
    """One record and when it came."""

    data: bytes
    t_ns: int


class Df8Reader:
    """Cuts the stream into records of four bytes, in any split."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._waiting: list[Df8Record] = []  # records that are not believed yet
        self._in_step = False
        self._skipped = 0

    def feed(self, data: bytes, t_ns: int) -> list[Df8Record | Skipped]:
        """Return the records that may be believed, and what was skipped before them."""
        found: list[Df8Record | Skipped] = []
        self._held += data
        while len(self._held) >= DF8_LENGTH:
            if self._held[0] < 0x80 or max(self._held[1:DF8_LENGTH]) >= 0x80:
                self._skip(1, found)
                continue
            self._waiting.append(Df8Record(bytes(self._held[:DF8_LENGTH]), t_ns))
            del self._held[:DF8_LENGTH]
            self._in_step = self._in_step or len(self._waiting) == IN_STEP
            if self._in_step:
                self._tell(found)
                found += self._waiting
                self._waiting.clear()
        return found

    def interrupt(self) -> list[Df8Record | Skipped]:
        """Give up the record that has begun: the rest of it will not come any more."""
        found: list[Df8Record | Skipped] = []
        if self._held:
            self._skip(len(self._held), found)
        return found

    def _skip(self, length: int, found: list[Df8Record | Skipped]) -> None:
        del self._held[:length]
        self._skipped += length + DF8_LENGTH * len(self._waiting)
        self._waiting.clear()
        self._in_step = False
        if self._skipped >= IN_STEP * DF8_LENGTH:
            self._tell(found)

    def _tell(self, found: list[Df8Record | Skipped]) -> None:
        if self._skipped:
            found.append(Skipped(self._skipped, "garbage"))
            self._skipped = 0


# ---- data format 13

HEADER = b"\x00\x02\x00\x0d"
END = 0x03
SHORTEST, LONGEST = 14, 255
"""Length of the data. The specification lets it grow; a damaged length must not make the driver wait for kilobytes."""
FROM_MEMORY, NO_MEASUREMENT, DF13_SPA, DF13_LOW_BAT = 0x0010, 0x0100, 0x0200, 0x0001  # STATUS


class Spot(NamedTuple):
    """The data of one intact record. stamp: the eight bytes of its time, as sent."""

    stamp: bytes
    status: int
    rate: int
    saturation: int


class Df13Reader:
    """Finds records between whatever else comes, in any split."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._skipped = 0

    def feed(self, data: bytes) -> list[Spot | Skipped]:
        """Return the records that are complete and intact, and what was skipped before them."""
        found: list[Spot | Skipped] = []
        self._held += data
        while self._held:
            at = self._held.find(HEADER)
            if at < 0:
                self._skip(len(self._held) - _begun(self._held), found)
                break
            self._skip(at, found)
            if len(self._held) < len(HEADER) + 2:
                break
            length = int.from_bytes(self._held[4:6])
            if not SHORTEST <= length <= LONGEST:
                self._skip(1, found)
                continue
            if len(self._held) < length + 8:
                break
            self._record(length, found)
        return found

    def interrupt(self) -> list[Spot | Skipped]:
        """Give up what is held: the rest of it will not come any more."""
        found: list[Spot | Skipped] = []
        if self._held:
            self._skip(len(self._held), found)
            self._tell(found)
        return found

    def _record(self, length: int, found: list[Spot | Skipped]) -> None:
        """Take the record at the beginning; throw it away, up to the next that begins inside it, if it is damaged."""
        whole = self._held[: length + 8]
        data, checksum, end = whole[6 : 6 + length], whole[6 + length], whole[7 + length]
        if sum(data) & 0xFF == checksum and end == END:
            self._tell(found)
            del self._held[: length + 8]
            rate = int.from_bytes(data[10:12])  # data[12] is reserved
            found.append(Spot(bytes(data[:8]), int.from_bytes(data[8:10]), rate, data[13]))
            return
        again = whole.find(HEADER, 1)
        useless = again if again > 0 else len(whole) - _begun(whole)
        del self._held[:useless]
        self._tell(found)
        found.append(Skipped(useless, "checksum"))

    def _skip(self, length: int, found: list[Spot | Skipped]) -> None:
        del self._held[:length]
        self._skipped += length
        while self._skipped >= LONGEST:  # in equal portions, so that it does not depend on how the bytes arrived
            self._skipped -= LONGEST
            found.append(Skipped(LONGEST, "garbage"))

    def _tell(self, found: list[Spot | Skipped]) -> None:
        if self._skipped:
            found.append(Skipped(self._skipped, "garbage"))
            self._skipped = 0


def _begun(held: bytearray) -> int:
    """Return how many of the last bytes may be the beginning of a header."""
    return next((n for n in range(len(HEADER) - 1, 0, -1) if held.endswith(HEADER[:n])), 0)


def time_ns(stamp: bytes) -> int | None:
    """Return BCD century, year, month, day, hour, minute, second, 0 as if it were UTC, ns; None when it is no time."""
    digits = stamp[:7].hex()
    if not re.fullmatch(r"\d{14}", digits):
        return None
    try:
        moment = datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) * 1_000_000_000
