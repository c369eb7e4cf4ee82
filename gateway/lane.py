"""One device on its way through the forwarder: which samples go out, as what message, on which topic.

    samples ─► stream of their kind ─► router ─► pending, with the stream that encodes them

A device has three streams: values (PCD-01), waveforms (WCM), alerts (PCD-04). They share one count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gateway.core.plan import Plan
from gateway.core.ring_layout import PlanName
from gateway.core.sample import Block, Flag
from gateway.route import RouteCounters

_AFTER_GAP = np.uint8(Flag.AFTER_GAP)
END_OF_TIME = 1 << 63


class Chooser(Protocol):
    """What the forwarder wants of a router; see gateway.route."""

    counters: RouteCounters
    gap: bool
    """Samples of the device were lost: the next one that goes out says so."""

    def take(self, rows: Block) -> Block:
        """Return what goes out now."""

    def due(self, now_ns: int) -> Block:
        """Return what has waited long enough."""


class BlockEncoder(Protocol):
    """What the forwarder wants of an encoder; see gateway.core.hl7.Encoder."""

    def encode(self, block: Block, control_id: str, now_ns: int) -> bytes:
        """Return the message of these samples."""


@dataclass(slots=True)
class Stream:
    """What becomes of one kind of sample of a device: its router, its messages, their topic, their size."""

    kinds: frozenset[str]  # of Metric.kind
    router: Chooser
    encoder: BlockEncoder
    topic: str
    rows_per_message: int


class Lane:
    """One device on its way: its plan and its streams change together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.plan_name: PlanName | None = None
        self._source: int | None = None
        self.counters = RouteCounters()
        self.pending: list[tuple[Stream, Block]] = []  # each with the stream of its own plan
        self._streams: list[Stream] = []
        self._of_metric = np.empty(0, np.int64)

    def own(self, rows: Block) -> Block:
        """Return rows of this device under one number for ever: numbers are positions, and an edit shifts them."""
        number = int(rows["source"][0])
        if self._source is None:
            self._source = number
        if number != self._source:
            rows = rows.copy()
            rows["source"] = self._source
        return rows

    def use(self, name: PlanName, plan: Plan, streams: list[Stream]) -> None:
        """Go on with another plan. What waits belongs to the one before, and goes out. One device, one count."""
        self.due(END_OF_TIME)
        self.plan_name, self._streams = name, streams
        for stream in streams:
            stream.router.counters = self.counters
        kinds = [next(i for i, s in enumerate(streams) if metric.kind in s.kinds) for metric in plan.metrics]
        self._of_metric = np.array(kinds, np.int64)

    def take(self, rows: Block) -> None:
        """Route samples; what goes out waits in `pending`."""
        of = self._of_metric[rows["metric"]]
        marked = of[(rows["flags"] & _AFTER_GAP) != 0]
        if len(marked):  # what was lost may be of any stream: the mark stands on whatever came next
            for i, stream in enumerate(self._streams):
                stream.router.gap = stream.router.gap or i not in marked
        if (of == of[0]).all():  # the rule: a frame holds one kind
            self._put(self._streams[of[0]], self._streams[of[0]].router.take(rows))
            return
        for i, stream in enumerate(self._streams):
            mine = rows[of == i]
            if len(mine):
                self._put(stream, stream.router.take(mine))

    def due(self, now_ns: int) -> None:
        """Move samples whose window has passed to `pending`."""
        for stream in self._streams:
            self._put(stream, stream.router.due(now_ns))

    def _put(self, stream: Stream, rows: Block) -> None:
        if not len(rows):
            return
        if self.pending and self.pending[-1][0] is stream:
            rows = np.concatenate((self.pending.pop()[1], rows))
        self.pending.append((stream, rows))
