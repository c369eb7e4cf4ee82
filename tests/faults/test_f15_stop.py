"""F15: each process is stopped (SIGSTOP) and goes on (SIGCONT), under a watchdog as systemd has it."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from tests.faults.evidence import evidence, scaled
from tests.faults.rig import Counter, Rig
from tests.parts.systemd import Systemd
from tests.parts.wait import wait_until

SEED = 15
DEVICES = (Counter("d1", 50), Counter("d2", 20, "tcp"))
WATCHED = ("acquire", "forward")
WATCHDOG_S = scaled(4.0, 20.0)  # the units say 20 s


def started(rig: Rig, folder: Path) -> dict[str, Systemd]:
    """Start both roles again, each under a systemd of its own."""
    watchers = {}
    for name in WATCHED:
        watchers[name] = Systemd(str(folder / f"notify-{name}"), WATCHDOG_S)
        rig.term(name)
        rig.start(name, **watchers[name].environment)
    for name in WATCHED:
        wait_until(watchers[name].ready, rig.logs, 60)
    return watchers


@pytest.mark.parametrize("stopped", ["acquire", "forward", "broker", "kita"])
def test_a_stopped_process_goes_on_or_its_watchdog_ends_it(tmp_path: Path, stopped: str) -> None:
    with (
        evidence(
            "F15",
            f"SIGSTOP of {stopped}",
            how=f"for less and for more than the watchdog's {WATCHDOG_S:g} s, then SIGCONT; who is silent is aborted",
            target="0 accepted lost; the watchdog fires for a stopped role and for nobody else",
            seed=SEED,
        ) as row,
        Rig(tmp_path, DEVICES, split=True) as rig,
    ):
        chance = random.Random(SEED)
        watchers = started(rig, tmp_path)
        fired = dict.fromkeys(WATCHED, 0)
        long = [False, True, *(chance.random() < 0.5 for _ in range(scaled(0, 48)))]
        for beyond in long:
            rig.wait_flowing()
            rig.stop(stopped)
            longest = chance.uniform(1.3, 6.0 if scaled(0, 1) else 1.6) * WATCHDOG_S
            for _ in range(round((longest if beyond else chance.uniform(0.3, 0.7) * WATCHDOG_S) / 0.2)):
                rig.pass_time(0.2)
                for name in [n for n in WATCHED if watchers[n].expired()]:
                    fired[name] += 1
                    rig.note(name, "kill")
                    rig.parts[name].end(signal.SIGABRT)  # as systemd does: SIGABRT, and SIGCONT for a stopped one
                    watchers[name].started_anew()
                    rig.start(name)
                    wait_until(watchers[name].ready, rig.logs, 60)
            if rig.parts[stopped].running:
                rig.cont(stopped)
            row.count += 1
            for device in DEVICES:
                rig.wait_flowing(device.name)
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures() | {f"watchdog_{name}": n for name, n in fired.items()}
        row.violations += verdict.violations()
        for name in WATCHED:
            expected = sum(long) if name == stopped else 0
            if (fired[name] >= expected) if expected else not fired[name]:
                continue
            row.violations.append(f"the watchdog of {name} fired {fired[name]} times, not {expected}")
