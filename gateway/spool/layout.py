"""The bytes of a segment file, pure: nothing here opens anything.

A segment is preallocated (zeros), written front to back once, never again, and removed whole.

    0        header block, 4 KiB of its own, so that no append ever rewrites the block it stands in
             magic 8s | version u16 | gateway length u16 | epoch u32 | number u64 | first seq u64 | salt u32
             | gateway 64s | crc u32 | zeros                                            (little-endian throughout)
    4096     records, one behind the other
             len u32 | crc u32 | type u8 | flags u8 | clock quality u8 | mark u8 | epoch u32 | seq u64
             | t_mono_ns i64 | t_utc_ns i64 | payload
    end      zeros: a record of length 0 does not exist

Invariants
- `len` counts the whole record. `crc` covers everything behind it, with the segment's salt before it, so the bytes
  of one segment never pass in another. The checksum is CRC-32C (Castagnoli, RFC 3720 appendix B.4), not the CRC-32 of
  zlib: the same width, a better distance at our record lengths, and faster here (4 kB in 0.2 µs against 1.4 µs).
- Flags and clock quality are 0 in version 1. The mark makes a record findable behind damage: ER7 is text and never
  holds `type 0 0 mark`. seq of a message is its number in the spool, of a loss its number within the epoch.
- The file's name repeats number, epoch and first seq, and the salt follows from them and the gateway id, so a damaged
  header costs no record.
- Magic, version and CRC of the header keep their places in every later version, so an older program can refuse.
"""

from __future__ import annotations

import re
import struct
from array import array
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from fastcrc.crc32 import iscsi as crc32c

from gateway.core.message import Message

FORMAT = 1
BLOCK = 4096  # the unit in which disks are written and damaged (page, ext4 block, Advanced Format sector)
HEADER_BYTES = BLOCK
RECORD_BYTES = 40
MESSAGE = 1
LOSS = 2
GATEWAY_BYTES = 64

_MAGIC = b"MDISPOOL"
_HEADER = struct.Struct(f"<8sHHIQQI{GATEWAY_BYTES}s")
_CRC = struct.Struct("<I")
_LEAD = struct.Struct("<II")
_CHECKED = struct.Struct("<BBBBIQqq")
_MESSAGE = struct.Struct("<QQIqqHH")
_MARK = 0xA5
_RESYNC = re.compile(rb"[\x01\x02]\x00\x00\xa5")  # type, flags, clock quality, mark
_NAME = re.compile(r"segment-(\d{8,})-(\d{10})-(\d{20})")
_AT_TYPE = 8  # offset of the type byte in a record

assert _LEAD.size + _CHECKED.size == RECORD_BYTES


@dataclass(frozen=True, slots=True)
class Extent:
    """Which samples of one device something holds: what is missing if it is lost.

    device: the configured name; "" when damage leaves it unknown
    first_seq, last_seq: per-port sample numbers, inclusive; count: samples of this device among them
    first_t_ns, last_t_ns: UTC ns of the first and the last sample
    """

    device: str
    first_seq: int
    last_seq: int
    count: int
    first_t_ns: int
    last_t_ns: int

    def plus(self, other: Extent) -> Extent:
        """Return the extent of both together (same device)."""
        first, last = min(self.first_seq, other.first_seq), max(self.last_seq, other.last_seq)
        times = min(self.first_t_ns, other.first_t_ns), max(self.last_t_ns, other.last_t_ns)
        return Extent(self.device, first, last, self.count + other.count, *times)


@dataclass(frozen=True, slots=True)
class Loss:
    """A declared loss: the payload of a loss record, and one line of losses.jsonl.

    epoch, number: its identity within the spool
    reason: "full", "damaged", or the word of whoever declared it
    declared: UTC, ISO 8601
    messages: how many of this spool's messages; 0 for samples that never became one
    first_message, last_message: their seq, inclusive; 0 when there are none
    extents: one per device
    """

    epoch: int
    number: int
    reason: str
    declared: str
    messages: int
    first_message: int
    last_message: int
    extents: tuple[Extent, ...]

    def encode(self) -> bytes:
        """Return one line of JSON without its end."""
        return msgspec.json.encode(self)

    @staticmethod
    def decode(line: bytes) -> Loss | None:
        """Return the loss, or None when the bytes are not one."""
        try:
            return msgspec.json.decode(line, type=Loss)
        except msgspec.MsgspecError:
            return None


class Identity(NamedTuple):
    """What tells one segment from every other of this gateway: its name and its header say it."""

    number: int
    epoch: int
    first_seq: int

    @property
    def name(self) -> str:
        """The file name; names sort in the order of writing."""
        return f"segment-{self.number:08d}-{self.epoch:010d}-{self.first_seq:020d}"

    def salt(self, gateway: str) -> int:
        """Return what every record's checksum starts from: CRC-32C of gateway id, epoch and number."""
        return int(crc32c(f"{gateway}/{self.epoch}/{self.number}".encode()))


class Header(NamedTuple):
    """A header block whose checksum is right."""

    version: int
    gateway: str
    identity: Identity


def parse_name(name: str) -> Identity | None:
    """Return the identity in a segment's file name, or None for any other file."""
    match = _NAME.fullmatch(name)
    return Identity(int(match[1]), int(match[2]), int(match[3])) if match else None


def encode_header(identity: Identity, gateway: str) -> bytes:
    """Return the header block, HEADER_BYTES long."""
    text = gateway.encode()
    fixed = _HEADER.pack(
        _MAGIC, FORMAT, len(text), identity.epoch, identity.number, identity.first_seq, identity.salt(gateway), text
    )
    return (fixed + _CRC.pack(crc32c(fixed))).ljust(HEADER_BYTES, b"\0")


def decode_header(data: bytes) -> Header | None:
    """Return the header at the start of `data`, or None when it is damaged or was never written."""
    fixed = data[: _HEADER.size]
    if len(data) < _HEADER.size + _CRC.size or not fixed.startswith(_MAGIC):
        return None
    if _CRC.unpack_from(data, _HEADER.size)[0] != crc32c(fixed):
        return None
    _, version, length, epoch, number, first_seq, _, text = _HEADER.unpack(fixed)
    return Header(version, text[:length].decode(errors="replace"), Identity(number, epoch, first_seq))


def encode_record(kind: int, epoch: int, seq: int, times: tuple[int, int], salt: int, payload: bytes) -> bytes:
    """Return one record. times: (monotonic ns, UTC ns) of the append."""
    head = _CHECKED.pack(kind, 0, 0, _MARK, epoch, seq, *times)
    crc = crc32c(payload, crc32c(head, salt))
    return b"".join((_LEAD.pack(RECORD_BYTES + len(payload), crc), head, payload))


def message_payload(message: Message, extent: Extent) -> bytes:
    """Return the payload of a message record: extent, device, topic, ER7. The control id follows from epoch and seq."""
    device, topic = extent.device.encode(), message.topic.encode()
    fixed = _MESSAGE.pack(
        extent.first_seq, extent.last_seq, extent.count, extent.first_t_ns, extent.last_t_ns, len(device), len(topic)
    )
    return b"".join((fixed, device, topic, message.payload))


class Stored(NamedTuple):
    """A message as read back: the message, what it holds, and its append: UTC and monotonic ns, epoch of the run."""

    message: Message
    extent: Extent
    t_utc_ns: int
    t_mono_ns: int
    epoch: int


def decode_message(record: bytes, gateway: str) -> Stored:
    """Return the message of a record that `record_size` has found valid."""
    _, _, _, _, epoch, seq, t_mono_ns, t_utc_ns = _CHECKED.unpack_from(record, _LEAD.size)
    extent, topic_at, topic_end = _extent(record, 0)
    size = _LEAD.unpack_from(record)[0]
    topic = record[topic_at:topic_end].decode(errors="replace")
    message = Message(seq, control_id(gateway, epoch, seq), topic, record[topic_end:size])
    return Stored(message, extent, t_utc_ns, t_mono_ns, epoch)


def _extent(data: bytes, pos: int) -> tuple[Extent, int, int]:
    """Return the extent of the message record at `pos`, and where its topic begins and ends."""
    at = pos + RECORD_BYTES
    *numbers, device_len, topic_len = _MESSAGE.unpack_from(data, at)
    at += _MESSAGE.size
    device = data[at : at + device_len].decode(errors="replace")
    return Extent(device, *numbers), at + device_len, at + device_len + topic_len


def control_id(gateway: str, epoch: int, seq: int) -> str:
    """Return MSH-10 of a message."""
    return f"{gateway}-{epoch}-{seq}"


def record_size(data: bytes | memoryview, pos: int, salt: int) -> int:
    """Return the length of the valid record at `pos`, 0 when there is none."""
    if pos + RECORD_BYTES > len(data):
        return 0
    size, crc = _LEAD.unpack_from(data, pos)
    if size < RECORD_BYTES or pos + size > len(data):
        return 0
    return size if crc32c(memoryview(data)[pos + _AT_TYPE : pos + size], salt) == crc else 0


@dataclass(slots=True)
class Scan:
    """What the bytes of one segment hold.

    offsets: file offset of message first_seq + i, 0 where it is not there
    losses: the loss records
    holes: byte ranges (begin, end) without a valid record, with valid ones behind them
    end: just behind the last valid record
    tail: how many bytes behind `end` are not zero padding: a torn append, or damage
    newest: last extent of each device
    """

    offsets: array[int] = field(default_factory=lambda: array("I"))
    losses: list[Loss] = field(default_factory=list)
    holes: list[tuple[int, int]] = field(default_factory=list)
    end: int = HEADER_BYTES
    tail: int = 0
    newest: dict[str, Extent] = field(default_factory=dict)

    def offset(self, index: int) -> int:
        """Return where message first_seq + index is, 0 when it is not there."""
        return self.offsets[index] if 0 <= index < len(self.offsets) else 0

    def damaged(self, growing: bool) -> list[tuple[int, int]]:
        """Return the byte ranges that are damaged. growing: appends ended here, so its tail is torn, no damage."""
        return self.holes if growing or not self.tail else [*self.holes, (self.end, self.end + self.tail)]


def scan(data: bytes, identity: Identity, salt: int) -> Scan:
    """Read all records of a segment, the whole file in `data`; step over what is damaged. Never raises on bytes."""
    found = Scan()
    used = max(HEADER_BYTES, len(data.rstrip(b"\0")))
    pos = HEADER_BYTES
    while pos < used:
        size = record_size(data, pos, salt)
        if size and _take(found, data, pos, identity):
            pos += size
            found.end = pos
            continue
        behind = _resync(data, pos + 1, salt)
        if not behind:
            break
        found.holes.append((pos, behind))
        pos = behind
    found.tail = max(0, used - found.end)
    return found


def _take(found: Scan, data: bytes, pos: int, identity: Identity) -> bool:
    """Enter the valid record at `pos`; False for one that cannot be of this segment."""
    kind, _, _, _, epoch, seq, _, _ = _CHECKED.unpack_from(data, pos + _LEAD.size)
    size = _LEAD.unpack_from(data, pos)[0]
    if kind == LOSS:
        loss = Loss.decode(data[pos + RECORD_BYTES : pos + size])
        if loss:
            found.losses.append(loss)
        return loss is not None
    missing = seq - identity.first_seq - len(found.offsets)
    if kind != MESSAGE or size < RECORD_BYTES + _MESSAGE.size:
        return False
    if epoch != identity.epoch or not 0 <= missing <= len(data) // RECORD_BYTES:
        return False
    found.offsets.extend([0] * missing)
    found.offsets.append(pos)
    extent = _extent(data, pos)[0]
    found.newest[extent.device] = extent
    return True


def _resync(data: bytes, pos: int, salt: int) -> int:
    """Return the offset of the next valid record at or behind `pos`, 0 when there is none."""
    for match in _RESYNC.finditer(data, pos + _AT_TYPE):
        begin = match.start() - _AT_TYPE
        if record_size(data, begin, salt):
            return begin
    return 0
