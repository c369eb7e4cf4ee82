"""What is wrong with a DBC or with [driver] is refused before a port is opened, with file and line."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.can_signals.database import load_messages
from gateway.core.errors import ProfileError
from gateway.core.profile import Profile
from tests.unit.can_signals_rig import DBC, profile


def refused(wrong: Profile) -> str:
    with pytest.raises(ProfileError) as caught:
        load_messages(wrong, 0)
    return str(caught.value)


def test_a_syntax_error_names_file_and_line() -> None:
    said = refused(profile(DBC.replace("BO_ 258 Choice:", "BO_ 258 Choice")))
    line = DBC[: DBC.index("BO_ 258")].count("\n") + 1
    assert said.startswith(f"profiles/test/x.dbc:{line}: not a DBC file: Invalid syntax")


def test_a_signal_outside_its_message_is_refused() -> None:
    assert "does not fit in message Extended" in refused(profile(DBC.replace("real : 0|32", "real : 8|32")))


def test_signals_that_overlap_are_refused() -> None:
    assert "overlapping" in refused(profile(DBC.replace("coarse : 16|8", "coarse : 8|8")))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("BO_ 258 Choice", "BO_ 256 Choice", "Choice (100) repeats Plain"),
        ("BO_ 258 Choice", "BO_ 258 Plain", "Plain (102) repeats Plain"),
        ("BO_ 258 Choice: 3", "BO_ 258 Choice: 64", "Choice has 64 bytes, a CAN frame has 8"),
    ],
)
def test_what_cannot_be_told_apart_or_cannot_arrive_is_refused(old: str, new: str, what: str) -> None:
    assert what in refused(profile(DBC.replace(old, new)))


def test_a_dbc_without_messages_is_refused() -> None:
    assert "no message" in refused(profile('VERSION ""\n'))


@pytest.mark.parametrize("table", [{}, {"dbc": "y.dbc"}, {"dbc": 3}])
def test_the_profile_must_name_its_dbc(table: dict[str, object]) -> None:
    assert "names no file of the profile" in refused(replace(profile(), driver_table=table))


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ("dcb = 1", "unknown key 'dcb'"),
        ('invalid = { "Plain.gone" = [1] }', "'Plain.gone' is no signal and no node"),
        ('invalid = { "Plain.fine" = 1 }', "'Plain.fine' is no list of numbers"),
        ('invalid = { "Plain.fine" = ["x"] }', "'Plain.fine' is no list of numbers"),
        ("invalid = 3", "invalid is no table"),
    ],
)
def test_the_driver_table_is_checked(table: str, what: str) -> None:
    said = refused(profile(driver=table))
    assert said.startswith("profiles/test/network.toml:")
    assert what in said


def test_the_message_of_signals_without_a_message_is_left_out() -> None:
    """Vector tools park unused signals under this name; its id is no id."""
    parked = 'BO_ 3221225472 VECTOR__INDEPENDENT_SIG_MSG: 0 Vector__XXX\n SG_ x : 0|8@1+ (1,0) [0|0] "" Vector__XXX\n'
    names = [message.name for message in load_messages(profile(DBC + parked), 0)]
    assert names == ["Plain", "Extended", "Choice"]


@given(st.integers(0, len(DBC) - 1), st.sampled_from(['"', ";", "0", "-", ":", "|", "\n", " ", "x", "(", "é", ""]))
def test_a_damaged_dbc_loads_or_is_refused_by_name(at: int, put: str) -> None:
    damaged = profile(DBC[:at] + put + DBC[at + 1 :])
    with contextlib.suppress(ProfileError):  # any other error is a bug
        assert load_messages(damaged, 0)
