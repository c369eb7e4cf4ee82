"""The highest revision that was seen of each signed file. What was replaced never comes back.

`state_dir/trust/WRITER/revisions.json`: each process has its own file and is its only writer; what counts is the
highest of all of them, so a process that is taken over cannot lower what another has seen. Written whole, synced, and
put in place by a rename, before what it is about is used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.core.errors import TrustError
from gateway.security.trust.files import read_file

FILE = "revisions.json"


@dataclass(frozen=True, slots=True)
class Seen:
    """One revision. sha256: of the file that had it; a number stands for one file only."""

    rev: int
    sha256: str


class Revisions:
    """What was seen, and what was accepted in this run and is not written yet.

    folder: state_dir/trust; writer: name of this process, or "" for a reader that records nothing (`mdi check`)
    """

    def __init__(self, folder: Path, writer: str = "") -> None:
        self._folder, self._writer = folder, writer
        self._seen: dict[str, Seen] = {}
        for path in sorted(folder.glob(f"*/{FILE}")):
            if path.parent.name == writer or os.access(path, os.R_OK):
                for name, seen in _read(path).items():
                    self._note(name, seen)
        self._new = dict[str, Seen]()

    def seen(self, name: str) -> Seen | None:
        """Return the highest revision that was seen of "purpose:file", None when none was."""
        return self._seen.get(name)

    def check(self, name: str, found: Seen, where: str) -> None:
        """Note a verified revision. Raises: TrustError when a higher one was seen, or this one of another file."""
        known = self._seen.get(name)
        if known and found.rev < known.rev:
            what = f"is revision {found.rev}, and revision {known.rev} was seen before"
            raise TrustError(what, where, f"sign it again with rev={known.rev + 1} or higher", "rolled_back")
        if known and found.rev == known.rev and found.sha256 != known.sha256:
            what = f"is another file than the one that was revision {found.rev} before"
            raise TrustError(what, where, f"sign it again with rev={known.rev + 1} or higher", "rolled_back")
        if found != known:
            self._note(name, found)
            self._new[name] = found

    def save(self) -> None:
        """Make what was noted durable, for the writer. Raises: OSError; then nothing may be used that depends on it."""
        if not self._writer or not self._new:
            return
        path = self._folder / self._writer / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        own = _read(path) if path.exists() else {}
        text = json.dumps({n: [s.rev, s.sha256] for n, s in sorted({**own, **self._new}.items())}, indent=0)
        fresh = path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._new.clear()

    def _note(self, name: str, seen: Seen) -> None:
        known = self._seen.get(name)
        if known is None or seen.rev >= known.rev:
            self._seen[name] = seen


def _read(path: Path) -> Mapping[str, Seen]:
    """Return what a file says. Raises: TrustError: a sync before the rename leaves no half file, so it was changed."""
    try:
        doc = json.loads(read_file(path))
        return {str(name): Seen(_whole(rev), str(sha256)) for name, (rev, sha256) in doc.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        hint = "find out why; restore it from the backup, or remove it and note which revisions are in force"
        raise TrustError("is no list of revisions", str(path), hint, "malformed") from None


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError
    return value
