"""Zones and conduits themselves: each exists, is used, is narrow, and stands once."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config import Config
from gateway.config_security import GATEWAY, ConduitSettings
from gateway.core.settings import did_you_mean
from gateway.security.policy.conduits import NETWORKED, PATHS, as_network, of_port, of_sink
from gateway.security.policy.registry import Broken, Facts, rule

WIDEST = {4: 16, 6: 48}  # shortest prefix of a network: a site of a hospital (RFC 6177 gives one /48); judgement
BY_OTHERS = frozenset({"syslog"})  # used by the box, not by anything in this file


@rule("zone-known", "Each conduit leads to a zone that exists, and not to this gateway itself.")
def zone_known(config: Config, _facts: Facts) -> Iterator[Broken]:
    """A zone that nobody has described, or a misspelt one."""
    names = [zone.name for zone in config.zones]
    for i, conduit in enumerate(config.conduits):
        if conduit.zone == GATEWAY:
            yield Broken(("conduit", i, "zone"), "a conduit leads from the gateway to another zone", "name that zone")
        elif conduit.zone not in names:
            hint = did_you_mean(conduit.zone, names) if names else f'write a [[zone]] name = "{conduit.zone}"'
            yield Broken(("conduit", i, "zone"), f"there is no zone {conduit.zone!r}", hint)


@rule("zone-used", "Each zone is the end of a conduit.")
def zone_used(config: Config, _facts: Facts) -> Iterator[Broken]:
    """A zone to which nothing leads."""
    used = {conduit.zone for conduit in config.conduits}
    for i, zone in enumerate(config.zones):
        if zone.name != GATEWAY and zone.name not in used:
            yield Broken(("zone", i, "name"), "no conduit leads there", "take the zone out, or write its conduit")


@rule("name-once", "Zones and conduits have names of their own, and no two conduits say the same.")
def name_once(config: Config, _facts: Facts) -> Iterator[Broken]:
    """Two of one name, or two for one way, of which one may be taken back and the other forgotten."""
    for kind, names in (("zone", [z.name for z in config.zones]), ("conduit", [c.name for c in config.conduits])):
        for i, name in enumerate(names):
            if name in names[:i]:
                yield Broken((kind, i, "name"), f"the name {name!r} is taken by another {kind}", "give it another one")
    said = [(c.kind, c.device, c.host.lower(), c.port) for c in config.conduits]
    for i, way in enumerate(said):
        if way in said[:i]:
            first = config.conduits[said.index(way)].name
            yield Broken(("conduit", i), f"it allows the same as conduit {first}", "keep one of the two")


@rule("conduit-narrow", "A conduit says what it allows: a path or bus, or a host with a port; never everything.")
def conduit_narrow(config: Config, _facts: Facts) -> Iterator[Broken]:
    """A key that is missing for its kind, one that means nothing for it, or one that allows anything."""
    for i, conduit in enumerate(config.conduits):
        for key, why, hint in _wide(conduit):
            yield Broken(("conduit", i, key), why, hint)


def _wide(conduit: ConduitSettings) -> Iterator[tuple[str, str, str]]:
    if conduit.kind in PATHS:
        if not conduit.device.strip("*?/"):
            yield "device", f"{conduit.device!r} allows everything or nothing", "name the path or the bus"
        if conduit.host or conduit.port:
            yield "host", f"a {conduit.kind} conduit has no host and no port", "take them out"
        return
    if conduit.kind in NETWORKED and conduit.device:
        yield "device", f"a {conduit.kind} conduit has no device", "take it out"
    if not conduit.host:
        yield "host", "it names no host", "write an address, a network or a name"
    if not conduit.port:
        yield "port", "it names no port", "write the port"
    network = as_network(conduit.host)
    if network is not None and network.prefixlen < WIDEST[network.version]:
        most = f"/{WIDEST[network.version]}"
        yield (
            "host",
            f"{network} is {network.num_addresses} addresses",
            f"name the hosts, or a {most} at most",
        )
    elif network is None and "/" in conduit.host:
        yield "host", f"{conduit.host} is no network", "write it as 10.20.40.0/24, with zeros behind the prefix"


@rule("conduit-used", "Each conduit is used; one that is not is a way that somebody may use later.", stops=False)
def conduit_used(config: Config, _facts: Facts) -> Iterator[Broken]:
    """A conduit that no port and no sink goes through."""
    used = {conduit.name for _, conduit in of_sink(config) if conduit}
    used |= {conduit.name for port in config.ports for _, conduit in of_port(config, port) if conduit}
    if config.gateway.time_sync != "NONE":
        used |= {conduit.name for conduit in config.conduits if conduit.kind == "ntp"}
    for i, conduit in enumerate(config.conduits):
        if conduit.name not in used and conduit.kind not in (*BY_OTHERS, "dns"):
            yield Broken(("conduit", i, "name"), "nothing goes through it", "take it out")


@rule("clock-conduit", "A clock kept by time servers has a conduit to them.", stops=False)
def clock_conduit(config: Config, _facts: Facts) -> Iterator[Broken]:
    """Behind a firewall that allows only conduits, the clock would else drift."""
    if config.gateway.time_sync == "NTPV4" and not any(conduit.kind == "ntp" for conduit in config.conduits):
        hint = "write a [[conduit]] of kind ntp for each time server"
        yield Broken(("gateway", "time_sync"), "no conduit leads to a time server", hint)
