"""The self-test at each start: good on a good box, and each of its tests can fail."""

import pytest

from gateway.security.audit import AuditLog, Event, selftest
from gateway.security.audit.selftest import TESTS, Place


@pytest.fixture
def place(tmp_path) -> Place:
    with AuditLog.open(tmp_path, "run", "gw-1") as audit:
        audit.write(Event.START)
    return Place(tmp_path / "run", "gw-1")


def test_a_good_box_passes_and_a_new_one_too(place, tmp_path):
    assert selftest.selftest(place) == []
    assert selftest.selftest(Place(tmp_path / "none", "gw-1")) == []


@pytest.mark.parametrize(
    ("name", "constant"),
    [("sha-256", "_ABC"), ("ed25519", "_SIGNATURE"), ("aes-256-gcm", "_TAG"), ("hkdf", "_OKM")],
)
def test_another_answer_than_the_known_one_is_found(place, monkeypatch, name, constant):
    known = getattr(selftest, constant)
    monkeypatch.setattr(selftest, constant, known[:-1] + ("0" if known[-1] != "0" else "1"))
    assert selftest.selftest(place) == [name]


def test_a_key_that_others_may_read_is_found(place):
    (place.folder / "key").chmod(0o440)
    assert selftest.selftest(place) == ["audit-rights"]


def test_a_changed_log_is_found(place):
    path = next(place.folder.glob("*.jsonl"))
    path.write_bytes(path.read_bytes().replace(b"start", b"stopp"))
    assert selftest.selftest(place) == ["audit-chain"]


def test_a_torn_line_is_no_change(place):
    path = next(place.folder.glob("*.jsonl"))
    path.write_bytes(path.read_bytes()[:-9])
    (place.folder / "checkpoint.json").unlink()
    assert "audit-rights" not in selftest.selftest(place)


def test_all_are_registered():
    assert set(TESTS) == {"sha-256", "ed25519", "aes-256-gcm", "hkdf", "audit-rights", "audit-chain"}
