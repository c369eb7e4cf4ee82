"""Who may sign: `etc_dir/trust/approvers.toml`, signed by the root keys `etc_dir/trust/root*.pub`.

    rev = 3
    threshold = 2                      # so many different people, in so many different roles, for one approval

    [[person]]
    name = "mso"                       # short, in file names
    title = "Mette Sørensen"
    role = "it-security"
    key = "RWQ…"                       # the second line of the .pub file of minisign
    valid_from = 2026-01-01
    valid_to = 2027-12-31              # the last day
    revoked = 2026-09-30               # only when the key is no longer trusted; all it ever signed then counts no more

A list is signed in `approvers.toml.minisig`, and `approvers.toml.NAME.minisig` for more. Where there are two root keys
or more, two of them must have signed: nobody adds a person alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from gateway.core.errors import TrustError
from gateway.core.toml_lines import line_of, load
from gateway.security.trust.claims import Claim
from gateway.security.trust.files import read_file, read_signatures
from gateway.security.trust.minisign import PublicKey, Signature, verify

ROLES = ("it-security", "medico", "clinical", "operations", "supplier", "release")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
FOUR_EYES = 2
KEYS = {"name": str, "title": str, "role": str, "key": str, "valid_from": date, "valid_to": date, "revoked": date}
FILE = "approvers.toml"


@dataclass(frozen=True)
class Person:
    """Somebody who may sign. valid_from, valid_to: first and last day, UTC; revoked: None, or the day it happened."""

    name: str
    title: str
    role: str
    key: PublicKey
    valid_from: date
    valid_to: date
    revoked: date | None = None

    def check(self, today: date, where: str) -> None:
        """Raises: TrustError when what this person signed does not count today."""
        if self.revoked is not None:
            what = f"is signed by {self.name}, whose key is revoked since {self.revoked}"
            raise TrustError(what, where, "have it signed by somebody else", "revoked")
        if today < self.valid_from:
            what = f"is signed by {self.name}, who may sign from {self.valid_from}"
            raise TrustError(what, where, "wait, or have it signed by somebody else", "not_yet_valid")
        if today > self.valid_to:
            what = f"is signed by {self.name}, who could sign until {self.valid_to}"
            raise TrustError(what, where, f"prolong {self.name} in {FILE}, or have it signed again", "signer_expired")


@dataclass(frozen=True)
class Signed:
    """One signature that counts: by whom, with which trusted comment."""

    person: Person
    comment: str


@dataclass(frozen=True)
class Trust:
    """The people this gateway trusts, at one time. roots: the root keys; claim: what was said of the list itself."""

    path: Path
    now: datetime
    roots: tuple[PublicKey, ...]
    rev: int
    threshold: int
    people: tuple[Person, ...]
    sha256: str = ""

    @classmethod
    def read(cls, etc_dir: Path, now: datetime) -> Trust:
        """Read and verify the list of people. now: aware, of the system's clock. Raises: TrustError."""
        folder = etc_dir / "trust"
        path = folder / FILE
        roots = _roots(folder)
        data = read_file(path)
        rev = _signed_by_roots(path, data, roots, now.date())
        return _Reader(path, data).trust(now, roots, rev)

    def person(self, name: str) -> Person | None:
        """Return a person by name."""
        return next((person for person in self.people if person.name == name), None)

    def signed(self, data: bytes, signature: str, where: str = "") -> Signed:
        """Return who signed `data`. Raises: TrustError when the signature does not fit, or the person may not sign."""
        key_id = Signature.parse(signature, where).key_id
        person = next((p for p in self.people if p.key.id == key_id), None)
        if person is None:
            name = PublicKey(key_id, b"").name
            hint = f"have it signed by somebody of {self.path}"
            raise TrustError(f"is signed with key {name}, which nobody here has", where, hint, "unknown_signer")
        comment = verify(person.key, data, signature, where)
        person.check(self.now.date(), where)
        return Signed(person, comment)

    def signers(self, data: bytes, signatures: Iterable[str], where: str = "") -> list[Person]:
        """Return the different people who signed `data`. Raises: TrustError for the first signature that counts not."""
        found = {signed.person.name: signed.person for signed in (self.signed(data, s, where) for s in signatures)}
        return list(found.values())


def enough(people: Sequence[Person], threshold: int, roles: Iterable[str], where: str) -> None:
    """Check that `threshold` different people in as many different roles of `roles` are there. Raises: TrustError."""
    allowed = tuple(roles)
    fit = [person for person in people if person.role in allowed]
    if people and not fit:
        said = ", ".join(f"{person.name} ({person.role})" for person in people)
        hint = "it takes " + " or ".join(allowed)
        raise TrustError(f"is signed by {said}, whose role may not sign this", where, hint, "wrong_role")
    if len({p.name for p in fit}) < threshold or len({p.role for p in fit}) < min(threshold, len(allowed)):
        said = ", ".join(f"{person.name} ({person.role})" for person in fit) or "nobody"
        hint = f"{threshold} different people in different roles of " + ", ".join(allowed)
        raise TrustError(f"is signed by {said}: too few", where, hint, "too_few")


def _roots(folder: Path) -> tuple[PublicKey, ...]:
    found = [
        PublicKey.parse(read_file(path).decode("ascii", "replace"), str(path))
        for path in sorted(folder.glob("root*.pub"))
    ]
    if not found:
        raise TrustError("there is no root key", str(folder / "root.pub"), "make one: mdi trust init", "unsigned")
    if len({key.id for key in found}) != len(found) or len({key.raw for key in found}) != len(found):
        raise TrustError("the same root key twice", str(folder), "each root key belongs to another person")
    return tuple(found)


def _signed_by_roots(path: Path, data: bytes, roots: tuple[PublicKey, ...], today: date) -> int:
    """Return the revision under which enough root keys signed the list. Raises: TrustError."""
    revisions: dict[bytes, int] = {}
    by_id = {key.id: key for key in roots}
    for where, text in read_signatures(path):
        key_id = Signature.parse(text, where).key_id
        if key_id not in by_id:
            what = f"is signed with key {PublicKey(key_id, b'').name}, which is no root key"
            raise TrustError(what, where, "have it signed with a root key", "unknown_signer")
        claim = Claim.parse(verify(by_id[key_id], data, text, where), where)
        claim.check("approvers", FILE, today, where)
        revisions[key_id] = claim.rev
    needed = min(FOUR_EYES, len(roots))
    if len(revisions) < needed:
        hint = f"{needed} root keys must sign: mdi trust sign, each with an own signature file"
        raise TrustError(f"is signed by {len(revisions)} of the root keys: too few", str(path), hint, "too_few")
    if len(set(revisions.values())) != 1:
        raise TrustError("is signed under different revisions", str(path), "sign with the same rev=", "wrong_file")
    return next(iter(revisions.values()))


class _Reader:
    """Turns the verified text into a Trust; each fault has its line."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self.data = path, data
        try:
            self.text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise TrustError("is not UTF-8", str(path), "save it as UTF-8") from None

    def at(self, *keys: str | int) -> str:
        return f"{self.path}:{line_of(self.text, keys)}"

    def trust(self, now: datetime, roots: tuple[PublicKey, ...], rev: int) -> Trust:
        doc = load(self.text, str(self.path), TrustError)
        if extra := set(doc) - {"rev", "threshold", "person"}:
            raise TrustError(f"unknown key {min(extra)!r}", self.at(min(extra)), "known: rev, threshold, person")
        if doc.get("rev") != rev or isinstance(doc.get("rev"), bool):
            raise TrustError(f"rev is not {rev}, under which it was signed", self.at("rev"), f"write rev = {rev}")
        threshold = doc.get("threshold", FOUR_EYES)
        if type(threshold) is not int or not FOUR_EYES <= threshold <= len(ROLES):
            raise TrustError("threshold is a whole number from 2", self.at("threshold"), "write threshold = 2")
        tables = doc.get("person")
        if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
            raise TrustError("there is no [[person]]", str(self.path), "write at least two")
        people = tuple(self.person(i, table) for i, table in enumerate(tables))
        for what in ("name", "key"):
            values = [getattr(person, what) for person in people]
            if len(set(values)) != len(values) or len({p.key.id for p in people}) != len(people):
                raise TrustError(f"two people with the same {what}", str(self.path), "one name and one key to each")
        return Trust(self.path, now, roots, rev, threshold, people, hashlib.sha256(self.data).hexdigest())

    def person(self, i: int, table: Mapping[str, Any]) -> Person:
        for key, value in table.items():
            if key not in KEYS or type(value) is not KEYS[key]:
                hint = ", ".join(f"{name} ({kind.__name__})" for name, kind in KEYS.items())
                raise TrustError(f"{key} = {value!r} does not fit", self.at("person", i, key), hint)
        for key in KEYS:
            if key not in table and key not in ("revoked", "title"):
                raise TrustError(f"{key} is missing", self.at("person", i), "see docs/security.md")
        if not NAME.fullmatch(table["name"]):
            raise TrustError("name is a-z, 0-9 and -", self.at("person", i, "name"), 'write "mso"')
        if table["role"] not in ROLES:
            raise TrustError(f"there is no role {table['role']!r}", self.at("person", i, "role"), ", ".join(ROLES))
        public = PublicKey.parse(table["key"], self.at("person", i, "key"))
        title = table.get("title", table["name"])
        days = table["valid_from"], table["valid_to"], table.get("revoked")
        return Person(table["name"], title, table["role"], public, *days)
