"""The ring against a dumb model, by random action sequences, in one process and across two.

The model is a list: what was published and fits is read once, in order, byte for byte; what did not fit is counted, its
numbers are missing, and the next sample says so.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.core.errors import ConfigError, InternalError
from gateway.core.ring import RingWriter
from gateway.core.ring_layout import (
    FIRST_SLOT,
    MAGIC,
    PLANS,
    SLOT,
    PlanName,
    buffer_size,
    format_buffer,
    missing_between,
)
from gateway.core.ring_reader import TORN_TRIES, RingReader
from gateway.core.sample import SAMPLE, Flag
from gateway.ring_file import RingFile

PLAN = PlanName(b"d" * 32, "philips/intellivue_mp", "L.01.18")


def rows(n: int, first: int) -> np.ndarray:
    block = np.zeros(n, SAMPLE)
    block["value"] = np.arange(first, first + n)
    return block


def ring(slots: int) -> memoryview:
    buffer = memoryview(bytearray(buffer_size(slots)))
    format_buffer(buffer, slots)
    return buffer


class RingMachine(RuleBasedStateMachine):
    """Random publish, read, release, rewind and restart of either end."""

    def ends(self, slots: int) -> tuple[RingWriter, RingReader]:
        """Return both ends of a new ring."""
        self.buffer = ring(slots)
        return RingWriter(self.buffer), RingReader(self.buffer)

    def writer_again(self) -> RingWriter:
        """Return the writing end as the next process would find it."""
        return RingWriter(self.buffer)

    def reader_again(self) -> RingReader:
        """Return the reading end as the next process would find it."""
        return RingReader(self.buffer)

    @initialize(power=st.integers(2, 7))
    def make(self, power: int) -> None:
        self.slots = 1 << power
        self.writer, self.reader = self.ends(self.slots)
        self.plan = self.writer.add_plan(PLAN)
        self.stored: list[tuple[list[float], bool]] = []  # blocks in the ring: values, gap before
        self.used = self.read = self.dropped = self.made = 0
        self.gap = False

    @rule(n=st.integers(1, 40))
    def publish(self, n: int) -> None:
        values = list(range(self.made, self.made + n))
        fits = self.used + n + 1 <= self.slots
        assert self.writer.publish(rows(n, self.made), self.plan) is fits
        if fits:
            self.stored.append((values, self.gap))
            self.used += n + 1
        else:
            self.dropped += n
        self.gap = not fits
        self.made += n

    @rule(limit=st.integers(1, 100))
    def read_some(self, limit: int) -> None:
        taken = 0
        for block in self.reader.read(limit):
            values, gap = self.stored[self.read]
            assert block.rows["value"].tolist() == values
            assert [s & 0xFFFF for s in block.rows["seq"].tolist()] == [v + 1 for v in values]
            assert bool(block.rows["flags"][0] & Flag.AFTER_GAP) is gap
            assert self.reader.plan_name(block.plan) == PLAN
            self.read += 1
            taken += len(values)
        assert taken >= limit or self.read == len(self.stored)

    @rule()
    def release(self) -> None:
        self.reader.release()
        self.used -= sum(len(values) + 1 for values, _ in self.stored[: self.read])
        self.stored = self.stored[self.read :]
        self.read = 0

    @rule()
    def rewind(self) -> None:
        self.reader.rewind()
        self.read = 0

    @rule()
    def reader_restarts(self) -> None:
        self.reader = self.reader_again()
        self.read = 0

    @rule()
    def writer_restarts(self) -> None:
        self.writer = self.writer_again()
        self.gap = self.made > 0

    @invariant()
    def counted(self) -> None:
        if hasattr(self, "writer"):
            assert self.writer.dropped == self.reader.dropped == self.dropped
            assert self.writer.seen == self.made
            assert self.writer.waiting == self.used


TestRingModel = RingMachine.TestCase


class RemoteWriter:
    """The writing end in a process of its own, told what to do over a pipe."""

    child: subprocess.Popen[str] | None = None

    def __init__(self, path: Path) -> None:
        self.ask("open", str(path))

    @classmethod
    def ask(cls, *words: object) -> int:
        """Have the child do one thing; return its answer."""
        if cls.child is None:
            command = [sys.executable, "-c", REMOTE]
            cls.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        assert cls.child.stdin
        assert cls.child.stdout
        cls.child.stdin.write(" ".join(map(str, words)) + "\n")
        return int(cls.child.stdout.readline())

    def add_plan(self, plan: PlanName) -> int:
        assert plan == PLAN
        return self.ask("plan")

    def publish(self, block: np.ndarray, plan: int) -> bool:
        return bool(self.ask("publish", len(block), int(block["value"][0]), plan))

    @property
    def dropped(self) -> int:
        return self.ask("dropped")

    @property
    def seen(self) -> int:
        return self.ask("seen")

    @property
    def waiting(self) -> int:
        return self.ask("waiting")


REMOTE = """
import sys
from pathlib import Path
import numpy as np
from gateway.core.ring_layout import PlanName
from gateway.core.sample import SAMPLE
from gateway.ring_file import RingFile

file = ring = None
for line in sys.stdin:
    word, *rest = line.split()
    answer = 0
    if word == "open":
        if file:
            file.close()
        file = RingFile(Path(rest[0]), 4, "writer")
        ring = file.writer()
    elif word == "plan":
        answer = ring.add_plan(PlanName(b"d" * 32, "philips/intellivue_mp", "L.01.18"))
    elif word == "publish":
        n, first, plan = map(int, rest)
        block = np.zeros(n, SAMPLE)
        block["value"] = np.arange(first, first + n)
        answer = int(ring.publish(block, plan))
    else:
        answer = getattr(ring, word)
    print(answer, flush=True)
"""


class TwoProcessMachine(RingMachine):
    """The same, with the writer in another process: both map one file."""

    def ends(self, slots: int) -> tuple[RingWriter, RingReader]:
        self.folder = TemporaryDirectory(prefix="mdi-ring-")
        self.path = Path(self.folder.name) / "bed.ring"
        self.file = RingFile(self.path, slots, "reader")
        return RemoteWriter(self.path), self.file.reader()  # type: ignore[return-value]

    def writer_again(self) -> RingWriter:
        return RemoteWriter(self.path)  # type: ignore[return-value]

    def reader_again(self) -> RingReader:
        return self.file.reader()

    def teardown(self) -> None:
        if hasattr(self, "file"):
            self.file.close()
            self.folder.cleanup()


TestRingModelAcrossTwoProcesses = TwoProcessMachine.TestCase
TestRingModelAcrossTwoProcesses.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@pytest.fixture(scope="module", autouse=True)
def end_the_child() -> Iterator[None]:
    yield
    if RemoteWriter.child is not None:
        RemoteWriter.child.communicate("")


def test_a_block_not_yet_whole_is_not_read_and_is_read_when_it_is() -> None:
    buffer = ring(64)
    writer, reader = RingWriter(buffer), RingReader(buffer)
    writer.publish(rows(5, 0), writer.add_plan(PLAN))
    place = FIRST_SLOT + 3 * SLOT
    whole, buffer[place] = buffer[place], buffer[place] ^ 0xFF
    assert list(reader.read(100)) == []
    buffer[place] = whole
    assert next(reader.read(100)).rows["value"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("bit", range(0, 6 * SLOT * 8, 7))
def test_every_damaged_bit_of_a_block_is_seen(bit: int) -> None:
    buffer = ring(64)
    writer, reader = RingWriter(buffer), RingReader(buffer)
    writer.publish(rows(5, 0), writer.add_plan(PLAN))
    if bit // 8 in (14, 15) or 20 <= bit // 8 < 32:
        return  # the spare bytes of the block header carry nothing
    buffer[FIRST_SLOT + bit // 8] ^= 1 << bit % 8
    assert list(reader.read(100)) == []


def test_a_damaged_block_is_given_up_counted_and_shows_as_a_hole() -> None:
    buffer = ring(64)
    writer, reader = RingWriter(buffer), RingReader(buffer)
    plan = writer.add_plan(PLAN)
    writer.publish(rows(5, 0), plan)
    last = int(next(reader.read(100)).rows["seq"][-1])
    reader.release()
    writer.publish(rows(5, 5), plan)
    buffer[FIRST_SLOT + 8 * SLOT] ^= 1
    for _ in range(TORN_TRIES + 1):
        assert list(reader.read(100)) == []
    writer.publish(rows(2, 10), plan)
    (block,) = reader.read(100)
    assert reader.torn == 1
    assert missing_between(last, int(block.rows["seq"][0])) == 5


def test_numbers_of_two_rings_are_never_compared() -> None:
    first, second = memoryview(bytearray(buffer_size(8))), memoryview(bytearray(buffer_size(8)))
    format_buffer(first, 8, incarnation=7)
    format_buffer(second, 8, incarnation=8)
    numbers = []
    for buffer in (first, second):
        block = rows(1, 0)
        writer = RingWriter(buffer)
        writer.publish(block, writer.add_plan(PLAN))
        numbers.append(int(block["seq"][0]))
    assert missing_between(numbers[0], numbers[1]) == 0
    assert missing_between(numbers[0], numbers[0] + 3) == 2


def test_the_plan_table_is_reused_only_when_the_reader_has_everything() -> None:
    buffer = ring(1024)
    writer, reader = RingWriter(buffer), RingReader(buffer)
    plans = [PlanName(bytes([i % 256]) * 32, f"vendor/model{i}", str(i)) for i in range(PLANS + 1)]
    for plan in plans[:PLANS]:
        writer.publish(rows(1, 0), writer.add_plan(plan))
    with pytest.raises(InternalError, match="plan table is full"):
        writer.add_plan(plans[PLANS])
    assert [reader.plan_name(b.plan) for b in reader.read(1000)] == plans[:PLANS]
    reader.release()
    writer.publish(rows(1, 0), writer.add_plan(plans[PLANS]))
    assert reader.plan_name(next(reader.read(1)).plan) == plans[PLANS]


@pytest.mark.parametrize("slots", [0, 1, 3, 100])
def test_slots_are_a_power_of_two(slots: int) -> None:
    with pytest.raises(InternalError, match="power of two"):
        buffer_size(slots)


@pytest.mark.parametrize("damage", [0, 8, 12])
def test_a_foreign_buffer_is_refused(damage: int) -> None:
    buffer = ring(64)
    assert bytes(buffer[:8]) == MAGIC
    buffer[damage] ^= 0xFF
    with pytest.raises(InternalError, match="not a ring"):
        RingReader(buffer)


# ---- the file, and two processes


def test_each_end_has_one_owner(tmp_path: Path) -> None:
    path = tmp_path / "bed.ring"
    writer, reader = RingFile(path, 64, "writer"), RingFile(path, 64, "reader")
    for end in ("writer", "reader"):
        with pytest.raises(ConfigError, match=f"another process is the {end}"):
            RingFile(path, 64, end)
    writer.close()
    RingFile(path, 64, "writer").close()
    reader.close()


def test_a_ring_that_is_there_is_kept_with_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "bed.ring"
    writer = RingFile(path, 64, "writer")
    end = writer.writer()
    end.publish(rows(3, 0), end.add_plan(PLAN))
    writer.close()
    again = RingFile(path, 4096, "reader")  # another size in the configuration takes nothing away
    assert next(again.reader().read(10)).rows["value"].tolist() == [0, 1, 2]
    again.close()


def test_a_file_that_is_no_ring_is_made_one(tmp_path: Path) -> None:
    path = tmp_path / "bed.ring"
    path.write_bytes(b"something else" * 1000)
    file = RingFile(path, 64, "writer")
    assert file.writer().slots == 64
    file.close()


def test_no_directory_for_the_ring_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "rings").write_text("a file where the directory should be")
    with pytest.raises((ConfigError, OSError)):
        RingFile(tmp_path / "rings" / "bed.ring", 64, "writer")


WRITER = """
import sys
import numpy as np
from pathlib import Path
from gateway.core.ring_layout import PlanName
from gateway.core.sample import SAMPLE
from gateway.ring_file import RingFile

file = RingFile(Path(sys.argv[1]), 1024, "writer")
ring = file.writer()
plan = ring.add_plan(PlanName(b"d" * 32, "a/b", ""))
rng = np.random.default_rng(int(sys.argv[2]))
made = 0
while made < 200_000:
    n = int(rng.integers(1, 90))
    block = np.zeros(n, SAMPLE)
    block["value"] = np.arange(made, made + n)
    block["t_ns"] = block["value"] * 3
    ring.publish(block, plan)
    made += n
print(made, ring.dropped)
"""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_processes_lose_nothing_unseen(tmp_path: Path, seed: int) -> None:
    """A writer at full speed, a reader in this process: every row is read whole, in order, or is counted as dropped."""
    path = tmp_path / "bed.ring"
    file = RingFile(path, 1024, "reader")
    reader = file.reader()
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(seed)], stdout=subprocess.PIPE, text=True)
    read = holes = last = 0
    alive = True
    while alive or reader.waiting:
        alive = child.poll() is None
        for block in reader.read(5000):
            values, seq = block.rows["value"], block.rows["seq"]
            assert np.array_equal(values, np.arange(values[0], values[0] + len(values)))
            assert np.array_equal(block.rows["t_ns"], values * 3)
            hole = missing_between(last, int(seq[0])) if last else int(values[0])
            assert bool(block.rows["flags"][0] & Flag.AFTER_GAP) is (hole > 0)
            holes += hole
            last = int(seq[-1])
            read += len(values)
        reader.release()
    made, dropped = map(int, child.communicate()[0].split())
    assert reader.torn == 0
    assert reader.dropped == dropped
    tail = missing_between(last, (last >> 40 << 40) + made + 1)  # dropped after the last block that fitted
    assert read + holes + tail == made == reader.seen
    assert holes + tail == dropped
    file.close()
