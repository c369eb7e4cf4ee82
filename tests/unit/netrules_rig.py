"""A configuration with every kind of way, and the tools to ask what the firewall makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from gateway.config import Config, read_config
from gateway.security.netrules.ways import Ways, ways
from tests.conftest import ROOT

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
UIDS = {
    "root": 0,
    "mdi-acquire": 61001,
    "mdi-forward": 61002,
    "mdi-kita": 61003,
    "mdi-netrules": 61004,
    "systemd-timesync": 61005,
}
NAMES = {"mqtt.kita.example": ("10.9.9.9", "fd00:9::9"), "ntp.region.example": ("10.1.1.1", "10.1.1.2")}
SERVICES = """
[[conduit]]
name = "tid"
zone = "kita"
kind = "ntp"
host = "ntp.region.example"
why = "The clock"

[[conduit]]
name = "navne"
zone = "kita"
kind = "dns"
host = "10.1.1.3"
why = "The broker is known by name"

[[conduit]]
name = "log"
zone = "kita"
kind = "syslog"
host = "10.1.1.4"
port = 6514
why = "Audit"
"""


def resolve(host: str) -> Iterable[str]:
    return NAMES.get(host, ())


def written(folder: Path, *changes: tuple[str, str], extra: str = "") -> Config:
    """Return the sample configuration with changes; `extra` comes last."""
    text = (ROOT / "mdi_config.toml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "mdi_config.toml"
    path.write_text(text + extra, encoding="utf-8")
    return read_config(path)


def all_open(config: Config) -> Mapping[str, bool]:
    return {device.settings.name: True for device in config.devices}


def asked(config: Config, standings: Mapping[str, bool] | None = None, now: datetime = NOW) -> Ways:
    return ways(config, all_open(config) if standings is None else standings, resolve, now)
