"""The ring counts every row of every device: read, still there, or missing and said whose. Also after a kill.

A kill is played at every line of the writer: the buffer as it stands there is what the next process finds.
"""

from __future__ import annotations

import sys
from collections import Counter
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.core import ring as ring_module
from gateway.core.errors import InternalError
from gateway.core.ring import RingWriter
from gateway.core.ring_layout import DEVICES, PlanName, buffer_size, format_buffer
from gateway.core.ring_reader import RingReader
from gateway.core.sample import SAMPLE

PLAN = PlanName(b"d" * 32, "vendor/model", "1")
NAMES = ("monitor", "pump", "ventilator")


def ring(slots: int = 64) -> memoryview:
    buffer = memoryview(bytearray(buffer_size(slots)))
    format_buffer(buffer, slots, incarnation=3)
    return buffer


def offer(writer: RingWriter, device: str, n: int) -> bool:
    return writer.publish(np.zeros(n, SAMPLE), writer.add_plan(PLAN), writer.add_device(device), clock=n % 4)


def account(reader: RingReader, had: Counter[str]) -> dict[str, int]:
    """What is known of each device, beside what was ever seen of it; equal when nothing is unaccounted for."""
    counts = reader.counts()
    assert counts is not None
    return {name: had[name] + ahead + undeclared for name, (_, ahead, undeclared) in counts.items()}


class DevicesMachine(RuleBasedStateMachine):
    """Several devices on one ring that is too small; either end starts anew at any time."""

    @initialize()
    def make(self) -> None:
        self.buffer = ring()
        self.writer, self.reader = RingWriter(self.buffer), RingReader(self.buffer)
        self.seen: Counter[str] = Counter()
        self.had: Counter[str] = Counter()  # read or said to be missing
        self.released: Counter[str] = Counter()

    @rule(device=st.sampled_from(NAMES), n=st.integers(1, 30))
    def publish(self, device: str, n: int) -> None:
        offer(self.writer, device, n)
        self.seen[device] += n

    @rule(limit=st.integers(1, 60))
    def read(self, limit: int) -> None:
        for block in self.reader.read(limit):
            assert block.clock == len(block.rows) % 4
            self.had[block.device] += len(block.rows)
            for name, n in block.missing:
                self.had[name] += n

    @rule()
    def put_back(self) -> None:
        for block in self.reader.read(1):
            self.reader.put_back()
            again = next(self.reader.read(1))
            assert again.missing == block.missing
            self.reader.put_back()

    @rule()
    def release(self) -> None:
        self.reader.release()
        self.released = self.had.copy()

    @rule()
    def reader_restarts(self) -> None:
        self.reader, self.had = RingReader(self.buffer), self.released.copy()

    @rule()
    def writer_restarts(self) -> None:
        self.writer = RingWriter(self.buffer)

    @invariant()
    def every_row_is_accounted_for(self) -> None:
        if hasattr(self, "reader"):
            assert sum(self.seen.values()) == self.writer.seen
            assert {n: c for n, c in account(self.reader, self.had).items() if c} == dict(self.seen)


TestRingDevices = DevicesMachine.TestCase


def kills(buffer: memoryview, publish: Any) -> list[bytes]:
    """Return the buffer as a kill at each line of the writer would leave it."""
    states: list[bytes] = []

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename == ring_module.__file__:
            states.append(bytes(buffer))
        return trace

    sys.settrace(trace)
    try:
        publish()
    finally:
        sys.settrace(None)
    return [*states, bytes(buffer)]


@pytest.mark.parametrize("fits", [True, False])
def test_a_writer_killed_at_any_line_leaves_counts_that_are_completed(fits: bool) -> None:
    buffer = ring()
    writer = RingWriter(buffer)
    offer(writer, "monitor", 5)
    offer(writer, "pump", 7)
    if not fits:
        offer(writer, "monitor", 45)
    states = kills(buffer, lambda: offer(writer, "pump", 11))
    assert len(states) > 15
    outcomes = set()
    for state in states:
        left = memoryview(bytearray(state))
        offer(RingWriter(left), "monitor", 1)
        reader, had = RingReader(left), Counter[str]()
        for _ in range(3):
            for block in reader.read(100):
                had[block.device] += len(block.rows)
                had.update(dict(block.missing))
        seen = {name: reader.seen_of(index) for index, name in enumerate(reader.devices()) if name}
        assert {name: n for name, n in account(reader, had).items() if name} == seen
        assert sum(seen.values()) == reader.seen
        outcomes.add(seen["pump"])
    assert outcomes == {7, 18}  # killed before it counts, and after


def test_rows_that_were_read_and_held_back_come_again_and_their_hole_does_not() -> None:
    """Released only up to an earlier block: after a restart the rows come again, what was missing is not said twice."""
    buffer = ring(32)
    writer, reader = RingWriter(buffer), RingReader(buffer)
    offer(writer, "monitor", 20)
    assert not offer(writer, "pump", 20)
    (first,) = reader.read(100)
    offer(writer, "monitor", 5)
    (second,) = reader.read(100)
    assert second.missing == (("pump", 20),)
    reader.release(second.position)
    again = RingReader(buffer)
    assert [(len(block.rows), block.missing) for block in again.read(100)] == [(5, ())]
    assert first.position < second.position


def test_a_full_table_of_devices_is_an_error_that_says_what_to_do() -> None:
    writer = RingWriter(ring())
    for i in range(DEVICES - 1):
        writer.add_device(f"device-{i}")
    assert writer.add_device("device-3") == 4
    with pytest.raises(InternalError, match="table of devices is full"):
        writer.add_device("one-more")
