"""An Asena pump at the other end of the line, without I/O. It answers questions and has nothing that could be set.

The form of its answers is the one that the notes expect, not one that was seen: the name, then number and unit as
fields. A value that is not there is a name alone. The checksum is made here a second time, bit by bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.alaris_asena.options import Options
from gateway.core.profile import MetricSpec
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.core.settings import build

_LIMIT = 256
_TURNAROUND_S = 0.02  # made up
_SERIAL_NUMBER = "8002-01234"  # made up
_WORDS = {"mL/h": "ml/h", "mL": "ml"}  # UCUM -> the pump's word (protocol notes)


def _crc(body: bytes) -> int:
    crc = 0xFFFF
    for byte in body:
        crc ^= byte << 8
        for _ in range(8):
            crc = crc << 1 ^ (0x1021 if crc & 0x8000 else 0)
        crc &= 0xFFFF
    return crc


class Asena:
    """The pump: one answer for each good question."""

    def __init__(self, device: DeviceSpec, scene: Scene) -> None:
        self._rows = {str(spec.object): spec for channel in device.profile.channels for spec in channel.metrics}
        self._scene = scene
        self._heard = bytearray()
        self._say: deque[tuple[float, bytes]] = deque()  # (when, answer)

    def receive_data(self, data: bytes, now: float) -> None:
        """Take questions."""
        self._heard += data
        while (end := self._heard.find(b"\r")) >= 0:
            body, _, crc = bytes(self._heard[:end]).rpartition(b"!")[2].partition(b"|")
            del self._heard[: end + 1]
            if crc == f"{_crc(body):04X}".encode():
                self._answer(body.decode("latin-1"), now)
        del self._heard[:-_LIMIT]

    def data_to_send(self, now: float) -> bytes:
        """Return the answers that are ready."""
        said = b""
        while self._say and self._say[0][0] <= now:
            said += self._say.popleft()[1]
        return said

    def next_wake(self) -> float | None:
        """Return when the next answer is ready; it speaks only when asked."""
        return self._say[0][0] if self._say else None

    def _answer(self, name: str, now: float) -> None:
        fields: list[str] = []
        if name == "INST_SERIALNO":
            fields = [_SERIAL_NUMBER]
        elif name in self._rows:
            fields = self._value(self._rows[name], now)
        body = "^".join([name, *fields]).encode("latin-1")
        self._say.append((now + _TURNAROUND_S, b"!" + body + f"|{_crc(body):04X}\r".encode()))

    def _value(self, spec: MetricSpec, now: float) -> list[str]:
        value = self._scene.raw(spec, now)
        return [] if value is None else [f"{value:.1f}", _WORDS[spec.unit]]


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> Asena:
    """Return the pump of a line; the options of the port do not change this end. Raises: ConfigError."""
    build(Options, options, lambda *keys: " ".join(keys))
    return Asena(devices[0], scene)
