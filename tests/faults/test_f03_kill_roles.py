"""F3: kill -9 of the acquire process, of the forward process, and of both at once."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.evidence import evidence, scaled
from tests.faults.rig import Counter, Rig

SEED = 3
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
