"""The disk says no: at every single call of a script that does everything, once or for a while, in every way it can.

Exhaustive: each call of the file layer (operation and kind of path, counted and printed) fails with each error. Refused
calls are made again, as the forwarder does. A failed sync ends the life: SpoolFailed, exit code 75, and nothing more is
taken. In the end, behind a power cut and a new start, all is accounted for. Nothing but the named errors comes out.
"""

from __future__ import annotations

import errno
import os
import random
import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import pytest

from gateway.core.message import Message
from gateway.spool import Extent, Files, Spool, SpoolFailed, SpoolRefused
from tests.model.figures import tell
from tests.model.spool_disk import MemoryDisk

T = TypeVar("T")
ROOT = Path("/spool")
SEGMENT = 16384
MOST_TRIES = 40  # more than a fault lasts
LASTING = 15  # calls: longer than any one step of the spool
SHORT = 0  # no error: a write takes half
SIDE_FILE = ROOT / "rejected" / "messages.jsonl"
SYNCS = {"sync", "sync_dir"}
NOT_FAILING = {"close": {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS}}  # close(2): EIO, EINTR
LASTING_CODES = {errno.EIO, errno.ENOSPC}
CODES = [SHORT, errno.EIO, errno.ENOSPC, errno.EINTR, errno.EFBIG, errno.EDQUOT, errno.EROFS]


class Fault:
    """Raises `code` at `lasting` calls, the n-th and those behind it. calls: all, operation and kind of path."""

    def __init__(self, disk: MemoryDisk, n: int, code: int, lasting: int) -> None:
        self.calls: list[tuple[str, str]] = []
        self.raised: list[tuple[str, str]] = []
        self.n, self.code, self.lasting, self.disk = n, code, lasting, disk
        disk.before = self

    def __call__(self, operation: str) -> None:
        self.calls.append((operation, kind(self.disk.at)))
        if not self.n <= len(self.calls) < self.n + self.lasting:
            return
        if self.code == SHORT:
            self.disk.short_write = operation == "write"
            self.raised += [self.calls[-1]] * (operation == "write")
        elif self.code not in NOT_FAILING.get(operation, ()):
            self.raised.append(self.calls[-1])
            raise OSError(self.code, os.strerror(self.code))


def kind(path: str) -> str:
    """Return what sort of file or directory a path is."""
    return re.sub(r"(segment)-[\d-]+", r"\1", path)


class Script:
    """Two lives that do everything: append over segments up to the limit, answer, reject, expire, declare, find damage,
    checkpoint, stop and start. It remembers what was promised."""

    def __init__(self, disk: MemoryDisk) -> None:
        self.disk = disk
        self.now = 18 * 10**17
        self.promised: dict[int, Message] = {}
        self.answered: set[int] = set()
        self.rejected: list[str] = []
        self.declared = 0
        self.spool: Spool | None = None

    def clock(self) -> tuple[int, int]:
        self.now += 3 * 10**8
        return self.now, self.now

    def open(self) -> Spool:
        return Spool.open(
            ROOT, gateway="gw", segment_bytes=SEGMENT, limit_bytes=3 * SEGMENT, files=self.disk, clock=self.clock
        )

    def run(self) -> None:
        """Two lives; a refused call is made again."""
        for life in (1, 2):
            self.spool = None
            spool = self.spool = self.again(self.open)
            waiting = partial(spool.unacknowledged, 0, 99)
            for n in range(3 + 3 * life):
                self.again(partial(self.append, spool))
                if n % 3 == 2:
                    assert self.again(spool.sync) == spool.next_control_id()[0] - 1
                    self.promised |= {m.seq: m for m in self.again(waiting)}
                if n % 4 == 3:
                    self.answer(spool)
            self.again(spool.sync)
            self.promised |= {m.seq: m for m in self.again(waiting)}
            self.damage()
            self.again(waiting)
            self.again(spool.checkpoint)
            with suppress(SpoolRefused):
                spool.close()
            self.disk.kill()

    def answer(self, spool: Spool) -> None:
        waiting = self.again(lambda: spool.unacknowledged(0, 3))
        if not waiting:  # unreadable for so long that all of it is declared lost
            return
        self.answered |= {waiting[0].seq, waiting[-1].seq}  # the answer has come, whatever we make of it
        if self.again(partial(spool.reject, waiting[0].seq, "AE")):
            self.rejected.append(waiting[0].control_id)
        self.again(partial(spool.ack, waiting[-1].seq))
        self.again(lambda: spool.declare_loss(Extent("bed", 1, 2, 2, 0, 0), "ring full"))
        self.declared += 1
        for message in self.again(lambda: spool.unacknowledged(0, 1)):
            self.again(partial(spool.expire, message.seq, self.now + 1))

    def append(self, spool: Spool) -> None:
        seq, control_id = spool.next_control_id()
        payload = random.Random(control_id).randbytes(2900)
        extent = Extent("bed", seq, seq, 1, seq, seq)
        spool.append(Message(seq, control_id, "t", payload), extent, periodic=seq % 3 > 0)
        assert spool.next_control_id()[0] == seq + 1

    def damage(self) -> None:
        """A sector of the oldest segment changes under the running process."""
        data = self.disk.content(self.disk.paths("/spool/segment-*")[0])
        at = max(4096, len(data.rstrip(b"\0")) - 600)
        data[at : at + 4] = bytes(byte ^ 0xFF for byte in data[at : at + 4])

    @staticmethod
    def again(call: Callable[[], T]) -> T:
        for _ in range(MOST_TRIES):
            with suppress(SpoolRefused):
                return call()
        return call()

    def account(self, spool: Spool) -> None:
        waiting = {m.seq: m for m in spool.unacknowledged(0, 999)}
        losses = spool.losses()
        lost = {seq for x in losses if x.messages for seq in range(x.first_message, x.last_message + 1)}
        for seq, message in self.promised.items():
            assert waiting.get(seq, message) == message
            assert seq in waiting or seq in self.answered or seq in lost, f"{seq} is gone"
        assert len({(x.epoch, x.number) for x in losses}) == len(losses)
        assert sum(x.reason == "ring full" for x in losses) >= self.declared
        side_file = bytes(self.disk.content(SIDE_FILE))
        assert all(f'"{control_id}"'.encode() in side_file for control_id in self.rejected)
        counters = spool.counters
        gone = counters.acked + counters.rejected + counters.lost
        assert counters.recovered + counters.appended == gone + spool.waiting
        for s in spool.samples.values():
            assert s.recovered + s.appended == s.acked + s.rejected + s.lost + s.waiting


def refuses_for_good(spool: Spool) -> None:
    """After SpoolFailed, whatever would change something says so again."""
    lost = Extent("bed", 1, 1, 1, 0, 0)
    message = Message(*spool.next_control_id(), "t", b"x")
    calls = (partial(spool.append, message, lost), spool.sync, spool.checkpoint, partial(spool.ack, 1))
    for call in (*calls, partial(spool.reject, 1, "AE"), partial(spool.declare_loss, lost, "ring full")):
        with pytest.raises(SpoolFailed) as failed:
            call()
        assert failed.value.exit_code == 75


def calls_of_the_script() -> list[tuple[str, str]]:
    """Return every call of the file layer when nothing fails."""
    disk = MemoryDisk()
    fault = Fault(disk, 1, errno.EIO, 0)
    script = Script(disk)
    script.run()
    script.account(script.open())
    return fault.calls


def test_the_script_calls_everything() -> None:
    """A new method of the file layer needs a place in the script: otherwise its faults would never be tried."""
    methods = {name for name in vars(Files) if not name.startswith("_")}
    called = {"open" if operation == "create" else operation for operation, _ in calls_of_the_script()}
    assert methods == called
    kinds = {path for _, path in calls_of_the_script()}
    for part in ("lock", "cursor", "segment", "losses.jsonl", "rejected/messages.jsonl", "quarantine/segment"):
        assert any(part in path for path in kinds), part


@pytest.mark.slow
def test_every_operation_fails_once(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    calls = calls_of_the_script()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        results = dict(zip(CODES, pool.map(every_call_fails, CODES), strict=True))
    figures = {
        "row": "F6",
        "title": "each call of the file layer fails in each way: errors and short writes",
        "count": sum(faults for _, faults, _ in results.values()),
        "calls": len(calls),
        "call sites": len(set(calls)),
        "faults": {errno.errorcode.get(code, "short write"): faults for code, (_, faults, _) in results.items()},
        "ended by SpoolFailed": sum(failed for _, _, failed in results.values()),
        "violations": 0,  # one is an AssertionError above
        "seconds": round(time.monotonic() - began, 1),
    }
    with capsys.disabled():
        tell(figures)
    for code, (sites, _, failed) in results.items():
        able = {call for call in calls if code not in NOT_FAILING.get(call[0], ())}
        able = {call for call in able if code != SHORT or call[0] == "write"}
        assert able <= sites, f"{code} was never raised at {able - sites}"
        assert (failed > 5) == (code != SHORT), "a short write is completed, a failed sync is final"


def every_call_fails(code: int) -> tuple[set[tuple[str, str]], int, int]:
    """Let each call of the script fail; return the call sites that did, how many faults, how many ended the life."""
    sites, faults, ended = set(), 0, 0
    for lasting in (1, LASTING) if code in LASTING_CODES else (1,):
        for n in range(1, len(calls_of_the_script()) + 1):
            raised, final = one_fault(n, code, lasting)
            sites |= set(raised)
            faults += bool(raised)
            ended += final
    return sites, faults, ended


def one_fault(n: int, code: int, lasting: int) -> tuple[list[tuple[str, str]], bool]:
    """Run the script with a fault at its n-th call; return the calls that failed, and whether it ended the life."""
    disk = MemoryDisk()
    script = Script(disk)
    fault = Fault(disk, n, code, lasting)
    final = True
    with suppress(SpoolFailed):
        script.run()
        final = False
    assert not final or SYNCS & {operation for operation, _ in fault.raised}, "only a failed sync ends a life"
    disk.before = lambda _: None
    disk.short_write = False
    if final and script.spool is not None:
        refuses_for_good(script.spool)
    disk.cut_power(random.Random(n))
    script.account(script.open())
    return fault.raised, final


def test_a_close_that_fails_changes_nothing() -> None:
    """Found by the faults above: the error of close(2) came out as it was, and the lock stayed taken."""
    disk = MemoryDisk()
    spool = Script(disk).open()

    def before(operation: str) -> None:
        if operation == "close":
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    disk.before = before
    spool.close()
    Script(disk).open().close()


def test_after_a_failed_sync_a_checkpoint_is_refused_too() -> None:
    """Found by the faults above: with nothing to save it returned as if all were well."""
    disk = MemoryDisk()
    script = Script(disk)
    spool = script.open()
    spool.checkpoint()
    script.append(spool)
    Fault(disk, 2, errno.EIO, 1)  # the write passes, the sync does not
    for call in (spool.sync, spool.checkpoint):
        with pytest.raises(SpoolFailed):
            call()
