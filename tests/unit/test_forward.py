"""The forwarder with a real ring and a real spool: what goes in comes out once, is declared lost, or waits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from gateway.core.errors import InternalError, ProfileError
from gateway.core.message import Message, Outcome, Verdict
from gateway.core.plan import Plan
from gateway.core.ring import PlanName, RingReader, RingWriter, buffer_size, format_buffer
from gateway.core.sample import SAMPLE, Block, Flag
from gateway.forward import Forwarder, ForwardLimits, ForwardPlan, RingSource
from gateway.lane import Lane, Stream
from gateway.route import Router
from gateway.spool import Extent, Spool, SpoolFull

PLAN = PlanName(b"p" * 32, "vendor/model", "1")
OTHER = PlanName(b"o" * 32, "vendor/model", "2")


@dataclass
class FakeSink:
    """Connected, with room; says what the test tells it to say."""

    counters: None = None
    expires: float = 0.0
    answer: Verdict | None = Verdict.ACCEPT
    window: int = 5
    number: int = 1
    sent: list[Message] = field(default_factory=list)
    said: list[Outcome] = field(default_factory=list)
    under_way: set[str] = field(default_factory=set)

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def state(self) -> str:
        return "connected to a test"

    def session(self) -> int:
        return self.number

    def room(self) -> int:
        return self.window - len(self.under_way)

    def send(self, message: Message) -> None:
        self.sent.append(message)
        self.under_way.add(message.control_id)
        if self.answer is not None:
            self.say(message.control_id, self.answer)

    def say(self, control_id: str, verdict: Verdict) -> None:
        self.said.append(Outcome(control_id, verdict, "" if verdict is Verdict.ACCEPT else "because"))
        if verdict is not Verdict.KEEP:
            self.under_way.discard(control_id)

    def expiry_s(self, topic: str) -> float:
        return self.expires

    def outcomes(self) -> list[Outcome]:
        said, self.said = self.said, []
        return said


class FakeEncoder:
    """One line per sample: readable, and different for each plan."""

    def __init__(self, plan: str) -> None:
        self.plan = plan

    def encode(self, block: Block, control_id: str, now_ns: int) -> bytes:
        if (block["value"] == 666).any():
            raise InternalError("666 cannot be said")
        lines = [[self.plan, *row] for row in zip(block["seq"].tolist(), block["value"].tolist(), strict=True)]
        return json.dumps(lines).encode()


@dataclass
class FakeMetric:
    kind: str = "numeric"


@dataclass
class FakePlanWithDigest:
    metrics: tuple[FakeMetric, ...]
    digest: bytes = b""


class Rig:
    """Ring, spool, sink and forwarder of one or two devices."""

    def __init__(self, path: Path, slots: int = 256, devices: int = 1, rows_per_message: int = 10) -> None:
        self.path = path
        self.sink = FakeSink()
        self.now = 1000.0
        self.buffers = [memoryview(bytearray(buffer_size(slots))) for _ in range(devices)]
        for i, buffer in enumerate(self.buffers):
            format_buffer(buffer, slots, incarnation=i + 1)
        self.writers = [RingWriter(b) for b in self.buffers]
        self.rows_per_message = rows_per_message
        self.limits = ForwardLimits(ack_timeout_s=30, keep_s=5)
        self.interval = 0.0
        self.start()

    def start(self) -> None:
        self.spool = Spool.open(
            self.path / "spool",
            gateway="gw",
            segment_bytes=1 << 16,
            limit_bytes=1 << 20,
            clock=lambda: (int(self.now * 1e9), 0),
        )
        rings = [RingSource(f"port{i}", RingReader(b)) for i, b in enumerate(self.buffers)]
        lanes = {i: Lane(f"device{i}") for i in range(len(self.buffers))}
        make = ForwardPlan(
            self.compile,  # type: ignore[arg-type]
            self.streams,
        )
        self.forwarder = Forwarder(rings, lanes, make, self.spool, self.sink, self.limits)

    def streams(self, _source: int, plan: Plan, _name: PlanName, _note: object) -> list[Stream]:
        encoder = FakeEncoder(plan.digest[:1].decode())
        return [Stream(frozenset({"numeric"}), Router([self.interval]), encoder, "topic", self.rows_per_message)]

    def compile(self, name: PlanName) -> FakePlanWithDigest:
        if name.firmware == "refused":
            raise ProfileError("firmware refused")
        return FakePlanWithDigest((FakeMetric(),), name.digest if name.firmware != "changed" else b"?" * 32)

    def publish(self, *values: float, device: int = 0, plan: PlanName = PLAN, t: int = 1) -> bool:
        block = np.zeros(len(values), SAMPLE)
        block["value"], block["source"], block["t_ns"] = values, device, t
        return self.writers[device].publish(block, self.writers[device].add_plan(plan))

    def step(self, seconds: float = 0.1) -> None:
        self.now += seconds
        self.forwarder.step(self.now, int(self.now * 1e9))

    def steps(self, n: int = 5) -> None:
        for _ in range(n):
            self.step()

    def values(self) -> list[float]:
        """Values of the messages sent, each control id once, in order."""
        first = {m.control_id: m.payload for m in self.sink.sent}
        for message in self.sink.sent:
            assert first[message.control_id] == message.payload  # same id, same bytes
        return [value for payload in first.values() for _, _, value in json.loads(payload)]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.spool.close()


def test_everything_arrives_once_in_order_and_is_let_go(rig: Rig) -> None:
    for start in range(0, 100, 20):
        rig.publish(*range(start, start + 20))
    rig.steps(10)
    assert rig.values() == list(range(100))
    assert rig.forwarder.waiting == 0
    assert rig.writers[0].waiting == 0
    assert rig.forwarder.counters.accepted == rig.forwarder.counters.messages == 10


def test_nothing_is_released_or_sent_before_it_is_synced(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> int:
        raise SpoolFull("no space left")

    monkeypatch.setattr(rig.spool, "sync", full)
    rig.publish(1, 2, 3)
    rig.steps(3)
    assert rig.sink.sent == []
    assert rig.writers[0].waiting == 4
    monkeypatch.undo()
    rig.steps(2)
    assert rig.values() == [1, 2, 3]
    assert rig.writers[0].waiting == 0


def test_silence_is_answered_with_the_same_bytes(rig: Rig) -> None:
    rig.sink.answer = None
    rig.publish(1)
    rig.steps(3)
    assert len(rig.sink.sent) == 1
    rig.step(31)
    assert len(rig.sink.sent) == 2
    rig.sink.say(rig.sink.sent[0].control_id, Verdict.ACCEPT)
    rig.steps(2)
    assert rig.forwarder.waiting == 0
    assert rig.values() == [1]


def test_a_full_window_of_silence_is_still_sent_again(rig: Rig) -> None:
    rig.sink.answer = None
    for value in range(10):
        rig.publish(value)
        rig.step()
    assert len(rig.sink.sent) == rig.sink.window
    rig.step(31)
    assert len(rig.sink.sent) == 2 * rig.sink.window


def test_a_new_session_gets_everything_unanswered_in_order(rig: Rig) -> None:
    rig.sink.answer = None
    for value in range(4):
        rig.publish(value)
        rig.step()
    before = [m.control_id for m in rig.sink.sent]
    rig.sink.number += 1
    rig.step()
    assert [m.control_id for m in rig.sink.sent[4:]] == before


def test_keep_means_later(rig: Rig) -> None:
    rig.sink.answer = Verdict.KEEP
    rig.publish(1)
    rig.steps(10)
    assert len(rig.sink.sent) == 1
    rig.sink.answer = Verdict.ACCEPT
    rig.step(5)
    rig.steps(2)
    assert rig.forwarder.waiting == 0
    assert rig.forwarder.counters.kept == 1


def test_reject_goes_to_the_side_file_and_the_line_goes_on(rig: Rig) -> None:
    rig.sink.answer = Verdict.REJECT
    rig.publish(1)
    rig.steps(2)
    rig.sink.answer = Verdict.ACCEPT
    rig.publish(2)
    rig.steps(3)
    assert rig.forwarder.waiting == 0
    assert (rig.forwarder.counters.rejected, rig.forwarder.counters.accepted) == (1, 1)
    (line,) = (rig.path / "spool" / "rejected" / "messages.jsonl").read_text().splitlines()
    assert "because" in line


def test_an_answer_that_nobody_asked_for_changes_nothing(rig: Rig) -> None:
    rig.sink.answer = None
    rig.publish(1)
    rig.steps(2)
    rig.sink.said.append(Outcome("somebody-else-1", Verdict.ACCEPT))
    rig.step()
    assert rig.forwarder.waiting == 1
    assert rig.forwarder.counters.outcomes_unknown == 1


def test_a_full_ring_is_a_declared_loss_of_the_right_size(rig: Rig) -> None:
    made = 0
    while rig.publish(*range(made, made + 30)):
        made += 30
    lost = 30
    while not rig.publish(*range(5)):
        lost += 5
    rig.steps(10)
    rig.publish(1000)
    rig.steps(10)
    assert sum(e.count for loss in rig.spool.losses() for e in loss.extents) == rig.forwarder.counters.rows_lost == lost
    assert len(rig.values()) == made + 5 + 1


def test_after_a_crash_between_sync_and_release_nothing_comes_twice(rig: Rig) -> None:
    rig.sink.answer = None
    rig.publish(1, 2, 3)
    rig.forwarder.rings[0].reader.release = lambda: None  # type: ignore[method-assign]  # dies before it
    rig.step()
    rig.spool.close()
    rig.publish(4)
    rig.sink.answer = Verdict.ACCEPT
    rig.sink.under_way.clear()
    rig.start()
    rig.steps(5)
    assert rig.values() == [1, 2, 3, 4]
    assert rig.forwarder.counters.rows_again == 3
    assert rig.writers[0].waiting == 0


def test_a_ring_made_anew_is_read_from_its_start_and_marked(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.publish(1, 2, 3)
    rig.steps(3)
    rig.spool.close()
    format_buffer(rig.buffers[0], 256, incarnation=99)
    rig.writers = [RingWriter(rig.buffers[0])]
    rig.start()
    seen: list[Block] = []
    encode = FakeEncoder.encode
    monkeypatch.setattr(FakeEncoder, "encode", lambda self, block, *a: (seen.append(block), encode(self, block, *a))[1])
    rig.publish(4, 5)
    rig.step()
    assert rig.values() == [1, 2, 3, 4, 5]
    assert [bool(f & Flag.AFTER_GAP) for f in seen[0]["flags"]] == [True, False]


@pytest.mark.parametrize("firmware", ["changed", "refused"])
def test_a_plan_that_cannot_be_reproduced_blocks_its_ring_only(tmp_path: Path, firmware: str) -> None:
    rig = Rig(tmp_path, devices=2)
    rig.publish(1, device=0)
    rig.publish(7, device=0, plan=PlanName(b"x" * 32, "vendor/model", firmware))
    rig.publish(8, device=0)
    rig.publish(2, device=1)
    rig.steps(5)
    assert sorted(rig.values()) == [1, 2]
    assert "cannot be reproduced" in rig.forwarder.rings[0].blocked
    assert rig.writers[0].waiting == 4  # the refused block and what came after it
    assert rig.forwarder.counters.refused_plans == 1
    rig.spool.close()


def test_samples_of_two_plans_are_encoded_each_with_its_own(rig: Rig) -> None:
    rig.publish(1, 2)
    rig.publish(3, plan=OTHER)
    rig.steps(4)
    lines = [line for message in rig.sink.sent for line in json.loads(message.payload)]
    assert [(plan, value) for plan, _, value in lines] == [("p", 1), ("p", 2), ("o", 3)]


def test_what_cannot_be_encoded_is_declared_and_the_rest_goes_on(rig: Rig) -> None:
    rig.publish(666)
    rig.step()
    rig.publish(1)
    rig.steps(3)
    assert rig.values() == [1]
    (loss,) = rig.spool.losses()
    assert (loss.reason, loss.extents[0].count) == ("not encodable", 1)


def test_open_windows_are_spooled_at_the_orderly_end(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.interval = 3600.0
    rig.publish(1)
    rig.publish(2)
    rig.steps(3)
    assert rig.sink.sent == []
    rig.forwarder.flush(int(rig.now * 1e9))
    rig.steps(2)
    assert rig.values() == [2]
    rig.spool.close()


def test_a_loss_that_cannot_be_declared_yet_holds_the_ring_and_is_declared_later(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(extent: object, reason: str) -> None:
        raise SpoolFull("no space left")

    monkeypatch.setattr(rig.spool, "declare_loss", full)
    rig.publish(666)
    rig.steps(3)
    assert rig.writers[0].waiting == 2
    assert rig.spool.losses() == []
    monkeypatch.undo()
    rig.steps(2)
    assert [loss.reason for loss in rig.spool.losses()] == ["not encodable"]
    assert rig.writers[0].waiting == 0
    assert rig.forwarder.counters.rows_lost == 1


def test_an_answer_is_not_forgotten_while_the_side_file_cannot_be_written(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(seq: int, reason: str) -> bool:
        raise SpoolFull("no space left")

    monkeypatch.setattr(rig.spool, "reject", full)
    rig.sink.answer = Verdict.REJECT
    rig.publish(1)
    rig.steps(3)
    assert (rig.forwarder.waiting, rig.forwarder.counters.rejected) == (1, 0)
    monkeypatch.undo()
    rig.steps(2)
    assert (rig.forwarder.waiting, rig.forwarder.counters.rejected) == (0, 1)


def test_a_message_larger_than_a_segment_goes_in_pieces(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    append = rig.spool.append

    def small(message: Message, extent: Extent) -> None:
        if extent.count > 3:
            raise InternalError("message larger than a segment")
        append(message, extent)

    monkeypatch.setattr(rig.spool, "append", small)
    rig.publish(*range(10))
    rig.steps(5)
    assert rig.values() == list(range(10))
    assert rig.forwarder.counters.rows_lost == 0


def test_a_disk_that_does_not_read_now_stops_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(after: int, n: int) -> list[Message]:
        raise SpoolFull("cannot read")

    monkeypatch.setattr(rig.spool, "unacknowledged", refused)
    rig.publish(1)
    rig.steps(3)
    monkeypatch.undo()
    rig.steps(3)
    assert rig.values() == [1]
