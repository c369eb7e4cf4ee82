"""What the bytes of one segment hold: every record checked, what is damaged stepped over. Never raises on bytes."""

from __future__ import annotations

import struct
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.spool.cover import PLAIN, Cover
from gateway.spool.layout import (
    CARRIED,
    HEADER_BYTES,
    LOSS,
    MESSAGE,
    MESSAGE_BYTES,
    RECORD_BYTES,
    ROUTED,
    Identity,
    Loss,
    RecordFlag,
    decode_routed,
    message_parts,
    record_head,
    record_size,
    resync,
)
from gateway.spool.routed import Routed


def _always(_: int) -> bool:
    return True


@dataclass(slots=True)
class Scan:
    """What was found.

    offsets: file offset of message first_seq + i, 0 where it is not there
    carried: file offset by seq of the messages of segments that were given up
    losses: the loss records
    holes: byte ranges (begin, end) without a valid record, with valid ones behind them
    changed: byte ranges whose checksum is right and whose seal is not: somebody has changed them
    end: just behind the last valid record
    tail: how many bytes behind `end` are not zero padding: a torn append, or damage
    routed: how far each device was cared for at the end of the segment
    samples: of each device, in the messages that count; periodic: how many of these messages are PERIODIC
    resent: seq and control id of the RESENT messages that count
    compressed: whether any message is
    """

    offsets: array[int] = field(default_factory=lambda: array("I"))
    carried: dict[int, int] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)
    holes: list[tuple[int, int]] = field(default_factory=list)
    changed: list[tuple[int, int]] = field(default_factory=list)
    end: int = HEADER_BYTES
    tail: int = 0
    routed: dict[str, Routed] = field(default_factory=dict)
    samples: Counter[str] = field(default_factory=Counter)
    periodic: int = 0
    resent: list[tuple[int, str]] = field(default_factory=list)
    compressed: bool = False

    def offset(self, index: int) -> int:
        """Return where message first_seq + index is, 0 when it is not there."""
        return self.offsets[index] if 0 <= index < len(self.offsets) else 0

    def damaged(self, growing: bool) -> list[tuple[int, int]]:
        """Return the byte ranges that are damaged. growing: appends ended here, so its tail is torn, no damage; but
        what has been changed is none that an append could leave."""
        torn = growing and not (self.changed and self.changed[-1][1] > self.end)
        return self.holes if torn or not self.tail else [*self.holes, (self.end, self.end + self.tail)]


def scan(
    data: bytes, identity: Identity, salt: int, counts: Callable[[int], bool] = _always, cover: Cover = PLAIN
) -> Scan:
    """Read all records of a segment, the whole file in `data`. counts: whether the message with this seq is counted in
    `samples`, `periodic` and `resent`; cover: opens its records."""
    found = Scan()
    used = max(HEADER_BYTES, len(data.rstrip(b"\0")))
    pos = HEADER_BYTES
    while pos < used:
        size = record_size(data, pos, salt)
        record = cover.off(data[pos : pos + size], pos) if size else None
        if size and record is None:
            found.changed.append((pos, pos + size))
        if record and _take(found, record, pos, len(data), identity, counts):
            pos += size
            found.end = pos
            continue
        behind = resync(data, pos + 1, salt)
        if not behind:
            break
        found.holes.append((pos, behind))
        pos = behind
    found.tail = max(0, used - found.end)
    return found


def _take(
    found: Scan, record: bytes, pos: int, file_bytes: int, identity: Identity, counts: Callable[[int], bool]
) -> bool:
    """Enter the valid record at `pos`; False for one that cannot be of this segment."""
    kind, flags, epoch, seq = record_head(record, 0)
    size = len(record)
    if kind in (LOSS, ROUTED):
        return _take_note(found, kind, record[RECORD_BYTES:])
    least = RECORD_BYTES + MESSAGE_BYTES
    if flags & RecordFlag.RESENT and size > RECORD_BYTES:
        least += 1 + record[RECORD_BYTES]
    if kind not in (MESSAGE, CARRIED) or size < least:
        return False
    try:
        told, extent, routed, _, _ = message_parts(record, 0, flags)
    except struct.error:
        return False
    if kind == CARRIED:
        if epoch > identity.epoch or seq >= identity.first_seq:
            return False
        if found.carried.setdefault(seq, pos) != pos:
            return True
    else:
        index = seq - identity.first_seq
        if epoch != identity.epoch or not 0 <= index <= len(found.offsets) + file_bytes // RECORD_BYTES:
            return False
        found.offsets.extend([0] * (index + 1 - len(found.offsets)))
        if found.offsets[index]:  # only where bytes of a file have changed places
            return True
        found.offsets[index] = pos
    if kind == MESSAGE and not told:  # what was carried over or is sent a second time is of earlier samples
        found.routed[extent.device] = routed
    found.compressed |= bool(flags & RecordFlag.ZSTD)
    if counts(seq):
        found.samples[extent.device] += extent.count
        found.periodic += bool(flags & RecordFlag.PERIODIC)
        if told:
            found.resent.append((seq, told))
    return True


def _take_note(found: Scan, kind: int, payload: bytes) -> bool:
    """Enter a record that is no message."""
    if kind == LOSS:
        loss = Loss.decode(payload)
        if loss:
            found.losses.append(loss)
        return loss is not None
    try:
        found.routed |= decode_routed(payload)
    except struct.error:
        return False
    return True
