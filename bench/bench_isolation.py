"""Isolation: how much longer quiet devices wait while another one of the same gateway babbles, floods or is noisy.

The whole way as processes: three quiet devices with 20 values/s on lines of their own, and one that is disturbed, in
one `mdi run`, with mosquitto and KITA on the same machine. Latency: from the moment at which a device says a number
until KITA commits it, p99 over all quiet devices. With and without the disturbance by turns in one run; what is shown
as alternative is the calm half. The receiver stores what the babbling device says as well: its time is in the figure.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.evidence import percentile
from tests.faults.isolation import Turns
from tests.faults.rig import Rig
from tests.faults.test_f18_disturbers import DEVICES, QUIET, babble, endless, noise, silence, stuck

TURNS, TURN_S = 6, 3.0
MOST = 1.2  # of the calm p99


def measure(disturb: Callable[[Rig, bool], None]) -> tuple[float, float]:
    """Return p99 in ms, disturbed and calm."""
    with (
        TemporaryDirectory(prefix="mdi-bench-") as folder,
        Rig(Path(folder), DEVICES, line_proxies=True, commit_ms=100) as rig,
    ):
        for device in DEVICES:
            rig.wait_flowing(device.name)
        turns = Turns(rig, [device.name for device in QUIET])
        for _ in range(TURNS):
            for on in (False, True):
                disturb(rig, on)
                turns.turn(TURN_S, disturbed=on)
        disturb(rig, False)
        rig.finish()
        calm, hurt = turns.latencies_ms()
        return percentile(hurt, 0.99), percentile(calm, 0.99)


def run() -> list[dict[str, object]]:
    """Return one row for each disturbance."""
    rows: list[dict[str, object]] = []
    for disturb in (babble, endless, silence, stuck, noise):
        hurt, calm = measure(disturb)
        rows.append(
            {
                "bench": f"device → KITA, p99 of quiet devices beside: {disturb.__name__}",
                "ours": hurt,
                "baseline": calm,
                "ratio": hurt / calm,
                "unit": "ms",
                "target": f"≤ {MOST:g} × calm",
                "met": hurt <= MOST * calm,
            }
        )
    return rows


if __name__ == "__main__":
    for row in run():
        print(row)
