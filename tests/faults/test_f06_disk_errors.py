"""F6, end to end: the disk of the spool refuses while the gateway runs. Each call that can fail: tests/model."""

from __future__ import annotations

import random
from pathlib import Path

from tests.faults.evidence import evidence, scaled
from tests.faults.own_disk import own_disk
from tests.faults.process import mistakes
from tests.faults.rig import SETTLE_S, Counter, Rig
from tests.parts.wait import wait_until

SEED = 6
RATE, FLOOD = 200, 2000
TEMPORARY = (1, 75)  # docs/operation.md: the disk refuses; a sync has failed. Both: start again


def test_a_disk_that_becomes_read_only_loses_nothing_accepted(tmp_path: Path) -> None:
    with (
        own_disk(tmp_path / "disk", 32 << 20) as disk,
        evidence(
            "F6",
            "read-only at run time",
            how=f"nothing can be made or opened for writing, {FLOOD} samples/s until the ring drops; every other time"
            " killed and started",
            target="runs on; a start ends with a documented code; each loss declared; resumes",
            seed=SEED,
        ) as row,
        Rig(tmp_path, (Counter("d1", RATE),), state=disk.path / "state", commit_ms=10, ring_rows=2048) as rig,
    ):
        chance = random.Random(SEED)
        rig.wait_flowing()
        for number in range(scaled(2, 100)):
            disk.read_only()
            dropped = _dropped(rig)
            rig.order("rate", "d1", FLOOD)
            wait_until(lambda: _dropped(rig) > dropped, lambda: f"the ring takes all\n{rig.status()}", SETTLE_S)  # noqa: B023
            rig.order("rate", "d1", RATE)
            rig.pass_time(chance.uniform(0.1, 1.0))
            if number % 2:
                rig.kill("gateway")
                row.violations += _refused_start(rig)
            disk.writable()
            if number % 2:
                rig.start("gateway")
            rig.wait_flowing()
            row.count += 1
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures()
        row.violations += verdict.violations(exits=TEMPORARY)
        row.violations += [] if verdict.total("declared") else ["nothing was declared lost: the fault did not happen"]


def test_a_disk_that_dies_and_comes_back_has_all_that_was_accepted(tmp_path: Path) -> None:
    """ext4 is shut down without writing its journal: what was not synced is gone, as after a power cut."""
    with (
        own_disk(tmp_path / "disk", 32 << 20, "ext4") as disk,
        evidence(
            "F6",
            "disk dies at run time",
            how=f"ext4 shut down, its journal lost, 0.1 to 1 s after the first value of {RATE}/s; every other time with"
            " a backlog; mounted anew",
            target="ends with code 75 or tries again; a start ends with a documented code; nothing accepted is lost",
            seed=SEED,
        ) as row,
        Rig(tmp_path, (Counter("d1", RATE),), state=disk.path / "state", commit_ms=10) as rig,
    ):
        chance = random.Random(SEED)
        gateway, runs_on = rig.parts["gateway"], 0
        for number in range(scaled(2, 100)):
            rig.wait_flowing()
            if number % 2:
                rig.term("broker")
            rig.pass_time(chance.uniform(0.1, 1.0))
            rig.note("gateway", "kill")  # nobody reads the line from here on
            disk.die()
            wait_until(
                lambda: gateway.died() or "Input/output error" in gateway.said(),
                lambda: f"it has not seen that the disk is dead\n{rig.logs()}",
                SETTLE_S,
            )
            if gateway.running:  # a write was refused, no sync has failed: it tries again, for ever
                runs_on += 1
                rig.pass_time(chance.uniform(0.1, 1.0))
                rig.kill("gateway")
            row.violations += _refused_start(rig)
            disk.come_back()
            rig.start("gateway")
            if number % 2:
                rig.start("broker")
            row.count += 1
        rig.wait_flowing()
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures() | {"ran_on": runs_on}
        row.violations += verdict.violations(exits=TEMPORARY)


def _dropped(rig: Rig) -> int:
    return sum(int(port["ring"]["dropped"]) for port in rig.status().get("acquire", {"ports": ()})["ports"])


def _refused_start(rig: Rig) -> list[str]:
    """Start where the disk refuses: it must end by itself, with a documented code and one line that says why."""
    gateway = rig.parts["gateway"]
    rig.start("gateway", wait=False)
    wait_until(gateway.died, lambda: f"it starts without a disk\n{rig.logs()}", SETTLE_S)
    code, said = gateway.ended[-1].code, mistakes(gateway.said())
    fit = code in TEMPORARY and len(said) == 1
    return [] if fit else [f"a start without a disk: code {code}, {said[-3:]}"]
