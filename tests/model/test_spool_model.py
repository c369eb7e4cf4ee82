"""The spool against a dumb model, by random actions: crashes, damage at rest, a full disk, clock steps, answers in any
order, messages that are too old.

The model knows only what a user of the spool knows: which messages were promised, which were answered, and which bytes
of which file a test has destroyed. It must never be surprised.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.core.message import Message
from gateway.spool import Extent, Routed, Spool, SpoolRefused
from gateway.spool.cursor import SLOT_BYTES
from tests.model.spool_disk import MemoryDisk

ROOT = Path("/spool")
SEGMENT = 16384
SAMPLES = 10  # in each message
BEFORE_PAYLOAD = 256  # more than what a record holds before its payload here


def check_samples(spool: Spool, waiting: set[int], exact: bool) -> None:
    """The sum of each device holds; what waits is what the waiting messages hold. exact: no loss is to be declared."""
    for device, s in spool.samples.items():
        assert s.recovered + s.appended == s.acked + s.rejected + s.lost + s.waiting, device
        held = sum(SAMPLES for seq in waiting if f"bed-{seq % 3}" == device)
        assert s.waiting == held or (not exact and s.waiting > held)


class SpoolModel(RuleBasedStateMachine):
    """Rules act on both; `agree` compares them after every step."""

    @initialize(limit=st.sampled_from((2, 3, 5, 100)))
    def begin(self, limit: int) -> None:
        self.disk = MemoryDisk()
        self.limit = limit * SEGMENT
        self.now = self.utc = 18 * 10**17
        self.owing = False  # a loss may not be declared yet, for want of space
        self.ids: dict[str, bytes] = {}  # every id ever used, its bytes
        self.sent: dict[int, Message] = {}  # appended, by seq
        self.promised: set[int] = set()  # durable: sync has said so
        self.done: set[int] = set()  # acknowledged or rejected
        self.settled: set[int] = set()  # done before a checkpoint, and the cursor not damaged since
        self.fragile: set[int] = set()  # bytes destroyed: may be lost; silently only behind everything that is left
        self.unledgered: set[int] = set()  # lost; disk full, so the only record of it may be destroyed
        self.start()

    @contextmanager
    def refused(self) -> Iterator[None]:
        """The disk may refuse the block, if it is full."""
        try:
            yield
        except SpoolRefused:
            assert self.disk.full

    def clock(self) -> tuple[int, int]:
        self.now += 10**7
        self.utc += 10**7
        return self.now, self.utc

    def start(self) -> None:
        self.spool = Spool.open(
            ROOT, gateway="gw", segment_bytes=SEGMENT, limit_bytes=self.limit, files=self.disk, clock=self.clock
        )
        self.here: set[int] = set()  # done in this life
        report, counters = self.spool.report, self.spool.counters
        assert report.waiting + report.lost == counters.recovered
        top = self.spool.durable_seq
        assert self.promised <= set(range(1, top + 1)) | self.fragile
        for seq in [seq for seq in self.sent if seq > top]:  # never promised, or destroyed; seq may come again
            del self.sent[seq]
            self.promised.discard(seq)
            self.done.discard(seq)
        self.owing |= self.disk.full

    # ---- rules

    @rule(sizes=st.lists(st.sampled_from((1, 700, 3000, 3000, 3000)), min_size=1, max_size=12), sync=st.booleans())
    def append(self, sizes: list[int], sync: bool) -> None:
        for size in sizes:
            with self.refused():
                self.append_one(size)
        if sync:
            self.sync()

    def append_one(self, size: int) -> None:
        seq, control_id = self.spool.next_control_id()
        assert control_id not in self.ids
        assert seq == max(self.sent, default=seq - 1) + 1
        payload = random.Random(control_id).randbytes(16) * (1 + size // 16)
        message = Message(seq, control_id, "t", payload)
        extent = Extent(f"bed-{seq % 3}", seq * 10, seq * 10 + 9, SAMPLES, seq, seq)
        self.spool.append(message, extent, periodic=seq % 4 > 0)
        self.ids[control_id] = payload
        self.sent[seq] = message
        assert self.spool.routed(extent.device) == Routed(extent.last_seq)

    @rule()
    def sync(self) -> None:
        assert self.spool.sync() == self.spool.durable_seq == max(self.sent, default=self.spool.durable_seq)

    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        seq = data.draw(st.integers(0, max(self.sent, default=0) + 2))
        if self.spool.ack(seq):
            assert seq <= self.spool.durable_seq
            self.done.add(seq)
            self.here.add(seq)

    @rule(n=st.integers(1, 20))
    def ack_oldest(self, n: int) -> None:
        for message in self.spool.unacknowledged(0, n):
            assert self.spool.ack(message.seq)
            self.done.add(message.seq)
            self.here.add(message.seq)

    @rule(data=st.data())
    def reject(self, data: st.DataObject) -> None:
        seq = data.draw(st.integers(1, max(self.sent, default=0) + 1))
        with self.refused():
            if self.spool.reject(seq, "AE: no"):
                line = bytes(self.disk.content(ROOT / "rejected" / "messages.jsonl")).splitlines()[-1]
                assert json.loads(line)["control_id"] == self.sent[seq].control_id
                self.done.add(seq)
                self.here.add(seq)

    @rule(n=st.integers(0, 5), later=st.booleans())
    def expire(self, n: int, later: bool) -> None:
        """One of the oldest is too old, or would be if it were older."""
        for message in self.spool.unacknowledged(0, n)[-1:]:
            with self.refused():
                if self.spool.expire(message.seq, 0 if later else 10**20):
                    assert later
                    assert message not in self.spool.unacknowledged(0, n)
                    assert self.spool.losses()[-1].first_message == message.seq

    @rule(seconds=st.sampled_from((-(10**9), -3600, -1, 1, 3600, 10**8)))
    def step_clock(self, seconds: int) -> None:
        """The wall clock is set, to 1970 at the earliest; the monotonic one is not."""
        self.utc = max(0, self.utc + seconds * 10**9)

    @rule()
    def declare(self) -> None:
        before = len(self.spool.losses())
        with self.refused():
            self.spool.declare_loss(Extent("bed-3", 1, 9, 9, 0, 0), "ring full")
            assert len(self.spool.losses()) == before + 1

    @rule()
    def checkpoint(self) -> None:
        with self.refused():
            self.spool.checkpoint()
            self.settled |= self.here
            self.owing = False

    @rule(full=st.booleans())
    def disk_full(self, full: bool) -> None:
        self.disk.full = full
        self.owing |= full

    @rule()
    def stop_and_start(self) -> None:
        self.sync()
        with self.refused():
            self.spool.close()
        self.start()

    @rule(seed=st.one_of(st.none(), st.integers(0, 2**16)))
    def crash(self, seed: int | None) -> None:
        """Kill the process, or cut the power."""
        if seed is None:
            self.disk.kill()
        else:
            self.disk.cut_power(random.Random(seed))
        self.start()

    # ---- damage at rest: the process is down, the medium changes, the process comes back

    @rule(slots=st.sampled_from(((0,), (1,), (0, 1))), at=st.integers(0, 60))
    def damage_cursor(self, slots: tuple[int, ...], at: int) -> None:
        self.disk.kill()
        cursor = self.disk.content(ROOT / "cursor")
        for slot in slots:
            cursor[slot * SLOT_BYTES + at] ^= 0x40
        self.disk.settle(ROOT / "cursor")
        self.settled = set()
        self.start()

    @precondition(lambda self: self.promised)
    @rule(back=st.integers(0, 6000))
    def cut_tail(self, back: int) -> None:
        path = self.disk.paths("/spool/segment-*")[-1]
        used = len(self.disk.content(path).rstrip(b"\0"))
        self.destroy(path, max(0, used - back), SEGMENT)
        self.disk.kill()
        self.start()

    @precondition(lambda self: self.promised)
    @rule(which=st.integers(0, 99), at=st.integers(), size=st.sampled_from((1, 40, 4000)), running=st.booleans())
    def damage_segment(self, which: int, at: int, size: int, running: bool) -> None:
        paths = self.disk.paths("/spool/segment-*")
        path = paths[which % len(paths)]
        begin = at % (1 + len(self.disk.content(path).rstrip(b"\0")))
        self.destroy(path, begin, begin + size)
        if not running:
            self.disk.kill()
            self.start()

    def destroy(self, path: Path, begin: int, end: int) -> None:
        """Flip bytes of a segment, or cut it there when they reach its end; note whose bytes they were."""
        self.owing |= self.disk.full
        ledger = bytes(self.disk.content(ROOT / "losses.jsonl"))
        for loss in self.spool.losses():
            if loss.encode() not in ledger:
                self.unledgered |= set(range(loss.first_message, loss.last_message + 1))
        data = self.disk.content(path)
        for seq, message in self.sent.items():
            at = data.find(message.payload)
            if at >= 0 and at + len(message.payload) > begin and at - BEFORE_PAYLOAD < end:
                self.fragile.add(seq)
        if end >= len(data):
            del data[begin:]
        else:
            data[begin:end] = bytes(byte ^ 0xFF for byte in data[begin:end])
        self.disk.settle(path)

    # ---- the comparison

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "spool"):
            return
        self.promised |= {seq for seq in self.sent if seq <= self.spool.durable_seq}
        counters = self.spool.counters
        waiting = self.spool.unacknowledged(0, 10**6)
        gone = counters.acked + counters.rejected + counters.lost
        assert counters.recovered + counters.appended == gone + self.spool.waiting
        check_samples(self.spool, {m.seq for m in waiting} | self.sent.keys() - self.promised, not self.owing)
        assert [m.seq for m in waiting] == sorted({m.seq for m in waiting})
        assert not {m.seq for m in waiting} & (self.settled | self.here)
        assert all(self.sent[m.seq] == m == self.spool.read(m.seq) for m in waiting)
        lost = set(self.unledgered)
        for loss in self.spool.losses():
            span = set(range(loss.first_message, loss.last_message + 1)) if loss.messages else set()
            lost |= span
            assert loss.messages <= len(span)
            assert loss.reason in {"full", "damaged", "ring full", "expired"}
            assert loss.reason != "damaged" or span <= self.fragile | (span - self.promised)
        missing = self.promised - self.done - lost - {m.seq for m in waiting}
        assert not missing or self.owing, f"lost in silence: {missing}"
        shown = len(waiting) + len(missing) + len(self.sent.keys() - self.promised)
        assert self.spool.waiting == shown or (self.owing and self.spool.waiting > shown)
        assert 0 <= self.spool.fill <= 1
        used = sum(len(self.disk.content(path).rstrip(b"\0")) for path in self.disk.paths("/spool/segment-*"))
        assert used <= self.limit + SEGMENT, "one more segment than the limit, for loss records"


SpoolModel.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
test_spool_is_the_model = SpoolModel.TestCase
