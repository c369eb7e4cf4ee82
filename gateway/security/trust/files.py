"""Files that are signed, and their signatures, read once and bounded: what is verified is what is then parsed."""

from __future__ import annotations

from pathlib import Path

from gateway.core.errors import TrustError
from gateway.security.trust.minisign import MAX_TEXT

SUFFIX = ".minisig"
MAX_FILE = 1024 * 1024  # bytes; a list of people or a configuration is far smaller
MAX_SIGNATURES = 16  # of one file; people of a hospital who sign the same thing are two or three


def read_file(path: Path, most: int = MAX_FILE) -> bytes:
    """Return the bytes of a regular file, at most `most`. Raises: TrustError."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as fault:
        reason = "unsigned" if isinstance(fault, FileNotFoundError) else "malformed"
        hint = "check the path and its rights"
        raise TrustError(f"cannot be read: {fault.strerror}", str(path), hint, reason) from None
    if len(data) > most:
        raise TrustError(f"is larger than {most // 1024} KiB", str(path), "nothing that is signed here is so large")
    return data


def read_signatures(path: Path) -> list[tuple[str, str]]:
    """Return (file name, text) of FILE.minisig and each FILE.NAME.minisig. Raises: TrustError when there is none."""
    names = _signatures(path)
    if not names:
        raise TrustError("is not signed", str(path), f"have it signed: {path.name}{SUFFIX} is missing", "unsigned")
    if len(names) > MAX_SIGNATURES:
        raise TrustError(f"has more than {MAX_SIGNATURES} signatures", str(path), "remove those that are not needed")
    texts = []
    for name in names:
        try:
            texts.append((str(name), read_file(name, MAX_TEXT).decode("utf-8")))
        except UnicodeDecodeError:
            raise TrustError("is not UTF-8, so no signature", str(name), "sign again") from None
    return texts


def is_signed(path: Path) -> bool:
    """Tell whether there is any signature of a file, good or bad."""
    return bool(_signatures(path))


def _signatures(path: Path) -> list[Path]:
    try:
        beside = list(path.parent.iterdir())
    except OSError:
        return []
    return sorted(p for p in beside if p.name == path.name + SUFFIX or _of_person(p.name, path.name))


def _of_person(name: str, file: str) -> bool:
    """FILE.NAME.minisig, where NAME has no dot."""
    return name.startswith(f"{file}.") and name.endswith(SUFFIX) and "." not in name[len(file) + 1 : -len(SUFFIX)]
