"""The spool: messages wait here, on disk, until the receiving application has acknowledged them.

    append → (group) sync → durable → unacknowledged / read → ack | reject | declared loss → done, removed

One owner thread. A message is durable when `sync` has returned, and only then can it be read. Its id is
gateway-epoch-seq: the epoch grows with every start and is on disk, in a new segment, before the first append, and seq
goes on from the highest one known, so no id is ever used twice, not even that of a message a crash has cut off.

At every moment recovered + appended = acked + rejected + lost + waiting, in messages and in samples of each device.

In the directory: segments (layout.py), spare, the next one of them (chain.py), cursor (cursor.py), lock, losses.jsonl
and rejected/messages.jsonl for people, requests/ with what people ask for (rejected.py), quarantine/ with copies of
damaged bytes.
"""

from __future__ import annotations

import math
import os
import re
from contextlib import ExitStack, suppress
from pathlib import Path

from gateway.core.errors import ConfigError, InternalError
from gateway.core.message import Message
from gateway.security.seal import Seal
from gateway.spool.chain import LEAST_SEGMENT_BYTES
from gateway.spool.compression import require_zstd
from gateway.spool.counters import Samples
from gateway.spool.cover import Covers
from gateway.spool.errors import SpoolRefused
from gateway.spool.files import Disk, Files, OsFiles
from gateway.spool.layout import (
    GATEWAY_BYTES,
    Extent,
    Loss,
    RecordFlag,
    Stored,
    control_id,
    message_payload,
)
from gateway.spool.pressure import Pressure
from gateway.spool.rejected import FILE, rejected_line
from gateway.spool.resend import Resender
from gateway.spool.routed import Routed
from gateway.spool.sidefile import RejectedFile
from gateway.spool.store import Clock, Store
from gateway.spool.times import iso

SEGMENT_BYTES = 16 << 20
MOST_SEGMENT_BYTES = 1 << 30  # one segment at a time is read whole
TICK_NS = 1_000_000_000  # acks of the last second may be forgotten in a crash: those messages are sent again
COMPRESSIONS = ("none", "zstd")
_PID_BYTES = 20
_GATEWAY = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{GATEWAY_BYTES - 1}}}")


class Spool:
    """See the module text. `report`: what the open found; `counters`: what has happened since.

    A call that writes may raise SpoolRefused (SpoolFull): the disk does not do it now, nothing half-done counts, call
    again. SpoolFailed: a sync failed, and every later call raises it too; start again. Neither loses anything.
    """

    def __init__(
        self,
        disk: Disk,
        path: Path,
        covers: Covers,
        sizes: tuple[int, int],
        clock: Clock,
        compressed: bool,
        turn_over_ns: float,
    ) -> None:
        """Use `open`."""
        self._turn_over_ns = turn_over_ns
        self._covers = covers
        self._disk = disk
        self._compressed = compressed
        self._gateway = covers.gateway
        disk.files.make_dir(path)
        _lock(disk, path / "lock")
        self._store = Store(disk, path, covers, sizes, clock)
        disk.files.make_dir(path / "rejected")
        self._rejected = RejectedFile(disk, path / "rejected" / FILE, covers)
        self._resender = Resender(disk, self._store, self._rejected, compressed)
        disk.sync_dir(path / "rejected")
        disk.sync_dir(path)
        self._ticked_ns = clock()[0]
        with suppress(SpoolRefused):  # before anything is sent: what is resent already is seen to wait
            self._resender.look()
        self.report = self._store.report
        self.counters = self._store.counters

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        gateway: str,
        segment_bytes: int = SEGMENT_BYTES,
        limit_bytes: int = 128 * SEGMENT_BYTES,
        compression: str = "none",
        turn_over_s: float = math.inf,
        seal: Seal | None = None,
        files: Files | None = None,
        clock: Clock,
    ) -> Spool:
        """Open the spool in directory `path`, made if need be, and recover what is there.

        gateway: its id, [A-Za-z0-9._-], first part of every control id
        limit_bytes: beyond it the oldest periodic messages are dropped and declared lost
        compression: "none" or "zstd", of what is appended from now on; the spool may hold both
        turn_over_s: a segment takes messages for so long at most, so that what is answered does not stay for ever
        seal: what is written from now on is sealed with it; None: it is plain
        Raises: ConfigError when it is another gateway's, of another format, sealed with a key that is not here, or open
        elsewhere, and when zstd is needed and not installed.
        """
        if not _GATEWAY.fullmatch(gateway):
            raise ConfigError(f"gateway id {gateway!r} cannot be used", hint="letters, digits, dot, dash, underscore")
        if not LEAST_SEGMENT_BYTES <= segment_bytes <= min(MOST_SEGMENT_BYTES, limit_bytes // 2):
            raise ConfigError(
                f"spool segments of {segment_bytes} bytes within a limit of {limit_bytes} bytes cannot be used",
                hint=f"segments of {LEAST_SEGMENT_BYTES} to {MOST_SEGMENT_BYTES} bytes, a limit of at least two",
            )
        if compression not in COMPRESSIONS:
            raise ConfigError(f"spool compression {compression!r} is not known", hint=" or ".join(COMPRESSIONS))
        if compression == "zstd":
            require_zstd()
        disk = Disk(files or OsFiles(), Path(path))
        covers, sizes = Covers(gateway, seal), (segment_bytes, limit_bytes)
        with ExitStack() as opened, disk.typed("open the spool"):
            opened.callback(disk.close_all)
            spool = cls(disk, Path(path), covers, sizes, clock, compression == "zstd", turn_over_s * 1e9)
            opened.pop_all()
        return spool

    def close(self) -> None:
        """Sync, save the cursor, give the lock back."""
        try:
            self.sync()
            self.checkpoint()
        finally:
            self._disk.close_all()

    # ---- in

    def next_control_id(self) -> tuple[int, str]:
        """Return seq and MSH-10 of the message to be encoded next; the same until it is appended."""
        return self._store.next_seq, control_id(self._gateway, self._store.epoch, self._store.next_seq)

    def append(
        self,
        message: Message,
        extent: Extent,
        periodic: bool = True,
        clock_quality: int = 0,
        routed: Routed | None = None,
    ) -> None:
        """Take the message with the next control id. Durable after the next `sync`.

        extent: the samples in it; periodic: it holds periodic values, states or waves only, so it may be dropped before
        others when space runs out; clock_quality: of its times, one byte, kept as it is; routed: how far the device is
        cared for with it, by default up to its last sample.
        """
        self._disk.check()
        if (message.seq, message.control_id) != self.next_control_id():
            raise InternalError(f"message {message.control_id} is not the next one, {self.next_control_id()[1]}")
        flags = (RecordFlag.PERIODIC if periodic else 0) | (RecordFlag.ZSTD if self._compressed else 0)
        routed = routed or Routed(extent.last_seq)
        self._store.append(message_payload(message, extent, flags, routed), extent, flags, clock_quality)
        self._store.care(extent.device, routed)
        self.counters.appended += 1
        self._store.tally(extent.device).appended += extent.count

    def sync(self) -> int:
        """Make durable what was appended; return the durable seq. Only now can it be read."""
        self._store.sync()
        self.tick()
        return self._store.durable

    def declare_loss(self, extent: Extent, reason: str) -> None:
        """Record durably that samples were lost before they became a message."""
        self._store.losses.declare_samples(extent, reason)

    # ---- out

    @property
    def durable_seq(self) -> int:
        """seq of the last message that is on disk for good."""
        return self._store.durable

    @property
    def waiting(self) -> int:
        """Messages neither acknowledged, rejected nor declared lost, unsynced ones included."""
        return self._store.waiting

    @property
    def sealed_with(self) -> str:
        """Which key seals what is written; "" when it is plain."""
        return self._covers.seal.key_id if self._covers.seal else ""

    @property
    def fill(self) -> float:
        """Share of the limit in use, 0 to 1; 0 when nothing waits."""
        return self._store.fullness.fill

    @property
    def pressure(self) -> Pressure:
        """How full it is, for those who can make less data of it."""
        return self._store.fullness.pressure

    @property
    def samples(self) -> dict[str, Samples]:
        """The counts of each device, in samples, as they are now. They go on counting: copy what is to be kept."""
        return self._store.samples()

    @property
    def declared(self) -> dict[str, int]:
        """Samples of each device that `declare_loss` was told of since this open. In no other count."""
        return dict(self._store.losses.declared)

    def routed(self, device: str) -> Routed | None:
        """Return how far a device was cared for with its last message; None when the spool knows nothing of it."""
        return self._store.routed.get(device)

    def losses(self) -> list[Loss]:
        """Return every loss ever declared, oldest first."""
        return self._store.ledger.losses()

    @property
    def thrown_away(self) -> dict[str, int]:
        """Lines of the side files that had to go since ever, because these files are bounded."""
        return {"losses": self._store.ledger.thrown_away, "rejected": self._rejected.thrown_away}

    def read(self, seq: int) -> Message:
        """Return a durable message. Raises KeyError when it is not durable yet, removed or lost."""
        return self.stored(seq).message

    def stored(self, seq: int) -> Stored:
        """As `read`, with what its record says of the message."""
        stored = self._store.stored(seq) if 0 < seq <= self._store.durable else None
        if stored is None:
            raise KeyError(seq)
        return stored

    def unacknowledged(self, after_seq: int = 0, n: int = 64) -> list[Message]:
        """Return up to n durable messages behind after_seq that are not done, oldest first."""
        found: list[Message] = []
        for first, last in self._store.done.gaps(after_seq + 1, self._store.durable):
            for seq in range(first, last + 1):
                if len(found) >= n:
                    return found
                stored = self._store.stored(seq)
                if stored:
                    found.append(stored.message)
        return found

    # ---- done

    def ack(self, seq: int) -> bool:
        """The receiving application has it, in any order. False: unknown, or done already; ignored and counted."""
        if not self._expected(seq) or not self._store.finish(seq, "acked"):
            return False
        self.counters.acked += 1
        self.tick()
        return True

    def reject(self, seq: int, reason: str) -> bool:
        """The receiving application will never take it: copied durably to rejected/, then done. Else as `ack`."""
        stored = self._store.stored(seq) if self._expected(seq) else None
        if stored is None:
            return False
        self._rejected.append(rejected_line(stored, reason, iso(self._store.clock()[1])))
        if not self._store.finish(seq, "rejected"):
            return False
        self.counters.rejected += 1
        self.tick()
        return True

    def expire(self, seq: int, age_ns: int) -> bool:
        """Declare a message lost, with its samples, when it was appended longer ago than that; tell whether it was.

        What this run has appended is timed by the monotonic clock, so setting the wall clock neither gives up all of it
        nor keeps it for ever. What an earlier run has left is as old as the wall clock says, or as this run at least.
        """
        stored = self._store.stored(seq) if 0 < seq <= self._store.durable and seq not in self._store.done else None
        if stored is None:
            return False
        mono_ns, utc_ns = self._store.clock()
        if stored.epoch == self._store.epoch:
            old_ns = mono_ns - stored.t_mono_ns
        else:
            old_ns = max(utc_ns - stored.t_utc_ns, mono_ns - self._store.began_ns)
        if old_ns <= age_ns:
            return False
        self._store.losses.declare_message(stored, "expired")
        return True

    def _expected(self, seq: int) -> bool:
        self._disk.check()
        if not 0 < seq <= self._store.durable:
            self.counters.foreign += 1
        elif seq in self._store.done:
            self.counters.duplicates += 1
        else:
            return True
        return False

    def tick(self) -> None:
        """Once a second, the housekeeping; call it as often as you like. What the disk refuses is counted, tried again.

        It saves the cursor, removes what is done, reserves the spare and does what was asked for in requests/.
        """
        now = self._store.clock()[0]
        if now - self._ticked_ns < TICK_NS:
            return
        self._ticked_ns = now
        try:
            self._store.fullness.relax()
            self._store.turn_over(self._turn_over_ns)
            self.checkpoint()
            self._resender.look()  # the cursor is saved: what is resent is known to have been rejected
        except SpoolRefused:
            self.counters.refused += 1

    def checkpoint(self) -> None:
        """Save the cursor now if it has moved, and remove what is done: fewer duplicates after a crash."""
        self._disk.check()
        self._store.checkpoint()


def _lock(disk: Disk, path: Path) -> None:
    """Lock the spool until its files are closed, our pid in the lock file. ConfigError when another has it."""
    fd = disk.open(path, create=True)
    try:
        disk.files.lock(fd)
    except BlockingIOError:
        pid = disk.read(fd, _PID_BYTES, 0).decode("ascii", errors="replace").strip()
        what = f"the spool is in use by process {pid}" if pid.isdecimal() else "the spool is in use"
        raise ConfigError(what, str(path.parent), "stop the other mdi, or give this one its own state_dir") from None
    with suppress(SpoolRefused):  # a courtesy only: a full disk must not keep us from starting
        disk.write(fd, f"{os.getpid():<{_PID_BYTES - 1}}\n".encode(), 0)
