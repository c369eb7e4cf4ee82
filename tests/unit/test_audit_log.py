"""The audit log: what is written, what is withheld, and that nothing it meets holds the gateway up."""

import ast
import errno
import itertools
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.security.audit import CATALOGUE, AuditLog, Clocks, Event, silent
from gateway.security.audit import log as log_module
from gateway.security.audit.files import OsFiles
from gateway.security.audit.verify import verify
from tests.conftest import ROOT
from tests.parts.wait import wait_until


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


class SickFiles(OsFiles):
    """A disk that takes nothing, or hangs, when told to."""

    def __init__(self) -> None:
        self.full, self.hung = False, threading.Event()
        self.hung.set()

    def write(self, fd, data, offset):
        self.hung.wait()
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(fd, data, offset)


def test_a_full_disk_is_counted_said_and_shown_and_nobody_waits(tmp_path, caplog):
    files = SickFiles()
    with AuditLog.open(tmp_path, "run", "gw-1", files=files) as audit:
        audit.flush()
        files.full = True
        for n in range(10):
            audit.write(Event.DEVICE_OPENED, f"bed-{n}")
        audit.flush()
        assert audit.lost == 10
        assert audit.status()["trouble"] == os.strerror(errno.ENOSPC)
        files.full = False
        audit.write(Event.DEVICE_OPENED, "bed-again")
    assert [r.levelname for r in caplog.records] == ["ERROR", "WARNING"]  # once when it begins, once when it ends
    found = entries(tmp_path / "run")
    (lost,) = [entry for entry in found if entry["event"] == "audit_lost"]
    assert lost["facts"] == {"count": 10}
    assert not verify(tmp_path / "run", "gw-1").tampered


def test_a_disk_that_hangs_holds_nobody_up(tmp_path):
    files = SickFiles()
    with AuditLog.open(tmp_path, "run", "gw-1", files=files) as audit:
        audit.flush()
        files.hung.clear()
        for n in range(log_module.QUEUE + 10):  # each returns at once, or this test never ends
            audit.write(Event.DEVICE_OPENED, f"bed-{n % 50}")
        assert not audit.flush(0.0)
        assert audit.lost >= 8
        files.hung.set()
    assert any(entry["event"] == "audit_lost" for entry in entries(tmp_path / "run"))


def test_checkpoints_come_by_number_and_by_time_and_only_when_something_was_written(tmp_path):
    now = [0]
    with AuditLog.open(tmp_path, "run", "gw-1", clocks=Clocks(mono_ns=lambda: now[0])) as audit:
        for n in range(2 * log_module.CHECKPOINT_ENTRIES):
            audit.write(Event.DEVICE_OPENED, f"bed-{n}")
        audit.flush()
        wait_until(lambda: audit.status()["anchored"] >= 2 * log_module.CHECKPOINT_ENTRIES, "no checkpoint by number")
        audit.write(Event.DEVICE_OPENED, "one-more")
        audit.flush()
        before = audit.checkpoint
        now[0] = 61_000_000_000
        wait_until(lambda: audit.checkpoint is not before, "no checkpoint by time")
        seq = audit.status()["seq"]
        now[0] = 200_000_000_000
    assert len(entries(tmp_path / "run")) == seq  # nothing new: nothing to sign


def test_all_that_the_program_writes_is_in_the_catalogue():
    """Each call `audit.write(Event.X, subject, fact=…)` of the source names facts that its event may carry."""
    seen = set()
    for path in [*(ROOT / "gateway").rglob("*.py"), *(ROOT / "kita").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "write"):
                continue
            name = node.args and isinstance(node.args[0], ast.Attribute) and ast.unparse(node.args[0])
            if not name or not name.startswith("Event."):
                continue
            event = Event[name.removeprefix("Event.")]
            seen.add(event)
            facts = {keyword.arg for keyword in node.keywords} - {None, "actor"}
            assert facts <= CATALOGUE[event].facts.keys(), f"{path}:{node.lineno}"
    assert {Event.START, Event.STOP, Event.CONFIG_ACCEPTED, Event.TRANSMIT_REFUSED, Event.CLOCK_STEP} <= seen


def test_no_shape_lets_a_cpr_number_through():
    for kind in CATALOGUE.values():
        for shape in kind.facts.values():
            if shape.of is str and not shape.blind:
                assert not shape.fits("010190-1234"), shape
                assert not shape.fits("0101901234"), shape
                assert not shape.fits("bed-0101901234"), shape


def test_a_full_disk_does_not_stop_the_start(tmp_path):
    AuditLog.open(tmp_path, "run", "gw-1").close()
    path = next((tmp_path / "run").glob("*.jsonl"))
    path.write_bytes(path.read_bytes()[:-5])  # a crash, and then a full disk
    files = SickFiles()
    files.full = True
    with AuditLog.open(tmp_path, "run", "gw-1", files=files) as audit:
        audit.write(Event.START)
        audit.flush()
        files.full = False
        audit.write(Event.DEVICE_OPENED, "bed-1")
        assert not audit.flush() or audit.lost == 1
    assert {"audit_torn", "audit_lost", "device_opened"} <= {e["event"] for e in entries(tmp_path / "run")}
