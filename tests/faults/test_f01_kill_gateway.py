"""F1: kill -9 of `mdi run` at a random moment, start-up included, under 200 samples a second."""

from __future__ import annotations

import random
from pathlib import Path

from tests.faults import oracle
from tests.faults.evidence import evidence, percentile, scaled
from tests.faults.rig import Counter, Event, Rig

SEED = 1
RATE = 200
WINDOW, COMMIT_MS = 20, 10  # the shortest round: a kill hits its middle most often


def test_a_gateway_killed_at_any_moment_loses_nothing_accepted(tmp_path: Path) -> None:
    with (
        evidence(
            "F1",
            "kill -9 of the gateway",
            how=f"1 to 2000 ms after its start, every other one in full flow, {RATE} samples/s",
            target="0 accepted lost, repeated messages at most the window and one second, recovery p99 2 s",
            seed=SEED,
        ) as row,
        Rig(tmp_path, (Counter("d1", RATE),), window=WINDOW, commit_ms=COMMIT_MS) as rig,
    ):
        chance = random.Random(SEED)
        for number in range(scaled(8, 1000)):
            if number % 2:  # every other one in full flow, however slow the machine starts
                rig.wait_flowing()
            rig.pass_time(chance.uniform(0.001, 1.0 if number % 2 else 2.0))
            rig.kill("gateway")
            rig.start("gateway", wait=False)
            row.count += 1
        rig.wait_flowing()
        rig.finish()
        verdict = rig.verdict()
        back = recoveries(rig.events, rig.folder / "d1.ledger", rig.database)
        row.figures |= verdict.figures() | {"recovery_p50_s": percentile(back, 0.5)}
        row.at_most("recovery_p99_s", percentile(back, 0.99), 2.0)
        messages_a_second = 1000 / COMMIT_MS  # one a round
        row.at_most("repeated_per_kill", verdict.repeated / row.count, WINDOW + messages_a_second)
        row.violations += verdict.violations()


def recoveries(events: list[Event], ledger: Path, database: Path) -> list[float]:
    """Return of each start how long it took until KITA had a number said after it, where one came before the kill."""
    said, utc = oracle.read_ledger(ledger), oracle.said_utc(ledger)
    arrived = [(said[n], at - (utc[n] - said[n])) for n, at in oracle.committed(database)["d1"] if n in said]
    marks = [(e.t_ns, e.what) for e in events if e.part == "gateway" and e.what in ("start", "kill")]
    found = []
    for (start, what), (end, _) in zip(marks, [*marks[1:], (marks[-1][0] + 10**12, "")], strict=True):
        if what == "start":
            times = [at for n_said, at in arrived if start < n_said and at < end]
            found += [(min(times) - start) / 1e9] if times else []
    return found
