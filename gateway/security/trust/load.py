"""All that must be signed before a gateway starts, judged at once: people, configuration, each profile in use.

Everything is judged, so that a person sees the whole list. Nothing is recorded before the caller says that it is
accepted: `Judged.accept`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.core.errors import TrustError
from gateway.security.trust.folder import Folders
from gateway.security.trust.items import ProfileItem
from gateway.security.trust.people import FOUR_EYES, Trust
from gateway.security.trust.revisions import Revisions, Seen
from gateway.security.trust.signed import CONFIGURATION, Item, Verdict, judge

APPROVERS = "approvers:approvers.toml"
LIST, CONFIG, ROOTS = "people", "configuration", "roots"


@dataclass(frozen=True)
class Refused:
    """One thing that does not count. what: "people", "roots", "configuration", or the id of a profile."""

    what: str
    fault: TrustError


@dataclass(frozen=True)
class Judged:
    """What counts, and what does not. trust: None when the list of people itself does not count."""

    trust: Trust | None
    verdicts: tuple[Verdict, ...]
    refused: tuple[Refused, ...]
    revisions: Revisions | None

    def accept(self) -> None:
        """Record the revisions, durable, so that none lower is ever accepted again. Raises: TrustError."""
        if self.revisions is None:
            return
        try:
            self.revisions.save()
        except OSError as fault:
            what = f"the revisions that were seen cannot be recorded: {fault.strerror}"
            hint = "give this user the right to write there, or room on the disk"
            raise TrustError(what, str(fault.filename or ""), hint, "malformed") from fault


def read_people(etc_dir: Path, state_dir: Path, now: datetime) -> Trust:
    """Read the people, for a process that runs: no list older than one that was seen. Raises: TrustError."""
    trust = Trust.read(etc_dir, now)
    Revisions(state_dir / "trust").check(APPROVERS, Seen(trust.rev, trust.sha256), str(trust.path))
    return trust


def judge_all(
    etc_dir: Path, state_dir: Path, writer: str, config: Item, profiles: Iterable[ProfileItem], now: datetime
) -> Judged:
    """Judge everything. writer: name of the process, for `Judged.accept`; "" records nothing."""
    refused: list[Refused] = []
    verdicts: list[Verdict] = []
    try:
        revisions = Revisions(state_dir / "trust", writer)
        trust = Trust.read(etc_dir, now)
        revisions.check(APPROVERS, Seen(trust.rev, trust.sha256), str(trust.path))
    except TrustError as fault:
        return Judged(None, (), (Refused(LIST, fault),), None)
    if len(trust.roots) < FOUR_EYES:
        what = "there is one root key, so one person alone can change who may sign"
        hint = "add trust/root2.pub of another person, and have both sign: mdi trust sign"
        refused.append(Refused(ROOTS, TrustError(what, str(trust.path), hint, "too_few")))
    folders = Folders(trust, revisions)
    try:
        verdicts.append(judge(config, CONFIGURATION, trust, revisions))
    except TrustError as fault:
        refused.append(Refused(CONFIG, fault))
    for profile in profiles:
        try:
            verdicts.append(folders.judge(profile))
        except TrustError as fault:
            refused.append(Refused(profile.id, fault))
    return Judged(trust, tuple(verdicts), tuple(refused), revisions)
