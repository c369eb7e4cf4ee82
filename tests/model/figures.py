"""What a campaign of tests has come to, in the form of the fault table (tests/faults/evidence.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.faults.evidence import Evidence, keep

KNOWN = ("row", "title", "how", "target", "count", "seed", "seconds")
HOW = {
    "F4": "the real spool on a disk in memory: what is not synced survives in any subset, torn; names as a prefix",
    "F5": "files of a spool damaged at random: flipped, zeroed, cut, lengthened, swapped",
    "F6": "each call of the file layer, the nth time, fails in each way, over a script that does everything",
}


def tell(figures: Mapping[str, Any]) -> None:
    """Print one line and keep it. figures: row, title, count, violations (how many) and whatever else was measured."""
    known = {name: figures[name] for name in KNOWN if name in figures}
    known |= {"seed": str(figures.get("seed", 0)), "seconds": float(figures.get("seconds", 0.0))}
    defaults = {"how": HOW[figures["row"]], "target": "0 violations", "count": 0}
    bad = int(figures.get("violations", 0))
    found = Evidence(**(defaults | known), violations=[f"{bad} violations"] if bad else [], met=not bad)
    found.figures = {name: value for name, value in figures.items() if name not in (*KNOWN, "violations")}
    print("\n" + found.line())
    keep(found)
