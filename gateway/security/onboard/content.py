"""What an approval is about: one value per device, and its hash. What changes it voids the approval, nothing else does.

    record     the device record, with what it refers to: the risks by id, the configured device and its port
    profile    SHA-256 of what its profile says: the meaning of its numbers, and what may be written to it
    conduits   those that the record names, whole
    policy     [security], all zones, version of the rules
    gateway    major.minor of this program

Left out on purpose: where the file stands, comments and order of keys, the place at the bed (an affair of each day; the
record's own location is in), sizes of buffers, routes, other devices and other conduits, and patch releases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from gateway.config import Config, Device, Port
from gateway.core.profile import Profile
from gateway.security.onboard.canonical import EXACT, canonical, digest
from gateway.security.onboard.record import DeviceRecord, Risk
from gateway.security.policy import RULES, conduits_of, conduits_of_sink

FORMAT = 1  # of what is hashed; another one voids every approval
PARTS = ("record", "profile", "conduits", "policy", "gateway")
NO_MEANING = frozenset({"where", "source", "lines", "verified", "note", "wiring", "undetected_flips"})  # of a profile
NETWORK = ("conduits", "policy")


def major_minor() -> str:
    """Return the version of this program without its last part: a patch release voids no approval."""
    return ".".join(version("mdi-edge-gateway").split(".")[:2])


def profile_digest(profile: Profile) -> str:
    """Return SHA-256 of what a profile says: meaning of numbers, files, grammar of what may be written."""
    return digest(_meaning(asdict(profile)))


def content(config: Config, record: DeviceRecord, risks: Mapping[str, Risk]) -> dict[str, Any]:
    """Return what an approval of this record is about, as plain JSON values."""
    found = located(config, record)
    conduits = {c.name: asdict(c) for c in config.conduits}
    named = {name: conduits.get(name) for name in record.use.conduits}
    said: dict[str, Any] = plain(
        {
            "record": {
                **record.content(),
                "risks": {name: asdict(risks[name]) if name in risks else None for name in record.review.risks},
                "configured": configured(*found) if found else None,
            },
            "profile": profile_digest(found[1].spec.profile) if found else "",
            "conduits": named,
            "policy": {
                "security": asdict(config.security),
                "zones": {zone.name: asdict(zone) for zone in config.zones},
                "rules": RULES,
            },
            "gateway": major_minor(),
            "format": FORMAT,
        }
    )
    return said


def located(config: Config, record: DeviceRecord) -> tuple[Port, Device] | None:
    """Return the configured port and device of a record, None when there is no such device."""
    for port in config.ports:
        for device in port.devices:
            if device.settings.name == record.use.device:
                return port, device
    return None


def configured(port: Port, device: Device) -> dict[str, Any]:
    """Return what is configured of a device: how it is reached and read."""
    settings = device.settings
    return {
        "device": settings.name,
        "eui64": settings.eui64,
        "profile": settings.profile,
        "firmware": settings.firmware,
        "experimental": settings.experimental,
        "options": settings.options,
        "port": port.settings.name,
        "driver": port.driver.name,
        "port_options": port.settings.options,
        "link": {"kind": port.link_kind.name, **asdict(port.link)},
    }


def used_conduits(config: Config, port: Port) -> list[str]:
    """Return the names of the conduits that data of a port goes through, its own and that of the sink."""
    return list(dict.fromkeys(c.name for c in (*conduits_of(config, port), *conduits_of_sink(config))))


def differences(was: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield what differs between two contents, field by field: (dotted path, was, now); None: not there."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in sorted({*was, *now}):
            at = f"{path}.{key}" if path else key
            if key in was and key in now:
                yield from differences(was[key], now[key], at)
            else:
                yield at, was.get(key), now.get(key)
    elif canonical(was) != canonical(now):
        yield path, was, now


def plain(value: Any) -> Any:
    """Return a value with lists for tuples and texts for keys: as it reads back from JSON."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
        return int(value)
    return value


def _meaning(value: Any) -> Any:
    """Return a profile without what changes no meaning: lines of the file, sources, notes, wiring."""
    if isinstance(value, Mapping):
        kept = ((key, item) for key, item in value.items() if key not in NO_MEANING)
        return {f"{type(key).__name__[0]}:{key}": _meaning(item) for key, item in kept}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_meaning(item) for item in (sorted(value, key=str) if isinstance(value, (set, frozenset)) else value)]
    if value is None or isinstance(value, (str, bool, float)):
        return value
    if isinstance(value, int):
        return value if abs(value) <= EXACT else str(value)
    return str(value)
