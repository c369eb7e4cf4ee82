"""Real disks that say no: full, read-only, not ours. Each in a process of its own, in a mount namespace of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HEAD = """
import os, sys
from gateway.core.errors import MdiError
from gateway.core.message import Message
from gateway.spool import Extent, Spool
path = sys.argv[1] + "/spool"
now = [0]
def clock():
    return now[0], 10**18 + now[0]
def start(limit=1 << 30):
    return Spool.open(path, gateway="gw", segment_bytes=65536, limit_bytes=limit, clock=clock)
def append(spool, n, size=1000):
    for _ in range(n):
        seq, control_id = spool.next_control_id()
        message = Message(seq, control_id, "t", control_id.encode().ljust(size, b"."))
        spool.append(message, Extent("bed", seq, seq, 1, seq, seq), periodic=seq % 10 > 0)
def sums(spool):
    s = spool.samples["bed"]
    assert s.recovered + s.appended == s.acked + s.rejected + s.lost + s.waiting, s
    return s
"""


def run(script: str, *arguments: str | Path, before: str = "true", user: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a script with a mount namespace of its own. before: what the shell does there first."""
    python = [sys.executable, "-c", HEAD + script, *map(str, arguments)]
    shell = f'{before} && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", shell, "sh", *python]
    if user:
        command = ["setpriv", f"--reuid={user}", "--clear-groups", *python]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)


@pytest.fixture(scope="module", autouse=True)
def _namespaces() -> None:
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here: unshare -m is not allowed")


def test_a_full_disk_never_stops_the_line_and_is_told(tmp_path: Path) -> None:
    """A real tmpfs of 2 MiB, the limit far away: ENOSPC, as a disk says it, and then space again."""
    done = run(
        """
spool = start()
for _ in range(300):
    append(spool, 10)
    assert spool.sync() == spool.next_control_id()[0] - 1
    now[0] += 10**8
    s = sums(spool)
assert spool.pressure.name == "FULL", spool.pressure
assert s.lost > 1000
kept = spool.unacknowledged(0, 9999)
alerts = sum(m.seq % 10 == 0 for m in kept)
told = {seq for x in spool.losses() for a, b in x.spans for seq in range(a, b + 1)}
assert told == set(range(1, 3001)) - {m.seq for m in kept}
assert alerts == 300, "no alert is lost"
spool.close()
spool = start()
assert spool.unacknowledged(0, 9999) == kept, "a full disk is no reason not to start"
assert os.system(f"mount -o remount,size=64m {sys.argv[1]}") == 0
now[0] += 10**9
spool.tick()
before = spool.counters.lost
append(spool, 2000)
assert spool.counters.lost == before
sums(spool)
spool.sync()
for message in spool.unacknowledged(0, 9999):
    spool.ack(message.seq)
assert sums(spool).waiting == 0
""",
        tmp_path,
        before=f"mount -t tmpfs -o size=2m none {tmp_path}",
    )
    assert not done.returncode, done.stderr


def test_a_read_only_disk_is_one_line(tmp_path: Path) -> None:
    done = run(
        """
start().close()
assert os.system(f"mount -o remount,ro {sys.argv[1]}") == 0
try:
    start()
except MdiError as fault:
    print(fault)
""",
        tmp_path,
        before=f"mount -t tmpfs -o size=2m none {tmp_path}",
    )
    assert done.stdout == f"{tmp_path}/spool: cannot open lock: Read-only file system\n", done.stderr


def test_no_permission_is_one_line(tmp_path: Path) -> None:
    if os.getuid():
        pytest.skip("only root can become another user")
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)
    script = """
try:
    start()
except MdiError as fault:
    print(fault)
"""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    done = run(script, state, user=65534)
    assert done.stdout == f"{state}/spool: cannot open the spool: Permission denied\n", done.stderr
