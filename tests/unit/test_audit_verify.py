"""`verify` finds each kind of change: each mutation below is applied to a good log, and must be found."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.security.audit import Checkpoint, Event
from gateway.security.audit.chain import CHECKPOINT, Chain
from gateway.security.audit.entry import canonical, digest, line_of
from gateway.security.audit.files import OsFiles
from gateway.security.audit.keys import AuditKey
from gateway.security.audit.verify import files_of, verify

GATEWAY, WRITER = "gw-1", "run"
EVENTS = 40


def stamp() -> dict:
    return {"t_utc": "2026-01-01T00:00:00.000000Z", "t_mono": 1, "clock": "synchronised", "boot_id": "b"}


def make(folder: Path, events: int = EVENTS, key: AuditKey | None = None, file_bytes: int = 4000) -> list[Checkpoint]:
    """Write a log of several files with checkpoints; return these: they are the anchors."""
    chain = Chain(OsFiles(), folder, GATEWAY, WRITER, stamp, file_bytes, 1 << 20)
    chain.open()
    key = key or AuditKey.load(folder)
    chain.append(Event.KEY_CREATED, "audit", "mdi", {"use": "audit", "key": key.public})
    anchors = []
    for n in range(events):
        chain.append(Event.DEVICE_OPENED, f"bed-{n}", "mdi", {"port": f"p{n}"})
        if n % 10 == 9:
            anchors.append(chain.checkpoint(key.public, key.sign, "mdi"))
    chain.close()
    return anchors


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> tuple[Path, list[Checkpoint]]:
    folder = tmp_path_factory.mktemp("good") / WRITER
    return folder, make(folder)


def copy(good: tuple[Path, list[Checkpoint]], to: Path) -> tuple[Path, list[Checkpoint]]:
    shutil.copytree(good[0], to / WRITER)
    return to / WRITER, good[1]


def test_a_good_log_is_good(good):
    folder, anchors = good
    report = verify(folder, GATEWAY, anchors, anchors[0].key)
    assert report.findings == []
    assert (report.exit_code, report.first, report.anchored) == (0, 1, anchors[-1].seq)
    assert report.entries == EVENTS + 1 + len(anchors)
    assert len(files_of(folder)) > 3


def test_without_an_anchor_it_says_so(good):
    report = verify(good[0], GATEWAY)
    assert report.exit_code == 0
    assert "no anchor" in report.findings[0].what


# ---- the mutations: each takes the folder and changes it


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def edit(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(lines(path))))


def forge(line: bytes, **fields) -> bytes:
    """A changed entry with a hash that is right for it: whoever knows the format can do that."""
    return line_of({**json.loads(line), **fields})[0]


def rechain(folder: Path, from_seq: int) -> None:
    """Rewrite all from an entry on so that every hash follows: what an intruder without the key can do."""
    head = ""
    for path in files_of(folder):
        text = b""
        for line in lines(path):
            entry = json.loads(line)
            if entry["seq"] >= from_seq:
                if entry["seq"] == from_seq:
                    entry["subject"] = "bed-99"
                else:
                    entry["prev"] = head
                line, _ = line_of(entry)
            head = digest(json.loads(line))
            text += line
        path.write_bytes(text)


def middle(folder: Path) -> Path:
    return files_of(folder)[1]


def rename_first(folder: Path) -> None:
    files_of(folder)[0].rename(folder / "000000009999.jsonl")


def swap_files(folder: Path) -> None:
    a, b = files_of(folder)[1:3]
    x, y = a.read_bytes(), b.read_bytes()
    a.write_bytes(y)
    b.write_bytes(x)


def drop(number: int) -> Callable[[Path], None]:
    def mutation(folder: Path) -> None:
        files = files_of(folder)
        path = files[-1] if number < 0 else files[0]
        edit(path, lambda all: all[:number] + all[number + 1 :] if number >= 0 else all[:number])

    return mutation


MUTATIONS: dict[str, Callable[[Path], None]] = {
    "the first entry removed": drop(0),
    "an entry in the middle removed": drop(3),
    "the last entry removed": drop(-1),
    "the last two entries removed": drop(-2),
    "the first file removed": lambda f: files_of(f)[0].unlink(),
    "a file in the middle removed": lambda f: files_of(f)[1].unlink(),
    "the last file removed": lambda f: files_of(f)[-1].unlink(),
    "all files removed": lambda f: [path.unlink() for path in files_of(f)],
    "a file emptied": lambda f: middle(f).write_bytes(b""),
    "the last file emptied": lambda f: files_of(f)[-1].write_bytes(b""),
    "a file renamed": rename_first,
    "two files exchanged": swap_files,
    "two entries exchanged": lambda f: edit(middle(f), lambda all: [all[1], all[0], *all[2:]]),
    "the order turned": lambda f: edit(middle(f), lambda all: all[::-1]),
    "an entry twice": lambda f: edit(middle(f), lambda all: [all[0], all[0], *all[1:]]),
    "an old entry put in": lambda f: edit(middle(f), lambda all: [*all[:2], lines(files_of(f)[0])[1], *all[2:]]),
    "a forged entry put in": lambda f: edit(
        middle(f), lambda all: [*all[:2], forge(all[1], seq=json.loads(all[1])["seq"] + 1), *all[2:]]
    ),
    "a forged entry at the end": lambda f: edit(
        files_of(f)[-1], lambda all: [*all, forge(all[-1], prev="0" * 64, seq=json.loads(all[-1])["seq"] + 1)]
    ),
    "a subject changed, hash made right": lambda f: edit(middle(f), lambda a: [forge(a[0], subject="bed-99"), *a[1:]]),
    "a fact changed, hash left": lambda f: middle(f).write_bytes(middle(f).read_bytes().replace(b'"p1', b'"q1')),
    "a field added": lambda f: edit(
        middle(f), lambda a: [canonical({**json.loads(a[0]), "note": "x"}) + b"\n", *a[1:]]
    ),
    "a field gone": lambda f: edit(
        middle(f),
        lambda a: [canonical({k: v for k, v in json.loads(a[0]).items() if k != "actor"}) + b"\n", *a[1:]],
    ),
    "spaces put in": lambda f: edit(middle(f), lambda a: [json.dumps(json.loads(a[0])).encode() + b"\n", *a[1:]]),
    "an empty line put in": lambda f: edit(middle(f), lambda a: [a[0], b"\n", *a[1:]]),
    "half of the last line": lambda f: edit(files_of(f)[-1], lambda a: [*a[:-1], a[-1][:-20]]),
    "the last line feed": lambda f: edit(files_of(f)[-1], lambda a: [*a[:-1], a[-1][:-1]]),
    "all hashes made right again": lambda f: rechain(f, 5),
    "another writer's name": lambda f: edit(middle(f), lambda a: [forge(a[0], writer="acquire"), *a[1:]]),
    "a chain of another gateway": lambda f: edit(files_of(f)[0], lambda a: [forge(a[0], prev="1" * 64), *a[1:]]),
    "the checkpoint beside it removed": lambda f: (f / CHECKPOINT).unlink(),
    "the checkpoint beside it changed": lambda f: (f / CHECKPOINT).write_bytes(b"{}"),
}


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("name", MUTATIONS)
def test_every_change_is_found(good, tmp_path, name, anchored):
    folder, anchors = copy(good, tmp_path)
    MUTATIONS[name](folder)
    report = verify(folder, GATEWAY, anchors if anchored else ())
    assert report.exit_code == 3, name
    assert all(finding.what for finding in report.findings)


def test_a_chain_made_anew_with_another_key_is_found_by_anchor_and_by_key(good, tmp_path):
    folder, anchors = tmp_path / WRITER, good[1]
    make(folder)
    assert verify(folder, GATEWAY).exit_code == 0  # alone it is a good log: that is why checkpoints leave the box
    found = verify(folder, GATEWAY, anchors)
    assert any("made anew" in finding.what for finding in found.findings)
    assert verify(folder, GATEWAY, (), anchors[0].key).exit_code == 3


def test_a_chain_rewritten_with_the_stolen_key_is_found_by_the_anchor(good, tmp_path):
    folder = tmp_path / WRITER
    folder.mkdir()
    shutil.copy(good[0] / "key", folder / "key")
    key = AuditKey.load(folder)
    make(folder, EVENTS - 7, key)
    assert verify(folder, GATEWAY, (), key.public).exit_code == 0
    found = verify(folder, GATEWAY, good[1])
    assert found.exit_code == 3
    assert any("rewritten" in f.what or "cut off" in f.what for f in found.findings)


def test_an_older_copy_is_found(tmp_path):
    folder, older = tmp_path / WRITER, tmp_path / "older"
    make(folder, 20)
    shutil.copytree(folder, older)
    key = AuditKey.load(folder)
    chain = Chain(OsFiles(), folder, GATEWAY, WRITER, stamp, 4000, 1 << 20)
    chain.open()
    for n in range(5):
        chain.append(Event.DEVICE_REFUSED, f"bed-{n}", "mdi", {})
    anchor = chain.checkpoint(key.public, key.sign, "mdi")
    chain.close()
    shutil.rmtree(folder)
    older.rename(folder)
    assert verify(folder, GATEWAY).exit_code == 0
    (finding,) = [f for f in verify(folder, GATEWAY, [anchor]).findings if f.weight == "tamper"]
    assert "older copy" in finding.what


def test_an_anchor_that_is_forged_is_said(good):
    folder, anchors = good
    forged = Checkpoint(GATEWAY, WRITER, anchors[0].seq, "0" * 64, anchors[0].t_utc, anchors[0].key, anchors[0].sig)
    assert "bad" in verify(folder, GATEWAY, [forged]).findings[0].what


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_any_byte_changed_anywhere_is_found(good, data):
    folder, anchors = good
    path = data.draw(st.sampled_from(files_of(folder)))
    text = path.read_bytes()
    at = data.draw(st.integers(0, len(text) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != text[at]))
    kind = data.draw(st.sampled_from(["change", "remove", "insert"]))
    if kind == "change":
        new = text[:at] + bytes([byte]) + text[at + 1 :]
    elif kind == "remove":
        new = text[:at] + text[at + 1 :]
    else:
        new = text[:at] + bytes([byte]) + text[at:]
    if new == text:
        return
    try:
        path.write_bytes(new)
        assert verify(folder, GATEWAY, anchors).exit_code == 3
    finally:
        path.write_bytes(text)


def test_what_was_removed_because_the_room_was_used_up_is_said_and_the_rest_is_good(tmp_path):
    folder = tmp_path / WRITER
    folder.mkdir()
    key = AuditKey.load(folder)
    chain = Chain(OsFiles(), folder, GATEWAY, WRITER, stamp, 2000, 12_000)
    chain.open()
    anchors = []
    for n in range(200):
        chain.append(Event.DEVICE_OPENED, f"bed-{n}", "mdi", {})
        if n % 4 == 3:
            anchors.append(chain.checkpoint(key.public, key.sign, "mdi"))
        assert chain.used < 12_000 + 4_000
    chain.close()
    report = verify(folder, GATEWAY, anchors, key.public)
    assert report.exit_code == 0, report.findings
    assert report.first > 100
    events = [json.loads(line)["event"] for path in files_of(folder) for line in lines(path)]
    assert "audit_full" in events
    files_of(folder)[0].unlink()
    assert verify(folder, GATEWAY, anchors, key.public).exit_code == 3


def test_what_no_checkpoint_covers_is_never_removed(tmp_path):
    folder = tmp_path / WRITER
    chain = Chain(OsFiles(), folder, GATEWAY, WRITER, stamp, 2000, 6_000)
    chain.open()
    for n in range(60):
        chain.append(Event.DEVICE_OPENED, f"bed-{n}", "mdi", {})
    chain.close()
    assert verify(folder, GATEWAY).first == 1
