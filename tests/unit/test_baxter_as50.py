"""Baxter AS50: known frames, the one rate, and all that the driver must not do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastcrc import crc16

from drivers.baxter_as50.framing import LIMIT, Damage, FrameReader, Noise, frame
from drivers.baxter_as50.protocol import FAULTS, As50Protocol
from gateway.core.errors import ConfigError
from gateway.core.frame import Fault, Frame, Reading
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from tests.unit import pump_rig as rig

NAME, PROFILE = "baxter_as50", "baxter/as50"
# Literal in the open implementation, or computed by the notes from its rule (protocol notes, frame).
KNOWN = {
    b"[STATUS?]": "C34B",
    b"[DEV?]": "8B1C",
    b"[PRIRATE?]": "3444",
    b"[BOLRAT?]": "1278",
    b"[BOLSIZ?]": "26EB",
    b"[LBOLUS?]": "37B7",
    b"[EXIT]": "BBEE",
    b"[RESEND]": "DB6B",
    b"[ACK]": "FF76",
    b"[PRIRATE=5.0]": "53F5",
    b"[PRIRATE=12.5]": "13BC",
}
RATE = bytes.fromhex("5B505249524154453D31322E355D13BC")  # the worked example: [PRIRATE=12.5]


@pytest.mark.parametrize("text", KNOWN)
def test_known_frames(text: bytes) -> None:
    made = frame(text[1:-1])
    assert made == text + bytes.fromhex(KNOWN[text])
    assert FrameReader().feed(made) == [text[1:-1]]


def test_check_value_of_the_crc() -> None:
    assert crc16.xmodem(b"123456789") == 0x31C3


def test_the_worked_example_is_a_rate_of_12_5() -> None:
    events = rig.heard_in(NAME, PROFILE, RATE)
    assert events == [Frame("pump", [Reading("PRIRATE", 0, 0, 12.5)], rig.T0, 0)]
    assert rig.samples(PROFILE, events)["1.1.1.1"] == [(12.5, Validity.QST)]  # experimental: never better


def test_a_rate_of_zero_is_a_value() -> None:
    assert rig.readings(rig.heard_in(NAME, PROFILE, frame(b"PRIRATE=0.0"))) == [Reading("PRIRATE", 0, 0, 0.0)]


# ---- nothing but two questions

# Every command of the notes that is not one of the two questions: the forbidden ones, those that end the control of the
# computer or ask for a repeat, those whose answers nobody knows.
CONTROL = (
    b"PRIRATE=5.0",
    b"PRIRATE=0",
    b"PRIVTBI=50",
    b"BOLSIZ=1.0",
    b"BOLST",
    b"EXIT",
    b"RESEND",
    b"ACK",
    b"DEV?",
    b"BOLRAT?",
    b"BOLSIZ?",
    b"LBOLUS?",
)


@pytest.mark.parametrize("text", CONTROL)
def test_the_gate_refuses_every_control_command(text: bytes) -> None:
    gate = Gate(rig.profile(PROFILE).transmit)
    assert not gate.allows(frame(text))
    assert not gate.allows(frame(b"STATUS?") + frame(text))
    assert not gate.allows(frame(text) + frame(b"PRIRATE?"))


def test_the_gate_lets_the_two_questions_through_and_nothing_longer() -> None:
    gate = Gate(rig.profile(PROFILE).transmit)
    for text in (b"STATUS?", b"PRIRATE?"):
        assert gate.allows(frame(text))
        assert not gate.allows(frame(text)[:-1])
        assert not gate.allows(frame(text) + b"[")
    assert not gate.allows(b"[PRIRATE?\x5d\x34\x45")


def test_all_that_is_ever_sent_are_the_two_questions() -> None:
    line = rig.line(NAME, PROFILE).run(60.0)
    line.part()
    assert {data for _, data in line.sent} == {frame(b"STATUS?"), frame(b"PRIRATE?")}


# ---- the conversation


def test_it_asks_for_the_rate_every_five_seconds_once_the_pump_is_there() -> None:
    line = rig.line(NAME, PROFILE)
    line.deaf = True
    line.run(12.0)
    assert [(round(at, 2), data[1:-3]) for at, data in line.sent] == [
        (0.0, b"STATUS?"),
        (5.0, b"STATUS?"),
        (10.0, b"STATUS?"),
    ]
    line.deaf = False
    line.run(27.0)
    rates = [round(at) for at, data in line.sent if data == frame(b"PRIRATE?")]
    assert rates == [15, 20, 25]
    assert len(rig.frames([event for _, event in line.events])) == 3


def test_no_good_frame_for_thirty_seconds_is_silence() -> None:
    line = rig.line(NAME, PROFILE).run(10.0)
    line.deaf = True
    line.run(45.0)
    assert line.faults["silent"] == 1
    assert line.faults["no_answer"] >= 5
    assert line.sent[-1][1] == frame(b"STATUS?")


def test_a_spoilt_answer_is_asked_for_again_and_after_three_repeats_given_up() -> None:
    line = rig.line(NAME, PROFILE).run(6.0)
    line.deaf = True
    line.run(10.5)  # a question is in flight
    before = len(line.sent)
    for _ in range(4):
        line.feed(RATE[:-1] + b"\x00")
        line.turn()
    assert [data for _, data in line.sent[before:]] == [frame(b"PRIRATE?")] * 3
    assert line.faults["silent"] == 1
    line.run(16.0)
    assert line.sent[-1][1] == frame(b"STATUS?")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x00\x01" + RATE, "noise"),
        (RATE[:-1] + b"\x00", "crc"),
        (frame(b"PRIRATE?"), "echo"),
        (frame(b"REJECT"), "rejected"),
        (frame(b"REJECT 3"), "rejected"),
        (frame(b"PRIRATE=--"), "no_number"),
        (frame(b"PRIRATE=1e3"), "no_number"),
        (frame(b"PRIRATE=-1"), "no_number"),
    ],
)
def test_what_a_person_is_told(data: bytes, reason: str) -> None:
    line = rig.line(NAME, PROFILE).run(1.0)  # online
    found = line.feed(data)
    assert reason in rig.reasons(found)
    assert reason in FAULTS
    if not data.endswith(RATE):
        assert not rig.frames(found)


def test_every_fault_was_provoked() -> None:
    provoked = {"noise", "crc", "echo", "rejected", "no_number", "no_answer", "silent"}
    assert provoked == set(FAULTS)


def test_a_rejected_rate_is_no_value() -> None:
    line = rig.line(NAME, PROFILE, scene=Scene(nothing=True)).run(30.0)
    assert not rig.usable_numbers(PROFILE, [event for _, event in line.events])
    assert line.faults["rejected"] >= 5


# ---- framing


@pytest.mark.parametrize("crc", [b"]]", b"[[", b"[]", b"]["])
def test_brackets_in_the_checksum_do_not_cut_the_frame(crc: bytes) -> None:
    """CRC bytes are raw: after `]` exactly two more belong to the frame, whatever they are."""
    texts = (b"PRIRATE=%d.%03d" % (n // 1000, n % 1000) for n in range(300_000))
    text = next(text for text in texts if frame(text)[-2:] == crc)
    for chop in (1, 3, 100):
        reader, stream = FrameReader(), frame(text) + RATE
        found = [c for at in range(0, len(stream), chop) for c in reader.feed(stream[at : at + chop])]
        assert found == [text, b"PRIRATE=12.5"]


def test_one_crc_byte_is_not_enough() -> None:
    """Trap of the open implementation: a read of two CRC bytes that returns one."""
    reader = FrameReader()
    assert reader.feed(RATE[:-1]) == []
    assert reader.feed(RATE[-1:]) == [b"PRIRATE=12.5"]


def test_a_frame_begun_in_a_spoilt_one_is_found() -> None:
    assert FrameReader().feed(b"[PRIRA" + RATE) == [Noise(6), b"PRIRATE=12.5"]
    assert FrameReader().feed(b"[PRIRATE=1]" + RATE) == [Damage.CRC, Noise(11), b"PRIRATE=12.5"]
    assert FrameReader().feed(b"[" + b"x" * LIMIT + RATE) == [Noise(LIMIT + 1), b"PRIRATE=12.5"]


def test_no_single_bit_flip_makes_a_value() -> None:
    stream = frame(b"READY") + RATE + frame(b"PRIRATE=8.0") + RATE
    clean = set(rig.readings(rig.heard_in(NAME, PROFILE, stream)))
    for damaged in rig.flips(stream):
        assert set(rig.readings(rig.heard_in(NAME, PROFILE, damaged))) <= clean


# ---- the rest


def test_one_pump_to_a_line_and_no_options() -> None:
    device = DeviceSpec(0, rig.profile(PROFILE))
    with pytest.raises(ConfigError, match="one AS50"):
        As50Protocol([device, device], {})
    with pytest.raises(ConfigError, match="poll_s"):
        As50Protocol([device], {"poll_s": 1})


def test_faults_hold_no_text_of_the_pump() -> None:
    """Nobody knows what an answer may hold, so none of it is repeated in a log."""
    line = rig.line(NAME, PROFILE).run(1.0)
    found = line.feed(frame(b"PRIRATE=HANSEN")) + line.feed(frame(b"REJECT HANSEN")) + line.feed(b"HANSEN" + RATE)
    assert not [event for event in found if isinstance(event, Fault) and "HANSEN" in event.detail]


@pytest.mark.parametrize("stem", rig.RECORDINGS[NAME][1])
def test_recordings_are_what_the_simulator_says(stem: str) -> None:
    seconds, options, scene = rig.RECORDINGS[NAME][1][stem]
    path = Path(rig.ROOT / "drivers" / NAME / "captures" / f"{stem}.bin")
    assert path.read_bytes() == rig.recording(NAME, PROFILE, seconds, options, scene)
    expected = json.loads(path.with_suffix(".expected.json").read_text(encoding="utf-8"))
    assert rig.described(rig.heard_in(NAME, PROFILE, path.read_bytes(), options)) == expected
