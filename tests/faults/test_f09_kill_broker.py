"""F9: kill -9 of the broker with its default persistence: what it had acknowledged (PUBACK) and not saved is gone."""

from __future__ import annotations

import random
from pathlib import Path

from tests.faults.evidence import evidence, scaled
from tests.faults.rig import DEFAULT_PERSISTENCE, Counter, Rig

SEED = 9


def test_what_the_broker_forgets_is_sent_again(tmp_path: Path) -> None:
    with (
        evidence(
            "F9",
            "kill -9 of the broker",
            how="mosquitto with persistence and its default autosave, 0.2 to 2 s after its start, 200 samples/s",
            target="0 lost end to end",
            seed=SEED,
        ) as row,
        Rig(tmp_path, (Counter("d1", 200),), broker=DEFAULT_PERSISTENCE) as rig,
    ):
        chance = random.Random(SEED)
        for _ in range(scaled(6, 200)):
            rig.pass_time(chance.uniform(0.2, 2.0))
            rig.kill("broker")
            rig.start("broker")
            row.count += 1
        rig.wait_flowing()
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures()
        row.violations += verdict.violations()
