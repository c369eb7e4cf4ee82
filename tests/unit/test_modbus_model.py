"""The one promise that matters, against lines where everything goes wrong: no value under a name that is not its own.

Every register of the simulator names its unit, table and address. Whatever units do (die, answer late, get lost, get
spoilt, refuse), a frame that says (unit, block) must hold just the tags of that unit and that block.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.modbus.adu import FRAMINGS
from drivers.modbus.blocks import Block
from drivers.modbus.protocol import ModbusProtocol
from drivers.modbus.simulator import ModbusServer, Scenario, tagged
from tests.unit.modbus_rig import Line, block, devices

LATE_S = 10.0  # default of late_s: the limit that README.md names


def scenarios(latest_s: float) -> st.SearchStrategy[Scenario]:
    share = st.sampled_from([0.0, 0.0, 0.1, 0.5])
    slow = st.sampled_from([0.0, 0.0, 0.1, 0.4, 0.6, 1.1, 2.0, 3.0, 5.0]).map(lambda s: min(s, latest_s))
    return st.builds(
        Scenario,
        dead=st.sampled_from([False, False, False, True]),
        delay_s=slow,
        jitter_s=slow,
        exception=st.sampled_from([0, 0, 0, 2, 6, 99]),
        answers_as=st.sampled_from([0, 0, 0, 200]),
        cut=st.sampled_from([0, 0, 0, 1, 4]),
        lost=share,
        flipped=share,
    )


@st.composite
def plans(draw: st.DrawFn, one_shape_each: bool) -> list[dict[str, Any]]:
    """Blocks of one unit that do not overlap; of many shapes, or of few."""
    rows: list[dict[str, Any]] = []
    shapes = set()
    for i in range(draw(st.integers(1, 4))):
        row = block(
            f"b{i}",
            fc=draw(st.integers(1, 4)),
            address=100 * i + draw(st.integers(0, 40)),
            count=draw(st.sampled_from([17, 24, 30] if one_shape_each else [1, 2, 2, 20])),
            interval_s=draw(st.sampled_from([0.3, 1.0, 2.5])),
        )
        row["count"] += 16 if row["fc"] <= 2 else 0  # one coil alone is no tag
        shape = Block(**row).shape
        if not one_shape_each or shape not in shapes:
            rows.append(row)
            shapes.add(shape)
    return rows


def expected(unit: int, row: Block) -> bytes:
    image = tagged(unit)
    values = [image(row.fc, address, 0.0) or 0 for address in range(row.address, row.address + row.count)]
    return bytes(values) if row.fc <= 2 else b"".join(value.to_bytes(2, "big") for value in values)


def check(framing: str, units: dict[int, list[dict[str, Any]]], bad: dict[int, Scenario], seed: int) -> Line:
    """Run a minute with the scenarios, then a minute in which all units behave.

    On TCP nothing is spoilt or cut: TCP has the checksum and the order, Modbus adds none.
    """
    if framing == "tcp":
        bad = {unit: replace(scenario, flipped=0.0, cut=0) for unit, scenario in bad.items()}
    server = ModbusServer(framing, {unit: tagged(unit) for unit in units}, bad, seed)
    run = Line(ModbusProtocol(devices(units), {"framing": framing}), server).run(60.0)
    bad.clear()
    run.run(120.0)
    numbers = list(units)
    for _, frame in run.frames():
        unit = numbers[frame.source]
        (row,) = (Block(**row) for row in units[unit] if row["name"] == frame.kind)
        assert frame.payload == expected(unit, row)
    for _, data in run.sent():
        adu = FRAMINGS[framing].open(data)
        assert adu is not None
        assert adu.pdu[0] in (1, 2, 3, 4)
        assert adu.unit in units
    return run


def lines(one_shape_each: bool, latest_s: float) -> st.SearchStrategy[tuple[Any, Any]]:
    numbers = st.lists(st.integers(1, 15), min_size=1, max_size=3, unique=True)
    return numbers.flatmap(
        lambda units: st.tuples(
            st.fixed_dictionaries({unit: plans(one_shape_each) for unit in units}),
            st.fixed_dictionaries({unit: scenarios(latest_s) for unit in units}),
        )
    )


@settings(max_examples=80)
@given(st.sampled_from(sorted(FRAMINGS)), lines(False, LATE_S / 4), st.integers(0, 1000))
def test_no_value_under_a_wrong_name_while_replies_are_no_later_than_late_s(
    framing: str, setup: tuple[dict[int, Any], dict[int, Scenario]], seed: int
) -> None:
    """A unit answers one request after the other, so what piles up comes later than its own delay: hence a quarter."""
    run = check(framing, *setup, seed)
    units, _ = setup
    back = {(frame.source, frame.kind) for t, frame in run.frames() if t > 60}
    assert back == {(i, row["name"]) for i, rows in enumerate(units.values()) for row in rows}


@settings(max_examples=40)
@given(st.sampled_from(sorted(FRAMINGS)), lines(True, 3600.0), st.integers(0, 1000))
def test_with_one_shape_for_each_block_no_delay_whatever_puts_a_value_under_a_wrong_name(
    framing: str, setup: tuple[dict[int, Any], dict[int, Scenario]], seed: int
) -> None:
    units, bad = setup
    check(framing, units, {unit: replace(s, delay_s=s.delay_s * 7) for unit, s in bad.items()}, seed)


class AnyOrder:
    """The units of a line behind something that delays each answer on its own, so that they overtake each other."""

    def __init__(self, server: ModbusServer, seed: int) -> None:
        self._server, self._random = server, random.Random(seed)
        self._out: list[tuple[float, bytes]] = []

    def receive_data(self, data: bytes, now: float) -> None:
        self._server.receive_data(data, now)
        if answer := self._server.data_to_send(now):
            self._out.append((now + self._random.choice([0.0, 0.0, 0.0, 9.0 * self._random.random()]), answer))

    def data_to_send(self, now: float) -> bytes:
        due = sorted(item for item in self._out if item[0] <= now)
        self._out = [item for item in self._out if item[0] > now]
        return b"".join(data for _, data in due)

    def next_wake(self) -> float | None:
        return min((at for at, _ in self._out), default=None)


@settings(max_examples=80)
@given(
    st.sampled_from(sorted(FRAMINGS)),
    st.dictionaries(st.integers(1, 15), plans(False), min_size=1, max_size=3),
    st.integers(0, 1000),
    st.sampled_from([0, 0, 2]),
)
def test_no_value_under_a_wrong_name_when_answers_overtake_each_other(
    framing: str, units: dict[int, list[dict[str, Any]]], seed: int, exception: int
) -> None:
    """Each answer is no later than late_s, in any order; one unit may refuse everything."""
    bad = {min(units): Scenario(exception=exception)}
    server = ModbusServer(framing, {unit: tagged(unit) for unit in units}, bad)
    run = Line(ModbusProtocol(devices(units), {"framing": framing}), AnyOrder(server, seed)).run(120.0)
    numbers = list(units)
    for _, frame in run.frames():
        unit = numbers[frame.source]
        (row,) = (Block(**row) for row in units[unit] if row["name"] == frame.kind)
        assert frame.payload == expected(unit, row)
    back = {(frame.source, frame.kind) for _, frame in run.frames()}
    spared = {unit: rows for unit, rows in units.items() if not (exception and unit == min(units))}
    assert back == {(numbers.index(unit), row["name"]) for unit, rows in spared.items() for row in rows}


def test_the_model_would_notice() -> None:
    """The tags differ between all units, tables and addresses in use: a swapped frame cannot pass."""
    rng = random.Random(1)
    seen: dict[bytes, tuple[int, int, int]] = {}
    for _ in range(3000):
        unit, fc, address = rng.randint(1, 15), rng.randint(1, 4), rng.randint(0, 440)
        count = 33 if fc <= 2 else 1
        tag = expected(unit, Block("b", fc, address, count, 1.0))
        assert seen.setdefault(tag, (unit, fc, address)) == (unit, fc, address)
