"""Floods of acknowledgements: what is under way is still heard, memory is bounded, and it is counted and said."""

from __future__ import annotations

import pytest
from paho.mqtt.client import MQTTMessage

from gateway.core.message import Verdict
from gateway.sinks.mqtt_connection import FLOOD_EVENTS, Connection
from gateway.sinks.mqtt_settings import MqttSettings, topics_of
from tests.parts.messages import ACK_TOPIC, BASE
from tests.parts.sink_rig import Rig, ack_bytes, message


def heard(payload: bytes) -> MQTTMessage:
    made = MQTTMessage(topic=ACK_TOPIC.encode())
    made.payload = payload
    return made


def test_a_flood_of_foreign_answers_leaves_room_for_those_of_messages_under_way() -> None:
    connection = Connection(MqttSettings(host="broker"), topics_of(BASE))
    connection.under_way = frozenset({b"gw-1-7"})
    for n in range(10_000):
        connection._on_message(None, None, heard(ack_bytes("AA", f"other-1-{n}")))  # type: ignore[arg-type]
    assert (connection.events.qsize(), connection.acks_dropped) == (FLOOD_EVENTS, 10_000 - FLOOD_EVENTS)
    connection._on_message(None, None, heard(ack_bytes("AA", "gw-1-7")))  # type: ignore[arg-type]
    assert connection.events.qsize() == FLOOD_EVENTS + 1


def test_the_connection_knows_what_is_under_way() -> None:
    rig = Rig()
    rig.connect()
    for n in (1, 2, 3):
        rig.sink.send(message(n))
    assert rig.connection.under_way == {b"gw-1.1.1", b"gw-1.1.2", b"gw-1.1.3"}
    rig.ack("AA", "gw-1.1.1")
    rig.ack("CE", "gw-1.1.2")
    rig.sink.outcomes()
    rig.sink.forget("gw-1.1.3")
    assert rig.connection.under_way == {b"gw-1.1.2"}


def test_what_was_not_published_is_not_under_way_unless_it_was_before() -> None:
    rig = Rig()
    rig.connect()
    rig.sink.send(message(1))
    rig.ack("CE", "gw-1.1.1")
    rig.connect()  # a new session: its PUBACK is no more awaited
    rig.sink.outcomes()
    rig.client.gone = True
    for n in (1, 2):
        rig.sink.send(message(n))
    assert rig.connection.under_way == {b"gw-1.1.1"}


def test_a_flood_is_said_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.connect()
    rig.sink.send(message())
    for n in range(1, 6):
        rig.connection.acks_dropped = 1000 * n
        rig.ack("AA", f"other-{n}")
        assert rig.sink.outcomes() == []
    assert (rig.sink.counters.acks_dropped, rig.sink.counters.acks_foreign) == (5000, 5)
    said = [record.message for record in caplog.records]
    assert len(said) == 2  # one line for each kind of trouble
    assert not any("other-" in line or "gw-1" in line for line in said)  # no identities
    rig.ack("AA", "gw-1.1.1")
    assert [o.verdict for o in rig.sink.outcomes()] == [Verdict.ACCEPT]
