"""From poll results to frames: numbers, states, waves, alerts, identity, time, gaps."""

from __future__ import annotations

import math
import struct
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.philips_intellivue import pdu as layout
from drivers.philips_intellivue.decoder import MAX_OBJECTS
from drivers.philips_intellivue.framing import frame
from drivers.philips_intellivue.pdu import ALERT_MONITOR, MDS, NUMERICS, WAVES, attribute, listed
from drivers.philips_intellivue.simulator import ACCEPT
from gateway.core.frame import Fault, Frame, Identified, Reading
from gateway.core.sample import Flag, Validity
from tests.unit.intellivue_rig import (
    ECG,
    SINGLE_POLL_RESULT,
    Fed,
    S,
    alert,
    alerts,
    amount,
    clock,
    faults,
    label,
    number,
    observation,
    readings_in,
    readings_of,
    result,
    value,
    wave,
)

HR, HR_LABEL = 0x4182, 0x0002_4182
MMHG = 0x0F20


def shown(reading: Reading) -> tuple[float | None, Validity, Flag]:
    return (
        None if math.isnan(amount(reading)) else amount(reading),
        Validity(reading.validity),
        Flag(reading.flags),
    )


# ---- numerics


def test_single_poll_result_of_the_notes() -> None:
    fed = Fed()
    (event,) = fed.pdu(SINGLE_POLL_RESULT, 5)
    hr, spo2, nbps, nbpd, nbpm, rr = readings_in(event)
    assert isinstance(event, Frame)
    assert (event.kind, event.t_ns, event.device_ns) == ("numeric", 5, 1_705_321_845_000_000_000)
    assert hr == Reading(0x4182, 0x0002_4182, 0x0AA0, 72.0)
    assert spo2 == Reading(0x4BB8, 0x0002_4BB8, 0x0220, 97.5)
    assert [(r.object, r.instance, r.unit, r.value) for r in (nbps, nbpd, nbpm)] == [
        (0x4A05, 0x0002_4A04, MMHG, 120.0),
        (0x4A06, 0x0002_4A04, MMHG, 80.0),
        (0x4A07, 0x0002_4A04, MMHG, 93.0),
    ]
    assert (rr.object, shown(rr)) == (0x500A, (None, Validity.INV, Flag(0)))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (0x0000, (72.0, Validity.VLD, Flag(0))),
        (0x8000, (None, Validity.INV, Flag(0))),
        (0x4000, (72.0, Validity.QST, Flag(0))),
        (0x2000, (None, Validity.NA, Flag(0))),
        (0xA000, (None, Validity.INV, Flag(0))),
        (0x1000, (72.0, Validity.CALIB, Flag(0))),
        (0x5000, (72.0, Validity.CALIB, Flag(0))),
        (0x0800, (72.0, Validity.VLD, Flag.TEST)),
        (0x0400, (72.0, Validity.VLD, Flag.DEMO)),
        (0x0080, (72.0, Validity.VLDATED, Flag(0))),
        (0x0040, (72.0, Validity.VLD, Flag.EARLY)),
        (0x0020, (72.0, Validity.ONG, Flag(0))),
        (0x0003, (72.0, Validity.VLD, Flag.ALERT_ACTIVE | Flag.ALERT_INHIBITED)),
        (0xC402, (None, Validity.INV, Flag.DEMO | Flag.ALERT_ACTIVE)),
    ],
)
def test_states(state: int, expected: tuple[float | None, Validity, Flag]) -> None:
    (reading,) = Fed().readings(result(NUMERICS, observation(1, number(HR, 72, state))))
    assert shown(reading) == expected


def test_special_values_keep_their_reason_unless_the_state_has_a_stronger_one() -> None:
    raws = [0x7FFFFF, 0x800000, 0x7FFFFE, 0x800002]
    values = b"".join(value(0x4A05 + i, raw, unit=MMHG) for i, raw in enumerate(raws))
    compound = attribute(0x094B, struct.pack(">HH", 4, len(values)) + values)
    found = Fed().readings(result(NUMERICS, observation(1, compound)))
    assert [Validity(r.validity).name for r in found] == ["NA", "INV", "OFLW", "UFLW"]
    assert all(math.isnan(amount(r)) for r in found)
    (reading,) = Fed().readings(result(NUMERICS, observation(1, number(HR, 0x7FFFFF, 0x8000))))
    assert reading.validity == Validity.INV


def test_labels_are_kept_and_forgotten_with_the_association() -> None:
    fed = Fed()
    (first,) = fed.readings(result(NUMERICS, observation(1, label(HR_LABEL), number(HR, 72))))
    (second,) = fed.readings(result(NUMERICS, observation(1, number(HR, 73)), sequence=1))
    assert first.instance == second.instance == HR_LABEL
    fed.pdu(ACCEPT)
    (event,) = fed.pdu(result(NUMERICS, observation(1, number(HR, 74))))
    assert isinstance(event, Frame)
    assert event.after_gap  # what came between the two associations is missing
    assert event.payload == [Reading(HR, 0, 0x0AA0, 74.0)]


def test_metric_off_has_no_value() -> None:
    fed = Fed()
    off, on = attribute(0x0940, b"\x80\x00"), attribute(0x0940, b"\x00\x00")
    fed.readings(result(NUMERICS, observation(1, label(HR_LABEL), number(HR, 72))))
    (gone,) = fed.readings(result(NUMERICS, observation(1, off), sequence=1))
    assert (gone.object, gone.instance, gone.unit) == (HR, HR_LABEL, 0x0AA0)
    assert shown(gone) == (None, Validity.NA, Flag(0))
    assert fed.pdu(result(NUMERICS, observation(1), sequence=2)) == []  # said once
    (still,) = fed.readings(result(NUMERICS, observation(1, number(HR, 72)), sequence=3))
    assert shown(still) == (None, Validity.NA, Flag(0))
    (back,) = fed.readings(result(NUMERICS, observation(1, on, number(HR, 72)), sequence=4))
    assert shown(back) == (72.0, Validity.VLD, Flag(0))


def test_an_object_that_is_no_longer_listed_is_not_available() -> None:
    fed = Fed()
    both = observation(1, number(HR, 72)), observation(2, number(0x4BB8, 97, unit=0x0220))
    fed.readings(result(NUMERICS, *both))
    hr, spo2 = fed.readings(result(NUMERICS, both[0], sequence=1))
    assert (shown(hr)[0], spo2.object, shown(spo2)) == (72.0, 0x4BB8, (None, Validity.NA, Flag(0)))
    (only,) = fed.readings(result(NUMERICS, both[0], sequence=2))
    assert only.object == HR


def test_a_linked_result_lists_objects_in_all_its_parts() -> None:
    fed = Fed()
    items = [observation(i, number(0x4A05 + i, i)) for i in range(3)]
    links = [(1, 1), (3, 2), None]
    for sequence in range(2):
        for i in range(3):
            (reading,) = fed.readings(result(NUMERICS, items[i], sequence=sequence, link=links[i]))
            assert (reading.object, reading.value) == (0x4A05 + i, float(i))
    # the second part is lost on the line: nothing may be called unlisted
    fed.readings(result(NUMERICS, items[0], sequence=2, link=(1, 1)))
    fed.line(frame(result(NUMERICS, items[1], sequence=2, link=(3, 2)))[:-2] + b"\xc1")
    (event,) = fed.pdu(result(NUMERICS, items[2], sequence=2))
    assert [r.object for r in readings_in(event)] == [0x4A07]
    assert isinstance(event, Frame)
    assert event.after_gap


def test_two_objects_with_the_same_name_are_never_mixed() -> None:
    fed = Fed()
    one = observation(1, label(HR_LABEL), number(HR, 72))
    two = observation(2, label(HR_LABEL), number(HR, 140))
    fault, event = fed.pdu(result(NUMERICS, one, two), 0)
    assert isinstance(fault, Fault)
    assert fault.reason == "ambiguous"
    assert readings_of([event]) == [Reading(HR, HR_LABEL, 0x0AA0, 72.0)]
    assert readings_of(fed.pdu(result(NUMERICS, two, one, sequence=1), S))[0].value == 72.0
    # the first is gone (module unplugged): after five seconds the other one speaks
    assert readings_of(fed.pdu(result(NUMERICS, two, sequence=2), 5 * S))[0].validity == Validity.NA
    assert readings_of(fed.pdu(result(NUMERICS, two, sequence=3), 7 * S))[0].value == 140.0


# ---- episodic values

EPISODIC = attribute(0x093F, struct.pack(">IHHBBH", 0, 1, 0x3000, 0, 1, 0))


def nbp(stamp: str, raw: int, sequence: int, relative: int, state: int = 0) -> bytes:
    stamps = [attribute(0x0990, bytes.fromhex(stamp))] if stamp else []
    item = observation(1, EPISODIC, *stamps, number(0x4A05, raw, state, MMHG))
    return result(NUMERICS, item, sequence=sequence, relative=relative)


def test_an_episodic_value_is_given_once() -> None:
    fed = Fed()
    fed.pdu(clock("2024011512000000", 0))
    (none,) = fed.readings(nbp("", 0x7FFFFF, 0, 8_000, 0x2000))
    assert shown(none) == (None, Validity.NA, Flag.EPISODIC)
    assert fed.pdu(nbp("", 0x7FFFFF, 1, 16_000, 0x2000)) == []
    (first,) = fed.readings(nbp("2024011512000100", 120, 2, 80_000))
    assert shown(first) == (120.0, Validity.VLD, Flag.EPISODIC)
    assert fed.pdu(nbp("2024011512000100", 120, 3, 88_000)) == []
    (second,) = fed.readings(nbp("2024011512050000", 120, 4, 2_400_000))
    assert second.value == 120.0
    (gone,) = fed.readings(nbp("2024011512050000", 0x7FFFFF, 5, 9_600_000, 0x2000))
    assert shown(gone) == (None, Validity.NA, Flag.EPISODIC)


def test_a_measurement_in_a_result_that_does_not_hold_is_not_lost() -> None:
    fed = Fed()
    fed.pdu(clock("2024011512000000", 0))
    item = observation(1, EPISODIC, attribute(0x0990, bytes.fromhex("2024011512000000")), number(0x4A05, 120))
    assert faults(fed.pdu(result(NUMERICS, item, observation(2, attribute(0x0950, b"short"))))) == ["pdu"]
    assert fed.readings(result(NUMERICS, item, sequence=1))[0].value == 120.0


def test_an_episodic_number_without_time_stamp_is_given_as_it_comes() -> None:
    fed = Fed()
    assert [fed.readings(nbp("", 120, sequence, 0))[0].value for sequence in range(3)] == [120.0] * 3


@pytest.mark.parametrize(
    ("device_clock", "held_back"),
    [("2024011512000000", False), ("2024011512010001", True), ("", True)],
)
def test_a_measurement_of_before_the_association_is_held_back(device_clock: str, held_back: bool) -> None:
    """Nobody knows whose arm was in the cuff."""
    fed = Fed()
    if device_clock:
        fed.pdu(clock(device_clock, 0))
    (reading,) = fed.readings(nbp("2024011512000000", 120, 0, 0))
    assert math.isnan(amount(reading)) == held_back
    assert reading.validity == (Validity.NA if held_back else Validity.VLD)
    assert fed.pdu(nbp("2024011512000000", 121 if held_back else 120, 1, 8_000)) == []
    assert fed.readings(nbp("2024011512030000", 130, 2, 16_000))[0].value == 130.0


@pytest.mark.parametrize(
    ("stamp", "age_s"),
    [
        ("2024011512000700", 3.0),
        ("2024011512001000", 0.0),
        ("2024011512004000", 0.0),  # later than now: the clock was set forward since the association began
        ("2024011511000700", 0.0),  # an hour ago, and yet new: it was set back
        ("", 0.0),
        ("ff" * 8, 0.0),
    ],
)
def test_an_episodic_value_carries_its_age_by_the_monitors_own_clock(stamp: str, age_s: float) -> None:
    fed = Fed()
    fed.pdu(clock("2024011512000000", 0))
    fed.pdu(nbp("", 0x7FFFFF, 0, 8_000, 0x2000))
    (reading,) = fed.readings(nbp(stamp, 120, 1, 80_000))  # ten seconds after the pair
    assert (reading.value, reading.age_ns) == (120.0, age_s * S)
    (gone,) = fed.readings(nbp(stamp, 0x7FFFFF, 2, 800_000, 0x2000))
    assert gone.age_ns == 0  # that it is gone is true now


def test_a_value_that_is_not_episodic_has_no_age() -> None:
    fed = Fed()
    fed.pdu(clock("2024011512000000", 0))
    stamped = observation(1, attribute(0x0990, bytes.fromhex("2024011512000000")), number(HR, 72))
    assert fed.readings(result(NUMERICS, stamped, relative=80_000))[0].age_ns == 0


# ---- identity, time, gaps


def identity(firmware: str, serial: str = "DE351A4061") -> bytes:
    entries = [(1, 8, serial), (4, 0x50, "boot 7"), (4, 0x58, firmware + "\n\0")]
    packed = [struct.pack(">HHH", kind, part, len(text)) + text.encode() for kind, part, text in entries]
    return result(MDS, observation(0, attribute(0x092D, listed(packed))), sequence=None)


def test_identity_is_told_when_it_is_new() -> None:
    fed = Fed()
    assert fed.pdu(identity("L.01.18")) == [Identified("", "", "L.01.18", "DE351A4061")]
    assert fed.pdu(identity("L.01.18")) == []
    assert fed.pdu(identity("L.01.19")) == [Identified("", "", "L.01.19", "DE351A4061")]


def test_device_time_follows_the_pair_over_the_wrap_of_the_ticks() -> None:
    fed = Fed()
    fed.pdu(clock("2024011512304500", 0xFFFF_F000))
    noon = 1_705_321_845 * S
    at = 0xFFFF_F000
    for step in (0x1000, 0x7000_0000, 0x7000_0000, 0x7000_0000):  # more than half of the range in all
        at += step
        event = fed.pdu(result(NUMERICS, observation(1, number(HR, 72)), relative=at & 0xFFFF_FFFF))[0]
        assert isinstance(event, Frame)
        assert event.device_ns == noon + (at - 0xFFFF_F000) * 125_000


def test_without_the_pair_there_is_no_device_time() -> None:
    (event,) = Fed().pdu(result(NUMERICS, observation(1, number(HR, 72)), relative=77))
    assert isinstance(event, Frame)
    assert event.device_ns is None


def test_a_jump_of_the_sequence_is_a_gap_of_its_class_only() -> None:
    fed = Fed()
    times = count(0, 8_000)

    def gap(polled: int, sequence: int, invoke: int = 9) -> bool:
        item = number(HR, 72) if polled == NUMERICS else attribute(0x0902, listed([]))
        (event,) = fed.pdu(
            result(polled, observation(polled, item), sequence=sequence, invoke=invoke, relative=next(times))
        )
        assert isinstance(event, Frame)
        return event.after_gap

    assert [gap(NUMERICS, n) for n in (7, 8, 10, 11, 11)] == [False, False, True, False, False]
    assert [gap(ALERT_MONITOR, n) for n in (0xFFFE, 0xFFFF, 0, 2)] == [False, False, False, True]
    assert [gap(NUMERICS, n, invoke=10) for n in (0, 1)] == [False, False]  # a renewed poll counts anew


def test_a_result_that_does_not_hold_leaves_a_gap() -> None:
    fed = Fed()
    fed.pdu(result(NUMERICS, observation(1, number(HR, 72))))
    assert faults(fed.pdu(result(NUMERICS, observation(1, attribute(0x0950, b"short")), sequence=1))) == ["pdu"]
    (event,) = fed.pdu(result(NUMERICS, observation(1, number(HR, 72)), sequence=2))
    assert isinstance(event, Frame)
    assert event.after_gap


def test_too_many_objects_are_forgotten_with_a_fault() -> None:
    fed = Fed()
    for start in range(0, MAX_OBJECTS, 128):
        items = [observation(start + i, number(start + i, 1)) for i in range(128)]
        assert faults(fed.pdu(result(NUMERICS, *items, sequence=None))) == []
    assert faults(fed.pdu(result(NUMERICS, observation(0xFFFF, number(HR, 1)), sequence=None))) == ["pdu"]
    assert faults(fed.pdu(result(NUMERICS, observation(0xFFFF, number(HR, 1)), sequence=None))) == []


@given(st.data())
def test_any_pdu_gives_frames_or_one_fault_never_an_exception(data: st.DataObject) -> None:
    """PDUs with a right checksum and wrong insides: what no line can produce but a strange monitor might."""
    seeds = [
        SINGLE_POLL_RESULT,
        result(WAVES, observation(1, *ECG, wave([1, 2, 3]))),
        alerts([alert(1, 2, 3, info=b"abcd")], []),
        identity("L.01"),
        clock("2024011512304500", 1),
        ACCEPT,
        nbp("2024011512000000", 120, 0, 0),
        layout.mds_create_result(layout.Event(1, 1, (0x21, 0, 0), 5, 0x0D06, [])),
    ]
    fed = Fed()
    for _ in range(data.draw(st.integers(1, 4))):
        pdu = bytearray(data.draw(st.sampled_from(seeds)))
        for _ in range(data.draw(st.integers(0, 4))):
            pdu[data.draw(st.integers(0, len(pdu) - 1))] = data.draw(st.integers(0, 255))
        cut = data.draw(st.integers(0, len(pdu)) | st.just(len(pdu)))
        assert faults(fed.pdu(bytes(pdu[:cut]))).count("pdu") <= 1
        fed.protocol.data_to_send(0.0)


@given(st.binary(max_size=80))
def test_any_bytes_as_pdu(noise: bytes) -> None:
    fed = Fed()
    fed.pdu(noise)
    fed.pdu(layout.SESSION + noise)
    assert fed.protocol.frames_ok == 2
