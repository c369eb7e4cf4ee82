"""Every small history: all sequences of a few operations, every crash point, every orderly way to crash there.

Bounded black-box testing in the manner of B3 (Mohan et al.: Finding Crash-Consistency Bugs with Bounded Black-Box
Crash Testing, OSDI 2018): most bugs of crash recovery need few operations on a fresh disk. Crash points lie behind the
changes of the disk that the last operation of a sequence makes: earlier ones are the points of a shorter sequence. One
of the operations is a kill inside a sync and a new start, so that crashes inside a recovery and crashes of both kinds
in a row are among them. A point has several ends: the process is killed; or the power goes, and of the changes not
synced the first n are left, for every n, with all names that were not synced or with none of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from itertools import product
from multiprocessing import get_context

from gateway.core.errors import DeliveryError
from gateway.core.message import Message
from gateway.spool import Spool
from tests.model.crash_history import LOOKING, SEGMENT
from tests.model.crash_world import EVERY, REJECTED, ROOT, Broken, World, extent
from tests.model.spool_disk import Crash, MemoryDisk

LARGE = 3000  # three of them fill a segment


MOST_CUTS = 8  # of so many changes that are not synced every prefix is tried, of more this many evenly spaced ones


class Script:
    """A spool, its world, and the operations that sequences are made of."""

    spool: Spool

    def __init__(self, disk: MemoryDisk, world: World) -> None:
        self.disk = disk
        self.world = world
        self.now = 18 * 10**17

    def clock(self) -> tuple[int, int]:
        """Time goes on, too slowly for a checkpoint that nobody has asked for."""
        self.now += 1000
        return self.now, self.now

    def open(self) -> None:
        """Open and check everything."""
        self.world.born()
        self.spool = Spool.open(
            ROOT, gateway="gw", segment_bytes=SEGMENT, limit_bytes=2 * SEGMENT, files=self.disk, clock=self.clock
        )
        self.world.check(self.spool, bytes(self.disk.content(REJECTED)))

    def do(self, letter: str) -> None:
        """Do one operation."""
        OPERATIONS[letter](self)
        self.world.step(self.spool)

    def append(self, size: int = 30) -> None:
        """One small message."""
        seq, control_id = self.spool.next_control_id()
        message = Message(seq, control_id, "t", (b"%d|" % len(self.world.ids)) * (size // 2))
        self.world.appending(message)
        self.spool.append(message, extent(seq), periodic=seq % 3 > 0)
        self.world.appended(message)

    def fill(self) -> None:
        """As many large messages as fill a segment."""
        for _ in range(3):
            self.append(LARGE)

    def sync(self) -> None:
        """Group sync."""
        self.world.synced(self.spool.sync())

    def ack(self) -> None:
        """The last of what waits is answered, the others not yet."""
        waiting = self.spool.unacknowledged(0, EVERY)
        self.world.sent(waiting)
        for message in waiting[-1:]:
            self.world.acking(message.seq)
            if self.spool.ack(message.seq):
                self.world.answered(message.seq)

    def reject(self) -> None:
        """The first of what waits is rejected."""
        for message in self.spool.unacknowledged(0, 1):
            self.world.sent([message])
            if self.spool.reject(message.seq, "AE"):
                self.world.answered(message.seq, message.control_id)

    def declare(self) -> None:
        """Samples are lost before they became a message."""
        self.spool.declare_loss(extent(1), "ring full")
        self.world.declared += 1

    def checkpoint(self) -> None:
        """Save what is done."""
        self.spool.checkpoint()

    def killed(self) -> None:
        """A sync is killed between its write and its fsync; then a new start."""
        watch = self.disk.before

        def before(operation: str) -> None:
            if operation == "sync":
                raise Crash

        self.disk.before = before
        with suppress(Crash):
            self.spool.sync()
        self.disk.before = watch
        self.disk.kill()
        self.open()


OPERATIONS = {
    "a": Script.append,
    "f": Script.fill,
    "s": Script.sync,
    "k": Script.ack,
    "j": Script.reject,
    "d": Script.declare,
    "c": Script.checkpoint,
    "x": Script.killed,
}


def points(sequence: str) -> list[tuple[MemoryDisk, World]]:
    """Live a sequence; return disk and world behind each change of the disk that its last operation makes."""
    disk = MemoryDisk()
    script = Script(disk, World(full_allowed=True))
    found: list[tuple[MemoryDisk, World]] = []

    def before(operation: str) -> None:
        if operation not in LOOKING:
            found.append((disk.clone(), script.world.copy()))

    script.open()
    for letter in sequence[:-1]:
        script.do(letter)
    disk.before = before
    script.do(sequence[-1])
    if found:
        found.append((disk.clone(), script.world.copy()))
    return found[1:]  # before the first change, the disk is as a shorter sequence has left it


def ends(disk: MemoryDisk) -> Iterator[tuple[str, MemoryDisk]]:
    """Yield every way to crash here: its name, and the disk that is left."""
    killed = disk.clone()
    yield "kill", killed
    changes = disk.unsynced
    for order in range(0, changes + 1, 1 + changes // MOST_CUTS):
        for names in (False, True) if disk.unsynced_names else (True,):
            cut = disk.clone()
            cut.cut_after(order, names)
            yield f"power cut, {order} of {changes} changes left, names {'left' if names else 'lost'}", cut


def explore(sequence: str) -> tuple[int, list[str]]:
    """Try every crash point of a sequence and every end; return how many states that were, and what was broken."""
    states, violations = 0, []
    for at, (disk, world) in enumerate(points(sequence)):
        for end, left in ends(disk):
            states += 1
            script = Script(left, world.copy())
            try:
                script.open()
                script.append()
                script.sync()
            except (Broken, DeliveryError) as broken:
                violations.append(f"{sequence!r}, behind change {at + 1} of the last operation, {end}: {broken}")
    return states, violations


def sequences(longest: int) -> list[str]:
    """Return all sequences of 1 to `longest` operations."""
    return ["".join(each) for length in range(1, longest + 1) for each in product(OPERATIONS, repeat=length)]


def explore_all(longest: int) -> tuple[int, int, list[str]]:
    """Return sequences, states, violations, on all processors."""
    every = sequences(longest)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        results = list(pool.map(explore, every, chunksize=64))
    return len(every), sum(states for states, _ in results), [each for _, broken in results for each in broken]
