"""An AS50 at the other end of the line, without I/O. It answers questions and has nothing that could be set.

What it says when asked for its status is made up (`[READY]`): no source shows it, and the driver does not look at it.
Brackets and checksum are made here a second time, bit by bit, so that a mistake of the driver's framing shows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.errors import ConfigError
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene

_LIMIT = 256
_TURNAROUND_S = 0.02  # made up


def _crc(body: bytes) -> int:
    crc = 0
    for byte in body:
        crc ^= byte << 8
        for _ in range(8):
            crc = crc << 1 ^ (0x1021 if crc & 0x8000 else 0)
        crc &= 0xFFFF
    return crc


class As50:
    """The pump: one answer for each good question."""

    def __init__(self, device: DeviceSpec, scene: Scene) -> None:
        self._rows = {str(spec.object): spec for channel in device.profile.channels for spec in channel.metrics}
        self._scene = scene
        self._heard = bytearray()
        self._say: deque[tuple[float, bytes]] = deque()  # (when, answer)

    def receive_data(self, data: bytes, now: float) -> None:
        """Take questions."""
        self._heard += data
        while (end := self._heard.find(b"]")) >= 0 and len(self._heard) >= end + 3:
            body, crc = bytes(self._heard[: end + 1]), bytes(self._heard[end + 1 : end + 3])
            del self._heard[: end + 3]
            if body.startswith(b"[") and _crc(body) == int.from_bytes(crc, "big"):
                self._answer(body[1:-1].decode("latin-1"), now)
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

    def _answer(self, question: str, now: float) -> None:
        name = question.removesuffix("?")
        text = "READY" if name == "STATUS" else "REJECT"
        if name in self._rows and (value := self._scene.raw(self._rows[name], now)) is not None:
            text = f"{name}={value:.1f}"
        body = f"[{text}]".encode()
        self._say.append((now + _TURNAROUND_S, body + _crc(body).to_bytes(2, "big")))


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> As50:
    """Return the pump of a line. Raises: ConfigError."""
    if options:
        raise ConfigError(f"unknown option {next(iter(options))!r}", hint="this pump has none")
    return As50(devices[0], scene)
