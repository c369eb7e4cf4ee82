"""The units in systemd/, all of them: how exposed they are, what they may never lose, and what the drop-ins open."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from gateway.security.dossier.points_running import CAPS
from gateway.security.netrules import units
from tests.conftest import ROOT
from tests.unit.netrules_rig import asked, written

FOLDER = ROOT / "systemd"
UNITS = sorted(path.name for path in FOLDER.glob("*.service"))
LIMIT = 1.0  # the rule 4
# The right over the firewall cannot be had in a user name space, nor without netlink; the checklist's limit is 1.5.
LIMITS = {"mdi-netrules.service": 1.1, "mdi-netrules-check.service": 1.1}
OPENED = {"network": 1.6, "can": 1.5}  # mdi-acquire with a drop-in; docs/security.md says what each costs
MUST = (
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "LimitCORE=0",
    "MemoryDenyWriteExecute=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "IPAddressDeny=any",
    "DevicePolicy=closed",
    "KeyringMode=private",
)

each_unit = pytest.mark.parametrize("unit", UNITS)


@pytest.fixture(scope="module")
def scores() -> dict[str, float]:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze on this machine")
    return units.scores((FOLDER,))


def said(unit: str) -> list[str]:
    return (FOLDER / unit).read_text(encoding="utf-8").splitlines()


@each_unit
def test_a_unit_is_no_more_exposed_than_its_limit(scores: dict[str, float], unit: str) -> None:
    assert scores[unit] <= LIMITS.get(unit, LIMIT)


def test_the_page_says_the_measured_scores(scores: dict[str, float]) -> None:
    page = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    for unit, score in scores.items():
        assert re.search(rf"^\| [^|]*\b{unit.removesuffix('.service')}\b[^|]*\| {score} \|", page, re.MULTILINE), unit


def test_a_unit_that_loses_a_setting_shows(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze on this machine")
    weak = "\n".join(line for line in said("mdi-forward.service") if not line.startswith("SystemCallFilter"))
    (tmp_path / "mdi-forward.service").write_text(weak, encoding="utf-8")
    assert units.scores((tmp_path,))["mdi-forward.service"] > LIMIT


@each_unit
@pytest.mark.parametrize("setting", MUST)
def test_a_unit_keeps_what_no_unit_may_lose(unit: str, setting: str) -> None:
    assert setting in said(unit)


@each_unit
def test_a_unit_that_runs_away_ends_at_a_cap(unit: str) -> None:
    """Point 51 of the checklist."""
    for cap in CAPS:
        assert any(line.startswith(f"{cap}=") for line in said(unit)), cap


def test_each_process_has_a_user_of_its_own() -> None:
    users = {unit: next(line for line in said(unit) if line.startswith("User=")) for unit in UNITS}
    kept = {user for unit, user in users.items() if unit != "mdi-netrules-check.service"}
    assert len(kept) == len(UNITS) - 1
    listed = (FOLDER / "mdi.sysusers").read_text(encoding="utf-8")
    assert all(f"u {user.removeprefix('User=')} " in listed for user in users.values())


def test_the_walls_between_devices_network_and_spool() -> None:
    acquire, forward = said("mdi-acquire.service"), said("mdi-forward.service")
    assert "PrivateNetwork=yes" in acquire
    assert "RestrictAddressFamilies=AF_UNIX" in acquire
    assert any("/var/lib/mdi/spool" in line for line in acquire if line.startswith("InaccessiblePaths="))
    assert "PrivateDevices=yes" in forward
    assert not any(line.startswith("DeviceAllow=") for line in forward)
    assert "LoadCredentialEncrypted=mdi-seal" in forward
    for unit in (acquire, forward):
        assert "Requires=mdi-netrules.service" in unit
        assert any(line.startswith("WatchdogSec=") for line in unit)


def test_the_question_for_the_clock_is_allowed() -> None:
    acquire = said("mdi-acquire.service")
    assert any(line.startswith("SystemCallFilter=adjtimex") for line in acquire)
    assert "ProtectClock=yes" not in acquire


def test_drift_is_looked_for_often_enough() -> None:
    timer = "\n".join(said("mdi-netrules-check.timer"))
    seconds = [int(s) for s in re.findall(r"^(?:OnUnitInactiveSec|AccuracySec)=(\d+)s?$", timer, re.MULTILINE)]
    assert len(seconds) == 2
    assert sum(seconds) <= 60 - 10  # 10 s for the look itself, on a slow box


def test_the_drop_ins_open_what_is_declared_and_no_more(tmp_path: Path) -> None:
    config = written(tmp_path)
    made = units.dropins(config, asked(config))
    lines = {unit: text.splitlines()[2:] for unit, text in made.items()}
    assert lines == {
        "mdi-acquire.service": [
            "PrivateNetwork=no",
            "RestrictAddressFamilies=AF_INET AF_CAN AF_NETLINK",
            "IPAddressAllow=10.20.30.40",
            "IPAddressAllow=10.20.40.11",
            "IPAddressAllow=224.0.23.63",
        ],
        "mdi-forward.service": [
            "RestrictAddressFamilies=AF_INET AF_INET6",
            "IPAddressAllow=10.9.9.9",
            "IPAddressAllow=fd00:9::9",
        ],
    }
    assert [path.parent.name for path in units.write_dropins(made, tmp_path)] == [f"{unit}.d" for unit in made]
    assert units.write_dropins(made, tmp_path) == []
    nothing = units.dropins(config, asked(config, {}))
    assert "IPAddressAllow" not in nothing["mdi-acquire.service"]
    assert units.write_dropins({}, tmp_path)
    assert not list(tmp_path.glob("*.service.d/*"))


@pytest.mark.parametrize("kind", OPENED)
def test_what_an_opened_unit_costs_is_said(scores: dict[str, float], kind: str) -> None:
    families = {"network": "AF_INET\nIPAddressAllow=10.20.30.40", "can": "AF_CAN AF_NETLINK"}[kind]
    text = f"{units.HEAD}PrivateNetwork=no\nRestrictAddressFamilies={families}\n"
    opened = units.scores((FOLDER,), {"mdi-acquire.service": text})
    assert scores["mdi-acquire.service"] < opened["mdi-acquire.service"] <= OPENED[kind]
    assert f"| {opened['mdi-acquire.service']} | {OPENED[kind]} |" in (ROOT / "docs/security.md").read_text("utf-8")
