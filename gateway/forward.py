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
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.core.clock import ClockState, state_of
from gateway.core.errors import DeliveryError, InternalError, MdiError
from gateway.core.message import Message, Outcome, Sink, Verdict
from gateway.core.plan import Plan
from gateway.core.ring import PlanName, RingReader, missing_between, same_ring
from gateway.core.sample import Block, Flag
from gateway.lane import Lane, Pending, Stream
from gateway.route import END_OF_TIME
from gateway.spool import Extent, Spool, SpoolFailed

log = logging.getLogger("mdi.forward")
READ_ROWS = 20_000  # rows taken from one ring in one round: a bound on memory and on the time of a round


@dataclass(slots=True)
class ForwardCounters:
    """Counted in samples (rows) or messages. A resend is not a loss."""

    rows_read: int = 0
    rows_again: int = 0  # already in the spool when the ring was read again after a restart
    rows_lost: int = 0  # declared lost before the spool: ring full or damaged, or not encodable
    messages: int = 0
    sent: int = 0
    resent: int = 0
    accepted: int = 0
    rejected: int = 0
    kept: int = 0
    outcomes_unknown: int = 0
    expired: int = 0  # declared lost because nobody wants them any more: waves that waited too long
    refused_plans: int = 0


@dataclass(slots=True)
class RingSource:
    """One ring with the devices of its port. last: last sample number read."""

    port: str
    reader: RingReader
    last: int = 0
    blocked: str = ""  # why this ring is not read: its plan cannot be reproduced


@dataclass(slots=True)
class _InFlight:
    message: Message
    sent_at: float
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class ForwardPlan:
    """How lanes are made: compile a plan by name; and the streams of a device, its plan, its name, and its notes."""

    compile: Callable[[PlanName], Plan]
    streams: Callable[[int, Plan, PlanName, Callable[[int], str]], list[Stream]]


@dataclass(frozen=True, slots=True)
class ForwardLimits:
    """From [forward] of the configuration."""

    ack_timeout_s: float = 30.0
    keep_s: float = 5.0


class Forwarder:
    """See the module text."""

    def __init__(
        self,
        rings: list[RingSource],
        lanes: Mapping[int, Lane],
        make: ForwardPlan,
        spool: Spool,
        sink: Sink,
        limits: ForwardLimits,
    ) -> None:
        self.rings = rings
        self.lanes = lanes
        self.spool = spool
        self.sink = sink
        self.counters = ForwardCounters()
        self._make = make
        self._limits = limits
        self._held = {lane.name: spool.last_extent(lane.name) for lane in lanes.values()}
        self._in_flight: dict[str, _InFlight] = {}
        self._next_send = 0  # last seq handed to the sink in this session
        self._session = sink.session()
        self._refused: set[bytes] = set()
        self._undeclared: list[tuple[Extent, str]] = []
        self._unsettled: list[Outcome] = []
        self._said = ""

    def step(self, now: float, now_ns: int) -> None:
        """Do one round. now: monotonic s; now_ns: UTC ns.

        Raises: SpoolFailed when a sync has failed: stop, the next start recovers.
        """
        self._collect(now_ns, round(now * 1e9))
        self._answers(now)
        self._send(now, now_ns)
        self.spool.tick()

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

    # ---- rings to spool

    def _collect(self, now_ns: int, mono_ns: int) -> None:
        for ring in self.rings:
            if not ring.blocked:
                self._read(ring)
        for lane in self.lanes.values():
            lane.due(now_ns, mono_ns)
        self._store(now_ns)

    def _read(self, ring: RingSource) -> None:
        for plan, rows, position, clock in ring.reader.read(READ_ROWS):
            name = ring.reader.plan_name(plan)
            lane = self.lanes.get(int(rows["source"][0]))
            if lane is None or not self._use(lane, name, int(rows["source"][0]), ring):
                ring.blocked = f"plan {name.profile_id} {name.firmware} {name.digest.hex()[:16]} cannot be reproduced"
                log.error("port %s: %s; its samples stay in the ring", ring.port, ring.blocked)
                self.counters.refused_plans += 1
                ring.reader.rewind(position)
                return
            self._hole(ring, lane, rows)
            ring.last = int(rows["seq"][-1])
            rows = self._new(lane, rows)
            self.counters.rows_read += len(rows)
            if len(rows):
                lane.take(rows, state_of(clock, ring.reader.note))

    def _use(self, lane: Lane, name: PlanName, source: int, ring: RingSource) -> bool:
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
        lane.use(name, plan, self._make.streams(source, plan, name, ring.reader.note))
        return True

    def _hole(self, ring: RingSource, lane: Lane, rows: Block) -> None:
        """Declare what is missing between the block before and this one."""
        missing = missing_between(ring.last, int(rows["seq"][0])) if ring.last else 0
        if missing:
            first, t_ns = ring.last + 1, int(rows["t_ns"][0])
            self._lost(Extent(lane.name, first, first + missing - 1, missing, t_ns, t_ns), "ring full")

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

    # ---- spool to sink

    def _send(self, now: float, now_ns: int) -> None:
        session = self.sink.session()
        if session != self._session:  # the receiver may have forgotten: everything unanswered again, in order
            self._session = session
            for flight in self._in_flight.values():
                flight.sent_at, flight.not_before = float("-inf"), now
        for flight in self._overdue(now):  # what is under way already needs no room
            if self._expired(flight.message, now_ns):
                del self._in_flight[flight.message.control_id]
                self.sink.forget(flight.message.control_id)  # or it would hold its place in the window for ever
                continue
            self.sink.send(flight.message)
            flight.sent_at, flight.not_before = now, 0.0
            self.counters.resent += 1
        try:
            messages = self.spool.unacknowledged(self._next_send, self.sink.room())
        except SpoolFailed:
            raise
        except DeliveryError as fault:  # the disk does not read now: the same messages next time
            self._say_once(str(fault))
            return
        for message in messages:
            self._next_send = message.seq
            if self._expired(message, now_ns):
                continue
            self.sink.send(message)
            self._in_flight[message.control_id] = _InFlight(message, now)
            self.counters.sent += 1

    def _expired(self, message: Message, now_ns: int) -> bool:
        """Let go of a message that nobody wants any more (waves of a minute ago), and declare it lost."""
        expiry_s = self.sink.expiry_s(message.topic)
        if not expiry_s:
            return False
        try:
            expired = self.spool.expire(message.seq, now_ns - round(expiry_s * 1e9))
        except SpoolFailed:
            raise
        except DeliveryError as fault:  # the loss cannot be declared now: then it is none yet
            self._say_once(str(fault))
            return False
        self.counters.expired += expired
        return expired

    def _overdue(self, now: float) -> list[_InFlight]:
        return [
            flight
            for flight in self._in_flight.values()
            if (flight.not_before and flight.not_before <= now)
            or (not flight.not_before and now - flight.sent_at >= self._limits.ack_timeout_s)
        ]

    def _answers(self, now: float) -> None:
        outcomes = self._unsettled + self.sink.outcomes()
        while outcomes:
            try:
                self._answer(outcomes[0], now)
            except SpoolFailed:
                raise
            except DeliveryError as fault:  # the side file cannot be written now: the answer is not forgotten
                self._say_once(str(fault))
                break
            del outcomes[0]
        self._unsettled = outcomes

    def _answer(self, outcome: Outcome, now: float) -> None:
        flight = self._in_flight.get(outcome.control_id)
        if flight is None:
            self.counters.outcomes_unknown += 1
        elif outcome.verdict is Verdict.KEEP:
            self.counters.kept += 1
            flight.not_before = now + self._limits.keep_s
        else:
            self._settle(flight, outcome)
            del self._in_flight[outcome.control_id]

    def _settle(self, flight: _InFlight, outcome: Outcome) -> None:
        if outcome.verdict is Verdict.ACCEPT:
            self.spool.ack(flight.message.seq)
            self.counters.accepted += 1
            return
        self.spool.reject(flight.message.seq, outcome.reason)
        self.counters.rejected += 1
        log.error("message %s rejected: %s; kept in the side file", outcome.control_id, outcome.reason)


def _extent(device: str, rows: Block) -> Extent:
    t_ns = rows["t_ns"]
    return Extent(device, int(rows["seq"].min()), int(rows["seq"].max()), len(rows), int(t_ns.min()), int(t_ns.max()))
