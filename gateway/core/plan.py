"""The plan: a profile resolved for one firmware, compiled so that decoding asks no questions.

    Frame ──► table of its kind ──► block of SAMPLE

Three shapes of payload, each with its own compiled table:
    bytes            fixed layout: fields at offsets (registers, binary records)
    list[Reading]    self-describing numbers: looked up by (object, instance)
    Wave             a run of samples of one object: one numpy pass, no per-sample Python

Laws
  * No value is dropped or repaired. What has no value is NaN with a validity that says why; what is outside the range
    of the profile keeps its number and is marked OFLW or UFLW; what is not in the profile is counted in `unmapped`.
  * The digest names everything that decides the meaning of a number; it travels with the data.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gateway.core.errors import ProfileError
from gateway.core.frame import Frame, Reading, Wave
from gateway.core.nomenclature import PRIVATE_PREFIX, Nomenclature, Term, Unit
from gateway.core.profile import ChannelSpec, MetricSpec, Profile
from gateway.core.sample import SAMPLE, Block, Flag, Validity, empty_block
from gateway.core.units import linear

ALERT_KIND = "alert"  # frames of this kind carry events: the instance is their source, and many share one event
OWNER_NS = 5_000_000_000  # five missed updates of a device that sends once a second
_AFTER_GAP = np.uint8(Flag.AFTER_GAP)  # numpy widens an IntFlag, and refuses to narrow it again
MAX_UNMAPPED = 1024  # distinct ids kept in the counter; a device with more is counted under "other"

Floats = npt.NDArray[np.float64]
Row = tuple[int, int, float, int, int, int, int, int]  # one SAMPLE in field order


@dataclass(frozen=True, slots=True)
class Metric:
    """One resolved metric: what an index in SAMPLE.metric means."""

    index: int
    ref_id: str
    code: int
    path: str
    kind: str  # numeric, waveform, enumeration, alert
    category: str  # measurement, calculation, setting
    unit: Unit | None
    episodic: bool
    tokens: tuple[str, ...]  # enumeration: value of the sample -> token
    range: tuple[float, float]


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One containment row of OBX: the MDS, a VMD or a channel."""

    path: str  # "1.0.0.0", "1.2.0.0", "1.2.1.0"
    ref_id: str
    code: int


@dataclass(frozen=True, slots=True)
class _Conversion:
    """raw -> physical, for one number and for an array; the arithmetic is chosen once."""

    one: Callable[[float], float]
    many: Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a value goes and what is done to it on the way."""

    metric: int
    flags: int
    low: float
    high: float
    by_unit: dict[int, _Conversion]  # wire unit code -> conversion; a unit that is missing here does not fit the metric
    raw_invalid: frozenset[float]
    enum: dict[int, int] | None  # raw number -> index of its token


class Plan:
    """Decodes frames of one device.

    digest: 32 bytes, sha256 of all that decides the meaning of its numbers
    metrics: resolved metrics, by index
    rows: device rows, parents before children
    unmapped: (kind, object) -> how often a value came that the profile does not name
    """

    def __init__(self, profile: Profile, firmware: str, nomenclature: Nomenclature) -> None:
        channels = profile.resolve(firmware)
        specs = [spec for channel in channels for spec in channel.metrics]
        self.profile_id = profile.id
        self.firmware = firmware
        self.metrics = tuple(_metric(i, spec, nomenclature) for i, spec in enumerate(specs))
        self.rows = _device_rows(profile, channels, nomenclature)
        self.digest = _digest(profile, channels, self.metrics)
        self.unmapped: Counter[tuple[str, int | str]] = Counter()
        self._owners: dict[tuple[str, int | str], tuple[int, int]] = {}  # -> (instance, t_ns)
        self._objects: dict[str, dict[tuple[int | str, int], _Target]] = {}
        self._fields: dict[str, list[_Field]] = {}
        for spec, metric in zip(specs, self.metrics, strict=True):
            target = _target(spec, metric, profile, nomenclature)
            if spec.object is not None:
                table = self._objects.setdefault(spec.frame, {})
                if (spec.object, spec.instance) in table:
                    raise ProfileError(
                        f"{spec.id} is reached like a metric before it", spec.where, "one way, one metric"
                    )
                table[spec.object, spec.instance] = target
            else:
                self._fields.setdefault(spec.frame, []).append(_Field(spec, target))

    def twin(self) -> Plan:
        """Return the same plan for another device: the tables are shared, what it counts and follows is its own."""
        other = copy.copy(self)
        other.unmapped = Counter()
        other._owners = {}
        return other

    def decode(self, frame: Frame, source: int) -> Block:
        """Return the samples of one frame, shape (n,), seq not yet set (0). `source`: number of the device."""
        payload = frame.payload
        if isinstance(payload, Wave):
            return self._wave(frame, payload, source)
        if isinstance(payload, bytes):
            rows = self._read_fields(frame, payload, source)
        else:
            rows = self._read_objects(frame, payload, source)
        block = np.array(rows, SAMPLE) if rows else empty_block()
        if frame.after_gap and rows:
            block["flags"] |= _AFTER_GAP
        return block

    def _read_objects(self, frame: Frame, readings: list[Reading], source: int) -> list[Row]:
        table = self._objects.get(frame.kind, {})
        rows: list[Row] = []
        for object_, instance, unit, value, validity, flags in readings:
            target = table.get((object_, instance)) or self._general(frame, object_, instance)
            if target is None:
                continue
            value, state = self._judge(frame.kind, object_, target, unit, value, validity)
            rows.append((frame.t_ns, 0, value, target.metric, source, state, target.flags | flags, 0))
        return rows

    def _general(self, frame: Frame, object_: int | str, instance: int) -> _Target | None:
        """Return the target for any instance.

        It belongs to one instance at a time: two sources are never mixed. When its owner has been silent for OWNER_NS
        (the monitor now takes the pulse from another sensor), the next one that comes takes over.
        """
        target = self._objects.get(frame.kind, {}).get((object_, 0))
        if target is None:
            self._count_unmapped(frame.kind, object_)
            return None
        if frame.kind != ALERT_KIND:
            owner, heard = self._owners.get((frame.kind, object_), (instance, frame.t_ns))
            if owner != instance and frame.t_ns - heard < OWNER_NS:
                self._count_unmapped(frame.kind, f"{object_} instance {instance}")
                return None
            self._owners[frame.kind, object_] = (instance, frame.t_ns)
        return target

    def _read_fields(self, frame: Frame, payload: bytes, source: int) -> list[Row]:
        rows: list[Row] = []
        for field in self._fields.get(frame.kind, ()):
            raw = field.read(payload)
            validity = Validity.NA if raw is None else Validity.VLD
            value = math.nan if raw is None else raw
            value, state = self._judge(frame.kind, field.at, field.target, 0, value, validity)
            rows.append((frame.t_ns, 0, value, field.target.metric, source, state, field.target.flags, 0))
        if not rows:
            self._count_unmapped(frame.kind, "frame")
        return rows

    def _judge(
        self, kind: str, object_: int | str, target: _Target, unit: int, value: float, validity: int
    ) -> tuple[float, int]:
        """Return (value in the metric's unit, validity)."""
        if math.isnan(value):
            return value, (validity if validity > Validity.QST else Validity.NA)
        if value in target.raw_invalid:
            return math.nan, Validity.NA
        if target.enum is not None:
            index = target.enum.get(int(value))
            return (math.nan, Validity.INV) if index is None else (float(index), validity)
        convert = target.by_unit.get(unit)
        if convert is None:  # a unit whose dimension does not fit: a number without meaning
            self._count_unmapped(kind, f"{object_} unit {unit}")
            return math.nan, Validity.INV
        value = convert.one(value)
        if validity <= Validity.QST:
            validity = Validity.OFLW if value > target.high else Validity.UFLW if value < target.low else validity
        return value, validity

    def _wave(self, frame: Frame, wave: Wave, source: int) -> Block:
        table = self._objects.get(frame.kind, {})
        target = table.get((wave.object, wave.instance)) or self._general(frame, wave.object, wave.instance)
        if target is None:
            return empty_block()
        n = len(wave.samples)
        block = np.zeros(n, SAMPLE)
        # The last sample is the youngest: it was complete when the bytes arrived.
        block["t_ns"] = frame.t_ns - wave.period_ns * np.arange(n - 1, -1, -1)
        block["metric"] = target.metric
        block["source"] = source
        block["flags"] = target.flags | wave.flags | Flag.WAVEFORM
        block["validity"] = wave.validity
        convert = target.by_unit.get(wave.unit)
        if convert is None:
            self._count_unmapped(frame.kind, f"{wave.object} unit {wave.unit}")
            block["value"], block["validity"] = math.nan, Validity.INV
            return block
        values = convert.many(wave.samples)
        block["value"] = values
        missing = np.isnan(values)
        if missing.any():
            block["validity"][missing] = max(wave.validity, Validity.INV)
        if frame.after_gap and n:
            block["flags"][0] |= _AFTER_GAP
        return block

    def _count_unmapped(self, kind: str, object_: int | str) -> None:
        key = (kind, object_)
        if key not in self.unmapped and len(self.unmapped) >= MAX_UNMAPPED:
            key = (kind, "other")
        self.unmapped[key] += 1


# Raw types of fixed layouts: struct letter, size. Big-endian is the wire order of every field protocol here; `order`
# names any other as a permutation of its bytes, A = most significant.
_RAW = {
    "u8": ("B", 1),
    "i8": ("b", 1),
    "u16": ("H", 2),
    "i16": ("h", 2),
    "u32": ("I", 4),
    "i32": ("i", 4),
    "f32": ("f", 4),
    "u64": ("Q", 8),
    "i64": ("q", 8),
    "f64": ("d", 8),
    "bit": ("H", 2),
}


class _Field:
    """One field of a fixed layout, compiled to a single read."""

    __slots__ = ("at", "bit", "end", "order", "struct", "target")

    def __init__(self, spec: MetricSpec, target: _Target) -> None:
        letter, size = _RAW[spec.type]
        assert spec.at is not None  # the profile reader lets exactly one of object and at through
        self.at = spec.at
        self.end = spec.at + size
        self.struct = struct.Struct(">" + letter)
        self.bit = spec.bit if spec.type == "bit" else None
        natural = "ABCDEFGH"[:size]
        order = spec.order or natural
        if sorted(order) != list(natural):
            raise ProfileError(f"order {order!r} does not fit {spec.type}", spec.where, f"a permutation of {natural}")
        self.order = None if order == natural else [order.index(letter) for letter in natural]
        self.target = target

    def read(self, payload: bytes) -> float | None:
        """Return the raw number, or None when the payload ends before it or it is no finite number."""
        if len(payload) < self.end:
            return None
        if self.order is None:
            (raw,) = self.struct.unpack_from(payload, self.at)
        else:
            (raw,) = self.struct.unpack(bytes(payload[self.at + i] for i in self.order))
        if self.bit is not None:
            return float(raw >> self.bit & 1)
        return raw if math.isfinite(raw) else None


def _metric(index: int, spec: MetricSpec, nomenclature: Nomenclature) -> Metric:
    term = _term(spec.id, spec.where, nomenclature)
    try:
        unit = nomenclature.unit(spec.unit, term) if spec.unit else None
    except KeyError:
        raise ProfileError(f"unit {spec.unit!r} is not known", spec.where, "use a UCUM text or MDC_DIM_ id") from None
    low, high = spec.range or (-math.inf, math.inf)
    tokens = tuple(token for _, token in spec.values)
    return Metric(
        index, spec.id, term.code, spec.path, spec.kind, spec.category, unit, spec.episodic, tokens, (low, high)
    )


def _term(ref_id: str, where: str, nomenclature: Nomenclature) -> Term:
    try:
        return nomenclature.term(ref_id)
    except KeyError:
        hint = f"add it to nomenclature.csv with its source, or use {PRIVATE_PREFIX}…"
        raise ProfileError(f"{ref_id} is not in the nomenclature", where, hint) from None


def _device_rows(
    profile: Profile, channels: Iterable[ChannelSpec], nomenclature: Nomenclature
) -> tuple[DeviceRow, ...]:
    rows = {"1.0.0.0": DeviceRow("1.0.0.0", profile.device, _term(profile.device, profile.where, nomenclature).code)}
    for channel in sorted(channels, key=lambda c: tuple(int(n) for n in c.path.split("."))):
        vmd = channel.path.rsplit(".", 1)[0] + ".0.0"
        for path, ref_id in ((vmd, channel.vmd), (channel.path + ".0", channel.chan)):
            code = _term(ref_id, channel.where, nomenclature).code
            known = rows.setdefault(path, DeviceRow(path, ref_id, code))
            if known.ref_id != ref_id:
                raise ProfileError(
                    f"{path} is both {known.ref_id} and {ref_id}", channel.where, "one term for one path"
                )
    return tuple(rows.values())


def _target(spec: MetricSpec, metric: Metric, profile: Profile, nomenclature: Nomenclature) -> _Target:
    low, high = metric.range
    flags = int(Flag.EPISODIC) if metric.episodic else 0
    enum = {raw: i for i, (raw, _) in enumerate(spec.values)} if spec.kind == "enumeration" else None
    by_unit = {0: _conversion(spec, metric, spec.raw_unit, nomenclature)}
    for code, name in profile.units.items():
        try:
            by_unit[code] = _conversion(spec, metric, name, nomenclature)
        except ValueError:  # another dimension: this metric never comes in it
            continue
    return _Target(metric.index, flags, low, high, by_unit, frozenset(float(v) for v in spec.raw_invalid), enum)


def _conversion(spec: MetricSpec, metric: Metric, raw_unit: str, nomenclature: Nomenclature) -> _Conversion:
    """Return the function raw -> physical. Raises: ValueError when `raw_unit` has another dimension."""
    scale, offset = float(spec.scale), float(spec.offset)
    if not raw_unit or metric.unit is None:
        return _linear(scale, offset)
    if raw_unit in nomenclature.units:
        raw_unit = nomenclature.units[raw_unit].ucum
    if raw_unit == metric.unit.ucum:
        return _linear(scale, offset)
    difference = nomenclature.term(metric.ref_id).difference
    unit_scale, unit_offset = linear(raw_unit, metric.unit.ucum, difference=difference)
    return _linear(scale * unit_scale, offset * unit_scale + unit_offset)


@lru_cache(maxsize=256)
def _linear(scale: float, offset: float) -> _Conversion:
    """Choose the arithmetic once. Dividing by 10 gives 36.9 where multiplying by 0.1 gives 36.900000000000006."""
    if scale == 1 and offset == 0:
        return _Conversion(lambda raw: raw, lambda raw: raw)
    divisor = round(1 / scale) if scale else 0
    if offset == 0 and divisor > 1 and math.isclose(1 / scale, divisor, rel_tol=1e-12):
        return _Conversion(lambda raw: raw / divisor, lambda raw: raw / divisor)
    return _Conversion(lambda raw: float(f"{raw * scale + offset:.12g}"), lambda raw: raw * scale + offset)


def _digest(profile: Profile, channels: Iterable[ChannelSpec], metrics: tuple[Metric, ...]) -> bytes:
    def plain(spec: MetricSpec) -> dict[str, object]:
        row = asdict(spec)
        for key in ("where", "source"):  # where a row stands in the file does not change what it means
            del row[key]
        return row

    what = {
        "profile": profile.id,
        "device": profile.device,
        "driver": [profile.driver, profile.driver_table, profile.files],
        "units": {str(code): name for code, name in profile.units.items()},
        "channels": [[c.path, c.vmd, c.chan, [plain(m) for m in c.metrics]] for c in channels],
        "codes": [[m.code, m.unit.code if m.unit else 0] for m in metrics],
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).digest()
