"""The Connect Indication: a captured one, ours, and what the driver makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.philips_intellivue import pdu as layout
from drivers.philips_intellivue.beacon import beacon
from drivers.philips_intellivue.options import Scenario
from drivers.philips_intellivue.pdu import attribute, listed
from drivers.philips_intellivue.record import SCENE, drain
from drivers.philips_intellivue.simulator import BEACON_S, IntellivueMonitor
from gateway.core.frame import Event, Fault, Identified
from tests.unit.intellivue_rig import BEACON, PROFILE, Fed, Talk, faults, identities


def simulated_beacon() -> bytes:
    return IntellivueMonitor(PROFILE, Scenario(), SCENE, "udp").data_to_send(0.0)


def test_the_captured_beacon(shared: Path) -> None:
    """Every fact of it that the notes decode by hand."""
    said = (shared / BEACON).read_bytes()
    found = beacon(said)
    assert (found.address, found.port) == ("192.168.247.101", 24105)
    assert found.where() == "192.168.247.101, UDP port 24105"
    assert Fed("udp").pdu(said) == [Identified("Philips", "866062", "L.01.18", "DE351A4061")]


def test_the_simulated_beacon_is_built_like_the_captured_one(shared: Path) -> None:
    real, ours = (shared / BEACON).read_bytes(), simulated_beacon()
    assert ours[:4] == real[:4]
    assert ours[4:6] == real[4:6]  # ROIV
    assert ours[8:12] == real[8:12]  # invoke id 0, unconfirmed event report
    assert ours[14:20] == real[14:20]  # object class 0x23
    assert ours[24:26] == real[24:26]  # connect indication
    assert (beacon(ours).address, beacon(ours).port) == ("127.0.0.1", 24105)
    assert identities(Fed("udp").pdu(ours)) == [Identified("Philips", "866062", "L.01.18", "SIM0000001")]


def event_report(*attributes: bytes, event_type: int = 0x0D17) -> bytes:
    """Return a Connect Indication with these attributes."""
    info = listed(list(attributes))
    body = bytes.fromhex("00230000000000000000") + event_type.to_bytes(2, "big") + len(info).to_bytes(2, "big") + info
    report = b"\0\0\0\0" + len(body).to_bytes(2, "big") + body
    return b"\0\0\1\0" + b"\0\1" + len(report).to_bytes(2, "big") + report


@pytest.mark.parametrize(
    ("attributes", "where"),
    [
        ([], "an address it does not say, UDP port unknown"),
        (
            [attribute(0xF101, listed([bytes.fromhex("0001000100020000")]))],
            "an address it does not say, UDP port unknown",
        ),
        (
            [attribute(0xF101, listed([bytes.fromhex("0005000300020000")]))],
            "an address it does not say, UDP port unknown",
        ),
        (
            [attribute(0xF101, listed([bytes.fromhex("00050001c0de0000")]))],
            "an address it does not say, UDP port 49374",
        ),
        ([attribute(0xF100, bytes.fromhex("0000000000000a141e28ff000000"))], "10.20.30.40, UDP port unknown"),
    ],
)
def test_what_a_beacon_does_not_say(attributes: list[bytes], where: str) -> None:
    assert beacon(event_report(*attributes)).where() == where


@pytest.mark.parametrize(
    "broken",
    [
        event_report(event_type=0x0D18),
        event_report(attribute(0xF100, bytes(13))),
        event_report(attribute(0xF101, bytes.fromhex("0002000800050001c0de0000"))),
        event_report(attribute(0xF101, b"\0")),
        event_report(attribute(0x092D, b"\0\1")),
    ],
)
def test_a_beacon_that_does_not_hold_is_a_fault(broken: bytes) -> None:
    assert faults(Fed("udp").pdu(broken)) == ["pdu"]


def test_what_the_beacon_said_holds_for_the_association_that_follows() -> None:
    """An MP90 says its model when it is associated, its firmware only later; the beacon had said both."""
    fed = Fed("udp")
    fed.pdu(simulated_beacon())
    fed.pdu(bytes.fromhex("0e00"))  # an accept that says nothing: a new association all the same
    mds = (0x21).to_bytes(2, "big") + bytes(4)
    model = attribute(0x0928, b"\0\x08Philips\0" + b"\0\x06M8000\0")
    info = mds + listed([model])
    argument = mds + bytes(4) + b"\x0d\x06" + len(info).to_bytes(2, "big") + info
    created = layout.invocation(layout.ROIV, 1, layout.CONFIRMED_EVENT, argument)
    assert identities(fed.pdu(created)) == [Identified("Philips", "M8000", "L.01.18", "SIM0000001")]


def test_a_beacon_is_answered_with_a_request_but_not_with_a_flood() -> None:
    fed = Fed("udp")
    asked = []
    now = 0.0
    while now < 4.9:
        if fed.protocol.data_to_send(now) == layout.ASSOCIATION_REQUEST:
            asked.append(round(now, 1))
        fed.pdu(simulated_beacon())
        now += 0.1
    assert asked == [0.0, 2.0, 4.0]
    assert faults(drain(fed.protocol)) == []


def test_no_answer_tells_where_the_monitor_says_it_is() -> None:
    fed = Fed("udp")
    fed.protocol.data_to_send(0.0)
    fed.pdu(simulated_beacon())
    fed.protocol.data_to_send(2.0)
    fed.protocol.data_to_send(7.0)
    (fault,) = [event for event in drain(fed.protocol) if isinstance(event, Fault)]
    assert fault.reason == "no_answer"
    assert fault.detail.endswith("; it announces its data export at 127.0.0.1, UDP port 24105")


def test_a_beacon_is_no_sign_of_life_of_an_association() -> None:
    talk = Talk(carrier="udp")
    talk.until(5.0)
    told: list[Event] = []
    for tenth in range(1, 100):
        talk.protocol.receive_data(simulated_beacon(), 0)
        talk.protocol.data_to_send(5.0 + tenth / 10)
        told += drain(talk.protocol)
    assert "silence" in faults(told)


def test_a_monitor_announces_itself_until_it_is_associated_and_again_afterwards() -> None:
    monitor = IntellivueMonitor(PROFILE, Scenario(), SCENE, "udp")
    times = []
    for second in range(25):
        while said := monitor.data_to_send(float(second)):
            assert beacon(said)
            times.append(second)
    assert times == [0, BEACON_S, 2 * BEACON_S]
    monitor.receive_data(layout.ASSOCIATION_REQUEST, 25.0)
    silent = [monitor.data_to_send(25.0 + n / 10) for n in range(95)]
    assert {data[0] for data in silent if data} == {layout.ASSOCIATE_ACCEPT, layout.DATA}
    later = [monitor.data_to_send(35.0 + n / 10) for n in range(10)]
    assert [data[0] for data in later if data] == [layout.ABORTED, layout.CONNECT_INDICATION]
    assert IntellivueMonitor(PROFILE, Scenario(), SCENE).data_to_send(0.0) == b""  # on the serial line it is silent
