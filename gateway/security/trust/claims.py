"""What a trusted comment says about the file that is signed: which file, for what, which revision, until when.

One line of `key=value`, parted by spaces; what is not known is passed over, what is there twice is refused:

    purpose=profile file=philips/mx800.toml rev=12 valid_until=2027-06-30 sha256:ecmo.dbc=9f86…

The file's name stands in it, so that a signature for one file does not fit another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from gateway.core.errors import TrustError

BESIDE = "sha256:"  # before the name of a file that is covered with this one
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}|0")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_HINT = "give minisign -t the line that mdi trust comment prints"


@dataclass(frozen=True)
class Claim:
    """valid_until: the last day, UTC. beside: name -> SHA-256 of files in the same folder."""

    purpose: str
    file: str
    rev: int
    valid_until: date
    beside: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, comment: str, where: str = "") -> Claim:
        """Read a trusted comment. Raises: TrustError."""
        words = [word.partition("=") for word in comment.split()]
        known = {key: value for key, is_, value in words if is_}
        if len({key for key, _, _ in words}) != len(words):
            raise TrustError("the trusted comment says something twice", where, _HINT)
        for key, pattern in (("purpose", _NAME), ("file", _NAME), ("rev", _NUMBER)):
            if not pattern.fullmatch(known.get(key, "")):
                raise TrustError(f"the trusted comment has no {key}=", where, _HINT)
        try:
            end = date.fromisoformat(known.get("valid_until", ""))
        except ValueError:
            raise TrustError("the trusted comment has no valid_until=YYYY-MM-DD", where, _HINT) from None
        beside = {key[len(BESIDE) :]: value for key, value in known.items() if key.startswith(BESIDE)}
        if not all(_NAME.fullmatch(name) and _DIGEST.fullmatch(digest) for name, digest in beside.items()):
            raise TrustError("the trusted comment has a wrong digest", where, _HINT)
        return cls(known["purpose"], known["file"], int(known["rev"]), end, beside)

    def check(self, purpose: str, file: str, today: date, where: str) -> None:
        """Check that this is said of `file`, for `purpose`, and still holds. Raises: TrustError."""
        if self.purpose != purpose:
            what = f"is signed as {self.purpose}, not as {purpose}"
            raise TrustError(what, where, f"sign it with purpose={purpose}", "wrong_file")
        if self.file != file:
            what = f"is the signature of {self.file}, not of {file}"
            raise TrustError(what, where, f"sign it with file={file}", "wrong_file")
        if today > self.valid_until:
            what = f"the signature was valid until {self.valid_until}"
            raise TrustError(what, where, "look at it again, and sign with a later valid_until=", "expired")

    @property
    def text(self) -> str:
        """The trusted comment."""
        beside = "".join(f" {BESIDE}{name}={digest}" for name, digest in sorted(self.beside.items()))
        end = self.valid_until.isoformat()
        return f"purpose={self.purpose} file={self.file} rev={self.rev} valid_until={end}{beside}"
