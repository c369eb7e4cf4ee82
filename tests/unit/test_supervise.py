"""The watchdog is fed on progress only: workers that keep their word, that break it, and a process that stood still."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import pytest

from gateway.supervise import Supervisor, Worker


@dataclass
class Heard:
    """What systemd would hear."""

    watchdog_s: float | None = 20.0
    pings: int = 0
    now: float = 100.0
    at: list[float] = field(default_factory=list)

    def alive(self) -> None:
        self.pings += 1
        self.at.append(self.now)


class Rig:
    """Two workers and the time."""

    def __init__(self, watchdog_s: float | None = 20.0) -> None:
        self.heard = Heard(watchdog_s)
        self.due = {"port bed": 100.0, "spool": 100.0}
        self.supervisor = Supervisor(self.heard, 100.0)  # type: ignore[arg-type]
        self.workers = [Worker(name, lambda name=name: self.due[name]) for name in self.due]

    def seconds(self, n: int, *turning: str, within_s: float = 10.0) -> None:
        for _ in range(n):
            self.heard.now += 1
            for name in turning:
                self.due[name] = self.heard.now + within_s
            self.supervisor.look(self.workers, self.heard.now)


def test_the_watchdog_is_fed_every_half_interval_while_all_turn() -> None:
    rig = Rig()
    rig.seconds(60, "port bed", "spool")
    assert rig.heard.pings == 6
    assert max(b - a for a, b in zip([100.0, *rig.heard.at], rig.heard.at, strict=False)) <= 10


@pytest.mark.parametrize("stuck", ["port bed", "spool"])
def test_one_stuck_worker_starves_the_watchdog_whatever_the_others_do(
    stuck: str, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig()
    rig.seconds(10, "port bed", "spool")
    (other,) = set(rig.due) - {stuck}
    with caplog.at_level(logging.WARNING):
        rig.seconds(10, other)  # its word still holds
        pings = rig.heard.pings
        rig.seconds(60, other)
    assert rig.heard.pings == pings
    assert rig.supervisor.stuck == (stuck,)
    assert [stuck in r.getMessage() for r in caplog.records] == [True]  # by name, once
    rig.seconds(2, "port bed", "spool")
    assert rig.heard.pings == pings + 1  # at once, not half an interval later
    assert rig.supervisor.stuck == ()
    assert "moves again" in caplog.records[-1].getMessage()


def test_a_worker_may_ask_for_more_time_and_is_late_after_it() -> None:
    rig = Rig()
    rig.seconds(1, "port bed", "spool", within_s=60.0)
    rig.seconds(55, "spool")
    assert rig.heard.pings >= 5
    rig.seconds(10, "spool")
    assert rig.supervisor.stuck == ("port bed",)


def test_without_a_watchdog_a_stuck_worker_is_named_all_the_same() -> None:
    rig = Rig(watchdog_s=None)
    rig.seconds(20, "spool")
    assert rig.supervisor.stuck == ("port bed",)
    assert rig.heard.pings == 0


def test_a_process_that_stood_still_blames_nobody_and_pings_when_all_have_turned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig()
    rig.seconds(5, "port bed", "spool")
    rig.heard.now += 90
    with caplog.at_level(logging.WARNING):
        rig.seconds(1)
        assert rig.heard.pings == 0 or rig.heard.at[-1] < 110  # nobody has turned yet
        before = rig.heard.pings
        rig.seconds(1, "port bed", "spool")
    assert rig.heard.pings == before + 1
    assert rig.supervisor.standstills == 1
    assert ["stood still for 91 s" in r.getMessage() for r in caplog.records] == [True]
    assert rig.supervisor.stuck == ()
    rig.seconds(20, "spool")  # and who does not come back is named after all
    assert rig.supervisor.stuck == ("port bed",)
