"""The MQTT side of KITA without a broker: what is taken, what is let go, what is acknowledged to whom."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import MQTT_ERR_SUCCESS, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from gateway.core.errors import ConfigError
from kita.receive import MAX_MESSAGE_BYTES, Receiver
from kita.settings import KitaSettings
from tests.parts.messages import ACK_TOPIC, BASE, TOPIC


class FakeClient:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.acked: list[int] = []
        self.published: list[tuple[str, bytes]] = []
        self.subscribed: list[str] = []
        self.ended = 0

    def socket(self) -> FakeClient:
        return self

    def shutdown(self, _how: int) -> None:
        self.ended += 1

    def ack(self, packet_id: int, _qos: int) -> None:
        self.acked.append(packet_id)

    def publish(self, topic: str, payload: bytes, qos: int, properties: Any) -> Any:
        assert qos == 1
        assert properties is None  # MQTT 3.1.1
        self.published.append((topic, payload))
        return type("Info", (), {"rc": MQTT_ERR_SUCCESS})

    def subscribe(self, topic: str, qos: int) -> None:
        assert qos == 1
        self.subscribed.append(topic)


class Rig:
    def __init__(self, **settings: Any) -> None:
        self.receiver = Receiver(KitaSettings(database="unused", protocol="mqtt311", batch=2, **settings))
        self.client = FakeClient()
        self.receiver._client = self.client  # type: ignore[assignment]
        self.connect()

    def connect(self) -> None:
        self.receiver._on_connect(self.client, None, None, ReasonCode(PacketTypes.CONNACK), None)  # type: ignore[arg-type]

    def hear(self, packet_id: int, topic: bytes = TOPIC.encode(), payload: bytes = b"MSH") -> None:
        message = MQTTMessage(packet_id, topic)
        message.payload, message.qos = payload, 1
        self.receiver._on_message(self.client, None, message)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "topic_filter"),
    [({}, "mdi/v1/+/+/+/up/+"), ({"site": "auh", "unit": "ita"}, "mdi/v1/auh/ita/+/up/+")],
)
def test_each_connection_subscribes(settings: dict[str, str], topic_filter: str) -> None:
    rig = Rig(**settings)
    rig.connect()
    assert rig.client.subscribed == [topic_filter] * 2


def test_a_message_is_acknowledged_to_the_broker_after_its_answer_only() -> None:
    rig = Rig()
    rig.hear(7)
    (delivery,) = rig.receiver.take(10, 0)
    assert (delivery.gateway, delivery.payload, delivery.reply_topic) == ("gw-1", b"MSH", ACK_TOPIC)
    assert rig.client.acked == []
    assert rig.receiver.answer(delivery, b"ACK")
    assert rig.client.published == [(ACK_TOPIC, b"ACK")]
    assert rig.client.acked == [7]


def test_the_packet_id_of_a_connection_before_is_not_acknowledged_on_this_one() -> None:
    rig = Rig()
    rig.hear(7)
    (delivery,) = rig.receiver.take(10, 0)
    rig.connect()
    rig.receiver.answer(delivery, b"ACK")
    assert rig.client.published == [(ACK_TOPIC, b"ACK")]
    assert rig.client.acked == []


def test_a_full_queue_makes_the_broker_wait_and_leaves_nothing_out() -> None:
    """Found by a thousand kills: after a pause the broker sent more than the queue held, and KITA left some out.

    They came again later, behind newer ones: first deliveries were out of order.
    """
    rig = Rig()
    hearing = threading.Thread(target=lambda: [rig.hear(n) for n in range(50)])
    hearing.start()
    taken: list[int] = []
    while len(taken) < 50:
        taken += [d.packet_id for d in rig.receiver.take(3, 5)]
    hearing.join()
    assert taken == list(range(50))
    assert (rig.receiver.counters.received, rig.receiver.counters.dropped) == (50, 0)


def test_what_finds_no_room_for_long_comes_again_in_order_on_the_next_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kita.receive.FULL_S", 0.0)
    rig = Rig()
    for n in range(6):
        rig.hear(n)
    assert (rig.receiver.counters.received, rig.receiver.counters.dropped) == (6, 2)
    assert rig.client.acked == []
    assert rig.client.ended == 1
    assert [d.packet_id for d in rig.receiver.take(3, 0)] == [0, 1, 2]
    rig.hear(6)  # on the connection that has ended, behind what was left out
    assert [d.packet_id for d in rig.receiver.take(3, 0)] == [3]
    rig.connect()
    rig.hear(0)
    assert [d.packet_id for d in rig.receiver.take(3, 0)] == [0]


def test_a_full_queue_does_not_hold_up_the_end() -> None:
    rig = Rig()
    hearing = threading.Thread(target=lambda: [rig.hear(n) for n in range(6)])
    hearing.start()
    rig.receiver._stopping.set()
    hearing.join(5)
    assert not hearing.is_alive()


@pytest.mark.parametrize(
    ("topic", "size"),
    [
        (b"mdi/v1/auh/ita/GW/up/oru-r01", 3),
        (b"mdi/v1/auh/ita/gw-1/up/oru-r42", 3),
        (b"mdi/v1/auh/\xff/gw-1/up/oru-r01", 3),
        (TOPIC.encode(), MAX_MESSAGE_BYTES + 1),
    ],
)
def test_what_cannot_be_a_message_of_a_gateway_is_let_go_and_counted(topic: bytes, size: int) -> None:
    rig = Rig()
    rig.hear(1, topic, b"x" * size)
    assert rig.receiver.take(10, 0) == []
    assert (rig.receiver.counters.ignored, rig.client.acked) == (1, [1])


def test_a_certificate_file_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    receiver = Receiver(KitaSettings(database="unused", ca=str(tmp_path / "ca.pem")))
    with pytest.raises(ConfigError, match="No such file"):
        receiver.start()


@pytest.mark.parametrize("wish", [f"{BASE}/down/#", f"{BASE}/down/+", f"{BASE}0/down/ack", "other", f"{BASE}/status"])
def test_an_answer_is_not_sent_where_it_does_not_belong(wish: str) -> None:
    receiver = Rig().receiver
    assert receiver._reply_topic(BASE, wish) == ACK_TOPIC
    assert receiver.counters.reply_topics_refused == 1
