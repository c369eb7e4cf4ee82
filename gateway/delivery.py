"""From the spool to the receiver and back: what is under way, what is sent again, what an answer does.

    spool (synced) ─► sink ─► outcome ─► spool.ack, spool.reject

Invariants
  - Only what the spool has synced is sent (the spool shows nothing else), first in the order of its numbers.
  - A message stays under way until the receiver has answered it for good, or nobody wants it any more. Keep and silence
    mean: the same bytes again. A new session of the sink sends everything unanswered again, in order.
  - An answer that cannot be put on the disk now is not forgotten; it is settled in a later round.

One thread, the forwarder's. Time is an argument.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.errors import DeliveryError
from gateway.core.message import Message, Outcome, Sink, Verdict
from gateway.spool import Spool, SpoolFailed

log = logging.getLogger("mdi.forward")


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
class _InFlight:
    message: Message
    sent_at: float
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class ForwardLimits:
    """From [forward] of the configuration."""

    ack_timeout_s: float = 30.0
    keep_s: float = 5.0


class Delivery:
    """See the module text. counters: shared with the forwarder; say: says a state that lasts once, not once a round."""

    def __init__(
        self, spool: Spool, sink: Sink, limits: ForwardLimits, counters: ForwardCounters, say: Callable[[str], None]
    ) -> None:
        self.counters = counters
        self._spool = spool
        self._sink = sink
        self._limits = limits
        self._say = say
        self._in_flight: dict[str, _InFlight] = {}
        self._next_send = 0  # last seq handed to the sink in this session
        self._session = sink.session()
        self._unsettled: list[Outcome] = []

    def send(self, now: float) -> None:
        session = self._sink.session()
        if session != self._session:  # the receiver may have forgotten: everything unanswered again, in order
            self._session = session
            for flight in self._in_flight.values():
                flight.sent_at, flight.not_before = float("-inf"), now
        for flight in self._overdue(now):  # what is under way already needs no room
            if self._expired(flight.message):
                del self._in_flight[flight.message.control_id]
                self._sink.forget(flight.message.control_id)  # or it would hold its place in the window for ever
                continue
            self._sink.send(flight.message)
            flight.sent_at, flight.not_before = now, 0.0
            self.counters.resent += 1
        try:
            messages = self._spool.unacknowledged(self._next_send, self._sink.room())
        except SpoolFailed:
            raise
        except DeliveryError as fault:  # the disk does not read now: the same messages next time
            self._say(str(fault))
            return
        for message in messages:
            self._next_send = message.seq
            if self._expired(message):
                continue
            self._sink.send(message)
            self._in_flight[message.control_id] = _InFlight(message, now)
            self.counters.sent += 1

    def _expired(self, message: Message) -> bool:
        """Let go of a message that nobody wants any more (waves of a minute ago), and declare it lost."""
        expiry_s = self._sink.expiry_s(message.topic)
        if not expiry_s:
            return False
        try:
            expired = self._spool.expire(message.seq, round(expiry_s * 1e9))
        except SpoolFailed:
            raise
        except DeliveryError as fault:  # the loss cannot be declared now: then it is none yet
            self._say(str(fault))
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

    def answers(self, now: float) -> None:
        outcomes = self._unsettled + self._sink.outcomes()
        while outcomes:
            try:
                self._answer(outcomes[0], now)
            except SpoolFailed:
                raise
            except DeliveryError as fault:  # the side file cannot be written now: the answer is not forgotten
                self._say(str(fault))
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
            self._spool.ack(flight.message.seq)
            self.counters.accepted += 1
            return
        self._spool.reject(flight.message.seq, outcome.reason)
        self.counters.rejected += 1
        log.error("message %s rejected: %s; kept in the side file", outcome.control_id, outcome.reason)
