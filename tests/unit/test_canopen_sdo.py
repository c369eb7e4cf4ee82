"""Active mode: what may be asked, what the answers mean, and that nothing else is ever sent."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from drivers.canopen import CanOpen, CanOpenSimulator
from drivers.canopen.sdo import MAX_BYTES, Answer, Upload
from gateway.core.errors import ConfigError
from gateway.core.frame import Event, Fault, Identified
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from tests.conftest import ROOT
from tests.unit.canopen_rig import (
    BOOT_UP,
    EDS,
    GRAMMAR,
    OPERATIONAL,
    faults,
    gamma_xl,
    heard,
    profile,
    readings,
    record,
    started,
    values,
)

VOLUME = 'read = ["2010.00"]'


def conversation(
    protocol: CanOpen, simulator: CanOpenSimulator, seconds: float, begin: float = 0.0
) -> tuple[list[Event], bytes]:
    """Let both speak, a step every 10 ms; return events and what was asked."""
    events: list[Event] = []
    said = b""
    for step in range(round(seconds * 100)):
        now = begin + step / 100
        out = protocol.data_to_send(now)
        said += out
        simulator.receive_data(out, now)
        events += heard(protocol, simulator.data_to_send(now), t_ns=round(now * 1e9) + 1)
    return events, said


def simulator(**changes: Any) -> CanOpenSimulator:
    return CanOpenSimulator([DeviceSpec(0, profile(**changes))], {}, Scene())


def requests(said: bytes) -> list[str]:
    return [said[at + 8 : at + 12].hex(" ") for at in range(0, len(said), 16)]


@pytest.mark.parametrize(
    ("index", "sub", "reply", "answer"),
    [
        (0x1018, 1, "43 18 10 01 04 00 00 00", Answer(0x1018, 1, bytes([4, 0, 0, 0]))),  # notes, K1
        (0x1800, 1, "43 00 18 01 8A 01 00 00", Answer(0x1800, 1, bytes.fromhex("8A010000"))),  # notes, K2
        (0x1800, 2, "4F 00 18 02 FE 00 00 00", Answer(0x1800, 2, b"\xfe")),
        (0x1A00, 1, "43 00 1A 01 08 01 00 20", Answer(0x1A00, 1, bytes.fromhex("08010020"))),
        (0x2002, 0, "4B 02 20 00 83 FF 00 00", Answer(0x2002, 0, b"\x83\xff")),
        (0x2002, 0, "47 02 20 00 01 02 03 00", Answer(0x2002, 0, b"\x01\x02\x03")),
        (0x2002, 0, "42 02 20 00 01 02 03 04", Answer(0x2002, 0, b"\x01\x02\x03\x04", sized=False)),
        (0x1A00, 1, "80 00 1A 01 00 00 02 06", Answer(0x1A00, 1, fault=("sdo_abort", "06020000, no such object"))),
        (0x1A00, 1, "80 1A 00 01 00 00 02 06", None),  # of another object, as in the transcript K2
        (0x1A00, 1, "43 00 1A 02 08 01 00 20", None),
        (0x1A00, 1, "60 00 1A 01 00 00 00 00", None),
    ],
)
def test_the_replies_of_the_notes(index: int, sub: int, reply: str, answer: Answer | None) -> None:
    upload = Upload()
    assert upload.ask(index, sub) == struct.pack("<BHBI", 0x40, index, sub, 0)
    assert upload.reply(bytes.fromhex(reply)) == answer
    assert (upload.pending is None) == (answer is not None)


def test_a_text_comes_in_segments_with_a_toggle() -> None:
    upload = Upload()
    upload.ask(0x1008, 0)
    assert upload.reply(bytes.fromhex("41 08 10 00 0A 00 00 00")) is None
    assert upload.out == b"\x60" + bytes(7)
    assert upload.reply(b"\x00TEST DE") is None
    assert upload.out == b"\x70" + bytes(7)
    assert upload.reply(b"\x19VIC\0\0\0\0") == Answer(0x1008, 0, b"TEST DEVIC")


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        (["41 08 10 00 0A 00 00 00", "10 54 45 53 54 20 44 45"], "sdo_toggle"),
        (["41 08 10 00 0A 00 00 00", "09 54 45 53 00 00 00 00"], "sdo_length"),
        (["41 08 10 00 FF FF 00 00"], "sdo_length"),
        (["40 08 10 00 00 00 00 00", *(["00" * 8, "10" + "00" * 7] * 30)], "sdo_length"),
    ],
)
def test_a_transfer_that_goes_wrong_ends(replies: list[str], reason: str) -> None:
    upload = Upload()
    upload.ask(0x1008, 0)
    answers = [answer for text in replies if (answer := upload.reply(bytes.fromhex(text)))]
    assert [a.fault and a.fault[0] for a in answers] == [reason]
    assert len(replies) * 7 < 2 * MAX_BYTES


def test_nothing_is_sent_unless_it_is_asked_for() -> None:
    protocol = started(profile(driver=VOLUME, active=True))
    events, said = conversation(protocol, simulator(driver=VOLUME), 5)
    assert said == b""
    assert not [e for e in events if isinstance(e, Identified)]


def test_active_mode_needs_a_profile_that_allows_it() -> None:
    with pytest.raises(ConfigError, match="may not be written to") as caught:
        started(gamma_xl(), {"active": True})
    assert GRAMMAR in str(caught.value)


def test_identity_and_mapping_are_asked_once_and_objects_again_and_again() -> None:
    given = profile(driver=VOLUME, active=True)
    protocol = started(given, {"active": True, "poll_s": 1.0})
    events, said = conversation(protocol, simulator(driver=VOLUME), 5)
    assert [e for e in events if isinstance(e, Identified)] == [
        Identified("Acme", "Acme infusion warmer", "V1.2", "4711")
    ]
    asked = requests(said)[1:]  # the first one was on its way before the node had booted
    for once in ("40 18 10 01", "40 08 10 00", "40 00 18 01", "40 00 1a 03", "40 01 1a 00"):
        assert asked.count(once) == 1
    assert asked.count("40 10 20 00") == 5
    assert "2010.00" in values(events)
    assert set(faults(events)) == {"not_operational"}  # boot-up
    gate = Gate(given.transmit)
    assert gate.allows(said)


def test_the_grammar_holds_uploads_and_nothing_else() -> None:
    gate = Gate([GRAMMAR])
    assert gate.allows(record(0x60A, "40 18 10 01 00000000") + record(0x67F, "70" + "00" * 7))
    for wrong in (
        record(0x000, "01 0A"),  # NMT
        record(0x080, ""),  # SYNC
        record(0x600, "40 18 10 01 00000000"),  # no node
        record(0x60A, "23 00 18 01 8A010000"),  # download
        record(0x60A, "2F 17 10 00 00000000"),
        record(0x60A, "80 18 10 01 00000000"),  # abort
        record(0x60A, "40 18 10 01 00000001"),
        record(0x18A, "40 18 10 01 00000000"),
        record(0x8000_060A, "40 18 10 01 00000000"),  # 29 bits
    ):
        assert not gate.allows(wrong)
    assert GRAMMAR in (ROOT / "drivers" / "canopen" / "README.md").read_text(encoding="utf-8")


def test_another_device_gives_no_value() -> None:
    protocol = started(profile(active=True), {"active": True})
    events, _ = conversation(protocol, simulator(eds=EDS.replace("DefaultValue=0x77", "DefaultValue=0x78")), 3)
    assert "wrong_device" in faults(events)
    later, _ = conversation(protocol, simulator(), 1, begin=3.0)
    assert not [e for e in events if isinstance(e, Identified)]
    assert later
    assert readings(events)[-1].validity == Validity.INV


def test_another_mapping_gives_no_value_and_the_right_one_does_again() -> None:
    other = "tpdo = [{ number = 1, cob_id = 0x18A, map = [0x20020010, 0x20010010, 0x20030020] }]"
    protocol = started(profile(active=True), {"active": True})
    events, _ = conversation(protocol, simulator(driver=other), 3)
    assert "mapping_differs" in faults(events)
    assert readings(events)[-1].validity == Validity.INV
    events, _ = conversation(protocol, simulator(), 3, begin=3.0)  # booted with the mapping of the EDS
    assert readings(events)[-1].validity == Validity.VLD


def test_a_wrong_mapping_that_another_client_reads_is_seen_by_a_listener() -> None:
    protocol = started()
    events = heard(
        protocol,
        OPERATIONAL,
        record(0x60A, "40 00 1A 01"),  # 4 bytes: as the client of the transcript does
        record(0x58A, "43 00 1A 01 08 01 00 20"),
    )
    assert [e for e in events if isinstance(e, Fault)] == [
        Fault("mapping_differs", "1A00.01 is 20000108, the EDS says 20010010")
    ]


def test_another_client_silences_ours() -> None:
    protocol = started(profile(active=True), {"active": True})
    assert protocol.data_to_send(0.0)
    assert faults(heard(protocol, record(0x60A, "40 00 10 00 00 00 00 00"))) == ["other_client"]
    assert all(protocol.data_to_send(now) == b"" for now in (0.1, 5.0, 50.0))
    protocol.start(60.0)
    assert protocol.data_to_send(60.0)


def test_a_node_that_does_not_answer_is_asked_the_next_thing() -> None:
    protocol = started(profile(driver="heartbeat_ms = 0", active=True), {"active": True})
    first = protocol.data_to_send(0.0)
    assert protocol.data_to_send(0.5) == b""
    second = protocol.data_to_send(1.0)
    assert requests(first + second) == ["40 18 10 01", "40 18 10 02"]
    assert faults(heard(protocol)) == ["sdo_timeout"]
    assert values(heard(protocol, record(0x58A, "43 18 10 01 04 00 00 00"))) == {}  # late: not an answer to the second


def test_a_value_of_another_length_is_no_value() -> None:
    protocol = started(profile(driver=VOLUME))
    events = heard(protocol, OPERATIONAL, record(0x60A, "40 10 20 00"), record(0x58A, "4B 10 20 00 05 00 00 00"))
    assert faults(events) == ["sdo_length"]
    assert values(events) == {}
    events = heard(protocol, record(0x60A, "40 10 20 00"), record(0x58A, "42 10 20 00 05 00 00 00"))
    assert values(events) == {"2010.00": 5}


def test_an_object_that_does_not_exist_is_a_fault() -> None:
    protocol = started(profile(driver=VOLUME))
    events = heard(protocol, record(0x60A, "40 10 20 00"), record(0x58A, "80 10 20 00 00 00 02 06"))
    assert faults(events) == ["sdo_abort"]


def test_a_segment_that_comes_twice_is_a_fault() -> None:
    protocol = started()
    first = [record(0x60A, "40 08 10 00"), record(0x58A, "41 08 10 00 0A 00 00 00"), record(0x60A, "60" + "00" * 7)]
    segment = record(0x58A, b"\x00TEST DE")
    assert faults(heard(protocol, *first, segment, segment)) == ["sdo_toggle"]


def test_a_recording_of_active_mode_replays() -> None:
    protocol = started(profile(driver=VOLUME))
    protocol.was_sent(record(0x60A, "40 10 20 00 00 00 00 00"), 0.0)
    assert values(heard(protocol, OPERATIONAL, record(0x58A, "43 10 20 00 07 00 00 00"))) == {"2010.00": 7}
    assert values(heard(protocol, record(0x58A, "43 10 20 00 08 00 00 00"))) == {}  # nobody asked


def test_boot_up_asks_anew() -> None:
    protocol = started(profile(active=True), {"active": True})
    conversation(protocol, simulator(), 2)
    heard(protocol, BOOT_UP)
    assert requests(protocol.data_to_send(2.0)) == ["40 18 10 01"]


def test_the_simulated_node_refuses_what_is_no_upload() -> None:
    device = simulator()
    device.data_to_send(0.0)
    device.receive_data(record(0x60A, "23 00 18 01 8A 01 00 00"), 0.0)
    assert device.data_to_send(0.0)[8:] == bytes.fromhex("80 00 18 01 02 00 01 06")
    device.receive_data(record(0x60A, "40 FF 5F 00"), 0.0)
    assert device.data_to_send(0.0)[8:] == bytes.fromhex("80 FF 5F 00 00 00 02 06")
    with pytest.raises(ConfigError):
        CanOpenSimulator([DeviceSpec(0, profile())], {"speed": 1}, Scene())
