"""The registry of the 56 points, and the judgement of each over Facts.

A point's answer has two halves: what this box shows (a function of Facts) and, where only a test can show it, the
result of the release's tests. One failed half fails the point; a pass needs every half that the point asks for.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from typing import Any

from gateway.security.dossier.facts import Facts, TestsFact
from gateway.security.dossier.words import Words

RESULTS_DAYS = 365  # the threat model is reviewed at least once a year (IEC 81001-5-1), and its tests with it


class State(StrEnum):
    """What came of a point."""

    PASS = "pass"
    FAIL = "fail"
    NOT_APPLICABLE = "not applicable"
    UNKNOWN = "unknown"
    DUTY = "duty"


@dataclass(frozen=True, slots=True)
class Finding:
    """State and evidence, one sentence in each language."""

    state: State
    evidence: Words


def passed(en: str, da: str) -> Finding:
    """Looked at, and it holds."""
    return Finding(State.PASS, Words(en, da))


def failed(en: str, da: str) -> Finding:
    """Looked at, and it does not hold."""
    return Finding(State.FAIL, Words(en, da))


def unknown(en: str, da: str) -> Finding:
    """Nobody looked, or it could not be looked at."""
    return Finding(State.UNKNOWN, Words(en, da))


def duty(en: str, da: str) -> Finding:
    """Only the place can hold it."""
    return Finding(State.DUTY, Words(en, da))


def not_applicable(en: str, da: str) -> Finding:
    """This box has nothing the point is about."""
    return Finding(State.NOT_APPLICABLE, Words(en, da))


Check = Callable[[Facts], Finding]


@dataclass(frozen=True, slots=True)
class Point:
    """One of the 56. tests: claimed only with the results of tests."""

    number: int
    group: Words
    title: Words
    refs: tuple[str, ...]
    how: Words
    tests: bool
    check: Check


@dataclass(frozen=True, slots=True)
class Answer:
    """One point, judged."""

    point: Point
    finding: Finding

    @property
    def state(self) -> State:
        """What came of it."""
        return self.finding.state


def judge(facts: Facts) -> tuple[Answer, ...]:
    """Judge all points, in order."""
    return tuple(Answer(point, judge_point(point, facts)) for point in points())


def judge_point(point: Point, facts: Facts) -> Finding:
    """Judge one point: what the box shows, then what tests have shown."""
    shown = point.check(facts)
    tested = of_tests(point.number, facts)
    if shown.state is State.FAIL or tested.state is State.FAIL:
        return shown if shown.state is State.FAIL else tested
    if shown.state is not State.PASS:
        return shown
    if tested.state is State.PASS:
        en, da = shown.evidence.en, shown.evidence.da
        return Finding(State.PASS, Words(f"{en}. {tested.evidence.en}", f"{da}. {tested.evidence.da}"))
    if not point.tests:
        return shown
    en, da = f"{shown.evidence.en}; {tested.evidence.en}", f"{shown.evidence.da}; {tested.evidence.da}"
    return Finding(tested.state, Words(en, da))


def of_tests(number: int, facts: Facts) -> Finding:
    """Return what the release's tests say of a point. Results of another program, or old ones, say nothing."""
    if facts.tests is None:
        return unknown("no results of the release's tests are on this box", "testresultater for udgivelsen mangler")
    why = _why_not(facts.tests, facts)
    if why:
        return unknown(*why)
    results = facts.tests.results.get(number, ())
    bad = [name for name, ok in results if ok is False]
    if bad:
        return failed(f"test failed: {', '.join(bad)}", f"fejlet test: {', '.join(bad)}")
    if not results:
        return unknown("no test of the release was run for it", "ingen test i udgivelsen er kørt for punktet")
    left = [name for name, ok in results if ok is None]
    if left:
        return unknown(f"not shown: {', '.join(left)}", f"ikke vist: {', '.join(left)}")
    made, count = facts.tests.made[:10], len(results)
    return passed(
        f"{count} tests of the release passed on {made}, the first {results[0][0]}",
        f"{count} tests af udgivelsen bestået {made}, den første {results[0][0]}",
    )


def _why_not(tests: TestsFact, facts: Facts) -> tuple[str, str] | None:
    """Return why results count for nothing here, in both languages; None: they count."""
    if tests.version != facts.version:
        return (
            f"the test results are of version {tests.version}, this is {facts.version}",
            f"testresultaterne er for version {tests.version}, dette er {facts.version}",
        )
    if tests.software != facts.software:
        return (
            f"the test results are of another program (commit {tests.commit[:12]}) than the one on this box",
            f"testresultaterne er for et andet program (commit {tests.commit[:12]}) end det på denne boks",
        )
    age = _days(tests.made, facts.made)
    if age is None or not -1 <= age <= RESULTS_DAYS:
        return (
            f"the test results are out of date: made {tests.made[:10]}, they count for {RESULTS_DAYS} days",
            f"testresultaterne er forældede: dannet {tests.made[:10]}, de gælder i {RESULTS_DAYS} dage",
        )
    return None


def _days(made: str, now: str) -> int | None:
    try:
        return (date.fromisoformat(now[:10]) - date.fromisoformat(made[:10])).days
    except ValueError:
        return None


@lru_cache(maxsize=1)
def points() -> tuple[Point, ...]:
    """Return the registry, 1 to 56."""
    from gateway.security.dossier.points import CHECKS  # the answers import this module

    table = tomllib.loads(files("gateway.security.dossier").joinpath("checklist.toml").read_text(encoding="utf-8"))
    found = [
        _point(row, Words(group["en"], group["da"]), CHECKS) for group in table["group"] for row in group["points"]
    ]
    return tuple(sorted(found, key=lambda point: point.number))


def _point(row: dict[str, Any], group: Words, checks: dict[int, Check]) -> Point:
    title, how = Words(row["en"], row["da"]), Words(row["how_en"], row["how_da"])
    return Point(row["n"], group, title, tuple(row["refs"]), how, bool(row.get("tests", False)), checks[row["n"]])


def counts(answers: tuple[Answer, ...]) -> dict[State, int]:
    """Return how many points came to each state."""
    return {state: sum(answer.state is state for answer in answers) for state in State}
