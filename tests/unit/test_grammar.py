"""The grammar of [transmit]: the same language as the standard library's, in a time that no pattern can make long."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway import registry
from gateway.core import grammar
from gateway.core.grammar import GrammarError, automaton
from gateway.core.transmit import PATTERNS_MAX, WRITE_MAX, Gate, grammar_fault, pattern_fault

HOSTILE = [  # each takes a backtracking matcher for ever on a row of "a", or its compiler
    r"(a+)+b",
    r"(?:a|a)+b",
    r"(?:a|aa)+b",
    r"(?:a*)*b",
    r"(?:(?:a?){30}){30}b",
    r"(?:.*)*(?:.*)*(?:.*)*b",
    r"(?:a{1,40}){1,40}b",
    r".{0,700}.{0,700}b",
    "(?:" * 15 + "a" + ")+" * 15 + "b",
    r"(?:(?:(?:){9999}){9999}){9999}",
    "|" * 8000,
    r"[\x00-\xff]{9999}",
    "(?:a?){999}" * 8,
]


class Counted:
    """Counts the steps of a look, so that no clock is needed to see that there are few."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps = 0
        inner = grammar._bits

        def bits(number: int):  # type: ignore[no-untyped-def]
            for one in inner(number):
                self.steps += 1
                yield one

        monkeypatch.setattr(grammar, "_bits", bits)


@pytest.mark.parametrize("pattern", HOSTILE)
def test_no_pattern_can_make_reading_or_looking_long(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    try:
        gate = Gate([pattern])
    except GrammarError:
        assert counted.steps <= 2 * grammar.READING
        return
    counted.steps = 0
    assert not gate.allows(b"a" * WRITE_MAX)
    assert counted.steps <= grammar.LOOKING


ATOMS = st.sampled_from(
    ["a", "b", ".", r"\x00", r"\xff", "[ab]", "[^a]", "[a-c]", r"\d", r"\.", r"[\x00-\x7f]", r"[]a]", "[a-]"]
)
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: f"(?:{'|'.join(some)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,3}", "{2,}"])).map(
            lambda both: f"(?:{both[0]}){both[1]}"
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=600, deadline=None)
@given(st.lists(PATTERNS, min_size=1, max_size=3), st.lists(st.text("abc.0", max_size=8), max_size=6))
@example(["(?:a?){2,}b"], ["b", "aaab"])
@example(["(?:a|)b"], ["b", "ab"])
def test_it_is_the_language_of_the_standard_library(patterns: list[str], texts: list[str]) -> None:
    """Whole messages of any of the patterns, one behind the other; patterns of nothing are no messages."""
    if any(re.fullmatch(p.encode("latin-1"), b"", re.DOTALL) for p in patterns):
        with pytest.raises(GrammarError, match="empty message"):
            Gate(patterns)
        return
    wanted = re.compile(b"(?:" + b"|".join(b"(?:%s)" % p.encode("latin-1") for p in patterns) + b")+", re.DOTALL)
    gate = Gate(patterns)
    for data in (text.encode() for text in texts):
        assert gate.allows(data) == (not data or wanted.fullmatch(data) is not None), (patterns, data)


@settings(max_examples=400, deadline=None)
@given(st.text(string.printable + "\x00\xff€", max_size=60))
def test_any_text_is_a_pattern_or_refused_in_words(text: str) -> None:
    fault = pattern_fault(text)
    if not fault:
        compiled = re.compile(text.encode("latin-1"), re.DOTALL)  # what passes here is one there, too
        assert not compiled.fullmatch(b"")


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a)\1",
        "(?=a)b",
        "(?!a)b",
        "(?<=a)b",
        "^a",
        "a$",
        "a*?",
        "a++",
        "a**",
        "(?P<n>a)",
        "(?i:a)",
        r"\ba",
        r"\Z",
        "a{3",
        "[b-a]",
        "a{2,1}",
        "x{0}",
    ],
)
def test_what_is_not_regular_or_not_clear_is_refused(pattern: str) -> None:
    assert pattern_fault(pattern)


def test_blanks_and_comments_mean_nothing_where_the_pattern_says_so() -> None:
    gate = Gate(["(?x: \\x02 a  # begins\n | b [ ]\\  )c"])
    assert [gate.allows(data) for data in (b"\x02ac", b"b  c", b" bc", b"b c", b"\x02 ac")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_there_is_a_bound_for_all_patterns_of_a_line_together() -> None:
    assert grammar_fault(["a"] * (PATTERNS_MAX + 1))[1]
    many = [f"{n:03d}" + ".{90}" for n in range(100)]
    assert not any(map(pattern_fault, many))
    assert "together" in grammar_fault(many)[1]
    assert not Gate(["a+"]).allows(b"a" * (WRITE_MAX + 1))
    assert Gate(["a+"]).allows(b"a" * WRITE_MAX)


def test_the_grammars_of_all_shipped_profiles_are_far_from_the_bounds() -> None:
    profiles = registry.Profiles()
    used = [automaton(tuple(dict.fromkeys(profiles.get(name).transmit))) for name in profiles.ids()]
    assert max(len(one.classes) for one in used) < grammar.POSITIONS / 2
    assert max(one.steps for one in used) < grammar.READING / 2
