"""The monitor at the other end, without I/O: it answers requests with what the profile's rows and the scene say."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import floor, isnan
from typing import Any

from drivers.ge_dash.decoder import PARAMETERS
from drivers.ge_dash.options import Options, Scenario
from gateway.core.errors import ConfigError
from gateway.core.profile import MetricSpec, Profile
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.core.settings import build

_WITH_CRC, _PLAIN = 62, 104  # lengths of the two requests
_MISSING = -32767
_LEVELS = 7  # alarm levels 1 to 7
_FIRST_KIND = {name: (kind, code) for (kind, code), (name, _) in reversed(list(PARAMETERS.items()))}


class Monitor:
    """A monitor with one serial port (gateway.core.protocol.Simulator)."""

    def __init__(self, profile: Profile, scene: Scene, scenario: Scenario) -> None:
        self._scene, self._scenario = scene, scenario
        metrics = [metric for channel in profile.channels for metric in channel.metrics]
        self._rows = {str(metric.object): metric for metric in metrics if metric.frame == "parameter"}
        self._alarm = next((metric for metric in metrics if metric.kind == "alert"), None)
        self._line = b""
        self._out = b""
        self._answers = 0

    def receive_data(self, data: bytes, now: float) -> None:
        """Take what the gateway wrote: a request is one write."""
        self._line = (self._line + data)[-_PLAIN:]
        for form, size in (("crc", _WITH_CRC), ("plain", _PLAIN)):
            if len(self._line) == size and self._line[12:16] == bytes([0, 202, 0, 35]):
                self._line = b""
                if self._scenario.understands in (form, "both"):
                    self._answer(1 if form == "crc" else 0, now)

    def data_to_send(self, now: float) -> bytes:  # noqa: ARG002  # it says nothing by itself
        """Return the answers."""
        out, self._out = self._out, b""
        return out

    def next_wake(self) -> float | None:
        """Return 0 while there is an answer to fetch."""
        return 0.0 if self._out else None

    def _answer(self, version: int, now: float) -> None:
        self._answers += 1
        names = [name for name in _FIRST_KIND if any(row.startswith(f"{name}.") for row in self._rows)]
        records = b"".join(self._record(name, version, now) for name in names)
        level = 1 + floor(now) % _LEVELS if self._alarm and self._scene.alert(self._alarm.id, now) else 0
        data = (
            bytes([self._code("alarm.state", now), level, level, self._code("admitted", now), len(names), 0]) + records
        )
        header = bytes(12) + struct.pack(">HHHH", 201, 20, version, self._answers & 0xFFFF) + bytes(38)
        self._out += header + struct.pack(">H", len(data)) + data + b"\0\0"  # nobody knows the CRC

    def _record(self, name: str, version: int, now: float) -> bytes:
        kind, code = _FIRST_KIND[name]
        values = [self._raw(f"{name}.{i}", now) for i in range(3)]
        limits = [self._raw(f"{name}.{i}.{side}", now) for i in range(3) for side in ("low", "high")]
        update = struct.pack(">BBH3h14x", 0x01, code, 0, *values)
        setup = struct.pack(">BBHH6hh", 0x03, code, 0, 0, *limits, 0)
        messages = struct.pack(">BB8x", 0x15, code)
        return update + setup + messages + bytes(10) + bytes([kind, code, 0, 0]) + bytes(2 if version else 0)

    def _code(self, name: str, now: float) -> int:
        spec = self._rows.get(name)
        codes = [0] if spec is None else [int(raw) for raw, _ in spec.values]
        return codes[0 if self._scene.still else floor(now / 2) % len(codes)]

    def _raw(self, name: str, now: float) -> int:
        spec = self._rows.get(name)
        if spec is not None and spec.limit_of:
            return self._limit(spec)
        at = self._measured_at(spec, now)
        number = None if spec is None or at is None else self._scene.raw(spec, at)
        return _MISSING if number is None or isnan(number) else round(number)

    def _limit(self, spec: MetricSpec) -> int:
        """Return an alarm limit: a fifth, but 5 at least, below or above what is measured at the beginning."""
        measured = next(row for row in self._rows.values() if row.path == spec.limit_of)
        number = self._scene.raw(measured, 0.0)
        side = -1 if str(spec.object).endswith(".low") else 1
        low, high = spec.range or (-32000, 32000)
        return _MISSING if number is None else round(min(max(number + side * max(abs(number) / 5, 5), low), high))

    def _measured_at(self, spec: MetricSpec | None, now: float) -> float | None:
        """Return when a value was measured; the numbers of one cuff share the time of the first."""
        if spec is None or not spec.episodic:
            return now
        return self._scene.measured_at(self._rows["NIBP.0"].id, now)


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> Monitor:
    """Build the monitor of one line. Raises: ConfigError for an unknown scenario option."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a serial port of a monitor serves one gateway")
    scenario = build(Scenario, options, lambda *_: "", [field.name for field in fields(Options)])
    return Monitor(devices[0].profile, scene, scenario)
