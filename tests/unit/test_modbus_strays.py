"""What comes that is not the reply in flight: late, foreign, spoilt, echoed. It is named, and never becomes a value."""

from __future__ import annotations

import pytest

from drivers.modbus.adu import MAX_ADU
from drivers.modbus.protocol import ModbusProtocol
from drivers.modbus.simulator import Scenario, tagged
from gateway.core.frame import Event, Fault, Frame
from tests.unit.modbus_rig import (
    FRAMINGS,
    REFUSAL,
    REPLY,
    T,
    asked,
    block,
    devices,
    events,
    line,
    reasons,
    wire,
)

# ---- late replies


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_late_reply_is_named_and_thrown_away(framing: str) -> None:
    run = line(framing, {1: [block("a")], 2: [block("a")]}, {1: Scenario(delay_s=0.8)}).run(3.0)
    assert all(frame.source == 1 for _, frame in run.frames())
    assert "late" in run.faults()


@pytest.mark.parametrize("framing", FRAMINGS)
def test_after_a_late_reply_the_blocks_are_not_off_by_one(framing: str) -> None:
    """Replies that come one request late must not become the values of the next block, for ever."""
    units = {1: [block("a", address=0, count=2), block("b", address=10, count=2), block("c", address=20, count=2)]}
    scenario = {1: Scenario(delay_s=0.7)}  # every reply comes while the next request could be in flight
    run = line(framing, units, scenario).run(30.0)
    scenario[1] = Scenario()
    run.run(60.0)
    image = tagged(1)
    for _, frame in run.frames():
        first = {"a": 0, "b": 10, "c": 20}[frame.kind]
        values = [image(3, address, 0.0) or 0 for address in (first, first + 1)]
        assert frame.payload == b"".join(value.to_bytes(2, "big") for value in values)
    assert {frame.kind for _, frame in run.frames()} == {"a", "b", "c"}


def test_on_a_serial_line_blocks_of_one_shape_wait_until_an_owed_reply_cannot_come_any_more() -> None:
    same = {1: [block("a", address=0), block("b", address=10)]}
    scenario = {1: Scenario(dead=True)}
    run = line("rtu", same, scenario).run(0.1)
    scenario[1] = Scenario()
    run.run(30.0)
    (t0, first), (t1, second), *_ = run.sent()
    assert t1 - t0 == pytest.approx(10.0, abs=0.03)  # late_s
    assert {first[3], second[3]} <= {0, 10}
    assert {frame.kind for _, frame in run.frames()} == {"a", "b"}


def test_a_reply_of_another_shape_settles_nothing_so_a_unit_may_answer_out_of_order() -> None:
    rows = [block("a", address=0), block("b", address=10), block("c", fc=4, address=20)]
    protocol = ModbusProtocol(devices({1: rows}), {"framing": "rtu"})
    protocol.start(0.0)
    sent = [protocol.data_to_send(t) for t in (0.0, 0.5, 1.0)]  # a, time-out, c: b has the shape of a and waits
    assert [data[1] for data in sent if data] == [3, 4]
    protocol.receive_data(REPLY["rtu"], 0)
    assert [e.kind for e in events(protocol) if isinstance(e, Frame)] == ["c"]
    for step in range(8):
        assert protocol.data_to_send(1.01 + step / 10) == b""  # neither a nor b
    protocol.receive_data(wire("rtu", 1, b"\x03\x02\x00\x07"), 0)  # the answer to a, overtaken by c
    protocol.data_to_send(1.9)
    assert protocol.data_to_send(1.96)[1] == 3  # now nothing is owed
    assert reasons(events(protocol)) == ["late"]


def test_a_refusal_while_answers_are_owed_may_be_one_of_those() -> None:
    """On a serial line an exception names no block: what is in flight may still be answered with data."""
    rows = [block("c", fc=3, address=20, count=2), block("a", address=0), block("b", address=10)]
    protocol = ModbusProtocol(devices({1: rows}), {"framing": "rtu"})
    protocol.start(0.0)
    sent = [protocol.data_to_send(t) for t in (0.0, 0.5, 1.0)]  # c, time-out, a
    assert [data[3] for data in sent if data] == [20, 0]
    protocol.receive_data(wire("rtu", 1, b"\x83\x06"), 0)  # is it c's or a's?
    for step in range(80):  # so a may still be answered, and b waits
        data = protocol.data_to_send(1.01 + step / 10)
        assert not data or data[3] == 20


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_late_exception_is_late_too(framing: str) -> None:
    protocol = asked(framing)
    protocol.data_to_send(T)  # the other unit is asked, in vain
    protocol.receive_data(REFUSAL[framing], 0)
    protocol.data_to_send(2 * T)
    protocol.data_to_send(2 * T + 0.1)
    assert reasons(events(protocol)) == ["timeout", "timeout", "late"]


def test_on_tcp_a_reply_is_late_even_when_a_younger_request_is_answered_already() -> None:
    protocol = asked("tcp")
    assert protocol.data_to_send(T)[6] == 2  # the other unit
    assert protocol.data_to_send(2 * T)[:7] == bytes.fromhex("0003 0000 0006 01")
    protocol.receive_data(b"\x00\x03" + REPLY["tcp"][2:], 0)
    protocol.receive_data(REPLY["tcp"], 0)
    protocol.data_to_send(1.1)
    protocol.data_to_send(1.2)
    assert reasons(events(protocol)) == ["timeout", "timeout", "late"]


def test_a_late_reply_taken_for_its_own_block_settles_only_what_was_asked_before_it() -> None:
    rows = [block("c", fc=4), block("a", address=0), block("b", address=10)]
    protocol = ModbusProtocol(devices({1: rows}), {"framing": "rtu"})
    protocol.start(0.0)
    sent = [protocol.data_to_send(t) for t in (0.0, 0.5, 1.0, 1.5, 2.0)]  # c, time-out, a, time-out, c again
    assert [data[1] for data in sent if data] == [4, 3, 4]
    protocol.receive_data(REPLY["rtu"], 0)  # the answer to the first c; a's may still come
    assert [e.kind for e in events(protocol) if isinstance(e, Frame)] == ["c"]
    assert [protocol.data_to_send(2.0 + step / 10) for step in range(9)] == [b""] * 9  # neither a nor b


# ---- what else can come


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize(
    ("pdu", "unit", "reason"),
    [
        (b"\x04\x02\x01\x72", 2, "wrong_unit"),
        (b"\x04\x02\x01\x72", 77, "wrong_unit"),
        (b"\x03\x02\x01\x72", 1, "wrong_function"),
        (b"\x83\x02", 1, "wrong_function"),
        (b"\x04\x04\x01\x72\x00\x00", 1, "wrong_length"),
    ],
)
def test_a_reply_that_is_not_the_one_asked_for_is_named_and_thrown_away(
    framing: str, pdu: bytes, unit: int, reason: str
) -> None:
    protocol = asked(framing)
    protocol.receive_data(wire(framing, unit, pdu), 0)
    assert events(protocol) == []
    protocol.receive_data(REPLY[framing], 1)
    found = events(protocol)
    assert reasons(found) == [reason]
    assert [e.payload for e in found if isinstance(e, Frame)] == [b"\x01\x72"]
    assert all(e.bad_frame for e in found if isinstance(e, Fault))


def test_another_transaction_is_not_the_one_asked_for() -> None:
    protocol = asked("tcp")
    protocol.receive_data(b"\x00\x09" + REPLY["tcp"][2:], 0)
    protocol.receive_data(REPLY["tcp"], 1)
    found = events(protocol)
    assert reasons(found) == ["wrong_transaction"]
    assert isinstance(found[1], Frame)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_reply_said_twice_counts_once(framing: str) -> None:
    protocol = asked(framing)
    protocol.receive_data(REPLY[framing] + REPLY[framing], 0)
    assert [type(e) for e in events(protocol)] == [Frame]
    protocol.data_to_send(0.1)
    protocol.data_to_send(0.2)
    assert reasons(events(protocol)) == ["unexpected"]


@pytest.mark.parametrize("framing", FRAMINGS)
def test_bytes_before_anything_was_asked_are_named(framing: str) -> None:
    protocol = ModbusProtocol(devices({1: [block("a")]}), {"framing": framing})
    protocol.start(0.0)
    protocol.receive_data(REPLY[framing], 0)
    assert protocol.data_to_send(0.0) == b""  # the line is not quiet
    assert protocol.data_to_send(0.1)
    assert reasons(events(protocol)) == ["unexpected"]


@pytest.mark.parametrize("framing", ["rtu", "ascii"])
def test_a_cut_reply_is_garbage_and_the_request_times_out(framing: str) -> None:
    run = line(framing, {1: [block("a")]}, {1: Scenario(cut=1)}).run(0.9)
    assert run.frames() == []
    assert run.faults() == ["timeout", "garbled"]


@pytest.mark.parametrize("framing", ["rtu", "ascii"])
def test_an_adapter_that_echoes_is_named_once_and_read_all_the_same(framing: str) -> None:
    protocol = ModbusProtocol(devices({1: [block("a", fc=4)]}), {"framing": framing})
    protocol.start(0.0)
    found: list[Event] = []
    for t in (0.0, 1.0, 2.0):
        sent = protocol.data_to_send(t)
        protocol.receive_data(sent, 0)
        protocol.receive_data(REPLY[framing], 0)
        protocol.data_to_send(t + 0.1)
        found += events(protocol)
    assert reasons(found) == ["echo"]
    assert [e.payload for e in found if isinstance(e, Frame)] == [b"\x01\x72"] * 3


@pytest.mark.parametrize("framing", FRAMINGS)
def test_an_echo_that_looks_like_the_reply_is_not_taken_for_it(framing: str) -> None:
    """01 01 03 xx 00 17: a request for 23 coils at 03xx is, byte for byte, a reply with three bytes of coils."""
    protocol = ModbusProtocol(devices({1: [block("a", fc=1, address=0x0312, count=23)]}), {"framing": framing})
    protocol.start(0.0)
    protocol.receive_data(protocol.data_to_send(0.0), 0)
    assert [e for e in events(protocol) if isinstance(e, Frame)] == []


@pytest.mark.parametrize("framing", FRAMINGS)
def test_endless_noise_stops_neither_the_line_nor_the_complaints(framing: str) -> None:
    protocol = ModbusProtocol(devices({1: [block("a")]}), {"framing": framing})
    protocol.start(0.0)
    sent, found = 0, []
    for step in range(2000):  # 20 s, a byte every 10 ms
        sent += bool(protocol.data_to_send(step * 0.01))
        protocol.receive_data(b"\x55", 0)
        found += events(protocol)
    assert sent >= 5
    assert reasons(found).count("silent") == 1
    assert reasons(found).count("garbled") >= 5


@pytest.mark.parametrize("framing", FRAMINGS)
def test_memory_is_bounded(framing: str) -> None:
    protocol = asked(framing)
    for _ in range(200):
        protocol.receive_data(b"\x01\x04:01" * 200, 0)
    assert len(protocol._line) <= MAX_ADU
    assert len(events(protocol)) == 0
