"""Segment files: `Segment` reads one, `ActiveSegment` is the newest, which also grows. chain.py has all of them.

Only the active segment and those being read are open and indexed, so memory and descriptors do not grow with the
backlog: a closed segment is a few numbers, and the seqs carried over into it. Opening one again reads it whole, once,
and checks every record. Appends are collected and written in pieces of FLUSH_BYTES or at a sync, whichever is first.

What waits in a segment is counted here, in samples of each device: `samples`. It is read from the records when the
segment is opened, grows with what is added, and shrinks with what is let go.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from gateway.spool.cover import PLAIN, Cover
from gateway.spool.files import Disk
from gateway.spool.layout import (
    HEADER_BYTES,
    Extent,
    Identity,
    RecordFlag,
    Stored,
    decode_message,
    record_extent,
    record_size,
)
from gateway.spool.scan import Scan, scan

FLUSH_BYTES = 256 * 1024  # what one write carries; larger gains nothing measurable
_READ_BYTES = 8192  # one message and a bit: most are read with one call


def _every(_: int) -> bool:
    return True


class Segment:
    """A segment file on disk.

    end: just behind its last valid record; last_seq: of its last message of its own
    carried: seqs of the messages carried over into it, sorted
    samples: of each device, in the messages that wait in it; periodic: how many of these messages are PERIODIC
    given_up: whatever waited in it is elsewhere or declared lost, and both slots of the cursor say so
    """

    def __init__(self, disk: Disk, root: Path, gateway: str, identity: Identity, cover: Cover = PLAIN) -> None:
        self.cover = cover
        self.identity = identity
        self.path = root / identity.name
        self.end = HEADER_BYTES
        self.last_seq = identity.first_seq - 1
        self.carried: array[int] = array("Q")
        self.samples: Counter[str] = Counter()
        self.periodic = 0
        self.given_up = False
        self._disk = disk
        self._gateway = gateway
        self._salt = identity.salt(gateway)
        self._fd = -1
        self._offsets: array[int] = array("I")
        self._carried_at: dict[int, int] = {}

    @property
    def first_seq(self) -> int:
        """seq of its first message, if it has one of its own."""
        return self.identity.first_seq

    @property
    def salt(self) -> int:
        """What the checksum of its records starts from."""
        return self._salt

    @property
    def empty(self) -> bool:
        """Whether it holds no message of its own."""
        return self.last_seq < self.first_seq

    def carries(self, seq: int) -> bool:
        """Return whether a message was carried over into it."""
        at = bisect_left(self.carried, seq)
        return at < len(self.carried) and self.carried[at] == seq

    def examine(self, counts: Callable[[int], bool] = _every) -> tuple[Scan, bytes]:
        """Read and check the whole file, opening it if need be; return what it holds and its bytes. counts: see
        `scan`."""
        if self._fd < 0:
            self._fd = self._disk.open(self.path)
        with self._disk.typed(f"read {self.path.name}"):
            data = self._disk.read(self._fd, self._disk.files.size(self._fd), 0)
        return scan(data, self.identity, self._salt, counts, self.cover), data

    def recover(self) -> tuple[Scan, bytes]:
        """Make durable what is there, then read it; the segment now knows its end and its messages."""
        self._fd = self._disk.open(self.path)
        self._disk.sync(self._fd, self.path.name)
        found, data = self.examine()
        self._index(found)
        self.end = found.end
        self.last_seq = self.first_seq + len(found.offsets) - 1
        self.carried = array("Q", sorted(found.carried))
        self.samples, self.periodic = found.samples, found.periodic
        return found, data

    def _index(self, found: Scan) -> None:
        self._offsets, self._carried_at = found.offsets, found.carried

    def load(self) -> None:
        """Open and index it, unless it is."""
        if self._fd < 0:
            self._index(self.examine()[0])

    def present(self) -> list[tuple[int, int]]:
        """Return the ranges of seq whose messages are there, inclusive. It must be loaded."""
        ranges = [(seq, seq) for seq in self.carried]
        if 0 not in self._offsets:
            return [*ranges, (self.first_seq, self.last_seq)] if self._offsets else ranges
        return ranges + [(self.first_seq + i, self.first_seq + i) for i, at in enumerate(self._offsets) if at]

    def record(self, seq: int) -> bytes | None:
        """Return the record of a message, opened, or None when it is not there undamaged. It must be loaded."""
        at = seq - self.first_seq
        offset = self._offsets[at] if 0 <= at < len(self._offsets) else self._carried_at.get(seq, 0)
        if not offset:
            return None
        data = self._disk.read(self._fd, _READ_BYTES, offset)
        size = int.from_bytes(data[:4], "little")
        if len(data) < size <= self.end - offset:
            data = self._disk.read(self._fd, size, offset)
        if not record_size(data, 0, self._salt):
            return None
        record = self.cover.off(data[:size], offset)
        return record if record and record_extent(record).seq == seq else None

    def read(self, seq: int) -> Stored | None:
        """Return a message, or None when it is not there undamaged. It must be loaded."""
        record = self.record(seq)
        return decode_message(record, self._gateway) if record else None

    def let_go(self, extent: Extent, flags: int) -> None:
        """A message that holds these samples waits here no longer."""
        self.samples[extent.device] -= extent.count
        self.periodic -= bool(flags & RecordFlag.PERIODIC)

    def cut(self) -> None:
        """Cut off what is behind the last record, reserved or torn. It must be open."""
        with self._disk.typed(f"cut {self.path.name}"):
            self._disk.files.truncate(self._fd, self.end)
        self._disk.sync(self._fd, self.path.name)

    def close(self) -> None:
        """Close the file and forget the index."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._offsets, self._carried_at = array("I"), {}
            self._disk.close(fd)

    def remove(self) -> None:
        """Close and remove the file."""
        self.close()
        self._disk.remove(self.path)


class ActiveSegment(Segment):
    """The segment that takes appends. fd: its file, `size` bytes reserved on disk, the header written."""

    def __init__(
        self, disk: Disk, root: Path, gateway: str, identity: Identity, cover: Cover, fd: int, size: int
    ) -> None:
        super().__init__(disk, root, gateway, identity, cover)
        self.size = size
        self._pending: list[bytes] = []  # records not yet written
        self._pending_bytes = 0
        self._synced = HEADER_BYTES
        self._fd = fd

    def fits(self, size: int, reserve: int) -> bool:
        """Return whether a record of `size` bytes more leaves `reserve` bytes free."""
        return self.end + size + self.cover.more + reserve <= self.size

    def add(self, record: bytes) -> None:
        """Take a record that fits."""
        stored = self.cover.on(record, self.end)
        self._pending.append(stored)
        self._pending_bytes += len(stored)
        self.end += len(stored)

    def add_message(self, record: bytes, extent: Extent, flags: int) -> None:
        """Take the record of the next message."""
        self._offsets.append(self.end)
        self.last_seq += 1
        self._count(extent, flags)
        self.add(record)

    def add_carried(self, seq: int, record: bytes, extent: Extent, flags: int) -> None:
        """Take the record of a message that was in a segment which is given up."""
        self._carried_at[seq] = self.end
        insort(self.carried, seq)
        self._count(extent, flags)
        self.add(record)

    def _count(self, extent: Extent, flags: int) -> None:
        self.samples[extent.device] += extent.count
        self.periodic += bool(flags & RecordFlag.PERIODIC)

    def flush(self, least: int = 1) -> None:
        """Write what has been taken, if it is `least` bytes. Refused: it is kept, and the next flush writes it."""
        if self._pending_bytes < least:
            return
        self._disk.write(self._fd, b"".join(self._pending), self.end - self._pending_bytes)
        self._pending.clear()
        self._pending_bytes = 0

    def undo(self) -> None:
        """Take back the last record, which a flush has refused. The next one is written over what stands there, sealed
        under a nonce of its own."""
        record = self._pending.pop()
        self._pending_bytes -= len(record)
        self.end -= len(record)

    def sync(self) -> bool:
        """Make all of it durable; return whether there was anything to do."""
        self.flush()
        if self._synced == self.end:
            return False
        self._disk.sync(self._fd, self.path.name)
        self._synced = self.end
        return True
