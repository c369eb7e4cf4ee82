"""Known vulnerabilities and what was decided on each: a dated scan from outside, a triage by people, and today.

A bedside box cannot ask anybody, so the scan is made where there is a network (the JSON of pip-audit, or the same
shape from another scanner) and laid beside the inventory. A vulnerability without a decision, or with one that has
expired, is open. A scan that is old says little, and its age is always told.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from gateway.core.errors import ConfigError
from gateway.core.settings import Settings, build, setting
from gateway.core.toml_lines import line_of
from gateway.security.inventory.software import OURS, Component, normal

_DAY = r"20[0-9]{2}-[01][0-9]-[0-3][0-9]"
SCAN_AGE_DAYS = 30  # judgement: one patch cycle; older is a finding
STATES = (
    "not_affected",
    "affected",
    "fixed",
    "under_investigation",
)  # the status labels of VEX (CISA, minimum requirements)
JUSTIFICATIONS = (
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
)  # the justifications of VEX for "not_affected" (CISA, status justifications)


@dataclass(frozen=True, slots=True, order=True)
class Known:
    """One vulnerability that a scanner knows of. aliases: its other names; fixed_in: versions that mend it."""

    component: str
    version: str
    id: str
    aliases: tuple[str, ...] = ()
    fixed_in: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scan:
    """made: the day of the scan; asked: normal names of the components that were asked about."""

    made: date
    asked: frozenset[str]
    known: tuple[Known, ...]


@dataclass(frozen=True)
class DecisionSettings(Settings):
    """[[decision]] of a triage file: what was decided on one vulnerability, by whom, and until when that holds."""

    id: str = field(metadata=setting("The vulnerability, by any of its names.", pattern=r"[A-Za-z0-9._:-]{4,60}"))
    component: str = field(metadata=setting("Name of the component it is in."))
    state: str = field(metadata=setting("What was found.", choices=STATES))
    reason: str = field(metadata=setting("Why, in a sentence: what it needs, and what stands before it."))
    decided_by: str = field(metadata=setting("Who decided."))
    decided: str = field(metadata=setting("When, YYYY-MM-DD.", pattern=_DAY))
    expires: str = field(metadata=setting("Until when it holds, YYYY-MM-DD.", pattern=_DAY))
    justification: str = field(
        default="",
        metadata=setting("Of not_affected: which of the five reasons.", choices=("", *JUSTIFICATIONS), empty=True),
    )


@dataclass(frozen=True, slots=True)
class Judged:
    """One known vulnerability with its decision. problem: why it is open, "" when it is not."""

    known: Known
    decision: DecisionSettings | None
    problem: str


def read_scan(text: str, made: date, where: str) -> Scan:
    """Read the JSON of pip-audit. made: when, because the format does not say. Raises: ConfigError."""
    try:
        rows: list[dict[str, Any]] = json.loads(text)["dependencies"]
        known = sorted(
            Known(normal(row["name"]), row["version"], v["id"], tuple(v.get("aliases", ())), tuple(v["fix_versions"]))
            for row in rows
            for v in row.get("vulns", ())
        )
        return Scan(made, frozenset(normal(row["name"]) for row in rows if "vulns" in row), tuple(known))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        raise ConfigError(
            f"is no scan ({type(fault).__name__})", where, "make it where there is a network: pip-audit --format json"
        ) from fault


def read_triage(path: Path) -> tuple[DecisionSettings, ...]:
    """Read the decisions. A file that is not there holds none. Raises: ConfigError with the line."""
    if not path.exists():
        return ()
    try:
        text = path.read_text(encoding="utf-8")
        tables = tomllib.loads(text).get("decision", [])
    except (ValueError, RecursionError) as fault:
        raise ConfigError(f"not TOML: {fault}", str(path), "check quotes and brackets") from fault
    found = []
    for i, table in enumerate(tables):

        def where(*keys: str | int, i: int = i) -> str:
            return f"{path}:{line_of(text, ('decision', i, *keys))}"

        decision = build(DecisionSettings, table, where)
        for day in ("decided", "expires"):
            _day(getattr(decision, day), where(day))
        if decision.state == "not_affected" and not decision.justification:
            raise ConfigError("not_affected needs a justification", where("state"), ", ".join(JUSTIFICATIONS))
        found.append(decision)
    return tuple(found)


def _day(text: str, where: str) -> None:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no day", where, "write YYYY-MM-DD") from None


def judge(
    scan: Scan, decisions: Iterable[DecisionSettings], installed: Iterable[Component], today: date
) -> list[Judged]:
    """Return every vulnerability of a version that is installed, with its decision and why it is open."""
    versions = {normal(c.name): c.version for c in installed if c.kind == "python"}
    decided = list(decisions)
    return [
        Judged(known, decision := _decision(known, decided), _problem(known, decision, today))
        for known in scan.known
        if versions.get(known.component) == known.version
    ]


def _decision(known: Known, decisions: Iterable[DecisionSettings]) -> DecisionSettings | None:
    names = {known.id, *known.aliases}
    fitting = [d for d in decisions if d.id in names and normal(d.component) == known.component]
    return max(fitting, key=lambda d: d.decided, default=None)


def _problem(known: Known, decision: DecisionSettings | None, today: date) -> str:
    mend = f"; mended in {', '.join(known.fixed_in)}" if known.fixed_in else ""
    if decision is None:
        return "nobody has decided on it" + mend
    if date.fromisoformat(decision.expires) < today:
        return f"the decision of {decision.decided_by} held until {decision.expires}" + mend
    if decision.state == "fixed":
        return "said to be fixed, but the version with it is installed" + mend
    return "" if decision.state == "not_affected" else f"{decision.state}{mend}"


def unasked(scan: Scan, installed: Iterable[Component]) -> list[str]:
    """Return the Python components that the scan did not ask about: nothing is known of them."""
    return sorted({normal(c.name) for c in installed if c.kind == "python"} - scan.asked)


def age_days(scan: Scan, today: date) -> int:
    """Return how old the scan is; negative when it is from the future."""
    return (today - scan.made).days


def findings(scan: Scan, judged: Iterable[Judged], installed: Iterable[Component], today: date) -> list[str]:
    """Return what is wrong, one line each: what is open, a scan that is too old, and what it did not ask about."""
    found = [f"{j.known.component} {j.known.version}: {j.known.id}: {j.problem}" for j in judged if j.problem]
    age = age_days(scan, today)
    if not 0 <= age <= SCAN_AGE_DAYS:
        found.append(f"the scan is {age} days old; {SCAN_AGE_DAYS} is the most")
    if names := [name for name in unasked(scan, installed) if name != OURS]:
        found.append(f"the scan did not ask about {', '.join(names)}")
    return found


def counts(judged: Iterable[Judged]) -> Mapping[str, int]:
    """Return how many are open, and how many there are."""
    every = list(judged)
    return {"known": len(every), "open": sum(bool(j.problem) for j in every)}
