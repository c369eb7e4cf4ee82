"""What the benches share: a stream of device bytes, and the processes of the whole way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway import registry
from gateway.core.frame import Frame, NeedData
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from tests.parts.system import System

PROFILE = "philips/intellivue_mp"
MONITOR = {"only": "icu"}  # scenario of the simulated monitor: what hangs over a bed, not all that the profile knows
NUMERICS: dict[str, list[str]] = {"waves": []}  # options of the driver: no waves are asked for


@lru_cache(maxsize=2)
def monitor_bytes(seconds: int) -> tuple[bytes, int]:
    """Return what the simulated monitor says on its line in so many seconds, and how many numerics that is.

    Driver and simulator speak in virtual time; the bytes are those of the RS-232 line. The load is that of a monitor in
    intensive care: 13 numerics each second, three of the cuff each minute, two alerts that come and go; no waves.
    """
    profile = registry.Profiles().get(PROFILE)
    driver = registry.driver(profile.driver)
    devices = [DeviceSpec(0, profile)]
    protocol, device = driver.protocol(devices, NUMERICS), driver.simulator(devices, MONITOR, Scene())
    plan = registry.Profiles().plan(PROFILE, "")
    heard = bytearray()
    numerics = 0
    now = 0.0
    protocol.start(now)
    while now < seconds:
        device.receive_data(protocol.data_to_send(now), now)
        data = device.data_to_send(now)
        heard += data
        protocol.receive_data(data, round(now * 1e9))
        while not isinstance(event := protocol.next_event(), NeedData):
            if isinstance(event, Frame) and event.kind == "numeric":
                block = plan.decode(event, 0)
                numerics += sum(plan.metrics[i].kind != "clock" for i in block["metric"].tolist())
        wakes = [w for w in (protocol.next_wake(), device.next_wake()) if w is not None]
        now = max(now + 0.01, min(wakes, default=now + 1))
    return bytes(heard), numerics


@contextmanager
def whole_way(ring_rows: int = 262144, commit_ms: int = 50) -> Iterator[System]:
    """Yield the whole way, running in a folder of its own."""
    with (
        TemporaryDirectory(prefix="mdi-bench-") as folder,
        System(
            Path(folder), ring_rows=ring_rows, commit_ms=commit_ms, limit_mib=2048, options="{ waves = [] }"
        ) as system,
    ):
        yield system


def wait_for(condition: object, timeout_s: float) -> bool:
    """Wait until the condition holds; False when it does not within the time."""
    pause = threading.Event()
    end = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            return False
        pause.wait(0.02)
    return True
