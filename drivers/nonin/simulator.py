"""The oximeter at the other end, without I/O: it sends what the rows of its profile ask for, measured in the scene.

It puts its own frames together and shares nothing with the readers of the driver.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from drivers.nonin.options import format_of
from gateway.core.errors import ConfigError
from gateway.core.profile import MetricSpec
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene

REVISION = 0x30  # firmware of the published test packet
CATCH_UP_S = 10.0  # after a longer pause what is older is gone, as on a real line
BEAT = 0.3  # the pulse wave of the scene is above it for about 12 of 75 frames at each beat
COLOURS = {"green": 0x02, "yellow": 0x06, "red": 0x04}
SPOT_EVERY_S, FIRST_SPOT_S = 10.0, 2.0
NO_VALUES = {"SNSD", "SNSA"}
NO_VALUES_S = 2.0


class Patient:
    """The rows of the profile, asked by the protocol's own names."""

    def __init__(self, device: DeviceSpec, scene: Scene) -> None:
        self.scene = scene
        self.rows: dict[Any, MetricSpec] = {
            metric.object: metric for channel in device.profile.channels for metric in channel.metrics
        }

    def number(self, names: Iterable[str], t: float, none: int, most: int) -> int:
        """Return the whole number that stands for the first of `names` that has a row; `none` when it has no value."""
        spec = next((self.rows[name] for name in names if name in self.rows), None)
        raw = None if spec is None else self.scene.raw(spec, t)
        return none if raw is None else min(max(round(raw), 0), most)

    def is_set(self, name: str, t: float) -> bool:
        """Tell whether a state with the numbers 0 and 1 is 1."""
        return name in self.rows and self.scene.raw(self.rows[name], t) == 1

    def word(self, name: str, t: float) -> str:
        return (name in self.rows and self.scene.word(self.rows[name], t)) or ""

    def alarms(self, name: str, t: float) -> bool:
        """Tell whether an alert is on. One that takes the values away is short, so that there are values to see."""
        if name not in self.rows or not self.scene.alert(self.rows[name].id, t):
            return False
        return name not in NO_VALUES or not self.scene.alert(self.rows[name].id, t - NO_VALUES_S)

    def wave(self, name: str, times: Sequence[float], most: int) -> list[int]:
        """Return raw counts of a waveform; 0 where there is nothing."""
        spec = self.rows.get(name)
        if spec is None or self.scene.nothing:
            return [0] * len(times)
        raw = self.scene.wave(spec.id, np.array(times)) / spec.scale
        return [int(count) for count in np.clip(np.round(raw), 0, most)]


def packet_frames(patient: Patient, t: float, number: int, wide: bool) -> bytes:
    """Return one packet of data format 2, or 7 when `wide`: 25 frames that end at `t`."""
    rate = patient.number(("HR-D", "E-HR-D", "HR", "E-HR"), t, 511, 510)
    saturation = patient.number(("SpO2-D", "E-SpO2-D", "SpO2", "E-SpO2", "SpO2 Fast", "SpO2 B-B"), t, 127, 100)
    floats = [0] * 25
    for first in (1, 14, 20, 22):  # frames are counted from 1, as in the specification
        floats[first - 1 : first + 1] = [rate >> 7, rate & 0x7F]
    for frame in (3, 9, 10, 11, 16, 17):
        floats[frame - 1] = saturation
    floats[3] = REVISION
    floats[5:7] = [number >> 7 & 0x7F, number & 0x7F]
    floats[7] = patient.is_set("SPA", t) << 5 | patient.alarms("LOW BAT", t)
    status = 0x80 | patient.alarms("SNSA", t) << 3 | patient.alarms("OOT", t) << 4 | patient.alarms("SNSD", t) << 6
    if patient.scene.nothing:
        status |= 0x48 if "SNSD" in patient.rows else 0x08
    times = [t - (24 - i) / 75 for i in range(25)]
    pleth = patient.wave("PLETH", times, 65535 if wide else 255)
    beating = patient.scene.wave("MDC_PULS_OXIM_PLETH", np.array(times)) > BEAT
    colour = COLOURS.get(patient.word("PRF", t), 0)
    out = bytearray()
    for i in range(25):
        state = status | (colour if beating[i] else 0) | (i == 0)
        body = [state, pleth[i] >> 8, pleth[i] & 0xFF, floats[i]] if wide else [1, state, pleth[i], floats[i]]
        out += bytes([*body, sum(body) % 256])
    return bytes(out)


def df2(patient: Patient, t: float, number: int) -> bytes:
    return packet_frames(patient, t, number, wide=False)


def df7(patient: Patient, t: float, number: int) -> bytes:
    return packet_frames(patient, t, number, wide=True)


def df8(patient: Patient, t: float, _number: int) -> bytes:
    """Return one record of data format 8."""
    rate = patient.number(("HR",), t, 511, 510)
    saturation = patient.number(("SpO2",), t, 127, 100)
    perfusion = {"low": 0x10, "marginal": 0x08}.get(patient.word("PRF", t), 0)
    finger_off = patient.scene.nothing or patient.alarms("SNSA", t)
    extra = patient.is_set("SPA", t) << 5 | finger_off << 3 | patient.alarms("LOW BAT", t)
    return bytes([0x80 | patient.alarms("OOT", t) << 5 | perfusion | rate >> 7, rate & 0x7F, saturation, extra])


def df13(patient: Patient, t: float, _number: int) -> bytes:
    """Return one spot check, measured at `t`."""
    moment = datetime.fromtimestamp(patient.scene.utc_ns(t) // 1_000_000_000, UTC)
    rate = patient.number(("HR",), t, 511, 510)
    saturation = patient.number(("SpO2",), t, 127, 100)
    status = patient.is_set("SPA", t) << 9 | patient.scene.nothing << 8 | patient.alarms("LOW BAT", t)
    data = bytes.fromhex(moment.strftime("%Y%m%d%H%M%S00")) + status.to_bytes(2) + rate.to_bytes(2)
    data += bytes([0, saturation])
    return b"\x00\x02\x00\x0d" + len(data).to_bytes(2) + data + bytes([sum(data) % 256, 3])


def line(patient: Patient, t: float, _number: int) -> bytes:
    """Return one line of an older monitor."""
    values = [patient.number((name,), t, -1, 999) for name in ("SPO2", "HR")]
    saturation, rate = ("---" if value < 0 else f"{value:03d}" for value in values)
    marks = "".join(mark for mark, name in (("F", "F"), ("B", "B"), ("*", "event")) if patient.is_set(name, t))
    return f"SPO2={saturation} HR={rate} {marks}".rstrip().encode() + b"\r\n"


_SAYS: Mapping[str, tuple[float, Callable[[Patient, float, int], bytes]]] = {
    "df2": (1 / 3, df2),
    "df7": (1 / 3, df7),
    "df8": (1.0, df8),
    "df13": (SPOT_EVERY_S, df13),
    "ascii": (1.0, line),
}


class NoninOximeter:
    """One oximeter (gateway.core.protocol.Simulator). It hears nothing."""

    def __init__(self, device: DeviceSpec, scene: Scene) -> None:
        self._patient = Patient(device, scene)
        name = format_of(device.profile.driver_table).format
        self._every_s, self._say = _SAYS[name]
        self._first_s = FIRST_SPOT_S if name == "df13" else 0.0
        self._next: int | None = None

    def receive_data(self, data: bytes, now: float) -> None:
        """Nothing that is written to it changes what it sends."""

    def data_to_send(self, now: float) -> bytes:
        """Return what it has said by now."""
        due = math.floor((now - self._first_s) / self._every_s + 1e-6)
        first = due if self._next is None else max(self._next, due - int(CATCH_UP_S / self._every_s))
        self._next = due + 1
        numbers = (n for n in range(first, due + 1) if n >= 0)
        return b"".join(self._say(self._patient, self._first_s + n * self._every_s, n) for n in numbers)

    def next_wake(self) -> float | None:
        """Return when the next packet, record or line is due."""
        return None if self._next is None else self._first_s + self._next * self._every_s


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> NoninOximeter:
    """Build the oximeter of one line. Raises: ConfigError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a Nonin oximeter has a line of its own")
    if options:
        raise ConfigError(f"unknown option {next(iter(options))!r}", hint="this simulator has none")
    return NoninOximeter(devices[0], scene)
