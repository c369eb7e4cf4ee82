"""Times of waveform samples: even within a block and from block to block, following the device's crystal slowly."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.wave_clock import FOLLOW, JITTER_NS, WaveClock

MS = 1_000_000
SECOND = 1_000_000_000
T0 = 1_800_000_000 * SECOND


@given(
    st.sampled_from([16 * MS, round(SECOND / 300), 2 * MS, 8 * MS]),
    st.lists(st.integers(1, 300), min_size=2, max_size=40),
    st.integers(0, 2**31),
)
def test_blocks_of_any_length_with_jitter_make_one_even_row(period: int, sizes: list[int], seed: int) -> None:
    """62.5 Hz and 300 Hz among them: no sample is missing, none is twice, none is off by the jitter of its block."""
    rng = random.Random(seed)
    clock, taken, times, gaps = WaveClock(), 0, [], 0
    for size in sizes:
        taken += size
        arrival = T0 + taken * period + rng.randrange(100 * MS)  # when the last sample was complete, and the way
        block, gap = clock.times(arrival, period, size)
        assert (np.diff(block) == period).all()
        times.append(block)
        gaps += gap
    joined = np.concatenate(times)
    assert gaps == 0
    assert len(joined) == sum(sizes)
    assert (np.abs(np.diff(joined) - period) <= 100 * MS // FOLLOW + 1).all()


def test_a_missing_block_is_told_and_the_time_starts_anew() -> None:
    clock = WaveClock()
    first, gap = clock.times(T0, 4 * MS, 250)
    assert not gap
    later, gap = clock.times(T0 + 3 * SECOND, 4 * MS, 250)  # two seconds are missing
    assert gap
    assert later[-1] == T0 + 3 * SECOND
    assert first[-1] == T0


def test_a_clock_that_was_set_back_is_no_gap() -> None:
    clock = WaveClock()
    clock.times(T0, 4 * MS, 250)
    block, gap = clock.times(T0 - 3600 * SECOND, 4 * MS, 250)
    assert not gap
    assert block[-1] == T0 - 3600 * SECOND


def test_what_the_device_says_is_missing_starts_the_time_anew() -> None:
    clock = WaveClock()
    clock.times(T0, 4 * MS, 25)
    block, gap = clock.times(T0 + 300 * MS, 4 * MS, 25, anew=True)  # 100 ms later would have been in time
    assert not gap  # the frame itself says so already
    assert block[-1] == T0 + 300 * MS


def test_a_slow_crystal_is_followed() -> None:
    """100 ppm for an hour are 360 ms: without following, the jitter bound would be reached twice a day."""
    clock = WaveClock()
    worst = 0
    for second in range(3600):
        arrival = T0 + round(second * 1.0001 * SECOND)
        block, gap = clock.times(arrival, 4 * MS, 250)
        assert not gap
        worst = max(worst, abs(int(block[-1]) - arrival))
    assert worst < 10 * MS < JITTER_NS
