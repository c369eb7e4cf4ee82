"""A spool on the real file system, with a clock that stands and a disk that can be full."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core.message import Message
from gateway.spool import Extent, OsFiles, Spool

SEGMENT = 16384
SECOND = 10**9
SAMPLES = 10  # in each message

Start = Callable[..., Spool]


class Clock:
    """Stands still until moved. (monotonic ns, UTC ns)"""

    def __init__(self, utc_s: int = 1_800_000_000) -> None:
        self.now = 0
        self.utc = utc_s * SECOND

    def __call__(self) -> tuple[int, int]:
        return self.now, self.utc + self.now


class SmallDisk(OsFiles):
    """The real files on a disk with `space` bytes for new ones; None: as much as there is."""

    space: int | None = None

    def _take(self, size: int) -> None:
        if self.space is None:
            return
        if size > self.space:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.space -= size

    def allocate(self, fd: int, size: int) -> None:
        self._take(max(0, size - self.size(fd)))
        super().allocate(fd, size)

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        self._take(max(0, offset + len(data) - self.size(fd)))
        return super().write(fd, data, offset)

    def truncate(self, fd: int, size: int) -> None:
        if self.space is not None:
            self.space += self.size(fd) - size
        super().truncate(fd, size)

    def remove(self, path: Path) -> None:
        if self.space is not None:
            self.space += path.stat().st_size
        super().remove(path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def disk() -> SmallDisk:
    return SmallDisk()


@pytest.fixture
def start(tmp_path: Path, clock: Clock, disk: SmallDisk) -> Start:
    def start(gateway: str = "gw", limit: int = 100 * SEGMENT, compression: str = "none") -> Spool:
        return Spool.open(
            tmp_path / "spool",
            gateway=gateway,
            segment_bytes=SEGMENT,
            limit_bytes=limit,
            compression=compression,
            files=disk,
            clock=clock,
        )

    return start


def append(spool: Spool, n: int = 1, size: int = 100, device: str = "bed", periodic: bool = True) -> list[Message]:
    messages = []
    for _ in range(n):
        seq, control_id = spool.next_control_id()
        message = Message(seq, control_id, "mdi/gw/bed", f"MSH|{control_id}\r".encode().ljust(size, b"."))
        extent = Extent(device, seq * 10 + 1, seq * 10 + 10, SAMPLES, seq * SECOND, seq * SECOND + 9)
        spool.append(message, extent, periodic)
        messages.append(message)
    return messages


def segments(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "spool").glob("segment-*"))


def check_sums(spool: Spool) -> None:
    """What went in is acknowledged, rejected, lost or waits: in messages, and in samples of each device."""
    c = spool.counters
    assert c.recovered + c.appended == c.acked + c.rejected + c.lost + spool.waiting
    for device, s in spool.samples.items():
        assert s.recovered + s.appended == s.acked + s.rejected + s.lost + s.waiting, device
