"""E1381 frames in a stream of bytes: STX FN text ETX|ETB C1 C2 CR LF, and the single bytes ENQ and EOT around them.

The sender waits for an answer after each frame, each ENQ and each EOT. So LF ends a frame, whatever is in it; and a
frame that stands still in the middle is damaged: either its LF is lost, or what looked like its STX was none. Then its
last byte may be the ENQ or EOT with which the sender went on (neither may stand in a text): see `settle`.

Sources: protocol notes "Link layer"; Roche cobas c111 and OsmoTECH XT host interface manuals by way of them.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

ENQ, ACK, NAK, STX, ETX, EOT, ETB = 0x05, 0x06, 0x15, 0x02, 0x03, 0x04, 0x17
MAX_FRAME = 65_600
"""Longest content. E1381 says 247 bytes, the OsmoTECH XT sends 64,000; the notes ask for no less than 64 KiB."""
_BEGIN = re.compile(rb"[\x02\x04\x05]")  # STX, EOT, ENQ: all that means something between frames
_HEX = re.compile(rb"[0-9A-Fa-f]{2}")


class Sign(Enum):
    """What a sender says in one byte."""

    ENQ = ENQ
    EOT = EOT


class Text(NamedTuple):
    """A frame with a right checksum. number: FN, 0 to 7."""

    number: int
    text: bytes


class Damaged(NamedTuple):
    """A frame that cannot be used; whoever sent it waits for an answer. reason: of a Fault."""

    reason: str
    length: int


class Noise(NamedTuple):
    """Bytes that belong to nothing."""

    length: int


Item = Sign | Text | Damaged | Noise


class FrameReader:
    """Cuts the stream, in any split, with bounded memory."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what came: the line is new."""
        self._held = bytearray()  # of the frame that is not complete yet, without its STX
        self._inside = False
        self._noise = 0

    @property
    def unfinished(self) -> bool:
        """Tell whether a frame has begun and not ended."""
        return self._inside

    def feed(self, data: bytes) -> list[Item]:
        """Return what is complete."""
        found: list[Item] = []
        at = 0
        while at < len(data):
            at = self._within(data, at, found) if self._inside else self._between(data, at, found)
        return found

    def settle(self) -> list[Item]:
        """Nothing more came: return what the unfinished frame was."""
        last, length = self._held[-1:], len(self._held)
        self._held.clear()
        self._inside = False
        if last and last[0] in (ENQ, EOT):
            return [Noise(length), Sign(last[0])]
        return [Damaged("cut", length)]

    def _between(self, data: bytes, at: int, found: list[Item]) -> int:
        begin = _BEGIN.search(data, at)
        if begin is None:
            self._noise += len(data) - at
            return len(data)
        self._noise += begin.start() - at
        if self._noise:
            found.append(Noise(self._noise))
            self._noise = 0
        if data[begin.start()] == STX:
            self._inside = True
        else:
            found.append(Sign(data[begin.start()]))
        return begin.end()

    def _within(self, data: bytes, at: int, found: list[Item]) -> int:
        end = data.find(b"\n", at)
        until = len(data) if end < 0 else end
        self._held += data[at:until]
        if len(self._held) > MAX_FRAME:
            found.append(Damaged("too_long", len(self._held)))
            self._held.clear()
            self._inside = False
            return until  # its LF, if it comes, is noise
        if end < 0:
            return until
        before, again, content = bytes(self._held).rpartition(b"\x02")  # the end of the one before may be lost
        if again:
            found.append(Noise(len(before)))
        found.append(read_frame(content))
        self._held.clear()
        self._inside = False
        return end + 1


def read_frame(content: bytes) -> Text | Damaged:
    """Check what stands between STX and LF: number, text, ETX or ETB, checksum, CR."""
    body, told, end = content[:-3], content[-3:-1], content[-1:]
    if end != b"\r" or len(body) < 2 or body[-1] not in (ETX, ETB) or not 0x30 <= body[0] <= 0x37:
        return Damaged("format", len(content))
    # Upper or lower case (notes: be lenient). int() alone would also take a sign, a space or an underscore.
    if not _HEX.fullmatch(told) or sum(body) & 0xFF != int(told, 16):
        return Damaged("checksum", len(content))
    return Text(body[0] - 0x30, body[1:-1])
