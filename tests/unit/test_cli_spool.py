"""mdi spool: beside an open spool, without changing a byte of it."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.core.errors import ConfigError
from gateway.spool import Spool
from tests.unit.spool_rig import SAMPLES, SECOND, SEGMENT, Clock, Start, append


def mdi(tmp_path: Path, *arguments: str, code: int = 0) -> str:
    place = ["--directory", str(tmp_path / "spool")]
    result = CliRunner().invoke(app, ["spool", *arguments, *place], terminal_width=200)
    if isinstance(result.exception, ConfigError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def answer(tmp_path: Path, *arguments: str, code: int = 0) -> Any:
    return json.loads(mdi(tmp_path, *arguments, "--json", code=code))


def digest(tmp_path: Path) -> dict[Path, tuple[str, int]]:
    files = [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]
    return {path: (sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def busy(start: Start) -> Spool:
    """An open spool that is full: alerts carried over, some messages done, one rejected, both kinds compressed."""
    start(compression="zstd").close()
    spool = start(limit=5 * SEGMENT, compression="none")
    for n in range(100):
        append(spool, 1, size=900, device=f"bed-{n % 2}", periodic=n % 10 > 0)
    spool.sync()
    first, second, third = spool.unacknowledged(0, 3)
    spool.ack(first.seq)
    spool.reject(second.seq, "AE 207")
    spool.ack(third.seq)
    spool.checkpoint()
    return spool


def test_looking_changes_no_byte_and_needs_no_lock(busy: Spool, tmp_path: Path) -> None:
    before = digest(tmp_path)
    mdi(tmp_path, "ls")
    mdi(tmp_path, "verify")
    mdi(tmp_path, "rejected", "list")
    mdi(tmp_path, "export", str(tmp_path / "out.jsonl"))
    assert digest(tmp_path) == before
    append(busy, 3)
    assert busy.sync() == 103


def test_ls_counts_what_the_owner_counts(busy: Spool, tmp_path: Path) -> None:
    rows = answer(tmp_path, "ls")
    assert sum(row["waiting"] for row in rows) == busy.waiting
    assert {device for row in rows for device in row["devices"]} == {"bed-0", "bed-1"}
    assert 0 < sum(row["carried"] for row in rows) <= busy.counters.carried
    assert all(row["epoch"] == 1_800_000_001 and row["bytes"] > 0 for row in rows)
    assert [row["first_seq"] for row in rows] == sorted(row["first_seq"] for row in rows)
    assert "bed-0 bed-1" in mdi(tmp_path, "ls")


def test_verify_counts_anew_and_agrees_with_the_owner(busy: Spool, tmp_path: Path) -> None:
    found = answer(tmp_path, "verify")
    assert found["ok"]
    assert {d: counts["samples"] for d, counts in found["waiting"].items()} == {
        device: samples.waiting for device, samples in busy.samples.items()
    }
    assert sum(counts["messages"] for counts in found["waiting"].values()) == busy.waiting


@pytest.mark.parametrize("where", ["segment", "header", "cursor", "gone"])
def test_verify_finds_damage_and_says_it_with_its_exit_code(busy: Spool, tmp_path: Path, where: str) -> None:
    waiting = busy.unacknowledged(0, 999)
    victim = next(m for m in waiting if b"MSH" in m.payload and m.seq > waiting[9].seq)
    busy.close()
    path = next(p for p in sorted((tmp_path / "spool").glob("segment-*")) if victim.payload in p.read_bytes())
    path = tmp_path / "spool" / "cursor" if where == "cursor" else path
    data = bytearray(path.read_bytes())
    data[{"segment": data.find(victim.payload) + 9, "header": 9, "cursor": 30, "gone": 0}[where]] ^= 1
    path.write_bytes(data)
    if where == "gone":
        path.unlink()
    found = answer(tmp_path, "verify", code=1)
    assert not found["ok"]
    assert bool(found["damaged"]) == (where in ("segment", "header"))
    assert found["cursor_slots_bad"] == (where == "cursor")
    assert bool(found["missing"]) == (where in ("segment", "gone"))
    if where == "segment":
        assert found["missing"] == [[victim.seq, victim.seq]]
    mdi(tmp_path, "verify", code=1)


def test_export_writes_what_waits_and_nothing_over_anything(busy: Spool, tmp_path: Path) -> None:
    waiting = busy.unacknowledged(0, 999)
    folder, lines, one = tmp_path / "folder", tmp_path / "a.jsonl", tmp_path / "a.er7"
    assert answer(tmp_path, "export", str(folder))["messages"] == len(waiting)
    files = sorted(folder.iterdir())
    assert [file.read_bytes() for file in files] == [m.payload for m in waiting]
    assert not [file for file in files if "bed" in file.name]
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    mdi(tmp_path, "export", str(one), "--device", "bed-0")
    assert one.read_bytes().count(b"MSH|") == sum(m.seq % 2 for m in waiting)
    mdi(tmp_path, "export", str(lines), "--first", "82", "--last", "90", "--what", "all")
    assert [json.loads(line)["seq"] for line in lines.read_text().splitlines()] == list(range(82, 91))
    with pytest.raises(ConfigError, match="there already"):
        mdi(tmp_path, "export", str(lines))
    recent = tmp_path / "recent.jsonl"
    mdi(tmp_path, "export", str(recent), "--since", "1970-01-01T00:01:30+00:00", "--until", "1970-01-01T00:01:35+00:00")
    assert [json.loads(line)["seq"] for line in recent.read_text().splitlines()] == [90, 91, 92, 93, 94]
    with pytest.raises(ConfigError, match="is no time"):
        mdi(tmp_path, "export", str(tmp_path / "x.er7"), "--since", "yesterday")


def test_rejected_is_listed_shown_and_resent(busy: Spool, tmp_path: Path, clock: Clock) -> None:
    (row,) = answer(tmp_path, "rejected", "list")
    assert (row["reason"], row["samples"], row["resent"]) == ("AE 207", SAMPLES, None)
    control_id = row["control_id"]
    assert control_id in mdi(tmp_path, "rejected", "show", control_id)
    assert answer(tmp_path, "rejected", "resend", "--all")["messages"] == 1
    clock.now += SECOND
    busy.tick()
    assert busy.unacknowledged(0, 999)[-1].control_id == control_id
    assert answer(tmp_path, "rejected", "list")[0]["resent"]
    assert "1 of them resent" in mdi(tmp_path, "rejected", "list")
    with pytest.raises(ConfigError, match="no rejected message has the control id gw-1-1"):
        mdi(tmp_path, "rejected", "resend", "gw-1-1")
    with pytest.raises(ConfigError, match="what is to be resent"):
        mdi(tmp_path, "rejected", "resend")


def test_no_spool_here_is_one_line(tmp_path: Path) -> None:
    for command in (["ls"], ["verify"], ["export", str(tmp_path / "x")]):
        with pytest.raises(ConfigError, match="there is no spool here"):
            mdi(tmp_path, *command)
