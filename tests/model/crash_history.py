"""One history of a spool, drawn from a seed: lives that end in a kill or a power cut, and everything held to the world.

Each seed draws a character of its own: which of the operations it knows, how large the limit, whether bytes are damaged
at rest or the disk fills up. That finds more than one average history many times over (Groce: Swarm Testing, 2012).
A life ends at a random change of the disk, three times in ten inside the recovery. Two ends in five are kills, three
are power cuts: two of the classic mistakes show only when both kinds follow each other.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from gateway.core.message import Message
from gateway.security.seal import Seal
from gateway.spool import Spool, SpoolRefused
from gateway.spool.cursor import SLOT_BYTES
from gateway.spool.layout import parse_name
from gateway.spool.rejected import opened
from tests.model.crash_seal import Keys, watched
from tests.model.crash_world import KEPT, REJECTED, ROOT, World, extent, hold
from tests.model.spool_disk import SECTOR, Crash, MemoryDisk

SEGMENT = 16384  # the least there is: header, reserve, and three large messages
LOOKING = frozenset({"names", "open", "read", "size", "close", "lock"})  # change nothing: no state of its own
KILLS = 0.4
IN_RECOVERY = 0.3
RECOVERY_CHANGES = 24  # about as many as an open makes
MOST_LIVES = 9

Trace = Callable[[str], None]


def silent(_: str) -> None:
    """Trace nothing."""


class History:
    """One spool, its disk and its world. states: crashes so far, each a state that the next open had to cope with."""

    spool: Spool

    def __init__(self, seed: int, trace: Trace = silent) -> None:
        self.rng = rng = random.Random(seed)
        self.trace = trace
        self.disk = MemoryDisk()
        self.now = 18 * 10**17
        self.utc = 18 * 10**17
        self.limit = rng.choice((2, 3, 50)) * SEGMENT
        self.world = World(full_allowed=self.limit < 50 * SEGMENT)
        self.states = 0
        self.lives = rng.randint(1, MOST_LIVES)
        self.damages = rng.random() < 0.15
        self.fills = not self.damages and rng.random() < 0.15
        self.world.full_allowed |= self.fills  # a disk without space for the next segment takes the place of the oldest
        self.after = 0  # the sender's place
        self.keys = Keys(seed)
        self.seal: Seal | None = None
        self.script = self._script()

    def _script(self) -> list[Callable[[], None]]:
        rng = self.rng
        script = [self.append] * rng.randint(1, 6) + [self.sync] * rng.randint(1, 3) + [self.answer] * rng.randint(1, 4)
        for each in (self.reject, self.expire, self.declare, self.save, self.reopen, self.step_clock):
            script += [each] * rng.choice((0, 0, 1, 2))
        if self.fills:  # a full disk matters most while losses are declared and segments come and go
            script += [self.fill_disk, self.append, self.answer] * 3 + [self.declare, self.save]
        return script + [self.damage] * self.damages

    # ---- lives

    def run(self) -> None:
        """Live all lives, and one more that is left alone."""
        with watched():
            self._run()

    def _run(self) -> None:
        for _ in range(self.lives):
            self.live()
            self.crash()
            if self.damages and self.rng.random() < 0.3:
                self.damage_at_rest()
        self.disk.full = False
        self.open()
        for _ in range(4):
            self.step()
        self.disk.full = False
        self.rest()
        self.spool.close()
        self.open()
        hold(KEPT, self.damages or not self.spool.report.cut_bytes, "an orderly end leaves something half-written")

    def live(self, changes: int = 0) -> None:
        """Open, check, and act until a change of the disk does not come to its end: a random one, or the n-th."""
        in_recovery = self.rng.random() < IN_RECOVERY
        left = changes or (self.rng.randrange(RECOVERY_CHANGES) if in_recovery else 10**9)

        def before(operation: str) -> None:
            nonlocal left
            if operation in LOOKING:
                return
            left -= 1
            if left < 0:
                if operation == "write" and left == -1 and self.rng.random() < 0.5:
                    self.disk.short_write = True  # the next change, the rest of this write, does not come
                    return
                raise Crash
            self.trace(f"      {operation} {self.disk.at}")

        self.disk.before = before
        try:
            self.open()
            if not changes and left > RECOVERY_CHANGES:
                left = self.rng.choice((3, 10, 30))
                left = self.rng.randrange(left)
            while True:
                self.step()
        except Crash:
            self.disk.before = lambda _: None
            self.disk.short_write = False

    def crash(self) -> None:
        """End it."""
        self.states += 1
        if self.rng.random() < KILLS:
            self.trace("  -- kill")
            self.disk.kill()
        else:
            self.trace("  -- power cut")
            self.disk.cut_power(self.rng)
            self.now = 10**9  # a new boot

    def open(self) -> None:
        """Open and check everything."""
        self.seal = self.keys.next()
        self.trace(f"  open{', disk full' * self.disk.full}")
        self.world.born()
        self.after = 0
        self.world.owing = self.disk.full
        try:
            self.spool = self._open()
        except SpoolRefused:
            hold(KEPT, self.disk.full and not self.world.accepted, "a full disk keeps from sending what waits")
            self.disk.full = self.world.owing = False
            self.spool = self._open()
        self.world.check(self.spool, self.side_file())

    def _open(self) -> Spool:
        return Spool.open(
            ROOT,
            gateway="gw",
            segment_bytes=SEGMENT,
            limit_bytes=self.limit,
            seal=self.seal,
            files=self.disk,
            clock=self.clock,
        )

    def rest(self) -> None:
        """Come to rest and check everything."""
        self.sync()
        with self.refused():
            self.spool.checkpoint()
            self.world.owing = False
        self.world.check(self.spool, self.side_file())

    def side_file(self) -> bytes:
        """Return what rejected/messages.jsonl holds, opened."""
        return b"\n".join(opened(bytes(self.disk.content(REJECTED)).split(b"\n"), self.seal, "gw"))

    def clock(self) -> tuple[int, int]:
        """Monotonic and UTC, which a step may move anywhere."""
        step = self.rng.choice((1000, 10**8))
        self.now += step
        self.utc += step
        return self.now, self.utc

    @contextmanager
    def refused(self) -> Iterator[None]:
        """The disk may refuse the block, if it is full."""
        try:
            yield
        except SpoolRefused as error:
            self.trace(f"    refused: {error}")
            hold(KEPT, self.disk.full, f"refused, and the disk has space: {error}")

    # ---- what happens in a life

    def step(self) -> None:
        """Do one thing, and look at the account."""
        act = self.rng.choice(self.script)
        self.trace(f"    {act.__name__}")
        with self.refused():
            act()
        self.world.step(self.spool)

    def append(self) -> None:
        """One message, or as many as fill a segment."""
        for _ in range(self.rng.choice((1, 1, 1, 4))):
            seq, control_id = self.spool.next_control_id()
            size = self.rng.choice((10, 300, 2500, 2500))
            unit = b"%d|%s|" % (len(self.world.payloads), control_id.encode())
            message = Message(seq, control_id, "t", unit * (1 + size // len(unit)))
            self.world.appending(message)
            try:
                self.spool.append(message, extent(seq), periodic=seq % 3 > 0)
            except SpoolRefused:
                del self.world.ids[control_id]  # it was not taken: the id is still the next one
                raise
            self.world.appended(message)

    def sync(self) -> None:
        """Group sync."""
        self.world.synced(self.spool.sync())

    def send(self, most: int = 8) -> list[Message]:
        """Read on where the sender stands, now and then from the beginning."""
        if self.rng.random() < 0.3:
            self.after = 0
        messages = self.spool.unacknowledged(self.after, most)
        self.world.lose(self.spool.losses())
        self.world.sent(messages)
        self.after = messages[-1].seq if messages else 0
        return messages

    def answer(self) -> None:
        """Send, and the answers come in any order, some not at all."""
        messages = self.send()
        self.rng.shuffle(messages)
        for message in messages[: self.rng.choice((1, 8))]:
            self.world.acking(message.seq)
            if self.spool.ack(message.seq):
                self.world.answered(message.seq)
            self.world.step(self.spool)  # this answer may have come with a checkpoint that the next one misses
            hold(KEPT, not self.spool.ack(message.seq), "an answer counts twice")

    def reject(self) -> None:
        """Send one, and the receiver will never take it."""
        for message in self.send(1):
            if self.spool.reject(message.seq, "AE"):
                self.world.answered(message.seq, message.control_id)

    def expire(self) -> None:
        """The oldest is too old."""
        for message in self.spool.unacknowledged(0, 1):
            self.world.seen([message])
            self.world.expired.add(message.seq)
            self.spool.expire(message.seq, self.utc + 10)
            self.world.lose(self.spool.losses())

    def declare(self) -> None:
        """Samples are lost before they became a message."""
        self.spool.declare_loss(extent(1), "ring full")
        self.world.declared += 1
        self.world.lose(self.spool.losses())

    def save(self) -> None:
        """Checkpoint."""
        self.spool.checkpoint()

    def reopen(self) -> None:
        """Stop in order and start; what was appended is synced by the stop."""
        self.sync()
        self.world.step(self.spool)
        with suppress(SpoolRefused):
            self.spool.close()
        self.disk.kill()  # what a refused close has left open
        self.open()

    def step_clock(self) -> None:
        """The wall clock steps: a minute, a year, to 1970, either way."""
        self.utc = max(0, self.rng.choice((self.utc + 6 * 10**10, self.utc - 6 * 10**10, self.utc + 3 * 10**16, 0)))

    def fill_disk(self) -> None:
        """The disk is full, or is no more."""
        self.disk.full = not self.disk.full
        self.world.owing |= self.disk.full

    # ---- damage

    def damage(self) -> None:
        """A sector of a segment changes under the running process."""
        self.sync()
        self._damage_segment()

    def damage_at_rest(self) -> None:
        """A sector of a segment, or a slot of the cursor, is not what was written."""
        if self.rng.random() < 0.5 and self.disk.paths("cursor"):
            cursor = self.disk.content(ROOT / "cursor")
            at = self.rng.randrange(2) * SLOT_BYTES + self.rng.randrange(60)
            if at < len(cursor):
                cursor[at] ^= 0x40
                self.disk.settle(ROOT / "cursor")
                self.world.settled.clear()
                self.trace(f"  damage cursor at {at}")
        else:
            self._damage_segment()

    def _damage_segment(self) -> None:
        paths = self.disk.paths("/spool/segment-*")
        if not paths:
            return
        at = self.rng.randrange(len(paths))
        identity = parse_name(paths[at].name)
        behind = parse_name(paths[at + 1].name) if at + 1 < len(paths) else None
        assert identity
        data = self.disk.content(paths[at])
        begin = self.rng.randrange(1 + len(data.rstrip(b"\0")) // SECTOR) * SECTOR
        piece = data[begin : begin + SECTOR]
        data[begin : begin + SECTOR] = bytes(byte ^ 0xFF for byte in piece)
        self.disk.settle(paths[at])
        newest = max(self.world.accepted, default=0)
        hit = range(identity.first_seq, behind.first_seq if behind else newest + 1)
        self.world.fragile |= set(hit)
        self.world.fragile |= {seq for seq in self.world.accepted if seq % 3 == 0}  # may have been carried to it
        self.trace(f"  damage {paths[at].name} at {begin}, messages {hit}")
