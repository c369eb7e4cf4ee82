"""The bytes of a ring, pure: where everything stands, who writes it, and the names in it.

    page 0   fixed header, 4096 bytes                                             written by
      0      magic "MDIRING1", format u32, slots u32 (power of two)               whoever creates it
      64     head u64: slots published · next_seq · newest: where the last block  the writer (the port)
             begins · dropped blocks · plans · first_seq (set when made) · notes
             · devices
      128    tail u64: slots released · torn · which of the two marks counts      the reader (the forwarder)
      192    the last drop: next_seq u64 · device · its seen · its dropped ·      the writer
             next_seq again: whole when both agree
    4 KiB    devices: 254 entries of 64 bytes {name 48, seen u64, dropped u64}    the writer
    20 KiB   marks: two of 256 u64 {last seq read, spare, declared of device i}   the reader
    24 KiB   plans: 256 entries of 256 bytes {digest 32, profile id 128, firmware 64, serial 32}   the writer
    88 KiB   notes: 512 entries of 128 bytes, text in UTF-8                       the writer
    then     slots of 32 bytes: a block is one header slot and then its rows

    block header  [pos u64][n u32][plan u16][device u16][crc u32][clock u16][spare 10]

Each word has one writer, so nothing is locked. What belongs together but is more than one 8-byte store survives a kill
in between: the writer's counts follow from the newest block, or from what it wrote down of its last drop, and the next
writer completes them; the reader's marks are written where they do not count, and then made the ones that do.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from fastcrc import crc32

from gateway.core.errors import InternalError
from gateway.core.notes import MAX_NOTES
from gateway.core.sample import SAMPLE

MAGIC = b"MDIRING1"
FORMAT = 3
PAGE = 4096
SLOT = SAMPLE.itemsize
DEVICES = 254  # of one line; Modbus has at most 247 (over serial line V1.02, 2.2)
PLANS = 256
NOTE = 128  # bytes of one note
DEVICE_TABLE = PAGE
MARKS = DEVICE_TABLE + 4 * PAGE
PLAN_TABLE = MARKS + PAGE
NOTE_TABLE = PLAN_TABLE + PLANS * 256
FIRST_SLOT = NOTE_TABLE + MAX_NOTES * NOTE  # where the slots begin
INCARNATION_BITS = 24  # top bits of a sequence number: which making of the ring it belongs to
SEQ_BITS = 64 - INCARNATION_BITS  # 2^40 samples are 34 years at 1,000 a second

FIXED = struct.Struct("<8sII")
BLOCK = struct.Struct("<QIHHIH10x")  # pos, n, plan, device, crc, clock: one slot
PLAN = struct.Struct("<32s128s64s32s")
DEVICE = struct.Struct("<48sQQ")
DROP = struct.Struct("<QQQQQ")
DROP_AT = 192
MARK_WORDS = 256
# Indexes into the header seen as u64 words
HEAD, NEXT_SEQ, NEWEST, DROPPED_BLOCKS, N_PLANS, FIRST_SEQ, N_NOTES, N_DEVICES = range(8, 16)
TAIL, TORN, MARK = 16, 17, 18
SEEN_WORD, DROPPED_WORD = 6, 7  # of the eight words of a device
# The CRC starts from position, length, plan, device and clock, so it covers them too. The salts (odd, from the golden
# ratio and from the finalizers of MurmurHash3 and xxHash) keep different headers from starting alike.
N_SALT, PLAN_SALT, DEVICE_SALT, CLOCK_SALT = 0x9E3779B1, 0x85EBCA6B, 0xC2B2AE3D, 0x27D4EB2F
MASK_32 = 0xFFFFFFFF

checksum = crc32.iscsi
read_header = BLOCK.unpack_from
first_seq = struct.Struct("<Q").unpack_from  # SAMPLE.seq stands at byte 8 of a row

assert BLOCK.size == SLOT
assert DEVICE.size * DEVICES <= MARKS - DEVICE_TABLE


@dataclass(frozen=True, slots=True)
class PlanName:
    """Which plan made the rows of a block: the reader must be able to compile the same digest; and which device."""

    digest: bytes
    profile_id: str
    firmware: str
    serial: str = ""


def buffer_size(slots: int) -> int:
    """Return how many bytes a ring of `slots` rows needs. Raises: InternalError unless it is a power of two."""
    if slots < 2 or slots & (slots - 1):
        raise InternalError(f"ring of {slots} slots", hint="the number of slots is a power of two")
    return FIRST_SLOT + slots * SLOT


def format_buffer(buffer: memoryview, slots: int, incarnation: int = 1) -> None:
    """Make an empty ring of the buffer, which is all zeros. Only the first page is touched: the rest becomes memory
    when it is used. incarnation: 1 to 2^24 - 1, drawn by chance where rings outlive a process."""
    if len(buffer) < buffer_size(slots):
        raise InternalError(f"{len(buffer)} bytes are too few for a ring of {slots} slots")
    words = buffer[:PAGE].cast("Q")
    words[FIRST_SEQ] = words[NEXT_SEQ] = incarnation << SEQ_BITS | 1
    FIXED.pack_into(buffer, 0, MAGIC, FORMAT, slots)


def same_ring(a: int, b: int) -> bool:
    """Tell whether two sequence numbers come from the same making of a ring."""
    return a >> SEQ_BITS == b >> SEQ_BITS


def missing_between(before: int, seq: int) -> int:
    """Return how many samples are missing between two sequence numbers; 0 across incarnations, where nobody knows."""
    return max(0, seq - before - 1) if same_ring(before, seq) else 0
