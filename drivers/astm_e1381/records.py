"""E1394 records: lines of fields, with the delimiters that their own header declares.

    H|\\^&|||sender|…|20230803131713        | field  \\ repeat  ^ component  & escape

"H|@^\\" is as good (GeneXpert): nothing here knows a delimiter that the header has not named. A header that names one
character twice is read as far as it is clear: a field that holds such a character is not.

Field numbers count the record type as field 1. Source: protocol notes "Message layer"; escapes: [from memory] there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

_TIME = re.compile(r"[0-9]{14}")  # YYYYMMDDHHMMSS


class Unclear(ValueError):
    """A field holds a delimiter whose meaning the header leaves open."""


@dataclass(frozen=True, slots=True)
class Delimiters:
    """What separates. unclear: characters of a header that does not name three different ones."""

    field: str
    component: str = ""
    escapes: Mapping[str, str] | None = None
    escape: str = ""
    unclear: frozenset[str] = frozenset()


def delimiters(header: str) -> Delimiters | None:
    """Read the first characters of an H record; None when there is not even a field delimiter."""
    field = header[1:2]
    if not field or field.isalnum():
        return None
    declared = header[2:].split(field, 1)[0]
    if len(declared) != 3 or len({field, *declared}) != 4:
        return Delimiters(field, unclear=frozenset(declared))
    repeat, component, escape = list(declared)
    escapes = {"F": field, "S": component, "R": repeat, "E": escape}
    return Delimiters(field, component, escapes, escape)


class Record:
    """One record. kind: its type, one letter."""

    def __init__(self, text: str, how: Delimiters) -> None:
        self.kind = text[:1]
        self._how = how
        self._fields = text.split(how.field)

    def raw(self, number: int) -> str:
        """Return a field as sent, "" when the record ends before it."""
        return self._fields[number - 1].strip() if number <= len(self._fields) else ""

    def rest(self, number: int) -> str:
        """Return the record from a field on, as sent."""
        return self._how.field.join(self._fields[number - 1 :])

    def components(self, number: int) -> list[str]:
        """Return the parts of a field in plain text. Raises: Unclear."""
        text = self.raw(number)
        if self._how.unclear.intersection(text):
            raise Unclear
        parts = text.split(self._how.component) if self._how.component else [text]
        return [_unescaped(part, self._how) for part in parts]

    def text(self, number: int) -> str:
        """Return a field of one component in plain text. Raises: Unclear."""
        return self.components(number)[0]

    def time_ns(self, number: int) -> int | None:
        """Return a time as UTC ns under the assumption that the analyser shows UTC; None when there is none."""
        text = self.raw(number)
        if not _TIME.fullmatch(text):
            return None
        try:
            when = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            return None
        return int(when.timestamp()) * 1_000_000_000


def _unescaped(text: str, how: Delimiters) -> str:
    """Replace &F& &S& &R& &E& and &Xhh&; what is none of these stays as it is."""
    if not how.escape or how.escape not in text or how.escapes is None:
        return text
    mark, known = re.escape(how.escape), how.escapes

    def plain(found: re.Match[str]) -> str:
        word = found[1]
        return chr(int(word[1:], 16)) if word[0] == "X" else known[word]

    return re.sub(f"{mark}([FSRE]|X[0-9A-Fa-f]{{2}}){mark}", plain, text)


def split(text: bytes) -> list[str]:
    """Return the records of a message, which CR separates."""
    return [line for line in text.decode("latin-1").replace("\n", "").split("\r") if line]
