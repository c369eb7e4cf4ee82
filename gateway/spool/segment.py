"""Segment files: `Segment` reads one, `ActiveSegment` is the newest, which also grows, `Chain` is all of them.

Only the active segment and the one being read are open and indexed, so memory and descriptors do not grow with the
backlog: a closed segment is five numbers. Opening one again reads it whole, once, and checks every record.
Appends are collected and written in pieces of FLUSH_BYTES or at a sync, whichever comes first.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import pairwise
from pathlib import Path

from gateway.spool.files import Disk
from gateway.spool.layout import (
    HEADER_BYTES,
    Identity,
    Scan,
    Stored,
    decode_message,
    encode_header,
    record_size,
    scan,
)

FLUSH_BYTES = 256 * 1024  # what one write carries; larger gains nothing measurable
_READ_BYTES = 8192  # one message and a bit: most are read with one call


class Segment:
    """A segment file on disk. end: just behind its last valid record; last_seq: of its last message."""

    def __init__(self, disk: Disk, root: Path, gateway: str, identity: Identity) -> None:
        self.identity = identity
        self.path = root / identity.name
        self.end = HEADER_BYTES
        self.last_seq = identity.first_seq - 1
        self._disk = disk
        self._gateway = gateway
        self._salt = identity.salt(gateway)
        self._fd = -1
        self._offsets: array[int] = array("I")

    @property
    def first_seq(self) -> int:
        """seq of its first message, if it has one."""
        return self.identity.first_seq

    @property
    def empty(self) -> bool:
        """Whether it holds no message."""
        return self.last_seq < self.first_seq

    def examine(self) -> tuple[Scan, bytes]:
        """Read and check the whole file, opening it if need be; return what it holds and its bytes."""
        if self._fd < 0:
            self._fd = self._disk.open(self.path)
        with self._disk.typed(f"read {self.path.name}"):
            data = self._disk.read(self._fd, self._disk.files.size(self._fd), 0)
        return scan(data, self.identity, self._salt), data

    def recover(self) -> tuple[Scan, bytes]:
        """Make durable what is there, then read it; the segment now knows its end and its messages."""
        self._fd = self._disk.open(self.path)
        self._disk.sync(self._fd, self.path.name)
        found, data = self.examine()
        self._offsets = found.offsets
        self.end = found.end
        self.last_seq = self.first_seq + len(found.offsets) - 1
        return found, data

    def load(self) -> None:
        """Open and index it, unless it is."""
        if self._fd < 0:
            self._offsets = self.examine()[0].offsets

    def present(self) -> list[tuple[int, int]]:
        """Return the ranges of seq whose messages are there, inclusive. It must be loaded."""
        if 0 not in self._offsets:
            return [(self.first_seq, self.last_seq)] if self._offsets else []
        return [(self.first_seq + i, self.first_seq + i) for i, offset in enumerate(self._offsets) if offset]

    def read(self, seq: int) -> Stored | None:
        """Return a message, or None when it is not there undamaged. It must be loaded."""
        at = seq - self.first_seq
        offset = self._offsets[at] if 0 <= at < len(self._offsets) else 0
        if not offset:
            return None
        data = self._disk.read(self._fd, _READ_BYTES, offset)
        size = int.from_bytes(data[:4], "little")
        if len(data) < size <= self.end - offset:
            data = self._disk.read(self._fd, size, offset)
        if not record_size(data, 0, self._salt):
            return None
        stored = decode_message(data, self._gateway)
        return stored if stored.message.seq == seq else None

    def cut(self) -> None:
        """Cut off what is behind the last record, reserved or torn. It must be open."""
        with self._disk.typed(f"cut {self.path.name}"):
            self._disk.files.truncate(self._fd, self.end)
        self._disk.sync(self._fd, self.path.name)

    def close(self) -> None:
        """Close the file and forget the index."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._offsets = array("I")
            self._disk.close(fd)

    def remove(self) -> None:
        """Close and remove the file."""
        self.close()
        with self._disk.typed(f"remove {self.path.name}"):
            self._disk.files.remove(self.path)


class ActiveSegment(Segment):
    """The segment that takes appends: `size` bytes reserved on disk before the first of them."""

    def __init__(self, disk: Disk, root: Path, gateway: str, identity: Identity, size: int) -> None:
        super().__init__(disk, root, gateway, identity)
        self._size = size
        self._pending: list[bytes] = []  # records not yet written
        self._pending_bytes = 0
        self._synced = HEADER_BYTES
        self._fd = disk.create(self.path, size, encode_header(identity, gateway))

    @property
    def salt(self) -> int:
        """What the checksum of its records starts from."""
        return self._salt

    def fits(self, size: int, reserve: int) -> bool:
        """Return whether `size` bytes more leave `reserve` bytes free."""
        return self.end + size + reserve <= self._size

    def add(self, record: bytes) -> None:
        """Take a record that fits."""
        self._pending.append(record)
        self._pending_bytes += len(record)
        self.end += len(record)

    def add_message(self, record: bytes) -> None:
        """Take the record of the next message."""
        self._offsets.append(self.end)
        self.last_seq += 1
        self.add(record)

    def flush(self, least: int = 1) -> None:
        """Write what has been taken, if it is `least` bytes. Refused: it is kept, and the next flush writes it."""
        if self._pending_bytes < least:
            return
        self._disk.write(self._fd, b"".join(self._pending), self.end - self._pending_bytes)
        self._pending.clear()
        self._pending_bytes = 0

    def undo(self) -> None:
        """Take back the last record, which a flush has refused. The next one is written over what stands there."""
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


class Chain:
    """The segments of a spool, oldest first; the newest of them is `active`, unless the disk had no space for it."""

    def __init__(self, disk: Disk, root: Path, gateway: str, segments: list[Segment]) -> None:
        self.segments = segments
        self.active: ActiveSegment | None = None
        self._disk = disk
        self._root = root
        self._gateway = gateway
        self._number = segments[-1].identity.number if segments else 0
        self._reading: Segment | None = None

    @property
    def used(self) -> int:
        """Bytes written, headers included."""
        return sum(segment.end for segment in self.segments)

    def holding(self, seq: int) -> Segment | None:
        """Return the segment, loaded, that has message `seq` if any has."""
        at = bisect_right(self.segments, seq, key=_first_seq) - 1
        segment = self.segments[at] if at >= 0 else None
        if segment is None or seq > segment.last_seq:
            return None
        if segment is not self._reading and segment is not self.active:
            if self._reading is not None:
                self._reading.close()
            self._reading = segment
        segment.load()
        return segment

    def read(self, seq: int) -> Stored | None:
        """Return a flushed message, or None when it is not there undamaged."""
        segment = self.holding(seq)
        return segment.read(seq) if segment else None

    def grow(self, epoch: int, next_seq: int, size: int) -> ActiveSegment:
        """Start a new active segment; the old one, synced before, is closed. Refused: all is as before."""
        new = ActiveSegment(self._disk, self._root, self._gateway, Identity(self._number + 1, epoch, next_seq), size)
        old, self.active = self.active, new
        self._number += 1
        self.segments.append(new)
        if old is not None:
            try:
                old.cut()
            finally:
                old.close()
        return new

    @property
    def oldest_last_seq(self) -> int:
        """The last seq that was written to the oldest segment, damaged since or not; 0 if it is the only one."""
        return self.segments[1].first_seq - 1 if len(self.segments) > 1 else 0

    def remove(self, watermark: int, pinned: set[int]) -> None:
        """Remove segments up to watermark, and those that never held a message, but for the pinned (by number) and the
        newest: it knows the epoch. What a segment held is known by where the next one begins."""
        for segment, following in pairwise(self.segments.copy()):
            unused = following.first_seq == segment.first_seq
            if (unused or following.first_seq - 1 <= watermark) and segment.identity.number not in pinned:
                segment.remove()
                self.segments.remove(segment)


def _first_seq(segment: Segment) -> int:
    return segment.first_seq
