"""A base with pumps, or one pump, at the other end of the line, without I/O.

It takes no question from whom it is not connected to (errors 0D and 1E), acknowledges each good frame, refuses a bad
one, wants its own frames acknowledged only as far as that it counts what was not, and asks every few seconds whether
anybody is there (ENQ). It knows the four commands of a reader; any other gets error 01. Checksums are made here a
second time.

The numbers of digits of `d` and `r` are those of the one published decode (4 and 6); of the others they are made up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.fresenius_agilia.options import Options
from gateway.core.profile import MetricSpec
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.core.settings import build

ENQUIRY_S = 7.0  # made up: "at any time" (notes)
_TURNAROUND_S = 0.02  # made up
_DIGITS = {"r": 6}


def _framed(body: bytes) -> bytes:
    return b"\x02" + body + f"{0xFF - sum(body) % 256:02X}".encode() + b"\x03"


class Agilia:
    """All pumps of the profile in one base; slot "" is a pump that stands alone."""

    def __init__(self, device: DeviceSpec, options: Options, scene: Scene) -> None:
        self._rows: dict[str, list[MetricSpec]] = {}
        for spec in (spec for channel in device.profile.channels for spec in channel.metrics):
            if spec.instance and not (options.stand_alone and spec.instance > 1):
                self._rows.setdefault("" if options.stand_alone else str(spec.instance), []).append(spec)
        self._scene = scene
        self._heard = bytearray()
        self._say: deque[tuple[float, bytes]] = deque()  # (when, bytes)
        self._open: set[str] = set()
        self._enquire_at: float | None = None
        self.unanswered = 0  # enquiries and frames that the gateway still owes an answer for

    def receive_data(self, data: bytes, now: float) -> None:
        """Take frames and signals."""
        for byte in data:
            if byte in b"\x06\x14":
                self.unanswered -= 1
            elif byte == 0x02:
                self._heard.clear()
            elif byte == 0x03:
                self._take(bytes(self._heard), now)
            else:
                self._heard.append(byte)
        del self._heard[:-100]

    def data_to_send(self, now: float) -> bytes:
        """Return what is ready, and an enquiry now and then."""
        said = b""
        while self._say and self._say[0][0] <= now:
            said += self._say.popleft()[1]
        if self._enquire_at is None or now >= self._enquire_at:
            if self._enquire_at is not None:
                said += b"\x05"
                self.unanswered += 1
            self._enquire_at = now + ENQUIRY_S
        return said

    def next_wake(self) -> float | None:
        """Return when the next answer is ready, or the next enquiry due."""
        return self._say[0][0] if self._say else self._enquire_at

    def _take(self, content: bytes, now: float) -> None:
        body = content[:-2]
        if _framed(body)[1:-1] != content:
            self._say.append((now, b"\x152"))
            return
        slot, command = (chr(body[0]), body[1:]) if body[:1].isdigit() else ("", body)
        self._say.append((now, b"\x06"))
        self._say.append((now + _TURNAROUND_S, _framed((slot + self._answer(slot, command.decode(), now)).encode())))
        self.unanswered += 1

    def _answer(self, slot: str, command: str, now: float) -> str:
        if command == "DC":
            if slot not in ("", "0") and "0" not in self._open:
                return "I;0D"
            self._open.add(slot)
            return "C"
        if command not in ("FC", "LE;b", "LE;drae"):
            return "I;01"
        if slot not in self._open:
            return "I;1E"
        if command == "FC":
            self._open.discard(slot)
            return "C"
        if command == "LE;b":
            return f"C;b{0 if self._scene.nothing else sum(1 << int(n) - 1 for n in self._rows):02X}"
        return ";".join(["C", *self._values(self._rows.get(slot, []), now)])

    def _values(self, rows: Sequence[MetricSpec], now: float) -> list[str]:
        """Return letter and digits of each row, in the order asked; a value that is not there has no digits."""
        found = dict.fromkeys("drae", "")
        for spec in rows:
            letter = str(spec.object)
            if spec.kind == "alert":
                found[letter] = f"{10 if self._scene.alert(spec.id, now) else 0:04X}"
            elif (value := self._scene.raw(spec, now)) is not None:
                found[letter] = f"{round(value):0{_DIGITS.get(letter, 4)}X}"
        return [letter + digits for letter, digits in found.items()]


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> Agilia:
    """Return what is on a line. Raises: ConfigError."""
    return Agilia(devices[0], build(Options, options, lambda *keys: " ".join(keys)), scene)
