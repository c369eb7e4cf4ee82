"""The disk says no: at every single operation of a script, once or for a while, in every way it can.

Refused calls are made again, as the forwarder does. A failed sync ends the life. In the end all is accounted for.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from gateway.core.message import Message
from gateway.spool import Extent, Spool, SpoolFailed, SpoolRefused
from tests.model.spool_disk import MemoryDisk

T = TypeVar("T")
ROOT = Path("/spool")
MOST_CALLS = 400


class Fault:
    """Raises `code` at the n-th operation and the `lasting` ones behind it; code 0 makes a write short."""

    def __init__(self, disk: MemoryDisk, n: int, code: int, lasting: int) -> None:
        self.calls = 0
        self.raised = 0
        self.n, self.code, self.lasting, self.disk = n, code, lasting, disk
        disk.before = self

    def __call__(self, operation: str) -> None:
        self.calls += 1
        if not self.n <= self.calls < self.n + self.lasting:
            return
        if self.code == 0:
            self.disk.short_write = operation == "write"
            self.raised += operation == "write"
        elif operation in _CAN[self.code]:
            self.raised += 1
            raise OSError(self.code, os.strerror(self.code))


_EVERY = {"open", "allocate", "truncate", "read", "write", "sync", "sync_dir", "remove", "names"}
_CAN = {errno.EIO: _EVERY, errno.ENOSPC: {"open", "allocate", "write", "sync"}}


class Script:
    """Appends over three segments with a limit of three, answers, declares; remembers what was promised."""

    def __init__(self, disk: MemoryDisk) -> None:
        self.disk = disk
        self.now = 10**18
        self.promised: dict[int, Message] = {}
        self.answered: set[int] = set()
        self.declared = 0
        self.spool: Spool | None = None

    def clock(self) -> tuple[int, int]:
        self.now += 3 * 10**8
        return self.now, self.now

    def open(self) -> Spool:
        return Spool.open(
            ROOT, gateway="gw", segment_bytes=16384, limit_bytes=3 * 16384, files=self.disk, clock=self.clock
        )

    def run(self) -> None:
        """One life; a refused call is made again."""
        spool = self.spool = self.again(self.open)
        for n in range(16):
            self.again(lambda: self.append(spool))
            if n % 3 == 2:
                durable = self.again(spool.sync)
                assert durable == spool.next_control_id()[0] - 1
                self.promised |= {m.seq: m for m in self.again(lambda: spool.unacknowledged(0, 99))}
            if n % 5 == 4:
                oldest = self.again(lambda: spool.unacknowledged(0, 3))
                if not oldest:  # unreadable for so long that all of it is declared lost
                    continue
                self.answered |= {oldest[0].seq, oldest[-1].seq}  # the answer has come, whatever we make of it
                self.again(partial(spool.reject, oldest[0].seq, "AE"))
                self.again(partial(spool.ack, oldest[-1].seq))
                self.again(lambda: spool.declare_loss(Extent("bed", 1, 2, 2, 0, 0), "ring full"))
                self.declared += 1
        self.again(spool.checkpoint)

    def append(self, spool: Spool) -> None:
        seq, control_id = spool.next_control_id()
        payload = random.Random(control_id).randbytes(2900)
        extent = Extent("bed", seq, seq, 1, seq, seq)
        spool.append(Message(seq, control_id, "t", payload), extent, periodic=seq % 3 > 0)
        assert spool.next_control_id()[0] == seq + 1

    @staticmethod
    def again(call: Callable[[], T]) -> T:
        for _ in range(20):
            with suppress(SpoolRefused):
                return call()
        return call()

    def account(self, spool: Spool) -> None:
        waiting = {m.seq: m for m in spool.unacknowledged(0, 999)}
        losses = spool.losses()
        lost = {seq for x in losses if x.messages for seq in range(x.first_message, x.last_message + 1)}
        for seq, message in self.promised.items():
            assert waiting.get(seq, message) == message
            assert seq in waiting or seq in self.answered or seq in lost
        assert len({(x.epoch, x.number) for x in losses}) == len(losses)
        assert sum(x.reason == "ring full" for x in losses) >= self.declared
        counters = spool.counters
        gone = counters.acked + counters.rejected + counters.lost
        assert counters.recovered + counters.appended == gone + spool.waiting
        for s in spool.samples.values():
            assert s.recovered + s.appended == s.acked + s.rejected + s.lost + s.waiting


@pytest.mark.parametrize("code", [0, errno.EIO, errno.ENOSPC], ids=["short write", "EIO", "ENOSPC"])
@pytest.mark.parametrize("lasting", [1, 15])
def test_every_operation_fails_once(code: int, lasting: int) -> None:
    failed = refusing = 0
    for n in range(1, MOST_CALLS):
        disk = MemoryDisk()
        script = Script(disk)
        fault = Fault(disk, n, code, lasting)
        try:
            script.run()
        except SpoolFailed:
            failed += 1
            if script.spool is not None:
                with pytest.raises(SpoolFailed):
                    script.append(script.spool)
                with pytest.raises(SpoolFailed):
                    script.spool.sync()
        disk.before = lambda _: None
        disk.short_write = False
        refusing += bool(fault.raised)
        if script.spool is not None:
            with suppress(SpoolFailed):
                script.account(script.spool)
        disk.cut_power(random.Random(n))
        script.account(script.open())
        if fault.calls < n:
            break
    assert fault.calls < n, "the script must be shorter than the campaign"
    assert refusing > 20
    assert (failed > 5) == (code != 0), "a short write is completed, a failed sync is final"
