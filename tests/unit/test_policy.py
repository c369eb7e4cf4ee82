"""The rules: each is broken once, by itself, and found with its key, its line, why, and what to change."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Config, read_config
from gateway.core.errors import ConfigError
from gateway.core.personal import looks_personal
from gateway.reload import Reload
from gateway.security.policy import (
    PolicyError,
    Violation,
    conduits_of,
    conduits_of_sink,
    enforce,
    findings,
    rules,
    violations,
)
from gateway.security.policy.conduits import covers, host_matches, path_matches
from tests.conftest import ROOT
from tests.parts.system import fresh_environment

SAMPLE = (ROOT / "mdi_config.toml").read_text(encoding="utf-8")
OWN = tuple(
    f"gateway.security.policy.{module}" for module in ("opened", "protected", "leaving", "zones", "personal_rules")
)
EXTRA = """
[[conduit]]
name = "{name}"
zone = "{zone}"
kind = "{kind}"
{how}
why = "test"
"""


def config_of(folder: Path, *changes: tuple[str, str], more: str = "") -> Config:
    text = SAMPLE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = folder / "mdi_config.toml"
    path.write_text(text + more, encoding="utf-8")
    return read_config(path)


def own(found: list[Violation]) -> list[Violation]:
    """Those of the rules that need nothing but the configuration."""
    names = {rule.name for rule in rules() if rule.check.__module__ in OWN}
    return [violation for violation in found if violation.rule in names]


def conduit(
    name: str = "more", zone: str = "stuer", kind: str = "tcp", how: str = 'host = "10.9.9.9"\nport = 1'
) -> str:
    return EXTRA.format(name=name, zone=zone, kind=kind, how=how)


Change = tuple[str, str]
# rule: changes of the sample, text behind it, the key that is named, words of why
BROKEN: dict[str, tuple[list[Change], str, str, str]] = {
    "port-conduit": (
        [('device = "/dev/serial/by-id/*"', 'device = "/dev/ttyS?"')],
        "",
        "port.stue3-seng2.link.device",
        "no conduit",
    ),
    "port-stable": (
        [
            ("/dev/serial/by-id/usb-FTDI_RS232_A50285BI-if00-port0", "/dev/ttyUSB0"),
            ("/dev/serial/by-id/*", "/dev/ttyUSB?"),
        ],
        "",
        "port.stue3-seng2.link.device",
        "another line",
    ),
    "link-made-up": (
        [('kind = "can"', 'kind = "replay"\npath = "x.mdr"'), ('interface = "socketcan"\nchannel = "can0"\n', "")],
        "",
        "port.ecmo.link.kind",
        "no patient",
    ),
    "can-silent": (
        [
            ('driver = "can_signals"', 'driver = "canopen"'),
            ('"smartecla/bedside_network"', '"prominent/gamma_xl"\nexperimental = true'),
            ('kind = "can"', 'kind = "can_active"'),
        ],
        "",
        "port.ecmo.link.kind",
        "can send",
    ),
    "experimental": (
        [
            ('driver = "can_signals"', 'driver = "canopen"'),
            ('"smartecla/bedside_network"', '"prominent/gamma_xl"\nexperimental = true'),
            ('kind = "can"', 'kind = "can_active"'),
        ],
        "",
        "port.ecmo.device.ecmo-1.experimental",
        "profile is experimental",
    ),
    "can-controller": (
        [('interface = "socketcan"', 'interface = "virtual"')],
        "",
        "port.ecmo.link.interface",
        "cannot be seen",
    ),
    "sink-conduit": (
        [("port = 8883\nsan", "port = 8884\nsan")],
        "",
        "sink.host",
        "no conduit allows mqtt mqtt.kita.example:8883",
    ),
    "sink-san": ([('san = "mqtt.kita.example"\n', "")], "", "conduit.broker.san", "no certificate"),
    "sink-tls": (
        [(line, "") for line in re.findall(r"(?m)^(?:ca|cert|key) = .*\n", SAMPLE)],
        "",
        "sink.ca",
        "in clear",
    ),
    "sink-mutual": (
        [(line, "") for line in re.findall(r"(?m)^(?:cert|key) = .*\n", SAMPLE)],
        "",
        "sink.cert",
        "who this is",
    ),
    "sink-mqtt5": ([('# protocol = "mqtt5"', 'protocol = "mqtt311"')], "", "sink.protocol", "hides refusals"),
    "tls-1.2": ([('# tls_min = "1.3"', 'tls_min = "1.2"')], "", "security.tls_min", "1.2"),
    "name-service": ([], "", "sink.host", "is a name"),
    "leave-carries": (
        [('carries = ["values", "alerts"]', 'carries = ["values"]')],
        "",
        "route.3.carries",
        "alerts may not leave",
    ),
    "leave-metrics": (
        [('# metrics = ["*"]\n# min', 'metrics = ["MDC_TEMP*", "MDC_EVT*"]\n# min')],
        "",
        "route.1.metrics",
        "MDC_ECG_AMPL_ST",
    ),
    "leave-interval": ([("# min_interval_s = 0.0", "min_interval_s = 61.0")], "", "route.2.interval_s", "every 60 s"),
    "leave-identifiers": (
        [('# identifiers = ["device", "place"]', 'identifiers = ["device"]')],
        "",
        "port.stue3-seng2.device.mp70-17.location",
        "place of",
    ),
    "no-person": (
        [('room = "Stue 4"', 'room = "Stue 070761-4285"')],
        "",
        "port.stue4-seng1.device.mp70-18.location.room",
        "can be a CPR number",
    ),
    "zone-known": ([('zone = "kita"', 'zone = "kitta"')], "", "conduit.broker.zone", "no zone 'kitta'"),
    "zone-used": (
        [("# Conduits: the ways", '[[zone]]\nname = "gaest"\ntitle = "Gæster"\n# Conduits: the ways')],
        "",
        "zone.gaest.name",
        "no conduit",
    ),
    "name-once": ([], conduit("broker", "kita", "syslog"), "conduit.broker.name", "taken"),
    "conduit-narrow": (
        [],
        conduit(kind="syslog", how='host = "10.0.0.0/8"\nport = 6514'),
        "conduit.more.host",
        "16777216 addresses",
    ),
    "conduit-used": ([], conduit(), "conduit.more.name", "nothing goes through"),
    "clock-conduit": ([('# time_sync = "NONE"', 'time_sync = "NTPV4"')], "", "gateway.time_sync", "time server"),
}
NOT_FROM_THE_SAMPLE = {
    "link-known",
    "experimental",
}  # a link of another package; no experimental profile is in the sample


def test_every_rule_is_broken_here_once() -> None:
    assert {rule.name for rule in rules() if rule.check.__module__ in OWN} == set(BROKEN) | NOT_FROM_THE_SAMPLE
    for rule in rules():
        assert rule.says[-1] == ".", rule.name
        assert rule.check.__doc__, rule.name


def test_the_sample_breaks_no_rule_that_needs_no_files_of_a_box(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    assert config.security.mode == "production"
    assert own(violations(config)) == []
    assert {finding.rule for finding in own(findings(config))} == {"name-service"}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_named_with_its_key_its_line_why_and_what_to_change(tmp_path: Path, name: str) -> None:
    changes, more, key, words = BROKEN[name]
    config = config_of(tmp_path, *changes, more=more)
    rule = next(rule for rule in rules() if rule.name == name)
    found = violations(config) if rule.stops else findings(config)
    first = next(v for v in found if v.rule == name and v.key == key)
    assert words in first.why
    assert first.hint
    assert "\n" not in str(first)
    path, line = first.where.rsplit(":", 1)
    assert Path(path) == config.path
    last = re.split(r"[.]", key)[-1]
    text = config.text.splitlines()[int(line) - 1]
    missing = name in (
        "sink-tls",
        "sink-mutual",
        "sink-san",
        "leave-metrics",
        "sink-conduit",
    )  # a key that is not there, or above
    assert last in text or missing or "[" in text or name == "leave-interval", (line, text)


PERSONAL = {
    "gateway": ('name = "gw-ita-03"', 'name = "070761-4285"'),
    "port": ('name = "stue4-seng1"', 'name = "070761-4285"'),
    "device": ('name = "mp70-18"', 'name = "070761-4285"'),
    "location": ('unit = "ITA", room = "Stue 4"', 'unit = "0707614285", room = "Stue 4"'),
    "path": ("usb-FTDI_RS232_A50285BI-if00-port0", "usb-0707614285-if00-port0"),
    "route": ('metrics = ["MDC_ECG_AMPL_ST_*"]', 'metrics = ["MDC_ECG_AMPL_ST_*", "070761 4285"]'),
    "conduit": ('name = "broker"', 'name = "070761-4285"'),
    "why": ('why = "', 'why = "070761-4285 '),
    "zone": ('title = "', 'title = "070761-4285 '),
}


@pytest.mark.parametrize("place", PERSONAL)
def test_a_number_of_a_person_anywhere_stops_production_and_is_quoted_nowhere(tmp_path: Path, place: str) -> None:
    change = PERSONAL[place]
    config = config_of(tmp_path, change)
    with pytest.raises(PolicyError) as refused:
        enforce(config, ("forward", "acquire"))
    found = [v for v in refused.value.violations if v.rule == "no-person"]
    line = config.text[: config.text.index(change[1])].count("\n") + 1
    assert str(config.path) + f":{line}" in [v.where for v in found]
    assert not looks_personal(str(refused.value).replace(str(tmp_path), ""))
    assert not re.search("070761.?4285", str(refused.value))


def test_in_production_all_is_listed_at_once_and_in_lab_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    worse = [
        change for name in ("port-conduit", "can-controller", "sink-mqtt5", "zone-known") for change in BROKEN[name][0]
    ]
    config = config_of(tmp_path, *worse)
    with pytest.raises(PolicyError) as refused:
        enforce(config, ("forward", "acquire"))
    assert refused.value.exit_code == 2
    named = {violation.rule for violation in refused.value.violations}
    assert {"port-conduit", "can-controller", "sink-mqtt5", "zone-known"} <= named
    assert len(str(refused.value).splitlines()) == 1 + len(refused.value.violations)
    lab = config_of(tmp_path, ('mode = "production"', 'mode = "lab"'), *worse)
    said = enforce(lab, ("forward", "acquire"))
    assert named <= {violation.rule for violation in said} | {"signed", "sealed"} | (named - set(BROKEN))
    assert any("LAB" in record.message for record in caplog.records)
    assert all(str(violation) in caplog.text for violation in said)


def test_a_file_sink_needs_a_conduit_of_its_own(tmp_path: Path) -> None:
    start, end = SAMPLE.index("[sink]"), SAMPLE.index("# Routes: what is sent")
    swap = (SAMPLE[start:end], '[sink]\nkind = "file"\ndirectory = "/srv/mdi/out"\n\n')
    assert "sink-conduit" in {v.rule for v in violations(config_of(tmp_path, swap))}
    allowed = config_of(tmp_path, swap, more=conduit("folder", "kita", "file", 'device = "/srv/mdi/out"'))
    assert own(violations(allowed)) == []
    assert [c.name for c in conduits_of_sink(allowed)] == ["folder"]


def test_a_udp_device_that_may_be_anybody_is_refused(tmp_path: Path) -> None:
    config = config_of(tmp_path, ('host = "10.20.40.11"', 'host = ""'))
    assert "whoever announces himself" in " ".join(v.why for v in violations(config))


def test_the_conduits_of_a_port_are_those_that_it_goes_through(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    through = {port.settings.name: [c.name for c in conduits_of(config, port)] for port in config.ports}
    assert through == {
        "stue3-seng2": ["serielle-linjer"],
        "stue4-seng1": ["monitor-net", "monitor-kald"],
        "laboratorium-skabe": ["laboratorie-skabe"],
        "ecmo": ["ecmo-bus"],
    }


@pytest.mark.parametrize(
    ("path", "pattern", "good"),
    [
        ("/dev/serial/by-id/x", "/dev/serial/by-id/*", True),
        ("/dev/serial/by-id/../../mem", "/dev/serial/by-id/*", False),
        ("/dev/serial/by-id/a/b", "/dev/serial/by-id/*", False),
        ("/dev//ttyS0", "/dev/*", False),
        ("/dev/..", "/dev/*", False),
        ("can0", "can?", True),
        ("can10", "can?", False),
        ("", "*", False),
    ],
)
def test_a_pattern_of_a_path_stops_at_each_slash(path: str, pattern: str, good: bool) -> None:
    assert path_matches(path, pattern) == good


@given(st.ip_addresses(v=4), st.integers(16, 32))
def test_an_address_is_covered_by_its_network_and_by_no_neighbour(address, prefix: int) -> None:  # type: ignore[no-untyped-def]
    import ipaddress

    network = ipaddress.ip_network((address, prefix), strict=False)
    assert host_matches(str(address), str(network))
    after = int(network.broadcast_address) + 1
    if after < 2**32:
        assert not host_matches(str(ipaddress.ip_address(after)), str(network))


def test_a_name_is_covered_by_the_same_name_only() -> None:
    assert host_matches("Broker.example", "broker.example")
    assert not host_matches("broker.example", "10.0.0.0/8")
    assert not host_matches("10.0.0.1.evil.example", "10.0.0.1")
    assert not host_matches("", "")


def test_a_conduit_for_modbus_is_for_no_other_protocol(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    port = config.ports[2]
    (way,) = port.link_kind.ways(port.link)
    modbus = next(c for c in config.conduits if c.kind == "modbus")
    assert covers(modbus, way, "modbus")
    assert not covers(modbus, way, "philips_intellivue")


@pytest.mark.parametrize("line", ['carries = ["values", "names"]', 'identifiers = ["device", "cpr"]'])
def test_a_conduit_knows_only_words_that_exist(tmp_path: Path, line: str) -> None:
    old = 'carries = ["values", "alerts"]' if line.startswith("carries") else '# identifiers = ["device", "place"]'
    with pytest.raises(ConfigError, match="must be of") as caught:
        config_of(tmp_path, (old, line))
    assert caught.value.where.startswith(str(tmp_path))


def test_the_table_of_rules_in_the_documentation_is_the_rules() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    table = set(re.findall(r"(?m)^\| `([a-z0-9.-]+)` \| (.*) \| (stops|finding) \|$", text))
    assert table == {(rule.name, rule.says, "stops" if rule.stops else "finding") for rule in rules()}


def test_a_reload_that_breaks_a_rule_is_refused_whole(tmp_path: Path) -> None:
    running = config_of(tmp_path)
    broken = config_of(tmp_path, *BROKEN["can-controller"][0])

    def read() -> Config:
        enforce(broken, ("acquire",))
        return broken

    reload = Reload(running, read, None, None)
    reload.begin()
    reload.end()
    assert reload.config is running
    assert not reload.said["ok"]
    assert "can-controller" in reload.said["said"]


def test_a_running_gateway_cannot_be_made_a_lab(tmp_path: Path) -> None:
    running = config_of(tmp_path)
    lab = config_of(tmp_path, ('mode = "production"', 'mode = "lab"'))
    reload = Reload(running, lambda: lab, None, None)
    reload.begin()
    reload.end()
    assert reload.config is running
    assert "[security] mode" in reload.said["said"]


@pytest.mark.e2e
@pytest.mark.parametrize("command", ["check", "run", "acquire", "forward"])
def test_no_command_starts_what_breaks_rules_and_all_are_listed(tmp_path: Path, command: str) -> None:
    names = ("port-conduit", "can-controller", "sink-mqtt5", "zone-known")
    config = config_of(tmp_path, *(change for name in names for change in BROKEN[name][0]))
    words = [sys.executable, "-m", "gateway.cli.app", command, "--config", str(config.path)]
    environment = fresh_environment() | {"COLUMNS": "400"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 2, done.stderr
    for name in names:
        assert f"[{name}]" in done.stdout + done.stderr
    assert not (tmp_path / "run").exists()
    assert "Traceback" not in done.stderr
