"""The broker as `mdi broker config` sets it up: who may do what, new CAs, revocation of a gateway that is connected.

Times are measured and told, with generous bounds only: docs/security.md has the figures of one machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway.core.message import Message
from gateway.security.certs.tls import TlsFiles, TlsRules, client_context
from gateway.sinks.mqtt import SINK, MqttSink
from gateway.sinks.mqtt_settings import MqttSettings
from tests.parts.broker import HOST
from tests.parts.messages import message
from tests.parts.mqtt import Loop, kita
from tests.parts.pki import Pair, Pki
from tests.parts.tls_broker import TlsBroker, tls_broker
from tests.parts.wait import wait_until

pytestmark = pytest.mark.e2e
ONE, TWO = "auh/ita/gw-1", "auh/ita/gw-2"
NOT_AUTHORIZED = 0x87  # MQTT 5.0, 2.4


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "pki")


@pytest.fixture
def broker(tmp_path: Path, pki: Pki) -> Iterator[TlsBroker]:
    with tls_broker(tmp_path / "broker", pki, ONE, TWO) as made:
        yield made


class Talker:
    """A client with a certificate that may try what it likes. codes: of its last PUBACK or SUBACK."""

    def __init__(self, broker: TlsBroker, ca: Path, pair: Pair, client_id: str = "") -> None:
        self.codes: list[int] = []
        self.heard: list[str] = []
        self.up = False
        self.client = Client(
            CallbackAPIVersion.VERSION2, client_id=client_id or pair.cert.stem, protocol=MQTTProtocolVersion.MQTTv5
        )
        self.client.tls_set_context(client_context(TlsFiles(str(ca), **pair.keys), TlsRules()))
        self.client.on_connect = lambda *_: setattr(self, "up", True)
        self.client.on_disconnect = lambda *_: setattr(self, "up", False)
        self.client.on_publish = lambda _c, _u, _m, reason, _p: self.codes.append(reason.value)
        self.client.on_subscribe = lambda _c, _u, _m, reasons, _p: self.codes.extend(r.value for r in reasons)
        self.client.on_message = lambda _c, _u, heard: self.heard.append(heard.topic)
        self.client.connect(HOST, broker.port, keepalive=60)
        self.client.loop_start()
        wait_until(lambda: self.up, "not connected")

    def says(self, topic: str, retain: bool = False) -> int:
        return self._code(lambda: self.client.publish(topic, b"x", qos=1, retain=retain))

    def asks(self, topic: str) -> int:
        return self._code(lambda: self.client.subscribe(topic, qos=1))

    def _code(self, what: Any) -> int:
        before = len(self.codes)
        what()
        wait_until(lambda: len(self.codes) > before, "no answer")
        return self.codes[-1]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def talking(broker: TlsBroker, pki: Pki, *names: str) -> Iterator[list[Talker]]:
    with ExitStack() as all_of_them:
        found = []
        for name in names:
            found.append(Talker(broker, pki.ca, pki.issue(name, name)))
            all_of_them.callback(found[-1].close)
        yield found


def sink_of(broker: TlsBroker, ca: Path, pair: Pair, name: str) -> MqttSink:
    quick: dict[str, Any] = {"host": HOST, "port": broker.port, "reconnect_s": 0.05, "reconnect_max_s": 0.2}
    sink = SINK.create(MqttSettings(**quick, ca=str(ca), **pair.keys), f"mdi/v1/auh/ita/{name}", TlsRules())
    assert isinstance(sink, MqttSink)
    return sink


def to(number: int, name: str) -> Message:
    made = message(number)
    return Message(made.seq, made.control_id, made.topic.replace("gw-1", name), made.payload)


# ---- who may do what


def test_a_gateway_may_do_what_is_its_own_and_nothing_else_and_is_told(broker: TlsBroker, pki: Pki) -> None:
    own, other = "mdi/v1/auh/ita/gw-1", "mdi/v1/auh/ita/gw-2"
    with talking(broker, pki, "gw-1") as (gateway,):
        for end in ("up/oru-r01", "up/wave", "up/oru-r40", "status", "hb", "status/audit/forward"):
            assert gateway.says(f"{own}/{end}") < 0x80, end
            assert gateway.says(f"{other}/{end}") == NOT_AUTHORIZED, end
        for topic in (f"{own}/down/ack", f"{own}/up/other", "mdi/v1/auh/ita/up", "$SYS/x", f"{own}/up/oru-r01/x"):
            assert gateway.says(topic) == NOT_AUTHORIZED, topic


def test_a_gateway_hears_nothing_of_another(broker: TlsBroker, pki: Pki) -> None:
    """mosquitto 2.0 grants the subscription, and delivers nothing: its access list is asked for each message."""
    with talking(broker, pki, "gw-1", "gw-2", "kita") as (one, two, kita_):
        for wish in ("mdi/v1/auh/ita/gw-2/down/ack", "mdi/v1/#", "#", "$SYS/#", "mdi/v1/+/+/+/up/+"):
            one.asks(wish)
        two.asks("mdi/v1/auh/ita/gw-2/down/ack")
        assert kita_.says("mdi/v1/auh/ita/gw-2/down/ack") == 0
        assert two.says("mdi/v1/auh/ita/gw-2/up/oru-r01") < 0x80
        assert kita_.says("mdi/v1/auh/ita/gw-1/down/ack") == 0  # the last: what came before it would be here
        wait_until(lambda: one.heard and two.heard, lambda: f"{one.heard} {two.heard}")
        assert set(one.heard) == {"mdi/v1/auh/ita/gw-1/down/ack"}
        assert two.heard == ["mdi/v1/auh/ita/gw-2/down/ack"]


def test_kita_reads_messages_and_writes_answers_and_nothing_else(broker: TlsBroker, pki: Pki) -> None:
    with talking(broker, pki, "kita", "gw-1", "siem") as (kita_, one, siem):
        kita_.asks("#")
        siem.asks("#")
        assert one.says("mdi/v1/auh/ita/gw-1/status", retain=True) < 0x80
        assert one.says("mdi/v1/auh/ita/gw-1/up/oru-r01") == 0
        wait_until(lambda: kita_.heard and siem.heard, lambda: f"{kita_.heard} {siem.heard}")
        assert kita_.heard == ["mdi/v1/auh/ita/gw-1/up/oru-r01"]
        assert siem.heard == ["mdi/v1/auh/ita/gw-1/status"]
        for topic in ("mdi/v1/auh/ita/gw-1/up/oru-r01", "mdi/v1/auh/ita/gw-1/status", "mdi/v1/auh/m1/gw-9/down/ack"):
            assert kita_.says(topic) == NOT_AUTHORIZED, topic
        assert siem.says("mdi/v1/auh/ita/gw-1/down/ack") == NOT_AUTHORIZED


def test_a_name_that_nobody_knows_may_nothing(broker: TlsBroker, pki: Pki) -> None:
    with talking(broker, pki, "gw-9") as (unknown,):
        for topic in ("mdi/v1/auh/ita/gw-9/up/oru-r01", "mdi/v1/auh/ita/gw-1/hb", "x"):
            assert unknown.says(topic) == NOT_AUTHORIZED


def test_the_whole_way_with_certificates_on_both_sides(broker: TlsBroker, pki: Pki, tmp_path: Path) -> None:
    messages = [message(n) for n in range(1, 61)]
    sink = sink_of(broker, pki.ca, pki.issue("gw-1", "gw-1"), "gw-1")
    mine = pki.issue("kita", "kita")
    with kita(broker.port, tmp_path / "kita.db", ca=str(pki.ca), **mine.keys):
        sink.start()
        try:
            Loop(sink, messages).run()
            assert sink.counters.acks_accept == 60
            assert sink.protection()["version"] == "TLSv1.3"
            assert sink.protection()["broker"]["days_left"] > 80
        finally:
            sink.stop()


# ---- a new CA


def test_a_new_ca_is_taken_by_a_sighup_when_each_ca_has_its_list(broker: TlsBroker, pki: Pki, tmp_path: Path) -> None:
    """Without a list for each, certificates that are good are refused (mosquitto 2.0.11, measured)."""
    new = Pki(tmp_path / "new", "Region CA 2")
    pair = new.issue("gw-1", "gw-1")
    with talking(broker, pki, "gw-2") as (old,):
        assert refused(broker, pki, pair)  # nobody knows that CA
        broker.trust(pki, new)
        broker.hup()
        Talker(broker, pki.ca, pair).close()
        assert old.says("mdi/v1/auh/ita/gw-2/hb") < 0x80  # a SIGHUP ends no session
        with talking(broker, pki, "gw-2b"):
            pass  # and the old CA still counts
        bundle_of_one_list(broker, pki)
        broker.hup()
        assert refused(broker, pki, pair)
        broker.restart()
        assert refused(broker, pki, pair)
        broker.trust(pki, new)
        broker.hup()
        Talker(broker, pki.ca, pair).close()


def bundle_of_one_list(broker: TlsBroker, pki: Pki) -> None:
    """The mistake of a rollover: two CAs, and the list of one."""
    Path(broker.files.crl).write_bytes(pki.crl.read_bytes())


def refused(broker: TlsBroker, pki: Pki, pair: Pair) -> str:
    """Return what the broker says to a certificate, "" when it takes it."""
    sink = sink_of(broker, pki.ca, pair, "gw-1")
    sink.start()
    try:
        wait_until(lambda: sink.state().startswith(("connected", "waiting")), sink.state)
        return "" if sink.state().startswith("connected") else sink.state()
    finally:
        sink.stop()


# ---- revocation


def test_a_revoked_gateway_that_is_connected_is_put_out(
    broker: TlsBroker, pki: Pki, tmp_path: Path, record_property: Any
) -> None:
    """By the runbook: list and access list, SIGHUP: nothing it says is taken any more; restart: its session is over.

    The other gateway stays, is back after the restart, and loses nothing.
    """
    pairs = {name: pki.issue(name, name) for name in ("gw-1", "gw-2")}
    sinks = {name: sink_of(broker, pki.ca, pair, name) for name, pair in pairs.items()}
    loops = {name: Loop(sink, []) for name, sink in sinks.items()}
    mine = pki.issue("kita", "kita")
    with ExitStack() as running:
        running.enter_context(kita(broker.port, tmp_path / "kita.db", ca=str(pki.ca), **mine.keys))
        for sink in sinks.values():
            sink.start()
            running.callback(sink.stop)
        for name, loop in loops.items():
            loop.waiting = [to(n, name) for n in range(1, 11)]
            loop.run()
        # revoke: the list alone changes nothing for who is connected
        pki.revoke(pairs["gw-1"].serial)
        broker.trust(pki)
        broker.hup()
        loops["gw-1"].waiting = [to(11, "gw-1")]
        loops["gw-1"].run()
        assert sinks["gw-1"].counters.connects == 1, "the list alone has ended the session: the runbook can be shorter"
        # the access list: from now on nothing it says is taken, in the session that it has
        began = time.monotonic()
        broker.allow(TWO)
        broker.hup()
        loops["gw-1"].waiting = [to(12, "gw-1")]
        wait_until(lambda: loops["gw-1"].step() or sinks["gw-1"].counters.puback_refused, sinks["gw-1"].state)
        record_property("powerless_s", round(time.monotonic() - began, 3))
        assert "Not authorized" in sinks["gw-1"].state()
        loops["gw-2"].waiting = [to(n, "gw-2") for n in range(11, 21)]
        loops["gw-2"].run()
        # the restart: its session is over, and it comes in no more
        began = time.monotonic()
        broker.restart()
        wait_until(lambda: "it is revoked" in sinks["gw-1"].state(), sinks["gw-1"].state, 30)
        record_property("session_over_s", round(time.monotonic() - began, 3))
        loops["gw-2"].waiting = [to(n, "gw-2") for n in range(21, 31)]
        wait_until(loops["gw-2"].step, sinks["gw-2"].state, 30)
        record_property("others_back_s", round(time.monotonic() - began, 3))
        assert sinks["gw-2"].counters.acks_accept == 30
        assert sinks["gw-1"].counters.acks_accept == 11
        assert "it is revoked" in sinks["gw-1"].state()
