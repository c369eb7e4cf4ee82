"""GE DRI: waveforms and alarm lines."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.ge_dri import layout
from gateway.core.frame import Alerts, Event, Frame
from gateway.core.sample import Flag, Validity
from tests.unit.ge_dri_rig import Fed, active, alarms, faults, readings, record, wave, waves


def only(events: list[Event]) -> Frame:
    (frame,) = (event for event in events if isinstance(event, Frame))
    return frame


def test_samples_are_given_as_they_are_sent() -> None:
    """First samples of an ECG1 record of a B650, protocol notes section 12; status 0x05E2, label 1."""
    sent = [58, 60, 62, 63, 65, 68, 73, 78, 84, 89, 95, 102]
    (found,) = waves(Fed().record(wave(1, sent, status=0x05E2)))
    assert (found.object, found.period_ns, found.validity) == ("ECG1", 3_333_333, Validity.VLD)
    assert found.samples.tolist() == sent
    assert found.samples.dtype == np.float64


def test_for_samples_the_limit_itself_is_no_value() -> None:
    (found,) = waves(Fed().record(wave(8, [-31999, -32000, -32767, 0])))
    assert np.isnan(found.samples).tolist() == [False, True, True, False]


def test_a_lead_that_is_off_gives_no_samples() -> None:
    (found,) = waves(Fed().record(wave(1, [1, 2, 3], status=8)))
    assert np.isnan(found.samples).all()
    assert found.validity == Validity.NA


def test_unknown_status_bits_are_ignored() -> None:
    """The B650 counts up in them."""
    frame = only(Fed().record(wave(1, [1], status=0x0542)))
    assert not frame.after_gap


def test_gaps_by_the_gap_bit_and_by_the_record_number() -> None:
    fed = Fed()
    assert only(fed.record(wave(1, [1], status=1, number=7))).after_gap
    assert not only(fed.record(wave(1, [1], number=8))).after_gap
    assert only(fed.record(wave(1, [1], number=10))).after_gap


def test_values_and_waves_count_their_records_apart() -> None:
    """As on the B650: waves 97, 98, 99, then values 20, then waves 100."""
    fed = Fed()
    fed.record(wave(1, [1], number=99))
    fed.record(record(0, number=20))
    assert not only(fed.record(wave(1, [1], number=100))).after_gap


def test_the_codes_are_those_of_the_specification() -> None:
    """Not those of a Go driver that numbers subrecords by itself (DRI_PH_ECG = 1)."""
    codes = {name: kind.code for name, kind in layout.WAVES.items()}
    assert (codes["ECG1"], codes["INVP1"], codes["PLETH"], codes["CO2"], codes["RESP"]) == (1, 4, 8, 9, 15)
    assert (codes["EEG1"], codes["EEG4"], codes["VOL"], codes["ENT_100"], codes["PLETH_2"]) == (18, 21, 23, 32, 38)
    assert len(set(codes.values())) == len(codes)


def test_more_samples_than_there_are_is_named() -> None:
    short = bytearray(wave(1, [1, 2, 3]))
    short[40:42] = (9).to_bytes(2, "little")
    assert faults(Fed().record(bytes(short))) == ["layout"]
    assert faults(Fed().record(record(1, (1, b"")))) == ["layout"]


@pytest.mark.parametrize("kind", [22, 29, 39])
def test_twelve_leads_loops_and_fast_impedance_are_not_read(kind: int) -> None:
    assert faults(Fed().record(wave(kind, [1]))) == ["unread"]


# ---- alarms


def test_alarm_lines_with_text_and_color() -> None:
    frame = next(e for e in Fed().record(alarms(("ASYSTOLE", 3), ("HR høj", 2), ("Check", 1))) if isinstance(e, Frame))
    assert isinstance(frame.payload, Alerts)
    found = [(alert.object, alert.text, alert.priority) for alert in frame.payload.active]
    assert found == [("ASYSTOLE", "ASYSTOLE", 3), ("HR høj", "HR høj", 2), ("Check", "Check", 1)]
    assert frame.kind == "alarm"


def test_no_line_means_that_nothing_alarms() -> None:
    assert active(Fed().record(alarms()), "alarm") == []


@pytest.mark.parametrize(("silence", "silenced"), [(0, False), (1, False), (3, False), (4, True), (7, True)])
def test_silence(silence: int, silenced: bool) -> None:
    events = Fed().record(alarms(("HR HIGH", 2), silence=silence))
    frame = next(event for event in events if isinstance(event, Frame) and event.kind == "alarm")
    assert isinstance(frame.payload, Alerts)
    assert frame.payload.active[0].flags == (Flag.ALERT_INHIBITED if silenced else 0)
    assert readings(events)["alarm.silence"].value == silence
    assert readings(events)["alarm.sound"].value == 1


def test_a_text_ends_at_its_nul_and_holds_no_control_characters() -> None:
    events = Fed().record(alarms(("A\x1bB\0rest", 1)))
    assert active(events, "alarm") == ["AB"]


def test_alarms_that_are_cut_short_are_named() -> None:
    assert faults(Fed().record(record(4, (1, bytes(100))))) == ["layout"]
