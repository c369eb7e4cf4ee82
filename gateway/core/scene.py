"""The simulated bed: what there is to measure, as a pure function of (scene, time). All simulators of a bed share it.

A scene is a patient who may be on a ventilator and on pumps, in a room. It is asked by 11073 reference id, so every
simulator of every protocol shows the same patient, in step: same heart, same breath, same room. It can also be driven
by a table of recorded values. Nothing here knows a protocol.

    value(ref_id, t, unit)   a number at time t, None when it is not measured (or the scene measures nothing)
    raw(spec, t)             the same as the number on the wire of a profile's row: scale, offset, raw unit undone
    wave(ref_id, times)      physical values of a waveform
    measured_at(ref_id, t)   when an episodic value was last measured
    alert(ref_id, t)         priority 0 to 3 of "this is out of its limits"
    utc_ns(t)                the time a device's clock shows

`t` is the simulator's `now` (monotonic seconds): processes that share a machine share it too.

What is not in the table of the patient has a made-up number of its own inside the range of the profile's row: enough to
see that a value ends up in its place.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import floor, isnan, pi, sin
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.core.courses import COURSES
from gateway.core.nomenclature import nomenclature
from gateway.core.profile import MetricSpec
from gateway.core.units import linear

EPOCH_NS = 1_767_225_600_000_000_000  # 2026-01-01 00:00 UTC: what the clock of a simulated device shows at t = 0
EPISODE_S = 60.0  # a cuff measures, a spot thermometer is used, an analyser has a result so often
FIRST_EPISODE_S = 5.0
ALARM_EVERY_S, ALARM_FOR_S = 40.0, 10.0  # a simulated alert comes so often and lasts so long


class _Bump(NamedTuple):
    """Part of one heart beat or breath: place in the cycle (0 to 1), width, height."""

    at: float
    width: float
    height: float


_ECG = (  # P, Q, R, S, T of lead II in mV: a sketch
    _Bump(0.18, 0.025, 0.12),
    _Bump(0.27, 0.008, -0.10),
    _Bump(0.30, 0.010, 1.10),
    _Bump(0.33, 0.010, -0.20),
    _Bump(0.55, 0.050, 0.30),
)
_PULSE = (_Bump(0.50, 0.100, 0.60), _Bump(0.78, 0.080, 0.20))  # with its dicrotic notch, 0 to about 0.6
_BREATH = (_Bump(0.30, 0.120, 1.0),)


@dataclass(frozen=True, slots=True)
class Table:
    """Recorded values: times (n,) s, ascending; columns: ref id -> (unit, values (n,), NaN = none)."""

    times: Sequence[float]
    columns: Mapping[str, tuple[str, Sequence[float]]]


@dataclass(frozen=True)
class Scene:
    """See the module text.

    seed: everything by chance comes from it; fixed: ref id -> number in the unit of its course (None: not measured);
    table: recorded values, taken before the courses; begin: `now` at which the table begins;
    nothing: nothing is measured: every probe is off; still: nothing moves, every number is that of t = 0
    """

    seed: int = 0
    fixed: Mapping[str, float | None] = field(default_factory=dict)
    table: Table | None = None
    begin: float = 0.0
    nothing: bool = False
    still: bool = False

    def value(self, ref_id: str, t: float, unit: str = "") -> float | None:
        """Return the value in `unit` (UCUM text or MDC_DIM_ id; "" = the unit of its course), None when there is none.

        Raises: KeyError when the scene does not know the term; ValueError when the unit has another dimension.
        """
        if self.nothing:
            return None
        found = self._recorded(ref_id, t)
        if found is None:
            course = COURSES[ref_id]
            if ref_id in self.fixed:
                found = (course.unit, self.fixed[ref_id])
            else:
                phase = Random(f"{self.seed} {course.period_s}").random()
                swing = 0.0 if self.still else course.swing
                found = (course.unit, course.base + swing * sin(2 * pi * (t / course.period_s + phase)))
        own, number = found
        if number is None:
            return None
        if own == "%" and ref_id in _SATURATIONS:
            number = min(number, 100.0)
        if not unit or unit == own:
            return number
        scale, offset = linear(own, _ucum(unit))
        return number * scale + offset

    def raw(self, spec: MetricSpec, t: float) -> float | None:
        """Return the number that stands on the wire for a row of a profile, not yet rounded; None = no value.

        An enumeration gives one of its raw numbers after the other, 2 s each.
        """
        if self.nothing:
            return None
        if spec.kind == "enumeration":
            numbers = [raw for raw, _ in spec.values if not isinstance(raw, str)]
            return float(numbers[self._turn(t) % len(numbers)]) if numbers else None
        unit = spec.raw_unit or spec.unit
        try:
            number = self.value(spec.id, t, unit)
        except (KeyError, ValueError):
            number = self._made_up(spec)
            if spec.raw_unit:
                scale, offset = linear(_ucum(spec.unit), _ucum(spec.raw_unit))
                number = number * scale + offset
        return None if number is None else (number - spec.offset) / spec.scale

    def word(self, spec: MetricSpec, t: float) -> str | None:
        """Return the word that stands on the wire for an enumeration with words, one after the other, 2 s each."""
        words = [raw for raw, _ in spec.values if isinstance(raw, str)]
        return None if self.nothing or not words else words[self._turn(t) % len(words)]

    def wave(self, ref_id: str, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return a waveform at `times` (n,) s: mV for an ECG, physical units for the others; NaN when nothing is there.

        Beats and breaths follow the drifting rates exactly (the phase is the integral of the rate).
        """
        if self.nothing:
            return np.full(len(times), np.nan)
        if self.still:
            times = np.zeros_like(times)
        name = ref_id.upper()
        if "ECG" in name:
            return _shape(self._cycles("MDC_ECG_HEART_RATE", times), _ECG)
        if "CO2" in name:
            return 38 * _shape(self._cycles("MDC_RESP_RATE", times), _BREATH)
        if "PRESS_BLD_ART" in name:
            return 71 + 82 * _shape(self._cycles("MDC_ECG_HEART_RATE", times), _PULSE)
        if "PRESS_AWAY" in name:
            return 6 + 16 * _shape(self._cycles("MDC_RESP_RATE", times), _BREATH)
        if "FLOW" in name or "RESP" in name or "VOL" in name:
            return np.asarray(30 * np.sin(2 * pi * self._cycles("MDC_RESP_RATE", times)))
        return _shape(self._cycles("MDC_ECG_HEART_RATE", times), _PULSE)

    def measured_at(self, ref_id: str, t: float) -> float | None:
        """Return when an episodic value was last measured, None when not yet. Every term has its own minute."""
        if self.nothing:
            return None
        shift = Random(f"{self.seed} {ref_id[:20]}").random()  # the three numbers of one cuff share their beginning
        cycles = floor((t - FIRST_EPISODE_S - shift) / EPISODE_S)
        return FIRST_EPISODE_S + shift + cycles * EPISODE_S if cycles >= 0 else None

    def alert(self, ref_id: str, t: float) -> int:
        """Return 2 while the term is said to be out of its limits, else 0: ten seconds in each forty, each its own."""
        shift = ALARM_FOR_S * floor(Random(f"{self.seed} alert {ref_id}").random() * 3)
        return 2 if not self.nothing and (t + shift) % ALARM_EVERY_S >= ALARM_EVERY_S - ALARM_FOR_S else 0

    def utc_ns(self, t: float) -> int:
        """Return what the clock of a device shows at `t`, ns since 1970."""
        return EPOCH_NS + round(t * 1e9)

    def _recorded(self, ref_id: str, t: float) -> tuple[str, float | None] | None:
        """Return (unit, number or None) when the table has the term."""
        if self.table is None or ref_id not in self.table.columns:
            return None
        unit, values = self.table.columns[ref_id]
        row = bisect_right(self.table.times, t - self.begin) - 1
        number = values[row] if row >= 0 else float("nan")
        return unit, None if isnan(number) else number

    def _turn(self, t: float) -> int:
        return 0 if self.still else floor(t / 2)

    def _made_up(self, spec: MetricSpec) -> float:
        low, high = spec.range or (0.0, 100.0)
        return round(low + (high - low) * (0.2 + 0.6 * Random(f"{self.seed} {spec.id} {spec.path}").random()), 1)

    def _cycles(self, rate: str, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return where in its cycle the heart or the breath is, 0 to 1."""
        course = COURSES[rate]
        fixed = self.fixed.get(rate)
        base, swing = (course.base, course.swing) if fixed is None else (fixed, 0.0)
        phase = Random(f"{self.seed} {course.period_s}").random()
        turns = 2 * pi * (times / course.period_s + phase)
        turned = base / 60 * times - swing * course.period_s / (120 * pi) * (np.cos(turns) - np.cos(2 * pi * phase))
        return np.asarray(turned % 1.0)


def _ucum(unit: str) -> str:
    known = nomenclature().units.get(unit)
    return known.ucum if known else unit


_SATURATIONS = frozenset({"MDC_PULS_OXIM_SAT_O2", "MDC_SAT_O2"})


def _shape(place: npt.NDArray[np.float64], bumps: Sequence[_Bump]) -> npt.NDArray[np.float64]:
    total = np.zeros_like(place)
    for bump in bumps:
        total += bump.height * np.exp(-0.5 * ((place - bump.at) / bump.width) ** 2)
    return total
