"""The ventilator at the other end: it answers one parameter at a time, in the formats of the notes' table.

What a parameter without a meaning in the present mode holds is not in the notes; here it is 9999.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drivers.hamilton.meaning import Meaning
from gateway.core.errors import ConfigError
from gateway.core.profile import MetricSpec
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene

# parameter -> format where it is not four digits. (notes, table of parameters)
FORMATS = {40: "{:5.0f}", 42: "{:5.1f}", 54: "{:5.1f}", 62: "{:5.1f}", 65: "{:5.2f}", 105: "{:5.2f}", 113: "{:5.2f}"}
WHOLE = "{:4.0f}."
NO_VALUE = {"{:5.1f}": "999.9"}  # of the format with one decimal; all others 9999.


class Ventilator:
    """One ventilator."""

    def __init__(self, device: DeviceSpec, scene: Scene) -> None:
        specs = [spec for channel in device.profile.channels for spec in channel.metrics]
        self._rows: dict[tuple[object, int], MetricSpec] = {(spec.object, spec.instance): spec for spec in specs}
        self._meaning = Meaning(device.profile)
        self._scene = scene
        self._heard = b""
        self._out = b""

    def receive_data(self, data: bytes, now: float) -> None:
        """Take questions: 02 id 03 0D."""
        *questions, self._heard = (self._heard + data).split(b"\x03\r")
        self._heard = self._heard[-8:]
        for question in questions:
            if question[-2:-1] == b"\x02" and question[-1] in self._meaning.instances:
                self._out += b"\x02%c%s\x03\r" % (question[-1], self._text(question[-1], now).encode())

    def data_to_send(self, now: float) -> bytes:  # noqa: ARG002  # the contract's signature
        """Return the answers."""
        out, self._out = self._out, b""
        return out

    def next_wake(self) -> float | None:
        """Return None: it speaks when it is asked."""
        return None

    def _text(self, number: int, now: float) -> str:
        shape = FORMATS.get(number, WHOLE)
        row: int | None = 0
        if number in self._meaning.bound:
            row = self._meaning.instance(number, self._mode(now))
        raw = None if row is None else self._scene.raw(self._rows[number, row], now)
        return NO_VALUE.get(shape, "9999.") if raw is None else shape.format(raw)

    def _mode(self, now: float) -> int | None:
        raw = self._scene.raw(self._rows[self._meaning.mode, 0], now)
        return None if raw is None else round(raw)


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> Ventilator:  # noqa: ARG001
    """Return the ventilator of one line. Raises: ConfigError, ProfileError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a polling port serves exactly one ventilator")
    return Ventilator(devices[0], scene)
