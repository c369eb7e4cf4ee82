"""The time of a frame on a CAN bus: the bus's own, when it can be believed."""

from __future__ import annotations

import logging

from gateway.links.base import Clock

# How far a bus time may be from our clock and still be believed. The kernel stamps with our own clock, and no port
# lets frames wait for longer; an adapter that counts from its power-up, or a daemon on a box whose clock is wrong, is
# out by far more. Believing that would put a value on another minute, and by that perhaps on another patient.
BUS_TIME_TOLERANCE_NS = 2_000_000_000

_log = logging.getLogger(__name__)


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
