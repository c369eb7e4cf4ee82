"""Both ends of the MQTT way for tests: a loop that keeps the sink's contract, KITA in a thread, and a raw client."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.core.message import Message, Outcome, Verdict
from gateway.sinks.mqtt import SINK, MqttSink
from gateway.sinks.mqtt_settings import MqttSettings
from kita.service import KitaEvent, run
from kita.settings import KitaSettings
from tests.parts.broker import HOST
from tests.parts.messages import BASE
from tests.parts.wait import wait_until


@contextmanager
def gateway(port: int, base: str = BASE, **settings: Any) -> Iterator[MqttSink]:
    """Yield a started sink that reconnects fast."""
    quick: dict[str, Any] = {"reconnect_s": 0.05, "reconnect_max_s": 0.2, "host": HOST, "port": port}
    sink = SINK.create(MqttSettings(**(quick | settings)), base)
    assert isinstance(sink, MqttSink)
    sink.start()
    try:
        yield sink
    finally:
        sink.stop()


class Loop:
    """The forwarder in small: what is unanswered is sent again in each session, and after a keep at once."""

    def __init__(self, sink: MqttSink, messages: Iterable[Message]) -> None:
        self.sink = sink
        self.waiting = list(messages)
        self.open: dict[str, Message] = {}
        self.outcomes: list[Outcome] = []
        self._session = sink.session()

    def step(self) -> bool:
        """Do one round; tell whether every message has a final answer."""
        again: list[Message] = []
        for outcome in self.sink.outcomes():
            self.outcomes.append(outcome)
            if outcome.verdict is Verdict.KEEP:
                again.append(self.open[outcome.control_id])
            else:
                del self.open[outcome.control_id]
        if self.sink.session() != self._session:
            self._session = self.sink.session()
            again = list(self.open.values())
        for message in again:
            self.sink.send(message)
        for message in self.waiting[: self.sink.room()]:
            self.open[message.control_id] = message
            self.sink.send(message)
            self.waiting.remove(message)
        return not self.open and not self.waiting

    def run(self) -> list[Outcome]:
        """Go on until all is answered; return the final outcomes."""
        wait_until(self.step, lambda: f"{len(self.open)} open, {len(self.waiting)} waiting; {self.sink.state()}")
        return [outcome for outcome in self.outcomes if outcome.verdict is not Verdict.KEEP]


def accepted(messages: Iterable[Message]) -> list[Outcome]:
    """Return the outcomes of messages that were all accepted, in their order."""
    return [Outcome(message.control_id, Verdict.ACCEPT) for message in messages]


class Kita:
    """KITA in a thread of this process."""

    def __init__(self, port: int, database: Path, **settings: Any) -> None:
        self.events: list[KitaEvent] = []
        self._stop = threading.Event()
        quick: dict[str, Any] = {"host": HOST, "port": port, "database": str(database), "busy_ms": 20}
        self._thread = threading.Thread(
            target=run, args=(KitaSettings(**(quick | settings)), self._stop, self.events.append)
        )
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def what(self) -> list[str]:
        """What has become of each message so far, in order."""
        return [event.what for event in list(self.events)]

    def heard(self, count: int) -> list[KitaEvent]:
        """Wait for so many events and return all: KITA tells of a message after it has answered it."""
        wait_until(lambda: len(self.events) >= count, lambda: str(self.events))
        return list(self.events)


@contextmanager
def kita(port: int, database: Path, **settings: Any) -> Iterator[Kita]:
    """Yield KITA, running."""
    running = Kita(port, database, **settings)
    try:
        yield running
    finally:
        running.stop()


class Raw:
    """A client that publishes and hears what it likes."""

    def __init__(self, port: int, *filters: str, client_id: str = "raw") -> None:
        self.heard: SimpleQueue[MQTTMessage] = SimpleQueue()
        self.client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.on_message = lambda _client, _, message: self.heard.put(message)
        ready = threading.Event()
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.connect(HOST, port)
        self.client.loop_start()
        for topic_filter in filters:
            ready.clear()
            self.client.subscribe(topic_filter, options=SubscribeOptions(qos=1, retainAsPublished=True))
            assert ready.wait(5)

    def publish(self, topic: str, payload: bytes, properties: Any = None) -> None:
        """Publish with QoS 1 and wait for the PUBACK."""
        self.client.publish(topic, payload, qos=1, properties=properties).wait_for_publish(5)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
