"""F19: the wall clock of the gateway is set while it runs: ±1 s to ±1 year, back across midnight, 1970 at boot."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.core.clock import EARLIEST_NS, ClockQuality
from kita.query import latest
from tests.faults.evidence import evidence, scaled
from tests.faults.rig import Counter, Rig, environment_of
from tests.parts.wait import wait_until

SEED = 19
RATE = 100
YEAR_S = 365 * 86400
SIZES_S = (1, 60, 3600, 86400, YEAR_S)
MARKED = {ClockQuality.STEPPED.word, ClockQuality.UNSET.word}


class WallClock:
    """The wall clock of a process, set at run time through libfaketime; its monotonic clock goes on."""

    def __init__(self, folder: Path, offset_s: float = 0) -> None:
        self.file = folder / "clock"
        self.offset_s = 0.0
        self.set(offset_s)

    def set(self, offset_s: float) -> None:
        """Set it to the true time and so much more."""
        self.offset_s = offset_s
        draft = self.file.with_suffix(".new")
        draft.write_text(f"{offset_s:+.3f}\n")
        os.replace(draft, self.file)  # it is read at each look at the clock

    def environment(self) -> Mapping[str, str]:
        """Return what makes a process live under this clock; a fixed FAKETIME would win over the file."""
        usual = {name: text for name, text in environment_of("").items() if name != "FAKETIME"}
        return usual | {"FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1"}


def under(rig: Rig, clock: WallClock) -> None:
    """Start the gateway anew under this clock."""
    rig.term("gateway")
    rig.start("gateway", True, **clock.environment())


def told(database: Path) -> list[tuple[str, float, int, int]]:
    """Return (quality, step in s, first time, last time) of each message with values, as they came."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return db.execute(
            "SELECT m.clock, m.clock_step_s, min(o.t_utc_ns), max(o.t_utc_ns) FROM message m"
            " JOIN apart o ON o.message = m.id GROUP BY m.id ORDER BY m.id"
        ).fetchall()


def steps_told(database: Path, size_s: float) -> int:
    return sum(abs(step - size_s) < 0.5 for _, step, _, _ in told(database))


def steps_seen(rig: Rig) -> int:
    """Return how many the gateway has counted, 0 while it has written no status."""
    return int(rig.status().get("acquire", {}).get("clock", {}).get("steps", 0))


def to_midnight_s() -> float:
    """Return how much the clock has to be put on to stand two seconds after midnight in Copenhagen."""
    now = datetime.now(ZoneInfo("Europe/Copenhagen"))
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=2, microsecond=0)
    return midnight.timestamp() - now.timestamp()


def test_a_clock_that_is_set_neither_stalls_nor_floods_and_is_told(tmp_path: Path) -> None:
    devices = (Counter("d1", RATE), Counter("d2", 20, "tcp"))
    with (
        evidence(
            "F19",
            "wall clock set while running",
            how=f"libfaketime, monotonic clock untouched: ±1 s to ±1 y and back across midnight, {RATE} samples/s",
            target="no stall, no flood, order kept, each step told once to each device, marks right",
            seed=SEED,
        ) as row,
        Rig(tmp_path, devices, seed=SEED) as rig,
    ):
        clock, chance = WallClock(tmp_path), random.Random(SEED)
        under(rig, clock)
        rig.wait_flowing()
        midnight_s = to_midnight_s()
        plan = [size * sign for size in SIZES_S for sign in (1, -1)]
        extra = [chance.choice(plan) * chance.uniform(0.5, 1) for _ in range(scaled(0, 90))]
        begun, before = time.monotonic(), len(told(rig.database))
        for offset_s in (*plan, *extra, midnight_s, midnight_s - 5, 0):
            step_s = offset_s - clock.offset_s
            already = steps_told(rig.database, step_s)
            clock.set(offset_s)
            for device in devices:
                rig.wait_flowing(device.name)
            wait_until(lambda: steps_told(rig.database, step_s) >= already + len(devices), rig.logs, 30)  # noqa: B023
            row.count += 1
            wait_until(lambda: steps_seen(rig) >= row.count, rig.logs, 30)  # looked at once a second
        took_s, messages = time.monotonic() - begun, len(told(rig.database)) - before
        steps = steps_seen(rig)
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures() | {"steps_seen": steps, "messages_per_s": round(messages / took_s, 1)}
        row.violations += verdict.violations()
        # at most one message of each device in each round of 50 ms, and one more at each step
        if messages > len(devices) * (took_s / 0.05 + row.count):
            row.violations.append(f"{messages} messages in {took_s:.1f} s: a flood")
        if steps != row.count:
            row.violations.append(f"{steps} steps seen of {row.count}")
        after = told(rig.database)[before:]
        told_twice = sum(step != 0 for _, step, _, _ in after) - row.count * len(devices)
        row.violations += [f"{told_twice} steps told twice"] if told_twice else []
        first = next(n for n, (_, step, _, _) in enumerate(after) if step)
        unmarked = sum(quality not in MARKED for quality, _, _, _ in after[first + len(devices) :])
        row.violations += [f"{unmarked} messages after a step are not marked"] if unmarked else []


def test_1970_at_boot_is_marked_until_ntp_sets_the_clock(tmp_path: Path) -> None:
    with (
        evidence(
            "F19",
            "1970 at boot",
            how="the gateway starts 40 s after 1970-01-01, then the clock is set to now",
            target="no stall, values of 1970 are marked and never shown at that time, order kept, the step is told",
            seed=SEED,
        ) as row,
        Rig(tmp_path, (Counter("d1", RATE),), seed=SEED) as rig,
    ):
        for _ in range(scaled(1, 20)):
            clock = WallClock(tmp_path, 40 - time.time())
            under(rig, clock)
            wait_until(lambda: latest(rig.database, apart=True)[0].clock == "unset", rig.logs, 30)
            rig.wait_flowing()
            shown = latest(rig.database, apart=True)[0]
            row.violations += [f"shown at {shown.t_utc_ns}"] if shown.t_utc_ns is not None else []
            age_s = (time.time_ns() - shown.order_ns) / 1e9
            row.violations += [] if age_s < 60 else [f"shown as {age_s:.0f} s old"]
            step_s, already = -clock.offset_s, steps_told(rig.database, -clock.offset_s)
            clock.set(0)
            rig.wait_flowing()
            wait_until(lambda: steps_told(rig.database, step_s) > already, rig.logs, 30)  # noqa: B023
            row.count += 1
        rig.finish()
        verdict = rig.verdict()
        messages = told(rig.database)
        marked = sum(quality == ClockQuality.UNSET.word for quality, *_ in messages)
        row.figures |= verdict.figures() | {"marked_unset": marked}
        row.violations += verdict.violations()
        unmarked = sum(begin < EARLIEST_NS and quality not in MARKED for quality, _, begin, _ in messages)
        row.violations += [f"{unmarked} messages of 1970 are not marked"] if unmarked else []
        if not marked or messages[-1][0] != ClockQuality.STEPPED.word or messages[-1][2] < EARLIEST_NS:
            row.violations.append(f"{marked} messages marked, the last one {messages[-1]}")
