"""mdi_config.toml: read whole, checked whole, before any port is opened.

The sections are settings dataclasses, so the sample file, the documentation and the check have one source. Reading
returns a Config that is right, or raises ConfigError with file, line, key and a suggestion.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway import registry
from gateway.core.errors import ConfigError, MdiError
from gateway.core.plan import Plan
from gateway.core.protocol import DeviceSpec, Driver
from gateway.core.settings import Settings, build, did_you_mean, setting
from gateway.core.toml_lines import line_of, load
from gateway.links.base import LinkKind
from gateway.sinks.base import SinkKind

NAME = r"[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?"  # also used in topics and file names
EUI64 = r"[0-9A-F]{16}"


@dataclass(frozen=True)
class GatewaySettings(Settings):
    """[gateway]: who this box is."""

    name: str = field(metadata=setting("Name of this gateway; part of topics and message ids.", pattern=NAME))
    eui64: str = field(metadata=setting("EUI-64 of this gateway, 16 hex digits (MSH-3, OBR-3).", pattern=EUI64))
    site: str = field(metadata=setting("Hospital as named in topics.", pattern=NAME))
    unit: str = field(metadata=setting("Ward or department as named in topics.", pattern=NAME))
    facility: str = field(metadata=setting("Sending facility (MSH-4)."))
    timezone: str = field(default="Europe/Copenhagen", metadata=setting("Time zone of the times in messages."))
    time_sync: str = field(
        default="NONE",
        metadata=setting(
            "How the clock of this box is kept, as told to the receiver (11073 MDC_TIME_SYNC_…).",
            choices=("NONE", "NTPV4"),
        ),
    )
    processing_id: str = field(
        default="P",
        metadata=setting(
            "MSH-11: P production, T training (lab, demo: never charted), D debugging.", choices=("P", "T", "D")
        ),
    )
    state_dir: str = field(default="/var/lib/mdi", metadata=setting("Where the spool lives; a disk that keeps data."))
    run_dir: str = field(default="/run/mdi", metadata=setting("Where rings and status live; memory (tmpfs)."))
    profiles: tuple[str, ...] = field(
        default=(), metadata=setting("Folders with own device profiles, asked before the packaged ones.")
    )


@dataclass(frozen=True)
class ReceiverSettings(Settings):
    """[receiver]: who the messages are for."""

    application: str = field(default="KITA", metadata=setting("Receiving application (MSH-5)."))
    facility: str = field(default="RM", metadata=setting("Receiving facility (MSH-6)."))


@dataclass(frozen=True)
class ForwardSettings(Settings):
    """[forward]: from the rings to the receiver's acknowledgement."""

    commit_ms: int = field(
        default=100,
        metadata=setting(
            "Pause between two rounds: a sample that is due is synced on disk about so soon.", "ms", low=10, high=200
        ),
    )
    ack_timeout_s: float = field(
        default=30.0,
        metadata=setting("Silence of the receiver after which the same bytes are sent again.", "s", low=1, high=600),
    )
    keep_s: float = field(
        default=5.0,
        metadata=setting("Pause before a resend when the receiver cannot store now (CE).", "s", low=0.1, high=600),
    )
    rows_per_message: int = field(default=500, metadata=setting("Most observations in one message.", low=1, high=5000))


@dataclass(frozen=True)
class SpoolSettings(Settings):
    """[spool]: what is kept until the receiver has acknowledged it."""

    segment_mib: int = field(default=16, metadata=setting("Size of one segment file.", "MiB", low=1, high=1024))
    limit_mib: int = field(
        default=2048,
        metadata=setting("Most disk space; beyond it the oldest data is lost, and declared lost.", "MiB", low=2),
    )


@dataclass(frozen=True)
class RouteSettings(Settings):
    """[[route]]: what is sent at what interval. The first route that names a metric decides; none: it is not sent."""

    metrics: tuple[str, ...] = field(
        default=("*",), metadata=setting("Reference ids, with * and ? as wildcards: MDC_ECG_HEART_RATE, MDC_PRESS_*.")
    )
    devices: tuple[str, ...] = field(default=("*",), metadata=setting("Names of devices, with * and ?."))
    interval_s: float = field(
        default=0.0,
        metadata=setting(
            "0: every sample. Otherwise the latest usable value of each window; episodic values at once.",
            "s",
            low=0,
            high=86400,
        ),
    )

    def names(self, device: str, ref_id: str) -> bool:
        """Tell whether this route decides for the metric of the device."""
        return any(fnmatch.fnmatchcase(device, d) for d in self.devices) and any(
            fnmatch.fnmatchcase(ref_id, m) for m in self.metrics
        )


@dataclass(frozen=True)
class LocationSettings(Settings):
    """[port.device.location]: where the device stands (PV1-3). Never who lies there."""

    unit: str = field(default="", metadata=setting("Point of care.", empty=True))
    room: str = field(default="", metadata=setting("Room.", empty=True))
    bed: str = field(default="", metadata=setting("Bed.", empty=True))
    facility: str = field(default="", metadata=setting("Hospital.", empty=True))


@dataclass(frozen=True)
class DeviceSettings(Settings):
    """[[port.device]]: one device on the line of a port."""

    name: str = field(metadata=setting("Name of the device, unique on this gateway.", pattern=NAME))
    profile: str = field(metadata=setting("Device profile, vendor/model."))
    eui64: str = field(metadata=setting("EUI-64 of the device, 16 hex digits (OBX-18).", pattern=EUI64))
    firmware: str = field(
        default="", metadata=setting("Firmware, for a device that cannot say it itself; empty: as it says.", empty=True)
    )
    options: Mapping[str, Any] = field(default_factory=dict, metadata=setting("What the driver wants to know of it."))


@dataclass(frozen=True)
class PortSettings(Settings):
    """[[port]]: one line to one or more devices."""

    name: str = field(metadata=setting("Name of the port, unique on this gateway.", pattern=NAME))
    driver: str = field(metadata=setting("Driver that speaks the protocol of the line."))
    ring_rows: int = field(
        default=16384,
        metadata=setting(
            "Room between port and forwarder, a power of two; size it for 10 s and more.",
            "rows",
            low=1024,
            high=1 << 22,
        ),
    )
    options: Mapping[str, Any] = field(default_factory=dict, metadata=setting("Options of the driver."))


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
    receiver: ReceiverSettings
    forward: ForwardSettings
    spool: SpoolSettings
    sink_kind: SinkKind[Any]
    sink: Any
    routes: tuple[RouteSettings, ...]
    ports: tuple[Port, ...]
    profiles: registry.Profiles

    def plan(self, device: Device) -> Plan:
        """Compile the plan of a device for its configured firmware."""
        return self.profiles.plan(device.settings.profile, device.settings.firmware)

    @property
    def devices(self) -> tuple[Device, ...]:
        """All devices, by number."""
        return tuple(device for port in self.ports for device in port.devices)


def read_config(path: Path) -> Config:
    """Read and check the configuration. Raises: ConfigError or ProfileError for the first thing that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError("configuration is not UTF-8", str(path), "save it as UTF-8") from None
    except OSError as fault:
        raise ConfigError(f"cannot be read: {fault.strerror}", str(path), "name it with --config FILE") from fault
    return _Reader(path, text).config()


MADE_UP = ("replay", "loopback")  # links that carry no device's present values
_SECTIONS = ("gateway", "receiver", "forward", "spool", "sink", "route", "port")


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
                raise ConfigError(f"unknown section [{section}]", self.at()(section), did_you_mean(section, _SECTIONS))
        for section in ("gateway", "sink", "route", "port"):
            if section not in doc:
                raise ConfigError(f"section [{section}] is missing", str(self.path), "see the sample mdi_config.toml")
        gateway = self.section(doc, "gateway", GatewaySettings)
        self.timezone(gateway)
        profiles = registry.Profiles([Path(p) for p in gateway.profiles])
        kind, sink = self.kind("sink", doc["sink"], ("sink",))
        return Config(
            path=self.path,
            gateway=gateway,
            receiver=self.section(doc, "receiver", ReceiverSettings),
            forward=self.section(doc, "forward", ForwardSettings),
            spool=self.section(doc, "spool", SpoolSettings),
            sink_kind=kind,
            sink=sink,
            routes=tuple(build(RouteSettings, r, self.at("route", i)) for i, r in self.tables(doc, "route")),
            ports=self.ports(doc, profiles, gateway.processing_id),
            profiles=profiles,
        )

    def section(self, doc: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
        table = doc.get(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{name} must be a section", self.at()(name), f"write [{name}]")
        return build(kind, table, self.at(name))

    def tables(self, doc: Mapping[str, Any], name: str, *path: str | int) -> Iterator[tuple[int, dict[str, Any]]]:
        tables = doc.get(name, [])
        if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
            dotted = ".".join(str(p) for p in (*path, name) if isinstance(p, str))
            raise ConfigError(f"at least one [[{dotted}]] is needed", self.at(*path)(name), f"write [[{dotted}]]")
        return enumerate(tables)

    def timezone(self, gateway: GatewaySettings) -> None:
        try:
            ZoneInfo(gateway.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            where = self.at("gateway")("timezone")
            raise ConfigError(
                f"time zone {gateway.timezone!r} is not known", where, 'write "Europe/Copenhagen"'
            ) from None

    def kind(self, group: str, table: Any, path: tuple[str | int, ...]) -> tuple[Any, Any]:
        """Read a table with `kind = …`: the registered kind and its settings."""
        where = self.at(*path)
        if not isinstance(table, dict) or "kind" not in table:
            raise ConfigError("key 'kind' is missing", where(), "kind = one of " + ", ".join(registry.names(group)))
        kind = self.find(group, table["kind"], where("kind"))
        rest = {key: value for key, value in table.items() if key != "kind"}
        return kind, build(kind.settings, rest, where)

    def find(self, group: str, name: str, where: str) -> Any:
        """Look a registered name up; the error names its line."""
        try:
            return registry.find(group, name)
        except ConfigError as fault:
            raise ConfigError(fault.what, where, fault.hint) from None

    def ports(self, doc: Mapping[str, Any], profiles: registry.Profiles, processing_id: str) -> tuple[Port, ...]:
        ports: list[Port] = []
        taken: dict[str, str] = {}
        used: dict[str, str] = {}
        number = 0
        for i, table in self.tables(doc, "port"):
            port = self.port(i, table, number, profiles, processing_id)
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

    def port(self, i: int, table: dict[str, Any], number: int, profiles: registry.Profiles, processing_id: str) -> Port:
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
        if kind.name in MADE_UP and processing_id == "P":
            hint = 'its values are of no patient: set processing_id = "T" in [gateway]'
            raise ConfigError(f"link {kind.name} in production", where("link", "kind"), hint)
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
        return Device(number, settings, location, DeviceSpec(n, profile, settings.options))

    def options(
        self, given: Mapping[str, Any], known: Mapping[str, tuple[type, Any, str]], path: tuple[str | int, ...]
    ) -> None:
        """Check driver options against the driver's own table."""
        for key, value in given.items():
            where = self.at(*path)(key)
            if key not in known:
                raise ConfigError(f"unknown driver option {key!r}", where, did_you_mean(key, known))
            kind, _, meaning = known[key]
            if not isinstance(value, (int, float) if kind is float else kind) or (
                kind is not bool and isinstance(value, bool)
            ):
                raise ConfigError(f"{key} = {value!r} must be {kind.__name__}", where, meaning)

    def compile(self, port: Port, where: Callable[..., str], profiles: registry.Profiles) -> None:
        """Make driver and plans once, so that whatever they refuse is refused now and with a line."""
        for n, device in enumerate(port.devices):
            try:
                profiles.plan(device.settings.profile, device.settings.firmware)
            except MdiError as fault:
                raise ConfigError(fault.what, where("device", n, "profile"), fault.hint) from fault
        try:
            port.driver.protocol([device.spec for device in port.devices], port.settings.options)
        except MdiError as fault:
            if fault.where:
                raise
            raise ConfigError(fault.what, where("driver"), fault.hint) from fault
