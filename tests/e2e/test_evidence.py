"""From the tests of the release to the answer on a box: two points run for real, read by selfcheck and dossier."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
POINTS = ("3", "19")  # quick, and the sample configuration passes the half that the box shows


def run(*words: str) -> subprocess.CompletedProcess[str]:
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=here, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("release") / "evidence/tests.json"
    done = run("-m", "tests.points", str(path), *POINTS)
    assert done.returncode == 0, done.stdout + done.stderr
    return path


def selfcheck(evidence: Path) -> dict[int, tuple[str, str]]:
    words = ("security", "selfcheck", "--config", "mdi_config.toml", "--evidence", str(evidence), "--json")
    done = run("-m", "gateway.cli.app", *words)
    return {row["number"]: (row["state"], row["evidence"]) for row in json.loads(done.stdout)["points"]}


def changed(evidence: Path, to: Path, **changes: Any) -> Path:
    path = to / "changed.json"
    path.write_text(json.dumps({**json.loads(evidence.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
    return path


def test_what_was_run_counts_and_what_was_not_is_unknown(evidence: Path) -> None:
    said = selfcheck(evidence)
    for point in map(int, POINTS):
        assert said[point][0] == "pass"
        assert "tests of the release passed on" in said[point][1]
    assert said[22] == ("unknown", said[22][1])
    assert "no test of the release was run for it" in said[22][1]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": "9.9"}, "are of version 9.9"),
        ({"software": "0" * 64}, "are of another program"),
        ({"made": "2001-01-01T00:00:00+00:00"}, "are out of date"),
    ],
    ids=["version", "program", "old"],
)
def test_results_of_something_else_are_unknown_and_no_pass(
    evidence: Path, tmp_path: Path, changes: dict[str, str], why: str
) -> None:
    said = selfcheck(changed(evidence, tmp_path, **changes))
    for point in map(int, POINTS):
        assert said[point][0] == "unknown"
        assert why in said[point][1]


def test_a_failed_test_fails_its_point(evidence: Path, tmp_path: Path) -> None:
    points = json.loads(evidence.read_text(encoding="utf-8"))["points"]
    points["3"][0]["passed"] = False
    assert selfcheck(changed(evidence, tmp_path, points=points))[3][0] == "fail"


def test_the_dossier_says_the_same(evidence: Path, tmp_path: Path) -> None:
    page = tmp_path / "dossier.html"
    words = ("onboard", "report", "--config", "mdi_config.toml", "--evidence", str(evidence), "--lang", "en")
    done = run("-m", "gateway.cli.app", *words, "--out", str(page))
    assert done.returncode == 0, done.stderr
    assert page.read_text(encoding="utf-8").count("tests of the release passed on") == len(POINTS)


def test_what_does_not_exist_or_is_skipped_has_not_passed() -> None:
    from xml.etree.ElementTree import fromstring

    from tests.points import outcome, together

    cases = {
        '<testcase name="a"/>': True,
        '<testcase name="a"><failure/></testcase>': False,
        '<testcase name="a"><error/></testcase>': False,
        '<testcase name="a"><skipped/></testcase>': None,
    }
    assert {text: outcome(fromstring(text)) for text in cases} == cases
    assert [together(c) for c in ([], [True, None], [None, False], [True, True])] == [None, None, False, True]


def test_a_program_that_changes_under_the_tests_leaves_no_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody merges while an hour of tests runs: the digest would be of what was not tested."""
    from tests import points

    digests = iter(("before", "after"))
    monkeypatch.setattr(points, "software", lambda _root: next(digests))
    monkeypatch.setattr(points, "run", lambda _points: {})
    assert points.main(tmp_path / "tests.json", ["3"]) == 2
    assert not (tmp_path / "tests.json").exists()
