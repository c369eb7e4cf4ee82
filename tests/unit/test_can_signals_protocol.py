"""The CAN signal driver on a small DBC: decoding, dispatch, faults, silence, and what it must never do."""

from __future__ import annotations

import math
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.can_signals import DRIVER, CanSignals
from drivers.can_signals.protocol import MAX_EVENTS, MAX_UNKNOWN_IDS
from gateway.core.errors import ConfigError
from gateway.core.frame import Event, Fault, Frame, Reading
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity
from tests.unit.can_signals_rig import DBC, drain, faults, frames, profile, readings, record, started, values

PLAIN, EXTENDED, CHOICE = 0x100, 0x8000_0101, 0x102
T_NS = 1_700_000_000_000_000_000


def heard(protocol: CanSignals, *records: bytes) -> list[Event]:
    for data in records:
        protocol.receive_data(data, T_NS)
    return drain(protocol)


def test_one_frame_gives_its_signals_with_the_time_of_arrival() -> None:
    (frame,) = heard(started([profile()]), record(PLAIN, bytes.fromhex("122F 4D 04D2 000000")))
    assert frame == Frame(
        "signal",
        [Reading("Plain.fine", 0, 0, 120.5), Reading("Plain.coarse", 0, 0, 37.0), Reading("Plain.big", 0, 0, 123.4)],
        T_NS,
    )


@given(st.integers(-(2**15), 2**15 - 1))
def test_the_value_is_the_decimal_number_that_scale_and_raw_make(raw: int) -> None:
    """The nearest double of raw/100: what a person gets who moves the decimal point."""
    found = values(heard(started([profile()]), record(PLAIN, struct.pack("<hBHBBB", raw, 40, 0, 0, 0, 0))))
    assert found["Plain.fine"] == raw / 100


def test_an_extended_id_is_not_the_standard_id_of_the_same_number() -> None:
    protocol = started([profile()])
    assert values(heard(protocol, record(EXTENDED, struct.pack("<f", 4.25)))) == {"Extended.real": 4.25}
    assert faults(heard(protocol, record(0x101, struct.pack("<f", 4.25)))) == [Fault("unknown_id", "101")]


def test_a_float_signal_that_is_no_number_has_no_value() -> None:
    protocol = started([profile()])
    for bits in (math.nan, math.inf):
        (frame,) = frames(heard(protocol, record(EXTENDED, struct.pack("<f", bits))))
        (reading,) = readings(frame)
        assert math.isnan(reading.value)
        assert reading.validity == Validity.INV


def test_multiplexed_signals_and_an_unknown_page() -> None:
    protocol = started([profile()])
    assert values(heard(protocol, record(CHOICE, b"\0\xd2\x04"))) == {"Choice.page": 0, "Choice.rate": 123.4}
    assert values(heard(protocol, record(CHOICE, b"\1\xd2\x04"))) == {"Choice.page": 1, "Choice.volume": 1234}
    (fault,) = faults(heard(protocol, record(CHOICE, b"\2\xd2\x04")))
    assert (fault.reason, fault.bad_frame) == ("unknown_multiplexer", True)


@pytest.mark.parametrize(("raw", "validity"), [(139, Validity.VLD), (141, Validity.OFLW), (0, Validity.VLD)])
def test_limits_of_the_dbc_mark_but_keep_the_number(raw: int, validity: Validity) -> None:
    (frame,) = frames(heard(started([profile()]), record(PLAIN, bytes([0, 0, raw, 0, 0, 0, 0, 0]))))
    assert readings(frame)[1] == Reading("Plain.coarse", 0, 0, raw - 40.0, validity)


def test_below_the_limit_of_the_dbc() -> None:
    dbc = DBC.replace("[-40|100]", "[-30|100]")
    (frame,) = frames(heard(started([profile(dbc)]), record(PLAIN, bytes(8))))
    assert readings(frame)[1] == Reading("Plain.coarse", 0, 0, -40.0, Validity.UFLW)


@pytest.mark.parametrize("table", ['invalid = { "Plain.fine" = [-32767] }', "invalid = { Meter = [-32767, 255] }"])
def test_a_sentinel_by_signal_or_by_node_is_no_value(table: str) -> None:
    (frame,) = frames(heard(started([profile(driver=table)]), record(PLAIN, bytes.fromhex("0180 4D 0000 000000"))))
    reading = readings(frame)[0]
    assert math.isnan(reading.value)
    assert reading.validity == Validity.NA
    assert readings(frame)[1].value == 37.0


def test_a_frame_too_short_for_its_message_is_no_value_at_all() -> None:
    (fault,) = heard(started([profile()]), record(PLAIN, b"\x12\x2f\x4d"))
    assert fault == Fault("short_frame", "Plain: 3 bytes, not 8", bad_frame=True)


def test_more_bytes_than_the_message_has_are_left_alone() -> None:
    assert values(heard(started([profile()]), record(CHOICE, bytes.fromhex("00D204FFFF"))))["Choice.rate"] == 123.4


def test_remote_frames_are_ignored_and_error_frames_counted() -> None:
    protocol = started([profile()])
    assert heard(protocol, record(PLAIN | 0x4000_0000, b"")) == []
    assert heard(protocol, record(0x2000_0088, bytes(8))) == [
        Fault("error_frame", "protocol violation, bus error", bad_frame=True)
    ]
    assert protocol.frames_ok == 1


def test_an_overflow_of_the_controller_marks_the_next_frame() -> None:
    protocol = started([profile()])
    events = heard(
        protocol,
        record(0x2000_0004, b"\0\1" + bytes(6)),
        record(PLAIN, bytes(8)),
        record(PLAIN, bytes(8)),
    )
    assert [frame.after_gap for frame in frames(events)] == [True, False]
    assert faults(events)[0].detail == "controller, receive overflow"


@pytest.mark.parametrize("bad", [record(PLAIN, bytes(8))[:4] + b"\x09" + bytes(11), record(0x800, b"")])
def test_a_record_that_cannot_be_one_is_dropped_whole(bad: bytes) -> None:
    events = heard(started([profile()]), bad + record(PLAIN, bytes(8)))
    assert [fault.reason for fault in faults(events)] == ["bad_record"]
    assert len(frames(events)) == 1


def test_an_unknown_id_is_said_once_and_the_list_is_bounded() -> None:
    protocol = started([profile()])
    events = heard(protocol, *(record(0x8100_0000 | i % 400, b"") for i in range(800)))
    assert events[0] == Fault("unknown_id", "01000000")
    assert len(events) == MAX_UNKNOWN_IDS + 1
    assert "more than" in faults(events)[-1].detail
    protocol.start(9.0)
    assert heard(protocol, record(0x8100_0000, b"")) == [Fault("unknown_id", "01000000")]


def test_two_devices_on_one_bus_are_told_apart_by_id() -> None:
    other = profile(DBC.replace("BO_ 256", "BO_ 512").replace("7483905", "7483906").replace("BO_ 258", "BO_ 514"))
    events = heard(started([profile(), other]), record(0x200, bytes(8)), record(PLAIN, bytes(8)))
    assert [frame.source for frame in frames(events)] == [1, 0]


def test_two_devices_that_claim_one_id_are_refused() -> None:
    with pytest.raises(ConfigError, match="arbitration id 100 is in the DBC of both a/one and a/two"):
        started([profile(name="a/one"), profile(name="a/two")])


EPISODIC = '{ n = 3, id = "MDC_PRESS_BLD_NONINV_SYS", unit = "mm[Hg]", object = "Extended.real", episodic = true },'


def test_an_episodic_value_is_given_when_it_changes() -> None:
    """The bus repeats the last cuff pressure; repeated with the time of arrival, an old one would look fresh."""
    protocol = started([profile(metrics=EPISODIC)])
    sent = [120.0, 120.0, 121.0, math.nan, math.nan, 121.0]
    events = heard(protocol, *(record(EXTENDED, struct.pack("<f", value)) for value in sent))
    given_on = [readings(frame)[0] for frame in frames(events)]
    assert [reading.value for reading in given_on] == pytest.approx([120, 121, math.nan, 121], nan_ok=True)
    assert [reading.validity for reading in given_on] == [Validity.QST, Validity.VLD, Validity.INV, Validity.VLD]
    protocol.start(1.0)
    (again,) = frames(heard(protocol, record(EXTENDED, struct.pack("<f", 121.0))))
    assert readings(again)[0].validity == Validity.QST  # when it was measured, a new line does not say


def test_an_episodic_value_among_lost_events_comes_again() -> None:
    protocol = started([profile(metrics=EPISODIC)])
    cuff = record(EXTENDED, struct.pack("<f", 120.0))
    protocol.receive_data(record(PLAIN, bytes(8)) * MAX_EVENTS + cuff, T_NS)
    assert "Extended.real" not in values(drain(protocol))
    assert values(heard(protocol, cuff)) == {"Extended.real": 120.0}


# ---- silence


def test_silence_is_reported_once_and_again_after_traffic() -> None:
    protocol = started([profile()], {"silence_s": 4.0})
    said: list[tuple[float, str]] = []
    now = 0.0
    while now < 30.0:
        if now == 12.0:
            protocol.receive_data(record(PLAIN, bytes(8)), T_NS)
        assert protocol.data_to_send(now) == b""
        said += [(now, fault.reason) for fault in faults(drain(protocol))]
        now += 1.0
    assert said == [(4.0, "silence"), (16.0, "silence")]


def test_silence_is_found_by_waking_when_asked_to() -> None:
    protocol = started([profile()], {"silence_s": 8})
    now, last = 0.0, 3.0
    protocol.receive_data(record(PLAIN, bytes(8)), T_NS)
    while (wake := protocol.next_wake()) is not None:
        if now <= last < wake:
            protocol.receive_data(record(0x2000_0001, bytes(8)), T_NS)  # an error frame is no sign of life
            protocol.receive_data(record(PLAIN, bytes(8)), T_NS)
        now = wake
        protocol.data_to_send(now)
    assert faults(drain(protocol))[-1].reason == "silence"
    assert last + 8 <= now <= last + 8 * 1.25
    protocol.receive_data(record(PLAIN, bytes(8)), T_NS)
    assert protocol.next_wake() is not None


def test_silence_can_be_switched_off() -> None:
    protocol = started([profile()], {"silence_s": 0})
    protocol.data_to_send(1e6)
    assert protocol.next_wake() is None
    assert drain(protocol) == []


@pytest.mark.parametrize("silence", [-1.0, 1e9, math.nan, "10", True])
def test_a_silence_that_is_no_time_is_refused(silence: object) -> None:
    with pytest.raises(ConfigError, match="silence_s"):
        started([profile()], {"silence_s": silence})


# ---- laws


@given(st.lists(st.binary(max_size=80)))
def test_any_bytes_give_events_of_the_closed_set(chunks: list[bytes]) -> None:
    protocol = started([profile()])
    for data in chunks:
        protocol.receive_data(data, T_NS)
        assert protocol.data_to_send(0.0) == b""
    for event in drain(protocol):
        assert isinstance(event, Frame) or (isinstance(event, Fault) and event.reason in DRIVER.faults)


RECORDS = st.lists(
    st.builds(
        record,
        st.sampled_from([PLAIN, EXTENDED, CHOICE, 0x7FF, 0x2000_0084, 0x4000_0100, 0x900]),
        st.binary(max_size=8),
    ),
    max_size=20,
).map(b"".join)


@given(RECORDS, st.lists(st.integers(0, 340)))
def test_any_split_gives_the_same_events(line: bytes, cuts: list[int]) -> None:
    whole, split = started([profile()]), started([profile()])
    whole.receive_data(line, T_NS)
    edges = sorted({0, len(line), *(cut for cut in cuts if cut < len(line))})
    for start, end in pairwise(edges):
        split.receive_data(line[start:end], T_NS)
    assert repr(drain(whole)) == repr(drain(split))  # repr: NaN is not equal to itself


def test_memory_is_bounded_and_the_loss_is_said() -> None:
    protocol = started([profile()])
    line = record(PLAIN, bytes(8)) * (MAX_EVENTS + 10)
    protocol.receive_data(line, T_NS)
    events = drain(protocol)
    assert len(frames(events)) == MAX_EVENTS
    assert events[-1] == Fault("overrun", "10 events dropped", bad_frame=True)
    (after,) = frames(heard(protocol, record(PLAIN, bytes(8))))
    assert after.after_gap


def test_stop_ends_all_wishes() -> None:
    """A port that parts waits as long as the protocol wants to be asked again."""
    protocol = started([profile()])
    protocol.stop(1.0)
    assert protocol.data_to_send(99.0) == b""
    assert protocol.next_wake() is None
    assert drain(protocol) == []


def test_start_forgets_a_begun_record() -> None:
    protocol = started([profile()])
    protocol.receive_data(record(PLAIN, bytes(8))[:7], T_NS)
    protocol.start(1.0)
    assert len(frames(heard(protocol, record(PLAIN, bytes(8))))) == 1


def test_before_start_nothing_is_asked_for() -> None:
    assert CanSignals([DeviceSpec(0, profile())], {}).next_wake() is None
