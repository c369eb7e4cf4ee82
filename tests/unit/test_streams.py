"""Routes of waves and alerts, and how a lane keeps the kinds apart."""

from __future__ import annotations

import numpy as np

from gateway.core.alert import Phase, pack, pack_count
from gateway.core.sample import SAMPLE, Block, Flag
from gateway.route_alerts import AlertRouter
from gateway.route_waves import WaveRouter

S = 1_000_000_000
ACTIVE = int(Flag.ALERT_ACTIVE)


def alert(value: float, flags: int = ACTIVE, note: int = 1, metric: int = 0, t: float = 0.0) -> Block:
    block = np.zeros(1, SAMPLE)
    block["value"], block["flags"], block["note"], block["metric"], block["t_ns"] = value, flags, note, metric, t * S
    return block


def wave(n: int, t: float, metric: int = 0) -> Block:
    block = np.zeros(n, SAMPLE)
    block["t_ns"] = round(t * S) + np.arange(n) * 10_000_000
    block["metric"] = metric
    return block


def test_an_alert_is_told_when_something_happens_to_it() -> None:
    router = AlertRouter(30.0)
    life = [
        (pack(Phase.START, 2), ACTIVE, 1),
        (pack(Phase.CONTINUE, 2), ACTIVE, 0),
        (pack(Phase.ESCALATE, 3), ACTIVE, 1),
        (pack(Phase.CONTINUE, 3), ACTIVE, 0),
        (pack(Phase.END, 3), 0, 1),
    ]
    assert [len(router.take(alert(value, flags))) for value, flags, _ in life] == [n for _, _, n in life]
    assert (router.counters.seen, router.counters.sent, router.counters.thinned) == (5, 3, 2)


def test_an_alert_whose_beginning_was_never_told_is_told_when_it_goes_on() -> None:
    """The forwarder was started anew, or the ring was full: an alert that is active must not stay unknown."""
    router = AlertRouter(30.0)
    assert len(router.take(alert(pack(Phase.CONTINUE, 2)))) == 1
    assert len(router.take(alert(pack(Phase.CONTINUE, 2)))) == 0


def test_the_watchdog_barks_only_for_a_device_that_lives() -> None:
    router = AlertRouter(30.0)
    assert len(router.due(0, 0)) == 0
    for t in range(0, 60):
        assert len(router.take(alert(pack_count(0), 0, 0, t=t))) == 0
        told = router.due(t * S, t * S)
        assert len(told) == (t % 30 == 0)
        assert all(told["value"] == pack_count(0))
    for t in range(60, 200):
        assert len(router.due(t * S, t * S)) == (t == 60)  # its last word, then silence
    counters = router.counters
    assert counters.seen == 60 == counters.sent + counters.thinned


def test_without_a_route_alerts_are_counted() -> None:
    router = AlertRouter(None)
    assert len(router.take(alert(pack(Phase.START, 2)))) == 0
    assert len(router.due(10 * S, 10 * S)) == 0
    assert router.counters.not_routed == 1


def test_waves_go_out_in_blocks_of_a_second_with_all_waves_of_the_device() -> None:
    router = WaveRouter([0.0, 0.0, None])
    sizes = [len(router.take(wave(10, k / 10, metric))) for k in range(30) for metric in (0, 1, 2)]
    assert sum(sizes) + len(router.due(1 << 62, 1 << 62)) == 600
    assert {size for size in sizes if size} <= {200, 210, 220}
    counters = router.counters
    assert (counters.seen, counters.sent, counters.not_routed) == (900, 600, 300)


def test_what_waits_of_a_silent_device_goes_out_as_it_is() -> None:
    router = WaveRouter([0.0])
    assert len(router.take(wave(10, 5.0))) == 0
    assert len(router.due(6 * S, 6 * S)) == 0
    assert len(router.due(7 * S, 7 * S)) == 10
    assert len(router.due(8 * S, 8 * S)) == 0


def test_a_clock_that_is_set_back_ends_a_block() -> None:
    router = WaveRouter([0.0])
    router.take(wave(10, 500.0))
    assert len(router.take(wave(10, 1.0))) == 20
