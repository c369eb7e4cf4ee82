"""F8: the broker is away. What is read meanwhile waits on the disk and goes out when the broker is back."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from tests.faults import oracle
from tests.faults.evidence import evidence, scaled
from tests.faults.rig import SETTLE_S, Counter, Rig

RATE = 200


def test_a_broker_that_is_away_costs_nothing(tmp_path: Path) -> None:
    with (
        evidence(
            "F8",
            "broker away",
            how=f"stopped in order for {scaled(5, 3600)} s under {RATE} samples/s, then started again",
            target="0 lost, backlog out at least 10 times as fast as it came in, RSS of the gateway +10 MB at most",
        ) as row,
        Rig(tmp_path, (Counter("d1", RATE),), window=64, limit_mib=2048) as rig,
    ):
        rig.wait_flowing()
        gateway = psutil.Process(rig.parts["gateway"].pid)
        before = gateway.memory_info().rss
        assert rig.term("broker") == 0
        rig.pass_time(scaled(5.0, 3600.0))
        grown = gateway.memory_info().rss - before
        backlog = rig.said("d1") - rig.committed("d1")
        rig.start("broker")
        back_ns = time.time_ns()
        rig.wait_flowing(timeout_s=SETTLE_S + scaled(0, 900))
        rig.finish()
        verdict = rig.verdict()
        commits = [at for _, at in oracle.committed(rig.database)["d1"] if at >= back_ns][:backlog]
        took = (commits[-1] - commits[0]) / 1e9
        row.count = 1
        row.figures |= verdict.figures() | {"backlog": backlog, "drain_s": round(took, 2)}
        row.at_least("drain_x_real_time", backlog / RATE / took, 10)
        row.at_most("rss_growth_mb", grown / 1e6, 10)
        row.violations += verdict.violations()
