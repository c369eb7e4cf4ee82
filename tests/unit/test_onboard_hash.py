"""What voids an approval, and what does not: both ways, each field by itself, and at random."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.errors import TrustError
from gateway.security.onboard import content as contents
from gateway.security.onboard.approval import Request
from gateway.security.onboard.canonical import canonical, digest
from gateway.security.onboard.life import State
from tests.parts.onboarding import Ward

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | TEXT | st.floats(-9e15, 9e15),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def _hash(ward: Ward) -> str:
    return ward.one().sha256


def _record(key: str, value: str) -> Callable[[Ward], None]:
    def edit(ward: Ward) -> None:
        path = ward.etc_dir / "devices.d/A-1.toml"
        lines = path.read_text(encoding="utf-8").split("\n")
        at = next((i for i, line in enumerate(lines) if line.startswith(f"{key} = ")), None)
        if at is None:
            lines.insert(2, f"{key} = {value}")  # optional, below [device]
        else:
            lines[at] = f"{key} = {value}"
        path.write_text("\n".join(lines), encoding="utf-8")

    return edit


def _given(**changed: object) -> Callable[[Ward], None]:
    return lambda ward: ward.given.update(changed)


def _profile(old: str, new: str) -> Callable[[Ward], None]:
    def edit(ward: Ward) -> None:
        text = ward.profile_path.read_text(encoding="utf-8")
        assert old in text
        ward.profile_path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return edit


def _none(ward: Ward) -> None:
    pass


VOIDS: dict[str, Callable[[Ward], None]] = {
    **{f"record {key}": _record(key, value) for key, value in {
        "maker": '"Ø"', "model": '"X"', "serial": '"2"', "firmware": '"3"', "location": '"ITB"', "purpose": '"y"',
        "mdr_class": '"I"', "data": '["waveforms"]', "udi_di": '"1"', "os": '"QNX"', "says_model": '"C2"',
        "says_serial": '"S"', "mac": '"00:11:22:33:44:55"', "vlan": '"7"', "end_of_support": '"2031-01-01"',
        "maintenance": '"M"', "incident_contact": '"1234"', "clinical": '"X"', "medico": '"X"', "it": '"X"',
        "conduits": '["line"]', "next": '"2027-05-01"', "risks": '["R-2"]',
    }.items()},
    "risk": lambda ward: ward.risk("R-1", reason="another"),
    "risk prolonged": lambda ward: ward.risk("R-1", expires="2027-02-02"),
    "host of the line": _given(host="127.0.0.9"),
    "conduit it uses": _given(why="another reason"),
    "zone": _given(title="Other beds"),
    "policy": _given(drift="hold"),
    "mode": _given(mode="lab"),
    "profile: meaning": _profile("MDC_PULS_RATE", "MDC_PULS_OXIM_PULS_RATE"),
    "evidence": lambda ward: ward.record(
        "A-1", risks='["R-1"]', more='[[evidence]]\nname = "a"\nkind = "test"\nsha256 = "' + "0" * 64 + '"'
    ) and None,
}  # fmt: skip
KEEPS: dict[str, Callable[[Ward], None]] = {
    "nothing": _none,
    "comment in the record": lambda ward: (ward.etc_dir / "devices.d/A-1.toml").write_text(
        "# a comment\n" + (ward.etc_dir / "devices.d/A-1.toml").read_text(encoding="utf-8"), encoding="utf-8"
    ) and None,
    "another conduit": _given(other="another reason"),
    "size of a ring": _given(rows=2048),
    "where the bed is": _given(bed="2"),
    "a risk of somebody else": lambda ward: ward.risk("R-9"),
    "another device on the line": lambda ward: setattr(ward, "devices", ("pump", "scale")),
    "comment in the profile": lambda ward: ward.profile_path.write_text(
        "# a comment\n" + ward.profile_path.read_text(encoding="utf-8"), encoding="utf-8"
    ) and None,
    "what it says": lambda ward: ward.says(),
}  # fmt: skip


def _approved(folder: Path) -> Ward:
    ward = Ward(folder)
    ward.risk("R-1")
    ward.risk("R-2")
    ward.record("A-1", risks='["R-1"]')
    ward.approve()
    assert ward.one().state is State.APPROVED
    return ward


@pytest.mark.parametrize("what", VOIDS)
def test_it_voids_the_approval_and_is_named(tmp_path: Path, what: str) -> None:
    ward = _approved(tmp_path)
    before = _hash(ward)
    VOIDS[what](ward)
    one = ward.one()
    assert one.sha256 != before
    assert one.state is State.DRIFTED
    assert "content-changed" in one.rules
    assert one.may_open is (what == "mode")  # lab runs it, flagged
    assert one.may_open is one.flagged


@pytest.mark.parametrize("what", KEEPS)
def test_it_leaves_the_approval_alone(tmp_path: Path, what: str) -> None:
    ward = _approved(tmp_path)
    before = _hash(ward)
    KEEPS[what](ward)
    one = ward.one()
    assert (one.sha256, one.state, one.may_open) == (before, State.APPROVED, True)


def test_a_transmit_grammar_is_part_of_the_profile(tmp_path: Path) -> None:
    ward = _approved(tmp_path)
    profile = ward.config.profiles.get("ledger/counter")
    more = dataclasses.replace(profile, transmit=(*profile.transmit, "x"))
    assert contents.profile_digest(more) != contents.profile_digest(profile)


def test_version_and_rules_are_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ward = _approved(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(contents, "version", lambda _: "0.2.0")
        assert not ward.one().may_open
        patched.setattr(contents, "version", lambda _: "0.1.9")  # a patch release
        assert ward.one().may_open
    monkeypatch.setattr(contents, "RULES", 99)
    assert not ward.one().may_open


@settings(max_examples=200)
@given(JSON)
def test_canonical_json_reads_back_and_is_one_for_all_orders(value: Any) -> None:
    written = canonical(value)
    assert json.loads(written) == value
    assert canonical(json.loads(written)) == written
    assert canonical(_turned(value)) == written


def _turned(value: Any) -> Any:
    """The same with keys in another order."""
    if isinstance(value, dict):
        return {key: _turned(value[key]) for key in reversed(list(value))}
    return [_turned(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=200)
@given(st.dictionaries(TEXT, JSON, min_size=1, max_size=5), st.data())
def test_any_change_of_any_field_changes_the_hash_and_is_named(value: dict[str, Any], data: st.DataObject) -> None:
    value = contents.plain(value)
    key = data.draw(st.sampled_from(sorted(value)))
    other = contents.plain(data.draw(JSON))
    changed = {**value, key: other}
    same = canonical(other) == canonical(value[key])
    assert (digest(changed) == digest(value)) is same
    if not same:
        assert any(path.startswith(key) for path, _, _ in contents.differences(value, changed))


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(TEXT, JSON, max_size=4), TEXT, st.data())
def test_a_request_is_read_in_one_form_only(content: dict[str, Any], by: str, data: st.DataObject) -> None:
    request = Request("A-1", 3, by, "2026-06-01T12:00:00.000000+00:00", "2027-06-01", contents.plain(content))
    text = request.text
    assert Request.parse(text, "x") == request
    at = data.draw(st.integers(0, len(text) - 1))
    wrong = text[:at] + bytes([text[at] ^ (1 << data.draw(st.integers(0, 7)))]) + text[at + 1 :]
    try:
        found = Request.parse(wrong, "x")
    except TrustError:
        return
    # another request, exactly as that one would be written, and so other bytes to sign
    assert found != request
    assert found.text == wrong
