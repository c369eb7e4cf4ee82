"""What a row of the fault table has found: printed in one line, and kept as JSON when MDI_EVIDENCE names a folder.

    with evidence("F9", "broker kill -9", how="…", target="0 lost end to end", seed=7) as row:
        row.count += 1
        row.figures["drain_s"] = 1.2
        row.violations += verdict.violations()

        row.at_most("drain_s", 1.2, 10)      a figure with its target

Violations are promises that were broken: on leaving they are an AssertionError. A figure beyond its target (time, CPU,
memory) is a miss: it is told in the report and fails no test, because it judges the machine as well.
A row is met when nothing was raised, and there are neither violations nor misses.
MDI_FAULTS_SCALE=nightly does the volumes of the table; a number from 0 to 1 that part of them; without it they are
small enough for every commit.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

N = TypeVar("N", int, float)
NIGHTLY = "nightly"


def scale() -> str:
    """Return "ci", "nightly", or which part of the nightly volume."""
    return os.environ.get("MDI_FAULTS_SCALE") or "ci"


def scaled(ci: N, nightly: N) -> N:
    """Return the volume for this run."""
    part = {"ci": 0.0, NIGHTLY: 1.0}.get(scale())
    volume = ci + (nightly - ci) * (float(scale()) if part is None else part)
    return type(ci)(round(volume) if isinstance(ci, int) else volume)


@dataclass
class Evidence:
    """One row as it ran. count: how often the fault was done; figures: what was measured, with the unit in the name."""

    row: str
    title: str
    how: str
    target: str
    seed: int | str = 0
    count: int = 0
    seconds: float = 0.0
    scale: str = field(default_factory=scale)
    figures: dict[str, object] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    misses: list[str] = field(default_factory=list)
    met: bool = False

    def at_most(self, name: str, value: float, target: float) -> None:
        """Keep a figure that has a target."""
        self.figures[name] = round(value, 3)
        if value > target:
            self.misses.append(f"{name} {value:.3g} is above {target:g}")

    def at_least(self, name: str, value: float, target: float) -> None:
        """Keep a figure that has a target."""
        self.figures[name] = round(value, 3)
        if value < target:
            self.misses.append(f"{name} {value:.3g} is below {target:g}")

    def line(self) -> str:
        """Return it in one line."""
        figures = ", ".join(f"{name} {value}" for name, value in self.figures.items())
        state = "met" if self.met else f"NOT MET: {'; '.join(self.violations + self.misses)[:500]}"
        return (
            f"{self.row} {self.title}: {self.count} times, seed {self.seed}, {self.seconds:.1f} s; {figures}; {state}"
        )


@contextmanager
def evidence(row: str, title: str, *, how: str, target: str, seed: int = 0) -> Iterator[Evidence]:
    """Yield what a test fills in; see the module text."""
    found = Evidence(row, title, how, target, seed)
    begun = time.monotonic()
    try:
        yield found
    except BaseException as fault:
        found.violations.append(f"{type(fault).__name__}: {str(fault)[:300]}")
        raise
    finally:
        found.seconds = round(time.monotonic() - begun, 1)
        found.met = not found.violations and not found.misses
        print(found.line(), flush=True)
        keep(found)
    assert not found.violations, "\n".join(found.violations)


def keep(found: Evidence) -> None:
    """Write it to the folder that MDI_EVIDENCE names, if any."""
    folder = os.environ.get("MDI_EVIDENCE")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        slug = "".join(c if c.isalnum() else "_" for c in found.title.lower())
        text = json.dumps(asdict(found) | {"date": time.strftime("%Y-%m-%d %H:%M", time.gmtime())}, indent=1)
        (Path(folder) / f"{found.row}-{slug}.json").write_text(text + "\n", encoding="utf-8")


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that `share` of the values do not exceed; 0 when there are none."""
    ordered = sorted(values)
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 3) if ordered else 0.0
