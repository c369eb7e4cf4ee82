"""F24: another version of the program finds a full spool; and the same version, started again."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from gateway.spool.layout import FORMAT
from tests.faults.evidence import evidence, scaled
from tests.faults.process import mistakes
from tests.faults.rig import SETTLE_S, Counter, Rig
from tests.parts.wait import wait_until

ROOT = Path(__file__).parents[2]
VERSIONS = ("c2b6bc1", "ffcf4eb")  # the last with format 1 of the spool; the last without rules, with format 2
RULES = '[security]\nmode = "lab"\n'  # what a version without rules does not know; its messages are T all the same
RATE = 200
BACKLOG = 1000  # samples
ACCEPTED_S = 1.2  # so that the backlog is older than what the end of a process may cost
CONFIG_WRONG = 2  # exit code


@pytest.mark.parametrize("version", VERSIONS)
def test_another_version_refuses_or_delivers_and_deletes_nothing(tmp_path: Path, version: str) -> None:
    tree = _unpacked(version, tmp_path / "before")
    theirs = int(re.findall(r"^FORMAT = (\d+)$", (tree / "gateway/spool/layout.py").read_text(), re.MULTILINE)[0])
    same = theirs == FORMAT
    rule = "delivered by the other version" if same else "refused with code 2 and one line, every byte of it kept"
    with (
        evidence(
            "F24",
            f"upgrade and downgrade with a full spool of format {theirs}",
            how=f"broker away, backlog, the other version is started: {version} (format {theirs}) to this one (format"
            f" {FORMAT}) and back; emptied by the version that wrote it, then moved aside by hand",
            target=f"0 lost; a full spool is {rule}; the version that wrote it delivers it",
        ) as row,
        Rig(tmp_path, (Counter("d1", RATE),), commit_ms=10) as rig,
    ):
        rig.wait_flowing()
        _emptied(rig)
        for number in range(scaled(1, 10)):
            for old_writes in (True, False):
                _use(rig, tree if old_writes else ROOT)
                rig.start("gateway")
                rig.wait_flowing()
                _backlog(rig)
                _use(rig, ROOT if old_writes else tree)
                row.violations += [f"round {number}: {fault}" for fault in ([] if same else _refused(rig))]
                if not same:
                    _use(rig, tree if old_writes else ROOT)
                rig.start("gateway")
                rig.start("broker")
                rig.wait_flowing()
                _emptied(rig)
                row.count += 1
        _use(rig, ROOT)
        rig.start("gateway")
        rig.wait_flowing()
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures()
        # Each version makes the ring anew where it does not know the format: what it has seen begins anew, too.
        row.violations += [v for v in verdict.violations(exits=(CONFIG_WRONG,)) if "unaccounted" not in v]


def test_the_same_version_goes_on_with_a_full_spool(tmp_path: Path) -> None:
    with (
        evidence(
            "F24",
            "the same version started again with a full spool",
            how="broker away, ended in order and started with a backlog that grows, then delivered",
            target="0 lost, nothing twice",
        ) as row,
        Rig(tmp_path, (Counter("d1", RATE),), commit_ms=10) as rig,
    ):
        rig.wait_flowing()
        _backlog(rig)
        for _ in range(scaled(1, 50)):
            rig.start("gateway")
            rig.pass_time(0.2)
            assert rig.term("gateway") == 0
            row.count += 1
        rig.start("gateway")
        rig.start("broker")
        rig.wait_flowing()
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures()
        row.violations += verdict.violations()


def _unpacked(version: str, folder: Path) -> Path:
    """Unpack the program as it was. Skips where the history is not there."""
    if not (ROOT / ".git").exists():
        pytest.skip("no history beside the program")
    done = subprocess.run(["git", "-C", str(ROOT), "archive", version], capture_output=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip(f"the history does not hold {version}: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _use(rig: Rig, tree: Path) -> None:
    """The next start of the gateway is that of this version. It must not run."""
    gateway = rig.parts["gateway"]
    if gateway.running:
        assert rig.term("gateway") == 0
    gateway.command = [sys.executable, "-P", *gateway.command[-5:]]  # -P: not the current folder first
    assert gateway.command[2:5] == ["-m", "gateway.cli.app", "run"]
    gateway.environment = {**gateway.environment, "PYTHONPATH": str(tree)}
    config = Path(gateway.command[-1])
    text = config.read_text(encoding="utf-8").replace(RULES, "").replace('processing_id = "T"\n', "")
    told = RULES if tree == ROOT else ""
    config.write_text(told + text.replace("[gateway]\n", '[gateway]\nprocessing_id = "T"\n'), encoding="utf-8")


def _backlog(rig: Rig) -> None:
    """Take the broker away, let a backlog grow, end the gateway in order."""
    rig.term("broker")
    rig.order("rate", "d1", 10 * RATE)
    goal = rig.said("d1") + BACKLOG
    wait_until(lambda: rig.said("d1") > goal, "no backlog", SETTLE_S)
    rig.order("rate", "d1", RATE)
    rig.pass_time(ACCEPTED_S)
    assert rig.term("gateway") == 0


def _emptied(rig: Rig) -> None:
    """Let everything be delivered, then do what the change to the other version asks of a person."""
    rig.order("rate", "d1", 0)
    wait_until(lambda: _waiting(rig) == 0, rig.logs, SETTLE_S)
    assert rig.term("gateway") == 0
    spool = rig.state_dir / "spool"
    assert not (spool / "losses.jsonl").read_bytes(), "something was declared lost"
    spool.rename(f"{spool}-{time.monotonic_ns()}")
    rig.order("rate", "d1", RATE)


def _waiting(rig: Rig) -> int:
    """Return how many messages wait, as either version says it; -1 when it has said nothing yet."""
    path = rig.folder / "run" / "status-forward.json"
    status = json.loads(path.read_text()) if path.exists() else {"pid": 0}
    return int(status["spool"]["waiting"]) if status["pid"] == rig.parts["gateway"].pid else -1


def _refused(rig: Rig) -> list[str]:
    """Start a version that does not know the format: it must say so and touch nothing."""
    before = _files(rig)
    gateway = rig.parts["gateway"]
    rig.start("gateway", wait=False)
    wait_until(gateway.died, lambda: f"it starts with a spool of another format\n{rig.logs()}", SETTLE_S)
    code, said = gateway.ended[-1].code, mistakes(gateway.said())
    fit = code == CONFIG_WRONG and len(said) == 1 and re.search(r"format \d+", said[0])
    found = [] if fit else [f"code {code}, {said[-3:]}"]
    return found + ([] if _files(rig) == before else ["files of the spool have changed"])


def _files(rig: Rig) -> dict[str, str]:
    """Return the digest of each file of the spool. The lock is none: it holds the number of the last process."""
    spool = rig.state_dir / "spool"
    paths = [path for path in spool.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(spool)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
