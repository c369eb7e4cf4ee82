"""F11: a network that is cut, half open, reset, slow, stalled or narrow. Nothing is lost, and it is back by itself.

Each profile of the proxy lasts some seconds, then the network is whole again. Detected is what `mdi status` says of the
sender; recovered is a number in KITA that was said after the network was whole.
"""

from __future__ import annotations

import time
from pathlib import Path

from tests.faults.evidence import evidence, scaled
from tests.faults.rig import Counter, Rig
from tests.faults.tcp_proxy import HEALTHY, Profile
from tests.parts.wait import wait_until

SEED, RATE, KEEPALIVE_S = 11, 50, scaled(2, 10)
DEAD = {  # nothing comes through: it must be noticed
    "partition": Profile(drop=True),
    "forgotten by a router": Profile(forget=True),
    "half open, ours lost": Profile(up=False),
    "half open, theirs lost": Profile(down=False),
    "refused": Profile(refuse=True),
}
BAD = {  # something comes through: it must not be made worse
    "latency 1 to 5 s": Profile(latency_s=1.0, jitter_s=4.0),
    "stalls of a second, 20 %": Profile(stall=0.2, stall_s=1.0),
    "1 kB/s": Profile(rate=1000),
}


def sender_state(rig: Rig) -> str:
    return str(rig.status().get("forward", {}).get("sink", ""))


def recovery_s(rig: Rig) -> float:
    rig.net.profile = HEALTHY
    begun = time.monotonic()
    rig.wait_flowing()
    return time.monotonic() - begun


def test_a_network_that_is_hurt_costs_nothing_and_comes_back(tmp_path: Path) -> None:
    with (
        evidence(
            "F11",
            "network",
            how=f"{len(DEAD) + len(BAD) + 1} profiles of a proxy, keepalive {KEEPALIVE_S} s, under {RATE} samples/s",
            target="0 lost, dead connections seen within 30 s, flowing within 10 s after",
            seed=SEED,
        ) as row,
        Rig(tmp_path, (Counter("d1", RATE),), net_proxy=True, seed=SEED, keepalive_s=KEEPALIVE_S) as rig,
    ):
        rig.wait_flowing()
        detected: list[float] = []
        recovered: list[float] = []
        for profile in DEAD.values():
            begun = time.monotonic()
            rig.net.profile = profile
            if profile.refuse:
                rig.net.reset()
            wait_until(lambda: sender_state(rig) and not sender_state(rig).startswith("connected"), rig.logs, 60)
            detected.append(time.monotonic() - begun)
            recovered.append(recovery_s(rig))
        for profile in BAD.values():
            rig.net.profile = profile
            rig.pass_time(scaled(2.0, 300.0))
            recovered.append(recovery_s(rig))
        for _ in range(scaled(3, 60)):
            rig.net.reset()
            recovered.append(recovery_s(rig))
        row.count = len(recovered)
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures()
        row.at_most("detected_s", max(detected), 30)
        row.at_most("recovered_s", max(recovered), 10)
        row.violations += verdict.violations()
