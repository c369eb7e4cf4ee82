"""F27: all faults by chance: a schedule with a seed, so that a run that breaks a promise is run again.

MDI_CHAOS_SEED takes another seed, MDI_CHAOS_S another length. The same seed gives the same schedule; what each step
hits is up to milliseconds of the machine.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.evidence import evidence, scaled
from tests.faults.noise import Noise
from tests.faults.rig import Counter, Rig

SEED = int(os.environ.get("MDI_CHAOS_SEED", "1"))
LENGTH_S = float(os.environ.get("MDI_CHAOS_S") or scaled(8.0, 7200.0))
DEVICES = (Counter("d1", 100), Counter("d2", 50, "tcp"), Counter("d3", 20))
SHORT_S, LONG_S = 0.1, 1.5  # of one fault


@dataclass(frozen=True, slots=True)
class Step:
    """One fault: after a pause, what, for how long."""

    pause_s: float
    what: str
    length_s: float

    def __str__(self) -> str:
        return f"{self.pause_s:.3f} {self.what} {self.length_s:.3f}"


def schedule(seed: int, length_s: float) -> list[Step]:
    """Return the steps of a seed."""
    chance = random.Random(seed)
    steps: list[Step] = []
    while sum(step.pause_s + step.length_s for step in steps) < length_s:
        what = chance.choice(sorted(FAULTS))
        steps.append(Step(chance.uniform(0.0, 0.7), what, chance.uniform(SHORT_S, LONG_S)))
    return steps


# ---- the faults: done, held for a time, undone


def killed(rig: Rig, name: str, length_s: float) -> None:
    rig.kill(name)
    rig.pass_time(length_s)
    rig.start(name, wait=False)


def acquire(rig: Rig, length_s: float) -> None:
    killed(rig, "acquire", length_s)


def forward(rig: Rig, length_s: float) -> None:
    killed(rig, "forward", length_s)


def broker(rig: Rig, length_s: float) -> None:
    killed(rig, "broker", length_s)


def kita(rig: Rig, length_s: float) -> None:
    killed(rig, "kita", length_s)


def stopped(rig: Rig, name: str, length_s: float) -> None:
    if rig.parts[name].running:
        rig.stop(name)
        rig.pass_time(length_s)
        rig.cont(name)


def stopped_acquire(rig: Rig, length_s: float) -> None:
    stopped(rig, "acquire", length_s)


def stopped_forward(rig: Rig, length_s: float) -> None:
    stopped(rig, "forward", length_s)


def stopped_kita(rig: Rig, length_s: float) -> None:
    stopped(rig, "kita", length_s)


def unplugged(rig: Rig, length_s: float) -> None:
    rig.note("d1", "unplug")
    rig.lines["d1"].unplug()
    rig.pass_time(length_s)
    rig.lines["d1"].plug()
    rig.note("d1", "plug")


def noisy(rig: Rig, length_s: float) -> None:
    rig.lines["d3"].make_noise(Noise(bit=1e-3, drop=1e-3, double=1e-3, split=True))
    rig.pass_time(length_s)
    rig.lines["d3"].make_noise(Noise())


def babbling(rig: Rig, length_s: float) -> None:
    rig.order("rate", "d2", 1000)
    rig.pass_time(length_s)
    rig.order("rate", "d2", 50)


def reset(rig: Rig, length_s: float) -> None:
    rig.net.reset()
    rig.pass_time(length_s)


FAULTS: dict[str, Callable[[Rig, float], None]] = {
    fault.__name__: fault
    for fault in (
        acquire,
        forward,
        broker,
        kita,
        stopped_acquire,
        stopped_forward,
        stopped_kita,
        unplugged,
        noisy,
        babbling,
        reset,
    )
}


def test_the_same_seed_is_the_same_schedule() -> None:
    assert schedule(5, 60.0) == schedule(5, 60.0) != schedule(6, 60.0)
    assert {step.what for step in schedule(5, 300.0)} == set(FAULTS)


def test_all_faults_by_chance_lose_nothing_silently(tmp_path: Path) -> None:
    steps = schedule(SEED, LENGTH_S)
    with (
        evidence(
            "F27",
            "chaos",
            how=f"{len(FAULTS)} kinds of fault by chance for {LENGTH_S:g} s, three devices with 170 samples/s together",
            target="no promise broken",
            seed=SEED,
        ) as row,
        Rig(tmp_path, DEVICES, split=True, net_proxy=True, line_proxies=True, seed=SEED) as rig,
    ):
        try:
            for device in DEVICES:
                rig.wait_flowing(device.name)
            for step in steps:
                rig.pass_time(step.pause_s)
                FAULTS[step.what](rig, step.length_s)
                row.count += 1
            for device in DEVICES:
                rig.wait_flowing(device.name)
            rig.finish()
        except BaseException:
            row.violations += replay(steps[: row.count + 1])
            raise
        verdict = rig.verdict()
        row.figures |= verdict.figures()
        found = verdict.violations(in_order=False)  # what was under way is sent again after later ones
        row.violations += found + (replay(steps) if found else [])


def replay(steps: list[Step]) -> list[str]:
    """Return what a person needs to see it again."""
    return [
        f"replay: MDI_CHAOS_SEED={SEED} MDI_CHAOS_S={LENGTH_S:g}; pause, what, length: {', '.join(map(str, steps))}"
    ]
