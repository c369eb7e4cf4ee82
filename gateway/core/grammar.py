"""Patterns of bytes that cost one look per byte, whatever they say: the grammar of [transmit].

    a profile's text ─► parse ─► positions ─► Automaton.matches(data): a set of positions, moved on by each byte

A profile may be hostile, so its patterns never reach a backtracking matcher, where `(a+)+b` needs longer than the
patient lives. The syntax is that of the standard library's regular expressions, less all that is not regular or not
needed: no groups that remember, no look-around, no anchors, no lazy quantifiers. A number of repetitions is written
out, so the size is bounded when the profile is read (POSITIONS), and time by steps that are counted.

Method: Glushkov's automaton (V. M. Glushkov, 1961): one state for each byte class of the pattern; sets of states are
bits of one integer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

MAX_PATTERN = 8192  # characters; the longest shipped (wave list of an IntelliVue) has 2,840
POSITIONS = 8192  # byte classes of a line's patterns, repetitions written out; the largest shipped needs 3,339
READING = 400_000  # steps of reading the patterns of a line; the largest shipped takes 8,000
LOOKING = 200_000  # steps of one look at bytes, some 50 ms; the largest message shipped takes 2,000
DEPTH = 16  # of groups in groups; shipped are 2
_ALL = frozenset(range(256))
_NAMED = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_SETS = {
    "d": frozenset(b"0123456789"),
    "s": frozenset(b" \t\n\r\f\v"),
    "w": frozenset(b"0123456789_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"),
}
_BLANKS = re.compile(r"(?:[ \t\n\r\f\v]|#[^\n]*)*+")  # possessive: one pass
_COUNT = re.compile(r"\{([0-9]{1,4})(,?)([0-9]{0,4})\}")


class GrammarError(ValueError):
    """A pattern is outside of the grammar; the text says how."""


@dataclass(frozen=True, slots=True)
class Part:
    """A pattern, or a piece of one. empty: it may match nothing; first, last: positions it begins and ends with."""

    empty: bool
    first: int
    last: int


@dataclass(slots=True)
class Automaton:
    """classes: position -> the bytes that it takes; follow: position -> positions that may come next, as bits."""

    classes: list[frozenset[int]] = field(default_factory=list)
    follow: list[int] = field(default_factory=list)
    takes: list[int] = field(default_factory=lambda: [0] * 256)
    steps: int = 0  # of reading, so that groups of nothing that repeat each other end too
    start: int = 0
    ends: int = 0

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Automaton:
        """Return the automaton of a sequence, of at least one, of messages that any of the patterns matches.

        Raises: GrammarError.
        """
        made = cls()
        for pattern in patterns:
            part = _Parser(pattern, made).pattern()
            made.start |= part.first
            made.ends |= part.last
        for position in _bits(made.ends):  # after a whole message the next one may begin
            made.follow[position] |= made.start
        return made

    def add(self, allowed: frozenset[int]) -> Part:
        """Return a new position. Raises: GrammarError when there are too many."""
        if len(self.classes) >= POSITIONS:
            raise GrammarError(f"needs more than {POSITIONS} places, its repetitions written out")
        bit = 1 << len(self.classes)
        self.classes.append(allowed)
        self.follow.append(0)
        for byte in allowed:
            self.takes[byte] |= bit
        return Part(False, bit, bit)

    def step(self, steps: int = 1) -> None:
        """Count steps of reading. Raises: GrammarError when there are too many."""
        self.steps += steps
        if self.steps > READING:
            raise GrammarError(f"needs more than {READING} steps to be read")

    def link(self, last: int, first: int) -> None:
        """Let any of some positions be followed by any of others."""
        self.step(last.bit_count())
        for position in _bits(last):
            self.follow[position] |= first

    def matches(self, data: bytes) -> bool:
        """Tell whether all of `data` is a sequence of whole messages. What takes more than LOOKING steps is none."""
        coming, here, left = self.start, 0, LOOKING
        for byte in data:
            here = coming & self.takes[byte]
            if not here:
                return False
            coming, left = 0, left - here.bit_count()
            if left < 0:
                return False
            for position in _bits(here):
                coming |= self.follow[position]
        return bool(here & self.ends)


@lru_cache(maxsize=64)
def automaton(patterns: tuple[str, ...]) -> Automaton:
    """Return the automaton of patterns, made once. Raises: GrammarError."""
    return Automaton.of(dict.fromkeys(patterns))


def _bits(number: int) -> Iterator[int]:
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low


class _Parser:
    """Recursive descent over one pattern; writes its positions into an automaton."""

    def __init__(self, text: str, into: Automaton) -> None:
        if len(text) > MAX_PATTERN:
            raise GrammarError(f"is longer than {MAX_PATTERN} characters")
        try:
            text.encode("latin-1")
        except UnicodeEncodeError:
            raise GrammarError("holds a character that is no byte") from None
        self.text, self.at, self.into, self.depth = text, 0, into, 0
        self.verbose = False  # inside (?x: …) blanks mean nothing, and # begins a comment

    def pattern(self) -> Part:
        part = self.either()
        if self.at < len(self.text):
            raise GrammarError(f"is no pattern: {self.text[self.at]!r} at {self.at} closes nothing")
        if part.empty:
            raise GrammarError("matches the empty message")
        return part

    def peek(self) -> str:
        if self.verbose:
            self.at = _BLANKS.match(self.text, self.at).end()  # type: ignore[union-attr]  # matches nothing, too
        return self.text[self.at : self.at + 1]

    def take(self) -> str:
        self.peek()
        return self.raw()

    def raw(self) -> str:
        char = self.text[self.at : self.at + 1]
        if not char:
            raise GrammarError("is no pattern: it ends too early")
        self.at += 1
        return char

    def either(self) -> Part:
        part = self.sequence()
        while self.peek() == "|":
            self.at += 1
            other = self.sequence()
            part = Part(part.empty or other.empty, part.first | other.first, part.last | other.last)
        return part

    def sequence(self) -> Part:
        self.into.step()
        part = Part(True, 0, 0)
        while self.peek() not in ("", "|", ")"):
            part = self.join(part, self.repeated())
        return part

    def join(self, one: Part, two: Part) -> Part:
        self.into.link(one.last, two.first)
        first = one.first | two.first if one.empty else one.first
        last = one.last | two.last if two.empty else two.last
        return Part(one.empty and two.empty, first, last)

    def repeated(self) -> Part:
        """One atom with its quantifier. A number of times is written out by reading the atom so often."""
        begin = self.at
        part = self.atom()
        end = self.at
        low, high = self.quantifier()
        if (low, high) == (1, 1):
            return part
        if self.peek() and self.peek() in "*+?{":
            raise GrammarError(f"{self.peek()!r} at {self.at} after a quantifier is not in the grammar")
        after, whole = self.at, Part(True, 0, 0)
        if high is None:  # x{n,} is n - 1 times x, and x again and again
            for _ in range(max(low, 1) - 1):
                whole, part = self.join(whole, part), self.again(begin, end)
            self.into.link(part.last, part.first)
            whole = self.join(whole, Part(part.empty or not low, part.first, part.last))
        else:
            for n in range(high):
                part = part if not n else self.again(begin, end)
                whole = self.join(whole, Part(part.empty or n >= low, part.first, part.last))
        self.at = after
        return whole

    def again(self, begin: int, end: int) -> Part:
        self.at = begin
        part = self.atom()
        self.at = end
        return part

    def quantifier(self) -> tuple[int, int | None]:
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if self.peek() in simple:
            return simple[self.take()]
        if self.peek() != "{":
            return 1, 1
        found = _COUNT.match(self.text, self.at)
        if not found:
            raise GrammarError(f"is no pattern: {{ at {self.at} begins no number of times")
        self.at = found.end()
        low = int(found[1])
        high = (int(found[3]) if found[3] else None) if found[2] else low
        if high is not None and not low <= high:
            raise GrammarError(f"is no pattern: {found[0]} is none of a number of times")
        if high == 0:
            raise GrammarError(f"{found[0]} repeats nothing")
        return low, high

    def atom(self) -> Part:
        self.into.step()
        char = self.take()
        if char == "(":
            return self.group()
        if char == "[":
            return self.into.add(self.byte_class())
        if char == "\\":
            return self.into.add(self.escape())
        if char in "*+?{":
            raise GrammarError(f"is no pattern: nothing before {char!r} at {self.at - 1}")
        if char in "^$":
            raise GrammarError(f"{char!r} at {self.at - 1} is not in the grammar: a pattern is always a whole message")
        return self.into.add(_ALL if char == "." else frozenset((ord(char),)))

    def group(self) -> Part:
        outside = self.verbose
        if self.text[self.at : self.at + 1] == "?":
            kind = next((kind for kind in ("?:", "?x:") if self.text.startswith(kind, self.at)), "")
            if not kind:
                raise GrammarError(f"{self.text[self.at - 1 : self.at + 2]!r} at {self.at - 1} is not in the grammar")
            self.at += len(kind)
            self.verbose = outside or kind == "?x:"
        self.depth += 1
        if self.depth > DEPTH:
            raise GrammarError(f"has more than {DEPTH} groups in each other")
        part = self.either()
        if self.peek() != ")":
            raise GrammarError("is no pattern: a group is not closed")
        self.at += 1
        self.depth -= 1
        self.verbose = outside
        return part

    def byte_class(self) -> frozenset[int]:
        negated = self.text[self.at : self.at + 1] == "^"
        self.at += negated
        found: set[int] = set()
        first = True
        while first or self.text[self.at : self.at + 1] != "]":
            low = self.class_item()
            first = False
            if self.text[self.at : self.at + 1] == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self.class_item()
                if len(low) != 1 or len(high) != 1 or min(low) > min(high):
                    raise GrammarError(f"is no pattern: bad range before {self.at}")
                low = frozenset(range(min(low), min(high) + 1))
            found |= low
        self.at += 1
        return _ALL - found if negated else frozenset(found)

    def class_item(self) -> frozenset[int]:
        char = self.raw()
        return self.escape() if char == "\\" else frozenset((ord(char),))

    def escape(self) -> frozenset[int]:
        char = self.raw()
        if char == "x":
            digits = self.text[self.at : self.at + 2]
            if not re.fullmatch(r"[0-9A-Fa-f]{2}", digits):
                raise GrammarError(f"is no pattern: \\x{digits} is no byte")
            self.at += 2
            return frozenset((int(digits, 16),))
        if char.lower() in _SETS:
            return _SETS[char] if char in _SETS else _ALL - _SETS[char.lower()]
        if char in _NAMED:
            return frozenset((_NAMED[char],))
        if char.isalnum():
            raise GrammarError(f"\\{char} is not in the grammar; a byte is written \\x00")
        return frozenset((ord(char),))
