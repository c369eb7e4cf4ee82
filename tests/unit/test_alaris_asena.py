"""Alaris (Asena) GH, CC, TIVA: known frames, two values and a serial number, and all that the driver must not do."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path

import pytest
from fastcrc import crc16

from drivers.alaris_asena.framing import LIMIT, Message, question, read
from drivers.alaris_asena.options import FAULTS
from drivers.alaris_asena.protocol import AsenaProtocol
from gateway.core.errors import ConfigError
from gateway.core.frame import Fault, Identified, Reading
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from tests.unit import pump_rig as rig

NAME, PROFILE = "alaris_asena", "bd/alaris_asena"
# `INF`: a frame published in a forum; the others computed by the notes from the rule of an open implementation.
KNOWN = {
    "INF": b"!INF|4961\r",
    "INST_SERIALNO": b"!INST_SERIALNO|457D\r",
    "INF_RATE": b"!INF_RATE|8E6D\r",
    "INF_VI": b"!INF_VI|B42C\r",
}


def answer(body: bytes) -> bytes:
    """A frame with a right checksum, whatever stands in it."""
    return b"!%s|%04X\r" % (body, crc16.ibm_3740(body))


@pytest.mark.parametrize("name", KNOWN)
def test_known_frames(name: str) -> None:
    assert question(name) == KNOWN[name]
    assert read(KNOWN[name][1:-1]) == Message(name, ())


def test_check_value_of_the_crc() -> None:
    assert crc16.ibm_3740(b"123456789") == 0x29B1


# ---- nothing but three questions

# Every command of the notes that starts, stops or sets something, with and without its value; the status block, whose
# layout nobody knows; and ESC, which aborts a command that is half sent.
CONTROL = (
    b"INF_START",
    b"INF_STOP",
    b"INF_RATE^5^ml/h",
    b"INF_RATE^5.0^ml/h",
    b"INF_RATE^",
    b"REMOTE_CFG",
    b"REMOTE_CTRL",
    b"REMOTE_CFG^ENABLED^1234",
    b"REMOTE_CTRL^ENABLED^1234",
    b"INF",
)


@pytest.mark.parametrize("body", CONTROL)
def test_the_gate_refuses_every_control_command(body: bytes) -> None:
    gate = Gate(rig.profile(PROFILE).transmit)
    assert not gate.allows(answer(body))
    assert not gate.allows(KNOWN["INF_VI"] + answer(body))
    assert not gate.allows(answer(body) + KNOWN["INF_VI"])


def test_the_gate_lets_three_questions_through_and_nothing_else() -> None:
    gate = Gate(rig.profile(PROFILE).transmit)
    assert gate.allows(KNOWN["INST_SERIALNO"] + KNOWN["INF_RATE"] + KNOWN["INF_VI"])
    assert not gate.allows(b"\x1b")
    assert not gate.allows(KNOWN["INF_RATE"][:-1])
    assert not gate.allows(b"!INF_RATE^|8E6D\r")


def test_all_that_is_ever_sent_are_the_three_questions() -> None:
    line = rig.line(NAME, PROFILE).run(30.0)
    line.part()
    assert {data for _, data in line.sent} == {KNOWN["INST_SERIALNO"], KNOWN["INF_RATE"], KNOWN["INF_VI"]}


# ---- values


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"INF_RATE^5.0^ml/h", Reading("INF_RATE", 0, "ml/h", 5.0)),
        (b"INF_RATE^5.0ml/h", Reading("INF_RATE", 0, "ml/h", 5.0)),
        (b"INF_RATE^5.0 ml/h", Reading("INF_RATE", 0, "ml/h", 5.0)),
        (b"INF_VI^0.000^ml", Reading("INF_VI", 0, "ml", 0.0)),
        (b"INF_VI^12", Reading("INF_VI", 0, "", 12.0)),
    ],
)
def test_a_number_and_its_unit(body: bytes, expected: Reading) -> None:
    assert rig.readings(rig.heard_in(NAME, PROFILE, answer(body))) == [expected]


@pytest.mark.parametrize("body", [b"INF_RATE^5.0", b"INF_RATE^5.0^mg/h", b"INF_RATE^5.0^ml"])
def test_a_unit_that_is_missing_or_does_not_fit_makes_no_value(body: bytes) -> None:
    found = rig.samples(PROFILE, rig.heard_in(NAME, PROFILE, answer(body)))["1.1.1.1"]
    assert len(found) == 1
    assert isnan(found[0][0])
    assert found[0][1] == Validity.INV


def test_nothing_is_better_than_questionable() -> None:
    stream = answer(b"INF_RATE^5.0^ml/h") + answer(b"INF_VI^0.5^ml")
    found = rig.samples(PROFILE, rig.heard_in(NAME, PROFILE, stream))
    assert found == {"1.1.1.1": [(5.0, Validity.QST)], "1.1.1.2": [(0.5, Validity.QST)]}


@pytest.mark.parametrize("body", [b"INF_RATE^OFF", b"INF_RATE^5.0^ml/h^HANSEN", b"INF_RATE^-1^ml/h", b"INF_VI^1e3^ml"])
def test_what_is_no_number_ends_the_value_before(body: bytes) -> None:
    events = rig.heard_in(NAME, PROFILE, answer(body))
    (reading,) = rig.readings(events)
    assert isnan(float(reading.value))
    assert reading.validity == Validity.INV
    assert rig.reasons(events) == ["no_number"]


def test_a_late_or_doubled_answer_carries_its_own_name() -> None:
    line = rig.line(NAME, PROFILE)
    line.turn()  # the serial number is in flight
    found = line.feed(answer(b"INF_VI^0.5^ml")) + line.feed(answer(b"INF_VI^0.5^ml"))
    assert [reading.object for reading in rig.readings(found)] == ["INF_VI", "INF_VI"]


def test_the_serial_number_is_told_once_and_again_when_the_pump_is_another() -> None:
    stream = answer(b"INST_SERIALNO^8001-1") * 2 + answer(b"INST_SERIALNO^8001-2")
    events = rig.heard_in(NAME, PROFILE, stream)
    assert events == [Identified("", "", "", "8001-1"), Identified("", "", "", "8001-2")]


# ---- the conversation


def test_questions_take_turns() -> None:
    line = rig.line(NAME, PROFILE).run(4.5)
    assert [data for _, data in line.sent[:3]] == [KNOWN["INST_SERIALNO"], KNOWN["INF_RATE"], KNOWN["INF_VI"]]
    assert [round(at) for at, data in line.sent if data == KNOWN["INF_RATE"]] == [0, 2, 4]


def test_a_silent_pump_is_said_and_asked_again() -> None:
    line = rig.line(NAME, PROFILE)
    line.deaf = True
    line.run(10.0)
    assert line.faults["no_answer"] >= 12
    line.deaf = False
    line.run(20.0)
    assert rig.usable_numbers(PROFILE, [event for _, event in line.events]).keys() == {"1.1.1.1", "1.1.1.2"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x00\x01" + answer(b"INF_VI^1^ml"), "noise"),
        (b"!INF_VI^1^ml\r", "form"),
        (b"!inf_vi^1^ml|0000\r", "form"),
        (answer(b"INF_VI^1^ml").replace(b"^1^", b"^2^"), "crc"),
        (KNOWN["INF_RATE"], "empty"),
        (answer(b"INF_RATE^^"), "empty"),
        (answer(b"INF_VI^?"), "no_number"),
        (answer(b"INST_SERIALNO^?"), "no_number"),
        (answer(b"INF^1^2^3"), "unknown"),
    ],
)
def test_what_a_person_is_told(data: bytes, reason: str) -> None:
    assert reason in FAULTS
    assert reason in rig.reasons(rig.heard_in(NAME, PROFILE, data))


def test_every_fault_was_provoked() -> None:
    assert {"noise", "form", "crc", "empty", "no_number", "unknown", "no_answer"} == set(FAULTS)


def test_an_echo_is_no_answer() -> None:
    """An infrared adapter may send back what is sent: that question has no value in it, and none is made of it."""
    line = rig.line(NAME, PROFILE).run(1.0)
    assert not rig.readings(line.feed(KNOWN["INF_RATE"] + KNOWN["INF_VI"]))


def test_no_value_is_no_value() -> None:
    line = rig.line(NAME, PROFILE, scene=Scene(nothing=True)).run(20.0)
    assert not rig.usable_numbers(PROFILE, [event for _, event in line.events])


def test_no_single_bit_flip_makes_a_value() -> None:
    stream = answer(b"INST_SERIALNO^8001-1") + answer(b"INF_RATE^5.0^ml/h") + answer(b"INF_VI^12.34^ml") * 2
    clean = {repr(event) for event in rig.heard_in(NAME, PROFILE, stream) if not isinstance(event, Fault)}
    for damaged in rig.flips(stream):
        events = rig.heard_in(NAME, PROFILE, damaged)
        assert {repr(event) for event in events if not isinstance(event, Fault)} <= clean


def test_a_frame_without_an_end_is_given_up() -> None:
    events = rig.heard_in(NAME, PROFILE, b"!" + b"A" * (LIMIT + 10) + answer(b"INF_VI^1^ml"))
    assert rig.readings(events) == [Reading("INF_VI", 0, "ml", 1.0)]


def test_options_are_checked() -> None:
    device = DeviceSpec(0, rig.profile(PROFILE))
    with pytest.raises(ConfigError, match="one Asena"):
        AsenaProtocol([device, device], {})
    with pytest.raises(ConfigError, match="poll_s"):
        AsenaProtocol([device], {"poll_s": 0.1})


def test_faults_hold_no_text_of_the_pump() -> None:
    """Nobody knows what an answer may hold, so none of it is repeated in a log."""
    stream = answer(b"INF_RATE^HANSEN") + answer(b"INST_SERIALNO^HANSEN ANNA") + answer(b"HANSEN^1") + b"!HANSEN\r"
    events = rig.heard_in(NAME, PROFILE, stream)
    assert len(events) == 5
    assert not [event for event in events if "HANSEN" in repr(event)]


@pytest.mark.parametrize("stem", rig.RECORDINGS[NAME][1])
def test_recordings_are_what_the_simulator_says(stem: str) -> None:
    seconds, options, scene = rig.RECORDINGS[NAME][1][stem]
    path = Path(rig.ROOT / "drivers" / NAME / "captures" / f"{stem}.bin")
    assert path.read_bytes() == rig.recording(NAME, PROFILE, seconds, options, scene)
    expected = json.loads(path.with_suffix(".expected.json").read_text(encoding="utf-8"))
    assert rig.described(rig.heard_in(NAME, PROFILE, path.read_bytes(), options)) == expected
