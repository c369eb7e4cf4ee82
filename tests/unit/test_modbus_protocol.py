"""The master of one line: turns, time-outs, back-off, and the contract that every driver keeps."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.modbus import DRIVER
from drivers.modbus.protocol import ModbusProtocol
from drivers.modbus.simulator import ModbusServer, Scenario, tagged
from gateway.core.errors import ConfigError
from gateway.core.frame import Event, Fault, Frame
from gateway.core.protocol import DeviceSpec
from tests.unit.modbus_rig import (
    FRAMINGS,
    REFUSAL,
    REPLY,
    Line,
    T,
    asked,
    block,
    devices,
    events,
    hettcube,
    line,
    profile,
)

framings = st.sampled_from(FRAMINGS)


# ---- the good case


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_reply_becomes_a_frame_at_once(framing: str) -> None:
    protocol = asked(framing)
    protocol.receive_data(REPLY[framing], 123)
    assert events(protocol) == [Frame("a", bytes.fromhex("0172"), 123, source=0)]
    assert protocol.frames_ok == 1


@pytest.mark.parametrize("framing", FRAMINGS)
def test_every_block_is_read_at_its_interval_from_its_unit(framing: str) -> None:
    units = {
        3: [block("fast", fc=4, count=2), block("slow", fc=3, address=7, interval_s=5.0)],
        9: [block("coils", fc=1, address=3, count=19, interval_s=2.0)],
    }
    run = line(framing, units).run(20.5)
    counts = Counter((frame.source, frame.kind) for _, frame in run.frames())
    assert counts == {(0, "fast"): 21, (0, "slow"): 5, (1, "coils"): 11}
    assert run.faults() == []
    coils = tagged(9)
    assert run.frames(kind="coils")[0][1].payload == bytes(coils(1, address, 0) or 0 for address in range(3, 22))


def test_on_a_serial_line_the_next_request_waits_for_the_silence() -> None:
    run = line("rtu", {1: [block("a"), block("b", address=9, count=2)]}).run(3.0)
    times = [t for t, _, _ in run.wire]
    assert [way for _, way, _ in run.wire[:4]] == [">", "<", ">", "<"]
    assert times[2] - times[1] == pytest.approx(0.0041)


# ---- a unit that fails


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("dead", [1, 2, 3])
def test_a_dead_unit_costs_the_others_one_time_out_at_most(framing: str, dead: int) -> None:
    units = {unit: [block("a"), block("b", fc=4, count=3)] for unit in (1, 2, 3)}
    run = line(framing, units, {dead: Scenario(dead=True)}).run(120.0)
    for source, unit in enumerate(units):
        for kind in ("a", "b"):
            times = [t for t, _ in run.frames(source, kind)]
            if unit == dead:
                assert times == []
            else:
                assert max(b - a for a, b in pairwise([0.0, *times, 120.0])) <= 1.0 + T + 0.1
    assert run.faults() == ["timeout", "timeout", "silent"]


@pytest.mark.parametrize("framing", FRAMINGS)
def test_between_two_turns_of_a_unit_every_dead_one_is_tried_once_at_most(framing: str) -> None:
    units = {unit: [block("a"), block("b", fc=4, count=3)] for unit in range(1, 7)}
    run = line(framing, units, {unit: Scenario(dead=True) for unit in range(1, 6)}).run(60.0)
    turns = [t for t, _ in run.frames(source=5)]
    assert max(b - a for a, b in pairwise([0.0, *turns])) <= 1.0 + 5 * T + 0.1


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_silent_unit_is_tried_ever_less_often_and_at_least_every_half_minute(framing: str) -> None:
    run = line(framing, {1: [block("a")]}, {1: Scenario(dead=True)}).run(300.0)
    times = [t for t, _ in run.sent()]
    pauses = [b - a - T for a, b in pairwise(times)]
    assert pauses[:8] == pytest.approx([T, T, 1, 2, 4, 8, 16, 30], abs=0.03)
    assert pauses[8:] == pytest.approx([30] * len(pauses[8:]), abs=0.03)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_unit_that_comes_back_is_read_again_and_its_first_frame_says_that_some_are_missing(framing: str) -> None:
    scenario = {1: Scenario(dead=True)}
    run = line(framing, {1: [block("a")]}, scenario).run(10.0)
    assert run.frames() == []
    scenario[1] = Scenario()
    run.run(60.0)
    gaps = [frame.after_gap for _, frame in run.frames()]
    assert len(gaps) > 20
    assert gaps[0]
    assert not any(gaps[1:])


@pytest.mark.parametrize("framing", FRAMINGS)
def test_exceptions_are_counted_and_only_their_block_backs_off(framing: str) -> None:
    units = {1: [block("a"), block("b", fc=4)]}

    def image(fc: int, _address: int, now: float) -> int | None:
        return 7 if fc == 3 or now > 100 else None

    run = Line(ModbusProtocol(devices(units), {"framing": framing}), ModbusServer(framing, {1: image})).run(200.0)
    assert set(run.faults()) == {"exception_02"}
    assert 5 < len(run.faults()) < 15
    assert len(run.frames(kind="a")) == 201
    assert run.frames(kind="b")[0][1].after_gap
    assert len(run.frames(kind="b")) > 60
    assert run.protocol.frames_ok == len(run.frames()) + len(run.faults())


@pytest.mark.parametrize("code", range(256))
def test_every_exception_code_has_a_reason_that_tells_what_to_do(code: int) -> None:
    run = line("tcp", {1: [block("a")]}, {1: Scenario(exception=code)}).run(0.0)
    if code:
        (reason,) = run.faults()
        assert DRIVER.faults[reason]
    else:
        assert run.frames()


# ---- the contract


@given(framings, st.lists(st.binary(max_size=300), max_size=8))
def test_any_bytes_at_any_time_raise_nothing_and_give_no_frame(framing: str, chunks: list[bytes]) -> None:
    protocol = ModbusProtocol(devices({5: [block("a", fc=3, count=3)]}), {"framing": framing})
    protocol.start(0.0)
    now = 0.0
    for chunk in chunks:
        protocol.data_to_send(now)
        protocol.receive_data(chunk, 0)
        now = max(now, protocol.next_wake() or now)
    found = events(protocol)
    assert not any(isinstance(event, Frame) for event in found)
    assert {event.reason for event in found if isinstance(event, Fault)} <= set(DRIVER.faults)


_SPARE = [_ for f in FRAMINGS for _ in (REPLY[f], REPLY[f][:5], REPLY[f][1:], REFUSAL[f])]


@example("rtu", [b"\x55" * 600, REPLY["rtu"]], [])
@example("rtu", [REPLY["rtu"], REFUSAL["rtu"]], [])
@example("rtu", [REFUSAL["rtu"], REPLY["rtu"]], [])
@example("tcp", [REPLY["tcp"][:5], b"\x55" * 600, REPLY["tcp"], b"\x55" * 600], [3])
@given(
    framings,
    st.lists(st.one_of(st.sampled_from(_SPARE), st.binary(max_size=40), st.just(b"\x55" * 600)), max_size=6),
    st.lists(st.integers(0, 2000), max_size=12),
)
def test_where_the_bytes_are_cut_makes_no_difference(framing: str, parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})

    def told(pieces: list[bytes]) -> list[Event]:
        protocol = asked(framing)
        for piece in pieces:
            protocol.receive_data(piece, 5)
        for t in (0.3, 0.4, 0.6, 0.7):
            protocol.data_to_send(t)
        return events(protocol)

    whole = told([data])
    assert told([data[i : i + 1] for i in range(len(data))]) == whole
    assert told([data[a:b] for a, b in pairwise(edges)]) == whole


@pytest.mark.parametrize("framing", FRAMINGS)
def test_start_forgets_the_line(framing: str) -> None:
    run = line(framing, {1: [block("a")]}, {1: Scenario(dead=True)})
    first = run.run(5.0).wire[0][2]
    run.protocol.receive_data(b"\x01\x02\x03", 0)
    run.protocol.start(100.0)
    assert events(run.protocol) == []
    assert run.protocol.next_wake() == pytest.approx(100.0, abs=0.01)
    assert run.protocol.data_to_send(100.0) == first  # transaction 1 again


@pytest.mark.parametrize("framing", FRAMINGS)
def test_stop_asks_nothing_more_but_hears_out_what_is_in_flight(framing: str) -> None:
    protocol = asked(framing)
    protocol.stop(0.1)
    assert protocol.next_wake() == T
    protocol.receive_data(REPLY[framing], 0)
    assert [type(e) for e in events(protocol)] == [Frame]
    assert protocol.data_to_send(9.0) == b""
    assert protocol.data_to_send(9.1) == b""
    assert protocol.next_wake() is None


@pytest.mark.parametrize("framing", FRAMINGS)
def test_stop_on_a_dead_line_ends_with_the_time_out(framing: str) -> None:
    protocol = asked(framing)
    protocol.stop(0.1)
    assert protocol.data_to_send(T) == b""
    assert protocol.next_wake() is None


def test_transactions_count_from_1_and_leave_out_0() -> None:
    protocol = ModbusProtocol(devices({1: [block("a", interval_s=0.05)]}), {"framing": "tcp"})
    protocol.start(0.0)
    protocol._transaction = 65534
    server = ModbusServer("tcp", {1: tagged(1)})
    numbers = []
    for step in range(3):
        sent = protocol.data_to_send(step * 1.0)
        numbers.append(int.from_bytes(sent[:2], "big"))
        server.receive_data(sent, 0.0)
        protocol.receive_data(server.data_to_send(0.0), 0)
    assert numbers == [65535, 1, 2]
    assert protocol.frames_ok == 3


@pytest.mark.parametrize(
    ("options", "unit", "what"),
    [
        ({"framing": "udp"}, 1, "framing"),
        ({"timeout_s": 0}, 1, "timeout_s"),
        ({"tries": 0}, 1, "tries"),
        ({"framing": "rtu", "turnaround_s": 0.001}, 1, "too short for RTU"),
        ({"late_s": 1.0, "timeout_s": 2.0}, 1, "late_s"),
        ({"baud": 9600}, 1, "unknown key 'baud'"),
        ({}, 0, "unit"),
        ({}, 248, "unit"),
        ({}, "1", "unit"),
    ],
)
def test_wrong_options_are_refused_at_construction(options: dict[str, Any], unit: Any, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        DRIVER.protocol([DeviceSpec(0, hettcube(), {"unit": unit})], options)


def test_one_unit_number_cannot_be_two_devices() -> None:
    rows = profile({"block": [block("a")]})
    with pytest.raises(ConfigError, match="unit 4 is configured twice"):
        DRIVER.protocol([DeviceSpec(0, rows, {"unit": 4}), DeviceSpec(1, rows, {"unit": 4})], {})


def test_the_registry_card_is_complete() -> None:
    assert set(DRIVER.options) == {"framing", "timeout_s", "tries", "turnaround_s", "late_s"}
    assert DRIVER.device_options["unit"][:2] == (int, 1)
    assert all(text.endswith(".") and len(text) > 20 for text in DRIVER.faults.values())
    DRIVER.protocol([DeviceSpec(0, hettcube())], {name: default for name, (_, default, _) in DRIVER.options.items()})
