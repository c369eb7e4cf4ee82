"""One signed file, judged: who signed it, for what, until when, and whether an older one came back.

    verdict = judge(Item(path, data, "mdi_config.toml"), PURPOSES["configuration"], trust, revisions)

The bytes are handed in by whoever parses them, so that what is verified is what is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.core.errors import TrustError
from gateway.security.trust.claims import Claim
from gateway.security.trust.files import read_signatures
from gateway.security.trust.people import Person, Trust, enough
from gateway.security.trust.revisions import Revisions, Seen


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a signature is for. roles: who may; people: how many different ones, 0 = as many as the list's threshold."""

    name: str
    roles: tuple[str, ...]
    people: int


# A profile takes one signature here, and two over its digest when the device is approved (gateway.security.onboard).
CONFIGURATION = Purpose("configuration", ("it-security", "medico", "operations"), 0)
PROFILE = Purpose("profile", ("it-security", "medico", "supplier"), 1)
FOLDER = Purpose("manifest", ("it-security", "medico", "supplier", "release"), 1)
RELEASE = Purpose("manifest", ("release",), 1)
PURPOSES = (CONFIGURATION, PROFILE, RELEASE)


@dataclass(frozen=True)
class Item:
    """A file as it was read. name: as the signature must name it; beside: other files that belong to it, by name."""

    path: Path
    data: bytes = field(repr=False)
    name: str
    beside: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def sha256(self) -> str:
        """SHA-256 of the file and of what belongs to it: what its revision stands for."""
        if not self.beside:
            return digest(self.data)
        return digest("".join(f"{name} {d}\n" for name, d in [("", digest(self.data)), *_digests(self)]).encode())


@dataclass(frozen=True)
class Verdict:
    """A file that counts. people: who signed; claim: what they said of it."""

    name: str
    purpose: str
    claim: Claim
    people: tuple[Person, ...]
    sha256: str


def judge(item: Item, purpose: Purpose, trust: Trust, revisions: Revisions) -> Verdict:
    """Return who signed a file. Every signature beside it must count. Raises: TrustError, with reason and place."""
    today = trust.now.date()
    people: dict[str, Person] = {}
    claims: list[Claim] = []
    for where, text in read_signatures(item.path):
        signed = trust.signed(item.data, text, where)
        claim = Claim.parse(signed.comment, where)
        claim.check(purpose.name, item.name, today, where)
        _whole(claim, item, where)
        people[signed.person.name] = signed.person
        claims.append(claim)
    where = str(item.path)
    enough(list(people.values()), purpose.people or trust.threshold, purpose.roles, where)
    if len({claim.rev for claim in claims}) != 1:
        raise TrustError("is signed under different revisions", where, "sign with the same rev=", "wrong_file")
    revisions.check(f"{purpose.name}:{item.name}", Seen(claims[0].rev, item.sha256), where)
    soonest = min(claims, key=lambda claim: claim.valid_until)
    return Verdict(item.name, purpose.name, soonest, tuple(people.values()), item.sha256)


def _whole(claim: Claim, item: Item, where: str) -> None:
    """The files beside it are those that were signed with it, all of them and no other."""
    have = dict(_digests(item))
    if missing := sorted(have.keys() - claim.beside.keys()):
        hint = "sign it again with the line of mdi trust comment"
        raise TrustError(f"{missing[0]} is used and not signed with it", where, hint, "unsigned")
    if gone := sorted(claim.beside.keys() - have.keys()):
        raise TrustError(f"{gone[0]} was signed with it and is not used", where, "sign it again", "changed")
    if changed := sorted(name for name in have if have[name] != claim.beside[name]):
        what = f"{changed[0]} was changed after it was signed"
        raise TrustError(what, where, "find out who changed it, then have it signed again", "changed")


def _digests(item: Item) -> list[tuple[str, str]]:
    return sorted((name, digest(data)) for name, data in item.beside.items())


def digest(data: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()
