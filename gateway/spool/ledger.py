"""Side files of JSON lines, for people as much as for us: losses.jsonl and rejected/messages.jsonl.

What matters is durable before anything follows from it. The ledger of losses is a copy: a loss is declared when its
record is in a segment, and that segment stays until the line is here.

They are bounded. A file that is full becomes NAME.1.jsonl, in place of the one that had this name, and a new one
begins with a line that says how many lines have been thrown away since ever: {"thrown_away": …}.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway.spool.errors import SpoolRefused
from gateway.spool.files import Disk
from gateway.spool.layout import Loss

LEDGER_BYTES = 32 << 20  # of each of two files: together about 200,000 losses of 330 bytes
_READ_BYTES = 65536
_HEAD = b'{"thrown_away":'


class _Thrown(msgspec.Struct):
    """The first line of a file that followed another. thrown_away: lines that are in no file any more."""

    thrown_away: int


class Journal:
    """Lines of JSON, each durable when `append` returns. thrown_away: lines since ever that were let go for space.

    A crash can leave half a line at the end, or one with holes. Nothing is cut, it may be a good line that was damaged
    since: the next line begins on a line of its own, and a reader leaves out what is no JSON.
    """

    def __init__(self, disk: Disk, path: Path, limit_bytes: int) -> None:
        self._disk = disk
        self._path = path
        self._limit_bytes = limit_bytes
        self._before = path.with_suffix(".1.jsonl")
        self._draft = path.with_suffix(".new")
        names = disk.names(path.parent)
        if self._draft.name in names and path.name not in names:  # a crash came between the two renames
            disk.rename(self._draft, path)
        self._fd = disk.open(path, create=True)
        disk.sync(self._fd, path.name)  # what is read from here on is acted upon
        self._end = disk.files.size(self._fd)
        self._begin = b"\n" if self._end and disk.read(self._fd, 1, self._end - 1) != b"\n" else b""
        self.thrown_away = thrown_away(next(self._lines(self._fd), b""))

    def append(self, line: bytes) -> None:
        """Write one line and make it durable. Refused: the next append writes over what stands there half."""
        data = self._begin + line + b"\n"
        if self._end and self._end + len(data) > self._limit_bytes:
            self._turn_over()
            data = line + b"\n"
        self._disk.write(self._fd, data, self._end)
        self._disk.sync(self._fd, self._path.name)
        self._end += len(data)
        self._begin = b""

    def _turn_over(self) -> None:
        thrown = self.thrown_away + sum(1 for line in self._old_lines() if line and not line.startswith(_HEAD))
        head = msgspec.json.encode(_Thrown(thrown)) + b"\n"
        new = self._disk.create(self._draft, len(head), head)
        try:
            self._disk.rename(self._path, self._before)
            self._disk.rename(self._draft, self._path)
        except SpoolRefused:
            self._disk.close(new)
            raise
        self._disk.close(self._fd)
        self._fd, self._end, self._begin, self.thrown_away = new, len(head), b"", thrown

    def lines(self) -> Iterator[bytes]:
        """Yield all lines, oldest first, without their ends."""
        yield from self._old_lines()
        yield from self._lines(self._fd)

    def _old_lines(self) -> Iterator[bytes]:
        if self._before.name not in self._disk.names(self._path.parent):
            return
        fd = self._disk.open(self._before)
        try:
            yield from self._lines(fd)
        finally:
            self._disk.close(fd)

    def _lines(self, fd: int) -> Iterator[bytes]:
        rest = b""
        size = self._disk.files.size(fd)
        for at in range(0, size, _READ_BYTES):
            *lines, rest = (rest + self._disk.read(fd, min(_READ_BYTES, size - at), at)).split(b"\n")
            yield from lines
        yield rest


def thrown_away(line: bytes) -> int:
    """Return what the first line of a file says of those before it; 0 for any other line."""
    try:
        return msgspec.json.decode(line, type=_Thrown).thrown_away
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return 0


class Ledger(Journal):
    """All losses ever declared. `waiting`: those of which only the segment (its number) knows yet."""

    waiting: list[tuple[int, Loss]]

    def take_over(self, recorded: list[tuple[int, Loss]]) -> None:
        """Begin with the losses found in segments; those that are not here yet wait."""
        newest = {loss.encode(): (number, loss) for number, loss in recorded}  # one may be recorded a second time
        for line in self.lines() if newest else ():
            newest.pop(line, None)
        self.waiting = list(newest.values())

    def write(self) -> bool:
        """Write what waits; False when the disk does not take it now."""
        while self.waiting:
            try:
                self.append(self.waiting[0][1].encode())
            except SpoolRefused:
                return False
            del self.waiting[0]
        return True

    def losses(self) -> list[Loss]:
        """Return all, oldest first. A line that is damaged is left out; it is still there to be looked at."""
        return [loss for loss in map(Loss.decode, self.lines()) if loss] + [loss for _, loss in self.waiting]
