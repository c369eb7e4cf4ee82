"""The ring: one writer, one reader, no lock. The wall between the process with the ports and the one with the network.

    page 0   fixed header, 4096 bytes                                             written by
      0      magic "MDIRING1", format u32, slots u32 (power of two)               whoever creates it
      64     head u64: slots published · next_seq u64 · dropped rows u64 ·        the writer (the port)
             dropped blocks u64 · plans u64 · first_seq u64 (set when made)
      128    tail u64: slots released · torn u64                                  the reader (the forwarder)
      256    plan table: 15 entries of 256 bytes {digest 32, profile id, firmware, serial} the writer
    64 KiB   notes: 512 entries of 128 bytes, text in UTF-8; how many there are says word 14     the writer
    then     slots of 32 bytes: a block is one header slot and then its rows

    block header  [pos u64][n u32][plan u16][spare u16][crc u32][spare 12]

Invariants
  * Positions only grow; the slot is `position & mask`; empty is head == tail; the buffer never holds more than `slots`.
  * Only the writer stores head, next_seq, dropped and plans; only the reader stores tail and torn. Each is one aligned
    8-byte store.
  * Rows, header, then head: in this order. x86 keeps stores in order, ARM does not, and nothing orders two processes
    in Python: so each block carries its own position and a CRC-32C over header and rows. The reader copies first and
    checks the copy; what does not check is not there yet.
  * Full drops the newest block and counts it. Its sequence numbers are used up, so the hole is visible in the rows, and
    the next block that fits is marked AFTER_GAP. Dropping the oldest would make the writer move the reader's tail.
  * Sequence numbers begin with the ring's incarnation, a number drawn when the ring is made. So numbers of a ring that
    was lost with the power never look like those of the ring made after it.
  * A block belongs to one device and names its plan, so no value is ever read with the wrong table.

The ring works on a buffer that is handed to it: a bytearray, or a file mapped by gateway.ring_file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from fastcrc import crc32

from gateway.core.errors import InternalError
from gateway.core.notes import MAX_NOTES, cut
from gateway.core.sample import SAMPLE, Block, Flag

MAGIC = b"MDIRING1"
FORMAT = 2
PAGE = 4096
SLOT = SAMPLE.itemsize
PLANS = 15
_NOTE = 128  # bytes of one note
FIRST_SLOT = PAGE + MAX_NOTES * _NOTE  # where the slots begin
TORN_TRIES = 200  # looks at one block before it counts as damaged; a store becomes visible within microseconds
INCARNATION_BITS = 24  # top bits of a sequence number: which making of the ring it belongs to
SEQ_BITS = 64 - INCARNATION_BITS  # 2^40 samples are 34 years at 1,000 a second

_FIXED = struct.Struct("<8sII")
_BLOCK = struct.Struct("<QIHHI12x")  # pos, n, plan, spare, crc: one slot
# The CRC starts from position, length and plan, so it covers them too. The salts (odd, from the golden ratio and from
# MurmurHash3's finalizer) keep different headers from starting alike.
_N_SALT, _PLAN_SALT = 0x9E3779B1, 0x85EBCA6B
_PLAN = struct.Struct("<32s128s64s32s")
# Indexes into the header seen as u64 words
_HEAD, _NEXT_SEQ, _DROPPED, _DROPPED_BLOCKS, _PLANS, _FIRST_SEQ, _NOTES = 8, 9, 10, 11, 12, 13, 14
_TAIL, _TORN = 16, 17
_PLAN_TABLE = 256

assert _BLOCK.size == SLOT
_checksum = crc32.iscsi


@dataclass(frozen=True, slots=True)
class PlanName:
    """Which plan made the rows of a block: the reader must be able to compile the same digest; and which device."""

    digest: bytes
    profile_id: str
    firmware: str
    serial: str = ""


class RingBlock(NamedTuple):
    """One block as it was published. rows: (n,) SAMPLE, a private copy, read-only; position: where it begins."""

    plan: int
    rows: Block
    position: int


def buffer_size(slots: int) -> int:
    """Return how many bytes a ring of `slots` rows needs. Raises: InternalError unless it is a power of two."""
    if slots < 2 or slots & (slots - 1):
        raise InternalError(f"ring of {slots} slots", hint="the number of slots is a power of two")
    return FIRST_SLOT + slots * SLOT


def format_buffer(buffer: memoryview, slots: int, incarnation: int = 1) -> None:
    """Make an empty ring of the buffer. incarnation: 1 to 2^24 - 1, drawn by chance where rings outlive a process."""
    buffer[: buffer_size(slots)] = bytes(buffer_size(slots))
    words = buffer[:PAGE].cast("Q")
    words[_FIRST_SEQ] = words[_NEXT_SEQ] = incarnation << SEQ_BITS | 1
    _FIXED.pack_into(buffer, 0, MAGIC, FORMAT, slots)


def same_ring(a: int, b: int) -> bool:
    """Tell whether two sequence numbers come from the same making of a ring."""
    return a >> SEQ_BITS == b >> SEQ_BITS


def missing_between(before: int, seq: int) -> int:
    """Return how many samples are missing between two sequence numbers; 0 across incarnations, where nobody knows."""
    return max(0, seq - before - 1) if same_ring(before, seq) else 0


class _Ring:
    """What both ends share: the view of the buffer."""

    def __init__(self, buffer: memoryview) -> None:
        magic, version, slots = _FIXED.unpack_from(buffer, 0)
        whole = slots >= 2 and not slots & (slots - 1) and len(buffer) >= FIRST_SLOT + slots * SLOT
        if magic != MAGIC or version != FORMAT or not whole:
            raise InternalError("not a ring of this format")
        self.slots: int = slots
        self._mask = slots - 1
        self._bytes = buffer.cast("B")
        self._words = buffer[:PAGE].cast("Q")
        self._end = buffer_size(slots)

    @property
    def fill(self) -> float:
        """Part of the slots in use, 0 to 1."""
        return self.waiting / self.slots

    @property
    def waiting(self) -> int:
        """Slots published and not yet released (rows and block headers)."""
        return int(self._words[_HEAD] - self._words[_TAIL])

    @property
    def published(self) -> int:
        """Position behind the newest block."""
        return int(self._words[_HEAD])

    @property
    def released(self) -> int:
        """Position up to which the reader has given everything back."""
        return int(self._words[_TAIL])

    @property
    def seen(self) -> int:
        """Rows that were ever offered to this ring, dropped ones included."""
        return self._words[_NEXT_SEQ] - self._words[_FIRST_SEQ]

    @property
    def dropped(self) -> int:
        """Rows dropped because the ring was full, since it was made."""
        return self._words[_DROPPED]

    @property
    def torn(self) -> int:
        """Blocks that never passed their check and were skipped."""
        return self._words[_TORN]

    def note(self, index: int) -> str:
        """Return the text of a note; "" for 0 and for what was never written."""
        if not 0 < index <= min(self._words[_NOTES], MAX_NOTES):
            return ""
        start = PAGE + (index - 1) * _NOTE
        return bytes(self._bytes[start : start + _NOTE]).rstrip(b"\0").decode(errors="replace")

    def plan_name(self, index: int) -> PlanName:
        """Return the plan registered under `index`."""
        digest, *texts = _PLAN.unpack_from(self._bytes, _PLAN_TABLE + index * _PLAN.size)
        return PlanName(digest, *(text.rstrip(b"\0").decode(errors="replace") for text in texts))


class RingWriter(_Ring):
    """The port's end."""

    def __init__(self, buffer: memoryview) -> None:
        super().__init__(buffer)
        self._head = self._words[_HEAD]
        self._tail = self._words[_TAIL]
        self._seq = self._words[_NEXT_SEQ]
        self._numbers, self._first = np.empty(0, np.uint64), 0
        self._noted = {self.note(i): i for i in range(1, self._words[_NOTES] + 1)}
        self._gap = self.seen > 0  # a writer that starts anew on a used ring: something may be missing before it

    def add_plan(self, plan: PlanName) -> int:
        """Register a plan and return its index. A full table is reused once the reader has taken everything.

        Raises: InternalError when the table is full and blocks are still waiting.
        """
        count = self._words[_PLANS]
        for index in range(count):
            if self.plan_name(index) == plan:
                return index
        if count == PLANS:
            if self._words[_TAIL] != self._head:
                raise InternalError("the ring's plan table is full", hint="wait until the forwarder has caught up")
            count = 0
        texts = (plan.profile_id.encode()[:128], plan.firmware.encode()[:64], plan.serial.encode()[:32])
        _PLAN.pack_into(self._bytes, _PLAN_TABLE + count * _PLAN.size, plan.digest, *texts)
        self._words[_PLANS] = count + 1
        return count

    def index(self, text: str) -> int:
        """Return the number of a note, written once (gateway.core.notes.Notes); 0 when the table is full."""
        known = self._noted.get(text)
        if known is not None:
            return known
        count, note = self._words[_NOTES], cut(text)
        known = self._noted.get(note.decode())  # a long text is known by what is kept of it, also after a new start
        if known is not None or count == MAX_NOTES:
            return known or 0
        start = PAGE + count * _NOTE
        self._bytes[start : start + _NOTE] = note.ljust(_NOTE, b"\0")
        self._words[_NOTES] = count + 1
        self._noted[note.decode()] = count + 1
        return count + 1

    def gap(self) -> None:
        """Something may be missing before the next block: it is marked AFTER_GAP."""
        self._gap = True

    def publish(self, rows: Block, plan: int) -> bool:
        """Number the rows and publish them as one block; False when it did not fit and was dropped.

        rows: (n,) SAMPLE of one device; `seq` is set here, in place.
        """
        n = len(rows)
        if not n:
            return True
        head, words = self._head, self._words
        self._number(rows, self._seq, n)
        if self._gap:
            rows["flags"][0] |= Flag.AFTER_GAP
        if head + n + 1 - self._tail > self.slots:
            self._tail = words[_TAIL]
            if head + n + 1 - self._tail > self.slots:
                return self._drop(n)
        self._store(rows.tobytes(), head, n, plan)
        self._gap = False
        self._head = head = head + n + 1
        words[_NEXT_SEQ] = self._seq
        words[_HEAD] = head
        return True

    def _number(self, rows: Block, seq: int, n: int) -> None:
        """Write the sequence numbers: a slice of a prepared run of numbers is half the price of making one."""
        start = seq - self._first
        if start + n > len(self._numbers):
            self._first, start = seq, 0
            self._numbers = np.arange(seq, seq + max(4 * n, 16384), dtype=np.uint64)
        rows["seq"] = self._numbers[start : start + n]
        self._seq = seq + n

    def _store(self, rows: bytes, head: int, n: int, plan: int) -> None:
        crc = _checksum(rows, (head + n * _N_SALT + plan * _PLAN_SALT) & 0xFFFFFFFF)
        start = FIRST_SLOT + (head & self._mask) * SLOT
        first, end = start + SLOT, self._end
        if first + len(rows) <= end:
            self._bytes[first : first + len(rows)] = rows
        else:
            cut = end - first
            self._bytes[first:end] = rows[:cut]
            self._bytes[FIRST_SLOT : FIRST_SLOT + len(rows) - cut] = rows[cut:]
        _BLOCK.pack_into(self._bytes, start, head, n, plan, 0, crc)

    def _drop(self, n: int) -> bool:
        self._gap = True
        self._words[_NEXT_SEQ] = self._seq
        self._words[_DROPPED] += n
        self._words[_DROPPED_BLOCKS] += 1
        return False


class RingReader(_Ring):
    """The forwarder's end: read as far as you like, release what is safe elsewhere."""

    def __init__(self, buffer: memoryview) -> None:
        super().__init__(buffer)
        self._cursor = self._words[_TAIL]
        self._tries = 0

    def read(self, max_rows: int) -> list[RingBlock]:
        """Return the next published blocks, until at least `max_rows` rows or no more; they stay in the ring."""
        blocks: list[RingBlock] = []
        head = self._words[_HEAD]
        taken = 0
        while self._cursor < head and taken < max_rows:
            block = self._block(head)
            if block is None:
                break
            blocks.append(block)
            taken += len(block.rows)
        return blocks

    def release(self) -> None:
        """Give back all that was read: it is durable elsewhere."""
        self._words[_TAIL] = self._cursor

    def rewind(self, position: int | None = None) -> None:
        """Read again from `position` on, by default from the last release."""
        self._cursor = self._words[_TAIL] if position is None else position

    def _block(self, head: int) -> RingBlock | None:
        """Copy the block at the cursor and check the copy; None when it is not there yet."""
        cursor = self._cursor
        start = FIRST_SLOT + (cursor & self._mask) * SLOT
        pos, n, plan, _, crc = _BLOCK.unpack_from(self._bytes, start)
        if pos == cursor and 0 < n < self.slots and cursor + n < head:
            first, size, end = start + SLOT, n * SLOT, self._end
            rows = bytes(self._bytes[first : first + size])
            if first + size > end:
                rows = bytes(self._bytes[first:end]) + bytes(self._bytes[FIRST_SLOT : FIRST_SLOT + first + size - end])
            if _checksum(rows, (pos + n * _N_SALT + plan * _PLAN_SALT) & 0xFFFFFFFF) == crc:
                self._cursor = cursor + n + 1
                self._tries = 0
                return RingBlock(plan, np.frombuffer(rows, SAMPLE), cursor)
        self._tries += 1
        if self._tries > TORN_TRIES:
            self._skip(head)
        return None

    def _skip(self, head: int) -> None:
        """A block never became whole (damaged memory): everything up to the head is given up and counted.

        The rows' own sequence numbers show the hole to whoever reads on.
        """
        self._words[_TORN] += 1
        self._cursor = head
        self._tries = 0
