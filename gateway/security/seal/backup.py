"""What makes a box this box, in one file: configuration, trust, records, approvals, profiles, revisions. No secret, no
data of a patient: no key, no spool, no recording.

The file is a tar archive. Its first member, manifest.json, names each other one with size and SHA-256; a file that is
not named, or is not as named, refuses the whole archive. The archive's own SHA-256 is told when it is made, and can be
asked for when it is restored. What people have signed keeps its signatures, and the new box checks those as ever: a
backup gives nobody a right.

    manifest.json · config/mdi_config.toml · etc/… · profiles/N/… · state/trust/…
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key

from gateway.core.errors import ConfigError

FORMAT = "mdi backup 1"
MANIFEST = "manifest.json"
FILE_BYTES = 64 << 20  # of one file: the largest, a device maker's document, has a few MiB
ALL_BYTES = 1 << 30
_MODE = 0o640
_SECRET_NAME = re.compile(r"(^|[./_-])(key|secret|password|mdi-seal|mdi-seal-old)($|[.])|\.key$|\.p12$|\.pfx$", re.I)
_SECRET_TEXT = (b"PRIVATE KEY-----", b"minisign encrypted secret key", b"minisign secret key", b"OPENSSH PRIVATE KEY")
_SEQUENCE = b"\x30"  # how each DER structure of keys begins (X.690)
_PKCS12 = bytes.fromhex("2a864886f70d010c")  # the object identifiers of its bags, 1.2.840.113549.1.12 (RFC 7292)


class Entry(msgspec.Struct, frozen=True):
    """One file of a backup. path: in the archive; size in bytes."""

    path: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds. left_out: what looked like a secret, or was too large, with the reason."""

    format: str
    gateway: str
    version: str
    made: str
    files: tuple[Entry, ...]
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Backup:
    """A backup as read: every file is as the manifest says."""

    manifest: Manifest
    sha256: str
    files: Mapping[str, bytes]


Roots = Mapping[str, Path]
"""Folder in the archive → folder or file on the box: "config/mdi_config.toml", "etc", "profiles/0", "state/trust"."""


def collect(roots: Roots, skip: Iterable[Path] = ()) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
    """Return what is to be kept, by its path in the archive, and what is left out, with the reason."""
    found: dict[str, bytes] = {}
    left_out: list[tuple[str, str]] = []
    seen = {path.resolve() for path in skip}
    for name, root in roots.items():
        for path in [root] if root.is_file() else sorted(root.rglob("*")):
            if path.resolve() in seen or not path.is_file():
                continue
            seen.add(path.resolve())
            inside = name if path == root else f"{name}/{path.relative_to(root).as_posix()}"
            data, why = _read(path)
            if why:
                left_out.append((inside, why))
            else:
                found[inside] = data
    return found, left_out


def _read(path: Path) -> tuple[bytes, str]:
    if path.is_symlink():
        return b"", "a link"
    if path.stat().st_size > FILE_BYTES:
        return b"", "larger than 64 MiB"
    if _SECRET_NAME.search(path.name):
        return b"", "a secret, by its name"
    data = path.read_bytes()
    if any(mark in data for mark in _SECRET_TEXT) or _binary_key(data):
        return b"", "a secret key"
    return data, ""


def _binary_key(data: bytes) -> bool:
    """Tell whether this is a private key without the words of PEM: DER, or PKCS #12 whatever its name."""
    if not data.startswith(_SEQUENCE):
        return False
    try:
        load_der_private_key(data, None)
    except TypeError:  # it has a password
        return True
    except (ValueError, UnsupportedAlgorithm):
        return _PKCS12 in data
    return True


def archive(found: Mapping[str, bytes], manifest: Manifest) -> bytes:
    """Return the archive: same files, same bytes."""
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in ((MANIFEST, msgspec.json.encode(manifest)), *sorted(found.items())):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), _MODE
            tar.addfile(member, io.BytesIO(data))
    return into.getvalue()


def manifest(
    gateway: str, version: str, made: str, found: Mapping[str, bytes], left_out: Iterable[tuple[str, str]]
) -> Manifest:
    """Return the manifest of these files."""
    entries = (Entry(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in sorted(found.items()))
    return Manifest(FORMAT, gateway, version, made, tuple(entries), tuple(left_out))


def read(path: Path, sha256: str = "") -> Backup:
    """Return a backup, checked whole. sha256: what its maker was told. Raises: ConfigError."""
    where = str(path)
    try:
        data = path.read_bytes() if path.stat().st_size <= ALL_BYTES else b""
    except OSError as fault:
        raise ConfigError(f"cannot be read: {fault.strerror}", where) from fault
    digest = hashlib.sha256(data).hexdigest()
    if sha256 and sha256.lower() != digest:
        raise ConfigError(f"its SHA-256 is {digest}", where, "it is not the backup that was made: take another copy")
    try:
        members = dict(_members(data, where))
        told = msgspec.json.decode(members.pop(MANIFEST, b""), type=Manifest)
    except (tarfile.TarError, msgspec.MsgspecError, EOFError, UnicodeDecodeError) as fault:
        raise ConfigError("it is no backup", where, "mdi backup makes one") from fault
    if told.format != FORMAT:
        raise ConfigError(f"its format is {told.format!r}, this program knows {FORMAT!r}", where)
    named = {entry.path: entry for entry in told.files}
    for name in sorted(named.keys() ^ members.keys()):
        raise ConfigError(f"{name} is " + ("missing" if name in named else "not in its manifest"), where)
    for name, found in members.items():
        if hashlib.sha256(found).hexdigest() != named[name].sha256:
            raise ConfigError(f"{name} is not as its manifest says", where)
    return Backup(told, digest, members)


def _members(data: bytes, where: str) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for member in tar:
            parts = PurePosixPath(member.name).parts
            if not member.isreg() or ".." in parts or member.name.startswith("/") or member.size > FILE_BYTES:
                raise ConfigError(f"{member.name!r} has no place in a backup", where)
            file = tar.extractfile(member)
            yield member.name, file.read() if file else b""


class Change(StrEnum):
    """What a restore does with a file."""

    NEW = "new"
    SAME = "same"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Step:
    """One file of a restore: where it goes, and what is there."""

    name: str
    target: Path
    change: Change


def plan(backup: Backup, roots: Roots) -> list[Step]:
    """Return what a restore would do. Raises: ConfigError for a file that has no place here."""
    steps = []
    for name, data in sorted(backup.files.items()):
        root = next((root for root in sorted(roots, reverse=True) if name == root or name.startswith(f"{root}/")), None)
        if root is None:
            raise ConfigError(f"{name} has no place on this box", hint="name its folder in the configuration")
        target = roots[root] if name == root else roots[root] / name[len(root) + 1 :]
        steps.append(Step(name, target, _change(target, data)))
    return steps


def _change(target: Path, data: bytes) -> Change:
    if not target.exists() and not target.is_symlink():
        return Change.NEW
    return Change.SAME if target.is_file() and target.read_bytes() == data else Change.DIFFERENT


def restore(backup: Backup, steps: Iterable[Step], keep_as: str) -> list[Path]:
    """Write what is not there, and what differs; return what was in the way, under its new name.

    keep_as: what is appended to the name of a file in the way; nothing is ever overwritten.
    """
    moved = []
    for step in steps:
        if step.change is Change.SAME:
            continue
        if step.change is Change.DIFFERENT:
            kept = step.target.with_name(f"{step.target.name}.{keep_as}")
            os.link(step.target, kept, follow_symlinks=False)  # fails when that name is taken
            moved.append(kept)
        step.target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        draft = step.target.with_name(f".{step.target.name}.restore")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE), "wb") as file:
            file.write(backup.files[step.name])
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, step.target)
    return moved
