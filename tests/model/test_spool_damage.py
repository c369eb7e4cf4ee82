"""Small and exhaustive: every cut of the newest segment, every byte of an older one."""

from __future__ import annotations

import copy
import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.message import Message
from gateway.spool import Extent, Spool, SpoolRefused
from gateway.spool.cursor import SLOT_BYTES
from gateway.spool.layout import AT_TYPE, ROUTED
from tests.model.spool_disk import MemoryDisk

ROOT = Path("/spool")
HEADER = 4096
EPOCH = 1_800_000_000  # the first life begins with the clock
HEADER_USED = 104
PAYLOADS = {seq: f"MSH|message {seq}|{'Å' * (seq % 5)}\r".encode() * 3 for seq in range(1, 8)}
IN_OLDER = range(1, 4)
IN_NEWEST = range(4, 8)


def open_spool(disk: MemoryDisk) -> Spool:
    return Spool.open(
        ROOT, gateway="gw", segment_bytes=16384, limit_bytes=10**6, files=disk, clock=lambda: (5, EPOCH * 10**9)
    )


def filled(checkpoint: bool) -> MemoryDisk:
    """Return a disk with messages 1..3 in an older segment and 4..7 in the newest, the process just killed."""
    disk = MemoryDisk()
    for seqs in (IN_OLDER, IN_NEWEST):
        spool = open_spool(disk)
        for seq in seqs:
            _, control_id = spool.next_control_id()
            spool.append(Message(seq, control_id, "t", PAYLOADS[seq]), Extent("bed", seq, seq, 1, seq, seq))
        spool.sync()
        if checkpoint:
            spool.checkpoint()
        disk.kill()
    return disk


def ends(data: bytes, seqs: range) -> dict[int, int]:
    """Return where each message's payload ends, which is where its record ends, found by its bytes."""
    return {seq: data.index(PAYLOADS[seq]) + len(PAYLOADS[seq]) for seq in seqs}


def check_goes_on(disk: MemoryDisk, spool: Spool, expected: set[int]) -> None:
    """What is expected waits, byte for byte; a new message gets a new id; a second open finds the same."""
    assert {m.seq: m.payload for m in spool.unacknowledged()} == {seq: PAYLOADS[seq] for seq in expected}
    seq, control_id = spool.next_control_id()
    assert seq > max(expected, default=0)
    assert control_id == f"gw-{EPOCH + 2}-{seq}"  # the third life
    spool.append(Message(seq, control_id, "t", b"new"), Extent("bed", 9, 9, 1, 9, 9))
    spool.sync()
    losses = spool.losses()
    disk.kill()
    again = open_spool(disk)
    assert [m.seq for m in again.unacknowledged()] == [*sorted(expected), seq]
    assert again.losses() == losses
    assert again.report.quarantined == []
    assert again.report.cut_bytes == 0


def cuts() -> Iterator[int]:
    yield from range(0, HEADER, 97)
    yield from range(HEADER, len(bytes(filled(False).content(_newest(filled(False)))).rstrip(b"\0")) + 1)


def _newest(disk: MemoryDisk) -> Path:
    return disk.paths("/spool/segment-*")[-1]


def _behind_routed(disk: MemoryDisk) -> int:
    """Where the record ends with which the newest segment begins: how far each device was cared for."""
    data = bytes(disk.content(_newest(disk)))
    assert data[HEADER + AT_TYPE] == ROUTED
    return HEADER + int.from_bytes(data[HEADER : HEADER + 4], "little")


@pytest.mark.parametrize("checkpoint", [False, True])
def test_newest_segment_cut_at_every_byte(checkpoint: bool) -> None:
    whole = filled(checkpoint)
    end = ends(bytes(whole.content(_newest(whole))), IN_NEWEST)
    for cut in cuts():
        disk = copy.deepcopy(whole)
        del disk.content(_newest(disk))[cut:]
        spool = open_spool(disk)
        left = {seq for seq in IN_NEWEST if end[seq] <= cut}
        known = [at for at in (HEADER, _behind_routed(whole)) if at <= cut]
        torn = bytes(whole.content(_newest(whole)))[max([HEADER, *known, *(end[seq] for seq in left)]) : cut]
        assert spool.report.cut_bytes == len(torn.rstrip(b"\0")), cut
        gone = [seq for seq in IN_NEWEST if seq not in left]
        # What the cursor knows to have been durable is declared; without it a torn append looks the same.
        assert spool.report.lost == (len(gone) if checkpoint else 0)
        assert [(x.reason, x.first_message, x.last_message) for x in spool.losses()] == (
            [("damaged", gone[0], gone[-1])] if checkpoint and gone else []
        )
        check_goes_on(disk, spool, {*IN_OLDER, *left})


def test_every_byte_of_an_older_segment_flipped() -> None:
    whole = filled(False)
    path = whole.paths("/spool/segment-*")[0]
    end = ends(bytes(whole.content(path)), IN_OLDER)
    for at in (*range(HEADER_USED), *range(HEADER_USED, HEADER, 97), *range(HEADER, max(end.values()))):
        disk = copy.deepcopy(whole)
        data = disk.content(path)
        data[at] ^= 0x10
        spool = open_spool(disk)
        hit = {seq for seq in IN_OLDER if at >= HEADER and at < end[seq] and at >= end.get(seq - 1, HEADER)}
        damaged = at < HEADER_USED or at >= HEADER
        assert spool.report.damaged == damaged, at
        assert [(x.reason, x.messages, x.first_message) for x in spool.losses()] == [("damaged", 1, seq) for seq in hit]
        copies = [bytes(disk.content(copied)) for copied in disk.paths("*.bin")]
        assert len(copies) == damaged
        assert all(copied in bytes(data) and len(copied) <= HEADER for copied in copies)
        check_goes_on(disk, spool, {*IN_OLDER, *IN_NEWEST} - hit)


@pytest.mark.parametrize("fill", [b"\x00", b"\xff", b"\x01\x00\x00\xa5"])
def test_a_whole_segment_destroyed(fill: bytes) -> None:
    disk = filled(False)
    data = disk.content(disk.paths("/spool/segment-*")[0])
    data[:] = (fill * len(data))[: len(data)]
    spool = open_spool(disk)
    assert [(x.messages, x.first_message, x.last_message) for x in spool.losses()] == [(3, 1, 3)]
    check_goes_on(disk, spool, set(IN_NEWEST))


def test_a_segment_gone() -> None:
    disk = filled(True)
    disk.remove(disk.paths("/spool/segment-*")[0])
    spool = open_spool(disk)
    assert [(x.messages, x.first_message, x.last_message) for x in spool.losses()] == [(3, 1, 3)]
    check_goes_on(disk, spool, set(IN_NEWEST))


def test_both_cursor_slots_bad_sends_all_that_is_stored_again() -> None:
    disk = filled(True)
    spool = open_spool(disk)
    for seq in (1, 2, 5):
        spool.ack(seq)
    spool.checkpoint()
    disk.kill()
    disk.content(ROOT / "cursor")[:] = bytes(2 * SLOT_BYTES)
    again = open_spool(disk)
    assert again.report.cursor_slots_bad == 2
    assert [m.seq for m in again.unacknowledged()] == list(PAYLOADS)
    assert again.losses() == []


@pytest.mark.parametrize("slot", [0, 1])
def test_one_cursor_slot_bad_never_looks_like_a_loss(slot: int) -> None:
    """A segment goes only when both slots are beyond it: with either of them alone nothing seems to be missing."""
    disk = filled(True)
    spool = open_spool(disk)
    for seq in (*IN_OLDER, 4):
        spool.ack(seq)
    spool.checkpoint()
    assert len(disk.paths("/spool/segment-*")) == 2
    disk.kill()
    disk.content(ROOT / "cursor")[slot * SLOT_BYTES + 30] ^= 1
    again = open_spool(disk)
    assert again.report.cursor_slots_bad == 1
    assert again.losses() == []
    assert {m.seq for m in again.unacknowledged()} - {4} == {5, 6, 7}


def test_damage_while_running_is_declared_and_stepped_over() -> None:
    disk = filled(False)
    spool = open_spool(disk)
    assert spool.read(2).payload == PAYLOADS[2]
    data = disk.content(disk.paths("/spool/segment-*")[0])
    data[data.index(PAYLOADS[2])] ^= 1
    assert [m.seq for m in spool.unacknowledged()] == [1, 3, 4, 5, 6, 7]
    assert [(x.reason, x.first_message, x.last_message) for x in spool.losses()] == [("damaged", 2, 2)]
    assert spool.losses()[0].extents[0].first_t_ns == EPOCH * 10**9, "the time span comes from its neighbours"
    assert spool.counters.damaged == 1
    assert len(disk.paths("*.bin")) == 1
    with pytest.raises(KeyError):
        spool.read(2)
    assert not spool.ack(2)


@pytest.mark.parametrize(("loaded", "count"), [(True, 2), (False, 3)], ids=["one message", "the whole segment"])
def test_a_short_read_error_loses_nothing(loaded: bool, count: int) -> None:
    disk = filled(False)
    spool = open_spool(disk)
    errors = [OSError(errno.EIO, "Input/output error")] * count  # the whole, then block by block up to the messages

    def before(operation: str) -> None:
        if operation == "read" and errors:
            raise errors.pop()

    if loaded:
        spool.read(1)
    disk.before = before
    assert [m.seq for m in spool.unacknowledged()] == [1, 2, 3, 4, 5, 6, 7]
    assert not errors
    assert spool.losses() == []


def test_a_disk_that_reads_now_and_then_not_stops_the_line_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = filled(False)
    spool = open_spool(disk)
    read = disk.read
    with monkeypatch.context() as patch:  # a message alone reads as zeros, its whole segment is in order
        patch.setattr(disk, "read", lambda fd, size, at: bytes(size) if size == 8192 else read(fd, size, at))
        with pytest.raises(SpoolRefused, match="message 1 can be read at one time"):
            spool.unacknowledged()
    assert [m.seq for m in spool.unacknowledged()] == [1, 2, 3, 4, 5, 6, 7]
    assert spool.losses() == []


def test_a_message_lost_at_the_end_of_a_segment_keeps_its_segment_until_it_is_declared() -> None:
    """Found by the model: the disk is full, so the loss cannot be declared; then the cursor is destroyed, too."""
    disk = filled(True)
    spool = open_spool(disk)
    for seq in (1, 2):
        spool.ack(seq)
    spool.checkpoint()
    disk.kill()
    data = disk.content(disk.paths("/spool/segment-*")[0])
    data[data.index(PAYLOADS[3])] ^= 1
    disk.full = True
    assert [m.seq for m in open_spool(disk).unacknowledged()] == list(IN_NEWEST)
    disk.kill()
    disk.content(ROOT / "cursor")[:] = bytes(2 * SLOT_BYTES)
    disk.full = False
    again = open_spool(disk)
    assert [(x.first_message, x.last_message) for x in again.losses()] == [(3, 3)]


def test_a_segment_that_was_refused_and_comes_back_hides_nothing() -> None:
    """Found by the model: its removal was not durable, and the segment before it had room for a smaller message."""
    disk = filled(False)
    spool = open_spool(disk)
    for size in (3000, 3000, 3000, 10):
        seq, control_id = spool.next_control_id()
        spool.append(Message(seq, control_id, "t", bytes(size)), Extent("bed", seq, seq, 1, seq, seq))
        if size == 3000:
            name = f"segment-00000004-{EPOCH + 2:010d}-{seq + 1:020d}"
    disk.close(disk.open(ROOT / name, create=True))
    spool.sync()
    waiting = spool.unacknowledged()
    assert waiting[-1].payload == bytes(10)
    disk.kill()
    disk.full = False
    again = open_spool(disk)
    assert again.unacknowledged() == waiting
    assert again.losses() == []


def test_the_end_of_a_segment_damaged_while_running_is_one_loss() -> None:
    disk = filled(False)
    spool = open_spool(disk)
    data = disk.content(disk.paths("/spool/segment-*")[0])
    begin = data.index(PAYLOADS[2])
    data[begin:] = b"\xff" * (len(data) - begin)
    assert [m.seq for m in spool.unacknowledged()] == [1, 4, 5, 6, 7]
    assert [(x.first_message, x.last_message, x.messages) for x in spool.losses()] == [(2, 3, 2)]
    assert spool.waiting == 5
    assert len(disk.paths("*.bin")) == 1
