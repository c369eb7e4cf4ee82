"""Results of the release's tests, as a file that travels with the release: point → tests, passed or not.

    {"version": "0.1.0", "made": "2026-11-21T20:00:00+00:00",
     "points": {"11": [{"test": "tests/unit/test_modbus_transmit.py::test_…", "passed": true}]}}

Made where the release is built and tested. A result of another version counts for nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

from gateway.security.dossier.facts import TestsFact

MAX_BYTES = 1 << 20


def read_results(path: Path | None) -> TestsFact | None:
    """Read the results; None when there is no file. Raises: ValueError, KeyError or OSError for another file."""
    if path is None or not path.is_file():
        return None
    if path.stat().st_size > MAX_BYTES:
        raise ValueError("too large for results of tests")
    doc = json.loads(path.read_text(encoding="utf-8"))
    results = {
        int(number): tuple((str(row["test"]), row["passed"] is True) for row in rows)
        for number, rows in doc["points"].items()
    }
    return TestsFact(str(doc["version"]), str(doc["made"]), results)
