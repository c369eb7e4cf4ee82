"""CAN frames as links hand them on: can_frame records (layout: gateway.core.can_frame) and their time."""

from __future__ import annotations

import logging

from gateway.core.can_frame import ERROR, EXTENDED, EXTENDED_MASK, MAX_DATA, RECORD, REMOTE, STANDARD_MASK
from gateway.links.base import Clock

# How far a bus time may be from our clock and still be believed. The kernel stamps with our own clock, and no port
# lets frames wait for longer; an adapter that counts from its power-up, or a daemon on a box whose clock is wrong, is
# out by far more. Believing that would put a value on another minute, and by that perhaps on another patient.
BUS_TIME_TOLERANCE_NS = 2_000_000_000

_log = logging.getLogger(__name__)


def can_frame(
    arbitration_id: int, data: bytes, *, extended: bool, remote: int | None = None, error: bool = False
) -> bytes:
    """Return the 16-byte record of a frame; its length is that of the data at hand.

    remote: the length asked for, which makes it a remote frame, or None. error: `arbitration_id` is the error class
    (linux/can/error.h). ValueError: no CAN 2.0 frame can be so: more than 8 bytes, or an id with too many bits.
    """
    if len(data) > MAX_DATA:
        raise ValueError(f"{len(data)} bytes do not fit a CAN frame")
    if not 0 <= arbitration_id <= (EXTENDED_MASK if extended or error else STANDARD_MASK):
        raise ValueError(f"arbitration id {arbitration_id:#x} has too many bits")
    word = arbitration_id
    if error:
        word |= ERROR
    elif extended:
        word |= EXTENDED
    if remote is not None:
        return RECORD.pack(word | REMOTE, min(remote, MAX_DATA), b"")
    return RECORD.pack(word, len(data), data)


class BusTime:
    """Decides for each frame between the time that the bus gives and our own, and says so once when it is our own."""

    def __init__(self, where: str, clock: Clock) -> None:
        self._where = where
        self._clock = clock
        self._said = False

    def stamp(self, bus_ns: int) -> int:
        """Return the UTC ns of arrival: the bus's time when it is believable, else now."""
        now = self._clock()
        if abs(now - bus_ns) <= BUS_TIME_TOLERANCE_NS:
            return bus_ns
        if not self._said:
            self._said = True
            _log.warning("%s: the time of the bus is not ours; frames are stamped at arrival", self._where)
        return now
