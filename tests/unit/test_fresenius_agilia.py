"""Fresenius Agilia: the vectors of the notes, the conversation with a base, alarms, and what must never be sent."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path

import pytest

from drivers.fresenius_agilia.framing import LIMIT, LinkReader, Noise, Refused, Signal, checksum, frame
from drivers.fresenius_agilia.options import FAULTS, LINK_ERRORS, REFUSALS
from drivers.fresenius_agilia.protocol import AgiliaProtocol
from gateway.core.alert import Phase, unpack
from gateway.core.errors import ConfigError
from gateway.core.frame import Alert, Alerts, Event, Fault, Frame, Reading
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from tests.unit import pump_rig as rig

NAME, PROFILE = "fresenius_agilia", "fresenius/agilia"
ALONE = {"stand_alone": True}
# Computed by the notes from the rule of the open implementation (protocol notes, vectors).
VECTORS = {
    "0DC": bytes.fromhex("02304443343803"),
    "1DC": b"\x021DC47\x03",
    "0LE;b": b"\x020LE;bA1\x03",
    "1LE;dr": b"\x021LE;dr2C\x03",
    "1DE;dr": b"\x021DE;dr34\x03",
    "1FC": b"\x021FC45\x03",
    "DC": b"\x02DC78\x03",
    "LE;dr": b"\x02LE;dr5D\x03",
    "1C;d0032;r0001F4": b"\x021C;d0032;r0001F43F\x03",
    "1E;d0064": b"\x021E;d006420\x03",
}
EVENT = VECTORS["1E;d0064"]
ANSWER = frame("1C;d0032;r0001F4;a0000;e0000")  # the answer of the notes, with what this driver asks for behind it


def alerts_of(events: list[Event]) -> list[tuple[Alert, ...]]:
    return [frame.payload.active for frame in rig.frames(events) if isinstance(frame.payload, Alerts)]


def answer(fields: str) -> bytes:
    """An answer with all that was asked; what is not in `fields` ("1C;d0032") has no alarm, or a 0."""
    return frame(";".join([fields, *(f"{letter}0000" for letter in "drae" if f";{letter}" not in fields)]))


@pytest.mark.parametrize("message", VECTORS)
def test_vectors_of_the_notes(message: str) -> None:
    assert frame(message) == VECTORS[message]
    assert LinkReader().feed(VECTORS[message]) == [message]


def test_the_answer_of_the_notes_is_5_mL_per_hour_and_half_a_millilitre() -> None:
    found = rig.samples(PROFILE, rig.heard_in(NAME, PROFILE, ANSWER))
    assert found["1.1.1.1"] == [(5.0, Validity.VLD)]
    assert found["1.1.1.2"] == [(0.5, Validity.VLD)]


def test_the_event_of_the_notes_is_10_mL_per_hour_and_is_acknowledged() -> None:
    """Host must send ACK and then the frame `1E`."""
    line = rig.line(NAME, PROFILE)
    line.turn()
    found = line.feed(EVENT)
    assert rig.samples(PROFILE, found)["1.1.1.1"] == [(10.0, Validity.VLD)]
    assert line.protocol.data_to_send(line.now) == b"\x06" + frame("1E")


def test_slots_are_kept_apart() -> None:
    stream = b"".join(answer(f"{slot}C;d{slot * 10:04X};r{slot * 1000:06X}") for slot in (3, 1, 5))
    found = rig.usable_numbers(PROFILE, rig.heard_in(NAME, PROFILE, stream))
    expected = {f"1.{slot}.1.1": [float(slot)] for slot in (1, 3, 5)}
    assert found == expected | {f"1.{slot}.1.2": [float(slot)] for slot in (1, 3, 5)}


# ---- nothing but questions

# All letters of the notes under "never send", those about messages that the pump sends by itself, and the questions
# that are not used: with and without what they would carry, for the base, a module and a pump that stands alone.
CONTROL = (
    *("MO", "RZ", "OF", "SI", "EP", "AP", "EN", "PR", "PO", "PB", "PF", "PV", "RV", "PP", "PS"),
    *("DM", "AM", "LM", "DE", "AE", "LP", "LN", "LF"),
)
CARRIED = ("", ";d0064", ";dr", ";0064", "d0064")


@pytest.mark.parametrize("command", CONTROL)
def test_the_gate_refuses_every_control_command(command: str) -> None:
    gate = Gate(rig.profile(PROFILE).transmit)
    for slot in ("", "0", "1", "5"):
        for carried in CARRIED:
            assert not gate.allows(frame(slot + command + carried))
            assert not gate.allows(b"\x06" + frame(slot + command + carried) + VECTORS["0LE;b"])


def test_the_gate_lets_no_value_stand_behind_a_question() -> None:
    gate = Gate(rig.profile(PROFILE).transmit)
    for message in ("1LE;drae0064", "0LE;b1F", "1DC;1", "1E;d0064", "1LE;k", "6LE;drae", "0LE;drae", "0LE", "1C"):
        assert not gate.allows(frame(message)), message
    for message in ("0DC", "5DC", "DC", "0LE;b", "1LE;drae", "LE;drae", "1FC", "0FC", "FC", "1E", "1M"):
        assert gate.allows(frame(message)), message
    assert gate.allows(b"\x06\x14\x152")
    assert not gate.allows(b"\x05")


@pytest.mark.parametrize("options", [{}, ALONE])
def test_all_that_is_ever_sent_are_questions(options: dict[str, bool]) -> None:
    line = rig.line(NAME, PROFILE, options).run(60.0)
    line.part()
    sent = b"".join(data for _, data in line.sent).replace(b"\x06", b"").replace(b"\x14", b"")
    messages = {message[1:-2].lstrip(b"012345") for message in sent.split(b"\x03") if message}
    assert messages == {b"DC", b"LE;drae", b"FC"} | (set() if options else {b"LE;b"})


# ---- the conversation


def test_it_connects_to_the_base_then_to_what_the_base_holds() -> None:
    line = rig.line(NAME, PROFILE).run(1.2)
    sent = [(round(at, 1), data.strip(b"\x06\x14")) for at, data in line.sent if data.strip(b"\x06\x14")]
    assert sent[0] == (0.0, frame("0DC"))
    assert sent[1] == (1.0, frame("0LE;b"))
    assert [data for _, data in sent[2:7]] == [frame(f"{slot}DC") for slot in range(1, 6)]


def test_every_good_frame_and_every_enquiry_is_acknowledged() -> None:
    line = rig.line(NAME, PROFILE).run(40.0)
    line.turn()
    assert line.simulator.unanswered in (0, 1)  # type: ignore[attr-defined]  # at most what was said this moment


def test_an_enquiry_in_a_frame_is_answered_and_the_frame_read() -> None:
    line = rig.line(NAME, PROFILE)
    line.turn()
    assert rig.readings(line.feed(ANSWER[:6] + b"\x05" + ANSWER[6:]))
    assert line.protocol.data_to_send(line.now) == b"\x14\x06"


def test_a_bad_frame_is_refused_with_link_error_2() -> None:
    line = rig.line(NAME, PROFILE)
    line.turn()
    assert rig.reasons(line.feed(ANSWER.replace(b"d0032", b"d0033"))) == ["checksum"]
    assert line.protocol.data_to_send(line.now) == b"\x152"


def test_a_question_is_repeated_once_and_then_the_base_is_connected_anew() -> None:
    line = rig.line(NAME, PROFILE)
    line.deaf = True
    line.run(7.5)
    assert [round(at) for at, data in line.sent if data == frame("0DC")] == [0, 1, 7]
    assert line.faults["no_answer"] == 1


def test_receiver_not_ready_is_asked_again_and_any_other_refusal_waits_for_its_turn() -> None:
    for code, again in ((b"6", frame("DC")), (b"8", b"")):
        line = rig.line(NAME, PROFILE, ALONE)
        assert line.protocol.data_to_send(0.0) == frame("DC")
        assert rig.reasons(line.feed(b"\x15" + code)) == ["link_error"]
        assert line.protocol.data_to_send(0.0) == again


def test_a_module_that_says_it_is_not_connected_is_connected_in_its_next_turn() -> None:
    line = rig.line(NAME, PROFILE).run(3.3)
    line.simulator._open.discard("2")  # type: ignore[attr-defined]  # the pump was taken out and put in again
    line.run(5.5)
    assert line.faults == {"refused": 1}
    asked = [data.strip(b"\x06\x14") for at, data in line.sent if at > 3.3]
    of_pump_2 = [data for data in asked if data[1:2] == b"2"]
    assert of_pump_2 == [frame("2LE;drae"), frame("2DC"), frame("2LE;drae")]


def test_a_refused_connection_waits() -> None:
    line = rig.line(NAME, PROFILE, ALONE)
    line.protocol.data_to_send(0.0)
    line.feed(frame("I;1E"))
    assert line.protocol.data_to_send(0.1) == b"\x06"
    assert line.protocol.next_wake() == pytest.approx(5.1)


def test_a_restarted_base_is_connected_anew_with_its_pumps() -> None:
    line = rig.line(NAME, PROFILE).run(3.0)
    line.simulator._open.clear()  # type: ignore[attr-defined]  # it was switched off and on
    before = len(line.events)
    line.run(20.0)
    later = [event for _, event in line.events[before:]]
    assert rig.reasons(later)
    assert len({reading.instance for reading in rig.readings(later[-30:])}) == 5


def test_parting_disconnects_pumps_and_then_the_base() -> None:
    line = rig.line(NAME, PROFILE).run(3.0)
    before = len(line.sent)
    line.part()
    last = [data.strip(b"\x06\x14") for _, data in line.sent[before:]]
    assert [data for data in last if data] == [frame(f"{slot}FC") for slot in (5, 4, 3, 2, 1, 0)]


def test_parting_from_a_dead_line_is_short() -> None:
    line = rig.line(NAME, PROFILE).run(3.0)
    line.deaf = True
    line.part()
    assert line.now < 5.0


# ---- what is true, and until when


def test_a_pump_that_leaves_the_base_has_no_values_and_no_alarms() -> None:
    stream = frame("0C;b03") + answer("1C;d0032;a0001") + answer("2C;d0064;r000001;a0002")
    events = rig.heard_in(NAME, PROFILE, stream + frame("0C;b01"))
    last = rig.frames(events)[-2:]
    assert isinstance(last[0].payload, list)
    assert {(r.object, r.instance, r.validity) for r in last[0].payload} == {
        ("d", 2, Validity.NA),
        ("r", 2, Validity.NA),
    }
    assert last[1].payload == Alerts((Alert("a", 1, text="code 0001"),))


def test_alarms_begin_and_end_for_each_pump() -> None:
    stream = [answer(text) for text in ("1C;a0010", "2C;a0010", "1C;a0000", "2C;a0000")]
    plan = Plan(rig.profile(PROFILE), "", nomenclature())
    by_path = {metric.index: metric.path for metric in plan.metrics}
    told = []
    for found in rig.frames(rig.heard_in(NAME, PROFILE, b"".join(stream))):
        rows = [row for row in plan.decode(found, 0) if row["note"]]
        told += [(by_path[row["metric"]], unpack(row["value"])[0]) for row in rows]
    assert told == [
        ("1.1.1.11", Phase.START),
        ("1.1.1.11", Phase.CONTINUE),
        ("1.2.1.11", Phase.START),
        ("1.2.1.11", Phase.CONTINUE),
        ("1.1.1.11", Phase.END),
        ("1.2.1.11", Phase.END),
    ]


def test_a_list_without_alarms_is_told_too() -> None:
    assert alerts_of(rig.heard_in(NAME, PROFILE, ANSWER)) == [()]
    assert alerts_of(rig.heard_in(NAME, PROFILE, EVENT)) == []  # this one says nothing of alarms


def test_any_code_but_zero_is_an_alarm_with_its_digits() -> None:
    found = alerts_of(rig.heard_in(NAME, PROFILE, answer("4C;a00FF;e0001")))
    assert found == [(Alert("a", 4, text="code 00FF"), Alert("e", 4, text="code 0001"))]


def test_no_pumps_no_values() -> None:
    for options in ({}, ALONE):
        line = rig.line(NAME, PROFILE, options, Scene(nothing=True)).run(20.0)
        assert not rig.usable_numbers(PROFILE, [event for _, event in line.events])


def test_a_pump_alone_is_slot_1() -> None:
    line = rig.line(NAME, PROFILE, ALONE).run(5.0)
    found = rig.usable_numbers(PROFILE, [event for _, event in line.events])
    assert set(found) == {"1.1.1.1", "1.1.1.2"}


@pytest.mark.parametrize("field", ["d", "dXYZ", "d-1", "d0.5", "d123456789"])
def test_a_value_that_cannot_be_read_ends_the_one_before(field: str) -> None:
    events = rig.heard_in(NAME, PROFILE, frame(f"1C;{field};r0001F4;a0000;e0000"))
    assert rig.reasons(events) == ["field"]
    rate, volume = rig.readings(events)
    assert (rate.object, rate.validity, isnan(float(rate.value))) == ("d", Validity.INV, True)
    assert volume == Reading("r", 1, 0, 500.0)


def test_a_late_or_doubled_answer_carries_its_own_names() -> None:
    line = rig.line(NAME, PROFILE)
    line.turn()  # a connection to the base is in flight
    found = line.feed(ANSWER * 2)
    assert {(reading.object, reading.instance) for reading in rig.readings(found)} == {("d", 1), ("r", 1)}
    assert line.protocol.data_to_send(0.1) == b"\x06\x06"  # and what was asked stays asked


# ---- faults


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"xyz" + ANSWER, "noise"),
        (b"\x021C;d\x8032;" + ANSWER, "noise"),
        (b"\x02\x03", "checksum"),
        (b"\x020LE;ba1\x03", "checksum"),  # digits of the checksum are upper case
        (frame("1X;d0032"), "form"),
        (frame("9C;d0032"), "form"),
        (frame("1E;D0032"), "field"),
        (VECTORS["1C;d0032;r0001F4"], "incomplete"),  # an answer to a question that is never asked
        (b"\x154", "link_error"),
        (b"\x15z", "link_error"),
        (frame("1I;12"), "refused"),
        (frame("1I;HANSEN"), "refused"),
    ],
)
def test_what_a_person_is_told(data: bytes, reason: str) -> None:
    events = rig.heard_in(NAME, PROFILE, data)
    assert reason in rig.reasons(events)
    assert reason in FAULTS
    assert not [event for event in events if isinstance(event, Fault) and "HANSEN" in event.detail]


def test_every_fault_was_provoked() -> None:
    assert {"noise", "checksum", "form", "field", "incomplete", "no_answer", "link_error", "refused"} == set(FAULTS)


def test_refusals_are_told_in_words() -> None:
    for code, word in REFUSALS.items():
        (fault,) = [e for e in rig.heard_in(NAME, PROFILE, frame(f"1I;{code}")) if isinstance(e, Fault)]
        assert fault.detail == f"{code}: {word}"
    for code, word in LINK_ERRORS.items():
        (fault,) = [e for e in rig.heard_in(NAME, PROFILE, b"\x15" + code.encode()) if isinstance(e, Fault)]
        assert fault.detail == f"{code}: {word}"


# ---- framing


def test_signals_between_frames() -> None:
    stream = b"\x06\x15" + b"2" + VECTORS["0DC"] + b"\x05"
    expected = [Signal.ACKNOWLEDGED, Refused("2"), "0DC", Signal.ENQUIRY]
    for chop in (1, 2, 99):
        reader = LinkReader()
        assert [x for at in range(0, len(stream), chop) for x in reader.feed(stream[at : at + chop])] == expected


def test_a_frame_without_an_end_is_given_up() -> None:
    reader = LinkReader()
    assert reader.feed(b"\x02" + b"A" * (LIMIT + 10) + VECTORS["0DC"]) == [Noise(LIMIT + 11), "0DC"]
    assert reader.feed(b"\x021C;d00" + EVENT) == [Noise(7), "1E;d0064"]


def test_no_single_bit_flip_makes_a_value() -> None:
    stream = frame("0C;b1F") + ANSWER + answer("2C;d00C8;r00096C") + EVENT + ANSWER
    clean = {repr(event) for event in rig.heard_in(NAME, PROFILE, stream) if isinstance(event, Frame)}
    for damaged in rig.flips(stream):
        events = rig.heard_in(NAME, PROFILE, damaged)
        assert {repr(event) for event in events if isinstance(event, Frame)} <= clean


def test_a_letter_c_that_becomes_an_end_cuts_no_value() -> None:
    """The frame of the recording in which one flipped bit made 2.4 mL of 38.6: the checksum of the rest is right."""
    cut = b"\x022C;a0000;d00C8;e000A;r0096C84\x03\x03"
    assert LinkReader().feed(cut)[0] == "2C;a0000;d00C8;e000A;r0096C"
    for volume in range(0, 0xFFFFFF, 997):
        stream = answer(f"2C;d00C8;r{volume:06X};e000A")
        for at in [at for at in range(len(stream)) if stream[at] == 0x43]:
            events = rig.heard_in(NAME, PROFILE, stream[:at] + b"\x03" + stream[at + 1 :])
            assert not rig.readings(events) or rig.readings(events)[1].value == volume


def test_replies_to_a_flood_of_enquiries_are_bounded() -> None:
    line = rig.line(NAME, PROFILE)
    line.turn()
    line.feed(b"\x05" * 10_000)
    assert len(line.protocol.data_to_send(0.1)) < 100


def test_checksum_is_two_upper_case_digits() -> None:
    assert checksum(b"\x7f" * 2) == b"01"
    assert checksum(b"0DC") == b"48"


def test_options_are_checked() -> None:
    device = DeviceSpec(0, rig.profile(PROFILE))
    with pytest.raises(ConfigError, match="one base"):
        AgiliaProtocol([device, device], {})
    with pytest.raises(ConfigError, match="poll_s"):
        AgiliaProtocol([device], {"poll_s": 0.1})


@pytest.mark.parametrize("stem", rig.RECORDINGS[NAME][1])
def test_recordings_are_what_the_simulator_says(stem: str) -> None:
    seconds, options, scene = rig.RECORDINGS[NAME][1][stem]
    path = Path(rig.ROOT / "drivers" / NAME / "captures" / f"{stem}.bin")
    assert path.read_bytes() == rig.recording(NAME, PROFILE, seconds, options, scene)
    expected = json.loads(path.with_suffix(".expected.json").read_text(encoding="utf-8"))
    assert rig.described(rig.heard_in(NAME, PROFILE, path.read_bytes(), options)) == expected
