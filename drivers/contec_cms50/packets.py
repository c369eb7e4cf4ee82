"""What a packet says, the same for both generations; and what of it may be believed."""

from __future__ import annotations

import math
from typing import NamedTuple

from drivers.contec_cms50.framing import unpacked

PROBE, SEARCHING, LONG_SEARCH, LOW = 1, 2, 4, 8
"""States that a packet can tell. The first three mean: no valid measurement."""
NAMES = {
    "v7": {PROBE: "probe error", SEARCHING: "searching", LONG_SEARCH: "searching too long", LOW: "low SpO2"},
    "old": {PROBE: "probe error", SEARCHING: "searching", LONG_SEARCH: "finger out", LOW: "SpO2 dropping"},
}
"""What the two generations call them. "finger out" is "searching too long" in other sources."""
MOST_RATE, MOST_SATURATION, MOST_PERFUSION = 254, 100, 2200
"""Largest valid numbers, V7.0 document; perfusion in hundredths of a per cent."""
NO_RATE, NO_SATURATION, NO_PERFUSION = 0xFF, 0x7F, 0xFFFF
AGREE = 3  # packets in a row
STALE = 60  # packets, one second: what has not agreed for so long is not known any more


class Fields(NamedTuple):
    """What is believed when packets in a row agree on it. None: they have not of late.

    rate and saturation as sent; perfusion in hundredths of a per cent, NO_PERFUSION when there is none
    """

    states: int | None = None
    rate: int | None = None
    saturation: int | None = None
    perfusion: int | None = None
    strength: int | None = None


class Moment(NamedTuple):
    """One packet: a sample of the pleth, 0..127 or NaN, and the fields."""

    wave: float
    fields: Fields


def v7_moment(packet: bytes) -> Moment:
    """Read a real-time packet of generation V7."""
    d0, d1, d2, rate, saturation, low, high = unpacked(packet)
    probe = d0 >> 7
    states = probe | (d1 >> 7) << 1 | (d0 >> 4 & 1) << 2 | (d0 >> 5 & 1) << 3
    invalid = (
        d2 & 0x10
    )  # one public reader calls this bit "pi_valid"; 1 means invalid, as the document and a capture say
    perfusion = NO_PERFUSION if invalid else high << 8 | low
    wave = math.nan if probe else float(d1 & 0x7F)  # it stands at 0x40 without a finger
    return Moment(wave, Fields(states, rate, saturation, perfusion, d0 & 0x0F))


def old_moment(packet: bytes) -> Moment:
    """Read a packet of the old generation, which knows no perfusion index."""
    b0, wave, b2, b3, saturation = packet
    out = b2 >> 4 & 1
    long_search = b0 >> 4 & 1
    states = out | (b2 >> 5 & 1) << 1 | long_search << 2 | (b0 >> 5 & 1) << 3
    rate = (b2 & 0x40) << 1 | b3  # bit 7 of the rate is in byte 2; readers that forget it are wrong above 127
    sample = math.nan if out or long_search else float(wave)
    return Moment(sample, Fields(states, rate, saturation, NO_PERFUSION, b0 & 0x0F))


class Agreement:
    """Believes a field when AGREE packets in a row say the same, field by field.

    There is no checksum, but each number comes sixty times a second. So one damaged packet changes nothing, and noise
    that looks like a packet now and then is not believed; it costs a thirtieth of a second of delay.
    """

    def __init__(self) -> None:
        self.believed = Fields()
        self._last = Fields()
        self._runs = [0] * len(self._last)  # how many packets in a row said the same
        self._apart = [0] * len(self._last)  # how many packets ago they last did so AGREE times
        self._settled = False

    def see(self, fields: Fields) -> None:
        """Take the fields of the next packet."""
        if self._settled and fields == self._last:
            return
        believed = list(self.believed)
        for i, (before, now) in enumerate(zip(self._last, fields, strict=True)):
            self._runs[i] = self._runs[i] + 1 if before == now else 1
            self._apart[i] = 0 if self._runs[i] >= AGREE else self._apart[i] + 1
            if self._apart[i] == 0:
                believed[i] = now
            elif self._apart[i] >= STALE:
                believed[i] = None
        self.believed = Fields(*believed)
        self._last = fields
        self._settled = min(self._runs) >= AGREE

    def interrupt(self) -> None:
        """Bytes were lost: what comes next is not the next packet."""
        self._last = Fields()
        self._settled = False
