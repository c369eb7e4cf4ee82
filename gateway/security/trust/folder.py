"""The profiles of a folder: each signed by itself, or all under one signed MANIFEST.

    MANIFEST            SHA-256 and path of each file, as sha256sum(1) writes and checks it
    MANIFEST.minisig    file=FOLDER/MANIFEST; of the packaged profiles by a release key

A profile with a signature of its own is judged by that; the manifest is for those without.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from gateway.core.errors import TrustError
from gateway.security.trust.files import SUFFIX, is_signed, read_file
from gateway.security.trust.items import ProfileItem
from gateway.security.trust.people import Trust
from gateway.security.trust.revisions import Revisions
from gateway.security.trust.signed import FOLDER, PROFILE, RELEASE, Item, Verdict, digest, judge

MANIFEST = "MANIFEST"
MAX_LINES = 10_000
_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9_][A-Za-z0-9_./+-]*)")
KINDS = (".toml", ".dbc", ".eds")


class Folders:
    """Judges profiles; each manifest is read and verified once."""

    def __init__(self, trust: Trust, revisions: Revisions) -> None:
        self._trust, self._revisions = trust, revisions
        self._manifests: dict[Path, tuple[Verdict, Mapping[str, str]]] = {}

    def judge(self, profile: ProfileItem) -> Verdict:
        """Return who signed a profile. Raises: TrustError."""
        name = f"{profile.id}.toml"
        if is_signed(profile.path) or not (profile.root / MANIFEST).exists():
            return judge(Item(profile.path, profile.data, name, profile.beside), PROFILE, self._trust, self._revisions)
        verdict, listed = self._manifest(profile.root, profile.packaged)
        folder = name.rpartition("/")[0]
        for file, data in [(name, profile.data), *((f"{folder}/{n}", d) for n, d in profile.beside.items())]:
            where = str(profile.root / file)
            if file not in listed:
                hint = f"it is not in the signed {MANIFEST}: have it signed by itself"
                raise TrustError("is not signed", where, hint, "unsigned")
            if listed[file] != digest(data):
                hint = "find out who changed it, then restore it or have it signed again"
                raise TrustError("was changed after it was signed", where, hint, "changed")
        return verdict

    def _manifest(self, root: Path, packaged: bool) -> tuple[Verdict, Mapping[str, str]]:
        if root not in self._manifests:
            path = root / MANIFEST
            item = Item(path, read_file(path), f"{root.name}/{MANIFEST}")
            verdict = judge(item, RELEASE if packaged else FOLDER, self._trust, self._revisions)
            self._manifests[root] = verdict, read_manifest(item.data, str(path))
        return self._manifests[root]


def read_manifest(data: bytes, where: str) -> dict[str, str]:
    """Return path -> SHA-256. Raises: TrustError."""
    lines = data.decode("utf-8", "replace").split("\n")[:-1]
    found = [_LINE.fullmatch(line) for line in lines[: MAX_LINES + 1]]
    listed = {match[2]: match[1] for match in found if match}
    if not data.endswith(b"\n") or len(lines) > MAX_LINES or len(listed) != len(lines):
        raise TrustError("is no manifest", where, "make it: mdi trust manifest FOLDER")
    return listed


def write_manifest(root: Path) -> bytes:
    """Return the manifest of a folder of profiles: every profile and data file in it, sorted."""
    return "".join(
        f"{digest(read_file(path))}  {path.relative_to(root).as_posix()}\n" for path in _files(root)
    ).encode()


def _files(root: Path) -> Iterable[Path]:
    return sorted(p for p in root.glob("*/*") if p.is_file() and p.suffix in KINDS and not p.name.endswith(SUFFIX))
