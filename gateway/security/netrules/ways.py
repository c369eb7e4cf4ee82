"""The ways that this box may go over the network: from the configuration and the standing of its devices. Pure.

A way is there when three say so: the engineer wants it (a port, the sink), the reviewer allows it (a conduit), and the
device may be opened (its standing). What is wanted and not allowed is told, with the reason, and gets no rule. Names
are resolved here, once, through the `resolve` that is handed in: nft never asks a name server.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from gateway.config import Config, Port
from gateway.config_security import ConduitSettings
from gateway.core.way import Way as CoreWay
from gateway.security.policy.conduits import of_port, of_sink

ACQUIRE, FORWARD, KITA, NETRULES = "mdi-acquire", "mdi-forward", "mdi-kita", "mdi-netrules"
GATEWAY, PEER = "gateway", "peer"  # who speaks first
DNS_PORT, NTP_PORT, SYSLOG_PORT = 53, 123, 514  # RFC 1035, RFC 5905, RFC 5426
SYSLOG_TLS_PORT = 6514  # RFC 5425: TCP
SSH_LONGEST = timedelta(days=7)  # an emergency, not an arrangement [judgement]
PROTOCOLS = {"tcp": "tcp", "udp": "udp", "mqtt": "tcp"}  # kind of way -> protocol; the others are no network of ours

Resolve = Callable[[str], Iterable[str]]  # name -> addresses; nothing: it is not known


class Standing(Protocol):
    """What the firewall needs to know of a device (gateway.security.onboard)."""

    @property
    def may_open(self) -> bool: ...


Standings = Mapping[str, Standing] | Mapping[str, bool]  # name of the device -> may it be opened


@dataclass(frozen=True, order=True)
class Way:
    """One allowed way. addresses: of the other side; port: of the one who is spoken to; until: ISO 8601 UTC, or ""."""

    conduit: str
    users: tuple[str, ...]
    protocol: str
    addresses: tuple[str, ...]
    port: int
    initiator: str = GATEWAY
    why: str = ""
    until: str = ""


@dataclass(frozen=True, order=True)
class Refused:
    """What is wanted and gets no rule. temporary: it is for the network, not for a person, to change that."""

    what: str
    why: str
    temporary: bool = False


@dataclass
class Ways:
    """All of them. groups: multicast groups in which devices announce themselves."""

    ways: list[Way] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    groups: set[str] = field(default_factory=set)


def ways(config: Config, standings: Standings, resolve: Resolve, now: datetime) -> Ways:
    """Return what may be reached by whom. now: aware; decides whether the emergency door is still open."""
    found = Ways()
    for port in config.ports:
        _port(config, port, standings, resolve, found)
    _sink(config, resolve, found)
    _services(config, resolve, found)
    _ssh(config, resolve, now, found)
    found.ways = sorted(set(found.ways))
    return found


def networks(hosts: Iterable[str], resolve: Resolve) -> tuple[str, ...]:
    """Return hosts (address, network or name) as the fewest networks; an address is written without /32."""
    listed = [n for host in hosts for n in _networks(host, resolve)]
    few: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = [
        *ipaddress.collapse_addresses(n for n in listed if isinstance(n, ipaddress.IPv4Network)),
        *ipaddress.collapse_addresses(n for n in listed if isinstance(n, ipaddress.IPv6Network)),
    ]
    return tuple(str(n.network_address) if n.num_addresses == 1 else str(n) for n in few)


def _networks(host: str, resolve: Resolve) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    try:
        return [ipaddress.ip_network(host, strict=False)]
    except ValueError:
        return [ipaddress.ip_network(address) for address in resolve(host)]


def _port(config: Config, port: Port, standings: Standings, resolve: Resolve, found: Ways) -> None:
    """Add the ways of one port. It is open when any of its devices may be: they share the line."""
    what = f"port {port.settings.name}"
    wanted = [(way, conduit) for way, conduit in of_port(config, port) if way.kind in PROTOCOLS]
    names = [d.settings.name for d in port.devices]
    if wanted and not any(_may_open(standings, name) for name in names):
        found.refused.append(Refused(what, f"no device of it may be opened: {', '.join(names)}"))
        return
    for way, conduit in wanted:
        _add(found, what, way, conduit, (ACQUIRE,), resolve)
        if conduit and way.inbound:
            found.groups |= {getattr(port.link, "beacon_group", "")} - {""}


def _add(
    found: Ways,
    what: str,
    way: CoreWay,
    conduit: ConduitSettings | None,
    users: tuple[str, ...],
    resolve: Resolve,
) -> None:
    """Add a way that a conduit allows; tell why, where there is none."""
    addresses = networks([way.host], resolve) if way.host else ()
    if conduit is None:
        found.refused.append(Refused(what, f"no conduit allows {way}"))
    elif not addresses:
        found.refused.append(Refused(what, f"the name {way.host} has no address now", temporary=True))
    else:
        initiator = PEER if way.inbound else GATEWAY
        found.ways.append(Way(conduit.name, users, PROTOCOLS[way.kind], addresses, way.port, initiator, what))


def _may_open(standings: Standings, name: str) -> bool:
    standing = standings.get(name, False)
    return standing if isinstance(standing, bool) else standing.may_open


def _sink(config: Config, resolve: Resolve, found: Ways) -> None:
    users = (FORWARD, KITA) if config.firewall.kita_here else (FORWARD,)
    for way, conduit in of_sink(config):
        if way.kind in PROTOCOLS:
            _add(found, "the sink", way, conduit, users, resolve)


def _services(config: Config, resolve: Resolve, found: Ways) -> None:
    """Add name servers, time servers and the log server, as far as a conduit names them."""
    firewall = config.firewall
    askers = (firewall.resolver_user,) if firewall.resolver_user else (ACQUIRE, FORWARD, NETRULES)
    protocols: tuple[str, ...]
    users: tuple[str, ...]
    for conduit in config.conduits:
        if conduit.kind == "dns":
            port, protocols, users = conduit.port or DNS_PORT, ("udp", "tcp"), askers
        elif conduit.kind == "ntp":
            port, protocols, users = conduit.port or NTP_PORT, ("udp",), (firewall.time_user,)
        elif conduit.kind == "syslog":
            port = conduit.port or SYSLOG_PORT
            protocols, users = ("tcp",) if port == SYSLOG_TLS_PORT else ("udp",), (firewall.syslog_user,)
        else:
            continue
        addresses = networks([conduit.host], resolve) if conduit.host else ()
        if not addresses:
            why = f"the name {conduit.host} has no address now" if conduit.host else "it names no host"
            found.refused.append(Refused(f"conduit {conduit.name}", why, temporary=bool(conduit.host)))
        for protocol in protocols if addresses else ():
            found.ways.append(Way(conduit.name, users, protocol, addresses, port, why=conduit.kind))


def _ssh(config: Config, resolve: Resolve, now: datetime, found: Ways) -> None:
    """Add the emergency door, when it was opened on purpose and its time is not over."""
    firewall = config.firewall
    if not firewall.ssh_from:
        return
    until = datetime.fromisoformat(firewall.ssh_until)
    addresses = networks(firewall.ssh_from, resolve)
    if until <= now:
        found.refused.append(Refused("ssh", f"its time was over at {firewall.ssh_until}"))
    elif until > now + SSH_LONGEST:
        found.refused.append(Refused("ssh", f"open until {firewall.ssh_until}: longer than {SSH_LONGEST.days} days"))
    elif not addresses:
        found.refused.append(Refused("ssh", "its jump hosts have no address now", temporary=True))
    else:
        over = until.astimezone(now.tzinfo).isoformat(" ", "seconds")
        found.ways.append(Way("ssh", (), "tcp", addresses, firewall.ssh_port, PEER, "emergency access", over))
