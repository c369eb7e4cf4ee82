"""The MQTT sink against a scripted connection: what it lets out, what it believes, what it counts.

A small model says what must hold whatever comes from the wire; a real broker is in tests/e2e.
"""

from __future__ import annotations

import logging
from queue import SimpleQueue
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from paho.mqtt.client import MQTT_ERR_NO_CONN, MQTT_ERR_SUCCESS, MQTTMessage

from gateway.core.errors import ConfigError
from gateway.core.message import Message, Verdict
from gateway.sinks.mqtt import SINK, MqttSink
from gateway.sinks.mqtt_connection import (
    MAX_ACK_BYTES,
    MAX_EVENTS,
    UNLIMITED,
    Closed,
    Connection,
    Event,
    Incoming,
    Puback,
    Ready,
)
from gateway.sinks.mqtt_settings import MqttSettings, topics_of
from tests.parts.messages import ACK_TOPIC, BASE, TOPIC

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
        self.state = "connected to broker:1883"

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Rig:
    """A sink with its connection in the test's hand."""

    def __init__(self, window: int = WINDOW, protocol: str = "mqtt5") -> None:
        self.connection = FakeConnection()
        settings_ = MqttSettings(host="broker", window=window, protocol=protocol)
        self.sink = MqttSink(settings_, topics_of(BASE), self.connection)  # type: ignore[arg-type]
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


# ---- the contract


def test_nothing_goes_out_before_the_connection_is_ready() -> None:
    rig = Rig()
    assert rig.sink.room() == 0
    assert rig.sink.session() == 0
    rig.sink.send(message())
    assert rig.sink.counters.not_sent == 1
    assert rig.client.published == []

    rig.connect()
    assert (rig.sink.session(), rig.sink.room()) == (1, WINDOW)


def test_a_message_goes_out_with_what_the_receiver_needs_and_nothing_of_a_patient() -> None:
    rig = Rig()
    rig.connect()
    rig.sink.send(message(7))
    ((topic, payload, properties),) = rig.client.published
    assert (topic, payload) == (TOPIC, b"x" * 10)
    assert properties.ResponseTopic == ACK_TOPIC
    assert properties.CorrelationData == b"gw-1.1.7"
    assert properties.ContentType == "application/hl7-v2+er7; charset=utf-8"
    assert properties.PayloadFormatIndicator == 1
    assert not hasattr(properties, "MessageExpiryInterval")  # a vital sign must not vanish in the broker
    said = dict(properties.UserProperty)
    assert said.keys() == {"hl7-type", "schema", "seq", "sent", "sha256"}
    assert said["seq"] == "7"


def test_mqtt_311_has_no_properties() -> None:
    rig = Rig(protocol="mqtt311")
    rig.connect()
    rig.sink.send(message())
    assert rig.client.published[0][2] is None
    rig.ack("AA", "gw-1.1.1")
    assert [o.verdict for o in rig.sink.outcomes()] == [Verdict.ACCEPT]


@pytest.mark.parametrize(("code", "verdict"), VERDICTS.items())
def test_each_code_has_its_verdict(code: str, verdict: Verdict) -> None:
    rig = Rig()
    rig.connect()
    rig.sink.send(message())
    rig.ack(code, "gw-1.1.1", b"gw-1.1.1")
    (outcome,) = rig.sink.outcomes()
    assert (outcome.control_id, outcome.verdict) == ("gw-1.1.1", verdict)
    assert (outcome.reason == "") == (verdict is Verdict.ACCEPT)
    assert rig.sink.room() == (WINDOW - 1 if verdict is Verdict.KEEP else WINDOW)
    assert rig.sink.outcomes() == []


def test_a_puback_is_no_acknowledgement() -> None:
    rig = Rig()
    rig.connect()
    rig.sink.send(message())
    rig.put(Puback(1, 0, "Success"))
    assert rig.sink.outcomes() == []
    assert rig.sink.room() == WINDOW - 1


def test_a_refused_message_is_kept_and_said_until_the_broker_takes_one() -> None:
    rig = Rig()
    rig.connect()
    rig.sink.send(message())
    rig.put(Puback(1, 0x87, "Not authorized"))
    (outcome,) = rig.sink.outcomes()
    assert (outcome.verdict, rig.sink.counters.puback_refused) == (Verdict.KEEP, 1)
    assert rig.sink.state() == "connected to broker:1883; the broker refuses messages: Not authorized"

    rig.sink.send(message())
    rig.put(Puback(2, 0, "Success"))
    assert rig.sink.outcomes() == []
    assert rig.sink.state() == "connected to broker:1883"


def test_nobody_listens_is_kept_and_said() -> None:
    rig = Rig()
    rig.connect()
    rig.sink.send(message())
    rig.put(Puback(1, 0x10, "No matching subscribers"))
    assert [o.verdict for o in rig.sink.outcomes()] == [Verdict.KEEP]
    assert "nobody listens" in rig.sink.state()
    assert (rig.sink.counters.no_subscribers, rig.sink.counters.puback) == (1, 0)


def test_an_answer_that_overtakes_the_puback_stands() -> None:
    rig = Rig()
    rig.connect()
    rig.sink.send(message())
    rig.ack("CA", "gw-1.1.1", b"gw-1.1.1")
    rig.put(Puback(1, 0x10, "No matching subscribers"))
    assert [o.verdict for o in rig.sink.outcomes()] == [Verdict.ACCEPT]


def test_a_full_window_takes_resends_and_nothing_else() -> None:
    rig = Rig()
    rig.connect()
    for n in range(1, 6):
        rig.sink.send(message(n))
    assert len(rig.client.published) == WINDOW
    rig.sink.send(message(1))  # its PUBACK is still to come: the broker has it or the connection is dead
    assert (len(rig.client.published), rig.sink.counters.not_sent) == (WINDOW, 3)
    rig.put(Puback(1, 0, "Success"))
    rig.sink.send(message(1))
    assert len(rig.client.published) == WINDOW + 1


def test_the_broker_s_receive_maximum_is_obeyed() -> None:
    rig = Rig(window=20)
    rig.connect(receive_max=2)
    assert rig.sink.room() == 2
    for n in range(1, 6):
        rig.sink.send(message(n))
    assert len(rig.client.published) == 2


def test_a_message_larger_than_the_broker_takes_stays_with_the_gateway() -> None:
    rig = Rig()
    rig.connect(max_packet=400)
    rig.sink.send(message(1, size=400))
    assert rig.client.published == []
    (outcome,) = rig.sink.outcomes()
    assert (outcome.verdict, rig.sink.counters.too_large) == (Verdict.KEEP, 1)
    assert "400 bytes" in rig.sink.state()
    assert rig.sink.room() == WINDOW - 1


@pytest.mark.parametrize(("size", "fits"), [(60, True), (61, False)])
def test_the_size_of_a_packet_is_known_to_the_byte(size: int, fits: bool) -> None:
    rig = Rig(protocol="mqtt311")
    rig.connect(max_packet=5 + 2 + len(TOPIC) + 2 + 60)
    rig.sink.send(message(1, size))
    assert (len(rig.client.published) == 1) == fits


def test_each_connection_is_a_session_in_which_what_is_open_can_be_sent_again() -> None:
    rig = Rig()
    rig.connect(session_present=False)
    for n in range(1, 4):
        rig.sink.send(message(n))
    assert (rig.sink.session(), rig.sink.room()) == (1, 0)
    rig.put(Closed())
    assert (rig.sink.session(), rig.sink.room()) == (1, 0)
    rig.connect(session_present=False)
    assert (rig.sink.session(), rig.sink.room()) == (2, 0)
    for n in (1, 2, 3, 4):
        rig.sink.send(message(n))
    assert [p[2].CorrelationData for p in rig.client.published] == [b"gw-1.1.1", b"gw-1.1.2", b"gw-1.1.3"]
    assert (rig.sink.counters.connects, rig.sink.counters.sessions_lost) == (2, 1)


def test_an_answer_kept_by_the_broker_over_a_break_counts() -> None:
    rig = Rig()
    rig.connect()
    rig.sink.send(message())
    rig.put(Closed())
    rig.ack("CA", "gw-1.1.1", b"gw-1.1.1")  # comes with the resumed session, before anything is sent again
    rig.connect()
    assert [o.verdict for o in rig.sink.outcomes()] == [Verdict.ACCEPT]


def test_a_connection_that_dies_under_send_loses_nothing() -> None:
    rig = Rig()
    rig.connect()
    assert rig.sink.room() == WINDOW
    rig.client.gone = True
    rig.sink.send(message())
    assert (rig.sink.counters.not_sent, rig.sink.counters.published) == (1, 0)


# ---- what is not believed

BAD_ACKS = [
    (b"", None, "acks_malformed"),
    (b"\x00\xff rubbish", None, "acks_malformed"),
    (ack_bytes("XX", "gw-1.1.1"), None, "acks_malformed"),
    (ack_bytes("AA", ""), None, "acks_malformed"),
    (ack_bytes("AA", "gw-1.1.1").replace(b"ACK^R01^ACK", b"ADT^A01"), None, "acks_malformed"),
    (ack_bytes("AA", "gw-1.1.99"), None, "acks_foreign"),
    (ack_bytes("AA", "gw-1.1.2"), b"gw-1.1.1", "acks_mismatch"),
    (ack_bytes("AA", "gw-1.1.1"), b"", "acks_mismatch"),
    (ack_bytes("AA", "gw-1.1.1"), b"\xff", "acks_mismatch"),
]


@pytest.mark.parametrize(("payload", "correlation", "counter"), BAD_ACKS)
def test_what_is_no_answer_to_a_message_under_way_changes_nothing(
    payload: bytes, correlation: bytes | None, counter: str, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig()
    rig.connect()
    rig.sink.send(message(1))
    caplog.set_level(logging.WARNING)
    for _ in range(50):
        rig.put(Incoming(payload, correlation))
    assert rig.sink.outcomes() == []
    assert rig.sink.room() == WINDOW - 1
    assert getattr(rig.sink.counters, counter) == 50
    assert len(caplog.records) == 1  # a flood is one line


def test_an_answer_before_the_message_is_foreign_and_does_not_count_later() -> None:
    rig = Rig()
    rig.connect()
    rig.ack("AA", "gw-1.1.1")
    assert rig.sink.outcomes() == []
    rig.sink.send(message(1))
    assert rig.sink.outcomes() == []
    assert rig.sink.counters.acks_foreign == 1


def test_the_second_answer_to_a_message_is_foreign() -> None:
    rig = Rig()
    rig.connect()
    rig.sink.send(message(1))
    rig.ack("CA", "gw-1.1.1")
    rig.ack("AE", "gw-1.1.1")
    assert [o.verdict for o in rig.sink.outcomes()] == [Verdict.ACCEPT]
    assert (rig.sink.counters.acks_accept, rig.sink.counters.acks_foreign) == (1, 1)


def test_a_message_is_not_sent_again_while_its_answer_waits_to_be_taken() -> None:
    rig = Rig()
    rig.connect()
    rig.sink.send(message(1))
    rig.put(Puback(1, 0, "Success"))
    rig.ack("CA", "gw-1.1.1")
    rig.sink.send(message(1))
    assert len(rig.client.published) == 1
    assert len(rig.sink.outcomes()) == 1
    assert rig.sink.room() == WINDOW


def test_a_flood_of_keeps_is_one_outcome() -> None:
    rig = Rig()
    rig.connect()
    rig.sink.send(message(1))
    for _ in range(500):
        rig.ack("CE", "gw-1.1.1")
    assert len(rig.sink.outcomes()) == 1


def test_a_flood_of_answers_is_cut_and_counted() -> None:
    connection = Connection(MqttSettings(host="broker"), topics_of(BASE))
    heard = MQTTMessage(topic=ACK_TOPIC.encode())
    heard.payload = b"x"
    for _ in range(MAX_EVENTS + 500):
        connection._on_message(None, None, heard)  # type: ignore[arg-type]
    assert (connection.events.qsize(), connection.acks_dropped) == (MAX_EVENTS, 500)
    connection.events.get()
    heard.payload = b"x" * (MAX_ACK_BYTES + 1)
    connection._on_message(None, None, heard)  # type: ignore[arg-type]
    assert (connection.events.qsize(), connection.acks_dropped) == (MAX_EVENTS - 1, 501)


class SinkModel(RuleBasedStateMachine):
    """A random wire against two sets: outcomes for open messages only, final ones once, never beyond the window."""

    @initialize()
    def begin(self) -> None:
        self.rig = Rig()
        self.connected = False
        self.open: set[str] = set()  # handed to a client, not answered for good
        self.final: list[str] = []
        self.mids: dict[int, str] = {}

    @rule(session_present=st.booleans(), receive_max=st.sampled_from([1, 2, 65535]))
    def connect(self, session_present: bool, receive_max: int) -> None:
        self.rig.put(Closed())
        self.rig.connect(receive_max, session_present=session_present)
        self.receive_max = receive_max
        self.connected = True
        self.mids = {}

    @precondition(lambda self: self.connected)
    @rule()
    def lose(self) -> None:
        self.rig.put(Closed())
        self.connected = False

    @rule(n=st.integers(1, 6))
    def send(self, n: int) -> None:
        self.take()  # the sink looks at the wire first
        before = len(self.rig.client.published)
        self.rig.sink.send(message(n))
        control_id = message(n).control_id
        may = self.connected and control_id not in self.mids.values() and len(self.mids) < self.receive_max
        may = may and (control_id in self.open or len(self.open) < min(WINDOW, self.receive_max))
        assert (len(self.rig.client.published) - before == 1) == may
        if may:
            self.open.add(control_id)
            self.mids[len(self.rig.client.published)] = control_id

    @precondition(lambda self: self.connected and self.mids)
    @rule(data=st.data(), code=st.sampled_from([0, 0, 0x10, 0x80, 0x97]))
    def puback(self, data: st.DataObject, code: int) -> None:
        mid = data.draw(st.sampled_from(sorted(self.mids)))
        del self.mids[mid]
        self.rig.put(Puback(mid, code, "said"))
        self.take()

    @rule(
        n=st.integers(1, 8),
        code=st.sampled_from(sorted(VERDICTS)),
        correlation=st.sampled_from(["none", "same", "other"]),
    )
    def ack(self, n: int, code: str, correlation: str) -> None:
        control_id = message(n).control_id
        self.rig.ack(code, control_id, {"none": None, "same": control_id.encode(), "other": b"gw-1.1.0"}[correlation])
        believed = control_id in self.open and correlation != "other"
        expected = VERDICTS[code] if believed else None
        self.take(control_id, expected)

    @rule(junk=st.binary(max_size=30))
    def junk(self, junk: bytes) -> None:
        self.rig.put(Incoming(junk, None))
        self.take()

    def take(self, control_id: str = "", expected: Verdict | None = None) -> None:
        """Take the outcomes: the expected one, and else only keeps of what is open in this session."""
        finals = []
        for outcome in self.rig.sink.outcomes():
            assert outcome.control_id in self.open
            if outcome.verdict is not Verdict.KEEP:
                finals.append((outcome.control_id, outcome.verdict))
        if expected in (Verdict.ACCEPT, Verdict.REJECT):
            assert finals == [(control_id, expected)]
            self.open.discard(control_id)
        else:
            assert finals == []

    @invariant()
    def room_is_what_is_left_of_the_window(self) -> None:
        if hasattr(self, "rig"):
            window = min(WINDOW, self.receive_max) if self.connected else 0
            assert self.rig.sink.room() == max(0, window - len(self.open))


TestSinkModel = SinkModel.TestCase
TestSinkModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


# ---- names and settings


@pytest.mark.parametrize(
    "base",
    [
        "",
        "mdi/v1/auh/ita",
        "mdi/v1/auh/ita/gw/1",
        "mdi/v1/AUH/ita/gw",
        "mdi/v1/auh/ita/+",
        "mdi/v1/auh//gw",
        "mdi/v1/auh/æ/gw",
        "/mdi/v1/a/b/c",
        "mdi/v1/auh/ita/gw\n",
        "mdi/v1/auh/ita/" + "g" * 120,
    ],
)
def test_a_base_that_is_no_topic_of_ours_is_refused(base: str) -> None:
    with pytest.raises(ConfigError):
        SINK.create(MqttSettings(host="broker"), base)


def test_the_longest_topic_has_128_bytes() -> None:
    base = "mdi/v1/auh/ita/" + "g" * (128 - len("mdi/v1/auh/ita/") - len("/up/oru-r01"))
    assert topics_of(base).status == f"{base}/status"
    with pytest.raises(ConfigError, match="too long"):
        topics_of(base + "g")


@pytest.mark.parametrize("given", [{"cert": "c"}, {"key": "k"}, {"cert": "c", "key": "k"}, {"ca": "a", "cert": "c"}])
def test_certificates_come_together(given: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="belong together"):
        MqttSettings(host="broker", **given)  # type: ignore[arg-type]


def test_every_setting_says_what_it_is() -> None:
    for field in MqttSettings.__dataclass_fields__.values():
        assert field.metadata["doc"].endswith(".")
