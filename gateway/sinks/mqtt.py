"""The MQTT sink: messages out with QoS 1, the receiver's HL7 acknowledgements back.

Delivered means: the receiving application said so. A PUBACK only says that the broker has the message, and a broker
that is killed may forget it. So a message is under way from `send` until its HL7 ACK, at most `window` of them; when
the window is full or the connection is gone, `room` is 0 and the spool is the memory.

    send ─► PUBLISH ─► PUBACK 0            the broker has it: wait for the HL7 ACK
                       PUBACK 16           nobody listens: keep, say so
                       PUBACK ≥ 128        refused: keep, say so
            HL7 ACK on …/down/ack  AA CA   accept          matched on MSA-2, and on the correlation
                                   AE AR CR reject         data when there is any; what does not
                                   CE      keep            match changes nothing and is counted

With `release = "puback"` PUBACK 0 accepts, and nothing else does: the promise then ends at the broker (see
gateway.grade). HL7 ACKs that come anyway are counted; one that refuses is said, because nothing is kept of it here.

Invariants
  - Accept and reject are only ever given for a message that was published and is not yet answered, and once.
  - A message holds its place in the window until it is answered for good, also when it is kept and over reconnects:
    while the receiver cannot store, nothing else is pushed at it. A resend needs no room.
  - What `send` cannot publish is counted and comes again: while disconnected the owner sends it in the new session,
    beyond what the broker allows it gets a keep.

One thread owns the sink; the connection has its own (see mqtt_connection). Others may read `state` and `counters`.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.core.ack import AckError, parse_ack
from gateway.core.errors import ConfigError
from gateway.core.message import Message, Outcome, Verdict
from gateway.core.way import Way
from gateway.security.certs.tls import TlsRules
from gateway.sinks.base import ReleasedBy, SinkKind
from gateway.sinks.mqtt_connection import Closed, Connection, Event, Incoming, Puback, Ready, properties
from gateway.sinks.mqtt_hearing import Hearing
from gateway.sinks.mqtt_settings import MqttSettings, Topics, topics_of
from gateway.sinks.mqtt_tls import Tls

log = logging.getLogger("mdi.mqtt")

WAVE, ALERT = "/up/wave", "/up/oru-r40"  # ends of topics
CONTENT_TYPE = "application/hl7-v2+er7; charset=utf-8"
NO_MATCHING_SUBSCRIBERS = 0x10  # MQTT 5.0, 3.4.2.1
FAILED = 0x80  # and above
NO_PUBACK_S = 60.0  # a message of 60 kB at 1 kB/s; what is lost in a broker that lives would hold its place for ever
NO_RULES = TlsRules()
NO_ROOM = "the broker takes no more for the moment"
QUIET_S = 60.0  # a kind of trouble is one log line in this time; the counters have the rest


@dataclass(slots=True)
class MqttCounters:
    """What became of messages and of acknowledgements.

    Each published message is in one of puback, puback_refused and no_subscribers, or its connection was lost before;
    each acknowledgement is in one of the acks_ counters.
    """

    published: int = 0
    not_sent: int = 0  # send was called while nothing could be sent
    too_large: int = 0  # larger than the broker takes
    puback: int = 0
    puback_refused: int = 0
    no_subscribers: int = 0
    acks_accept: int = 0
    acks_reject: int = 0
    acks_keep: int = 0
    acks_foreign: int = 0  # for a message that is not under way: answered already, or never sent
    acks_mismatch: int = 0  # MSA-2 and correlation data name two messages
    acks_malformed: int = 0
    acks_dropped: int = 0  # not looked at: too long, or one of a flood
    connects: int = 0
    sessions_lost: int = 0  # reconnected, and the broker had forgotten the session


class _Published(NamedTuple):
    """A message whose PUBACK is still to come. at: monotonic s."""

    message: Message
    at: float


class MqttSink:
    """Implements Sink through a broker."""

    def __init__(self, settings: MqttSettings, topics: Topics, connection: Connection) -> None:
        self.counters = MqttCounters()
        self._settings = settings
        self._topics = topics
        self._connection = connection
        self._ready: Ready | None = None
        self._session = 0
        self._open: set[str] = set()  # sent, in this session or before, and not answered for good
        self._no_puback: dict[int, _Published] = {}  # by packet id
        self._hearing = Hearing()
        self._puback_at = float("-inf")  # monotonic, when the broker last answered a PUBLISH
        self._outcomes: dict[str, Outcome] = {}
        self._puback_releases = released_by(settings) is ReleasedBy.BROKER
        self._alarm = ""
        self._quiet_until: dict[str, float] = {}

    @property
    def due(self) -> float:
        """When the connection's thread shows a sign of life again."""
        return self._connection.due

    def start(self) -> None:
        """Begin to connect; return at once."""
        self._connection.start()

    def stop(self) -> None:
        """Say offline and disconnect; at most 5 s."""
        self._connection.stop()
        self._ready = None

    def room(self) -> int:
        """Return how many messages may be sent now."""
        self._drain()
        if self._ready is None:
            return 0
        quota = self._quota(self._ready) - len(self._hearing)
        return max(0, min(self._settings.window - len(self._open), quota))

    def send(self, message: Message) -> None:
        """Publish one message, or the same one again."""
        self._drain()
        self._send(message)

    def _send(self, message: Message, released: bool = False) -> None:
        ready = self._ready
        if ready is None or self._is_cared_for(message):
            self.counters.not_sent += 1
            return
        known = message.control_id in self._open
        if self._quota(ready) <= 0 or not (known or len(self._open) < self._settings.window):
            self.counters.not_sent += 1
            self._outcomes[message.control_id] = Outcome(message.control_id, Verdict.KEEP, NO_ROOM)
            return
        extra = self._extra(message)
        if _packet_bytes(message, extra) > ready.max_packet:
            self._begin(message.control_id)  # it holds its place in the window like any other kept message
            self.counters.too_large += 1
            self._keep(message.control_id, f"a message does not fit the {ready.max_packet} bytes that the broker takes")
            return
        asks = extra is not None and self._qos(message.topic) and not released
        if asks and not self._hearing.may_go(message):
            self._begin(message.control_id)
            return
        self._publish(ready.client, message, extra)

    def expiry_s(self, topic: str) -> float:
        """Return after how many seconds nobody wants a message of this topic any more."""
        return self._settings.wave_expiry_s if topic.endswith(WAVE) else 0.0

    def forget(self, control_id: str) -> None:
        """Make room: this message was given up. What still comes of it is foreign."""
        self._close(control_id)
        self._outcomes.pop(control_id, None)

    def outcomes(self) -> list[Outcome]:
        """Return and forget what the receiver has said since the last call."""
        self._drain()
        outcomes = list(self._outcomes.values())
        self._outcomes.clear()
        return outcomes

    def post(self, name: str, payload: bytes) -> None:
        """Publish on …/status/NAME, retained, in this session and each that comes."""
        self._connection.post(f"{self._topics.status}/{name}", payload)

    def session(self) -> int:
        """Return the number of connections so far."""
        self._drain()
        return self._session

    def state(self) -> str:
        """Return one line for a person."""
        return self._connection.state + (f"; {self._alarm}" if self._alarm else "")

    def protection(self) -> dict[str, Any]:
        """Return how the connection is protected, as seen in its last handshake; {} without TLS."""
        return self._connection.tls.seen() if self._connection.tls else {}

    # ---- out

    def _quota(self, ready: Ready) -> int:
        """Return how many more may be without PUBACK: what broker and paho hold. An answer can overtake its PUBACK."""
        return min(self._settings.window, ready.receive_max) - len(self._no_puback)

    def _is_cared_for(self, message: Message) -> bool:
        """Tell whether a message need not be published again: its PUBACK is still to come, or its answer has come."""
        answer = self._outcomes.get(message.control_id)
        under_way = any(published.message.control_id == message.control_id for published in self._no_puback.values())
        return under_way or self._hearing.holds(message) or (answer is not None and answer.verdict is not Verdict.KEEP)

    def _publish(self, client: Client, message: Message, extra: Properties | None) -> None:
        known = message.control_id in self._open
        self._begin(message.control_id)  # first: the answer can be here before publish returns
        info = client.publish(message.topic, message.payload, qos=self._qos(message.topic), properties=extra)
        if info.rc != MQTT_ERR_SUCCESS:  # the connection has just gone
            self.counters.not_sent += 1
            if not known:
                self._close(message.control_id)
            return
        if self._qos(message.topic):
            self._no_puback[info.mid] = _Published(message, time.monotonic())
        self.counters.published += 1

    def _qos(self, topic: str) -> int:
        """Waves may go without PUBACK where it releases nothing: each is soon followed by the next."""
        return self._settings.wave_qos if topic.endswith(WAVE) and not self._puback_releases else 1

    def _extra(self, message: Message) -> Properties | None:
        if self._settings.protocol != "mqtt5":
            return None
        expiry = {"MessageExpiryInterval": math.ceil(s)} if (s := self.expiry_s(message.topic)) else {}
        alert = message.topic.endswith(ALERT)
        return properties(
            PacketTypes.PUBLISH,
            PayloadFormatIndicator=1,  # UTF-8
            ContentType=CONTENT_TYPE,
            ResponseTopic=self._topics.ack,
            CorrelationData=message.control_id.encode(),
            **expiry,
            UserProperty=[
                ("hl7-type", "ORU^R40" if alert else "ORU^R01"),
                ("schema", "pcd-04" if alert else "wcm" if message.topic.endswith(WAVE) else "pcd-01"),
                ("seq", str(message.seq)),
                ("sent", datetime.now(UTC).isoformat(timespec="milliseconds")),
                ("sha256", hashlib.sha256(message.payload).hexdigest()),
            ],
        )

    # ---- back

    def _drain(self) -> None:
        oldest = next(iter(self._no_puback.values()), None)
        if oldest and time.monotonic() - max(oldest.at, self._puback_at) > NO_PUBACK_S:
            self._puback_at = time.monotonic()
            self._connection.drop(f"no PUBACK for {NO_PUBACK_S:.0f} s, although the broker answers pings")
        events = self._connection.events
        for _ in range(events.qsize()):  # what comes meanwhile waits for the next call
            self._take(events.get())
        dropped = self._connection.acks_dropped
        if dropped != self.counters.acks_dropped:
            self.counters.acks_dropped = dropped
            self._say("dropped", f"{dropped} acknowledgements not looked at so far: too long, or a flood of them")

    def _take(self, event: Event) -> None:
        if isinstance(event, Puback):
            self._puback(event)
        elif isinstance(event, Incoming):
            self._answer(event)
        elif isinstance(event, Ready):
            self._connected(event)
        else:
            assert isinstance(event, Closed)
            self._ready = None
            self._no_puback.clear()
            self._hearing.begin()
            self._alarm = ""  # the state of the connection is the news now

    def _connected(self, ready: Ready) -> None:
        if self._session and not ready.session_present:
            self.counters.sessions_lost += 1
        self._ready = ready
        self._hearing.begin()
        self._session += 1
        self.counters.connects += 1

    def _puback(self, puback: Puback) -> None:
        published = self._no_puback.pop(puback.mid, None)
        self._puback_at = time.monotonic()
        if published is None:
            return
        control_id = published.message.control_id
        if puback.code >= FAILED:
            self.counters.puback_refused += 1
            self._keep(control_id, f"the broker refuses messages: {puback.text}")
            self._send_waiting(published)  # it may be this message only: it must not hold up the others
        elif puback.code == NO_MATCHING_SUBSCRIBERS:
            self.counters.no_subscribers += 1
            self._hearing.unheard(published.message)
            self._keep(control_id, "nobody listens: the broker has no subscriber for the messages")
        else:
            self.counters.puback += 1
            self._alarm = ""
            self._send_waiting(published)
            if self._puback_releases and control_id in self._open:
                self._close(control_id)
                self._outcomes[control_id] = Outcome(control_id, Verdict.ACCEPT)

    def _send_waiting(self, published: _Published) -> None:
        """A message has its PUBACK: so much of what waits may go as the broker takes."""
        self._hearing.heard(published.message)
        if self._ready is not None:
            for message in self._hearing.release(self._quota(self._ready)):
                self._send(message, released=True)

    def _keep(self, control_id: str, why: str) -> None:
        self._alarm = why
        self._say("keep", why)
        if control_id in self._open:  # the answer can have come before the PUBACK
            self._outcomes[control_id] = Outcome(control_id, Verdict.KEEP, why)

    def _answer(self, incoming: Incoming) -> None:
        try:
            ack = parse_ack(incoming.payload).outcome
        except AckError as fault:
            self.counters.acks_malformed += 1
            self._say("malformed", f"no acknowledgement, ignored: {fault.what}")
            return
        if incoming.correlation is not None and incoming.correlation != ack.control_id.encode():
            self.counters.acks_mismatch += 1
            self._say("mismatch", "an acknowledgement names two messages; ignored")
        elif self._puback_releases:
            self._count(ack)
            if ack.verdict is not Verdict.ACCEPT:
                self._say("refused", "the receiver refuses a message that a PUBACK has released: it is not kept")
        elif ack.control_id not in self._open:
            self.counters.acks_foreign += 1
            self._say("foreign", "an acknowledgement for a message that is not under way; ignored")
        else:
            self._settle(ack)

    def _begin(self, control_id: str) -> None:
        """It takes a place in the window, and its answer is heard also in a flood of others."""
        self._open.add(control_id)
        self._connection.under_way |= {control_id.encode()}

    def _close(self, control_id: str) -> None:
        """It has its answer, or was given up: nothing waits for it any more, no other message either."""
        self._open.discard(control_id)
        self._hearing.forget(control_id)
        self._connection.under_way -= {control_id.encode()}

    def _settle(self, ack: Outcome) -> None:
        self._outcomes[ack.control_id] = ack
        self._count(ack)
        if ack.verdict is not Verdict.KEEP:
            self._close(ack.control_id)

    def _count(self, ack: Outcome) -> None:
        if ack.verdict is Verdict.ACCEPT:
            self.counters.acks_accept += 1
        elif ack.verdict is Verdict.REJECT:
            self.counters.acks_reject += 1
        else:
            self.counters.acks_keep += 1

    def _say(self, kind: str, what: str) -> None:
        now = time.monotonic()
        if now >= self._quiet_until.get(kind, now):
            self._quiet_until[kind] = now + QUIET_S
            log.warning("%s", what)


def released_by(settings: MqttSettings) -> ReleasedBy:
    """Tell whose word lets go of a message."""
    return ReleasedBy.BROKER if settings.release == "puback" else ReleasedBy.RECEIVER


def _packet_bytes(message: Message, extra: Properties | None) -> int:
    """Return the size of the PUBLISH: fixed header (at most 5), topic, packet id, properties, payload."""
    size = len(extra.pack()) if extra is not None else 0  # type: ignore[no-untyped-call]
    return 5 + 2 + len(message.topic.encode()) + 2 + size + len(message.payload)


def _create(settings: MqttSettings, base: str, rules: TlsRules = NO_RULES) -> MqttSink:
    topics = topics_of(base)
    for name in filter(None, (settings.ca, settings.cert, settings.key, settings.crl)):
        if not Path(name).is_file():
            raise ConfigError("there is no such certificate file", name)
    tls = Tls(settings, rules, topics.gateway) if settings.ca else None
    return MqttSink(settings, topics, Connection(settings, topics, tls))


SINK = SinkKind(
    name="mqtt",
    settings=MqttSettings,
    create=_create,
    released_by=released_by,
    ways=lambda settings: (Way("mqtt", "host", host=settings.host, port=settings.port),),
)
