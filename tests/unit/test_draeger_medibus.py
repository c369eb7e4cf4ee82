"""MEDIBUS, slow data: what stands in the responses, and what is known of a real Evita 4."""

from __future__ import annotations

import csv
from datetime import datetime
from math import isnan
from pathlib import Path

import pytest

from drivers.draeger_medibus import slow
from drivers.draeger_medibus.framing import response as made_response
from gateway.core.frame import Alert, Identified, Reading
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.sample import Flag, Validity
from tests.unit.medibus_rig import T0, alerts, faults, frames, profile, protocol, readings, response, told

# ---- values


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b" 98 ", 98),
        (b"0.00", 0),
        (b"11.5", 11.5),
        (b"-7.2", -7.2),
        (b"-  5", -5),
        (b" .5 ", 0.5),
        (b"1.  ", 1),
        (b"9999", 9999),
    ],
)
def test_numbers(field: bytes, value: float) -> None:
    assert slow.number(field) == (value, Validity.VLD)


@pytest.mark.parametrize(
    ("field", "validity"),
    [
        (b"    ", Validity.NA),
        (b"----", Validity.INV),
        (b"1 2 ", Validity.INV),
        (b"1e3 ", Validity.INV),
        (b"4-  ", Validity.INV),
        (b"5:30", Validity.INV),
    ],
)
def test_what_is_no_number_has_no_value(field: bytes, validity: Validity) -> None:
    value, found = slow.number(field)
    assert isnan(value)
    assert found == validity


def test_a_value_that_is_left_out_is_gone_once() -> None:
    evita = protocol()
    told(evita, response(0x24, b"EB 98 E1 70 "))
    gone = readings(told(evita, response(0x24, b"E1 70 ")), "measured")
    assert gone[0] == Reading(0x1E1, 0, 0, 70.0)
    assert (gone[1].object, gone[1].validity, isnan(float(gone[1].value))) == (0x1EB, Validity.NA, True)
    assert readings(told(evita, response(0x24, b"E1 70 ")), "measured") == [Reading(0x1E1, 0, 0, 70.0)]


def test_limits_do_not_make_measured_values_go() -> None:
    evita = protocol()
    told(evita, response(0x24, b"EB 98 "))
    assert readings(told(evita, response(0x26, b"D6 30 ")), "high") == [Reading(0x1D6, 0, 0, 30.0)]
    assert readings(told(evita, response(0x24, b"EB 98 ")), "measured") == [Reading(0x1EB, 0, 0, 98.0)]


@pytest.mark.parametrize("data", [b"EB 98", b"eb 98 ", b"E\x7f 98 ", b"EB 98 D"])
def test_measured_data_of_another_layout_are_a_fault_as_a_whole(data: bytes) -> None:
    assert faults(told(protocol(), response(0x24, data))) == ["layout"]


def test_codepages_stay_apart() -> None:
    v500 = protocol("evita_v500")
    assert readings(told(v500, response(0x24, b"21  5 ")), "measured") == [Reading(0x121, 0, 0, 5.0)]
    assert readings(told(v500, response(0x2B, b"21480 ")), "measured")[0] == Reading(0x221, 0, 0, 480.0)


def value_of(name: str, code: int, data: bytes, term: str) -> float:
    """Return what a plan makes of a response, for the first row of a term."""
    plan = Plan(profile(name), "", nomenclature())
    index = next(metric.index for metric in plan.metrics if metric.ref_id == term)
    rows = [row for frame in frames(told(protocol(name), response(code, data))) for row in plan.decode(frame, 0)]
    return next(float(row["value"]) for row in rows if row["metric"] == index)


def test_an_evita_4_changes_the_code_with_the_size_of_the_value() -> None:
    """Notes, section 4: minute volume B8 and B9, tidal volume 88 in mL and 82 in L; one quantity, one row."""
    assert value_of("evita_4", 0x24, b"B80.85", "MDC_VOL_MINUTE_AWAY") == 0.85
    assert value_of("evita_4", 0x24, b"B9 7.4", "MDC_VOL_MINUTE_AWAY") == 7.4
    assert value_of("evita_4", 0x24, b"88 480", "MDC_VOL_AWAY_TIDAL") == 480
    assert value_of("evita_4", 0x24, b"821.17", "MDC_VOL_AWAY_TIDAL") == 1170
    assert value_of("evita_4", 0x24, b"E6 38 ", "MDC_AWAY_CO2_ET") == pytest.approx(5.066, abs=0.001)
    assert readings(told(protocol(), response(0x24, b"B80.99B9 1.0")), "measured") == [Reading(0x1B9, 0, 0, 1.0)]


def test_code_06_is_no_compliance_outside_of_the_classic_evita() -> None:
    """It is a minute volume on a Carina (notes, section 7, conflicts)."""
    assert readings(told(protocol("evita_v500"), response(0x24, b"06 7.4")), "measured")[0].object == 0x106
    rows = [spec for channel in profile("evita_v500").channels for spec in channel.metrics if spec.frame == "measured"]
    assert 0x106 not in {spec.object for spec in rows}


def test_settings_have_five_characters() -> None:
    assert readings(told(protocol(), response(0x29, b"01  40 09 15.0")), "setting") == [
        Reading(0x01, 0, 0, 40.0),
        Reading(0x09, 0, 0, 15.0),
    ]
    assert faults(told(protocol(), response(0x29, b"01 40 "))) == ["layout"]


# ---- alarms


def test_alarms_with_their_priority() -> None:
    """1 to 31 are sent as '1' to 'O'."""
    data = b"M19MIN VOL LOW D37% O2 HIGH   457CO2 ALRM OFFO13LO O2 SUPPLY"
    assert alerts(told(protocol(), response(0x27, data))) == [
        Alert(0x119, priority=3, text="MIN VOL LOW (priority 29)"),
        Alert(0x137, priority=2, text="% O2 HIGH (priority 20)"),
        Alert(0x157, priority=1, text="CO2 ALRM OFF (priority 4)"),
        Alert(0x113, priority=3, text="LO O2 SUPPLY (priority 31)"),
    ]


def test_glyphs_of_a_phrase_are_spelled() -> None:
    assert alerts(told(protocol(), response(0x27, b"140TACHYPN'@OFF"))) == [
        Alert(0x140, priority=1, text="TACHYPN ALARM OFF (priority 1)")
    ]
    assert slow._spelled(b'PAW $&  "#  ') == "PAW LOW HIGH"


def test_a_priority_that_is_none_is_not_said() -> None:
    assert alerts(told(protocol(), response(0x27, b" 19MIN VOL LOW "))) == [Alert(0x119, text="MIN VOL LOW")]


def test_no_alarm_is_a_list_without_alarms() -> None:
    assert alerts(told(protocol(), response(0x2E)), "alarm_2") == []


def test_alarms_of_another_layout_leave_the_list_as_it_was() -> None:
    assert faults(told(protocol(), response(0x27, b"M19MIN VOL LOW"))) == ["layout"]


def test_alarms_of_codepage_3_have_their_own_objects() -> None:
    found = alerts(told(protocol("evita_v500"), response(0x23, b"501SOMETHING   ")), "alarm_3")
    assert found == [Alert(0x301, priority=1, text="SOMETHING (priority 5)")]


# ---- text messages


def text(code: int, words: str) -> bytes:
    return b"%02X%c%s\x03" % (code, 0x30 + len(words), words.encode())


def test_a_mode_is_one_of_many_and_a_flag_is_on_or_off() -> None:
    evita = protocol()
    first = readings(told(evita, response(0x2A, text(0x06, "Mode SIMV") + text(0x1E, "STANDBY"))), "text")
    assert first == [Reading("mode", 0, 0, 6.0), Reading(0x1E, 0, 0, 1.0)]
    then = readings(told(evita, response(0x2A, text(0x0E, "Mode BIPAP"))), "text")
    assert then == [Reading("mode", 0, 0, 14.0), Reading(0x1E, 0, 0, 0.0)]
    last = readings(told(evita, response(0x2A)), "text")
    assert (last[0].object, last[0].validity) == ("mode", Validity.NA)


def test_a_flag_that_was_never_on_is_not_called_off() -> None:
    assert readings(told(protocol(), response(0x2A, text(0x06, "Mode SIMV"))), "text") == [Reading("mode", 0, 0, 6.0)]


def test_two_modes_at_once_are_none() -> None:
    events = told(protocol(), response(0x2A, text(0x06, "Mode SIMV") + text(0x0E, "Mode BIPAP")))
    assert faults(events) == ["ambiguous"]
    (found,) = readings(events, "text")
    assert (found.object, found.validity, isnan(float(found.value))) == ("mode", Validity.INV, True)


def test_the_patients_name_is_thrown_away() -> None:
    events = told(protocol("evita_v500"), response(0x2A, text(0x60, "Nina") + text(0x61, "Nielsen")))
    assert "Ni" not in repr(events)
    assert not faults(events)


def test_what_comes_while_the_device_simulates_is_demo() -> None:
    v500 = protocol("evita_v500")
    told(v500, response(0x2A, text(0x62, "SIMULATION ON")))
    assert readings(told(v500, response(0x24, b"EB 98 ")), "measured")[0].flags == Flag.DEMO
    assert alerts(told(v500, response(0x27, b"M19MIN VOL LOW ")))[0].flags == Flag.DEMO
    told(v500, response(0x2A))
    assert readings(told(v500, response(0x24, b"EB 98 ")), "measured")[0].flags == 0


@pytest.mark.parametrize(
    "data", [b"06", b"0639Mode", b"06:Mode SIMV\x03", b"060\x03", b"06Q" + b" " * 33 + b"\x03", b"g64SIMV\x03"]
)
def test_text_messages_of_another_layout_are_a_fault(data: bytes) -> None:
    assert faults(told(protocol(), response(0x2A, data))) == ["layout"]


# ---- clock and identity


@pytest.mark.parametrize(
    ("shown", "iso"),
    [
        (b"11:11:1911-NOV-93", "2093-11-11T11:11:19"),  # example 4; two digits of year are 20xx
        (b" 9:33 7-OKT-14", "2014-10-07T09:33:00"),  # a V500, notes section 5
        (b" 9:33: 5 7-OKT-14", "2014-10-07T09:33:05"),
        (b"23:59:5931-DEZ-25", "2025-12-31T23:59:59"),
        (b"23:59:5931-DEC-25", "2025-12-31T23:59:59"),
        (b"00:00:00 1-MAI-26", "2026-05-01T00:00:00"),
        (b"00:00:0029-FEB-28", "2028-02-29T00:00:00"),
    ],
)
def test_clocks(shown: bytes, iso: str) -> None:
    assert slow.clock(shown) == int(datetime.fromisoformat(iso + "+00:00").timestamp()) * 10**9
    (frame,) = frames(told(protocol(), response(0x28, shown)), "clock")
    assert frame.device_ns == slow.clock(shown)


@pytest.mark.parametrize(
    "shown", [b"24:00:0001-JAN-26", b"11:11:1931-FEB-26", b"11:11:1911-MMM-93", b"11.11.19", b"  :  :  "]
)
def test_a_clock_that_cannot_be_is_a_fault(shown: bytes) -> None:
    assert faults(told(protocol(), response(0x28, shown))) == ["layout"]


def test_a_device_without_a_clock_answers_nothing() -> None:
    assert told(protocol(), response(0x28)) == []


def test_identification() -> None:
    assert told(protocol(), response(0x52, b"8240'Evita 4'01.00:04.03")) == [Identified("Dräger", "Evita 4", "01.00")]
    assert told(protocol(), response(0x52)) == []  # it does not say
    assert faults(told(protocol(), response(0x52, b"8240 Evita 4"))) == ["layout"]
    assert slow.identity(b"0161'My PC'01.00:03.00") == slow.Identity("0161", "My PC", "01.00", "03.00")
    assert made_response(0x52, b"0161'My PC'01.00:03.00").endswith(b"FC\r")  # notes, section 4, checked


def test_another_device_than_the_profiles_is_not_read() -> None:
    evita = protocol()
    events = told(evita, response(0x52, b"8250'Savina'03.00:04.03"))
    assert faults(events) == ["other_device"]
    assert told(evita, response(0x24, b"EB 98 ")) == []
    told(evita, response(0x52, b"8260'EvitaXL'06.00:04.03"))
    assert readings(told(evita, response(0x24, b"EB 98 ")), "measured")


def test_a_family_whose_ids_are_not_known_trusts_the_profile() -> None:
    v500 = protocol("evita_v500")
    assert faults(told(v500, response(0x52, b"9999'Infinity V500'02.50:06.00"))) == []
    assert readings(told(v500, response(0x24, b"EB 98 ")), "measured")


# ---- a real Evita 4 (decoded extracts, June and September 2021, test lung)


def extract(shared: Path, name: str) -> list[dict[str, str]]:
    path = shared / "captures" / "draeger_evita4" / f"evita4_1632476934_{name}.csv"
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


MEASURED = {  # column of the extract -> code
    "RespiratoryMinuteVolume": 0xB8,
    "RespiratoryRate": 0xD6,
    "SpontaneousRespiratoryRate": 0xB5,
    "PeakBreathingPressure": 0x7D,
    "PEEPBreathingPressure": 0x78,
    "MinimalAirwayPressure": 0x71,
    "MeanBreathingPressure": 0x73,
    "InspO2": 0xF0,
    "IntrinsicPEEPBreathingPressure": 0x79,
}
LIMITS = {
    "ExpiratoryTidalVolume": 0x82,
    "RespiratoryMinuteVolumeFrac": 0xB9,
    "RespiratoryRate": 0xD6,
    "PeakAirwayPressure": 0x7D,
    "EndTidalCO2mmHg": 0xE6,
}


@pytest.mark.parametrize(
    ("name", "code", "columns"),
    [("measurement", 0x24, MEASURED), ("low_limit", 0x25, LIMITS), ("high_limit", 0x26, LIMITS)],
)
def test_fields_of_a_real_evita_4(shared: Path, name: str, code: int, columns: dict[str, int]) -> None:
    """Its fields, four characters each as it padded them, give its numbers, under rows that the profile has."""
    plan = Plan(profile("evita_4"), "", nomenclature())
    rows = extract(shared, name)
    assert rows
    for row in rows:
        fields = {columns[column]: value for column, value in row.items() if column in columns}
        assert {len(value) for value in fields.values()} == {4}
        data = b"".join(b"%02X%s" % (key, value.encode()) for key, value in fields.items())
        (frame,) = frames(told(protocol(), response(code, data)))
        assert isinstance(frame.payload, list)
        assert [reading.value for reading in frame.payload] == [float(value) for value in fields.values()]
        assert len(plan.decode(frame, 0)) == len(fields)
    assert not plan.unmapped


def alarm_rows(shared: Path) -> list[list[str]]:
    path = shared / "captures" / "draeger_evita4" / "evita4_1632476934_Alarm.csv"
    return [row for row in csv.reader(path.read_text(encoding="utf-8").splitlines()) if row]


def test_alarm_phrases_of_a_real_evita_4(shared: Path) -> None:
    """Each is twelve characters and stands, word for word or by its code, in the profile."""
    listed = {spec.object: spec.text for channel in profile("evita_4").channels for spec in channel.metrics}
    for _, code, _, phrase, *_ in alarm_rows(shared):
        assert len(phrase) == 12
        (alert,) = alerts(told(protocol(), response(0x27, b"M" + code.encode() + phrase.encode())))
        assert alert.text == f"{phrase.strip()} (priority 29)"
        assert listed[alert.object] in (phrase.strip(), "TIDVOL LO")  # 33 has two phrases


def test_error_of_icu_devices_priority_taken_from_the_code(shared: Path) -> None:
    """Its priority column is the first digit of the alarm's code: one character too far. Ours is the one before."""
    rows = alarm_rows(shared)
    assert all(int(priority) == ord(code[0]) for _, code, priority, *_ in rows)
    (alert,) = alerts(told(protocol(), response(0x27, b"O19MIN VOL LOW ")))
    assert (alert.object, alert.priority, alert.text) == (0x119, 3, "MIN VOL LOW (priority 31)")


def test_times_are_those_of_arrival() -> None:
    (frame,) = frames(told(protocol(), response(0x24, b"EB 98 "), T0 + 5))
    assert frame.t_ns == T0 + 5
