"""The ring: one writer, one reader, no lock. The wall between the process with the ports and the one with the network.

Its bytes are in gateway.core.ring_layout.

Invariants
  * Positions only grow; the slot is `position & mask`; empty is head == tail; the buffer never holds more than `slots`.
  * Each word has one writer: head, counts and plans the port, tail, torn and marks the forwarder.
  * Rows, header, then head: in this order. x86 keeps stores in order, ARM does not, and nothing orders two processes
    in Python: so each block carries its own position and a CRC-32C over header and rows. The reader copies first and
    checks the copy; what does not check is not there yet.
  * Full drops the newest block and counts it. Its sequence numbers are used up, so the hole is visible in the rows, and
    the next block that fits is marked AFTER_GAP. Dropping the oldest would make the writer move the reader's tail.
  * Sequence numbers begin with the ring's incarnation, a number drawn when the ring is made. So numbers of a ring that
    was lost with the power never look like those of the ring made after it.
  * A block belongs to one device and names its plan, so no value is ever read with the wrong table. The device stands
    there by its name: numbers of devices change when somebody edits the configuration.
  * Every row that was ever offered is in `seen` of its device, exactly: offered when the head moved, or when its drop
    was written down. A writer killed before that loses the block in its hands; killed later, its counts are completed
    by the next writer.

The ring works on a buffer that is handed to it: a bytearray, or a file mapped by gateway.ring_file.
"""

from __future__ import annotations

import numpy as np

from gateway.core import ring_layout as at
from gateway.core.errors import InternalError
from gateway.core.notes import MAX_NOTES, cut
from gateway.core.ring_layout import (
    CLOCK_SALT,
    DEVICE_SALT,
    FIRST_SLOT,
    MASK_32,
    N_SALT,
    PAGE,
    PLAN_SALT,
    SLOT,
    PlanName,
    checksum,
    first_seq,
    read_header,
)
from gateway.core.sample import Block, Flag

_HEAD, _NEXT_SEQ, _NEWEST = at.HEAD, at.NEXT_SEQ, at.NEWEST  # of the inner loop


class Ring:
    """What both ends share: the view of the buffer."""

    def __init__(self, buffer: memoryview) -> None:
        magic, version, slots = at.FIXED.unpack_from(buffer, 0)
        whole = slots >= 2 and not slots & (slots - 1) and len(buffer) >= FIRST_SLOT + slots * SLOT
        if magic != at.MAGIC or version != at.FORMAT or not whole:
            raise InternalError("not a ring of this format")
        self.slots: int = slots
        self._mask = slots - 1
        self._bytes = buffer.cast("B")
        self._words = buffer[:PAGE].cast("Q")
        self._of_device = buffer[at.DEVICE_TABLE : at.MARKS].cast("Q")
        self._end = at.buffer_size(slots)

    @property
    def fill(self) -> float:
        """Part of the slots in use, 0 to 1."""
        return self.waiting / self.slots

    @property
    def waiting(self) -> int:
        """Slots published and not yet released (rows and block headers)."""
        return int(self._words[at.HEAD] - self._words[at.TAIL])

    @property
    def published(self) -> int:
        """Position behind the newest block."""
        return int(self._words[at.HEAD])

    @property
    def seen(self) -> int:
        """Rows that were ever offered to this ring, dropped ones included."""
        return self._words[at.NEXT_SEQ] - self._words[at.FIRST_SEQ]

    @property
    def dropped(self) -> int:
        """Rows dropped because the ring was full, since it was made."""
        return sum(self._of_device[at.DROPPED_WORD : 8 * self._words[at.N_DEVICES] + 8 : 8])

    @property
    def torn(self) -> int:
        """Blocks that never passed their check and were skipped."""
        return self._words[at.TORN]

    def seen_of(self, device: int) -> int:
        """Return the rows that were ever offered of a device (by index), dropped ones included."""
        return self._of_device[8 * device + at.SEEN_WORD]

    def dropped_of(self, device: int) -> int:
        """Return the rows of a device that were dropped."""
        return self._of_device[8 * device + at.DROPPED_WORD]

    def device_name(self, index: int) -> str:
        """Return the name of a device, "" for 0."""
        start = at.DEVICE_TABLE + index * at.DEVICE.size
        return bytes(self._bytes[start : start + 48]).rstrip(b"\0").decode(errors="replace")

    def devices(self) -> list[str]:
        """Return the names of all devices, by index; the first one is "", for rows that nobody named."""
        return [self.device_name(index) for index in range(self._words[at.N_DEVICES] + 1)]

    def note(self, index: int) -> str:
        """Return the text of a note; "" for 0 and for what was never written."""
        if not 0 < index <= min(self._words[at.N_NOTES], MAX_NOTES):
            return ""
        start = at.NOTE_TABLE + (index - 1) * at.NOTE
        return bytes(self._bytes[start : start + at.NOTE]).rstrip(b"\0").decode(errors="replace")

    def plan_name(self, index: int) -> PlanName:
        """Return the plan registered under `index`."""
        digest, *texts = at.PLAN.unpack_from(self._bytes, at.PLAN_TABLE + index * at.PLAN.size)
        return PlanName(digest, *(text.rstrip(b"\0").decode(errors="replace") for text in texts))


class RingWriter(Ring):
    """The port's end. gap: something may be missing before the next block, which then is marked AFTER_GAP."""

    def __init__(self, buffer: memoryview) -> None:
        super().__init__(buffer)
        self._complete()
        self._head = self._words[at.HEAD]
        self._tail = self._words[at.TAIL]
        self._seq = self._words[at.NEXT_SEQ]
        self._numbers, self._first = np.empty(0, np.uint64), 0
        self._noted = {self.note(i): i for i in range(1, self._words[at.N_NOTES] + 1)}
        self._named = {name: index for index, name in enumerate(self.devices())}
        self.gap = self.seen > 0  # a writer that starts anew on a used ring: something may be missing before it

    def _complete(self) -> None:
        """Complete the counts that the writer before us left when it was killed. Doing it twice changes nothing."""
        words, counts = self._words, self._of_device
        seq, device, seen, dropped, again = at.DROP.unpack_from(self._bytes, at.DROP_AT)
        if seq == again and seq > words[at.NEXT_SEQ]:
            counts[8 * device + at.DROPPED_WORD], counts[8 * device + at.SEEN_WORD] = dropped, seen
            words[at.NEXT_SEQ] = seq
        newest = FIRST_SLOT + (words[at.NEWEST] & self._mask) * SLOT
        pos, n, _, device, _, _ = read_header(self._bytes, newest)
        if not n or pos + n + 1 != words[at.HEAD]:  # nothing yet, or a block that was never published
            return
        first = FIRST_SLOT + (pos + 1 & self._mask) * SLOT
        words[at.NEXT_SEQ] = max(words[at.NEXT_SEQ], first_seq(self._bytes, first + 8)[0] + n)
        counts[8 * device + at.SEEN_WORD] += self.seen - sum(map(self.seen_of, range(words[at.N_DEVICES] + 1)))

    def add_device(self, name: str) -> int:
        """Register a device and return its index. Raises: InternalError when the table is full."""
        known = self._named.get(name)
        if known is not None:
            return known
        index = self._words[at.N_DEVICES] + 1
        if index == at.DEVICES:
            raise InternalError("the ring's table of devices is full", hint="stop both processes, remove the ring")
        at.DEVICE.pack_into(self._bytes, at.DEVICE_TABLE + index * at.DEVICE.size, name.encode()[:48], 0, 0)
        self._words[at.N_DEVICES] = index
        self._named[name] = index
        return index

    def add_plan(self, plan: PlanName) -> int:
        """Register a plan and return its index. A full table is reused once the reader has taken everything.

        Raises: InternalError when the table is full and blocks are still waiting.
        """
        count = self._words[at.N_PLANS]
        for index in range(count):
            if self.plan_name(index) == plan:
                return index
        if count == at.PLANS:
            if self._words[at.TAIL] != self._head:
                raise InternalError("the ring's plan table is full", hint="wait until the forwarder has caught up")
            count = 0
        texts = (plan.profile_id.encode()[:128], plan.firmware.encode()[:64], plan.serial.encode()[:32])
        at.PLAN.pack_into(self._bytes, at.PLAN_TABLE + count * at.PLAN.size, plan.digest, *texts)
        self._words[at.N_PLANS] = count + 1
        return count

    def index(self, text: str) -> int:
        """Return the number of a note, written once (gateway.core.notes.Notes); 0 when the table is full."""
        known = self._noted.get(text)
        if known is not None:
            return known
        count, note = self._words[at.N_NOTES], cut(text)
        known = self._noted.get(note.decode())  # a long text is known by what is kept of it, also after a new start
        if known is not None or count == MAX_NOTES:
            return known or 0
        start = at.NOTE_TABLE + count * at.NOTE
        self._bytes[start : start + at.NOTE] = note.ljust(at.NOTE, b"\0")
        self._words[at.N_NOTES] = count + 1
        self._noted[note.decode()] = count + 1
        return count + 1

    def publish(self, rows: Block, plan: int, device: int = 0, clock: int = 0) -> bool:
        """Number the rows and publish them as one block; False when it did not fit and was dropped.

        rows: (n,) SAMPLE of one device; `seq` is set here, in place. clock: see RingBlock
        """
        n = len(rows)
        if not n:
            return True
        head, words = self._head, self._words
        self._number(rows, self._seq, n)
        if self.gap:
            rows["flags"][0] |= Flag.AFTER_GAP
        after = head + n + 1
        if after - self._tail > self.slots:
            self._tail = words[at.TAIL]
            if after - self._tail > self.slots:
                return self._drop(n, device)
        words[_NEWEST] = head
        self._store(rows.tobytes(), head, n, plan, device, clock)
        self.gap = False
        self._head = words[_HEAD] = after
        self._of_device[8 * device + at.SEEN_WORD] += n
        words[_NEXT_SEQ] = self._seq
        return True

    def _drop(self, n: int, device: int) -> bool:
        self.gap = True
        seen, dropped = self.seen_of(device) + n, self.dropped_of(device) + n
        at.DROP.pack_into(self._bytes, at.DROP_AT, self._seq, device, seen, dropped, self._seq)
        self._words[at.DROPPED_BLOCKS] += 1
        self._of_device[8 * device + at.DROPPED_WORD] = dropped
        self._of_device[8 * device + at.SEEN_WORD] = seen
        self._words[at.NEXT_SEQ] = self._seq
        return False

    def _number(self, rows: Block, seq: int, n: int) -> None:
        """Write the sequence numbers: a slice of a prepared run of numbers is half the price of making one."""
        start = seq - self._first
        if start + n > len(self._numbers):
            self._first, start = seq, 0
            self._numbers = np.arange(seq, seq + max(4 * n, 16384), dtype=np.uint64)
        rows["seq"] = self._numbers[start : start + n]
        self._seq = seq + n

    def _store(self, rows: bytes, head: int, n: int, plan: int, device: int, clock: int) -> None:
        of = head + n * N_SALT + plan * PLAN_SALT + device * DEVICE_SALT + clock * CLOCK_SALT
        crc = checksum(rows, of & MASK_32)
        start = FIRST_SLOT + (head & self._mask) * SLOT
        first, end = start + SLOT, self._end
        if first + len(rows) <= end:
            self._bytes[first : first + len(rows)] = rows
        else:
            cut = end - first
            self._bytes[first:end] = rows[:cut]
            self._bytes[FIRST_SLOT : FIRST_SLOT + len(rows) - cut] = rows[cut:]
        at.BLOCK.pack_into(self._bytes, start, head, n, plan, device, crc, clock)
