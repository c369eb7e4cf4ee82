"""The forwarder's end of one ring: what is read, what is given back, and what the ring has seen.

A block is given back when nothing of it is open any more: samples in an open window of a route or in a block of waves
are in memory, and the ring is where a crash finds them again. A ring that is too small for that is given back all the
same when it is half full: samples that are dropped now are worse than samples that a crash could lose.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.account import RingAccount
from gateway.core.ring_reader import RingBlock, RingReader

log = logging.getLogger("mdi.forward")
HELD_FILL = 0.5


@dataclass(slots=True)
class RingSource:
    """One ring with the devices of its port. devices: names, of those that blocks were read of."""

    port: str
    reader: RingReader
    blocked: str = ""  # why this ring is not read: its plan cannot be reproduced
    devices: set[str] = field(default_factory=set)
    account: RingAccount = field(init=False)
    too_small: bool = False
    _blocks: deque[tuple[int, int]] = field(default_factory=deque)  # read, not given back: (position, first seq)

    def __post_init__(self) -> None:
        self.account = RingAccount(self.reader)

    def read(self, rows: int) -> Iterator[RingBlock]:
        """Yield the next blocks, until at least `rows` rows or no more."""
        for block in self.reader.read(rows):
            self._blocks.append((block.position, int(block.rows["seq"][0])))
            self.devices.add(block.device)
            yield block

    def put_back(self) -> None:
        """The last block read is to be read again."""
        self.reader.put_back()
        self._blocks.pop()

    def release(self, oldest: int | None) -> None:
        """Give back what is durable or decided. oldest: the first sequence number that is still open, None: none is."""
        if oldest is not None and self.reader.fill > HELD_FILL:
            if not self.too_small:
                log.warning(
                    "port %s: the ring is too small to hold what the routes wait for; a crash could lose the latest "
                    "value of a window: make ring_rows larger",
                    self.port,
                )
            self.too_small, oldest = True, None
        if oldest is None or not self._blocks:
            self._blocks.clear()
            self.reader.release()
            return
        while len(self._blocks) > 1 and self._blocks[1][1] <= oldest:
            self._blocks.popleft()
        self.reader.release(self._blocks[0][0])
