"""Crash the spool at any operation of its disk, several lives long, and hold it to its promises.

Each seed is one history of up to four lives: append, sync, ack, reject, declare, until a kill or a power cut at a
random disk operation, also inside recovery. The last life is left alone and must account for everything.
A small campaign; the large one and the broken variants are a matter of their own.
"""

from __future__ import annotations

import json
import random
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.core.message import Message
from gateway.spool import Extent, Spool, SpoolRefused
from tests.model.spool_disk import Crash, MemoryDisk

SEEDS = 400
ROOT = Path("/spool")
SEGMENT = 16384


class History:
    """What the world outside has seen of one spool: promises made, messages sent, answers given."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.disk = MemoryDisk()
        self.now = 10**18
        self.limit = self.rng.choice((2, 4, 50)) * SEGMENT
        self.appended: dict[int, tuple[str, bytes]] = {}  # of this life, by seq
        self.accepted: dict[int, tuple[str, bytes]] = {}
        self.ids: dict[str, bytes] = {}  # every id that was ever given to an append, with its bytes
        self.acked: set[int] = set()
        self.acked_now: set[int] = set()  # of this life
        self.settled: set[int] = set()  # acknowledged before a checkpoint that returned
        self.rejected: set[str] = set()
        self.declared = 0
        self.script = [self.append] * 6 + [self.sync] * 2 + [self.send_and_ack] * 4
        self.script += [self.reject, self.declare, self.save]

    def clock(self) -> tuple[int, int]:
        self.now += self.rng.choice((1000, 10**8))
        return self.now, self.now

    def open(self) -> Spool:
        self.appended, self.acked_now = {}, set()
        return Spool.open(
            ROOT, gateway="gw", segment_bytes=SEGMENT, limit_bytes=self.limit, files=self.disk, clock=self.clock
        )

    def life(self, operations: int) -> None:
        """Live until the disk has done `operations`, then crash."""
        self.run(operations)
        if self.rng.random() < 0.4:
            self.disk.kill()
        else:
            self.disk.cut_power(self.rng)

    def run(self, operations: int) -> None:
        left = operations

        def before(_: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash

        self.disk.before = before
        try:
            spool = self.open()
            while True:
                self.step(spool)
        except Crash:
            self.disk.before = lambda _: None

    def step(self, spool: Spool) -> None:
        self.rng.choice(self.script)(spool)

    def append(self, spool: Spool) -> None:
        seq, control_id = spool.next_control_id()
        assert control_id not in self.ids
        payload = self.rng.randbytes(self.rng.choice((10, 300, 2500)))
        self.ids[control_id] = payload
        self.appended[seq] = (control_id, payload)
        extent = Extent("bed", seq, seq, 1, seq, seq)
        spool.append(Message(seq, control_id, "t", payload), extent, periodic=seq % 3 > 0)

    def sync(self, spool: Spool) -> None:
        durable = spool.sync()
        self.accepted |= {seq: what for seq, what in self.appended.items() if seq <= durable}

    def send(self, spool: Spool) -> list[Message]:
        messages = spool.unacknowledged(self.rng.choice((0, spool.durable_seq // 2)), 8)
        assert [m.seq for m in messages] == sorted({m.seq for m in messages})
        for message in messages:
            assert self.ids[message.control_id] == message.payload
            assert message.seq not in self.settled
            self.accepted[message.seq] = (message.control_id, message.payload)  # visible, so it must be durable
        return messages

    def send_and_ack(self, spool: Spool) -> None:
        messages = self.send(spool)
        self.rng.shuffle(messages)
        for message in messages[: self.rng.choice((1, 8))]:
            self.acked.add(message.seq)  # the answer counts from the moment it came, whatever we make of it
            spool.ack(message.seq)
            self.acked_now.add(message.seq)

    def reject(self, spool: Spool) -> None:
        for message in self.send(spool)[:1]:
            spool.reject(message.seq, "AE")
            self.rejected.add(message.control_id)

    def declare(self, spool: Spool) -> None:
        spool.declare_loss(Extent("bed", 1, 3, 3, 0, 0), "ring full")
        self.declared += 1

    def save(self, spool: Spool) -> None:
        spool.checkpoint()
        self.settled |= self.acked_now

    def account(self, spool: Spool) -> None:
        """Everything promised is delivered, or waits unchanged, or is declared; nothing else is claimed."""
        counters = spool.counters
        assert counters.recovered + counters.appended == (
            counters.acked + counters.rejected + counters.lost + spool.waiting
        )
        for s in spool.samples.values():
            assert s.recovered + s.appended == s.acked + s.rejected + s.lost + s.waiting
        waiting = {m.seq: (m.control_id, m.payload) for m in spool.unacknowledged(0, 10**6)}
        losses = spool.losses()
        lost = {seq for loss in losses for seq in range(loss.first_message, loss.last_message + 1) if loss.messages}
        rejected = set()
        for line in bytes(self.disk.content(ROOT / "rejected" / "messages.jsonl")).split(b"\n"):
            with suppress(ValueError):  # half a line, never promised
                rejected.add(json.loads(line)["control_id"])
        assert self.rejected <= rejected
        for seq, what in self.accepted.items():
            assert waiting.get(seq, what) == what
            assert seq in waiting or seq in self.acked or seq in lost or what[0] in rejected, f"{seq} is gone"
        damaged = [loss for loss in losses if loss.reason == "damaged"]
        assert not {s for x in damaged for s in range(x.first_message, x.last_message + 1)} & set(self.accepted)
        assert len({(loss.epoch, loss.number) for loss in losses}) == len(losses)
        assert sum(loss.reason == "ring full" for loss in losses) >= self.declared


def live(seed: int) -> History:
    """Return the history of this seed, accounted for."""
    history = History(seed)
    for _ in range(history.rng.randint(1, 4)):
        history.life(history.rng.choice((5, 40, 200, 1000)))
    spool = history.open()
    history.account(spool)
    for _ in range(30):
        history.step(spool)
    history.account(spool)
    spool.close()
    again = history.open()
    assert again.report.cut_bytes == 0
    history.account(again)
    return history


@pytest.mark.parametrize("block", range(8))
def test_no_crash_breaks_a_promise(block: int) -> None:
    promised = 0
    for seed in range(block * SEEDS // 8, (block + 1) * SEEDS // 8):
        promised += len(live(seed).accepted)
    assert promised > 500, "the histories must be worth something"


def test_crash_at_every_operation_of_one_script() -> None:
    """Small and exhaustive: the first n disk operations of one history, then each kind of end, for every n."""
    for n in range(160):
        for end in (MemoryDisk.kill, MemoryDisk.cut_power):
            history = History(7)
            history.run(n)
            end(history.disk)
            spool = history.open()
            history.account(spool)
            spool.close()


@pytest.mark.parametrize("names_survive", [False, True])
def test_what_a_recovery_acts_upon_is_durable(names_survive: bool) -> None:
    """Kill, recover, and then the power goes: nothing that the recovery has read, and perhaps sent, may be gone."""
    for n in range(20, 140):
        history = History(n)
        history.script = [history.declare]
        if n % 2:
            history.script += [history.append, history.append, history.send_and_ack, history.save]
        history.run(n)
        history.disk.kill()
        spool = history.open()
        waiting, losses = spool.unacknowledged(0, 10**6), spool.losses()
        history.disk.cut_power(names_survive=names_survive)
        again = history.open()
        assert again.unacknowledged(0, 10**6) == waiting
        assert again.losses() == losses


def test_full_disk_is_survived_by_the_model_itself() -> None:
    """The memory disk refuses as a real one does: otherwise the tests above would prove nothing of faults."""
    disk = MemoryDisk()

    def before(name: str) -> None:
        if name == "allocate":
            raise OSError(28, "No space left on device")

    disk.before = before
    with pytest.raises(SpoolRefused):
        Spool.open(ROOT, gateway="gw", files=disk, clock=lambda: (0, 0))
