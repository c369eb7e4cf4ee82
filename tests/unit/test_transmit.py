"""The gate: whole messages of the grammar and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ProfileError
from gateway.core.profile import parse_profile
from gateway.core.transmit import Gate, pattern_fault
from tests.unit.test_profile import GOOD


def test_without_a_grammar_nothing_may_be_written() -> None:
    assert Gate([]).allows(b"")
    assert not Gate([]).allows(b"\0")


def test_only_whole_messages_pass() -> None:
    gate = Gate([r"SND[AF]\r", r"\x02.{2}\x03"])
    for good in (b"SNDA\r", b"SNDF\rSNDA\r", b"\x02\n\r\x03", b"\x02ab\x03SNDA\r"):
        assert gate.allows(good)
    for bad in (b"SNDA", b"SNDA\r ", b" SNDA\r", b"SNDB\r", b"\x02abc\x03", b"SNDA\rRSET\r"):
        assert not gate.allows(bad)


@given(st.binary(min_size=1, max_size=12))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    if data not in (b"?\r", b"?\r?\r", b"?\r" * 3, b"?\r" * 4, b"?\r" * 5, b"?\r" * 6):
        assert not Gate([r"\?\r"]).allows(data)


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [("(", "is no pattern"), ("a*", "matches the empty message"), ("", "matches the empty message"), ("€", "no byte")],
)
def test_what_is_no_pattern_is_refused_with_its_line(pattern: str, fault: str) -> None:
    assert fault in pattern_fault(pattern)
    text = GOOD + f"\n[transmit]\nallow = ['x', '{pattern}']\n"
    with pytest.raises(ProfileError, match=fault) as told:
        parse_profile(text, "acme/box", "box.toml")
    assert told.value.where == f"box.toml:{text.count(chr(10))}"
