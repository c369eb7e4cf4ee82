"""The forwarder: from the rings to the receiver's acknowledgement. One thread owns all of it.

    ring ─► route ─► HL7 ─► spool (synced) ─► sink ─► outcome ─► spool.ack      (values, waves, alerts: one stream each)
                              │
                              └─► ring.release

The first half is gateway.collect, the second gateway.delivery; the spool lies between them. Only what it has synced is
sent, so a number that was sent is never used again for other data; and only the receiving application's word lets go of
a message.

Once a second the accounts of all devices are drawn up (gateway.account). `step` does one round and never waits;
`gateway.service` calls it in a loop. Time is an argument.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from gateway.account import Account
from gateway.collect import FEW_ROWS, Collector, ForwardPlan
from gateway.core.message import Sink
from gateway.delivery import Delivery, ForwardCounters, ForwardLimits
from gateway.lane import Lane, Spot
from gateway.ring_source import RingSource
from gateway.route import END_OF_TIME
from gateway.spool import Spool

log = logging.getLogger("mdi.forward")
LOOK_S = 1.0  # between two looks at the accounts


class Forwarder:
    """See the module text. accounts: of each device by name, at the last look."""

    def __init__(
        self,
        rings: list[RingSource],
        devices: Iterable[Spot],
        make: ForwardPlan,
        spool: Spool,
        sink: Sink,
        limits: ForwardLimits,
    ) -> None:
        self.spool = spool
        self.sink = sink
        self.counters = ForwardCounters()
        self.accounts: dict[str, Account] = {}
        self.doing = ""  # what a round is at, for whoever asks why it does not end
        self._said = ""
        self._looked = float("-inf")
        self._collector = Collector(rings, make, spool, self.counters, self._say_once)
        self._collector.add(devices)
        self._delivery = Delivery(spool, sink, limits, self.counters, self._say_once)

    @property
    def rings(self) -> list[RingSource]:
        """All rings that are read."""
        return self._collector.rings

    @property
    def lanes(self) -> Mapping[Spot, Lane]:
        """All devices."""
        return self._collector.lanes

    @property
    def alarm(self) -> str:
        """What is wrong with the receiver, in one line; "" when nothing is."""
        return self._delivery.alarm

    @property
    def waiting(self) -> int:
        """Messages in the spool that the receiver has not answered for good."""
        return self.spool.waiting

    def step(self, now: float, now_ns: int) -> None:
        """Do one round. now: monotonic s; now_ns: UTC ns.

        Raises: SpoolFailed when a sync has failed: stop, the next start recovers.
        """
        self.doing = "storing"
        self._collector.take(now_ns, round(now * 1e9))
        if self._collector.crowded() and self._collector.store(now_ns, FEW_ROWS):
            self._delivery.send(now)
        self._collector.store(now_ns)
        self.doing = "sending"
        self._delivery.answers(now)
        self._delivery.send(now)
        self.spool.tick()
        self.doing = ""
        if now - self._looked >= LOOK_S:
            self._looked = now
            self.look()

    def look(self) -> None:
        """Draw up the accounts, and say when one does not balance: a bug of ours, never to be silent."""
        for name, account in (self._collector.accounts() or {}).items():
            was, self.accounts[name] = self.accounts.get(name), account
            if account.difference != (was.difference if was else 0):
                log.critical("%s: %s", name, account)

    def flush(self, now_ns: int) -> None:
        """Spool all that is in the rings and in open windows: the orderly end."""
        self._collector.take(now_ns, END_OF_TIME)
        for lane in self.lanes.values():
            lane.due(END_OF_TIME, END_OF_TIME)
        self._collector.store(now_ns)

    # ---- a reload

    def extend(self, rings: Iterable[RingSource], devices: Iterable[Spot]) -> None:
        """Take up rings and devices that are new. What was removed stays: its last samples still come."""
        self.rings.extend(rings)
        self._collector.add(devices)

    def renew(self, devices: Iterable[Spot], limits: ForwardLimits) -> None:
        """Make the streams of these devices anew at their next sample; take other limits over."""
        self._collector.renew(devices)
        self._delivery.limits = limits

    def settle(self, devices: Iterable[Spot], positions: Mapping[str, int], now_ns: int) -> bool:
        """Tell whether all samples of these devices up to the positions (by port) are stored; open windows are closed.

        False: a ring is not read so far (its plan is not known here), or the disk takes nothing now.
        """
        if any(ring.reader.cursor < positions.get(ring.port, 0) for ring in self.rings):
            return False
        lanes = [self.lanes[spot] for spot in devices]
        for lane in lanes:
            lane.due(END_OF_TIME, END_OF_TIME)
        self._collector.store(now_ns)
        return not any(lane.pending for lane in lanes)

    def _say_once(self, what: str) -> None:
        """A state that lasts is one line, not one a round; "" when it is over."""
        if what and what != self._said:
            log.error("%s", what)
        self._said = what
