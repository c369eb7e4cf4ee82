"""When the samples of a waveform were taken: from the arrival of blocks to even times.

Blocks arrive with the jitter of line and device; samples are taken evenly. So each block continues where the one before
ended, one period per sample, and follows the arrivals slowly, because the device's crystal is not ours. A block that
comes much later or earlier than it should begins anew: later means that something is missing between.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

JITTER_NS = 500_000_000  # a block that is off by more did not follow on the one before: half the longest block (1 s)
FOLLOW = 64  # part of the difference that is taken over with each block: 1/64 forgets jitter, follows 100 ppm easily
STEP_NS = -(-JITTER_NS // FOLLOW)  # so much a block can be moved against the one that it follows on, and no more


class WaveClock:
    """The times of one waveform of one device."""

    def __init__(self) -> None:
        self._end: int | None = None  # when the sample after the last one is due, ns

    def times(self, arrival_ns: int, period_ns: int, n: int, anew: bool = False) -> tuple[npt.NDArray[np.int64], bool]:
        """Return the times (n,) of a block whose last sample was complete at `arrival_ns`, and whether one is missing.

        Within a block they are exactly `period_ns` apart. anew: the device says that something is missing before it.
        """
        start = arrival_ns - period_ns * (n - 1)
        gap = False
        if self._end is not None and not anew:
            off = start - self._end
            if abs(off) <= JITTER_NS:
                start = self._end + off // FOLLOW
            else:
                gap = off > 0
        self._end = start + period_ns * n
        return start + period_ns * np.arange(n, dtype=np.int64), gap
