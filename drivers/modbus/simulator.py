"""The other end of the line: Modbus units that answer, also without I/O.

What they answer comes from an image: what registers and coils hold at `now`.
    scene       the blocks of the profile, filled from the scene row by row (scene_image)
    incubator   the registers of a HettCube: chamber at 37 °C, a door that is opened now and then, alarm bits
    tagged      every value names its own address, unit and table, so that a value out of place is seen at once
The first depends on (profile, scene, now) only, the others on (seed, unit, now). The scenario says what goes wrong.

Requests are taken apart and answers are put together by pymodbus: this end shares no framing with the driver, and each
is a check of the other.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerAscii, FramerBase, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsResponse, ReadDiscreteInputsResponse
from pymodbus.pdu.register_message import ReadHoldingRegistersResponse, ReadInputRegistersResponse

from drivers.modbus.blocks import FunctionCode
from drivers.modbus.dialect import line_framing, read_dialect
from drivers.modbus.options import LineOptions, UnitOptions
from drivers.modbus.scene_image import SceneImage
from gateway.core.profile import Profile
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.core.settings import Settings, build, setting

Image = Callable[[int, int, float], int | None]
"""(function code, address, now) -> value, or None where there is no such register (exception 02)."""

Said = Callable[[int, int, int, Sequence[int]], None]
"""Told of every answer with data, before the scenario spoils it: (unit, function code, first address, values)."""

_FRAMERS: dict[str, type[FramerBase]] = {"rtu": FramerRTU, "ascii": FramerAscii, "tcp": FramerSocket}
_RESPONSE: dict[int, type[ModbusPDU]] = {
    FunctionCode.READ_COILS: ReadCoilsResponse,
    FunctionCode.READ_DISCRETE_INPUTS: ReadDiscreteInputsResponse,
    FunctionCode.READ_HOLDING_REGISTERS: ReadHoldingRegistersResponse,
    FunctionCode.READ_INPUT_REGISTERS: ReadInputRegistersResponse,
}
_BITS = (FunctionCode.READ_COILS, FunctionCode.READ_DISCRETE_INPUTS)
_MAX_REQUEST = 520  # a request in ASCII has 17 characters; what is longer than any ADU is no request
_FORGET_S = 1.0  # a request comes in one go; half of one from a second ago was left behind by a client that has gone


@dataclass(frozen=True, slots=True)
class Scenario(Settings):
    """What goes wrong, and with whom."""

    framing: str = field(default="auto", metadata=setting("as the option of the port", choices=("auto", *_FRAMERS)))
    seed: int = field(default=0, metadata=setting("everything random comes from it", low=0, high=2**31))
    image: str = field(
        default="scene", metadata=setting("what registers hold", choices=("scene", "incubator", "tagged"))
    )
    only_unit: int = field(default=0, metadata=setting("the unit that all below is about; 0 = all", low=0, high=247))
    dead: bool = field(default=False, metadata=setting("it never answers"))
    delay_s: float = field(default=0.0, metadata=setting("it answers so late", "s", low=0, high=3600))
    jitter_s: float = field(default=0.0, metadata=setting("and up to so much later", "s", low=0, high=3600))
    exception: int = field(default=0, metadata=setting("it answers with this exception; 0 = none", low=0, high=255))
    answers_as: int = field(default=0, metadata=setting("it signs as this unit; 0 = as itself", low=0, high=247))
    cut: int = field(default=0, metadata=setting("so many last bytes of its answers are missing", low=0, high=600))
    lost: float = field(default=0.0, metadata=setting("share of its answers that are lost", low=0, high=1))
    flipped: float = field(default=0.0, metadata=setting("share of its answers with a flipped bit", low=0, high=1))


class OneByteResponse(ReadHoldingRegistersResponse):
    """Registers as a Thermo freezer sends an item of one byte: byte count 02, then the low byte alone.

    Source: protocol notes, section 2, `:19030228BA`.
    """

    def encode(self) -> bytes:
        return bytes([2, self.registers[0] & 0xFF])


class ModbusServer:
    """Units of one line (Simulator). Each answers one request at a time, in order.

    images: unit -> image; scenarios: unit -> Scenario, a unit that is not named behaves
    """

    def __init__(
        self,
        framing: str,
        images: Mapping[int, Image | SceneImage],
        scenarios: Mapping[int, Scenario] | None = None,
        seed: int = 0,
        said: Said | None = None,
    ) -> None:
        self._framer = _FRAMERS[framing](DecodePDU(is_server=True))
        self._images = images
        self._scenarios = scenarios or {}
        self._random = random.Random(seed)
        self._said = said
        self._line = b""
        self._heard_at = 0.0
        self._out: list[tuple[float, int, bytes]] = []  # (when, order of request, bytes)
        self._requests = 0
        self._busy_until: dict[int, float] = {}

    def receive_data(self, data: bytes, now: float) -> None:
        """Take what the gateway wrote; whole requests are answered, each at its unit's own time."""
        if now > self._heard_at + _FORGET_S:
            self._line = b""
        self._heard_at = now
        self._line = (self._line + data)[-_MAX_REQUEST:]
        while self._line:
            try:
                used, request = self._framer.handleFrame(self._line, 0, 0)
            except (ModbusException, ValueError):  # not a request: pymodbus raises on what it cannot read
                self._line = b""
                return
            self._line = self._line[used:]
            if request is None:
                return
            self._answer(request, now)

    def data_to_send(self, now: float) -> bytes:
        """Return all answers that are due, in the order of their times."""
        due = sorted(item for item in self._out if item[0] <= now)
        self._out = [item for item in self._out if item[0] > now]
        return b"".join(data for _, _, data in due)

    def next_wake(self) -> float | None:
        """Return when the next answer is due."""
        return min((at for at, _, _ in self._out), default=None)

    def _answer(self, request: ModbusPDU, now: float) -> None:
        unit = request.dev_id
        scenario = self._scenarios.get(unit, _GOOD)
        if unit not in self._images or scenario.dead or self._random.random() < scenario.lost:
            return
        start = max(now, self._busy_until.get(unit, now))
        at = self._busy_until[unit] = start + scenario.delay_s + self._random.random() * scenario.jitter_s
        reply = self._reply(request, scenario.exception, at)
        reply.dev_id = scenario.answers_as or unit
        reply.transaction_id = request.transaction_id
        data = bytearray(self._framer.buildFrame(reply))
        del data[len(data) - min(scenario.cut, len(data)) :]
        if data and self._random.random() < scenario.flipped:
            data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)
        self._requests += 1
        self._out.append((at, self._requests, bytes(data)))

    def _reply(self, request: ModbusPDU, exception: int, now: float) -> ModbusPDU:
        fc, unit = request.function_code, request.dev_id
        if exception or fc not in _RESPONSE:
            return ExceptionResponse(fc, exception or ExcCodes.ILLEGAL_FUNCTION)
        values = self._held(unit, fc, request.address, request.count, now)
        if isinstance(values, ExcCodes):
            return ExceptionResponse(fc, values)
        if self._said:
            self._said(unit, fc, request.address, values)
        image = self._images[unit]
        if isinstance(image, SceneImage) and image.is_short(fc, request.address, request.count):
            reply = OneByteResponse(registers=values)
            reply.function_code = fc
            return reply
        return _RESPONSE[fc](bits=[bool(v) for v in values]) if fc in _BITS else _RESPONSE[fc](registers=values)

    def _held(self, unit: int, fc: int, address: int, count: int, now: float) -> list[int] | ExcCodes:
        """Return the values of registers or coils, or why there are none."""
        image = self._images[unit]
        if isinstance(image, SceneImage):
            return image.read(fc, address, count, now)
        found = [image(fc, number, now) for number in range(address, address + count)]
        held = [value for value in found if value is not None]
        return held if len(held) == len(found) else ExcCodes.ILLEGAL_ADDRESS


def incubator(seed: int, unit: int) -> Image:
    """Return the registers of a HettCube (manual AB69601, section 6.20): 0 temperature x 10, 3 door, 4 alarm bits.

    The chamber is held at 37.0 °C, 0.2 °C to either side over 10 minutes. The door is opened for 40 s in every 8 to 12
    minutes; the chamber then loses 3 °C in 40 s and wins them back in 120 s. Open for 30 s: bit 0, door alarm. Below
    35.5 °C: bit 2, lower temperature alarm. Registers 1 and 2 are not in the manual's table: exception 02.
    """
    rng = random.Random(seed * 1000 + unit)
    phase, period, offset = rng.random() * math.tau, rng.uniform(480, 720), rng.random() * 480

    def image(fc: int, address: int, now: float) -> int | None:
        if fc != FunctionCode.READ_INPUT_REGISTERS:
            return None
        since_opened = (now + offset) % period
        is_open = since_opened < 40
        loss = 3 * (since_opened / 40 if is_open else max(0.0, 1 - (since_opened - 40) / 120))
        temperature = 37.0 + 0.2 * math.sin(math.tau * now / 600 + phase) - loss
        alarms = (is_open and since_opened >= 30) | (temperature < 35.5) << 2
        return {0: round(temperature * 10), 3: int(is_open), 4: alarms}.get(address)

    return image


def tagged(unit: int) -> Image:
    """Return an image in which a register holds [unit 4 bits][fc 2 bits][address 10 bits], a coil a bit of its hash."""

    def image(fc: int, address: int, _now: float) -> int:
        tag = (unit & 0xF) << 12 | (fc & 3) << 10 | address & 0x3FF
        return blake2b(tag.to_bytes(2, "big"), digest_size=1).digest()[0] & 1 if fc in _BITS else tag

    return image


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> ModbusServer:
    """Return the units of a line under one scenario (see Scenario). Raises: ConfigError."""
    ignore = {f.name for f in fields(LineOptions)} - {"framing"}  # a port's options may be handed to both ends
    scenario = build(Scenario, options, lambda *keys: " ".join(keys), ignore)
    framing = line_framing(scenario.framing, {spec.profile.id: read_dialect(spec.profile) for spec in devices})
    units = {build(UnitOptions, spec.options, lambda *keys: " ".join(keys)).unit: spec for spec in devices}
    scenarios = {unit: scenario for unit in units if scenario.only_unit in (0, unit)}
    images = {unit: _image(scenario, unit, spec.profile, scene) for unit, spec in units.items()}
    return ModbusServer(framing, images, scenarios, scenario.seed)


def _image(scenario: Scenario, unit: int, profile: Profile, scene: Scene) -> Image | SceneImage:
    if scenario.image == "scene":
        return SceneImage(profile, scene)
    return incubator(scenario.seed, unit) if scenario.image == "incubator" else tagged(unit)


_GOOD = Scenario()
