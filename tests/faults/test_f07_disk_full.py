"""F7: no space. Where the spool stands, on a disk of a few MiB; by a limit on file sizes; where the rings stand."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.evidence import Evidence, evidence, scaled
from tests.faults.own_disk import own_disk
from tests.faults.process import mistakes
from tests.faults.rig import SETTLE_S, Counter, Rig
from tests.parts.wait import wait_until

SEED = 7
RATE, FLOOD = 200, 2000
DISK, FILE = 6 << 20, 300_000  # bytes; a segment has 1 MiB, the log stays far below FILE
SETTINGS = {"commit_ms": 10, "ring_rows": 2048}  # the ring is full a second after the spool
RESUME_S = 10.0
TARGET = f"goes on without an exit and starts, each loss declared, delivers again within {RESUME_S:g} s after space"


def test_a_full_disk_is_declared_and_ends_with_the_space(tmp_path: Path) -> None:
    how = f"tmpfs of {DISK >> 20} MiB filled to the last page, broker away, {FLOOD} samples/s; every other time killed"
    with (
        own_disk(tmp_path / "disk", DISK) as disk,
        evidence("F7", "disk full", how=how, target=TARGET, seed=SEED) as row,
        Rig(tmp_path, (Counter("d1", RATE),), state=disk.path / "state", **SETTINGS) as rig,
    ):
        _rounds(rig, row, scaled(2, 100), disk.fill, disk.free)


def test_a_limit_on_file_sizes_is_declared_and_ends_with_it(tmp_path: Path) -> None:
    how = f"RLIMIT_FSIZE of {FILE} bytes, below a segment; broker away, {FLOOD} samples/s; every other time killed"
    with (
        evidence("F7", "file size limit", how=how, target=TARGET, seed=SEED) as row,
        Rig(tmp_path, (Counter("d1", RATE),), **SETTINGS) as rig,
    ):
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

        def limit(size: int) -> None:  # the soft limit only: a hard one cannot be taken back
            gateway = rig.parts["gateway"]
            gateway.limits = {"fsize": f"{size}:"} if size != hard else {}
            resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (size, hard))

        _rounds(rig, row, scaled(2, 100), lambda: limit(FILE), lambda: limit(hard))


def _rounds(rig: Rig, row: Evidence, times: int, fill: Callable[[], None], free: Callable[[], None]) -> None:
    """Fill, flood until something had to be given up, free; and judge."""
    chance = random.Random(SEED)
    resumed = []
    rig.wait_flowing()
    for number in range(times):
        fill()
        rig.term("broker")
        lost = _given_up(rig)
        rig.order("rate", "d1", FLOOD)
        wait_until(lambda: _given_up(rig) > lost, lambda: f"nothing given up\n{rig.status()}", SETTLE_S)  # noqa: B023
        rig.pass_time(chance.uniform(0.1, 2.0))
        rig.order("rate", "d1", RATE)
        if number % 2:
            rig.kill("gateway")
            rig.start("gateway")
            rig.pass_time(chance.uniform(0.1, 1.0))
        rig.start("broker")
        free()
        begun = time.monotonic()
        rig.wait_flowing()
        resumed.append(time.monotonic() - begun)
        row.count += 1
    rig.finish()
    verdict = rig.verdict()
    row.figures |= verdict.figures()
    row.at_most("resumed_s", max(resumed), RESUME_S)
    row.violations += verdict.violations()
    row.violations += [] if verdict.total("declared") else ["nothing was declared lost: the fault did not happen"]


def _given_up(rig: Rig) -> int:
    """Return how many samples are known to be lost: at the full ring, or in the spool, whoever declared them."""
    status = rig.status()
    if set(status) != {"acquire", "forward"}:
        return 0
    dropped = sum(int(port["ring"]["dropped"]) for port in status["acquire"]["ports"])
    return dropped + sum(int(device["lost"]) for device in status["forward"]["devices"])


def test_a_full_run_directory_is_said_and_ends_with_the_space(tmp_path: Path) -> None:
    """Rings are reserved in full when they are made: without space that is an error at the start, never a SIGBUS."""
    with (
        own_disk(tmp_path / "memory", 4 << 20) as disk,
        evidence(
            "F7",
            "run directory full",
            how="the tmpfs of rings and status is filled to the last page before the start, with and without rings",
            target="rings there: runs. None: each start ends with code 2 and one line; starts when there is space",
            seed=SEED,
        ) as row,
    ):
        (disk.path / "run").mkdir()
        (tmp_path / "run").symlink_to(disk.path / "run")
        with Rig(tmp_path, (Counter("d1", RATE),), **SETTINGS) as rig:
            rig.wait_flowing()
            assert rig.term("gateway") == 0
            disk.fill()
            for _ in range(scaled(1, 10)):
                row.violations += _runs(rig)
                row.count += 1
            for ring in (disk.path / "run" / "rings").glob("*.ring"):
                ring.unlink()
            disk.fill()
            for _ in range(scaled(1, 10)):
                row.violations += _refuses(rig)
                row.count += 1
            disk.free()
            rig.start("gateway")
            rig.wait_flowing()
            rig.finish()
            verdict = rig.verdict()
            row.figures |= verdict.figures()
            row.violations += verdict.violations(exits=(2,))


def _runs(rig: Rig) -> list[str]:
    rig.start("gateway")
    rig.wait_flowing()
    code = rig.term("gateway")
    return [f"ended with {code}"] if code else []


def _refuses(rig: Rig) -> list[str]:
    gateway = rig.parts["gateway"]
    rig.start("gateway", wait=False)
    wait_until(gateway.died, "it runs without rings", SETTLE_S)
    code, said = gateway.ended[-1].code, mistakes(gateway.said())
    fit = code == 2 and len(said) == 1 and "ring" in said[0]
    return [] if fit else [f"without space for the rings: code {code}, {said}"]
