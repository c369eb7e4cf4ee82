"""Is the log what it was? Reads the files of one writer, and the anchors that were kept elsewhere.

    found in the files alone        a line that is not byte for byte as it was written, a hash that does not follow, a
                                    number that is missing or comes twice, a file that is gone, a signature that is bad
    found with an anchor only       the end cut off, an older copy put back, the whole chain made anew with another key,
                                    or with the same key by somebody who has it

An anchor is a checkpoint that left the box: the retained message as KITA has it, a line of the syslog collector, a
copy of checkpoint.json. What was written after the last anchor has only the files to speak for it: at most 60 s.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from gateway.security.audit.chain import CHECKPOINT, SUFFIX
from gateway.security.audit.entry import FIELDS, Checkpoint, checkpoint_of, digest, genesis, parse_line
from gateway.security.audit.events import Event


class Weight(StrEnum):
    """What a finding means."""

    TAMPER = "tamper"  # somebody changed something, or a disk did
    FINDING = "finding"  # to be looked at: events were lost, a crash, a new key
    NOTE = "note"  # for the reader


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that verify has seen. where: file:line; seq: number of the entry, 0 when it is none."""

    weight: Weight
    what: str
    where: str = ""
    seq: int = 0


@dataclass(slots=True)
class Report:
    """What is known of one writer's log."""

    writer: str
    gateway: str
    entries: int = 0
    first: int = 0
    last: int = 0
    head: str = ""
    key: str = ""
    checkpoints: int = 0
    anchored: int = 0  # number of the last entry that an anchor from outside covers
    findings: list[Finding] = field(default_factory=list)

    @property
    def tampered(self) -> bool:
        """Tell whether anything is not as it was written."""
        return any(finding.weight is Weight.TAMPER for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """0 as it was written; 2 there is something to look at; 3 it was changed."""
        weights = {finding.weight for finding in self.findings}
        return 3 if Weight.TAMPER in weights else 2 if Weight.FINDING in weights else 0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log. entry: None when it is not as it was written; raw: what can be read of it all the same."""

    where: str
    entry: dict[str, Any] | None
    raw: dict[str, Any]


def lines_of(folder: Path) -> Iterator[Line]:
    """Yield all lines of a writer, in order of the files. Raises: OSError."""
    for path in files_of(folder):
        text = path.read_bytes()
        for number, line in enumerate(text.removesuffix(b"\n").split(b"\n") if text else [], start=1):
            yield Line(f"{path.name}:{number}", parse_line(line), _readable(line))
        if text and not text.endswith(b"\n"):
            yield Line(f"{path.name}: end", None, {"torn": True})


def files_of(folder: Path) -> list[Path]:
    """Return the files of the chain, oldest first."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdecimal())


def _readable(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def verify(folder: Path, gateway: str, anchors: Iterable[Checkpoint] = (), key: str = "") -> Report:
    """Check one writer's log. folder: state_dir/audit/WRITER; key: its public key as the dossier has it, "": unknown.

    Raises: OSError when the files cannot be read.
    """
    return _Judge(folder, gateway, key).judge(list(anchors))


class _Judge:
    def __init__(self, folder: Path, gateway: str, key: str) -> None:
        self._folder, self._trusted = folder, key
        self._report = Report(folder.name, gateway)
        self._heads: dict[int, str] = {}
        self._removed: dict[int, str] = {}  # number of the last entry of a removed file -> its hash, as the chain says
        self._signed_for: list[tuple[Line, Checkpoint]] = []

    def judge(self, anchors: list[Checkpoint]) -> Report:
        self._walk()
        self._begin()
        self._checkpoints()
        self._on_the_box()
        for anchor in sorted(anchors, key=lambda a: a.seq):
            self._anchor(anchor)
        report = self._report
        if not report.entries:
            self._say(Weight.TAMPER if anchors else Weight.NOTE, "there is no entry at all")
        elif not report.anchored:
            self._say(Weight.NOTE, "no anchor from outside: the end cut off, or all of it made anew, would not be seen")
        return report

    def _say(self, weight: Weight, what: str, where: str = "", seq: int = 0) -> None:
        self._report.findings.append(Finding(weight, what, where, seq))

    # ---- the lines

    def _walk(self) -> None:
        report = self._report
        head, seq = "", 0
        self._first: dict[str, Any] = {}
        for line in lines_of(self._folder):
            entry = line.entry
            if entry is None:
                head, seq = self._damaged(line, seq)
                continue
            if not self._first:
                self._first = entry
                report.first = entry["seq"]
                if seq:
                    self._follows(line, entry, head, seq)
            else:
                self._follows(line, entry, head, seq)
            head, seq = entry["h"], entry["seq"]
            self._heads[seq] = head
            report.entries, report.last, report.head = report.entries + 1, seq, head
            self._learn(line, entry)

    def _damaged(self, line: Line, seq: int) -> tuple[str, int]:
        """Say what is wrong with a line, and go on with what it claims to be, so that the next one is judged fairly."""
        raw = line.raw
        at = raw["seq"] if type(raw.get("seq")) is int else 0
        if raw.get("torn"):
            self._say(
                Weight.TAMPER, "the last line has no end: cut, or a crash that no start has recorded yet", line.where
            )
        elif not raw:
            self._say(Weight.TAMPER, "a line that is no entry", line.where, seq + 1)
        elif raw.keys() != FIELDS:
            self._say(Weight.TAMPER, "an entry with other fields than it was written with", line.where, at or seq + 1)
        elif _hash(raw) == raw.get("h"):
            self._say(Weight.TAMPER, "an entry that is written otherwise than this program does", line.where, at)
        else:
            self._say(Weight.TAMPER, "an entry was changed: its hash is another", line.where, at)
        h = raw.get("h")
        return (h if isinstance(h, str) else ""), (at or seq + 1)

    def _follows(self, line: Line, entry: dict[str, Any], head: str, seq: int) -> None:
        at = entry["seq"]
        if at == seq + 1 and entry["prev"] == head:
            return
        if at in self._heads:
            self._say(Weight.TAMPER, f"entry {at} comes again, or out of order", line.where, at)
        elif at > seq + 1:
            self._say(Weight.TAMPER, f"entries {seq + 1} to {at - 1} are missing before this one", line.where, at)
        elif at <= seq:
            self._say(Weight.TAMPER, f"entry {at} comes after entry {seq}: out of order", line.where, at)
        else:
            self._say(Weight.TAMPER, "the entry before is not the one that this one followed", line.where, at)

    def _learn(self, line: Line, entry: dict[str, Any]) -> None:
        facts, report, event = entry["facts"], self._report, entry["event"]
        if entry["writer"] != report.writer:
            self._say(Weight.TAMPER, "an entry of another writer", line.where, entry["seq"])
        if event == Event.AUDIT_FULL:
            self._removed[facts.get("last", 0)] = str(facts.get("head", ""))
        elif event == Event.AUDIT_CHECKPOINT:
            self._learn_checkpoint(line, entry)
        elif event == Event.KEY_CREATED and facts.get("use") == "audit":
            if report.key:
                self._say(Weight.FINDING, "a new key signs from here on", line.where, entry["seq"])
            report.key = str(facts.get("key", ""))
        elif event == Event.AUDIT_TORN:
            what = f"a crash: {facts.get('bytes')} bytes of a torn write were cut"
            self._say(Weight.FINDING, what, line.where, entry["seq"])
        elif event == Event.AUDIT_LOST:
            self._say(Weight.FINDING, f"{facts.get('count')} events could not be written", line.where, entry["seq"])

    def _learn_checkpoint(self, line: Line, entry: dict[str, Any]) -> None:
        report = self._report
        found = checkpoint_of(entry, report.gateway)
        if found is None:
            self._say(Weight.TAMPER, "a checkpoint that is none", line.where, entry["seq"])
            return
        report.checkpoints += 1
        report.key = report.key or found.key  # the entry that made it known is gone with its file
        if found.key != report.key:
            self._say(Weight.TAMPER, "a checkpoint signed with a key that the log does not know", line.where, found.seq)
        self._signed_for.append((line, found))

    def _begin(self) -> None:
        """The first entry that is there must be the first of all, or follow what the log says was removed."""
        report, first = self._report, self._first
        if not first:
            return
        if report.first == 1:
            if first["prev"] != genesis(report.gateway, report.writer):
                self._say(Weight.TAMPER, "the first entry is not the begin of this gateway's log", "", 1)
        elif self._removed.get(report.first - 1) != first["prev"]:
            what = f"entries 1 to {report.first - 1} are missing, and the log does not say that they were removed"
            self._say(Weight.TAMPER, what, files_of(self._folder)[0].name, report.first)
        for path in files_of(self._folder)[1:]:
            if path.stat().st_size == 0 and path != files_of(self._folder)[-1]:
                self._say(Weight.TAMPER, "an empty file between others", path.name)

    # ---- what is signed

    def _checkpoints(self) -> None:
        for line, found in self._signed_for:
            if not found.genuine:
                self._say(Weight.TAMPER, "the signature of a checkpoint is bad", line.where, found.seq)
            elif self._heads.get(found.seq, found.head) != found.head:
                self._say(Weight.TAMPER, "a checkpoint was signed over another entry", line.where, found.seq)
        if self._trusted and self._report.key and self._report.key != self._trusted:
            self._say(Weight.TAMPER, "the log is signed with another key than the one that was registered")

    def _on_the_box(self) -> None:
        """checkpoint.json lies beside the log: it finds what an intruder forgot, and is no anchor."""
        try:
            found = Checkpoint.parse((self._folder / CHECKPOINT).read_bytes())
        except FileNotFoundError:
            if self._signed_for:
                self._say(Weight.TAMPER, "the log has checkpoints, and the last one is not beside it", CHECKPOINT)
            return
        except ValueError:
            self._say(Weight.TAMPER, "this is no checkpoint", CHECKPOINT)
            return
        self._compare(found, CHECKPOINT)

    def _anchor(self, anchor: Checkpoint) -> None:
        report = self._report
        if (anchor.gateway, anchor.writer) != (report.gateway, report.writer):
            return
        where = f"anchor of {anchor.t_utc}"
        if self._compare(anchor, where):
            report.anchored = max(report.anchored, anchor.seq)

    def _compare(self, found: Checkpoint, where: str) -> bool:
        """Hold a checkpoint against the chain; tell whether they say the same."""
        report, seq = self._report, found.seq
        if not found.genuine:
            self._say(Weight.TAMPER, "the signature of this checkpoint is bad", where, seq)
        elif seq > report.last:
            what = f"the log ends at entry {report.last}, and there was an entry {seq}: cut off, or an older copy"
            self._say(Weight.TAMPER, what, where, seq)
        elif seq in self._heads and self._heads[seq] != found.head:
            what = f"entry {seq} is another one than it was"
            what += (
                ", and so is the key: the log was made anew" if found.key != report.key else ": the log was rewritten"
            )
            self._say(Weight.TAMPER, what, where, seq)
        elif seq not in self._heads and seq >= report.first:
            self._say(Weight.TAMPER, f"entry {seq} is not there", where, seq)
        elif seq in self._heads and found.key != report.key and found.key not in self._keys():
            self._say(Weight.TAMPER, "signed with a key that the log does not know", where, seq)
        elif seq >= report.first and all(known != found for _, known in self._signed_for):
            # its entry is written before it leaves the box
            self._say(Weight.TAMPER, f"the log does not know of this checkpoint of entry {seq}: cut off", where, seq)
        else:
            return seq == 0 or seq in self._heads
        return False

    def _keys(self) -> set[str]:
        return {found.key for _, found in self._signed_for}


def _hash(raw: dict[str, Any]) -> str:
    try:
        return digest(raw)
    except (ValueError, TypeError, KeyError):
        return ""
