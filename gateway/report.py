"""The monthly report of what did not arrive: each range that was lost or rejected, of whom, how many, when, why.

Made from the side files of the spool (gateway.spool), so it can be made again at any time, and says where these files
begin: what an older file held was thrown away when it was full. Pure: lines in, report out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from gateway.core.errors import ConfigError
from gateway.grade import Grade
from gateway.spool.layout import Loss
from gateway.spool.rejected import Rejected, latest, parse
from gateway.spool.times import iso

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
NOBODY_KNOWS = "not known"  # damage in the spool has destroyed what said whose samples they were


@dataclass(frozen=True, slots=True)
class Missing:
    """One range that did not arrive. first, last: sample numbers; samples: how many; since, until: times of samples."""

    device: str
    reason: str
    declared: str
    first: int
    last: int
    samples: int
    messages: int
    since: str
    until: str


@dataclass(frozen=True, slots=True)
class Report:
    """Of one month. lost: declared losses; rejected: messages of the side file, without those that were resent."""

    month: str
    grade: Grade
    lost: tuple[Missing, ...]
    rejected: tuple[Missing, ...]
    thrown_away: int

    def totals(self) -> dict[tuple[str, str], int]:
        """Return (device, reason) -> samples; each rejection is "rejected" here."""
        found: dict[tuple[str, str], int] = {}
        for entry in self.lost:
            found[entry.device, entry.reason] = found.get((entry.device, entry.reason), 0) + entry.samples
        for entry in self.rejected:
            found[entry.device, "rejected"] = found.get((entry.device, "rejected"), 0) + entry.samples
        return found

    def as_json(self) -> dict[str, Any]:
        """Return it for a program."""
        totals = [{"device": d, "reason": r, "samples": n} for (d, r), n in sorted(self.totals().items())]
        lists = {"lost": [asdict(x) for x in self.lost], "rejected": [asdict(x) for x in self.rejected]}
        return {
            "month": self.month,
            "grade": asdict(self.grade),
            "totals": totals,
            **lists,
            "thrown_away": self.thrown_away,
        }


def report(month: str, grade: Grade, losses: Iterable[bytes], rejected: Iterable[bytes], thrown_away: int) -> Report:
    """Return the report of a month, "2026-11" by the day (UTC) on which a loss was declared.

    losses, rejected: lines of the side files. Raises: ConfigError for another word than a month.
    """
    if not _MONTH.fullmatch(month):
        raise ConfigError(f"{month!r} is no month", hint="write it as 2026-11")
    found = (loss for loss in map(Loss.decode, losses) if loss and loss.declared.startswith(month))
    lines = list(rejected)
    resent = {control_id for control_id, (_, at) in latest(lines).items() if at}
    refused = {e.control_id: e for e in parse(lines) if isinstance(e, Rejected) and e.rejected.startswith(month)}
    return Report(
        month,
        grade,
        tuple(entry for loss in found for entry in _lost(loss)),
        tuple(_rejected(entry) for control_id, entry in refused.items() if control_id not in resent),
        thrown_away,
    )


def _lost(loss: Loss) -> list[Missing]:
    return [
        Missing(
            extent.device or NOBODY_KNOWS,
            loss.reason,
            loss.declared,
            extent.first_seq,
            extent.last_seq,
            extent.count,
            loss.messages,
            iso(extent.first_t_ns),
            iso(extent.last_t_ns),
        )
        for extent in loss.extents
    ]


def _rejected(entry: Rejected) -> Missing:
    extent = entry.extent
    times = iso(extent.first_t_ns), iso(extent.last_t_ns)
    numbers = extent.first_seq, extent.last_seq, extent.count
    return Missing(extent.device, entry.reason, entry.rejected, *numbers, 1, *times)
