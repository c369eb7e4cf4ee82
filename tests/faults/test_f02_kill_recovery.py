"""F2: kill -9 while the gateway starts and recovers a backlog, again and again."""

from __future__ import annotations

import random
import time
from pathlib import Path

from tests.faults.evidence import evidence, scaled
from tests.faults.rig import SETTLE_S, Counter, Rig
from tests.parts.wait import wait_until

SEED = 2
RATE, FLOOD = 200, 2000
BACKLOG = 3000  # samples: two segments of the rig
AFTER_READY_S = 0.3
ACCEPTED_S = 1.2  # so that the backlog is older than what a kill may cost


def test_a_gateway_killed_while_it_recovers_loses_nothing_accepted(tmp_path: Path) -> None:
    with (
        evidence(
            "F2",
            "kill -9 during recovery",
            how=f"broker away, backlog of {BACKLOG} samples and more; every other kill aimed at the recovery of the"
            f" spool, the others from the start until {AFTER_READY_S} s after it is ready",
            target="0 accepted lost, no more segments than the backlog needs",
            seed=SEED,
        ) as row,
        Rig(tmp_path, (Counter("d1", RATE),), commit_ms=10, window=64) as rig,
    ):
        chance = random.Random(SEED)
        rig.wait_flowing()
        rig.term("broker")
        rig.order("rate", "d1", FLOOD)
        wait_until(lambda: rig.said("d1") - rig.committed("d1") > BACKLOG, "no backlog", SETTLE_S)
        rig.order("rate", "d1", RATE)
        rig.pass_time(ACCEPTED_S)
        rig.kill("gateway")
        took, recovery = _measure(rig)
        before_ready = in_recovery = 0
        for number in range(scaled(6, 300)):
            if number % 2:
                _at_recovery(rig, chance.uniform(0.0, 1.5 * recovery))
            else:
                rig.start("gateway", wait=False)
                rig.pass_time(chance.uniform(0.0, took + AFTER_READY_S))
            said = rig.parts["gateway"].said()
            rig.kill("gateway")
            before_ready += " started: " not in said
            in_recovery += number % 2 and "messages waiting" not in said
            row.count += 1
        segments = len(list((rig.state_dir / "spool").glob("segment-*")))
        rig.start("gateway")
        rig.start("broker")
        rig.wait_flowing()
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures()
        row.figures |= {"before_ready": before_ready, "in_recovery": in_recovery, "recovery_s": round(recovery, 3)}
        row.figures["segments"] = segments
        row.violations += verdict.violations()
        row.violations += [] if before_ready else ["no kill came before the gateway was ready"]
        # Each start begins one, and one that was never used goes at the next but one; the rest holds messages.
        most = 3 + row.count
        row.violations += [f"{segments} segments after {row.count} kills"] if segments > most else []


def _at_recovery(rig: Rig, after_s: float) -> None:
    """Start, and return so long after the recovery of the spool has begun: its lock then names the new process."""
    rig.start("gateway", wait=False)
    lock, pid = rig.state_dir / "spool" / "lock", str(rig.parts["gateway"].pid)
    wait_until(lambda: lock.read_text().strip() == pid, "the spool is not opened", SETTLE_S)
    rig.pass_time(after_s)


def _measure(rig: Rig) -> tuple[float, float]:
    """Start and kill once; return how long the start took, and the recovery in it, in s."""
    _at_recovery(rig, 0.0)
    begun, gateway = time.monotonic(), rig.parts["gateway"]
    wait_until(lambda: "messages waiting" in gateway.said(), "no word of the recovery", SETTLE_S)
    recovery = time.monotonic() - begun
    gateway.wait_ready()
    rig.kill("gateway")
    took = rig.start("gateway")
    rig.kill("gateway")
    return took, recovery
