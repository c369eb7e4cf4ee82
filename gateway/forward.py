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
  4. The ring keeps what is not decided yet: samples in open windows and blocks of waves come again after a crash. The
     last message of each device says how far it was cared for, and what was open then; the rest is skipped.
  5. A hole in the sample numbers is a loss, and so is what the routes give up when the disk fills up. It is declared
     before the next message of its device is stored: a message in the spool means that all before it is cared for.

`step` does one round and never waits; `gateway.service` calls it in a loop. Time is an argument.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.account import Account, LaneCount, balance
from gateway.core.errors import DeliveryError, InternalError, MdiError
from gateway.core.message import Message, Sink
from gateway.core.plan import Plan
from gateway.core.ring import RingBlock
from gateway.core.ring_layout import PlanName, same_ring
from gateway.core.sample import Block, Flag
from gateway.delivery import Delivery, ForwardCounters, ForwardLimits
from gateway.lane import END_OF_TIME, Lane, Stream
from gateway.ring_source import RingSource
from gateway.spool import Extent, Pressure, Samples, Spool, SpoolFailed

log = logging.getLogger("mdi.forward")
THINNED = "thinned"  # reason of a loss
LOOK_S = 1.0  # between two looks at the accounts
GIVEN_UP_NS = 30_000_000_000  # a loss is told within 60 s (docs/guarantees.md)
READ_ROWS = 20_000  # rows taken from one ring in one round: a bound on memory and on the time of a round


@dataclass(frozen=True, slots=True)
class ForwardPlan:
    """How lanes are made: compile a plan by name; and the streams of a device by name, plan, plan's name, and notes."""

    compile: Callable[[PlanName], Plan]
    streams: Callable[[str, Plan, PlanName, Callable[[int], str]], list[Stream]]


class Forwarder:
    """See the module text."""

    def __init__(
        self,
        rings: list[RingSource],
        lanes: Mapping[str, Lane],
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
        self._routed = {name: spool.routed(name) for name in lanes}
        self._refused: set[bytes] = set()
        self._undeclared: list[tuple[Extent, str]] = []
        self.accounts: dict[str, Account] = {}  # of each device, at the last look
        self._again: Counter[str] = Counter()  # samples of each device that were read once more after a restart
        self._looked = float("-inf")
        self._thin = False
        self._thinned_ns = 0  # UTC of the last declaration of what was given up
        self._said = ""
        self._delivery = Delivery(spool, sink, limits, self.counters, self._say_once)

    def step(self, now: float, now_ns: int) -> None:
        """Do one round. now: monotonic s; now_ns: UTC ns.

        Raises: SpoolFailed when a sync has failed: stop, the next start recovers.
        """
        self._collect(now_ns)
        self._delivery.answers(now)
        self._delivery.send(now, now_ns)
        self.spool.tick()
        if now - self._looked >= LOOK_S:
            self._looked = now
            self.look()

    def look(self) -> None:
        """Draw up the accounts of all devices, and say when one does not balance: a bug of ours, never to be silent."""
        rings = [ring.account.counts() for ring in self.rings]
        settled = [ring for ring in rings if ring is not None]
        if len(settled) < len(rings):  # a port is just counting: the next look is soon enough
            return
        undeclared: Counter[str] = Counter()
        for extent, _ in self._undeclared:
            undeclared[extent.device] += extent.count
        names = {*self.lanes, *self.spool.samples, *(name for ring in settled for name in ring)}
        for name in names:
            lane, spool = self.lanes.get(name), self.spool.samples.get(name, Samples())
            waiting = (len(lane.open()) + lane.given_up.count if lane else 0) + undeclared[name]
            left_out = lane.counters.thinned + lane.counters.not_routed if lane else 0
            count = LaneCount(self._again[name], waiting, self.spool.declared.get(name, 0), left_out)
            was, self.accounts[name] = self.accounts.get(name), balance(settled, spool, count, name)
            if self.accounts[name].difference != (was.difference if was else 0):
                log.critical("%s: %s", name, self.accounts[name])

    @property
    def waiting(self) -> int:
        """Messages in the spool that the receiver has not answered for good."""
        return self.spool.waiting

    def flush(self, now_ns: int) -> None:
        """Spool all that is in the rings and in open windows: the orderly end."""
        self._collect(now_ns)
        for lane in self.lanes.values():
            lane.due(END_OF_TIME)
        self._store(now_ns)

    # ---- rings to spool

    def _collect(self, now_ns: int) -> None:
        for ring in self.rings:
            if not ring.blocked:
                self._read(ring)
        for lane in self.lanes.values():
            lane.due(now_ns)
        self._store(now_ns)
        self._thin_routes()

    def _thin_routes(self) -> None:
        """Give up what can be given up as long as the disk fills up; a new plan of a device begins with it, too."""
        thin = self.spool.pressure >= Pressure.THIN
        if thin != self._thin:
            log.log(
                logging.ERROR if thin else logging.WARNING,
                "the spool is %.0f %% full: %s",
                100 * self.spool.fill,
                "periodic values once a minute, no waves; what is given up is declared lost" if thin else "all is kept",
            )
        self._thin = thin
        for lane in self.lanes.values():
            lane.thin(thin)

    def _read(self, ring: RingSource) -> None:
        for block in ring.read(READ_ROWS):
            rows = block.rows
            name = ring.reader.plan_name(block.plan)
            lane = self.lanes.get(block.device)  # by its name: its number changes when the configuration does
            if lane is None:  # nobody knows where it stood: it must not be sent, nor stop the others of its line
                self._hole(block)
                self._lost(_extent(block.device, rows), "device not configured any more")
                continue
            if not self._use(lane, name, ring):
                ring.blocked = f"plan {name.profile_id} {name.firmware} {name.digest.hex()[:16]} cannot be reproduced"
                log.error("port %s: %s; its samples stay in the ring", ring.port, ring.blocked)
                self.counters.refused_plans += 1
                ring.put_back()
                return
            self._hole(block)
            rows = self._new(lane, rows)
            self.counters.rows_read += len(rows)
            if len(rows):
                lane.take(rows)

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

    def _hole(self, block: RingBlock) -> None:
        """Declare what is missing before this block, for each device that misses something."""
        before, t_ns = int(block.rows["seq"][0]) - 1, int(block.rows["t_ns"][0])
        first = before + 1 - sum(n for _, n in block.missing)
        for device, n in block.missing:  # which of the numbers were whose is not known
            self._lost(Extent(device, first, before, n, t_ns, t_ns), "ring full")

    def _lost(self, extent: Extent, reason: str) -> None:
        """Note a loss. It is declared before the rings are released, so a crash finds the hole in the ring again."""
        self.counters.rows_lost += extent.count
        self._undeclared.append((extent, reason))
        log.log(
            logging.DEBUG if reason == THINNED else logging.ERROR,  # thinning is said when it begins and when it ends
            "%s: %d samples lost (%s)",
            extent.device,
            extent.count,
            reason,
        )

    def _declare_given_up(self, lane: Lane) -> None:
        span = lane.take_given_up()
        (first, last), (begin, end) = span.seq, span.t_ns
        self._lost(Extent(lane.name, first, last, span.count, begin, end), THINNED)

    def _declare(self) -> None:
        while self._undeclared:
            self.spool.declare_loss(*self._undeclared[0])
            del self._undeclared[0]

    def _new(self, lane: Lane, rows: Block) -> Block:
        """Leave out what an earlier life of this forwarder has cared for."""
        routed = self._routed.get(lane.name)
        if routed is None:
            return rows
        if not same_ring(routed.through, int(rows["seq"][0])):  # a ring made anew: what the old one held is unknown
            self._routed[lane.name] = None
            rows = rows.copy()
            rows["flags"][0] |= Flag.AFTER_GAP
            return rows
        lane.stored = routed.through
        fresh: Block = rows[routed.leaves(rows["seq"])]
        self.counters.rows_again += len(rows) - len(fresh)
        self._again[lane.name] += len(rows) - len(fresh)
        if rows["seq"][-1] >= routed.through:
            self._routed[lane.name] = None
        return fresh

    def _store(self, now_ns: int) -> None:
        """Encode and append everything pending, sync once, then release the rings."""
        try:
            late = not 0 <= now_ns - self._thinned_ns < GIVEN_UP_NS
            for lane in self.lanes.values():
                if lane.given_up.count and (lane.pending or late):
                    self._declare_given_up(lane)
                self._store_lane(lane, now_ns)
            self._thinned_ns = now_ns if late else self._thinned_ns
            self.spool.sync()
            self._declare()
        except SpoolFailed:
            raise
        except DeliveryError as fault:  # no space, no rights: nothing is released, the same samples are tried again
            self._say_once(str(fault))
            return
        self._said = ""
        for ring in self.rings:
            open_rows = [self.lanes[name].open()["seq"] for name in ring.devices if name in self.lanes]
            ring.release(min((int(seqs.min()) for seqs in open_rows if len(seqs)), default=None))

    def _say_once(self, what: str) -> None:
        """A state that lasts is one line, not one a round."""
        if what != self._said:
            log.error("%s", what)
            self._said = what

    def _store_lane(self, lane: Lane, now_ns: int) -> None:
        """Append what waits in the lane. What is appended leaves `pending`, so a failure repeats nothing."""
        undecided = lane.undecided() if lane.pending else None
        while lane.pending and undecided is not None:
            self._declare()
            stream, rows = lane.pending[0]
            rest = rows[self._append(lane, rows[: stream.rows_per_message], undecided, now_ns) :]
            lane.pending[:1] = [(stream, rest)] if len(rest) else []

    def _append(self, lane: Lane, rows: Block, undecided: Block, now_ns: int) -> int:
        """Append one message of the first samples, as many as fit; return how many are cared for."""
        stream = lane.pending[0][0]
        seq, control_id = self.spool.next_control_id()
        try:
            payload = stream.encoder.encode(rows, control_id, now_ns)
        except InternalError as fault:  # a bug of ours must not stop the device for good, nor be silent
            log.critical("%s: samples cannot be encoded: %s", lane.name, fault)
            self._lost(_extent(lane.name, rows), "not encodable")
            return len(rows)
        message, routed = Message(seq, control_id, stream.topic, payload), lane.routed(rows, undecided)
        try:
            self.spool.append(message, _extent(lane.name, rows), stream.periodic(rows), routed=routed)
        except InternalError as fault:  # larger than a segment of the spool
            if len(rows) > 1:
                return self._append(lane, rows[: len(rows) // 2], undecided, now_ns)
            log.critical("%s: one sample does not fit: %s", lane.name, fault)
            self._lost(_extent(lane.name, rows), "too large")
            return 1
        lane.stored = routed.through
        self.counters.messages += 1
        return len(rows)


def _extent(device: str, rows: Block) -> Extent:
    t_ns = rows["t_ns"]
    return Extent(device, int(rows["seq"].min()), int(rows["seq"].max()), len(rows), int(t_ns.min()), int(t_ns.max()))
