"""The minimum IT requirements of docs/security.md are those of package, units, firewall and defaults."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from gateway.config import read_config
from gateway.config_security import SecuritySettings
from gateway.security.netrules.ways import NTP_PORT, PEER, SYSLOG_TLS_PORT
from gateway.security.onboard.approval import ROLES
from gateway.sinks.mqtt_settings import MqttSettings
from tests.conftest import ROOT
from tests.unit.netrules_rig import SERVICES, asked, written

SERVICES_OF_THE_BOX = [p for p in sorted((ROOT / "systemd").glob("*.service")) if p.stem != "mdi-kita"]
SHORT = ("mdi-netrules", "mdi-netrules-check")  # a second at a time, one after the other
MIB = {"M": 1, "G": 1024}


def rows() -> dict[str, str]:
    """Return what → at least, of the table."""
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    table = text[text.index("## Minimum IT requirements") : text.index("The ports of one box")]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| ")]
    return {row[0]: row[1] for row in cells[1:]}


def depends(name: str) -> str:
    """Return the lowest version that the package asks for."""
    found = re.search(rf"\b{name} \(>= ([\d.]+)\)", (ROOT / "packaging/control").read_text(encoding="utf-8"))
    assert found
    return found[1]


def setting(path: Path, key: str) -> list[str]:
    return re.findall(rf"(?m)^{key}=(.*)$", path.read_text(encoding="utf-8"))


def default(of: type, name: str) -> object:
    return next(f.default for f in fields(of) if f.name == name)


def test_versions_are_those_that_the_package_asks_for() -> None:
    system = rows()["system"]
    assert f"systemd {depends('systemd')}" in system
    assert f"nftables {depends('nftables')}" in system
    assert f"Python {depends('python3')}" in system


def test_ports_and_protocols_out_are_those_of_the_firewall(tmp_path: Path) -> None:
    """Of the sample with all services: what leaves the box, but for the devices."""
    found = [w for w in asked(written(tmp_path, extra=SERVICES)).ways if w.users != ("mdi-acquire",)]
    ends = {(w.protocol.upper(), w.port) for w in found if w.initiator != PEER}
    said = set(re.findall(r"(TCP|UDP) (\d+)", rows()["network: out"]))
    assert {(protocol, str(port)) for protocol, port in ends} == said
    assert ("UDP", str(NTP_PORT)) in said
    assert ("TCP", str(SYSLOG_TLS_PORT)) in said


def test_nothing_of_the_hospital_comes_in(tmp_path: Path) -> None:
    assert rows()["network: in"].startswith("nothing")
    found = asked(written(tmp_path, extra=SERVICES)).ways
    assert all(w.users == ("mdi-acquire",) for w in found if w.initiator == PEER)  # announcements of devices


def test_tls_and_mqtt_are_the_defaults() -> None:
    assert f"TLS {default(SecuritySettings, 'tls_min')}" in rows()["network: out"]
    assert str(default(MqttSettings, "protocol")).replace("mqtt", "MQTT ") in rows()["broker"]


def test_users_are_those_of_the_units_and_of_the_package() -> None:
    named = set(re.findall(r"`(mdi-[a-z]+)`", rows()["users"]))
    assert named == {user for path in SERVICES_OF_THE_BOX for user in setting(path, "User")}
    made = setting_of_sysusers("u")
    assert named == made - {"mdi-kita"}
    groups = set(re.findall(r"`(mdi-[a-z]+)`", rows()["groups of people"]))
    assert groups - {"mdi-admin"} == setting_of_sysusers("g") - {"mdi"}
    assert "mdi-admin" in groups


def setting_of_sysusers(kind: str) -> set[str]:
    return set(re.findall(rf"(?m)^{kind} (\S+)", (ROOT / "systemd/mdi.sysusers").read_text(encoding="utf-8")))


def test_memory_and_disk_hold_what_the_units_and_the_spool_may_take() -> None:
    computer = rows()["computer"]
    memory, disk = (float(n) * 1024 for n in re.findall(r"(\d+) GiB", computer)[:2])
    caps = {path.stem: setting(path, "MemoryMax")[0] for path in SERVICES_OF_THE_BOX}
    always = sum(int(cap[:-1]) * MIB[cap[-1]] for unit, cap in caps.items() if unit not in SHORT)
    short = max(int(caps[unit][:-1]) * MIB[caps[unit][-1]] for unit in SHORT)
    assert always + short <= memory
    spool = read_config(ROOT / "mdi_config.toml").spool
    assert 2 * (spool.limit_mib + spool.segment_mib) <= disk  # the other half: the system, the program, its logs


def test_as_many_people_as_roles() -> None:
    assert len(ROLES) == 2
    assert "two approvers in different roles" in rows()["people"]
