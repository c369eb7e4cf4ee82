"""Bad certificates on both sides of a real connection: none is accepted, each is told apart in words."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import ConfigError
from gateway.security.certs.tls import TlsRules
from gateway.sinks.mqtt import SINK, MqttSink
from gateway.sinks.mqtt_settings import MqttSettings
from kita.receive import Receiver
from kita.settings import KitaSettings
from tests.parts.broker import HOST
from tests.parts.messages import BASE, message
from tests.parts.mqtt import Loop
from tests.parts.pki import DAY, Pair, Pki
from tests.parts.tls_broker import TlsBroker, tls_broker
from tests.parts.tls_server import tls_server
from tests.parts.wait import wait_until

pytestmark = pytest.mark.e2e
QUICK: dict[str, Any] = {"host": HOST, "reconnect_s": 0.05, "reconnect_max_s": 0.2}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("foreign"), "Nobody's CA")


@pytest.fixture(scope="module")
def revoked(pki: Pki) -> dict[str, Pair]:
    """Revoked before the broker starts: one of each kind."""
    pairs = {
        "gateway": pki.issue("gw-revoked", "gw-1"),
        "kita": pki.issue("kita-revoked", "kita"),
        "server": pki.issue("srv-revoked", "broker", (HOST,), "server"),
    }
    pki.revoke(*(pair.serial for pair in pairs.values()))
    return pairs


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, pki: Pki, revoked: dict[str, Pair]) -> Iterator[TlsBroker]:
    with tls_broker(tmp_path_factory.mktemp("broker"), pki, "auh/ita/gw-1", "auh/ita/gw-2") as made:
        yield made


def sink_of(port: int, ca: Path, pair: Pair | None, rules: TlsRules | None = None, **more: Any) -> MqttSink:
    given = QUICK | {"port": port, "ca": str(ca)} | (pair.keys if pair else {}) | more
    sink = SINK.create(MqttSettings(**given), BASE, rules or TlsRules())
    assert isinstance(sink, MqttSink)
    return sink


# ---- certificates of a client, judged by the broker

Bad = Callable[[Pki, Pki, str], Pair | None]
CLIENT: dict[str, tuple[Bad, str]] = {
    "expired": (lambda p, _, cn: p.issue("b1", cn, begins=-9 * DAY, ends=-DAY), "it has expired"),
    "not-yet-valid": (lambda p, _, cn: p.issue("b2", cn, begins=DAY), "not valid"),
    "foreign-ca": (lambda _, f, cn: f.issue("b3", cn), "does not know the CA"),
    "self-signed": (lambda p, _, cn: p.issue("b4", cn, self_signed=True), "does not know the CA"),
    "weak-key": (lambda p, _, cn: p.issue("b5", cn, key="rsa1024"), "weak"),
    "weak-signature": (lambda p, _, cn: p.issue("b6", cn, sha1=True), "weak"),
    "server-usage": (lambda p, _, cn: p.issue("b7", cn, purpose="server"), "wrong kind or use"),
    "none": (lambda *_: None, "wants a certificate, and none is configured"),
}
OWN = {  # what the box finds of its own certificate, where the alert of the broker is not clear
    "not-yet-valid": "is not yet valid: it begins at",
    "self-signed": "it is self-signed",
    "weak-key": "the key is too weak",
    "weak-signature": "signed with a hash that is too weak",
}


@pytest.mark.parametrize("kind", CLIENT)
def test_the_broker_takes_no_bad_certificate_of_a_gateway_and_the_state_says_why(
    kind: str, pki: Pki, foreign: Pki, broker: TlsBroker, caplog: pytest.LogCaptureFixture
) -> None:
    make, said = CLIENT[kind]
    sink = sink_of(broker.port, pki.ca, make(pki, foreign, "gw-1"))
    sink.start()
    try:
        wait_until(lambda: said in sink.state(), lambda: f"{sink.state()}\n{broker.log()[-1500:]}")
        assert OWN.get(kind, "") in sink.state()
        assert sink.room() == 0
        wait_until(lambda: said in caplog.text, lambda: f"not said in the log: {caplog.text}")
    finally:
        sink.stop()


def test_the_broker_takes_no_revoked_certificate_and_the_state_says_why(
    pki: Pki, broker: TlsBroker, revoked: dict[str, Pair]
) -> None:
    sink = sink_of(broker.port, pki.ca, revoked["gateway"])
    sink.start()
    try:
        wait_until(lambda: "the broker refuses this certificate: it is revoked" in sink.state(), sink.state)
        assert sink.room() == 0
    finally:
        sink.stop()


@pytest.mark.parametrize("kind", ["weak-key", "weak-signature", "good"])
def test_the_broker_itself_takes_no_weak_certificate(kind: str, pki: Pki, broker: TlsBroker) -> None:
    """Of a client that would send it: a gateway refuses to."""
    pair = pki.issue("b0", "gw-1") if kind == "good" else CLIENT[kind][0](pki, pki, "gw-1")
    assert pair is not None
    context = ssl.create_default_context(cafile=pki.ca)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(pair.cert, pair.key)
    with context.wrap_socket(socket.create_connection((HOST, broker.port)), server_hostname=HOST) as client:
        client.settimeout(5)
        connect = bytes.fromhex("101100044d5154540502000a000004") + b"gw-1"  # MQTT 5, clean start, client id gw-1
        if kind == "good":
            client.sendall(connect)
            assert client.recv(1) == b" "  # CONNACK: 0x20
            return
        with pytest.raises(OSError, match="ALERT"):
            client.recv(1)


@pytest.mark.parametrize("kind", CLIENT)
def test_the_broker_takes_no_bad_certificate_of_kita(kind: str, pki: Pki, foreign: Pki, broker: TlsBroker) -> None:
    make, said = CLIENT[kind]
    if kind.startswith("weak"):
        said = "weak"  # refused on this side already
    kita_is(pki, broker, make(pki, foreign, "kita"), said)


def test_the_broker_takes_no_revoked_certificate_of_kita(pki: Pki, broker: TlsBroker, revoked: dict[str, Pair]) -> None:
    kita_is(pki, broker, revoked["kita"], "it is revoked")


def kita_is(pki: Pki, broker: TlsBroker, pair: Pair | None, said: str) -> None:
    given = {"host": HOST, "port": broker.port, "database": "unused", "ca": str(pki.ca)} | (pair.keys if pair else {})
    receiver = Receiver(KitaSettings(**given))
    if "weak" in said:  # refused before anything is connected
        with pytest.raises(ConfigError, match="too weak"):
            receiver.start()
        return
    receiver.start()
    try:
        wait_until(lambda: said in receiver.state, lambda: f"{receiver.state}\n{broker.log()[-1500:]}")
        assert receiver.counters.connects == 0
    finally:
        receiver.stop()


# ---- the name in a certificate is what a gateway may do


def test_a_certificate_of_another_gateway_delivers_nothing_and_the_state_says_so(pki: Pki, broker: TlsBroker) -> None:
    """The broker's access list knows the name gw-2; it may not write what belongs to gw-1."""
    sink = sink_of(broker.port, pki.ca, pki.issue("other", "gw-2"))
    sink.start()
    try:
        wait_until(lambda: "the certificate names gw-2, and not gw-1" in sink.state(), sink.state)
        loop = Loop(sink, [message(1)])
        wait_until(lambda: loop.step() or sink.counters.puback_refused, sink.state)
        assert sink.counters.puback == 0
        assert "Not authorized" in sink.state()
    finally:
        sink.stop()


# ---- certificates of a broker, judged by the gateway and by KITA

SERVER: dict[str, tuple[Callable[[Pki, Pki], Pair], str]] = {
    "expired": (lambda p, _: p.issue("s1", "b", (HOST,), "server", -9 * DAY, -DAY), "certificate has expired"),
    "not-yet-valid": (lambda p, _: p.issue("s2", "b", (HOST,), "server", DAY), "is not yet valid"),
    "foreign-ca": (lambda _, f: f.issue("s3", "b", (HOST,), "server"), "comes from a foreign CA"),
    "wrong-name": (lambda p, _: p.issue("s4", "b", ("other.example",), "server"), "has another name"),
    "name-in-cn-only": (lambda p, _: p.issue("s5", HOST, (), "server"), "has another name"),
    "self-signed": (lambda p, _: p.issue("s6", "b", (HOST,), "server", self_signed=True), "is self-signed"),
    "weak-key": (lambda p, _: p.issue("s7", "b", (HOST,), "server", key="rsa1024"), "key that is too weak"),
    "weak-signature": (lambda p, _: p.issue("s8", "b", (HOST,), "server", sha1=True), "hash that is too weak"),
    "client-usage": (lambda p, _: p.issue("s9", "b", (HOST,), "client"), "not for use as a server"),
}


@pytest.mark.parametrize("kind", SERVER)
def test_no_bad_certificate_of_a_broker_is_taken(kind: str, pki: Pki, foreign: Pki) -> None:
    make, said = SERVER[kind]
    server_is_refused(pki, make(pki, foreign), said)


def test_a_revoked_certificate_of_a_broker_is_not_taken(pki: Pki, revoked: dict[str, Pair]) -> None:
    server_is_refused(pki, revoked["server"], "certificate is revoked", crl=str(pki.crl))


def test_without_a_revocation_list_in_date_no_broker_is_taken(tmp_path: Path) -> None:
    own = Pki(tmp_path / "pki")
    good = own.issue("srv", "b", (HOST,), "server")
    own.publish(ends=timedelta(days=-1))
    server_is_refused(own, good, "is out of date", crl=str(own.crl))
    server_is_refused(own, good, "is missing in the crl file", crl=str(Pki(tmp_path / "other", "Other").crl))


def server_is_refused(pki: Pki, pair: Pair, said: str, **more: str) -> None:
    """Neither the gateway nor KITA speaks a word of MQTT to it."""
    with tls_server(pair) as server:
        sink = sink_of(server.port, pki.ca, None, **more)
        sink.start()
        try:
            wait_until(lambda: said in sink.state(), sink.state)
        finally:
            sink.stop()
        receiver = Receiver(KitaSettings(host=HOST, port=server.port, database="-", ca=str(pki.ca), **more))
        receiver.start()
        try:
            wait_until(lambda: said in receiver.state, lambda: receiver.state)
        finally:
            receiver.stop()
        assert server.heard == []


def test_the_name_of_the_conduit_is_what_counts(pki: Pki) -> None:
    """The host is an address; the reviewer has said which name the certificate must have."""
    pair = pki.issue("named", "b", ("mqtt.kita.example",), "server")
    with tls_server(pair) as server:
        for name, good in (("mqtt.kita.example", True), ("other.example", False), ("", False)):
            sink = sink_of(server.port, pki.ca, None, TlsRules(name=name))
            begun = len(server.heard)
            sink.start()
            try:
                if good:
                    wait_until(lambda begun=begun: len(server.heard) > begun, sink.state)
                else:
                    wait_until(lambda sink=sink: "has another name" in sink.state(), sink.state)
                    assert len(server.heard) == begun
            finally:
                sink.stop()


# ---- versions and ciphers

VERSIONS = {  # what the server speaks -> lowest version that is allowed here -> is it spoken
    ("TLSv1_3", ""): {"1.3": True, "1.2": True},
    ("TLSv1_2", "ECDHE-ECDSA-AES256-GCM-SHA384"): {"1.3": False, "1.2": True},
    ("TLSv1_2", "ECDHE-ECDSA-CHACHA20-POLY1305"): {"1.3": False, "1.2": True},
    ("TLSv1_2", "ECDHE-ECDSA-AES256-SHA384"): {"1.3": False, "1.2": False},  # CBC: no AEAD
    ("TLSv1_2", "ECDHE-ECDSA-AES128-SHA"): {"1.3": False, "1.2": False},
    ("TLSv1_2", "ECDHE-ECDSA-AES128-CCM"): {"1.3": False, "1.2": False},
    ("TLSv1_1", "ALL"): {"1.3": False, "1.2": False},
    ("TLSv1", "ALL"): {"1.3": False, "1.2": False},
}
RSA_VERSIONS = {  # key transport and finite fields need an RSA certificate
    ("TLSv1_2", "ECDHE-RSA-AES128-GCM-SHA256"): {"1.3": False, "1.2": True},
    ("TLSv1_2", "AES256-GCM-SHA384"): {"1.3": False, "1.2": False},  # no forward secrecy
    ("TLSv1_2", "DHE-RSA-AES256-GCM-SHA384"): {"1.3": False, "1.2": False},  # no elliptic curve
}


@pytest.mark.parametrize("minimum", ["1.3", "1.2"])
@pytest.mark.parametrize(("spoken", "key"), [(v, "ec") for v in VERSIONS] + [(v, "rsa2048") for v in RSA_VERSIONS])
def test_versions_and_ciphers(spoken: tuple[str, str], key: str, minimum: str, pki: Pki) -> None:
    version, ciphers = spoken
    pair = pki.issue(f"v-{key}", "b", (HOST,), "server", key=key)
    with tls_server(pair, version, ciphers) as server:
        sink = sink_of(server.port, pki.ca, None, TlsRules(minimum))
        sink.start()
        try:
            if (VERSIONS | RSA_VERSIONS)[spoken][minimum]:
                wait_until(lambda: server.heard, lambda: f"{sink.state()} {server.faults}")
            else:
                wait_until(lambda: server.faults and "waiting" in sink.state(), sink.state)
                assert server.heard == []
        finally:
            sink.stop()


def test_this_matrix_would_notice() -> None:
    """A good pair is taken: the matrix refuses what is bad, and not everything."""
    assert sum(good for row in (VERSIONS | RSA_VERSIONS).values() for good in row.values()) == 5
