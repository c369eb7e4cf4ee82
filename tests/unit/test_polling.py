"""The poller against a dumb model of a line: every question in turn, one at a time, late ones are let go."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.polling import Poller


def test_a_round_asks_all_in_order_and_the_next_begins_a_period_later() -> None:
    poller = Poller(["a", "b"], period_s=1.0, timeout_s=0.5)
    poller.start(10.0)
    asked = []
    now = 10.0
    while now < 13.0:
        if (question := poller.ask(now)) is not None:
            asked.append((question, round(now, 3)))
            poller.answered(now)
        wake = poller.next_wake()
        assert wake is not None
        now = max(wake, now + 0.001)
    assert asked[:4] == [("a", 10.0), ("b", 10.001), ("a", 11.0), ("b", 11.001)]


def test_without_an_answer_the_next_question_comes_after_the_time_out() -> None:
    poller = Poller(["a", "b"], period_s=1.0, timeout_s=0.5)
    poller.start(0.0)
    assert poller.ask(0.0) == "a"
    assert poller.ask(0.4) is None
    assert poller.overdue(0.4) is None
    assert poller.next_wake() == 0.5
    assert poller.overdue(0.5) == "a"
    assert poller.overdue(0.5) is None
    assert poller.ask(0.5) == "b"
    assert poller.unanswered == 1
    poller.answered(0.6)
    assert poller.unanswered == 0


def test_stopped_it_wants_nothing() -> None:
    poller = Poller(["a"], period_s=1.0, timeout_s=0.5)
    assert poller.next_wake() is None
    poller.start(0.0)
    poller.stop()
    assert (poller.ask(5.0), poller.next_wake(), poller.overdue(9.0)) == (None, None, None)


@given(st.lists(st.booleans(), min_size=4, max_size=60), st.floats(0.01, 2), st.floats(0.01, 1), st.floats(0, 0.2))
def test_every_question_has_its_turn(answers: list[bool], period: float, timeout: float, gap: float) -> None:
    poller = Poller(["a", "b", "c"], period, timeout, gap)
    poller.start(0.0)
    now, asked, times = 0.0, [], []
    for answer in answers:
        while (question := poller.ask(now)) is None:
            wake = poller.next_wake()
            assert wake is not None
            now = max(wake, now + 1e-6)
            poller.overdue(now)
        asked.append(question)
        times.append(now)
        if answer:
            now += timeout / 3
            poller.answered(now)
    assert "".join(asked) == ("abc" * len(asked))[: len(asked)]
    assert all(later - earlier >= min(gap, period) - 1e-6 for earlier, later in itertools.pairwise(times))
