"""F16: the cable is pulled and put back; the port comes back under another number behind the same name."""

from __future__ import annotations

import random
import time
from itertools import pairwise
from pathlib import Path

import psutil

from tests.faults.evidence import evidence, percentile, scaled
from tests.faults.rig import Counter, Rig

SEED = 16
RATE, OTHER = 100, 20


def test_an_unplugged_line_is_read_again_and_says_its_gap(tmp_path: Path) -> None:
    devices = (Counter("d1", RATE), Counter("d2", OTHER, "tcp"))
    with (
        evidence(
            "F16",
            "unplug and replug",
            how=f"the pseudo-terminal goes for 0.1 to 1 s and comes back under another /dev/pts behind the same link,"
            f" {RATE} samples/s; second line with {OTHER}",
            target="read again within 5 s, less than 5 % CPU while unplugged, the other line has no gap",
            seed=SEED,
        ) as row,
        Rig(tmp_path, devices, line_proxies=True, seed=SEED) as rig,
    ):
        chance = random.Random(SEED)
        gateway = psutil.Process(rig.parts["gateway"].pid)
        away_s = busy_s = 0.0
        rig.wait_flowing("d1")
        for _ in range(scaled(4, 500)):
            rig.note("d1", "unplug")
            rig.lines["d1"].unplug()
            begun, before = time.monotonic(), sum(gateway.cpu_times()[:2])
            rig.pass_time(chance.uniform(0.1, 1.0))
            away_s += time.monotonic() - begun
            busy_s += sum(gateway.cpu_times()[:2]) - before
            rig.lines["d1"].plug()
            rig.note("d1", "plug")
            rig.wait_flowing("d1")
            row.count += 1
        names = rig.lines["d1"].names
        assert all(a != b for a, b in pairwise(names)), f"the line has come back under the same name: {names}"
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures() | {"tty_names": len(set(names))}
        row.at_most("reopen_p99_s", percentile(verdict.devices["d1"].back_s, 0.99), 5.0)
        row.at_most("cpu_unplugged_percent", 100 * busy_s / away_s, 5.0)
        row.violations += verdict.violations()
        unread = verdict.devices["d2"].unread
        row.violations += [f"d2: {unread} unread while the other line was unplugged"] if unread else []
