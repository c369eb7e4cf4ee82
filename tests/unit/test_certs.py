"""Certificates judged at any time, and warned of once per threshold: pure, with a clock of the test's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ConfigError
from gateway.security.audit import Event
from gateway.security.certs.broker import BrokerFiles, Member, access_list, configuration, member
from gateway.security.certs.expiry import CertificateWatch, Expiry, warning
from gateway.security.certs.judge import Fault, chain, days_left, judge_client, name, revocation
from gateway.security.certs.keys import KIND, make_key, public_of, request
from gateway.security.certs.state import THRESHOLDS, CertificateState, read_lists, status, warn_of
from gateway.security.certs.tls import TlsFiles, TlsRules, client_context
from gateway.security.certs.x509 import CLIENT, SERVER, Certificate, read_certificates
from gateway.sinks.mqtt_settings import MqttSettings
from tests.parts.pki import DAY, Pair, Pki, bundle

NOW = datetime.now(UTC) + timedelta(hours=1)  # the openssl command makes certificates that begin now


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def read(path: Path) -> list[Certificate]:
    return read_certificates(path.read_bytes(), str(path))


def kinds(pki: Pki, pair: Pair, now: datetime = NOW, gateway: str = "gw-1") -> list[str]:
    return [f.fault.value for f in judge_client(read(pair.cert), read(pki.ca), gateway, now)]


# ---- reading and judging


def test_the_facts_are_those_of_the_certificate(pki: Pki) -> None:
    (cert,) = read(pki.issue("facts", "gw-1", ("gw-1", "10.1.2.3")).cert)
    assert (cert.subject, cert.common_name, cert.issuer) == ("CN=gw-1", "gw-1", "CN=Region CA")
    assert cert.names == ("DNS:gw-1", "IP:10.1.2.3")
    assert (cert.key, cert.strength, cert.hash) == ("EC P-256", 256, "sha256")
    assert (cert.purposes, cert.signs, cert.authority) == ({CLIENT}, True, False)
    assert 89 < days_left(cert, NOW) < 91
    assert cert.issued_by(read(pki.ca)[0])


def test_a_good_certificate_has_no_fault(pki: Pki) -> None:
    assert kinds(pki, pki.issue("good", "gw-1")) == []


@pytest.mark.parametrize(
    ("fault", "given"),
    [
        ("expired", {"begins": -9 * DAY, "ends": -DAY}),
        ("not-yet-valid", {"begins": DAY}),
        ("weak-key", {"key": "rsa1024"}),
        ("weak-signature", {"sha1": True}),
        ("wrong-usage", {"purpose": "server"}),
        ("self-signed", {"self_signed": True}),
    ],
)
def test_each_fault_is_found_alone_and_named(pki: Pki, fault: str, given: dict[str, Any]) -> None:
    assert kinds(pki, pki.issue(f"bad-{fault}", "gw-1", **given)) == [fault]


def test_a_foreign_ca_and_a_foreign_name_are_found(pki: Pki, tmp_path: Path) -> None:
    other = Pki(tmp_path, "Other")
    assert kinds(pki, other.issue("x", "gw-1")) == ["foreign-ca"]
    assert kinds(pki, pki.issue("x", "gw-2")) == ["wrong-name"]
    same_name = Pki(tmp_path / "same")  # a CA of the same name with another key
    assert kinds(pki, same_name.issue("x", "gw-1")) == ["foreign-ca"]
    assert [f.fault.value for f in judge_client(read(pki.ca), read(pki.ca), "Region CA", NOW)] == ["wrong-usage"]


def test_a_chain_is_followed_and_every_link_of_it_is_judged(pki: Pki, tmp_path: Path) -> None:
    """An issuing CA below the root, sent along with the certificate."""
    issuing = Pki(tmp_path / "issuing", "Issuing CA")
    leaf = read(issuing.issue("leaf", "gw-1").cert)[0]
    assert [f.fault for f in chain(leaf, [], read(pki.ca), NOW)] == [Fault.FOREIGN]
    assert chain(leaf, read(issuing.ca), read(issuing.ca), NOW) == []
    late = datetime.now(UTC) + 4000 * DAY
    assert [f.fault for f in chain(leaf, [], read(issuing.ca), late)] == [Fault.EXPIRED]
    loop = read(pki.issue("loop", "gw-1", self_signed=True).cert)
    assert [f.fault for f in chain(loop[0], loop * 3, read(pki.ca), NOW)] == [Fault.SELF_SIGNED]


def test_revocation_is_seen_and_a_list_that_proves_nothing_is_said(tmp_path: Path) -> None:
    pki, other = Pki(tmp_path / "a"), Pki(tmp_path / "b")  # same name, other key
    pair = pki.issue("x", "gw-1")
    cert, anchors = read(pair.cert)[0], read(pki.ca)

    def found(path: Path, now: datetime = NOW) -> list[str]:
        return [f.fault.value for f in revocation(cert, read_lists(str(path)), anchors, now)]

    assert found(pki.crl) == []
    assert found(other.crl) == ["revocation-list"]
    assert found(pki.crl, NOW + 31 * DAY) == ["revocation-list"]
    pki.revoke(pair.serial)
    assert found(pki.crl) == ["revoked"]
    assert found(bundle(tmp_path / "both", other.crl, pki.crl)) == ["revocation-list", "revoked"]
    assert read_lists(str(tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("names", "wanted", "good"),
    [
        (("mqtt.kita.example",), "MQTT.kita.example", True),
        (("*.kita.example",), "mqtt.kita.example", True),
        (("*.kita.example",), "a.mqtt.kita.example", False),
        (("*.kita.example",), "kita.example", False),
        (("10.1.2.3",), "10.1.2.3", True),
        (("10.1.2.3",), "10.1.2.4", False),
        (("2001:db8::1",), "2001:0db8:0:0:0:0:0:1", True),
        ((), "mqtt.kita.example", False),
    ],
)
def test_names_of_a_server(pki: Pki, names: tuple[str, ...], wanted: str, good: bool) -> None:
    (cert,) = read(pki.issue("srv", "mqtt.kita.example", names, "server").cert)
    assert (name(cert, wanted, SERVER) == []) is good


@given(st.binary(max_size=400))
def test_no_bytes_make_reading_fail_otherwise_than_in_words(data: bytes) -> None:
    for given_ in (data, b"-----BEGIN CERTIFICATE-----\n" + data + b"\n-----END CERTIFICATE-----\n"):
        with pytest.raises(ConfigError, match="no certificate that can be read"):
            read_certificates(given_)


# ---- keys and requests


def test_a_request_names_the_gateway_and_holds_no_private_key(pki: Pki) -> None:
    key = make_key()
    asked = request(key, "gw-ita-03")
    assert b"PRIVATE" not in asked
    assert b"ENCRYPTED" not in key
    (cert,) = read_certificates(pki.answer(asked))
    assert (cert.common_name, cert.key, cert.public) == ("gw-ita-03", KIND, public_of(key))
    assert make_key() != key


@pytest.mark.parametrize("bad", ["", "-x", "a b", "æ", "x" * 65, "a\nb", "a/b"])
def test_a_name_that_cannot_stand_in_a_certificate_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="cannot stand in a certificate"):
        request(make_key(), bad)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(pki: Pki, tmp_path: Path) -> None:
    import subprocess

    pair, locked = pki.issue("locked", "gw-1"), tmp_path / "locked.key"
    run = ["openssl", "ec", "-in", str(pair.key), "-aes256", "-passout", "pass:x", "-out", str(locked)]
    subprocess.run(run, check=True, capture_output=True)
    with pytest.raises(ConfigError, match="encrypted with a password"):
        client_context(TlsFiles(str(pki.ca), str(pair.cert), str(locked)), TlsRules())


def test_a_context_checks_everything_and_knows_no_ca_of_the_system(pki: Pki) -> None:
    import ssl

    context = client_context(TlsFiles(str(pki.ca)), TlsRules())
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert not context.hostname_checks_common_name
    assert [dict(x[0] for x in ca["subject"])["commonName"] for ca in context.get_ca_certs()] == ["Region CA"]
    older = client_context(TlsFiles(str(pki.ca)), TlsRules("1.2"))
    spoken = {c["name"] for c in older.get_ciphers() if c["protocol"] == "TLSv1.2"}
    assert spoken
    assert all(c.startswith("ECDHE-") and ("GCM" in c or "CHACHA20" in c) for c in spoken)


@pytest.mark.parametrize("key", ["insecure", "verify", "check_hostname", "tls_insecure", "password"])
def test_no_key_switches_the_checks_off_and_none_takes_a_password(key: str) -> None:
    for settings in (MqttSettings, type("S", (MqttSettings,), {})):
        with pytest.raises(TypeError, match="unexpected keyword"):
            settings(host="x", **{key: True})  # type: ignore[arg-type]
    from gateway.config_security import SecuritySettings
    from kita.settings import KitaSettings

    fields = {f for kind in (MqttSettings, SecuritySettings, KitaSettings) for f in kind.__dataclass_fields__}
    assert not [f for f in fields if any(word in f for word in ("insecure", "verify", "hostname", "pass", "secret"))]


# ---- days left


@dataclass
class Named:
    name: str = "gw-1"


@dataclass
class Configuration:
    sink: Any
    gateway: Named = field(default_factory=Named)


def configured(pki: Pki, pair: Pair, **more: Any) -> Configuration:
    return Configuration(MqttSettings(host="x", ca=str(pki.ca), **pair.keys, **more))


@pytest.mark.parametrize(
    ("days", "warn"),
    [
        (60.1, None),
        (60.0, 60),
        (30.1, 60),
        (30, 30),
        (14.5, 30),
        (14, 14),
        (7.01, 14),
        (7, 7),
        (0.1, 7),
        (0, 0),
        (-3, 0),
    ],
)
def test_thresholds(days: float, warn: int | None) -> None:
    assert THRESHOLDS == (60, 30, 14, 7)
    assert warn_of(days) == warn


class Heard:
    """Stands for the audit log."""

    def __init__(self) -> None:
        self.events: list[tuple[Event, str, dict[str, Any]]] = []

    def write(self, event: Event, subject: str = "", **facts: Any) -> None:
        self.events.append((event, subject, facts))


def test_each_threshold_is_said_once_and_a_new_certificate_begins_anew(
    pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    """Ninety days of a fake clock, looked at each hour."""
    audit = Heard()
    config = configured(pki, pki.issue("hours", "gw-1", ends=90 * DAY))
    watch = CertificateWatch(audit)  # type: ignore[arg-type]

    def live(first: int, last: int) -> list[int]:
        audit.events.clear()
        for hour in range(first * 24, last * 24):
            watch.look(config, NOW + timedelta(hours=hour), hour * 3600.0)
        return [facts["days_left"] for _, subject, facts in audit.events if subject == "gateway"]

    assert live(0, 29) == []
    assert live(29, 95) == [59, 29, 13, 6, 0]
    assert caplog.text.count("has EXPIRED") == 1
    assert caplog.text.count("expires in") == 4
    pki.issue("hours", "gw-1", ends=120 * DAY)  # the same file, renewed
    assert live(95, 96) == [24]
    assert all(event is Event.CERTIFICATE_EXPIRING for event, *_ in audit.events)


@given(st.lists(st.floats(-5, 100), min_size=1, max_size=30))
def test_a_threshold_is_never_said_twice_however_the_clock_goes(days: list[float]) -> None:
    expiry, said = Expiry(), []
    for left in days:
        state = CertificateState("gateway", "x", sha256="1", days_left=left, warn=warn_of(left))
        said += [state.warn for state in expiry.due([state])]
    assert said == sorted(set(said), reverse=True)
    assert (not said) == (min(days) > 60)
    assert not said or said[-1] == warn_of(min(days))


def test_the_status_lists_all_files_and_what_is_wrong_of_each(pki: Pki, tmp_path: Path) -> None:
    pair = pki.issue("listed", "gw-2")
    pair.key.chmod(0o644)
    states = status(configured(pki, pair, crl=str(pki.crl)), NOW)
    assert [state.role for state in states] == ["gateway", "ca", "crl"]
    assert states[0].kinds == ("wrong-name", "rights")
    assert "chmod" not in states[0].faults[1]
    assert "gw-2" in states[0].faults[0]
    assert (states[1].kinds, states[2].kinds) == ((), ())
    pair.key.chmod(0o400)
    pair.cert.unlink()
    (gone, _) = status(configured(pki, pair), NOW)
    assert gone.kinds == ("missing",)
    assert status(Configuration(object()), NOW) == []
    assert "EXPIRED" in warning(CertificateState("gateway", "x", days_left=-1.0))


# ---- the broker's configuration


def test_the_access_list_gives_each_name_its_own_and_no_name_twice() -> None:
    members = [member("auh/ita/gw-2"), Member("auh", "ita", "gw-1"), member("rsyd/n1/gw-3")]
    text = access_list(members, ["kita"], ["siem"])
    blocks = {block.splitlines()[0]: block.splitlines()[1:] for block in text.split("\n\n") if block.startswith("user")}
    assert set(blocks) == {"user gw-1", "user gw-2", "user gw-3", "user kita", "user siem"}
    for gateway in members:
        assert all(gateway.base + "/" in line for line in blocks[f"user {gateway.name}"])
        assert not [
            line for line in blocks[f"user {gateway.name}"] if "+" in line or "/#" in line.replace("audit/#", "")
        ]
    assert not [line for line in blocks["user siem"] if "write" in line]
    with pytest.raises(ConfigError, match="named twice: gw-1"):
        access_list([member("auh/ita/gw-1"), member("auh/m1/gw-1")], ["kita"])
    with pytest.raises(ConfigError, match="named twice: kita"):
        access_list([member("auh/ita/kita")], ["kita"])


@given(st.text(max_size=40))
def test_no_name_reaches_the_access_list_that_is_more_than_a_name(text: str) -> None:
    try:
        found = member(text)
    except ConfigError:
        return
    assert set("".join((found.site, found.unit, found.name))) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_the_configuration_wants_certificates_keeps_state_and_knows_no_password() -> None:
    text = configuration(BrokerFiles(), 12)
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    for needed in (
        "allow_anonymous false",
        "require_certificate true",
        "use_identity_as_username true",
        "tls_version tlsv1.3",
        "crlfile /etc/mosquitto/certs/crl.pem",
        "persistence true",
        "max_queued_messages 12000",
    ):
        assert needed in lines
    assert len([line for line in lines if line.startswith("listener ")]) == 1
    assert "password" not in text
    assert "tls_version tlsv1.2" in configuration(BrokerFiles(), 1, tls_min="1.2")
    with pytest.raises(ConfigError, match=r"TLS 1\.1"):
        configuration(BrokerFiles(), 1, tls_min="1.1")
