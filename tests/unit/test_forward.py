"""The forwarder with a real ring and a real spool: what goes in comes out once, is declared lost, or waits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import DeliveryError, InternalError
from gateway.core.message import Message, Outcome, Verdict
from gateway.core.ring import RingWriter
from gateway.core.ring_layout import PlanName, format_buffer
from gateway.core.sample import Block, Flag
from gateway.forward import FEW_ROWS
from gateway.spool import Extent, SpoolFull
from tests.unit.forward_rig import OTHER, FakeEncoder, Rig


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
    rig.buffers[0][:] = bytes(len(rig.buffers[0]))
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

    def small(message: Message, extent: Extent, *more: Any) -> None:
        if extent.count > 3:
            raise InternalError("message larger than a segment")
        append(message, extent, *more)

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


def test_a_babbling_device_waits_until_the_others_are_sent(tmp_path: Path) -> None:
    """Device 0 has said more than a monitor says in seconds; what device 1 said is not kept waiting for it."""
    rig = Rig(tmp_path, devices=2, rows_per_message=1000)
    babble = list(range(2 * FEW_ROWS))
    rig.publish(*babble, device=0)
    rig.publish(1, device=1)
    rig.step()
    assert rig.values() == [1, *babble]
    assert [len(json.loads(message.payload)) for message in rig.sink.sent] == [1, len(babble)]
    assert all(writer.waiting == 0 for writer in rig.writers)
    rig.steps(2)
    assert rig.forwarder.waiting == 0


def test_what_is_stored_before_a_babbling_device_does_not_come_twice_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ring is released as far as it is stored: of the babbling device nothing is, of the other all."""
    rig = Rig(tmp_path, devices=2, rows_per_message=1000)
    rig.publish(*range(2 * FEW_ROWS), device=0)
    rig.publish(1, device=1)
    syncs = iter([True])

    def sync_once(sync: Callable[[], None] = rig.spool.sync) -> None:
        if not next(syncs, False):
            raise DeliveryError("no space")
        sync()

    monkeypatch.setattr(rig.spool, "sync", sync_once)
    rig.step()
    assert rig.values() == [1]
    assert rig.writers[0].waiting == 2 * FEW_ROWS + 1
    assert rig.writers[1].waiting == 0
    monkeypatch.undo()
    rig.spool.close()
    rig.sink.under_way.clear()
    rig.start()
    rig.steps(3)
    assert sorted(rig.values()) == sorted([1.0, *range(2 * FEW_ROWS)])
