"""The end of a box: keys destroyed first, then what they sealed, and a certificate of what was done.

What makes the data unreadable is that the key is gone (crypto-erase; NIST SP 800-88 Rev. 1, 2.5 "cryptographic erase").
Files are overwritten once and removed besides. On flash, overwriting may miss old copies of a block; the certificate
says of each file whether it was sealed, and so whether the key's end is what erases it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from gateway.core.errors import ConfigError

KEY, SPOOL, RECORDING = "key", "spool", "recording"
PIECE = 1 << 20  # bytes overwritten at once
_SEALED_RECORDING = b"MDIREC\x1a\n\x02\x00"  # magic and version of a sealed recording
_SEGMENT_NAME_PARTS = 5  # segment-number-epoch-seq-mark: only a sealed one has its mark
_SEALED_LINE = b'{"sealed":'


@dataclass(frozen=True, slots=True)
class Erased:
    """One file that is no more. sealed: what it held needs a key that is destroyed; sha256: of its bytes as they lay
    there, of a key nothing: that would be a trace of it."""

    path: str
    what: str
    bytes: int
    sealed: bool
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was erased, when, by whom. key_ids: names of the keys; waiting: messages that nobody had acknowledged."""

    format: str
    gateway: str
    host: str
    began: str
    ended: str
    user: str
    person: str
    reason: str
    key_ids: tuple[str, ...]
    protection: str
    waiting: int
    files: tuple[Erased, ...]
    left: tuple[str, ...]
    method: str

    def text(self) -> bytes:
        """Return it as JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @property
    def sha256(self) -> str:
        """SHA-256 of its text."""
        return hashlib.sha256(self.text()).hexdigest()


METHOD = (
    "Keys overwritten with random bytes, synced and removed; then every file overwritten once with zeros, synced and "
    "removed. On flash a copy of an overwritten block may remain: of what was sealed it cannot be read without the key."
)


@dataclass(frozen=True)
class Doomed:
    """What is to be erased: files by kind, in the order in which they go."""

    keys: tuple[Path, ...]
    spool: tuple[Path, ...]
    recordings: tuple[Path, ...]

    @property
    def files(self) -> tuple[tuple[str, Path], ...]:
        """All of them, keys first."""
        kinds = ((KEY, self.keys), (SPOOL, self.spool), (RECORDING, self.recordings))
        return tuple((kind, path) for kind, paths in kinds for path in paths)


def find(keys: Iterable[Path], spool: Path, recordings: Iterable[Path]) -> Doomed:
    """Return what is there. keys: files that hold a key, also encrypted; recordings: folders, looked through whole."""
    held = tuple({path.resolve(): path for path in keys if path.is_file()}.values())
    inside = tuple(sorted(path for path in spool.rglob("*") if path.is_file() and not path.is_symlink()))
    found = {path for folder in recordings for path in folder.rglob("*.mdirec") if path.is_file()}
    return Doomed(held, inside, tuple(sorted(found)))


@contextmanager
def alone(spool: Path) -> Iterator[None]:
    """Hold the spool's lock. Raises: ConfigError while a gateway runs."""
    path = spool / "lock"
    if not path.exists():
        yield
        return
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError("the spool is in use", str(spool), "stop the gateway first") from None
        yield


def erase(doomed: Doomed) -> Iterator[Erased]:
    """Destroy all of it, keys first, and yield each file as it is gone. Raises: ConfigError when one cannot be."""
    for what, path in doomed.files:
        try:
            yield _erase(what, path)
        except OSError as fault:
            hint = "nothing is certified: mend it and run this again"
            raise ConfigError(f"cannot be erased: {fault.strerror}", str(path), hint) from fault


def _erase(what: str, path: Path) -> Erased:
    sealed = what != KEY and is_sealed(path)
    digest, size = hashlib.sha256(), 0
    with path.open("r+b", buffering=0) as file:
        while piece := file.read(PIECE):
            digest.update(piece)
            file.seek(size)
            file.write(os.urandom(len(piece)) if what == KEY else bytes(len(piece)))
            size += len(piece)
        os.fsync(file.fileno())
    path.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return Erased(str(path), what, size, sealed, "" if what == KEY else digest.hexdigest())


def is_sealed(path: Path) -> bool:
    """Return whether a file of a spool, or a recording, can only be read with a key. False when that is not certain."""
    with path.open("rb") as file:
        begin = file.read(len(_SEALED_RECORDING))
    if path.suffix == ".mdirec":
        return begin == _SEALED_RECORDING
    if path.suffix == ".jsonl":
        return _lines_are_sealed(path)
    return path.name.startswith("segment-") and len(path.name.removesuffix(".bin").split("-")) >= _SEGMENT_NAME_PARTS


def _lines_are_sealed(path: Path) -> bool:
    with path.open("rb") as file:
        return all(line.startswith((_SEALED_LINE, b'{"thrown_away":')) for line in file if line.strip())


def certificate(
    gateway: str,
    files: Iterable[Erased],
    times: tuple[datetime, datetime],
    who: tuple[str, str, str],
    keys: tuple[tuple[str, ...], str],
    waiting: int,
    left: Iterable[Path],
) -> Certificate:
    """Return the certificate. times: begin and end, UTC; who: user of the system, name given, reason given; keys: their
    ids and how they were protected; left: what should be gone and is there."""
    began, ended = (time.isoformat(timespec="seconds") for time in times)
    still = tuple(str(path) for path in left)
    host = platform.node()
    ids, protection = keys
    return Certificate(
        "mdi erasure 1", gateway, host, began, ended, *who, ids, protection, waiting, tuple(files), still, METHOD
    )
