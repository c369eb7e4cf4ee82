"""The box is stolen: the thief has every byte of its disk, and our programs. He has no key.

Expected: nothing of a patient or of a value can be read, our own tools refuse with exit code 2 and name the key; what
he writes back is not believed.
"""

from __future__ import annotations

import base64
import shutil
import zlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.core.errors import ConfigError
from gateway.core.message import Message
from gateway.record import Direction, Header, RecordingWriter
from gateway.security.seal import CREDENTIAL, Seal
from gateway.spool import Extent, Spool

KEY, THEIRS = bytes(range(32)), bytes(range(1, 33))
NAME = "Ærlig Østergård"
CPR = "150436-2283"


def clock() -> tuple[int, int]:
    return 5 * 10**9, 1_800_000_000 * 10**9


def spool_at(path: Path, key: bytes | None) -> Spool:
    seal = Seal([key]) if key else None
    return Spool.open(path, gateway="gw", segment_bytes=1 << 16, limit_bytes=1 << 22, seal=seal, clock=clock)


def append(spool: Spool, text: str, n: int = 5) -> None:
    for _ in range(n):
        seq, control_id = spool.next_control_id()
        message = Message(seq, control_id, "mdi/v1/auh/ita/gw/up", f"MSH|{text}|{control_id}\r".encode())
        spool.append(message, Extent("stue3-seng2", seq, seq, 1, seq, seq))
    spool.sync()


@pytest.fixture
def loot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is on the disk of the box, and no key."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    spool = spool_at(tmp_path / "spool", KEY)
    append(spool, f"{NAME}|{CPR}|HR 72")
    spool.reject(1, f"AE {NAME}")
    spool.close()
    header = Header("2026-01-31T12:00:00Z", "1", "bed", "d", "serial")
    writer = RecordingWriter(tmp_path / "bed.mdirec", header, seal=Seal([KEY]))
    writer.append(5, Direction.FROM_DEVICE, f"{NAME} {CPR}".encode())
    writer.close()
    return tmp_path


def test_nothing_can_be_read_in_any_coding(loot: Path) -> None:
    raw = b"".join(path.read_bytes() for path in loot.rglob("*") if path.is_file())
    for word in (NAME, CPR, CPR.replace("-", ""), "HR 72", "MSH|"):
        for coded in (word.encode(), word.encode("utf-16-le"), word.encode("latin-1")):
            assert coded not in raw
            assert base64.b64encode(coded)[:-4] not in raw


def test_what_is_sealed_looks_like_chance(loot: Path) -> None:
    """Known text would shrink; ciphertext does not."""
    segment = max((loot / "spool").glob("segment-*"), key=lambda path: len(path.read_bytes().rstrip(b"\0")))
    data = (loot / "bed.mdirec").read_bytes()[-40:] + segment.read_bytes().rstrip(b"\0")[4096:]
    assert len(zlib.compress(data, 9)) > 0.85 * len(data)


@pytest.mark.parametrize("key", [None, THEIRS])
def test_our_own_tools_refuse_and_name_the_key(loot: Path, monkeypatch: pytest.MonkeyPatch, key: bytes | None) -> None:
    if key:
        (loot / CREDENTIAL).write_bytes(key)
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(loot))
    spool = ["--directory", str(loot / "spool")]
    for asked in (
        ["spool", "ls", *spool],
        ["spool", "verify", *spool],
        ["spool", "export", str(loot / "out.jsonl"), *spool],
        ["spool", "rejected", "list", *spool],
        ["spool", "rejected", "show", "gw-1-1", *spool],
        ["decode", "--stats", str(loot / "bed.mdirec")],
        ["replay", str(loot / "bed.mdirec"), "--pty", str(loot / "pty")],
    ):
        result = CliRunner().invoke(app, asked)
        assert isinstance(result.exception, ConfigError), (asked, result.output)
        assert result.exception.exit_code == 2
        assert f"sealed with the key {Seal([KEY]).key_id}, which is not here" in str(result.exception), asked
        assert NAME not in result.output + str(result.exception)


def test_what_the_thief_writes_back_is_not_believed(loot: Path) -> None:
    """He sends the box back with messages of his own: with no key, and with a key of his."""
    for key in (None, THEIRS):
        theirs, ours = loot / f"theirs-{key is None}", loot / f"ours-{key is None}"
        shutil.copytree(loot / "spool", ours)
        forged = spool_at(theirs, key)
        append(forged, "FORGED")
        forged.close()
        for path in theirs.glob("segment-*"):
            parts = path.name.split("-")
            shutil.copy(path, ours / "-".join([parts[0], f"{int(parts[1]) + 9:08d}", *parts[2:]]))
        if key:
            with pytest.raises(ConfigError, match="which is not here"):
                spool_at(ours, KEY)
            continue
        opened = spool_at(ours, KEY)
        assert opened.report.changed
        assert b"FORGED" not in b"".join(message.payload for message in opened.unacknowledged())
        opened.close()
