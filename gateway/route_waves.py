"""The route of waveforms: blocks of about a second, all waves of a device together. Pure; one per device plan.

Nothing is thinned and nothing is padded: a block is what came in that time. A wave that no route names is not sent,
counted. A mark AFTER_GAP that stood on one goes to the next sample that is sent. When the disk fills up (`thin`) waves
are the first to be given up: nobody wants a wave of an hour ago.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gateway.core.sample import Block, Flag, empty_block
from gateway.route import RouteCounters, Span

_AFTER_GAP = np.uint8(Flag.AFTER_GAP)

BLOCK_S = 1.0  # IHE WCM: one second is what senders send
LATE_NS = 1_000_000_000  # a block whose device has fallen silent goes out as it is after so long


class WaveRouter:
    """Chooses waveform samples. blocks: length of a block in s per metric of the plan, None where no route names it."""

    def __init__(self, blocks: Sequence[float | None]) -> None:
        self.counters = RouteCounters()
        self.gap = False  # the next sample that goes out says that some were lost before it
        self._routed = np.array([block is not None for block in blocks])
        self._block_ns = round(max((block or BLOCK_S for block in blocks if block is not None), default=BLOCK_S) * 1e9)
        self._waiting: list[Block] = []
        self._first_ns = 0
        self._late_ns: int | None = None  # monotonic time at which what waits goes out; None: not looked at yet
        self._thin = False
        self.given_up = Span()

    def thin(self, on: bool) -> None:
        """Give up what can be given up, or stop to."""
        self._thin = on

    def waiting(self) -> Block:
        """Return the samples that were taken and are not yet decided."""
        return np.concatenate([empty_block(), *self._waiting])

    def take(self, rows: Block) -> Block:
        """Return the samples of a block that is complete. rows, result: (n,) SAMPLE of this device."""
        self.counters.seen += len(rows)
        routed = self._routed[rows["metric"]]
        if not routed.all():
            self.counters.not_routed += len(rows) - int(routed.sum())
            self.gap = self.gap or bool((rows["flags"][~routed] & _AFTER_GAP).any())
            rows = rows[routed]
        if not len(rows):
            return empty_block()
        if self._thin:
            self.counters.given_up += len(rows)
            self.given_up.add(rows)
            self.gap = True
            return empty_block()
        if not self._waiting:
            self._first_ns = int(rows["t_ns"].min())
        self._waiting.append(rows)
        span = int(rows["t_ns"].max()) - self._first_ns
        return self._out() if not 0 <= span < self._block_ns else empty_block()

    def due(self, now_ns: int, mono_ns: int) -> Block:
        """Return what waits of a device that has fallen silent. As for windows, the wall clock is asked once."""
        if not self._waiting:
            return empty_block()
        if self._late_ns is None:
            wait_ns = self._block_ns + LATE_NS
            self._late_ns = mono_ns + min(max(0, wait_ns - (now_ns - self._first_ns)), wait_ns)
        return self._out() if mono_ns >= self._late_ns else empty_block()

    def cut(self, _step_ns: int) -> Block:
        """Return all that waits: no run spans a step of the clock."""
        return self._out() if self._waiting else empty_block()

    def _out(self) -> Block:
        rows = np.concatenate(self._waiting)
        self._waiting, self._late_ns = [], None
        self.counters.sent += len(rows)
        if self.gap:
            rows["flags"][0] |= _AFTER_GAP  # rows are a copy
            self.gap = False
        return rows
