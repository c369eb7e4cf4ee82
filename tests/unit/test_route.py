"""Routes: nothing is chosen twice, nothing disappears uncounted, episodic values go at once."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.sample import SAMPLE, Flag, Validity
from gateway.route import Router

S = 1_000_000_000


def router(*intervals: float | None) -> Router:
    return Router(intervals)


def rows(*samples: tuple[float, int, float, int, int]) -> np.ndarray:
    """(t in s, metric, value, validity, flags) …"""
    block = np.zeros(len(samples), SAMPLE)
    for i, (t, metric, value, validity, flags) in enumerate(samples):
        block[i] = (round(t * S), i + 1, value, metric, 0, validity, flags, 0)
    return block


def test_interval_0_sends_every_sample_in_order() -> None:
    block = rows((1, 0, 80, 0, 0), (1, 1, 97, 0, 0), (2, 0, 81, 0, 0))
    assert np.array_equal(router(0, 0).take(block), block)


def test_a_window_sends_its_latest_usable_value_when_it_has_passed() -> None:
    r = router(60)
    assert (
        len(r.take(rows((1, 0, 80, Validity.VLD, 0), (30, 0, 81, Validity.VLD, 0), (59, 0, math.nan, Validity.NA, 0))))
        == 0
    )
    assert len(r.due(59 * S, 59 * S)) == 0
    assert r.due(60 * S, 60 * S)["value"].tolist() == [81.0]
    assert len(r.due(120 * S, 120 * S)) == 0


def test_a_window_without_a_usable_value_says_so() -> None:
    r = router(60)
    r.take(rows((1, 0, math.nan, Validity.INV, 0), (2, 0, math.nan, Validity.NA, 0)))
    (row,) = r.due(60 * S, 60 * S)
    assert row["validity"] == Validity.NA


def test_a_sample_of_the_next_window_pushes_out_the_one_before() -> None:
    r = router(60)
    r.take(rows((59, 0, 80, 0, 0)))
    assert r.take(rows((61, 0, 81, 0, 0)))["value"].tolist() == [80.0]


def test_a_clock_that_was_set_back_holds_nothing_back() -> None:
    r = router(60)
    r.take(rows((1000, 0, 80, 0, 0)))
    assert r.take(rows((10, 0, 81, 0, 0)))["value"].tolist() == [80.0]
    assert r.due(60 * S, 60 * S)["value"].tolist() == [81.0]


def test_an_episodic_value_goes_at_once_and_its_repetitions_do_not() -> None:
    r = router(60)
    cuff = Flag.EPISODIC
    sent = [len(r.take(rows((t, 0, 120, 0, cuff)))) for t in (1, 2, 3)]
    assert sent == [1, 0, 0]
    assert len(r.take(rows((4, 0, 118, 0, cuff)))) == 1


def test_a_second_cuff_measurement_with_the_same_result_is_sent() -> None:
    r = router(60)
    assert [len(r.take(rows((t, 0, 120, 0, Flag.EPISODIC)))) for t in (0, 900)] == [1, 1]
    measuring = rows((901, 0, math.nan, Validity.ONG, Flag.EPISODIC), (905, 0, 120, 0, Flag.EPISODIC))
    assert len(r.take(measuring)) == 2


def test_what_no_route_names_is_counted() -> None:
    r = router(0, None)
    assert len(r.take(rows((1, 0, 80, 0, 0), (1, 1, 97, 0, 0)))) == 1
    assert (r.counters.seen, r.counters.sent, r.counters.not_routed) == (2, 1, 1)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 400),
            st.integers(0, 3),
            st.floats(0, 300),
            st.sampled_from([Validity.VLD, Validity.NA, Validity.INV, Validity.QST]),
            st.sampled_from([0, int(Flag.EPISODIC)]),
        ),
        max_size=60,
    ),
    st.lists(st.integers(0, 400), max_size=5),
)
def test_every_sample_is_sent_waits_is_thinned_or_is_not_routed(
    samples: list[tuple[float, int, float, int, int]], looks: list[int]
) -> None:
    r = router(0, 60, 7, None)
    sent: list[int] = []
    cuts = sorted({0, len(samples), *(look % (len(samples) + 1) for look in looks)})
    block = rows(*samples)
    for start, end in pairwise(cuts):
        sent += r.take(block[start:end])["seq"].tolist()
        sent += r.due(looks[0] * S if looks else 0, looks[0] * S if looks else 0)["seq"].tolist()
    sent += r.due(10**6 * S, 10**6 * S)["seq"].tolist()
    counters = r.counters
    assert len(sent) == len(set(sent)) == counters.sent
    assert counters.seen == len(samples) == counters.sent + counters.thinned + counters.not_routed


def test_routes_of_one_device_do_not_touch_each_other() -> None:
    r = router(0, 60)
    out = r.take(rows((1, 0, 80, 0, 0), (1, 1, 97, 0, 0)))
    assert out["metric"].tolist() == [0]
    assert r.due(60 * S, 60 * S)["metric"].tolist() == [1]


def test_a_gap_is_told_by_the_next_sample_that_goes_out() -> None:
    r = router(None, 60)
    gap = int(Flag.AFTER_GAP)
    assert len(r.take(rows((1, 0, 0.5, 0, gap), (1, 1, 97, 0, 0), (2, 1, 98, 0, gap), (3, 1, 99, 0, 0)))) == 0
    (row,) = r.due(60 * S, 60 * S)
    assert (row["value"], row["flags"]) == (99, gap)
    r.take(rows((61, 1, 97, 0, 0)))
    assert r.due(120 * S, 120 * S)["flags"].tolist() == [0]


def thin_router() -> Router:
    """Metric 0 is measured, 1 is a state, 2 is measured and routed once a minute anyhow."""
    made = Router((0, 0, 60), periodic=(True, False, True))
    made.thin(True)
    return made


def test_a_thinned_route_sends_a_number_once_a_minute_and_declares_what_it_gives_up() -> None:
    r = thin_router()
    assert not len(r.take(rows(*((t, 0, 80 + t, 0, 0) for t in range(60)))))
    assert r.due(60 * S, 60 * S)["value"].tolist() == [139.0]
    assert (r.counters.given_up, r.given_up.count) == (59, 59)
    assert (r.given_up.seq, r.given_up.t_ns) == ([1, 59], [0, 58 * S])


def test_a_thinned_route_leaves_out_what_its_interval_leaves_out_without_calling_it_a_loss() -> None:
    r = thin_router()
    r.take(rows((1, 2, 80, 0, 0), (2, 2, 81, 0, 0)))
    assert (r.counters.thinned, r.counters.given_up) == (1, 0)


def test_states_of_a_thinned_route_go_when_they_change_and_once_a_minute() -> None:
    r = thin_router()
    states = [(t, 1, float(t // 20), 0, 0) for t in range(0, 200, 10)]
    sent = r.take(rows(*states))
    assert sent["t_ns"].tolist() == [t * S for t in (0, 20, 40, 60, 80, 100, 120, 140, 160, 180)]
    assert r.counters.given_up == 10
    steady = thin_router().take(rows(*((t, 1, 3, 0, 0) for t in range(0, 200, 10))))
    assert steady["t_ns"].tolist() == [0, 60 * S, 120 * S, 180 * S]


def test_a_thinned_route_never_holds_back_an_episodic_value() -> None:
    r = thin_router()
    cuff = int(Flag.EPISODIC)
    out = r.take(rows((1, 0, 120, 0, cuff), (30, 1, 2, 0, cuff), (31, 1, 2, 0, cuff)))
    assert sorted(out["metric"]) == [0, 1, 1]


def test_a_route_that_is_not_thinned_any_more_sends_everything_again() -> None:
    r = thin_router()
    r.take(rows((1, 0, 80, 0, 0)))
    r.thin(False)
    assert r.take(rows((2, 0, 81, 0, 0), (3, 1, 5, 0, 0), (4, 1, 5, 0, 0)))["value"].tolist() == [80, 81, 5, 5]
