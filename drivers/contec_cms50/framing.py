"""Packets of both generations in a stream of bytes. Only the top bits tell where a packet begins; none has a checksum.

V7    type | high | d0 … dn    type has bit 7 = 0, every other byte bit 7 = 1; bit i of `high` is bit 7 of d_i
old   five bytes               the first has bit 7 = 1, the others 0
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

# Total length by type: document "Communication protocol V7.0".
LENGTHS: Mapping[int, int] = {
    0x01: 9,  # real-time data
    0x04: 9,  # device id
    0x05: 9,  # user
    0x07: 8,  # start date of a record in memory
    0x08: 8,  # its length
    0x09: 6,  # its data with PI
    0x0A: 4,  # number of records
    0x0B: 4,  # answer to a command
    0x0C: 2,  # free: real-time data has stopped
    0x0D: 3,  # disconnect notice
    0x0E: 3,  # whether PI is supported
    0x0F: 8,  # data of a record
    0x10: 3,  # number of users
    0x11: 9,  # device notice
    0x12: 8,  # start time of a record
    0x15: 9,  # identifiers of records
}
REAL_TIME, FEEDBACK, FREE, DISCONNECT = 0x01, 0x0B, 0x0C, 0x0D
OLD_LENGTH = 5
TELL_AT = 540  # bytes without a packet before it is told: those of one second at 60 packets of 9 bytes

_LOW = re.compile(rb"[\x00-\x7f]")
_HIGH = re.compile(rb"[\x80-\xff]")


class Skipped(NamedTuple):
    """So many bytes were no packet. reason: of the fault to tell."""

    length: int
    reason: str


class Cutter:
    """Cuts a stream into packets, in any split; never holds more than one packet.

    length: length of a packet from its first byte, 0 when it begins none; begins: finds a byte that may begin one
    """

    def __init__(self, length: Callable[[int], int], begins: re.Pattern[bytes]) -> None:
        self._length = length
        self._begins = begins
        self._held = bytearray()
        self._skipped = 0
        self._in_step = False  # a packet has just ended, so one must begin here
        self._reason = "garbage"

    def feed(self, data: bytes) -> list[bytes | Skipped]:
        """Return the packets that are complete, and what was skipped before them."""
        found: list[bytes | Skipped] = []
        held = self._held
        held += data
        at = 0
        while at < len(held):
            length = self._length(held[at])
            next_ = self._begins.search(held, at + 1, at + (length or len(held)))
            if length and next_ is None:
                if at + length > len(held):
                    break
                self._tell(found)
                found.append(bytes(held[at : at + length]))
                self._in_step = True
                at += length
            else:
                end = next_.start() if next_ else len(held)
                self._skip(end - at, found)
                at = end
        del held[:at]
        return found

    def interrupt(self) -> list[bytes | Skipped]:
        """Give up what is held: the rest of it will not come any more."""
        found: list[bytes | Skipped] = []
        if self._held:
            self._skip(len(self._held), found)
            self._held.clear()
            self._tell(found)
        return found

    def _skip(self, length: int, found: list[bytes | Skipped]) -> None:
        """Count what is no packet. Told in equal portions, so that it does not depend on how the bytes arrived."""
        if self._in_step:
            self._reason = "cut"
            self._in_step = False
        self._skipped += length
        while self._skipped >= TELL_AT:
            self._skipped -= TELL_AT
            self._say(TELL_AT, found)

    def _tell(self, found: list[bytes | Skipped]) -> None:
        if self._skipped:
            self._say(self._skipped, found)
            self._skipped = 0

    def _say(self, length: int, found: list[bytes | Skipped]) -> None:
        found.append(Skipped(length, self._reason))
        self._reason = "garbage"


def v7_cutter() -> Cutter:
    """Return the cutter of generation V7."""
    return Cutter(lambda first: LENGTHS.get(first, 0), _LOW)


def old_cutter() -> Cutter:
    """Return the cutter of the old generation."""
    return Cutter(lambda first: OLD_LENGTH if first & 0x80 else 0, _HIGH)


def unpacked(packet: bytes) -> list[int]:
    """Return the data bytes of a V7 packet with their own bit 7."""
    high = packet[1]
    return [byte & 0x7F | (high >> i & 1) << 7 for i, byte in enumerate(packet[2:])]
