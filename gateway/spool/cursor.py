"""Which messages need no further care, and that fact on disk.

`SeqSet` holds every number that is acknowledged, rejected or declared lost, as disjoint ranges. 0 is always in it, so
the first range is 0..watermark and everything behind it came out of order.

The cursor file has two slots of SLOT_BYTES, allocated at once and for ever, written in turn:
    magic 8s | crc u32 | epoch u32 | generation u64 | durable seq u64 | number of ranges u64 | ranges (u64, u64) …
The slot with the higher generation counts; while one is being written the other one stands. Ranges that do not fit are
left out, the lowest are kept: that costs duplicates after a crash, never a message. A slot holds 16,379 of them: as
many messages, one by one between others, can be carried over when the spool is full (see fullness.py).

With a key the magic is another one, and HMAC-SHA256 over all that the checksum covers stands behind the ranges: nobody
without the key can say that a message is done. A slot without it then counts only where nothing is sealed yet.
"""

from __future__ import annotations

import hmac
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fastcrc.crc32 import iscsi as crc32c

from gateway.security.seal import Mac
from gateway.spool.files import Disk
from gateway.spool.layout import BLOCK

_MAGIC, _SEALED = b"MDICURS1", b"MDICURS2"
_MAC_BYTES = 32
_SLOT = struct.Struct("<8sIIQQQ")
_RANGE = struct.Struct("<QQ")
_AT_EPOCH = 12  # the checksum covers everything from here to the end of the last range
SLOT_BYTES = 64 * BLOCK
MOST_RANGES = (SLOT_BYTES - _SLOT.size - _MAC_BYTES) // _RANGE.size


class SeqSet:
    """A set of sequence numbers as sorted disjoint ranges, never without 0."""

    def __init__(self, watermark: int = 0) -> None:
        self._first = [0]
        self._last = [watermark]

    @property
    def watermark(self) -> int:
        """The highest number below which none is missing."""
        return self._last[0]

    @property
    def total(self) -> int:
        """How many numbers are in it, 0 included."""
        return sum(self._last) - sum(self._first) + len(self._first)

    def __len__(self) -> int:
        """How many ranges it takes."""
        return len(self._first)

    def add(self, first: int, last: int) -> None:
        """Add first..last, inclusive; nothing when last < first."""
        if last < first:
            return
        begin = bisect_left(self._last, first - 1)
        end = bisect_right(self._first, last + 1)
        if begin < end:
            first = min(first, self._first[begin])
            last = max(last, self._last[end - 1])
        self._first[begin:end] = [first]
        self._last[begin:end] = [last]

    def update(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Add ranges, inclusive."""
        for pair in ranges:
            self.add(*pair)

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self._first, seq) - 1
        return at >= 0 and seq <= self._last[at]

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the ranges, lowest first, inclusive."""
        return zip(self._first, self._last, strict=True)

    def gaps(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return the ranges of first..last that are not in the set, lowest first."""
        found: list[tuple[int, int]] = []
        at = bisect_left(self._last, first)
        while first <= last and at < len(self._first) and self._first[at] <= last:
            if first < self._first[at]:
                found.append((first, self._first[at] - 1))
            first = self._last[at] + 1
            at += 1
        if first <= last:
            found.append((first, last))
        return found


@dataclass(frozen=True, slots=True)
class Cursor:
    """What one slot says. durable: highest seq known synced when it was written."""

    epoch: int
    durable: int
    done: SeqSet


class CursorFile:
    """The two slots. `found`: what they said at open; `bad_slots`: how many of them said nothing; `plain`: what was
    found has no MAC."""

    found: Cursor | None

    def __init__(self, disk: Disk, path: Path, macs: tuple[Mac, ...] = (), began: bool = False) -> None:
        """macs: of the keys, the one that seals first; began: something is sealed already."""
        self._disk = disk
        self._macs = macs
        self._name = path.name
        there = path.name in disk.names(path.parent)
        self._fd = disk.open(path) if there else disk.create(path, 2 * SLOT_BYTES, b"")
        with disk.typed(f"reserve {self._name}"):  # a power cut while it was made can leave it short: a later save
            disk.files.allocate(self._fd, 2 * SLOT_BYTES)  # would need space, and a full disk keep us from starting
        disk.sync(self._fd, self._name)  # what is read from here on is acted upon
        data = [disk.read(self._fd, SLOT_BYTES, n * SLOT_BYTES) for n in (0, 1)]
        slots = [decode_slot(one, macs, began) for one in data]
        self.plain = any(one.startswith(_MAGIC) for one in data)
        self._watermarks = [slot[1].done.watermark if slot else 0 for slot in slots]
        self.bad_slots = slots.count(None)
        self._generation, self.found = 0, None
        for slot in slots:
            if slot and slot[0] > self._generation:
                self._generation, self.found = slot

    @property
    def safe_watermark(self) -> int:
        """The watermark that stands in both slots: whatever happens to one of them, it is not forgotten."""
        return min(self._watermarks)

    def save(self, cursor: Cursor) -> None:
        """Make the cursor durable in the older slot."""
        ranges = list(cursor.done.ranges())[:MOST_RANGES]
        generation = self._generation + 1
        body = _SLOT.pack(_MAGIC, 0, cursor.epoch, generation, cursor.durable, len(ranges))[_AT_EPOCH:]
        body += b"".join(_RANGE.pack(*pair) for pair in ranges)
        magic, mac = (_SEALED, self._macs[0](body)) if self._macs else (_MAGIC, b"")
        slot = generation % 2
        self._disk.write(self._fd, magic + crc32c(body).to_bytes(4, "little") + body + mac, slot * SLOT_BYTES)
        self._disk.sync(self._fd, self._name)
        self._generation = generation
        self._watermarks[slot] = cursor.done.watermark


def decode_slot(data: bytes, macs: tuple[Mac, ...] = (), began: bool = False) -> tuple[int, Cursor] | None:
    """Return generation and cursor of one slot, or None when it is damaged, was never written, or is not ours. macs,
    began: see `CursorFile`; without macs, for a look from outside, the checksum will do."""
    if len(data) < _SLOT.size:
        return None
    magic, crc, epoch, generation, durable, count = _SLOT.unpack_from(data)
    allowed = (_SEALED,) if began and macs else (_MAGIC, _SEALED)
    if magic not in allowed or not 1 <= count <= MOST_RANGES:
        return None
    end = _SLOT.size + count * _RANGE.size
    if end > len(data) or crc32c(data[_AT_EPOCH:end]) != crc:
        return None
    if magic == _SEALED and macs and not _ours(data[_AT_EPOCH:end], data[end : end + _MAC_BYTES], macs):
        return None
    done = SeqSet()
    for pair in _RANGE.iter_unpack(data[_SLOT.size : end]):
        done.add(*pair)
    return generation, Cursor(epoch, durable, done)


def _ours(body: bytes, mac: bytes, macs: tuple[Mac, ...]) -> bool:
    return any(hmac.compare_digest(make(body), mac) for make in macs)
