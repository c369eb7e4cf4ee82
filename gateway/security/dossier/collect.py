"""Facts of one box, collected once. Only here does the dossier read files, run programs and look at the host.

What cannot be looked at becomes None: unknown. The rest goes on.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from gateway.config import Config, Device, Port
from gateway.core.errors import MdiError
from gateway.links import can as can_link
from gateway.security.dossier import collect_parts as parts
from gateway.security.dossier.collect_host import access, host, passwords, support, units
from gateway.security.dossier.collect_inventory import inventory_fact
from gateway.security.dossier.exam import exam
from gateway.security.dossier.facts import (
    ConduitFact,
    ConfigFact,
    DeviceFact,
    Facts,
    ZoneFact,
)
from gateway.security.dossier.known_answers import known_answers
from gateway.security.dossier.results import read_results, software
from gateway.security.onboard.standing import Standing
from gateway.security.policy import conduits_of, conduits_of_sink
from gateway.security.trust.load import Judged
from gateway.status import read_live_status

T = TypeVar("T")
STABLE = ("/dev/serial/by-id/", "/dev/serial/by-path/", "/dev/mdi/")  # bound to a serial number or to a place
PROGRAM = Path(__file__).resolve().parents[3]  # the installed tree, or a checkout
SENDS = re.compile(r"\.(send|sendto|send_periodic)\(")


@dataclass(frozen=True)
class Places:
    """Where things are on this box. None: not there, or not asked for."""

    units: Path | None = None
    security_md: Path | None = None
    results: Path | None = None
    manifest: Path | None = None
    root: Path = Path("/")


def tool_version() -> str:
    """Return the version that is installed."""
    try:
        return version("mdi-edge-gateway")
    except PackageNotFoundError:
        return "source"


def collect(config: Config, now: datetime, places: Places, asset: str = "") -> Facts:
    """Look at everything once. now: aware; asset: only this device, by its name or asset id."""
    live = _try(lambda: read_live_status(config)) or {}
    stands = _try(lambda: parts.standings(config, now)) or {}
    signed = _try(lambda: parts.judged(config, now))
    trust = signed.trust if signed else None
    devices = (device_fact(port, device, config, live) for port in config.ports for device in port.devices)
    facts = Facts(
        made=now.isoformat(timespec="seconds"),
        version=tool_version(),
        config=config_fact(config),
        devices=tuple(_judged(device, stands, signed) for device in devices),
        zones=tuple(ZoneFact(z.name, z.title, z.trust) for z in config.zones),
        conduits=tuple(conduit_facts(config)),
        violations=_try(lambda: parts.violation_facts(config)),
        people=parts.people_facts(trust, now) if trust else None,
        approvals=_try(lambda: parts.approval_facts(config, stands, trust)) if trust else None,
        certificates=_try(lambda: parts.certificate_facts(config, now)),
        tls_policy=str(config.tls_rules),
        key_mode=_try(lambda: parts.key_mode(config)),
        ruleset=_try(lambda: parts.ruleset_fact(config, stands, now)) if stands else None,
        audit=_try(lambda: parts.audit_fact(config)),
        seal=_try(lambda: parts.seal_fact(config)),
        risks=_try(lambda: parts.risk_facts(config, now)),
        inventory=_try(lambda: inventory_fact(config, now, places.manifest)),
        known_answers=known_answers(),
        can_send=bool(SENDS.search(inspect.getsource(can_link))),
    )
    return _only(_with_host(facts, config, places), asset)


def _with_host(facts: Facts, config: Config, places: Places) -> Facts:
    """Return the facts with what is seen of the host and of the files around."""
    return replace(
        facts,
        access=_try(lambda: access(config, places.root)),
        units=_try(lambda: units(places.units)),
        host=host(places.root),
        passwords=_try(lambda: passwords(config)),
        support=_try(lambda: support(places.security_md)),
        tests=_try(lambda: read_results(places.results)),
        software=_try(lambda: software(PROGRAM)) or "",
    )


def _judged(device: DeviceFact, stands: dict[str, Standing], signed: Judged | None) -> DeviceFact:
    """Return a device with its standing and the signature of its profile."""
    if signed is not None:
        device = replace(device, signature=parts.signed_by(signed, device.profile))
    return parts.with_standing(device, stands[device.name]) if device.name in stands else device


def _only(facts: Facts, asset: str) -> Facts:
    if not asset:
        return facts
    mine = tuple(d for d in facts.devices if asset in (d.name, d.record.get("asset", "")))
    if not mine:
        raise MdiError(f"there is no device {asset!r}", facts.config.path, ", ".join(d.name for d in facts.devices))
    approvals = facts.approvals and tuple(a for a in facts.approvals if a.device == mine[0].name)
    return replace(facts, asset=asset, devices=mine, approvals=approvals)


def _try(look: Callable[[], T]) -> T | None:
    """Return what is seen, or None when it cannot be looked at: no rights, no program, no such file."""
    try:
        return look()
    except (OSError, MdiError, ValueError, KeyError):
        return None


# ---- the configuration


def config_fact(config: Config) -> ConfigFact:
    """Return the configuration as a reviewer asks for it."""
    sink, security = config.sink, config.security
    host = getattr(sink, "host", "")
    address = f"{host}:{sink.port}" if host else str(getattr(sink, "path", ""))
    drops = (f"{r.carries}: {', '.join(r.metrics)} ({', '.join(r.devices)}), {r.interval_s:g} s" for r in config.routes)
    return ConfigFact(
        path=str(config.path),
        sha256=hashlib.sha256(config.path.read_bytes()).hexdigest(),
        name=config.gateway.name,
        site=config.gateway.site,
        unit=config.gateway.unit,
        mode=security.mode,
        processing_id=str(config.gateway.processing_id),
        time_sync=config.gateway.time_sync,
        tls_min=security.tls_min,
        on_firmware_drift=security.on_firmware_drift,
        sink=f"{config.sink_kind.name} {address}".strip(),
        sink_kind=config.sink_kind.name,
        sink_host=host,
        protocol=getattr(sink, "protocol", ""),
        tls=bool(getattr(sink, "ca", "")),
        mutual=bool(getattr(sink, "cert", "") and getattr(sink, "key", "")),
        spool_mib=config.spool.limit_mib,
        grade=config.grade.letter,
        drops=tuple(drops),
    )


def device_fact(port: Port, device: Device, config: Config, live: dict[str, Any]) -> DeviceFact:
    """Return one device as declared and, where the gateway runs, as observed."""
    settings, link = device.settings, port.link_kind
    path = getattr(port.link, "device", "")
    seen, state = _seen(live, port.settings.name, settings.name)
    plan = config.plan(device)
    firmware = str(seen.get("firmware", ""))
    return DeviceFact(
        name=settings.name,
        port=port.settings.name,
        profile=settings.profile,
        driver=port.driver.name,
        link=link.name,
        endpoint=link.describe(port.link),
        stable=path.startswith(STABLE) if path else None,
        eui64=settings.eui64,
        place=", ".join(filter(None, (getattr(device.location, k) for k in ("facility", "unit", "room", "bed")))),
        firmware=settings.firmware,
        digest=plan.digest.hex(),
        patterns=len(device.spec.profile.transmit),
        experimental=bool(device.spec.profile.experimental),
        exam=exam(port, device),
        metrics=len(plan.metrics),
        listen_only=_listen_only(port),
        observed_model=str(seen.get("model", "")),
        observed_firmware=firmware,
        open=None if state is None else state in ("open", "receiving"),
    )


def _seen(live: dict[str, Any], port: str, device: str) -> tuple[dict[str, Any], str | None]:
    acquire = live.get("acquire", {})
    if not acquire.get("alive"):
        return {}, None
    for row in acquire.get("ports", ()):
        if row["name"] == port:
            return next((d for d in row["devices"] if d["name"] == device), {}), str(row["state"])
    return {}, None


def _listen_only(port: Port) -> bool | None:
    """Return the mode of the CAN controller as the kernel tells it. None: no CAN, or it could not be asked."""
    if getattr(port.link, "interface", "") != "socketcan":
        return None
    try:
        from gateway.links.can_mode import listen_only
    except ImportError:
        return None
    return _try(lambda: bool(listen_only(port.link.channel)))


def conduit_facts(config: Config) -> list[ConduitFact]:
    """Return the conduits with what uses them."""
    found = []
    for c in config.conduits:
        target = c.device or c.host
        users = [p.settings.name for p in config.ports if c in conduits_of(config, p)]
        if c in conduits_of_sink(config):
            users.append(f"[sink] {config.sink_kind.name}")
        tls = (c.kind == "mqtt" and bool(getattr(config.sink, "ca", ""))) or c.kind == "syslog"
        carries = c.carries if c.kind == "mqtt" else ()
        identifiers = c.identifiers if c.kind == "mqtt" else ()
        found.append(
            ConduitFact(
                c.name,
                c.zone,
                c.kind,
                target,
                c.port,
                c.why,
                "tls" if tls else "none",
                tuple(users),
                carries,
                identifiers,
            )
        )
    return found
