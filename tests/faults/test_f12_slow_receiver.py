"""F12: a receiver that takes five seconds for each answer. The window is respected, nothing is sent twice for it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from gateway.delivery import ForwardLimits
from tests.faults.chain import Chain, chain
from tests.faults.evidence import evidence, scaled
from tests.faults.fake_broker import HONEST, FakeBroker, Published, hl7_ack

ANSWER_S, WINDOW = 5.0, 20


def slowly(message: Published) -> list[tuple[float, bytes]]:
    return [(ANSWER_S, hl7_ack("AA", message.control_id))]


def run(rig: Chain, seconds: float, per_s: float) -> None:
    """Live in real time."""
    begun = last = time.monotonic()
    given = 0
    while (now := time.monotonic()) - begun < seconds:
        due = int((now - begun) * per_s) - given
        rig.give(due)
        given += due
        rig.step(now - last)
        last = now
        time.sleep(0.02)  # the round of the forwarder


def most_unanswered(published: list[Published]) -> int:
    """Return how many were without an answer at any one time, as the receiver knows it."""
    changes = sorted([(m.at, 1) for m in published] + [(m.at + ANSWER_S, -1) for m in published])
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def test_a_slow_receiver_is_not_pushed(tmp_path: Path) -> None:
    limits = ForwardLimits(ack_timeout_s=30, keep_s=5)
    with (
        evidence(
            "F12",
            "slow receiver",
            how=f"each answer after {ANSWER_S:g} s; 3 messages/s, then 10, which is more than the window lets through",
            target=f"at most {WINDOW} unanswered, at most 1 % sent twice, nothing lost",
        ) as row,
        FakeBroker(replace(HONEST, answers=slowly)) as broker,
        chain(tmp_path, broker.port, limits, window=WINDOW) as rig,
    ):
        run(rig, scaled(5.0, 1200.0), 3)
        run(rig, scaled(2.0, 600.0), 10)
        appended = rig.forwarder.counters.messages
        backlog = rig.forwarder.waiting
        run(rig, ANSWER_S * (backlog // WINDOW + 2), 0)
        again = sum(Counter(m.control_id for m in broker.published).values()) - appended
        row.count = appended
        row.figures |= {"backlog": backlog, "most_unanswered": most_unanswered(broker.published), "sent_again": again}
        if most_unanswered(broker.published) > WINDOW:
            row.violations.append("more than the window was unanswered")
        if again > appended / 100:
            row.violations.append(f"{again} of {appended} were sent twice")
        if rig.forwarder.counters.accepted != appended or rig.forwarder.waiting:
            row.violations.append(f"{rig.forwarder.counters.accepted} of {appended} accepted")
