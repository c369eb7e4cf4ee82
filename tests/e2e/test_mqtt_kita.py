"""MQTT sink and KITA through a real broker: delivered means committed, whatever breaks on the way."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from paho.mqtt.packettypes import PacketTypes

from gateway.core.ack import parse_ack
from gateway.core.message import Message, Verdict
from gateway.demo_broker import DemoBroker, start_broker
from gateway.sinks.mqtt_connection import properties
from kita.query import count, latest
from kita.receive import Receiver
from kita.settings import KitaSettings
from tests.parts.broker import HOST, Mosquitto, mosquitto
from tests.parts.messages import ACK_TOPIC, BASE, STATUS_TOPIC, TOPIC, changed, message, payload
from tests.parts.mqtt import Loop, Raw, accepted, gateway, kita
from tests.parts.wait import wait_until

pytestmark = pytest.mark.e2e


def stored_ids(database: Path) -> list[str]:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as db:
        return [row[0] for row in db.execute("SELECT control_id FROM message ORDER BY id")]


# ---- the way there and back


def test_accepted_means_committed(broker: Mosquitto, database: Path) -> None:
    messages = [message(n) for n in range(1, 61)]
    with kita(broker.port, database) as receiver, gateway(broker.port) as sink:
        loop = Loop(sink, messages)
        loop.run()
        held = count(database)  # what is on the disk in the moment of the last answer
        assert held["messages"] == 60
        assert held["observations"] == 180
        assert sorted(o.control_id for o in loop.outcomes if o.verdict is Verdict.ACCEPT) == sorted(
            m.control_id for m in messages
        )
        assert {(event.what, event.code) for event in receiver.heard(60)} == {("stored", "CA")}
        assert sink.state() == f"connected to {HOST}:{broker.port}"
    newest = latest(database)
    assert [row.value for row in newest] == [97.0, 72.0, 36.8]


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_mqtt_311_works_too(kind: str, database: Path) -> None:
    demo: DemoBroker = start_broker(prefer=kind)
    try:
        assert demo.protocol == ("mqtt5" if kind == "mosquitto" else "mqtt311")
        messages = [message(n) for n in range(1, 31)]
        with (
            kita(demo.port, database, protocol="mqtt311"),
            gateway(demo.port, protocol="mqtt311") as sink,
        ):
            loop = Loop(sink, [])
            wait_until(sink.room)
            # A broker of 3.1.1 does not say that nobody listens yet: the sink's owner sends again after its own time.
            loop.waiting = messages[:1]
            wait_until(lambda: loop.step() or sink.send(messages[0]), "the first answer")
            loop.waiting = messages[1:]
            final = loop.run()
        assert {o.verdict for o in final} == {Verdict.ACCEPT}
        assert sorted(stored_ids(database)) == sorted(m.control_id for m in messages)
    finally:
        demo.stop()


# ---- what breaks


@pytest.mark.parametrize("config", ["persistence false", "persistence true"])
def test_a_broker_killed_with_messages_in_flight_loses_none(tmp_path: Path, database: Path, config: str) -> None:
    messages = [message(n) for n in range(1, 101)]
    with (
        mosquitto(tmp_path / "broker", config, "persistence_location ./") as broker,
        kita(broker.port, database) as receiver,
        gateway(broker.port) as sink,
    ):
        loop = Loop(sink, messages)
        wait_until(lambda: loop.step() or len(loop.outcomes) > 20)
        broker.kill()
        wait_until(lambda: loop.step() or sink.room() == 0)
        assert loop.open
        broker.start()
        final = loop.run()
        assert sink.session() >= 2
        assert set(receiver.what()) <= {"stored", "repeated"}
    assert {o.verdict for o in final} == {Verdict.ACCEPT}
    assert sorted(stored_ids(database)) == sorted(m.control_id for m in messages)


def test_what_comes_while_kita_is_away_waits_in_its_session(broker: Mosquitto, database: Path) -> None:
    with gateway(broker.port) as sink:
        with kita(broker.port, database):
            assert len(Loop(sink, [message(1)]).run()) == 1
        loop = Loop(sink, [message(2), message(3)])
        wait_until(lambda: loop.step() or sink.counters.puback == 3)
        assert loop.outcomes == []  # the broker has them; that is not delivered
        with kita(broker.port, database):
            assert len(loop.run()) == 2
    assert stored_ids(database) == ["gw-1.1.1", "gw-1.1.2", "gw-1.1.3"]


def test_answers_wait_for_a_gateway_that_is_away(broker: Mosquitto, database: Path) -> None:
    with kita(broker.port, database) as receiver:
        with gateway(broker.port) as sink:
            wait_until(sink.room)
            assert sink.session() == 1
        Raw(broker.port).publish(TOPIC, payload("gw-1.1.1"))
        wait_until(lambda: receiver.what() == ["stored"])
        with gateway(broker.port) as sink:
            wait_until(lambda: sink.outcomes() == [] and sink.counters.acks_foreign == 1)  # never sent by this one


def test_what_kita_takes_down_with_it_comes_again(broker: Mosquitto, database: Path, raw: Raw) -> None:
    settings = KitaSettings(host=HOST, port=broker.port, database=str(database))
    first = Receiver(settings)
    first.start()
    wait_until(lambda: first.state.startswith("connected"))
    raw.publish(TOPIC, payload())
    assert len(first.take(10, 5)) == 1  # taken, not answered
    first.stop()
    with kita(broker.port, database) as receiver:
        wait_until(lambda: receiver.what() == ["stored"])


def test_nobody_listens_is_said_and_the_message_waits(broker: Mosquitto, database: Path) -> None:
    with gateway(broker.port) as sink:
        loop = Loop(sink, [message(1)])
        wait_until(lambda: loop.step() or loop.outcomes)
        assert loop.outcomes[0].verdict is Verdict.KEEP
        assert "nobody listens" in sink.state()
        with kita(broker.port, database):
            assert loop.run() == accepted([message(1)])
        assert sink.counters.no_subscribers >= 1
        assert sink.state() == f"connected to {HOST}:{broker.port}"


def test_a_forbidden_topic_is_not_delivered_whatever_the_broker_does_with_it(tmp_path: Path, database: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    (folder / "acl").write_text("topic read mdi/#\ntopic write mdi/v1/auh/ita/gw-1/status\n")
    with mosquitto(folder, "acl_file ./acl") as broker, kita(broker.port, database), gateway(broker.port) as sink:
        loop = Loop(sink, [message(1)])
        wait_until(lambda: loop.step() or sink.counters.puback_refused)
        wait_until(lambda: loop.step() or loop.outcomes)
        assert loop.outcomes[0].verdict is Verdict.KEEP
        assert "Not authorized" in sink.state()
    assert count(database)["messages"] == 0


def test_what_the_broker_allows_is_obeyed(tmp_path: Path, database: Path) -> None:
    limits = ("max_inflight_messages 2", "max_packet_size 3000")
    with mosquitto(tmp_path / "broker", *limits) as broker, kita(broker.port, database), gateway(broker.port) as sink:
        wait_until(lambda: sink.room() == 2)
        assert len(Loop(sink, [message(n) for n in range(1, 11)]).run()) == 10
        large = Message(11, "gw-1.1.11", TOPIC, payload("gw-1.1.11") + b"Z" * 3000)
        loop = Loop(sink, [large])
        wait_until(lambda: loop.step() or loop.outcomes)
        assert loop.outcomes[0].verdict is Verdict.KEEP
        assert "3000 bytes" in sink.state()
        assert sink.session() == 1  # it was not sent, so nobody has cut the connection


def test_a_locked_database_gets_no_acknowledgement_and_later_everything(broker: Mosquitto, database: Path) -> None:
    with kita(broker.port, database) as receiver, gateway(broker.port) as sink:
        Loop(sink, [message(1)]).run()
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            loop = Loop(sink, [message(2), message(3)])
            wait_until(lambda: loop.step() or len(loop.outcomes) >= 4)
            assert {o.verdict for o in loop.outcomes} == {Verdict.KEEP}
            assert count(database)["messages"] == 1
            other.execute("ROLLBACK")
        assert {o.verdict for o in loop.run()} == {Verdict.ACCEPT}
        wait_until(lambda: receiver.what().count("stored") == 3)
    assert sorted(stored_ids(database)) == ["gw-1.1.1", "gw-1.1.2", "gw-1.1.3"]


def test_a_sender_in_original_mode_gets_no_answer_while_nothing_can_be_stored(
    broker: Mosquitto, database: Path, raw: Raw
) -> None:
    original = payload("gw-1.1.2", acks=("", ""))
    with kita(broker.port, database) as receiver:
        wait_until(lambda: raw.publish(TOPIC, payload("gw-1.1.1", acks=("NE", "NE"))) or receiver.what())
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            raw.publish(TOPIC, original)
            wait_until(lambda: receiver.what()[-1] == "not stored")
            other.execute("ROLLBACK")
        assert raw.heard.empty()
        raw.publish(TOPIC, original)
        assert parse_ack(raw.heard.get(timeout=5).payload).code == "AA"


# ---- what is answered


def test_a_malformed_message_is_refused_with_segment_and_field(broker: Mosquitto, database: Path) -> None:
    bad = Message(1, "gw-1.1.1", TOPIC, changed(payload(), "|97|", "|97,5|"))
    with kita(broker.port, database) as receiver, gateway(broker.port) as sink:
        loop = Loop(sink, [bad, message(2)])
        outcomes = {o.control_id: o for o in loop.run()}
        assert outcomes["gw-1.1.1"].verdict is Verdict.REJECT
        assert outcomes["gw-1.1.1"].reason.startswith("AE: OBX 7 5 102")
        assert outcomes["gw-1.1.2"].verdict is Verdict.ACCEPT  # one bad message does not hold up the line
        refused = next(event for event in receiver.heard(2) if event.what == "refused")
        assert (refused.code, refused.reason) == ("AE", "OBX 7 5: Data type error")
    assert count(database)["dead_letters"] == 1
    assert stored_ids(database) == ["gw-1.1.2"]


def test_a_type_that_kita_does_not_take_is_rejected(broker: Mosquitto, database: Path) -> None:
    pump_event = Message(1, "gw-1.1.1", TOPIC, changed(payload(), "ORU^R01^ORU_R01", "ORU^R42^ORU_R42"))
    with kita(broker.port, database), gateway(broker.port) as sink:
        (outcome,) = Loop(sink, [pump_event]).run()
    assert outcome.verdict is Verdict.REJECT
    assert outcome.reason.startswith("CR: MSH 1 9 200")


def test_the_same_bytes_again_get_the_same_answer_and_are_stored_once(broker: Mosquitto, database: Path) -> None:
    with kita(broker.port, database) as receiver, gateway(broker.port) as sink:
        for n in range(1, 4):
            assert Loop(sink, [message(1)]).run() == accepted([message(1)])
            wait_until(lambda n=n: sink.outcomes() == [] and sink.counters.puback == n)  # an answer can overtake it
        said = [("stored", "CA"), ("repeated", "CA"), ("repeated", "CA")]
        assert [(event.what, event.code) for event in receiver.heard(3)] == said
    nothing = {"waves": 0, "alerts": 0, "apart": 0, "dead_letters": 0, "clock_steps": 0}
    assert count(database) == {"messages": 1, "observations": 3, "repeated": 2, **nothing}


def test_an_id_used_for_other_bytes_is_refused(broker: Mosquitto, database: Path) -> None:
    with kita(broker.port, database) as receiver, gateway(broker.port) as sink:
        Loop(sink, [message(1)]).run()
        wait_until(lambda: sink.outcomes() == [] and sink.counters.puback == 1)  # an answer can overtake it
        (outcome,) = Loop(sink, [message(1, (50.0, 30.0, 40.0))]).run()
        assert [(event.what, event.code) for event in receiver.heard(2)] == [("stored", "CA"), ("conflict", "AE")]
    assert outcome.verdict is Verdict.REJECT
    assert outcome.reason.startswith("AE: MSH 1 10 205")
    assert [row.value for row in latest(database)] == [97.0, 72.0, 36.8]
    assert count(database)["dead_letters"] == 1


def test_demo_data_is_accepted_and_kept_apart(broker: Mosquitto, database: Path) -> None:
    demo = Message(1, "gw-1.1.1", TOPIC, payload(processing_id="D"))
    with kita(broker.port, database) as receiver, gateway(broker.port) as sink:
        assert Loop(sink, [demo]).run() == accepted([demo])
        (event,) = receiver.heard(1)
        assert (event.rows, event.apart) == (0, 3)
    assert latest(database) == []
    assert len(latest(database, apart=True)) == 3


def test_a_message_damaged_on_the_way_is_neither_stored_nor_answered(
    broker: Mosquitto, database: Path, raw: Raw
) -> None:
    said = properties(PacketTypes.PUBLISH, UserProperty=[("sha256", hashlib.sha256(b"what was sent").hexdigest())])
    with kita(broker.port, database) as receiver:
        wait_until(database.exists)
        wait_until(lambda: raw.publish(TOPIC, payload(), said) or receiver.what())
        assert set(receiver.what()) == {"damaged"}
    assert raw.heard.empty()
    assert count(database)["messages"] == 0
    assert count(database)["dead_letters"] == 0


def test_an_answer_goes_to_the_gateway_s_own_topics_only(broker: Mosquitto, database: Path) -> None:
    own, other = f"{BASE}/down/other", "mdi/v1/auh/ita/gw-2/down/ack"
    listener = Raw(broker.port, "mdi/v1/+/+/+/down/#")
    with kita(broker.port, database) as receiver:
        wait_until(lambda: listener.publish(TOPIC, payload("gw-1.1.0")) or receiver.what())
        for n, (wish, expected) in enumerate([(own, own), (other, ACK_TOPIC), (STATUS_TOPIC, ACK_TOPIC)], 1):
            asked = properties(PacketTypes.PUBLISH, ResponseTopic=wish, CorrelationData=b"\x00mine")
            listener.publish(TOPIC, payload(f"gw-1.1.{n}"), asked)
            answer = listener.heard.get(timeout=5)
            while parse_ack(answer.payload).control_id != f"gw-1.1.{n}":
                answer = listener.heard.get(timeout=5)
            assert (answer.topic, answer.properties.CorrelationData) == (expected, b"\x00mine")
    listener.close()
