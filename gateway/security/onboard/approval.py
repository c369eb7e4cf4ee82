"""A request for approval, its signatures, and whether they are enough.

    etc_dir/approvals/ASSET/REV.json              what is asked for, its hash, who asks; people sign it
    etc_dir/approvals/ASSET/REV.PERSON.minisig    one signature of it, made on that person's own computer

The file is written in one way only (sorted keys, two blanks, one newline at the end), and read in no other, so that
nothing can stand in it that a reader does not see. Its hash is that of the canonical JSON of `content`
(gateway.security.onboard.canonical), so two people who sign the file have signed that hash.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from gateway.core.errors import ConfigError, TrustError
from gateway.security.onboard.canonical import digest
from gateway.security.onboard.record import record_path
from gateway.security.trust.files import MAX_SIGNATURES, read_file
from gateway.security.trust.minisign import MAX_TEXT, PublicKey, Signature, verify
from gateway.security.trust.people import Person, Trust

KIND = "mdi-device-approval/1"
ROLES = ("it-security", "medico")  # who must look at a device: the network's side and the device's side
MAX_REQUEST = 256 * 1024  # a request with everything has about 6 KiB
KEYS = {"kind": str, "asset": str, "rev": int, "submitter": str, "submitted": str, "valid_until": str}
FOLDER = "approvals"


@dataclass(frozen=True)
class Request:
    """What people are asked to approve. sha256: of the content; valid_until: the last day."""

    asset: str
    rev: int
    submitter: str
    submitted: str
    valid_until: str
    content: dict[str, Any]

    @property
    def sha256(self) -> str:
        return digest(self.content)

    @property
    def text(self) -> bytes:
        """The file: readable, and always the same bytes."""
        head = {key: getattr(self, key) for key in KEYS if key != "kind"}
        doc = {"kind": KIND, **head, "sha256": self.sha256, "content": self.content}
        return (json.dumps(doc, ensure_ascii=False, sort_keys=True, indent=2, allow_nan=False) + "\n").encode()

    @classmethod
    def parse(cls, data: bytes, where: str) -> Request:
        """Read a request. Raises: TrustError when it is not exactly what we write."""
        hint = "have it submitted again: mdi onboard submit"
        try:
            doc = json.loads(data)
            if not isinstance(doc, dict) or any(type(doc.get(key)) is not kind for key, kind in KEYS.items()):
                raise ValueError
            date.fromisoformat(doc["valid_until"])
            found = cls(content=doc["content"], **{key: doc[key] for key in KEYS if key != "kind"})
            same = doc["kind"] == KIND and found.text == data
        except (ValueError, KeyError, TypeError, RecursionError, ConfigError):
            raise TrustError("is no request for approval", where, hint, "malformed") from None
        if not same:
            raise TrustError("is not as it was written: its hash or its form does not fit", where, hint, "changed")
        return found


@dataclass(frozen=True)
class Fault:
    """Why an approval, or one of its signatures, does not count. rule: stable, for programs."""

    rule: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.what} → {self.hint}" if self.hint else self.what


@dataclass(frozen=True)
class Verdict:
    """What the signatures of one request are worth. people: those that count; missing: why it is not approved."""

    request: Request
    people: tuple[Person, ...] = ()
    missing: tuple[Fault, ...] = ()
    refused: tuple[Fault, ...] = field(default=())  # signatures that do not count

    @property
    def approved(self) -> bool:
        return not self.missing


def folder_of(etc_dir: Path, asset: str) -> Path:
    """Return where the approvals of an asset lie. Raises: ConfigError when the asset can be none."""
    return etc_dir / FOLDER / record_path(etc_dir, asset).stem


def request_path(etc_dir: Path, asset: str, rev: int) -> Path:
    """Return where a request lies."""
    return folder_of(etc_dir, asset) / f"{rev}.json"


def revisions(etc_dir: Path, asset: str) -> list[int]:
    """Return the revisions that are there, the newest first."""
    names = (path.stem for path in folder_of(etc_dir, asset).glob("*.json"))
    return sorted((int(n) for n in names if n.isascii() and n.isdecimal() and n == str(int(n))), reverse=True)


def read_request(etc_dir: Path, asset: str, rev: int) -> tuple[Request, bytes]:
    """Return a request and the bytes that people sign. Raises: TrustError."""
    path = request_path(etc_dir, asset, rev)
    data = read_file(path, MAX_REQUEST)
    request = Request.parse(data, str(path))
    if (request.asset, request.rev) != (asset, rev):
        what = f"is the request {request.asset} {request.rev}, under another name"
        raise TrustError(what, str(path), "put it back where it was", "wrong_file")
    return request, data


def signatures(etc_dir: Path, asset: str, rev: int) -> list[tuple[str, str]]:
    """Return (file name, text) of each signature of a request; what cannot be read is an empty text."""
    found = []
    for path in sorted(folder_of(etc_dir, asset).glob(f"{rev}.*.minisig"))[:MAX_SIGNATURES]:
        try:
            found.append((path.name, read_file(path, MAX_TEXT).decode()))
        except (TrustError, UnicodeDecodeError):
            found.append((path.name, ""))
    return found


def judge(
    trust: Trust,
    request: Request,
    data: bytes,
    signed: Iterable[tuple[str, str]],
    others: Iterable[tuple[int, bytes]] = (),
    verified: datetime | None = None,
) -> Verdict:
    """Judge the signatures of one request. Pure.

    others: other revisions with their bytes, to say of a signature that it is over one of them
    verified: when this gateway first found this approval good; a key that has ended since still counts
    """
    people: dict[str, Person] = {}
    refused: list[Fault] = []
    others = list(others)
    for name, text in signed:
        try:
            person = _signer(trust, data, text, name, verified)
            _may(person, request, people)
            people[person.name] = person
        except TrustError as fault:
            refused.append(_told(trust, fault, text, name, others))
        except _RefusedError as no:
            refused.append(no.fault)
    return Verdict(request, tuple(people.values()), _missing(trust, tuple(people.values()), request), tuple(refused))


class _RefusedError(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.rule)
        self.fault = fault


def _signer(trust: Trust, data: bytes, text: str, name: str, verified: datetime | None) -> Person:
    try:
        return trust.signed(data, text, name).person
    except TrustError as fault:
        if fault.reason != "signer_expired" or verified is None:
            raise
        return replace(trust, now=verified).signed(data, text, name).person


def _may(person: Person, request: Request, people: dict[str, Person]) -> None:
    if person.name == request.submitter:
        what = f"{person.name} has submitted it and cannot approve it"
        raise _RefusedError(Fault("submitter", what, "another person of that role signs"))
    if person.role not in ROLES:
        what = f"{person.name} is {person.role}: that role does not approve devices"
        raise _RefusedError(Fault("wrong-role", what, "it takes " + " and ".join(ROLES)))
    if person.name in people:
        raise _RefusedError(Fault("same-person", f"{person.name} has signed twice", "another person signs"))
    same = next((p for p in people.values() if p.role == person.role), None)
    if same:
        what = f"{person.name} and {same.name} have the same role, {person.role}"
        raise _RefusedError(Fault("same-role", what, "somebody of the other role signs"))


def _told(trust: Trust, fault: TrustError, text: str, name: str, others: list[tuple[int, bytes]]) -> Fault:
    """Say why a signature is refused; one that fits another revision is named as that."""
    for rev, data in others:
        try:
            key_id = Signature.parse(text).key_id
            person = next(p for p in trust.people if p.key.id == key_id)
            verify(person.key, data, text)
        except (TrustError, StopIteration):
            continue
        what = f"{name}: {person.name} has signed revision {rev}, not this one"
        return Fault("older-hash", what, "look at what changed (mdi onboard diff), then sign again")
    return Fault(fault.reason.replace("_", "-"), f"{name}: {fault.what}", fault.hint)


def _missing(trust: Trust, people: tuple[Person, ...], request: Request) -> tuple[Fault, ...]:
    found = []
    if trust.person(request.submitter) is None:
        what = f"the submitter {request.submitter!r} is nobody in {trust.path.name}"
        found.append(Fault("unknown-submitter", what, "submit it under the name that stands there"))
    if trust.now.astimezone(UTC).date() > date.fromisoformat(request.valid_until):
        found.append(Fault("expired", f"the approval was valid until {request.valid_until}", "submit it anew"))
    open_roles = [role for role in ROLES if role not in {p.role for p in people}]
    if open_roles:
        said = ", ".join(f"{p.name} ({p.role})" for p in people) or "nobody"
        rule = "unsigned" if not people else "one-signature"
        found.append(Fault(rule, f"signed by {said}", "it takes a signature of " + " and ".join(open_roles)))
    return tuple(found)


def key_name(key: PublicKey) -> str:
    """Return the id of a key as minisign shows it."""
    return key.name
