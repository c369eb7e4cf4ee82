"""The IntelliVue profile against the protocol notes, the reference terms and the MP90 recordings."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from gateway.core.alert import CATCH_ALL, Phase, read_note, unpack
from gateway.core.frame import Alert, Alerts, Frame, Reading, Wave
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Metric, Plan
from gateway.core.profile import Profile, parse_profile
from gateway.core.profile_lint import lint
from gateway.core.sample import Flag, Validity

FILE = Path(__file__).resolve().parents[2] / "firmware_profiles" / "philips" / "intellivue_mp.toml"
TECHNICAL = 0x10000  # the driver adds it to the event id of a technical alert
# Named as a group or wave in the notes; as a number the monitor never sends them.
NO_NUMERIC = {0x50AC: "CO2", 0x5164: "O2"}
# Offset of the codes: partition 2 (SCADA) and 3 (events) of 11073-10101, 65536 codes each
SCADA, EVENTS = 2 * 65536, 3 * 65536

NOM = nomenclature()


@pytest.fixture(scope="module")
def profile() -> Profile:
    return parse_profile(FILE.read_text(encoding="utf-8"), "philips/intellivue_mp", FILE.name)


@pytest.fixture
def plan(profile: Profile) -> Plan:
    return Plan(profile, "L.01.18", NOM)


@pytest.fixture(scope="module")
def notes(shared: Path) -> str:
    path = shared / "protocols" / "philips_intellivue.md"
    if not path.is_file():
        pytest.skip(f"no {path.name} in ../shared")
    return path.read_text(encoding="utf-8")


def decode(plan: Plan, *readings: Reading, kind: str = "numeric") -> list[tuple[Metric, float, Validity]]:
    block = plan.decode(Frame(kind, list(readings), 0), 0)
    return [(plan.metrics[row["metric"]], float(row["value"]), Validity(row["validity"])) for row in block]


def objects(profile: Profile, frame: str) -> dict[int, list[str]]:
    """Physio or event id -> paths."""
    found: dict[int, list[str]] = {}
    for channel in profile.channels:
        for spec in channel.metrics:
            if spec.frame == frame and spec.object not in (CATCH_ALL, "clock"):
                assert isinstance(spec.object, int)
                found.setdefault(spec.object, []).append(spec.path)
    return found


def test_it_is_clean(profile: Profile) -> None:
    assert [str(f) for f in lint(profile, NOM, ("numeric", "wave", "alert"))] == []


def test_it_is_as_large_as_we_say(profile: Profile) -> None:
    kinds = Counter(spec.kind for channel in profile.channels for spec in channel.metrics)
    assert kinds == {"numeric": 173, "waveform": 36, "alert": 113, "clock": 1}
    assert len(objects(profile, "numeric")) == 171


def test_every_numeric_of_the_notes_is_mapped(profile: Profile, notes: str) -> None:
    listed = {
        int(code) for code in re.findall(r"^\| [^|]+ \| NOM_\w+ \| (\d+) \| 0x\w+ \| [^|]+ \| [^|]+ \| P", notes, re.M)
    }
    assert len(listed) == 173
    assert set(objects(profile, "numeric")) == listed - set(NO_NUMERIC)


def test_every_wave_of_the_notes_is_mapped(profile: Profile, notes: str) -> None:
    listed = {int(code) for code in re.findall(r"^\| NOM_\w+ \| (\d+) \| 0x\w+ \| NLS_", notes, re.M)}
    single = {int(code) for code in re.findall(r"\| (\d+) \| 0x\w+ \| [^|]+\(wave / single value\)", notes)}
    assert len(listed) == 27
    assert set(objects(profile, "wave")) == listed | single


def test_every_event_of_the_notes_is_mapped_in_both_lists(profile: Profile, notes: str) -> None:
    listed = {int(code) for code in re.findall(r"^\| NOM_EVT_\w+ \| (\d+) \|", notes, re.M)}
    assert len(listed) == 56
    assert set(objects(profile, "alert")) == listed | {code + TECHNICAL for code in listed}


def test_every_unit_code_of_the_notes_is_mapped(profile: Profile, notes: str) -> None:
    rows = re.findall(r"^\| [^|]+ \| NOM_DIM_\w+ \| (\d+) \| 0x\w+ \| ([^|]*) \|", notes, re.M)
    assert len(rows) == 52
    assert set(profile.units) == {int(code) for code, _ in rows} - {0}  # 0 = not specified: the metric's own unit
    for code, text in rows:
        if text.strip():  # annotations such as {beats} count as 1
            assert profile.units[int(code)] == re.sub(r"\{\w+\}", "", text.strip())


def test_a_code_that_is_not_the_offset_has_a_reason(profile: Profile) -> None:
    for channel in profile.channels:
        for spec in channel.metrics:
            if not isinstance(spec.object, int):
                continue
            offset = EVENTS if spec.kind == "alert" else SCADA
            if NOM.term(spec.id).code != offset + spec.object % TECHNICAL:
                assert spec.source, spec.where
            else:
                assert not spec.source, spec.where


def test_every_code_is_in_the_reference_list(profile: Profile, shared: Path) -> None:
    """What the table maps by offset must be a term that somebody has for an IntelliVue or the standard."""
    text = (shared / "nomenclature" / "mdc_terms.csv").read_text(encoding="utf-8")
    pairs = set(re.findall(r"^(MDC_\w+),(\d+),", text, re.M))
    for channel in profile.channels:
        for spec in channel.metrics:
            if not spec.id.startswith("MDCX_"):
                assert (spec.id, str(NOM.term(spec.id).code)) in pairs, spec.where


# Usual units of the notes -> wire codes (section 11). Each must arrive as a number in the metric's unit.
WIRE = {
    "bpm": 0x0AA0,
    "rpm": 0x0AE0,
    "%": 0x0220,
    "1": 0x0200,
    "mm": 0x0512,
    "ms": 0x0892,
    "mmHg": 0x0F20,
    "kPa": 0x0F03,
    "cmH2O": 0x0F40,
    "mbar": 0x0F72,
    "degC": 0x17A0,
    "degF": 0x1140,
    "l/min": 0x0C00,
    "l/min/m2": 0x0B20,
    "ml": 0x0652,
    "ml/min": 0x0C12,
    "DS/cm5": 0x1020,
    "cmH2O/l/s": 0x1720,
    "ml/cmH2O": 0x1712,
    "dB": 0x1920,
    "Hz": 0x09C0,
    "kg": 0x06C3,
    "cm": 0x0511,
    "m2": 0x05C0,
}
# A pressure cannot come in percent: marked invalid and counted, never converted.
NOT_CONVERTIBLE = {(0x50B0, "%"), (0x50BA, "%")}


def test_the_usual_units_of_the_notes_arrive(plan: Plan, notes: str) -> None:
    rows = re.findall(r"^\| [^|]+ \| NOM_\w+ \| (\d+) \| 0x\w+ \| [^|]+ \| ([^|]+) \| P", notes, re.M)
    for code, usual in rows:
        object_ = int(code)
        if object_ in NO_NUMERIC:
            continue
        names = [usual] if usual in WIRE else usual.split("/")
        for name in names:
            ((metric, value, validity),) = decode(plan, Reading(object_, 0, WIRE[name], 37.0))
            if (object_, name) in NOT_CONVERTIBLE:
                assert math.isnan(value)
                assert validity is Validity.INV
            else:
                assert math.isfinite(value), (metric.ref_id, name)


@pytest.mark.parametrize("recording", ["1A", "1B", "1D"])
def test_the_numbers_of_the_recordings(plan: Plan, shared: Path, recording: str) -> None:
    path = shared / "captures" / "philips_mp90" / f"mp90_{recording}.expected.json"
    if not path.is_file():
        pytest.skip(f"no {path.name} in ../shared")
    expected = json.loads(path.read_text(encoding="utf-8"))
    for key, found in expected["numerics"].items():
        object_, unit = (int(part, 16) for part in key.split("/"))
        for value in (found["min"], found["median"], found["max"]):
            assert decode(plan, Reading(object_, 0, unit, value))[0][1:] == (value, Validity.VLD), key
    for key in expected["no_value"]:
        ((_, value, validity),) = decode(plan, Reading(int(key, 16), 0, 0, math.nan, Validity.NA))
        assert math.isnan(value)
        assert validity is Validity.NA
    for key in expected["wave_samples"]:
        wave = Wave(int(key, 16), 0, 0, np.zeros(3), 2_000_000)
        assert len(plan.decode(Frame("wave", wave, 0), 0)) == 3
    assert not plan.unmapped


def test_codes_and_units_of_the_vital_signs(plan: Plan) -> None:
    """OBX-3 and OBX-6 of what every clinician looks at, as in the IHE messages."""
    wanted = {
        (0x4182, 0x0AA0): (147842, "MDC_ECG_HEART_RATE", 264864),
        (0x4BB8, 0x0220): (150456, "MDC_PULS_OXIM_SAT_O2", 262688),
        (0x4822, 0x0AA0): (149530, "MDC_PULS_OXIM_PULS_RATE", 264864),
        (0x4BB0, 0x0200): (150448, "MDC_PULS_OXIM_PERF_REL", 262656),
        (0x4A05, 0x0F20): (150021, "MDC_PRESS_BLD_NONINV_SYS", 266016),
        (0x4A06, 0x0F20): (150022, "MDC_PRESS_BLD_NONINV_DIA", 266016),
        (0x4A07, 0x0F20): (150023, "MDC_PRESS_BLD_NONINV_MEAN", 266016),
        (0x500A, 0x0AE0): (151562, "MDC_RESP_RATE", 264928),
        (0x4B60, 0x17A0): (150368, "MDC_TEMP_CORE", 268192),
        (0x4261, 0x0AA0): (148065, "MDC_ECG_V_P_C_CNT", 264864),
        (0x0301, 0x0512): (131841, "MDC_ECG_AMPL_ST_I", 263442),
    }
    for (object_, unit), names in wanted.items():
        ((metric, value, validity),) = decode(plan, Reading(object_, 0, unit, 20.0))
        assert metric.unit is not None
        assert (metric.code, metric.ref_id, metric.unit.code) == names
        assert (value, validity) == (20.0, Validity.VLD)


def test_units_of_the_monitor_are_converted(plan: Plan) -> None:
    readings = [Reading(0x4A15, 0, 0x0F03, 16.0), Reading(0x4B60, 0, 0x1140, 98.6), Reading(0x50B0, 0, 0x0F20, 38.0)]
    found = {metric.ref_id: value for metric, value, _ in decode(plan, *readings)}
    assert found == {
        "MDC_PRESS_BLD_ART_ABP_SYS": pytest.approx(120.0102),  # 16 kPa / 0.133322
        "MDC_TEMP_CORE": pytest.approx(37.0),
        "MDC_AWAY_CO2_ET": pytest.approx(5.066236),  # 38 mmHg, in kPa
    }


def test_the_label_tells_where_a_pulse_comes_from(plan: Plan) -> None:
    labels = (0, 0x0002480A, 0x80035402, 0x80035403)
    found = decode(plan, *(Reading(0x480A, label, 0x0AA0, 60.0) for label in labels))
    assert [metric.path for metric, _, _ in found] == ["1.6.1.1", "1.6.1.1", "1.4.1.6", "1.4.2.6"]
    assert {metric.ref_id for metric, _, _ in found} == {"MDC_PULS_RATE"}


def test_temperatures_of_one_code_stay_apart(plan: Plan) -> None:
    found = decode(plan, *(Reading(object_, 0, 0x17A0, 36.5) for object_ in (0x4B48, 0xF0C7, 0xF0C8)))
    assert {metric.code for metric, _, _ in found} == {150344}
    assert len({metric.path for metric, _, _ in found}) == 3


def test_an_unknown_id_is_counted_not_guessed(plan: Plan) -> None:
    assert decode(plan, Reading(0x4183, 0, 0x0AA0, 60.0)) == []
    assert plan.unmapped == {("numeric", 0x4183): 1}


def test_outside_the_range_is_marked_not_changed(plan: Plan) -> None:
    readings = [Reading(0x4BB8, 0, 0x0220, 101.0), Reading(0x4A44, 0, 0x0F20, -60.0)]
    assert [row[1:] for row in decode(plan, *readings)] == [(101.0, Validity.OFLW), (-60.0, Validity.UFLW)]


def test_what_is_measured_now_and_then(plan: Plan, profile: Profile) -> None:
    episodic = {spec.object for channel in profile.channels for spec in channel.metrics if spec.episodic}
    cuff = {0x4A04, 0x4A05, 0x4A06, 0x4A07, 0xF0E5}
    assert cuff | {0x4B04, 0x4A24, 0xF093, 0xF094} <= episodic
    assert not episodic & {0x4182, 0x4BB8, 0x4BDC, 0x4A15}
    block = plan.decode(Frame("numeric", [Reading(0x4A05, 0, 0x0F20, 120.0)], 0), 0)
    assert block["flags"][0] & Flag.EPISODIC


def alert_rows(plan: Plan, *active: Alert) -> list[tuple[str, Phase, int, str, str]]:
    """Decode one list; return (path of the event, phase, priority, path it is about, text), without the count."""
    block = plan.decode(Frame("alert", Alerts(active), 0), 0)
    rows = []
    for row in block[:-1]:
        phase, priority = unpack(row["value"])
        rows.append((plan.metrics[row["metric"]].path, phase, priority, *read_note(plan.notes.text(row["note"]))))  # type: ignore[attr-defined]
    return rows


def test_alerts_of_both_lists_have_their_own_channel_and_find_their_metric(plan: Plan) -> None:
    patient = Alert(0x0C98, 0x4182, 3, "*** V-Tach")
    assert alert_rows(plan, patient, Alert(0x0C98 + TECHNICAL, 0x4182, 1, technical=True)) == [
        ("1.17.1.40", Phase.START, 3, "1.1.1.1", "*** V-Tach"),
        ("1.17.2.40", Phase.START, 1, "1.1.1.1", ""),
    ]
    assert alert_rows(plan, patient) == [
        ("1.17.1.40", Phase.CONTINUE, 3, "1.1.1.1", "*** V-Tach"),
        ("1.17.2.40", Phase.END, 1, "1.1.1.1", ""),
    ]


def test_an_unknown_alert_is_shown_as_unknown(plan: Plan) -> None:
    assert alert_rows(plan, Alert(0xFFFE + TECHNICAL, 0, 2, technical=True)) == [
        ("1.17.2.57", Phase.START, 2, "", "event 131070")
    ]
    assert not plan.unmapped


def test_a_patient_alert_is_physiological_and_a_technical_one_is_not(profile: Profile) -> None:
    for channel in profile.channels:
        for spec in channel.metrics:
            if spec.kind == "alert" and isinstance(spec.object, int):
                assert spec.alert == ("technical" if spec.object >= TECHNICAL else "physiological")


def test_the_clock_of_the_monitor_has_a_row(plan: Plan) -> None:
    block = plan.decode(Frame("numeric", [], 5_000_000_000, device_ns=3_600_000_000_000), 0)
    assert [(plan.metrics[row["metric"]].ref_id, row["value"]) for row in block] == [("MDC_ATTR_TIME_ABS", 3595.0)]


@pytest.mark.parametrize("firmware", ["", "C.00", "L.01.18", "M.04.03", "N.01.00"])
def test_firmware_it_is_good_for(profile: Profile, firmware: str) -> None:
    assert profile.accepts(firmware)


@pytest.mark.parametrize("firmware", ["A.10", "B.00.20", "P.00"])
def test_firmware_it_is_not_made_for(profile: Profile, firmware: str) -> None:
    assert not profile.accepts(firmware)
