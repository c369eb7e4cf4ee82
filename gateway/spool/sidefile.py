"""rejected/messages.jsonl as its owner has it: sealed when there is a key, and opened when it is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway.spool.cover import Covers
from gateway.spool.files import Disk
from gateway.spool.ledger import Journal
from gateway.spool.rejected import REJECTED_BYTES, covered, opened


class RejectedFile(Journal):
    """The journal of rejected messages. Lines are given and returned in clear."""

    def __init__(self, disk: Disk, path: Path, covers: Covers) -> None:
        self._covers = covers
        super().__init__(disk, path, REJECTED_BYTES)

    def append(self, line: bytes) -> None:
        """Write one line and make it durable."""
        super().append(covered(line, self._covers.seal, self._covers.gateway))

    def lines(self) -> Iterator[bytes]:
        """Yield all lines, oldest first, opened."""
        return opened(super().lines(), self._covers.seal, self._covers.gateway)
