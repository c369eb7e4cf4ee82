"""The clock of the box: what a step is and what is none, what its quality is, and how a ring block carries both."""

from __future__ import annotations

import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import SystemClock, kernel_clock
from gateway.core.clock import (
    CONFIRM_NS,
    EARLIEST_NS,
    STEP_NOTES,
    STEP_NS,
    ClockQuality,
    ClockState,
    ClockWatch,
    Kernel,
    StepNotes,
    state_of,
)
from gateway.core.ring import RingWriter
from gateway.core.ring_layout import buffer_size, format_buffer
from gateway.core.ring_reader import RingReader

S = 1_000_000_000
YEAR = 365 * 86400 * S
NOW = 1_795_253_401 * S  # 2026-11-21
KEPT, NOT_KEPT, SILENT = Kernel(True, 20_000), Kernel(False, 16_000_000), Kernel()


class Clock:
    """A machine whose clocks a test turns."""

    def __init__(self, utc_ns: int = NOW, kernel: Kernel = KEPT) -> None:
        self.mono_ns, self.utc_ns, self.kernel = 5 * S, utc_ns, kernel
        self.watch = ClockWatch()
        self.look()

    def look(self) -> int:
        return self.watch.look(self.mono_ns, self.utc_ns, self.kernel)

    def run(self, seconds: float, more_ns: int = 0) -> int:
        """Let time pass, and the wall clock go `more_ns` further than it should; look."""
        self.mono_ns += round(seconds * S)
        self.utc_ns += round(seconds * S) + more_ns
        return self.look()


@pytest.mark.parametrize(
    "step_ns", [sign * step for sign in (1, -1) for step in (STEP_NS + 10**6, S, 60 * S, 3600 * S, 86400 * S, YEAR)]
)
def test_a_jump_is_a_step_of_its_size(step_ns: int) -> None:
    clock = Clock()
    assert clock.run(1, step_ns) == step_ns
    assert (clock.watch.steps, clock.watch.last_step_ns) == (1, step_ns)
    assert clock.run(1) == 0


@given(st.lists(st.tuples(st.floats(0.001, 600), st.floats(-500, 500)), max_size=60))
def test_a_clock_that_is_slewed_is_not_stepped(looks: list[tuple[float, float]]) -> None:
    """The kernel turns a clock by 500 ppm at most; over a day that may be 43 s, and it is no step."""
    clock = Clock()
    for seconds, ppm in looks:
        assert clock.run(seconds, round(seconds * ppm * 1000)) == 0
    assert clock.watch.quality is ClockQuality.SYNCHRONISED


def test_a_leap_second_that_linux_repeats_is_a_step_and_one_that_is_smeared_is_none() -> None:
    clock = Clock()
    assert clock.run(1, -S) == -S  # 23:59:59 twice
    smeared = Clock()
    for _ in range(86400):  # one second over a day, 11.6 ppm
        assert smeared.run(1, -round(S / 86400)) == 0


@pytest.mark.parametrize(
    ("kernel", "quality"),
    [
        (KEPT, ClockQuality.SYNCHRONISED),
        (NOT_KEPT, ClockQuality.UNSYNCHRONISED),
        (SILENT, ClockQuality.NOT_KNOWN),
    ],
)
def test_quality_is_what_the_kernel_says(kernel: Kernel, quality: ClockQuality) -> None:
    assert Clock(kernel=kernel).watch.quality is quality


@pytest.mark.parametrize("kernel", [KEPT, NOT_KEPT, SILENT])
def test_1970_is_unset_whatever_the_kernel_says(kernel: Kernel) -> None:
    for utc_ns in (0, 60 * S, EARLIEST_NS - 1):
        assert Clock(utc_ns, kernel).watch.quality is ClockQuality.UNSET
    assert Clock(EARLIEST_NS, kernel).watch.quality is not ClockQuality.UNSET


def test_1970_at_boot_then_ntp() -> None:
    clock = Clock(40 * S, NOT_KEPT)
    assert clock.watch.quality is ClockQuality.UNSET
    assert clock.run(1, NOW - 41 * S) == NOW - 41 * S
    assert clock.watch.quality is ClockQuality.STEPPED
    clock.kernel = KEPT
    clock.run(1)
    assert clock.watch.quality is ClockQuality.STEPPED  # not at once: who sets it once may set it again
    clock.run(CONFIRM_NS / S)
    assert clock.watch.quality is ClockQuality.SYNCHRONISED


def test_a_step_that_nobody_confirms_stays_marked() -> None:
    clock = Clock(kernel=NOT_KEPT)
    clock.run(1, 3600 * S)
    for _ in range(1000):
        clock.run(60)
        assert clock.watch.quality is ClockQuality.STEPPED


# ---- in the ring


def ends() -> tuple[RingWriter, RingReader]:
    buffer = memoryview(bytearray(buffer_size(4)))
    format_buffer(buffer, 4)
    return RingWriter(buffer), RingReader(buffer)


@given(st.sampled_from(list(ClockQuality)), st.integers(-(10**6), 10**6))
def test_a_ring_block_says_quality_and_step(quality: ClockQuality, step_s: int) -> None:
    writer, reader = ends()
    word = StepNotes(writer).word(ClockState(quality, step_s * S))
    assert word < 1 << 16
    assert state_of(word, reader.note) == ClockState(quality, step_s * S)


def test_a_clock_that_is_set_all_the_time_does_not_use_up_the_notes_of_alerts() -> None:
    writer, reader = ends()
    steps = StepNotes(writer)
    words = [steps.word(ClockState(ClockQuality.STEPPED, n * S)) for n in range(1, 1001)]
    read = [state_of(word, reader.note) for word in words]
    assert [state.step_ns for state in read] == [n * S if n <= STEP_NOTES else 0 for n in range(1, 1001)]
    assert {state.quality for state in read} == {ClockQuality.STEPPED}  # marked all the same
    assert writer.index("Asystole") == STEP_NOTES + 1


@given(st.integers(0, 65535), st.text(max_size=20))
def test_any_word_of_a_ring_block_is_read(word: int, note: str) -> None:
    state_of(word, lambda _: note)


# ---- of this machine


def test_the_kernel_is_asked() -> None:
    kernel = kernel_clock()
    assert kernel.synchronised is None or kernel.max_error_us >= 0
    before = time.time_ns()
    clock = SystemClock()
    assert clock.look().step_ns == 0 or time.time_ns() < before
    assert clock.status()["quality"] in {quality.word for quality in ClockQuality}


def test_a_clock_step_is_an_event_and_a_count(caplog: pytest.LogCaptureFixture) -> None:
    wall, mono = [NOW], [0]
    clock = SystemClock(lambda: mono[0], lambda: wall[0], lambda: KEPT)
    for step_s in (1, 1.2, 3600, -7200, 1):  # the second is drift, the third and fourth are steps
        wall[0] += round(step_s * 1e9)
        mono[0] += S
        with caplog.at_level(logging.WARNING):
            clock.report()
    mono[0] += 60 * S
    status = clock.status()
    assert (status["steps"], status["last_step_s"], status["last_step_age_s"]) == (2, -7201.0, 61.0)
    said = [r.getMessage() for r in caplog.records]
    assert [text.split(";")[0] for text in said if "stepped by" in text] == [
        "clock stepped by +3599.000 s",
        "clock stepped by -7201.000 s",
    ]
    assert [text for text in said if "was" in text and "clock:" in text] == ["clock: stepped, was synchronised"]
