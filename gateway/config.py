"""mdi_config.toml: read whole, checked whole, before any port is opened.

The sections are settings dataclasses, so the sample file, the documentation and the check have one source. Reading
returns a Config that is right, or raises ConfigError with file, line, key and a suggestion.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway import registry
from gateway.config_sections import (
    DeviceSettings,
    ForwardSettings,
    GatewaySettings,
    LocationSettings,
    PortSettings,
    ReceiverSettings,
    RouteSettings,
    SpoolSettings,
)
from gateway.config_security import (
    LAB,
    AccessSettings,
    AuditSettings,
    ConduitSettings,
    FirewallSettings,
    LogSettings,
    SecuritySettings,
    WebSettings,
    ZoneSettings,
)
from gateway.core.errors import ConfigError, MdiError
from gateway.core.grammar import GrammarError
from gateway.core.plan import Plan
from gateway.core.protocol import DeviceSpec, Driver
from gateway.core.settings import build, did_you_mean
from gateway.core.toml_lines import line_of, load, shown
from gateway.grade import Grade, grade
from gateway.links.base import LinkKind
from gateway.security.certs.tls import TlsRules
from gateway.sinks.base import SinkKind


@dataclass(frozen=True)
class Device:
    """One configured device. number: its SAMPLE.source, the position in the file."""

    number: int
    settings: DeviceSettings
    location: LocationSettings
    spec: DeviceSpec


@dataclass(frozen=True)
class Port:
    """One configured port, everything looked up."""

    settings: PortSettings
    driver: Driver
    link_kind: LinkKind[Any]
    link: Any
    devices: tuple[Device, ...]


@dataclass(frozen=True)
class Config:
    """The whole configuration, checked."""

    path: Path
    gateway: GatewaySettings
    security: SecuritySettings
    firewall: FirewallSettings
    access: AccessSettings
    web: WebSettings
    zones: tuple[ZoneSettings, ...]
    conduits: tuple[ConduitSettings, ...]
    audit: AuditSettings
    log: LogSettings
    receiver: ReceiverSettings
    forward: ForwardSettings
    spool: SpoolSettings
    sink_kind: SinkKind[Any]
    sink: Any
    routes: tuple[RouteSettings, ...]
    ports: tuple[Port, ...]
    profiles: registry.Profiles
    text: str = field(default="", repr=False, compare=False)

    def where(self, *path: str | int) -> str:
        """Return "file:line" of a place in the document, or of its nearest parent: ("port", 0, "link", "host")."""
        return f"{self.path}:{line_of(self.text, path)}"

    @property
    def sha256(self) -> str:
        """What names this state of the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def lab(self) -> bool:
        """The rules are only said, not enforced; nothing that leaves is charted."""
        return self.security.mode == LAB

    def plan(self, device: Device) -> Plan:
        """Compile the plan of a device for its configured firmware."""
        return self.profiles.plan(device.settings.profile, device.settings.firmware)

    def interval_s(self, carries: str, device: str, ref_id: str) -> float | None:
        """Return the interval of the first route that names the metric of a device, None when none does."""
        routes = (r for r in self.routes if r.carries == carries and r.names(device, ref_id))
        return next((route.interval_s for route in routes), None)

    @property
    def grade(self) -> Grade:
        """What is promised of a message with this configuration."""
        made_up = [port.settings.name for port in self.ports if port.link_kind.name in MADE_UP]
        return grade(self.gateway.processing_id, self.sink_kind.released_by(self.sink), made_up, self.lab)

    @property
    def tls_rules(self) -> TlsRules:
        """How the broker is spoken to: the lowest version, and the name its conduit wants in its certificate."""
        host, port = getattr(self.sink, "host", ""), getattr(self.sink, "port", 0)
        ways = (c for c in self.conduits if c.kind == "mqtt" and c.host == host and c.port in (0, port))
        return TlsRules(self.security.tls_min, next((c.san for c in ways), ""))

    @property
    def devices(self) -> tuple[Device, ...]:
        """All devices, by number."""
        return tuple(device for port in self.ports for device in port.devices)


def read_config(path: Path) -> Config:
    """Read and check the configuration. Raises: ConfigError or ProfileError for the first thing that is wrong."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG + 1)
        text = data.decode("utf-8")  # exactly: what is signed is what is read, line ends too
    except UnicodeDecodeError:
        raise ConfigError("configuration is not UTF-8", str(path), "save it as UTF-8") from None
    except OSError as fault:
        raise ConfigError(f"cannot be read: {fault.strerror}", str(path), "name it with --config FILE") from fault
    if len(data) > MAX_CONFIG:
        raise ConfigError(f"is larger than {MAX_CONFIG // 1024} KiB", str(path), "a configuration is a table")
    return _Reader(path, text).config()


MAX_CONFIG = 1024 * 1024  # bytes; hundreds of devices need a tenth
MADE_UP = ("replay", "loopback")  # links that carry no device's present values
_RULES = ("security", "access", "web", "firewall", "zone", "conduit", "audit", "log")
_SECTIONS = ("gateway", *_RULES, "receiver", "forward", "spool", "sink", "route", "port")


class _Reader:
    """Turns the document into a Config and knows the line of everything."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text

    def at(self, *path: str | int) -> Callable[..., str]:
        """Return a function: keys below `path` -> "file:line"."""
        return lambda *keys: f"{self.path}:{line_of(self.text, (*path, *keys))}"

    def config(self) -> Config:
        doc = load(self.text, str(self.path), ConfigError)
        for section in doc:
            if section not in _SECTIONS:
                raise ConfigError(
                    f"unknown section [{shown(section)[1:-1]}]", self.at()(section), did_you_mean(section, _SECTIONS)
                )
        for section in ("gateway", "security", "sink", "route", "port"):
            if section not in doc:
                raise ConfigError(f"section [{section}] is missing", str(self.path), "see the sample mdi_config.toml")
        security: SecuritySettings = self.section(doc, "security", SecuritySettings)
        gateway = self.processing_id(self.section(doc, "gateway", GatewaySettings), security)
        self.timezone(gateway)
        profiles = registry.Profiles([Path(p) for p in gateway.profiles])
        kind, sink = self.kind("sink", doc["sink"], ("sink",))
        return Config(
            path=self.path,
            gateway=gateway,
            security=security,
            firewall=self.section(doc, "firewall", FirewallSettings),
            access=self.section(doc, "access", AccessSettings),
            web=self.section(doc, "web", WebSettings),
            zones=self.optional(doc, "zone", ZoneSettings),
            conduits=self.optional(doc, "conduit", ConduitSettings),
            audit=self.section(doc, "audit", AuditSettings),
            log=self.section(doc, "log", LogSettings),
            receiver=self.section(doc, "receiver", ReceiverSettings),
            forward=self.section(doc, "forward", ForwardSettings),
            spool=self.section(doc, "spool", SpoolSettings),
            sink_kind=kind,
            sink=sink,
            routes=tuple(build(RouteSettings, r, self.at("route", i)) for i, r in self.tables(doc, "route")),
            ports=self.ports(doc, profiles),
            profiles=profiles,
            text=self.text,
        )

    def section(self, doc: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
        table = doc.get(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{name} must be a section", self.at()(name), f"write [{name}]")
        return build(kind, table, self.at(name))

    def optional(self, doc: Mapping[str, Any], name: str, kind: type[Any]) -> tuple[Any, ...]:
        """Read tables of which there may be none."""
        return tuple(build(kind, t, self.at(name, i)) for i, t in self.tables(doc, name)) if name in doc else ()

    def tables(self, doc: Mapping[str, Any], name: str, *path: str | int) -> Iterator[tuple[int, dict[str, Any]]]:
        tables = doc.get(name, [])
        if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
            dotted = ".".join(str(p) for p in (*path, name) if isinstance(p, str))
            raise ConfigError(f"at least one [[{dotted}]] is needed", self.at(*path)(name), f"write [[{dotted}]]")
        return enumerate(tables)

    def processing_id(self, gateway: GatewaySettings, security: SecuritySettings) -> GatewaySettings:
        """Return the section with the processing id of the mode: what a lab sends is never charted."""
        if security.mode == LAB and gateway.processing_id == "P":
            hint = 'take it out, or set mode = "production" in [security]'
            raise ConfigError('processing_id = "P" in lab', self.at("gateway")("processing_id"), hint)
        return replace(gateway, processing_id=gateway.processing_id or ("T" if security.mode == LAB else "P"))

    def timezone(self, gateway: GatewaySettings) -> None:
        try:
            ZoneInfo(gateway.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a name that is too long, or a folder
            where = self.at("gateway")("timezone")
            raise ConfigError(
                f"time zone {shown(gateway.timezone)} is not known", where, 'write "Europe/Copenhagen"'
            ) from None

    def kind(self, group: str, table: Any, path: tuple[str | int, ...]) -> tuple[Any, Any]:
        """Read a table with `kind = …`: the registered kind and its settings."""
        where = self.at(*path)
        if not isinstance(table, dict) or "kind" not in table:
            raise ConfigError("key 'kind' is missing", where(), "kind = one of " + ", ".join(registry.names(group)))
        if not isinstance(table["kind"], str):
            raise ConfigError(
                f"kind = {shown(table['kind'])} must be a text",
                where("kind"),
                "kind = one of " + ", ".join(registry.names(group)),
            )
        kind = self.find(group, table["kind"], where("kind"))
        rest = {key: value for key, value in table.items() if key != "kind"}
        return kind, build(kind.settings, rest, where)

    def find(self, group: str, name: str, where: str) -> Any:
        """Look a registered name up; the error names its line."""
        try:
            return registry.find(group, name)
        except ConfigError as fault:
            raise ConfigError(fault.what, where, fault.hint) from None

    def ports(self, doc: Mapping[str, Any], profiles: registry.Profiles) -> tuple[Port, ...]:
        ports: list[Port] = []
        taken: dict[str, str] = {}
        used: dict[str, str] = {}
        number = 0
        for i, table in self.tables(doc, "port"):
            port = self.port(i, table, number, profiles)
            number += len(port.devices)
            where = self.at("port", i)
            for name, at in [(port.settings.name, where("name"))] + [
                (d.settings.name, where("device", n, "name")) for n, d in enumerate(port.devices)
            ]:
                if name in taken:
                    raise ConfigError(
                        f"the name {name!r} is taken by {taken[name]}", at, "names are unique on a gateway"
                    )
                taken[name] = at
            resource = port.link_kind.resource(port.link)
            if resource and resource in used:
                hint = "one port to one line: put both devices on it as [[port.device]]"
                raise ConfigError(f"{resource} is already used by port {used[resource]!r}", where("link"), hint)
            used[resource] = port.settings.name
            ports.append(port)
        return tuple(ports)

    def port(self, i: int, table: dict[str, Any], number: int, profiles: registry.Profiles) -> Port:
        where = self.at("port", i)
        settings = build(PortSettings, table, where, ignore=("link", "device"))
        if settings.ring_rows & (settings.ring_rows - 1):
            raise ConfigError(f"ring_rows = {settings.ring_rows} is no power of two", where("ring_rows"), "write 16384")
        driver: Driver = self.find("driver", settings.driver, where("driver"))
        self.options(settings.options, driver.options, ("port", i, "options"))
        kind, link = self.kind("link", table.get("link"), ("port", i, "link"))
        if kind.name not in (*driver.links, *MADE_UP):
            hint = "use " + " or ".join(driver.links)
            raise ConfigError(f"driver {driver.name} does not run on link {kind.name}", where("link", "kind"), hint)
        devices = tuple(
            self.device(i, n, device, number + n, driver, profiles)
            for n, device in self.tables(table, "device", "port", i)
        )
        port = Port(settings, driver, kind, link, devices)
        self.compile(port, where, profiles)
        return port

    def device(
        self, i: int, n: int, table: dict[str, Any], number: int, driver: Driver, profiles: registry.Profiles
    ) -> Device:
        path = ("port", i, "device", n)
        where = self.at(*path)
        settings = build(DeviceSettings, table, where, ignore=("location",))
        location = build(LocationSettings, table.get("location", {}), self.at(*path, "location"))
        self.options(settings.options, driver.device_options, (*path, "options"))
        try:
            profile = profiles.get(settings.profile)
        except MdiError as fault:
            if fault.where:  # the profile itself is wrong
                raise
            raise ConfigError(fault.what, where("profile"), fault.hint) from None
        if profile.driver != driver.name:
            hint = f"profile {profile.id} is for driver {profile.driver}"
            raise ConfigError(f"profile {profile.id} does not fit driver {driver.name}", where("profile"), hint)
        if profile.experimental and not settings.experimental:
            hint = "experimental = true uses it anyway; all its values are then questionable, and say so"
            raise ConfigError(f"profile {profile.id} is experimental: {profile.experimental}", where("profile"), hint)
        return Device(number, settings, location, DeviceSpec(n, profile, settings.options))

    def options(
        self, given: Mapping[str, Any], known: Mapping[str, tuple[type, Any, str]], path: tuple[str | int, ...]
    ) -> None:
        """Check driver options against the driver's own table."""
        for key, value in given.items():
            where = self.at(*path)(key)
            if key not in known:
                raise ConfigError(f"unknown driver option {shown(key)}", where, did_you_mean(key, known))
            kind, _, meaning = known[key]
            if not isinstance(value, (int, float) if kind is float else kind) or (
                kind is not bool and isinstance(value, bool)
            ):
                raise ConfigError(f"{key} = {shown(value)} must be {kind.__name__}", where, meaning)

    def compile(self, port: Port, where: Callable[..., str], profiles: registry.Profiles) -> None:
        """Make driver and plans once, so that whatever they refuse is refused now and with a line."""
        for n, device in enumerate(port.devices):
            try:
                profiles.plan(device.settings.profile, device.settings.firmware)
            except MdiError as fault:
                raise ConfigError(fault.what, where("device", n, "profile"), fault.hint) from fault
        specs = [device.spec for device in port.devices]
        try:
            port.driver.protocol(specs, port.settings.options)
            registry.gate(port.driver, specs, port.settings.options)
        except GrammarError as fault:
            what = f"the [transmit] of its devices together {fault}"
            raise ConfigError(what, where("device"), "give one of them a port of its own") from fault
        except MdiError as fault:
            if fault.where:
                raise
            raise ConfigError(fault.what, where("driver"), fault.hint) from fault
