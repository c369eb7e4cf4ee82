"""Frames of the Zephyr sensors in a byte stream.

    02 | id | length | payload (length) | CRC | end        end: 03 data, 06 acknowledgement, 15 refusal

The CRC-8 (Dallas/Maxim) covers the payload only, not id and length, and nothing is stuffed. So a hit id would pass as
another packet with a right CRC: the length that each packet has is part of the frame check here. It also shows a false
02 at once, in most cases; where it does not, a good packet that is found further on ends the waiting.
"""

from __future__ import annotations

from typing import NamedTuple

from fastcrc import crc8

from gateway.core.framing import Bad, Outside

STX, ETX, ACK, NAK = 0x02, 0x03, 0x06, 0x15
ENDS = (ETX, ACK, NAK)
AROUND = 5  # bytes of a frame that are no payload
MAX_PAYLOAD = 128  # protocol notes

GENERAL, BREATHING, ECG, LIFESIGN, RR, ACCELERATION, HXM = 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26
SUMMARY, EVENT = 0x2B, 0x2C
LENGTHS = {BREATHING: 32, ECG: 88, LIFESIGN: 0, RR: 45, ACCELERATION: 84, HXM: 55, SUMMARY: 71, EVENT: 13}
GENERAL_BYTES = 17  # as far as it is described; its full length is not in our sources


class Packet(NamedTuple):
    """A good frame."""

    id: int
    payload: bytes
    end: int


_NO_FRAME = Bad("", "")  # nothing speaks for a frame there


class FrameReader:
    """Cuts frames out of a stream in any split. Holds one frame at most: 133 bytes."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._outside = Outside()

    def feed(self, data: bytes) -> list[Packet | Bad]:
        """Return what is complete, and what is no frame. After damage the search goes on one byte further."""
        held = self._held
        held += data
        found: list[Packet | Bad] = []
        at = 0
        while (begin := held.find(STX, at)) >= 0:
            self._outside.add(begin - at, found)
            at = begin
            item = _take(held, at)
            if item is None:
                later = _later(held, at)
                if later < 0:
                    break
                self._outside.add(later - at, found)
                at = later
            elif isinstance(item, Packet):
                self._outside.tell(found)
                found.append(item)
                at += AROUND + len(item.payload)
            else:
                if item.reason:
                    found.append(item)
                self._outside.add(1, found)
                at += 1
        else:
            self._outside.add(len(held) - at, found)
            at = len(held)
        del held[:at]
        return found


def _take(held: bytearray, at: int) -> Packet | Bad | None:
    """Return the frame at `at`, why there is none, or None when bytes are missing."""
    size = len(held) - at
    if size < 3:
        return None
    id_, length = held[at + 1], held[at + 2]
    fits = length <= MAX_PAYLOAD and _fits(id_, length)
    if not fits and length:  # an answer to a command has the id of the command, and usually no payload
        return _NO_FRAME
    if size < AROUND + length:
        return None
    crc, end = held[at + 3 + length], held[at + 4 + length]
    if end not in ENDS or (end == ETX and not fits):
        return _NO_FRAME
    payload = bytes(held[at + 3 : at + 3 + length])
    if crc8.maxim_dow(payload) != crc:
        return Bad("crc", f"packet {id_:02X} of {length} bytes") if _known(id_) else _NO_FRAME
    return Packet(id_, payload, end)


def _known(id_: int) -> bool:
    return id_ in LENGTHS or id_ == GENERAL


def _fits(id_: int, length: int) -> bool:
    """Tell whether this packet can have this length. A length that belongs to another packet is never a general one."""
    if id_ == GENERAL:
        return length >= GENERAL_BYTES and length not in LENGTHS.values()
    return LENGTHS.get(id_, length) == length


def _later(held: bytearray, at: int) -> int:
    """Return where a good packet of a known kind begins behind an incomplete one, which then was none; else -1."""
    while (at := held.find(STX, at + 1)) >= 0:
        item = _take(held, at)
        if isinstance(item, Packet) and item.payload and _known(item.id):
            return at
    return -1
