"""Is what is installed what was released? Every file of the program against a manifest that somebody has signed.

The manifest is a text of the form of sha256sum(1), sorted, one file a line, so any Linux can check it as well. Made
from the files at the release; its signature is checked by whoever reads it (gateway.security.trust).

What the interpreter has compiled on the box (`__pycache__`) is in no manifest, and it is what runs. So it is compared
with what its source compiles to; bytecode without a source is foreign.
"""

from __future__ import annotations

import hashlib
import importlib.util
import marshal
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.core.errors import ConfigError

PACKAGES = ("gateway", "drivers", "kita", "firmware_profiles")
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
_TAG = sys.implementation.cache_tag
_HEADER = 16  # bytes before the code in a .pyc (PEP 552)
_LEVELS = {"": -1, "1": 1, "2": 2}  # of `.opt-N` in its name (PEP 488); -1: as this interpreter runs


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """what: "changed", "missing", or "foreign" (there, and not in the manifest)."""

    path: str
    what: str


def hashes(root: Path, folders: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return path (with /, below root) -> SHA-256 of each file in these folders that is not compiled."""
    return {path.relative_to(root).as_posix(): _sha256(path) for path in _files(root, folders) if path.suffix != ".pyc"}


def _files(root: Path, folders: Iterable[str]) -> Iterator[Path]:
    for folder in sorted(folders):
        yield from sorted(path for path in (root / folder).rglob("*") if path.is_file())


def compiled(root: Path, folders: Iterable[str] = PACKAGES) -> list[Difference]:
    """Return the bytecode that is not what its source compiles to."""
    return [
        Difference(path.relative_to(root).as_posix(), what)
        for path in _files(root, folders)
        if path.suffix == ".pyc" and (what := _bytecode_fault(path))
    ]


def _bytecode_fault(path: Path) -> str:
    try:
        source = Path(importlib.util.source_from_cache(str(path)))
        text = source.read_bytes()
    except (ValueError, OSError):
        return "foreign"
    if f".{_TAG}." not in path.name:  # of another interpreter: this one never reads it
        return ""
    level = path.name.rpartition(".opt-")[2].removesuffix(".pyc") if ".opt-" in path.name else ""
    try:
        have = marshal.loads(path.read_bytes()[_HEADER:])
        want = compile(text, str(source), "exec", dont_inherit=True, optimize=_LEVELS[level])
    except (ValueError, TypeError, EOFError, SyntaxError, KeyError):
        return "changed"
    return "" if have == want else "changed"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(found: Mapping[str, str]) -> str:
    """Return the manifest."""
    return "".join(f"{digest}  {path}\n" for path, digest in sorted(found.items()))


def read_manifest(text: str, where: str) -> dict[str, str]:
    """Return path -> SHA-256. Raises: ConfigError for what is no manifest."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None or ".." in Path(match[2]).parts or match[2] in found:
            raise ConfigError("is no line of a manifest", f"{where}:{number}", "take the one of the release")
        found[match[2]] = match[1]
    if not found:
        raise ConfigError("is an empty manifest", where, "take the one of the release")
    return found


def compare(manifest: Mapping[str, str], found: Mapping[str, str]) -> list[Difference]:
    """Return what differs, by path."""
    changed = [Difference(p, "changed") for p in manifest.keys() & found.keys() if manifest[p] != found[p]]
    missing = [Difference(p, "missing") for p in manifest.keys() - found.keys()]
    return sorted([*changed, *missing, *(Difference(p, "foreign") for p in found.keys() - manifest.keys())])


def folders_of(manifest: Mapping[str, str]) -> set[str]:
    """Return the folders that a manifest is of: the first part of each path."""
    return {path.split("/", 1)[0] for path in manifest}


def installed_root() -> Path:
    """Return the folder that the running program was imported from."""
    return Path(__file__).resolve().parents[3]
