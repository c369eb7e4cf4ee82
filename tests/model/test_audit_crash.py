"""A crash at any moment leaves an audit log that verifies and has each entry that was said to be written."""

import contextlib
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.security.audit import Event
from gateway.security.audit.chain import Chain
from gateway.security.audit.keys import MemoryKey
from gateway.security.audit.verify import Report, Weight, verify
from tests.model.spool_disk import Crash, MemoryDisk

FOLDER = Path("/state/audit/run")
LIMITS = (1500, 9000)


def stamp() -> dict:
    return {"t_utc": "2026-01-01T00:00:00.000000Z", "t_mono": 1, "clock": "synchronised", "boot_id": "b"}


def open_chain(disk: MemoryDisk) -> Chain:
    chain = Chain(disk, FOLDER, "gw-1", "run", stamp, *LIMITS)
    chain.open()
    return chain


def work(disk: MemoryDisk, key: MemoryKey, done: list[str], anchors: list, name: str, steps: int = 12) -> None:
    """Write; `done` has the subjects of what was said to be durable."""
    chain = open_chain(disk)
    for n in range(steps):
        subject = f"{name}-{n}"
        chain.append(Event.DEVICE_OPENED, subject, "mdi", {"port": "p"})
        done.append(subject)
        if n % 4 == 3:
            anchors.append(chain.checkpoint(key.public, key.sign, "mdi"))
    chain.close()


def judge(disk: MemoryDisk, folder: Path, anchors: list) -> tuple[Report, list[dict]]:
    """Lay the disk's files out for `verify`."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    entries = []
    for path in disk.paths("/state/audit/run/*"):
        (folder / path.name).write_bytes(disk.content(path))
        if path.suffix == ".jsonl":
            entries += [json.loads(line) for line in disk.content(path).splitlines()]
    return verify(folder, "gw-1", anchors), entries


def check(disk: MemoryDisk, folder: Path, done: list[str], anchors: list) -> None:
    open_chain(disk).close()  # the next start recovers
    report, entries = judge(disk, folder, anchors)
    assert not report.tampered, report.findings
    removed = max((e["facts"]["last"] for e in entries if e["event"] == "audit_full"), default=0)
    subjects = {e["subject"] for e in entries}
    missing = [subject for subject in done if subject not in subjects]
    assert not missing or removed, missing
    assert done[len(missing) :] == [subject for subject in done if subject in subjects]  # only the oldest went
    torn = [e for e in entries if e["event"] == "audit_torn"]
    assert len(torn) == sum(f.weight is Weight.FINDING for f in report.findings)


def operations(disk: MemoryDisk, key: MemoryKey) -> int:
    count = 0

    def before(_: str) -> None:
        nonlocal count
        count += 1

    disk.before = before
    work(disk, key, [], [], "a")
    disk.before = lambda _: None
    return count


KEY = MemoryKey()


@pytest.mark.parametrize("power", [False, True])
def test_a_crash_at_each_operation(tmp_path, power):
    total = operations(MemoryDisk(), KEY)
    for at in range(total):
        disk, done, anchors = MemoryDisk(), [], []
        left = at

        def before(_: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash

        disk.before = before
        with contextlib.suppress(Crash):
            work(disk, KEY, done, anchors, "a")
        disk.before = lambda _: None
        if power:
            disk.cut_power(random.Random(at))
        else:
            disk.kill()
        check(disk, tmp_path / "run", done, anchors)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), crashes=st.lists(st.tuples(st.integers(1, 120), st.booleans()), max_size=6))
def test_crash_after_crash(tmp_path_factory, seed, crashes):
    rng, disk, done, anchors = random.Random(seed), MemoryDisk(), [], []
    for life, (steps, power) in enumerate(crashes):
        left = steps

        def before(_: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash

        disk.before = before
        disk.short_write = rng.random() < 0.3
        with contextlib.suppress(Crash):
            work(disk, KEY, done, anchors, f"life{life}")
        disk.before = lambda _: None
        disk.cut_power(rng) if power else disk.kill()
    check(disk, tmp_path_factory.mktemp("crash") / "run", done, anchors)


def test_each_byte_of_a_torn_write(tmp_path):
    """The last line cut after each of its bytes: cut, recorded, and all before it is there."""
    disk, done, anchors = MemoryDisk(), [], []
    work(disk, KEY, done, anchors, "a", 3)
    path = disk.paths("/state/audit/run/*.jsonl")[-1]
    whole = bytes(disk.content(path))
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for size in range(last, len(whole)):
        torn = disk.clone()
        content = torn.content(path)
        del content[size:]
        check(torn, tmp_path / "run", done[:-1], anchors)


def test_a_full_disk_loses_events_and_nothing_else(tmp_path):
    disk, done, anchors = MemoryDisk(), [], []
    chain = open_chain(disk)
    chain.append(Event.START, "", "mdi", {})
    disk.full = True
    for _ in range(3):
        with pytest.raises(OSError):
            chain.append(Event.DEVICE_OPENED, "lost", "mdi", {})
    disk.full = False
    chain.append(Event.DEVICE_OPENED, "kept", "mdi", {})
    chain.close()
    done.append("kept")
    check(disk, tmp_path / "run", done, anchors)
