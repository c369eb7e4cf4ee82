"""Setting the wall clock on the way of samples: nothing stalls, nothing floods, order is kept, and it is told once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.alert import pack_count
from gateway.core.clock import NOTHING_SAID, ClockQuality, ClockState, StepNotes
from gateway.core.plan import Plan
from gateway.core.ring_layout import PlanName
from gateway.core.sample import SAMPLE, Block, Flag
from gateway.lane import Lane, Stream
from gateway.route import Router
from gateway.route_alerts import AlertRouter
from gateway.route_waves import WaveRouter
from tests.unit.forward_rig import Rig
from tests.unit.test_lane import NAMES, ThreeKinds, rows, streams

S = 1_000_000_000
NOW = 1_795_253_401 * S
YEAR = 365 * 86400 * S
STEPS = [sign * step for sign in (1, -1) for step in (S, 60 * S, 3600 * S, 86400 * S, YEAR)]


def sample(t_ns: int, value: float = 80.0, flags: int = 0) -> Block:
    block = np.zeros(1, SAMPLE)
    block["t_ns"], block["value"], block["flags"] = t_ns, value, flags
    return block


# ---- routers


@pytest.mark.parametrize("step_ns", STEPS)
def test_a_window_passes_after_its_time_also_when_the_clock_was_set(step_ns: int) -> None:
    """A metric that falls silent as the clock is set back by a year waited a year."""
    router, start = Router([60.0]), NOW // (60 * S) * 60 * S
    router.take(sample(start + S))
    assert len(router.due(start + S, 0)) == 0  # 59 s are left
    assert len(router.due(start + 2 * S + step_ns, S)) == 0
    assert len(router.due(start + 60 * S + step_ns, 59 * S)) == 1


@pytest.mark.parametrize("step_ns", STEPS)
def test_a_window_that_is_first_looked_at_after_a_step_lasts_no_longer_than_a_window(step_ns: int) -> None:
    router = Router([60.0])
    router.take(sample(NOW))
    early = len(router.due(NOW + step_ns, 0))
    assert early + len(router.due(NOW + step_ns + 60 * S, 60 * S)) == 1


@pytest.mark.parametrize("step_ns", STEPS)
def test_waves_of_a_silent_device_go_out_also_when_the_clock_was_set(step_ns: int) -> None:
    router = WaveRouter([1.0])
    router.take(sample(NOW))
    assert len(router.due(NOW, 0)) == 0
    assert len(router.due(NOW + S + step_ns, S)) == 0
    assert len(router.due(NOW + 2 * S + step_ns, 2 * S)) == 1


@pytest.mark.parametrize("step_ns", STEPS)
def test_the_watchdog_goes_on_when_the_clock_was_set(step_ns: int) -> None:
    """Set back by a year it was silent for a year, and the receiver knew of no alert state at all."""
    router, sent = AlertRouter(30.0), []
    for t in range(120):
        now_ns = NOW + t * S + (step_ns if t >= 50 else 0)
        router.take(sample(now_ns, pack_count(0)))
        if len(router.due(now_ns, t * S)):
            sent.append(t)
    assert sent == [0, 30, 60, 90]


@pytest.mark.parametrize("step_ns", [step for step in STEPS if abs(step) >= 60 * S])
def test_a_repeated_cuff_pressure_is_still_a_repetition_when_the_clock_was_set(step_ns: int) -> None:
    router = Router([60.0])
    assert len(router.take(sample(NOW, 120, Flag.EPISODIC))) == 1
    router.cut(step_ns)
    assert len(router.take(sample(NOW + S + step_ns, 120, Flag.EPISODIC))) == 0


@pytest.mark.parametrize("step_ns", [step for step in STEPS if step < -10 * S])
def test_a_second_cuff_pressure_after_the_clock_was_set_back_is_no_repetition(step_ns: int) -> None:
    """The same result, half an hour later by any clock but the wall's: it was swallowed."""
    router = Router([60.0])
    router.take(sample(NOW, 120, Flag.EPISODIC))
    router.cut(step_ns)
    assert len(router.take(sample(NOW + 1800 * S + step_ns, 120, Flag.EPISODIC))) == 1
    unseen = Router([60.0])  # a step that nobody has told the router of
    unseen.take(sample(NOW, 120, Flag.EPISODIC))
    assert len(unseen.take(sample(NOW + step_ns, 120, Flag.EPISODIC))) == 1


@given(st.lists(st.sampled_from([0, *STEPS]), min_size=30, max_size=30))
def test_a_clock_that_is_set_all_the_time_makes_no_flood(steps: list[int]) -> None:
    """Each change of the clock costs one more value of a metric, and no more."""
    router, shift, sent = Router([60.0]), 0, 0
    for t, step_ns in enumerate(steps):
        if step_ns:
            sent += len(router.cut(step_ns))
        shift += step_ns
        sent += len(router.take(sample(NOW + t * S + shift)))
        sent += len(router.due(NOW + t * S + shift, t * S))
    assert sent <= sum(step != 0 for step in steps) + 2


# ---- the lane

STATES = st.builds(ClockState, st.sampled_from(list(ClockQuality)), st.sampled_from([0, 0, 0, S, -3600 * S]))


def lane(interval: float) -> Lane:
    made = Lane("device")
    made.use(NAMES[0], ThreeKinds(), streams(interval))  # type: ignore[arg-type]
    return made


@given(st.sampled_from([0.0, 5.0]), st.lists(st.tuples(st.lists(st.integers(0, 5), min_size=1), STATES, st.booleans())))
def test_samples_of_two_states_of_the_clock_never_share_a_message_and_each_step_is_told_once(
    interval: float, blocks: list[tuple[list[int], ClockState, bool]]
) -> None:
    made, seq, told, of = lane(interval), 0, 0, {}
    for t, (metrics, clock, look) in enumerate(blocks):
        block = rows(*metrics, t=float(t))
        block["seq"] = range(seq, seq + len(block))
        of |= dict.fromkeys(block["seq"].tolist(), (t, clock))
        seq += len(block)
        made.take(block, clock)
        if look:
            made.due(t * S, t * S)
    made.due(1 << 63, 1 << 63)
    steps = [t for t, (_, clock, _) in enumerate(blocks) if clock.step_ns]
    values = {n for _, out, _ in made.pending for n in out["seq"].tolist()} & {
        n for n, row in enumerate(m for metrics, _, _ in blocks for m in metrics) if row < 4
    }
    for stream, out, clock in made.pending:
        mine = [of[n] for n in out["seq"].tolist()]
        assert {state.quality for _, state in mine} == {clock.quality}
        assert len({sum(s <= t for s in steps) for t, _ in mine}) == 1  # none from before a step beside one from after
        assert not clock.step_ns or "numeric" in stream.kinds
        told += clock.step_ns
    last = max((of[n][0] for n in values), default=-1)
    assert told == sum(blocks[t][1].step_ns for t in steps if t <= last)


def test_numbers_of_samples_never_go_back_in_a_stream_when_the_clock_does() -> None:
    made = lane(0.0)
    for seq, (t, clock) in enumerate(
        [(100, NOTHING_SAID), (40, ClockState(ClockQuality.STEPPED, -60 * S)), (41, None)]
    ):
        block = rows(0, t=float(t))
        block["seq"] = seq
        made.take(block, clock or ClockState(ClockQuality.STEPPED))
    assert [n for _, out, _ in made.pending for n in out["seq"].tolist()] == [0, 1, 2]


# ---- from the ring


class Telling:
    """Says in each message what it was told of the clock."""

    def encode(self, block: Block, _control_id: str, _now_ns: int, clock: ClockState = NOTHING_SAID) -> bytes:
        return json.dumps([clock.quality.word, clock.step_ns // S, block["value"].tolist()]).encode()


class ClockRig(Rig):
    def streams(self, _source: int, _plan: Plan, _name: PlanName, _note: Callable[[int], str]) -> list[Stream]:
        return [Stream(frozenset({"numeric"}), Router([0.0]), Telling(), "topic", 2)]

    def told(self) -> list[object]:
        return [json.loads(message.payload) for message in self.sink.sent]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ClockRig]:
    rig = ClockRig(tmp_path)
    rig.sink.window = 1000
    yield rig
    rig.spool.close()


def test_a_step_goes_from_the_ring_into_the_first_message_after_it(rig: ClockRig) -> None:
    word = StepNotes(rig.writers[0]).word
    rig.publish(1, clock=word(ClockState(ClockQuality.SYNCHRONISED)))
    rig.publish(2, 3, 4, clock=word(ClockState(ClockQuality.STEPPED, -3600 * S)))
    rig.publish(5, clock=word(ClockState(ClockQuality.STEPPED)))
    rig.step()
    assert rig.told() == [
        ["synchronised", 0, [1]],
        ["stepped", -3600, [2, 3]],
        ["stepped", 0, [4, 5]],
    ]


def test_a_step_is_told_although_the_forwarder_was_started_anew(rig: ClockRig) -> None:
    rig.publish(1, clock=StepNotes(rig.writers[0]).word(ClockState(ClockQuality.STEPPED, YEAR)))
    rig.spool.close()
    rig.start()
    rig.step()
    assert rig.told() == [["stepped", YEAR // S, [1]]]
