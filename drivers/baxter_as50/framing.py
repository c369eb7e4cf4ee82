"""Frames of the AS50 in a stream: `[` text `]` and a checksum of two raw bytes.

    5B  text  5D  CRC high  CRC low

The two CRC bytes may have any value, 5B and 5D among them, so a frame cannot be cut at its brackets: what follows `]`
is always exactly two bytes more. There is no length and no line end. After a frame that fails, only its `[` is given
up and the search goes on behind it: a good frame that began inside of a spoilt one is found.

The CRC is CRC-16/XMODEM (polynomial 1021, start 0, not reflected, no final inversion) over everything from `[` to `]`,
brackets included, high byte first. Source: protocol notes, frame; eight known frames reproduce.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fastcrc import crc16

LIMIT = 256  # characters before `]`; no source states a longest frame, the known ones have 17 at most (notes)
_BEGIN, _END = ord("["), ord("]")
_CRC_BYTES = 2


class Damage(Enum):
    """A frame that was there and cannot be used."""

    CRC = "crc"


@dataclass(frozen=True, slots=True)
class Noise:
    """So many bytes belonged to no frame."""

    length: int


def frame(text: bytes) -> bytes:
    """Return `text` as it goes over the line."""
    body = b"[" + text + b"]"
    return body + crc16.xmodem(body).to_bytes(_CRC_BYTES, "big")


class FrameReader:
    """Finds frames in bytes that come in any split."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what came: the line is new."""
        self._held = bytearray()
        self._noise = 0

    def feed(self, data: bytes) -> list[bytes | Damage | Noise]:
        """Return the texts of the frames that are complete, what failed, and noise told with the next whole frame."""
        self._held += data
        found: list[bytes | Damage | Noise] = []
        while (content := self._next()) is not None:
            if isinstance(content, bytes) and self._noise:
                found.append(Noise(self._noise))
                self._noise = 0
            found.append(content)
        return found

    def _next(self) -> bytes | Damage | None:
        """Take one frame from what is held, or one failure; None when more bytes are needed."""
        while (end := self._closing()) is not None:
            if end < 0:  # not a frame from here on
                self._drop(1)
                continue
            whole = end + 1 + _CRC_BYTES
            if len(self._held) < whole:
                return None
            body, crc = bytes(self._held[: end + 1]), self._held[end + 1 : whole]
            if crc16.xmodem(body) != int.from_bytes(crc, "big"):
                self._drop(1)
                return Damage.CRC
            del self._held[:whole]
            return body[1:-1]
        return None

    def _closing(self) -> int | None:
        """Return where the frame at the beginning is closed, -1 when it is none, None when that is not known yet."""
        begin = self._held.find(_BEGIN)
        self._drop(len(self._held) if begin < 0 else begin)
        if begin < 0:
            return None
        end = self._held.find(_END, 0, LIMIT)
        again = self._held.find(_BEGIN, 1, end if end >= 0 else LIMIT)
        if again >= 0 or (end < 0 and len(self._held) >= LIMIT):  # begun anew: the end of the one before was lost
            return -1
        return end if end >= 0 else None

    def _drop(self, count: int) -> None:
        self._noise += count
        del self._held[:count]
