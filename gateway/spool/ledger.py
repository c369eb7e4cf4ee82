"""Side files of JSON lines, for people as much as for us: losses.jsonl and rejected/messages.jsonl.

They only ever grow, and what matters is durable before anything follows from it. The ledger of losses is a copy: a
loss is declared when its record is in a segment, and that segment stays until the line is here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway.spool.errors import SpoolRefused
from gateway.spool.files import Disk
from gateway.spool.layout import Loss, Stored

_READ_BYTES = 65536


class Journal:
    """Lines of JSON, each durable when `append` returns.

    A crash can leave half a line at the end, or one with holes. Nothing is cut, it may be a good line that was damaged
    since: the next line begins on a line of its own, and a reader leaves out what is no JSON.
    """

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self._name = path.name
        self._fd = disk.open(path, create=True)
        disk.sync(self._fd, path.name)  # what is read from here on is acted upon
        self._end = disk.files.size(self._fd)
        self._begin = b"\n" if self._end and disk.read(self._fd, 1, self._end - 1) != b"\n" else b""

    def append(self, line: bytes) -> None:
        """Write one line and make it durable. Refused: the next append writes over what stands there half."""
        data = self._begin + line + b"\n"
        self._disk.write(self._fd, data, self._end)
        self._disk.sync(self._fd, self._name)
        self._end += len(data)
        self._begin = b""

    def lines(self) -> Iterator[bytes]:
        """Yield all lines, oldest first, without their ends."""
        rest = b""
        for at in range(0, self._end, _READ_BYTES):
            *lines, rest = (rest + self._disk.read(self._fd, min(_READ_BYTES, self._end - at), at)).split(b"\n")
            yield from lines
        yield rest


class Ledger(Journal):
    """All losses ever declared. `waiting`: those of which only the segment (its number) knows yet."""

    waiting: list[tuple[int, Loss]]

    def take_over(self, recorded: list[tuple[int, Loss]]) -> None:
        """Begin with the losses found in segments; those that are not here yet wait."""
        lines = set(self.lines()) if recorded else set()
        newest = {loss.encode(): (number, loss) for number, loss in recorded}  # one may be recorded a second time
        self.waiting = [found for line, found in newest.items() if line not in lines]

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


def rejected_line(stored: Stored, reason: str, rejected: str) -> bytes:
    """Return what rejected/messages.jsonl says of one message. `message` is the ER7 text: jq -r .message shows it."""
    message = stored.message
    return msgspec.json.encode(
        {
            "control_id": message.control_id,
            "rejected": rejected,
            "reason": reason,
            "topic": message.topic,
            "extent": stored.extent,
            "message": message.payload.decode("utf-8", errors="backslashreplace"),
        }
    )
