"""Small and exhaustive: every sequence of operations, every crash point, every end (crash_exhaustive.py).

Up to three operations; with MDI_CRASH_STATES=1000000, the nightly volume, up to four.
"""

from __future__ import annotations

import os
import time

import pytest

from tests.model.crash import MUTANTS
from tests.model.crash_exhaustive import OPERATIONS, explore, explore_all
from tests.model.figures import tell

NIGHTLY = int(os.environ.get("MDI_CRASH_STATES", "0")) >= 1_000_000
LONGEST, LEAST_STATES = (4, 100_000) if NIGHTLY else (3, 10_000)  # four take ten times as long as three


@pytest.mark.slow
def test_every_small_history_crashed_at_every_point(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    histories, states, violations = explore_all(LONGEST)
    figures = {
        "row": "F4",
        "title": f"every sequence of up to {LONGEST} of {len(OPERATIONS)} operations, every crash point, every end",
        "count": states,
        "histories": histories,
        "violations": len(violations),
        "seconds": round(time.monotonic() - began, 1),
    }
    with capsys.disabled():
        tell(figures)
    assert not violations, "\n".join(violations[:20])
    assert histories == sum(len(OPERATIONS) ** length for length in range(1, LONGEST + 1))
    assert states > LEAST_STATES


NOTICED = {
    "no fsync": "d",
    "roll without fsync": "fsf",
    "no directory fsync": "asj",
    "no checksum": "ff",
    "recovery does not fsync segments": "ax",
    "send before sync": "aj",
    "loss done before its record": "fff",
    "side file not synced": "asj",
}


@pytest.mark.parametrize("name", NOTICED)
def test_a_broken_spool_is_noticed_by_a_small_history(name: str) -> None:
    """The other mutants need more than four operations, or a full disk: they are the campaign's."""
    assert not explore(NOTICED[name])[1]
    with MUTANTS[name].applied():
        assert explore(NOTICED[name])[1]
