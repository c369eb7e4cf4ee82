"""mdi profile new: a skeleton lints but for what a person must fill in, is never written over another, lies nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway import registry
from gateway.cli.app import app
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.nomenclature import nomenclature
from gateway.core.profile import Profile
from gateway.core.profile_lint import lint
from gateway.core.protocol import DeviceSpec
from gateway.profile_new import FILL_IN, UNITS, skeleton

OPEN = re.compile(rf"source is empty|{FILL_IN}\w* is not in the nomenclature")
DBC = """VERSION ""

NS_ :

BS_:

BU_: Pump

BO_ 256 Status: 8 Pump
 SG_ Rate : 0|16@1+ (0.1,0) [0|1200] "ml/h" Vector__XXX
 SG_ Temp : 16|16@1- (0.1,0) [0|0] "\u00b0C" Vector__XXX
 SG_ Door : 32|1@1+ (1,0) [0|1] "" Vector__XXX
 SG_ Odd : 40|8@1+ (1,0) [0|0] "furlong" Vector__XXX

BO_ 257 Pressure: 2 Pump
 SG_ Inlet : 0|16@1- (1,0) [-50|400] "mmHg" Vector__XXX

VAL_ 256 Door 0 "closed" 1 "open" ;
"""


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(app, ["profile", "new", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


NEED_MORE = {"canopen", "hamilton", "servo_cie"}
"""Drivers whose table and rows belong together: they say themselves what is missing."""


def refusal(profile: Profile) -> str:
    """Return what the driver says of its own table, "" when it is right."""
    try:
        registry.driver(profile.driver).protocol([DeviceSpec(0, profile)], {})
    except ProfileError as fault:
        return str(fault)
    return ""


def findings(path: Path) -> list[str]:
    profile = registry.read_profile(path)
    driver = registry.driver(profile.driver)
    assert bool(refusal(profile)) == (profile.driver in NEED_MORE), refusal(profile)
    return [finding.what for finding in lint(profile, nomenclature(), driver.frames)]


@pytest.mark.parametrize("driver", [name for name in registry.names("driver") if name != "can_signals"])
def test_a_skeleton_lints_but_for_what_a_person_must_fill_in(driver: str, tmp_path: Path) -> None:
    said = run(driver, "acme/model_7", "--dir", tmp_path)
    path = tmp_path / "acme" / "model_7.toml"
    assert str(path) in said
    found = findings(path)
    assert "source is empty" in found
    assert any(FILL_IN in what for what in found)
    assert [what for what in found if not OPEN.match(what)] == []
    text = path.read_text(encoding="utf-8")
    assert 'model = "Model 7"' in text
    assert "docs/profiles.md" in text


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_row_for_each_signal_of_a_dbc(encoding: str, tmp_path: Path) -> None:
    dbc = tmp_path / "pump.dbc"
    dbc.write_text(DBC, encoding=encoding)
    run("can_signals", "acme/pump", "--dbc", dbc, "--dir", tmp_path / "profiles")
    path = tmp_path / "profiles/acme/pump.toml"
    assert (path.parent / "pump.dbc").read_text(encoding="utf-8") == DBC
    profile = registry.read_profile(path)
    rows = {str(spec.object): spec for channel in profile.channels for spec in channel.metrics}
    assert list(rows) == ["Status.Rate", "Status.Temp", "Status.Door", "Status.Odd", "Pressure.Inlet"]
    assert {spec.id for spec in rows.values()} >= {f"{FILL_IN}_STATUS_RATE", f"{FILL_IN}_PRESSURE_INLET"}
    assert [rows[name].unit for name in rows] == ["mL/h", "Cel", "", "furlong", "mm[Hg]"]
    assert rows["Status.Door"].values == ((0, "closed"), (1, "open"))
    assert rows["Pressure.Inlet"].range == (-50, 400)
    assert rows["Status.Temp"].range is None
    left = [what for what in findings(path) if not OPEN.match(what)]
    assert left == ["unit 'furlong' is not known"]  # no guess: a person must say what it is


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    run("modbus", "acme/warmer", "--dir", tmp_path)
    path = tmp_path / "acme" / "warmer.toml"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="is there already"):
        run("modbus", "acme/warmer", "--dir", tmp_path)
    assert path.read_text(encoding="utf-8") == "mine"


def test_an_existing_dbc_is_not_overwritten_either_and_nothing_is_written_by_half(tmp_path: Path) -> None:
    dbc = tmp_path / "pump.dbc"
    dbc.write_text(DBC, encoding="utf-8")
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme/pump.dbc").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="is there already"):
        run("can_signals", "acme/pump", "--dbc", dbc, "--dir", tmp_path)
    assert not (tmp_path / "acme/pump.toml").exists()


@pytest.mark.parametrize("name", ["acme", "Acme/Warmer", "acme/../warmer", "/etc/warmer", "acme/warmer/3", "acme/w 3"])
def test_a_name_leads_out_of_no_folder(name: str) -> None:
    with pytest.raises(ProfileError, match="is no VENDOR/MODEL"):
        skeleton("modbus", name, registry.Profiles())


def test_mistakes_have_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'modbus'"):
        run("modbuss", "acme/warmer", "--dir", tmp_path)
    with pytest.raises(ProfileError, match="--dbc FILE"):
        run("can_signals", "acme/pump", "--dir", tmp_path)
    with pytest.raises(ProfileError, match="--dbc is for can_signals"):
        skeleton("modbus", "acme/pump", registry.Profiles(), ("pump.dbc", DBC))
    with pytest.raises(ProfileError, match="not a DBC file"):
        skeleton("can_signals", "acme/pump", registry.Profiles(), ("pump.dbc", "garbage"))


def test_every_guess_of_a_unit_is_a_unit() -> None:
    for unit in UNITS.values():
        nomenclature().unit(unit)


def test_the_lint_names_the_line_of_a_mistake_in_the_drivers_table(tmp_path: Path) -> None:
    run("ascii_line", "acme/warmer", "--dir", tmp_path)
    path = tmp_path / "acme" / "warmer.toml"
    good = path.read_text(encoding="utf-8")
    good = good.replace('source = ""', 'source = "x"').replace(f"{FILL_IN}_FIRST", "MDC_TEMP_BLD")
    good = good.replace(f"{FILL_IN}_SECOND", "MDC_TEMP_SKIN").replace('unit = "1"', 'unit = "Cel"')
    path.write_text(good.replace("columns = 2", "colums = 2"), encoding="utf-8")
    result = CliRunner().invoke(app, ["profile", "lint", str(path)])
    line = next(n for n, text in enumerate(good.splitlines(), 1) if text == "columns = 2")
    assert result.exit_code != 0
    assert f"{path}:{line}: unknown key 'colums' → did you mean 'columns'?" in result.output
    path.write_text(good, encoding="utf-8")
    assert CliRunner().invoke(app, ["profile", "lint", str(path)]).exit_code == 0
