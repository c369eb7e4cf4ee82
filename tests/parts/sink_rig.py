"""A sink whose connection is in the test's hand."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

from paho.mqtt.client import MQTT_ERR_NO_CONN, MQTT_ERR_SUCCESS

from gateway.core.message import Message, Verdict
from gateway.sinks.mqtt import MqttSink
from gateway.sinks.mqtt_connection import UNLIMITED, Event, Incoming, Ready
from gateway.sinks.mqtt_hearing import Hearing
from gateway.sinks.mqtt_settings import MqttSettings, topics_of
from tests.parts.messages import BASE, TOPIC

WINDOW = 3
VERDICTS = {
    "AA": Verdict.ACCEPT,
    "CA": Verdict.ACCEPT,
    "CE": Verdict.KEEP,
    "AE": Verdict.REJECT,
    "AR": Verdict.REJECT,
    "CR": Verdict.REJECT,
}


class Info:
    def __init__(self, mid: int, rc: int) -> None:
        self.mid = mid
        self.rc = rc


class FakeClient:
    """Takes what is published and gives packet ids."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes, Any]] = []
        self.gone = False

    def publish(self, topic: str, payload: bytes, qos: int, properties: Any) -> Info:
        assert qos == 1
        if self.gone:
            return Info(0, MQTT_ERR_NO_CONN)
        self.published.append((topic, payload, properties))
        return Info(len(self.published), MQTT_ERR_SUCCESS)


class FakeConnection:
    """The events that a test puts there."""

    def __init__(self) -> None:
        self.events: SimpleQueue[Event] = SimpleQueue()
        self.acks_dropped = 0
        self.under_way: frozenset[bytes] = frozenset()
        self.state = "connected to broker:1883"

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Everybody(Hearing):
    """Somebody listens, always, and everybody knows."""

    def may_go(self, message: Message) -> bool:
        return True

    def holds(self, message: Message) -> bool:
        return False

    def __len__(self) -> int:
        return 0


class Rig:
    """A sink with its connection in the test's hand. waits: messages wait until it is known that somebody listens."""

    def __init__(
        self, window: int = WINDOW, protocol: str = "mqtt5", release: str = "ack", waits: bool = False
    ) -> None:
        self.connection = FakeConnection()
        settings_ = MqttSettings(host="broker", window=window, protocol=protocol, release=release)
        self.sink = MqttSink(settings_, topics_of(BASE), self.connection)  # type: ignore[arg-type]
        if not waits:
            self.sink._hearing = Everybody()
        self.client = FakeClient()

    def connect(self, receive_max: int = 65535, max_packet: int = UNLIMITED, session_present: bool = True) -> None:
        self.client = FakeClient()
        self.connection.events.put(Ready(self.client, session_present, receive_max, max_packet))  # type: ignore[arg-type]

    def put(self, event: Event) -> None:
        self.connection.events.put(event)

    def ack(self, code: str, control_id: str, correlation: bytes | None = None) -> None:
        self.put(Incoming(ack_bytes(code, control_id), correlation))


def ack_bytes(code: str, control_id: str) -> bytes:
    return f"MSH|^~\\&|KITA|RM|MDIGW|AUH|20261121093002+0000||ACK^R01^ACK|k1|P|2.6\rMSA|{code}|{control_id}\r".encode()


def message(n: int = 1, size: int = 10) -> Message:
    return Message(n, f"gw-1.1.{n}", TOPIC, b"x" * size)
