"""GE DRI: special codes, states of groups, names that hang on labels, and what is no longer there."""

from __future__ import annotations

import re
from math import isnan
from pathlib import Path

import pytest

from drivers.ge_dri import layout
from gateway.core.sample import Validity
from tests.unit.ge_dri_rig import INVALID, Fed, Group, active, faults, readings, record, subrecord, values

ON = 3  # the module exists, the measurement is active


def said(groups: dict[str, Group], **more: int) -> dict[str, tuple[float, int]]:
    """Return object -> (value, validity) of one record."""
    found = Fed().readings(values(groups, **more))  # type: ignore[arg-type]
    return {str(object_): (float(reading.value), int(reading.validity)) for object_, reading in found.items()}


def test_the_layout_is_that_of_the_notes(shared: Path) -> None:
    """Every group and field of the tables of sections 4.4 to 4.7, at its offset."""
    text = (shared / "protocols/ge_s5_dri.md").read_text(encoding="utf-8")
    for number, section in enumerate(("4.4", "4.5", "4.6", "4.7")):
        table = text.split(f"### {section} ")[1].split("\n#")[0]
        rows = re.findall(r"^\| (\d+) \| (\S+) \| ([^|]+?) \| (\S+)", table, re.MULTILINE)
        noted = {
            (int(at), group, re.sub(r"[ (/].*", "", field) if field != "SvO2/SO2" else "SO2")
            for at, group, field, kind in rows
            if kind == "i16" and field not in ("reserved", "status", "label")
        }
        ours = {
            (group.at + 6 * (not group.bare) + 2 * i, group.name, field.removeprefix("_"))
            for group in layout.CLASSES[number]
            for i, field in enumerate(group.fields)
        }
        assert ours == noted, section


def test_groups_lie_inside_their_class_and_not_on_each_other() -> None:
    for groups in layout.CLASSES:
        end = layout.CLASS_AT
        for group in groups:
            assert group.at >= end, group.name
            end = group.at + 6 * (not group.bare) + 2 * len(group.fields)
        assert end <= layout.CLASS_AT + layout.CLASS_BYTES


@pytest.mark.parametrize(
    ("raw", "validity"),
    [
        (-32767, Validity.NA),  # DATA_INVALID
        (-32766, Validity.NA),  # DATA_NOT_UPDATED
        (-32765, Validity.NA),  # DATA_DISCONT
        (-32764, Validity.UFLW),
        (-32763, Validity.OFLW),
        (-32762, Validity.INV),  # DATA_NOT_CALIBRATED
        (-32768, Validity.INV),
        (-32001, Validity.INV),
    ],
)
def test_what_is_below_the_smallest_value_is_no_measurement(raw: int, validity: Validity) -> None:
    number, state = said({"flow_vol": (ON, 0, {"ppeak": raw})})["flow_vol.ppeak"]
    assert isnan(number)
    assert state == validity


@pytest.mark.parametrize("raw", [-32000, -1, 0, 32767])
def test_all_else_is_a_number(raw: int) -> None:
    assert said({"flow_vol": (ON, 0, {"ppeak": raw})})["flow_vol.ppeak"] == (float(raw), Validity.VLD)


def test_a_group_that_does_not_exist_says_nothing() -> None:
    assert not [name for name in said({"o2": (2, 0, {"fi": 2100})}) if name.startswith("o2")]


@pytest.mark.parametrize(
    ("group", "status", "validity"),
    [
        ("o2", 0b1, Validity.NA),  # not active
        ("o2", 0b1011, Validity.NA),  # measurement off
        ("o2", 0b111, Validity.CALIB),
        ("co2", 0b1011, Validity.CALIB),
        ("co2", 0b10011, Validity.CALIB),  # zeroing
        ("flow_vol", ON | 1 << 7, Validity.NA),
    ],
)
def test_states_of_a_group(group: str, status: int, validity: Validity) -> None:
    name = "rr" if group == "flow_vol" else "et"
    number, state = said({group: (status, 0, {name: 400})})[f"{group}.{name}"]
    assert state == validity
    assert isnan(number) == (validity == Validity.NA)


def test_zeroing_and_noise() -> None:
    assert said({"p1": (0b111, 1, {"sys": 0})})["ART.sys"] == (0.0, Validity.CALIB)
    assert said({"ecg": (ON | 1 << 3 | 1 << 7, 0, {"hr": 80})})["ecg.hr"] == (80.0, Validity.QST)


# ---- names


def test_a_pressure_is_named_by_its_label_not_by_its_channel() -> None:
    """Not by the index, as in ports of this protocol that call p1 the arterial line."""
    found = said({"p1": (ON, 2, {"mean": 700}), "p3": (ON, 1, {"sys": 12000, "hr": 71})})
    assert found["CVP.mean"] == (700.0, Validity.VLD)
    assert found["ART.sys"] == (12000.0, Validity.VLD)
    assert found["ART.hr"] == (71.0, Validity.VLD)
    assert (found["p1.label"], found["p3.label"]) == ((2.0, Validity.VLD), (1.0, Validity.VLD))


def test_channels_without_a_label_and_with_one_that_nobody_knows() -> None:
    found = said({"p4": (ON, 0, {"mean": 100}), "p8": (ON, 99, {"mean": 200}), "t2": (ON, 0, {"temp": 3700})})
    assert found["P4.mean"][0] == 100
    assert found["P label 99.mean"][0] == 200
    assert found["T2.temp"][0] == 3700
    assert said({"t1": (ON, 15, {"temp": 3720})})["CORE.temp"][0] == 3720


@pytest.mark.parametrize(
    ("source", "name"), [(1, "ecg.hr"), (9, "ecg.hr"), (2, "ecg.hr_pulse"), (6, "ecg.hr_pulse"), (12, "ecg.hr_pulse")]
)
def test_the_displayed_heart_rate_is_an_ecg_rate_only_when_its_source_is(source: int, name: str) -> None:
    found = said({"ecg": (ON | source << 3, 0, {"hr": 80})})
    assert found[name] == (80.0, Validity.VLD)
    assert {"ecg.hr", "ecg.hr_pulse"} & set(found) == {name}
    assert found["ecg.hr_source"][0] == source


def test_a_rate_whose_source_is_not_told_is_questionable() -> None:
    assert said({"ecg": (ON, 0, {"hr": 80})}, level=2)["ecg.hr"] == (80.0, Validity.QST)


def test_leads_of_channels_1_and_3_are_not_swapped() -> None:
    """As in a Python project; the B650 recording has 0x1200 with lead II on channel 1."""
    found = said({"ecg": (ON, 0x1203, {})})
    assert [found[f"ecg.lead{n}"][0] for n in (1, 2, 3)] == [2, 0, 3]


def test_the_agent_names_its_fractions() -> None:
    assert said({"aa": (ON, 6, {"et": 180, "fi": 210})})["SEV.et"][0] == 180
    unknown = said({"aa": (ON, 0, {"et": 180, "mac_sum": 90})})
    assert unknown["aa.et"][0] == 180
    assert unknown["aa.mac_sum"][0] == 90
    assert said({"aa": (ON, 9, {"fi": 50})})["agent 9.fi"][0] == 50


@pytest.mark.parametrize(("label", "name"), [(0, "SO2"), (1, "SaO2"), (2, "SvO2"), (3, "label 3")])
def test_the_fourth_value_of_an_oximeter(label: int, name: str) -> None:
    assert said({"SpO2": (ON, label, {"SpO2": 9700, "SO2": 7000})})[f"SpO2.{name}"][0] == 7000


def test_a_rate_by_impedance_is_not_given_as_one_of_co2() -> None:
    old = said({"co2": (ON, 2, {"rr": 15})}, level=7)
    assert isnan(old["co2.rr"][0])
    assert said({"co2": (ON, 2, {"rr": 15})}, level=8)["co2.rr"][0] == 15  # from level 8 on it is always that of CO2


def test_oxygen_in_the_place_of_co2_is_not_given_as_co2() -> None:
    found = said({"co2": (ON, 2 << 3, {"fi": 2100, "et": 500})})
    assert isnan(found["co2.fi"][0])
    assert found["co2.et"][0] == 500


def test_modes_of_relaxation() -> None:
    word = 5 | 3 << 5 | 40 << 9
    found = said({"nmt": (ON | 2 << 4, 0, {"tratio": 850, "t1": 1000, "ptc": word})})
    assert (found["nmt.ptc"][0], found["nmt.count"][0], found["nmt.current"][0]) == (5, 3, 40)
    assert (found["nmt.tof_ratio"][0], found["nmt.pulse_width"][0]) == (850, 200)
    burst = said({"nmt": (ON | 1 << 2, 0, {"tratio": 850})})
    assert burst["nmt.dbs_ratio"][0] == 850
    assert "nmt.tof_ratio" not in burst
    assert isnan(burst["nmt.count"][0])
    assert isnan(burst["nmt.pulse_width"][0])
    assert not [name for name in said({"nmt": (ON | 3 << 2, 0, {"tratio": 1})}) if "ratio" in name]


@pytest.mark.parametrize(("raw", "held"), [(-31000, False), (-30999, True), (0x1F, True)])
def test_the_limit_of_the_bit_field(raw: int, held: bool) -> None:
    found = said({"nmt": (ON, 0, {"ptc": raw})})
    assert isnan(found["nmt.current"][0]) != held
    if raw == 0x1F:
        assert isnan(found["nmt.ptc"][0])  # 31: not available


def test_the_count_is_not_valid_in_trends() -> None:
    fed = Fed(values="trend_10s")
    found = fed.readings(values({"nmt": (ON, 0, {"ptc": 3 << 5})}, kind=2))
    assert isnan(float(found["nmt.count"].value))


def test_continuous_cardiac_output_is_no_bolus() -> None:
    found = said({"co_wedge": (ON, 2 << 2, {"co": 5200})})
    assert found["co_wedge.cco"][0] == 5200
    assert "co_wedge.co" not in found


# ---- conditions


def test_conditions_of_status_bits_and_of_the_arrhythmia_field() -> None:
    fed = Fed()
    bits = (1 << 1 | 1 << 31).to_bytes(4, "little")
    record_ = values({"ecg": (ON | 1 << 2 | 1 << 11, 0, {}), "arrh_ecg": (ON, 0, {})}, more=bits)
    events = fed.record(record_)
    assert active(events, "status") == ["ecg.asystole", "ecg.ch1_off", "arrhythmia.v_fib", "arrhythmia.no_telemetry"]
    assert active(fed.record(values({"ecg": (ON, 0, {})}, number=1)), "status") == []


def test_conditions_of_a_module_that_is_not_there_are_nothing() -> None:
    assert active(Fed().record(values({"ecg": (1 << 2, 0, {})}, more=b"\xff\xff\xff\xff")), "status") == []


# ---- what is no longer there


def test_a_module_that_is_pulled_out_leaves_no_value_behind() -> None:
    fed = Fed()
    fed.record(values({"o2": (ON, 0, {"fi": 2100})}))
    gone = fed.readings(values({}, number=1))
    assert gone["o2.fi"].validity == Validity.NA
    assert isnan(float(gone["o2.fi"].value))
    assert "o2.fi" not in fed.readings(values({}, number=2))  # told once


def test_a_pressure_that_gets_another_label_ends_under_the_old_one() -> None:
    fed = Fed()
    fed.record(values({"p1": (ON, 1, {"sys": 12000})}))
    found = fed.readings(values({"p1": (ON, 3, {"sys": 3000})}, number=1))
    assert found["ART.sys"].validity == Validity.NA
    assert found["PA.sys"].value == 3000


def test_a_transducer_that_is_moved_goes_on_under_its_label() -> None:
    fed = Fed()
    fed.record(values({"p1": (ON, 1, {"sys": 12000})}))
    found = fed.readings(values({"p7": (ON, 1, {"sys": 12100})}, number=1))
    assert found["ART.sys"].value == 12100


def test_two_channels_with_one_label_are_never_mixed() -> None:
    fed = Fed()
    both: dict[str, Group] = {
        "p1": (ON, 1, {"sys": 12000, "mean": INVALID}),
        "p4": (ON, 1, {"sys": 9000, "mean": 7000}),
    }
    events = fed.record(values(both))
    assert faults(events) == ["same_label"]
    first = readings(events)
    assert first["ART.sys"].value == 12000
    assert isnan(float(first["ART.mean"].value))
    assert faults(fed.record(values(both, number=1))) == []  # told once


def test_the_second_channel_speaks_when_the_first_has_no_value() -> None:
    """As on a B650 with ART as the label of P1 and of P4: a channel without a transducer hides nothing."""
    found = said({"p1": (ON, 1, {}), "p4": (ON, 1, {"sys": 9000})})
    assert found["ART.sys"][0] == 9000


def test_a_channel_that_loses_its_value_says_so_before_another_speaks() -> None:
    fed = Fed()
    fed.record(values({"p1": (ON, 1, {"sys": 12000}), "p4": (ON, 1, {"sys": 9000})}))
    flushed: dict[str, Group] = {"p1": (ON, 1, {}), "p4": (ON, 1, {"sys": 9000})}
    assert isnan(float(fed.readings(values(flushed, number=1))["ART.sys"].value))
    assert fed.readings(values(flushed, number=2))["ART.sys"].value == 9000


# ---- records that are not as they should be


def test_values_that_are_cut_short_are_named() -> None:
    assert faults(Fed().record(record(0, (1, bytes(100))))) == ["layout"]
    strange = bytearray(subrecord(0, {}))
    strange[277] = 9  # class 9
    assert faults(Fed().record(record(0, (1, bytes(strange))))) == ["layout"]


def test_types_that_nobody_reads_are_named_once() -> None:
    fed = Fed()
    assert faults(fed.record(record(5, (1, b"")))) == ["unread"]
    assert faults(fed.record(record(5, (1, b"")))) == []
    assert faults(fed.record(record(0, (77, b"")))) == ["unread"]


def test_a_lost_record_is_marked() -> None:
    fed = Fed()
    fed.record(values({}, number=255))
    assert not fed.record(values({}, number=0))[0].after_gap  # type: ignore[union-attr]
    assert fed.record(values({}, number=2))[0].after_gap  # type: ignore[union-attr]


def test_a_level_2_monitor_sends_the_basic_class_only() -> None:
    fed = Fed()
    found = fed.readings(record(0, (1, subrecord(0, {"SpO2": (ON, 0, {"SpO2": 9700})})), level=2))
    assert found["SpO2.SpO2"].value == 9700


def test_readings_without_a_value_compare_as_equal() -> None:
    """episodes.py compares lists of readings: two NaN are equal there only as the same object."""
    first, second = (Fed().readings(values({"nibp": (ON, 0, {})})) for _ in range(2))
    assert first["nibp.sys"] == second["nibp.sys"]
