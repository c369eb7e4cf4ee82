"""Signatures at start, check and reload: refused in production, said in lab; and the tools people sign with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.app import app
from gateway.config import read_config
from gateway.core.errors import MdiError
from gateway.security.policy import PolicyError, enforce
from gateway.security.policy.registry import Facts, judge
from tests.parts.onboarding import Ward


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    ward = Ward(tmp_path)
    ward.people.sign_all(ward.config)
    return ward


def found(ward: Ward) -> list[tuple[str, str, bool]]:
    """What the rule finds in the files as they are."""
    config = read_config(ward.folder / "mdi_config.toml")
    return [(v.key, v.why, v.tamper) for v in judge(config, Facts()) if v.rule == "signed"]


def test_all_signed_is_all_well(ward: Ward) -> None:
    assert found(ward) == []


def test_what_is_wrong_is_named_at_its_key(ward: Ward) -> None:
    path = ward.folder / "mdi_config.toml"
    path.write_text(path.read_text() + "# one more line\n")
    ward.profile_path.write_text(ward.profile_path.read_text() + "# one more line\n")
    assert found(ward) == [
        ("security", "was changed after it was signed", True),
        ("port.line.device.pump.profile", "was changed after it was signed", True),
    ]
    for signature in ward.folder.rglob("*.minisig"):
        signature.unlink()
    assert found(ward) == [("security.etc_dir", "is not signed", False)]


def start(ward: Ward) -> None:
    enforce(read_config(ward.folder / "mdi_config.toml"), ("acquire",))


def signed_faults(ward: Ward) -> tuple[int, list[str]]:
    with pytest.raises(PolicyError) as fault:
        start(ward)
    return fault.value.exit_code, [v.why for v in fault.value.violations if v.rule == "signed"]


def test_a_start_in_production_is_refused_and_the_exit_code_says_whether_it_was_tampered_with(ward: Ward) -> None:
    path = ward.folder / "mdi_config.toml"
    good = path.read_text()
    path.write_text(good + "#\n")
    assert signed_faults(ward) == (3, ["was changed after it was signed"])
    path.write_text(good)
    for signature in ward.folder.glob("mdi_config.toml.*.minisig"):
        signature.unlink()
    assert signed_faults(ward) == (2, ["is not signed"])


def test_a_start_records_and_an_older_file_is_refused_after_it(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[enforce.__module__], "judge", only_signatures)
    path = ward.folder / "mdi_config.toml"
    older, signatures = path.read_bytes(), {p: p.read_bytes() for p in ward.folder.glob("*.minisig")}
    path.write_text(path.read_text() + "# revision 2\n")
    ward.people.sign_all(read_config(path), rev=2)
    start(ward)
    path.write_bytes(older)
    for name, data in signatures.items():
        name.write_bytes(data)
    assert signed_faults(ward) == (3, ["is revision 1, and revision 2 was seen before"])


def test_a_start_that_cannot_record_is_no_start(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[enforce.__module__], "judge", only_signatures)
    (ward.folder / "state").write_text("a file where the folder should be")
    with pytest.raises(MdiError, match="cannot be recorded"):
        start(ward)


def only_signatures(config: object, facts: Facts) -> list[object]:
    """The other rules say what they say of this little configuration; they have their own tests."""
    return [v for v in judge(config, facts) if v.rule == "signed"]  # type: ignore[arg-type]


def test_in_lab_it_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ward = Ward(tmp_path, mode="lab")
    assert ward.config.lab
    start(ward)
    assert "is not signed" in caplog.text
    assert not (tmp_path / "state/trust").exists()


# The tools.


def mdi(*words: str | Path, entered: str = "") -> Result:
    result = CliRunner().invoke(app, [str(w) for w in words], input=entered)
    if result.exception and not isinstance(result.exception, (SystemExit, MdiError)):
        raise result.exception
    return result


def test_from_nothing_to_a_signed_gateway_with_our_tools_and_with_minisign(tmp_path: Path) -> None:
    """Two roots and two people; one of each pair uses minisign, the other mdi trust."""
    ward = Ward(tmp_path)
    assert ward.config.path == tmp_path / "mdi_config.toml"
    keys = tmp_path / "keys"
    keys.mkdir()
    for name in ("anna", "mso"):
        assert mdi("trust", "key", keys / name, "--without-password").exit_code == 0
    assert (keys / "anna.key").stat().st_mode & 0o777 == 0o600
    for name in ("bo", "jkr"):
        minisign("-G", "-W", "-p", keys / f"{name}.pub", "-s", keys / f"{name}.key")
    etc = tmp_path / "etc2"
    assert mdi("trust", "init", etc, "--root", keys / "anna.pub", "--root", keys / "bo.pub").exit_code == 0
    people = etc / "trust/approvers.toml"
    text = "rev = 1\n"
    for name, role in (("mso", "it-security"), ("jkr", "medico")):
        line = (keys / f"{name}.pub").read_text().split("\n")[1]
        text += f'[[person]]\nname = "{name}"\nrole = "{role}"\nkey = "{line}"\n'
        text += "valid_from = 2020-01-01\nvalid_to = 2099-01-01\n"
    people.write_text(text)
    config = tmp_path / "mdi_config.toml"
    config.write_text(config.read_text().replace(f'"{tmp_path}/etc"', f'"{etc}"'))
    for file, ours, theirs in ((people, "anna", "bo"), (config, "mso", "jkr"), (ward.profile_path, "mso", "jkr")):
        given = ["--until", "2099-01-01"] + ([] if file is people else ["--rev", "1"])
        done = mdi("trust", "sign", file, "--key", keys / f"{ours}.key", "--name", ours, *given)
        assert done.exit_code == 0, done.output
        comment = mdi("trust", "comment", file, *given).output.strip()
        signature = file.with_name(f"{file.name}.{theirs}.minisig")
        minisign("-S", "-s", keys / f"{theirs}.key", "-m", file, "-x", signature, "-t", comment)
        assert mdi("trust", "verify", file, "--etc-dir", etc).exit_code == 0
    status = mdi("trust", "status", "-c", config, "--json")
    assert status.exit_code == 0, status.output
    rows = json.loads(status.output)
    assert [row["file"] for row in rows] == ["approvers.toml", "mdi_config.toml", "ledger/counter.toml"]
    assert rows[1]["people"] == ["jkr (medico)", "mso (it-security)"]
    assert [p["name"] for p in json.loads(mdi("trust", "people", "--etc-dir", etc, "--json").output)["people"]] == [
        "mso",
        "jkr",
    ]
    config.write_text(config.read_text() + "#")
    assert mdi("trust", "status", "-c", config).exit_code == 3


def minisign(*words: str | Path) -> None:
    subprocess.run(["minisign", *map(str, words)], check=True, capture_output=True, timeout=60)


def test_a_manifest_is_what_sha256sum_checks(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    folder = ward.folder / "profiles"
    assert mdi("trust", "manifest", folder).exit_code == 0
    subprocess.run(["sha256sum", "-c", "MANIFEST"], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize(
    "words",
    [
        "trust key {}/there --without-password",
        "trust init {}/etc --root {}/there.key",
        "trust init {}/etc3 --root {}/a.pub --root {}/a.pub",
        "trust manifest {}/empty",
        "trust sign {}/mdi_config.toml --key {}/there.key --until 2099-01-01 --rev 1",
        "trust sign {}/mdi_config.toml --key {}/a.key --until 2099-01-01",
        "trust sign {}/mdi_config.toml --key {}/a.key --until tomorrow --rev 1",
        "trust sign {}/mdi_config.toml --key {}/a.key --until 2099-01-01 --rev 1 --name ../x",
        "trust sign {}/a.pub --key {}/a.key --until 2099-01-01 --rev 1",
        "trust sign {}/none --key {}/a.key --until 2099-01-01 --rev 1",
        "trust comment {}/etc/trust/approvers.toml --until 2099-01-01 --rev 7",
        "trust verify {}/mdi_config.toml --etc-dir {}/etc",
        "trust verify {}/mdi_config.toml --etc-dir {}/nowhere",
        "trust people --etc-dir {}/nowhere",
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, words: str) -> None:
    ward = Ward(tmp_path)
    assert ward.config.path == tmp_path / "mdi_config.toml"
    (tmp_path / "there.key").write_text("x")
    (tmp_path / "empty").mkdir()
    mdi("trust", "key", tmp_path / "a", "--without-password")
    result = mdi(*words.replace("{}", str(tmp_path)).split())
    assert isinstance(result.exception, MdiError), result.output
    assert result.exception.exit_code in (2, 3)
    assert "\n" not in str(result.exception)
    assert " → " in str(result.exception)
