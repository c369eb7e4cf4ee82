"""How full the spool is, in four words, for those who can make less data of it before any is lost."""

from __future__ import annotations

from enum import IntEnum

SOFT_AT = 0.70  # the first design's levels: 70 % warn, 85 % thin
THIN_AT = 0.85
BACK = 0.05  # a level is left this much below where it began, or removing one segment would make it flap


class Pressure(IntEnum):
    """OK; SOFT: say so; THIN: send periodic values less often; FULL: the oldest are being dropped, or nothing fits."""

    OK = 0
    SOFT = 1
    THIN = 2
    FULL = 3


class Gauge:
    """Remembers the level, for the hysteresis."""

    def __init__(self) -> None:
        self._level = Pressure.OK

    def read(self, fill: float, full: bool) -> Pressure:
        """Return the pressure at this fill (0 to 1). full: there is no place for the next segment."""
        below = fill + BACK
        if fill >= THIN_AT or (self._level >= Pressure.THIN and below > THIN_AT):
            self._level = Pressure.THIN
        elif fill >= SOFT_AT or (self._level >= Pressure.SOFT and below > SOFT_AT):
            self._level = Pressure.SOFT
        else:
            self._level = Pressure.OK
        return Pressure.FULL if full else self._level
