"""Points 1 to 10: identity and access."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.security.dossier.checklist import Check, Finding, duty, failed, not_applicable, passed, unknown
from gateway.security.dossier.facts import ApprovalFact, Facts

KEY_MODES = (0o400, 0o440, 0o600)  # readable by its owner, at most by its group; never written by another
IDLE_S, FAILURES = 900, 10  # a judgement: a quarter of an hour, and few enough that guessing is no way in
ROLES = ("viewer", "operator", "approver", "administrator")


def own_key(facts: Facts) -> Finding:
    """Point 1."""
    if facts.certificates is None or facts.key_mode is None:
        return unknown("certificate or key file could not be read", "certifikat eller nøglefil kunne ikke læses")
    own = [c for c in facts.certificates if c.role == "gateway"]
    if not own:
        return failed("this box has no certificate", "boksen har intet certifikat")
    if facts.config.name not in own[0].names and f"CN={facts.config.name}" not in own[0].subject.replace(" ", ""):
        return failed(
            f"the certificate is of {own[0].subject}, not of {facts.config.name}",
            f"certifikatet tilhører {own[0].subject}, ikke {facts.config.name}",
        )
    if facts.key_mode not in KEY_MODES:
        return failed(
            f"the key file has rights {facts.key_mode:04o}", f"nøglefilen har rettighederne {facts.key_mode:04o}"
        )
    return passed(
        f"certificate of {facts.config.name}, key file {facts.key_mode:04o}",
        f"certifikat for {facts.config.name}, nøglefil {facts.key_mode:04o}",
    )


def mutual_tls(facts: Facts) -> Finding:
    """Point 2."""
    if facts.config.sink_kind != "mqtt":
        return not_applicable("nothing is sent over a network", "intet sendes over netværk")
    if not (facts.config.tls and facts.config.mutual):
        return failed("ca, cert and key are not all configured", "ca, cert og key er ikke alle konfigureret")
    faults = [f"{c.role}: {fault}" for c in facts.certificates or () for fault in c.faults]
    if faults:
        return failed("; ".join(faults), "; ".join(faults))
    return passed("certificates on both sides are configured", "certifikater i begge ender er konfigureret")


def name_check(facts: Facts) -> Finding:
    """Point 3."""
    if facts.config.sink_kind != "mqtt":
        return not_applicable("nothing is sent over a network", "intet sendes over netværk")
    if not facts.config.tls:
        return failed("no TLS: no name is checked", "ingen TLS: intet navn kontrolleres")
    if not facts.production:
        return failed('mode is "lab"', 'mode er "lab"')
    return passed(
        "production mode, TLS, and the configuration has no key that turns the check off",
        "produktion, TLS, og konfigurationen har ingen nøgle, der slår kontrollen fra",
    )


def topic_acl(facts: Facts) -> Finding:
    """Point 4."""
    if facts.config.sink_kind != "mqtt":
        return not_applicable("no broker", "ingen broker")
    if facts.config.protocol != "mqtt5":
        return failed("MQTT 3.1.1 hides that a broker refuses", "MQTT 3.1.1 skjuler, at en broker afviser")
    if not facts.config.mutual:
        return failed(
            "without a certificate there is no name to bind to", "uden certifikat er der intet navn at binde til"
        )
    return passed("MQTT 5 with a client certificate", "MQTT 5 med klientcertifikat")


def no_passwords(facts: Facts) -> Finding:
    """Point 5."""
    if facts.passwords is None:
        return unknown("the folder of the configuration could not be read", "konfigurationens mappe kunne ikke læses")
    if facts.passwords:
        return failed(
            f"something like a password: {', '.join(facts.passwords)}",
            f"noget, der ligner en adgangskode: {', '.join(facts.passwords)}",
        )
    return passed("no password in configuration and etc_dir", "ingen adgangskode i konfiguration og etc_dir")


def local_roles(facts: Facts) -> Finding:
    """Point 6."""
    if facts.access is None:
        return unknown("the roles could not be read", "rollerne kunne ikke læses")
    missing = [role for role in ROLES if role not in facts.access.roles]
    if missing:
        return failed(f"no group for {', '.join(missing)}", f"ingen gruppe til {', '.join(missing)}")
    groups = ", ".join(f"{role}: {facts.access.roles[role]}" for role in ROLES)
    return passed(f"socket with peer credentials; {groups}", f"socket med afsenderens brugerid; {groups}")


def web_access(facts: Facts) -> Finding:
    """Point 7."""
    if facts.access is None:
        return unknown("whether a page is served could not be read", "om der vises en webside, kunne ikke læses")
    if not facts.access.web:
        return not_applicable("no page is served", "der vises ingen webside")
    if facts.access.web_remote:
        return failed(f"the page listens on {facts.access.web}", f"siden lytter på {facts.access.web}")
    return passed(f"read-only, on {facts.access.web} only", f"skrivebeskyttet, kun på {facts.access.web}")


def sessions(facts: Facts) -> Finding:
    """Point 8."""
    if facts.access is None:
        return unknown("the limits of sessions could not be read", "grænserne for sessioner kunne ikke læses")
    a = facts.access
    en = f"idle {a.idle_s:g} s, longest {a.session_s:g} s, {a.failures} refusals lock out for {a.lockout_s:g} s"
    da = f"inaktiv {a.idle_s:g} s, længst {a.session_s:g} s, {a.failures} afvisninger spærrer i {a.lockout_s:g} s"
    if a.idle_s > IDLE_S or a.failures > FAILURES:
        return failed(en, da)
    return passed(en, da)


def four_eyes(facts: Facts) -> Finding:
    """Point 9."""
    if facts.people is None or facts.approvals is None:
        return unknown("no list of approvers could be read", "listen over godkendere kunne ikke læses")
    valid = [person for person in facts.people if person.valid]
    if len({p.name for p in valid}) < 2 or len({p.role for p in valid}) < 2:
        return failed(
            "fewer than two approvers in different roles are in force",
            "færre end to gyldige godkendere i forskellige roller",
        )
    alone = [
        d.name for d in facts.devices if d.state in ("approved", "active") and not two_signed(facts.approvals, d.name)
    ]
    if alone:
        return failed(f"not approved by two: {', '.join(alone)}", f"ikke godkendt af to: {', '.join(alone)}")
    return passed(
        f"{len(valid)} approvers in force; each approved device has two signatures of different people and roles",
        f"{len(valid)} gyldige godkendere; hver godkendt enhed har to signaturer fra forskellige personer og roller",
    )


def two_signed(approvals: tuple[ApprovalFact, ...], device: str) -> bool:
    """Tell whether two people in two roles, none the submitter, have signed for a device."""
    mine = [a for a in approvals if a.device == device and a.counts and not a.submitter]
    return len({a.person for a in mine}) >= 2 and len({a.role for a in mine}) >= 2


def break_glass(facts: Facts) -> Finding:
    """Point 10."""
    del facts
    return duty(
        "console with a sealed envelope; the site keeps it, and reads the log afterwards",
        "konsol med forseglet kuvert; stedet opbevarer den og læser loggen bagefter",
    )


CHECKS: Mapping[int, Check] = {
    1: own_key,
    2: mutual_tls,
    3: name_check,
    4: topic_acl,
    5: no_passwords,
    6: local_roles,
    7: web_access,
    8: sessions,
    9: four_eyes,
    10: break_glass,
}
