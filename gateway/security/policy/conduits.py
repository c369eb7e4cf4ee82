"""Which conduit covers a way. One question, asked by the rules, the firewall and the dossier alike. Pure.

A conduit is read narrowly: `*` and `?` stop at "/", a path with ".." in it is covered by nothing, a name is never
resolved (what it means could change after the review), and a conduit that says nothing of host or port covers none.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import posixpath
from collections.abc import Iterator

from gateway.config import Config, Port
from gateway.config_security import ConduitSettings
from gateway.core.way import Way

NETWORKED = frozenset({"modbus", "tcp", "udp", "mqtt", "dns", "ntp", "syslog"})
PATHS = frozenset({"serial", "can", "file"})


def covers(conduit: ConduitSettings, way: Way, driver: str = "") -> bool:
    """Tell whether a conduit allows a way. driver: of the port; a conduit of its name is for it alone (modbus)."""
    if conduit.kind != way.kind and not (way.kind == "tcp" and driver == conduit.kind):
        return False
    if conduit.kind in PATHS:
        return path_matches(way.device, conduit.device)
    return bool(way.port) and conduit.port == way.port and host_matches(way.host, conduit.host)


def path_matches(path: str, pattern: str) -> bool:
    """Tell whether a path, or the name of a bus, matches a pattern, part by part."""
    if not path or posixpath.normpath(path) != path:
        return False
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


def host_matches(host: str, allowed: str) -> bool:
    """Tell whether an address lies in a network, or a name is the name."""
    address, network = as_address(host), as_network(allowed)
    if address is None or network is None:
        return bool(host) and host.lower() == allowed.lower()
    return address in network


def as_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address, None when the text is none (a name, or nothing)."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def as_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Return a network (an address is one of its own), None when the text is none."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def ways_of(port: Port) -> tuple[Way, ...]:
    """Return where the link of a port leads."""
    return port.link_kind.ways(port.link)


def of_port(config: Config, port: Port) -> Iterator[tuple[Way, ConduitSettings | None]]:
    """Yield each way of a port with the first conduit that covers it, None when none does."""
    for way in ways_of(port):
        yield way, next((c for c in config.conduits if covers(c, way, port.driver.name)), None)


def conduits_of(config: Config, port: Port) -> tuple[ConduitSettings, ...]:
    """Return the conduits that a port goes through, each once."""
    return tuple(dict.fromkeys(conduit for _, conduit in of_port(config, port) if conduit))


def conduits_of_sink(config: Config) -> tuple[ConduitSettings, ...]:
    """Return the conduits that what leaves goes through, each once."""
    return tuple(dict.fromkeys(conduit for _, conduit in of_sink(config) if conduit))


def of_sink(config: Config) -> Iterator[tuple[Way, ConduitSettings | None]]:
    """Yield each way of the sink with the first conduit that covers it, None when none does."""
    for way in config.sink_kind.ways(config.sink):
        yield way, next((c for c in config.conduits if covers(c, way)), None)
