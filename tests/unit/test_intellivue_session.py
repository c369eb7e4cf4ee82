"""Driver and simulated monitor in conversation, in virtual time."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from drivers.philips_intellivue import pdu as layout
from drivers.philips_intellivue.bedside import Said
from drivers.philips_intellivue.framing import frame
from drivers.philips_intellivue.modules import Modules, number
from drivers.philips_intellivue.protocol import IntellivueProtocol
from drivers.philips_intellivue.record import WAVES, drain
from drivers.philips_intellivue.session import SHORTEST_MTU
from drivers.philips_intellivue.simulator import ACCEPT, GRANTED_MTU
from gateway.core.frame import Event, Fault, Frame, Identified
from gateway.core.sample import Flag, Validity
from gateway.core.scene import Scene
from tests.unit.intellivue_rig import (
    PROFILE,
    Fed,
    Talk,
    alerts_in,
    faults,
    frames,
    identities,
    pdus,
    polls,
    readings_in,
    readings_of,
)

NUMERICS = Modules(PROFILE, "").numerics


# ---- the good way


def results(events: list[Event]) -> list[int]:
    """Return how many numbers each result has that came, whole or in linked parts: those of one time."""
    found: dict[int, int] = {}
    for part in frames(events, "numeric"):
        found[part.t_ns] = found.get(part.t_ns, 0) + len(readings_in(part))
    return list(found.values())


def test_from_association_to_values() -> None:
    talk = Talk(begin=80.0)  # in the first ten of each forty seconds a scene does not alarm
    events = talk.until(84.9)
    assert events[0] == Identified("Philips", "866062", "L.01.18", "SIM0000001")
    assert faults(events) == []
    assert [alerts_in(frame) for frame in frames(events, "alert")] == [[]] * 5
    rows = [row for numeric in NUMERICS for row in numeric.rows]
    continuous = [row for row in rows if not row.episodic]
    assert results(events) == [len(rows)] + [len(continuous)] * 4  # episodic ones once for each measurement
    assert {(r.object, r.instance) for r in readings_of(events)} == {
        (number(row), numeric.label) for numeric in NUMERICS for row in numeric.rows
    }
    times = sorted({frame.t_ns for frame in frames(events, "numeric")})
    assert [round((b - a) / 1e9, 2) for a, b in pairwise(times)] == [1.02] * 4
    assert not any(frame.after_gap for frame in frames(events, "numeric"))


def test_what_is_decoded_is_what_was_said() -> None:
    """Every value with its digits, its state and its time, except episodic ones: those once per measurement."""
    said: list[Said] = []
    talk = Talk(said=said.append, leads_off_s=(20.0, 30.0), begin=20.0)
    heard = readings_of(talk.until(140.0))
    episodic = {number(row) for numeric in NUMERICS if numeric.episodic for row in numeric.rows}
    continuous = [item for item in said if item.object not in episodic]
    assert [(r.object, r.instance) for r in heard if not r.flags & Flag.EPISODIC] == [
        (item.object, item.instance) for item in continuous
    ]
    for reading, item in zip((r for r in heard if not r.flags & Flag.EPISODIC), continuous, strict=True):
        assert isinstance(reading.value, float)
        assert (item.text == "") == math.isnan(reading.value)
        assert item.text == "" or float(item.text) == reading.value
        assert (reading.validity == Validity.INV) == bool(item.state & 0x8000)
        assert bool(reading.flags & Flag.ALERT_ACTIVE) == bool(item.state & 0x0002)
    assert {item.state for item in continuous} == {0x0000, 0x0002, 0x8000}
    cuff = [r.value for r in heard if r.object == 0x4A05]
    spoken = [float(item.text) for item in said if item.object == 0x4A05 and item.text]
    assert len(cuff) == 3  # that of before, and one in each of two minutes, each repeated by the monitor
    assert cuff == [value for i, value in enumerate(spoken) if not i or value != spoken[i - 1]]
    assert list(talk.monitor.ledger) == said


def test_an_episodic_value_has_the_age_that_its_stamp_says() -> None:
    scene = Scene(seed=1)
    talk = Talk(scene=scene, begin=60.0)
    (frame,) = {f.t_ns: f for f in frames(talk.until(68.0), "numeric") if _has(f, 0x4A05) and f.t_ns > 62e9}.values()
    (reading,) = [r for r in readings_in(frame) if r.object == 0x4A05]
    measured = scene.measured_at("MDC_PRESS_BLD_NONINV_SYS", 68.0)
    assert measured is not None
    assert frame.t_ns - reading.age_ns == pytest.approx(measured * 1e9, abs=5e6)  # hundredths of a second


def _has(frame: Frame, physio_id: int) -> bool:
    return any(reading.object == physio_id for reading in readings_in(frame))


def test_polls_are_renewed_before_they_lapse_and_nothing_is_missing() -> None:
    talk = Talk(waves=WAVES, poll_s=20)
    events = talk.until(70.0)
    for polled in (layout.NUMERICS, layout.ALERT_MONITOR, layout.WAVES):
        times = polls(talk, polled)
        assert [round(b - a) for a, b in pairwise(times)] == [18, 18, 18]
    assert faults(events) == []
    for kind, longest in (("numeric", 1.1), ("alert", 1.1), ("wave", 0.3)):
        times = [frame.t_ns / 1e9 for frame in frames(events, kind)]
        assert max(b - a for a, b in pairwise(times)) < longest
        assert not any(frame.after_gap for frame in frames(events, kind))


def test_keep_alive_comes_well_before_the_time_out_of_the_monitor() -> None:
    talk = Talk()
    talk.until(100.0)
    times = [now for now, _ in talk.sent]
    assert max(b - a for a, b in pairwise(times)) <= 5.0
    assert len(polls(talk, layout.MDS, layout.SINGLE_POLL)) >= 25


def test_a_monitor_that_grants_no_extended_polls_is_asked_every_second() -> None:
    talk = Talk(waves=WAVES, extended=False, firmware="B.02.10")
    events = talk.until(30.0)
    assert len(results(events)) == len(frames(events, "alert")) == 30
    assert faults(events) == ["no_waves"]
    assert identities(events)[0].firmware == "B.02.10"


@pytest.mark.parametrize("mtu", [256, 300, 700])
def test_results_longer_than_the_mtu_come_linked_and_complete(mtu: int) -> None:
    talk, whole = Talk(mtu=mtu, begin=20.0), Talk(mtu=4096, begin=20.0)
    events, expected = talk.until(28.0), whole.until(28.0)
    assert max(len(pdu) for _, pdu in pdus(talk.said)) <= mtu
    assert any(pdu[4:6] == b"\x00\x05" for _, pdu in pdus(talk.said, layout.DATA))  # ROLRS
    assert repr(readings_of(events)) == repr(readings_of(expected))
    assert len(frames(events, "numeric")) > len(frames(expected, "numeric"))
    assert faults(events) == []


def test_demo_and_test_values_are_marked() -> None:
    assert {r.flags & (Flag.DEMO | Flag.TEST) for r in readings_of(Talk(demo=True).until(5.0))} == {Flag.DEMO}
    assert {r.flags & (Flag.DEMO | Flag.TEST) for r in readings_of(Talk(test=True).until(5.0))} == {Flag.TEST}


# ---- the bad ways


def test_refusal_is_said_and_tried_again_after_five_seconds() -> None:
    talk = Talk(refuse=2)
    events = talk.until(20.0)
    assert faults(events) == ["refused"] * 2
    times = [now for now, _ in pdus(talk.sent, layout.ASSOCIATE_REQUEST)]
    assert len(times) == 3
    assert min(b - a for a, b in pairwise(times)) >= 5.0
    assert readings_of(events)


def test_nobody_there() -> None:
    protocol = IntellivueProtocol(0, (), 600)
    protocol.start(0.0)
    sent = []
    now = 0.0
    while now < 30.0:
        sent.append(protocol.data_to_send(now))
        wake = protocol.next_wake()
        assert wake is not None
        assert wake > now
        now = wake
    assert sent == [frame(layout.ASSOCIATION_REQUEST)] * 6
    assert faults(drain(protocol)) == ["no_answer"] * 5


def test_silence_is_noticed_and_ends_in_a_new_association() -> None:
    talk = Talk(silence_s=(20.0, 40.0))
    before, dead, after = talk.until(20.0), talk.until(40.0), talk.until(60.0)
    assert faults(before) == []
    assert faults(dead) == ["silence", "no_answer", "no_answer"]
    assert 25.0 <= next(now for now, pdu in pdus(talk.sent) if pdu[0] == layout.ABORTED) <= 30.5
    assert identities(after) == identities(before)
    assert frames(after, "numeric")[0].after_gap
    assert len(frames(after, "numeric")) >= 10


def test_a_silent_stream_is_asked_for_again_and_then_associated_anew() -> None:
    """The monitor answers keep-alives but sends no numerics."""
    talk = Talk()
    talk.until(10.0)
    talk.monitor._polls = {}
    events = talk.until(19.0)
    assert faults(events) == ["silence"] * 2
    assert readings_of(events)
    monitor = talk.monitor
    poll = monitor._poll
    monitor._poll = lambda pdu, invoke: poll(pdu, invoke) if pdu[33] == 0x21 else None  # type: ignore[method-assign]
    monitor._polls = {}
    events = talk.until(37.0)
    assert [e.detail for e in events if isinstance(e, Fault)][:3] == [
        "no numerics for 8 s, asked again",
        "no alerts for 8 s, asked again",
        "no numerics after 2 polls",
    ]
    assert pdus(talk.sent, layout.ABORTED)


def test_an_event_that_is_sent_again_changes_nothing_but_is_answered() -> None:
    talk = Talk()
    events = talk.until(5.0)
    talk.protocol.receive_data(frame(talk.monitor._bedside.mds_create(5.0)), 0)
    events += talk.until(10.0)
    answers = [pdu for _, pdu in pdus(talk.sent, layout.DATA) if pdu[4:6] == b"\x00\x02"]
    assert len(answers) == 2
    assert len(identities(events)) == 1
    assert len(polls(talk, layout.NUMERICS)) == 1
    assert {r.instance for r in readings_of(events) if r.object == 0x4182} == {0x0002_4182}


def test_a_release_that_crosses_an_accept_voids_it() -> None:
    fed = Fed()
    fed.protocol.data_to_send(0.0)
    fed.pdu(ACCEPT)
    fed.pdu(layout.RELEASE_RESPONSE)
    assert fed.protocol.data_to_send(0.1) == frame(layout.ASSOCIATION_REQUEST)


def test_the_monitor_aborts_when_it_hears_nothing() -> None:
    talk = Talk()
    talk.until(5.0)
    said = b"".join(talk.monitor.data_to_send(talk.now + n) for n in range(12))
    assert pdus([(0.0, said)])[-1][1] == layout.ABORT


@pytest.mark.parametrize("ending", [layout.ABORT, layout.RELEASE_REQUEST])
def test_an_association_ended_by_the_monitor_is_made_anew(ending: bytes) -> None:
    talk = Talk()
    talk.until(5.0)
    talk.monitor._drop()
    talk.protocol.receive_data(frame(ending), 0)
    events = talk.until(20.0)
    assert faults(events) == ["abort"]
    assert readings_of(events)
    released = bool(pdus(talk.sent, layout.RELEASE_DONE))
    assert released == (ending == layout.RELEASE_REQUEST)


def test_a_restarted_gateway_reads_the_old_stream_and_then_makes_its_own() -> None:
    talk = Talk()
    talk.until(10.0)
    talk.protocol.start(talk.now)
    talk.sent.clear()
    events = talk.until(20.0)
    assert [pdu[0] for _, pdu in pdus(talk.sent)[:3]] == [0x0D, 0x09, 0x0D]  # asked, released the old one, asked
    assert {e.detail for e in events if isinstance(e, Fault)} == {
        "physio id 0x480A label 0x00000000 is sent by two objects at once"  # three pulses that only labels tell apart
    }
    assert readings_of(events)[0].instance == 0  # read before the labels were sent again
    assert readings_of(events)[-1].instance != 0
    assert identities(events)


def test_a_lost_accept_is_repaired() -> None:
    talk = Talk()
    receive = talk.protocol.receive_data
    talk.protocol.receive_data = lambda _, t_ns: receive(b"", t_ns)  # type: ignore[method-assign,assignment]
    talk.until(0.05)
    talk.protocol.receive_data = receive  # type: ignore[method-assign]
    assert readings_of(talk.until(15.0))


def test_a_lost_first_result_is_asked_for_again_because_only_it_has_the_labels() -> None:
    talk = Talk()
    receive = talk.protocol.receive_data

    def lossy(data: bytes, t_ns: int) -> None:
        receive(data.replace(b"\x00\x02\x41\x82", b"\x00\x02\x41\x83"), t_ns)  # hits results with labels only

    talk.protocol.receive_data = lossy  # type: ignore[method-assign]
    events = talk.until(3.0)
    assert faults(events) == ["fcs"]
    talk.protocol.receive_data = receive  # type: ignore[method-assign]
    events += talk.until(20.0)
    assert len(polls(talk, layout.NUMERICS)) == 2
    hr = [r.instance for r in readings_of(events) if r.object == 0x4182]
    assert hr[0] == 0
    assert set(hr[6:]) == {0x0002_4182}


def test_a_monitor_that_never_sends_labels_is_not_asked_for_ever() -> None:
    talk = Talk()
    talk.until(1.0)
    talk.protocol._decoder.reset()
    bedside = talk.monitor._bedside
    observations = bedside.observations
    told = set(range(0x10000))
    bedside.observations = lambda polled, t, *_: observations(polled, t, told, ())  # type: ignore[method-assign]
    talk.until(540.0)
    assert 4 <= len(polls(talk, layout.NUMERICS)) <= 9


def test_release_on_stop() -> None:
    talk = Talk()
    talk.until(5.0)
    talk.protocol.stop(talk.now)
    assert talk.protocol.data_to_send(talk.now) == frame(layout.RELEASE_REQUEST)
    assert talk.protocol.next_wake() is not None
    talk.protocol.receive_data(frame(layout.RELEASE_RESPONSE), 0)
    assert talk.protocol.data_to_send(talk.now + 1) == b""
    assert talk.protocol.next_wake() is None


def test_abort_when_the_release_is_not_answered() -> None:
    talk = Talk()
    talk.until(5.0)
    talk.protocol.stop(talk.now)
    talk.protocol.data_to_send(talk.now)
    wake = talk.protocol.next_wake()
    assert wake is not None
    assert 2.0 <= wake - talk.now <= 3.0
    assert talk.protocol.data_to_send(wake) == frame(layout.ABORT)
    assert talk.protocol.next_wake() is None


def test_stop_before_anything_is_open() -> None:
    protocol = IntellivueProtocol(0, (), 600)
    protocol.start(0.0)
    protocol.stop(0.0)
    assert (protocol.data_to_send(1.0), protocol.next_wake()) == (b"", None)


def test_errors_name_the_request_and_the_reason() -> None:
    fed = Fed()
    (fault,) = fed.pdu(layout.SESSION + bytes.fromhex("0003000600 09 000a0000".replace(" ", "")))
    assert fault.detail == "numerics: error 10, processing failure"  # type: ignore[union-attr]


def test_an_accept_that_cannot_be_read_is_still_an_accept() -> None:
    fed = Fed()
    fed.protocol.data_to_send(0.0)
    assert faults(fed.pdu(ACCEPT[:100])) == ["pdu"]
    mds = Talk()
    mds.until(0.2)
    create = next(data for _, pdu in pdus(mds.said, layout.DATA) for data in [frame(pdu)])
    assert identities(fed.line(create))
    assert fed.protocol.data_to_send(0.2).count(b"\xc0") == 4  # result of the event, identity, two polls


def test_a_tiny_mtu_is_refused_and_no_request_is_longer_than_the_smallest_accepted() -> None:
    fed = Fed()
    fed.protocol.data_to_send(0.0)
    tiny = bytearray(ACCEPT)
    tiny[GRANTED_MTU] = (SHORTEST_MTU - 1).to_bytes(4, "big") * 2
    assert faults(fed.pdu(bytes(tiny))) == ["refused"]
    assert fed.protocol.data_to_send(0.1) == frame(layout.ABORT)
    requests = [
        layout.set_wave_list(1, tuple(range(12))),
        layout.poll(1, 1, 6, period_s=86_400),
        layout.mds_create_result(layout.Event(1, 1, (0x21, 0, 0), 5, 0x0D06, [])),
    ]
    assert max(map(len, requests)) <= SHORTEST_MTU


def test_the_simulator_is_deterministic() -> None:
    one, two, other = Talk(waves=WAVES), Talk(waves=WAVES), Talk(waves=WAVES, scene=Scene(seed=2))
    for talk in (one, two, other):
        talk.until(5.0)
    assert one.said == two.said
    assert one.said != other.said


def test_frames_ok_counts_over_restarts() -> None:
    talk = Talk()
    talk.until(5.0)
    count = talk.protocol.frames_ok
    assert count == len(pdus(talk.said))
    talk.protocol.start(6.0)
    assert talk.protocol.frames_ok == count
    assert all(isinstance(event, Frame | Identified) for event in talk.events)
