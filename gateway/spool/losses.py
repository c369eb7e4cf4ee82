"""What is lost: found, declared durably, counted, in this order.

A message that is lost counts as done after its loss is durable in a segment, not before; until then it is `missing`. A
segment with losses recorded in it stays until they are in the ledger too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from gateway.spool.errors import SpoolRefused
from gateway.spool.layout import LOSS, RECORD_BYTES, Extent, Loss, Stored, encode_record
from gateway.spool.recovery import quarantine
from gateway.spool.times import iso

if TYPE_CHECKING:
    from gateway.spool.segment import Segment
    from gateway.spool.store import Store

MOST_RANGES = 64  # in one loss record; more are told in further records, so that each fits the reserve of a segment

DAMAGED, TAMPERED = "damaged", "tampered"

Range = tuple[int, int]


@dataclass(slots=True)
class Missing:
    """Messages that cannot be read and are not declared yet. samples: in them, of each device, as far as known;
    reason: why, as it will be declared."""

    ranges: list[Range]
    samples: Counter[str] = field(default_factory=Counter)
    reason: str = DAMAGED

    def holds(self, seq: int) -> bool:
        """Return whether `seq` is one of them."""
        return any(first <= seq <= last for first, last in self.ranges)


class Losses:
    """See the module text. missing: oldest first; declared: samples of each device that never became a message."""

    def __init__(self, store: Store, missing: list[Range], tampered: Callable[[Range], bool]) -> None:
        self.missing = [Missing([pair], reason=TAMPERED if tampered(pair) else DAMAGED) for pair in missing]
        self.declared: Counter[str] = Counter()
        self._store = store
        self._number = 0

    @property
    def samples(self) -> Counter[str]:
        """What is missing and not declared yet, in samples of each device. It still counts as waiting."""
        total: Counter[str] = Counter()
        for missing in self.missing:
            total.update(missing.samples)
        return total

    def record(self, reason: str, messages: int, ranges: list[Range], extents: tuple[Extent, ...]) -> None:
        """Record a loss durably; then, not before, the messages of `ranges` count as done. What they hold is for the
        caller to move."""
        store = self._store
        times = store.clock()
        first, last = (ranges[0][0], ranges[-1][1]) if ranges else (0, 0)
        told = tuple(ranges) if len(ranges) > 1 else ()
        number = self._number + 1
        loss = Loss(store.epoch, number, reason, iso(times[1]), messages, first, last, extents, told)
        store.ledger.waiting.append((self._keep(loss, times), loss))
        self._number = number
        for pair in ranges:
            store.done.add(*pair)
        store.counters.declared += 1
        store.counters.lost += messages

    def keep(self, loss: Loss) -> int:
        """Record once more a loss whose segment is given up; return the number of the segment that has it now."""
        return self._keep(loss, self._store.clock())

    def _keep(self, loss: Loss, times: tuple[int, int]) -> int:
        payload = loss.encode()
        active = self._store.room(RECORD_BYTES + len(payload), 0)
        active.flush()
        active.add(encode_record(LOSS, loss.epoch, loss.number, times, active.salt, payload))
        try:
            active.flush()
        except SpoolRefused:
            active.undo()
            raise
        self._store.sync()
        return active.identity.number

    def declare_samples(self, extent: Extent, reason: str) -> None:
        """Record durably that samples were lost before they became a message."""
        self.record(reason, 0, [], (extent,))
        self.declared[extent.device] += extent.count
        self._store.write_ledger()

    def declare_message(self, stored: Stored, reason: str) -> None:
        """Declare one waiting message lost, with its samples."""
        seq = stored.message.seq
        home = self._store.chain.home(seq)
        self.record(reason, 1, [(seq, seq)], (stored.extent,))
        if home is not None:
            self._store.move(home, stored.extent, stored.flags, "lost")
        self._store.write_ledger()

    # ---- damage

    def damaged(self, segment: Segment, acked: int = 0) -> bool:
        """Look a second time at a segment of which a message could not be read; what is not there now is missing.

        False when all of it is there: the disk had a bad moment. acked: this one was answered, so its samples are not
        lost; when others are missing with it nobody knows which are whose, and all count as lost, never too few.
        """
        store = self._store
        if segment is store.chain.active:
            store.sync()
        found, data = segment.examine(lambda seq: seq not in store.done and store.chain.home(seq) is segment)
        there = set(found.carried) | {segment.first_seq + i for i, offset in enumerate(found.offsets) if offset}
        gone = [seq for seq in self._waiting_in(segment) if seq not in there]
        if not gone:
            if segment is not store.chain.active:
                segment.close()  # so that the next read indexes it anew
            return False
        quarantine(store.disk, segment, found.damaged(growing=segment is store.chain.active), data)
        unknown = segment.samples - found.samples
        segment.samples, segment.periodic = found.samples, found.periodic
        others = [seq for seq in gone if seq != acked]
        if others:
            self.missing.append(Missing(runs(others), unknown, TAMPERED if found.changed else DAMAGED))
            store.counters.damaged += len(others)
            store.counters.tampered += len(others) if found.changed else 0
        else:
            for device, count in unknown.items():
                store.tally(device).acked += count
        return True

    def _waiting_in(self, segment: Segment) -> list[int]:
        """Return what should be in a segment, is not done and not known to be missing, lowest first."""
        store = self._store
        last = min(segment.last_seq, store.durable)
        own = [seq for first, end in store.done.gaps(segment.first_seq, last) for seq in range(first, end + 1)]
        seqs = [*(seq for seq in segment.carried if seq not in store.done), *own]
        return [seq for seq in seqs if not self.holds(seq) and store.chain.home(seq) is segment]

    def holds(self, seq: int) -> bool:
        """Return whether a message is missing."""
        return any(missing.holds(seq) for missing in self.missing)

    def declare_missing(self) -> None:
        """Declare what cannot be read. Raises SpoolRefused; what is left is tried again."""
        while self.missing:
            missing = self.missing[0]
            ranges = [gap for pair in missing.ranges for gap in self._store.done.gaps(*pair)]
            for at in range(0, len(ranges), MOST_RANGES):
                part = ranges[at : at + MOST_RANGES]
                messages = sum(last - first + 1 for first, last in part)
                self.record(missing.reason, messages, part, self._extents(part, missing.samples))
                for device, count in missing.samples.items():
                    self._store.tally(device).lost += count
                missing.samples = Counter()
            del self.missing[0]
            self._store.write_ledger()

    def _extents(self, ranges: list[Range], samples: Counter[str]) -> tuple[Extent, ...]:
        """Return what damaged messages held, as far as that is known: of which device how much, and the time from the
        messages around them."""
        around = map(self._store.chain.read, (ranges[0][0] - 1, ranges[-1][1] + 1))
        times = [stored.t_utc_ns for stored in around if stored]
        span = min(times, default=0), max(times, default=0)
        known = tuple(Extent(device, 0, 0, count, *span) for device, count in sorted(samples.items()) if count > 0)
        return known or (Extent("", 0, 0, 0, *span),)

    def try_to_declare(self) -> None:
        """As `declare_missing`; what the disk refuses is left for the next checkpoint."""
        with suppress(SpoolRefused):
            self.declare_missing()


def runs(seqs: list[int]) -> list[Range]:
    """Return sorted numbers as ranges, inclusive."""
    found = []
    for _, group in groupby(enumerate(seqs), lambda pair: pair[1] - pair[0]):
        run = [seq for _, seq in group]
        found.append((run[0], run[-1]))
    return found
