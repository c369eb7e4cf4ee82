"""mdi audit verify, show, export: what they say, and their exit codes: 0 well, 2 to be looked at, 3 changed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from gateway.cli import app
from gateway.security.audit import Checkpoint, Event
from gateway.security.audit.chain import Chain
from gateway.security.audit.files import OsFiles
from gateway.security.audit.keys import AuditKey
from gateway.security.audit.verify import files_of

GATEWAY, WRITER, EVENTS = "gw-1", "run", 5


def stamp() -> dict[str, object]:
    return {"t_utc": "2026-01-01T00:00:00.000000Z", "t_mono": 1, "clock": "synchronised", "boot_id": "b"}


def write(folder: Path, *last: tuple[Event, dict[str, object]]) -> Checkpoint:
    """Write a log of one process; return its checkpoint."""
    chain = Chain(OsFiles(), folder / WRITER, GATEWAY, WRITER, stamp, 1 << 20, 1 << 22)
    chain.open()
    key = AuditKey.load(folder / WRITER)
    chain.append(Event.KEY_CREATED, "audit", "mdi", {"use": "audit", "key": key.public})
    for n in range(EVENTS):
        chain.append(Event.DEVICE_OPENED, f"bed-{n}", "mdi", {"port": f"p{n}"})
    for event, facts in last:
        chain.append(event, "", "mdi", facts)  # type: ignore[arg-type]
    made = chain.checkpoint(key.public, key.sign, "mdi")
    chain.close()
    return made


class Mdi:
    """The command line on one folder of logs."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._patch, self._capsys = folder, monkeypatch, capsys

    def __call__(self, *arguments: str | Path) -> tuple[int, str]:
        words = ["mdi", "audit", *map(str, arguments), "--directory", str(self.folder)]
        self._patch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            app.main()
        said = self._capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err


@pytest.fixture
def mdi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Mdi:
    (tmp_path / "audit").mkdir()
    return Mdi(tmp_path / "audit", monkeypatch, capsys)


def change(mdi: Mdi) -> None:
    path = files_of(mdi.folder / WRITER)[0]
    path.write_bytes(path.read_bytes().replace(b'"bed-3"', b'"bed-9"'))


def test_verify_says_0_of_a_log_as_it_was_written_with_and_without_an_anchor(mdi: Mdi, tmp_path: Path) -> None:
    made = write(mdi.folder)
    (tmp_path / "kept").write_bytes(made.text)
    assert mdi("verify")[0] == 0
    assert mdi("verify", "--key", made.key)[0] == 0
    code, said = mdi("verify", "--anchors", tmp_path / "kept", "--json")
    assert (code, json.loads(said)["writers"][0]["anchored"]) == (0, made.seq)


def test_verify_says_2_of_what_is_to_be_looked_at(mdi: Mdi) -> None:
    write(mdi.folder, (Event.AUDIT_LOST, {"count": 3}))
    code, said = mdi("verify", "--json")
    assert (code, json.loads(said)["ok"]) == (2, False)
    assert "3 events could not be written" in said


def test_verify_says_3_of_each_change_and_where(mdi: Mdi, tmp_path: Path) -> None:
    made = write(mdi.folder)
    assert mdi("verify", "--key", "00" * 32)[0] == 3
    change(mdi)
    code, said = mdi("verify", "--json")
    (found,) = [f for f in json.loads(said)["writers"][0]["findings"] if f["weight"] == "tamper"]
    assert (code, found["seq"]) == (3, 5)
    (tmp_path / "kept").write_bytes(made.text)
    for path in (mdi.folder / WRITER).iterdir():
        path.unlink()
    (mdi.folder / WRITER).rmdir()
    write(mdi.folder)  # all of it anew, with a new key
    assert mdi("verify")[0] == 0
    assert mdi("verify", "--anchors", tmp_path / "kept")[0] == 3


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "--writer", "nobody"),
        ("verify", "--anchors", "{}/none"),
        ("verify", "--anchors", "{}/empty"),
        ("show", "--event", "nothing"),
        ("show", "--since", "yesterday"),
        ("show", "--writer", "nobody"),
        ("export", "--since", "yesterday"),
        ("export", "--writer", "nobody"),
        ("export", "--anchors", "{}/empty"),
    ],
)
def test_what_cannot_be_answered_is_2_and_one_line(mdi: Mdi, tmp_path: Path, words: tuple[str, ...]) -> None:
    write(mdi.folder)
    (tmp_path / "empty").touch()
    code, said = mdi(*(word.format(tmp_path) for word in words))
    assert code == 2
    assert said.startswith("mdi: ")
    assert "Traceback" not in said


def test_no_folder_is_2(mdi: Mdi) -> None:
    mdi.folder.rmdir()
    for command in ("verify", "show", "export"):
        assert mdi(command)[0] == 2


def test_show_has_the_entries_that_are_asked_for(mdi: Mdi) -> None:
    write(mdi.folder)
    code, said = mdi("show", "--since", "2025-12-31T00:00+00:00", "--event", "device_opened", "--json")
    assert (code, [e["subject"] for e in json.loads(said)]) == (0, [f"bed-{n}" for n in range(EVENTS)])
    code, said = mdi("show", "--since", "2026-01-02T00:00+00:00", "--json")
    assert (code, json.loads(said)) == (0, [])
    assert mdi("show", "--since", "2025-12-31", "--danish")[0] == 0


def test_an_export_begins_with_the_judgement_and_its_entries_can_be_checked_again(mdi: Mdi, tmp_path: Path) -> None:
    write(mdi.folder)
    change(mdi)
    to = tmp_path / "haendelse.jsonl"
    assert mdi("export", "--output", to)[0] == 0  # of a changed log above all
    head, judged, *entries = [json.loads(line) for line in to.read_text(encoding="utf-8").splitlines()]
    assert head["gateway"] == GATEWAY
    assert [f["weight"] for f in judged["verify"]["findings"] if f["weight"] == "tamper"]
    assert [e["seq"] for e in entries] == [1, 2, 3, 4, 6, 7]  # what was changed is no entry any more
    assert to.stat().st_mode & 0o077 == 0
