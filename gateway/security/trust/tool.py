"""What a person needs who signs: which purpose a file has, and the trusted comment to sign it with."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from gateway.core.errors import TrustError
from gateway.core.toml_lines import load
from gateway.security.trust.claims import Claim
from gateway.security.trust.files import read_file
from gateway.security.trust.folder import MANIFEST
from gateway.security.trust.people import FILE
from gateway.security.trust.signed import CONFIGURATION, FOLDER, PROFILE, Item, digest

APPROVERS = "approvers"
MAX_BESIDE = 512 * 1024  # of a data file, as gateway.registry reads it


def item_for(path: Path) -> tuple[str, Item]:
    """Return the purpose of a file, by its name and its sections, and the file as it is judged. Raises: TrustError."""
    data = read_file(path)
    if path.name == MANIFEST:
        return FOLDER.name, Item(path, data, f"{path.resolve().parent.name}/{MANIFEST}")
    doc = _document(path, data)
    if path.name == FILE:
        return APPROVERS, Item(path, data, FILE)
    if "profile" in doc and "gateway" not in doc:
        folder = path.resolve().parent
        names = doc["profile"].get("files", []) if isinstance(doc["profile"], dict) else []
        good = isinstance(names, list) and all(isinstance(n, str) and Path(n).name == n for n in names)
        if not good:
            raise TrustError("files are names in the folder of the profile", str(path), "mdi profile lint")
        beside = {name: read_file(folder / name, MAX_BESIDE) for name in names}
        return PROFILE.name, Item(path, data, f"{folder.name}/{path.name}", beside)
    if "gateway" in doc:
        return CONFIGURATION.name, Item(path, data, path.name)
    hint = f"a configuration, a profile, {FILE} or {MANIFEST} is signed so; an approval by mdi onboard sign"
    raise TrustError("is nothing that is signed", str(path), hint)


def claim_for(path: Path, rev: int | None, until: date) -> tuple[Claim, Item]:
    """Return what is to be said of a file, and the file. rev: None takes the one in the list of people."""
    purpose, item = item_for(path)
    if purpose == APPROVERS:
        inside = _document(path, item.data).get("rev")
        if type(inside) is not int or (rev is not None and rev != inside):
            raise TrustError(f"its rev is {inside!r}", str(path), "it is signed under the rev = that stands in it")
        rev = inside
    if rev is None:
        raise TrustError("a revision is needed", str(path), "give --rev, higher than any before")
    beside = {name: digest(data) for name, data in item.beside.items()}
    claim = Claim(purpose, item.name, rev, until, beside)
    return Claim.parse(claim.text, str(path)), item


def _document(path: Path, data: bytes) -> dict[str, Any]:
    try:
        return load(data.decode("utf-8"), str(path), TrustError)
    except UnicodeDecodeError:
        raise TrustError("is not UTF-8", str(path), "save it as UTF-8") from None
