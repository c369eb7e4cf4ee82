"""F9b: a broker that confirms and forgets. Grade A loses nothing; grade B loses, and the receiver's numbers show it.

The broker is mosquitto with its default persistence (saved each half hour), and KITA is away when it is killed: what it
has confirmed is then in its memory only. The same with a queue that is full: mosquitto confirms what it drops.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.message import Message, Verdict
from kita.numbers import Numbered, gaps
from tests.faults.evidence import evidence
from tests.parts.broker import Mosquitto, mosquitto
from tests.parts.messages import TOPIC, payload
from tests.parts.mqtt import Loop, gateway, kita
from tests.parts.wait import wait_until

pytestmark = pytest.mark.e2e
FIRST, MANY = 20, 300  # before KITA goes away, and meanwhile
QUEUE = 50
ALL = FIRST + MANY + 1
KILLED = f"KITA away, {MANY} messages confirmed by mosquitto with default persistence, kill -9"
DEFAULTS = ("persistence true", "persistence_location ./")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "kita.db"


def message(n: int) -> Message:
    control_id = f"gw-1-7-{n}"
    return Message(n, control_id, TOPIC, payload(control_id))


def messages(first: int, last: int) -> list[Message]:
    return [message(n) for n in range(first, last + 1)]


def numbers(database: Path) -> Numbered:
    (one,) = gaps(database)
    return one


def received(database: Path) -> int:
    return sum(one.received for one in gaps(database))


def one_life(broker: Mosquitto, database: Path, release: str, killed: bool) -> int:
    """KITA comes, goes, and comes back; the broker is killed meanwhile, or not. Return how many were released."""
    with gateway(broker.port, release=release) as sink:
        with kita(broker.port, database):
            accepted = len(Loop(sink, messages(1, FIRST)).run())
            wait_until(lambda: received(database) == FIRST)  # a PUBACK comes before KITA has it
        loop = Loop(sink, messages(FIRST + 1, FIRST + MANY))
        if release == "puback":
            accepted += len(loop.run())  # all confirmed, and nobody has any of it
        else:
            wait_until(lambda: loop.step() or sink.counters.puback >= FIRST + sink._settings.window)
        if killed:
            broker.kill()
            wait_until(lambda: sink.room() == 0)
            broker.start()
        with kita(broker.port, database):
            if release == "ack":
                accepted += len(loop.run())
            elif not killed:  # the queue has room again when KITA has taken what it held
                wait_until(lambda: received(database) >= FIRST + QUEUE)
            loop = Loop(sink, [message(ALL)])
            accepted += len(loop.run())
            assert all(outcome.verdict is not Verdict.REJECT for outcome in loop.outcomes)
            wait_until(lambda: numbers(database).last == ALL)
    return accepted


def test_grade_a_loses_nothing_when_the_broker_is_killed(tmp_path: Path, database: Path) -> None:
    with (
        evidence("F9b", "grade A", how=KILLED, target="0 lost") as row,
        mosquitto(tmp_path / "broker", *DEFAULTS) as broker,
    ):
        row.count = one_life(broker, database, "ack", killed=True)
        row.figures |= {"lost": numbers(database).missing}
        assert (row.count, numbers(database).received) == (ALL, ALL)


def test_grade_b_loses_what_the_broker_had_confirmed_and_the_receiver_sees_the_hole(
    tmp_path: Path, database: Path
) -> None:
    with (
        evidence("F9b", "grade B, broker killed", how=KILLED, target="the loss is seen at the receiver") as row,
        mosquitto(tmp_path / "broker", *DEFAULTS) as broker,
    ):
        row.count = one_life(broker, database, "puback", killed=True)
        assert row.count == ALL  # the gateway thinks that all is well
        (hole,) = numbers(database).gaps
        row.figures |= {"lost": hole.missing}
        assert (hole.first, hole.last) == (FIRST + 1, FIRST + MANY)  # all of it


def test_grade_b_loses_what_a_full_queue_drops_and_the_receiver_sees_the_hole(tmp_path: Path, database: Path) -> None:
    how = f"KITA away, {MANY} messages confirmed by a mosquitto that keeps {QUEUE}"
    with (
        evidence("F9b", "grade B, queue full", how=how, target="the loss is seen at the receiver") as row,
        mosquitto(tmp_path / "broker", "persistence false", f"max_queued_messages {QUEUE}") as broker,
    ):
        row.count = one_life(broker, database, "puback", killed=False)
        assert row.count == ALL
        row.figures |= {"lost": numbers(database).missing}
        assert numbers(database).missing > MANY / 2
