"""What somebody has done to a sealed spool is in the audit log, with its segment; what a disk does is told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.security.audit import Event
from gateway.security.audit.events import CATALOGUE
from gateway.spool.recovery import RecoveryReport
from gateway.watch import Watch
from tests.model.test_spool_sealed import filled, forge, records, start, with_messages


class Heard:
    """Stands in for the audit log, and holds the catalogue to what is written."""

    def __init__(self) -> None:
        self.events: list[tuple[Event, dict[str, object]]] = []

    def write(self, event: Event, subject: str = "", /, *, actor: str = "", **facts: object) -> None:
        assert all(CATALOGUE[event].facts[name].fits(value) for name, value in facts.items()), facts
        self.events.append((event, {"subject": subject, "actor": actor} | facts))


def recovered(report: RecoveryReport) -> list[tuple[Event, object, object]]:
    heard = Heard()
    Watch(heard).recovery(report)
    return [(event, facts.get("reason"), facts.get("segment")) for event, facts in heard.events]


@pytest.mark.parametrize("forged", [True, False])
def test_a_changed_record_is_an_event_with_its_segment(forged: bool) -> None:
    disk = filled()
    path: Path = with_messages(disk)[0]
    at, size = records(disk, path)[-2]
    disk.content(path)[at + 300] ^= 1
    disk.settle(path)
    if forged:
        forge(disk, path, at, size)
    told = recovered(start(disk).report)
    number = f"segment-{int(path.name.split('-')[1])}"
    changed = (Event.SPOOL_TAMPERED, "tampered", number) if forged else (Event.SPOOL_TAMPERED, "damaged", None)
    assert told == [changed, (Event.SPOOL_LOSS, "recovery", None)]


def test_a_torn_tail_is_no_event() -> None:
    disk = filled()
    newest = with_messages(disk)[-1]
    end = sum(records(disk, newest)[-1])
    disk.content(newest)[end : end + 90] = b"\x99" * 90
    disk.settle(newest)
    report = start(disk).report
    assert report.cut_bytes
    assert recovered(report) == []
