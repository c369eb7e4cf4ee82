"""`mdi simulate` with a scene: a held value, a recorded day, a probe that is off; and its mistakes."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway import registry
from gateway.core.frame import Frame
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import IS_USABLE
from tests.conformance.rig import drained
from tests.parts.wait import wait_until

PROFILE = "nonin/9560_3150_df7"


@contextmanager
def simulated(line: Path, *more: str) -> Iterator[int]:
    command = [sys.executable, "-m", "gateway.cli.app", "simulate", "nonin", "-p", PROFILE, "--pty", str(line), *more]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as device:
        try:
            wait_until(lambda: line.exists() or device.poll() is not None, timeout_s=30)
            descriptor = os.open(line, os.O_RDWR | os.O_NOCTTY)
            yield descriptor
            os.close(descriptor)
        finally:
            device.terminate()


def rates(descriptor: int) -> set[float | None]:
    """Return the pulse rates of the first values, None for no value."""
    profiles = registry.Profiles()
    profile = profiles.get(PROFILE)
    protocol = registry.driver("nonin").protocol([DeviceSpec(0, profile)], {})
    plan = profiles.plan(PROFILE, "")
    wanted = next(m.index for m in plan.metrics if m.ref_id == "MDC_PULS_OXIM_PULS_RATE")
    protocol.start(0.0)
    found: list[float | None] = []
    while len(found) < 12:  # an alert of the scene may take a value away for two seconds
        assert select.select([descriptor], [], [], 20)[0]
        protocol.receive_data(os.read(descriptor, 4096), 0)
        for event in drained(protocol):
            if isinstance(event, Frame):
                block = plan.decode(event, 0)
                mine = block[block["metric"] == wanted]
                found += [float(row["value"]) if IS_USABLE[row["validity"]] else None for row in mine]
    return set(found)


def test_a_held_value(tmp_path: Path) -> None:
    with simulated(tmp_path / "line", "--set", "MDC_PULS_OXIM_PULS_RATE=131") as line:
        assert rates(line) - {None} == {131.0}


def test_a_probe_that_is_off(tmp_path: Path) -> None:
    with simulated(tmp_path / "line", "--nothing") as line:
        assert rates(line) == {None}


def test_a_recorded_day(tmp_path: Path) -> None:
    day = tmp_path / "day.csv"
    day.write_text("min,HR\n0,66\n60,70\n", encoding="utf-8")
    with simulated(tmp_path / "line", "--csv", str(day), "--name", "HR=MDC_PULS_OXIM_PULS_RATE") as line:
        assert rates(line) - {None} == {66.0}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "MDC_PULS=3"), "MDC_PULS is not known of the patient"),
        (("--set", "MDC_PULS_RATE=high"), "is no number"),
        (("--csv", "nowhere.csv"), "cannot be read"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[str, ...], said: str) -> None:
    command = [sys.executable, "-m", "gateway.cli.app", "simulate", "nonin", "-p", PROFILE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
