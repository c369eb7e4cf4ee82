"""The first half of the forwarder: from the rings to the spool.

    ring ─► route ─► HL7 ─► spool (synced)          (values, waves, alerts: one stream each)
      ▲                        │
      └──────── release ◄──────┘

Order, and why
  1. Samples are taken from the rings, routed, encoded and appended to the spool; one sync for the whole round.
  2. A loss is declared before the next message of its device is stored: a message in the spool means that all before it
     is cared for. Losses are holes in the sample numbers, what cannot be encoded, and what the routes give up when the
     disk fills up.
  3. Only then are the rings released, and only as far as nothing is open: samples in windows and in blocks of waves are
     in memory, and after a crash they come again from the ring. The last message of each device says how far it was
     cared for, and what was open then; the rest is skipped.
  4. A device with much to store waits until what the others have is stored and sent: a babbling one delays nobody.

One thread, the forwarder's. Time is an argument.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.account import Account, LaneCount, balance
from gateway.core.clock import ClockState, state_of
from gateway.core.errors import DeliveryError, InternalError, MdiError
from gateway.core.message import Message
from gateway.core.plan import Plan
from gateway.core.ring_layout import PlanName, same_ring
from gateway.core.ring_reader import RingBlock
from gateway.core.sample import Block, Flag
from gateway.delivery import ForwardCounters
from gateway.lane import Lane, Pending, Spot, Stream
from gateway.ring_source import HELD_FILL, RingSource
from gateway.route import END_OF_TIME
from gateway.spool import Extent, Pressure, Routed, Samples, Spool, SpoolFailed

log = logging.getLogger("mdi.forward")
FEW_ROWS = 50  # of one device in one round: what a monitor says in two seconds, encoded in 3 ms
READ_ROWS = 20_000  # rows taken from one ring in one round: a bound on memory and on the time of a round
THINNED = "thinned"  # reason of a loss
GIVEN_UP_NS = 30_000_000_000  # a loss is told within 60 s (docs/guarantees.md)

PRESSURES = {
    Pressure.OK: (logging.WARNING, "all is kept"),
    Pressure.SOFT: (logging.WARNING, "is the receiver away? at 85 % values are thinned, at 100 % the oldest go"),
    Pressure.THIN: (logging.ERROR, "periodic values once a minute, no waves; what is given up is declared lost"),
    Pressure.FULL: (logging.ERROR, "the oldest periodic values are dropped, and declared lost; alerts stay"),
}


@dataclass(frozen=True, slots=True)
class ForwardPlan:
    """How lanes are made: compile a plan by name; and the streams of a device, its plan, its name, and its notes."""

    compile: Callable[[PlanName], Plan]
    streams: Callable[[Spot, Plan, PlanName, Callable[[int], str]], list[Stream]]


class Collector:
    """See the module text. counters, say: shared with the forwarder; say: says a state that lasts once."""

    def __init__(
        self,
        rings: list[RingSource],
        make: ForwardPlan,
        spool: Spool,
        counters: ForwardCounters,
        say: Callable[[str], None],
    ) -> None:
        self.rings = rings
        self.lanes: dict[Spot, Lane] = {}
        self.spool = spool
        self.counters = counters
        self._make = make
        self._say = say
        self._routed: dict[Lane, Routed] = {}  # of an earlier life, until the ring is read so far
        self._refused: set[bytes] = set()
        self._undeclared: list[tuple[Extent, str]] = []
        self._again: Counter[str] = Counter()  # samples of each device that were read once more after a restart
        self._dirty: set[str] = set()  # ports whose ring may be released further than it is
        self._pressure = Pressure.OK
        self._thinned_ns = 0  # UTC of the last declaration of what was given up

    def add(self, devices: Iterable[Spot]) -> None:
        """Take up devices that are new."""
        for spot in devices:
            if spot not in self.lanes:
                lane = self.lanes[spot] = Lane(spot[1])
                lane.thin(self._pressure >= Pressure.THIN)
                routed = self.spool.routed(lane.name)
                if routed is not None:
                    self._routed[lane] = routed

    def renew(self, devices: Iterable[Spot]) -> None:
        """Make the streams of these devices anew at their next sample. What waits in windows goes out as it would have.

        What could not be reproduced, or was not known, is tried again.
        """
        for spot in devices:
            self.lanes[spot].due(END_OF_TIME, END_OF_TIME)
            self.lanes[spot].plan_name = None
        self._refused.clear()
        for ring in self.rings:
            ring.blocked = ""

    def take(self, now_ns: int, mono_ns: int) -> None:
        """Take and route what the rings have. Times: UTC and monotonic ns."""
        self._thin_routes()
        for ring in self.rings:
            if not ring.blocked:
                self._read(ring)
        for lane in self.lanes.values():
            lane.due(now_ns, mono_ns)

    def crowded(self) -> bool:
        """Tell whether devices with little to store stand beside one with much. Then a round syncs twice."""
        rows = [_rows(lane) for lane in self.lanes.values() if lane.pending]
        return bool(rows) and min(rows) <= FEW_ROWS < max(rows)

    def accounts(self) -> dict[str, Account] | None:
        """Return the account of each device, by name; None while a port is in the middle of its counting."""
        rings = [ring.account.counts() for ring in self.rings]
        settled = [ring for ring in rings if ring is not None]
        if len(settled) < len(rings):
            return None
        undeclared: Counter[str] = Counter()
        for extent, _ in self._undeclared:
            undeclared[extent.device] += extent.count
        drawn: dict[str, Account] = {}
        lanes: dict[str, list[Lane]] = {}  # one each, but for a device that was moved to another line
        for (_, name), lane in self.lanes.items():
            lanes.setdefault(name, []).append(lane)
        for name in {*lanes, *self.spool.samples, *(name for ring in settled for name in ring)} - {""}:
            mine, spool = lanes.get(name, []), self.spool.samples.get(name, Samples())
            waiting = sum(len(lane.open()) + lane.given_up.count for lane in mine) + undeclared[name]
            left_out = sum(lane.counters.thinned + lane.counters.not_routed for lane in mine)
            count = LaneCount(self._again[name], waiting, self.spool.declared.get(name, 0), left_out)
            drawn[name] = balance(settled, spool, count, name)
        return drawn

    # ---- rings to lanes

    def _read(self, ring: RingSource) -> None:
        for block in ring.read(READ_ROWS):
            self._dirty.add(ring.port)
            name = ring.reader.plan_name(block.plan)
            lane = self.lanes.get((ring.port, block.device))
            if lane is None or not self._use(lane, name, ring):
                what = f"plan {name.profile_id} {name.firmware} {name.digest.hex()[:16]} cannot be reproduced"
                ring.blocked = what if lane else f"device {block.device} is not in this configuration"
                log.error("port %s: %s; its samples stay in the ring", ring.port, ring.blocked)
                self.counters.refused_plans += 1
                ring.put_back()
                return
            self._hole(block)
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
        lane.use(name, plan, self._make.streams((ring.port, lane.name), plan, name, ring.reader.note))
        return True

    def _hole(self, block: RingBlock) -> None:
        """Declare what is missing before this block, for each device that misses something."""
        before, t_ns = int(block.rows["seq"][0]) - 1, int(block.rows["t_ns"][0])
        first = before + 1 - sum(n for _, n in block.missing)
        for device, n in block.missing:  # which of the numbers were whose is not known
            self._lost(Extent(device, first, before, n, t_ns, t_ns), "ring full")

    def _new(self, lane: Lane, rows: Block) -> Block:
        """Leave out what an earlier life of this forwarder has cared for."""
        routed = self._routed.get(lane)
        if routed is None:
            return rows
        if not same_ring(routed.through, int(rows["seq"][0])):  # a ring made anew: what the old one held is unknown
            del self._routed[lane]
            rows = rows.copy()
            rows["flags"][0] |= Flag.AFTER_GAP
            return rows
        lane.stored = routed.through
        fresh: Block = rows[routed.leaves(rows["seq"])]
        self.counters.rows_again += len(rows) - len(fresh)
        self._again[lane.name] += len(rows) - len(fresh)
        if rows["seq"][-1] >= routed.through:
            del self._routed[lane]
        return fresh

    # ---- losses

    def _lost(self, extent: Extent, reason: str) -> None:
        """Note a loss. It is declared before the rings are released, so a crash finds the hole in the ring again."""
        self.counters.rows_lost += extent.count
        self._undeclared.append((extent, reason))
        level = logging.DEBUG if reason == THINNED else logging.ERROR  # thinning is said when it begins and ends
        log.log(level, "%s: %d samples lost (%s)", extent.device, extent.count, reason)

    def _declare(self) -> None:
        while self._undeclared:
            self.spool.declare_loss(*self._undeclared[0])
            del self._undeclared[0]

    def _declare_given_up(self, lane: Lane) -> None:
        span = lane.take_given_up()
        (first, last), (begin, end) = span.seq, span.t_ns
        self._lost(Extent(lane.name, first, last, span.count, begin, end), THINNED)

    def _thin_routes(self) -> None:
        """Give up what can be given up as long as the disk fills up; say how full it is when that changes."""
        pressure = self.spool.pressure
        if pressure is not self._pressure:
            level, what = PRESSURES[pressure]
            log.log(level, "the spool is %.0f %% full: %s", 100 * self.spool.fill, what)
            self._pressure = pressure
            for lane in self.lanes.values():
                lane.thin(pressure >= Pressure.THIN)

    # ---- lanes to spool

    def store(self, now_ns: int, most: float = math.inf) -> bool:
        """Encode and append what is pending, sync once, then release the rings as far as nothing is open.

        most: only of the devices with at most so many rows. False: no space, no rights; the next round tries again.
        """
        try:
            late = not 0 <= now_ns - self._thinned_ns < GIVEN_UP_NS
            late = late or any(ring.reader.fill > HELD_FILL for ring in self.rings)  # it will be released
            for (port, _), lane in self.lanes.items():
                if lane.given_up.count and (lane.pending or late):
                    self._declare_given_up(lane)
                    self._dirty.add(port)
                if lane.pending and _rows(lane) <= most:
                    self._store_lane(lane, now_ns)
                    self._dirty.add(port)
            self._thinned_ns = now_ns if late else self._thinned_ns
            self.spool.sync()
            self._declare()
        except SpoolFailed:
            raise
        except DeliveryError as fault:  # no space, no rights: nothing is released, the same samples are tried again
            self._say(str(fault))
            return False
        self._say("")
        for ring in self.rings:
            if ring.port in self._dirty:
                ring.release(self._oldest_open(ring))
        self._dirty.clear()
        return True

    def _oldest_open(self, ring: RingSource) -> int | None:
        """Return the first number of a ring that is not cared for: open, or given up and not yet declared."""
        lanes = [lane for name in ring.devices if (lane := self.lanes.get((ring.port, name)))]
        held = [int(rows["seq"].min()) for lane in lanes if len(rows := lane.open())]
        held += [lane.given_up.seq[0] for lane in lanes if lane.given_up.count]
        return min(held, default=None)

    def _store_lane(self, lane: Lane, now_ns: int) -> None:
        """Append what waits in the lane. What is appended leaves `pending`, so a failure repeats nothing."""
        undecided = lane.undecided()
        while lane.pending:
            self._declare()
            first = lane.pending[0]
            rest = first.rows[self._append(lane, first.rows[: first.stream.rows_per_message], undecided, now_ns) :]
            clock = ClockState(first.clock.quality)  # a step is told once
            lane.pending[:1] = [Pending(first.stream, rest, clock)] if len(rest) else []

    def _append(self, lane: Lane, rows: Block, undecided: Block, now_ns: int) -> int:
        """Append one message of the first samples, as many as fit; return how many are cared for."""
        stream, clock = lane.pending[0].stream, lane.pending[0].clock
        seq, control_id = self.spool.next_control_id()
        try:
            payload = stream.encoder.encode(rows, control_id, now_ns, clock)
        except InternalError as fault:  # a bug of ours must not stop the device for good, nor be silent
            log.critical("%s: samples cannot be encoded: %s", lane.name, fault)
            self._lost(_extent(lane.name, rows), "not encodable")
            return len(rows)
        message, routed = Message(seq, control_id, stream.topic, payload), lane.routed(rows, undecided)
        try:
            self.spool.append(message, _extent(lane.name, rows), stream.periodic(rows), clock.quality, routed)
        except InternalError as fault:  # larger than a segment of the spool
            if len(rows) > 1:
                return self._append(lane, rows[: len(rows) // 2], undecided, now_ns)
            log.critical("%s: one sample does not fit: %s", lane.name, fault)
            self._lost(_extent(lane.name, rows), "too large")
            return 1
        lane.stored = routed.through
        self.counters.messages += 1
        return len(rows)


def _rows(lane: Lane) -> int:
    """Return how many values and alerts wait; of waves a thousand make one message, which is cheap."""
    return sum(len(pending.rows) for pending in lane.pending if "waveform" not in pending.stream.kinds)


def _extent(device: str, rows: Block) -> Extent:
    t_ns = rows["t_ns"]
    return Extent(device, int(rows["seq"].min()), int(rows["seq"].max()), len(rows), int(t_ns.min()), int(t_ns.max()))
