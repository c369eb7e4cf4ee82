"""Which messages of each gateway have come, and which are missing: the receiver's own look at loss.

A gateway numbers its messages 1, 2, 3 … without a hole, and MSH-10 carries the number: GATEWAY-EPOCH-NUMBER. The epoch
grows with each start of the gateway, the numbers go on; only a spool that was made anew begins at 1 again, in an epoch
of its own. So what is missing between two that came was not received: lost by a broker (guarantee B), declared lost by
the gateway (spool full, waves expired), or still on its way. KITA cannot tell which; the gateway's own ledger can.

Kept as ranges, so a year of messages without a loss is one row per start of the gateway. A message that was refused has
come too. Not seen: what is missing before the first message that ever came, and behind the newest one.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from kita.query import ask

_CONTROL_ID = re.compile(r"([A-Za-z0-9._-]{1,64})-(\d{1,10})-(\d{1,18})")  # as gateway.spool makes it

_LEFT = (
    "SELECT first, last, since_ns FROM received"
    " WHERE sender = ? AND gateway = ? AND epoch = ? AND first <= ? ORDER BY first DESC LIMIT 1"
)
_RIGHT = "SELECT last FROM received WHERE sender = ? AND gateway = ? AND epoch = ? AND first = ?"
_DELETE = "DELETE FROM received WHERE sender = ? AND gateway = ? AND epoch = ? AND first = ?"
_PUT = "INSERT OR REPLACE INTO received VALUES (?,?,?,?,?,?)"
_ALL = "SELECT sender, gateway, epoch, first, last, since_ns FROM received ORDER BY sender, gateway, epoch, first"


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers first to last of a gateway have not come. since_ns: UTC, when a later one came."""

    gateway: str
    first: int
    last: int
    since_ns: int

    @property
    def missing(self) -> int:
        """How many messages."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Numbered:
    """What has come of one gateway. first: the first number ever seen here; last: the newest; gaps: oldest first."""

    gateway: str
    first: int
    last: int
    received: int
    gaps: tuple[Gap, ...]

    @property
    def missing(self) -> int:
        """How many messages have not come."""
        return sum(gap.missing for gap in self.gaps)


def note(db: sqlite3.Connection, sender: str, control_id: str, received_ns: int) -> None:
    """Note that a message has come, within the caller's transaction. Ids that are not numbered are passed over."""
    named = _CONTROL_ID.fullmatch(control_id)
    if named is None:
        return
    key, number = (sender, named[1], int(named[2])), int(named[3])
    first, last, since_ns = number, number, received_ns
    left = db.execute(_LEFT, (*key, number)).fetchone()
    if left and left[1] >= number:
        return  # it came before
    if left and left[1] == number - 1:
        first, since_ns = left[0], left[2]
    right = db.execute(_RIGHT, (*key, number + 1)).fetchone()
    if right:
        last = right[0]
        db.execute(_DELETE, (*key, number + 1))
    db.execute(_PUT, (*key, first, last, since_ns))


def note_all(db: sqlite3.Connection) -> None:
    """Note everything that is stored already: for a database that was made before there were numbers."""
    stored = "SELECT sender, control_id, received_ns FROM message UNION ALL SELECT sender, control_id, received_ns"
    for sender, control_id, received_ns in db.execute(f"{stored} FROM dead_letter").fetchall():
        note(db, sender, control_id, received_ns)


def gaps(database: Path) -> list[Numbered]:
    """Return what has come of each gateway, and what is missing. Raises: ConfigError."""
    ((_, rows),) = ask(database, {"received": _ALL})
    return [_numbered(name[1], (row[2:] for row in mine)) for name, mine in groupby(rows, key=lambda row: row[:2])]


def _numbered(gateway: str, ranges: Iterable[tuple[int, int, int, int]]) -> Numbered:
    taken = list(ranges)
    return Numbered(
        gateway,
        first=taken[0][1],
        last=taken[-1][2],
        received=sum(last - first + 1 for _, first, last, _ in taken),
        gaps=tuple(_holes(gateway, taken)),
    )


def _holes(gateway: str, ranges: list[tuple[int, int, int, int]]) -> Iterator[Gap]:
    newest = ranges[0][1] - 1
    for _, first, last, since_ns in ranges:
        if first <= newest:  # a spool made anew: it began at 1
            newest = 0
        if first > newest + 1:
            yield Gap(gateway, newest + 1, first - 1, since_ns)
        newest = last
