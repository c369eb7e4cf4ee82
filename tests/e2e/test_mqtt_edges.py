"""The edges of the MQTT way: what must not be believed, what the status says, names, TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from paho.mqtt.packettypes import PacketTypes

from gateway.core.message import Outcome, Verdict
from gateway.sinks.mqtt_connection import MAX_ACK_BYTES, properties
from tests.parts.broker import Mosquitto, mosquitto
from tests.parts.messages import ACK_TOPIC, STATUS_TOPIC, TOPIC, message
from tests.parts.mqtt import Loop, Raw, accepted, gateway, kita
from tests.parts.sink_rig import ack_bytes
from tests.parts.wait import wait_until

pytestmark = pytest.mark.e2e

# ---- what is not believed


def test_no_rubbish_on_the_ack_topic_is_taken_for_an_answer(broker: Mosquitto, database: Path, raw: Raw) -> None:
    with gateway(broker.port) as sink:
        wait_until(sink.room)
        raw.publish(ACK_TOPIC, ack_bytes("CA", "gw-1.1.1"))  # before the message
        wait_until(lambda: sink.outcomes() or sink.counters.acks_foreign == 1)
        sink.send(message(1))
        raw.publish(ACK_TOPIC, ack_bytes("CA", "gw-1.1.77"))
        raw.publish(
            ACK_TOPIC, ack_bytes("CA", "gw-1.1.1"), properties(PacketTypes.PUBLISH, CorrelationData=b"gw-1.1.2")
        )
        raw.publish(ACK_TOPIC, ack_bytes("CA", "gw-1.1.1") + b"ERR|" + b"x" * MAX_ACK_BYTES)
        for n in range(1500):
            raw.client.publish(ACK_TOPIC, ack_bytes("CA", f"gw-1.9.{n}"))
        outcomes: list[Outcome] = []

        def end_heard() -> bool:
            raw.publish(ACK_TOPIC, b"\xff\x00 rubbish")
            outcomes.extend(sink.outcomes())
            return sink.counters.acks_malformed > 0

        wait_until(end_heard)
        assert {o.verdict for o in outcomes} <= {Verdict.KEEP}  # nobody listened
        assert (sink.counters.acks_mismatch, sink.counters.acks_accept) == (1, 0)
        assert sink.counters.acks_foreign > 2
        with kita(broker.port, database):
            assert Loop(sink, [message(1)]).run() == accepted([message(1)])


# ---- status, names, TLS


def status(watcher: Raw) -> bytes:
    """Return the next status; whoever comes later must see it too."""
    heard = watcher.heard.get(timeout=5)
    assert heard.retain
    return bytes(heard.payload)


def test_the_status_topic_says_online_and_offline(broker: Mosquitto) -> None:
    with gateway(broker.port) as sink:
        wait_until(sink.room)
        watcher = Raw(broker.port, STATUS_TOPIC)
        assert status(watcher) == b"online"
    assert status(watcher) == b"offline"
    watcher.close()


def test_a_gateway_that_falls_silent_is_offline_by_its_will(broker: Mosquitto) -> None:
    watcher = Raw(broker.port, STATUS_TOPIC)
    with gateway(broker.port, will_delay_s=0) as sink:
        wait_until(sink.room)
        assert status(watcher) == b"online"
        Raw(broker.port, client_id="gw-1").close()  # takes the connection over, without a word from the sink
        assert status(watcher) == b"offline"
        assert status(watcher) == b"online"  # and it came back
        wait_until(lambda: sink.session() == 2)
    watcher.close()


def test_no_patient_and_no_value_in_topics_and_properties(broker: Mosquitto) -> None:
    listener = Raw(broker.port, "#")
    with gateway(broker.port) as sink:
        Loop(sink, [message(1)]).step()
        wait_until(sink.room)
        sink.send(message(1))
        heard = [listener.heard.get(timeout=5) for _ in range(2)]
    assert [m.topic for m in heard] == [STATUS_TOPIC, TOPIC]
    assert {name for name, _ in heard[1].properties.UserProperty} == {"hl7-type", "schema", "seq", "sent", "sha256"}
    assert not heard[1].retain
    listener.close()


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def certificates(folder: Path) -> None:
    """Make a CA, a broker certificate for 127.0.0.1, a gateway certificate, and a CA of somebody else."""
    short = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for ca in ("ca", "other"):
        openssl(folder, "req", "-x509", *short, "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-subj", f"/CN={ca}")
    for name in ("broker", "gw-1"):
        openssl(folder, "req", *short, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "san")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")


def test_tls_both_ways(tmp_path: Path, database: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    certificates(folder)
    files = ("cafile ca.pem", "certfile broker.pem", "keyfile broker.key", "require_certificate true")
    own = {"cert": str(folder / "gw-1.pem"), "key": str(folder / "gw-1.key")}
    trusted = {"ca": str(folder / "ca.pem"), **own}
    with mosquitto(folder, *files) as broker, kita(broker.port, database, **trusted):
        with gateway(broker.port, **trusted) as sink:
            assert Loop(sink, [message(1)]).run() == accepted([message(1)])
        with gateway(broker.port, ca=str(folder / "other.pem"), **own) as sink:
            wait_until(lambda: "certificate" in sink.state().lower())
            assert sink.session() == 0
        with gateway(broker.port) as sink:  # no TLS at all
            wait_until(lambda: sink.state().startswith("waiting"))
            assert sink.session() == 0
