"""What happens when there is no room: the oldest periodic messages go first, and each is declared.

The oldest segment is given up. What waits in it and is not periodic (alerts, episodic values) is carried over into the
active segment, with its own seq, control id and bytes. When nothing periodic is left anywhere, all of the oldest go.

Order, so that a crash at any point neither loses a message nor declares one that is still there
  1. What is carried over is written to the active segment and synced. It now stands twice, with the same bytes and
     number, and counts once: where it stands last.
  2. The losses are recorded, with exactly the ranges that are lost, and synced. Now they are done.
  3. Losses that only this segment knows are recorded once more in the active one.
  4. Both slots of the cursor name what is done and what is not, up to the end of the segment. Without the segment
     nothing else knows. So no more is carried over than a slot has ranges for.
  5. The segment is removed.

Full is the limit, and full is the disk: when a segment is begun, the one after it, the spare, is reserved too. If the
disk has no space for a spare, segments are given up until it has: at once, while the new segment is empty and has room
for what is carried over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gateway.spool.cursor import MOST_RANGES
from gateway.spool.errors import SpoolFull
from gateway.spool.layout import CARRIED, Extent, RecordFlag, recast, record_extent
from gateway.spool.losses import MOST_RANGES as MOST_RANGES_OF_A_LOSS
from gateway.spool.losses import runs
from gateway.spool.pressure import Gauge, Pressure

if TYPE_CHECKING:
    from gateway.spool.segment import Segment
    from gateway.spool.store import Store

NO_LONGER_FULL = 0.95  # part of the limit in use below which "full" ends: it takes more than one segment's removal


class Fullness:
    """See the module text. full: the last segment took the place of another, or there is no place for the next."""

    def __init__(self, store: Store, limit_bytes: int) -> None:
        self.full = False
        self._store = store
        self._limit_bytes = limit_bytes
        self._gauge = Gauge()

    @property
    def fill(self) -> float:
        """Share of the limit in use, 0 to 1; 0 when nothing waits."""
        return min(1.0, self._store.chain.used / self._limit_bytes) if self._store.waiting else 0.0

    @property
    def pressure(self) -> Pressure:
        """How full it is."""
        return self._gauge.read(self.fill, self.full)

    def relax(self) -> None:
        """Once a second: reserve the spare, if the disk has space now, and see whether the spool is still full."""
        chain = self._store.chain
        try:
            chain.spare.prepare()
        except SpoolFull:
            self.full = True
            return
        self.full &= self.fill >= NO_LONGER_FULL

    def keep_limit(self, size: int) -> None:
        """Make sure that `size` bytes more stay within the limit: remove what is done, then give up the oldest."""
        chain = self._store.chain
        rounds = len(chain.segments)  # once through all of them leaves nothing periodic that can be given up
        while len(chain.segments) > 1 and chain.used + size > self._limit_bytes:
            self._free(thrift=rounds > 0)
            rounds -= 1

    def reserve(self) -> None:
        """Make sure that there is a segment to go on in, the spare: give up the oldest until the disk has space."""
        chain = self._store.chain
        rounds = len(chain.segments)
        while not chain.spare.ready:
            try:
                chain.spare.prepare()
            except SpoolFull:
                self.full = True
                if len(chain.segments) < 2:
                    raise
                self._free(thrift=rounds > 0)
                rounds -= 1

    def _free(self, thrift: bool) -> None:
        """Remove the oldest segment, after what it holds is done or cared for."""
        store, segments = self._store, self._store.chain.segments
        oldest = segments[0]
        store.checkpoint()
        if segments[0] is oldest:
            self._give_up(oldest, thrift and store.chain.periodic > 0)
        if segments[0] is oldest:
            raise SpoolFull("the oldest segment cannot be removed", str(store.path), "give the disk some space")

    def _give_up(self, oldest: Segment, thrift: bool) -> None:
        """Carry over what is not periodic, if thrift, declare the rest lost, and remove the segment."""
        store = self._store
        store.losses.declare_missing()
        if thrift:
            self._carry(oldest)
        self._drop(oldest)
        for at, (number, loss) in enumerate(store.ledger.waiting):
            if number == oldest.identity.number:
                store.ledger.waiting[at] = (store.losses.keep(loss), loss)
        for _ in range(2):  # both slots
            store.save_cursor()
        oldest.given_up = True
        self.full = True
        store.counters.dropped += 1
        store.checkpoint()

    def _waiting(self, oldest: Segment) -> Iterator[tuple[int, bytes]]:
        """Yield seq and record of what waits in a segment, oldest first. What is found damaged is declared."""
        store = self._store
        carried = [seq for seq in oldest.carried if seq not in store.done]
        ranges = [*((seq, seq) for seq in carried), *store.done.gaps(oldest.first_seq, store.chain.oldest_last_seq)]
        for first, last in ranges:
            for seq in range(first, last + 1):
                if store.gone(seq) or store.chain.home(seq) is not oldest:
                    continue
                record = oldest.record(seq)
                if record is None and store.stored(seq):  # a bad moment of the disk
                    record = oldest.record(seq)
                if record:
                    yield seq, record

    def _carry(self, oldest: Segment) -> None:
        """Copy what is not periodic to the active segment, as far as there is space and the cursor can name it."""
        store = self._store
        ranges = len(store.done)
        for seq, record in self._waiting(oldest):
            _, flags, extent, _ = record_extent(record)
            if flags & RecordFlag.PERIODIC:
                continue
            ranges += 2  # one before and one behind it, at most
            if ranges > MOST_RANGES:
                break
            try:
                active = store.room(len(record), store.loss_room)
            except SpoolFull:
                break
            active.add_carried(seq, recast(record, CARRIED, active.salt), extent, flags)
            oldest.let_go(extent, flags)
            store.counters.carried += 1
        store.sync()

    def _drop(self, oldest: Segment) -> None:
        """Declare lost what still waits in the segment, in pieces that fit a record."""
        part: list[tuple[int, Extent, int]] = []
        ranges = 0
        for seq, record in self._waiting(oldest):
            _, flags, extent, _ = record_extent(record)
            if not part or part[-1][0] != seq - 1:
                ranges += 1
            if ranges > MOST_RANGES_OF_A_LOSS:
                self._declare(oldest, part)
                part, ranges = [], 1
            part.append((seq, extent, flags))
        self._declare(oldest, part)

    def _declare(self, oldest: Segment, part: list[tuple[int, Extent, int]]) -> None:
        """Declare these messages lost, but for those that were found missing since with others of their segment."""
        part = [message for message in part if not self._store.gone(message[0])]
        if not part:
            return
        extents: dict[str, Extent] = {}
        for _, extent, _ in part:
            device = extent.device
            extents[device] = extents[device].plus(extent) if device in extents else extent
        self._store.losses.record("full", len(part), runs([seq for seq, _, _ in part]), tuple(extents.values()))
        for _, extent, flags in part:
            self._store.move(oldest, extent, flags, "lost")
        self._store.write_ledger()
