"""A chain of entries in a folder of linked files, one writer, each entry synced before `append` returns.

    state_dir/audit/WRITER/000000000001.jsonl    named by the number of its first entry; the next file goes on where
                           000000000812.jsonl    it ends: its first entry's prev is the hash of the last one here
                           checkpoint.json       the last signed checkpoint, the one to be published
                           lock, key, key.pub

What a crash leaves half written is at most the last line of the last file. `recover` cuts it and says so in the chain.
A line that is damaged and has others after it was no crash: it stays for `verify` to find, and the chain goes on.

When the room is used up the oldest file goes, if a checkpoint covers it. An entry says so first, with the hash at which
the rest goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.security.audit.entry import Checkpoint, checkpoint_of, genesis, line_of, parse_line
from gateway.security.audit.events import Event, Fact
from gateway.security.audit.files import Files

SUFFIX, LOCK, CHECKPOINT = ".jsonl", "lock", "checkpoint.json"
FILLING = 0.8  # checklist, point 46
Stamp = Callable[[], dict[str, Any]]  # t_utc, t_mono, clock, boot_id
Sign = Callable[[Checkpoint], Checkpoint]


@dataclass(slots=True)
class _File:
    path: Path
    first: int
    size: int


class Chain:
    """The writing end. Every method may raise OSError; then the next one begins with a recovery."""

    def __init__(
        self, files: Files, folder: Path, gateway: str, writer: str, stamp: Stamp, file_bytes: int, limit_bytes: int
    ) -> None:
        self.folder, self.gateway, self.writer = folder, gateway, writer
        self.seq, self.head = 0, genesis(gateway, writer)
        self.written: list[bytes] = []  # lines that nobody has handed on yet
        self.anchored = 0  # number of the last entry that a checkpoint covers
        self._files, self._stamp = files, stamp
        self._file_bytes, self._limit = file_bytes, limit_bytes
        self._known: list[_File] = []  # oldest first
        self._fd = self._lock_fd = -1
        self._warned = False
        self._excess = False  # the last file goes on behind what is whole

    def open(self) -> None:
        """Take the folder, read its end. Raises: BlockingIOError when another process writes here."""
        self._files.make_dir(self.folder)
        self._lock_fd = self._files.open(self.folder / LOCK, create=True)
        self._files.lock(self._lock_fd)
        with suppress(OSError):  # a full disk must not stop the start: the first entry tries again
            self._recover()

    def close(self) -> None:
        """Give the folder back."""
        for fd in (self._fd, self._lock_fd):
            if fd >= 0:
                with suppress(OSError):
                    self._files.close(fd)
        self._fd = self._lock_fd = -1

    @property
    def used(self) -> int:
        """Bytes in all files."""
        return sum(file.size for file in self._known)

    def append(self, event: Event, subject: str, actor: str, facts: Mapping[str, Fact]) -> None:
        """Write one entry, durably; `written` has the line then."""
        if self._fd < 0:
            self._recover()
        self._append(event, subject, actor, facts)
        self._keep_bounded(actor)

    def checkpoint(self, key: str, sign: Sign, actor: str) -> Checkpoint:
        """Sign the head, write that into the chain and beside it, for whoever publishes."""
        if self._fd < 0:
            self._recover()
        t_utc = str(self._stamp()["t_utc"])
        made = sign(Checkpoint(self.gateway, self.writer, self.seq, self.head, t_utc, key))
        facts: dict[str, Fact] = {"of": made.seq, "head": made.head, "t_utc": t_utc, "key": key, "sig": made.sig}
        self._append(Event.AUDIT_CHECKPOINT, "", actor, facts)
        self.anchored = made.seq
        self._put(self.folder / CHECKPOINT, made.text + b"\n")
        return made

    # ---- one line

    def _append(self, event: Event, subject: str, actor: str, facts: Mapping[str, Fact]) -> None:
        last = self._known[-1] if self._known else None
        if last is None or last.size >= self._file_bytes:
            last = self._next_file()
        entry = {
            **self._stamp(),
            "seq": self.seq + 1,
            "writer": self.writer,
            "actor": actor,
            "event": event.value,
            "subject": subject,
            "facts": dict(facts),
            "prev": self.head,
        }
        line, h = line_of(entry)
        try:
            self._write(self._fd, line, last.size)
            if self._excess:  # of a torn write, and this line is the one that says so: in one sync
                self._files.truncate(self._fd, last.size + len(line))
            self._files.sync(self._fd)
        except BaseException:
            self._forget()
            raise
        last.size += len(line)
        self.written.append(line)
        self.seq, self.head, self._excess = self.seq + 1, h, False

    def _write(self, fd: int, data: bytes, offset: int) -> None:
        while data:
            taken = self._files.write(fd, data, offset)
            if not taken:
                raise OSError("the disk takes nothing")
            data, offset = data[taken:], offset + taken

    def _next_file(self) -> _File:
        if self._fd >= 0:
            self._files.close(self._fd)
            self._fd = -1
        path = self.folder / f"{self.seq + 1:012d}{SUFFIX}"
        self._fd = self._files.open(path, create=True)
        self._files.sync_dir(self.folder)
        self._known.append(_File(path, self.seq + 1, 0))
        return self._known[-1]

    def _put(self, path: Path, text: bytes) -> None:
        """Replace a small file in one step."""
        new = path.with_name(path.name + ".new")
        fd = self._files.open(new, create=True)
        try:
            self._files.truncate(fd, 0)
            self._write(fd, text, 0)
            self._files.sync(fd)
        finally:
            self._files.close(fd)
        self._files.rename(new, path)
        self._files.sync_dir(self.folder)

    # ---- room

    def _keep_bounded(self, actor: str) -> None:
        if self.used < self._limit * FILLING:
            self._warned = False
        elif not self._warned:
            self._warned = True
            self._append(Event.AUDIT_FILLING, "", actor, {"bytes": self.used, "limit": self._limit})
        while self.used > self._limit and len(self._known) > 1 and self._known[1].first - 1 <= self.anchored:
            self._drop_oldest(actor)

    def _drop_oldest(self, actor: str) -> None:
        oldest, heir = self._known[0], self._known[1]
        text = self._content(oldest.path)
        last = parse_line(text.rstrip(b"\n").rpartition(b"\n")[2])
        facts: dict[str, Fact] = {
            "first": oldest.first,
            "last": heir.first - 1,
            "head": last["h"] if last else "0" * 64,  # damaged: verify says so, with the hash of what was there
            "sha256": hashlib.sha256(text).hexdigest(),
        }
        self._append(Event.AUDIT_FULL, oldest.path.name, actor, facts)
        self._files.remove(oldest.path)
        self._files.sync_dir(self.folder)
        self._known.pop(0)

    # ---- after a crash

    def _forget(self) -> None:
        with suppress(OSError):
            self._files.close(self._fd)
        self._fd = -1

    def _content(self, path: Path) -> bytes:
        fd = self._files.open(path)
        try:
            size, parts = self._files.size(fd), []
            at = 0
            while at < size and (part := self._files.read(fd, size - at, at)):
                parts.append(part)
                at += len(part)
        finally:
            self._files.close(fd)
        return b"".join(parts)

    def _recover(self) -> None:
        try:
            self._read_end()
        except BaseException:
            self._forget()
            raise

    def _read_end(self) -> None:
        """Read the end of the chain, cut what a crash left half written, and say so."""
        self._forget()
        self.seq, self.head, self._known, torn = 0, genesis(self.gateway, self.writer), [], b""
        signed: Checkpoint | None = None
        names = sorted(n for n in self._files.names(self.folder) if n.endswith(SUFFIX) and n[:-6].isdecimal())
        for name in names:
            path = self.folder / name
            text = self._content(path)
            whole, rest = _split(text)
            if rest and name == names[-1]:
                torn, text = rest, whole
            self._known.append(_File(path, int(name[:-6]), len(text)))
            self._stand_at(text)
            signed = _last_checkpoint(text, self.gateway) or signed
        self.anchored = signed.seq if signed else 0
        if self._known:
            self._fd = self._files.open(self._known[-1].path)
            self._excess = bool(torn)
            self._files.sync(self._fd)  # what a killed process wrote and did not sync, the next power cut would take
            self._files.sync_dir(self.folder)
            if (
                not torn and self._known[-1].size == 0 and self._known[-1].first != self.seq + 1
            ):  # nothing was ever written there
                self._files.close(self._fd)
                self._fd = -1
                self._files.remove(self._known.pop().path)
                self._read_end()
                return
        if signed is not None:
            self._put(self.folder / CHECKPOINT, signed.text + b"\n")  # a crash came between the chain and this file
        if torn:
            facts: dict[str, Fact] = {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
            self._append(Event.AUDIT_TORN, "", "", facts)

    def _stand_at(self, text: bytes) -> None:
        """Take number and hash of the last line that says them; a damaged line before it is for `verify`."""
        for line in reversed(text.splitlines()):
            try:
                entry = json.loads(line)
                seq, head = int(entry["seq"]), str(entry["h"])
                bytes.fromhex(head)
            except (ValueError, TypeError, KeyError):
                continue
            self.seq, self.head = seq, head
            return


def _last_checkpoint(text: bytes, gateway: str) -> Checkpoint | None:
    """Return the last checkpoint in a file's text."""
    for line in reversed(text.splitlines()):
        if b'"event":"audit_checkpoint"' in line and (entry := parse_line(line)):
            return checkpoint_of(entry, gateway)
    return None


def _split(text: bytes) -> tuple[bytes, bytes]:
    """Return what is whole, and the last line when it is not: half written, or of zeros that the disk never filled."""
    whole = len(text) if text.endswith(b"\n") else text.rfind(b"\n") + 1
    begin = text.rfind(b"\n", 0, max(0, whole - 1)) + 1
    if whole and parse_line(text[begin : whole - 1]) is None:
        whole = begin
    return text[:whole], text[whole:]
