"""When the disk fills up: routes are thinned, what is given up is declared, and the ring keeps it until then."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.spool import Pressure, Spool
from tests.unit.forward_rig import Rig

S = 1_000_000_000


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A forwarder whose spool is 85 % full, as far as it knows."""
    made = Rig(tmp_path, slots=1024)
    made.now = 1200.0
    monkeypatch.setattr(Spool, "pressure", property(lambda _: made.pressure))
    made.pressure = Pressure.THIN  # type: ignore[attr-defined]
    made.step()
    return made


def each_second(rig: Rig, seconds: int) -> None:
    for _ in range(seconds):
        rig.publish(rig.now, t=round(rig.now * S))
        rig.step(1.0)


def test_what_is_given_up_is_declared_within_a_minute(rig: Rig) -> None:
    each_second(rig, 61)
    losses = rig.spool.losses()
    assert {loss.reason for loss in losses} == {"thinned"}
    declared = sum(extent.count for loss in losses for extent in loss.extents)
    assert 20 < declared <= 59
    assert rig.values() == [pytest.approx(1259.1)]
    each_second(rig, 60)
    assert len(rig.values()) == 2


def test_what_is_given_up_and_not_declared_comes_again_after_a_crash(rig: Rig) -> None:
    each_second(rig, 5)
    assert not rig.spool.losses()
    rig.crash_and_start()
    assert rig.writers[0].waiting >= 2 * 5
    rig.step()
    rig.forwarder.look()
    assert rig.forwarder.accounts["device0"].seen == 5


def test_thinning_is_said_when_it_begins_and_when_it_ends(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    each_second(rig, 3)
    rig.pressure = Pressure.OK  # type: ignore[attr-defined]
    each_second(rig, 3)
    said = [record.message for record in caplog.records if "full" in record.message]
    assert len(said) == 1, said
    assert said[0].endswith("all is kept")
    assert rig.values()[-3:] == pytest.approx([1203.1, 1204.1, 1205.1])
