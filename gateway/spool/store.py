"""What is on disk and how it changes: segments, cursor and ledger, in the order that keeps the promises of the spool.

Order of syncs
- New segment: the old one is synced, then header, file, directory of the new one.
- Full: the oldest segment is removed after a durable loss record that names what is lost, per device. Each segment
  keeps an eighth of itself free for loss records, so that they fit when nothing else does.
- A lost message counts as done after its loss is durable in a segment.
- A segment is removed when both slots of the cursor are beyond it and the losses recorded in it are in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from gateway.core.errors import InternalError
from gateway.spool.counters import Counters
from gateway.spool.cursor import Cursor, CursorFile
from gateway.spool.errors import SpoolFull, SpoolRefused
from gateway.spool.files import Disk
from gateway.spool.layout import HEADER_BYTES, LOSS, MESSAGE, RECORD_BYTES, Extent, Loss, Stored, encode_record
from gateway.spool.ledger import Ledger
from gateway.spool.recovery import QUARANTINE, find_segments, quarantine, recover
from gateway.spool.segment import FLUSH_BYTES, ActiveSegment, Chain

LATEST_FIRST_EPOCH = 0xF000_0000  # the year 2097; leaves room for restarts in 32 bits

Clock = Callable[[], tuple[int, int]]
"""Returns (monotonic ns, UTC ns)."""


class Store:
    """Messages and losses on disk.

    report: what the open found; done: seqs that need no further care; newest: last extent of each device
    epoch; next_seq: of the next message; durable: last synced seq
    began_ns, saved_ns: monotonic ns of the open, and of the last cursor
    """

    def __init__(self, disk: Disk, path: Path, gateway: str, sizes: tuple[int, int], clock: Clock) -> None:
        """Open and recover. sizes: bytes of a segment, bytes in all. Raises ConfigError for a foreign spool."""
        self.counters = Counters()
        self.clock = clock
        self._disk = disk
        self._path = path
        self._segment_bytes, self._limit_bytes = sizes
        self._reserve = self._segment_bytes // 8
        self._chain = Chain(disk, path, gateway, find_segments(disk, path, gateway))
        disk.files.make_dir(path / QUARANTINE)
        self._cursor = CursorFile(disk, path / "cursor")
        self.ledger = Ledger(disk, path / "losses.jsonl")
        for folder in (path.parent, path, path / QUARANTINE):
            disk.sync_dir(folder)
        found = recover(disk, self._chain.segments, self._cursor, self.ledger)
        self.report = found.report
        self.newest = dict(found.report.newest)
        self.done = found.done
        self._missing = found.missing
        self._losses = 0
        self.began_ns = clock()[0]
        self.epoch = found.epoch + 1 if found.epoch else self._first_epoch()
        self.next_seq = found.top + 1
        self.durable = found.top
        self._begin()

    def _first_epoch(self) -> int:
        """A spool that knows nothing may have been wiped: begin where no earlier life of it can have been."""
        seconds = self.clock()[1] // 1_000_000_000
        return seconds if 0 < seconds < LATEST_FIRST_EPOCH else 1

    def _begin(self) -> None:
        """Go on in a new segment and declare what is missing."""
        self.counters.recovered = self.waiting
        with suppress(SpoolRefused):  # a full disk must not keep from sending what waits; the next append tries again
            self._grow()
            self._declare_missing()
        self._write_ledger()
        for _ in range(2):  # both slots
            self._save_cursor()
        self._remove_done()
        self.report.lost = self.counters.lost
        self.report.waiting = self.waiting

    @property
    def waiting(self) -> int:
        """Messages that are not done, unsynced ones included."""
        return self.next_seq - self.done.total

    @property
    def fill(self) -> float:
        """Share of the limit in use, 0 to 1; 0 when nothing waits."""
        return min(1.0, self._chain.used / self._limit_bytes) if self.waiting else 0.0

    # ---- grow

    def append(self, payload: bytes) -> None:
        """Take the payload of message `next_seq`, making room for it."""
        size = RECORD_BYTES + len(payload)
        active = self._chain.active
        if active is None or not active.fits(size, self._reserve):
            self._keep_limit(self._segment_bytes)
        elif active.empty:  # begun by an open or for a loss, which the limit does not hinder
            self._keep_limit(self._segment_bytes - active.end)
        active = self._room(size, self._reserve)
        active.flush(FLUSH_BYTES)
        active.add_message(encode_record(MESSAGE, self.epoch, self.next_seq, self.clock(), active.salt, payload))
        self.next_seq += 1
        self.counters.appended += 1
        self.counters.bytes += size

    def sync(self) -> None:
        """Make durable what was appended."""
        self._disk.check()
        if self._chain.active is not None and self._chain.active.sync():
            self.counters.syncs += 1
        self.counters.durable += self.next_seq - 1 - self.durable
        self.durable = self.next_seq - 1

    def _room(self, size: int, reserve: int) -> ActiveSegment:
        """Return the segment that takes `size` bytes and keeps `reserve` free, a new one if need be."""
        if HEADER_BYTES + size + reserve > self._segment_bytes:
            raise InternalError(f"a record of {size} bytes does not fit a segment of {self._segment_bytes} bytes")
        active = self._chain.active
        return active if active is not None and active.fits(size, reserve) else self._grow()

    def _grow(self) -> ActiveSegment:
        self.sync()
        return self._chain.grow(self.epoch, self.next_seq, self._segment_bytes)

    def _keep_limit(self, size: int) -> None:
        """Make sure that `size` bytes more stay within the limit: remove what is done, then drop the oldest segment."""
        segments = self._chain.segments
        while len(segments) > 1 and self._chain.used + size > self._limit_bytes:
            oldest = segments[0]
            self.checkpoint()
            if segments[0] is oldest:
                self._drop(self._chain.oldest_last_seq)
            if segments[0] is oldest:
                raise SpoolFull("the oldest segment cannot be removed", str(self._path), "give the disk some space")

    def _drop(self, last: int) -> None:
        """Declare what waits up to `last` lost, per device, and remove it."""
        first = self.done.watermark + 1
        extents: dict[str, Extent] = {}
        for begin, end in self.done.gaps(first, last):
            for stored in filter(None, map(self.stored, range(begin, end + 1))):
                device = stored.extent.device
                extents[device] = extents[device].plus(stored.extent) if device in extents else stored.extent
        messages = sum(end - begin + 1 for begin, end in self.done.gaps(first, last))
        if messages:
            self.declare("full", messages, (first, last), tuple(extents.values()))
        self.counters.dropped += 1
        self.checkpoint()

    # ---- read

    def stored(self, seq: int) -> Stored | None:
        """Read one durable message; None when it is not there. One found damaged is declared lost."""
        for _ in range(2):
            stored = self._chain.read(seq)
            if stored or self._gone(seq):
                return stored
            self._lose(seq)
        if not self._gone(seq):
            raise SpoolRefused(f"message {seq} can be read at one time and not at another", str(self._path))
        return None

    def _gone(self, seq: int) -> bool:
        return seq in self.done or any(first <= seq <= last for first, last in self._missing)

    def _lose(self, seq: int) -> None:
        """A message cannot be read. If a second look agrees, it and the damaged ones right behind it are missing."""
        last = seq
        segment = self._chain.holding(seq)
        if segment is not None:
            found, data = segment.examine()
            if found.offset(seq - segment.first_seq):  # the disk had a bad moment
                if segment is not self._chain.active:
                    segment.close()  # so that the next read indexes it anew
                return
            quarantine(self._disk, segment, found.damaged(growing=segment is self._chain.active), data)
            while last < min(segment.last_seq, self.durable) and not found.offset(last + 1 - segment.first_seq):
                last += 1
        self.counters.damaged += last - seq + 1
        self._missing.append((seq, last))
        with suppress(SpoolRefused):  # not declared yet, so not done yet: the next checkpoint tries again
            self._declare_missing()

    # ---- let go

    def checkpoint(self) -> None:
        """Save the cursor if it has moved, and remove what is done."""
        self._write_ledger()
        if (self.done.total, self.durable) != self._saved:
            self._save_cursor()
        if self._cursor.safe_watermark < self._chain.oldest_last_seq <= self.done.watermark:
            self._save_cursor()  # the other slot too
        self._remove_done()
        self._write_ledger()  # again: what was removed may have made the space for it, and for the next
        self._declare_missing()

    def _save_cursor(self) -> None:
        self._cursor.save(Cursor(self.epoch, self.durable, self.done))
        self.saved_ns = self.clock()[0]
        self._saved = (self.done.total, self.durable)
        self.counters.checkpoints += 1

    def _remove_done(self) -> None:
        self._chain.remove(self._cursor.safe_watermark, {number for number, _ in self.ledger.waiting})

    def declare(self, reason: str, messages: int, span: tuple[int, int], extents: tuple[Extent, ...]) -> None:
        """Record a loss durably; then, not before, the messages of `span` (first and last seq) count as done."""
        times = self.clock()
        loss = Loss(self.epoch, self._losses + 1, reason, iso(times[1]), messages, *span, extents)
        payload = loss.encode()
        active = self._room(RECORD_BYTES + len(payload), 0)
        active.flush()
        active.add(encode_record(LOSS, self.epoch, loss.number, times, active.salt, payload))
        try:
            active.flush()
        except SpoolRefused:
            active.undo()
            raise
        self.sync()
        self._losses += 1
        self.ledger.waiting.append((active.identity.number, loss))
        self.done.add(*span)
        self.counters.declared += 1
        self.counters.lost += messages
        self._write_ledger()

    def _write_ledger(self) -> None:
        if not self.ledger.write():
            self.counters.refused += 1

    def _declare_missing(self) -> None:
        while self._missing:
            for first, last in self.done.gaps(*self._missing[0]):
                times = [stored.t_utc_ns for stored in map(self._chain.read, (first - 1, last + 1)) if stored]
                extent = Extent("", 0, 0, 0, min(times, default=0), max(times, default=0))
                self.declare("damaged", last - first + 1, (first, last), (extent,))
            del self._missing[0]


def iso(utc_ns: int) -> str:
    """Return a time for a person: ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(utc_ns / 1e9, UTC).isoformat(timespec="milliseconds")
