"""The equation of a device: drawn up from what each room counts, and loud when a sample vanishes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.account import Account
from gateway.core.message import Verdict
from tests.unit.forward_rig import Rig


def terms(rig: Rig, device: str = "device0") -> Account:
    rig.forwarder.look()
    return rig.forwarder.accounts[device]


def test_each_fate_is_counted_where_it_belongs(tmp_path: Path) -> None:
    rig = Rig(tmp_path, rows_per_message=5)
    rig.sink.answer = Verdict.REJECT
    rig.publish(*range(5))
    rig.step()
    rig.step()
    rig.sink.answer = Verdict.ACCEPT
    rig.publish(*range(5, 12))
    rig.publish(666)
    rig.steps(3)
    rig.sink.answer = None
    rig.publish(20, 21)
    rig.step()
    rig.publish(22)
    account = terms(rig)
    assert (account.rejected, account.lost) == (5, 3), "666 cannot be encoded, and the two behind 10 share its message"
    assert account.waiting == 3
    assert account.seen == 16 == sum((account.acknowledged, account.waiting, account.lost, account.rejected))
    assert account.difference == 0


def test_what_the_spool_held_at_the_start_counts_as_seen(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.sink.answer = None
    rig.publish(1, 2, 3)
    rig.steps(2)
    rig.crash_and_start()
    account = terms(rig)
    assert (account.seen, account.waiting) == (3, 3)
    rig.sink.answer = Verdict.ACCEPT
    rig.steps(3)
    assert terms(rig).acknowledged == 3


def test_what_a_full_ring_has_dropped_waits_until_it_is_declared(tmp_path: Path) -> None:
    rig = Rig(tmp_path, slots=16)
    rig.publish(*range(10))
    assert not rig.publish(*range(10))
    assert terms(rig).waiting == 20
    rig.steps(2)
    rig.publish(1)
    rig.steps(2)
    account = terms(rig)
    assert (account.seen, account.acknowledged, account.lost) == (21, 11, 10)


def test_a_sample_that_vanishes_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The rooms are broken on purpose: a lane forgets a sample between ring and spool."""
    rig = Rig(tmp_path)
    lane = next(iter(rig.forwarder.lanes.values()))
    take = lane.take
    monkeypatch.setattr(lane, "take", lambda rows, clock: take(rows[1:], clock))
    monkeypatch.setattr(rig, "balance", lambda: None)
    rig.publish(1, 2, 3)
    rig.step(2.0)
    account = terms(rig)
    assert account.difference == 1
    assert "1 samples unaccounted for" in caplog.text
    assert [record.levelname for record in caplog.records if "unaccounted" in record.message] == ["CRITICAL"]


def test_a_sample_that_counts_twice_is_said_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(tmp_path)
    rig.publish(1)
    rig.steps(3)
    rig.spool.samples["device0"].acked += 1
    assert terms(rig).difference == -1
    assert "unaccounted" in caplog.text
