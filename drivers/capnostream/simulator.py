"""The monitor at the other end of the line, without I/O. What it measures comes from the scene, by the profile's rows.

It speaks while real time is on and a command has come within five seconds. Numerics come once a second, the CO2 curve
`rate` times a second (our choice: no source states the rate). All alarms of the profile ring at the times of the scene.
Frames are made and read by code of its own, so that each end is a check of the other.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from math import inf, isnan
from typing import Any

import numpy as np

from drivers.capnostream.options import Scenario
from drivers.capnostream.protocol import (
    ALARM_BITS,
    CO2_FIELDS,
    FAST_STATUS,
    FIELDS,
    LINK_ACTIVE,
    NO_VALUE,
    NUMERICS_BYTES,
    SLOW_STATUS,
    VOL_PERCENT,
)
from gateway.core.profile import MetricSpec, Profile
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.core.settings import build
from gateway.core.units import convert

IDENTITY = b"Capnostream20 simulator"
LINK_LOST_S = 5.0
_COMMAND = re.compile(rb"\x85\x01([\x01-\x06])(.)", re.DOTALL)
_UNITS = {1: "mm[Hg]", 2: "kPa", 3: "%"}


def frame(code: int, payload: bytes) -> bytes:
    """Return a frame as it travels."""
    body = bytes([len(payload) + 1, code]) + payload
    check = 0
    for byte in body:
        check ^= byte
    escaped = b"".join({0x80: b"\x80\x00", 0x85: b"\x80\x05"}.get(byte, bytes([byte])) for byte in (*body, check))
    return b"\x85" + escaped


class CapnostreamMonitor:
    """One monitor (gateway.core.protocol.Simulator)."""

    def __init__(self, profile: Profile, scenario: Scenario, scene: Scene) -> None:
        specs = [spec for channel in profile.resolve("") for spec in channel.metrics]
        self._specs: dict[int | str | None, MetricSpec] = {spec.object: spec for spec in specs}
        self._scenario = scenario
        self._scene = scene
        self._heard = b""
        self._out = b""
        self._link_until = -inf
        self._began: float | None = None  # real time: when it was switched on
        self._waves = self._seconds = 0  # sent since

    def receive_data(self, data: bytes, now: float) -> None:
        """Take commands. What is no command is skipped."""
        self._heard = (self._heard + data)[-64:]
        end = 0
        for match in _COMMAND.finditer(self._heard):
            end = match.end()
            code, check = match[1][0], match[2][0]
            if check == 1 ^ code:
                self._command(code, now)
        self._heard = self._heard[end:]

    def _command(self, code: int, now: float) -> None:
        self._link_until = now + LINK_LOST_S
        if code == 1:
            self._out += frame(4, IDENTITY)
        elif code == 4 and self._began is None:
            self._began, self._waves, self._seconds = now, 0, 0
        elif code in (2, 5):
            self._began = None
        elif code == LINK_ACTIVE[2]:
            pass  # the link is active: that is all it says
        elif code == 3:
            self._out += self._numerics(now)

    def data_to_send(self, now: float) -> bytes:
        """Return all that is due by now, in order."""
        while self._began is not None and (at := self._next_at()) <= now:
            if at > self._link_until:
                self._began = None
            elif at == self._second_at() and not self._scenario.asked:
                self._seconds += 1
                self._out += self._numerics(at)
            else:
                self._out += self._wave(at)
                self._waves += 1
        out, self._out = self._out, b""
        return out

    def next_wake(self) -> float | None:
        """Return when the next message is due."""
        return None if self._began is None else self._next_at()

    def _next_at(self) -> float:
        wave_at = (self._began or 0.0) + self._waves / self._scenario.rate
        return wave_at if self._scenario.asked else min(wave_at, self._second_at())

    def _second_at(self) -> float:
        return (self._began or 0.0) + self._seconds

    # ---- what it says

    def _wave(self, t: float) -> bytes:
        value = float(self._scene.wave("MDC_AWAY_CO2", np.array([t]))[0])
        status = sum(bit for bit, name in FAST_STATUS.items() if self._rings(name, t))
        if isnan(value):
            value, status = 0.0, status | 0x01
        count = min(round(value * 256), 0xFFFF)
        return frame(0, bytes([self._waves % 256, count >> 8, count & 0xFF, status]))

    def _numerics(self, t: float) -> bytes:
        payload = bytearray([NO_VALUE] * NUMERICS_BYTES)
        payload[0:4] = struct.pack(">I", self._scene.utc_ns(t) // 10**9 & 0xFFFFFFFF)
        unit = self._state("CO2 unit", t) or 1
        tail = " vol%" if unit == VOL_PERCENT else ""
        for at, name in CO2_FIELDS:
            spec = self._specs[name + tail]
            raw = self._scene.raw(spec, t)
            if raw is not None:
                payload[at] = min(round(convert(raw, spec.unit, _UNITS[unit]) * (1 if unit == 1 else 10)), 0xFE)
        for at, name in FIELDS:
            raw = self._scene.raw(self._specs[name], t)
            payload[at] = NO_VALUE if raw is None else min(round(raw), 0xFE)
        payload[9] = sum(self._state(name, t) << shift for name, _, shift in SLOW_STATUS)
        for at, _, names in ALARM_BITS:
            payload[at] = sum(bit for bit, (name, _) in names.items() if self._rings(name, t))
        payload[25] = unit
        payload[26] = 0  # extended CO2 status: its bits are not known
        return frame(1, bytes(payload))

    def _state(self, name: str, t: float) -> int:
        spec = self._specs.get(name)
        return 0 if spec is None else round(self._scene.raw(spec, t) or 0)

    def _rings(self, name: str, t: float) -> bool:
        spec = self._specs.get(name)
        return spec is not None and self._scene.alert(spec.id, t) > 0


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> CapnostreamMonitor:
    """Return the monitor of a line. Raises: ConfigError for an option that a scenario does not have."""
    return CapnostreamMonitor(devices[0].profile, build(Scenario, options, lambda *_: "scenario"), scene)
