"""The MQTT sink against a scripted connection: what it lets out, what it believes, what it counts.

A model of it is in tests/model, a real broker in tests/e2e.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from gateway.core.errors import ConfigError
from gateway.core.message import Verdict
from gateway.sinks.mqtt import SINK
from gateway.sinks.mqtt_connection import (
    MAX_ACK_BYTES,
    MAX_EVENTS,
    UNLIMITED,
    Closed,
    Connection,
    Incoming,
    Puback,
    Ready,
)
from gateway.sinks.mqtt_settings import MqttSettings, topics_of
from tests.parts.messages import ACK_TOPIC, BASE, TOPIC
from tests.parts.sink_rig import VERDICTS, WINDOW, Rig, ack_bytes, message

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
    rig.put(Puback(1, 0, "Success"))
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


def test_paho_never_holds_more_than_the_window() -> None:
    rig = Rig()
    rig.connect()
    for n in range(1, 10):  # every answer overtakes its PUBACK
        if rig.sink.room():
            rig.sink.send(message(n))
            rig.ack("CA", f"gw-1.1.{n}")
    assert len(rig.client.published) == WINDOW
    rig.put(Puback(1, 0, "Success"))
    assert rig.sink.room() == 1


def test_a_smaller_receive_maximum_after_a_reconnect_holds_for_resends_too() -> None:
    rig = Rig()
    rig.connect()
    for n in range(1, 4):
        rig.sink.send(message(n))
    rig.put(Closed())
    rig.connect(receive_max=1)
    for n in range(1, 4):
        rig.sink.send(message(n))
    assert len(rig.client.published) == 1
    assert [(o.control_id, o.verdict) for o in rig.sink.outcomes()] == [
        ("gw-1.1.2", Verdict.KEEP),
        ("gw-1.1.3", Verdict.KEEP),
    ]
    rig.put(Puback(1, 0, "Success"))
    rig.sink.send(message(2))
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


@pytest.mark.parametrize("answered_by_broker", [True, False])
def test_what_was_given_up_gives_back_its_place_in_the_window(answered_by_broker: bool) -> None:
    rig = Rig()
    rig.connect()
    for n in range(1, WINDOW + 1):
        rig.sink.send(message(n))
        if answered_by_broker:
            rig.put(Puback(n, 0x10, "No matching subscribers"))
    assert rig.sink.room() == 0
    rig.sink.forget(message(1).control_id)
    if not answered_by_broker:
        rig.put(Puback(1, 0x10, "No matching subscribers"))  # comes late: nobody waits for it
    assert rig.sink.room() == 1
    rig.ack("CA", message(1).control_id)
    assert message(1).control_id not in {outcome.control_id for outcome in rig.sink.outcomes()}
    assert rig.sink.counters.acks_foreign == 1


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
    connection.under_way = frozenset({b"x"})
    for _ in range(MAX_EVENTS + 500):
        connection._on_message(None, None, heard)  # type: ignore[arg-type]
    assert (connection.events.qsize(), connection.acks_dropped) == (MAX_EVENTS, 500)
    connection.events.get()
    heard.payload = b"x" * (MAX_ACK_BYTES + 1)
    connection._on_message(None, None, heard)  # type: ignore[arg-type]
    assert (connection.events.qsize(), connection.acks_dropped) == (MAX_EVENTS - 1, 501)


def test_a_packet_id_that_comes_round_again_is_a_message_and_not_the_status() -> None:
    connection = Connection(MqttSettings(host="broker"), topics_of(BASE))
    connection._granted, connection._status_mid = Ready(Rig().client, True, 20, UNLIMITED), 2  # type: ignore[arg-type]
    for _ in range(2):
        connection._on_publish(None, None, 2, ReasonCode(PacketTypes.PUBACK), None)  # type: ignore[arg-type]
    assert isinstance(connection.events.get(), Ready)
    assert connection.events.get() == Puback(2, 0, "Success")


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


def test_a_certificate_file_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such certificate file"):
        SINK.create(MqttSettings(host="broker", ca=str(tmp_path / "ca.pem")), BASE)


def test_every_setting_says_what_it_is() -> None:
    for field in MqttSettings.__dataclass_fields__.values():
        assert field.metadata["doc"].endswith(".")
