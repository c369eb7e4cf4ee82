"""The bytes of a segment file, pure: nothing here opens anything.

A segment is preallocated (zeros), written front to back once, never again, and removed whole.

    0        header block, 4 KiB of its own, so that no append ever rewrites the block it stands in
             magic 8s | version u16 | gateway length u16 | epoch u32 | number u64 | first seq u64 | salt u32
             | gateway 64s | crc u32 | zeros                                            (little-endian throughout)
             of a sealed segment, before the zeros: key id 8s | salt 32s | crc u32 of all before it
    4096     records, one behind the other
             len u32 | crc u32 | type u8 | flags u8 | clock quality u8 | mark u8 | epoch u32 | seq u64
             | t_mono_ns i64 | t_utc_ns i64 | payload
    end      zeros: a record of length 0 does not exist

payload of a message (MESSAGE, CARRIED)
             [RESENT only: length u8 | control id] | first sample u64 | last sample u64 | samples u32
             | first ns i64 | last ns i64 | device length u16 | topic length u16 | routed (routed.py) | device | topic
             | ER7, with ZSTD as one zstd frame
payload of ROUTED: for each device: length u16 | device | routed

Invariants
- `len` counts the whole record. `crc` covers all of the record but itself, the length too, with the segment's salt
  before it, so the bytes of one segment never pass in another. The checksum is CRC-32C (Castagnoli, RFC 3720 appendix
  B.4), not the CRC-32 of zlib: the same width, a better distance at our record lengths, and faster here (4 kB in
  0.2 µs against 1.4 µs).
- The mark makes a record findable behind damage: ER7 is text and never holds a type, a byte below 5; what a compressed
  message holds by chance does not pass the checksum.
- A MESSAGE has the epoch of its segment, and its seq is the segment's first or one that follows. A CARRIED message
  was moved from a segment that was given up: type apart it is the same record, with the epoch and seq of its own, both
  before those of the segment. seq of a LOSS is its number within the epoch.
- The file's name repeats number, epoch and first seq, of a sealed one also key id and salt (its mark), and the salt of
  the checksums follows from them and the gateway id, so a damaged header costs no record.
- Magic, version and CRC of the header keep their places in every later version, so an older program can refuse.

Format 2 is plain. Format 3 is format 2 with its records sealed (cover.py); a spool may hold both. Format 1 had neither
the length in the checksum nor flags; it is refused as any other unknown one is.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import NamedTuple

import msgspec
from fastcrc.crc32 import iscsi as crc32c

from gateway.core.message import Message
from gateway.spool.compression import compress, decompress
from gateway.spool.routed import ROUTED_BYTES, Routed

FORMAT = 2
SEALED_FORMAT = 3
FORMATS = (FORMAT, SEALED_FORMAT)
BLOCK = 4096  # the unit in which disks are written and damaged (page, ext4 block, Advanced Format sector)
HEADER_BYTES = BLOCK
RECORD_BYTES = 40
MESSAGE = 1
LOSS = 2
CARRIED = 3
ROUTED = 4
GATEWAY_BYTES = 64

_MAGIC = b"MDISPOOL"
_HEADER = struct.Struct(f"<8sHHIQQI{GATEWAY_BYTES}s")
_CRC = struct.Struct("<I")
_LENGTH = struct.Struct("<I")
_U16 = struct.Struct("<H")
_LEAD = struct.Struct("<II")
_CHECKED = struct.Struct("<BBBBIQqq")
_MESSAGE = struct.Struct("<QQIqqHH")
MESSAGE_BYTES = _MESSAGE.size + ROUTED_BYTES  # the least that the payload of a message has
_MARK = 0xA5
_RESYNC = re.compile(rb"[\x01-\x04][\x00-\x07][\x00-\xff]\xa5", re.DOTALL)  # type, flags, clock quality, mark
_NAME = re.compile(r"segment-(\d{8,})-(\d{10})-(\d{20})(?:-([0-9a-f]{80}))?")
_MARK_BYTES = 40  # key id and salt of a sealed segment
AT_TYPE = 8  # offset of the type byte in a record

assert _LEAD.size + _CHECKED.size == RECORD_BYTES


class RecordFlag(IntFlag):
    """What a message record says of its message.

    PERIODIC: holds nothing but periodic values, states or waves, so it may be dropped first when space runs out
    ZSTD: its ER7 is compressed; RESENT: was rejected once and is sent again, so its control id stands in the payload
    """

    PERIODIC = 1
    ZSTD = 2
    RESENT = 4


@dataclass(frozen=True, slots=True)
class Extent:
    """Which samples of one device something holds: what is missing if it is lost.

    device: the configured name; "" when damage leaves it unknown
    first_seq, last_seq: per-port sample numbers, inclusive; 0 when damage leaves them unknown
    count: samples of this device among them; 0 when damage leaves the device unknown
    first_t_ns, last_t_ns: UTC ns of the first and the last sample, or of the messages around what is damaged
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
    reason: "full", "damaged", "tampered", "expired", or the word of whoever declared it
    declared: UTC, ISO 8601
    messages: how many of this spool's messages; 0 for samples that never became one
    first_message, last_message: their seq, inclusive; 0 when there are none
    extents: one per device
    ranges: which of first_message..last_message are lost, inclusive pairs; none given means all of them
    """

    epoch: int
    number: int
    reason: str
    declared: str
    messages: int
    first_message: int
    last_message: int
    extents: tuple[Extent, ...]
    ranges: tuple[tuple[int, int], ...] = ()

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """The ranges of seq that are lost, inclusive; none when no message is."""
        whole = ((self.first_message, self.last_message),) if self.messages else ()
        return self.ranges or whole

    def encode(self) -> bytes:
        """Return one line of JSON without its end."""
        return msgspec.json.encode(self)

    @staticmethod
    def decode(line: bytes) -> Loss | None:
        """Return the loss, or None when the bytes are not one."""
        try:
            return msgspec.json.decode(line, type=Loss)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None


class Identity(NamedTuple):
    """What tells one segment from every other of this gateway: its name and its header say it. mark: key id and salt
    of a sealed one in hexadecimal digits, "" of a plain one."""

    number: int
    epoch: int
    first_seq: int
    mark: str = ""

    @property
    def name(self) -> str:
        """The file name; names sort in the order of writing."""
        return f"segment-{self.number:08d}-{self.epoch:010d}-{self.first_seq:020d}" + (self.mark and f"-{self.mark}")

    def salt(self, gateway: str) -> int:
        """Return what every record's checksum starts from: CRC-32C of gateway id, epoch, number and mark."""
        return int(crc32c(f"{gateway}/{self.epoch}/{self.number}{self.mark and '/'}{self.mark}".encode()))


class Header(NamedTuple):
    """A header block whose checksum is right."""

    version: int
    gateway: str
    identity: Identity


def parse_name(name: str) -> Identity | None:
    """Return the identity in a segment's file name, or None for any other file."""
    match = _NAME.fullmatch(name)
    return Identity(int(match[1]), int(match[2]), int(match[3]), match[4] or "") if match else None


def encode_header(identity: Identity, gateway: str) -> bytes:
    """Return the header block, HEADER_BYTES long."""
    text = gateway.encode()
    version = SEALED_FORMAT if identity.mark else FORMAT
    numbers = identity.epoch, identity.number, identity.first_seq, identity.salt(gateway)
    fixed = _HEADER.pack(_MAGIC, version, len(text), *numbers, text)
    head = fixed + _CRC.pack(crc32c(fixed))
    if identity.mark:
        head += bytes.fromhex(identity.mark)
        head += _CRC.pack(crc32c(head))
    return head.ljust(HEADER_BYTES, b"\0")


def decode_header(data: bytes) -> Header | None:
    """Return the header at the start of `data`, or None when it is damaged or was never written."""
    fixed = data[: _HEADER.size]
    if len(data) < _HEADER.size + _CRC.size or not fixed.startswith(_MAGIC):
        return None
    if _CRC.unpack_from(data, _HEADER.size)[0] != crc32c(fixed):
        return None
    _, version, length, epoch, number, first_seq, _, text = _HEADER.unpack(fixed)
    mark = ""
    if version == SEALED_FORMAT:
        end = _HEADER.size + _CRC.size + _MARK_BYTES
        if data[end : end + _CRC.size] != _CRC.pack(crc32c(data[:end])):
            return None
        mark = data[end - _MARK_BYTES : end].hex()
    return Header(version, text[:length].decode(errors="replace"), Identity(number, epoch, first_seq, mark))


def encode_record(
    kind: int,
    epoch: int,
    seq: int,
    times: tuple[int, int],
    salt: int,
    payload: bytes,
    flags: int = 0,
    clock_quality: int = 0,
) -> bytes:
    """Return one record. times: (monotonic ns, UTC ns) of the append; clock_quality: of these times, one byte."""
    length = _LENGTH.pack(RECORD_BYTES + len(payload))
    head = _CHECKED.pack(kind, flags, clock_quality, _MARK, epoch, seq, *times)
    crc = crc32c(payload, crc32c(length + head, salt))
    return b"".join((length, _CRC.pack(crc), head, payload))


def message_payload(message: Message, extent: Extent, flags: int = 0, routed: Routed | None = None) -> bytes:
    """Return the payload of a message record: extent, device, topic, ER7. The control id follows from epoch and seq,
    but with RESENT; with ZSTD the ER7 is compressed."""
    device, topic, control = extent.device.encode(), message.topic.encode(), b""
    if flags & RecordFlag.RESENT:
        text = message.control_id.encode()
        control = bytes((len(text),)) + text
    fixed = _MESSAGE.pack(
        extent.first_seq, extent.last_seq, extent.count, extent.first_t_ns, extent.last_t_ns, len(device), len(topic)
    )
    body = compress(message.payload) if flags & RecordFlag.ZSTD else message.payload
    cared = (routed or Routed(extent.last_seq)).encode()
    return b"".join((control, fixed, cared, device, topic, body))


def routed_payload(routed: Mapping[str, Routed]) -> bytes:
    """Return the payload of a ROUTED record: how far each device was cared for when its segment began."""
    names = [(device.encode(), cared.encode()) for device, cared in routed.items()]
    return b"".join(part for name, cared in names for part in (_U16.pack(len(name)), name, cared))


def decode_routed(payload: bytes) -> dict[str, Routed]:
    """Return what `routed_payload` has written. Raises: struct.error for anything else."""
    found: dict[str, Routed] = {}
    at = 0
    while at < len(payload):
        (length,) = _U16.unpack_from(payload, at)
        at += _U16.size
        device = payload[at : at + length].decode(errors="replace")
        found[device], at = Routed.decode(payload, at + length)
    return found


class Stored(NamedTuple):
    """A message as read back: the message, what it holds, its append (UTC and monotonic ns, epoch of the run), and what
    its record says of it."""

    message: Message
    extent: Extent
    t_utc_ns: int
    t_mono_ns: int
    epoch: int
    flags: RecordFlag = RecordFlag(0)
    clock_quality: int = 0


def decode_message(record: bytes, gateway: str) -> Stored:
    """Return the message of a record that `record_size` has found valid."""
    _, flags, quality, _, epoch, seq, t_mono_ns, t_utc_ns = _CHECKED.unpack_from(record, _LEAD.size)
    told, extent, _, topic_at, topic_end = message_parts(record, 0, flags)
    size = _LEAD.unpack_from(record)[0]
    body = record[topic_end:size]
    if flags & RecordFlag.ZSTD:
        body = decompress(body)
    topic = record[topic_at:topic_end].decode(errors="replace")
    message = Message(seq, told or control_id(gateway, epoch, seq), topic, body)
    return Stored(message, extent, t_utc_ns, t_mono_ns, epoch, RecordFlag(flags), quality)


class RecordExtent(NamedTuple):
    """What counting needs of a message record."""

    seq: int
    flags: int
    extent: Extent
    control_id: str


def record_extent(record: bytes) -> RecordExtent:
    """Return seq, flags, extent and the control id that it names, of a message record found valid."""
    _, flags, _, seq = record_head(record, 0)
    told, extent, *_ = message_parts(record, 0, flags)
    return RecordExtent(seq, flags, extent, told)


def record_head(data: bytes, pos: int) -> tuple[int, int, int, int]:
    """Return type, flags, epoch and seq of the record at `pos`."""
    kind, flags, _, _, epoch, seq, _, _ = _CHECKED.unpack_from(data, pos + _LEAD.size)
    return kind, flags, epoch, seq


def recast(record: bytes, kind: int, salt: int) -> bytes:
    """Return a valid record as one of another type, for a segment with another salt; all else stays."""
    _, *rest = _CHECKED.unpack_from(record, _LEAD.size)
    head = _CHECKED.pack(kind, *rest)
    size = _LENGTH.unpack_from(record)[0]
    crc = crc32c(record[RECORD_BYTES:size], crc32c(record[: _LENGTH.size] + head, salt))
    return b"".join((record[: _LENGTH.size], _CRC.pack(crc), head, record[RECORD_BYTES:size]))


def message_parts(data: bytes, pos: int, flags: int) -> tuple[str, Extent, Routed, int, int]:
    """Return of the message record at `pos` the control id that it names ("" for its own), its extent, how far its
    device was cared for, and where its topic begins and ends. Raises: struct.error when that is beyond the end."""
    at = pos + RECORD_BYTES
    told = ""
    if flags & RecordFlag.RESENT:
        length = data[at]
        told = data[at + 1 : at + 1 + length].decode(errors="replace")
        at += 1 + length
    *numbers, device_len, topic_len = _MESSAGE.unpack_from(data, at)
    routed, at = Routed.decode(data, at + _MESSAGE.size)
    device = data[at : at + device_len].decode(errors="replace")
    return told, Extent(device, *numbers), routed, at + device_len, at + device_len + topic_len


def control_id(gateway: str, epoch: int, seq: int) -> str:
    """Return MSH-10 of a message."""
    return f"{gateway}-{epoch}-{seq}"


def number_of(control: str) -> tuple[int, int]:
    """Return epoch and seq of a control id, (0, 0) of any other text."""
    _, *numbers = control.rsplit("-", 2)
    epoch, seq = numbers if len(numbers) == 2 else ("", "")
    return (int(epoch), int(seq)) if epoch.isdecimal() and seq.isdecimal() else (0, 0)


def record_size(data: bytes | memoryview, pos: int, salt: int) -> int:
    """Return the length of the valid record at `pos`, 0 when there is none."""
    if pos + RECORD_BYTES > len(data):
        return 0
    size, crc = _LEAD.unpack_from(data, pos)
    if size < RECORD_BYTES or pos + size > len(data):
        return 0
    view = memoryview(data)
    start = crc32c(view[pos : pos + _LENGTH.size], salt)
    return size if crc32c(view[pos + AT_TYPE : pos + size], start) == crc else 0


def resync(data: bytes, pos: int, salt: int) -> int:
    """Return the offset of the next valid record at or behind `pos`, 0 when there is none."""
    for match in _RESYNC.finditer(data, pos + AT_TYPE):
        begin = match.start() - AT_TYPE
        if record_size(data, begin, salt):
            return begin
    return 0
