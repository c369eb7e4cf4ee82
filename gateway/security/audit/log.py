"""The audit log of one process: whoever has something to say calls `write` and goes on.

Events wait in a bounded queue for a thread of their own, which writes and syncs each, and signs a checkpoint every 60 s
or 256 entries. A disk that is slow, full or gone holds up that thread and nobody else: events that find no room are
counted, that is said and shown, and the next one that gets through is followed by their number.

It is handed to whoever needs it, as an argument. `silent()` is for tools that have nothing to answer for, and tests.
"""

from __future__ import annotations

import errno
import getpass
import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from gateway.core.errors import ConfigError
from gateway.security.audit.chain import Chain
from gateway.security.audit.entry import Checkpoint
from gateway.security.audit.events import Event, fitting
from gateway.security.audit.files import Files, OsFiles
from gateway.security.audit.keys import AuditKey

log = logging.getLogger("mdi.audit")

CHECKPOINT_S, CHECKPOINT_ENTRIES = 60.0, 256  # design, audit log
FILE_BYTES = 1 << 20  # about 2,500 entries: what goes when the room is used up
LIMIT_BYTES = 64 << 20
QUEUE = 4096  # events that may wait for the disk
SAME_PER_MINUTE = 20  # of one event about one subject: a port that is refused each second must not push out the rest
LOCK_WAIT_S = 5.0  # two commands at the same time: one waits
FLUSH_S = 5.0
Said = Callable[[bytes], None]


class Audit(Protocol):
    """Where events are written."""

    def write(self, event: Event, subject: str = "", /, *, actor: str = "", **facts: object) -> None:
        """Say that something happened. Never raises, never waits for a disk.

        subject: the device, port, file … it is about, by its name. actor: who did it, when not the process itself.
        facts: as CATALOGUE[event] allows; others are left out, and the entry says which.
        """

    def status(self) -> dict[str, Any]:
        """Return how the log itself stands, {} of a silent one."""


class _Silent:
    def write(self, event: Event, subject: str = "", /, *, actor: str = "", **facts: object) -> None:
        """Say nothing."""

    def status(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


def silent() -> Audit:
    """Return an audit log that keeps nothing."""
    return _Silent()


@dataclass(frozen=True, slots=True)
class Clocks:
    """quality: how well the wall clock is kept, in a word."""

    utc_ns: Callable[[], int] = time.time_ns
    mono_ns: Callable[[], int] = time.monotonic_ns
    quality: Callable[[], str] = lambda: "not known"


@dataclass(frozen=True, slots=True)
class _Order:
    event: Event
    subject: str
    actor: str
    facts: dict[str, object]


def boot_id() -> str:
    """Return what names this run of the kernel (random(4)); empty where it is not told."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def utc_text(utc_ns: int) -> str:
    """Return a time as entries have it: UTC, microseconds."""
    return datetime.fromtimestamp(utc_ns // 1000 / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# What a disk says that may be over later; all else (rights, no such folder) is a mistake of whoever set the box up.
DISK = frozenset({errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG})


class AuditLog:
    """The audit log of this process, at work until `close`. Use `AuditLog.open`."""

    def __init__(
        self,
        folder: Path,
        writer: str,
        gateway: str,
        clocks: Clocks,
        files: Files,
        limits: tuple[int, int],
        said: Said,
    ) -> None:
        self.writer, self.actor = writer, _user()
        self._clocks, self._boot, self._said = clocks, boot_id(), said
        self._chain = Chain(files, folder / writer, gateway, writer, self._stamp, *limits)
        self._queue: queue.Queue[_Order | threading.Event] = queue.Queue(QUEUE)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)  # a hung disk holds no exit up
        self._key: AuditKey | None = None  # None: the disk has not let us begin
        self._lost = self._told_lost = self._open_entries = self.withheld = 0
        self._signed_at = clocks.mono_ns()
        self._same: dict[tuple[str, str], int] = {}
        self._minute = 0
        self._trouble = ""
        self.checkpoint: Checkpoint | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        writer: str,
        gateway: str,
        *,
        clocks: Clocks | None = None,
        files: Files | None = None,
        limits: tuple[int, int] = (FILE_BYTES, LIMIT_BYTES),
        said: Said = lambda _: None,
    ) -> Self:
        """Begin to write in folder/writer, where folder is state_dir/audit.

        gateway: its name, part of the chain. limits: bytes of a file, and of all. said: called with each line when it
        is durable, in the thread of the log; it must not wait long, nor raise.

        A disk that does not do it now stops nobody: it is said, events are lost and counted, and each tries again.

        Raises: ConfigError when another process writes there, or the folder or the key cannot be used.
        """
        made = cls(folder, writer, gateway, clocks or Clocks(), files or OsFiles(), limits, said)
        made._begin()
        return made

    def _begin(self) -> None:
        folder = self._chain.folder
        end = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                self._open()
                break
            except BlockingIOError as fault:
                self._chain.close()
                if time.monotonic() > end:
                    raise ConfigError("another process writes this audit log", str(folder), "end it first") from fault
                time.sleep(0.05)
            except OSError as fault:
                self._chain.close()
                if fault.errno not in DISK:
                    raise ConfigError(f"the audit log cannot be used: {fault.strerror}", str(folder)) from fault
                self._troubled(fault)
                break
        self._thread.start()

    def _open(self) -> None:
        self._chain.open()
        self._key = AuditKey.load(self._chain.folder)
        if self._key.new:
            self.write(Event.KEY_CREATED, "audit", use="audit", key=self._key.public)

    # ---- for everybody

    def write(self, event: Event, subject: str = "", /, *, actor: str = "", **facts: object) -> None:
        """See Audit."""
        try:
            self._queue.put_nowait(_Order(event, subject, actor, facts))
        except queue.Full:
            self._lost += 1

    def flush(self, wait_s: float = FLUSH_S) -> bool:
        """Wait until what was said so far is on disk; tell whether it is."""
        done = threading.Event()
        lost = self._lost
        try:
            self._queue.put_nowait(done)
        except queue.Full:
            return False
        return done.wait(wait_s) and lost == self._lost

    def close(self) -> None:
        """Write what waits, sign the head, end. Waits a bounded time for the disk."""
        if self._stop.is_set():
            return
        self._stop.set()
        with suppress(queue.Full):
            self._queue.put_nowait(threading.Event())  # wakes the thread
        self._thread.join(FLUSH_S)
        if not self._thread.is_alive():
            self._chain.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def lost(self) -> int:
        """How many events could not be written."""
        return self._lost

    def status(self) -> dict[str, Any]:
        """Return what `mdi status` shows: no event, numbers and the head only."""
        chain, signed = self._chain, self.checkpoint
        return {
            "writer": self.writer,
            "seq": chain.seq,
            "head": chain.head,
            "key": self._key.public if self._key else "",
            "anchored": chain.anchored,
            "anchored_at": signed.t_utc if signed else "",
            "waiting": self._queue.qsize(),
            "lost": self._lost,
            "withheld": self.withheld,
            "trouble": self._trouble,
        }

    # ---- its thread

    def _stamp(self) -> dict[str, Any]:
        clocks = self._clocks
        return {
            "t_utc": utc_text(clocks.utc_ns()),
            "t_mono": clocks.mono_ns(),
            "clock": clocks.quality(),
            "boot_id": self._boot,
        }

    def _run(self) -> None:
        while not (self._stop.is_set() and self._queue.empty()):
            try:
                order = self._queue.get(timeout=1.0)
            except queue.Empty:
                order = None
            if isinstance(order, _Order):
                self._take(order)
            elif order is not None:
                order.set()
            self._look()
        self._end_minute()
        if self._open_entries:
            self._guarded(self._sign)

    def _take(self, order: _Order) -> None:
        same = (order.event.value, order.subject)
        self._same[same] = self._same.get(same, 0) + 1
        if self._same[same] <= SAME_PER_MINUTE:
            self._put(order)

    def _put(self, order: _Order) -> None:
        subject, facts = fitting(order.event, order.subject, order.facts)
        actor, _ = fitting(order.event, order.actor, {})
        self.withheld += "withheld" in facts
        if not self._guarded(lambda: self._append(order.event, subject, actor or self.actor, facts)):
            self._lost += 1
            return
        self._open_entries += 1
        lost, self._told_lost = self._lost - self._told_lost, self._lost
        if lost:
            self._put(_Order(Event.AUDIT_LOST, "", "", {"count": lost}))

    def _append(self, event: Event, subject: str, actor: str, facts: dict[str, Any]) -> None:
        if self._key is None:
            try:
                self._open()
            except OSError:
                self._chain.close()
                raise
        self._chain.append(event, subject, actor, facts)

    def _look(self) -> None:
        """What is due by the clock or by number."""
        now = self._clocks.mono_ns()
        if now // 60_000_000_000 != self._minute:
            self._minute = now // 60_000_000_000
            self._end_minute()
        due = now - self._signed_at >= CHECKPOINT_S * 1e9 or self._open_entries >= CHECKPOINT_ENTRIES
        if self._open_entries and due:
            self._guarded(self._sign)

    def _end_minute(self) -> None:
        same, self._same = self._same, {}
        for (event, subject), times in same.items():
            if times > SAME_PER_MINUTE:
                left = times - SAME_PER_MINUTE
                self._put(_Order(Event.AUDIT_REPEATED, subject, "", {"of": event, "times": left}))

    def _sign(self) -> None:
        self._signed_at = self._clocks.mono_ns()
        assert self._key is not None  # there are entries, so it was opened
        self.checkpoint = self._chain.checkpoint(self._key.public, self._key.sign, self.actor)
        self._open_entries = 0

    def _hand_on(self) -> None:
        lines, self._chain.written = self._chain.written, []
        for line in lines:
            self._said(line)

    def _guarded(self, act: Callable[[], object]) -> bool:
        """Do something with the disk; trouble is said once, and the gateway goes on."""
        try:
            act()
            self._hand_on()
        except Exception as fault:  # a disk, or a bug of ours: neither ends this thread, both are shown
            self._troubled(fault)
            return False
        if self._trouble:
            self._trouble = ""
            log.warning("the audit log is written again")
        return True

    def _troubled(self, fault: Exception) -> None:
        trouble = (fault.strerror if isinstance(fault, OSError) else "") or type(fault).__name__
        if self._trouble != trouble:
            self._trouble = trouble
            log.error("the audit log cannot be written: %s; data flows on, events are lost", self._trouble)


def _user() -> str:
    """Return the user of this process, as an entry may name it."""
    try:
        return fitting(Event.START, getpass.getuser(), {})[0]
    except (KeyError, OSError):
        return ""
