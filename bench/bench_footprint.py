"""Footprint: `mdi run` with ten simulated devices at 1 Hz: memory and processor time of the gateway process alone.

Load: ten simulated IntelliVue monitors as they hang over beds in intensive care (scenario `only = "icu"`): each sends
13 numerics a second, three of the cuff a minute, and two alerts that come and go; no waves are asked for.

Method: the monitors are on pseudo-terminals in this process, the gateway is a process of its own with the file sink;
after ten seconds of settling, resident memory and processor time over twenty seconds from /proc. The alternative is
Python with the same libraries imported and nothing running: what the gateway could not be smaller than.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.parts import MONITOR, PROFILE, wait_for
from gateway import registry
from gateway.config import read_config
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.simulate import Pty, serve
from gateway.status import read_status

DEVICES = 10
SETTLE_S, MEASURE_S = 10, 20
MEMORY_MB, CPU_PERCENT = 80.0, 3.0
LIBRARIES = "numpy, serial, paho.mqtt.client, msgspec, typer, rich.table, fastcrc, asyncio"

HEAD = """
[security]
mode = "lab"
[gateway]
name = "gw-bench"
eui64 = "0011223344556677"
site = "auh"
unit = "ita"
facility = "AUH"
state_dir = "{folder}/state"
run_dir = "{folder}/run"
[sink]
kind = "file"
directory = "{folder}/out"
[[route]]
interval_s = 60.0
"""
PORT = """
[[port]]
name = "bed-{i}"
driver = "philips_intellivue"
options = {{ waves = [] }}
link = {{ kind = "serial", device = "{folder}/line-{i}", baud = 115200 }}
[[port.device]]
name = "monitor-{i}"
profile = "philips/intellivue_mp"
eui64 = "00112233445566{i:02X}"
"""


def resident_mb(pid: int) -> float:
    """Return VmRSS in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def cpu_s(pid: int) -> float:
    """Return user and system time used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure() -> tuple[float, float]:
    """Return (MB, percent of one core)."""
    profile = registry.Profiles().get(PROFILE)
    driver = registry.driver(profile.driver)
    pause = threading.Event()
    with TemporaryDirectory(prefix="mdi-bench-") as folder, ExitStack() as stack:
        stop = threading.Event()
        for i in range(DEVICES):
            wire = stack.enter_context(Pty(Path(folder) / f"line-{i}"))
            device = driver.simulator([DeviceSpec(0, profile)], MONITOR, Scene(seed=i))
            thread = threading.Thread(target=serve, args=(device, wire, stop))
            thread.start()
            stack.callback(thread.join)
        stack.callback(stop.set)
        path = Path(folder) / "mdi_config.toml"
        path.write_text(HEAD.format(folder=folder) + "".join(PORT.format(folder=folder, i=i) for i in range(DEVICES)))
        config = read_config(path)
        gateway = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli.app", "run", "-c", str(path)], stderr=subprocess.DEVNULL
        )
        stack.callback(gateway.wait)
        stack.callback(gateway.terminate)

        def flowing() -> bool:
            ports = read_status(config).get("acquire", {}).get("ports", [])
            return len(ports) == DEVICES and all(port["samples"] > 50 for port in ports)

        assert wait_for(flowing, 60), read_status(config)
        pause.wait(SETTLE_S)
        before = cpu_s(gateway.pid)
        pause.wait(MEASURE_S)
        return resident_mb(gateway.pid), (cpu_s(gateway.pid) - before) / MEASURE_S * 100


def bare() -> float:
    """Return MB of Python with the libraries imported."""
    code = f"import {LIBRARIES}, sys; print(flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    memory = resident_mb(process.pid)
    process.communicate()
    return memory


def run() -> list[dict[str, object]]:
    """Return memory and processor time."""
    (memory, cpu), floor = measure(), bare()
    return [
        {
            "bench": f"mdi run, {DEVICES} devices at 1 Hz, memory, beside bare Python with its libraries",
            "ours": memory,
            "baseline": floor,
            "ratio": memory / floor,
            "unit": "MB",
            "target": f"≤ {MEMORY_MB:g}",
            "met": memory <= MEMORY_MB,
        },
        {
            "bench": f"mdi run, {DEVICES} devices at 1 Hz, processor",
            "ours": cpu,
            "baseline": None,
            "ratio": None,
            "unit": "% of a core",
            "target": f"≤ {CPU_PERCENT:g}",
            "met": cpu <= CPU_PERCENT,
        },
    ]


if __name__ == "__main__":
    for row in run():
        print(row)
