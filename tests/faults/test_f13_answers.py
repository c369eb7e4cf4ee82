"""F13: answers that are wrong, over real sockets. The model with 10,000 histories is tests/model/test_answers.py.

A flood of foreign acknowledgements, and a receiver that answers each message with a heap of wrong ones around the right
one. Only the right one counts, memory is bounded, and the line keeps its rate.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.sinks.mqtt_connection import MAX_ACK_BYTES, MAX_EVENTS
from tests.faults.chain import chain
from tests.faults.evidence import evidence, scaled
from tests.faults.fake_broker import HONEST, FakeBroker, Published, hl7_ack

SEED = 13


def heap(chance: random.Random, message: Published) -> list[tuple[float, bytes]]:
    """The right answer among wrong ones; what follows it contradicts it."""
    stem, _, number = message.control_id.rpartition("-")
    wrong = [
        hl7_ack("AA", f"{stem}-{int(number) + 100}"),  # of the future
        hl7_ack("AR", "gw-ita-99-1-1"),  # another gateway's
        hl7_ack("AA", ""),
        b"MSH|" + b"x" * (MAX_ACK_BYTES + 1),
        b"\x00\xff\xfe",
        hl7_ack("AA", message.control_id).replace(b"ACK^", b"ORU^"),
        hl7_ack("AA", message.control_id) + hl7_ack("AE", message.control_id),
    ]
    chance.shuffle(wrong)
    after = [hl7_ack(code, message.control_id) for code in ("AA", "AE", "AR", "CE")]
    chance.shuffle(after)
    return [(0.0, payload) for payload in (*wrong, hl7_ack("AA", message.control_id), *after)]


def test_only_the_right_answer_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    chance = random.Random(SEED)
    count = scaled(200, 5000)
    with (
        evidence(
            "F13", "wrong answers", how="eleven wrong answers around each right one", target="0 lost", seed=SEED
        ) as row,
        FakeBroker(replace(HONEST, answers=lambda message: heap(chance, message))) as broker,
        chain(tmp_path, broker.port) as rig,
    ):
        rig.give(count)
        rig.until(lambda: rig.forwarder.counters.accepted == count, timeout=60 + count / 10)
        counters = rig.sink.counters
        row.count = count
        row.figures |= {"foreign": counters.acks_foreign, "malformed": counters.acks_malformed}
        row.figures |= {"dropped": counters.acks_dropped}
        if rig.rejected() or rig.forwarder.waiting:
            row.violations.append("a wrong answer was believed")
        if len({m.control_id for m in broker.published}) != count:
            row.violations.append("not every message was sent")
    said = [record.message for record in caplog.records]
    assert not any("gw-ita-99" in line or "gw-1-" in line for line in said)  # no identities
    assert len(said) < 12  # one line for each kind of trouble in a minute


def test_a_flood_of_answers_does_not_stop_the_line(tmp_path: Path) -> None:
    flood = [hl7_ack("AA", f"gw-other-1-{n}") for n in range(1000)]
    done, sent = threading.Event(), [0]
    with (
        evidence(
            "F13", "flood of answers", how="foreign answers as fast as they go", target="line keeps its rate"
        ) as row,
        FakeBroker(HONEST) as broker,
        chain(tmp_path, broker.port) as rig,
    ):
        rig.until(rig.sink.room)

        def pour() -> None:
            while not done.is_set():
                sent[0] += broker.say(flood[sent[0] % len(flood)])

        count = scaled(100, 5000)
        begun = time.monotonic()
        thread = threading.Thread(target=pour)
        thread.start()
        try:
            rig.give(count)
            rig.until(lambda: rig.forwarder.counters.accepted == count, timeout=60 + count / 20)
        finally:
            done.set()
            thread.join(5)
        took = time.monotonic() - begun
        counters = rig.sink.counters
        row.count = sent[0]
        row.figures |= {"answers_per_s": round(sent[0] / took), "dropped": counters.acks_dropped}
        row.figures |= {"foreign": counters.acks_foreign, "resent": rig.forwarder.counters.resent}
        row.at_least("messages_per_s", count / took, 20)
        if rig.sink._connection.events.qsize() > MAX_EVENTS:
            row.violations.append("the queue has grown")
        if rig.forwarder.counters.resent:
            row.violations.append(f"{rig.forwarder.counters.resent} answers were lost in the flood")
    assert counters.acks_dropped + counters.acks_foreign > 0
