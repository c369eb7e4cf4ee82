"""MEDIBUS, who says what when: both sides ask."""

from __future__ import annotations

from itertools import pairwise

import pytest

from drivers.draeger_medibus import DRIVER
from drivers.draeger_medibus.options import FAULTS
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.frame import Event
from gateway.core.profile import parse_profile
from gateway.core.protocol import DeviceProtocol, DeviceSpec
from gateway.core.transmit import Gate
from tests.conftest import ROOT
from tests.unit.medibus_rig import (
    ICC_ANSWER,
    T0,
    answered,
    command,
    converse,
    drained,
    faults,
    frames,
    profile,
    protocol,
    response,
    told,
)

WHO = response(0x52, b"0161'MDI gateway'01.00:04.03")
ROUND = (0x2A, 0x24, 0x27, 0x2E, 0x29, 0x25, 0x26, 0x28)  # of an Evita 4, in this order
GATE = Gate(profile("evita_4").transmit)


def polling(**options: object) -> tuple[DeviceProtocol, float]:
    """Return a session without curves whose first data request has gone out, and the time."""
    source = protocol(waves=[], **options)
    now = answered(source)
    source.data_to_send(now)
    assert source.data_to_send(now + 0.3) == command(0x2A)
    return source, now + 0.3


# ---- the beginning


def test_example_1_the_devices_icc_is_answered() -> None:
    source = protocol()
    source.data_to_send(0.0)
    source.receive_data(bytes.fromhex("1B5136430D"), T0)
    assert source.data_to_send(0.1) == bytes.fromhex("015135320D") + command(0x52)


def test_it_calls_every_three_seconds_and_says_once_that_nobody_answers() -> None:
    source = protocol()
    said = [(now, source.data_to_send(now)) for now in (i / 2 for i in range(40))]
    assert [now for now, data in said if data] == [0.0, 3.0, 6.0, 9.0, 12.0, 15.0, 18.0]
    assert {data for _, data in said if data} == {command(0x51)}
    assert faults(drained(source)) == ["no_answer"]


def test_who_are_you_inside_the_answer_to_icc() -> None:
    """The device asks it in the middle of its ICC response; the full identification is what an Evita 4 wants."""
    source = protocol()
    source.data_to_send(0.0)
    source.receive_data(ICC_ANSWER[:2] + command(0x52) + ICC_ANSWER[2:], T0)
    assert source.data_to_send(0.1) == WHO
    assert source.data_to_send(0.2) == b""  # 200 ms: what comes earlier is ignored
    assert source.data_to_send(0.31) == command(0x52)


def test_the_identification_names_the_revision_of_the_profile() -> None:
    v500 = protocol("evita_v500")
    v500.data_to_send(0.0)
    v500.receive_data(command(0x52), T0)
    assert v500.data_to_send(0.1) == response(0x52, b"0161'MDI gateway'01.00:06.00")


def test_a_round_in_its_order_one_command_at_a_time() -> None:
    source, now = polling()
    for code, following in pairwise(ROUND):
        assert source.data_to_send(now) == b""
        source.receive_data(response(code, b""), T0)
        assert source.data_to_send(now + 0.1) == command(following)
        now += 0.1


def test_a_profile_without_a_codepage_is_not_asked_for_it() -> None:
    said = b"".join(data for _, way, data in converse("evita_4", 40.0)[1] if way == ">")
    assert command(0x2B) not in said
    assert command(0x23) not in said
    said = b"".join(data for _, way, data in converse("evita_v500", 10.0)[1] if way == ">")
    assert command(0x2B) in said
    assert command(0x23) in said


def test_what_has_never_come_with_data_is_asked_for_rarely() -> None:
    """Old devices know a part of the requests (notes, section 10); measured data and alarms are asked for anyway."""
    source, now = polling()
    asked: dict[bytes, int] = {}
    waiting = command(0x2A)
    while now < 61:
        source.receive_data(response(waiting[1]), T0)
        now += 0.1
        if sent := source.data_to_send(now):
            waiting = sent
            asked[waiting] = asked.get(waiting, 0) + 1
    assert asked[command(0x24)] >= 30 <= asked[command(0x27)]
    assert asked[command(0x29)] <= 3 >= asked[command(0x2A)]


# ---- the device asks


@pytest.mark.parametrize("code", [0x30, 0x49, 0x24, 0x28, 0x4A, 0x6A, 0x7E])
def test_every_command_of_the_device_is_answered(code: int) -> None:
    source, now = polling()
    source.receive_data(command(code), T0)
    assert source.data_to_send(now + 0.1) == response(code)
    assert GATE.allows(response(code))


def test_a_damaged_command_is_refused() -> None:
    source, now = polling()
    assert faults(told(source, b"\x1b000\r")) == ["checksum"]
    assert source.data_to_send(now + 0.1) == bytes.fromhex("011531360D")


def test_time_changed_asks_for_the_clock() -> None:
    source, now = polling()
    while (sent := source.data_to_send(now)) != command(0x28):
        source.receive_data(response(sent[1] if sent else 0x2A), T0)
        now += 0.1
    source.receive_data(response(0x28), T0)
    source.receive_data(command(0x49), T0)
    assert command(0x28) in source.data_to_send(now + 0.1) + source.data_to_send(now + 0.2)


def test_stop_of_the_device_is_echoed_and_it_is_called_again() -> None:
    source, now = polling()
    assert faults(told(source, command(0x55))) == ["ended"]
    assert source.data_to_send(now + 0.1) == response(0x55)
    assert source.data_to_send(now + 2.0) == b""
    assert source.data_to_send(now + 3.1) == command(0x51)


def test_icc_in_the_middle_begins_again() -> None:
    """The device has forgotten everything; it may be another device."""
    source, now = polling()
    source.receive_data(command(0x51), T0)
    assert source.data_to_send(now + 0.1) == response(0x51) + command(0x52)


def test_suspended_until_resumed_or_for_three_seconds() -> None:
    source, now = polling()
    source.receive_data(b"\x11" + command(0x30), T0)
    assert source.data_to_send(now + 0.1) == b""
    source.receive_data(b"\x13", T0)
    assert source.data_to_send(now + 0.2) == response(0x30)
    source.receive_data(b"\x11" + command(0x30), T0)
    assert source.data_to_send(now + 2.0) == b""
    assert response(0x30) in source.data_to_send(now + 3.3)


# ---- alive or not


def test_nop_when_there_is_nothing_to_say() -> None:
    source, now = polling(poll_s=60.0)
    for code in ROUND:
        source.receive_data(response(code), T0)
        now += 0.1
        source.data_to_send(now)
    said = []
    while now < 12:
        now = max(now + 0.01, source.next_wake() or now)
        if sent := source.data_to_send(now):
            said.append(now)
            assert sent == command(0x30)
            source.receive_data(response(0x30), T0)
    assert 6 <= len(said) <= 9
    assert max(b - a for a, b in pairwise(said)) <= 2.0


def test_three_seconds_of_silence_end_the_session() -> None:
    source, now = polling()
    assert source.data_to_send(now + 2.5) == b""
    assert source.data_to_send(now + 3.1) == command(0x51)
    assert faults(drained(source)) == ["silence"]


def test_realtime_bytes_do_not_keep_the_line_alive() -> None:
    source, now = polling()
    source.receive_data(b"\xd0\xc0\xc0" * 100, T0)
    assert source.data_to_send(now + 3.1) == command(0x51)


def test_an_answer_that_does_not_come_is_asked_for_again_three_times() -> None:
    source, now = polling()
    repeats = []
    for second in range(50):
        source.receive_data(command(0x30), T0)  # the device is alive
        repeats.append(source.data_to_send(now + second).removeprefix(response(0x30)))
    assert [i for i, data in enumerate(repeats) if data == command(0x2A)] == [10, 20, 30]
    assert repeats.index(command(0x51)) == 40
    assert faults(drained(source)) == ["late"] * 4


@pytest.mark.parametrize(
    ("spoilt", "reason"), [(b"\x01*00\r", "checksum"), (b"\x01\x1516\r", "refused"), (b"\x01*\x18", "aborted")]
)
def test_a_damaged_answer_is_asked_for_again_at_once_and_given_up_after_three(spoilt: bytes, reason: str) -> None:
    source, now = polling()
    for _ in range(3):
        assert faults(told(source, spoilt)) == [reason]
        now += 0.1
        assert source.data_to_send(now) == command(0x2A)
    told(source, spoilt)
    assert source.data_to_send(now + 0.1) == command(0x24)


def test_a_late_answer_is_what_it_says_it_is() -> None:
    """A response names its command: late, it is read as what it is, and the question in flight stays in flight."""
    source, now = polling()
    events = told(source, response(0x24, b"EB 98 "))
    assert [frame.kind for frame in frames(events)] == ["measured"]
    assert source.data_to_send(now + 0.1) == b""
    source.receive_data(response(0x2A), T0)
    assert source.data_to_send(now + 0.2) == command(0x24)


# ---- the end


def test_parting_waits_for_the_echo() -> None:
    source, now = polling()
    source.stop(now)
    assert source.data_to_send(now) == command(0x55)
    assert source.next_wake() == now + 2.5
    source.receive_data(response(0x55), T0)
    assert source.data_to_send(now + 0.1) == b""
    assert source.next_wake() is None


def test_parting_without_an_echo_ends_too() -> None:
    source, now = polling()
    source.stop(now)
    source.data_to_send(now)
    source.data_to_send(now + 2.6)
    assert source.next_wake() is None


# ---- what a person writes


def test_one_device_to_a_line() -> None:
    spec = DeviceSpec(0, profile("evita_4"))
    with pytest.raises(ConfigError, match="2 devices"):
        DRIVER.protocol([spec, spec], {})


@pytest.mark.parametrize("options", [{"poll_s": 0.1}, {"poll_s": "fast"}, {"curves": []}])
def test_wrong_options_are_named(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        DRIVER.protocol([DeviceSpec(0, profile("evita_4"))], options)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('revision = "04.03"', 'revision = "4.3"'),
        ('revision = "04.03"', 'revision = "04.03"\nspeed = 1'),
        ("{ code = 0x1B8, into = 0x1B9 }", "{ code = 0x1B8 }"),
        ('into = 0x182, unit = "mL"', 'into = 0x182, unit = "dL"'),
    ],
)
def test_a_driver_table_that_cannot_be_is_refused(good: str, bad: str) -> None:
    path = ROOT / "firmware_profiles/draeger/evita_4.toml"
    wrong = parse_profile(path.read_text(encoding="utf-8").replace(good, bad), "draeger/evita_4", str(path))
    with pytest.raises((ConfigError, ProfileError)):
        DRIVER.protocol([DeviceSpec(0, wrong)], {})


@pytest.mark.parametrize("name", ["evita_4", "evita_2", "savina", "apollo", "evita_v500", "perseus_a500"])
def test_what_is_sent_is_inside_the_grammar_and_nothing_else_is(name: str) -> None:
    gate = Gate(profile(name).transmit)
    for _, way, data in converse(name, 35.0)[1]:
        assert way == "<" or gate.allows(data), data
    for data in (command(0x4A, b"$EB"), command(0x6A, b"3"), command(0x6C), command(0x24, b"x"), b"\x1b\x24\x33\x46"):
        assert not gate.allows(data), data


def test_every_fault_is_provoked() -> None:
    """The other tests look at each; this one that none is left out."""
    found: set[str] = set()

    def note(events: list[Event]) -> None:
        found.update(faults(events))

    note(told(protocol(), b"noise" + response(0x30)))
    note(told(protocol(), b"\x01$EB\x00"))
    source, now = polling()
    note(told(source, command(0x2A)))
    note(told(protocol(), b"\x01" + b" " * 4000))
    note(told(protocol(), b"\x01$00\r"))
    note(told(protocol(), response(0x24, b"E")))
    note(told(protocol(), b"\x01\x1516\r\x18" + command(0x55)))
    note(told(protocol(), response(0x52, b"8250'Savina'03.00:04.03")))
    note(told(protocol(), response(0x2A, b"061x\x030E1x\x03")))
    source, now = polling()
    source.data_to_send(now + 3.1)
    note(drained(source))
    source, now = polling()
    for second in range(12):
        source.receive_data(command(0x30), T0)
        source.data_to_send(now + second)
    note(drained(source))
    source = protocol()
    for second in range(20):
        source.data_to_send(float(second))
    note(drained(source))
    source = protocol(waves=["MDC_FLOW_AWAY"])
    note(told(source, response(0x53, b"00   16000-  10  100370")))
    source = protocol()
    now = answered(source)
    source.data_to_send(now)
    source.data_to_send(now + 0.3)
    source.receive_data(response(0x53, b"00   16000-  10  100370"), T0)
    source.data_to_send(now + 0.4)
    source.receive_data(response(0x54), T0)
    note(told(source, b"\xd3\x80\x80\xd1"))
    assert found == set(FAULTS)
