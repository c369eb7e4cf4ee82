"""IntelliVue on the LAN: the same PDUs, one to a datagram, and the beacon; alone, in conversation, over sockets."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.philips_intellivue import DRIVER
from drivers.philips_intellivue import pdu as layout
from drivers.philips_intellivue.framing import MAX_USER_DATA, frame
from drivers.philips_intellivue.pdu import ALERT_MONITOR, NUMERICS, attribute, listed
from drivers.philips_intellivue.protocol import IntellivueProtocol
from drivers.philips_intellivue.record import SCENE, drain
from drivers.philips_intellivue.transport import Udp
from gateway.core.frame import Event, Fault, Frame, Identified, Wave
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from gateway.links.udp import UdpLink, UdpSettings
from gateway.simulate import UdpServer
from tests.unit.intellivue_rig import (
    BEACON,
    PROFILE,
    SINGLE_POLL_RESULT,
    Fed,
    S,
    Talk,
    alerts_in,
    faults,
    frames,
    identities,
    number,
    observation,
    readings_in,
    readings_of,
    result,
    waves_of,
)

STILL = Scene(seed=1, still=True)


# ---- datagrams


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x55" * 40, "header"),
        (frame(SINGLE_POLL_RESULT), "header"),  # somebody sends the serial framing
        (SINGLE_POLL_RESULT[:-1], "length"),
        (SINGLE_POLL_RESULT + b"\0", "length"),
        (SINGLE_POLL_RESULT * 2, "length"),
        (SINGLE_POLL_RESULT[:7], "length"),
        (b"\xe1" * (MAX_USER_DATA + 1), "too_long"),
        (b"\0\0\1\0\0\1\0\5", "length"),
    ],
)
def test_a_datagram_that_is_no_pdu(data: bytes, reason: str) -> None:
    fed = Fed("udp")
    (fault,) = fed.line(data)
    assert isinstance(fault, Fault)
    assert (fault.reason, fault.bad_frame) == (reason, True)
    assert fed.protocol.frames_ok == 0
    assert len(readings_of(fed.line(SINGLE_POLL_RESULT))) == 6
    assert fed.protocol.frames_ok == 1
    assert fed.line(b"") == []


@given(st.lists(st.binary(max_size=300) | st.binary(max_size=60).map(lambda tail: b"\xe1\0\0\2" + tail), max_size=5))
def test_any_datagrams_give_events_never_an_exception(datagrams: list[bytes]) -> None:
    fed = Fed("udp")
    for data in datagrams:
        for event in fed.line(data):
            assert isinstance(event, Frame | Fault | Identified)
            assert not isinstance(event, Fault) or event.reason in DRIVER.faults


@pytest.mark.parametrize("captured", [True, False])
def test_every_truncation_of_a_datagram_is_noticed(captured: bool, shared: Path) -> None:
    whole = (shared / BEACON).read_bytes() if captured else SINGLE_POLL_RESULT
    for length in range(1, len(whole)):
        assert faults(Fed("udp").line(whole[:length])) == ["length"]


# ---- in conversation


def test_on_the_lan_the_monitor_says_the_same_as_on_the_line() -> None:
    lan, line = Talk(waves=None, carrier="udp", scene=STILL), Talk(waves=None, scene=STILL)
    told, expected = lan.until(20.0), line.until(20.0)
    assert faults(told) == faults(expected) == []
    assert {(r.object, r.instance, r.unit, r.value) for r in readings_of(told) if r.validity == Validity.VLD} == {
        (r.object, r.instance, r.unit, r.value) for r in readings_of(expected) if r.validity == Validity.VLD
    }
    assert {w.object for w in waves_of(told)} == {w.object for w in waves_of(expected)}
    assert len(frames(told, "alert")) == len(frames(expected, "alert"))
    assert not any(f.after_gap for f in frames(told, "numeric"))


def test_each_datagram_is_one_pdu_and_inside_the_grammar() -> None:
    gate = Gate(PROFILE.transmit)
    talk = Talk(waves=(0x0002_0102,), carrier="udp", poll_s=10)
    talk.until(15.0)
    talk.protocol.stop(talk.now)
    talk.sent.append((talk.now, talk.protocol.data_to_send(talk.now)))
    for _, data in talk.sent:
        assert Udp().read(data) == [data]
        assert gate.allows(data)
    assert talk.sent[0][1] == layout.ASSOCIATION_REQUEST
    assert talk.sent[-1][1] == layout.RELEASE_REQUEST


def test_datagrams_that_wait_go_out_at_once_one_after_the_other() -> None:
    talk = Talk(carrier="udp")
    talk.until(0.05)
    talk.protocol.receive_data(talk.monitor._bedside.mds_create(0.1), 0)
    sent = []
    while (data := talk.protocol.data_to_send(0.1)) != b"":
        sent.append(data)
        wake = talk.protocol.next_wake()
        assert wake is not None
        if len(sent) < 4:
            assert wake <= 0.1
    assert len(sent) == 4  # the answer to the event, identity, numerics, alerts
    assert talk.protocol.next_wake() > 0.1  # type: ignore[operator]


def test_start_and_stop_forget_what_waits() -> None:
    for end in ("start", "stop"):
        talk = Talk(carrier="udp")
        talk.until(0.05)
        talk.protocol.receive_data(talk.monitor._bedside.mds_create(0.1), 0)
        talk.protocol.data_to_send(0.1)
        getattr(talk.protocol, end)(0.2)
        wanted = layout.ASSOCIATION_REQUEST if end == "start" else layout.RELEASE_REQUEST
        assert [talk.protocol.data_to_send(0.2) for _ in range(2)] == [wanted, b""]


@pytest.mark.parametrize("kind", ["lost", "twice", "late"])
def test_lost_doubled_and_late_datagrams_never_make_a_value(kind: str) -> None:
    """The scene stands still, so every number but the right one is wrong; and what is there is not called gone."""
    right = {(r.object, r.instance): r.value for r in readings_of(Talk(carrier="udp", scene=STILL).until(3.0))}
    talk = Talk(carrier="udp", scene=STILL, begin=60.0)
    receive, rng = talk.protocol.receive_data, random.Random(kind)
    held: list[bytes] = []

    def bad_line(data: bytes, t_ns: int) -> None:
        """One in twelve datagrams of results is hit; a late one comes after the two that follow it."""
        hit = data[4:6] in (b"\0\2", b"\0\5") and rng.random() < 1 / 12
        if kind == "late" and len(held) == 3:
            receive(held[1], t_ns)
            receive(held[2], t_ns)
            receive(held[0], t_ns)
            held.clear()
        if kind == "late" and (hit or held):
            held.append(data)
            return
        for _ in range({"lost": 0, "twice": 2}.get(kind, 1) if hit else 1):
            receive(data, t_ns)

    talk.until(63.0)  # labels are there
    talk.protocol.receive_data = bad_line  # type: ignore[method-assign]
    told = readings_of(talk.until(90.0))
    assert len(told) > 2000
    for reading in told:
        key = reading.object, reading.instance
        if reading.validity == Validity.VLD and key in right and right[key] == right[key]:
            assert reading.value == right[key]
    gone = [r for r in told if r.validity == Validity.NA]
    assert len(gone) < 20


def parts(*alive: int, sequence: int) -> list[bytes]:
    """Return a result of three parts, an object in each: two linked ones and the final one. alive: parts that come."""
    links = {1: (1, 1), 2: (3, 2), 3: None}
    made = []
    for part, link in links.items():
        item = observation(part, number(0x4A05 + part, part, unit=0x0F20))
        made.append(result(NUMERICS, item, sequence=sequence, relative=8192 * sequence, link=link))
    return [pdu for part, pdu in enumerate(made, 1) if part in alive]


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_part_that_is_lost_without_a_word_calls_nothing_gone(missing: int) -> None:
    """On the LAN no framing tells of the loss; objects of the part that is missing are still there."""
    fed = Fed("udp")
    for pdu in parts(1, 2, 3, sequence=0):
        fed.pdu(pdu)
    for sequence in (1, 2):
        events = [event for pdu in parts(*{1, 2, 3} - {missing}, sequence=sequence) for event in fed.pdu(pdu)]
        assert len(readings_of(events)) == 2
        assert all(reading.validity == Validity.VLD for reading in readings_of(events))
        if sequence == 1:
            events = [event for pdu in parts(1, 2, 3, sequence=2) for event in fed.pdu(pdu)]
            assert len(readings_of(events)) == 3
            fed = Fed("udp")
            for pdu in parts(1, 2, 3, sequence=1):
                fed.pdu(pdu)


def test_a_result_that_became_shorter_is_believed_the_second_time() -> None:
    fed = Fed("udp")
    for pdu in parts(1, 2, 3, sequence=0):
        fed.pdu(pdu)
    only = observation(3, number(0x4A08, 3, unit=0x0F20))
    assert len(fed.readings(result(NUMERICS, only, sequence=1, relative=8192))) == 1
    gone = fed.readings(result(NUMERICS, only, sequence=2, relative=16384))
    assert [r.validity for r in gone] == [Validity.VLD, Validity.NA, Validity.NA]


def test_a_result_that_was_overtaken_is_thrown_away_and_a_new_count_is_not() -> None:
    fed = Fed("udp")
    item = observation(1, number(0x4182, 72))
    for sequence, relative in ((5, 40_000), (7, 56_000)):
        fed.pdu(result(NUMERICS, item, sequence=sequence, relative=relative))
    assert faults(fed.pdu(result(NUMERICS, item, sequence=6, relative=48_000))) == ["stale"]
    again = fed.pdu(result(NUMERICS, item, sequence=0, relative=64_000))  # the monitor began to count anew
    assert len(readings_of(again)) == 1
    wrapped = fed.pdu(result(NUMERICS, item, sequence=0xFFFF, relative=72_000))
    assert len(readings_of(wrapped)) == 1


def test_an_older_list_of_alerts_does_not_bring_back_what_has_ended() -> None:
    fed = Fed("udp")
    entry = bytes.fromhex("4182f1480400000000060001000202010000")
    one, none = (observation(1, attribute(0x0902, listed(entries))) for entries in ([entry], []))
    fed.pdu(result(ALERT_MONITOR, one, sequence=0, relative=0))
    (ended,) = fed.pdu(result(ALERT_MONITOR, none, sequence=2, relative=16_000))
    assert alerts_in(ended) == []
    assert faults(fed.pdu(result(ALERT_MONITOR, one, sequence=1, relative=8_000))) == ["stale"]


# ---- over real sockets


class Lan:
    """A simulated monitor on a UDP socket and a driver on a UDP link; the clock of both is virtual."""

    def __init__(self, host: str) -> None:
        self.beacon_port = free_port()
        self.server = UdpServer(0, self.beacon_port)
        self.server.__enter__()
        settings = UdpSettings(host=host, port=self.server.port, beacon_port=self.beacon_port, local_host="127.0.0.1")
        self.link = UdpLink(settings, time.time_ns)
        self.monitor = DRIVER.simulator([DeviceSpec(0, PROFILE)], {"transport": "udp"}, SCENE)
        self.protocol = IntellivueProtocol(0, None, 600, "udp")
        self.link.open()
        self.protocol.start(0.0)
        self.events: list[Event] = []
        self.heard: list[bytes] = []
        self.now = 0.0

    def until(self, end: float) -> None:
        """Let them speak. What is on its way on loopback has arrived when sending it returns."""
        while self.now <= end:
            while data := self.protocol.data_to_send(self.now):
                self.link.write(data)
            while asked := self.server.read(0.0):
                self.monitor.receive_data(asked, self.now)
            while said := self.monitor.data_to_send(self.now):
                self.server.write(said)
            while packets := self.link.read(0.0):
                for _, data in packets:
                    self.heard.append(data)
                    self.protocol.receive_data(data, round(self.now * S))
            self.events += drain(self.protocol)
            self.now = round(self.now + 0.05, 2)


def free_port() -> int:
    with UdpServer(0) as probe:
        return int(probe.port)


@pytest.fixture
def lan() -> Iterator[Callable[[str], Lan]]:
    with contextlib.ExitStack() as made:

        def build(host: str) -> Lan:
            found = Lan(host)
            made.callback(found.server.__exit__)
            made.callback(found.link.close)
            return found

        yield build


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_from_beacon_to_values_over_sockets(host: str, lan: Callable[[str], Lan]) -> None:
    """With the address of the monitor, and by its beacon alone."""
    found = lan(host)
    found.until(5.0)
    assert (found.heard[0][0] == layout.CONNECT_INDICATION) == (not host)
    assert identities(found.events) == [Identified("Philips", "866062", "L.01.18", "SIM0000001")]
    assert faults(found.events) == []
    assert len(readings_of(found.events)) > 400
    assert waves_of(found.events)
    assert len(frames(found.events, "alert")) >= 3
    assert {Udp().read(data)[0] for data in found.heard} == set(found.heard)
    found.protocol.stop(found.now)
    found.until(found.now + 0.2)
    assert found.protocol.next_wake() is None  # the release was answered


def test_a_simulated_device_that_nobody_speaks_to_announces_itself_and_then_serves_who_does(
    lan: Callable[[str], Lan],
) -> None:
    found = lan("127.0.0.1")
    server = found.server
    assert not server.listening()
    assert server.write_some(b"lost") == 0
    server.write(b"a monitor")
    assert [data for _, data in found.link.read(1.0)] == [b"a monitor"]
    found.link.write(b"hello")
    assert server.read(1.0) == b"hello"
    assert server.listening()
    assert server.write_some(b"good day") == 8
    assert server.drained()
    assert [data for _, data in found.link.read(1.0)] == [b"good day"]
    assert server.read(0.0) == b""


def test_a_wave_over_the_lan_has_its_scale() -> None:
    talk = Talk(waves=(0x0002_0102,), carrier="udp")
    ecg = [wave for wave in waves_of(talk.until(5.0)) if isinstance(wave, Wave)]
    assert {wave.object for wave in ecg} == {0x0102}
    assert 1.0 < max(wave.samples.max() for wave in ecg) < 1.2
    assert all(len(readings_in(f)) for f in frames(talk.events, "numeric"))
