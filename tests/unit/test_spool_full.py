"""When there is no room: who goes first, what is said of it, and that a full disk stops nothing for good."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.spool import Extent, OsFiles, Pressure, Spool
from gateway.spool.pressure import Gauge
from tests.unit.spool_rig import SAMPLES, SECOND, SEGMENT, Clock, SmallDisk, Start, append, check_sums, segments


def lost(spool: Spool) -> set[int]:
    """Return the seqs that were declared lost, each once."""
    seqs = [seq for loss in spool.losses() for first, last in loss.spans for seq in range(first, last + 1)]
    assert len(seqs) == len(set(seqs))
    assert len(seqs) == sum(loss.messages for loss in spool.losses())
    return set(seqs)


# ---- the limit


def test_full_drops_the_oldest_segment_and_says_so(start: Start) -> None:
    spool = start(limit=3 * SEGMENT)
    for n in range(60):
        append(spool, 1, size=1000, device=f"bed-{n % 2}")
    spool.sync()
    assert spool.fill > 0.6
    waiting = spool.unacknowledged(0, 100)
    losses = spool.losses()
    assert [loss.reason for loss in losses] == ["full"] * spool.counters.dropped
    assert losses[0].first_message == 1
    assert losses[-1].last_message == waiting[0].seq - 1
    assert sum(loss.messages for loss in losses) == spool.counters.lost == 60 - len(waiting)
    per_device = [extent for loss in losses for extent in loss.extents]
    assert sum(extent.count for extent in per_device) == SAMPLES * spool.counters.lost
    assert {extent.device for extent in losses[0].extents} == {"bed-0", "bed-1"}
    assert losses[0].extents[0].first_seq == 11
    assert {d: s.lost for d, s in spool.samples.items()} == {
        device: sum(e.count for e in per_device if e.device == device) for device in ("bed-0", "bed-1")
    }
    check_sums(spool)


def test_the_limit_holds_across_restarts(start: Start, tmp_path: Path) -> None:
    for _ in range(12):
        spool = start(limit=3 * SEGMENT)
        append(spool, 8, size=1000)
        check_sums(spool)
        spool.close()
        assert sum(path.stat().st_size for path in segments(tmp_path)) <= 3 * SEGMENT
    assert len(start(limit=3 * SEGMENT).losses()) > 3


def test_what_is_answered_is_not_lost_when_full(start: Start) -> None:
    spool = start(limit=2 * SEGMENT)
    append(spool, 8, size=1000)
    spool.sync()
    for seq in (1, 3):
        spool.ack(seq)
    spool.reject(4, "AE")
    append(spool, 30, size=1000)
    first = spool.losses()[0]
    assert first.spans[0] == (2, 2)
    assert first.spans[1][0] == 5
    assert first.messages == first.last_message - 1 - 2, "from 2 on, without 3 and 4"
    assert first.extents[0].count == SAMPLES * first.messages
    check_sums(spool)


def test_alerts_outlive_the_values_around_them(start: Start) -> None:
    """Every fifth message is an alert. Values go, oldest first; alerts stay, with id and bytes, in order."""
    spool = start(limit=4 * SEGMENT)
    sent = [append(spool, 1, size=800, periodic=n % 5 > 0)[0] for n in range(120)]
    spool.sync()
    waiting = spool.unacknowledged(0, 999)
    assert waiting == [m for m in sent if m in waiting], "in order, byte for byte"
    alerts = sent[::5]
    assert [m for m in waiting if m in alerts] == alerts
    gone = lost(spool)
    assert gone == {m.seq for m in sent} - {m.seq for m in waiting}
    assert len(gone) > 40
    assert max(gone) < min(m.seq for m in waiting if m not in alerts), "the oldest of the values"
    assert spool.counters.carried >= len([m for m in alerts if m.seq < max(gone)])
    check_sums(spool)
    spool.close()
    again = start(limit=4 * SEGMENT)
    assert again.unacknowledged(0, 999) == waiting
    assert lost(again) == gone
    for message in waiting:
        assert again.ack(message.seq)
        check_sums(again)
    assert again.samples["bed"].waiting == again.waiting == 0


def test_when_nothing_periodic_is_left_the_oldest_of_all_go(start: Start) -> None:
    spool = start(limit=3 * SEGMENT)
    append(spool, 4, size=1000)
    sent = append(spool, 80, size=1000, periodic=False)
    spool.sync()
    waiting = spool.unacknowledged(0, 999)
    assert waiting == sent[-len(waiting) :], "the newest of them, without a hole"
    assert 10 < len(waiting) < 40
    assert lost(spool) == set(range(1, waiting[0].seq))
    check_sums(spool)


def test_an_alert_that_was_carried_over_and_is_damaged_then_is_declared(start: Start, tmp_path: Path) -> None:
    spool = start(limit=3 * SEGMENT)
    alert = append(spool, 1, size=500, periodic=False)[0]
    append(spool, 40, size=1000)
    spool.sync()
    assert spool.unacknowledged(0, 1) == [alert]
    spool.close()
    (home,) = (path for path in segments(tmp_path) if alert.payload in path.read_bytes())
    data = bytearray(home.read_bytes())
    data[data.index(alert.payload) + 100] ^= 1
    home.write_bytes(data)
    again = start(limit=3 * SEGMENT)
    assert alert not in again.unacknowledged(0, 999)
    assert again.losses()[-1].spans == ((1, 1),)
    assert again.losses()[-1].extents[0].device == ""
    check_sums(again)


def test_more_alerts_than_the_cursor_can_name_are_not_carried(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is carried over must be told apart from what is lost, without its segment: the cursor has room for that."""
    monkeypatch.setattr("gateway.spool.fullness.MOST_RANGES", 12)
    spool = start(limit=4 * SEGMENT)
    for n in range(200):
        append(spool, 1, size=600, periodic=n % 2 > 0)
    spool.sync()
    waiting = {m.seq for m in spool.unacknowledged(0, 999)}
    assert lost(spool) == set(range(1, 201)) - waiting
    check_sums(spool)
    spool.close()
    again = start(limit=4 * SEGMENT)
    assert {m.seq for m in again.unacknowledged(0, 999)} == waiting
    assert lost(again) == set(range(1, 201)) - waiting


# ---- pressure


def test_pressure_has_levels_that_do_not_flap() -> None:
    gauge = Gauge()
    fills = [0.1, 0.7, 0.66, 0.64, 0.84, 0.85, 0.81, 0.79, 0.86, 0.1]
    names = ["OK", "SOFT", "SOFT", "OK", "SOFT", "THIN", "THIN", "SOFT", "THIN", "OK"]
    assert [gauge.read(fill, False).name for fill in fills] == names
    assert gauge.read(0.1, True) is Pressure.FULL
    assert gauge.read(0.1, False) is Pressure.OK


def test_pressure_rises_before_anything_is_lost_and_falls_when_it_is_sent(start: Start, clock: Clock) -> None:
    spool = start(limit=20 * SEGMENT)
    seen = [spool.pressure]
    while spool.counters.lost == 0:
        append(spool, 1, size=1000)
        if spool.pressure != seen[-1]:
            seen.append(spool.pressure)
    assert seen == [Pressure.OK, Pressure.SOFT, Pressure.THIN, Pressure.FULL]
    spool.sync()
    for message in spool.unacknowledged(0, 999):
        spool.ack(message.seq)
    for _ in range(2):
        clock.now += 2 * SECOND
        spool.tick()
    assert spool.pressure is Pressure.OK


# ---- a disk without space


def test_a_full_disk_gives_up_the_oldest_values_and_the_line_goes_on(start: Start, disk: SmallDisk) -> None:
    spool = start()
    append(spool, 60, size=1000)
    disk.space = 0
    sent = [m for n in range(60) for m in append(spool, 1, size=1000, periodic=n % 6 > 0)]
    spool.sync()
    assert spool.pressure is Pressure.FULL
    waiting = spool.unacknowledged(0, 999)
    assert waiting[-1] == sent[-1]
    alerts = sent[::6]
    assert [m for m in waiting if m in alerts] == alerts, "no alert is lost"
    assert lost(spool) == set(range(1, 121)) - {m.seq for m in waiting}
    assert len(lost(spool)) > 20
    check_sums(spool)


def test_when_the_disk_has_space_again_nothing_more_is_lost(start: Start, disk: SmallDisk, clock: Clock) -> None:
    spool = start()
    append(spool, 40, size=1000)
    disk.space = 0
    append(spool, 40, size=1000)
    before = spool.counters.lost
    assert before
    disk.space = None
    clock.now += SECOND
    spool.tick()
    assert spool.pressure is Pressure.OK
    append(spool, 40, size=1000)
    assert spool.counters.lost == before


def test_a_full_disk_does_not_keep_what_waits_from_being_sent(start: Start, disk: SmallDisk) -> None:
    spool = start()
    messages = append(spool, 40, size=1000)
    spool.close()
    disk.space = 0
    spool = start()
    assert spool.unacknowledged(0, 99) == messages
    new = append(spool)[0]
    assert spool.sync() == 41, "the spare was reserved before"
    for message in messages:
        assert spool.ack(message.seq)
    spool.close()
    spool = start()
    assert spool.unacknowledged() == [new]
    check_sums(spool)


def test_without_a_spare_on_a_full_disk_what_waits_is_sent_and_the_line_goes_on(
    start: Start, disk: SmallDisk, tmp_path: Path
) -> None:
    spool = start()
    append(spool, 60, size=1000)
    spool.close()
    (tmp_path / "spool" / "spare").unlink()
    disk.space = 0
    spool = start()
    assert len(spool.unacknowledged(0, 99)) == 60
    spool.tick()
    for message in spool.unacknowledged(0, 30):
        assert spool.ack(message.seq)
    spool.checkpoint()
    append(spool)
    assert spool.sync() == 61, "what was answered has made the space"
    check_sums(spool)


def test_ten_thousand_losses_can_be_declared_on_a_full_disk(tmp_path: Path, disk: SmallDisk, clock: Clock) -> None:
    """Reserved beforehand: nothing on the disk grows, the ledger neither."""
    spool = Spool.open(tmp_path / "spool", gateway="gw", files=disk, clock=clock)
    append(spool, 100)
    spool.sync()
    disk.space = 0
    disk.sync = lambda fd: None  # type: ignore[method-assign]  # 10,000 of them would measure the disk
    for n in range(10_000):
        spool.declare_loss(Extent(f"bed-{n % 10}", n, n + 49, 50, 10**18, 10**18 + 1), "ring full")
    assert (tmp_path / "spool" / "losses.jsonl").read_bytes() == b""
    assert len(spool.losses()) == 10_000
    assert spool.declared["bed-3"] == 50 * 1000
    assert spool.counters.lost == 0, "these samples were in no message"
    assert len(segments(tmp_path)) == 1
    disk.space = None
    spool.checkpoint()
    assert (tmp_path / "spool" / "losses.jsonl").read_bytes().count(b"\n") == 10_000


def test_a_segment_stays_until_its_losses_are_in_the_ledger(start: Start, disk: SmallDisk, tmp_path: Path) -> None:
    spool = start()
    disk.space = 0
    spool.declare_loss(Extent("bed", 1, 1, 1, 0, 0), "ring full")
    assert (tmp_path / "spool" / "losses.jsonl").read_bytes() == b""
    for name in ("allocate", "truncate", "remove"):  # only the side files cannot grow
        setattr(disk, name, getattr(OsFiles, name).__get__(disk))
    messages = append(spool, 60, size=1000)
    spool.sync()
    for message in messages:
        spool.ack(message.seq)
    spool.checkpoint()
    assert len(segments(tmp_path)) == 2
    disk.space = None
    spool.checkpoint()
    assert len(segments(tmp_path)) == 1
    assert (tmp_path / "spool" / "losses.jsonl").read_bytes().count(b"\n") == 1


def test_losses_outlive_their_segment_when_the_ledger_cannot_grow(start: Start, disk: SmallDisk) -> None:
    """The segment would be pinned for ever, and a pinned segment on a full disk would be a stuck line."""
    spool = start()
    append(spool, 30, size=1000)
    disk.space = 0
    spool.declare_loss(Extent("vent", 1, 1, 1, 0, 0), "ring full")
    append(spool, 100, size=1000)
    spool.sync()
    losses = {(loss.number, loss.reason) for loss in spool.losses()}
    assert (1, "ring full") in losses
    spool.close()
    disk.space = None
    again = start()
    assert {(loss.number, loss.reason) for loss in again.losses()} == losses
    assert len(again.losses()) == len(losses), "recorded twice, told once"
    check_sums(again)
