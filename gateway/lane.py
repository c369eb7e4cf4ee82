"""One device on its way through the forwarder: which samples go out, as what message, on which topic.

    samples ─► stream of their kind ─► router ─► pending, with the stream that encodes them and the state of the clock

A device has three streams: values (PCD-01), waveforms (WCM), alerts (PCD-04). They share one count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from gateway.core.clock import NOTHING_SAID, ClockState
from gateway.core.plan import Plan
from gateway.core.ring_layout import PlanName
from gateway.core.sample import Block, Flag, empty_block
from gateway.route import END_OF_TIME, RouteCounters, Span
from gateway.spool import Routed

_AFTER_GAP, _EPISODIC = np.uint8(Flag.AFTER_GAP), np.uint8(Flag.EPISODIC)
_TELLS_STEPS = "numeric"  # the stream that tells a step of the clock, once: values wait for their answer, waves do not


Spot = tuple[str, str]
"""A device on its line, (port, device), by name: a device that is moved to another line is another one there."""


class Chooser(Protocol):
    """What the forwarder wants of a router; see gateway.route."""

    counters: RouteCounters
    gap: bool
    """Samples of the device were lost: the next one that goes out says so."""

    given_up: Span
    """Samples left out for want of room on the disk, not yet declared lost."""

    def take(self, rows: Block) -> Block:
        """Return what goes out now."""

    def waiting(self) -> Block:
        """Return the samples that were taken and are not yet decided."""

    def thin(self, on: bool) -> None:
        """Give up what can be given up, or stop to."""

    def due(self, now_ns: int, mono_ns: int) -> Block:
        """Return what has waited long enough. now_ns: UTC, for what has a place in the day; mono_ns: for intervals."""

    def cut(self, step_ns: int) -> Block:
        """Return all that waits: what comes now is from after a change of the clock, which was set by `step_ns`."""


class BlockEncoder(Protocol):
    """What the forwarder wants of an encoder; see gateway.core.hl7.Encoder."""

    def encode(self, block: Block, control_id: str, now_ns: int, clock: ClockState = NOTHING_SAID) -> bytes:
        """Return the message of these samples, all of which were taken with this state of the clock."""


@dataclass(slots=True)
class Stream:
    """What becomes of one kind of sample of a device: its router, its messages, their topic, their size."""

    kinds: frozenset[str]  # of Metric.kind
    router: Chooser
    encoder: BlockEncoder
    topic: str
    rows_per_message: int
    keeps: bool = False  # its messages are never dropped before others, when space runs out: alerts

    def periodic(self, rows: Block) -> bool:
        """Tell whether a message of these samples may be dropped first: it holds nothing that comes only once."""
        return not self.keeps and not bool((rows["flags"] & _EPISODIC).any())


class Pending(NamedTuple):
    """Samples on their way into messages: with the stream of their own plan, and the clock of their own time."""

    stream: Stream
    rows: Block
    clock: ClockState


class Lane:
    """One device on its way: its plan and its streams change together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.plan_name: PlanName | None = None
        self._source: int | None = None
        self.counters = RouteCounters()
        self._pending: list[Pending] = []
        self._arrived: list[Pending] = []  # since `pending` was last looked at
        self.stored = 0  # highest sequence number in a message that the spool has taken
        self.given_up = Span()
        self._clock = NOTHING_SAID
        self._streams: list[Stream] = []
        self._thin = False
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
        self.due(END_OF_TIME, END_OF_TIME)
        self.plan_name, self._streams = name, streams
        for stream in streams:
            stream.router.counters, stream.router.given_up = self.counters, self.given_up
            stream.router.thin(self._thin)
        kinds = [next(i for i, s in enumerate(streams) if metric.kind in s.kinds) for metric in plan.metrics]
        self._of_metric = np.array(kinds, np.int64)

    def take(self, rows: Block, clock: ClockState = NOTHING_SAID) -> None:
        """Route samples of one block; what goes out waits in `pending`. clock: what the block was published with.

        Where the clock changes, what waits goes out first: a message never holds samples from both sides.
        """
        if clock.step_ns or clock.quality != self._clock.quality:
            for stream in self._streams:
                self._put(stream, stream.router.cut(clock.step_ns))
            self._clock = ClockState(clock.quality, self._clock.step_ns + clock.step_ns)
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

    def due(self, now_ns: int, mono_ns: int) -> None:
        """Move samples whose window has passed to `pending`."""
        for stream in self._streams:
            self._put(stream, stream.router.due(now_ns, mono_ns))

    def thin(self, on: bool) -> None:
        """Give up what can be given up, or stop to; the streams of a later plan, too."""
        self._thin = on
        for stream in self._streams:
            stream.router.thin(on)

    def take_given_up(self) -> Span:
        """Return and forget what was given up since the last call: its owner declares it lost."""
        span = Span(self.given_up.count, [*self.given_up.seq], [*self.given_up.t_ns])
        self.given_up.count = 0
        self.given_up.seq.clear()
        self.given_up.t_ns.clear()
        return span

    def undecided(self) -> Block:
        """Return the samples that the routes have taken and not yet decided: (n,) SAMPLE, in no order."""
        return np.concatenate([empty_block(), *(stream.router.waiting() for stream in self._streams)])

    def open(self) -> Block:
        """Return all samples that were taken and are in no message yet: undecided or pending."""
        return np.concatenate([self.undecided(), *(waits.rows for waits in self.pending)])

    def routed(self, rows: Block, undecided: Block) -> Routed:
        """Return how far this device is cared for when a message of `rows`, the first that are pending, is stored.

        undecided: as `undecided` returns it; handed in because it is the same for all messages of a round
        """
        through = max(self.stored, int(rows["seq"].max()))
        rest = [self.pending[0].rows[len(rows) :], *(more.rows for more in self.pending[1:]), undecided]
        seqs = [block["seq"][block["seq"] < through] for block in rest if len(block)]
        return Routed.of(through, np.concatenate(seqs) if seqs else np.empty(0, np.uint64))

    def _put(self, stream: Stream, rows: Block) -> None:
        if not len(rows):
            return
        clock = ClockState(self._clock.quality)
        if self._clock.step_ns and _TELLS_STEPS in stream.kinds:
            clock, self._clock = self._clock, clock
        self._arrived.append(Pending(stream, rows, clock))

    @property
    def pending(self) -> list[Pending]:
        """What goes out, in order: one entry for neighbours of one stream and one state of the clock.

        They are put together here, once, and not as they come: a busy line makes a thousand blocks a round.
        """
        runs: list[list[Pending]] = [[self._pending.pop()]] if self._pending and self._arrived else []
        for new in self._arrived:
            last = runs[-1][0] if runs else None
            if last and last.stream is new.stream and last.clock.quality == new.clock.quality and not new.clock.step_ns:
                runs[-1].append(new)
            else:
                runs.append([new])
        self._arrived.clear()
        for run in runs:
            rows = run[0].rows if len(run) == 1 else np.concatenate([part.rows for part in run])
            self._pending.append(Pending(run[0].stream, rows, run[0].clock))
        return self._pending
