"""NMT state, heartbeat, errors: when a value of a node may be believed, and what becomes of it when it may not."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.canopen.node import MAX_ERRORS
from drivers.canopen.protocol import FAULTS, MAX_UNKNOWN_IDS
from gateway.core.frame import Alerts, Event, Fault
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.sample import Validity
from tests.unit.canopen_rig import (
    BOOT_UP,
    OPERATIONAL,
    T_NS,
    faults,
    frames,
    gamma_xl,
    heard,
    profile,
    readings,
    record,
    started,
    values,
)

PDO = record(0x18A, struct.pack("<Hhf", 1, 371, 0.5))
STATE = (
    '{ n = 2, id = "MDCX_CANOPEN_STATE", kind = "enumeration", frame = "nmt", object = "state", values = [[5, "x"]] },'
)


def alerts(events: list[Event]) -> list[list[str]]:
    """Return the objects of each list of alerts."""
    lists = []
    for frame in frames(events, "emcy"):
        assert isinstance(frame.payload, Alerts)
        lists.append([str(alert.object) for alert in frame.payload.active])
    return lists


def test_a_value_is_valid_while_its_node_is_operational() -> None:
    protocol = started()
    assert {r.validity for r in readings(heard(protocol, PDO))} == {Validity.QST}  # the node has not been heard
    assert {r.validity for r in readings(heard(protocol, OPERATIONAL, PDO))} == {Validity.VLD}


@pytest.mark.parametrize(("state", "name"), [("04", "stopped"), ("7F", "pre-operational"), ("00", "boot-up")])
def test_a_node_that_is_not_operational_has_no_value(state: str, name: str) -> None:
    protocol = started()
    heard(protocol, OPERATIONAL, PDO)
    left = heard(protocol, record(0x70A, state))
    assert Fault("not_operational", name) in left
    assert [(r.object, r.validity) for r in readings(left)] == [
        (o, Validity.NA) for o in ("2001.00", "2002.00", "2003.00")
    ]
    later = readings(heard(protocol, PDO))
    assert {r.validity for r in later} == {Validity.INV}
    assert all(math.isnan(float(r.value)) for r in later)
    assert values(heard(protocol, OPERATIONAL, PDO))["2002.00"] == 371


def test_the_toggle_bit_of_node_guarding_is_not_part_of_the_state() -> None:
    assert {r.validity for r in readings(heard(started(), record(0x70A, "85"), PDO))} == {Validity.VLD}


@pytest.mark.parametrize("data", ["03", "", "0505"])
def test_a_heartbeat_that_is_none_changes_nothing(data: str) -> None:
    protocol = started()
    events = heard(protocol, OPERATIONAL, record(0x70A, data), PDO)
    assert faults(events) == ["bad_heartbeat"]
    assert {r.validity for r in readings(events)} == {Validity.VLD}


@pytest.mark.parametrize("command", ["02 0A", "80 00", "81 0A", "82 00"])
def test_what_the_master_commands_counts_at_once_where_it_ends_something(command: str) -> None:
    protocol = started()
    events = heard(protocol, OPERATIONAL, PDO, record(0x000, command), PDO)
    assert faults(events) == ["not_operational"]
    assert readings(events)[-1].validity == Validity.INV


def test_a_start_makes_nothing_valid_and_other_nodes_are_not_meant() -> None:
    protocol = started()
    events = heard(protocol, record(0x70A, "7F"), record(0x000, "01 0A"), PDO)
    assert {r.validity for r in readings(events)} == {Validity.QST}
    events = heard(protocol, OPERATIONAL, record(0x000, "02 0B"), record(0x000, "02"), PDO)
    assert {r.validity for r in readings(events)} == {Validity.VLD}


def test_a_lost_heartbeat_takes_every_value_back_once() -> None:
    protocol = started()
    heard(protocol, OPERATIONAL, PDO)
    for tenth in range(20):  # 1017h is 1000 ms: lost after 2 s
        protocol.data_to_send(tenth / 10)
        assert heard(protocol) == []
    protocol.data_to_send(2.0)
    events = heard(protocol)
    assert faults(events) == ["heartbeat_lost"]
    (frame,) = frames(events, "object")
    assert frame.t_ns == T_NS + 2_000_000_000
    assert {r.validity for r in readings(events)} == {Validity.NA}
    protocol.data_to_send(9.0)
    assert heard(protocol) == []
    assert {r.validity for r in readings(heard(protocol, PDO))} == {Validity.INV}
    assert {r.validity for r in readings(heard(protocol, OPERATIONAL, PDO))} == {Validity.VLD}


def test_a_node_that_was_never_heard_is_lost_too() -> None:
    protocol = started()
    wake = protocol.next_wake()
    assert wake is not None
    assert 0 < wake <= 2.0
    protocol.data_to_send(2.0)
    assert faults(heard(protocol)) == ["heartbeat_lost"]


def test_a_node_without_heartbeat_is_never_lost_and_never_certain() -> None:
    protocol = started(profile(driver="heartbeat_ms = 0"))
    assert protocol.next_wake() is None
    protocol.data_to_send(1000.0)
    assert {r.validity for r in readings(heard(protocol, PDO))} == {Validity.QST}


def test_the_state_is_a_value_when_the_profile_wants_it() -> None:
    (frame,) = frames(heard(started(profile(metrics=STATE)), OPERATIONAL), "nmt")
    assert [r.value for r in frame.payload] == [5.0]  # type: ignore[union-attr]
    assert frames(heard(started(), OPERATIONAL), "nmt") == []


def test_a_short_pdo_gives_no_value() -> None:
    """A mapping that was changed on the device would else be read as if nothing had happened."""
    events = heard(started(), OPERATIONAL, record(0x18A, "0102030405"))
    assert faults(events) == ["short_pdo"]
    assert not readings(events)


def test_a_longer_pdo_is_read_as_far_as_the_mapping_goes() -> None:
    assert values(heard(started(), OPERATIONAL, record(0x28A, "50 01 FF FF"))) == {"2004.00": 5, "2005.00": 1}


LATER_NS = T_NS + 5_000_000_000


def test_emergencies_are_alerts_until_the_reset() -> None:
    protocol = started()
    assert alerts(heard(protocol, OPERATIONAL)) == []  # whoever comes late does not know what is active
    assert alerts(heard(protocol, record(0x08A, "01 FF 81 01 21 02 00 00"))) == [["FF01.21"]]
    assert alerts(heard(protocol, record(0x08A, "01 42 09 01 07 01 00 00"))) == [["FF01.21", "4201.07"]]
    assert alerts(heard(protocol, OPERATIONAL)) == []
    assert alerts(heard(protocol, OPERATIONAL, t_ns=LATER_NS)) == [["FF01.21", "4201.07"]]  # sign of life
    assert alerts(heard(protocol, record(0x08A, "00 00 01 00 00 00 00 00"))) == [["FF01.21", "4201.07"]]  # one is left
    assert alerts(heard(protocol, record(0x08A, "00 00 00 00 00 00 00 00"))) == [[]]
    assert alerts(heard(protocol, OPERATIONAL, t_ns=LATER_NS)) == [[]]


def test_boot_up_ends_alerts_and_what_persists_comes_again() -> None:
    protocol = started()
    heard(protocol, record(0x08A, "01 FF 81 01 21 02 00 00"))
    assert alerts(heard(protocol, BOOT_UP)) == [[]]


def test_the_emergency_of_the_reference_library() -> None:
    """01 20 02 00 01 02 03 04: code 2001, register 02, manufacturer 00 01 02 03 04 (notes, K1)."""
    (frame,) = frames(heard(started(), record(0x08A, "01 20 02 00 01 02 03 04")), "emcy")
    assert isinstance(frame.payload, Alerts)
    assert [(a.object, a.text, a.technical) for a in frame.payload.active] == [
        ("2001.01", "EMCY 2001.01 (current)", True)
    ]


def test_an_emergency_that_nobody_would_see_is_a_fault() -> None:
    events = heard(started(profile(metrics="")), record(0x08A, "01 42 09 01 07 01 00 00"))
    assert [e for e in events if isinstance(e, Fault)] == [Fault("emergency", "EMCY 4201.07")]


def test_a_short_emergency_is_a_fault() -> None:
    assert faults(heard(started(), record(0x08A, "01 FF"))) == ["short_emcy"]


def test_errors_take_bounded_memory() -> None:
    protocol = started()
    for code in range(0x1000, 0x1000 + MAX_ERRORS + 1):
        events = heard(protocol, record(0x08A, struct.pack("<HB5x", code, 1)))
    assert faults(events) == ["too_many_errors"]
    assert len(alerts(events)[-1]) == MAX_ERRORS


def test_the_error_register_of_an_emergency_is_a_value_in_any_state() -> None:
    protocol = started(gamma_xl())
    events = heard(protocol, record(0x701, "00"), record(0x081, "01 FF 81 01 21 02 00 00"))
    assert [(r.object, r.value, r.validity) for r in readings(events)] == [("1001.00:0", 1.0, Validity.VLD)]


def test_the_bus_itself() -> None:
    protocol = started()
    assert faults(heard(protocol, record(0x2000_0088, bytes(8)))) == ["error_frame"]
    assert faults(heard(protocol, record(0x800, ""))) == ["bad_record"]
    assert heard(protocol, record(0x4000_018A, "")) == []  # RTR
    assert heard(protocol, record(0x080, ""), record(0x100, bytes(6))) == []  # SYNC, TIME
    assert faults(heard(protocol, record(0x18B, ""), record(0x18B, ""), record(0x8000_018A, ""))) == ["unknown_id"] * 2
    assert protocol.frames_ok == 6


def test_unknown_ids_are_named_a_bounded_number_of_times() -> None:
    told = faults(heard(started(), *(record(0x8001_0000 + n, "") for n in range(MAX_UNKNOWN_IDS + 50))))
    assert told == ["unknown_id"] * (MAX_UNKNOWN_IDS + 1)


@given(st.lists(st.tuples(st.sampled_from([0, 0x8A, 0x18A, 0x28A, 0x58A, 0x60A, 0x70A]), st.binary(max_size=8))))
def test_whatever_comes_a_value_of_a_node_that_is_not_operational_is_none(said: list[tuple[int, bytes]]) -> None:
    protocol = started(profile(driver='read = ["2010.00"]'))
    events = heard(protocol, record(0x70A, "04"))
    for can_id, data in said:
        if can_id == 0x70A and data[:1] and data[0] & 0x7F == 5:
            continue
        if can_id == 0 and data[:1] == b"\x01":
            continue
        events += heard(protocol, record(can_id, data))
    assert all(math.isnan(float(r.value)) for r in readings(events))
    assert set(faults(events)) <= set(FAULTS)


def test_the_gamma_xl_from_frame_to_value() -> None:
    """44.2 %, 78 %, level ok; experimental, so nothing of it is better than questionable."""
    profile_ = gamma_xl()
    plan = Plan(profile_, "", nomenclature())
    protocol = started(profile_)
    rows = []
    for frame in frames(
        heard(protocol, record(0x701, "05"), record(0x181, "8000BA014E"), record(0x281, "64")), "object"
    ):
        for row in plan.decode(frame, 0):
            metric = plan.metrics[row["metric"]]
            value = metric.tokens[int(row["value"])] if metric.tokens else float(row["value"])
            rows.append((metric.ref_id, value, Validity(int(row["validity"]))))
    assert rows == [
        ("MDCX_PUMP_METERING_PRIMING", "off", Validity.QST),
        ("MDCX_PUMP_METERING_STOPPED", "on", Validity.QST),
        ("MDCX_PUMP_METERING_PAUSED", "off", Validity.QST),
        ("MDCX_PUMP_METERING_RATE", 44.2, Validity.QST),
        ("MDCX_PUMP_METERING_STROKE", 78.0, Validity.QST),
        ("MDCX_PUMP_METERING_TANK", "ok", Validity.QST),
    ]
