"""The one equation: what became of every sample that a device's port has seen.

    seen = acknowledged + waiting + declared lost + rejected + left out

It holds per device and at every moment, counted in samples, since the forwarder has started; what the spool held then
counts as seen. Each term is counted by the room it belongs to, none by difference, so the equation can fail: it then
shows a bug of ours, is said at once, and stays in the status.

    seen           the spool at the start, and the port since (the ring counts what is offered to it)
    acknowledged   in messages that the receiver has accepted
    waiting        in the ring, in open windows and blocks of the routes, in the spool; also what is lost and not yet
                   declared
    lost           declared, in the spool's ledger
    rejected       in messages that the receiver will never take, in the side file
    left out       not sent because the routes of the configuration say so

Source: the wording of docs/guarantees.md; "left out" is what the configuration takes from the promise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.ring_reader import RingReader
from gateway.spool import Samples


@dataclass(frozen=True, slots=True)
class Account:
    """The terms for one device, in samples."""

    seen: int
    acknowledged: int
    waiting: int
    lost: int
    rejected: int
    left_out: int

    @property
    def difference(self) -> int:
        """What is unaccounted for: 0, or there is a bug. Above 0 samples have vanished, below 0 some count twice."""
        return self.seen - self.acknowledged - self.waiting - self.lost - self.rejected - self.left_out

    def __str__(self) -> str:
        terms = f"{self.acknowledged} acknowledged + {self.waiting} waiting + {self.lost} lost"
        terms += f" + {self.rejected} rejected + {self.left_out} left out"
        if not self.difference:
            return f"{self.seen} samples seen = {terms}"
        return f"{self.difference} samples unaccounted for: {self.seen} seen, {terms}; a bug, please report it"


@dataclass(frozen=True, slots=True)
class RingCount:
    """One device in a ring at one moment. ahead: published, not read; undeclared: dropped, and no hole shows it yet."""

    seen: int = 0
    ahead: int = 0
    undeclared: int = 0


@dataclass(frozen=True, slots=True)
class LaneCount:
    """One device between ring and spool. again: read once more after a restart; declared: lost before the spool."""

    again: int
    waiting: int
    declared: int
    left_out: int


@dataclass(slots=True)
class RingAccount:
    """What one ring has seen of its devices since the reader came.

    What lay in the ring then counts as seen by this reader; what was read of it before, and is skipped, does not.
    """

    reader: RingReader
    _before: dict[str, int] = field(default_factory=dict)  # seen and cared for before this reader

    def __post_init__(self) -> None:
        counts = self.reader.counts() or {}
        self._before = {name: seen - ahead - undeclared for name, (seen, ahead, undeclared) in counts.items()}

    def counts(self) -> dict[str, RingCount] | None:
        """Return the counts of each device, or None while the writer is in the middle of its own."""
        counts = self.reader.counts()
        if counts is None:
            return None
        return {
            name: RingCount(seen - self._before.get(name, 0), ahead, undeclared)
            for name, (seen, ahead, undeclared) in counts.items()
        }


def balance(rings: list[dict[str, RingCount]], spool: Samples, lane: LaneCount, device: str) -> Account:
    """Return the account of one device from what each room has counted."""
    counts = [ring[device] for ring in rings if device in ring]
    return Account(
        seen=spool.recovered + sum(count.seen for count in counts) - lane.again,
        acknowledged=spool.acked,
        waiting=sum(count.ahead + count.undeclared for count in counts) + lane.waiting + spool.waiting,
        lost=spool.lost + lane.declared,
        rejected=spool.rejected,
        left_out=lane.left_out,
    )
