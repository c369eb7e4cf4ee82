"""The audit log: what is written, what is withheld, and that nothing it meets holds the gateway up."""

import itertools
import json
import stat
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.security.audit import CATALOGUE, AuditLog, Event, silent
from gateway.security.audit import log as log_module


def entries(folder: Path) -> list[dict]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def test_each_event_has_meaning_titles_and_facts():
    assert set(CATALOGUE) == set(Event)
    for kind in CATALOGUE.values():
        assert kind.meaning.endswith(".")
        assert kind.english
        assert kind.danish
    assert len({kind.danish for kind in CATALOGUE.values()}) == len(CATALOGUE)


def test_what_is_said_is_chained_signed_and_private(tmp_path):
    with AuditLog.open(tmp_path, "run", "gw-1") as audit:
        audit.write(Event.START, version="0.1.0", pid=1, ports=2, mode="lab")
        audit.write(Event.DEVICE_OPENED, "monitor-1", port="bed-7")
        assert audit.flush()
    found = entries(tmp_path / "run")
    assert [entry["event"] for entry in found] == ["key_created", "start", "device_opened", "audit_checkpoint"]
    assert [entry["seq"] for entry in found] == [1, 2, 3, 4]
    assert all(later["prev"] == entry["h"] for entry, later in itertools.pairwise(found))
    assert stat.S_IMODE((tmp_path / "run/key").stat().st_mode) == 0o400


@pytest.mark.parametrize("subject", ["Jens Sørensen", "010190-1234", "0101901234", "a b", "x" * 97, "line\nbreak"])
def test_a_subject_that_is_no_name_is_withheld(tmp_path, subject):
    with AuditLog.open(tmp_path, "run", "gw-1") as audit:
        audit.write(Event.DEVICE_OPENED, subject, port=subject, other="x")
    entry = entries(tmp_path / "run")[1]
    assert entry["subject"] == ""
    assert entry["facts"] == {"withheld": "other port subject"}


def test_a_flood_of_the_same_is_counted_and_does_not_push_out_the_rest(tmp_path):
    with AuditLog.open(tmp_path, "run", "gw-1") as audit:
        for _ in range(500):
            audit.write(Event.DEVICE_REFUSED, "bed-7")
        audit.write(Event.DEVICE_REFUSED, "bed-8")
    found = entries(tmp_path / "run")
    said = [entry for entry in found if entry["event"] == "device_refused"]
    assert len(said) == log_module.SAME_PER_MINUTE + 1
    (repeated,) = [entry for entry in found if entry["event"] == "audit_repeated"]
    assert repeated["facts"] == {"of": "device_refused", "times": 500 - log_module.SAME_PER_MINUTE}


def test_a_second_writer_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(log_module, "LOCK_WAIT_S", 0.0)
    with AuditLog.open(tmp_path, "run", "gw-1"), pytest.raises(ConfigError, match="another process"):
        AuditLog.open(tmp_path, "run", "gw-1")


def test_a_key_that_others_can_read_is_refused(tmp_path):
    AuditLog.open(tmp_path, "run", "gw-1").close()
    (tmp_path / "run/key").chmod(0o444)
    with pytest.raises(ConfigError, match="open to others"):
        AuditLog.open(tmp_path, "run", "gw-1")


def test_silence():
    silent().write(Event.START, "anything", whatever=object())
