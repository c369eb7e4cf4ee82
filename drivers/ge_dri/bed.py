"""What the simulated monitor measures: the classes of values, the waves and the alarms of one moment.

Everything comes from the rows of the profile and from the scene: a field is filled when the profile has a row for it,
and holds DATA_INVALID otherwise. Where one place of a record can hold several rows, one after the other has its turn,
TURN_S each: labels of the upper pressure and temperature channels, anaesthetic agents, modes, states.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from math import floor, isnan

import numpy as np

from drivers.ge_dri import layout
from drivers.ge_dri.layout import Group
from gateway.core.profile import MetricSpec, Profile
from gateway.core.scene import Scene
from gateway.core.units import linear

TURN_S = 5.0  # the shortest interval of displayed values: every turn is seen
CO_TURNS = 6  # so many turns by bolus, then so many continuously: a bolus takes its time
_INVALID = -32767
_MARKED_OLD_S = 60
_PRESSURES = [f"p{n}" for n in range(1, 9)]
_TEMPERATURES = [f"t{n}" for n in range(1, 7)]


class Bed:
    """The measuring side of the monitor. `t` is the simulator's `now`."""

    def __init__(self, profile: Profile, scene: Scene) -> None:
        self._scene = scene
        metrics = [metric for channel in profile.channels for metric in channel.metrics]
        self._rows = {str(metric.object): metric for metric in metrics if metric.frame == "numeric"}
        self._waves = {str(metric.object): metric for metric in metrics if metric.frame == "wave"}
        self._conditions = {str(metric.object): metric for metric in metrics if metric.frame == "status"}
        self._alarm = next((metric for metric in metrics if metric.frame == "alarm"), None)
        self._pressure_sites = self._sites(layout.PRESSURE_LABELS)
        self._temperature_sites = self._sites(layout.TEMPERATURE_LABELS)

    def clock_s(self, t: float) -> int:
        """Return what the monitor's clock shows."""
        return self._scene.utc_ns(t) // 1_000_000_000

    def values(self, number: int, t: float) -> bytes:
        """Return the 270 bytes of a class."""
        data = bytearray(layout.CLASS_BYTES)
        for group in layout.CLASSES[number]:
            at = group.at - layout.CLASS_AT
            if not group.bare:
                struct.pack_into("<IH", data, at, 3 | self._status(group, t), self._label(group, t))
                at += layout.GROUP_HEADER_BYTES
            for i, field in enumerate(group.fields):
                struct.pack_into("<h", data, at + 2 * i, self._field(group, field, t))
        if number == 1:
            bits = self._condition_bits("arrhythmia", dict(enumerate(layout.ARRHYTHMIAS)), t)
            struct.pack_into("<I", data, layout.ARRHYTHMIA_AT - layout.CLASS_AT, bits)
        return bytes(data)

    def auxiliary(self, t: float) -> bytes:
        """Return the auxiliary record's 114 bytes."""
        times = [self._measured_at(name, t) for name in ("nibp.sys", "co_wedge.co", "co_wedge.pcwp")]
        nibp, co, pcwp = (0 if at is None else self.clock_s(at) for at in times)
        return struct.pack("<IhIIh98x", nibp, 0, co, pcwp, self._raw("pat_bsa", t))

    def samples(self, name: str, first: int, count: int) -> tuple[int, bytes]:
        """Return (status, samples) of a wave from its sample number `first` on."""
        spec, wave = self._waves.get(name), layout.WAVES[name]
        if spec is None or self._scene.nothing:
            return 8, struct.pack("<h", _INVALID) * count  # lead off
        physical = self._scene.wave(spec.id, np.arange(first, first + count) / wave.rate)
        scale, offset = linear(spec.unit, spec.raw_unit or spec.unit)
        raw = np.nan_to_num((physical * scale + offset) / spec.scale, nan=_INVALID)
        return 0, raw.round().clip(_INVALID, 32767).astype("<i2").tobytes()

    def alarms(self, t: float) -> bytes:
        """Return the alarm record's 510 bytes: one line while the scene alarms."""
        color = 0 if self._alarm is None else self._scene.alert(self._alarm.id, t)
        text = b"SIMULATED ALARM" if color else b""
        line = struct.pack("<80shhh12x", text, 0, color, 0)
        sound, silence = self._code("alarm.sound", t), self._code("alarm.silence", t)
        return struct.pack("<hh4xh", 0, sound, silence) + line + bytes(4 * 98 + 10)

    # ---- what stands in a group

    def _turn(self, t: float) -> int:
        return 0 if self._scene.still else floor(t / TURN_S)

    def _code(self, name: str, t: float) -> int:
        """Return a state: one code of the row after the other."""
        spec = self._rows.get(name)
        codes = [] if spec is None else [int(raw) for raw, _ in spec.values]
        return codes[self._turn(t) % len(codes)] if codes else 0

    def _condition_bits(self, group: str, words: Mapping[int, str], t: float) -> int:
        rows = {bit: self._conditions.get(f"{group}.{word}") for bit, word in words.items()}
        return sum(1 << bit for bit, spec in rows.items() if spec is not None and self._scene.alert(spec.id, t))

    def _status(self, group: Group, t: float) -> int:
        bits = self._condition_bits(group.name, layout.CONDITIONS.get(group.name, {}), t)
        if group.name in ("ecg", "arrh_ecg"):
            bits |= self._code("ecg.hr_source", t) << 3 | self._code("ecg.pacer", t) << 10
        if group.name == "arrh_ecg":
            bits |= self._code("arrh_ecg.level", t) << 15
        if group.name == "flow_vol":
            bits |= self._code("flow_vol.tv_base", t) << 8
        if group.name == "nmt":
            bits |= self._code("nmt.mode", t) << 2 | (0 if self._scene.nothing else 2 << 4)  # pulses of 200 us
        return bits

    def _label(self, group: Group, t: float) -> int:
        name = group.name
        if name in _PRESSURES:
            return layout.PRESSURE_LABELS.index(self._site(name, t))
        if name in _TEMPERATURES:
            return layout.TEMPERATURE_LABELS.index(self._site(name, t))
        if name == "ecg":
            return sum(self._code(f"ecg.lead{n}", t) << shift for n, shift in ((1, 8), (2, 4), (3, 0)))
        if name == "nibp":
            states = ("auto", "stat", "measuring", "stasis", "calibrating")
            bits = sum(self._code(f"nibp.{state}", t) << bit for bit, state in enumerate(states, 3))
            return bits | self._is_old("nibp.sys", t) << 8
        if name in ("SpO2", "SpO2_ch2"):
            return self._turn(t) % len(layout.SATURATIONS)
        if name == "co2":
            return 1 | 1 << 3  # rate and fraction are of CO2, as in the B650 recording
        if name == "aa":
            return self._code("aa.agent", t)
        if name == "co_wedge":
            old = self._is_old("co_wedge.co", t) | self._is_old("co_wedge.pcwp", t) << 1
            return old | (layout.CO_CONTINUOUS if self._is_continuous(t) else layout.CO_BOLUS) << 2
        return 0

    def _field(self, group: Group, field: str, t: float) -> int:
        name = group.name
        if name in _PRESSURES + _TEMPERATURES:
            return self._raw(f"{self._site(name, t)}.{field}", t)
        if name in ("ecg", "arrh_ecg") and field == "hr":
            by_pulse = self._code("ecg.hr_source", t) not in (layout.HR_SOURCE_NONE, *layout.HR_FROM_ECG)
            return self._raw(f"{name}.hr_pulse" if by_pulse else f"{name}.hr", t)
        if name in ("SpO2", "SpO2_ch2") and field == "SO2":
            return self._raw(f"{name}.{layout.SATURATIONS[self._label(group, t)]}", t)
        if name == "aa" and field != "mac_sum":
            agent = layout.AGENTS[self._label(group, t)]
            return self._raw(f"aa.{field}" if agent in ("unknown", "none") else f"{agent}.{field}", t)
        if name == "co_wedge" and field == "co" and self._is_continuous(t):
            return self._raw("co_wedge.cco", t)
        if name == "nmt" and field == "tratio":
            ratios = {layout.NMT_TOF: "tof_ratio", layout.NMT_DBS: "dbs_ratio"}
            return self._raw(f"nmt.{ratios.get(self._code('nmt.mode', t), '')}", t)
        if name == "nmt" and field == "ptc":
            parts = [self._raw(f"nmt.{part}", t) for part in ("ptc", "count", "current")]
            held = parts[0] | parts[1] << 5 | parts[2] << 9
            return _INVALID if _INVALID in parts else held - (held >> 15 << 16)
        return self._raw(f"{name}.{field}", t)

    def _raw(self, name: str, t: float) -> int:
        spec = self._rows.get(name)
        at = t if spec is None or not spec.episodic else self._measured_at(name, t)
        number = None if spec is None or at is None else self._scene.raw(spec, at)
        return _INVALID if number is None or isnan(number) else min(max(round(number), -32000), 32767)

    # ---- episodes, sites

    def _measured_at(self, name: str, t: float) -> float | None:
        """Return when the measurement was made; the numbers of one cuff share the time of its systolic."""
        group, field = name.split(".")
        spec: MetricSpec | None = self._rows.get("nibp.sys" if group == "nibp" else f"{group}.{field}")
        return None if spec is None else self._scene.measured_at(spec.id, t)

    def _is_old(self, name: str, t: float) -> int:
        at = self._measured_at(name, t)
        return int(at is not None and t - at > _MARKED_OLD_S)

    def _is_continuous(self, t: float) -> bool:
        return self._turn(t) // CO_TURNS % 2 == 1

    def _sites(self, labels: tuple[str, ...]) -> list[str]:
        """Return the labels that the profile has rows for."""
        return [label for label in labels if any(name.startswith(f"{label}.") for name in self._rows)]

    def _site(self, name: str, t: float) -> str:
        """Return the label of a channel: the lower ones keep theirs, the upper four take turns."""
        channels, sites = (
            (_PRESSURES, self._pressure_sites) if name in _PRESSURES else (_TEMPERATURES, self._temperature_sites)
        )
        fixed, number = len(channels) - 4, channels.index(name)
        if number < fixed:
            return sites[number]
        rest = sites[fixed:]
        return rest[(self._turn(t) * 4 + number - fixed) % len(rest)]
