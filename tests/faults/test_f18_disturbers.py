"""F18: one device babbles, never ends its frame, falls silent, says one value for ever, or has a noisy line.

It shares a gateway with quiet devices, which must not notice: nothing of them is lost, and they are not kept waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.faults.evidence import evidence, percentile, scaled
from tests.faults.isolation import Turns
from tests.faults.noise import Noise
from tests.faults.rig import Counter, Rig

SEED = 18
RATE = 20  # of each device; a hundredfold is what a babbling one says
QUIET = (Counter("q1", RATE), Counter("q2", RATE, "tcp"), Counter("q3", RATE))
DEVICES = (*QUIET, Counter("x", RATE))
MEMORY_MB = 512  # MemoryMax of systemd/mdi-acquire.service and mdi-forward.service
RISE_PERCENT = 20
PART = b"\x02" + b"7" * 2000  # of a frame that never ends; as much as fits on one line of orders


def babble(rig: Rig, on: bool) -> None:
    """Say a hundred times as much."""
    rig.order("rate", "x", 100 * RATE if on else RATE)


def endless(rig: Rig, on: bool) -> None:
    """Begin a frame and never end it; what is said behind it belongs to it."""
    rig.order("rate", "x", 0 if on else RATE)
    for _ in range(20 if on else 0):
        rig.order("raw", "x", PART.hex())
    rig.order("raw", "x", b"\r\n".hex())


def silence(rig: Rig, on: bool) -> None:
    """Say nothing."""
    rig.order("rate", "x", 0 if on else RATE)


def stuck(rig: Rig, on: bool) -> None:
    """Say the last value again and again."""
    rig.order("stick", "x", int(on))


def noise(rig: Rig, on: bool) -> None:
    """Nothing arrives as it was said."""
    rig.lines["x"].make_noise(Noise(bit=1e-2, drop=1e-2, double=1e-2, split=True) if on else Noise())


@pytest.mark.parametrize("disturb", [babble, endless, silence, stuck, noise], ids=lambda d: d.__name__)
def test_a_disturbed_device_costs_the_others_nothing(tmp_path: Path, disturb: Callable[[Rig, bool], None]) -> None:
    with (
        evidence(
            "F18",
            f"disturber: {disturb.__name__}",
            how=f"three quiet devices with {RATE} values/s beside it, by turns with and without",
            target=f"nothing of the others lost or unread, their p99 +{RISE_PERCENT} %, memory below {MEMORY_MB} MB",
            seed=SEED,
        ) as row,
        Rig(tmp_path, DEVICES, line_proxies=True, commit_ms=100, seed=SEED) as rig,
    ):
        gateway = psutil.Process(rig.parts["gateway"].pid)
        for device in rig.devices:
            rig.wait_flowing(device.name)
        turns, memory = Turns(rig, [device.name for device in QUIET]), 0.0
        for _ in range(scaled(1, 60)):
            turns.turn(scaled(1.5, 3.0), disturbed=False)
            rig.note("x", "away")  # what becomes of the disturbed one is not judged while it lasts
            disturb(rig, True)
            turns.turn(scaled(1.5, 3.0), disturbed=True)
            memory = max(memory, gateway.memory_info().rss / 1e6)
            disturb(rig, False)
            rig.note("x", "back")
            row.count += 1
        rig.wait_flowing("x")
        rig.finish()
        verdict = rig.verdict()
        if disturb is stuck:
            verdict.devices["x"].twice = verdict.devices["x"].out_of_order = 0  # it has said one number many times
        row.figures |= verdict.figures()
        calm, hurt = (percentile(ages, 0.99) for ages in turns.latencies_ms())
        row.figures |= {"p99_calm_ms": calm, "p99_disturbed_ms": hurt, "memory_mb": round(memory)}
        row.at_most("p99_rise_percent", 100 * (hurt / calm - 1), RISE_PERCENT)
        row.violations += verdict.violations()
        row.violations += [f"{memory:.0f} MB of memory"] if memory > MEMORY_MB else []
        for device in QUIET:
            unread = verdict.devices[device.name].unread
            row.violations += [f"{device.name}: {unread} unread"] if unread else []
