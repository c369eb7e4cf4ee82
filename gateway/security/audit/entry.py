"""One line of the audit log, and the statement that anchors it: their bytes and hashes. Pure.

    line   = canonical JSON of the entry and its hash, and a line feed
    entry  = {actor, boot_id, clock, event, facts, prev, seq, subject, t_mono, t_utc, writer}
    h      = SHA-256(prev ‖ canonical(entry)); prev is the h of the line before, the first line's is `genesis`

Canonical: keys sorted, no spaces, UTF-8. A line that means the same and is written otherwise is not the same line.

A checkpoint says "entry `seq` of this writer has the hash `head`" and is signed with ed25519. It leaves the box:
whoever holds it needs nothing of the box to see that the log is another one than it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FIELDS = frozenset(
    ("actor", "boot_id", "clock", "event", "facts", "h", "prev", "seq", "subject", "t_mono", "t_utc", "writer")
)
_DOMAIN = b"mdi audit checkpoint 1\n"  # what is signed here is nothing else


def canonical(value: Mapping[str, Any]) -> bytes:
    """Return the one way to write a JSON object."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def genesis(gateway: str, writer: str) -> str:
    """Return what stands before the first entry of a chain: a chain cannot be taken for another's."""
    return hashlib.sha256(f"mdi audit 1\n{gateway}\n{writer}".encode()).hexdigest()


def digest(entry: Mapping[str, Any]) -> str:
    """Return the hash of an entry; its own `h` is not part of it."""
    bare = {key: value for key, value in entry.items() if key != "h"}
    return hashlib.sha256(bytes.fromhex(str(entry["prev"])) + canonical(bare)).hexdigest()


def line_of(entry: Mapping[str, Any]) -> tuple[bytes, str]:
    """Return the line of an entry, and its hash."""
    h = digest(entry)
    return canonical({**entry, "h": h}) + b"\n", h


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Return the entry of a line, with `h`; None unless each byte is as it was written."""
    try:
        entry = json.loads(line)
        if not isinstance(entry, dict) or entry.keys() != FIELDS or line != canonical(entry):
            return None
        return entry if digest(entry) == entry["h"] else None
    except (ValueError, TypeError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed word on the head of a chain. key, sig: hex."""

    gateway: str
    writer: str
    seq: int
    head: str
    t_utc: str
    key: str
    sig: str = ""

    @property
    def said(self) -> bytes:
        """What is signed."""
        bare = asdict(self)
        del bare["sig"]
        return _DOMAIN + canonical(bare)

    @property
    def genuine(self) -> bool:
        """Tell whether the signature is good for the key that it names."""
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.key)).verify(bytes.fromhex(self.sig), self.said)
        except (InvalidSignature, ValueError):
            return False
        return True

    @property
    def text(self) -> bytes:
        """As it is published."""
        return canonical(asdict(self))

    @classmethod
    def parse(cls, text: bytes | str) -> Checkpoint:
        """Return a published checkpoint. Raises: ValueError when it is none; the signature is not looked at."""
        try:
            found = json.loads(text)
        except RecursionError:
            raise ValueError("not a checkpoint") from None
        if not isinstance(found, dict) or found.keys() != {"gateway", "writer", "seq", "head", "t_utc", "key", "sig"}:
            raise ValueError("not a checkpoint")
        if type(found["seq"]) is not int or not all(isinstance(v, str) for k, v in found.items() if k != "seq"):
            raise ValueError("not a checkpoint")
        return cls(**found)


def checkpoint_of(entry: Mapping[str, Any], gateway: str) -> Checkpoint | None:
    """Return the checkpoint that an entry of event audit_checkpoint tells of; None when it is none."""
    try:
        facts = entry["facts"]
        said = {name: str(facts[name]) for name in ("head", "t_utc", "key", "sig")}
        return Checkpoint(gateway, str(entry["writer"]), int(facts["of"]), **said)
    except (KeyError, ValueError, TypeError, OverflowError):  # OverflowError: JSON knows an infinite number
        return None
