"""Ways -> the table that has them and nothing else. Pure.

Every packet needs a rule, replies too: there is no "established, accept" for all. So a way that is taken away is shut
for the connections on it as well, and with the emergency door's time its sessions end, by the kernel (`meta time`).
Outbound is bound to a user, `meta skuid`. Inbound is not: what answers us is known by its address, port and connection.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping

from gateway.security.netrules.table import Chain, Match, Rule, Table, match, text
from gateway.security.netrules.ways import GATEWAY, PEER, Way, Ways

IN, OUT, FORWARD = "input", "output", "forward"
CHAINS = tuple(Chain(name, f"{name} 0", "drop") for name in (IN, OUT, FORWARD))
COUNTERS = ("dropped_forward", "dropped_in", "dropped_out")
LOG_LIMIT = "limit rate 6/minute burst 5 packets"  # a flood must not fill the journal [judgement]
LOG_PREFIX = {IN: "mdi drop in ", OUT: "mdi drop out ", FORWARD: "mdi drop forward "}
LOOPBACK = "lo"
IGMP, ICMP, ICMPV6 = "igmp", "icmp", "ipv6-icmp"  # names of the protocols as nft lists them
IGMP_REPORT = "224.0.0.22"  # RFC 3376, 4.2.14; queries go to 224.0.0.1
IGMP_QUERY = "224.0.0.1"
# IPv6 finds its neighbours by ICMPv6 where IPv4 has ARP (RFC 4861); only packets that no router has passed.
NEIGHBOURS_OUT = ("nd-neighbor-advert", "nd-neighbor-solicit", "nd-router-solicit")
NEIGHBOURS_IN = ("nd-neighbor-advert", "nd-neighbor-solicit", "nd-router-advert")
NO_HOP = "255"


def table(found: Ways) -> Table:
    """Return the whole table. Its hash stands as comment of its first rule, so it is seen in any listing."""
    rules = [*_inward(found), *_outward(found), *_dropped(FORWARD)]
    first = Rule(IN, (match("meta iif", (LOOPBACK,)),), ("accept",), f"sha256 {_digest(rules)}")
    return Table(CHAINS, COUNTERS, (first, *rules))


def ruleset(found: Ways, config_sha256: str = "", uids: Mapping[str, int] | None = None) -> str:
    """Return the text for nft. Without `uids` users are names, which nft looks up on the box where it loads them."""
    notes = ["Made by mdi netrules from the configuration. Do not edit: mdi netrules --load"]
    notes += [f"configuration sha256 {config_sha256}"] if config_sha256 else []
    notes += [f"no rule for {refused.what}: {refused.why}" for refused in found.refused]
    return text(table(found), uids or {}, notes)


def digest(of: Table) -> str:
    """Return the hash that the first rule of a table tells, "" when it tells none."""
    return next((r.comment.removeprefix("sha256 ") for r in of.rules if r.comment.startswith("sha256 ")), "")


def _digest(rules: Iterable[Rule]) -> str:
    return hashlib.sha256("\n".join(map(str, rules)).encode()).hexdigest()


def _inward(found: Ways) -> list[Rule]:
    rules = [Rule(IN, (match("ct state", ("invalid",)),), ("counter name dropped_in", "drop"))]
    for way in found.ways:
        for side in _sides(way.addresses, "saddr"):
            if way.initiator == GATEWAY:
                known = match("ct state", ("established",))
                rules.append(Rule(IN, (side, _port(way, "sport"), known), ("accept",), way.conduit))
            else:
                rules.append(Rule(IN, (side, _port(way, "dport"), *_time(way)), ("accept",), way.conduit))
    if found.groups:
        rules.append(Rule(IN, (match("ip daddr", (IGMP_QUERY,)), match("meta l4proto", (IGMP,))), ("accept",), "igmp"))
    # What a router says about our own connections: too big, no way.
    rules += [
        Rule(IN, (match("meta l4proto", (icmp,)), match("ct state", ("related",))), ("accept",), "errors of our ways")
        for icmp in (ICMP, ICMPV6)
    ]
    rules += _neighbours(found, IN, NEIGHBOURS_IN)
    return [*rules, *_dropped(IN)]


def _outward(found: Ways) -> list[Rule]:
    rules = [Rule(OUT, (match("meta oif", (LOOPBACK,)),), ("accept",), "loopback")]
    for way in found.ways:
        for side in _sides(way.addresses, "daddr"):
            if way.initiator == GATEWAY:
                who = match("meta skuid", way.users)
                rules.append(Rule(OUT, (who, side, _port(way, "dport")), ("accept",), way.conduit))
            elif way.protocol == "tcp":  # who is spoken to answers; a beacon is not answered
                known = match("ct state", ("established",))
                rules.append(Rule(OUT, (side, _port(way, "sport"), known, *_time(way)), ("accept",), way.conduit))
    if found.groups:
        group = match("ip daddr", {*found.groups, IGMP_REPORT})
        rules.append(Rule(OUT, (group, match("meta l4proto", (IGMP,))), ("accept",), "igmp"))
    rules += _neighbours(found, OUT, NEIGHBOURS_OUT)
    return [*rules, *_dropped(OUT)]


def _sides(addresses: Iterable[str], field: str) -> list[Match]:
    """Return a match for the IPv4 addresses and one for those of IPv6, as far as there are any."""
    listed = list(addresses)
    v6 = [a for a in listed if ipaddress.ip_network(a).version == 6]
    v4 = [a for a in listed if a not in v6]
    return [match(f"{family} {field}", some) for family, some in (("ip", v4), ("ip6", v6)) if some]


def _port(way: Way, field: str) -> Match:
    return match(f"{way.protocol} {field}", (str(way.port),))


def _time(way: Way) -> tuple[Match, ...]:
    """Return the end of a way that has one, in UTC as nft lists it."""
    return (match("meta time", (way.until.removesuffix("+00:00"),), "<"),) if way.until else ()


def _neighbours(found: Ways, chain: str, kinds: Iterable[str]) -> list[Rule]:
    """Let IPv6 find its neighbours, when there is any way over IPv6; else it is silent altogether."""
    if not any(ipaddress.ip_network(a).version == 6 for way in found.ways for a in way.addresses):
        return []
    return [
        Rule(
            chain,
            (match("icmpv6 type", kinds), match("ip6 hoplimit", (NO_HOP,))),
            ("accept",),
            "neighbours",
        )
    ]


def _dropped(chain: str) -> list[Rule]:
    """Say and count what no rule has taken. Outward it is refused, so that a fault shows at once."""
    short = {IN: "in", OUT: "out", FORWARD: "forward"}[chain]
    end = "reject with icmpx admin-prohibited" if chain == OUT else "drop"
    new = match("ct state", ("new",))
    return [
        Rule(chain, (new,), (LOG_LIMIT, f'log prefix "{LOG_PREFIX[chain]}" level info')),
        Rule(chain, (), (f"counter name dropped_{short}", end)),
    ]


def peers(found: Ways) -> list[Way]:
    """Return the ways on which others speak first."""
    return [way for way in found.ways if way.initiator == PEER]
