"""mdi security selftest: each row passes, fails, or says that nobody could look; 0 when nothing fails, else 2."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import selftest
from gateway.cli.app import app
from gateway.security.audit import AuditLog, Event
from gateway.security.audit.selftest import OF_A_LOG, TESTS
from gateway.security.audit.verify import files_of
from gateway.security.dossier.facts import RulesetFact
from tests.conftest import ROOT
from tests.parts.pki import Pki

CONFIG = (ROOT / "mdi_config.toml").read_text(encoding="utf-8")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gateway in production with certificates, an audit log, and the firewall as declared."""
    pki = Pki(tmp_path / "pki")
    pair = pki.issue("gateway", "gw-ita-03", ["gw-ita-03"])
    text = CONFIG.replace("/etc/mdi/certs/broker-ca.pem", str(pki.ca))
    text = text.replace("/etc/mdi/certs/gateway.pem", pair.keys["cert"])
    text = text.replace("/etc/mdi/certs/gateway.key", pair.keys["key"])
    text = text.replace('# state_dir = "/var/lib/mdi"', f'state_dir = "{tmp_path}/state"')
    assert f"{tmp_path}/state" in text
    path = tmp_path / "mdi_config.toml"
    path.write_text(text, encoding="utf-8")
    with AuditLog.open(tmp_path / "state/audit", "run", "gw-ita-03") as audit:
        audit.write(Event.DEVICE_OPENED, "bed-1", port="p")
    firewall(monkeypatch, True)
    return path


def firewall(monkeypatch: pytest.MonkeyPatch, enforced: bool | None) -> None:
    """What the kernel says; the real one is asked in tests/e2e/test_netrules_drift.py."""
    monkeypatch.setattr(selftest, "ruleset_fact", lambda *_: RulesetFact("", (), enforced))


def run(config: Path, code: int) -> dict[tuple[str, str], Any]:
    done = CliRunner().invoke(app, ["security", "selftest", "--config", str(config), "--json"])
    assert done.exit_code == code, (done.output, done.exception)
    said = json.loads(done.stdout)
    assert said["ok"] == (code == 0)
    return {(row["test"], row["of"].split()[0]): row for row in said["tests"]}


def test_all_is_well_and_every_test_of_the_registry_is_a_row(config: Path) -> None:
    found = run(config, 0)
    assert {test for test, _ in found} == {*TESTS, "certificate", "firewall"}
    assert {row["state"] for row in found.values()} == {"pass"}


def test_a_log_that_was_changed_fails(config: Path, tmp_path: Path) -> None:
    (path,) = files_of(tmp_path / "state/audit/run")
    path.write_bytes(path.read_bytes().replace(b"bed-1", b"bed-2"))
    assert run(config, 2)["audit-chain", "run"]["state"] == "fail"
    path.parent.chmod(0o777)
    assert all(run(config, 2)[name, "run"]["state"] == "fail" for name in OF_A_LOG)


def test_a_wrong_answer_of_an_algorithm_fails(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "TESTS", {**TESTS, "sha-256": lambda _: False})
    assert run(config, 2)["sha-256", "known"]["state"] == "fail"


def test_a_certificate_that_is_gone_fails(config: Path, tmp_path: Path) -> None:
    next((tmp_path / "pki").rglob("gateway.pem")).unlink()
    assert [row["state"] for (test, _), row in run(config, 2).items() if test == "certificate"].count("fail") == 1


@pytest.mark.parametrize(("enforced", "state", "code"), [(False, "fail", 2), (None, "unknown", 0)])
def test_a_firewall_that_is_not_the_declared_one_fails_and_one_that_nobody_sees_is_unknown(
    config: Path, monkeypatch: pytest.MonkeyPatch, enforced: bool | None, state: str, code: int
) -> None:
    firewall(monkeypatch, enforced)
    assert run(config, code)["firewall", "inet"]["state"] == state


def test_without_a_log_nothing_is_claimed(config: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "state")
    found = run(config, 0)
    assert [row["state"] for (test, _), row in found.items() if test == "audit-chain"] == ["unknown"]
    assert ("audit-rights", "run") not in found
