"""A device's three streams: each sample goes one way, the count holds, and a gap is told in all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.alert import Phase, pack, pack_count
from gateway.core.ring_layout import PlanName
from gateway.core.sample import SAMPLE, Block, Flag
from gateway.lane import END_OF_TIME, Lane, Stream
from gateway.route import Router
from gateway.route_alerts import AlertRouter
from gateway.route_waves import WaveRouter
from gateway.service import ALERTS, VALUES, WAVES

S = 1_000_000_000
KINDS = ("numeric", "numeric", "enumeration", "clock", "waveform", "waveform", "alert", "alert")
NAMES = [PlanName(bytes([i]) * 32, "vendor/model", str(i)) for i in range(2)]


@dataclass
class Metric:
    kind: str


@dataclass
class ThreeKinds:
    metrics: tuple[Metric, ...] = tuple(Metric(kind) for kind in KINDS)


def streams(interval: float | None = 0.0, waves: float | None = 0.0, watchdog_s: float | None = 1.0) -> list[Stream]:
    values = Router([interval, None, interval, interval, None, None, None, None])
    of_waves = WaveRouter([None, None, None, None, waves, None, None, None])
    routers = ((VALUES, values), (WAVES, of_waves), (ALERTS, AlertRouter(watchdog_s)))
    return [Stream(kinds, router, None, "", 1) for kinds, router in routers]  # type: ignore[arg-type]


def lane(**more: float | None) -> Lane:
    made = Lane("device")
    made.use(NAMES[0], ThreeKinds(), streams(**more))  # type: ignore[arg-type]
    return made


def rows(*metrics: int, t: float = 0.0, flags: int = 0, value: float = 1.0) -> Block:
    block = np.zeros(len(metrics), SAMPLE)
    block["metric"], block["t_ns"], block["flags"], block["value"] = metrics, round(t * S), flags, value
    return block


def waiting(made: Lane) -> int:
    """Samples that a router still holds: windows and begun blocks."""
    values, waves, _ = (stream.router for stream in made._streams)
    return len(values._window) + sum(map(len, waves._waiting))  # type: ignore[attr-defined]


samples = st.tuples(
    st.lists(st.integers(0, len(KINDS) - 1), min_size=1, max_size=6),
    st.floats(0, 30),
    st.sampled_from([0, int(Flag.ALERT_ACTIVE), int(Flag.AFTER_GAP), int(Flag.EPISODIC)]),
    st.sampled_from([pack(Phase.START, 2), pack(Phase.CONTINUE, 2), pack(Phase.END, 2), pack_count(0), pack_count(2)]),
)


@given(
    st.sampled_from([None, 0.0, 5.0]),
    st.sampled_from([None, 0.0, 2.0]),
    st.sampled_from([None, 1.0]),
    st.lists(st.one_of(samples, st.floats(0, 60), st.none(), st.booleans()), max_size=30),
)
def test_every_sample_of_three_streams_is_sent_waits_is_thinned_given_up_or_not_routed(
    interval: float | None, waves: float | None, watchdog_s: float | None, steps: list[object]
) -> None:
    made, out, given_ = lane(interval=interval, waves=waves, watchdog_s=watchdog_s), 0, 0
    thin, given_up = False, 0
    for n, step in enumerate([*steps, END_OF_TIME / S]):
        if step is None:
            made.use(NAMES[n % 2], ThreeKinds(), streams(interval, waves, watchdog_s))  # type: ignore[arg-type]
            made.thin(thin)
        elif isinstance(step, bool):
            thin = step
            made.thin(thin)
        elif isinstance(step, float):
            made.due(round(step * S), round(step * S))
        else:
            metrics, t, flags, value = step  # type: ignore[misc]
            given_ += len(metrics)
            made.take(rows(*metrics, t=t, flags=flags, value=value))
        out += sum(len(block) for _, block, _ in made.pending)
        for stream, block, _ in made.pending:
            assert {KINDS[metric] for metric in block["metric"]} <= stream.kinds
        made.pending.clear()
        counters = made.counters
        assert counters.seen == given_
        assert counters.sent == out
        given_up += made.take_given_up().count
        assert counters.given_up == given_up
        left = counters.thinned + counters.not_routed + counters.given_up
        assert counters.seen == counters.sent + waiting(made) + left
        assert len(made.open()) == waiting(made)
    assert waiting(made) == 0


def test_each_kind_goes_its_own_way_in_order() -> None:
    made = lane()
    made.take(rows(0, 4, 2, 6, 0, value=pack(Phase.START, 1), flags=int(Flag.ALERT_ACTIVE)))
    made.due(END_OF_TIME, END_OF_TIME)
    assert [(sorted(stream.kinds)[0], block["metric"].tolist()) for stream, block, _ in made.pending] == [
        ("clock", [0, 2, 0]),
        ("alert", [6]),
        ("waveform", [4]),
    ]


@pytest.mark.parametrize("marked", [4, 5, 6, 7])
def test_a_gap_that_stands_on_a_wave_or_an_alert_is_told_with_the_next_value(marked: int) -> None:
    """A full ring drops values; the block that comes next is often one of waves, routed (4) or not (5)."""
    made = lane()
    made.take(rows(marked, flags=int(Flag.AFTER_GAP)))
    made.pending.clear()
    made.take(rows(0))
    made.take(rows(0))
    ((_, block, _),) = made.pending
    assert [bool(flags & Flag.AFTER_GAP) for flags in block["flags"]] == [True, False]


@pytest.mark.parametrize("marked", [0, 1, 5, 6])
def test_a_gap_that_stands_on_something_else_is_told_with_the_next_wave(marked: int) -> None:
    made = lane()
    made.take(rows(marked, flags=int(Flag.AFTER_GAP)))
    made.pending.clear()
    made.take(rows(4, 4, t=1))
    made.due(END_OF_TIME, END_OF_TIME)
    ((_, block, _),) = (pending for pending in made.pending if pending[0].kinds is WAVES)
    assert [bool(flags & Flag.AFTER_GAP) for flags in block["flags"]] == [True, False]


def test_a_gap_of_one_wave_stays_where_it_is_among_waves() -> None:
    made = lane(interval=None)
    block = rows(4, 4, 4)
    block["flags"][1] |= np.uint8(Flag.AFTER_GAP)
    made.take(block)
    made.due(END_OF_TIME, END_OF_TIME)
    ((_, out, _),) = made.pending
    assert [bool(flags & Flag.AFTER_GAP) for flags in out["flags"]] == [False, True, False]


def test_what_waits_of_the_plan_before_goes_out_with_the_streams_of_that_plan() -> None:
    made = lane()
    made.take(rows(4, 4))
    before = made._streams
    made.use(NAMES[1], ThreeKinds(), streams())  # type: ignore[arg-type]
    assert [(stream, len(block)) for stream, block, _ in made.pending] == [(before[1], 2)]
    made.take(rows(0))
    assert made.pending[-1][0] is made._streams[0]
    assert made.pending[-1][0] is not before[0]
