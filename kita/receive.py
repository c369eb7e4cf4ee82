"""Messages from the broker, and the answers back.

    mdi/v1/{site}/{unit}/{gateway}/up/+         subscribed with QoS 1 in a session that outlives a restart of KITA:
                                                oru-r01 values, wave waveforms, oru-r40 alerts
    mdi/v1/{site}/{unit}/{gateway}/down/ack     the HL7 acknowledgement, with the correlation data of the message

A message is acknowledged to the broker only after it has been answered (manual acknowledgement), so what KITA takes
down with it in a crash comes again. What the broker forgets, the gateway sends again: only the HL7 ACK counts there.

paho has its own thread and reconnects by itself. Its callbacks put deliveries on a bounded queue and do nothing else.
When the queue is full, the callback waits: nothing more is read, so the broker waits too. A broker may send more than
it was told to (mosquitto 2.0.11 after a pause of KITA), and one delivery left out would come after those behind it. If
there is no room for long, the connection is ended: on the next one the broker begins again with the oldest.
"""

from __future__ import annotations

import logging
import re
import socket
import time
from dataclasses import dataclass
from queue import Empty, Full, Queue
from threading import Event
from typing import Any, cast

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.security.certs.tls import Context, TlsFiles, TlsRules, client_context
from kita.settings import KitaSettings

log = logging.getLogger("mdi.kita")

CONTENT_TYPE = "application/hl7-v2+er7; charset=utf-8"
MAX_MESSAGE_BYTES = 1 << 20
ACK_EXPIRY_S = 3600  # a gateway that is away longer sends the message again anyway
FULL_S = 10.0  # a commit waits 1 s for the database at most (busy_ms); the broker gives up after 45 s of silence
WAIT_S = 0.1  # between two looks whether KITA is to stop
RECONNECT_S = 1  # first pause, doubling
RECONNECT_MAX_S = 30
_UP = re.compile(r"(mdi/v1/[a-z0-9-]+/[a-z0-9-]+/([a-z0-9-]+))/up/(?:oru-r01|wave|oru-r40)")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as it came. sha256: what its sender says of the payload, "" when it says nothing."""

    gateway: str
    payload: bytes
    reply_topic: str
    correlation: bytes | None
    sha256: str
    packet_id: int
    qos: int
    connection: int


@dataclass(slots=True)
class ReceiveCounters:
    """In messages. dropped: not taken because the queue stayed full; ignored: on no topic of a gateway, or too long."""

    received: int = 0
    dropped: int = 0
    ignored: int = 0
    reply_topics_refused: int = 0  # named a topic outside the gateway's own; answered on its own
    connects: int = 0


class Receiver:
    """The MQTT side of KITA. `take` and `answer` belong to one thread."""

    def __init__(self, settings: KitaSettings) -> None:
        self.counters = ReceiveCounters()
        self.state = "not started"
        self._settings = settings
        self._where = f"{settings.host}:{settings.port}"
        self._filter = f"mdi/v1/{settings.site}/{settings.unit}/+/up/+"
        self._queue: Queue[Delivery] = Queue(maxsize=2 * settings.batch)
        self._stopping = Event()
        self._given_up = 0  # the number of the connection that had no room for a delivery: nothing behind it is taken
        self._tls: Context | None = None
        self._client = self._make()

    def start(self) -> None:
        """Begin to connect; return at once. Raises: ConfigError when the certificates cannot be read."""
        settings = self._settings
        if settings.ca:
            files = TlsFiles(settings.ca, settings.cert, settings.key, settings.crl)
            self._tls = client_context(files, TlsRules(settings.tls_min, settings.san))
            self._client.tls_set_context(self._tls)
        self.state = f"connecting to {self._where}"
        if settings.protocol == "mqtt311":
            self._client.connect_async(settings.host, settings.port, settings.keepalive_s)
        else:
            wishes = _properties(
                PacketTypes.CONNECT,
                SessionExpiryInterval=settings.session_expiry_s,
                ReceiveMaximum=settings.batch,
                MaximumPacketSize=MAX_MESSAGE_BYTES + 4096,  # and topic and properties
            )
            self._client.connect_async(
                settings.host, settings.port, settings.keepalive_s, clean_start=False, properties=wishes
            )
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect. What is taken and not answered comes again."""
        self._stopping.set()
        self._client.disconnect()
        self._client.loop_stop()
        self.state = "stopped"

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        """Return what is waiting, at most `limit`; [] when nothing comes within `timeout` seconds."""
        try:
            taken = [self._queue.get(timeout=timeout)]
        except Empty:
            return []
        while len(taken) < limit:
            try:
                taken.append(self._queue.get_nowait())
            except Empty:
                break
        return taken

    def answer(self, delivery: Delivery, ack: bytes | None) -> bool:
        """Send the HL7 ACK, if there is one, then let the broker forget the message.

        Returns whether the ACK was handed to the connection; if not, the gateway will ask again.
        """
        sent = True
        if ack is not None:
            info = self._client.publish(delivery.reply_topic, ack, qos=1, properties=self._extra(delivery))
            sent = info.rc == MQTT_ERR_SUCCESS
        if delivery.connection == self.counters.connects:  # packet ids belong to one connection
            self._client.ack(delivery.packet_id, delivery.qos)
        return sent

    def _extra(self, delivery: Delivery) -> Properties | None:
        if self._settings.protocol == "mqtt311":
            return None
        same = {} if delivery.correlation is None else {"CorrelationData": delivery.correlation}
        return _properties(
            PacketTypes.PUBLISH,
            PayloadFormatIndicator=1,  # UTF-8
            ContentType=CONTENT_TYPE,
            MessageExpiryInterval=ACK_EXPIRY_S,
            **same,
        )

    def _make(self) -> Client:
        mqtt5 = self._settings.protocol == "mqtt5"
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._settings.client_id,
            clean_session=None if mqtt5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if mqtt5 else MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        client.reconnect_delay_set(RECONNECT_S, RECONNECT_MAX_S)
        client.max_queued_messages_set(10 * self._settings.batch)  # answers while the connection is gone
        client.on_socket_open = _without_delay
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        return client

    # ---- in paho's thread

    def _on_connect(self, client: Client, _: Any, _flags: ConnectFlags, reason: ReasonCode, _props: Any) -> None:
        if reason.is_failure:
            self._is(logging.ERROR, f"{self._where} refuses the connection: {reason}")
            return
        self.counters.connects += 1
        client.subscribe(self._filter, qos=1)

    def _on_connect_fail(self, _client: Client, _: Any) -> None:
        self._is(logging.WARNING, f"no connection to {self._where}{self._refusal()}")

    def _refusal(self) -> str:
        """Return what TLS has said of it, "" when nothing: a certificate is refused after the handshake (TLS 1.3)."""
        return f": {self._tls.heard}" if self._tls and self._tls.heard else ""

    def _on_subscribe(self, _client: Client, _: Any, _mid: int, reasons: list[ReasonCode], _props: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._is(logging.ERROR, f"{self._where} does not let KITA read {self._filter}: {reasons[0]}")
        else:
            self._is(logging.INFO, f"connected to {self._where}")

    def _on_disconnect(self, _client: Client, _: Any, flags: DisconnectFlags, reason: ReasonCode, _props: Any) -> None:
        why = f": {reason}" if flags.is_disconnect_packet_from_server else self._refusal()
        if reason.is_failure:
            self._is(logging.WARNING, f"connection to {self._where} lost{why}")

    def _on_message(self, client: Client, _: Any, message: MQTTMessage) -> None:
        self.counters.received += 1
        delivery = self._delivery(message)
        if delivery is None:
            self.counters.ignored += 1
            client.ack(message.mid, message.qos)  # it would be ignored each time
            return
        if not self._put(delivery):
            self.counters.dropped += 1
            if self._given_up != self.counters.connects and (connection := client.socket()) is not None:
                self._given_up = self.counters.connects
                self._is(logging.ERROR, f"no room for {FULL_S:.0f} s: the connection to {self._where} begins anew")
                cast("socket.socket", connection).shutdown(socket.SHUT_RDWR)

    def _put(self, delivery: Delivery) -> bool:
        """Put it on the queue, as soon as there is room. Return False when there is none for too long."""
        if self._given_up == self.counters.connects:
            return False
        end = time.monotonic() + FULL_S
        while not self._stopping.is_set():
            try:
                self._queue.put(delivery, timeout=WAIT_S)
            except Full:
                if time.monotonic() >= end:
                    return False
            else:
                return True
        return False

    def _delivery(self, message: MQTTMessage) -> Delivery | None:
        try:
            topic = _UP.fullmatch(message.topic)
        except UnicodeDecodeError:
            return None
        if topic is None or len(message.payload) > MAX_MESSAGE_BYTES:
            return None
        properties = message.properties
        return Delivery(
            gateway=topic[2],
            payload=bytes(message.payload),
            reply_topic=self._reply_topic(topic[1], getattr(properties, "ResponseTopic", None)),
            correlation=getattr(properties, "CorrelationData", None),
            sha256=dict(getattr(properties, "UserProperty", [])).get("sha256", ""),
            packet_id=message.mid,
            qos=message.qos,
            connection=self.counters.connects,
        )

    def _reply_topic(self, base: str, wish: str | None) -> str:
        """Answer where the message asks for it, but never outside the gateway's own topics."""
        if wish is None:
            return f"{base}/down/ack"
        if wish.startswith(f"{base}/down/") and not set(wish) & set("+#"):
            return wish
        self.counters.reply_topics_refused += 1
        return f"{base}/down/ack"

    def _is(self, level: int, state: str) -> None:
        """A state that lasts is one line, not one per attempt."""
        if state != self.state:
            self.state = state
            log.log(level, "%s", state)


def _without_delay(_client: Client, _: Any, connection: Any) -> None:
    """Send small packets at once: the other side waits for each (otherwise up to 40 ms, delayed ACK of TCP)."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _properties(kind: int, **values: Any) -> Properties:
    """Return the MQTT 5 properties of a packet of this kind (paho's PacketTypes), by paho's names of them."""
    made = Properties(kind)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(made, name, value)
    return made
