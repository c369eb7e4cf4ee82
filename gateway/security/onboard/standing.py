"""The one answer per device: where it is in its life, whether it may be opened, and why not. Everybody asks here.

    files ─► record, requests, signatures, acts, what it says it is ─► steps ─► life.TABLE ─► Standing

Nothing is remembered here: the same files at the same time give the same answer, in every process. A file that is
wrong raises nothing; the device is held, and the reason stands in its Standing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from gateway.config import Config, Device
from gateway.config_security import LAB
from gateway.core.errors import ConfigError, MdiError, TrustError
from gateway.security.onboard import approval
from gateway.security.onboard.approval import Verdict
from gateway.security.onboard.canonical import digest
from gateway.security.onboard.content import content, differences
from gateway.security.onboard.findings import Finding, of_time, of_use
from gateway.security.onboard.journal import Past, journal_path, past, read_acts
from gateway.security.onboard.life import State, Step, lived
from gateway.security.onboard.observed import Activated, Observed, read_activated, read_observed
from gateway.security.onboard.record import DeviceRecord, Risk, read_records, read_risks
from gateway.security.trust.load import read_people
from gateway.security.trust.people import Person, Trust

STOPPED = (State.SUSPENDED, State.REVOKED, State.RETIRED)  # a person said so
REVISIONS = 8  # so many are looked at, the newest; older ones are history
SHOWN = 3  # differences that are named; mdi onboard diff shows all


@dataclass(frozen=True)
class Standing:
    """Where one device is.

    may_open: its port may be opened for it; flagged: it runs, and is not what was approved; reasons: for a person
    rules: the same, stable, for programs; rev, sha256: of the approval in force, else of what is there now
    until: when the answer changes by itself, None: never; people: whose signatures count
    """

    device: str
    asset: str = ""
    state: State = State.DRAFT
    may_open: bool = False
    flagged: bool = False
    reasons: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    rev: int = 0
    sha256: str = ""
    until: datetime | None = None
    people: tuple[Person, ...] = ()
    record: DeviceRecord | None = None
    observed: Observed | None = None
    looked: str = ""  # when it was last let go on: what it said before does not count


@dataclass(frozen=True)
class Papers:
    """All that is written about one device, read. fault: why the acts cannot be read."""

    record: DeviceRecord
    risks: Mapping[str, Risk]
    verdicts: tuple[Verdict, ...] = ()  # the newest first
    unread: tuple[Finding, ...] = ()
    past: Past = field(default_factory=Past)
    observed: Observed | None = None
    activated: Activated | None = None


def standing(config: Config, trust: Trust | None, now: datetime) -> dict[str, Standing]:
    """Return device -> Standing, in the order of their numbers. trust: None when it cannot be read; then none is good.

    now: UTC, aware.
    """
    etc_dir, state_dir = Path(config.security.etc_dir), Path(config.gateway.state_dir)
    records, wrong = read_records(etc_dir)
    risks, _ = read_risks(etc_dir)
    seen, opened = read_observed(state_dir), read_activated(state_dir)
    found = {}
    for device in config.devices:
        name = device.settings.name
        of_it = [record for record in records.values() if record.use.device == name]
        if len(of_it) == 1:
            papers = read_papers(config, of_it[0], risks, trust, seen.get(name), opened.get(of_it[0].asset))
            found[name] = judge(config, device, papers, now)
        else:
            found[name] = _without(config, name, of_it, wrong)
    return found


def _without(config: Config, name: str, several: list[DeviceRecord], wrong: Mapping[Path, ConfigError]) -> Standing:
    lab = config.security.mode == LAB
    if several:
        files = ", ".join(record.path.name for record in several)
        return Standing(
            name, "", State.DRAFT, lab, lab, (f"{files} all say that they are this device",), ("two-records",)
        )
    reasons = (f"no record says that it is about {name}; mdi onboard new", *(str(fault) for fault in wrong.values()))
    return Standing(name, "", State.DRAFT, lab, lab, reasons, ("no-record", *("wrong-record" for _ in wrong)))


def read_papers(
    config: Config,
    record: DeviceRecord,
    risks: Mapping[str, Risk],
    trust: Trust | None,
    seen: Observed | None,
    opened: Activated | None,
) -> Papers:
    """Read requests, signatures and acts of one record."""
    etc_dir, state_dir = Path(config.security.etc_dir), Path(config.gateway.state_dir)
    requests, unread = {}, []
    for rev in approval.revisions(etc_dir, record.asset)[:REVISIONS]:
        try:
            requests[rev] = approval.read_request(etc_dir, record.asset, rev)
        except TrustError as fault:
            unread.append(Finding("request-" + fault.reason.replace("_", "-"), str(fault), holds=False, tamper=True))
    if trust is None and requests:
        unread.append(Finding("no-trust", "who may sign cannot be read", "look at etc_dir/trust", holds=False))
    verdicts = []
    for rev, (request, data) in requests.items():
        first = opened if opened and (opened.rev, opened.sha256) == (rev, request.sha256) else None
        others = [(other, raw) for other, (_, raw) in requests.items() if other != rev]
        signed = approval.signatures(etc_dir, record.asset, rev)
        since = datetime.fromisoformat(first.t) if first else None
        verdicts += [approval.judge(trust, request, data, signed, others, since)] if trust else []
    acts = Past()
    try:
        acts = past(read_acts(state_dir, record.asset), str(journal_path(state_dir, record.asset)))
    except TrustError as fault:
        unread.append(Finding("journal", str(fault), tamper=True))
    return Papers(record, risks, tuple(verdicts), tuple(unread), acts, seen, opened)


def judge(config: Config, device: Device, papers: Papers, now: datetime) -> Standing:
    """Return where a device is, from all that is written about it. Pure."""
    record, today = papers.record, now.astimezone(UTC).date()
    what = content(config, record, papers.risks)
    sha256 = digest(what)
    steps, verdict, findings = _approved(papers, what, sha256)
    drifts = [*of_use(config, record), *_observed(config, papers)]
    over = [finding for finding in of_time(record, papers.risks, today) if finding.holds]
    journal = [finding for finding in papers.unread if finding.rule == "journal"]
    if Step.APPROVE in steps:
        steps += [Step.DRIFT] * bool(drifts or journal) if steps[-1] is not Step.DRIFT else []
        steps += [Step.EXPIRE] * bool(over)
        findings = [*findings, *over]
    state = _by_hand(lived(steps), papers.past)
    findings = [*_said(papers.past), *papers.unread, *findings, *drifts]
    held = [finding for finding in findings if finding.holds]
    good = state in (State.APPROVED, State.ACTIVE) or (state is State.DRIFTED and not held)
    lab = config.security.mode == LAB
    stopped = state in STOPPED or papers.past.suspended is not None or bool(journal)  # that holds in lab, too
    may_open = not stopped and (lab or (good and not held))
    return Standing(
        device.settings.name,
        record.asset,
        state,
        may_open,
        may_open and (not good or bool(findings)),
        tuple(map(str, findings)),
        tuple(finding.rule for finding in findings),
        verdict.request.rev if verdict else 0,
        sha256,
        _until(record, papers.risks, verdict, now),
        verdict.people if verdict else (),
        record,
        papers.observed,
        papers.past.looked,
    )


def _approved(
    papers: Papers, what: Mapping[str, object], sha256: str
) -> tuple[list[Step], Verdict | None, list[Finding]]:
    """Return the steps that the requests stand for, the one that counts, and what is wrong with it."""
    floor = papers.activated.rev if papers.activated else 0
    fitting = [v for v in papers.verdicts if v.request.sha256 == sha256]
    good = next((v for v in fitting if v.approved and v.request.rev >= floor), None)
    if good:
        opened = papers.activated is not None and papers.activated.sha256 == sha256
        return [Step.SUBMIT, Step.APPROVE, *([Step.ACTIVATE] if opened else [])], good, []
    if fitting:
        return _pending(fitting[0], floor)
    before = next((v for v in papers.verdicts if v.approved or _ended(v)), None)
    if before:
        changed = f"changed since it was approved: {_named(before.request.content, what)}"
        return [Step.SUBMIT, Step.APPROVE, Step.DRIFT], before, [Finding("content-changed", changed, _ANEW)]
    if papers.verdicts:
        changed = f"changed since it was submitted: {_named(papers.verdicts[0].request.content, what)}"
        return [Step.SUBMIT, Step.AMEND], None, [Finding("content-changed", changed, _ANEW)]
    return [], None, [] if papers.unread else [Finding("not-submitted", "it was never submitted", "mdi onboard submit")]


_ANEW = "submit it anew"


def _pending(verdict: Verdict, floor: int) -> tuple[list[Step], Verdict, list[Finding]]:
    """Return the same for a request that fits what is there, and is not good."""
    if verdict.approved:
        what = f"revision {floor} was in force; revision {verdict.request.rev} does not come back"
        return [Step.SUBMIT], verdict, [Finding("rolled-back", what, _ANEW)]
    found = [Finding(fault.rule, fault.what, fault.hint) for fault in (*verdict.missing, *verdict.refused)]
    return [Step.SUBMIT, *([Step.APPROVE, Step.EXPIRE] if _ended(verdict) else [])], verdict, found


def _ended(verdict: Verdict) -> bool:
    """Tell whether a request was approved, and only its time is over."""
    return {fault.rule for fault in verdict.missing} == {"expired"}


def _named(was: Mapping[str, object], now: Mapping[str, object]) -> str:
    fields = [path for path, _, _ in differences(was, now)]
    return ", ".join(fields[:SHOWN]) + (f" and {len(fields) - SHOWN} more" if len(fields) > SHOWN else "")


def _observed(config: Config, papers: Papers) -> list[Finding]:
    """Return where the device says something else than the record. What it said before a resume does not count."""
    said, of = papers.observed, papers.record.device
    if said is None or said.t <= papers.past.looked:
        return []
    found = []
    hold = config.security.on_firmware_drift == "hold"
    if of.says_model and said.model and said.model != of.says_model:
        found.append(Finding("other-model", f"it says it is a {said.model}, approved is {of.says_model}", _OTHER))
    if of.says_serial and said.serial and said.serial != of.says_serial:
        found.append(Finding("other-serial", f"it says serial {said.serial}, approved is {of.says_serial}", _OTHER))
    if said.firmware and said.firmware != of.firmware:
        what = f"it says firmware {said.firmware}, approved is {of.firmware}"
        hint = "test it with that firmware, correct the record, submit it anew"
        found.append(Finding("other-firmware", what, hint, holds=hold))
    return found


_OTHER = "look which device is on that line; the right one again: mdi onboard resume"


def _by_hand(state: State, acts: Past) -> State:
    """Return the state after what people have done on the box."""
    if acts.retired:
        return State.RETIRED
    if acts.revoked:
        return State.REVOKED
    if acts.suspended and state not in (State.DRAFT, State.SUBMITTED):
        return lived([Step.SUSPEND], state)
    return state


def _said(acts: Past) -> list[Finding]:
    """Return what people have done, as reasons."""
    found = []
    for act, rule in ((acts.revoked, "revoked"), (acts.suspended, "suspended")):
        if act:
            found.append(Finding(rule, f"{rule} by {act.person} at {act.t}: {act.reason}"))
    return found


def _until(record: DeviceRecord, risks: Mapping[str, Risk], verdict: Verdict | None, now: datetime) -> datetime | None:
    """Return when the answer changes by itself: review, approval, or the acceptance of a risk is over."""
    days = [date.fromisoformat(record.review.next)]
    days += [date.fromisoformat(risks[name].expires) for name in record.review.risks if name in risks]
    if verdict:
        days.append(date.fromisoformat(verdict.request.valid_until) + timedelta(days=1))
    times = [datetime.combine(day, time(), UTC) for day in days]
    return min((t for t in times if t > now), default=None)


def read_trust(config: Config, now: datetime) -> tuple[Trust | None, str]:
    """Return the people this gateway trusts, or None and why they cannot be read."""
    try:
        return read_people(Path(config.security.etc_dir), Path(config.gateway.state_dir), now), ""
    except MdiError as fault:
        return None, str(fault)
