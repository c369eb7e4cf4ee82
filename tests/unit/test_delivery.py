"""Resends and poison: nothing storms, one message never holds the line, and an outage sets nothing aside."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.core.message import Message, Verdict
from gateway.delivery import SILENT_S
from tests.model.spool_disk import MemoryDisk
from tests.unit.forward_rig import Rig

WINDOW = 5


@pytest.fixture
def rig() -> Rig:
    """On a disk in memory: hours of rounds cost no fsync."""
    return Rig(Path("/"), rows_per_message=1, slots=4096, files=MemoryDisk())


def value(message: Message) -> float:
    return float(json.loads(message.payload)[0][2])


def rejected(rig: Rig) -> list[dict[str, object]]:
    disk = rig.files
    assert isinstance(disk, MemoryDisk)
    files = disk.paths("*/rejected/messages.jsonl")
    return [json.loads(line) for file in files for line in bytes(disk.content(file)).splitlines()]


def live(rig: Rig, seconds: float, values: float = 1.0, pace: float = 1.0) -> None:
    """Go on for some time; a sample every `pace` seconds."""
    for _ in range(round(seconds / pace)):
        rig.publish(values)
        rig.step(pace)


def times_sent(rig: Rig, wanted: float) -> int:
    return Counter(value(m) for m in rig.sink.sent)[wanted]


def poison(message: Message) -> Verdict | None:
    return None if value(message) == 13 else Verdict.ACCEPT


def keeps_poison(message: Message) -> Verdict | None:
    return Verdict.KEEP if value(message) == 13 else Verdict.ACCEPT


@pytest.mark.parametrize("decide", [poison, keeps_poison])
def test_a_message_that_is_never_taken_holds_one_place_and_then_goes_to_the_side_file(rig: Rig, decide: object) -> None:
    rig.sink.decide = decide  # type: ignore[assignment]
    rig.publish(13)
    live(rig, 1200)
    rig.steps()
    counters = rig.forwarder.counters
    assert (counters.given_up, counters.rejected) == (1, 1)
    assert times_sent(rig, 13) == rig.limits.give_up_after
    assert counters.accepted == 1200  # every other went on at its own pace
    (line,) = rejected(rig)
    assert str(line["reason"]).startswith("no answer to 10 sendings while others were answered")
    assert rig.forwarder.waiting == 0
    assert rig.sink.room() == WINDOW  # its place is free again


def test_a_receiver_that_answers_nothing_sets_nothing_aside(rig: Rig) -> None:
    live(rig, 10)
    rig.sink.decide = lambda _: None
    live(rig, 36000, pace=10)
    assert (rig.forwarder.counters.given_up, rejected(rig)) == (0, [])
    rig.sink.decide = None
    live(rig, 200)
    rig.steps(2000)
    assert rig.forwarder.waiting == 0
    assert rig.forwarder.counters.accepted == rig.forwarder.counters.messages


def test_give_up_after_0_never_gives_up(rig: Rig) -> None:
    rig.spool.close()
    rig.limits = type(rig.limits)(ack_timeout_s=30, keep_s=5, give_up_after=0)
    rig.start()
    rig.sink.decide = poison
    rig.publish(13)
    live(rig, 3600, pace=5)
    rig.steps()
    assert rig.forwarder.counters.given_up == 0
    assert rig.forwarder.waiting == 1


@pytest.mark.parametrize("answer", [None, Verdict.KEEP])
def test_pauses_grow_to_the_longest_and_differ(rig: Rig, answer: Verdict | None) -> None:
    rig.sink.answer = answer
    rig.publish(1)
    at: list[float] = []
    for _ in range(6000):
        rig.step(0.1)
        at += [rig.now] * (len(rig.sink.sent) - len(at))
    pauses = [b - a for a, b in pairwise(at)]
    first = rig.limits.ack_timeout_s if answer is None else rig.limits.keep_s
    assert pauses[0] == pytest.approx(first, abs=0.3)
    assert max(pauses) <= rig.limits.resend_max_s + 0.3
    late = pauses[5:]
    assert min(late) >= rig.limits.resend_max_s * 0.75 - 0.3
    assert len({round(pause, 1) for pause in late}) > 1


def test_an_outage_of_an_hour_costs_few_resends(rig: Rig) -> None:
    rig.sink.answer = None
    live(rig, 3600)
    assert rig.forwarder.counters.resent <= WINDOW * 3600 / (rig.limits.resend_max_s * 0.75) + 2 * WINDOW


def test_when_the_receiver_speaks_again_all_that_is_under_way_goes_out_at_once(rig: Rig) -> None:
    rig.sink.answer = None
    for n in range(WINDOW):
        rig.publish(n)
    live(rig, 600, 99)
    sent = len(rig.sink.sent)
    rig.sink.answer = Verdict.ACCEPT
    while len(rig.sink.sent) == sent:  # the next resend of any of them
        rig.step()
    rig.steps(4)
    assert {value(m) for m in rig.sink.sent[sent:]} >= set(range(WINDOW))


def test_a_flood_of_keeps_does_not_put_the_resend_off(rig: Rig) -> None:
    rig.sink.answer = None
    rig.publish(1)
    rig.step()
    control_id = rig.sink.sent[0].control_id
    for _ in range(60):
        rig.sink.say(control_id, Verdict.KEEP)
        rig.step(0.1)
    assert len(rig.sink.sent) == 2  # after keep_s


def test_a_window_full_of_what_is_never_answered_lets_the_rest_through(rig: Rig) -> None:
    """Every third message is poison: more than the window holds, all the time."""
    rig.sink.decide = lambda m: None if value(m) % 3 == 0 else Verdict.ACCEPT
    for n in range(60):
        rig.publish(n)
    for _ in range(8000):
        rig.step(1)
        if rig.forwarder.waiting <= WINDOW:
            break
    good = {value(m) for m in rig.sink.sent if value(m) % 3}
    assert good == {n for n in range(60) if n % 3}
    assert all("no answer" in str(line["reason"]) for line in rejected(rig))


def test_a_full_window_that_moves_sets_nothing_aside_early(rig: Rig) -> None:
    """Three of five places are held by poison, the others are busy: full, but the line goes on."""
    rig.sink.decide = lambda _: None
    rig.publish(13)
    rig.publish(13)
    rig.publish(13)
    answered = 3
    for _ in range(3000):
        rig.publish(1, 1)
        before = len(rig.sink.sent)
        rig.step(0.5)
        for message in rig.sink.sent[answered:before]:  # sent in an earlier round: always two are busy
            if value(message) != 13:
                rig.sink.say(message.control_id, Verdict.ACCEPT)
        answered = before
    assert rig.forwarder.counters.given_up == 3
    assert times_sent(rig, 13) == 3 * rig.limits.give_up_after


def test_a_connection_that_flaps_passes_nothing_over(rig: Rig) -> None:
    """Each new session sends again what the one before left: that is no judgement on a message."""
    rig.sink.decide = poison
    rig.publish(13)
    for _ in range(100):
        live(rig, 3)
        rig.sink.number += 1
    live(rig, 5)
    assert times_sent(rig, 13) > 50
    assert rig.forwarder.counters.given_up == 0


def test_a_silent_receiver_is_said_within_a_minute_and_so_is_its_return(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING")
    live(rig, 100, pace=10)
    assert rig.forwarder.alarm == ""
    rig.sink.answer = None
    live(rig, SILENT_S + 3)
    assert rig.forwarder.alarm.startswith("no message has been answered for 4")
    rig.sink.answer = Verdict.ACCEPT
    live(rig, 120)
    assert rig.forwarder.alarm == ""
    said = [record.message for record in caplog.records]
    assert len([line for line in said if line.startswith("no message has been answered")]) == 1
    assert said[-1] == "the receiver answers again"
