"""What people do: submit, sign, suspend, resume, revoke, retire. Each checks, writes one thing, and is audited.

Suspend: one person, whatever the state of the papers. Resume: the same one person may, and only while an approval by
two holds for what is there now; if anything has changed, it takes two anew. Revoke and retire: for good; the asset
number is never used again, a device that comes back gets a new record.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from gateway.config import Config
from gateway.config_security import LAB
from gateway.core.errors import ConfigError, TrustError
from gateway.core.personal import looks_personal
from gateway.security.audit import Audit, Event, silent
from gateway.security.onboard import approval
from gateway.security.onboard.approval import Request, Verdict
from gateway.security.onboard.canonical import digest
from gateway.security.onboard.content import content
from gateway.security.onboard.findings import Finding, of_evidence, of_time, of_use
from gateway.security.onboard.journal import MAX_REASON, Act, append, moment, past, read_acts
from gateway.security.onboard.life import State, Step, after
from gateway.security.onboard.record import DeviceRecord, Risk, read_record, read_risks, record_path
from gateway.security.onboard.standing import Standing, standing
from gateway.security.trust.people import Trust

EVENTS = {
    Step.SUSPEND: Event.DEVICE_SUSPENDED,
    Step.RESUME: Event.DEVICE_RESUMED,
    Step.REVOKE: Event.DEVICE_REVOKED,
    Step.RETIRE: Event.DEVICE_STATE,
}


def papers_of(config: Config, asset: str) -> tuple[DeviceRecord, Mapping[str, Risk]]:
    """Return the record of an asset, and all risks. Raises: ConfigError with file, line and key."""
    etc_dir = Path(config.security.etc_dir)
    risks, wrong = read_risks(etc_dir)
    record = read_record(record_path(etc_dir, asset))
    for path, fault in wrong.items():
        if path.stem in record.review.risks:
            raise fault
    return record, risks


def check(config: Config, asset: str, now: datetime) -> list[Finding]:
    """Return what is wrong with the papers of an asset. Raises: ConfigError with file, line and key."""
    record, risks = papers_of(config, asset)
    today = now.astimezone(UTC).date()
    etc_dir = Path(config.security.etc_dir)
    return [*of_use(config, record), *of_time(record, risks, today), *of_evidence(etc_dir, record)]


def submit(
    config: Config,
    trust: Trust | None,
    asset: str,
    submitter: str,
    now: datetime,
    valid_until: str = "",
    audit: Audit | None = None,
) -> Request:
    """Write the next request of an asset, and return it. valid_until: the last day; "": the day before the review.

    Raises: ConfigError when something is wrong with the papers, or nothing has changed.
    """
    record, risks = papers_of(config, asset)
    wrong = [finding for finding in check(config, asset, now) if finding.holds or finding.tamper]
    if wrong:
        raise ConfigError(wrong[0].what, str(record.path), wrong[0].hint)
    etc_dir, what = Path(config.security.etc_dir), content(config, record, risks)
    if trust and trust.person(submitter) is None:
        known = ", ".join(person.name for person in trust.people)
        raise ConfigError(f"{submitter!r} is nobody in {trust.path.name}", hint=f"--by one of {known}")
    now_is = standing(config, trust, now).get(record.use.device)
    if now_is and now_is.state in (State.REVOKED, State.RETIRED):
        raise ConfigError(f"{asset} is {now_is.state}, for good", hint="a new record with a new asset number")
    if now_is and now_is.state in (State.APPROVED, State.ACTIVE) and not valid_until:
        raise ConfigError(f"{asset} is approved, and nothing has changed", hint="--valid-until DAY to prolong it")
    last = valid_until or (date.fromisoformat(record.review.next) - timedelta(days=1)).isoformat()
    if date.fromisoformat(last) < now.astimezone(UTC).date():
        raise ConfigError(f"valid until {last} is over", hint="name a later day")
    rev = max([0, *approval.revisions(etc_dir, asset)]) + 1
    request = Request(asset, rev, submitter, moment(now), last, what)
    path = approval.request_path(etc_dir, asset, rev)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, request.text)
    (audit or silent()).write(
        Event.DEVICE_STATE, record.use.device, actor=submitter, state="submitted", rev=rev, sha256=digest(what)
    )
    return request


def sign(
    config: Config,
    trust: Trust,
    asset: str,
    rev: int,
    signature: str,
    audit: Audit | None = None,
) -> tuple[Verdict, str]:
    """Put a signature beside its request; return the verdict with it, and the name of the signer.

    It is kept only when it counts. Raises: TrustError, which says why it does not.
    """
    etc_dir = Path(config.security.etc_dir)
    request, data = approval.read_request(etc_dir, asset, rev)
    record, risks = papers_of(config, asset)
    audit = audit or silent()
    if request.sha256 != digest(content(config, record, risks)):
        audit.write(Event.APPROVAL_REJECTED, record.use.device, rule="older-hash", rev=rev)
        where = str(approval.request_path(etc_dir, asset, rev))
        raise TrustError("something has changed since it was submitted", where, "mdi onboard diff, then submit anew")
    others = [(n, approval.read_request(etc_dir, asset, n)[1]) for n in approval.revisions(etc_dir, asset) if n != rev]
    known = approval.signatures(etc_dir, asset, rev)
    with_it = approval.judge(trust, request, data, [*known, ("the signature", signature)], others)
    alone = approval.judge(trust, request, data, known, others)
    if len(with_it.people) == len(alone.people):
        fault = with_it.refused[-1]
        audit.write(Event.APPROVAL_REJECTED, record.use.device, rule=fault.rule, rev=rev)
        raise TrustError(fault.what, "", fault.hint, fault.rule.replace("-", "_"))
    person = with_it.people[-1]
    path = approval.request_path(etc_dir, asset, rev).with_name(f"{rev}.{person.name}.minisig")
    _write(path, signature.encode())
    audit.write(
        Event.APPROVAL_VERIFIED,
        record.use.device,
        actor=person.name,
        person=person.name,
        role=person.role,
        rev=rev,
        sha256=request.sha256,
    )
    return with_it, person.name


def by_hand(
    config: Config,
    trust: Trust | None,
    asset: str,
    step: Step,
    person: str,
    reason: str,
    now: datetime,
    audit: Audit | None = None,
) -> Standing:
    """Suspend, resume, revoke or retire an asset; return where it is then. Raises: ConfigError, TrustError."""
    state_dir = Path(config.gateway.state_dir)
    record = read_record(record_path(Path(config.security.etc_dir), asset))
    device = record.use.device
    was = standing(config, trust, now).get(device)
    if was is None:
        raise ConfigError(f"no device {device!r} is configured", str(record.path), "correct [use] device")
    if not person or not reason.strip() or len(reason) > MAX_REASON or not reason.isprintable():
        raise ConfigError(
            "who does it and why is needed", hint=f"--by NAME --reason TEXT, {MAX_REASON} letters at most"
        )
    if looks_personal(reason):  # it is kept for good, and shown in the dossier
        raise ConfigError("the reason holds what can be a CPR number", hint="say it without the patient")
    _possible(was, step, bool(past(read_acts(state_dir, asset)).suspended), config.security.mode == LAB)
    append(state_dir, asset, Act(moment(now), str(step), person, reason.strip(), was.rev, was.sha256))
    found = standing(config, trust, now)[device]
    facts = {"state": str(found.state), "was": str(was.state), "person": person, "rev": was.rev, "sha256": was.sha256}
    (audit or silent()).write(EVENTS[step], device, actor=person, **facts)
    return found


def _possible(was: Standing, step: Step, suspended: bool, lab: bool) -> None:
    """Check that a step may follow. Raises: ConfigError."""
    if step is Step.SUSPEND and suspended:
        raise ConfigError(f"{was.asset} is suspended already")
    if step is Step.SUSPEND and was.state in (State.DRAFT, State.SUBMITTED):
        return  # it holds as soon as it would be approved, and in lab at once
    if step is Step.RESUME:
        _resumable(was, suspended, lab)
        return
    after(was.state, step)


def _resumable(was: Standing, suspended: bool, lab: bool) -> None:
    """A resume ends a suspension, or has a device looked at again; it never takes the place of an approval."""
    if was.state in (State.REVOKED, State.RETIRED):
        raise ConfigError(f"{was.asset} is {was.state}, for good", hint="a new record with a new asset number")
    again = {"suspended", "other-model", "other-serial", "other-firmware"}
    if not suspended and not again & set(was.rules):
        raise ConfigError(f"{was.asset} is {was.state}, not suspended", hint="mdi onboard status")
    rest = [why for rule, why in zip(was.rules, was.reasons, strict=True) if rule not in again | SAID_ONLY]
    if rest and not lab:
        raise ConfigError(f"something has changed, two people approve it anew first: {rest[0]}")


SAID_ONLY = frozenset({"request-malformed", "request-changed", "request-wrong-file"})  # a stray file stops nobody


def _write(path: Path, data: bytes) -> None:
    """Write a new file, whole and synced. Raises: OSError."""
    draft = path.with_name(f".{path.name}.new")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
