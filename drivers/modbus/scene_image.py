"""What the registers of a profile hold while a scene is played: the usual image of the simulator.

Each row of the profile is written where the driver reads it, in its own type and byte order, so that a value which ends
up under another name, or scaled twice, is seen. What comes from the scene:

    numbers        scene.raw: scale, offset and raw unit undone
    enumerations   each raw number of the row in its turn
    alerts         1 while the event is on, in the bit or field of its row

What has no value (a probe that is off, a scene in which nothing is measured) is told as the device would tell it: by
the first raw_invalid of the row. A measured value without such a code has no way to say so; its block is then refused
with exception 04, device failure. Settings, states and alerts are the device's own and go on.

What no row names holds 0 inside a block. Outside of the blocks nothing is known, so there is no register: exception 02.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace

from pymodbus.constants import ExcCodes

from drivers.modbus.blocks import Block, FunctionCode, read_blocks
from drivers.modbus.dialect import read_dialect
from gateway.core.nomenclature import nomenclature
from gateway.core.profile import MetricSpec, Profile
from gateway.core.scene import Scene
from gateway.core.units import linear

_LETTER = {"u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q"}
_FLOATS = {"f32": "f", "f64": "d"}
_NATURAL = "ABCDEFGH"


class SceneImage:
    """Registers and coils of one device."""

    def __init__(self, profile: Profile, scene: Scene) -> None:
        dialect = read_dialect(profile)
        self._blocks = read_blocks(profile)
        self._places: dict[tuple[int, int], tuple[Block, int]] = {
            (block.fc, address): (block, number)
            for block in self._blocks
            for number, address in enumerate(block.addresses(dialect))
        }
        self._step = 2 if dialect.byte_addressed else 1
        self._short = {(block.fc, block.address) for block in self._blocks if block.one_byte}
        self._rows: dict[str, list[tuple[MetricSpec, Callable[[float], float | None]]]] = {}
        for spec in (spec for channel in profile.resolve("") for spec in channel.metrics if spec.at is not None):
            self._rows.setdefault(spec.frame, []).append((spec, _source(spec, scene)))

    def is_short(self, fc: int, address: int, count: int) -> bool:
        """Tell whether the reply brings one byte only (Block.one_byte)."""
        return count == 1 and (fc, address) in self._short

    def read(self, fc: int, address: int, count: int, now: float) -> list[int] | ExcCodes:
        """Return the values of `count` registers or coils, or why there are none."""
        held: dict[str, list[int] | None] = {}
        values = []
        for wanted in range(address, address + self._step * count, self._step):
            if (fc, wanted) not in self._places:
                return ExcCodes.ILLEGAL_ADDRESS
            block, number = self._places[fc, wanted]
            if block.name not in held:  # a block is read at one moment
                held[block.name] = self._hold(block, now)
            found = held[block.name]
            if found is None:
                return ExcCodes.DEVICE_FAILURE
            values.append(found[number])
        return values

    def _hold(self, block: Block, now: float) -> list[int] | None:
        """Return what the registers or coils of a block hold; None when a value is missing that cannot be told."""
        data = bytearray(block.payload_size)
        for spec, source in self._rows.get(block.name, ()):
            raw = source(now)
            if raw is None:
                return None
            for at, byte in _encode(spec, raw):
                data[at] |= byte  # bits of one register come from several rows
        if block.fc in (FunctionCode.READ_COILS, FunctionCode.READ_DISCRETE_INPUTS):
            return list(data)
        return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def _source(spec: MetricSpec, scene: Scene) -> Callable[[float], float | None]:
    """Return the function now -> raw number of a row, None where it has none and no code for that."""
    if spec.kind == "alert":
        event = f"{spec.id} {spec.path}"  # rows of one term each have their own time
        return lambda now: float(scene.alert(event, now) > 0)
    awake = replace(scene, nothing=False)
    measured = spec.kind == "numeric" and spec.category == "measurement"
    asked, scale, offset = _in_its_unit(spec)

    def raw(now: float) -> float | None:
        found = scene.raw(asked, now)
        if found is None and spec.raw_invalid:
            return float(spec.raw_invalid[0])
        if found is None and not measured:
            found = awake.raw(asked, now)
        return None if found is None else found * scale + offset

    return raw


def _in_its_unit(spec: MetricSpec) -> tuple[MetricSpec, float, float]:
    """Return the row to ask the scene for, and the way from there to the raw number: raw = number x scale + offset.

    The scene is asked in the row's unit. It makes up a number that it does not know from the row's range, which is in
    that unit too; the way from there to the raw unit is gone here.
    """
    if spec.kind != "numeric":
        return spec, 1.0, 0.0
    asked = replace(spec, scale=1, offset=0, raw_unit="")
    known = nomenclature().units
    unit, raw_unit = (known[text].ucum if text in known else text for text in (spec.unit, spec.raw_unit or spec.unit))
    factor, shift = linear(unit, raw_unit)
    return asked, factor / spec.scale, (shift - spec.offset) / spec.scale


def _encode(spec: MetricSpec, raw: float) -> Iterator[tuple[int, int]]:
    """Yield (place in the payload, byte) of a raw number; what the type cannot hold stays at the end of its range."""
    assert spec.at is not None
    if spec.type == "bit":
        data = (int(raw != 0) << spec.bit).to_bytes(2, "big")
    elif spec.type in _FLOATS:
        data = struct.pack(">" + _FLOATS[spec.type], raw)
    else:
        bits = int(spec.type[1:])
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if spec.type[0] == "i" else (0, (1 << bits) - 1)
        data = struct.pack(">" + _LETTER[spec.type], min(max(round(raw), low), high))
    for at, letter in enumerate(spec.order or _NATURAL[: len(data)]):
        yield spec.at + at, data[_NATURAL.index(letter)]
