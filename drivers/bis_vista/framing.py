"""Frames of the BIS Vista in a byte stream.

    BA AB | sequence u16 | length u16 | type u16 | payload (length) | checksum u16        all little endian

The checksum is the sum of all bytes from the sequence to the end of the payload, modulo 65536. The length says where a
frame ends: BA AB may well stand inside of it, so the stream is never cut at the delimiter.

A false header, or a length that was hit, must not make the reader wait for bytes that belong to the next frames: these
would then be given late and with a wrong time. So whatever can be checked early is checked as soon as it is there: the
type, the length that this type can have, and of a data frame that the two lengths in it agree.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from gateway.core.framing import Bad, Outside

DELIMITER = b"\xba\xab"
HEADER = struct.Struct("<2xHHH")  # sequence, length, type
DATA_HEADER = struct.Struct("<IIHH")  # routing id, message id, sequence, length of the data
CHECKSUM_BYTES = 2
DATA, ACK, NAK = 1, 2, 3
ROUTING = 4
MAX_DATA = 2048  # longest payload taken: four times the longest one known, of a bilateral monitor (544)
MAX_ANSWER = 64  # of an ACK or NAK, whose payload is not described: far more than a header needs


class Message(NamedTuple):
    """A good frame: an answer (ACK, NAK: number 0, data its payload) or a message with its number."""

    type: int
    number: int
    data: bytes


class FrameReader:
    """Cuts frames out of a stream in any split. Holds one frame at most."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._outside = Outside()

    def feed(self, data: bytes) -> list[Message | Bad]:
        """Return what is complete, and what is no frame. After damage the search goes on one byte further."""
        held = self._held
        held += data
        found: list[Message | Bad] = []
        at = 0
        while (begin := _find(held, at)) < len(held):
            self._outside.add(begin - at, found)
            at = begin
            item = _take(held, at)
            if item is None:
                break
            self._outside.tell(found)
            found.append(item)
            if isinstance(item, Bad):
                self._outside.add(1, found)
                at += 1
            else:
                at += HEADER.size + HEADER.unpack_from(held, at)[1] + CHECKSUM_BYTES
        else:
            self._outside.add(len(held) - at, found)
            at = len(held)
        del held[:at]
        return found


def checksum(data: bytes | bytearray) -> int:
    """Return the sum of the bytes, modulo 65536."""
    return sum(data) & 0xFFFF


def _find(held: bytearray, at: int) -> int:
    """Return where the next frame may begin: a delimiter, or half of one at the very end."""
    begin = held.find(DELIMITER, at)
    if begin >= 0:
        return begin
    return len(held) - 1 if held[at:].endswith(DELIMITER[:1]) else len(held)


def _take(held: bytearray, at: int) -> Message | Bad | None:
    """Return the frame that begins at `at`, what is wrong with it, or None when bytes are missing."""
    if len(held) - at < HEADER.size:
        return None
    _, length, kind = HEADER.unpack_from(held, at)
    if kind not in (DATA, ACK, NAK):
        return Bad("header", f"type {kind}")
    if not (DATA_HEADER.size <= length <= MAX_DATA if kind == DATA else length <= MAX_ANSWER):
        return Bad("header", f"type {kind}, length {length}")
    body = at + HEADER.size
    number = 0
    if kind == DATA:
        if len(held) - body < DATA_HEADER.size:
            return None
        routing, number, _, inside = DATA_HEADER.unpack_from(held, body)
        if routing != ROUTING or inside != length - DATA_HEADER.size:
            return Bad("header", f"routing id {routing}, lengths {length} and {inside}")
    end = body + length
    if len(held) < end + CHECKSUM_BYTES:
        return None
    if checksum(held[at + len(DELIMITER) : end]) != int.from_bytes(held[end : end + CHECKSUM_BYTES], "little"):
        return Bad("checksum", f"type {kind}, message {number:#04x}, {length} bytes")
    return Message(kind, number, bytes(held[body + (DATA_HEADER.size if kind == DATA else 0) : end]))
