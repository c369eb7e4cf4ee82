"""The forwarder: from the rings to the receiver's acknowledgement. One thread owns all of it.

    ring ─► route ─► HL7 ─► spool (synced) ─► sink ─► outcome ─► spool.ack      (values, waves, alerts: one stream each)
                              │
                              └─► ring.release

Order, and why
  1. Samples are taken from the rings, routed, encoded and appended to the spool; one sync for the whole round.
  2. Only then are the rings released, and only synced messages are sent: a number that was sent is never used again for
     other data.
  3. Only the receiving application's word lets go of a message: accept → done, reject → side file and done, keep or
     silence → the same bytes again. A new session of the sink sends everything unanswered again.
  4. After a restart, samples that the spool already holds are skipped: the spool knows the last sample number of each
     device, and the ring still has what was not released.
  5. A hole in the sample numbers is a loss. It is declared, per device as far as that is known, and counted.

`step` does one round and never waits; `gateway.service` calls it in a loop. Time is an argument.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from gateway.core.clock import ClockState, state_of
from gateway.core.errors import DeliveryError, InternalError, MdiError
from gateway.core.message import Message, Sink
from gateway.core.plan import Plan
from gateway.core.ring import RingBlock, RingReader
from gateway.core.ring_layout import PlanName, same_ring
from gateway.core.sample import Block, Flag
from gateway.delivery import Delivery, ForwardCounters, ForwardLimits
from gateway.lane import Lane, Pending, Stream
from gateway.route import END_OF_TIME
from gateway.spool import Extent, Spool, SpoolFailed

log = logging.getLogger("mdi.forward")
READ_ROWS = 20_000  # rows taken from one ring in one round: a bound on memory and on the time of a round


@dataclass(slots=True)
class RingSource:
    """One ring with the devices of its port."""

    port: str
    reader: RingReader
    blocked: str = ""  # why this ring is not read: its plan cannot be reproduced


@dataclass(frozen=True, slots=True)
class ForwardPlan:
    """How lanes are made: compile a plan by name; and the streams of a device, its plan, its name, and its notes."""

    compile: Callable[[PlanName], Plan]
    streams: Callable[[str, Plan, PlanName, Callable[[int], str]], list[Stream]]


class Forwarder:
    """See the module text."""

    def __init__(
        self,
        rings: list[RingSource],
        devices: Iterable[str],
        make: ForwardPlan,
        spool: Spool,
        sink: Sink,
        limits: ForwardLimits,
    ) -> None:
        self.rings = rings
        self.lanes: dict[str, Lane] = {}
        self.spool = spool
        self.sink = sink
        self.counters = ForwardCounters()
        self._make = make
        self._held: dict[str, Extent | None] = {}
        self._refused: set[bytes] = set()
        self._undeclared: list[tuple[Extent, str]] = []
        self._said = ""
        self._delivery = Delivery(spool, sink, limits, self.counters, self._say_once)
        self.doing = ""  # what a round is at, for whoever asks why it does not end
        self.extend([], devices)

    def step(self, now: float, now_ns: int) -> None:
        """Do one round. now: monotonic s; now_ns: UTC ns.

        Raises: SpoolFailed when a sync has failed: stop, the next start recovers.
        """
        self.doing = "storing"
        self._collect(now_ns, round(now * 1e9))
        self.doing = "sending"
        self._delivery.answers(now)
        self._delivery.send(now)
        self.spool.tick()
        self.doing = ""

    @property
    def alarm(self) -> str:
        """What is wrong with the receiver, in one line; "" when nothing is."""
        return self._delivery.alarm

    @property
    def waiting(self) -> int:
        """Messages in the spool that the receiver has not answered for good."""
        return self.spool.waiting

    def flush(self, now_ns: int) -> None:
        """Spool all that is in the rings and in open windows: the orderly end."""
        self._collect(now_ns, END_OF_TIME)
        for lane in self.lanes.values():
            lane.due(END_OF_TIME, END_OF_TIME)
        self._store(now_ns)

    # ---- a reload

    def extend(self, rings: Iterable[RingSource], devices: Iterable[str]) -> None:
        """Take up rings and devices that are new. What was removed stays: its last samples still come."""
        self.rings += rings
        for name in devices:
            if name not in self.lanes:
                self.lanes[name] = Lane(name)
                self._held[name] = self.spool.last_extent(name)

    def renew(self, devices: Iterable[str], limits: ForwardLimits) -> None:
        """Make the streams of these devices anew at their next sample. What waits in windows goes out as it would have.

        What could not be reproduced, or was not known, is tried again.
        """
        for name in devices:
            self.lanes[name].due(END_OF_TIME, END_OF_TIME)
            self.lanes[name].plan_name = None
        self._delivery.limits = limits
        self._refused.clear()
        for ring in self.rings:
            ring.blocked = ""

    def settle(self, devices: Iterable[str], positions: Mapping[str, int], now_ns: int) -> bool:
        """Tell whether all samples of these devices up to the positions (by port) are stored; open windows are closed.

        False: a ring is not read so far (its plan is not known here), or the disk takes nothing now.
        """
        if any(ring.reader.cursor < positions.get(ring.port, 0) for ring in self.rings):
            return False
        lanes = [self.lanes[name] for name in devices]
        for lane in lanes:
            lane.due(END_OF_TIME, END_OF_TIME)
        self._store(now_ns)
        return not any(lane.pending for lane in lanes)

    # ---- rings to spool

    def _collect(self, now_ns: int, mono_ns: int) -> None:
        for ring in self.rings:
            if not ring.blocked:
                self._read(ring)
        for lane in self.lanes.values():
            lane.due(now_ns, mono_ns)
        self._store(now_ns)

    def _read(self, ring: RingSource) -> None:
        for block in ring.reader.read(READ_ROWS):
            name = ring.reader.plan_name(block.plan)
            lane = self.lanes.get(block.device)
            if lane is None or not self._use(lane, name, ring):
                what = f"plan {name.profile_id} {name.firmware} {name.digest.hex()[:16]} cannot be reproduced"
                ring.blocked = what if lane else f"device {block.device} is not in this configuration"
                log.error("port %s: %s; its samples stay in the ring", ring.port, ring.blocked)
                self.counters.refused_plans += 1
                ring.reader.put_back()
                return
            self._hole(lane, block)
            rows = self._new(lane, lane.own(block.rows))
            self.counters.rows_read += len(rows)
            if len(rows):
                lane.take(rows, state_of(block.clock, ring.reader.note))

    def _use(self, lane: Lane, name: PlanName, ring: RingSource) -> bool:
        """Make the lane ready for this plan; False when the digest cannot be reproduced here."""
        if lane.plan_name == name:
            return True
        if name.digest in self._refused:
            return False
        try:
            plan = self._make.compile(name)
        except MdiError as fault:
            log.error("%s", fault)
            plan = None
        if plan is None or plan.digest != name.digest:
            self._refused.add(name.digest)
            return False
        lane.use(name, plan, self._make.streams(lane.name, plan, name, ring.reader.note))
        return True

    def _hole(self, lane: Lane, block: RingBlock) -> None:
        """Declare what is missing before this block, for each device that misses something."""
        before, t_ns = int(block.rows["seq"][0]) - 1, int(block.rows["t_ns"][0])
        first = before + 1 - sum(n for _, n in block.missing)
        for device, n in block.missing:  # which of the numbers were whose is not known
            self._lost(Extent(device or lane.name, first, before, n, t_ns, t_ns), "ring full")

    def _lost(self, extent: Extent, reason: str) -> None:
        """Note a loss. It is declared before the rings are released, so a crash finds the hole in the ring again."""
        self.counters.rows_lost += extent.count
        self._undeclared.append((extent, reason))
        log.error("%s: %d samples lost (%s)", extent.device, extent.count, reason)

    def _declare(self) -> None:
        while self._undeclared:
            self.spool.declare_loss(*self._undeclared[0])
            del self._undeclared[0]

    def _new(self, lane: Lane, rows: Block) -> Block:
        """Leave out what the spool already holds of this device."""
        held = self._held.get(lane.name)
        if held is None:
            return rows
        first = int(rows["seq"][0])
        if not same_ring(held.last_seq, first):  # a ring made anew: what the old one held is unknown
            self._held[lane.name] = None
            rows = rows.copy()
            rows["flags"][0] |= Flag.AFTER_GAP
            return rows
        fresh = rows[rows["seq"] > held.last_seq]
        self.counters.rows_again += len(rows) - len(fresh)
        if len(fresh):
            self._held[lane.name] = None
        return fresh

    def _store(self, now_ns: int) -> None:
        """Encode and append everything pending, sync once, then release the rings."""
        try:
            for lane in self.lanes.values():
                self._store_lane(lane, now_ns)
            self.spool.sync()
            self._declare()
        except SpoolFailed:
            raise
        except DeliveryError as fault:  # no space, no rights: nothing is released, the same samples are tried again
            self._say_once(str(fault))
            return
        self._said = ""
        for ring in self.rings:
            ring.reader.release()

    def _say_once(self, what: str) -> None:
        """A state that lasts is one line, not one a round."""
        if what != self._said:
            log.error("%s", what)
            self._said = what

    def _store_lane(self, lane: Lane, now_ns: int) -> None:
        """Append what waits in the lane. What is appended leaves `pending`, so a failure repeats nothing."""
        while lane.pending:
            first = lane.pending[0]
            rest = first.rows[self._append(lane, first, first.rows[: first.stream.rows_per_message], now_ns) :]
            clock = ClockState(first.clock.quality)  # a step is told once
            lane.pending[:1] = [Pending(first.stream, rest, clock)] if len(rest) else []

    def _append(self, lane: Lane, pending: Pending, rows: Block, now_ns: int) -> int:
        """Append one message of the first samples, as many as fit; return how many are cared for."""
        seq, control_id = self.spool.next_control_id()
        try:
            payload = pending.stream.encoder.encode(rows, control_id, now_ns, pending.clock)
        except InternalError as fault:  # a bug of ours must not stop the device for good, nor be silent
            log.critical("%s: samples cannot be encoded: %s", lane.name, fault)
            self._lost(_extent(lane.name, rows), "not encodable")
            return len(rows)
        try:
            self.spool.append(Message(seq, control_id, pending.stream.topic, payload), _extent(lane.name, rows))
        except InternalError as fault:  # larger than a segment of the spool
            if len(rows) > 1:
                return self._append(lane, pending, rows[: len(rows) // 2], now_ns)
            log.critical("%s: one sample does not fit: %s", lane.name, fault)
            self._lost(_extent(lane.name, rows), "too large")
            return 1
        self.counters.messages += 1
        return len(rows)


def _extent(device: str, rows: Block) -> Extent:
    t_ns = rows["t_ns"]
    return Extent(device, int(rows["seq"].min()), int(rows["seq"].max()), len(rows), int(t_ns.min()), int(t_ns.max()))
