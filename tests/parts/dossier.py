"""Facts of a box on which all is well, and the one change that spoils each point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.security.dossier.checklist import points
from gateway.security.dossier.facts import (
    AccessFact,
    ApprovalFact,
    AuditFact,
    CertificateFact,
    ComponentFact,
    ConduitFact,
    ConfigFact,
    DeviceFact,
    Exam,
    Facts,
    HostFact,
    InventoryFact,
    PersonFact,
    PortRow,
    RiskFact,
    RulesetFact,
    SealFact,
    SupportFact,
    TestsFact,
    UnitFact,
    VulnerabilityFact,
    ZoneFact,
)
from gateway.security.dossier.points_running import ASKED

CONFIG = ConfigFact(
    path="/etc/mdi/mdi_config.toml",
    sha256="7b" * 32,
    name="gw-ita-03",
    site="auh",
    unit="ita",
    mode="production",
    processing_id="P",
    time_sync="NTPV4",
    tls_min="1.3",
    on_firmware_drift="flag",
    sink="mqtt 10.1.2.3:8883",
    sink_kind="mqtt",
    sink_host="10.1.2.3",
    protocol="mqtt5",
    tls=True,
    mutual=True,
    spool_mib=2048,
    grade="A",
    drops=("values: * (*), 60 s",),
)
LINKS = (
    ("modbus", "tcp", "10.20.30.40:502"),
    ("can_signals", "can", "can0"),
    ("philips_intellivue", "serial", "/dev/serial/by-id/usb-1"),
)


def device(i: int, **more: Any) -> DeviceFact:
    """Return one of the devices: an incubator, an ECMO circuit, a monitor, and so on."""
    driver, link, endpoint = LINKS[i % 3]
    allowed = {"modbus": ("FC 3", "FC 4"), "can": ()}.get(driver, ("16",))
    return DeviceFact(
        name=f"device-{i}",
        port=f"port-{i}",
        profile="hettich/hettcube",
        driver=driver,
        link=link,
        endpoint=endpoint,
        stable=True if link == "serial" else None,
        eui64=f"00112233445500{i:02X}",
        place="AUH, ITA, Stue 3, Seng 2",
        firmware="C.0",
        digest="ab" * 32,
        patterns=0 if link == "can" else 4,
        experimental=False,
        exam=Exam(512, allowed),
        metrics=7,
        **{
            "signature": "mso, jkr",
            "listen_only": True if link == "can" else None,
            "observed_model": "HettCube 400",
            "observed_firmware": "C.0",
            "open": True,
            "state": "active",
            "may_open": True,
            "rev": 3,
            "sha256": "5c" * 32,
            "until": "2027-06-30T00:00:00+00:00",
            "record": {"asset": f"AUH-47{i:02}", "maker": "Hettich", "owner_clinical": "ITA", "firmware": "C.0"},
            **more,
        },
    )


def good(devices: int = 3) -> Facts:
    """Return the facts of a box that passes every point that a box can pass."""
    boxes = tuple(device(i) for i in range(devices))
    kinds = {"tcp": "modbus"}
    conduits = tuple(
        ConduitFact(f"way-{d.name}", "stuer", kinds.get(d.link, d.link), d.endpoint, 502, "Udstyr", "none", (d.port,))
        for d in boxes
    )
    outward = (
        ConduitFact(
            "broker", "kita", "mqtt", "10.1.2.3", 8883, "EPJ", "tls", ("[sink] mqtt",), ("values",), ("device", "place")
        ),
        ConduitFact("tid", "drift", "ntp", "10.1.2.4", 123, "Ur", "none"),
        ConduitFact("log", "drift", "syslog", "10.1.2.5", 6514, "Log", "tls"),
    )
    settings = {
        "PrivateTmp": "yes",
        "LimitCORE": "0",
        "IPAddressDeny": "any",
        "MemoryMax": "512M",
        "TasksMax": "64",
        "LimitNOFILE": "1024",
        "CPUQuota": "100%",
    }
    return Facts(
        made="2026-11-21T12:00:00+00:00",
        version="0.1.0",
        config=CONFIG,
        devices=boxes,
        zones=(
            ZoneFact("stuer", "Udstyr ved sengen", 1),
            ZoneFact("kita", "Regionens datacenter", 3),
            ZoneFact("drift", "Drift", 2),
        ),
        conduits=(*conduits, *outward),
        violations=(),
        people=(PersonFact("mso", "it-security", "2027-12-31", True), PersonFact("jkr", "medico", "2027-12-31", True)),
        approvals=tuple(
            ApprovalFact(d.name, who, role, "2026-11-01T10:00:00+00:00", d.sha256, True)
            for d in boxes
            for who, role in (("mso", "it-security"), ("jkr", "medico"))
        ),
        certificates=(
            CertificateFact(
                "gateway",
                "CN=gw-ita-03",
                ("gw-ita-03",),
                "CN=KITA CA",
                "EC P-256",
                "2026-01-01",
                "2027-06-30",
                220,
                "aa" * 32,
            ),
            CertificateFact(
                "ca", "CN=KITA CA", (), "CN=KITA CA", "EC P-256", "2025-01-01", "2035-01-01", 2900, "bb" * 32
            ),
        ),
        tls_policy="TLS 1.3",
        key_mode=0o400,
        ruleset=RulesetFact(
            "type filter hook output priority filter; policy drop;\nmeta skuid mdi-forward ip daddr 10.1.2.3 tcp "
            "dport 8883 accept\n",
            (PortRow("broker", "gateway → 10.1.2.3 tcp/8883", "mdi-forward", True, True, True),),
            True,
            (),
        ),
        units=tuple(UnitFact(n, 0.9, {**settings, "User": n}) for n in ("mdi-acquire", "mdi-forward")),
        inventory=InventoryFact(
            "cc" * 32,
            "1.6",
            (
                ComponentFact("numpy", "2.1.0", "python", "BSD-3-Clause", "NumPy"),
                ComponentFact("libc6", "2.36", "debian"),
            ),
            True,
            True,
            "",
            "2026-11-15",
            (
                VulnerabilityFact(
                    "CVE-2026-0001",
                    "numpy",
                    "low",
                    "not_affected",
                    "koden kaldes ikke",
                    "2026-11-16",
                    "2027-02-01",
                    True,
                ),
            ),
        ),
        audit=AuditFact("dd" * 32, 812, "RWQ-audit", True, "", 0.1, ASKED),
        seal=SealFact(True, "tpm2+host"),
        access=AccessFact(
            {
                "viewer": "mdi-viewer",
                "operator": "mdi-operator",
                "approver": "mdi-approver",
                "administrator": "mdi-admin",
            },
            300,
            3600,
            5,
            300,
            "127.0.0.1:8080",
        ),
        passwords=(),
        host=HostFact("present", "present", "present", "absent", "Debian 12", "6.1", (), False, True),
        risks=(
            RiskFact(
                "R-1",
                "Ukrypteret seriel linje",
                "Klinikchef",
                "Protokollen kan ikke andet",
                "Aflåst rum",
                "2027-05-01",
                True,
            ),
        ),
        tests=TestsFact("0.1.0", "2026-11-20", {n: ((f"tests/unit/test_x.py::test_{n}", True),) for n in range(1, 57)}),
        support=SupportFact("private security advisory", "2027-12-31"),
        known_answers=(("SHA-256", True),),
        can_send=False,
    )


def blank() -> Facts:
    """Return facts of a box of which nothing is known but its configuration."""
    known = good()
    keep = {"made", "version", "config", "zones", "conduits"}
    empty = Facts(**{name: getattr(known, name) for name in keep}, devices=())
    return replace(
        empty,
        devices=tuple(
            replace(
                d,
                signature=None,
                listen_only=None,
                observed_model="",
                observed_firmware="",
                open=None,
                state=None,
                may_open=None,
                record={},
                exam=Exam(0),
            )
            for d in known.devices
        ),
    )


Spoil = Callable[[Facts], Facts]


def _config(**more: Any) -> Spoil:
    return lambda f: replace(f, config=replace(f.config, **more))


def _devices(**more: Any) -> Spoil:
    return lambda f: replace(f, devices=tuple(replace(d, **more) for d in f.devices))


def _host(**more: Any) -> Spoil:
    return lambda f: replace(f, host=replace(f.host, **more))


def _part(name: str, **more: Any) -> Spoil:
    return lambda f: replace(f, **{name: replace(getattr(f, name), **more)})


def _unit(**settings: str) -> Spoil:
    return lambda f: replace(f, units=tuple(replace(u, settings={**u.settings, **settings}) for u in f.units or ()))


def _tests(number: int) -> Spoil:
    """The test of a point has failed."""

    def spoil(facts: Facts) -> Facts:
        assert facts.tests is not None
        results = {**facts.tests.results, number: (("tests/unit/test_x.py::test_it", False),)}
        return replace(facts, tests=replace(facts.tests, results=results))

    return spoil


def _without(kind: str) -> Spoil:
    return lambda f: replace(f, conduits=tuple(c for c in f.conduits if c.kind != kind))


SPOILS: dict[int, Spoil] = {
    1: lambda f: replace(f, key_mode=0o644),
    2: _config(mutual=False),
    3: _config(tls=False),
    4: _config(protocol="mqtt311"),
    5: lambda f: replace(f, passwords=("/etc/mdi/x.toml:3",)),
    6: _part("access", roles={"viewer": "mdi-viewer"}),
    7: _part("access", web="0.0.0.0:80", web_remote=True),
    8: _part("access", idle_s=3600),
    9: lambda f: replace(f, approvals=tuple(a for a in f.approvals or () if a.person == "mso")),
    11: _devices(exam=Exam(768, ("FC 4",), ("FC 6",))),
    12: _devices(listen_only=False),
    13: _devices(signature=""),
    14: _devices(observed_firmware="D.1"),
    15: _devices(may_open=False),
    17: _devices(experimental=True),
    18: _devices(signature=""),
    19: _devices(digest=""),
    20: _part("inventory", verified=False),
    23: _part("inventory", valid=False),
    24: _part("inventory", scanned="2026-01-01"),
    26: _host(secure_boot="absent", disk_encryption="absent"),
    27: _part("ruleset", enforced=False),
    28: _part(
        "ruleset", declared="hook output priority 0; policy drop;\nip daddr 10.1.2.3 accept\nmeta skuid x accept"
    ),
    29: _part("ruleset", drift=("observed: tcp 0.0.0.0:23",)),
    30: _host(listening=("any:23",)),
    31: _host(forwarding=True),
    32: _config(tls_min="1.1"),
    33: _without("ntp"),
    34: lambda f: replace(f, certificates=tuple(replace(c, days_left=13) for c in f.certificates or ())),
    38: _part("seal", on=False),
    39: _part("seal", source="plain"),
    40: lambda f: replace(f, conduits=tuple(replace(c, identifiers=("patient",)) for c in f.conduits)),
    42: _config(spool_mib=0),
    43: _unit(LimitCORE="infinity"),
    44: _part("audit", events=("start",)),
    45: _part("audit", verified=False),
    46: _part("audit", share=0.9),
    47: _without("syslog"),
    48: _host(clock_synced=False),
    49: lambda f: replace(f, known_answers=(("SHA-256", False),)),
    50: lambda f: replace(f, units=tuple(replace(u, exposure=1.1) for u in f.units or ())),
    51: _unit(CPUQuota=""),
    54: _part("inventory", components=()),
    55: _host(listening=("any:23",)),
    56: _part("support", until="2026-11-20"),
}
"""Point → a change after which it must fail. Those without one are shown by tests only, or are duties."""


def spoils() -> dict[int, list[Spoil]]:
    """Return point → every change that must make it fail: its own, and a failed test of it where tests count."""
    duties = (10,)
    return {
        p.number: [*([SPOILS[p.number]] if p.number in SPOILS else []), *([_tests(p.number)] if p.tests else [])]
        for p in points()
        if p.number not in duties
    }
