"""Cutting a stream of characters into lines or delimited frames, in any split, with bounded memory."""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Noise:
    """So many bytes belonged to no frame, or to one that is longer than any frame can be."""

    length: int


class Delimited:
    """Cuts frames that end with one of some bytes and, where the protocol has one, begin with another.

    begin: one byte (STX, ESC …), b"" when a frame begins after the end of the one before; a `begin` inside a frame
        starts it anew, because the end of the one before was lost
    ends: each byte of it ends a frame (b"\\r\\n": either; the empty frame between the two is not given)
    limit: longest content, bytes; the source is the protocol's own longest frame
    """

    def __init__(self, begin: bytes, ends: bytes, limit: int) -> None:
        self._begin = begin[0] if begin else None
        self._ends = frozenset(ends)
        self._limit = limit
        self.reset()

    def reset(self) -> None:
        """Forget what came: the line is new."""
        self._held = bytearray()
        self._inside = self._begin is None
        self._noise = 0

    def feed(self, data: bytes) -> list[bytes | Noise]:
        """Return what is complete: the content of each frame without its begin and end, and noise between."""
        found: list[bytes | Noise] = []
        for byte in data:
            if byte == self._begin:
                self._noise += len(self._held) + (1 if self._inside else 0)
                self._held.clear()
                self._inside = True
            elif not self._inside:
                self._noise += 1
            elif byte in self._ends:
                self._tell_noise(found)
                if self._held:
                    found.append(bytes(self._held))
                    self._held.clear()
                self._inside = self._begin is None
            elif len(self._held) >= self._limit:
                self._noise += len(self._held) + 1
                self._held.clear()
                self._inside = False  # with no `begin`, until the next end
            else:
                self._held.append(byte)
            if byte in self._ends and self._begin is None:
                self._inside = True
        return found

    def _tell_noise(self, found: list[bytes | Noise]) -> None:
        if self._noise:
            found.append(Noise(self._noise))
            self._noise = 0


class Bad(NamedTuple):
    """A stretch of the line that is no frame, and why: a reason of the driver's faults."""

    reason: str
    detail: str


class Outside:
    """Bytes that belong to no frame: told as noise when the next frame comes, or in equal parts when they are many.

    Equal parts, so that the split of the stream makes no difference.
    """

    MOST = 4096  # bytes of one part

    def __init__(self) -> None:
        self._count = 0

    def add(self, count: int, found: MutableSequence[Any]) -> None:
        """Count bytes; append a Bad for each full part."""
        self._count += count
        while self._count > self.MOST:
            found.append(Bad("noise", f"{self.MOST} bytes"))
            self._count -= self.MOST

    def tell(self, found: MutableSequence[Any]) -> None:
        """Append what is left, if anything is: a frame begins."""
        if self._count:
            found.append(Bad("noise", f"{self._count} bytes"))
            self._count = 0
