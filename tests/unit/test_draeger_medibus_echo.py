"""MEDIBUS on a line that gives back what is written: its own words are never the device's."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.draeger_medibus.framing import FrameReader, Message
from gateway.core.frame import Alerts, Event, Fault, Frame, Identified, Wave
from gateway.core.protocol import DeviceProtocol
from gateway.core.scene import Scene
from tests.unit.medibus_rig import (
    EVITA_IS,
    ICC_ANSWER,
    T0,
    answered,
    command,
    converse,
    drained,
    faults,
    frames,
    protocol,
    readings,
    response,
    told,
    waves,
)

PROFILES = ["evita_4", "evita_2", "savina", "apollo", "evita_v500", "perseus_a500"]
WHO = response(0x52, b"0161'MDI gateway'01.00:04.03")
OFFER = b"00   16000-  10  100370"
STILL = Scene(still=True)


def alone(source: DeviceProtocol, until: float, chop: int = 0) -> tuple[list[Event], bytes]:
    """Let the driver hear itself and nobody else."""
    events: list[Event] = []
    said, now = b"", 0.0
    while now < until:
        out = source.data_to_send(now)
        said += out
        for at in range(0, len(out), chop or max(1, len(out))):
            source.receive_data(out[at : at + (chop or len(out))], T0 + round(now * 1e9))
        events += drained(source)
        wake = source.next_wake()
        now = max(now + 0.01, until if wake is None else wake)
    return events, said


def plainly(events: list[Event]) -> list[str]:
    """What the device told, in order and to the last sample, without what went wrong."""
    found = []
    for event in events:
        if isinstance(event, Frame) and isinstance(event.payload, Wave):
            found.append(f"{event} {event.payload.samples.tolist()}")
        elif not isinstance(event, Fault):
            found.append(str(event))
    return found


def known(**options: Any) -> tuple[DeviceProtocol, float]:
    """Return a session with a device, on a line that is known to have an echo, and the time."""
    source = protocol(**options)
    now = answered(source)
    assert source.data_to_send(now) == b""
    out = source.data_to_send(now + 0.3)
    assert faults(told(source, out)) == ["echo"]
    return source, now + 0.3


@pytest.mark.parametrize("chop", [0, 1, 3])
@pytest.mark.parametrize("name", PROFILES)
def test_alone_with_its_echo_it_finds_nobody(name: str, chop: int) -> None:
    """No value, no list of alarms, no device; and nothing goes round: it soon calls as if nothing came at all."""
    events, said = alone(protocol(name), 120.0, chop)
    assert not [event for event in events if isinstance(event, Frame | Identified)]
    assert set(faults(events)) == {"echo", "silence", "no_answer"}
    assert faults(events).count("silence") == faults(events).count("no_answer") == 1
    assert said.count(command(0x51)) == 40  # one call in 3 s
    assert len(said) - 40 * len(command(0x51)) < 60  # and what it took to find out: ICC's echo answered, who are you?


@pytest.mark.parametrize("name", PROFILES)
def test_with_an_echo_the_same_is_read(name: str) -> None:
    """The same frames at the same times, curves and who the device is among them."""
    (clean, asked), (echoing, asked_too) = (converse(name, 40.0, scene=STILL, echo=echo) for echo in (False, True))
    assert plainly(echoing) == plainly(clean)
    assert waves(clean)
    assert len(frames(clean)) > 50
    said, said_too = (b"".join(data for _, way, data in wire if way == ">") for wire in (asked, asked_too))
    assert (
        said_too.replace(response(0x51), b"") == said
    )  # the echo of ICC, when the line was not known yet, is answered
    assert set(faults(echoing)) == {"echo"}
    assert faults(clean) == []


@pytest.mark.parametrize("echo", [False, True])
def test_a_device_that_only_answers_is_read_with_an_echo_too(echo: bool) -> None:
    """It calls nobody and asks nobody: until our own name comes back, the line is not known to have an echo."""
    source = protocol(waves=[])
    answers = {0x52: EVITA_IS, 0x24: b"EB 98 ", 0x27: b"O19MIN VOL LOW "}
    events: list[Event] = []
    now = 0.0
    while now < 20.0:
        out = source.data_to_send(now)
        events += told(source, out if echo else b"")
        for message in FrameReader().feed(out):
            if isinstance(message, Message) and message.command:
                events += told(source, response(message.code, answers.get(message.code, b"")))
        now = max(now + 0.01, source.next_wake() or 0.0)
    assert [event.model for event in events if isinstance(event, Identified)] == ["Evita 4"]
    assert {reading.value for reading in readings(events, "measured")} == {98.0}
    shown = [frame.payload.active for frame in frames(events, "alarm_1") if isinstance(frame.payload, Alerts)]
    assert len(shown) >= 9
    assert all(len(active) == 1 for active in shown)
    assert set(faults(events)) == ({"echo"} if echo else set())


def test_the_echo_of_a_question_for_alarms_is_not_answered() -> None:
    """Answered, and that answer read when it comes back, it would say that no alarm is active."""
    source, now = known(waves=[])
    for code in (0x2A, 0x24):
        told(source, response(code))
        out = source.data_to_send(now)
        assert faults(told(source, out)) == ["echo"]
    assert out == command(0x27)
    assert source.data_to_send(now + 0.1) == b""
    events = told(source, response(0x27))
    assert [frame.kind for frame in frames(events)] == ["alarm_1"]


def test_an_echo_that_comes_late_is_no_answer_either() -> None:
    source, now = known(waves=[])
    source.receive_data(response(0x2A), T0)
    assert source.data_to_send(now) == command(0x24)
    source.data_to_send(now + 2.5)
    assert faults(told(source, command(0x24))) == ["echo"]
    assert source.data_to_send(now + 2.6) == b""


def test_our_answer_to_a_data_request_is_no_list_of_alarms_when_it_comes_back() -> None:
    """No source has a device that asks us for alarms; one that does is answered, and nothing more comes of it."""
    source = protocol(waves=[])
    now = answered(source)
    source.receive_data(command(0x27), T0)
    assert response(0x27) in source.data_to_send(now)
    assert faults(told(source, response(0x27))) == ["echo"]


def test_who_we_are_is_never_who_the_device_is() -> None:
    source = protocol()
    source.data_to_send(0.0)
    source.receive_data(command(0x51) + command(0x52), T0)
    out = source.data_to_send(0.1)
    assert WHO in out
    events = told(source, WHO)
    assert faults(events) == ["echo"]
    assert not [event for event in events if isinstance(event, Identified)]
    assert [event.model for event in told(source, response(0x52, EVITA_IS)) if isinstance(event, Identified)]


def test_calls_of_both_sides_that_cross_are_no_echo() -> None:
    """At every start: a line that is not known to have an echo has none."""
    source = protocol()
    assert source.data_to_send(0.0) == command(0x51)
    assert told(source, command(0x51) + ICC_ANSWER) == []
    assert source.data_to_send(0.1) == response(0x51) + command(0x52)


def test_what_comes_twice_came_once_from_the_device() -> None:
    """NOP of both sides at once, on a line with an echo: ours comes back once, the other one is answered."""
    source, now = known(waves=[], poll_s=60.0)
    waiting = command(0x2A)
    while waiting != command(0x30):
        source.receive_data(response(waiting[1]), T0)
        now = max(now + 0.01, source.next_wake() or now)
        if out := source.data_to_send(now):
            waiting = out
            source.receive_data(out, T0)
    drained(source)
    assert faults(told(source, command(0x30))) == []
    assert source.data_to_send(now + 0.1) == response(0x30)
    assert faults(told(source, response(0x30) + response(0x30))) == ["echo"]


def test_a_refusal_that_comes_back_is_not_the_devices() -> None:
    source, now = known(waves=[])
    assert faults(told(source, b"\x1b000\r")) == ["checksum"]
    refusal = source.data_to_send(now)
    assert refusal == bytes.fromhex("011531360D")
    assert faults(told(source, refusal)) == ["echo"]
    assert source.data_to_send(now + 0.1) == b""
    assert faults(told(source, refusal)) == ["refused"]


def test_an_echo_is_no_sign_of_life() -> None:
    source, now = known(waves=[])
    source.receive_data(response(0x2A), T0)
    out = source.data_to_send(now + 1)
    for i in range(len(out)):
        source.receive_data(out[i : i + 1], T0)
        assert source.data_to_send(now + 1.5) == b""
    assert faults(drained(source)) == ["echo"]
    assert source.data_to_send(now + 4.1) == command(0x51)
    assert faults(drained(source)) == ["silence"]


def test_a_line_that_has_lost_its_echo_is_heard_again() -> None:
    """The adapter was changed: what has not come back in 2 s does not come any more, and the device's call counts."""
    source, now = known(waves=[])
    assert source.data_to_send(now + 3.1) == command(0x51)
    assert source.data_to_send(now + 6.1) == command(0x51)
    assert faults(told(source, command(0x51)))[-1] == "silence"
    assert source.data_to_send(now + 6.2) == response(0x51) + command(0x52)


def test_the_switch_of_the_curves_is_no_record() -> None:
    """It comes back into the stream, also into the middle of a record, and no sample moves."""
    source, device = streaming(), streaming()
    record = b"\xd1\x91\x81"
    switch = bytes.fromhex("D0C1C1C0C0")
    expected = told(device, record * 40)
    events = told(source, record * 3 + switch + record * 4 + record[:2] + switch + record[2:] + record * 32)
    assert [event.detail for event in events if isinstance(event, Fault)] == ["switch of the curves"]
    assert len(waves(expected)) == len(waves(events)) > 0
    assert [list(wave.samples) for wave in waves(events)] == [list(wave.samples) for wave in waves(expected)]
    assert not any(frame.after_gap for frame in frames(events))


def streaming() -> DeviceProtocol:
    """Return a session in which one curve is to flow."""
    source = protocol()
    now = answered(source)
    source.data_to_send(now)
    source.data_to_send(now + 0.3)
    source.receive_data(response(0x53, OFFER), T0)
    assert source.data_to_send(now + 0.4) == command(0x54, b"0001")
    source.receive_data(response(0x54), T0)
    drained(source)
    return source
