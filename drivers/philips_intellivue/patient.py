"""The simulated patient: a small, smooth model that is a pure function of (seed, time).

Each value drifts around its start value on its own sine. Heart beats follow the drifting rate exactly (the phase is
its integral), so numerics and waves agree. The numbers of the tables are those a monitor sends: physio ids, labels,
unit codes, scales (protocol notes sections 11 and 12).
"""

from __future__ import annotations

from math import cos, floor, pi, sin
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.philips_intellivue.options import Scenario

DRIFT = {  # swing, period in s
    "hr": (3.0, 61.0),
    "pvc": (0.0, 60.0),
    "st1": (0.1, 97.0),
    "spo2": (1.0, 43.0),
    "perf": (0.4, 37.0),
    "rr": (1.5, 53.0),
    "sys": (5.0, 71.0),
    "dia": (3.0, 67.0),
    "temp": (0.1, 599.0),
    "etco2": (2.0, 47.0),
}
FIRST_NBP_S = 5.0


class Numeric(NamedTuple):
    """One numeric object: values are (physio id, name in the model, decimals)."""

    handle: int
    label: int
    unit: int
    values: tuple[tuple[int, str, int], ...]
    episodic: bool = False
    of_ecg: bool = False


NUMERICS = (
    Numeric(0x82A5, 0x0002_4182, 0x0AA0, ((0x4182, "hr", 0),), of_ecg=True),
    Numeric(0x82B8, 0x0002_4261, 0x0AA0, ((0x4261, "pvc", 0),), of_ecg=True),
    Numeric(0x82B1, 0x0002_0300, 0x0512, ((0x0301, "st1", 1),), of_ecg=True),
    Numeric(0x83B5, 0x0002_4BB8, 0x0220, ((0x4BB8, "spo2", 1),)),
    Numeric(0x83BC, 0x0002_4822, 0x0AA0, ((0x4822, "hr", 0),)),
    Numeric(0x83C3, 0x0002_4BB0, 0x0200, ((0x4BB0, "perf", 1),)),
    Numeric(0x8301, 0x0002_500A, 0x0AE0, ((0x500A, "rr", 0),)),
    Numeric(0x8311, 0x0002_4A14, 0x0F20, ((0x4A15, "sys", 0), (0x4A16, "dia", 0), (0x4A17, "map", 0))),
    Numeric(0x8312, 0x8003_5402, 0x0AA0, ((0x480A, "hr", 0),)),  # "Pulse from ABP"
    Numeric(0x8268, 0x0002_4A04, 0x0F20, ((0x4A05, "nbps", 0), (0x4A06, "nbpd", 0), (0x4A07, "nbpm", 0)), True),
    Numeric(0x8321, 0x0002_4B48, 0x17A0, ((0x4B48, "temp", 1),)),
    Numeric(0x8331, 0x0002_50AC, 0x0F20, ((0x50B0, "etco2", 0), (0x50BA, "imco2", 0))),
    Numeric(0x8332, 0x0002_5012, 0x0AE0, ((0x5012, "rr", 0),)),
)


class WaveForm(NamedTuple):
    """One wave object. bits: significant; scale: lower and upper, physical and as counts; digits of the former."""

    handle: int
    label: int
    physio_id: int
    unit: int
    period_ticks: int
    samples: int
    bits: int
    flags: int
    scale: tuple[float, float, int, int]
    digits: int
    of_ecg: bool


WAVES = (
    WaveForm(0x02A0, 0x0002_0102, 0x0102, 0x10B2, 16, 128, 14, 0x3000, (-40.96, 40.955, 0, 16383), 3, True),
    WaveForm(0x03BA, 0x0002_4BB4, 0x4BB4, 0x0200, 64, 32, 12, 0x8000, (0.0, 1.0, 0, 4095), 0, False),
)


class Alert(NamedTuple):
    """One entry of an alert list. `kind` is al_type: 1, 2, 4 technical low to high, times 0x100 for patient alerts."""

    source: int
    code: int
    kind: int


class Patient:
    """Values at a time in seconds."""

    def __init__(self, scenario: Scenario) -> None:
        self._drift = {
            name: (float(getattr(scenario, name)), swing, period, Random(f"{scenario.seed} {name}").random())
            for name, (swing, period) in DRIFT.items()
        }
        self._nbp_cycle_s = scenario.nbp_cycle_s

    def value(self, name: str, t: float) -> float | None:
        """Return a value of the model, None when there is none (the cuff has not measured yet)."""
        if name.startswith("nbp"):
            measured = self.nbp_at(t)
            return None if measured is None else self.value({"s": "sys", "d": "dia", "m": "map"}[name[3]], measured)
        if name == "imco2":
            return 0.0  # nothing is breathed in again
        if name == "map":
            return (self._at("sys", t) + 2 * self._at("dia", t)) / 3
        value = self._at(name, t)
        return min(value, 100.0) if name == "spo2" else value

    def nbp_at(self, t: float) -> float | None:
        """Return when the cuff last measured."""
        cycles = floor((t - FIRST_NBP_S) / self._nbp_cycle_s)
        return FIRST_NBP_S + cycles * self._nbp_cycle_s if cycles >= 0 else None

    def wave(self, wave: WaveForm, t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return physical values at times `t`, shape (n,)."""
        base, swing, period, phase = self._drift["hr"]
        turns = 2 * pi * (t / period + phase)
        beats = base / 60 * t - swing * period / (120 * pi) * (np.cos(turns) - cos(2 * pi * phase))
        return _beat(beats % 1.0, _ECG_II if wave.of_ecg else _PLETH)

    def alerts(self, t: float, leads_off: bool) -> list[Alert]:
        """Return what alarms. Event codes: protocol notes section 14."""
        found = []
        if leads_off:
            found.append(Alert(0x4182, 0x0112, 0x0002))  # LEADS_OFF, technical, medium
        elif self._at("hr", t) > 120:
            found.append(Alert(0x4182, 0xF148, 0x0400))  # TACHY, patient, high
        if self._at("spo2", t) < 85:
            found.append(Alert(0x4BB8, 0x0CAE, 0x0400))  # DESAT, patient, high
        elif self._at("spo2", t) < 90:
            found.append(Alert(0x4BB8, 0x003E, 0x0200))  # LO, patient, medium
        return found

    def _at(self, name: str, t: float) -> float:
        base, swing, period, phase = self._drift[name]
        return base + swing * sin(2 * pi * (t / period + phase))


# (place in the beat, width, height): a sketch of P, Q, R, S, T in mV, and of a pulse with its dicrotic notch
_ECG_II = ((0.18, 0.025, 0.12), (0.27, 0.008, -0.10), (0.30, 0.010, 1.10), (0.33, 0.010, -0.20), (0.55, 0.050, 0.30))
_PLETH = ((0.50, 0.100, 0.60), (0.78, 0.080, 0.20))


def _beat(place: npt.NDArray[np.float64], parts: tuple[tuple[float, float, float], ...]) -> npt.NDArray[np.float64]:
    wave = np.zeros_like(place)
    for centre, width, height in parts:
        wave += height * np.exp(-0.5 * ((place - centre) / width) ** 2)
    return wave
