"""mdi backup, restore, decommission: nothing secret is kept, nothing is overwritten silently, nothing is left."""

from __future__ import annotations

import io
import json
import os
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from gateway.cli import decommission
from gateway.cli.app import app
from gateway.core.errors import ConfigError
from gateway.core.message import Message
from gateway.record import Direction, Header, RecordingWriter
from gateway.security.seal import CREDENTIAL, Seal, backup
from gateway.spool import Extent, Spool
from tests.faults.own_disk import own_disk

KEY = bytes(range(32))
CANARY = "KANARIE-Ærø-7731"
SECOND = 10**9

CONFIG = """
[security]
mode = "lab"
etc_dir = "{etc}"
[gateway]
name = "gw"
eui64 = "0011223344556677"
site = "auh"
unit = "ita"
facility = "AUH"
state_dir = "{state}"
run_dir = "{state}/run"
profiles = ["{profiles}"]
[sink]
kind = "mqtt"
host = "127.0.0.1"
ca = "{etc}/certs/ca.crt"
key = "{etc}/certs/gw.key"
cert = "{etc}/certs/gw.crt"
[[route]]
[[port]]
name = "bed"
driver = "philips_intellivue"
link = {{ kind = "serial", device = "/dev/ttyS0", baud = 115200 }}
[[port.device]]
name = "monitor"
profile = "philips/intellivue_mp"
eui64 = "0009FBFFFE012345"
"""


class Box:
    """A gateway's files below one folder, with the paths that a real one has."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "etc/mdi/mdi_config.toml"
        self.state = root / "var/lib/mdi"
        self.spool = self.state / "spool"
        self.store = root / "etc/credstore.encrypted"

    def file(self, path: str, text: str | bytes) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode() if isinstance(text, str) else text)
        return target

    def furnish(self) -> None:
        """Make everything that a box has; what must not be in a backup holds the canary."""
        paths = {"etc": self.root / "etc/mdi", "state": self.state, "profiles": self.root / "srv/profiles"}
        self.file("etc/mdi/mdi_config.toml", CONFIG.format(**paths))
        self.file("etc/mdi/mdi_config.toml.minisig", "untrusted comment: of the configuration\n")
        self.file("etc/mdi/trust/approvers.toml", "[[person]]\nname = 'søren'\n")
        self.file("etc/mdi/trust/root.pub", "untrusted comment: minisign public key\n")
        self.file("etc/mdi/devices.d/A-17.toml", "title = 'Æbleskive'\n")
        self.file("etc/mdi/approvals/A-17/1.json", "{}")
        self.file("etc/mdi/certs/gw.crt", "-----BEGIN CERTIFICATE-----\n")
        self.file("etc/mdi/certs/ca.crt", "-----BEGIN CERTIFICATE-----\n")
        self.file("etc/mdi/certs/gw.key", f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n")
        self.file("etc/mdi/certs/renamed.pem", f"-----BEGIN EC PRIVATE KEY-----\n{CANARY}\n")
        self.file("etc/mdi/trust/jkr.sec", f"untrusted comment: minisign encrypted secret key\n{CANARY}\n")
        self.file("srv/profiles/acme/box.toml", "name = 'acme'\n")
        self.file("var/lib/mdi/trust/revisions.json", '{"mdi_config.toml": 12}')
        self.file("etc/credstore.encrypted/mdi-seal", f"{CANARY} encrypted")


def clock() -> tuple[int, int]:
    return 5 * SECOND, 1_800_000_000 * SECOND


def wait_in(spool: Path, keys: list[bytes] | None, n: int = 20, ack: bool = False) -> None:
    """Leave a spool with messages that hold the canary, and one rejected."""
    seal = Seal(keys) if keys else None
    opened = Spool.open(spool, gateway="gw", segment_bytes=1 << 16, limit_bytes=1 << 22, seal=seal, clock=clock)
    for _ in range(n):
        seq, control_id = opened.next_control_id()
        payload = f"MSH|{CANARY}|{control_id}\r".encode() * 30
        opened.append(Message(seq, control_id, "t", payload), Extent("monitor", seq, seq, 1, seq, seq))
    opened.sync()
    opened.reject(1, "AE")
    for seq in range(2, n + 1) if ack else ():
        opened.ack(seq)
    opened.close()


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    made = Box(tmp_path / "box")
    made.furnish()
    monkeypatch.setattr(decommission, "STORES", (made.store,))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return made


def mdi(*arguments: str | Path, code: int = 0, input: str = "") -> Any:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"], input=input, catch_exceptions=True)
    if isinstance(result.exception, ConfigError):
        assert result.exception.exit_code == code == 2, result.exception
        return str(result.exception)
    assert result.exit_code == code, (result.output, result.exception)
    return json.loads(result.stdout[result.stdout.index("{") :])  # what is typed is echoed before it


# ---- backup and restore


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def audit_events(state: Path) -> list[str]:
    files = [path for path in sorted((state / "audit" / "admin").rglob("*")) if path.is_file()]
    lines = [line for path in files for line in path.read_bytes().splitlines() if line.startswith(b"{")]
    return [json.loads(line).get("event", "") for line in lines]


def test_a_new_box_becomes_this_one_but_for_its_secrets(box: Box, tmp_path: Path) -> None:
    wait_in(box.spool, None)
    file = tmp_path / "gw.mdibackup"
    told = mdi("backup", file, "--config", box.config)
    assert told["sha256"] == sha256(file.read_bytes()).hexdigest()
    assert CANARY.encode() not in file.read_bytes()
    assert set(told["left_out"]) == {"etc/certs/gw.key", "etc/certs/renamed.pem", "etc/trust/jkr.sec"}
    new = tmp_path / "new"
    asked = ["restore", file, "--config", box.config, "--root", new]
    dry = mdi(*asked, "--dry-run")
    assert not new.exists()
    assert dry["written"] == 0
    assert {row["change"] for row in dry["files"]} == {"new"}
    done = mdi(*asked, "--sha256", told["sha256"])
    assert done["written"] == told["files"] == len(done["files"])
    there = tree(new / box.root.relative_to("/"))
    kept = {name: data for name, data in there.items() if "/audit/" not in name}
    secret = {"etc/mdi/certs/gw.key", "etc/mdi/certs/renamed.pem", "etc/mdi/trust/jkr.sec"}
    here = {k: v for k, v in tree(box.root).items() if not k.startswith(("var/lib/mdi/spool", "var/lib/mdi/audit"))}
    assert kept == {k: v for k, v in here.items() if k not in secret and "credstore" not in k}
    assert "restore" in audit_events(new / box.state.relative_to("/"))
    assert "backup" in audit_events(box.state)
    assert {row["change"] for row in mdi(*asked)["files"]} == {"same"}


def test_what_is_there_is_never_overwritten_silently(box: Box, tmp_path: Path) -> None:
    file = tmp_path / "gw.mdibackup"
    mdi("backup", file, "--config", box.config)
    record = box.root / "etc/mdi/devices.d/A-17.toml"
    record.write_text("title = 'since then'\n")
    gone = box.root / "etc/mdi/approvals/A-17/1.json"
    gone.unlink()
    asked = ["restore", file, "--config", box.config]
    result = CliRunner().invoke(app, [*map(str, asked), "--json"])
    assert isinstance(result.exception, ConfigError)
    assert "1 files are there and differ: nothing was written" in str(result.exception)
    assert not gone.exists()
    assert record.read_text() == "title = 'since then'\n"
    done = mdi(*asked, "--replace")
    assert done["written"] == 2
    (kept,) = done["kept"]
    assert Path(kept).read_text() == "title = 'since then'\n"
    assert record.read_text() == "title = 'Æbleskive'\n"
    assert gone.exists()
    assert "is there already" in mdi("decommission", "--config", box.config, "--certificate", file, code=2)
    assert "cannot be written: File exists" in mdi("backup", file, "--config", box.config, code=2)


def test_the_same_files_give_the_same_bytes(box: Box) -> None:
    found, _ = backup.collect({"etc": box.root / "etc/mdi"})
    told = backup.manifest("gw", "1", "2026-01-01T00:00:00Z", found, ())
    assert backup.archive(found, told) == backup.archive(dict(reversed(found.items())), told)


def small() -> bytes:
    found = {"etc/a.toml": b"a = 1\n" * 50, "config/c.toml": b"[gateway]\n"}
    return backup.archive(found, backup.manifest("gw", "1", "", found, ()))


@settings(max_examples=300)
@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_never_changes_what_is_restored(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    path = tmp_path_factory.mktemp("flip") / "x"
    data = bytearray(small())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    whole = {"etc/a.toml": b"a = 1\n" * 50, "config/c.toml": b"[gateway]\n"}
    try:
        assert backup.read(path).files == whole
    except ConfigError:
        return


def test_another_copy_than_the_one_that_was_made_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(small())
    with pytest.raises(ConfigError, match=r"its SHA-256 is .* → it is not the backup that was made"):
        backup.read(path, "00" * 32)


@pytest.mark.parametrize("name", ["../etc/passwd", "/etc/passwd", "etc/../../x", "link"])
def test_no_file_leaves_its_place(tmp_path: Path, name: str) -> None:
    into = io.BytesIO()
    data = b"root::0:0\n"
    entry = backup.Entry(name, len(data), sha256(data).hexdigest())
    told = msgspec.json.encode(backup.Manifest(backup.FORMAT, "gw", "1", "", (entry,)))
    with tarfile.open(fileobj=into, mode="w") as tar:
        for member_name, content in ((backup.MANIFEST, told), (name, data)):
            member = tarfile.TarInfo(member_name)
            member.size = len(content)
            if member_name == "link":
                member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0
            tar.addfile(member, io.BytesIO(content))
    path = tmp_path / "x"
    path.write_bytes(into.getvalue())
    with pytest.raises(ConfigError, match="has no place in a backup"):
        backup.read(path)


# ---- the end


@pytest.fixture
def with_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / CREDENTIAL).write_bytes(KEY)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder / CREDENTIAL


def record_in(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    header = Header("2026-01-31T12:00:00Z", "1", "bed", "d", "serial", note=CANARY)
    writer = RecordingWriter(folder / "bed.mdirec", header, seal=Seal([KEY]))
    writer.append(5, Direction.FROM_DEVICE, CANARY.encode())
    writer.close()
    return folder


def test_a_box_is_taken_out_of_service_and_that_is_certified(box: Box, tmp_path: Path, with_key: Path) -> None:
    wait_in(box.spool, [KEY], ack=True)
    recordings, made = record_in(tmp_path / "recordings"), tmp_path / "erasure.json"
    asked = ["decommission", "--config", box.config, "--certificate", made, "--recordings", recordings]
    before = tree(box.spool)
    assert "is not the name of this gateway: nothing was erased" in mdi(*asked, "--yes", "gw2", code=2)
    assert tree(box.spool) == before
    told = mdi(*asked, "--reason", "skrottes på Ærø", "--person", "Søren Å", input="gw\n")
    assert told == json.loads(made.read_text()) | {"certificate": str(made), "sha256": told["sha256"]}
    assert told["sha256"] == sha256(made.read_bytes()).hexdigest()
    assert [tree(box.spool), tree(recordings), tree(box.store), with_key.exists()] == [{}, {}, {}, False]
    assert not (box.root / "etc/mdi/certs/gw.key").exists()
    assert told["key_ids"] == [Seal([KEY]).key_id]
    assert (told["gateway"], told["person"], told["reason"]) == ("gw", "Søren Å", "skrottes på Ærø")
    assert (told["left"], told["waiting"]) == ([], 0)
    erased = {Path(one["path"]).name: one for one in told["files"]}
    assert [one["what"] for one in told["files"]][:3] == ["key"] * 3
    assert all(one["sealed"] for name, one in erased.items() if name.startswith(("segment", "messages", "bed")))
    segment = next(name for name in erased if name.startswith("segment"))
    assert erased[segment]["sha256"] == sha256(before[segment]).hexdigest()
    assert all(not one["sha256"] for one in told["files"] if one["what"] == "key")
    assert "erase" in audit_events(box.state)
    assert KEY.hex() not in made.read_text()


def test_what_waits_is_not_erased_by_the_way(box: Box, tmp_path: Path, with_key: Path) -> None:
    wait_in(box.spool, [KEY], 5)
    asked = ["decommission", "--config", box.config, "--certificate", tmp_path / "e.json", "--yes", "gw"]
    assert "4 messages wait that were never acknowledged" in mdi(*asked, code=2)
    with_key.rename(with_key.with_name("away"))
    assert "nobody can say how many messages wait (no key)" in mdi(*asked, code=2)
    with_key.with_name("away").rename(with_key)
    running = Spool.open(box.spool, gateway="gw", segment_bytes=1 << 16, seal=Seal([KEY]), clock=clock)
    assert "the spool is in use" in mdi(*asked, "--with-waiting", code=2)
    running.close()
    assert with_key.exists()
    assert mdi(*asked, "--with-waiting")["waiting"] == 4


@pytest.mark.e2e
@pytest.mark.parametrize("sealed", [True, False])
def test_raw_blocks_hold_no_message_before_or_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_key: Path, sealed: bool
) -> None:
    """A file system of its own, and every block of its device searched: acknowledged, removed or waiting, sealed is
    sealed. Plain, the canary is found: the search can fail."""
    with own_disk(tmp_path / "disk", 16 << 20, "ext4") as disk:
        spool, image = disk.path / "spool", tmp_path / "disk.img"
        key = disk.path / CREDENTIAL
        key.write_bytes(KEY)
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(disk.path))
        if not sealed:
            monkeypatch.setenv("CREDENTIALS_DIRECTORY", "")
        for _ in range(3):
            wait_in(spool, [KEY] if sealed else None, 100, ack=True)
            wait_in(spool, [KEY] if sealed else None, 100)
        os.sync()
        assert (CANARY.encode() in image.read_bytes()) != sealed
        assert KEY in image.read_bytes()
        box = Box(tmp_path / "box")
        box.furnish()
        box.config.write_text(box.config.read_text().replace(str(box.state), str(disk.path)))
        monkeypatch.setattr(decommission, "STORES", (box.store,))
        asked = ["decommission", "--config", box.config, "--certificate", tmp_path / "e.json", "--yes", "gw"]
        told = mdi(*asked, "--with-waiting", "--credential", key)
        os.sync()
        raw = image.read_bytes()
        assert KEY not in raw, "the key is gone from every block"
        assert not sealed or CANARY.encode() not in raw
        assert all(one["sealed"] == sealed for one in told["files"] if "segment-" in one["path"])
