"""mdi sbom, mdi vulnerabilities and mdi verify-install, as a person runs them; signatures by the minisign program."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.app import app
from gateway.core.errors import TrustError
from gateway.security.inventory import install, software
from tests.conftest import ROOT

TODAY = datetime.now(UTC).date()


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, [*arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_bill_of_materials_is_written(tmp_path: Path) -> None:
    run("sbom", "--out", str(tmp_path / "bom.json"), "--name", "gw-æ", "--no-host")
    made = json.loads((tmp_path / "bom.json").read_text(encoding="utf-8"))
    assert made["metadata"]["properties"] == [{"name": "mdi:subject", "value": "gw-æ"}]
    assert {c["type"] for c in made["components"]} == {"library"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    text = (ROOT / "mdi_config.toml").read_text(encoding="utf-8")
    path = tmp_path / "mdi_config.toml"
    path.write_text(text.replace('# etc_dir = "/etc/mdi"', f'etc_dir = "{tmp_path}"'), encoding="utf-8")
    return path


def scan_of(tmp_path: Path, known: dict[str, str]) -> Path:
    rows = [
        {
            "name": c.name,
            "version": c.version,
            "vulns": [{"id": known[c.name], "fix_versions": []}] if c.name in known else [],
        }
        for c in software.python_components()
    ]
    path = tmp_path / "scan.json"
    path.write_text(json.dumps({"dependencies": rows}))
    return path


def test_a_clean_scan_of_today_is_no_finding(tmp_path: Path, config: Path) -> None:
    result = run("vulnerabilities", str(scan_of(tmp_path, {})), "--config", str(config))
    assert result.exit_code == 0, result.output


def test_a_known_vulnerability_is_a_finding_until_somebody_decides(tmp_path: Path, config: Path) -> None:
    arguments = ("vulnerabilities", str(scan_of(tmp_path, {"numpy": "CVE-2026-7"})), "--config", str(config), "--json")
    result = run(*arguments)
    assert result.exit_code == 2
    found = json.loads(result.stdout)
    assert (found["known"], found["open"], len(found["findings"])) == (1, 1, 1)
    (tmp_path / "vex").mkdir()
    (tmp_path / "vex" / "triage.toml").write_text(
        f"""[[decision]]
id = "CVE-2026-7"
component = "numpy"
state = "not_affected"
justification = "vulnerable_code_not_present"
reason = "the module is not shipped"
decided_by = "mso"
decided = "{TODAY}"
expires = "{TODAY + timedelta(90)}"
"""
    )
    assert run(*arguments).exit_code == 0


def test_an_old_scan_is_a_finding(tmp_path: Path, config: Path) -> None:
    day = str(TODAY - timedelta(31))
    result = run("vulnerabilities", str(scan_of(tmp_path, {})), "--made", day, "--config", str(config))
    assert result.exit_code == 2
    assert "31 days old" in result.output


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A program, its list, and the list's signature by minisign."""
    root = tmp_path / "mdi"
    for package in install.PACKAGES:
        (root / package).mkdir(parents=True)
        (root / package / "a.py").write_text("X = 1\n")
    run("verify-install", str(root / "MANIFEST"), "--root", str(root), "--write")
    minisign("-G", "-W", "-p", "release.pub", "-s", "release.key", folder=root)
    minisign("-S", "-s", "release.key", "-m", "MANIFEST", folder=root)
    return root


def minisign(*arguments: str, folder: Path) -> None:
    subprocess.run(["minisign", *arguments], cwd=folder, check=True, capture_output=True)


def verify(root: Path, *more: str) -> Result:
    key = ("--key", str(root / "release.pub"))
    return run("verify-install", str(root / "MANIFEST"), "--root", str(root), *key, *more)


def test_a_release_is_as_it_was_signed(released: Path) -> None:
    result = verify(released)
    assert result.exit_code == 0, result.output
    assert "all as in" in result.output
    assert "nobody has verified" not in result.output
    unsigned = run("verify-install", str(released / "MANIFEST"), "--root", str(released))
    assert "nobody has verified" in unsigned.output


def test_a_byte_changed_after_the_release_is_tampering(released: Path) -> None:
    (released / "gateway/a.py").write_text("X = 2\n")
    result = verify(released, "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["differences"] == [{"path": "gateway/a.py", "what": "changed"}]


def test_who_changes_the_list_as_well_is_found_by_its_signature(released: Path) -> None:
    (released / "gateway/a.py").write_text("X = 2\n")
    run("verify-install", str(released / "MANIFEST"), "--root", str(released), "--write")
    with pytest.raises(TrustError):
        verify(released)
