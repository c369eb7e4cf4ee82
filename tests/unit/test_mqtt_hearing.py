"""Order of first deliveries: as long as nobody is known to listen to a topic, its oldest message goes alone."""

from __future__ import annotations

import random

import pytest

from gateway.core.message import Message, Verdict
from gateway.sinks.mqtt_connection import Puback
from gateway.sinks.mqtt_hearing import Hearing
from tests.parts.sink_rig import Rig
from tests.parts.sink_rig import message as sink_message


def message(seq: int, topic: str = "values") -> Message:
    return Message(seq, f"gw-1-{seq}", topic, b"")


def test_one_goes_first_and_the_others_follow_when_it_is_heard() -> None:
    hearing = Hearing()
    assert [hearing.may_go(message(seq)) for seq in (1, 2, 3)] == [True, False, False]
    hearing.heard(message(1))
    assert hearing.release(9) == [message(2), message(3)]
    assert hearing.may_go(message(4))


def test_topics_do_not_wait_for_each_other() -> None:
    hearing = Hearing()
    assert hearing.may_go(message(1))
    assert hearing.may_go(message(2, "alerts"))


def test_after_nobody_listened_only_the_oldest_may_try_again() -> None:
    hearing = Hearing()
    hearing.may_go(message(1))
    hearing.may_go(message(2))
    hearing.unheard(message(1))
    assert not hearing.may_go(message(3)), "a new one would come before those that nobody heard"
    assert not hearing.may_go(message(2))
    assert hearing.holds(message(2))
    assert not hearing.holds(message(1))
    assert hearing.may_go(message(1))
    hearing.heard(message(1))
    assert hearing.release(9) == [message(2), message(3)]


def test_a_topic_that_was_heard_and_is_not_any_more_begins_with_the_oldest_again() -> None:
    hearing = Hearing()
    hearing.may_go(message(1))
    hearing.heard(message(1))
    for seq in (4, 2, 3):  # answers of the broker come in any order
        hearing.unheard(message(seq))
    assert [hearing.may_go(message(seq)) for seq in (5, 3, 2)] == [False, False, True]
    hearing.heard(message(2))
    assert [m.seq for m in hearing.release(9)] == [3, 4, 5]


def test_what_the_broker_does_not_take_at_once_stays_in_order_before_anything_newer() -> None:
    """Found under a window larger than the broker's Receive Maximum: what did not fit came after newer messages."""
    hearing = Hearing()
    for seq in (1, 2, 3, 4):
        hearing.may_go(message(seq))
    hearing.heard(message(1))
    assert hearing.release(1) == [message(2)]
    assert not hearing.may_go(message(5))
    assert hearing.holds(message(3))
    assert len(hearing) == 3
    hearing.heard(message(2))
    assert hearing.release(9) == [message(3), message(4), message(5)]
    assert hearing.may_go(message(6))


def test_a_window_larger_than_the_receive_maximum_sends_in_order() -> None:
    rig = Rig(window=20, waits=True)
    rig.connect(receive_max=4)
    for seq in range(1, 11):
        rig.sink.send(sink_message(seq))
    for mid in range(1, 11):
        rig.put(Puback(mid, 0, "Success"))
        assert rig.sink.room() >= 0
        assert rig.sink.outcomes() == []
    told = [dict(properties.UserProperty)["seq"] for _, _, properties in rig.client.published]
    assert told == [str(seq) for seq in range(1, 11)]


def test_what_was_given_up_makes_room_for_the_next() -> None:
    hearing = Hearing()
    hearing.may_go(message(1))
    hearing.may_go(message(2))
    hearing.forget("gw-1-1")
    assert hearing.may_go(message(2))


def test_an_answer_to_a_message_that_nobody_was_said_to_hear_lets_the_next_one_go() -> None:
    """It had been delivered in the session before; waiting for its next sending would be for ever."""
    rig = Rig(waits=True)
    rig.connect()
    for seq in (1, 2, 3):
        rig.sink.send(sink_message(seq))
    rig.put(Puback(1, 0x10, "No matching subscribers"))
    rig.ack("AA", "gw-1.1.1")
    assert [o.verdict for o in rig.sink.outcomes()] == [Verdict.ACCEPT]
    rig.sink.send(sink_message(3))
    assert len(rig.client.published) == 1
    rig.sink.send(sink_message(2))
    rig.put(Puback(2, 0, "Success"))
    rig.sink.room()
    assert [published[1] for published in rig.client.published] == [b"x" * 10] * 3


def test_a_message_that_the_broker_refuses_holds_nobody_up() -> None:
    """A refusal is of this message, as far as anybody knows."""
    rig = Rig(waits=True)
    rig.connect()
    for seq in (1, 2, 3):
        rig.sink.send(sink_message(seq))
    rig.put(Puback(1, 0x87, "Not authorized"))
    rig.sink.room()
    assert len(rig.client.published) == 3
    rig.sink.send(sink_message(1))
    assert len(rig.client.published) == 4


def test_a_new_session_knows_nothing() -> None:
    hearing = Hearing()
    hearing.may_go(message(1))
    hearing.heard(message(1))
    hearing.begin()
    assert [hearing.may_go(message(seq)) for seq in (2, 3)] == [True, False]


@pytest.mark.parametrize("seed", range(50))
def test_whenever_the_listener_comes_back_first_deliveries_are_in_order(seed: int) -> None:
    """A broker that forgets everybody at times and gets its listener back at any moment; a sender that sends all that
    is unanswered again in a new session, and one or the other between."""
    chance, hearing = random.Random(seed), Hearing()
    delivered: list[int] = []
    under_way: list[Message] = []
    unanswered: dict[int, Message] = {}
    listens = False

    def send(m: Message) -> None:
        if m not in under_way and not hearing.holds(m) and hearing.may_go(m):
            under_way.append(m)

    for step in range(600):
        act = chance.choice(("new", "again", "answer", "answer", "listen", "restart"))
        if act == "new":
            unanswered[step] = message(step)
            send(unanswered[step])
        elif act == "again" and unanswered:
            send(unanswered[chance.choice(sorted(unanswered))])
        elif act == "answer" and under_way:
            m = under_way.pop(0)
            if listens:
                delivered.append(m.seq)
                unanswered.pop(m.seq, None)
                hearing.heard(m)
                under_way += hearing.release(3 - len(under_way))
            else:
                hearing.unheard(m)
        elif act == "listen":
            listens = True
        elif act == "restart" and chance.random() < 0.2:
            listens = False
            under_way.clear()
            hearing.begin()
            for m in unanswered.values():
                send(m)
    first = list(dict.fromkeys(delivered))
    assert first == sorted(first)
    assert len(first) > 20
