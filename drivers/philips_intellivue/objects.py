"""What the monitor has said of its objects: the attribute cache, and what it makes of raw values.

Extended polls send label, unit, sample specification and scale once and then only when they change, so they are kept
per (context, handle) until the next association. Nothing is guessed: a wave whose sample specification, scale, unit
or period has not been seen has no conversion and therefore no values.

Source: protocol notes sections 11 (MetricSpec, states), 12 (SaSpec, scale, fixed values) and 13 (attribute ids).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from math import isnan, nan
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.philips_intellivue.alerts import AlertTable
from drivers.philips_intellivue.pdu import TICK_NS, Malformed, float_type, unpack_2
from gateway.core.frame import Reading
from gateway.core.sample import Flag, Validity

DIMENSIONLESS = 0x0200  # NOM_DIM_DIMLESS, section 11
EXTENDED_RANGE = 0x1000  # SaSpec flag SA_EXT_VAL_RANGE, section 12
INVALID_MASK, MARKERS = 1, frozenset({2, 3, 5})  # SaFixedValSpec ids: invalid; pacer, defibrillator, QRS, section 12
EPISODIC = 0x2000 | 0x1000  # MetricSpec access: episodic update, non-continuous measurement, section 11
METRIC_OFF = 0x8000  # MetricState, section 10
FRESH_NS = 60_000_000_000  # an episodic value found at the start of an association may be so old, not older


class Conversion(NamedTuple):
    """How the samples of one wave become physical values: (raw & mask) x gain + offset."""

    dtype: np.dtype[np.unsignedinteger]
    mask: int
    gain: float
    offset: float
    limits: tuple[int, int] | None  # scaled range; what lies outside is a marker. None: the mask cannot leave it
    invalid: int  # raw bits that say: no data; 0 = none known
    invalid_is_mark: bool  # they lie above the significant bits, so they are tested as a mask
    unit: int
    period_ns: int

    def samples(self, pdu: bytes, at: int, length: int) -> npt.NDArray[np.float64]:
        """Convert `length` bytes at `at`. Shape (n,), float64, NaN where the monitor marks no data."""
        raw = np.frombuffer(pdu, self.dtype, length // self.dtype.itemsize, at)
        values = (raw & self.mask).astype(np.float64)
        if self.limits is not None and len(raw):
            low, high = self.limits
            if values.min() < low or values.max() > high:
                values[(values < low) | (values > high)] = np.nan
        values *= self.gain
        values += self.offset
        if self.invalid:
            values[(raw & self.invalid if self.invalid_is_mark else raw) == self.invalid] = np.nan
        return values


class Measured(NamedTuple):
    """One episodic measurement: its time, its values as text with their validity, and whether they were held back."""

    stamp: bytes
    values: tuple[tuple[int | str, str, int], ...]
    held_back: bool


@dataclass(slots=True)
class MonitorObject:
    """One object of the monitor in one association."""

    label: int = 0  # TextId; 0 = not seen
    unit: int | None = None
    episodic: bool = False
    off: bool = False
    stamp: bytes = b""  # time of the measurement as sent: 8 bytes absolute or 4 relative
    last: Measured | None = None  # the episodic measurement that was last reported
    units: dict[int, int] = field(default_factory=dict)  # physio id -> unit code of what it has reported
    listed: int = 0  # number of the last result that listed it
    alerts: dict[int, AlertTable] = field(default_factory=dict)  # by attribute id
    spec: tuple[int, int, int] | None = None  # sample bits, significant bits, flags
    scale: tuple[float, float, int, int] | None = None  # lower and upper: absolute, scaled
    period: int = 0  # ticks
    fixed: tuple[tuple[int, int], ...] = ()  # (id, value)
    conversion: Conversion | None = None
    told: set[str] = field(default_factory=set)  # faults that were reported of it

    def learn(self, attribute: int, pdu: bytes, at: int, end: int) -> None:
        """Take one attribute that is worth keeping; others are ignored. Raises Malformed when it is too short."""
        known = _KEPT.get(attribute)
        if known is None:
            return
        size, keep, of_wave = known
        if end - at < size:
            raise Malformed(f"attribute 0x{attribute:04X} has {end - at} bytes, expected {size}")
        keep(self, pdu, at, end)
        if of_wave:
            self.conversion = _conversion(self)

    def measured(self, readings: list[Reading], age_ns: int | None) -> list[Reading]:
        """Return an episodic measurement once, though the monitor repeats it with every result, and with its age.

        A measurement found at the start of an association that is older than FRESH_NS, or of unknown age, may be of
        another patient: its values are held back (not available). That a value is withdrawn is told. A number without
        a time stamp cannot be told from its repetition and is given as it comes.
        """
        last = self.last
        numbers = any(_is_number(reading) for reading in readings)
        values = tuple((reading.object, repr(reading.value), reading.validity) for reading in readings)
        same = last is not None and last.stamp == self.stamp and bool(self.stamp or not numbers)
        if last is not None and same and (last.held_back or last.values == values):
            return []
        held_back = bool(last is None and numbers and self.stamp) and (age_ns is None or age_ns > FRESH_NS)
        self.last = Measured(self.stamp, values, held_back)
        if held_back:
            return [reading._replace(value=nan, validity=Validity.NA) for reading in readings]
        age = _age(age_ns)
        return [reading._replace(age_ns=age) if _is_number(reading) else reading for reading in readings]

    def withdrawn(self) -> list[Reading]:
        """Return the readings of an object that is off or no longer listed: not available, said once."""
        flags = int(Flag.EPISODIC) if self.episodic else 0
        gone = [Reading(code, self.label, unit, nan, Validity.NA, flags) for code, unit in self.units.items()]
        self.units = {}
        return gone


def _is_number(reading: Reading) -> bool:
    return not isinstance(reading.value, str) and not isnan(reading.value)


def _age(age_ns: int | None) -> int:
    """Return the age that a new measurement can have. Another one means that the monitor's clock was set: then 0."""
    return age_ns if age_ns is not None and 0 < age_ns <= FRESH_NS else 0


def _conversion(known: MonitorObject) -> Conversion | None:
    """Put the attributes of a wave together; None while one is missing or makes no sense."""
    if known.spec is None or known.scale is None or not known.period:
        return None
    size, significant, flags = known.spec
    low, high, low_scaled, high_scaled = known.scale
    unit = known.unit
    if isnan(low) or isnan(high):  # no physical unit: scaled to 0..1, section 12
        low, high, unit = 0.0, 1.0, DIMENSIONLESS
    if unit is None or size not in {8, 16} or not 0 < significant <= size or low_scaled == high_scaled:
        return None
    full = (1 << significant) - 1
    marks = 0
    for kind, value in known.fixed:
        marks |= value & ~full if kind in MARKERS else 0
    mask = ((1 << size) - 1) & ~marks if flags & EXTENDED_RANGE else full
    gain = (high - low) / (high_scaled - low_scaled)
    limits = min(low_scaled, high_scaled), max(low_scaled, high_scaled)
    invalid = next((value for kind, value in known.fixed if kind == INVALID_MASK), 0)
    return Conversion(
        np.dtype(f">u{size // 8}"),
        mask,
        gain,
        low - low_scaled * gain,
        None if limits[0] == 0 and limits[1] >= mask else limits,
        invalid,
        bool(invalid & ~full),
        unit,
        known.period * TICK_NS,
    )


# ---- the attributes that are kept


def _label(known: MonitorObject, pdu: bytes, at: int, _: int) -> None:
    known.label = int.from_bytes(pdu[at : at + 4], "big")


def _metric_spec(known: MonitorObject, pdu: bytes, at: int, _: int) -> None:
    known.episodic = bool(int.from_bytes(pdu[at + 6 : at + 8], "big") & EPISODIC)


def _metric_state(known: MonitorObject, pdu: bytes, at: int, _: int) -> None:
    known.off = bool(int.from_bytes(pdu[at : at + 2], "big") & METRIC_OFF)


def _stamp(known: MonitorObject, pdu: bytes, at: int, end: int) -> None:
    known.stamp = pdu[at:end]


def _unit(known: MonitorObject, pdu: bytes, at: int, _: int) -> None:
    known.unit = int.from_bytes(pdu[at : at + 2], "big")


def _sample_spec(known: MonitorObject, pdu: bytes, at: int, _: int) -> None:
    known.spec = pdu[at + 2], pdu[at + 3], int.from_bytes(pdu[at + 4 : at + 6], "big")


def _sample_period(known: MonitorObject, pdu: bytes, at: int, _: int) -> None:
    known.period = int.from_bytes(pdu[at : at + 4], "big")


def _scale(known: MonitorObject, pdu: bytes, at: int, _: int) -> None:
    low, high, low_scaled, high_scaled = struct.unpack_from(">IIHH", pdu, at)
    known.scale = float_type(low)[0], float_type(high)[0], low_scaled, high_scaled


def _fixed_values(known: MonitorObject, pdu: bytes, at: int, end: int) -> None:
    count, length = unpack_2(pdu, at)
    if length < 4 * count or at + 4 + length > end:
        raise Malformed(f"{count} fixed values in {length} bytes")
    known.fixed = tuple(unpack_2(pdu, at + 4 + 4 * i) for i in range(count))


_Keep = Callable[[MonitorObject, bytes, int, int], None]
# attribute id -> size it has at least, what to do with it, whether the conversion of a wave depends on it; section 13
_KEPT: dict[int, tuple[int, _Keep, bool]] = {
    0x0924: (4, _label, False),  # ID_LABEL
    0x093F: (12, _metric_spec, False),  # METRIC_SPECN
    0x0940: (2, _metric_state, False),  # METRIC_STAT
    0x0990: (8, _stamp, False),  # TIME_STAMP_ABS
    0x0991: (4, _stamp, False),  # TIME_STAMP_REL
    0x0996: (2, _unit, True),  # UNIT_CODE
    0x096D: (6, _sample_spec, True),  # SA_SPECN
    0x098D: (4, _sample_period, True),  # TIME_PD_SAMP
    0x096F: (12, _scale, True),  # SCALE_SPECN_I16
    0x0A16: (4, _fixed_values, True),  # SA_FIXED_VAL_SPECN
}

# ---- measurement states, section 11

_VALIDITY = (  # the first that is set counts
    (0x8000, Validity.INV),  # INVALID
    (0x2000, Validity.NA),  # UNAVAILABLE
    (0x1000, Validity.CALIB),  # CALIBRATION_ONGOING
    (0x4000, Validity.QST),  # QUESTIONABLE
    (0x0020, Validity.ONG),  # MSMT_ONGOING
    (0x0080, Validity.VLDATED),  # VALIDATED_DATA
)
_FLAGS = (
    (0x0800, Flag.TEST),  # TEST_DATA
    (0x0400, Flag.DEMO),  # DEMO_DATA
    (0x0040, Flag.EARLY),  # EARLY_INDICATION
    (0x0002, Flag.ALERT_ACTIVE),  # MSMT_STATE_IN_ALARM
    (0x0001, Flag.ALERT_INHIBITED),  # MSMT_STATE_AL_INHIBITED
)


@lru_cache(maxsize=1024)
def meaning(state: int, episodic: bool, off: bool) -> tuple[int, int, bool]:
    """Return Validity and Flag of a measurement state, and whether there is no value in spite of what was sent."""
    validity = next((found for bit, found in _VALIDITY if state & bit), Validity.VLD)
    if off:
        validity = Validity.NA
    flags = Flag.EPISODIC if episodic else Flag(0)
    for bit, flag in _FLAGS:
        if state & bit:
            flags |= flag
    return int(validity), int(flags), validity in {Validity.INV, Validity.NA}
