"""From a raw number to a value in a metric's unit: which arithmetic, decided once when a plan is compiled."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gateway.core.errors import ProfileError
from gateway.core.metric import Metric
from gateway.core.nomenclature import Nomenclature
from gateway.core.profile import MetricSpec, Profile
from gateway.core.sample import Flag
from gateway.core.units import linear

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Conversion:
    """raw -> physical, for one number and for an array; the arithmetic is chosen once."""

    one: Callable[[float], float]
    many: Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a value goes and what is done to it on the way."""

    metric: int
    flags: int
    low: float
    high: float
    by_unit: dict[int | str, Conversion]  # wire unit -> conversion; one that is missing does not fit
    raw_invalid: frozenset[float]
    enum: dict[int | str, int] | None  # raw number or word -> index of its token


def target(spec: MetricSpec, metric: Metric, profile: Profile, nomenclature: Nomenclature) -> Target:
    """Return where the values of a row go. Units of the wire that do not fit the metric are left out."""
    low, high = metric.range
    flags = int(Flag.EPISODIC) if metric.episodic else 0
    enum = {raw: i for i, (raw, _) in enumerate(spec.values)} if spec.kind == "enumeration" else None
    by_unit: dict[int | str, Conversion] = {0: _conversion(spec, metric, spec.raw_unit, nomenclature)}
    for code, name in profile.units.items():
        try:
            by_unit[code] = _conversion(spec, metric, name, nomenclature)
        except ValueError:  # another dimension: this metric never comes in it
            continue
    return Target(metric.index, flags, low, high, by_unit, frozenset(float(v) for v in spec.raw_invalid), enum)


def _conversion(spec: MetricSpec, metric: Metric, raw_unit: str, nomenclature: Nomenclature) -> Conversion:
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
def _linear(scale: float, offset: float) -> Conversion:
    """Choose the arithmetic once. Dividing by 10 gives 36.9 where multiplying by 0.1 gives 36.900000000000006."""
    if scale == 1 and offset == 0:
        return Conversion(lambda raw: raw, lambda raw: raw)
    divisor = round(1 / scale) if scale else 0
    if offset == 0 and divisor > 1 and math.isclose(1 / scale, divisor, rel_tol=1e-12):
        return Conversion(lambda raw: raw / divisor, lambda raw: raw / divisor)
    return Conversion(lambda raw: float(f"{raw * scale + offset:.12g}"), lambda raw: raw * scale + offset)


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


class Field:
    """One field of a fixed layout, compiled to a single read."""

    __slots__ = ("at", "bit", "end", "order", "struct", "target")

    def __init__(self, spec: MetricSpec, target: Target) -> None:
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
