"""The two packaged tables: right against the reference list, complete for the profiles, and nothing more."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.nomenclature import DIFFERENCES, PRIVATE_PREFIX, Nomenclature, Term, Unit, nomenclature
from gateway.core.profile import ChannelSpec, Profile, parse_profile
from gateway.core.units import parse_ucum

PROFILES = Path(__file__).resolve().parents[2] / "firmware_profiles"

# What the HL7 encoder needs besides the terms of the profiles (IHE PCD-01 time rows, WCM, PCD-04, OBX-17).
ENCODER = {
    "MDCX_CLOCK_QUALITY",
    "MDCX_CLOCK_STEP",
    "MDC_TIME_SYNC_PROTOCOL",
    "MDC_TIME_SYNC_NONE",
    "MDC_TIME_SYNC_NTPV4",
    "MDC_ATTR_TIME_ABS",
    "MDC_OBS_CTS",
    "MDC_OBS_NONCTS",
    "MDC_OBS_WAVE_CTS",
    "MDC_ATTR_SAMP_RATE",
    "MDC_ATTR_NU_MSMT_RES",
    "MDC_ATTR_DATA_RANGE",
    "MDC_EVT_ALARM",
    "MDC_ATTR_ALERT_SOURCE",
    "MDC_ATTR_EVENT_PHASE",
    "MDC_ATTR_ALARM_STATE",
    "MDC_ATTR_ALARM_INACTIVATION_STATE",
    "MDC_ATTR_ALARM_PRIORITY",
    "MDC_ATTR_ALERT_TYPE",
    "MDC_ATTR_ID_MODEL",
    "MDC_ATTR_CONFIRM_TIMEOUT",
    "MDCX_ALERTS_ACTIVE",
    "MDCX_ALERT_WATCHDOG",
}
CODE_ZERO = {"MDC_ATTR_SAMP_RATE"}  # IHE WCM sends it with code 0 under its own name
# MDC_DIM_ id -> text that differs from the reference list on purpose; the reason is in the row's source
OWN_TEXT = {"MDC_DIM_CM_H2O_PER_L_PER_SEC": "cm[H2O].s/L", "MDC_DIM_MILLI_AMPS": "mA"}

NOM = nomenclature()


def profiles() -> Iterator[Profile]:
    """Every profile of the project, with its data files."""
    for path in sorted(PROFILES.rglob("*.toml")):
        text = path.read_text(encoding="utf-8")
        names = tomllib.loads(text)["profile"].get("files", [])
        files = {name: (path.parent / name).read_text(encoding="latin-1") for name in names}
        yield parse_profile(text, path.relative_to(PROFILES).with_suffix("").as_posix(), path.name, files)


def channels(profile: Profile) -> Iterator[ChannelSpec]:
    yield from profile.channels
    for _, later in profile.since:
        yield from later


def used_terms() -> dict[str, str]:
    """Term -> where a profile uses it."""
    used: dict[str, str] = {}
    for profile in profiles():
        used.setdefault(profile.device, profile.where)
        for channel in channels(profile):
            used.setdefault(channel.vmd, channel.where)
            used.setdefault(channel.chan, channel.where)
            for spec in channel.metrics:
                used.setdefault(spec.id, spec.where)
    return used


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, dict[str, str]]:
    path = shared / "nomenclature" / "mdc_terms.csv"
    if not path.is_file():
        pytest.skip(f"no {path.name} in ../shared")
    with path.open(encoding="utf-8", newline="") as file:
        return {row["ref_id"]: row for row in csv.DictReader(file)}


def test_terms_agree_with_the_reference_list(reference: dict[str, dict[str, str]]) -> None:
    standard = [term for term in NOM.terms.values() if not term.ref_id.startswith(PRIVATE_PREFIX)]
    wrong = [
        (term.ref_id, term.code)
        for term in standard
        if term.ref_id not in CODE_ZERO
        and (term.ref_id not in reference or reference[term.ref_id]["code10"] != str(term.code))
    ]
    assert not wrong
    assert len(standard) > 250
    kinds = {term.ref_id: reference[term.ref_id]["kind"] for term in standard if term.ref_id in reference}
    assert {ref_id: NOM.terms[ref_id].kind for ref_id in kinds} == kinds


def test_usual_units_agree_with_the_reference_list(reference: dict[str, dict[str, str]]) -> None:
    """Where the list names a unit, it is one of the term's dimensions; the first may be another of the same kind."""
    for term in NOM.terms.values():
        named = reference.get(term.ref_id, {}).get("default_unit_ucum", "")
        if term.units and named:
            dimensions = {parse_ucum(NOM.units[ref_id].ucum).dimension for ref_id in term.units}
            assert parse_ucum(named).dimension in dimensions, term.ref_id


def test_units_agree_with_the_reference_list(reference: dict[str, dict[str, str]]) -> None:
    for unit in NOM.units.values():
        row = reference[unit.ref_id]
        assert row["code10"] == str(unit.code), unit.ref_id
        assert row["kind"] == "unit", unit.ref_id
        assert unit.ucum == OWN_TEXT.get(unit.ref_id, row["default_unit_ucum"]), unit.ref_id


def test_private_terms_have_no_code() -> None:
    private = sorted(ref_id for ref_id in NOM.terms if ref_id.startswith(PRIVATE_PREFIX))
    print(f"{len(private)} terms without a standard code:", *private, sep="\n  ")  # to be seen with -s
    assert {NOM.terms[ref_id].code for ref_id in private} == {0}
    assert {term.ref_id for term in NOM.terms.values() if not term.code} == {*private, *CODE_ZERO}


def test_no_row_stands_twice() -> None:
    """The tables become dictionaries: a second row would silently take the place of the first."""
    for name, count in (("nomenclature.csv", len(NOM.terms)), ("units.csv", len(NOM.units))):
        text = (PROFILES.parent / "gateway" / "core" / name).read_text(encoding="utf-8")
        assert len(list(csv.DictReader(text.splitlines()))) == count, name
    codes = [term.code for term in NOM.terms.values() if term.code]
    assert len(codes) == len(set(codes))
    codes = [unit.code for unit in NOM.units.values()]
    assert len(codes) == len(set(codes))


def test_rows_are_complete() -> None:
    for term in NOM.terms.values():
        assert term.kind in ("metric", "device", "event", "attr"), term.ref_id
        assert term.en.strip(), term.ref_id
        assert term.da.strip(), term.ref_id
        assert term.source.strip(), term.ref_id
        assert all(ref_id in NOM.units for ref_id in term.units), term.ref_id
        assert "Ã" not in term.da, term.ref_id  # UTF-8 read as Latin-1
        if term.kind in ("device", "event"):
            assert not term.units, term.ref_id
    assert any(set("æøå") & set(term.da) for term in NOM.terms.values())


def test_every_unit_is_understood() -> None:
    for unit in NOM.units.values():
        assert parse_ucum(unit.ucum).factor > 0, unit.ref_id


def test_profiles_and_nomenclature_fit() -> None:
    used = used_terms()
    missing = {ref_id: where for ref_id, where in used.items() if ref_id not in NOM.terms}
    assert not missing, "add these rows to nomenclature.csv"
    assert set(NOM.terms) >= ENCODER
    needless = set(NOM.terms) - set(used) - ENCODER
    assert not needless, "no profile and no encoder uses these rows"


def test_unit_of_a_term_is_found_by_its_text() -> None:
    """/min is beats for a heart rate and breaths for a respiratory rate."""
    heart, breath = NOM.term("MDC_ECG_HEART_RATE"), NOM.term("MDC_RESP_RATE")
    assert NOM.unit("/min", heart).ref_id == "MDC_DIM_BEAT_PER_MIN"
    assert NOM.unit("/min", breath).ref_id == "MDC_DIM_RESP_PER_MIN"
    assert NOM.unit("MDC_DIM_KILO_PASCAL", heart).ucum == "kPa"
    assert NOM.unit("Cel").ref_id == "MDC_DIM_DEGC"
    with pytest.raises(KeyError):
        NOM.unit("mmHg", heart)


def test_what_fits_a_term() -> None:
    ventricular = NOM.term("MDC_ECG_V_P_C_CNT")
    st_level = NOM.term("MDC_ECG_AMPL_ST_I")
    pressure = NOM.term("MDC_PRESS_BLD_NONINV_SYS")
    assert NOM.fits(ventricular, NOM.unit("/min", ventricular))  # as the IntelliVue sends it
    assert NOM.fits(st_level, NOM.unit("mm"))
    assert NOM.fits(st_level, NOM.unit("mV"))
    assert NOM.fits(pressure, NOM.unit("kPa"))
    assert not NOM.fits(pressure, NOM.unit("mm"))
    assert not NOM.fits(NOM.term("MDC_EVT_HI"), NOM.unit("1"))


def test_look_up_by_code_takes_the_first_row() -> None:
    alias = Nomenclature(
        [Term("A", 7, "metric", (), "", "", ""), Term("B", 7, "metric", (), "", "", "")], [Unit("U", 1, "1")]
    )
    first = alias.by_code(7)
    assert first is not None
    assert first.ref_id == "A"
    assert alias.by_code(0) is None
    assert NOM.by_code(147842) is NOM.term("MDC_ECG_HEART_RATE")


def test_temperature_difference_is_a_difference() -> None:
    assert set(NOM.terms) >= DIFFERENCES
    assert NOM.term("MDC_TEMP_DIFF").difference
    assert not NOM.term("MDC_TEMP").difference
