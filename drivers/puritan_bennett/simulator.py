"""The ventilator at the other end: it answers SNDA or SNDF, or sends breath after breath on its waveform port.

What it measures comes from the scene, by way of the profile's rows. Reports are laid out here from the widths and
counts of the manuals, apart from the driver, which cuts at commas: each would notice the other's error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import floor
from typing import Any

import numpy as np
import numpy.typing as npt

from drivers.puritan_bennett.protocol import WAVES, speaks
from gateway.core.errors import ConfigError
from gateway.core.profile import MetricSpec
from gateway.core.protocol import DeviceSpec, Simulator
from gateway.core.scene import Scene

# report -> bytes and fields as announced, last field, words of an alarm by priority; field -> width where it is not 6
HEADS = {"SNDA": ("MISCA,706,97,", 101), "SNDF": ("MISCF,1225,169,", 173)}
WIDTHS = {"SNDA": {6: 18, 8: 12, 62: 12}, "SNDF": {6: 18, 7: 12, 8: 9, 53: 18, 55: 9, 66: 9, 156: 9}}
ALARMS = {"SNDA": ("NORMAL", "ALARM", "ALARM", "ALARM"), "SNDF": ("NORMAL", "LOW", "MEDIUM", "HIGH")}
DATES = {"SNDA": (8, 62), "SNDF": (7,)}
TIMES = {"SNDA": (5, 60), "SNDF": (5,)}
TOO_LONG_INSPIRATION = 95  # of MISCF: an alarm among the measured values, with a word of its own
SERIAL = "3510012345"  # the notes' worked example
STEP_S, LOOK_S = 0.02, 0.1  # a sample of the waveform port; how often it looks whether a breath has ended


class Ventilator:
    """The report port of one ventilator."""

    def __init__(self, device: DeviceSpec, said: str, scene: Scene) -> None:
        specs = [spec for channel in device.profile.channels for spec in channel.metrics]
        self._rows = {spec.object: spec for spec in specs if isinstance(spec.object, int)}
        self._said = said
        self._scene = scene
        self._model = "".join(filter(str.isdecimal, device.profile.model))
        self._heard = b""
        self._out = b""

    def receive_data(self, data: bytes, now: float) -> None:
        """Take commands; each ends with CR, and RSET has no answer."""
        *commands, self._heard = (self._heard + data).split(b"\r")
        self._heard = self._heard[-16:]
        for command in commands:
            if command == self._said.encode():
                self._out += self._report(now)

    def data_to_send(self, now: float) -> bytes:  # noqa: ARG002  # the contract's signature
        """Return the answers."""
        out, self._out = self._out, b""
        return out

    def next_wake(self) -> float | None:
        """Return None: it speaks when it is asked."""
        return None

    def _report(self, now: float) -> bytes:
        head, last = HEADS[self._said]
        widths = WIDTHS[self._said]
        fields = [f"{self._text(n, now):<{widths.get(n, 6)}}," for n in range(5, last + 1)]
        return f"{head}\x02{''.join(fields)}\x03\r".encode()

    def _text(self, number: int, now: float) -> str:
        clock = datetime.fromtimestamp(self._scene.utc_ns(now) // 1_000_000_000, UTC)
        if number in TIMES[self._said]:
            return f"{clock:%H:%M}"
        if number in DATES[self._said]:
            return f"{_MONTHS[clock.month - 1]} {clock:%d %Y}"
        if number == 6:
            return f"{self._model} {SERIAL}"
        spec = self._rows.get(number)
        if spec is None:
            return ""
        if spec.kind == "alert":
            return self._alarm(spec, now)
        if spec.kind == "enumeration":
            return self._scene.word(spec, now) or ""
        raw = self._scene.raw(spec, now)
        return "" if raw is None else number_text(raw)

    def _alarm(self, spec: MetricSpec, now: float) -> str:
        priority = self._scene.alert(spec.id, now)
        if priority and (self._said, spec.object) == ("SNDF", TOO_LONG_INSPIRATION):
            return "ALERT"
        return ALARMS[self._said][priority]


class WaveformPort:
    """The waveform port of one ventilator: a breath is what lies between two upward zero crossings of the flow."""

    def __init__(self, device: DeviceSpec, scene: Scene) -> None:
        specs = [spec for channel in device.profile.channels for spec in channel.metrics]
        self._ids = {spec.object: spec.id for spec in specs if spec.kind == "waveform"}
        self._scene = scene
        self._moving = replace(scene, still=False)  # breaths go on even where every number stands still
        self._number = 0
        self._begin: int | None = None  # first sample of the breath under way, counted in STEP_S from now = 0
        self._next: int | None = None  # first sample that has not been looked at

    def receive_data(self, data: bytes, now: float) -> None:
        """Take nothing: the port only speaks."""

    def data_to_send(self, now: float) -> bytes:
        """Return the breaths that have ended by now."""
        end = floor(now / STEP_S + 1e-6)
        first = end if self._next is None else self._next
        flow = self._moving.wave(self._ids["flow"], _times(first - 1, end + 1))
        self._next = end + 1
        out = ""
        for turn in first + np.flatnonzero((flow[:-1] < 0) & (flow[1:] >= 0)):
            if self._begin is not None:
                out += self._breath(self._begin, int(turn))
            self._begin = int(turn)
        return out.encode()

    def next_wake(self) -> float | None:
        """Return when to look again."""
        return None if self._next is None else (self._next - 1) * STEP_S + LOOK_S

    def _breath(self, begin: int, end: int) -> str:
        flow, pressure = (self._scene.wave(self._ids[name], _times(begin, end)) for name in ("flow", "pressure"))
        self._number += 1
        pairs = "".join(f"{f:.1f},{p:.1f}\n" for f, p in zip(flow, pressure, strict=True))
        return f"BS, S:{self._number:03},\n{pairs}BE\n"


def _times(begin: int, end: int) -> npt.NDArray[np.float64]:
    return np.arange(begin, end, dtype=np.float64) * STEP_S


_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def number_text(value: float) -> str:
    """Write a number as the ventilator does: few digits, never more than a field of six holds."""
    size = abs(value)
    return f"{value:.{3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0}f}"


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> Simulator:  # noqa: ARG001
    """Return the port that the profile speaks of. Raises: ConfigError, ProfileError."""
    if len(devices) != 1:
        raise ConfigError(
            f"{len(devices)} devices on one line", hint="a port of the ventilator serves one gateway port"
        )
    said = speaks(devices[0])
    return WaveformPort(devices[0], scene) if said == WAVES else Ventilator(devices[0], said, scene)
