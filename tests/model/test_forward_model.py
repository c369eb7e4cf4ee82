"""Ring, routes, spool and delivery against a dumb model, through crashes of the forwarder and of the port.

Each sample offered to a ring is told apart by its value. At the end each is in exactly one message, or was
left out because its route has an interval, or was dropped and is declared; and the equation has held at every step.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from gateway.core.message import Verdict
from gateway.core.ring import RingWriter
from gateway.core.ring_reader import RingReader
from tests.unit.forward_rig import Rig

SEEDS = range(60)
INTERVALS = (0.0, 5.0)


class World:
    """One history. Two devices, each on a ring of its own, small enough to be full at times."""

    def __init__(self, path: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.rig = Rig(path, slots=64, devices=2, rows_per_message=self.random.choice((1, 3, 10)))
        self.rig.interval = self.random.choice(INTERVALS)
        self.rig.crash_and_start()
        self.made = 1000  # beyond the number that the encoder of the rig cannot say
        self.offered: dict[int, float] = {}  # value -> time
        self.lost: Counter[str] = Counter()  # declared, of lives that have ended

    def play(self, steps: int) -> None:
        acts = [self.publish] * 8 + [self.step] * 6 + [self.sulk, self.crash, self.port_restarts, self.session]
        for _ in range(steps):
            self.random.choice(acts)()

    def publish(self) -> None:
        n = self.random.randint(1, 20)
        values = range(self.made + 1, self.made + n + 1)
        self.made += n
        device = self.random.randint(0, 1)
        self.offered |= dict.fromkeys(values, self.rig.now)
        self.rig.publish(*values, device=device, t=round(self.rig.now * 1e9))

    def step(self) -> None:
        self.rig.step(self.random.choice((0.1, 0.1, 1.0, 7.0)))

    def sulk(self) -> None:
        self.rig.sink.answer = self.random.choice((Verdict.ACCEPT, Verdict.ACCEPT, Verdict.REJECT, None, Verdict.KEEP))

    def session(self) -> None:
        self.rig.sink.number += 1

    def crash(self) -> None:
        """kill -9 of the forwarder: what was in memory is gone, rings and spool stand."""
        self.lost.update(self.rig.spool.declared)
        self.rig.crash_and_start()

    def port_restarts(self) -> None:
        self.rig.writers = [RingWriter(buffer) for buffer in self.rig.buffers]

    def end(self) -> None:
        self.rig.sink.answer = Verdict.ACCEPT
        self.rig.sink.number += 1
        for _ in range(2000):
            self.rig.step(7.0)
            if not self.rig.forwarder.waiting:
                break
        assert not self.rig.forwarder.waiting
        self.lost.update(self.rig.spool.declared)

    def judge(self) -> None:
        first = {m.control_id: m.payload for m in self.rig.sink.sent}
        told = Counter(int(value) for payload in first.values() for _, _, value in json.loads(payload))
        twice = [value for value, times in told.items() if times > 1]
        assert not twice, "under two ids"
        missing = len(self.offered) - len(told)
        dropped = sum(RingReader(buffer).dropped for buffer in self.rig.buffers)
        undeclared = sum(RingReader(buffer).undeclared_of(1) for buffer in self.rig.buffers)
        assert sum(self.lost.values()) == dropped - undeclared
        if self.rig.interval == 0:
            assert missing == dropped
        else:
            assert missing >= dropped


@pytest.mark.parametrize("seed", SEEDS)
def test_every_sample_is_in_one_message_or_left_out_or_declared(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    world.play(150)
    world.end()
    world.judge()


def test_a_window_that_is_open_when_the_forwarder_is_killed_is_not_lost(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.interval = 60.0
    rig.crash_and_start()
    rig.now = 1200.0
    rig.publish(1, 2, 3, t=round(rig.now * 1e9))
    rig.step(1.0)
    rig.crash_and_start()
    assert rig.writers[0].waiting == 4  # three rows and their header are still in the ring
    rig.steps(2)
    rig.step(60.0)
    rig.steps(2)
    assert rig.values() == [3.0]
    assert rig.writers[0].waiting == 0


def test_a_ring_too_small_for_its_windows_is_given_back_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(tmp_path, slots=64)
    source = rig.forwarder.rings[0]
    assert rig.publish(*range(20))
    (block,) = source.read(100)
    source.release(int(block.rows["seq"][3]))  # a sample of it is still open
    assert (source.reader.waiting, caplog.text) == (21, "")
    assert rig.publish(*range(20))
    assert len(list(source.read(100))) == 1
    source.release(int(block.rows["seq"][3]))
    assert source.reader.waiting == 0
    assert "ring is too small" in caplog.text
