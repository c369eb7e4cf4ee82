"""The MQTT connection of a gateway: one thread that connects, listens, and connects again.

Constraints
  - paho keeps what it could not send in memory and sends it again by itself. That is the spool's work, so each
    connection gets a new paho client: nothing is left over, and each message goes out once per session.
  - paho calls back while it holds its own locks. The callbacks therefore only put events on one queue, and the owner of
    the sink takes them off in its own time; there is no lock of ours that could wait for one of paho's.
  - Other threads call `publish`. They must not write to the socket while this thread does: paho leaves the writing to
    the loop when it is told that somebody watches the socket (on_socket_register_write).

Invariants
  - The acknowledgement topic is subscribed and granted before Ready is put on the queue: no answer can be missed. The
    status has been published and answered, so all of the broker's Receive Maximum is free for messages.
  - Events of one connection lie on the queue between its Ready and its Closed, in the order of the wire;
    acknowledgements that the broker had kept come before Ready.
  - The queue is bounded: a flood of acknowledgements is cut at MAX_EVENTS and counted. Of those that name no message
    under way FLOOD_EVENTS are taken in a second, enough to say what is wrong with them: a flood of them neither fills
    the queue nor costs the owner its time.
"""

from __future__ import annotations

import logging
import math
import random
import socket
import threading
import time
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.core.errors import MdiError
from gateway.security.certs.tls import explain
from gateway.sinks.mqtt_settings import MqttSettings, Topics
from gateway.sinks.mqtt_tls import Tls

log = logging.getLogger("mdi.mqtt")

MAX_EVENTS = 1024
FLOOD_EVENTS = 64  # three windows of answers; the owner reads as many in about a millisecond
FLOOD_S = 1.0
RECEIVE_BUFFER = (
    65536  # bytes; some hundred acknowledgements: in a flood an answer waits behind these, not behind megabytes
)
MAX_ACK_BYTES = 16_384  # an ACK of ours is below 500 bytes; ERR segments of others add some hundred each
CONNECT_TIMEOUT_S = 3.0  # one repetition of a lost SYN takes 1 s (RFC 6298), TLS needs some round trips
HANDSHAKE_S = 10.0  # from TCP connection to Ready
TICK_S = 0.2  # how soon a stop is seen
GOODBYE_S = 1.5
SHORT_S = 10.0  # three connections in a row that were cut before: two clients of one id throw each other out like that
ROUND_S = 10.0  # within this the thread shows itself again once connected: a round of paho's loop is TICK_S
CONNECT_S = 60.0  # a name server can take 30 s (resolv.conf(5)), then TCP and TLS for each address of the broker
STABLE_S = 30.0  # a connection that lived this long was a good one: the pauses start small again
UNLIMITED = 2**32


@dataclass(frozen=True, slots=True)
class Ready:
    """Connected and subscribed. receive_max, max_packet: what the broker allows, messages and bytes."""

    client: Client
    session_present: bool
    receive_max: int
    max_packet: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is gone."""


@dataclass(frozen=True, slots=True)
class Puback:
    """The broker has answered a PUBLISH. code: MQTT 5 reason code, 0 with MQTT 3.1.1."""

    mid: int
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """Something arrived on the acknowledgement topic. correlation: None when it carries none."""

    payload: bytes
    correlation: bytes | None


Event = Ready | Closed | Puback | Incoming


class Connection:
    """Keeps one gateway connected. `events` is read by the owner of the sink alone, `state` by anybody."""

    def __init__(self, settings: MqttSettings, topics: Topics, tls: Tls | None = None) -> None:
        self.tls = tls
        self.events: SimpleQueue[Event] = SimpleQueue()
        self.acks_dropped = 0
        self.under_way: frozenset[bytes] = frozenset()  # control ids; written by the owner of the sink
        self.state = "not started"
        self.due = math.inf  # monotonic time of the next sign of life
        self._settings = settings
        self._topics = topics
        self._client_id = settings.client_id or topics.gateway
        self._where = f"{settings.host}:{settings.port}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)  # a name server can block for long
        self._reason = ""  # why the connection ends, "" as long as nothing is known
        self._ready_at: float | None = None
        self._granted: Ready | None = None  # what CONNACK said, until all is ready
        self._status_mid = 0  # packet id of "online", 0 when it is answered
        self._posts: dict[str, bytes] = {}  # by topic: retained, said again in each session
        self._post_queue: SimpleQueue[str] = SimpleQueue()  # topics that are to be said
        self._post_mids: dict[int, str] = {}  # without PUBACK
        self._renewing = False  # it ends because of a new certificate: the next one begins at once
        self._said = ""
        self._others, self._others_since = 0, 0.0  # acknowledgements of nothing under way, in this second
        self._short = 0  # connections in a row that were cut soon after they were ready

    def start(self) -> None:
        """Begin to connect; return at once."""
        self._thread.start()

    def stop(self) -> None:
        """Say offline, disconnect, join the thread; at most 5 s."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(CONNECT_TIMEOUT_S + GOODBYE_S + TICK_S)

    def post(self, topic: str, payload: bytes) -> None:
        """Say something that stays with the broker. Any thread may call it."""
        self._posts[topic] = payload
        self._post_queue.put(topic)

    def drop(self, reason: str) -> None:
        """End this connection and make another one, because of `reason`."""
        self._reason = self._reason or reason

    # ---- the thread

    def _run(self) -> None:
        pause = self._settings.reconnect_s
        while not self._stop.is_set():
            self.state = f"connecting to {self._where}"
            self._reason, self._ready_at, self._granted, self._status_mid = "", None, None, 0
            self._post_mids.clear()
            self._renewing = False
            try:
                self._live()
            except OSError as fault:  # paho's own: no descriptor left for what wakes its loop
                self._reason = fault.strerror or str(fault)
            except Exception as fault:  # the supervisor of this thread: without it a bug would be a silent gap
                log.exception("MQTT connection to %s failed", self._where)
                self._reason = repr(fault)
            self.events.put(Closed())
            if self._renewing:
                continue
            if self.tls:
                self._reason = self.tls.why(self._reason, self._granted is not None)
            lived = time.monotonic() - self._ready_at if self._ready_at is not None else 0.0
            if lived > STABLE_S:
                pause = self._settings.reconnect_s
            self._short = self._short + 1 if 0 < lived < SHORT_S else 0
            if self._short >= 3:
                self._reason += f"; does another client use the id {self._client_id}?"
            if not self._stop.is_set():
                self._pause(random.uniform(pause / 2, pause))  # a ward full of gateways must not return in step
            pause = min(2 * pause, self._settings.reconnect_max_s)
        self.state = "stopped"
        self.due = math.inf

    def _pause(self, seconds: float) -> None:
        self.state = f"waiting {seconds:.0f} s to reconnect to {self._where}: {self._reason}"
        self._log(logging.WARNING, f"no connection to {self._where}: {self._reason}")
        self.due = time.monotonic() + seconds + ROUND_S
        end = time.monotonic() + seconds
        while not self._stop.wait(min(max(0.0, end - time.monotonic()), TICK_S)):
            if time.monotonic() >= end or (self.tls and self.tls.changed(time.monotonic())):
                return

    def _log(self, level: int, what: str) -> None:
        """A state that lasts is one line, not one per attempt."""
        if what != self._said:
            log.log(level, "%s", what)
            self._said = what

    def _live(self) -> None:
        """Connect and stay until the connection ends; `_reason` then says why."""
        client, settings = self._client(), self._settings
        self.due = time.monotonic() + CONNECT_S
        try:
            self._connect(client)
        except OSError as fault:  # also ssl.SSLError and socket.gaierror
            self._reason = explain(fault)
            return
        except MdiError as fault:
            self._reason = str(fault)
            return
        began = time.monotonic()
        while client.loop(TICK_S) == MQTT_ERR_SUCCESS:
            self.due = time.monotonic() + ROUND_S
            self._say_posts(client)
            if self._stop.is_set():
                self._goodbye(client)
                return
            if self.tls and self._ready_at is not None and self.tls.changed(time.monotonic()):
                self._renewing = True
                self._disconnect(client)
                return
            if self._reason or (self._ready_at is None and time.monotonic() - began > HANDSHAKE_S):
                self._reason = (
                    self._reason or f"no answer within {HANDSHAKE_S:.0f} s; is it a broker for {settings.protocol}?"
                )
                self._disconnect(client)
                return
        self._reason = self._reason or "connection lost"

    def _say_posts(self, client: Client) -> None:
        """One at a time: what the broker may hold belongs to the messages."""
        if self._ready_at is None or self._post_mids or self._post_queue.empty():
            return
        topic = self._post_queue.get()
        self._post_mids[client.publish(topic, self._posts[topic], qos=1, retain=True).mid] = topic

    def _goodbye(self, client: Client) -> None:
        """The orderly end: an orderly DISCONNECT cancels the Will, so offline is said here."""
        if self._ready_at is not None:
            said = client.publish(self._topics.status, b"offline", qos=1, retain=True)
            end = time.monotonic() + GOODBYE_S
            while not said.is_published() and time.monotonic() < end and client.loop(TICK_S) == MQTT_ERR_SUCCESS:
                pass
        self._disconnect(client)

    def _disconnect(self, client: Client) -> None:
        client.disconnect()
        client.loop(TICK_S)  # writes the DISCONNECT and closes the socket

    def _client(self) -> Client:
        settings, mqtt5 = self._settings, self._settings.protocol == "mqtt5"
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=None if mqtt5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if mqtt5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(settings.window + 2)  # and the status, online and offline
        client.max_queued_messages_set(settings.window + 2)
        client.on_socket_open = _without_delay
        client.on_socket_register_write = _leave_writing_to_the_loop
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        will = None
        if mqtt5:
            will = properties(PacketTypes.WILLMESSAGE, WillDelayInterval=settings.will_delay_s)
        client.will_set(self._topics.status, b"offline", qos=1, retain=True, properties=will)
        return client

    def _connect(self, client: Client) -> None:
        """Raises: OSError, ConfigError for certificate files that cannot be used."""
        settings = self._settings
        if self.tls:
            client.tls_set_context(self.tls.context())
        if settings.protocol == "mqtt311":
            client.connect(settings.host, settings.port, settings.keepalive_s)
            return
        wishes = properties(
            PacketTypes.CONNECT,
            SessionExpiryInterval=settings.session_expiry_s,
            MaximumPacketSize=MAX_ACK_BYTES + 1024,  # and topic and properties
        )
        client.connect(settings.host, settings.port, settings.keepalive_s, clean_start=False, properties=wishes)

    # ---- paho calls these in the same thread, some with its locks held: events only

    def _on_connect(
        self, client: Client, _: Any, flags: ConnectFlags, reason: ReasonCode, told: Properties | None
    ) -> None:
        if reason.is_failure:
            self._reason = f"the broker refuses the connection: {reason}"
            return
        self._granted = Ready(
            client,
            flags.session_present,
            getattr(told, "ReceiveMaximum", 65535),  # defaults: MQTT 5.0, 3.2.2.3.3 and 3.2.2.3.6
            getattr(told, "MaximumPacketSize", UNLIMITED),
        )
        client.subscribe(self._topics.ack, qos=1)

    def _on_subscribe(self, client: Client, _: Any, _mid: int, reasons: list[ReasonCode], _props: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._reason = f"the broker does not let this gateway read {self._topics.ack}: {reasons[0]}"
            return
        self._status_mid = client.publish(self._topics.status, b"online", qos=1, retain=True).mid

    def _on_publish(self, _client: Client, _: Any, mid: int, reason: ReasonCode, _props: Any) -> None:
        if topic := self._post_mids.pop(mid, ""):
            if reason.is_failure:
                log.warning("the broker refuses %s: %s", topic, reason)
            return
        if mid != self._status_mid:
            self.events.put(Puback(mid, reason.value, str(reason)))
            return
        self._status_mid = 0  # packet ids come round again after 65,535 messages
        refused = ""
        if reason.is_failure:
            own = self.tls.own() if self.tls else []
            refused = "; ".join((f"; the broker refuses {self._topics.status}: {reason}", *own))
        for topic in self._posts:
            self._post_queue.put(topic)
        assert self._granted is not None  # CONNACK comes before any PUBACK
        self._ready_at = time.monotonic()
        self.state = f"connected to {self._where}{refused}"
        self._log(logging.WARNING if refused else logging.INFO, self.state)
        self.events.put(self._granted)

    def _on_message(self, _client: Client, _: Any, message: MQTTMessage) -> None:
        if len(message.payload) > MAX_ACK_BYTES or self.events.qsize() >= MAX_EVENTS or self._floods(message.payload):
            self.acks_dropped += 1
            return
        self.events.put(Incoming(bytes(message.payload), getattr(message.properties, "CorrelationData", None)))

    def _floods(self, payload: bytes | bytearray) -> bool:
        """Tell whether this is one too many of those that name no message under way."""
        if any(control_id in payload for control_id in self.under_way):
            return False
        now = time.monotonic()
        if now - self._others_since > FLOOD_S:
            self._others_since, self._others = now, 0
        self._others += 1
        return self._others > FLOOD_EVENTS

    def _on_disconnect(self, _client: Client, _: Any, flags: DisconnectFlags, reason: ReasonCode, _props: Any) -> None:
        if not self._reason:
            ended = f"the broker ended the connection: {reason}"
            self._reason = ended if flags.is_disconnect_packet_from_server else "connection lost"


def properties(kind: int, **values: Any) -> Properties:
    """Return the MQTT 5 properties of a packet of this kind (paho's PacketTypes), by paho's names of them."""
    made = Properties(kind)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(made, name, value)
    return made


def _without_delay(_client: Client, _: Any, connection: Any) -> None:
    """Send small packets at once: the other side waits for each (otherwise up to 40 ms, delayed ACK of TCP)."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)


def _leave_writing_to_the_loop(_client: Client, _: Any, _connection: Any) -> None:
    """Tell paho by being there that the loop watches the socket for writing."""
