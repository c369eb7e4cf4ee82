"""Waves that waited too long: given up, declared lost, counted, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway.core.message import Verdict
from gateway.core.plan import Plan
from gateway.core.ring_layout import PlanName
from gateway.core.sample import SAMPLE, Flag
from gateway.lane import Stream
from gateway.route import Router
from gateway.route_waves import WaveRouter
from gateway.spool import SpoolFull
from tests.unit.forward_rig import PLAN, FakeEncoder, FakeMetric, FakePlanWithDigest, Rig

EXPIRY_S = 20.0
YEAR_S = 365 * 86400


class WaveRig(Rig):
    """Metric 0 is a value, metric 1 a wave; the topic of waves is the one that expires. Time of the spool is UTC."""

    def start(self) -> None:
        super().start()
        self.spool._store.clock = lambda: (int(self.now * 1e9), int(self.now * 1e9) + self.set_ns)

    def streams(self, _source: int, plan: Plan, _name: PlanName, _note: object) -> list[Stream]:
        encoder = FakeEncoder(plan.digest[:1].decode())
        values, waves = Router([0.0, None]), WaveRouter([None, 0.0])
        return [
            Stream(frozenset({"numeric"}), values, encoder, "values", self.rows_per_message),
            Stream(frozenset({"waveform"}), waves, encoder, "topic", self.rows_per_message),
        ]

    def compile(self, name: PlanName) -> FakePlanWithDigest:
        return FakePlanWithDigest((FakeMetric(), FakeMetric("waveform")), name.digest)

    def wave(self, *values: float) -> None:
        block = np.zeros(len(values), SAMPLE)
        block["value"], block["metric"], block["flags"] = values, 1, Flag.WAVEFORM
        block["t_ns"] = int(self.now * 1e9)
        assert self.writers[0].publish(block, self.writers[0].add_plan(PLAN), self.writers[0].add_device("device0"))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WaveRig]:
    rig = WaveRig(tmp_path)
    rig.sink.expires = EXPIRY_S
    rig.sink.answer = None
    yield rig
    rig.spool.close()


def spooled(rig: WaveRig, n: int) -> None:
    """A message of a wave and one of a value, n times."""
    for i in range(n):
        rig.wave(100 + i, 100 + i)
        rig.publish(i)
        rig.step(2.1)  # a block of a wave is out after two seconds
    rig.step(2.1)


def losses(rig: WaveRig) -> list[tuple[str, str, int]]:
    return [(loss.reason, e.device, e.count) for loss in rig.spool.losses() for e in loss.extents]


def test_a_wave_under_way_without_an_answer_is_given_up_and_a_value_is_sent_again(rig: WaveRig) -> None:
    spooled(rig, 1)
    assert [m.topic for m in rig.sink.sent] == ["values", "topic"]
    rig.step(31)  # silence for longer than ack_timeout_s
    assert [m.topic for m in rig.sink.sent] == ["values", "topic", "values"]
    assert losses(rig) == [("expired", "device0", 2)]
    assert (rig.forwarder.counters.expired, rig.forwarder.counters.resent, rig.forwarder.waiting) == (1, 1, 1)
    rig.sink.say(rig.sink.sent[0].control_id, Verdict.ACCEPT)
    rig.steps(2)
    assert (rig.forwarder.waiting, rig.forwarder.counters.accepted, len(losses(rig))) == (0, 1, 1)


def test_a_wave_not_yet_sent_is_never_sent_when_it_is_too_old(rig: WaveRig) -> None:
    rig.sink.window = 0  # nobody is connected
    spooled(rig, 3)
    rig.step(31)
    rig.sink.window, rig.sink.answer = 5, Verdict.ACCEPT
    rig.steps(10)
    assert [m.topic for m in rig.sink.sent] == ["values"] * 3
    assert sorted(rig.values()) == [0, 1, 2]
    assert losses(rig) == [("expired", "device0", 2)] * 3
    assert (rig.forwarder.counters.expired, rig.forwarder.waiting) == (3, 0)


def test_a_young_wave_is_sent_again_like_anything_else(rig: WaveRig) -> None:
    rig.sink.expires = 3600.0
    spooled(rig, 1)
    rig.step(31)
    assert [m.topic for m in rig.sink.sent] == ["values", "topic"] * 2
    assert (losses(rig), rig.forwarder.counters.expired) == ([], 0)


def test_without_an_expiry_nothing_is_ever_given_up(rig: WaveRig) -> None:
    rig.sink.expires = 0.0
    spooled(rig, 2)
    rig.step(86400)
    assert (losses(rig), rig.forwarder.counters.expired, rig.forwarder.waiting) == ([], 0, 4)


def test_a_wave_that_was_given_up_gives_back_its_place_in_the_window(rig: WaveRig) -> None:
    """Otherwise waves that nobody answers would fill the window, and no value would ever be sent again."""
    for _ in range(8):
        rig.wave(1, 2)
        rig.step(2.1)
    assert len(rig.sink.sent) == rig.sink.window == len(rig.sink.under_way)
    rig.step(31)
    assert not rig.sink.under_way
    rig.sink.answer = Verdict.ACCEPT
    rig.publish(7)
    rig.steps(5)
    assert [m.topic for m in rig.sink.sent[5:]] == ["values"]
    assert rig.forwarder.waiting == 0


def test_a_late_answer_to_a_wave_that_was_given_up_changes_nothing(rig: WaveRig) -> None:
    spooled(rig, 1)
    rig.step(31)
    rig.sink.say(rig.sink.sent[1].control_id, Verdict.ACCEPT)
    rig.steps(2)
    assert (rig.forwarder.counters.outcomes_unknown, rig.forwarder.counters.accepted) == (1, 0)
    assert len(losses(rig)) == 1


def test_a_loss_that_the_disk_does_not_take_stops_nothing_and_is_none_yet(
    rig: WaveRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(seq: int, before_utc_ns: int) -> bool:
        raise SpoolFull("no space left")

    spooled(rig, 1)
    monkeypatch.setattr(rig.spool, "expire", full)
    rig.step(31)
    assert (rig.forwarder.counters.expired, losses(rig)) == (0, [])
    monkeypatch.undo()
    rig.step(31)
    assert (rig.forwarder.counters.expired, len(losses(rig))) == (1, 1)


def test_what_was_given_up_stays_given_up_after_a_restart(rig: WaveRig) -> None:
    spooled(rig, 1)
    rig.step(31)
    rig.spool.close()
    rig.sink.under_way.clear()
    rig.sink.sent.clear()
    rig.start()
    rig.steps(3)
    assert [m.topic for m in rig.sink.sent] == ["values"]
    assert len(losses(rig)) == 1


@pytest.mark.parametrize("step_s", [YEAR_S, -YEAR_S, 3600, -3600])
def test_setting_the_clock_neither_gives_up_all_waves_nor_keeps_them_for_a_year(rig: WaveRig, step_s: int) -> None:
    rig.sink.window = 0
    spooled(rig, 1)
    rig.set_ns += step_s * 10**9
    rig.sink.window = 5
    rig.step(1)
    assert sorted(m.topic for m in rig.sink.sent) == ["topic", "values"]  # young all the same
    rig.step(31)
    assert losses(rig) == [("expired", "device0", 2)]  # and old when it is


@pytest.mark.parametrize(("step_s", "expired_at_once"), [(YEAR_S, True), (-YEAR_S, False)])
def test_waves_of_an_earlier_run_expire_also_when_the_clock_was_set_back_meanwhile(
    rig: WaveRig, step_s: int, expired_at_once: bool
) -> None:
    rig.sink.window = 0
    spooled(rig, 1)
    rig.spool.close()
    rig.set_ns += step_s * 10**9
    rig.start()
    rig.sink.window = 5
    rig.step(1)
    assert (losses(rig) != []) == expired_at_once
    rig.step(31)
    assert losses(rig) == [("expired", "device0", 2)]
