"""The CIE at the other end: basic and extended mode, lists, descriptions, errors.

What is made up, because the notes do not have it: the text of the answer to RCTY (they only say that its position 7 is
"0"), the acknowledgement of SDAD (an EOT, all that is known of it), type and name in a description. The checksum of an
answer is the one the notes expect; `answers_checked` = false leaves it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drivers.servo_cie.options import Options
from gateway.core.errors import ConfigError
from gateway.core.profile import MetricSpec
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.core.settings import Settings, build, setting

EOT = 0x04
ESC = 0x1B


@dataclass(frozen=True, slots=True)
class Scenario(Settings):
    """How the simulated ventilator behaves."""

    answers_checked: bool = field(default=True, metadata=setting("answers carry a checksum"))
    describes: bool = field(default=True, metadata=setting("it answers RCCO"))
    standby: bool = field(default=False, metadata=setting("it is in standby and has no patient data"))
    conflict: int = field(default=0, metadata=setting("a channel that it scales otherwise than the profile; 0 = none"))


class Cie:
    """One ventilator."""

    def __init__(self, device: DeviceSpec, scenario: Scenario, scene: Scene) -> None:
        specs = [spec for channel in device.profile.channels for spec in channel.metrics]
        self._specs = {f"{spec.object:03}": spec for spec in specs}
        self._codes = {unit: code for code, unit in device.profile.units.items()}
        self._scenario = scenario
        self._scene = scene
        self._extended = False
        self._lists: dict[str, list[str]] = {}
        self._heard = bytearray()
        self._out = bytearray()

    def receive_data(self, data: bytes, now: float) -> None:
        """Take commands; each ends with EOT."""
        for byte in data:
            if byte == EOT:
                self._take(bytes(self._heard), now)
                self._heard.clear()
            elif byte != ESC and len(self._heard) < 400:
                self._heard.append(byte)

    def data_to_send(self, now: float) -> bytes:  # noqa: ARG002  # the contract's signature
        """Return the answers."""
        out, self._out = bytes(self._out), bytearray()
        return out

    def next_wake(self) -> float | None:
        """Return None: it speaks when it is asked."""
        return None

    def _take(self, heard: bytes, now: float) -> None:
        if heard == b"HO":
            self._extended = False
            self._out += b"900PCI\x04"
            return
        text, check = heard[:-2].decode("latin-1"), heard[-2:].decode("latin-1")
        if check != _check(text):
            self._say("ER18")
        elif text == "RCTY":
            self._extended = True
            self._say("      00")
        elif not self._extended:
            self._say("ER10")
        elif not text.startswith("RCCO") or self._scenario.describes:
            self._command(text, now)

    def _command(self, text: str, now: float) -> None:
        name, category, rest = text[:4], text[4:5], text[5:]
        if name == "RCCO":
            spec = self._specs.get(text[4:])
            self._say("ER15" if spec is None else self._description(spec))
        elif name == "SDAD":
            self._lists[category] = [rest[at : at + 3] for at in range(0, len(rest), 3)]
            self._out.append(EOT)
        elif name != "RADA":
            self._say("ER10")
        elif category not in self._lists:
            self._say("ER16")
        elif self._scenario.standby:
            self._say("ER17")
        else:
            self._say("".join(self._field(self._specs.get(channel), now) for channel in self._lists[category]))

    def _field(self, spec: MetricSpec | None, now: float) -> str:
        raw = None if spec is None else self._scene.raw(spec, now)
        return "9999" if raw is None else f"{round(raw):4d}"

    def _description(self, spec: MetricSpec) -> str:
        gain = round(spec.scale * 1000) * (10 if spec.object == self._scenario.conflict else 1)
        return f"{spec.object:03},+{gain:04}E-03,+0000E+00,{self._codes.get(spec.unit or '1'):02},0,{spec.object}"

    def _say(self, text: str) -> None:
        trailer = _check(text) if self._scenario.answers_checked else ""
        self._out += f"{text}{trailer}".encode() + bytes([EOT])


def _check(text: str) -> str:
    """Return the XOR of all characters as two digits."""
    value = 0
    for character in text:
        value ^= ord(character)
    return f"{value:02X}"


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> Cie:
    """Return the ventilator of one line. Raises: ConfigError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a CIE port serves exactly one ventilator")
    ignore = list(Options.__dataclass_fields__)  # a port's options may be handed to both ends
    return Cie(devices[0], build(Scenario, options, lambda *keys: " ".join(keys), ignore), scene)
