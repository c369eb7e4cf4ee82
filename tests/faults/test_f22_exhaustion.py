"""F22: no more file descriptors, at the start and under way."""

from __future__ import annotations

import random
import resource
from pathlib import Path

from tests.faults.evidence import evidence, scaled
from tests.faults.rig import Counter, Rig
from tests.parts.systemd import Systemd
from tests.parts.wait import wait_until

SEED = 22
SYNC_FAILED = 75  # docs/operation.md, exit codes: start again, the spool recovers
DEVICES = (Counter("d1", 50), Counter("d2", 20, "tcp"))


def test_without_descriptors_it_goes_on_says_so_and_recovers(tmp_path: Path) -> None:
    """What is open goes on; what must be opened again fails and is said; with descriptors again it is opened."""
    with (
        evidence(
            "F22",
            "no file descriptor left under way",
            how="RLIMIT_NOFILE set to what is open, then the broker's and a device's connection are cut",
            target="it lives and its watchdog is fed, or it ends with 75; it is said; all flows again after it",
            seed=SEED,
        ) as row,
        Rig(tmp_path, DEVICES) as rig,
    ):
        systemd = Systemd(str(tmp_path / "notify"))
        rig.term("gateway")
        gateway, ends = rig.parts["gateway"], []
        for _ in range(scaled(2, 100)):
            if not gateway.running:
                rig.start("gateway", **systemd.environment)
            rig.wait_flowing()
            pid, pings = gateway.pid, systemd.pings()
            usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, usual[1]))
            rig.note("gateway", "away")
            rig.kill("broker")
            rig.start("broker")
            wait_until(lambda: "Too many open files" in gateway.said(), rig.logs, 60)
            wait_until(lambda before=pings: systemd.pings() > before or not gateway.running, rig.logs, 60)
            if gateway.died():  # the spool could not make something durable: 75, and systemd starts it again
                ends.append(gateway.ended[-1].code)
                rig.start("gateway", **systemd.environment)
            else:
                assert gateway.pid == pid
                resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
                rig.note("gateway", "back")
            for device in DEVICES:
                rig.wait_flowing(device.name)
            row.count += 1
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures() | {"ended_with": ends}
        row.violations += verdict.violations(exits={SYNC_FAILED})


def test_a_start_without_descriptors_ends_with_a_line_and_a_code(tmp_path: Path) -> None:
    with (
        evidence(
            "F22",
            "too few file descriptors at the start",
            how="RLIMIT_NOFILE from 8 to 64",
            target="it runs, or ends with a documented code and a line; then nothing is lost",
            seed=SEED,
        ) as row,
        Rig(tmp_path, DEVICES) as rig,
    ):
        chance = random.Random(SEED)
        gateway, codes = rig.parts["gateway"], []
        for _ in range(scaled(5, 100)):
            rig.term("gateway")
            ended = len(gateway.ended)
            gateway.limits = {"nofile": chance.choice((14, 16, 18, 20, 22, 24, 28, 32, 40, 64))}
            rig.start("gateway", wait=False)
            wait_until(lambda: gateway.died() or gateway.ready in gateway.said(), rig.logs, 60)
            codes += [end.code for end in gateway.ended[ended:]]
            del gateway.ended[ended:]  # judged here
            row.count += 1
            if "Traceback" in gateway.said() or not set(codes) <= {0, 1, 2, SYNC_FAILED}:
                row.violations.append(f"with {gateway.limits}: {codes[-1:]} {gateway.said()[-500:]}")
        gateway.limits = {}
        if not gateway.running:
            rig.start("gateway")
        rig.wait_flowing()
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures() | {"refused_starts": len(codes)}
        row.violations += verdict.violations()
