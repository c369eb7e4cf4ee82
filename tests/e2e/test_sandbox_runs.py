"""The real gateway under the units' own system calls, without writable code: the whole demo, and what must fail there.

systemd does not run here, so folders, addresses and devices of the units are not seen by this test; calls and memory
are.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.parts import confine

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CONFINE = Path(confine.__file__)
FORBIDDEN = """
import mmap, os
from gateway.clock import kernel_clock
for name, attempt in (
    ("chroot", lambda: os.chroot("/")),
    ("writable code", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)),
):
    try:
        attempt()
        print(name)
    except OSError:
        print("no", name)
print("clock", kernel_clock().synchronised)
"""


def confined(unit: str, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    if platform.machine() != "x86_64" or not confine.NUMBERS.exists():
        pytest.skip("the numbers of system calls are known for x86-64 with linux-libc-dev only")
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze on this machine")
    command = [sys.executable, str(CONFINE), str(ROOT / "systemd" / unit), sys.executable, *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment, timeout=120, check=False
    )
    if "prctl" in done.stderr:
        pytest.skip(f"this kernel cannot: {done.stderr.strip().splitlines()[-1]}")
    return done


@pytest.mark.parametrize("unit", ["mdi-acquire.service", "mdi-forward.service"])
def test_the_whole_gateway_runs_under_the_calls_of_a_unit(unit: str, tmp_path: Path) -> None:
    demo = ("-m", "gateway.cli.app", "demo", "--for", "8", "--folder")
    done = confined(unit, *demo, "one", folder=tmp_path)
    if "does not start" in done.stderr:  # within 30 s: a busy machine gets a second chance, a forbidden call needs more
        done = confined(unit, *demo, "two", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 devices in KITA" in done.stdout
    assert "0 samples lost" in done.stdout


@pytest.mark.parametrize(("unit", "asks"), [("mdi-acquire.service", True), ("mdi-forward.service", False)])
def test_what_must_fail_fails_and_the_clock_may_be_asked_where_samples_are_stamped(
    unit: str, asks: bool, tmp_path: Path
) -> None:
    said = confined(unit, "-c", FORBIDDEN, folder=tmp_path).stdout.splitlines()
    assert said[:2] == ["no chroot", "no writable code"]
    assert (said[2] != "clock None") == asks
