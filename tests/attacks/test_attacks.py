"""Attacks on the threats of the dossier: each is tried, and each is refused as the registry says."""

from __future__ import annotations

import random
import re
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.config import read_config
from gateway.core.ack import parse_ack
from gateway.core.errors import ProfileError
from gateway.core.frame import NeedData
from gateway.registry import read_profile
from gateway.security.dossier.threats import THREATS
from gateway.security.policy import violations
from tests.attacks.registry import ATTACKS
from tests.conftest import ROOT
from tests.parts.onboarding import Ward
from tests.unit.test_docs import ids_in


def test_each_threat_of_the_dossier_has_an_attack_and_a_refusal() -> None:
    assert set(ATTACKS) == {threat.key for threat in THREATS}
    for key, attack in ATTACKS.items():
        assert attack.tests, key
        assert attack.refusal, key
        for test in attack.tests:
            path, name = test.split("::")
            assert name in ids_in(path), test


def test_rogue_device(tmp_path: Path) -> None:
    """A device that nobody approved is plugged in where one is configured; then one of another model."""
    ward = Ward(tmp_path)
    assert not ward.one().may_open
    ward.approve()
    assert ward.one().may_open
    ward.says(model="another", firmware="1.0")
    assert not ward.one().may_open


@pytest.mark.parametrize("gone", ["ca", "cert", "key"])
def test_cable_tap(tmp_path: Path, gone: str) -> None:
    """Somebody takes TLS out of the configuration to read along."""
    text = (ROOT / "mdi_config.toml").read_text(encoding="utf-8")
    path = tmp_path / "mdi_config.toml"
    path.write_text(re.sub(rf"^(ca|{gone}|cert|key) = .*\n", "", text, flags=re.MULTILINE), encoding="utf-8")
    broken = violations(read_config(path))
    assert [v for v in broken if v.key.startswith("sink") or "tls" in v.rule]


@pytest.mark.parametrize(
    "line",
    [
        'files = ["../../../etc/passwd"]',
        'files = ["/etc/passwd"]',
        'exec = "import os"',
        'source = "' + "x" * (2 << 20) + '"',
    ],
    ids=["parent", "absolute", "code", "huge"],
)
def test_malicious_profile(tmp_path: Path, line: str) -> None:
    """A profile that reads other files, runs code, or fills the memory."""
    good = (ROOT / "firmware_profiles/adam/mdw.toml").read_text(encoding="utf-8")
    bad = re.sub(r"^source = .*$", "", good, flags=re.MULTILINE) if line.startswith("source") else good
    path = tmp_path / "mdw.toml"
    path.write_text(bad.replace("[profile]\n", f"[profile]\n{line}\n", 1), encoding="utf-8")
    with pytest.raises(ProfileError):
        read_profile(path)


def test_hostile_bytes() -> None:
    """A megabyte of rubbish for each configured line."""
    noise = random.Random(1)
    for port in read_config(ROOT / "mdi_config.toml").ports:
        protocol = port.driver.protocol([device.spec for device in port.devices], port.settings.options)
        protocol.start(0.0)
        size = 16 if port.link_kind.name == "can" else 1024
        events = 0
        for i in range(1024):
            protocol.receive_data(noise.randbytes(size), i)
            while not isinstance(protocol.next_event(), NeedData):
                events += 1
                assert events < 2_000_000
            protocol.data_to_send(i / 1000)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x00" * 4096, b"MSH|", b"MSH|^~\\&|" + b"A" * 100_000, b"\x0bMSH|^~\\&\x1c\r", "æøå".encode("latin-1")],
)
def test_broker_compromise(payload: bytes) -> None:
    """The broker sends what is no acknowledgement."""
    from gateway.core.errors import MdiError

    try:
        found = parse_ack(payload)
    except MdiError:
        return
    assert found is None or not getattr(found, "accepted", False)


def test_insider_widens(tmp_path: Path) -> None:
    """One person alone, then a change after the approval."""
    ward = Ward(tmp_path)
    rev = ward.submit()
    ward.sign("A-1", rev, "mso")
    assert not ward.one().may_open
    ward.sign("A-1", rev, "jkr")
    assert ward.one().may_open
    path = next((tmp_path).rglob("A-1.toml"))
    path.write_text(re.sub(r'location = ".*"', 'location = "elsewhere"', path.read_text()), encoding="utf-8")
    assert not ward.one().may_open


def test_clock_manipulation(tmp_path: Path) -> None:
    """Time goes on past the review: the approval is over, and nobody has to notice."""
    ward = Ward(tmp_path)
    ward.approve()
    assert ward.one().may_open
    ward.now += timedelta(days=3650)
    assert not ward.one().may_open
