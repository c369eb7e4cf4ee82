"""F26: the chain for a long time, with small faults now and then: what grows?

A virtual hour is what the design load makes of an hour: 36,000 messages (10 a second). Here they hold one value each,
not twenty, and come as fast as five devices and the rounds of the gateway make them, some fifty times faster than real
time. So this finds what grows with messages, values, connections, segments and log lines. What grows with the wall
clock alone (a daily file, a timer) it does not find: that is for a real day before a release.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from tests.faults.evidence import evidence, scale, scaled
from tests.faults.rig import SETTLE_S, Counter, Rig
from tests.parts.wait import wait_until

SEED = 26
RATE = 100
DEVICES = (*(Counter(f"d{n}", RATE) for n in range(1, 4)), *(Counter(f"d{n}", RATE, "tcp") for n in range(4, 6)))
VIRTUAL_HOUR = 36_000  # messages
PART = 600 if scale() == "ci" else 9000  # messages between two looks
PARTS = scaled(3, 24 * VIRTUAL_HOUR // 9000)
SEGMENTS_IDLE = 3  # the active one, and those whose removal waits for the next save of the cursor
RESETS = 3  # of the connection, one behind the other
SLOPE = 1.0  # MB in a virtual hour


@dataclass(frozen=True, slots=True)
class Look:
    """At the gateway when nothing is on its way. descriptors: but for the segments, of which some may be open."""

    messages: int
    rss: int
    descriptors: int
    threads: int
    run_bytes: int
    segments: int
    kita_rss: int


def test_nothing_grows_in_a_virtual_day(tmp_path: Path) -> None:
    hours = PARTS * PART / VIRTUAL_HOUR
    with (
        evidence(
            "F26",
            "soak",
            how=f"{hours:g} virtual hours of 36,000 messages, of one value each, from {len(DEVICES)} devices with"
            f" {RATE}/s; between two looks a connection is reset, a line unplugged, or the broker restarted",
            target=f"0 lost; descriptors, threads, rings and segments do not grow; RSS below +{SLOPE:g} MB in an hour",
            seed=SEED,
        ) as row,
        Rig(tmp_path, DEVICES, commit_ms=10, window=64, net_proxy=True, line_proxies=True, seed=SEED) as rig,
    ):
        begun = time.monotonic()
        looks = [_look(rig, 0)]
        for number in range(PARTS):
            _hurt(rig, number)
            looks.append(_look(rig, looks[-1].messages + PART))
            row.count += 1
        took = time.monotonic() - begun
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures()
        row.figures |= {"virtual_h": round((looks[-1].messages - looks[0].messages) / VIRTUAL_HOUR, 2)}
        row.figures["x_real_time"] = round(3600 * float(str(row.figures["virtual_h"])) / took, 1)
        row.figures["log_lines"] = rig.parts["gateway"].log.read_text().count("\n")
        row.figures["kita_rss_growth_mb"] = round((looks[-1].kita_rss - looks[1].kita_rss) / 1e6, 2)
        row.figures["rss_growth_mb"] = round((looks[-1].rss - looks[1].rss) / 1e6, 2)
        if scale() != "ci":  # a few minutes say nothing about an hour
            row.at_most("rss_slope_mb_per_h", _slope(looks), SLOPE)
        row.violations += _grown(looks)
        row.violations += verdict.violations()


def _hurt(rig: Rig, number: int) -> None:
    rig.order("rate", "d1", RATE)
    what = ("reset", "unplug", "restart")[number % 3]
    if what == "reset":
        for _ in range(RESETS):
            rig.net.reset()
            rig.wait_flowing()
    elif what == "unplug":
        rig.note("d1", "unplug")
        rig.lines["d1"].unplug()
        rig.lines["d1"].plug()
        rig.note("d1", "plug")
    else:
        rig.term("broker")
        rig.start("broker")


def _look(rig: Rig, after: int) -> Look:
    """Let the devices speak until so many messages are accepted, then be silent until all is delivered; look."""
    for device in DEVICES:
        rig.order("rate", device.name, device.rate)
    for device in DEVICES:
        rig.wait_flowing(device.name)
    wait_until(lambda: _accepted(rig) >= after, lambda: f"{rig.status()}\n{rig.logs()}", SETTLE_S + after / 50)
    for device in DEVICES:
        rig.order("rate", device.name, 0)
    after_ns = time.time_ns() + 1_100_000_000  # what was said last is in the spool before the next but one status
    wait_until(lambda: rig.settled(after_ns), lambda: f"{rig.status()}\n{rig.logs()}", SETTLE_S)
    gateway, kita = (psutil.Process(rig.parts[name].pid) for name in ("gateway", "kita"))
    return Look(
        _accepted(rig),
        gateway.memory_info().rss,
        len([fd for fd in Path(f"/proc/{gateway.pid}/fd").iterdir() if "/segment-" not in os.readlink(fd)]),
        gateway.num_threads(),
        sum(file.stat().st_size for file in (rig.folder / "run").rglob("*") if file.suffix != ".json"),
        len(list((rig.state_dir / "spool").glob("segment-*"))),
        kita.memory_info().rss,
    )


def _accepted(rig: Rig) -> int:
    return int(rig.status().get("forward", {"counters": {"accepted": 0}})["counters"]["accepted"])


def _slope(looks: list[Look]) -> float:
    """Return the growth of the memory in MB per virtual hour, the first tenth of the looks left out: caches fill."""
    steady = looks[max(1, len(looks) // 10) :]
    hours = [look.messages / VIRTUAL_HOUR for look in steady]
    return float(np.polyfit(hours, [look.rss / 1e6 for look in steady], 1)[0])


def _grown(looks: list[Look]) -> list[str]:
    first, last = looks[0], looks[-1]
    found = [
        f"{name} grew from {getattr(first, name)} to {getattr(last, name)}"
        for name in ("descriptors", "threads", "run_bytes")
        if getattr(last, name) > getattr(first, name)
    ]
    return found + ([f"{last.segments} segments of an empty spool"] if last.segments > SEGMENTS_IDLE else [])
