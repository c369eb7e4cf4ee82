"""Points 38 to 56: data protection, logging, hardening."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.security.dossier.checklist import Check, Finding, duty, failed, passed, unknown
from gateway.security.dossier.facts import Facts, UnitFact
from gateway.security.dossier.points_software import bill, by_tests, days_between

EXPOSURE = 1.0  # highest score of a unit (issue 5, rule 4)
CAPS = ("MemoryMax", "TasksMax", "LimitNOFILE", "CPUQuota")
IDENTIFIERS = {"device", "place"}
FULL = 0.8  # warn from here (point 46)
# What the list asks for, in the words of the catalogue: access, configuration, approval, certificate, start and stop,
# time step, drops, tamper, update (point 44).
ASKED = (
    "access_granted",
    "access_denied",
    "config_accepted",
    "config_refused",
    "approval_verified",
    "approval_rejected",
    "certificate_installed",
    "certificate_refused",
    "start",
    "stop",
    "clock_step",
    "spool_loss",
    "spool_tampered",
    "update",
)


def sealed(facts: Facts) -> Finding:
    """Point 38."""
    if facts.seal is None:
        return unknown("the seal of the spool could not be read", "spoolens forsegling kunne ikke læses")
    if not facts.seal.on:
        return failed("the spool is not encrypted", "spoolen er ikke krypteret")
    return passed("AES-256-GCM, a key per segment", "AES-256-GCM, en nøgle pr. segment")


def key_source(facts: Facts) -> Finding:
    """Point 39."""
    if facts.seal is None:
        return unknown("the source of the key could not be read", "nøglens kilde kunne ikke læses")
    if facts.seal.source == "plain" or not facts.seal.on:
        return failed(
            "the key is in a plain file, or there is none", "nøglen ligger i en almindelig fil, eller der er ingen"
        )
    if not facts.seal.source:
        return unknown("a key is used; where it comes from is not known", "en nøgle bruges; kilden er ukendt")
    return passed(f"credential, bound to {facts.seal.source}", f"credential, bundet til {facts.seal.source}")


def minimal(facts: Facts) -> Finding:
    """Point 40."""
    out = [conduit for conduit in facts.conduits if conduit.kind == "mqtt"]
    more = sorted({word for conduit in out for word in conduit.identifiers} - IDENTIFIERS)
    if more:
        return failed(
            f"more than device and place may leave: {', '.join(more)}",
            f"mere end enhed og placering må forlade boksen: {', '.join(more)}",
        )
    if not out and facts.config.sink_kind == "mqtt":
        return failed("no conduit says what may leave", "ingen forbindelse siger, hvad der må forlade boksen")
    words = ", ".join(sorted({word for conduit in out for word in conduit.identifiers})) or "–"
    return passed(f"leaves: {words}; PID says unknown", f"forlader boksen: {words}; PID siger ukendt")


def canary(facts: Facts) -> Finding:
    """Point 41."""
    del facts
    return passed("the dossier has no field of a patient", "dossieret har intet felt om en patient")


def retention(facts: Facts) -> Finding:
    """Point 42."""
    if facts.config.spool_mib <= 0:
        return failed("the spool has no bound", "spoolen har intet loft")
    return passed(
        f"at most {facts.config.spool_mib} MiB wait; acknowledged data goes",
        f"højst {facts.config.spool_mib} MiB venter; kvitteret data slettes",
    )


def _units(facts: Facts) -> tuple[UnitFact, ...]:
    return facts.units or ()


def no_dumps(facts: Facts) -> Finding:
    """Point 43."""
    if not _units(facts):
        return unknown("no unit could be read", "ingen unit kunne læses")
    wrong = [
        u.name for u in _units(facts) if u.settings.get("LimitCORE") != "0" or u.settings.get("PrivateTmp") != "yes"
    ]
    if wrong:
        return failed(
            f"core dumps or shared /tmp: {', '.join(wrong)}", f"core dumps eller fælles /tmp: {', '.join(wrong)}"
        )
    return passed("LimitCORE=0 and PrivateTmp in each unit", "LimitCORE=0 og PrivateTmp i hver unit")


def catalogue(facts: Facts) -> Finding:
    """Point 44."""
    if facts.audit is None:
        return unknown("there is no audit log", "der er ingen auditlog")
    missing = [event for event in ASKED if event not in facts.audit.events]
    if missing:
        return failed(f"not in the catalogue: {', '.join(missing)}", f"ikke i kataloget: {', '.join(missing)}")
    return passed(f"{len(facts.audit.events)} events", f"{len(facts.audit.events)} hændelser")


def chain(facts: Facts) -> Finding:
    """Point 45."""
    if facts.audit is None or facts.audit.verified is None:
        return unknown("the audit log could not be verified", "auditloggen kunne ikke verificeres")
    if not facts.audit.verified:
        return failed(f"the chain is broken: {facts.audit.fault}", f"kæden er brudt: {facts.audit.fault}")
    return passed(
        f"{facts.audit.entries} entries verified, head {facts.audit.head[:16]}…",
        f"{facts.audit.entries} poster verificeret, hoved {facts.audit.head[:16]}…",
    )


def bounded_log(facts: Facts) -> Finding:
    """Point 46."""
    if facts.audit is None or facts.audit.share is None:
        return unknown("how full the log is could not be read", "hvor fuld loggen er, kunne ikke læses")
    if facts.audit.share >= FULL:
        return failed(f"{facts.audit.share:.0%} of its room is used", f"{facts.audit.share:.0%} af pladsen er brugt")
    return passed(f"{facts.audit.share:.0%} of its room is used", f"{facts.audit.share:.0%} af pladsen er brugt")


def leaves(facts: Facts) -> Finding:
    """Point 47."""
    targets = [conduit.target for conduit in facts.conduits if conduit.kind == "syslog"]
    if not targets:
        return failed(
            "no conduit for syslog: nobody outside has the log",
            "ingen syslog-forbindelse: ingen uden for boksen har loggen",
        )
    return passed(f"to {', '.join(targets)}; who reads it is the site's", f"til {', '.join(targets)}; stedet læser den")


def clock(facts: Facts) -> Finding:
    """Point 48."""
    if facts.config.time_sync == "NONE":
        return failed(
            "the configuration says that the clock is not kept", "konfigurationen siger, at uret ikke synkroniseres"
        )
    if facts.host.clock_synced is None:
        return unknown("the kernel was not asked", "kernen er ikke spurgt")
    if not facts.host.clock_synced:
        return failed(
            "the kernel says that the clock is not synchronised", "kernen siger, at uret ikke er synkroniseret"
        )
    return passed(f"{facts.config.time_sync}, synchronised", f"{facts.config.time_sync}, synkroniseret")


def self_test(facts: Facts) -> Finding:
    """Point 49."""
    if not facts.known_answers:
        return unknown("the self-test did not run", "selvtesten er ikke kørt")
    bad = [name for name, ok in facts.known_answers if not ok]
    if bad:
        return failed(f"wrong answer: {', '.join(bad)}", f"forkert svar: {', '.join(bad)}")
    names = ", ".join(name for name, _ in facts.known_answers)
    return passed(f"known answers: {names}", f"kendte svar: {names}")


def exposure(facts: Facts) -> Finding:
    """Point 50."""
    if not _units(facts) or any(unit.exposure is None for unit in _units(facts)):
        return unknown("the units could not be scored", "units kunne ikke bedømmes")
    high = [f"{u.name} {u.exposure}" for u in _units(facts) if u.exposure is not None and u.exposure > EXPOSURE]
    if high:
        return failed(f"above {EXPOSURE}: {', '.join(high)}", f"over {EXPOSURE}: {', '.join(high)}")
    users = [unit.settings.get("User", "root") for unit in _units(facts)]
    if len(set(users)) < len(users) or "root" in users:
        return failed(f"shared users: {', '.join(users)}", f"delte brugere: {', '.join(users)}")
    worst = max(unit.exposure or 0.0 for unit in _units(facts))
    return passed(
        f"{len(users)} units, {len(set(users))} users, highest {worst}",
        f"{len(users)} units, {len(set(users))} brugere, højeste {worst}",
    )


def caps(facts: Facts) -> Finding:
    """Point 51."""
    if not _units(facts):
        return unknown("no unit could be read", "ingen unit kunne læses")
    missing = [f"{unit.name}: {cap}" for unit in _units(facts) for cap in CAPS if not unit.settings.get(cap)]
    if missing:
        return failed(f"no cap: {', '.join(missing)}", f"intet loft: {', '.join(missing)}")
    return passed(f"{', '.join(CAPS)} in each unit", f"{', '.join(CAPS)} i hver unit")


def remote(facts: Facts) -> Finding:
    """Point 55."""
    if facts.host.listening is None:
        return unknown("the sockets of the host could not be read", "værtens sockets kunne ikke læses")
    ways = [socket for socket in facts.host.listening if socket.endswith(":22")]
    if ways:
        return duty(
            f"ssh listens ({', '.join(ways)}): the site opens it for a time, approves and records it",
            f"ssh lytter ({', '.join(ways)}): stedet åbner for et tidsrum, godkender og registrerer",
        )
    if facts.host.listening:
        return failed(f"a way in: {', '.join(facts.host.listening)}", f"en vej ind: {', '.join(facts.host.listening)}")
    return passed("no way in from outside", "ingen vej ind udefra")


def support(facts: Facts) -> Finding:
    """Point 56."""
    if facts.support is None:
        return unknown("no SECURITY.md with this software", "ingen SECURITY.md med softwaren")
    if not facts.support.contact or not facts.support.until:
        return failed("contact or date is missing", "kontakt eller dato mangler")
    if days_between(facts.day, facts.support.until) < 0:
        return failed(f"support ended on {facts.support.until}", f"supporten ophørte {facts.support.until}")
    return passed(
        f"{facts.support.contact}; until {facts.support.until}", f"{facts.support.contact}; til {facts.support.until}"
    )


CHECKS: Mapping[int, Check] = {
    38: sealed,
    39: key_source,
    40: minimal,
    41: canary,
    42: retention,
    43: no_dumps,
    44: catalogue,
    45: chain,
    46: bounded_log,
    47: leaves,
    48: clock,
    49: self_test,
    50: exposure,
    51: caps,
    52: by_tests,
    53: by_tests,
    54: bill,
    55: remote,
    56: support,
}
