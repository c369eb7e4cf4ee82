"""mdi onboard as people and programs see it: exit codes, JSON, Danish, refusals, and what asks a person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import onboard_new
from gateway.cli.app import app
from gateway.core.errors import ConfigError, MdiError, TrustError
from gateway.security.onboard import draft
from gateway.security.onboard.record import read_record
from tests.parts.onboarding import Ward


def _mdi(ward: Ward, *arguments: str, given: str = "") -> tuple[int, str]:
    """Run a command; a mistake is its exit code and its line, as gateway.cli.app.main makes them."""
    config = ["--config", str(ward.config.path)]
    result = CliRunner().invoke(app, ["onboard", *arguments, *config], input=given)
    if isinstance(result.exception, MdiError):
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


def _json(said: str) -> Any:
    return json.loads(said.strip().splitlines()[-1])


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    made = Ward(tmp_path)
    made.now = made.people.now  # commands read the real clock
    made.record("A-1", review="2099-01-01")
    return made


def test_from_draft_to_approved_by_commands(ward: Ward) -> None:
    code, said = _mdi(ward, "check", "A-1", "--json")
    assert (code, _json(said)["ok"]) == (2, False)
    assert {f["rule"] for f in _json(said)["findings"]} == {"no-mds2", "not-submitted"}
    code, said = _mdi(ward, "submit", "A-1", "--by", "lev", "--json")
    assert (code, _json(said)["rev"]) == (0, 1)
    request = Path(_json(said)["file"])
    for name, code_wanted in (("mso", 2), ("jkr", 0)):
        own = ward.folder / f"{name}-own"
        own.mkdir()
        (own / "1.json").write_bytes(request.read_bytes())
        (own / "my.key").write_text(ward.people.keys[name].text())
        code, said = _mdi(ward, "sign", str(own / "1.json"), "--key", str(own / "my.key"), "--yes")
        assert (code, said.strip().endswith("1.json.minisig")) == (0, True)
        code, said = _mdi(ward, "sign", "A-1", "--signature", str(own / "1.json.minisig"), "--json")
        assert (code, _json(said)["signer"]) == (code_wanted, name)
    code, said = _mdi(ward, "status", "--json")
    assert (code, _json(said)["devices"][0]["state"]) == (0, "approved")
    assert _mdi(ward, "diff", "A-1")[0] == 0


def test_a_reviewer_reads_danish_and_may_say_no(ward: Ward) -> None:
    ward.submit()
    request = ward.etc_dir / "approvals/A-1/1.json"
    key = ward.folder / "my.key"
    key.write_text(ward.people.keys["mso"].text())
    code, said = _mdi(ward, "sign", str(request), "--key", str(key), "--lang", "da", given="n\n")
    assert code == 1
    for text in ("Anmodning om godkendelse", "indsendt af lev", "Ærø Apparater", "Forbindelser", "127.0.0.1"):
        assert text in said
    assert not request.with_name("1.json.minisig").exists()
    code, said = _mdi(ward, "status", "--lang", "da")
    assert code == 2
    assert "indsendt: venter på underskrifter" in said
    assert "åbnes ikke" in said
    with pytest.raises(ConfigError, match="'sv'"):
        raise ConfigError(_mdi(ward, "status", "--lang", "sv")[1])


def test_a_signature_that_does_not_count_is_exit_code_3_with_its_reason(ward: Ward) -> None:
    ward.submit()
    wrong = ward.folder / "x.minisig"
    wrong.write_text(ward.people.sign("mso", b"something else", "x"))
    code, said = _mdi(ward, "sign", "A-1", "--signature", str(wrong))
    assert (code, "changed after it was signed" in said) == (TrustError.exit_code, True)
    assert list((ward.etc_dir / "approvals/A-1").glob("*.minisig")) == []
    assert _mdi(ward, "sign", "A-1")[0] == 2  # neither key nor signature


def test_diff_shows_what_changed_field_by_field(ward: Ward) -> None:
    ward.approve()
    ward.record("A-1", review="2099-01-01", firmware="2.0")
    code, said = _mdi(ward, "diff", "A-1", "--json")
    assert code == 2
    assert _json(said)["changes"] == [{"field": "record.device.firmware", "was": "1.0", "now": "2.0"}]
    assert "Ændret siden" in _mdi(ward, "diff", "A-1", "--lang", "da")[1]


def test_acts_of_one_person_and_their_exit_codes(ward: Ward) -> None:
    ward.approve()
    code, said = _mdi(ward, "suspend", "A-1", "--by", "tni", "--reason", "forkert seng", "--json")
    assert (code, _json(said)["state"], _json(said)["carried_out"]) == (0, "suspended", None)  # none runs
    assert _mdi(ward, "suspend", "A-1", "--by", "tni", "--reason", "igen") == (2, "A-1 is suspended already")
    assert _mdi(ward, "resume", "A-1", "--by", "tni", "--reason", "rigtig seng")[0] == 0
    assert _mdi(ward, "revoke", "A-1", "--by", "tni", "--reason", "væk")[0] == 0
    assert _mdi(ward, "retire", "A-1", "--by", "tni", "--reason", "væk")[0] == 0
    assert _mdi(ward, "resume", "A-1", "--by", "tni", "--reason", "ny")[0] == 2


def test_a_changed_journal_is_exit_code_3(ward: Ward) -> None:
    ward.approve()
    _mdi(ward, "suspend", "A-1", "--by", "tni", "--reason", "forkert seng")
    path = ward.folder / "state/onboard/A-1.jsonl"
    path.write_bytes(path.read_bytes().replace(b"tni", b"abe") + b"{}\n")
    assert _mdi(ward, "status")[0] == 3
    assert _mdi(ward, "check", "A-1")[0] == 3


def test_new_fills_in_what_is_known_and_says_what_is_missing(ward: Ward) -> None:
    (ward.etc_dir / "devices.d/A-1.toml").unlink()
    ward.says(firmware="3.1", model="C7", serial="S9")
    found = {"found": [{"profile": "x", "vendor": "Ærø", "model": "C8", "firmware": None}]}
    (ward.folder / "found.json").write_text(json.dumps(found))
    probe = ["--from-probe", str(ward.folder / "found.json")]
    code, said = _mdi(ward, "new", "B-1", "--device", "pump", *probe, "--set", "mdr_class=IIb", "--json")
    assert code == 2
    assert set(_json(said)["missing"]) == {
        "device.purpose", "device.data", "owners.clinical", "owners.medico", "owners.it", "review.next",
    }  # fmt: skip
    text = (ward.etc_dir / "devices.d/B-1.toml").read_text(encoding="utf-8")
    for line in (
        'maker = "Ærø"',
        'says_model = "C8"',
        'firmware = "3.1"',
        'serial = "S9"',
        'conduits = ["line", "out"]',
    ):
        assert f"\n{line}\n" in text
    assert _mdi(ward, "new", "B-1", "--device", "pump")[0] == 2  # it has a record
    assert _mdi(ward, "new", "B-2", "--device", "pmup")[1].endswith("did you mean 'pump'?")


def test_new_asks_for_what_is_missing(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key with its meaning; a plain Enter takes what is known; a wrong choice is asked for again."""
    (ward.etc_dir / "devices.d/A-1.toml").unlink()
    asked: list[str] = []
    answers = {
        "device.mdr_class": iter(["IV", "IIb"]), "device.data": iter(["vital signs, alerts"]),
        "device.serial": iter(["Å1"]), "device.firmware": iter(["1"]), "review.next": iter(["2099-01-01"]),
    }  # fmt: skip

    def prompt(key: str, default: str | None = None, **_: object) -> str:
        asked.append(key)
        return next(answers[key]) if key in answers else default or "et svar"

    monkeypatch.setattr(onboard_new.typer, "prompt", prompt)
    values = draft.known(ward.config, "B-1", "pump", None)
    onboard_new._ask(values)
    path = ward.etc_dir / "devices.d/B-1.toml"
    path.write_text(draft.written(values), encoding="utf-8")
    record = read_record(path)
    assert (record.device.mdr_class, record.device.data) == ("IIb", ("vital signs", "alerts"))
    assert (record.device.serial, record.owners.it) == ("Å1", "et svar")
    assert asked.count("device.mdr_class") == 2
    assert "use.conduits" not in asked


def test_every_command_has_a_manual(ward: Ward) -> None:
    for name in ("new", "check", "submit", "sign", "status", "diff", "suspend", "resume", "revoke", "retire"):
        result = CliRunner().invoke(app, ["onboard", name, "--help"])
        assert result.exit_code == 0
        assert "--json" in result.stdout
