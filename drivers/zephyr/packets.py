"""What is in the packets: the summary, R-R intervals, waves packed in 10 bits, the HxM's one packet.

Numbers are given as they are sent, their scale is in the profile. Known here is what the protocol itself says: where a
field stands, what means "no value", how samples are packed, when a beat is new.
"""

from __future__ import annotations

import struct
from datetime import date
from math import nan
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.core.frame import Reading
from gateway.core.sample import Validity

STAMP = struct.Struct("<HBBI")  # at 1: year, month, day, milliseconds of the day
DAY_MS = 86_400_000
EPOCH_DAY = date(1970, 1, 1).toordinal()


def device_ns(payload: bytes) -> int | None:
    """Return the time stamp as if it were UTC, None when there is no such day or time."""
    year, month, day, ms = STAMP.unpack_from(payload, 1)
    try:
        days = date(year, month, day).toordinal() - EPOCH_DAY
    except ValueError:
        return None
    return (days * DAY_MS + ms) * 1_000_000 if ms < DAY_MS else None


class Field(NamedTuple):
    """A number of a packet. none: the raw number that means no value; questionable: described from memory only."""

    at: int
    type: str
    name: str
    none: int | None = None
    questionable: bool = False


# Summary, version 2. Questionable: what the protocol notes have from memory of a vendor document, though plausible in a
# recording. Left out: what has no unit or meaning there (GSR, states, status flags, radio, auxiliary inputs), and the
# extremes of acceleration, of which the waves tell more.
SUMMARY_VERSION_AT, SUMMARY_VERSION = 9, 2
SUMMARY = (
    Field(10, "H", "heart rate", 0xFFFF),
    Field(12, "H", "breath rate", 0xFFFF),
    Field(14, "h", "skin temperature", -0x8000),
    Field(16, "h", "posture", -0x8000),
    Field(18, "H", "activity"),
    Field(20, "H", "peak acceleration"),
    Field(22, "H", "battery voltage", None, True),
    Field(24, "B", "battery charge", None, True),
    Field(25, "H", "breathing amplitude", 0xFFFF),
    Field(27, "H", "breathing noise", 0xFFFF, True),
    Field(29, "B", "breath rate confidence", 0xFF),
    Field(30, "H", "ECG amplitude", 0xFFFF, True),
    Field(32, "H", "ECG noise", 0xFFFF, True),
    Field(34, "B", "heart rate confidence", 0xFF),
    Field(35, "H", "heart rate variability", 0xFFFF, True),
    Field(37, "B", "system confidence", None, True),
    Field(54, "h", "device temperature", None, True),
    Field(61, "H", "estimated core temperature", 0xFFFF, True),
)
GENERAL = (
    Field(9, "H", "heart rate", 0xFFFF),
    Field(11, "H", "breath rate", 0xFFFF),
    Field(13, "h", "skin temperature", -0x8000),
    Field(15, "h", "posture", -0x8000),  # no sentinel is stated here; that of the summary
)
HXM = (
    Field(8, "B", "battery charge"),
    Field(9, "B", "heart rate", 0),
    Field(47, "H", "distance"),
    Field(49, "H", "speed"),
)  # 51, strides: at which number they begin anew is not stated
LOW_CONFIDENCE = 20  # per cent; protocol notes (our suggestion): a heart rate below it is questionable
EVENT_CODE_AT = 9


def readings(payload: bytes, fields: tuple[Field, ...]) -> list[Reading]:
    """Return the numbers of a packet. A heart rate that the sensor itself has no confidence in is questionable."""
    raw = {field.name: struct.unpack_from("<" + field.type, payload, field.at)[0] for field in fields}
    doubtful = raw.get("heart rate confidence", 0xFF) < LOW_CONFIDENCE
    found = []
    for field in fields:
        value = raw[field.name]
        if value == field.none:
            found.append(Reading(field.name, 0, 0, nan, int(Validity.NA)))
            continue
        questionable = field.questionable or (doubtful and field.name == "heart rate")
        found.append(Reading(field.name, 0, 0, value, int(Validity.QST if questionable else Validity.VLD)))
    return found


# ---- waves

STAMPED = 9  # bytes before the samples: sequence number and time stamp
CENTRE = 512


class Unpack:
    """Takes n samples of 10 bits out of a little-endian stream of bits: sample k begins at bit 10 k."""

    def __init__(self, n: int) -> None:
        bits = 10 * np.arange(n)
        self._low, self._shift = bits // 8, (bits % 8).astype(np.uint16)

    def __call__(self, payload: bytes) -> npt.NDArray[np.float64]:
        """Return the samples of a packet, centred at 0."""
        data = np.frombuffer(payload, np.uint8, offset=STAMPED).astype(np.uint16)
        words = data[self._low] | data[self._low + 1] << np.uint16(8)
        return ((words >> self._shift) & np.uint16(0x3FF)).astype(np.float64) - CENTRE


BREATHING, BREATHING_PERIOD_NS = Unpack(18), 56_000_000
ECG, ECG_PERIOD_NS = Unpack(63), 4_000_000
ACCELERATION, ACCELERATION_PERIOD_NS = Unpack(60), 20_000_000
AXES = ("x", "y", "z")

# ---- beats

RR_VALUES = struct.Struct("<18h")
RR_SLOT_NS = 56_000_000
HXM_BEATS = struct.Struct("<15H")  # at 11: times in ms, newest first, modulo 65536
HXM_BEATS_AT, HXM_BEAT_NUMBER_AT = 11, 10


def _interval(ms: int, age_ns: int) -> Reading:
    return Reading("R-R interval", 0, 0, ms, int(Validity.VLD), age_ns=age_ns)


class Beats:
    """Finds the new beats in what repeats the old ones."""

    def __init__(self) -> None:
        self._last: int | None = None  # the last R-R value of the packet before
        self._number: int | None = None  # HxM: number of the newest beat of the packet before

    def lost(self) -> None:
        """A packet is missing: what was the last beat is not known."""
        self._last = None

    def rr(self, payload: bytes) -> list[Reading]:
        """Return the intervals of a packet 24: a beat is new where the sign flips. The last slot is now."""
        found = []
        values = RR_VALUES.unpack_from(payload, STAMPED)
        for slot, value in enumerate(values):
            if value and self._last and (value < 0) != (self._last < 0):
                found.append(_interval(abs(value), (len(values) - 1 - slot) * RR_SLOT_NS))
            self._last = value or self._last
        return found

    def hxm(self, payload: bytes) -> list[Reading]:
        """Return the intervals of the beats since the packet before, oldest first. The newest beat is now."""
        number, before = payload[HXM_BEAT_NUMBER_AT], self._number
        self._number = number
        if before is None:
            return []
        times = HXM_BEATS.unpack_from(payload, HXM_BEATS_AT)
        new = min((number - before) % 256, len(times) - 1)
        ages = [(times[0] - time) % 65536 for time in times]
        return [_interval((times[i] - times[i + 1]) % 65536, ages[i] * 1_000_000) for i in reversed(range(new))]
