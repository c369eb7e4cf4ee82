"""F21: little memory. It does not grow with the backlog; where there is too little, the end is a defined one."""

from __future__ import annotations

import random
import resource
from pathlib import Path

import psutil

from tests.faults.evidence import evidence, scaled
from tests.faults.rig import SETTLE_S, Counter, Rig
from tests.parts.wait import wait_until

SEED = 21
RATE, FLOOD = 200, 2000
CAP = 256 << 20  # address space; of it 64 MiB are in use, the rest is what libraries map and do not touch
BACKLOG = scaled(6000, 3600 * RATE)  # samples; nightly: an hour
STARVED_MIB = (16, 240)  # of private data; 140 are in use
ROOM = 1 << 20  # bytes left at run time
TOO_LITTLE = (1, 70, 75)  # documented codes of an end for want of memory: refused by the system, ours, start again


def test_a_backlog_is_kept_and_delivered_under_a_cap(tmp_path: Path) -> None:
    with (
        evidence(
            "F21",
            "memory cap",
            how=f"RLIMIT_AS of {CAP >> 20} MiB, broker away until {BACKLOG} samples wait, killed, started, delivered",
            target="no exit, 0 lost, RSS +10 MB at most",
            seed=SEED,
        ) as row,
        Rig(tmp_path, (Counter("d1", RATE),), commit_ms=10, window=64, limit_mib=4096) as rig,
    ):
        assert rig.term("gateway") == 0
        rig.parts["gateway"].limits = {"as": CAP}
        rig.start("gateway")
        rig.wait_flowing()
        before = _rss(rig)
        rig.term("broker")
        rig.order("rate", "d1", FLOOD)
        goal = rig.said("d1") + BACKLOG
        wait_until(lambda: rig.said("d1") > goal, "no backlog", SETTLE_S + BACKLOG / RATE)
        rig.order("rate", "d1", RATE)
        grown = _rss(rig) - before
        rig.kill("gateway")
        rig.start("gateway")
        rig.start("broker")
        rig.wait_flowing(timeout_s=SETTLE_S + BACKLOG / RATE)
        row.count = 1
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures()
        row.at_most("rss_growth_mb", grown / 1e6, 10)
        row.violations += verdict.violations()


def test_too_little_memory_ends_in_a_defined_way_and_loses_nothing(tmp_path: Path) -> None:
    with (
        evidence(
            "F21",
            "too little memory",
            how=f"with a backlog: starts under RLIMIT_DATA of {STARVED_MIB[0]} to {STARVED_MIB[1]} MiB, and"
            f" {ROOM >> 20} MiB left to a running gateway while it delivers",
            target="goes on, or ends with a documented code; the next start without a cap delivers all",
            seed=SEED,
        ) as row,
        Rig(tmp_path, (Counter("d1", RATE),), commit_ms=10, window=64) as rig,
    ):
        chance, gateway, log = random.Random(SEED), rig.parts["gateway"], rig.parts["gateway"].log
        ended: list[int] = []
        went_on = 0
        rig.wait_flowing()
        rig.term("broker")
        rig.pass_time(2.0)
        assert rig.term("gateway") == 0
        gateway.log = tmp_path / "starved.log"  # an interpreter that cannot be loaded says so in words of its own
        for _ in range(scaled(3, 100)):
            gateway.limits = {"data": chance.randint(*STARVED_MIB) << 20}
            rig.start("gateway", wait=False)
            wait_until(lambda: gateway.died() or " started: " in gateway.said(), gateway.said, SETTLE_S)
            went_on += gateway.running
            ended += [] if gateway.running else [gateway.ended[-1].code]
            if gateway.running:
                rig.kill("gateway")
            row.count += 1
        gateway.limits, gateway.log = {}, log
        for _ in range(scaled(1, 50)):
            rig.start("gateway")
            _starve(rig)
            rig.start("broker")
            rig.order("rate", "d1", FLOOD)
            rig.pass_time(chance.uniform(1.0, 3.0))
            rig.order("rate", "d1", RATE)
            rig.term("broker")
            went_on += not gateway.died()
            ended += [] if gateway.running else [gateway.ended[-1].code]
            if gateway.running:
                rig.kill("gateway")
            row.count += 1
        rig.start("gateway")
        rig.start("broker")
        rig.wait_flowing()
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures() | {"went_on": went_on, "codes": sorted(set(ended))}
        row.violations += verdict.violations(exits=TOO_LITTLE)
        row.violations += [f"ended with {code}" for code in ended if code not in TOO_LITTLE]


def _rss(rig: Rig) -> int:
    return int(psutil.Process(rig.parts["gateway"].pid).memory_info().rss)


def _starve(rig: Rig) -> None:
    """Leave the running gateway ROOM bytes of data more than it has."""
    pid = rig.parts["gateway"].pid
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    used = int(status["VmData"].split()[0]) * 1024
    rig.note("gateway", "kill")  # it may end at any moment from here on
    resource.prlimit(pid, resource.RLIMIT_DATA, (used + ROOM, hard))
