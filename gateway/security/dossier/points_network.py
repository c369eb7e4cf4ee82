"""Points 27 to 37: network and certificates."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.security.dossier.checklist import Check, Finding, failed, not_applicable, passed, unknown
from gateway.security.dossier.facts import Facts
from gateway.security.dossier.points_software import by_tests

WARN_DAYS = 14  # certificates are exchanged before; the last warnings come at 14 and 7 days (issue 5, rule 5)
ADDRESS = re.compile(r"[0-9.]+|[0-9a-fA-F:]*:[0-9a-fA-F:]+")
LETS_OUT = re.compile(r"^.*\baccept\b.*$", re.MULTILINE)
BOUND = re.compile(r"meta skuid|ct state|iif|oif|\blo\b|icmp")  # by user, or no new way out


def default_deny(facts: Facts) -> Finding:
    """Point 27."""
    if facts.ruleset is None:
        return unknown("no ruleset was made", "intet regelsæt er dannet")
    if not re.search(r"hook output[^;]*; policy drop", facts.ruleset.declared):
        return failed("the ruleset does not drop by default", "regelsættet afviser ikke som udgangspunkt")
    if facts.ruleset.enforced is None:
        return unknown("the rules of the kernel could not be read", "kernens regler kunne ikke læses")
    if not facts.ruleset.enforced:
        return failed("the kernel has other rules than declared", "kernen har andre regler end oplyst")
    return passed(
        "drops by default; the kernel has the declared rules", "afviser som udgangspunkt; kernen har de oplyste regler"
    )


def by_user(facts: Facts) -> Finding:
    """Point 28."""
    if facts.ruleset is None:
        return unknown("no ruleset was made", "intet regelsæt er dannet")
    free = [line.strip() for line in LETS_OUT.findall(facts.ruleset.declared) if not BOUND.search(line)]
    if free:
        return failed(f"a rule without a user: {free[0]}", f"en regel uden bruger: {free[0]}")
    if "meta skuid" not in facts.ruleset.declared:
        return failed("no rule names a user", "ingen regel nævner en bruger")
    return passed("each rule that lets out names its user", "hver regel, der lukker ud, nævner sin bruger")


def three_ways(facts: Facts) -> Finding:
    """Point 29."""
    if facts.ruleset is None or facts.ruleset.drift is None:
        return unknown("the three were not compared", "de tre er ikke sammenlignet")
    if facts.ruleset.drift:
        return failed("; ".join(facts.ruleset.drift), "; ".join(facts.ruleset.drift))
    return passed("no difference", "ingen forskel")


def nothing_listens(facts: Facts) -> Finding:
    """Point 30."""
    if facts.host.listening is None:
        return unknown("the sockets of the host could not be read", "værtens sockets kunne ikke læses")
    if facts.host.listening:
        return failed(f"listens: {', '.join(facts.host.listening)}", f"lytter: {', '.join(facts.host.listening)}")
    return passed("no socket listens beyond loopback", "ingen socket lytter ud over loopback")


def no_way_through(facts: Facts) -> Finding:
    """Point 31."""
    if facts.host.forwarding is None or facts.units is None:
        return unknown("kernel or units could not be read", "kerne eller units kunne ikke læses")
    if facts.host.forwarding:
        return failed("the kernel forwards packets", "kernen videresender pakker")
    open_units = [u.name for u in facts.units if "acquire" in u.name and not _closed(u.settings)]
    if open_units:
        return failed(f"network is open in {', '.join(open_units)}", f"netværket er åbent i {', '.join(open_units)}")
    return passed(
        "no forwarding; the ports' process has no network, or only the addresses of its devices",
        "ingen videresendelse; portprocessen har intet net eller kun sine enheders adresser",
    )


def _closed(settings: Mapping[str, str]) -> bool:
    return settings.get("PrivateNetwork") == "yes" or settings.get("IPAddressDeny") == "any"


def tls_lowest(facts: Facts) -> Finding:
    """Point 32."""
    if facts.config.sink_kind != "mqtt":
        return not_applicable("nothing is sent over a network", "intet sendes over netværk")
    if not facts.config.tls:
        return failed("no TLS is configured", "TLS er ikke konfigureret")
    if facts.config.tls_min not in ("1.2", "1.3"):
        return failed(f"TLS {facts.config.tls_min} is allowed", f"TLS {facts.config.tls_min} er tilladt")
    policy = f" ({facts.tls_policy})" if facts.tls_policy else ""
    return passed(f"TLS {facts.config.tls_min} or later{policy}", f"TLS {facts.config.tls_min} eller nyere{policy}")


def names_and_time(facts: Facts) -> Finding:
    """Point 33."""
    kinds = [conduit.kind for conduit in facts.conduits]
    host = facts.config.sink_host
    if host and not ADDRESS.fullmatch(host) and "dns" not in kinds:
        return failed(
            f"{host} is a name, and no conduit allows dns", f"{host} er et navn, og ingen forbindelse tillader dns"
        )
    servers = [c.target for c in facts.conduits if c.kind == "ntp"]
    if not servers:
        return failed("no conduit names a time server", "ingen forbindelse nævner en tidsserver")
    if any("/" in server for server in servers):
        return failed("a conduit for ntp opens a whole network", "en ntp-forbindelse åbner et helt net")
    return passed(f"time from {', '.join(servers)}", f"tid fra {', '.join(servers)}")


def expiry(facts: Facts) -> Finding:
    """Point 34."""
    if facts.config.sink_kind != "mqtt":
        return not_applicable("no certificate is used", "intet certifikat er i brug")
    if facts.certificates is None:
        return unknown("certificates could not be read", "certifikater kunne ikke læses")
    if not facts.certificates:
        return failed("there is no certificate", "der er intet certifikat")
    late = [f"{c.role} {c.days_left} d" for c in facts.certificates if c.days_left < WARN_DAYS]
    if late:
        return failed(
            f"soon or already expired: {', '.join(late)}", f"udløber snart eller er udløbet: {', '.join(late)}"
        )
    least = min(c.days_left for c in facts.certificates)
    return passed(f"the first expires in {least} days", f"det første udløber om {least} dage")


CHECKS: Mapping[int, Check] = {
    27: default_deny,
    28: by_user,
    29: three_ways,
    30: nothing_listens,
    31: no_way_through,
    32: tls_lowest,
    33: names_and_time,
    34: expiry,
    35: by_tests,
    36: by_tests,
    37: by_tests,
}
