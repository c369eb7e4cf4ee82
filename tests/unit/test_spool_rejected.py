"""Rejected messages: told to people whole, and sent again as the same bytes when a person asks for it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.core.message import Message
from gateway.spool import Extent, Routed, Spool
from gateway.spool.rejected import Request, ask
from tests.unit.spool_rig import SAMPLES, SECOND, Clock, SmallDisk, Start, append, check_sums


def lines(tmp_path: Path) -> list[dict[str, object]]:
    text = (tmp_path / "spool" / "rejected" / "messages.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def later(spool: Spool, clock: Clock) -> None:
    clock.now += SECOND
    spool.tick()


def test_a_running_spool_resends_the_same_bytes_under_the_same_id(start: Start, clock: Clock, tmp_path: Path) -> None:
    spool = start()
    messages = append(spool, 3)
    spool.sync()
    spool.reject(2, "AE 101")
    ask(tmp_path / "spool", Request([messages[1].control_id]), "one")
    assert spool.samples["bed"].rejected == SAMPLES
    later(spool, clock)
    again = spool.unacknowledged()[-1]
    assert (again.seq, again.control_id, again.payload) == (4, messages[1].control_id, messages[1].payload)
    assert (spool.samples["bed"].rejected, spool.samples["bed"].resent) == (0, SAMPLES)
    check_sums(spool)
    assert list((tmp_path / "spool" / "requests").iterdir()) == []
    assert spool.routed("bed") == Routed(40), "the newest, not the resent"
    assert spool.ack(4)
    check_sums(spool)
    assert spool.next_control_id() == (5, "gw-1800000000-5")


def test_a_stopped_spool_resends_at_its_start_and_the_sums_hold(start: Start, tmp_path: Path) -> None:
    spool = start()
    messages = append(spool, 2)
    spool.sync()
    spool.reject(1, "AE")
    spool.reject(2, "AE")
    spool.close()
    ask(tmp_path / "spool", Request(every=True), "all")
    spool = start(compression="zstd")
    assert [(m.control_id, m.payload) for m in spool.unacknowledged()] == [(m.control_id, m.payload) for m in messages]
    assert spool.samples["bed"].rejected == -2 * SAMPLES, "an earlier life rejected them"
    check_sums(spool)
    spool.close()
    spool = start()
    assert [m.control_id for m in spool.unacknowledged()] == [m.control_id for m in messages]
    assert spool.routed("bed") == Routed(30), "as far as message 2 went, whatever is sent again"
    spool.reject(3, "AE again")
    later_request = Request(every=True)
    ask(tmp_path / "spool", later_request, "all-2")
    spool.close()
    assert [m.seq for m in start().unacknowledged()] == [4, 5]


@pytest.mark.parametrize("point", range(40))
def test_a_crash_anywhere_in_a_resend_neither_loses_it_nor_makes_two(
    start: Start, disk: SmallDisk, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, point: int
) -> None:
    spool = start()
    messages = append(spool, 2)
    spool.sync()
    spool.reject(1, "AE")
    spool.reject(2, "AE")
    ask(tmp_path / "spool", Request(every=True), "all")
    left = point

    class Crash(BaseException):
        pass

    def crashing(name: str) -> None:
        real = getattr(disk, name)

        def call(*args: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash
            return real(*args)

        monkeypatch.setattr(disk, name, call)

    for name in ("write", "sync", "sync_dir", "remove", "open", "read", "names"):
        crashing(name)
    with suppress(Crash):
        later(spool, clock)
    monkeypatch.undo()
    spool._disk.close_all()
    for _ in range(2):
        spool = start()
        waiting = spool.unacknowledged()
        assert [(m.control_id, m.payload) for m in waiting] == [(m.control_id, m.payload) for m in messages]
        check_sums(spool)
        spool.close()
    assert not list((tmp_path / "spool" / "requests").glob("*.json"))


def test_what_is_not_utf_8_comes_back_as_the_same_bytes(start: Start, clock: Clock, tmp_path: Path) -> None:
    spool = start()
    seq, control_id = spool.next_control_id()
    spool.append(Message(seq, control_id, "t", b"MSH|\xff\xfe|\\xff\r"), Extent("bed", 1, 1, 1, 0, 0), False, 7)
    spool.sync()
    spool.reject(1, "AE")
    ask(tmp_path / "spool", Request([control_id]), "one")
    later(spool, clock)
    stored = spool.stored(2)
    assert stored.message.payload == b"MSH|\xff\xfe|\\xff\r"
    assert (stored.clock_quality, stored.flags.name) == (7, "RESENT")


def test_requests_that_make_no_sense_change_nothing_and_are_answered(
    start: Start, clock: Clock, tmp_path: Path
) -> None:
    spool = start()
    append(spool, 1)
    spool.sync()
    ask(tmp_path / "spool", Request(["gw-1-1"]), "unknown")
    (tmp_path / "spool" / "requests" / "damaged.json").write_bytes(b'{"resend": [')
    for _ in range(2):
        later(spool, clock)
    assert spool.waiting == 1
    assert [(line["resent"], line["seq"]) for line in lines(tmp_path)] == [("gw-1-1", 0)]
    assert list((tmp_path / "spool" / "requests").iterdir()) == []


def test_a_large_request_is_done_in_parts(start: Start, clock: Clock, tmp_path: Path) -> None:
    spool = start()
    messages = append(spool, 450)
    spool.sync()
    for message in messages:
        spool.reject(message.seq, "AE")
    ask(tmp_path / "spool", Request(every=True), "all")
    later(spool, clock)
    assert spool.waiting == 200
    for _ in range(2):
        later(spool, clock)
    assert [m.control_id for m in spool.unacknowledged(0, 999)] == [m.control_id for m in messages]
    check_sums(spool)


def test_the_side_files_are_bounded_and_say_what_was_thrown_away(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.spool.sidefile.REJECTED_BYTES", 20_000)
    monkeypatch.setattr("gateway.spool.store.LEDGER_BYTES", 20_000)
    spool = start()
    for n in range(1, 301):
        append(spool, 1, size=500)
        spool.sync()
        spool.reject(n, "AE")
        spool.declare_loss(Extent("bed", n, n, 1, 0, 0), "ring full")
        if n == 150:
            spool.close()
            spool = start()
    for name in ("rejected/messages", "losses"):
        files = [tmp_path / "spool" / f"{name}{part}.jsonl" for part in (".1", "")]
        assert all(file.stat().st_size <= 20_000 for file in files)
        kept = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        thrown = [line["thrown_away"] for line in kept if "thrown_away" in line]
        assert thrown[-1] + len(kept) - len(thrown) == 300
    assert len(spool.losses()) == 300 - spool.thrown_away["losses"]
    assert spool.losses()[-1].number == spool.counters.declared
    assert min(spool.thrown_away.values()) > 100


@pytest.mark.parametrize(
    "line", [b'{"thrown_away":"\xab"}', b'{"\xe6":1}', b'{"resent":"\xb0"}', b"\xff", b"[]", b"{}"]
)
def test_lines_of_any_bytes_stop_nothing(start: Start, clock: Clock, tmp_path: Path, line: bytes) -> None:
    """Found by the campaign: bytes that are no UTF-8 raise another error than JSON that is none."""
    spool = start()
    append(spool, 1)
    spool.sync()
    spool.reject(1, "AE")
    spool.declare_loss(Extent("bed", 1, 1, 1, 0, 0), "ring full")
    spool.close()
    for name in ("losses.jsonl", "rejected/messages.jsonl"):
        path = tmp_path / "spool" / name
        path.write_bytes(line + b"\n" + path.read_bytes() + line)
    (tmp_path / "spool" / "requests" / "a.json").write_bytes(line)
    spool = start()
    assert [loss.reason for loss in spool.losses()] == ["ring full"]
    ask(tmp_path / "spool", Request(every=True), "b")
    for _ in range(2):
        later(spool, clock)
    assert len(spool.unacknowledged()) == 1
