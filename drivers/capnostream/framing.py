"""Frames of the Capnostream in a byte stream, both ways of the escape, and the check byte.

    85 | LEN | CODE | payload … | CHK

LEN counts CODE and payload, unescaped. 85 is never escaped, so a bare 85 always begins a frame, whatever came before.
In all that follows it, 80 travels as 80 00 and 85 as 80 05. CHK is the exclusive or of LEN, CODE and the payload as
transmitted; since 80^00 is 80 and 80^05 is 85, that is the same as the exclusive or of the bytes without escape, and a
good frame without its 85 comes to 0.
"""

from __future__ import annotations

from functools import reduce
from operator import xor

from gateway.core.framing import Bad, Outside

HEADER = b"\x85"
ESCAPE = b"\x80"
ESCAPED = (0x80, 0x85)  # travel as 80 and the difference


class FrameReader:
    """Cuts frames out of a stream in any split. Holds one frame at most: 257 bytes, twice that when all is escaped."""

    def __init__(self) -> None:
        self._held = b""  # a frame that is not complete, from its header on
        self._outside = Outside()

    def feed(self, data: bytes) -> list[bytes | Bad]:
        """Return what is complete: CODE and payload of each frame with a right check byte, and what is no frame."""
        found: list[bytes | Bad] = []
        outside, *pieces = (self._held + data).split(HEADER)
        self._held = b""
        self._outside.add(len(outside), found)
        for piece in pieces:
            self._outside.tell(found)
            if self._held:  # the piece before was not complete, and here is a new header
                found.append(Bad("cut", f"{len(self._held)} bytes of a frame"))
                self._held = b""
            self._take(piece, found)
        return found

    def _take(self, piece: bytes, found: list[bytes | Bad]) -> None:
        """Take what stands behind a header: a frame with whatever follows it, or the beginning of one."""
        if ESCAPE in piece:
            frame, used = _unescaped(piece)
        else:
            frame, used = piece, (piece[0] + 2 if piece else 1)
        if frame is None:
            found.append(Bad("escape", "80 is followed by neither 00 nor 05"))
        elif len(piece) < used:
            self._held = HEADER + piece
            return
        else:
            found.append(_checked(frame[: frame[0] + 2]))
        if len(piece) > used:
            self._outside.add(len(piece) - used, found)


def _unescaped(piece: bytes) -> tuple[bytes | None, int]:
    """Return a frame without its escapes, and how many bytes of `piece` it takes: more than there are when some miss.

    What follows the frame is not looked at. None: an 80 is followed by neither 00 nor 05.
    """
    whole = piece.replace(b"\x80\x05", b"\x85").replace(b"\x80\x00", b"\x80")
    if len(whole) == whole[0] + 2 and len(piece) - len(whole) == piece.count(ESCAPE):
        return whole, len(piece)  # nearly always: a frame and nothing else
    frame = bytearray()
    at = 0
    while at < len(piece):
        byte = piece[at]
        at += 1
        if byte == ESCAPE[0]:
            if at == len(piece):
                break
            byte += piece[at]
            at += 1
            if byte not in ESCAPED:
                return None, at
        frame.append(byte)
        if len(frame) == frame[0] + 2:
            return bytes(frame), at
    return bytes(frame), len(piece) + 1


def _checked(frame: bytes) -> bytes | Bad:
    """Return CODE and payload of LEN, CODE, payload, CHK."""
    if len(frame) < 3:
        return Bad("length", "a frame without a code")
    if reduce(xor, frame):
        return Bad("checksum", f"code {frame[1]}, {len(frame) - 3} bytes")
    return frame[1:-1]
