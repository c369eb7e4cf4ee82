"""F5: files of a spool damaged at random.

A gateway always starts, loses what was touched and nothing else, says so, and never sends a wrong byte.
MDI_FAULTS_SCALE=nightly does 2,000 spools; each seed is one of them.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from gateway.core.message import Message
from gateway.spool import Extent, Spool
from gateway.spool.layout import decode_message, parse_name
from gateway.spool.scan import scan
from tests.faults.evidence import scaled
from tests.model.figures import tell
from tests.model.spool_disk import MemoryDisk

ROOT = Path("/spool")

CAMPAIGN = scaled(200, 2000)


class Damaged:
    """A spool with everything in it: several lives, alerts carried over, answers, losses, rejected messages; then files
    of it damaged by chance."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.disk = MemoryDisk()
        self.limit = self.rng.choice((4, 6, 99)) * 16384
        self.sent: dict[str, Message] = {}
        for _ in range(self.rng.randint(1, 3)):
            spool = self.open()
            self.fill(spool)
            for _ in range(2):  # both slots of the cursor know all of it
                self.let_one_go(spool)
                spool.checkpoint()
            self.waiting = {m.control_id: m for m in spool.unacknowledged(0, 9999)}
            spool.close()
            self.disk.kill()

    def open(self) -> Spool:
        return Spool.open(
            ROOT,
            gateway="gw",
            segment_bytes=16384,
            limit_bytes=self.limit,
            compression=self.rng.choice(("none", "zstd")),
            files=self.disk,
            clock=lambda: (5, 77 * 10**9),
        )

    def fill(self, spool: Spool) -> None:
        for _ in range(self.rng.randint(5, 60)):
            seq, control_id = spool.next_control_id()
            payload = f"MSH|{control_id}|".encode() + self.rng.randbytes(self.rng.choice((10, 500, 2500)))
            self.sent[control_id] = Message(seq, control_id, "t", payload)
            extent = Extent(f"bed-{seq % 3}", seq, seq + 1, 2, seq, seq)
            spool.append(self.sent[control_id], extent, periodic=self.rng.random() < 0.7)
        spool.sync()
        for message in spool.unacknowledged(0, self.rng.randint(0, 8)):
            if self.rng.random() < 0.3:
                spool.reject(message.seq, "AE")
            else:
                spool.ack(message.seq)
        spool.declare_loss(Extent("bed-0", 1, 2, 2, 0, 0), "ring full")

    def let_one_go(self, spool: Spool) -> None:
        for message in spool.unacknowledged(0, 1):
            spool.ack(message.seq)

    def harm(self) -> tuple[set[str], bool]:
        """Damage some files; return the waiting messages of which a record was not touched, and whether it was the
        cursor."""
        files = self.disk.paths("/spool/segment-*") * 3 + self.disk.paths("*.jsonl") + [ROOT / "spare"]
        chosen = [ROOT / "cursor"] if self.rng.random() < 0.2 else self.rng.sample(files, self.rng.randint(1, 3))
        before = self.records()
        for path in chosen:
            self._harm_one(self.disk.content(path))
            self.disk.settle(path)
        return {
            control_id
            for control_id in self.waiting
            if any(self.disk.content(path)[at : at + len(was)] == was for path, at, was in before[control_id])
        }, chosen == [ROOT / "cursor"]

    def records(self) -> dict[str, list[tuple[Path, int, bytes]]]:
        """Return the records of each message: file, offset, bytes."""
        found: dict[str, list[tuple[Path, int, bytes]]] = {}
        for path in self.disk.paths("/spool/segment-*"):
            identity = parse_name(path.name)
            assert identity
            data = bytes(self.disk.content(path))
            seen = scan(data, identity, identity.salt("gw"))
            for at in {*seen.offsets, *seen.carried.values()} - {0}:
                record = data[at : at + int.from_bytes(data[at : at + 4], "little")]
                found.setdefault(decode_message(record, "gw").message.control_id, []).append((path, at, record))
        return found

    def _harm_one(self, data: bytearray) -> None:
        rng, size = self.rng, len(data)
        at = rng.randrange(size + 1)
        length = rng.choice((1, 8, 100, 5000))
        match rng.choice(("flip", "zero", "truncate", "extend", "swap", "junk")):
            case "flip" if size:
                for _ in range(rng.choice((1, 3, 50))):
                    data[rng.randrange(size)] ^= 1 << rng.randrange(8)
            case "zero":
                data[at : at + length] = bytes(len(data[at : at + length]))
            case "truncate":
                del data[at:]
            case "extend":
                data.extend(rng.choice((bytes(length), rng.randbytes(length))))
            case "swap":
                other = rng.randrange(size + 1)
                one, two = bytes(data[at : at + length]), bytes(data[other : other + length])
                data[other : other + len(one)] = one[: len(data[other : other + len(one)])]
                data[at : at + len(two)] = two[: len(data[at : at + len(two)])]
            case _:
                data[at : at + length] = rng.randbytes(len(data[at : at + length]))

    def check(self) -> int:
        """Damage, start, and judge; return how many messages were lost to it."""
        untouched, cursor = self.harm()
        spool = self.open()
        waiting = {m.control_id: m for m in spool.unacknowledged(0, 9999)}
        assert all(self.sent[m.control_id].payload == m.payload for m in waiting.values()), "a wrong byte"
        assert untouched <= waiting.keys(), "lost though nothing touched it"
        assert cursor or waiting.keys() <= self.waiting.keys(), "what was done stays done"
        gone = {self.waiting[control_id].seq for control_id in self.waiting.keys() - waiting.keys()}
        new = [loss for loss in spool.losses() if loss.epoch == spool._store.epoch]
        claimed = [seq for loss in new for a, b in loss.spans for seq in range(a, b + 1)]
        assert sorted(claimed) == sorted(gone), "each loss is declared, once, and nothing that is there"
        check_sums(spool)
        ask_again = {m.control_id: m.payload for m in self.resent(spool)}
        assert all(self.sent[c].payload == payload for c, payload in ask_again.items()), "a wrong byte resent"
        for message in spool.unacknowledged(0, 9999):
            assert spool.ack(message.seq)
        check_sums(spool)
        self.disk.kill()
        again = self.open()
        assert again.report.quarantined == []
        assert not [loss for loss in again.losses() if loss.epoch == again._store.epoch and loss.messages]
        return len(gone)

    def resent(self, spool: Spool) -> list[Message]:
        """Have everything that was rejected sent again."""
        path = ROOT / "requests" / "all.json"
        fd = self.disk.open(path, create=True)
        self.disk.write(fd, b'{"every":true}', 0)
        self.disk.close(fd)
        before = spool.next_control_id()[0]
        spool._resender.look()
        spool.sync()
        return spool.unacknowledged(before - 1, 9999)


def check_sums(spool: Spool) -> None:
    for device, s in spool.samples.items():
        assert s.recovered + s.appended == s.acked + s.rejected + s.lost + s.waiting, device


def test_files_damaged_at_random_lose_what_was_touched_and_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    began, hurt, bad = time.monotonic(), 0, []
    for seed in range(CAMPAIGN):
        try:
            hurt += Damaged(seed).check() > 0
        except AssertionError as fault:
            bad.append(f"seed {seed}: {fault}")
    figures = {
        "row": "F5",
        "title": "files damaged at random",
        "target": "always starts, only the touched records are lost, all declared",
        "count": CAMPAIGN,
        "seed": f"0 to {CAMPAIGN - 1}",
        "violations": len(bad),
        "with_records_hurt": hurt,
        "seconds": round(time.monotonic() - began, 1),
    }
    with capsys.disabled():
        tell(figures)
    assert not bad, "\n".join(bad[:20])
    assert hurt > CAMPAIGN / 10, "the damage must be worth something"
