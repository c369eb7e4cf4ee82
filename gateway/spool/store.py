"""What is on disk and how it changes: segments, cursor and ledger, in the order that keeps the promises of the spool.

Order of syncs
- New segment: the old one is synced, then header, file, directory of the new one. The epoch is in its header and in its
  name, so it is durable before the first append of a start.
- Full: see fullness.py. Each segment keeps a quarter of itself free for loss records and what is carried over: with
  the usual 16 MiB that is space for 10,000 loss records of 400 bytes, reserved on disk; the spare is more than that.
- A lost message counts as done after its loss is durable in a segment.
- A segment is removed when both slots of the cursor are beyond it and the losses recorded in it are in the ledger.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path

from gateway.core.clock import EARLIEST_NS
from gateway.core.errors import InternalError
from gateway.security.seal import OVERHEAD
from gateway.spool.chain import Chain
from gateway.spool.counters import Counters, Samples
from gateway.spool.cover import Covers
from gateway.spool.cursor import Cursor, CursorFile
from gateway.spool.errors import SpoolFull, SpoolRefused
from gateway.spool.files import Disk
from gateway.spool.fullness import Fullness
from gateway.spool.layout import (
    HEADER_BYTES,
    MESSAGE,
    RECORD_BYTES,
    ROUTED,
    Extent,
    RecordFlag,
    Stored,
    encode_record,
    record_extent,
    routed_payload,
)
from gateway.spool.ledger import LEDGER_BYTES, Ledger
from gateway.spool.losses import Losses
from gateway.spool.recovery import QUARANTINE, find_segments, recover
from gateway.spool.routed import Routed
from gateway.spool.segment import FLUSH_BYTES, ActiveSegment, Segment

LATEST_FIRST_EPOCH = 0xF000_0000  # the year 2097; leaves room for restarts in 32 bits
ROUTED_DEVICES = 256  # a gateway has fewer; names of devices that are gone are forgotten at last

Clock = Callable[[], tuple[int, int]]
"""Returns (monotonic ns, UTC ns)."""


class Store:
    """Messages and losses on disk.

    report: what the open found; done: seqs that need no further care
    routed: how far each device is cared for; each segment begins with it, so that removing one forgets nothing
    epoch; next_seq: of the next message; durable: last synced seq
    resent: seq by control id of the rejected messages that wait again
    began_ns, saved_ns: monotonic ns of the open, and of the last cursor
    """

    def __init__(self, disk: Disk, path: Path, covers: Covers, sizes: tuple[int, int], clock: Clock) -> None:
        """Open and recover. sizes: bytes of a segment, bytes in all. Raises ConfigError for a foreign spool, and for
        a sealed one whose key is not here."""
        self.counters = Counters()
        self.clock = clock
        self.disk = disk
        self.path = path
        self._segment_bytes, limit_bytes = sizes
        self._reserve = self._segment_bytes // 4
        self.loss_room = self._reserve // 2
        self.chain = Chain(disk, path, covers, find_segments(disk, path, covers), self._segment_bytes)
        self.fullness = Fullness(self, limit_bytes)
        disk.files.make_dir(path / QUARANTINE)
        began = any(segment.identity.mark for segment in self.chain.segments)
        self._cursor = CursorFile(disk, path / "cursor", covers.macs, began)
        self._sealed = bool(covers.macs)
        self.ledger = Ledger(disk, path / "losses.jsonl", LEDGER_BYTES)
        for folder in (path.parent, path, path / QUARANTINE):
            disk.sync_dir(folder)
        found = recover(disk, self.chain.segments, self._cursor, self.ledger)
        self.report = found.report
        self.routed = dict(found.report.routed)
        self.done = found.done
        self.resent = found.resent
        self.began_ns = clock()[0]
        self._used_ns = 0  # monotonic ns since when the active segment holds messages; 0: not seen yet
        self.epoch = found.epoch + 1 if found.epoch else self._first_epoch()
        self.next_seq = found.top + 1
        self.durable = found.top
        self.losses = Losses(self, found.missing, self._tampered(found.report.changed))
        self._tally: dict[str, Samples] = {}
        self._begin()

    def _tampered(self, changed: list[int]) -> Callable[[tuple[int, int]], bool]:
        """Return a function: whether a range of seq touches a segment in which somebody has changed something."""
        spans = [
            (segment.first_seq, following.first_seq - 1 if following else self.durable)
            for segment, following in zip_longest(self.chain.segments, self.chain.segments[1:])
            if segment.identity.number in changed
        ]
        return lambda pair: any(pair[0] <= last and first <= pair[1] for first, last in spans)

    def _first_epoch(self) -> int:
        """A spool that knows nothing may have been wiped: begin where no earlier life of it can have been.

        That is now. A clock that was never set says 1970 at each boot, so two lives would begin at one number: then it
        is a number by chance, below all that a clock gives.
        """
        seconds = self.clock()[1] // 1_000_000_000
        if EARLIEST_NS // 1_000_000_000 <= seconds < LATEST_FIRST_EPOCH:
            return seconds
        return 1 + secrets.randbelow(EARLIEST_NS // 1_000_000_000 - 1)

    def _begin(self) -> None:
        """Go on in a new segment and declare what is missing."""
        self.counters.recovered = self.waiting
        for device, count in self.chain.samples.items():
            self.tally(device).recovered = count
        if self._sealed and self._cursor.plain:  # the first start with a key: from the first sealed segment on no other
            for _ in range(2):  # slot counts
                self.save_cursor()
        with suppress(SpoolRefused):  # a full disk must not keep from sending what waits; the next append tries again
            with suppress(SpoolRefused):  # what an earlier life has reserved, a full disk cannot take away
                self.chain.spare.prepare()
            self._grow()
            self.losses.declare_missing()
        self.write_ledger()
        for _ in range(2):  # both slots
            self.save_cursor()
        self._remove_done()
        self.report.lost = self.counters.lost
        self.report.waiting = self.waiting

    @property
    def waiting(self) -> int:
        """Messages that are not done, unsynced ones included."""
        return self.next_seq - self.done.total

    # ---- counts

    def tally(self, device: str) -> Samples:
        """Return the counts of a device, to be changed."""
        return self._tally.setdefault(device, Samples())

    def samples(self) -> dict[str, Samples]:
        """Return the counts of each device; what waits is taken from the segments now."""
        waiting = self.chain.samples
        waiting.update(self.losses.samples)
        for device in waiting:
            self.tally(device)
        for device, samples in self._tally.items():
            samples.waiting = waiting[device]
        return self._tally

    def move(self, home: Segment, extent: Extent, flags: int, to: str) -> None:
        """The samples of a message wait in `home` no longer; `to`: the count they go to."""
        home.let_go(extent, flags)
        samples = self.tally(extent.device)
        setattr(samples, to, getattr(samples, to) + extent.count)

    # ---- grow

    def append(self, payload: bytes, extent: Extent, flags: int, clock_quality: int) -> None:
        """Take the payload of message `next_seq`, making room for it."""
        size = RECORD_BYTES + len(payload)
        self._check_size(size, self._reserve)
        active = self.chain.active
        if active is None or not active.fits(size, self._reserve):
            self.fullness.keep_limit(self._segment_bytes)
            self.fullness.reserve()
            self.room(size, self._reserve)
            with suppress(SpoolFull):  # now, while the new one has room for what is carried over
                self.fullness.reserve()
        elif active.empty:  # begun by an open or for a loss, which the limit does not hinder
            self.fullness.keep_limit(self._segment_bytes - active.end)
        active = self.room(size, self._reserve)
        active.flush(FLUSH_BYTES)
        record = encode_record(
            MESSAGE, self.epoch, self.next_seq, self.clock(), active.salt, payload, flags, clock_quality
        )
        active.add_message(record, extent, flags)
        self.next_seq += 1
        self.counters.bytes += size

    def sync(self) -> None:
        """Make durable what was appended."""
        self.disk.check()
        if self.chain.active is not None and self.chain.active.sync():
            self.counters.syncs += 1
        self.counters.durable += self.next_seq - 1 - self.durable
        self.durable = self.next_seq - 1

    def _check_size(self, size: int, reserve: int) -> None:
        if HEADER_BYTES + size + OVERHEAD + reserve > self._segment_bytes:
            raise InternalError(f"a record of {size} bytes does not fit a segment of {self._segment_bytes} bytes")

    def room(self, size: int, reserve: int) -> ActiveSegment:
        """Return the segment that takes `size` bytes and keeps `reserve` free, a new one if need be."""
        self._check_size(size, reserve)
        active = self.chain.active
        if active is None or not active.fits(size, reserve):
            active = self._grow()
        if not active.fits(size, 0):
            raise SpoolRefused(f"no space for {size} bytes", str(self.path), "give the disk some space")
        return active

    def care(self, device: str, routed: Routed) -> None:
        """Remember how far a device is cared for; the one last heard of stands last."""
        self.routed.pop(device, None)
        self.routed[device] = routed

    def _note_routed(self, active: ActiveSegment) -> None:
        """Begin a segment with how far each device is cared for, durable before any segment before it can go."""
        devices = list(self.routed.items())[-ROUTED_DEVICES:]
        payload = routed_payload(dict(devices))
        if len(payload) > self._reserve:  # then less is known, and after a crash more comes twice
            payload = routed_payload({device: routed.without_open() for device, routed in devices})
        if devices and active.fits(RECORD_BYTES + len(payload), self._reserve):
            active.add(encode_record(ROUTED, self.epoch, 0, self.clock(), active.salt, payload))
            with suppress(SpoolRefused):  # it is written with what comes next
                active.sync()

    def turn_over(self, age_ns: float) -> None:
        """Go on in a new segment when the active one has been in use for so long: once all in it is done, it goes."""
        active = self.chain.active
        if age_ns == math.inf or active is None or active.empty:
            return
        now = self.clock()[0]
        self._used_ns = self._used_ns or now
        if now - self._used_ns >= age_ns:
            self._grow()

    def _grow(self) -> ActiveSegment:
        self.sync()
        active = self.chain.grow(self.epoch, self.next_seq)
        self._used_ns = 0
        self._note_routed(active)
        with suppress(SpoolRefused):  # the next segment is not needed yet
            self.chain.spare.prepare()
        return active

    # ---- read

    def stored(self, seq: int) -> Stored | None:
        """Read one durable message; None when it is not there. One found damaged is declared lost."""
        if seq in self.done:
            return self.chain.read(seq)
        for _ in range(2):
            if self.gone(seq):
                return None
            stored = self.chain.read(seq)
            if stored:
                return stored
            home = self.chain.home(seq)
            if home is None or not self.losses.damaged(home):
                continue
            self.losses.try_to_declare()
        if not self.gone(seq):
            raise SpoolRefused(f"message {seq} can be read at one time and not at another", str(self.path))
        return None

    def gone(self, seq: int) -> bool:
        """Return whether a message is done or known to be missing."""
        return seq in self.done or self.losses.holds(seq)

    def finish(self, seq: int, to: str) -> bool:
        """A durable message is done; its samples go to the count `to`. False when it is missing or done already."""
        for _ in range(2):
            if self.gone(seq):
                return False
            home = self.chain.home(seq)
            record = home.record(seq) if home else None
            if home and record:
                _, flags, extent, told = record_extent(record)
                self.done.add(seq, seq)
                self.move(home, extent, flags, to)
                if flags & RecordFlag.RESENT and self.resent.get(told) == seq:
                    del self.resent[told]
                return True
            if home and self.losses.damaged(home, acked=seq):
                self.done.add(seq, seq)
                self.losses.try_to_declare()
                return True
        raise SpoolRefused(f"message {seq} can be read at one time and not at another", str(self.path))

    # ---- let go

    def checkpoint(self) -> None:
        """Save the cursor if it has moved, and remove what is done."""
        self.write_ledger()
        if (self.done.total, self.durable) != self._saved:
            self.save_cursor()
        if self._cursor.safe_watermark < self.chain.oldest_last_seq <= self.done.watermark:
            self.save_cursor()  # the other slot too
        self._remove_done()
        self.write_ledger()  # again: what was removed may have made the space for it, and for the next
        self.losses.declare_missing()

    def save_cursor(self) -> None:
        """Make durable which messages are done."""
        self._cursor.save(Cursor(self.epoch, self.durable, self.done))
        self._saved = (self.done.total, self.durable)
        self.counters.checkpoints += 1

    def _remove_done(self) -> None:
        self.chain.remove(self._cursor.safe_watermark, {number for number, _ in self.ledger.waiting})

    def write_ledger(self) -> None:
        """Copy the losses that only a segment knows to the ledger; what the disk refuses is tried again."""
        if not self.ledger.write():
            self.counters.refused += 1
