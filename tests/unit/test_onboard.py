"""Onboarding on real files: what an approval is worth, what voids it, what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.errors import ConfigError, TrustError
from gateway.security.onboard import actions, approval
from gateway.security.onboard.canonical import canonical
from gateway.security.onboard.life import State, Step
from gateway.security.onboard.record import read_record, read_risk
from tests.parts.onboarding import Ward
from tests.parts.trust import ROLE, Entry


def test_canonical_json_is_that_of_rfc_8785() -> None:
    # The examples of RFC 8785, 3.2.2 and 3.2.3.
    assert canonical([333333333.33333329, 1e30, 4.50, 2e-3, 1e-27]) == b"[333333333.3333333,1e+30,4.5,0.002,1e-27]"
    keys = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\xf6": 7}
    order = [int(pair[-1]) for pair in canonical(keys).decode()[1:-1].split(",")]
    assert order == [2, 4, 6, 7, 1, 5, 3]
    assert canonical('\u20ac$\x0f\nA\'B"\\\\"/') == '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'.encode()
    # Appendix B.
    for number, text in ((5e-324, "5e-324"), (1e21, "1e+21"), (1e23, "1e+23"), (1e-6, "0.000001"), (1e-7, "1e-7")):
        assert canonical(number) == text.encode()
    assert canonical(-0.0) == b"0"
    for wrong in (float("nan"), float("inf"), 1 << 60, {1: 2}, object(), "\ud800"):
        with pytest.raises(ConfigError):
            canonical(wrong)


def test_a_device_goes_from_draft_to_active_and_to_its_end(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    assert (ward.one().state, ward.one().may_open) == (State.DRAFT, False)
    rev = ward.submit()
    assert (ward.one().state, ward.one().may_open) == (State.SUBMITTED, False)
    ward.sign("A-1", rev, "mso")
    assert (ward.one().state, ward.one().may_open) == (State.SUBMITTED, False)
    ward.sign("A-1", rev, "jkr")
    assert (ward.one().state, ward.one().may_open) == (State.APPROVED, True)
    assert {p.name for p in ward.one().people} == {"mso", "jkr"}
    assert ward.hand(Step.SUSPEND).state is State.SUSPENDED
    assert not ward.one().may_open
    assert ward.hand(Step.RESUME).may_open
    assert ward.hand(Step.REVOKE).state is State.REVOKED
    with pytest.raises(ConfigError, match="for good"):
        ward.submit()
    with pytest.raises(ConfigError, match="for good"):
        ward.hand(Step.RESUME)
    assert ward.hand(Step.RETIRE).state is State.RETIRED
    assert not ward.one().may_open


def _role(ward: Ward, name: str, **changed: str) -> None:
    """The list of people, with one entry changed."""
    entries = [Entry(n, r, **(changed if n == name else {})) for n, r in ROLE.items()]  # type: ignore[arg-type]
    ward.people.write(entries, rev=2)


REFUSED = {
    "unsigned": ((), "signed by nobody"),
    "one-signature": (("mso",), r"signed by mso \(it-security\) → it takes a signature of medico"),
    "same-role": (("mso", "its"), "have the same role, it-security"),
    "wrong-role": (("mso", "abe"), "abe is clinical: that role does not approve devices"),
}


@pytest.mark.parametrize("rule", REFUSED)
def test_too_few_signatures_are_refused_each_with_its_message(tmp_path: Path, rule: str) -> None:
    names, said = REFUSED[rule]
    ward = Ward(tmp_path)
    ward.sign("A-1", ward.submit(), *names)
    one = ward.one()
    assert (one.state, one.may_open) == (State.SUBMITTED, False)
    assert rule in one.rules
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(" ".join(one.reasons))


def test_the_same_person_twice_is_one_person(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    rev = ward.submit()
    ward.sign("A-1", rev, "mso")
    path = approval.request_path(ward.etc_dir, "A-1", rev)
    again = ward.people.sign("mso", path.read_bytes(), "again")
    path.with_name(f"{rev}.jkr.minisig").write_text(again)  # under somebody else's name
    assert "same-person" in ward.one().rules
    assert not ward.one().may_open
    with pytest.raises(TrustError, match="mso has signed twice"):
        actions.sign(ward.config, ward.trust, "A-1", rev, ward.people.sign("mso", path.read_bytes(), "third"))


def test_the_submitter_cannot_approve(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    rev = ward.submit(by="mso")
    ward.sign("A-1", rev, "mso", "jkr")
    assert "submitter" in ward.one().rules
    assert not ward.one().may_open
    ward.sign("A-1", rev, "its")  # the other one of that role
    assert ward.one().may_open


def test_the_submitter_is_somebody_who_is_known(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    with pytest.raises(ConfigError, match="'mso2' is nobody"):
        ward.submit(by="mso2")
    rev = ward.submit(by="lev")
    _without = [Entry(n, r) for n, r in ROLE.items() if n != "lev"]
    ward.people.write(_without, rev=2)
    ward.sign("A-1", rev, "mso", "jkr")
    assert "unknown-submitter" in ward.one().rules
    assert not ward.one().may_open


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("revoked", {"revoked": "2026-05-01"}),
        ("signer-expired", {"valid_to": "2026-05-01"}),
        ("not-yet-valid", {"valid_from": "2026-07-01"}),
    ],
)
def test_a_key_whose_time_is_not_now_does_not_count(tmp_path: Path, rule: str, changed: dict[str, str]) -> None:
    ward = Ward(tmp_path)
    ward.approve()
    assert ward.one().may_open
    _role(ward, "jkr", **changed)
    assert rule in ward.one().rules
    assert not ward.one().may_open


def test_a_key_of_nobody_does_not_count(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    ward.approve()
    ward.people.write([Entry(n, r) for n, r in ROLE.items() if n != "jkr"], rev=2)
    assert "unknown-signer" in ward.one().rules
    assert not ward.one().may_open


def test_a_signature_over_an_older_revision_is_told_as_that(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    old = ward.submit()
    ward.sign("A-1", old, "mso", "jkr")
    ward.record("A-1", firmware="2.0")
    assert "content-changed" in ward.one().rules
    assert not ward.one().may_open
    new = ward.submit()
    folder = ward.etc_dir / "approvals/A-1"
    for name in ("mso", "jkr"):
        (folder / f"{new}.{name}.minisig").write_bytes((folder / f"{old}.{name}.minisig").read_bytes())
    assert ward.one().rules.count("older-hash") == 2
    assert "mso has signed revision 1, not this one" in " ".join(ward.one().reasons)
    assert not ward.one().may_open
    with pytest.raises(TrustError, match="has signed revision 1") as refused:
        actions.sign(ward.config, ward.trust, "A-1", new, (folder / f"{old}.mso.minisig").read_text())
    assert refused.value.exit_code == 3


def test_a_changed_request_counts_for_nothing(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    rev = ward.approve()
    path = approval.request_path(ward.etc_dir, "A-1", rev)
    good = path.read_bytes()
    for wrong in (good.replace(b'"lev"', b'"abe"'), good + b" ", good.replace(b'"rev": 1', b'"rev": 1, "rev": 1')):
        path.write_bytes(wrong)
        assert not ward.one().may_open, wrong
    path.write_bytes(good)
    assert ward.one().may_open


def test_an_approval_that_was_replaced_does_not_come_back(tmp_path: Path) -> None:
    from gateway.security.onboard.observed import Activated, write_activated

    ward = Ward(tmp_path)
    ward.approve()
    ward.record("A-1", firmware="2.0")
    ward.approve()
    one = ward.one()
    assert (one.rev, one.may_open) == (2, True)
    write_activated(tmp_path / "state", {"A-1": Activated(2, one.sha256, "2026-06-01T12:00:00.000000+00:00")})
    assert ward.one().state is State.ACTIVE
    ward.record("A-1")  # as it was approved first
    for path in (ward.etc_dir / "approvals/A-1").glob("2.*"):
        path.unlink()
    assert "rolled-back" in ward.one().rules
    assert not ward.one().may_open


def test_an_approval_outlives_a_key_that_ends_but_not_one_that_is_revoked(tmp_path: Path) -> None:
    from gateway.security.onboard.observed import Activated, write_activated

    ward = Ward(tmp_path)
    ward.approve()
    first = Activated(1, ward.one().sha256, "2026-06-01T12:00:00.000000+00:00")
    write_activated(tmp_path / "state", {"A-1": first})
    _role(ward, "jkr", valid_to="2026-06-30")
    ward.later(days=60)
    assert ward.one().may_open
    _role(ward, "jkr", valid_to="2026-06-30", revoked="2026-07-01")
    assert not ward.one().may_open


def test_time_ends_an_approval(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    ward.risk("R-1", expires="2026-09-01")
    ward.record("A-1", risks='["R-1"]', review="2026-12-01")
    ward.submit(valid_until="2026-11-01")
    ward.sign("A-1", 1, "mso", "jkr")
    assert ward.one().may_open
    assert str(ward.one().until) == "2026-09-01 00:00:00+00:00"
    for days, rules in ((92, {"risk-expired"}), (62, {"risk-expired", "expired"}), (30, {"review-due"})):
        ward.later(days=days)
        assert ward.one().state is State.EXPIRED
        assert rules <= set(ward.one().rules)
        assert not ward.one().may_open


def test_what_a_device_says_flags_or_holds(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    ward.approve()
    ward.says(firmware="2.0")
    one = ward.one()
    assert (one.state, one.may_open, one.flagged) == (State.DRIFTED, True, True)
    ward.says(model="C2")
    one = ward.one()
    assert (one.state, one.may_open, one.rules) == (State.DRIFTED, False, ("other-model",))
    ward.later(seconds=1)
    assert ward.hand(Step.RESUME).may_open  # looked at again: what it said before does not count any more
    ward.later(seconds=1)
    ward.says(model="C2")
    assert not ward.one().may_open


def test_firmware_drift_holds_where_the_hospital_wants_it(tmp_path: Path) -> None:
    ward = Ward(tmp_path, drift="hold")
    ward.approve()
    ward.says(firmware="2.0")
    one = ward.one()
    assert (one.state, one.may_open, one.flagged) == (State.DRIFTED, False, False)


def test_one_person_suspends_and_resumes_but_two_approve_what_changed(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    ward.approve()
    ward.hand(Step.SUSPEND)
    with pytest.raises(ConfigError, match="suspended already"):
        ward.hand(Step.SUSPEND)
    ward.record("A-1", firmware="2.0")
    assert ward.one().state is State.SUSPENDED
    with pytest.raises(ConfigError, match="two people approve it anew first"):
        ward.hand(Step.RESUME)
    ward.approve()
    assert ward.one().state is State.SUSPENDED  # an approval does not end it by itself
    assert ward.hand(Step.RESUME).may_open


def test_a_journal_that_somebody_wrote_in_holds_the_device(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    ward.approve()
    ward.hand(Step.SUSPEND)
    path = tmp_path / "state/onboard/A-1.jsonl"
    good = path.read_bytes()
    for wrong in (b"{}\n", good + b"x\n", good + good, good.replace(b"suspend", b"approve"), b"\xff\n"):
        path.write_bytes(wrong)
        assert not ward.one().may_open
        assert "journal" in ward.one().rules
    path.write_bytes(good + b'{"half')  # never confirmed to anybody
    assert ward.one().rules == ("suspended",)
    assert ward.hand(Step.RESUME).may_open
    assert path.read_bytes().count(b"\n") == 2


def test_lab_runs_what_nobody_approved_and_shows_it(tmp_path: Path) -> None:
    ward = Ward(tmp_path, mode="lab")
    assert (ward.one().may_open, ward.one().flagged) == (True, True)
    (ward.etc_dir / "devices.d/A-1.toml").unlink()
    assert (ward.one().may_open, ward.one().flagged, ward.one().rules) == (True, True, ("no-record",))
    ward.record("A-1")
    assert not ward.hand(Step.SUSPEND).may_open  # what a person stops is stopped in lab, too
    ward.hand(Step.RESUME)
    ward.approve()
    assert (ward.one().may_open, ward.one().flagged) == (True, False)


def test_without_the_list_of_people_nothing_is_approved(tmp_path: Path) -> None:
    from gateway.security.onboard.standing import standing

    ward = Ward(tmp_path)
    ward.approve()
    one = standing(ward.config, None, ward.now)["pump"]
    assert (one.may_open, "no-trust" in one.rules) == (False, True)


WRONG = {
    'asset = "A-1"': ('asset = "A 1"', 3, "must match"),
    'maker = "Ærø Apparater"': ("maker = 3", 4, "must be a text"),
    'model = "Counter"': ('modle = "Counter"', 5, "did you mean 'model'"),
    'mdr_class = "IIb"': ('mdr_class = "4"', 10, "must be one of"),
    'medico = "Medicoteknik"\n': ("", 13, "key 'medico' is missing"),
    'next = "2027-06-01"': ('next = "2027-06-31"', 22, "is no day"),
    "[review]": ("[reviews]", 21, "did you mean 'review'"),
    'data = ["vital signs"]': ('data = "vital signs"', 11, "must be a list of texts"),
}


@pytest.mark.parametrize("good", WRONG)
def test_a_wrong_record_is_named_with_its_line(tmp_path: Path, good: str) -> None:
    bad, line, said = WRONG[good]
    ward = Ward(tmp_path)
    path = ward.etc_dir / "devices.d/A-1.toml"
    text = path.read_text(encoding="utf-8")
    assert good in text
    path.write_text(text.replace(good, bad), encoding="utf-8")
    with pytest.raises(ConfigError, match=said) as wrong:
        read_record(path)
    assert wrong.value.where == f"{path}:{line}"
    one = ward.one()
    assert (one.may_open, "wrong-record" in one.rules) == (False, True)
    assert str(wrong.value) in one.reasons


def test_a_record_belongs_to_its_file_and_to_one_device(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    path = ward.etc_dir / "devices.d/A-1.toml"
    path.rename(path.with_name("A-9.toml"))
    with pytest.raises(ConfigError, match="the file is named A-9"):
        read_record(path.with_name("A-9.toml"))
    path.with_name("A-9.toml").rename(path)
    ward.record("A-2")
    assert ward.one().rules == ("two-records",)
    assert not ward.one().may_open


def test_a_wrong_risk_is_named_with_its_line(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    ward.risk("R-1", expires="2026-02-30")
    with pytest.raises(ConfigError, match="is no day") as wrong:
        read_risk(ward.etc_dir / "risks/R-1.toml")
    assert wrong.value.where.endswith("R-1.toml:6")
    ward.record("A-1", risks='["R-1"]')
    with pytest.raises(ConfigError, match="is no day"):
        ward.submit()


def test_evidence_that_was_changed_is_found(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    from gateway.security.onboard.findings import file_sha256

    folder = ward.etc_dir / "evidence/A-1"
    folder.mkdir(parents=True)
    (folder / "mds2.pdf").write_bytes(b"MDS2")
    entry = f'[[evidence]]\nname = "mds2.pdf"\nkind = "mds2"\nsha256 = "{file_sha256(folder / "mds2.pdf")}"\n'
    ward.record("A-1", more=entry)
    assert actions.check(ward.config, "A-1", ward.now) == []
    (folder / "mds2.pdf").write_bytes(b"MDS3")
    found = actions.check(ward.config, "A-1", ward.now)
    assert [(f.rule, f.tamper) for f in found] == [("evidence-changed", True)]
    with pytest.raises(ConfigError, match="is not the document"):
        ward.submit()
