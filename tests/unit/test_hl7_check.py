"""The checker: silent on what is right, exact about what is wrong, and never surprised."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.hl7_check import Finding, Observation, Oru, check, parse_oru
from gateway.core.nomenclature import Nomenclature, Term, Unit, nomenclature
from gateway.core.sample import Flag, Validity
from tests.unit.hl7_rig import GOLDEN, er7_of, utc_ns

# A nomenclature small enough to know by heart; codes of ISO/IEEE 11073-10101.
SMALL = Nomenclature(
    [
        Term("MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS", 69965, "device", (), "", "", ""),
        Term("MDC_DEV_ANALY_SAT_O2_VMD", 69642, "device", (), "", "", ""),
        Term("MDC_DEV_ANALY_SAT_O2_CHAN", 69643, "device", (), "", "", ""),
        Term("MDC_TIME_SYNC_PROTOCOL", 68220, "attr", (), "", "", ""),
        Term("MDC_PULS_OXIM_SAT_O2", 150456, "metric", ("MDC_DIM_PERCENT",), "", "", ""),
        Term("MDC_PULS_OXIM_PULS_RATE", 149530, "metric", ("MDC_DIM_BEAT_PER_MIN",), "", "", ""),
        Term("MDC_TEMP_CORE", 150368, "metric", ("MDC_DIM_DEGC",), "", "", ""),
        Term("MDCX_DOOR", 0, "metric", (), "", "", ""),
    ],
    [
        Unit("MDC_DIM_PERCENT", 262688, "%"),
        Unit("MDC_DIM_BEAT_PER_MIN", 264864, "/min"),
        Unit("MDC_DIM_DEGC", 268192, "Cel"),
        Unit("MDC_DIM_MMHG", 266016, "mm[Hg]"),
    ],
)
CLEAN = (
    "MSH|^~\\&|MDIGW^0011223344556677^EUI-64|AUH|KITA|RM|20261121103001.120+0100||ORU^R01^ORU_R01|ID-1|P|2.6|||AL|NE|DNK|"
    "UNICODE UTF-8|||IHE_PCD_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO"
    r"""
PID|||""^^^CPR&1.2.208.176.1.2&ISO^NI||^^^^^^U||||||||||||||||||||||||||Y
PV1||U|Børn^Stue 3^Seng 2^AUH&1.2&ISO
OBR|1|1^MDIGW|1^MDIGW|182777000^monitoring of patient^SCT|||20261121103000+0100
OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X|||||||m-1^^0009FBFFFE012345^EUI-64
OBX|2|CWE|68220^MDC_TIME_SYNC_PROTOCOL^MDC|1.0.0.1|532226^MDC_TIME_SYNC_NTPV4^MDC||||||R
OBX|3||69642^MDC_DEV_ANALY_SAT_O2_VMD^MDC|1.1.0.0|||||||X
OBX|4||69643^MDC_DEV_ANALY_SAT_O2_CHAN^MDC|1.1.1.0|||||||X
OBX|5|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC|1.1.1.1|97|262688^MDC_DIM_PERCENT^MDC^%^%^UCUM|90-100||||R||||||AMEAS^auto-measurement^MDC~69123^MDC_OBS_CTS^MDC
OBX|6|NM|149530^MDC_PULS_OXIM_PULS_RATE^MDC|1.1.1.2|72.5|/min^/min^UCUM||QUES~ALACT|||R|||20261121102847.5+0100|||AMEAS^auto-measurement^MDC~69124^MDC_OBS_NONCTS^MDC
OBX|7|NM|150368^MDC_TEMP_CORE^MDC|1.1.1.3||268192^MDC_DIM_DEGC^MDC||NAV|||X
OBX|8|CWE|0^MDCX_DOOR^MDC|1.1.1.4|^open \T\ wide||||||R
"""
)


def with_line(start: str, old: str, new: str, text: str = CLEAN) -> bytes:
    """Return the clean message with one thing changed in the segment that begins so."""
    lines = text.strip().splitlines()
    (i,) = [i for i, line in enumerate(lines) if line.startswith(start)]
    assert old in lines[i]
    lines[i] = lines[i].replace(old, new, 1)
    return er7_of("\n".join(lines))


def brief(findings: list[Finding]) -> list[tuple[str, int, int, str, str]]:
    """Return what a program acts on."""
    return [(f.segment, f.index, f.field, f.code, f.severity) for f in findings]


def test_a_clean_message_has_no_findings() -> None:
    assert check(er7_of(CLEAN), SMALL) == []


def test_what_is_read_of_it() -> None:
    oru = parse_oru(er7_of(CLEAN))
    assert oru.header.control_id == "ID-1"
    assert oru.header.key == ("MDIGW^0011223344556677^EUI-64", "AUH", "ID-1")
    assert oru.location == ("Børn", "Stue 3", "Seng 2", "AUH")
    assert oru.device is not None
    assert (oru.device.path, oru.device.code, oru.device.name, oru.device.id) == (
        "1.0.0.0",
        69965,
        "m-1",
        "0009FBFFFE012345",
    )
    assert oru.time_sync == "MDC_TIME_SYNC_NTPV4"
    (group,) = oru.groups
    spo2, rate, core, door = group.observations
    assert spo2 == Observation(
        5, "5", "NM", 150456, "MDC_PULS_OXIM_SAT_O2", "1.1.1.1", 97.0, "97", 262688, "MDC_DIM_PERCENT", "%", "90-100",
        Validity.VLD, 0, "R", utc_ns("2026-11-21T09:30:00Z"),
    )  # fmt: skip
    assert (rate.value, rate.validity, rate.unit_code, rate.ucum) == (72.5, Validity.QST, 0, "/min")
    assert rate.flags == Flag.ALERT_ACTIVE | Flag.EPISODIC
    assert rate.t_ns == utc_ns("2026-11-21T09:28:47.500Z")
    assert (core.value, core.validity, core.unit_ref_id) == (None, Validity.NA, "MDC_DIM_DEGC")
    assert (door.value, door.code, door.ref_id, door.validity) == ("open & wide", 0, "MDCX_DOOR", Validity.VLD)


E, W = "E", "W"


# Field rules of IHE PCD-01 as the notes on it list them; codes of HL7 table 0357.
@pytest.mark.parametrize(
    ("start", "old", "new", "expected"),
    [
        # MSH
        ("MSH", "|MDIGW^0011223344556677^EUI-64", "|", ("MSH", 1, 3, "101", E)),
        ("MSH", "20261121103001.120+0100", "20261121103001.120", ("MSH", 1, 7, "102", E)),
        ("MSH", "20261121103001.120+0100", "", ("MSH", 1, 7, "101", E)),
        ("MSH", "ORU^R01^ORU_R01", "ADT^A01^ADT_A01", ("MSH", 1, 9, "200", E)),
        ("MSH", "ID-1", "", ("MSH", 1, 10, "101", E)),
        ("MSH", "ID-1", "1" * 200, ("MSH", 1, 10, "102", E)),
        ("MSH", "|P|2.6", "|X|2.6", ("MSH", 1, 11, "202", E)),
        ("MSH", "|P|2.6", "|P|2.5.1", ("MSH", 1, 12, "203", W)),
        ("MSH", "|P|2.6", "|P|2.3", ("MSH", 1, 12, "203", E)),
        ("MSH", "UNICODE UTF-8", "ASCII", ("MSH", 1, 18, "102", E)),
        ("MSH", "19376.1.6.1.1.1", "19376.1.6.1.1.9", ("MSH", 1, 21, "103", E)),
        # OBR
        ("OBR", "|1^MDIGW|182", "||182", ("OBR", 1, 3, "101", E)),
        ("OBR", "182777000^monitoring of patient^SCT", "", ("OBR", 1, 4, "101", E)),
        ("OBR", "20261121103000+0100", "20261121103000", ("OBR", 1, 7, "102", E)),
        ("OBR", "20261121103000+0100", "20261131103000+0100", ("OBR", 1, 7, "102", E)),
        # OBX-1, OBX-2
        ("OBX|6", "OBX|6", "OBX|5", ("OBX", 6, 1, "100", E)),
        ("OBX|6", "OBX|6", "OBX|", ("OBX", 6, 1, "101", E)),
        ("OBX|6", "OBX|6", "OBX|six", ("OBX", 6, 1, "102", E)),
        ("OBX|8", "|CWE|", "||", ("OBX", 8, 2, "101", E)),
        ("OBX|8", "|CWE|", "|SN|", ("OBX", 8, 2, "103", E)),
        ("OBX|3", "||69642", "|ST|69642", ("OBX", 3, 2, "102", E)),
        # OBX-3
        ("OBX|5", "150456^", "^", ("OBX", 5, 3, "101", E)),
        ("OBX|5", "150456^", "150456a^", ("OBX", 5, 3, "102", E)),
        ("OBX|5", "^MDC_PULS_OXIM_SAT_O2^", "^^", ("OBX", 5, 3, "101", E)),
        ("OBX|5", "SAT_O2^MDC|", "SAT_O2^LN|", ("OBX", 5, 3, "103", E)),
        ("OBX|5", "150456", "149530", ("OBX", 5, 3, "103", E)),
        ("OBX|5", "MDC_PULS_OXIM_SAT_O2", "MDC_SOMETHING", ("OBX", 5, 3, "103", E)),
        ("OBX|8", "0^MDCX_DOOR", "0^MDCX_WINDOW", ("OBX", 8, 3, "103", W)),
        ("OBX|8", "0^MDCX_DOOR", "7^MDC_NEW", ("OBX", 8, 3, "103", W)),
        # OBX-4
        ("OBX|6", "1.1.1.2", "", ("OBX", 6, 4, "101", E)),
        ("OBX|6", "1.1.1.2", "1.1.x", ("OBX", 6, 4, "102", E)),
        ("OBX|6", "1.1.1.2", "1.1.1.1", ("OBX", 6, 4, "100", E)),
        ("OBX|6", "1.1.1.2", "1.2.1.2", ("OBX", 6, 4, "100", W)),
        # OBX-5
        ("OBX|5", "|97|", "|abc|", ("OBX", 5, 5, "102", E)),
        ("OBX|5", "|97|", "|9,7|", ("OBX", 5, 5, "102", E)),
        ("OBX|5", "|97|", "|9.7e1|", ("OBX", 5, 5, "102", E)),
        ("OBX|5", "|97|", "|nan|", ("OBX", 5, 5, "102", E)),
        ("OBX|5", "|97|", "|1_0|", ("OBX", 5, 5, "102", E)),
        ("OBX|5", "|97|", "|٩٧|", ("OBX", 5, 5, "102", E)),
        ("OBX|5", "|97|", f"|{'9' * 400}|", ("OBX", 5, 5, "102", E)),
        ("OBX|5", "|97|", "||", ("OBX", 5, 5, "101", E)),
        ("OBX|7", "1.1.1.3||", "1.1.1.3|37|", ("OBX", 7, 5, "103", E)),
        ("OBX|3", "1.1.0.0||", "1.1.0.0|1|", ("OBX", 3, 5, "102", E)),
        ("OBX|8", r"^open \T\ wide", "^^", ("OBX", 8, 5, "102", E)),
        # OBX-6
        ("OBX|5", "262688^MDC_DIM_PERCENT^MDC^%^%^UCUM", "", ("OBX", 5, 6, "101", E)),
        ("OBX|5", "262688^MDC_DIM_PERCENT^MDC^%^%^UCUM", "percent", ("OBX", 5, 6, "103", E)),
        ("OBX|5", "262688^MDC_DIM_PERCENT^MDC^%^%^UCUM", "266016^MDC_DIM_MMHG^MDC", ("OBX", 5, 6, "103", E)),
        ("OBX|5", "262688^MDC_DIM_PERCENT^MDC^%^%^UCUM", "/min^/min^UCUM", ("OBX", 5, 6, "103", E)),
        ("OBX|5", "262688^MDC_DIM_PERCENT", "262689^MDC_DIM_PERCENT", ("OBX", 5, 6, "103", E)),
        ("OBX|5", "262688^MDC_DIM_PERCENT", "262688^MDC_DIM_PRCNT", ("OBX", 5, 6, "103", W)),
        ("OBX|5", "^%^%^UCUM", "^1^1^UCUM", ("OBX", 5, 6, "103", E)),
        ("OBX|6", "/min^/min^UCUM", "bpm^bpm^UCUM", ("OBX", 6, 6, "103", W)),
        # OBX-8, OBX-11
        ("OBX|6", "QUES~", "MAYBE~", ("OBX", 6, 8, "103", E)),
        ("OBX|6", "QUES~", "INV~", ("OBX", 6, 11, "103", E)),
        ("OBX|6", "QUES~", "VAL~", ("OBX", 6, 11, "103", E)),
        ("OBX|8", "||||||R", "", ("OBX", 8, 11, "101", E)),
        ("OBX|8", "||||||R", "||||||Y", ("OBX", 8, 11, "103", E)),
        ("OBX|3", "|X", "|R", ("OBX", 3, 11, "103", E)),
        ("OBX|7", "|X", "|R", ("OBX", 7, 11, "103", E)),
        # OBX-14, OBX-18
        ("OBX|6", "20261121102847.5+0100", "20261121102847.5", ("OBX", 6, 14, "102", E)),
        ("OBX|6", "20261121102847.5+0100", "20260229102847+0100", ("OBX", 6, 14, "102", E)),
        ("OBX|1|", "|m-1^^0009FBFFFE012345^EUI-64", "", ("OBX", 1, 18, "101", W)),
        # segments
        ("PV1", "PV1", "PV7", ("PV7", 1, 0, "100", E)),
    ],
)  # fmt: skip
def test_one_thing_wrong(start: str, old: str, new: str, expected: tuple[str, int, int, str, str]) -> None:
    assert expected in brief(check(with_line(start, old, new), SMALL))


def test_one_thing_wrong_is_one_finding() -> None:
    """Not a shower of consequences: spot checks of the above."""
    for start, old, new in (("OBX|5", "|97|", "|abc|"), ("OBX|6", "QUES~", "MAYBE~"), ("OBX|5", "150456", "149530")):
        assert len(check(with_line(start, old, new), SMALL)) == 1


@pytest.mark.parametrize(
    ("start", "old", "new"),
    [
        ("OBX|7", "NAV|||X", "NI|||X"),
        ("OBX|7", "NAV|||X", "OFF|||X"),
        ("OBX|7", "NAV|||X", ">|||X"),
        ("OBX|7", "NAV|||X", "|||D"),  # taken back: needs no value
        ("OBX|7", "NAV|||X", "|||W"),
        ("OBX|1|", "m-1^^0009FBFFFE012345^EUI-64", "0009FBFFFE012345"),
    ],
)
def test_what_is_also_right(start: str, old: str, new: str) -> None:
    payload = with_line(start, old, new)
    assert check(payload, SMALL) == []
    device = parse_oru(payload).device
    assert device is not None
    assert device.id == "0009FBFFFE012345"


def test_a_time_of_the_group_that_cannot_be_read_is_told_once() -> None:
    payload = with_line("OBR", "20261121103000+0100", "20261121103000")
    assert brief(check(payload, SMALL)) == [("OBR", 1, 7, "102", E)]
    assert parse_oru(payload).groups[0].observations[0].t_ns is None


def test_a_gap_is_told_below_the_obr() -> None:
    lines = CLEAN.strip().splitlines()
    for place, told in ((4, True), (5, False)):
        text = "\n".join([*lines[:place], "NTE|1|L|MDCX_AFTER_GAP", *lines[place:]])
        (group,) = parse_oru(er7_of(text)).groups
        assert group.after_gap is told
        assert all(bool(o.flags & Flag.AFTER_GAP) is told for o in group.observations)


def test_line_feeds_are_an_error_and_read_all_the_same() -> None:
    payload = er7_of(CLEAN).replace(b"\r", b"\r\n")
    assert brief(check(payload, SMALL)) == [("MSH", 1, 0, "100", E)]
    assert parse_oru(payload).groups == parse_oru(er7_of(CLEAN)).groups


def test_a_device_row_after_its_children() -> None:
    lines = CLEAN.strip().splitlines()
    lines.append(lines.pop(7))  # the channel row goes last
    findings = brief(check(er7_of("\n".join(lines)), SMALL))
    assert findings == [("OBX", 4, 4, "100", W), ("OBX", 8, 4, "100", E)]


def test_obr_3_stands_twice() -> None:
    obr = next(line for line in CLEAN.splitlines() if line.startswith("OBR"))
    assert brief(check(er7_of(CLEAN + obr), SMALL)) == [("OBR", 2, 3, "100", E)]


def test_no_time_at_all() -> None:
    payload = with_line("OBR", "20261121103000+0100", "")
    assert ("OBX", 5, 14, "101", E) in brief(check(payload, SMALL))
    assert ("OBX", 6, 14, "101", E) not in brief(check(payload, SMALL))  # it has its own
    assert [o.t_ns for o in parse_oru(payload).groups[0].observations][:2] == [
        None,
        utc_ns("2026-11-21T09:28:47.500Z"),
    ]


# ---- what must never be mixed up


def values_of(payload: bytes) -> list[float | str | None]:
    """Return all values of a message."""
    return [o.value for group in parse_oru(payload).groups for o in group.observations]


def test_a_second_message_in_the_same_bytes_is_not_read_into_the_first() -> None:
    payload = er7_of(CLEAN) * 2
    assert brief(check(payload, SMALL)) == [("MSH", 2, 0, "100", E)]
    assert values_of(payload) == values_of(er7_of(CLEAN))


@pytest.mark.parametrize("segment", ["PID|||4711^^^AUH^MR", "PV1||I|ITA^Stue 9^Seng 9"])
def test_a_second_patient_or_place_ends_the_reading(segment: str) -> None:
    more = "\n".join(CLEAN.strip().splitlines()[3:]).replace("1^MDIGW", "2^MDIGW").replace("|97|", "|42|")
    payload = er7_of(f"{CLEAN}{segment}\n{more}")
    assert brief(check(payload, SMALL)) == [(segment[:3], 2, 0, "100", E)]
    assert parse_oru(payload).location == ("Børn", "Stue 3", "Seng 2", "AUH")
    assert 42.0 not in values_of(payload)


@pytest.mark.parametrize("other", ["0009FBFFFE99999", "69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|2.0.0.0"])
def test_a_second_device_is_an_error(other: str) -> None:
    old = "0009FBFFFE012345" if "|" not in other else "69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0"
    more = "\n".join(CLEAN.strip().splitlines()[3:]).replace("1^MDIGW", "2^MDIGW").replace(old, other)
    assert ("OBX", 9, 18, "100", E) in brief(check(er7_of(CLEAN + more), SMALL))


def test_an_observation_before_any_obr_is_not_taken() -> None:
    lines = [line for line in CLEAN.strip().splitlines() if not line.startswith("OBR")]
    payload = er7_of("\n".join(lines))
    assert parse_oru(payload).groups == []
    assert {f[:4] for f in brief(check(payload, SMALL))} >= {("OBX", 1, 0, "100"), ("OBR", 1, 0, "100")}


@pytest.mark.parametrize(
    ("marks", "status", "validity", "value"),
    [
        ("", "R", Validity.VLD, 97.0),
        ("", "F", Validity.VLDATED, 97.0),
        ("VAL", "F", Validity.VLDATED, 97.0),
        ("QUES", "F", Validity.QST, 97.0),
        ("", "C", Validity.VLD, 97.0),
        ("H~PM~SP", "R", Validity.VLD, 97.0),
        ("CAL", "R", Validity.CALIB, 97.0),
        (">", "R", Validity.OFLW, 97.0),
        ("<~QUES", "R", Validity.UFLW, 97.0),
        # what contradicts itself is read as the worse of the two
        ("INV", "R", Validity.INV, None),
        ("BUSY~QUES", "R", Validity.ONG, None),
        ("", "X", Validity.NA, None),
        ("QUES", "X", Validity.NA, None),
        ("NI", "X", Validity.NA, None),
        ("OFF", "X", Validity.NA, None),
        # taken back by the sender: deleted, wrong patient
        ("", "D", Validity.INV, None),
        ("", "W", Validity.INV, None),
    ],
)
def test_validity_is_the_worst_that_is_said(marks: str, status: str, validity: Validity, value: float | None) -> None:
    payload = with_line("OBX|5", "90-100||||R", f"90-100|{marks}|||{status}")
    spo2 = parse_oru(payload).groups[0].observations[0]
    assert (spo2.validity, spo2.value) == (validity, value)


def test_a_number_that_is_none_is_not_valid() -> None:
    spo2 = parse_oru(with_line("OBX|5", "|97|", "|97%|")).groups[0].observations[0]
    assert (spo2.validity, spo2.value, spo2.text) == (Validity.INV, None, "97%")


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("ST", r"Noradrenalin 0,1 mg\T\mL", "Noradrenalin 0,1 mg&mL"),
        ("CWE", "532226^MDC_X^MDC", "MDC_X"),
        ("CWE", "on", "on"),
        ("NA", "0^3^-8.5^^21", "0^3^-8.5^^21"),
        ("NR", "-2048^2047", "-2048^2047"),
        ("NR", "^2047", "^2047"),
        ("DTM", "20261121102847", "20261121102847"),
        ("NA", "0^x", None),
        ("NR", "1^2^3", None),
        ("DTM", "yesterday", None),
        ("NM", "-.5", -0.5),
        ("NM", "+7.", 7.0),
    ],
)
def test_values_of_each_type(type_: str, text: str, value: float | str | None) -> None:
    payload = with_line(
        "OBX|8", r"CWE|0^MDCX_DOOR^MDC|1.1.1.4|^open \T\ wide|", f"{type_}|0^MDCX_DOOR^MDC|1.1.1.4|{text}|1^1^UCUM"
    )
    door = parse_oru(payload).groups[0].observations[-1]
    assert door.value == value
    assert (check(payload, SMALL) == []) == (value is not None)


def test_a_latin_1_message() -> None:
    payload = with_line("MSH", "UNICODE UTF-8", "8859/1").decode().encode("latin-1")
    assert check(payload, SMALL) == []
    assert parse_oru(payload).location[0] == "Børn"


# ---- any bytes


def read_and_check(payload: bytes) -> Oru:
    """Read and check; nothing may raise, and no value is without meaning."""
    oru = parse_oru(payload)
    assert all(f.severity in "EW" and f.code and f.what for f in check(payload, SMALL))
    for group in oru.groups:
        for o in group.observations:
            assert o.t_ns is None or -(2**63) <= o.t_ns < 2**63
            assert 0 <= o.code < 10**10
            assert o.value is None or o.validity not in (Validity.NA, Validity.INV, Validity.ONG)
    return oru


@given(st.binary())
def test_any_bytes(payload: bytes) -> None:
    read_and_check(payload)
    assert check(payload, SMALL)


@given(st.lists(st.text(alphabet="OBXRPIDV1|^~\\&0M.MSHNTE \r\n", max_size=60), max_size=20))
def test_any_segments(lines: list[str]) -> None:
    read_and_check(er7_of("MSH|^~\\&|\n" + "\n".join(lines)))


@given(st.randoms(use_true_random=False))
@settings(max_examples=300)
def test_damaged_messages(rng: random.Random) -> None:
    payload = bytearray(er7_of(CLEAN))
    for _ in range(rng.randint(1, 6)):
        i = rng.randrange(len(payload))
        how = rng.randrange(4)
        if how == 0:
            payload[i] = rng.choice(b"|^~\\&\r\n\x00A1.+\xff")
        elif how == 1:
            del payload[i : i + rng.randrange(60)]
        elif how == 2:
            payload[i:i] = payload[i : i + rng.randrange(200)]
        else:
            payload[i:i] = bytes([rng.choice(b"|^~\\&\r")])
        payload = payload or bytearray(b"M")
    read_and_check(bytes(payload))


@given(st.text(alphabet="0123456789MDCX_^&%/{}[].-+UCUM", max_size=40), st.text(max_size=30))
def test_any_unit_and_any_term(unit: str, term: str) -> None:
    read_and_check(with_line("OBX|6", "/min^/min^UCUM", f"{unit}^{unit}^UCUM"))
    read_and_check(with_line("OBX|6", "/min^/min^UCUM", unit))
    read_and_check(with_line("OBX|6", "149530^", term.replace("\r", "").replace("\n", "") + "^"))


# ---- messages of others


def er7_file(path: Path) -> bytes:
    """Read an example kept with line feeds."""
    return er7_of(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "name", ["ex1_vitals_monitor", "ex2_ventilator", "ex3_syringe_pump", "ex4_waveform", "ex6_unknown_patient"]
)
def test_the_examples_of_the_notes_are_without_errors(shared: Path, name: str) -> None:
    payload = er7_file(shared / "captures" / "hl7" / f"{name}.er7")
    assert [f for f in check(payload, nomenclature()) if f.severity == "E"] == []
    assert any(o.value is not None for o in parse_oru(payload).groups[0].observations)


def test_the_alert_example_has_one_field_too_few(shared: Path) -> None:
    """Its fourth OBX has one bar too few behind OBX-5: L~PM~SP stands in OBX-7, R in OBX-10. All else is right."""
    payload = er7_file(shared / "captures" / "hl7" / "ex5_alert_pcd04.er7")
    assert [f for f in brief(check(payload, nomenclature())) if f[4] == "E"] == [("OBX", 4, 11, "101", "E")]
    repaired = payload.replace(b"90||L~PM~SP|", b"90|||L~PM~SP|")
    assert [f for f in brief(check(repaired, nomenclature())) if f[4] == "E"] == []


def test_messages_of_a_validator_s_own_tests_are_read(shared: Path) -> None:
    folder = shared / "captures" / "hl7"
    names = sorted(p.name for p in folder.iterdir() if "valid-pcd01" in p.name and "response" not in p.name)
    assert len(names) == 3
    for name in names:
        assert any(isinstance(o.value, float) for g in parse_oru((folder / name).read_bytes()).groups for o in g.rows)
        read_and_check((folder / name).read_bytes())


def test_the_golden_messages_are_judged_here_too() -> None:
    """The packaged table agrees with what the encoder wrote; a wrong code in a file of ours would show."""
    text = (GOLDEN / "vitals" / "expected.er7").read_text(encoding="utf-8")
    assert check(er7_of(text), nomenclature()) == []
    assert brief(check(er7_of(text.replace("150456", "150457")), nomenclature())) == [("OBX", 7, 3, "103", "E")]
