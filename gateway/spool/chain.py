"""All segments of a spool, oldest first, and the spare: the file that is the next one.

The spare is reserved on disk, whole, while there is space. A new segment is the spare under its new name, so the disk
may fill up with other things and there is still a segment to go on in: for messages, and for 10,000 loss records and
more. When there is neither spare nor space for a whole segment, a short one is made, so that losses can be declared.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from itertools import pairwise
from pathlib import Path

from gateway.spool.cover import Covers
from gateway.spool.errors import SpoolFull
from gateway.spool.files import Disk
from gateway.spool.layout import BLOCK, Identity, Stored, encode_header
from gateway.spool.segment import ActiveSegment, Segment

LEAST_SEGMENT_BYTES = 4 * BLOCK
_READING = 2  # segments open for reading: what is sent next is often in another one than what is answered now


class Spare:
    """A file of `size` bytes, reserved, that becomes a segment by its name."""

    def __init__(self, disk: Disk, root: Path, size: int) -> None:
        self._disk = disk
        self._path = root / "spare"
        self._size = size
        self._fd = -1

    @property
    def ready(self) -> bool:
        """Whether it is there."""
        return self._fd >= 0

    def prepare(self) -> None:
        """Reserve it, unless it is there. Raises SpoolFull."""
        if not self.ready:
            self._fd = self._disk.create(self._path, self._size, b"")

    def take(self, path: Path, header: bytes) -> int:
        """Return the descriptor of what is now the file `path`, durable, with this header. Refused: still the spare."""
        self._disk.write(self._fd, header, 0)
        self._disk.sync(self._fd, path.name)
        self._disk.rename(self._path, path)
        fd, self._fd = self._fd, -1
        return fd


class Chain:
    """The segments; the newest of them is `active`, unless the disk had no space for it."""

    def __init__(self, disk: Disk, root: Path, covers: Covers, segments: list[Segment], size: int) -> None:
        self.segments = segments
        self._covers = covers
        self._coming: Identity | None = None
        self.active: ActiveSegment | None = None
        self.spare = Spare(disk, root, size)
        self._disk = disk
        self._root = root
        self._gateway = covers.gateway
        self._size = size
        self._number = segments[-1].identity.number if segments else 0
        self._reading: list[Segment] = []

    @property
    def used(self) -> int:
        """Bytes written, headers included."""
        return sum(segment.end for segment in self.segments)

    @property
    def samples(self) -> Counter[str]:
        """What waits, in samples of each device."""
        total: Counter[str] = Counter()
        for segment in self.segments:
            total.update(segment.samples)
        return total

    @property
    def periodic(self) -> int:
        """How many PERIODIC messages wait."""
        return sum(segment.periodic for segment in self.segments)

    def home(self, seq: int) -> Segment | None:
        """Return the segment that message `seq` waits in, loaded: the newest it was carried to, or its own."""
        for segment in reversed(self.segments):
            if segment.carried and segment.carries(seq):
                return self._loaded(segment)
        return self._own(seq)

    def _own(self, seq: int) -> Segment | None:
        at = bisect_right(self.segments, seq, key=_first_seq) - 1
        segment = self.segments[at] if at >= 0 else None
        return self._loaded(segment) if segment is not None and seq <= segment.last_seq else None

    def _loaded(self, segment: Segment) -> Segment:
        if segment is not self.active:
            if segment in self._reading:
                self._reading.remove(segment)
            self._reading.append(segment)
            while len(self._reading) > _READING:
                self._reading.pop(0).close()
        segment.load()
        return segment

    def read(self, seq: int) -> Stored | None:
        """Return a flushed message, or None when it is not there undamaged."""
        segment = self.home(seq)
        return segment.read(seq) if segment else None

    def grow(self, epoch: int, next_seq: int) -> ActiveSegment:
        """Start a new active segment; the old one, synced before, is closed. Refused: all is as before."""
        identity = self._identity(epoch, next_seq)
        fd, size = self._make(identity)
        self._coming = None
        cover = self._covers.begin(identity)
        new = ActiveSegment(self._disk, self._root, self._gateway, identity, cover, fd, size)
        old, self.active = self.active, new
        self._number += 1
        self.segments.append(self.active)
        if old is not None:
            try:
                old.cut()
            finally:
                old.close()
        return self.active

    def _identity(self, epoch: int, next_seq: int) -> Identity:
        """Return the identity of the next segment; the same until it is made, because a file of that name may be left.
        Nothing is sealed before it is made, so no mark serves two segments."""
        numbers = self._number + 1, epoch, next_seq
        if self._coming is None or self._coming[:3] != numbers:
            self._coming = self._covers.new(*numbers)
        return self._coming

    def _make(self, identity: Identity) -> tuple[int, int]:
        """Return descriptor and size of a new segment's file: the spare, or a whole one, or as long as there is
        space."""
        path, header = self._root / identity.name, encode_header(identity, self._gateway)
        size = self._size
        while True:
            try:
                if self.spare.ready and size == self._size:
                    return self.spare.take(path, header), size
                return self._disk.create(path, size, header), size
            except SpoolFull:
                size //= 4
                if size < LEAST_SEGMENT_BYTES:
                    raise

    @property
    def oldest_last_seq(self) -> int:
        """The last seq that was written to the oldest segment, damaged since or not; 0 if it is the only one."""
        return self.segments[1].first_seq - 1 if len(self.segments) > 1 else 0

    def remove(self, watermark: int, pinned: set[int]) -> None:
        """Remove segments up to watermark, those that never held a message, and those given up, but for the pinned (by
        number) and the newest: it knows the epoch. What a segment held is known by where the next one begins."""
        for segment, following in pairwise(self.segments.copy()):
            unused = following.first_seq == segment.first_seq and (
                not segment.carried or segment.carried[-1] <= watermark
            )
            if segment.identity.number in pinned:
                continue
            if unused or segment.given_up or following.first_seq - 1 <= watermark:
                segment.remove()
                self.segments.remove(segment)
                if segment in self._reading:
                    self._reading.remove(segment)


def _first_seq(segment: Segment) -> int:
    return segment.first_seq
