"""F8: the broker is away. What is read meanwhile waits on the disk and goes out when the broker is back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from tests.faults import oracle
from tests.faults.evidence import evidence, scaled
from tests.faults.rig import SETTLE_S, Counter, Rig

RATE = 200
ROOT = Path(__file__).parents[2]
GIB = 1 << 30
LIVE = 10  # messages a second of the design load; see virtual_outage
VIRTUAL_S = scaled(900, 72 * 3600)
RECOVERY_S_PER_GIB = 5.0


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


def test_three_days_of_the_design_load_wait_on_the_disk(tmp_path: Path) -> None:
    with evidence(
        "F8",
        "virtual outage",
        how=f"{VIRTUAL_S / 3600:g} h of 10 devices with 20 values/s through the real forwarder and spool, receiver"
        " away, as fast as the disk takes them, clock injected; a new process recovers and drains while the load"
        " goes on; ports and receiver are simulated",
        target="0 lost, RSS +10 MB at most, recovery within 5 s per GiB, backlog out at least 10 times as fast as it"
        " came in",
    ) as row:
        try:
            filled, drained = (_virtual(what, tmp_path / "box") for what in ("fill", "drain"))
        finally:
            shutil.rmtree(tmp_path / "box")  # 13 GiB in the nightly run
        backlog = int(filled["waiting"])
        opening = (drained["opened_s"] - filled["opened_s"]) / (filled["bytes"] / GIB)  # less what any start takes
        row.count = 1
        row.figures |= {"backlog": backlog, "backlog_gib": round(filled["bytes"] / GIB, 3)}
        row.figures["gib_in_72_h"] = round(filled["bytes"] / GIB * 72 * 3600 / VIRTUAL_S, 1)
        row.figures["fill_x_real_time"] = round(VIRTUAL_S / filled["took_s"], 1)
        row.at_most("rss_growth_filling_mb", filled["rss_growth"] / 1e6, 10)
        row.figures["rss_growth_draining_mb"] = round(drained["rss_growth"] / 1e6, 1)  # one segment is read whole
        if filled["bytes"] < GIB:  # too little to judge
            row.figures["recovery_s_per_gib"] = round(opening, 2)
        else:
            row.at_most("recovery_s_per_gib", opening, RECOVERY_S_PER_GIB)
        row.at_least("drain_x_real_time", backlog / LIVE / drained["took_s"], 10)
        row.violations += [str(fault) for fault in (*filled["wrong"], *drained["wrong"])]
        row.violations += [f"{run['lost']} lost" for run in (filled, drained) if run["lost"]]
        left, made = drained["waiting"], backlog + drained["messages"]
        row.violations += [f"{left} left behind"] if left else []
        row.violations += [f"{drained['received']} arrived of {made}"] if drained["received"] != made else []
        expected = LIVE * VIRTUAL_S
        row.violations += [f"{backlog} messages waited, not {expected}"] if backlog != expected else []


def _virtual(what: str, folder: Path) -> dict[str, Any]:
    """Run virtual_outage in a process of its own, whose memory is its own."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.faults.virtual_outage", what, str(folder), str(VIRTUAL_S)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=VIRTUAL_S + SETTLE_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found
