"""The spool as its user sees it, on the real file system."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

import pytest

from gateway.core.clock import EARLIEST_NS
from gateway.core.errors import InternalError
from gateway.core.message import Message
from gateway.spool import Extent, Routed, Spool
from tests.unit.spool_rig import SECOND, SEGMENT, Clock, Start, append, check_sums, segments

# ---- in and out


def test_a_message_is_visible_when_it_is_synced(start: Start) -> None:
    spool = start()
    messages = append(spool, 3)
    assert spool.unacknowledged() == []
    assert spool.durable_seq == 0
    with pytest.raises(KeyError):
        spool.read(1)
    assert spool.sync() == 3
    assert spool.unacknowledged() == messages
    assert spool.unacknowledged(1, 1) == messages[1:2]
    assert spool.read(2) == messages[1]
    assert [m.control_id for m in messages] == ["gw-1800000000-1", "gw-1800000000-2", "gw-1800000000-3"]


def test_only_the_next_message_can_be_appended(start: Start) -> None:
    spool = start()
    seq, control_id = spool.next_control_id()
    for wrong in (Message(seq + 1, control_id, "t", b""), Message(seq, "gw-1-1", "t", b"")):
        with pytest.raises(InternalError):
            spool.append(wrong, Extent("bed", 1, 1, 1, 0, 0))
    with pytest.raises(InternalError, match="does not fit"):
        spool.append(Message(seq, control_id, "t", bytes(SEGMENT)), Extent("bed", 1, 1, 1, 0, 0))
    assert spool.next_control_id() == (seq, control_id)


def test_acks_in_any_order_and_acks_of_what_is_not_ours(start: Start) -> None:
    spool = start()
    append(spool, 5)
    assert not spool.ack(1), "not durable, so never sent: a foreign ack"
    spool.sync()
    assert [spool.ack(seq) for seq in (4, 2, 2, 6, 0, -1)] == [True, True, False, False, False, False]
    assert [m.seq for m in spool.unacknowledged()] == [1, 3, 5]
    assert (spool.counters.acked, spool.counters.duplicates, spool.counters.foreign) == (2, 1, 4)
    assert spool.waiting == 3
    check_sums(spool)
    assert (spool.samples["bed"].appended, spool.samples["bed"].acked, spool.samples["bed"].waiting) == (50, 20, 30)


def test_reject_leaves_what_a_person_can_read(start: Start, tmp_path: Path) -> None:
    spool = start()
    messages = append(spool, 2)
    spool.sync()
    assert spool.reject(1, "AE 101 required field missing: PID-3")
    assert not spool.reject(1, "again")
    lines = (tmp_path / "spool" / "rejected" / "messages.jsonl").read_text().splitlines()
    assert len(lines) == 1
    line = json.loads(lines[0])
    assert line["control_id"] == messages[0].control_id
    assert line["reason"] == "AE 101 required field missing: PID-3"
    assert line["message"].encode() == messages[0].payload
    assert line["rejected"] == "2027-01-15T08:00:00.000+00:00"
    assert line["extent"]["device"] == "bed"
    assert [m.seq for m in spool.unacknowledged()] == [2]


# ---- life after life


def test_a_restart_keeps_what_waits_and_never_an_id_twice(start: Start) -> None:
    spool = start()
    messages = append(spool, 3)
    spool.sync()
    spool.ack(2)
    spool.close()
    spool = start()
    assert spool.report.waiting == 2
    assert spool.unacknowledged() == [messages[0], messages[2]]
    assert spool.next_control_id() == (4, "gw-1800000001-4")
    assert spool.routed("bed") == Routed(40)
    assert spool.routed("other") is None
    counters = spool.counters
    assert (counters.recovered, counters.appended) == (2, 0)


def test_a_wiped_spool_does_not_use_the_old_ids_again(start: Start, tmp_path: Path, clock: Clock) -> None:
    spool = start()
    used = {m.control_id for m in append(spool, 2)}
    spool.close()
    for path in segments(tmp_path):
        path.unlink()
    (tmp_path / "spool" / "cursor").unlink()
    clock.now = 3600 * SECOND
    spool = start()
    assert not used & {m.control_id for m in append(spool, 2)}


def test_the_epoch_survives_the_loss_of_the_cursor(start: Start, tmp_path: Path) -> None:
    for _ in range(3):
        start().close()
    (tmp_path / "spool" / "cursor").write_bytes(bytes(8192))
    assert start().next_control_id() == (1, "gw-1800000003-1")


def test_two_spools_made_in_1970_never_use_one_id(tmp_path: Path) -> None:
    """A box without a battery starts in 1970: a wiped spool began at the same number as the one before it."""
    begun = set()
    for life in range(20):
        folder = tmp_path / str(life)
        with closing(Spool.open(folder, gateway="gw-1", clock=lambda: (40 * SECOND, 40 * SECOND))) as spool:
            begun.add(spool.next_control_id()[1])
    assert len(begun) == 20
    assert all(0 < int(control_id.split("-")[2]) < EARLIEST_NS // SECOND for control_id in begun)


def test_restarts_leave_no_files_behind(start: Start, tmp_path: Path) -> None:
    spool = start()
    append(spool)
    spool.close()
    for _ in range(10):
        start().close()
    assert len(segments(tmp_path)) == 2, "the one with the message, and the newest"
    assert sum(path.stat().st_size for path in segments(tmp_path)) < 2 * SEGMENT, "what is not needed is given back"


def test_the_cursor_is_saved_once_a_second(start: Start, clock: Clock) -> None:
    spool = start()
    append(spool, 30)
    spool.sync()
    before = spool.counters.checkpoints
    for seq in range(1, 31):
        clock.now += SECOND // 10
        spool.ack(seq)
    assert spool.counters.checkpoints - before == 3
    clock.now += 10 * SECOND
    spool.tick()
    spool.tick()
    assert spool.counters.checkpoints - before == 3, "the last ack was the thirtieth: nothing has moved since"


def test_what_is_done_is_removed(start: Start, tmp_path: Path) -> None:
    spool = start()
    messages = append(spool, 60, size=1000)
    spool.sync()
    assert len(segments(tmp_path)) > 4
    assert spool.fill > 0
    for message in messages:
        spool.ack(message.seq)
    spool.checkpoint()
    assert len(segments(tmp_path)) == 1
    assert spool.fill == 0
    assert spool.waiting == 0


def test_open_files_do_not_grow_with_the_backlog(start: Start, tmp_path: Path) -> None:
    spool = start()
    few = len(os.listdir("/proc/self/fd"))
    append(spool, 500, size=1000)
    spool.sync()
    assert len(segments(tmp_path)) > 30
    assert len(spool.unacknowledged(0, 1000)) == 500
    assert len(os.listdir("/proc/self/fd")) <= few + 2
    spool.close()
    assert len(os.listdir("/proc/self/fd")) < few


# ---- losses


def test_a_declared_loss_is_for_people_and_for_ever(start: Start, tmp_path: Path) -> None:
    spool = start()
    extent = Extent("vent-1", 100, 149, 50, 7, 8)
    spool.declare_loss(extent, "ring full")
    line = json.loads((tmp_path / "spool" / "losses.jsonl").read_text())
    assert line["reason"] == "ring full"
    assert line["extents"] == [
        {"device": "vent-1", "first_seq": 100, "last_seq": 149, "count": 50, "first_t_ns": 7, "last_t_ns": 8}
    ]
    assert spool.counters.declared == 1
    spool.close()
    (loss,) = start().losses()
    assert loss.extents == (extent,)
    assert (loss.messages, loss.first_message, loss.declared) == (0, 0, "2027-01-15T08:00:00.000+00:00")


def test_a_torn_line_in_the_ledger_harms_no_other(start: Start, tmp_path: Path) -> None:
    spool = start()
    spool.declare_loss(Extent("a", 1, 1, 1, 0, 0), "ring full")
    spool.close()
    with (tmp_path / "spool" / "losses.jsonl").open("ab") as ledger:
        ledger.write(b'{"epoch": 17, "numb')
    spool = start()
    spool.declare_loss(Extent("b", 1, 1, 1, 0, 0), "ring full")
    assert [loss.extents[0].device for loss in spool.losses()] == ["a", "b"]
    spool.close()
    assert [loss.extents[0].device for loss in start().losses()] == ["a", "b"]


def test_what_is_answered_does_not_stay_for_ever(tmp_path: Path) -> None:
    """A quiet ward never fills a segment: it is turned over by time, and goes with the last answer in it."""
    clock = Clock()
    spool = Spool.open(
        tmp_path / "spool", gateway="gw", segment_bytes=SEGMENT, limit_bytes=10 * SEGMENT, turn_over_s=3600, clock=clock
    )
    (message,) = append(spool)
    spool.sync()
    (held,) = segments(tmp_path)
    assert spool.ack(message.seq)
    clock.now += SECOND
    spool.tick()  # sees that it is in use
    for _ in range(3):
        clock.now += 1200 * SECOND - 1
        spool.tick()
    assert segments(tmp_path) == [held]
    for _ in range(3):
        clock.now += 2 * SECOND
        spool.tick()
    assert held not in segments(tmp_path)
    assert len(segments(tmp_path)) == 1
    check_sums(spool)
    spool.close()
