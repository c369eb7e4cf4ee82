"""The forwarder's end of a ring: copies blocks out, checks them, says what is missing, gives back what is cared for.

See gateway.core.ring for the invariants and gateway.core.ring_layout for the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gateway.core import ring_layout as at
from gateway.core.ring import Ring
from gateway.core.ring_layout import (
    CLOCK_SALT,
    DEVICE_SALT,
    FIRST_SLOT,
    MASK_32,
    N_SALT,
    PLAN_SALT,
    SLOT,
    checksum,
    first_seq,
    missing_between,
    read_header,
)
from gateway.core.sample import SAMPLE, Block

TORN_TRIES = 200  # looks at one block before it counts as damaged; a store becomes visible within microseconds
_made = tuple.__new__  # a third of the price of calling the class


class RingBlock(NamedTuple):
    """One block as it was published.

    rows: (n,) SAMPLE, a private copy, read-only; plan: index for plan_name; device: name
    clock: quality of the clock when it was published (gateway.core.clock); position: where it begins
    missing: (device, rows) that are missing before it, (sum) as the sequence numbers show
    """

    plan: int
    rows: Block
    position: int
    device: str = ""
    clock: int = 0
    missing: tuple[tuple[str, int], ...] = ()


class RingReader(Ring):
    """The forwarder's end: read as far as you like, release what is safe elsewhere.

    last: sequence number of the last row read, also by the reader before this one; 0 = none yet
    """

    def __init__(self, buffer: memoryview) -> None:
        super().__init__(buffer)
        self._marks = buffer[at.MARKS : at.PLAN_TABLE].cast("Q")
        self._tries = 0
        self._names = self.devices()
        self.rewind()

    def read(self, max_rows: int) -> Iterator[RingBlock]:
        """Yield the next published blocks, until at least `max_rows` rows or no more; they stay in the ring."""
        head = self._words[at.HEAD]
        taken = 0
        while self._cursor < head and taken < max_rows:
            block = self._block(head)
            if block is None:
                return
            taken += len(block.rows)
            yield block

    @property
    def cursor(self) -> int:
        """Position behind the last block read."""
        return self._cursor

    def release(self, position: int | None = None) -> None:
        """Give back what lies before `position`, by default all that was read: it is durable elsewhere, and what was
        missing is declared. Rows behind it that were read come again after a restart, holes before them do not."""
        which = 1 - self._words[at.MARK]
        if self._marked[which] is not self._declared:  # seldom: something was dropped
            for index, n in enumerate(self._declared):
                self._marks[which * at.MARK_WORDS + 2 + index] = n
            self._marked[which] = self._declared
        self._marks[which * at.MARK_WORDS] = self.last
        self._words[at.MARK] = which
        self._words[at.TAIL] = self._cursor if position is None else min(position, self._cursor)

    def rewind(self) -> None:
        """Read again from the last release on."""
        mark = self._words[at.MARK] * at.MARK_WORDS
        self._cursor = self._words[at.TAIL]
        self.last = self._marks[mark]
        self._declared = self._marks[mark + 2 : mark + at.MARK_WORDS].tolist()  # drops that have shown, by device
        self._before = self._cursor, self.last, self._declared
        self._marked: list[object] = [None, None]  # what stands in the two marks

    def put_back(self) -> None:
        """The last block read is to be read again."""
        self._cursor, self.last, self._declared = self._before

    def undeclared_of(self, device: int) -> int:
        """Return the rows dropped of a device that have not shown as missing yet."""
        return max(0, self.dropped_of(device) - self._declared[device])

    def counts(self) -> dict[str, tuple[int, int, int]] | None:
        """Return of each device, by name: rows ever offered, rows published and not yet read (from the headers of their
        blocks), rows dropped that no hole has shown yet. None while the writer is between two of its stores."""
        words = self._words
        head = words[at.HEAD]
        names, ahead = self.devices(), self._ahead(head)
        found = {name: (self.seen_of(i), ahead.get(i, 0), self.undeclared_of(i)) for i, name in enumerate(names)}
        first = FIRST_SLOT + (words[at.NEWEST] + 1 & self._mask) * SLOT
        whole = not head or words[at.NEXT_SEQ] > first_seq(self._bytes, first + 8)[0]
        settled = head == words[at.HEAD] and whole and sum(seen for seen, _, _ in found.values()) == self.seen
        return found if settled else None

    def _ahead(self, head: int) -> dict[int, int]:
        rows: dict[int, int] = {}
        cursor = self._cursor
        while cursor < head:
            pos, n, _, device, *_ = read_header(self._bytes, FIRST_SLOT + (cursor & self._mask) * SLOT)
            if pos != cursor or not 0 < n < self.slots:
                break
            rows[device] = rows.get(device, 0) + n
            cursor += n + 1
        return rows

    def _block(self, head: int) -> RingBlock | None:
        """Copy the block at the cursor and check the copy; None when it is not there yet."""
        cursor = self._cursor
        start = FIRST_SLOT + (cursor & self._mask) * SLOT
        pos, n, plan, device, crc, clock = read_header(self._bytes, start)
        if pos == cursor and 0 < n < self.slots and cursor + n < head:
            first, size, end = start + SLOT, n * SLOT, self._end
            rows = bytes(self._bytes[first : first + size])
            if first + size > end:
                rows = bytes(self._bytes[first:end]) + bytes(self._bytes[FIRST_SLOT : FIRST_SLOT + first + size - end])
            of = pos + n * N_SALT + plan * PLAN_SALT + device * DEVICE_SALT + clock * CLOCK_SALT
            if checksum(rows, of & MASK_32) == crc:
                self._before = cursor, self.last, self._declared
                self._cursor = cursor + n + 1
                self._tries = 0
                if device >= len(self._names):
                    self._names = self.devices()
                block, seq, last = np.frombuffer(rows, SAMPLE), first_seq(rows, 8)[0], self.last
                missing = () if seq == last + 1 else self._missing(seq, device)
                if seq + n > last:
                    self.last = seq + n - 1
                return _made(RingBlock, (plan, block, cursor, self._names[device], clock, missing))
        self._tries += 1
        if self._tries > TORN_TRIES:
            self._skip(head)
        return None

    def _missing(self, seq: int, device: int) -> tuple[tuple[str, int], ...]:
        """Return what is missing before `seq`, by device as the drops say; what no drop explains (a damaged block that
        was skipped) is said of the device whose block shows it."""
        left = missing_between(self.last, seq) if self.last else seq - self._words[at.FIRST_SEQ]
        found: dict[str, int] = {}
        if left:
            self._declared = self._declared.copy()  # the one before is kept for put_back
        for index in range(self._words[at.N_DEVICES] + 1) if left else ():
            n = min(left, self.undeclared_of(index))
            if n:
                self._declared[index] += n
                found[self.device_name(index)] = n
                left -= n
        if left:
            name = self.device_name(device)
            found[name] = found.get(name, 0) + left
        return tuple(found.items())

    def _skip(self, head: int) -> None:
        """A block never became whole (damaged memory): everything up to the head is given up and counted.

        The rows' own sequence numbers show the hole to whoever reads on.
        """
        self._words[at.TORN] += 1
        self._cursor = head
        self._tries = 0
