"""Crash the spool at any change of its disk, many lives long, and hold it to its promises.

How histories are drawn: crash_history.py. What must hold: crash_world.py. How a disk crashes: spool_disk.py.
MDI_CRASH_STATES=1000000 makes the campaign the nightly one.
"""

from __future__ import annotations

import os
import time
from itertools import pairwise

import pytest

from gateway.core.message import Message
from gateway.spool import Spool, SpoolRefused
from tests.model.crash import campaign, outcome
from tests.model.crash_history import History
from tests.model.crash_seeds import FAILED, MUTANTS
from tests.model.crash_world import EVERY, ROOT, extent
from tests.model.figures import tell
from tests.model.spool_disk import MemoryDisk

STATES = int(os.environ.get("MDI_CRASH_STATES", "100000"))


@pytest.mark.parametrize("seed", sorted({*FAILED, *MUTANTS.values()}))
def test_what_has_failed_once(seed: int) -> None:
    """With the spool as it was, or with a broken one: these seeds are known to be good."""
    found = outcome(seed)
    assert not found.promise, f"{FAILED.get(seed, 'new')}: {found}"


@pytest.mark.slow
def test_no_crash_breaks_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    histories, states, violations = campaign(STATES)
    figures = {
        "row": "F4",
        "title": "power cuts and kills at any change of the disk, over several lives",
        "count": states,
        "histories": histories,
        "seed": f"0 to {histories - 1}",
        "violations": len(violations),
        "seconds": round(time.monotonic() - began, 1),
    }
    with capsys.disabled():
        tell(figures)
    assert not violations, "\n".join(map(str, violations[:20]))
    assert states >= STATES


def test_a_history_is_worth_something() -> None:
    """The histories do what they are for: nearly all operations, kills and power cuts mixed, also in recoveries."""
    told: list[str] = []
    for seed in range(100):
        History(seed, told.append).run()
    for each in (
        "append",
        "sync",
        "answer",
        "reject",
        "expire",
        "declare",
        "save",
        "reopen",
        "step_clock",
        "fill_disk",
    ):
        assert told.count(f"    {each}") > 20, each
    ends = [line for line in told if line.startswith(("  --", "    ", "  open")) and not line.startswith("      ")]
    pairs = list(pairwise(ends))
    assert sum(line.startswith("  damage") for line in told) > 20
    for kind in ("  -- kill", "  -- power cut"):
        assert sum(pair == ("  open", kind) for pair in pairs) > 30, "a crash inside a recovery"
    kills, cuts = told.count("  -- kill"), told.count("  -- power cut")
    assert 0.3 < kills / (kills + cuts) < 0.5


@pytest.mark.parametrize("names_survive", [False, True])
def test_what_a_recovery_acts_upon_is_durable(names_survive: bool) -> None:
    """Kill, recover, and then the power goes: nothing that the recovery has read, and perhaps sent, may be gone."""
    for n in range(20, 140):
        history = History(n)
        history.script = [history.declare]
        if n % 2:
            history.script += [history.append, history.append, history.answer, history.save]
        history.live(n)
        history.disk.kill()
        history.open()
        waiting, losses = history.spool.unacknowledged(0, EVERY), history.spool.losses()
        history.disk.cut_power(names_survive=names_survive)
        history.open()
        assert history.spool.unacknowledged(0, EVERY) == waiting
        assert history.spool.losses() == losses


def open_spool(disk: MemoryDisk) -> Spool:
    return Spool.open(
        ROOT, gateway="gw", segment_bytes=16384, limit_bytes=10**6, files=disk, clock=lambda: (5, 7 * 10**9)
    )


def test_a_cursor_left_short_by_a_power_cut_needs_no_space_later() -> None:
    """Found by the campaign: its name had survived and its length had not; a full disk then refused every start."""
    disk = MemoryDisk()
    disk.make_dir(ROOT)
    disk.close(disk.open(ROOT / "cursor", create=True))
    spool = open_spool(disk)
    for _ in range(3):
        seq, control_id = spool.next_control_id()
        spool.append(Message(seq, control_id, "t", b"x"), extent(seq))
    spool.sync()
    disk.full = True
    for seq in (1, 3):  # two ranges: longer than what the open has written
        spool.ack(seq)
    spool.checkpoint()
    spool.checkpoint()
    disk.kill()
    assert [message.seq for message in open_spool(disk).unacknowledged()] == [2]


def test_full_disk_is_survived_by_the_model_itself() -> None:
    """The memory disk refuses as a real one does: otherwise the tests above would prove nothing of faults."""
    disk = MemoryDisk()

    def before(name: str) -> None:
        if name == "allocate":
            raise OSError(28, "No space left on device")

    disk.before = before
    with pytest.raises(SpoolRefused):
        Spool.open(ROOT, gateway="gw", files=disk, clock=lambda: (0, 0))
