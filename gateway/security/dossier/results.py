"""Results of the release's tests, as a file that travels with the release: point → tests, passed, failed or not run.

    {"version": "0.1.0", "commit": "5c1f…", "software": "9a0e…", "made": "2026-11-21T20:00:00+00:00",
     "points": {"11": [{"test": "tests/unit/test_modbus_transmit.py::test_…", "passed": true}]}}

software: the digest of the program that was tested, so that a result counts for this program and for no other; passed:
null is a test that was not run, or what no test shows. Made by `make evidence`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.security.dossier.facts import TestsFact
from gateway.security.inventory.install import hashes, write_manifest

MAX_BYTES = 1 << 20
COUNTED = (".py", ".toml")  # what decides what the program does; documents and pictures do not


def software(root: Path) -> str:
    """Return the SHA-256 over program and profiles below root, wherever they are installed."""
    found = {path: digest for path, digest in hashes(root).items() if path.endswith(COUNTED)}
    return hashlib.sha256(write_manifest(found).encode()).hexdigest() if found else ""


def read_results(path: Path | None) -> TestsFact | None:
    """Read the results; None when there is no file. Raises: ValueError or OSError for another file."""
    if path is None or not path.is_file():
        return None
    if path.stat().st_size > MAX_BYTES:
        raise ValueError("too large for results of tests")
    return parse_results(path.read_bytes())


def parse_results(data: bytes) -> TestsFact:
    """Return what the file says. Raises: ValueError for anything else than such a file."""
    try:
        return _parse(json.loads(data.decode("utf-8")))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("these are no results of tests") from error


def _parse(doc: Mapping[str, Any]) -> TestsFact:
    words = [doc[key] for key in ("version", "made", "commit", "software")]
    if not all(isinstance(word, str) and word for word in words):
        raise ValueError("version, made, commit and software are texts")
    points = {int(number): tuple(_row(row) for row in rows) for number, rows in doc["points"].items()}
    return TestsFact(words[0], words[1], points, commit=words[2], software=words[3])


def _row(row: Mapping[str, Any]) -> tuple[str, bool | None]:
    if not isinstance(row["test"], str) or row["passed"] not in (True, False, None):
        raise ValueError("a row has a test and whether it passed")
    passed = row["passed"]
    return row["test"], None if passed is None else bool(passed)
