"""B. Braun BCC: what is asked when, what is never sent, what a person is told."""

from __future__ import annotations

import json
from collections import Counter
from math import isnan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.bbraun_bcc.framing import ACK, escaped, request, usable
from drivers.bbraun_bcc.options import FAULTS
from drivers.bbraun_bcc.protocol import MAX_ANSWER, BccProtocol
from gateway.core.errors import ConfigError
from gateway.core.frame import Fault, Identified
from gateway.core.protocol import DeviceSpec, Simulator
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from tests.unit import pump_rig as rig
from tests.unit.bbraun_bcc_rig import ALIVE, GET, NAME, PROFILE, RAW, REPLY, block, heard, whole

# ---- nothing but three requests

KNOWN = (b"ADMIN:ALIVE", b"ADMIN:VERSION", b"MEM:GET")
OTHERS = ("MEM:SET", "MEM:PUT", "ADMIN:SET", "MEM:GETSLOT#11", "MEM:GET#INRT,5.0", "MEM:GET,INRT,5", "", "GET")


@pytest.mark.parametrize("information", OTHERS)
@pytest.mark.parametrize("stuffing", [False, True])
def test_the_gate_refuses_every_other_request(information: str, stuffing: bool) -> None:
    """The notes say that some licences take writes and name none of them: so whatever is not a request to read."""
    gate = Gate(rig.profile(PROFILE).transmit)
    for bed in ("1", "ICU1", "ComSystem"):
        refused = request(bed, information, stuffing)
        assert not gate.allows(refused)
        assert not gate.allows(request(bed, "MEM:GET", stuffing) + refused)
        assert not gate.allows(ACK + refused + ACK)


@given(information=st.text(st.characters(codec="ascii"), max_size=20), stuffing=st.booleans())
def test_the_gate_lets_three_requests_through_and_no_other_text(information: str, stuffing: bool) -> None:
    gate = Gate(rig.profile(PROFILE).transmit)
    known = [name.decode() for name in KNOWN]
    assert gate.allows(request("ICU1", information, stuffing)) == (information in known)
    for name in known:
        assert gate.allows(request("Ward-12 Æ", name, stuffing))
        assert not gate.allows(request("ICU1", name + information, stuffing)) or not information


def test_a_bed_id_cannot_smuggle_a_request() -> None:
    gate = Gate(rig.profile(PROFILE).transmit)
    for bed in ("1/1/1>MEM:SET\x03", "a>b", "a/b", "a\x02b", "", "x" * 16):
        assert not usable(bed)
        assert len(bed) > 15 or not gate.allows(request(bed, "MEM:GET", stuffing=False))
        line = rig.line(NAME, PROFILE, RAW)
        line.turn()
        line.feed(block("50100,GNACK,0", bed=bed))
        line.turn()
        line.now = 1.0
        assert line.protocol.data_to_send(1.0) in (b"", request("1", "ADMIN:VERSION", stuffing=False))


@pytest.mark.parametrize("options", [{}, RAW, {"changes_only": True}])
def test_all_that_is_ever_sent_are_requests_to_read(options: dict[str, bool]) -> None:
    line = rig.line(NAME, PROFILE, options).run(30.0)
    line.part()
    sent = b"".join(data for _, data in line.sent)
    if not options.get("stuffing", True):
        assert {text.split(b"\x03")[0] for text in sent.split(b">")[1:]} == set(KNOWN)
    assert sent.count(b"\x01") + sent.count(ACK) == len(line.sent)


# ---- the conversation


def test_it_greets_learns_the_bed_id_asks_the_version_and_then_polls() -> None:
    line = rig.line(NAME, PROFILE, RAW).run(8.0)
    requests = [(round(at, 1), data.split(b">")[1][:-7]) for at, data in line.sent if data != ACK]
    assert [name for _, name in requests] == [b"ADMIN:ALIVE", b"ADMIN:VERSION", b"MEM:GET", b"MEM:GET", b"MEM:GET"]
    times = [at for at, _ in requests]
    assert times[3] - times[2] == pytest.approx(3.0, abs=0.1)
    assert times[1] - times[0] >= 0.5
    assert [data.split(b"/")[0][7:] for _, data in line.sent if data != ACK] == [b"1"] + [b"IntensivE-12d"] * 4
    assert Identified("", "", "V3.30") in [event for _, event in line.events]


def test_a_block_that_is_not_the_last_is_acknowledged_a_tenth_of_a_second_later() -> None:
    line = rig.line(NAME, PROFILE).run(4.0)
    for at, _ in [(at, data) for at, data in line.sent if data == ACK]:
        assert min(at - said for said, data in line.said if b"\x17" in data and said < at) == pytest.approx(
            0.1, abs=0.01
        )
    assert sum(data == ACK for _, data in line.sent) == sum(data.count(b"\x17") for _, data in line.said) > 0


def test_a_slow_answer_is_waited_for() -> None:
    """Twelve pumps at 9600 Bd take 13 s: overdue is what has been still for 2 s."""
    line = rig.line(NAME, PROFILE).run(2.0)
    line.deaf = True
    line.run(5.2)  # a request is in flight
    answer = b"".join(data for _, data in line.said if b"INRT" in data)[:9_000]
    before = len(line.sent)
    for at in range(0, len(answer), 600):
        line.now += 0.9
        line.protocol.receive_data(answer[at : at + 600], rig.T0)
        line.protocol.data_to_send(line.now)
    assert len(line.sent) == before
    assert "no_answer" not in rig.reasons(rig.drain(line.protocol))


def test_chatter_without_an_end_is_overdue_all_the_same() -> None:
    line = rig.line(NAME, PROFILE)
    line.turn()
    for _ in range(200):
        line.now += 0.5
        line.protocol.receive_data(b"xx", rig.T0)
        line.protocol.data_to_send(line.now)
    assert "no_answer" in rig.reasons(rig.drain(line.protocol))


def test_three_requests_without_an_answer_are_silence_and_it_greets_again() -> None:
    line = rig.line(NAME, PROFILE, RAW).run(5.0)
    line.deaf = True
    line.run(20.0)
    assert line.faults["silent"] == 1
    assert line.faults["no_answer"] >= 3
    assert line.sent[-1][1] == ALIVE
    line.deaf = False
    before = len(line.events)
    line.run(30.0)
    later = [event for _, event in line.events[before:]]
    first = rig.frames(later, "pump")[0]
    assert first.after_gap
    assert not rig.frames(later, "pump")[1].after_gap


def test_a_station_that_does_not_tell_its_version_is_asked_for_values_all_the_same() -> None:
    for refused in (block("50100,GNERR,1"), b""):
        line = rig.line(NAME, PROFILE, RAW).run(0.3)
        line.deaf = True
        line.run(0.8)  # the version is in flight
        line.feed(refused)
        line.deaf = False
        line.run(10.0)
        assert any(b"MEM:GET" in data for _, data in line.sent)


def test_a_late_or_doubled_answer_carries_its_own_names() -> None:
    line = rig.line(NAME, PROFILE, RAW)
    line.turn()  # a greeting is in flight
    assert rig.usable_numbers(PROFILE, line.feed(REPLY * 2)) == {"1.1.2.2": [5.0, 5.0], "1.1.2.4": [12.34, 12.34]}
    line.turn()
    assert len(line.sent) == 1  # and the greeting is still in flight


def test_a_restart_of_the_station_is_told() -> None:
    events = heard(block("50111,INRT,5.0"), block("7,50111,INRT,5.0"))
    assert rig.reasons(events) == ["restarted"]


def test_a_recording_says_what_was_asked() -> None:
    """Replay: where a recorded request stands, a new answer begins; nothing is asked of its own."""
    part = whole("1234,50111,INRT,5.0\x1e1234,50111,INVI,12", last=False)
    protocol = BccProtocol([DeviceSpec(0, rig.profile(PROFILE))], RAW)
    protocol.was_sent(GET, 1.0)
    protocol.receive_data(part, rig.T0)
    protocol.was_sent(ACK, 1.1)
    assert protocol.data_to_send(9.0) == b""
    assert protocol.next_wake() is None
    protocol.was_sent(GET, 10.0)
    protocol.receive_data(whole(".34"), rig.T0)
    assert rig.reasons(rig.drain(protocol)) == ["quadruple"]


# ---- a line that gives back what is written


class Echoing:
    """The station behind an adapter with a local echo: what is written comes before what it answers."""

    def __init__(self, station: Simulator | None) -> None:
        self._station = station
        self._back = b""

    def receive_data(self, data: bytes, now: float) -> None:
        self._back += data
        if self._station:
            self._station.receive_data(data, now)

    def data_to_send(self, now: float) -> bytes:
        back, self._back = self._back, b""
        return back + (self._station.data_to_send(now) if self._station else b"")

    def next_wake(self) -> float | None:
        return self._station.next_wake() if self._station else None


@pytest.mark.parametrize("options", [{}, RAW, {"changes_only": True}])
def test_with_an_echo_the_same_frames_come(options: dict[str, bool]) -> None:
    clean, echoing = (rig.line(NAME, PROFILE, options) for _ in range(2))
    echoing.simulator = Echoing(echoing.simulator)
    clean.run(30.0)
    echoing.run(30.0)
    assert [event for event in echoing.events if not isinstance(event[1], Fault)] == [
        event for event in clean.events if not isinstance(event[1], Fault)
    ]
    assert echoing.sent == clean.sent
    assert echoing.faults == clean.faults + Counter(echo=len(echoing.sent))


@pytest.mark.parametrize("options", [{}, RAW, {"changes_only": True}])
def test_an_echo_alone_is_silence(options: dict[str, bool]) -> None:
    """Nothing of it is a value, a list of alarms or a station: it is asked as often as when nothing comes at all."""
    line, silent = (rig.line(NAME, PROFILE, options) for _ in range(2))
    line.simulator = Echoing(None)
    silent.deaf = True
    line.run(60.0)
    silent.run(60.0)
    assert all(isinstance(event, Fault) for _, event in line.events)
    assert line.protocol.frames_ok == 0
    assert line.sent == silent.sent
    assert line.faults == silent.faults + Counter(echo=len(line.sent))


def test_an_echo_in_single_bytes_and_inside_an_answer() -> None:
    """It comes between two blocks of one answer, too, and does not take the answer with it."""
    line = rig.line(NAME, PROFILE, RAW)
    line.turn()
    first, rest = whole("1234,50111,INRT,5.0\x1e1234,50111,INVI,12", last=False), whole(".34")
    found = [event for byte in ALIVE + first + ALIVE + rest for event in line.feed(bytes([byte]))]
    assert rig.reasons(found) == ["echo", "echo"]
    assert rig.usable_numbers(PROFILE, found) == {"1.1.2.2": [5.0], "1.1.2.4": [12.34]}


def test_an_acknowledgement_that_was_not_written_is_noise() -> None:
    line = rig.line(NAME, PROFILE, RAW)
    line.turn()
    assert rig.reasons(line.feed(ACK + REPLY)) == ["noise"]


# ---- faults


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"xyz" + REPLY, "noise"),
        (b"\x01xyz\x04", "form"),
        (REPLY.replace(b"00082", b"00083"), "length"),
        (REPLY.replace(b"5.0", b"6.0"), "checksum"),
        (block("50100,GNACK,0", bed="a bed with a name too long"), "bed_id"),
        (block("50111,INRT"), "quadruple"),
        (block("50111,INRT,x"), "value"),
        (block("50111,INDORT,1"), "unit"),
        (block("50100,GNERR,17"), "error"),
        (ALIVE, "echo"),
        (REPLY + block("1,50111,INRT,1"), "restarted"),
        (REPLY + block("50111,INRT,1"), "withdrawn"),
        (block("5011O,INRT,1"), "position"),
        (block("50121,INRT,1"), "pillar"),
        (whole("1,50111,INRT,1\x1e" * 5000, last=False) * (MAX_ANSWER // 75_000 + 1), "too_long"),
    ],
)
def test_what_a_person_is_told(data: bytes, reason: str) -> None:
    assert reason in FAULTS
    assert reason in rig.reasons(heard(data))


def test_a_station_with_the_other_escaping_is_told() -> None:
    assert rig.reasons(rig.heard_in(NAME, PROFILE, block("50111,INDTNR,1"), {})) == ["stuffing"]
    assert rig.reasons(heard(escaped(block("50111,INDTNR,1")))) == ["length"]


def test_every_fault_was_provoked() -> None:
    elsewhere = {"stuffing", "no_answer", "silent"}
    (mark,) = (mark for mark in test_what_a_person_is_told.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    assert {reason for _, reason in mark.args[1]} | elsewhere == set(FAULTS)


def test_no_values_are_no_values() -> None:
    line = rig.line(NAME, PROFILE, scene=Scene(nothing=True)).run(20.0)
    events = [event for _, event in line.events]
    numerics = {s.path for c in rig.profile(PROFILE).channels for s in c.metrics if s.kind == "numeric"}
    assert rig.readings(events)
    assert not numerics & rig.usable_numbers(PROFILE, events).keys()


def test_no_single_bit_flip_makes_a_value() -> None:
    stream = escaped(block("50111,INRT,5.0", "50111,DSSTATUS,00051", "50112,INVI,12.34", "50112,INA3,1") + REPLY)
    clean = {repr(reading) for reading in rig.readings(rig.heard_in(NAME, PROFILE, stream, {}))}
    for damaged in rig.flips(stream):
        readings = rig.readings(rig.heard_in(NAME, PROFILE, damaged, {}))
        assert {repr(reading) for reading in readings if not isnan(float(reading.value))} <= clean


def test_options_are_checked() -> None:
    device = DeviceSpec(0, rig.profile(PROFILE))
    with pytest.raises(ConfigError, match="configured twice"):
        BccProtocol([device, device], {})
    with pytest.raises(ConfigError, match="poll_s"):
        BccProtocol([device], {"poll_s": 0.1})
    with pytest.raises(ConfigError, match="pillar"):
        BccProtocol([DeviceSpec(0, device.profile, {"pillar": 4})], {})


@pytest.mark.parametrize("stem", rig.RECORDINGS[NAME][1])
def test_recordings_are_what_the_simulator_says(stem: str) -> None:
    seconds, options, scene = rig.RECORDINGS[NAME][1][stem]
    path = Path(rig.ROOT / "drivers" / NAME / "captures" / f"{stem}.bin")
    assert path.read_bytes() == rig.recording(NAME, PROFILE, seconds, options, scene)
    expected = json.loads(path.with_suffix(".expected.json").read_text(encoding="utf-8"))
    assert rig.described(rig.heard_in(NAME, PROFILE, path.read_bytes(), options)) == expected
