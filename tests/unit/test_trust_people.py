"""Who may sign: the list, its roots, and each way in which a signature does not count."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.core.errors import TrustError
from gateway.security.trust.people import Trust, enough
from tests.parts.trust import Entry, Hospital

DATA = b"a record"


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path)


def read(hospital: Hospital, now: datetime | None = None) -> Trust:
    return Trust.read(hospital.etc_dir, now or hospital.now)


def reason(hospital: Hospital, now: datetime | None = None) -> str:
    with pytest.raises(TrustError) as fault:
        read(hospital, now)
    assert fault.value.where
    assert fault.value.hint
    return fault.value.reason


def test_people_are_read(hospital: Hospital) -> None:
    trust = read(hospital)
    assert [p.name for p in trust.people] == list(hospital.keys)
    assert trust.rev == 1
    person = trust.person("mso")
    assert person is not None
    assert (person.role, person.title) == ("it-security", "mso Sørensen")


def test_two_people_sign(hospital: Hospital) -> None:
    signatures = [hospital.sign(name, DATA, "rev=1") for name in ("mso", "jkr", "mso")]
    people = read(hospital).signers(DATA, signatures)
    assert [p.name for p in people] == ["mso", "jkr"]
    enough(people, 2, ("it-security", "medico"), "x")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["mso"], "too_few"),
        (["mso", "mso"], "too_few"),
        (["mso", "its"], "too_few"),  # two people, one role
        (["mso", "abe"], "too_few"),  # the other's role may not
        (["abe", "tni"], "wrong_role"),
        ([], "too_few"),
    ],
)
def test_four_eyes(hospital: Hospital, names: list[str], expected: str) -> None:
    people = read(hospital).signers(DATA, [hospital.sign(name, DATA, "rev=1") for name in names])
    with pytest.raises(TrustError) as fault:
        enough(people, 2, ("it-security", "medico"), "x")
    assert fault.value.reason == expected


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (Entry("mso", "it-security", revoked="2026-01-01"), "revoked"),
        (Entry("mso", "it-security", valid_to="2026-01-01"), "signer_expired"),
        (Entry("mso", "it-security", valid_from="2090-01-01"), "not_yet_valid"),
        (Entry("jkr", "medico"), "unknown_signer"),
    ],
)
def test_whose_signature_counts_no_more(hospital: Hospital, entry: Entry, expected: str) -> None:
    hospital.write([entry])
    signature = hospital.sign("mso", DATA, "rev=1")
    with pytest.raises(TrustError) as fault:
        Trust.read(hospital.etc_dir, datetime(2026, 6, 1, tzinfo=UTC)).signers(DATA, [signature], "a.minisig")
    assert fault.value.reason == expected
    assert fault.value.where == "a.minisig"


def test_the_list_is_signed_by_the_roots(hospital: Hospital) -> None:
    path = hospital.folder / "approvers.toml"
    good = path.read_bytes()
    path.write_bytes(good.replace(b"clinical", b"medico"))
    assert reason(hospital) == "changed"
    path.write_bytes(good)
    read(hospital)
    (hospital.folder / "approvers.toml.root2.minisig").unlink()
    assert reason(hospital) == "too_few"
    (hospital.folder / "approvers.toml.minisig").unlink()
    assert reason(hospital) == "unsigned"
    hospital.sign_file(path, "approvers", "mso", "jkr")  # people are no roots
    assert reason(hospital) == "unknown_signer"


def test_one_root_signing_twice_is_one(hospital: Hospital) -> None:
    first = (hospital.folder / "approvers.toml.minisig").read_text()
    (hospital.folder / "approvers.toml.root2.minisig").write_text(first)
    assert reason(hospital) == "too_few"


def test_a_list_ends_and_is_no_other_file(hospital: Hospital) -> None:
    hospital.write(valid_until="2026-01-01")
    assert reason(hospital, datetime(2026, 1, 2, tzinfo=UTC)) == "expired"
    read(hospital, datetime(2026, 1, 1, 23, 59, tzinfo=UTC))
    data = (hospital.folder / "approvers.toml").read_bytes()
    hospital.put(data, "purpose=profile file=approvers.toml rev=1 valid_until=2099-01-01")
    assert reason(hospital) == "wrong_file"
    hospital.put(data, "purpose=approvers file=other.toml rev=1 valid_until=2099-01-01")
    assert reason(hospital) == "wrong_file"
    hospital.put(data, "purpose=approvers file=approvers.toml rev=2 valid_until=2099-01-01")
    with pytest.raises(TrustError, match="rev is not 2"):
        read(hospital)


def test_no_root_no_trust(hospital: Hospital) -> None:
    for path in hospital.folder.glob("root*.pub"):
        path.unlink()
    with pytest.raises(TrustError, match="no root key"):
        read(hospital)


PERSON = '[[person]]\nname = "mso"\nrole = "medico"\nkey = "{key}"\nvalid_from = 2026-01-01\nvalid_to = 2027-01-01\n'


@pytest.mark.parametrize(
    "text",
    [
        "rev = 1\n",
        "rev = 1\nthreshold = 1\n" + PERSON,
        "rev = 1\nroot = 1\n" + PERSON,
        "rev = true\n" + PERSON,
        "rev = 1\n" + PERSON + PERSON,
        "rev = 1\n" + PERSON.replace("medico", "king"),
        "rev = 1\n" + PERSON.replace("mso", "../mso"),
        "rev = 1\n" + PERSON.replace("2026-01-01", '"2026-01-01"'),
        "rev = 1\n" + PERSON.replace("{key}", "RWQ"),
        "rev = 1\n" + PERSON + "colour = 1\n",
        "rev = 1\nperson = 1\n",
        "rev = 1\nperson = [[]]\n",
        "rev = ",
        "rev = 1\nx = " + "[" * 5000,
        "\xff",
    ],
)
def test_a_list_that_roots_signed_by_mistake_is_refused_with_its_place(hospital: Hospital, text: str) -> None:
    data = text.replace("{key}", hospital.keys["mso"].public.line).encode("latin-1")
    hospital.put(data, "purpose=approvers file=approvers.toml rev=1 valid_until=2099-01-01")
    with pytest.raises(TrustError) as fault:
        read(hospital)
    assert "approvers.toml" in fault.value.where
    assert fault.value.hint
