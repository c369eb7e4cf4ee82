"""The other end of the line: an incubator that behaves, and units that do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus import DRIVER
from drivers.modbus.adu import FRAMINGS
from drivers.modbus.protocol import ModbusProtocol
from drivers.modbus.simulator import ModbusServer, Scenario, incubator, tagged
from gateway.core.errors import ConfigError
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from tests.unit.modbus_rig import Line, block, devices, hettcube, wire

DEVICES = [DeviceSpec(0, hettcube(), {"unit": 1}), DeviceSpec(1, hettcube(), {"unit": 2})]


def run(until: float = 60.0, **scenario: Any) -> Line:
    framing = {"framing": scenario.get("framing", "tcp")}
    device = DRIVER.simulator(DEVICES, {**framing, "image": "incubator", **scenario}, Scene())
    return Line(DRIVER.protocol(DEVICES, framing), device).run(until)  # type: ignore[arg-type]


@pytest.mark.parametrize("framing", ["rtu", "ascii", "tcp"])
def test_two_incubators_on_a_line(framing: str) -> None:
    line = run(1800.5, framing=framing)
    assert line.faults() == []
    for source in (0, 1):
        warm = [_i16(frame.payload) / 10 for _, frame in line.frames(source, "temperature")]
        status = [bytes(frame.payload) for _, frame in line.frames(source, "status")]  # type: ignore[arg-type]
        assert len(warm) == 361
        assert len(status) == 901
        assert 33.5 < min(warm) < 35.5
        assert 36.7 < sorted(warm)[len(warm) // 2] < 37.3
        assert max(warm) < 37.5
        assert {s[:2].hex() for s in status} == {"0000", "0001"}
        assert all(s[1] == 1 for s in status if s[3] & 1)  # the door alarm sounds while the door is open
        assert {s[3] & 4 for s in status} == {0, 4}


def _i16(payload: Any) -> int:
    return int.from_bytes(payload, "big", signed=True)


def test_seed_and_time_decide_and_nothing_else() -> None:
    assert run(seed=3).wire == run(seed=3).wire
    assert run(seed=3).wire != run(seed=4).wire
    noisy: dict[str, Any] = {"lost": 0.2, "flipped": 0.2, "jitter_s": 0.3, "framing": "rtu"}
    assert run(seed=3, **noisy).wire == run(seed=3, **noisy).wire


def test_said_is_what_the_frames_hold() -> None:
    told: list[tuple[int, int, int, Sequence[int]]] = []
    units = {4: [block("a", fc=3, count=3), block("b", fc=1, address=5, count=12)]}
    server = ModbusServer("rtu", {4: tagged(4)}, said=lambda *what: told.append(what))
    line = Line(ModbusProtocol(devices(units), {"framing": "rtu"}), server).run(5.5)
    held = [frame.payload for _, frame in line.frames()]
    said = [bytes(v) if fc < 3 else b"".join(i.to_bytes(2, "big") for i in v) for _, fc, _, v in told]
    assert held == said
    assert {what[:3] for what in told} == {(4, 3, 0), (4, 1, 5)}


@pytest.mark.parametrize(
    ("scenario", "faults"),
    [
        ({"dead": True}, {"timeout", "silent"}),
        ({"delay_s": 0.3}, set()),
        ({"delay_s": 0.7}, {"timeout", "silent", "late"}),
        ({"exception": 4}, {"exception_04"}),
        ({"answers_as": 9}, {"timeout", "silent", "wrong_unit"}),
        ({"cut": 1}, {"timeout", "silent", "garbled"}),
        ({"flipped": 1.0, "framing": "rtu"}, {"timeout", "silent", "garbled"}),
        ({"lost": 1.0}, {"timeout", "silent"}),
    ],
)
def test_each_scenario_does_what_it_says_to_one_unit_and_spares_the_other(
    scenario: dict[str, Any], faults: set[str]
) -> None:
    line = run(only_unit=2, **scenario)
    assert set(line.faults()) == faults
    assert len(line.frames(source=0)) > 20
    assert bool(line.frames(source=1)) == (not faults)


@pytest.mark.parametrize("option", [{"color": 1}, {"framing": "udp"}, {"lost": 2.0}, {"image": "fridge"}])
def test_a_wrong_scenario_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        DRIVER.simulator(DEVICES, option, Scene())


def test_the_options_of_a_port_may_be_handed_to_both_ends() -> None:
    options = {name: default for name, (_, default, _) in DRIVER.options.items()}
    line = Line(DRIVER.protocol(DEVICES, options), DRIVER.simulator(DEVICES, options, Scene())).run(1.0)  # type: ignore[arg-type]
    assert len(line.frames()) == 4


@given(st.sampled_from(sorted(FRAMINGS)), st.lists(st.binary(max_size=100), max_size=5))
def test_any_bytes_are_survived(framing: str, chunks: list[bytes]) -> None:
    server = ModbusServer(framing, {unit: incubator(0, unit) for unit in range(1, 248)})
    for n, chunk in enumerate(chunks):
        server.receive_data(chunk, float(n))
        server.data_to_send(float(n))


@pytest.mark.parametrize("framing", ["rtu", "ascii", "tcp"])
def test_writes_are_refused_with_exception_1(framing: str) -> None:
    server = ModbusServer(framing, {1: tagged(1)})
    server.receive_data(wire(framing, 1, bytes.fromhex("06 0000 0001")), 0.0)
    adu = FRAMINGS[framing].open(server.data_to_send(0.0))
    assert adu is not None
    assert adu.pdu == b"\x86\x01"


def test_a_unit_answers_one_request_after_the_other() -> None:
    server = ModbusServer("tcp", {1: tagged(1)}, {1: Scenario(delay_s=1.0)})
    for number in (1, 2):
        server.receive_data(bytes([0, number]) + bytes.fromhex("0000 0006 01 03 0000 0001"), 0.0)
    assert server.next_wake() == 1.0
    assert server.data_to_send(1.0)[:2] == b"\x00\x01"
    assert server.next_wake() == 2.0
    assert server.data_to_send(2.0)[:2] == b"\x00\x02"
    assert server.next_wake() is None


@pytest.mark.parametrize("framing", ["rtu", "ascii", "tcp"])
def test_half_a_request_of_a_client_that_has_gone_does_not_spoil_the_next(framing: str) -> None:
    server = ModbusServer(framing, {1: tagged(1)})
    request = wire(framing, 1, bytes.fromhex("03 0000 0001"))
    server.receive_data(request[:5], 0.0)
    server.receive_data(request[:3], 5.0)
    server.receive_data(request[3:], 5.01)
    assert FRAMINGS[framing].open(server.data_to_send(5.01))
