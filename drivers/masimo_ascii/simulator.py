"""The oximeter at the other end, without I/O: one line of ASCII 1 a second, as the rows of its profile ask for.

The order and the form of the tokens are those of the recorded Rad-8 lines; PVI stands where a Radical-7 has it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.core.errors import ConfigError
from gateway.core.profile import MetricSpec
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene

SERIAL = "0000000001"
CATCH_UP_S = 10  # after a longer pause what is older is gone, as on a real line
EMPTY_LINE = "\r\n"  # follows on each line
NO_VALUES = {"EXC 001", "EXC 002", "EXC 008", "EXC 020", "EXC 080"}
NO_VALUES_S = 2.0

# token: (format of a number, what stands there without one)
TOKENS: Mapping[str, tuple[str, str]] = {
    "SPO2": ("{:03.0f}%", "---%"),
    "BPM": ("{:03.0f}", "---"),
    "PI": ("{:05.2f}%", "--.--%"),
    "SPCO": ("{:04.1f}%", "--.-%"),
    "SPMET": ("{:04.1f}%", "--.-%"),
    "DESAT": ("{:02.0f}", "--"),
    "PIDELTA": ("{:+03.0f}", "+--"),
    "PVI": ("{:02.0f}", "--"),
}


class MasimoOximeter:
    """One oximeter (gateway.core.protocol.Simulator). It hears nothing."""

    def __init__(self, device: DeviceSpec, scene: Scene) -> None:
        self._scene = scene
        self._rows: dict[Any, MetricSpec] = {
            metric.object: metric for channel in device.profile.channels for metric in channel.metrics
        }
        self._next: int | None = None

    def receive_data(self, data: bytes, now: float) -> None:
        """Nothing that is written to it changes what it sends."""

    def data_to_send(self, now: float) -> bytes:
        """Return the lines of all seconds since the last call; the first call gives one."""
        due = math.floor(now + 1e-6)
        first = due if self._next is None else max(self._next, due - CATCH_UP_S)
        self._next = due + 1
        return b"".join(self._line(float(second)).encode() for second in range(first, due + 1))

    def next_wake(self) -> float | None:
        """Return when the next line is due."""
        return None if self._next is None else float(self._next)

    def _line(self, t: float) -> str:
        stamp = datetime.fromtimestamp(self._scene.utc_ns(t) // 1_000_000_000, UTC).strftime("%m/%d/%y %H:%M:%S")
        exceptions = self._exceptions(t)
        tokens = [f"{key}={self._value(key, t, exceptions)}" for key in TOKENS if key in self._rows]
        alarm = int(self._alarms("*", t))  # the lowest bit; what it means nobody knows
        return f"{stamp} SN={SERIAL} {' '.join(tokens)} ALARM={alarm:04X} EXC={exceptions:06X}\r\n" + EMPTY_LINE

    def _value(self, key: str, t: float, exceptions: int) -> str:
        form, nothing = TOKENS[key]
        raw = self._scene.raw(self._rows[key], t)
        return nothing if raw is None or exceptions & 0x021 else form.format(raw)  # no sensor, or none on the patient

    def _exceptions(self, t: float) -> int:
        if self._scene.nothing:
            return 0x820
        names = {f"EXC {1 << i:03X}": 1 << i for i in range(12)}
        found = sum(bit for name, bit in names.items() if self._alarms(name, t))
        return found | (0x800 if self._scene.raw(self._rows["SET"], t) == 1 else 0)

    def _alarms(self, name: str, t: float) -> bool:
        """Tell whether an alert is on. One that takes the values away is short, so that there are values to see."""
        if name not in self._rows or not self._scene.alert(self._rows[name].id, t):
            return False
        return name not in NO_VALUES or not self._scene.alert(self._rows[name].id, t - NO_VALUES_S)


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> MasimoOximeter:
    """Build the oximeter of one line. Raises: ConfigError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a Masimo oximeter has a line of its own")
    if options:
        raise ConfigError(f"unknown option {next(iter(options))!r}", hint="this simulator has none")
    return MasimoOximeter(devices[0], scene)
