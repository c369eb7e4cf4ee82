"""Where a key stands in a TOML text, so that an error can name its line. tomllib itself tells no lines.

The locator walks the text once, line by line. It understands what our own files use: `[table]`, `[[array of tables]]`,
`key = value`, inline tables, and arrays of inline tables, usually one to a line. Before it looks at a line, it blanks
out strings and comments at equal length, so a bracket in a comment or an `=` in a text counts for nothing.
What it does not understand it passes over; `line_of` then names the nearest parent.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from reprlib import Repr
from typing import Any

from gateway.core.errors import MdiError

Path = tuple[str | int, ...]
"""A place in the parsed document: ("port", 0, "device", 1, "profile")."""

_NAME = r"(?:\"~*+\"|'~*+'|(?<![A-Za-z0-9_\-])[A-Za-z0-9_\-]++)"  # possessive: a long line costs one pass
_DOTTED = rf"{_NAME}(?:\s*\.\s*{_NAME})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]\]?\s*")
_KEY = re.compile(rf"\s*({_DOTTED})\s*=")
_INSIDE = re.compile(rf"[\[\]{{}},]|{_DOTTED}(?=\s*=)")
_TEXT = re.compile(r"\"\"\"|'''|\"(?:\\.|[^\"\\])*\"|'[^']*'|#.*")
_PART = re.compile(r"\"[^\"]*\"|'[^']*'|[A-Za-z0-9_\-]+")


MAX_PARTS = 32  # of one dotted key; ours have four. tomllib takes time with their square: 0.1 MB took minutes
_DEEP = re.compile(rf"(?:(?:\"[^\"]*+\"|'[^']*+'|(?<![A-Za-z0-9_\-])[A-Za-z0-9_\-]++)[ \t]*+\.[ \t]*+){{{MAX_PARTS}}}")


def load(text: str, where: str, error: type[MdiError]) -> dict[str, Any]:
    """Parse TOML; a syntax error becomes `error` with its line."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") >= MAX_PARTS and _DEEP.search(line):
            what = f"a key of more than {MAX_PARTS} parts"
            raise error(what, f"{where}:{number}", "a table needs no such nesting")
    try:
        return tomllib.loads(text)
    except RecursionError as fault:
        raise error("not TOML: brackets are nested too deep", f"{where}:1", "a table needs no such nesting") from fault
    except ValueError as fault:  # TOMLDecodeError, or an integer too long for Python
        match = re.search(r"\(at (?:line (\d+)|end of document)", str(fault))
        line = match.group(1) if match and match.group(1) else str(text.count("\n") + 1)
        what = str(fault).split(" (at ")[0]
        raise error(f"not TOML: {what}", f"{where}:{line}", "check quotes and brackets on this line") from fault


_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 120


def shown(value: Any) -> str:
    """Return a value as an error shows it: one short line, however long or deep the value is."""
    return _SHORT.repr(value)


def line_of(text: str, path: Path) -> int:
    """Return the 1-based line of `path`, or of its nearest parent that has one; 1 when nothing matches."""
    index = _index(text)
    for end in range(len(path), 0, -1):
        if path[:end] in index:
            return index[path[:end]]
    return 1


@lru_cache(maxsize=4)
def _index(text: str) -> Mapping[Path, int]:
    scan = _Scan()
    for number, line in enumerate(text.split("\n"), 1):
        scan.line(line, number)
    return scan.found


class _Scan:
    """One walk over a text: remembers the table it is in and the value that is still open."""

    def __init__(self) -> None:
        self.found: dict[Path, int] = {}
        self.counts: dict[Path, int] = {}  # arrays of tables: how many so far
        self.table: Path = ()
        self.key: Path = ()  # the key whose value is open
        self.open: list[str] = []  # brackets of that value not yet closed
        self.item = 0  # when it is an array: index of the item we are in
        self.quotes = ""  # the delimiter of the multi-line string we are in

    def line(self, line: str, number: int) -> None:
        masked = self.mask(line)
        if self.open:
            self.value(line, masked, 0, number)
        elif header := _HEADER.fullmatch(masked):
            self.enter(header[1] == "[[", _names(line[header.start(2) : header.end(2)]), number)
        elif key := _KEY.match(masked):
            self.key = (*self.table, *_names(line[key.start(1) : key.end(1)]))
            self.found.setdefault(self.key, number)
            self.value(line, masked, key.end(), number)

    def mask(self, line: str) -> str:
        """Return the line at equal length, with `~` inside its strings and blanks for comments and long strings."""
        parts: list[str] = []
        at = 0
        while at < len(line):
            if self.quotes:
                end = line.find(self.quotes, at)
                stop = len(line) if end < 0 else end + 3
                parts.append(" " * (stop - at))
                at, self.quotes = stop, self.quotes if end < 0 else ""
                continue
            token = _TEXT.search(line, at)
            start, stop = token.span() if token else (len(line), len(line))
            text = line[start:stop]
            parts.append(line[at:start])
            if text in ('"""', "'''"):
                self.quotes = text
            plain = text[:1] in ("#", "") or self.quotes
            parts.append(" " * len(text) if plain else text[0] + "~" * (len(text) - 2) + text[0])
            at = stop
        return "".join(parts)

    def enter(self, array: bool, names: list[str], number: int) -> None:
        """Go into a table, with the running index of each array of tables on the way."""
        path: Path = ()
        for position, name in enumerate(names):
            path = (*path, name)
            self.found.setdefault(path, number)
            if array and position == len(names) - 1:
                self.counts[path] = self.counts.get(path, 0) + 1
            if path in self.counts:
                path = (*path, self.counts[path] - 1)
                self.found.setdefault(path, number)
        self.table = path

    def value(self, line: str, masked: str, start: int, number: int) -> None:
        """Follow the brackets of a value; note each item of an array, and the keys of inline tables."""
        for token in _INSIDE.finditer(masked, start):
            text = token[0]
            if text in "[{":
                if not self.open:
                    self.item = 0
                if self.open == ["["]:
                    self.found.setdefault((*self.key, self.item), number)
                self.open.append(text)
            elif text in "]}":
                self.open = self.open[:-1]
            elif text == ",":
                if self.open == ["["]:
                    self.found.setdefault((*self.key, self.item), number)
                    self.item += 1
            elif self.open in (["{"], ["[", "{"]):
                item = (self.item,) if self.open[0] == "[" else ()
                self.found.setdefault((*self.key, *item, *_names(line[token.start() : token.end()])), number)


def _names(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]
