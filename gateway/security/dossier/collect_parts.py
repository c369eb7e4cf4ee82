"""What the other parts know, as facts: policy, signatures, standings, certificates, firewall, audit log, seal, risks.

Each function asks one part and may raise what that part raises; the caller turns that into "unknown".
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

from gateway.config import Config
from gateway.core.errors import MdiError
from gateway.security.audit.chain import SUFFIX
from gateway.security.audit.events import Event
from gateway.security.audit.log import LIMIT_BYTES
from gateway.security.audit.verify import Report, verify
from gateway.security.certs.state import status
from gateway.security.dossier.facts import (
    ApprovalFact,
    AuditFact,
    CertificateFact,
    DeviceFact,
    PersonFact,
    PortRow,
    RiskFact,
    RulesetFact,
    SealFact,
    ViolationFact,
)
from gateway.security.netrules.drift import drift
from gateway.security.netrules.system import declare, enforced, observed, ruleset
from gateway.security.netrules.ways import Way
from gateway.security.onboard.approval import read_request, signatures
from gateway.security.onboard.record import read_risks
from gateway.security.onboard.standing import Standing, read_trust, standing
from gateway.security.policy import violations
from gateway.security.seal.protection import protection
from gateway.security.trust.load import Judged, judge_all
from gateway.security.trust.minisign import Signature
from gateway.security.trust.people import Trust
from gateway.security.trust.signed import Item

SOURCES = {"host+tpm2": "tpm2+host", "tpm2": "tpm2", "host": "host", "nothing": "plain"}


def violation_facts(config: Config) -> tuple[ViolationFact, ...]:
    """Return the broken rules of the policy."""
    return tuple(ViolationFact(v.rule, v.key, v.where, v.why, v.hint) for v in violations(config))


def people_facts(trust: Trust, now: datetime) -> tuple[PersonFact, ...]:
    """Return everybody on the list."""
    today = now.date()
    return tuple(
        PersonFact(p.name, p.role, p.valid_to.isoformat(), p.revoked is None and p.valid_from <= today <= p.valid_to)
        for p in trust.people
    )


def judged(config: Config, now: datetime) -> Judged:
    """Judge the signatures of configuration and profiles; records nothing."""
    items = [config.profiles.item(d.settings.profile) for d in config.devices]
    etc, state = Path(config.security.etc_dir), Path(config.gateway.state_dir)
    item = Item(config.path, config.path.read_bytes(), config.path.name)
    return judge_all(etc, state, "", item, items, now)


def signed_by(found: Judged, profile: str) -> str:
    """Return who signed a profile, "" when nobody whose signature counts."""
    if found.trust is None or any(refused.what == profile for refused in found.refused):
        return ""
    for verdict in found.verdicts:
        if verdict.purpose == "profile" and verdict.name in (profile, f"{profile}.toml"):
            return ", ".join(person.name for person in verdict.people)
    return ""


def standings(config: Config, now: datetime) -> dict[str, Standing]:
    """Return where each device is."""
    return standing(config, read_trust(config, now)[0], now)


def with_standing(device: DeviceFact, stands: Standing) -> DeviceFact:
    """Return a device with what people have said of it, and what it has said of itself."""
    record: dict[str, str] = {}
    if stands.record is not None:
        given = asdict(stands.record.device) | {f"owner_{k}": v for k, v in asdict(stands.record.owners).items()}
        given |= {"next_review": stands.record.review.next, "residual": stands.record.review.residual}
        record = {k: ", ".join(v) if isinstance(v, tuple | list) else str(v) for k, v in given.items()}
        record |= {f"evidence_{e.kind}": f"{e.name} {e.sha256[:16]}…" for e in stands.record.evidence}
    seen = stands.observed
    return replace(
        device,
        state=str(stands.state),
        may_open=stands.may_open,
        reasons=stands.reasons,
        rev=stands.rev,
        sha256=stands.sha256,
        until=stands.until.isoformat() if stands.until else "",
        record=record,
        observed_model=" ".join(filter(None, (seen.vendor, seen.model))) if seen else device.observed_model,
        observed_firmware=seen.firmware if seen else device.observed_firmware,
    )


def approval_facts(config: Config, found: dict[str, Standing], trust: Trust) -> tuple[ApprovalFact, ...]:
    """Return each signature below the request in force of each device, also those that do not count."""
    etc = Path(config.security.etc_dir)
    made: list[ApprovalFact] = []
    for stands in found.values():
        if not stands.rev or not stands.asset:
            continue
        request, _ = read_request(etc, stands.asset, stands.rev)
        counting = {person.name for person in stands.people}
        for where, text in signatures(etc, stands.asset, stands.rev):
            key = Signature.parse(text, where).key_id
            person = next((p for p in trust.people if p.key.id == key), None)
            name, role = (person.name, person.role) if person else (Path(where).name, "?")
            submitter = name == request.submitter
            made.append(
                ApprovalFact(
                    stands.device,
                    name,
                    role,
                    request.submitted,
                    request.sha256,
                    name in counting and request.sha256 == stands.sha256,
                    submitter,
                )
            )
    return tuple(made)


def certificate_facts(config: Config, now: datetime) -> tuple[CertificateFact, ...]:
    """Return the certificates of the sink; what is no certificate (a key that waits for one) is left out."""
    return tuple(
        CertificateFact(
            c.role,
            c.subject,
            c.names,
            c.issuer,
            c.key,
            c.not_before,
            c.not_after,
            math.floor(c.days_left) if c.days_left is not None else -1,
            c.sha256,
            c.faults,
        )
        for c in status(config, now)
        if c.not_after or c.faults
    )


def key_mode(config: Config) -> int | None:
    """Return the rights of the private key's file."""
    path = getattr(config.sink, "key", "")
    return Path(path).stat().st_mode & 0o7777 if path else None


def ruleset_fact(config: Config, found: dict[str, Standing], now: datetime) -> RulesetFact:
    """Return the firewall: declared always; enforced and observed where the kernel answers."""
    ways = declare(config, found, now)
    text = ruleset(config, found)
    try:
        table, seen = enforced(), observed()
        differences = drift(ways, table, seen)
    except (MdiError, OSError):
        rows = tuple(_row(way) for way in ways.ways)
        return RulesetFact(text, rows)
    wrong = tuple(f"{d.between}: {d.what}" for d in differences)
    in_force = table is not None and not any(d.between == "enforced" for d in differences)
    rows = tuple(
        replace(
            _row(way),
            enforced=in_force,
            observed=any(s.remote_port == way.port and s.protocol == way.protocol for s in seen.sockets),
        )
        for way in ways.ways
    )
    return RulesetFact(text, rows, in_force, wrong)


def _row(way: Way) -> PortRow:
    there = ", ".join(way.addresses) or "*"
    out = f"gateway → {there}" if way.initiator == "gateway" else f"{there} → gateway"
    return PortRow(way.conduit, f"{out} {way.protocol}/{way.port}", ", ".join(way.users), True)


def audit_fact(config: Config) -> AuditFact | None:
    """Return the chains of all writing processes, verified. The head shown is that of the longest chain."""
    folder = Path(config.gateway.state_dir) / "audit"
    writers = sorted(path for path in folder.iterdir() if path.is_dir() and any(path.glob(f"*{SUFFIX}")))
    if not writers:
        return None
    reports: list[Report] = [verify(path, config.gateway.name) for path in writers]
    longest = max(reports, key=lambda report: report.entries)
    wrong = [f"{r.writer}: {f.what}" for r in reports for f in r.findings if r.tampered and f.weight == "tamper"]
    used = max(sum(file.stat().st_size for file in path.glob(f"*{SUFFIX}")) for path in writers)
    return AuditFact(
        head=longest.head,
        entries=sum(report.entries for report in reports),
        public_key=longest.key,
        verified=not wrong,
        fault="; ".join(wrong[:3]),
        share=used / LIMIT_BYTES,
        events=tuple(event.value for event in Event),
    )


def seal_fact(config: Config) -> SealFact:
    """Return how the spool is protected: as this process sees its key, else as the running sender says."""
    found = protection()
    if found.source != "none":
        source = "plain" if not found.in_memory else SOURCES.get(found.encrypted_by, "")
        return SealFact(True, source, found.sentence)
    path = Path(config.gateway.run_dir) / "status-forward.json"
    told = json.loads(path.read_text(encoding="utf-8"))["spool"]
    sealed = told.get("sealed", told.get("encrypted"))
    if sealed is None:
        raise ValueError("the sender does not say whether its spool is sealed")
    return SealFact(bool(sealed), "", "as the running sender says")


def risk_facts(config: Config, now: datetime) -> tuple[RiskFact, ...]:
    """Return the accepted risks; a file that is none is told as one that is not in force."""
    good, bad = read_risks(Path(config.security.etc_dir))
    today = now.date().isoformat()
    found = [
        RiskFact(name, r.title, r.owner, r.reason, r.control, r.expires, r.expires > today)
        for name, r in sorted(good.items())
    ]
    return (*found, *(RiskFact(path.stem, str(fault), "", "", "", "", False) for path, fault in sorted(bad.items())))
