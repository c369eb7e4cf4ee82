"""F3: kill -9 of the acquire process, of the forward process, and of both at once."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.faults import oracle
from tests.faults.evidence import evidence, scaled
from tests.faults.parts_config import port_of
from tests.faults.rig import SETTLE_S, Counter, Rig
from tests.parts.wait import wait_until

SEED = 3
ROWS = 1024  # the smallest ring: two seconds of the busy line
DROPPED = 300
DEVICES = (Counter("d1", 100), Counter("d2", 50, "tcp"))


@pytest.mark.parametrize("killed", [("acquire",), ("forward",), ("acquire", "forward")], ids="+".join)
def test_roles_killed_at_any_moment_lose_nothing_accepted(tmp_path: Path, killed: tuple[str, ...]) -> None:
    with (
        evidence(
            "F3",
            f"kill -9 of {' and '.join(killed)}",
            how="0.1 to 1.5 s after the start, two devices with 100 and 50 samples/s",
            target="0 accepted lost; killing forward leaves no gap in what is read",
            seed=SEED,
        ) as row,
        Rig(tmp_path, DEVICES, split=True) as rig,
    ):
        chance = random.Random(SEED)
        for _ in range(scaled(3, 300)):
            rig.pass_time(chance.uniform(0.1, 1.5))
            for name in killed:
                rig.kill(name)
            for name in killed:
                rig.start(name, wait=False)
            row.count += 1
        for device in DEVICES:
            rig.wait_flowing(device.name)
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures()
        row.violations += verdict.violations()
        if "acquire" not in killed:
            unread = verdict.total("unread")
            row.violations += [f"{unread} unread while only the forwarder was killed"] if unread else []


def test_a_ring_that_fills_while_forward_is_dead_loses_a_declared_number(tmp_path: Path) -> None:
    """The ring keeps the oldest. What it had no room for is counted by acquire, and declared by the next forward."""
    with (
        evidence(
            "F3",
            "ring full while forward is dead",
            how=f"rings of {ROWS} rows, 500 and 20 samples/s; forward is dead until one has dropped {DROPPED} rows",
            target="0 lost that was in the ring; what was dropped is declared, exactly; the other line loses nothing",
            seed=SEED,
        ) as row,
        Rig(tmp_path, (Counter("d1", 500), Counter("d2", 20, "tcp")), split=True, ring_rows=ROWS) as rig,
    ):
        for _ in range(scaled(1, 100)):
            for name in ("d1", "d2"):
                rig.wait_flowing(name)
            rig.kill("forward")
            before = dropped(rig)
            wait_until(lambda before=before: dropped(rig) >= before + DROPPED, "the ring does not fill", SETTLE_S)
            rig.start("forward")
            row.count += 1
        for name in ("d1", "d2"):
            rig.wait_flowing(name)
        after_ns = time.time_ns() + 1_000_000_000  # the status is written each second
        wait_until(lambda: rig.status()["acquire"]["t_ns"] > after_ns, "no status", SETTLE_S)
        lost = dropped(rig)
        rig.finish()
        verdict, declared = rig.verdict(), oracle.declared_counts(rig.state_dir / "spool")
        row.figures |= verdict.figures() | {"dropped_by_the_ring": lost, "declared": dict(declared)}
        row.violations += verdict.violations()
        row.violations += [f"{lost} dropped, {declared} declared"] if declared != {"d1": lost} else []
        row.violations += [f"{verdict.total('unread')} unread"] if verdict.total("unread") else []


def dropped(rig: Rig) -> int:
    """Return how many rows the ring of d1 has had no room for."""
    ports = rig.status().get("acquire", {}).get("ports", [])
    return sum(int(port["ring"]["dropped"]) for port in ports if port["name"] == port_of("d1"))
