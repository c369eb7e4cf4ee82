"""The oximeter at the other end, without I/O: it sends what the rows of its profile ask for, measured in the scene.

It puts its own packets together and shares nothing with the cutter of the driver. One of generation V7 waits for the
command to start, and ends the connection when it hears no command for longer than it allows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from drivers.contec_cms50.options import generation_of
from gateway.core.errors import ConfigError
from gateway.core.profile import MetricSpec
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene

RATE = 60  # packets in a second
BATCH_S = 0.1  # a USB bridge hands over what has come in a while
CATCH_UP_S = 2.0  # after a longer pause what is older is gone, as on a real line
PATIENCE_S = 5.0  # V7.0 document: a keep-alive at least every 5 s
NO_WAVE = 0x40  # where the pleth of V7 stands without a finger
ASK_LENGTH = 9
NO_VALUES = {"probe error", "searching", "searching too long", "finger out"}
NO_VALUES_S = 2.0


class Oximeter:
    """One oximeter that streams as long as it is on (gateway.core.protocol.Simulator): the old generation."""

    def __init__(self, device: DeviceSpec, scene: Scene) -> None:
        self._scene = scene
        self._rows: dict[Any, MetricSpec] = {
            metric.object: metric for channel in device.profile.channels for metric in channel.metrics
        }
        self._next: int | None = None

    def receive_data(self, data: bytes, now: float) -> None:
        """The old generation is not spoken to."""

    def data_to_send(self, now: float) -> bytes:
        """Return the packets of all sixtieths of a second since the last call; the first call gives one."""
        due = math.floor(now * RATE + 1e-6)
        first = due if self._next is None else max(self._next, due - int(CATCH_UP_S * RATE))
        self._next = due + 1
        if first > due:
            return b""
        waves = self._waves(range(first, due + 1))
        return b"".join(self._packet(now, wave) for wave in waves)

    def next_wake(self) -> float | None:
        """Return when the next packets are handed over."""
        return None if self._next is None else (self._next - 1) / RATE + BATCH_S

    def _packet(self, t: float, wave: int) -> bytes:
        off = self._scene.nothing
        out, error = off or self._alarms("finger out", t), off or self._alarms("probe error", t)
        rate, saturation = self._number("PR", t, 0), self._number("SpO2", t, 0)
        b0 = 0x80 | self._alarms("SpO2 dropping", t) << 5 | out << 4 | self._number("strength", t, 0)
        b2 = rate >> 7 << 6 | self._alarms("searching", t) << 5 | error << 4 | wave >> 3
        return bytes([b0, wave, b2, rate & 0x7F, saturation])

    def _number(self, name: str, t: float, none: int) -> int:
        raw = self._scene.raw(self._rows[name], t) if name in self._rows else None
        return none if raw is None else round(raw)

    def _alarms(self, name: str, t: float) -> bool:
        """Tell whether an alert is on. One that takes the values away is short, so that there are values to see."""
        if name not in self._rows or not self._scene.alert(self._rows[name].id, t):
            return False
        return name not in NO_VALUES or not self._scene.alert(self._rows[name].id, t - NO_VALUES_S)

    def _waves(self, numbers: range) -> list[int]:
        spec = self._rows.get("PLETH")
        if spec is None or self._scene.nothing:
            return [NO_WAVE] * len(numbers)
        raw = self._scene.wave(spec.id, np.array(numbers) / RATE) / spec.scale
        return [int(count) for count in np.clip(np.round(raw), 0, 127)]


class V7Oximeter(Oximeter):
    """One that streams when it is asked to."""

    def __init__(self, device: DeviceSpec, scene: Scene) -> None:
        super().__init__(device, scene)
        self._asked = bytearray()
        self._answers = bytearray()
        self._streams = False
        self._patient_until = 0.0

    def receive_data(self, data: bytes, now: float) -> None:
        """Take commands: nine bytes each, beginning with 7D."""
        self._asked += data
        while len(self._asked) >= ASK_LENGTH:
            if self._asked[0] == 0x7D:
                self._command(self._asked[2] & 0x7F | (self._asked[1] & 1) << 7, now)
                del self._asked[:ASK_LENGTH]
            else:
                del self._asked[0]

    def data_to_send(self, now: float) -> bytes:
        """Return the answers, and the packets that are due while it streams."""
        answers = bytes(self._answers)
        self._answers.clear()
        if self._streams and now > self._patient_until:
            self._streams = False
            return answers + b"\x0d\x81\xff"  # disconnect, reason not known
        return answers + (super().data_to_send(now) if self._streams else b"")

    def next_wake(self) -> float | None:
        """Return when the next packets are handed over."""
        return super().next_wake() if self._streams else None

    def _command(self, code: int, now: float) -> None:
        self._patient_until = now + PATIENCE_S
        if code == 0xA1:
            self._next = self._next if self._streams else None
            self._streams = True
        elif code == 0xA2:
            self._streams = False
            self._answers += b"\x0c\x80"
        elif code != 0xAF:
            self._answers += bytes([0x0B, 0x80 | code >> 7, code | 0x80, 0x85])  # not supported

    def _packet(self, t: float, wave: int) -> bytes:
        off = self._scene.nothing
        error = off or self._alarms("probe error", t)
        perfusion = self._number("PI", t, 0xFFFF)
        d0 = (
            error << 7
            | self._alarms("low SpO2", t) << 5
            | self._alarms("searching too long", t) << 4
            | self._number("strength", t, 0)
        )
        d1 = self._alarms("searching", t) << 7 | (NO_WAVE if error else wave)
        d2 = (perfusion == 0xFFFF) << 4 | wave >> 3
        rate, saturation = self._number("PR", t, 0xFF), self._number("SpO2", t, 0x7F)
        data = [d0, d1, d2, rate, saturation, perfusion & 0xFF, perfusion >> 8]
        high = sum((byte >> 7) << i for i, byte in enumerate(data))
        return bytes([0x01, 0x80 | high, *(byte | 0x80 for byte in data)])


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> Oximeter:
    """Build the oximeter of one line. Raises: ConfigError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a CMS50 has a line of its own")
    if options:
        raise ConfigError(f"unknown option {next(iter(options))!r}", hint="this simulator has none")
    v7 = generation_of(devices[0].profile.driver_table) == "v7"
    return (V7Oximeter if v7 else Oximeter)(devices[0], scene)
