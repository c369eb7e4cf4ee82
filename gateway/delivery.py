"""From the spool to the receiver and back: what is under way, what is sent again, what an answer does.

    spool (synced) ─► sink ─► outcome ─► spool.ack, spool.reject

Invariants
  - Only what the spool has synced is sent (the spool shows nothing else), first in the order of its numbers.
  - A message stays under way until the receiver has answered it for good, nobody wants it any more, or it is set aside
    (below). Keep and silence mean: the same bytes again. A new session of the sink sends everything unanswered again.
  - An answer that cannot be put on the disk now is not forgotten; it is settled in a later round.

Pauses. A message is sent again after ack_timeout_s of silence, or keep_s after a keep. From the second time on the
pause doubles up to resend_max_s, less a random part, so that a receiver that is overloaded is not pushed by its own
backlog. When the receiver speaks again after a long silence, what is under way goes out at once.

Set aside. A message is passed over when its pause has gone by without its answer, and a message sent no earlier was
answered for good. One that is passed over `give_up_after` times is one that the receiver cannot digest: it goes to
the side file with the reason "no answer", declared, said, kept, and a person can send it again. When such messages hold
half of a full window, and all in it were tried as often, the one that was passed over most often goes: they never hold
the line. A receiver that answers nothing passes nothing over, so in an outage nothing is set aside.

One thread, the forwarder's. Time is an argument.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.ack import shortened
from gateway.core.errors import DeliveryError
from gateway.core.message import Message, Outcome, Sink, Verdict
from gateway.spool import Spool, SpoolFailed

log = logging.getLogger("mdi.forward")
SILENT_S = 45.0  # nothing answered for so long is said: later than one ack_timeout_s, within the 60 s of an alarm
JITTER = 0.25  # a pause is shorter by a random part of at most this: gateways must not come in step after an outage


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
    given_up: int = 0  # of the rejected: without an answer while others had theirs
    kept: int = 0
    outcomes_unknown: int = 0
    expired: int = 0  # declared lost because nobody wants them any more: waves that waited too long
    refused_plans: int = 0


@dataclass(slots=True)
class _InFlight:
    """A message under way. since: sent first; again_at: sent again then; passed_over: see the module text."""

    message: Message
    since: float
    sent_at: float
    again_at: float
    tries: int = 1
    kept: str = ""  # what the receiver last said instead of an answer, in this try
    passed_over: int = 0


@dataclass(frozen=True, slots=True)
class ForwardLimits:
    """From [forward] of the configuration."""

    ack_timeout_s: float = 30.0
    keep_s: float = 5.0
    resend_max_s: float = 60.0
    give_up_after: int = 10


class Delivery:
    """See the module text. counters: shared with the forwarder; say: says a state that lasts once, not once a round."""

    def __init__(
        self, spool: Spool, sink: Sink, limits: ForwardLimits, counters: ForwardCounters, say: Callable[[str], None]
    ) -> None:
        self.counters = counters
        self._spool = spool
        self._sink = sink
        self.limits = limits
        self._say = say
        self._random = random.Random()
        self._in_flight: dict[str, _InFlight] = {}
        self._places = 0  # how many messages may be under way, as far as is known
        self._next_send = 0  # last seq handed to the sink in this session
        self._session = sink.session()
        self._unsettled: list[Outcome] = []
        self.alarm = ""  # one line for a person while the receiver answers nothing
        self._answered_at = float("-inf")  # when the receiver last answered a message for good
        self._answered_sent_at = float("-inf")  # the latest sending of any message that was answered for good

    # ---- out

    def send(self, now: float) -> None:
        """Send again what is due, then what is new, as far as the sink has room."""
        session = self._sink.session()
        if session != self._session:  # the receiver may have forgotten: everything unanswered again, in order
            self._session = session
            self._hasten(now)
        self._listen(now)
        for flight in [flight for flight in self._in_flight.values() if flight.again_at <= now]:
            if not (self._expired(flight.message) or self._set_aside(flight)):
                self._resend(flight, now)
                continue
            del self._in_flight[flight.message.control_id]
            self._sink.forget(flight.message.control_id)  # or it would hold its place in the window for ever
        try:
            self._send_new(now)
        except SpoolFailed:
            raise
        except DeliveryError as fault:  # the disk does not read now: the same messages next time
            self._say(str(fault))

    def _listen(self, now: float) -> None:
        """Say when the receiver has answered nothing for long, and when it answers again."""
        oldest = next(iter(self._in_flight.values()), None)
        silent_s = now - max(self._answered_at, oldest.since) if oldest else 0.0
        if silent_s < SILENT_S:
            if self.alarm:
                log.warning("the receiver answers again")
            self.alarm = ""
            return
        why = f": {oldest.kept}" if oldest and oldest.kept else ""
        if not self.alarm:
            log.error("no message has been answered for %.0f s%s; nothing is lost, the spool fills", silent_s, why)
        self.alarm = f"no message has been answered for {silent_s:.0f} s{why}"

    def _send_new(self, now: float) -> None:
        room = self._sink.room()
        if room:
            self._places = len(self._in_flight) + room
        for message in self._spool.unacknowledged(self._next_send, room):
            self._next_send = message.seq
            if self._expired(message):
                continue
            self._sink.send(message)
            self._in_flight[message.control_id] = _InFlight(message, now, now, now + self.limits.ack_timeout_s)
            self.counters.sent += 1

    def _resend(self, flight: _InFlight, now: float) -> None:
        """Send the same bytes again: what is under way already needs no room."""
        self._sink.send(flight.message)
        flight.tries += 1
        flight.sent_at, flight.kept = now, ""
        flight.again_at = now + self._pause(flight, self.limits.ack_timeout_s)
        self.counters.resent += 1

    def _pause(self, flight: _InFlight, first_s: float) -> float:
        """Return how long to wait after this try. What soon expires is not made to wait: it would hold its place."""
        if flight.tries <= 1 or self._sink.expiry_s(flight.message.topic):
            return first_s
        longest = max(first_s, self.limits.resend_max_s)
        pause = min(longest, first_s * 2.0 ** min(flight.tries - 1, 32))  # 2^32 of anything is beyond the longest
        return pause * (1 - JITTER * self._random.random())

    def _hasten(self, now: float) -> None:
        """Let everything under way go out now, as if for the first time: what kept it back is over."""
        for flight in self._in_flight.values():
            flight.again_at, flight.tries = now, 0

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

    def _set_aside(self, flight: _InFlight) -> bool:
        """Give a message up that was passed over too often, or one of those that fill the window."""
        if flight.tries and self._answered_sent_at >= flight.sent_at:  # hastened, its pause has not gone by
            flight.passed_over += 1
        if not self.limits.give_up_after or not flight.passed_over:
            return False
        if flight.passed_over < self.limits.give_up_after and not self._is_the_worst_of_a_full_window(flight):
            return False
        reason = f"no answer to {flight.passed_over} sendings while others were answered"
        try:
            self._reject(flight, f"{reason}; {flight.kept}" if flight.kept else reason)
        except SpoolFailed:
            raise
        except DeliveryError as fault:  # the side file cannot be written now: then it is not given up yet
            self._say(str(fault))
            return False
        self.counters.given_up += 1
        return True

    def _is_the_worst_of_a_full_window(self, flight: _InFlight) -> bool:
        under_way = list(self._in_flight.values())
        if len(under_way) < self._places or any(other.tries < self.limits.give_up_after for other in under_way):
            return False
        passed_over = [other.passed_over for other in under_way if other.passed_over]
        return 2 * len(passed_over) >= self._places and flight.passed_over == max(passed_over)

    # ---- back

    def answers(self, now: float) -> None:
        """Settle what the receiver has said since the last round."""
        outcomes, self._unsettled = self._unsettled + self._sink.outcomes(), []
        for outcome in outcomes:
            try:
                self._answer(outcome, now)
            except SpoolFailed:
                raise
            except DeliveryError as fault:  # the side file cannot be written now: the answer is not forgotten
                self._say(str(fault))
                self._unsettled.append(outcome)

    def _answer(self, outcome: Outcome, now: float) -> None:
        flight = self._in_flight.get(outcome.control_id)
        if flight is None:
            self.counters.outcomes_unknown += 1
        elif outcome.verdict is Verdict.KEEP:
            self.counters.kept += 1
            if not flight.kept:  # one keep for one sending: a flood of them must not put the next one off for ever
                flight.kept = shortened(outcome.reason) or outcome.verdict.value
                flight.again_at = now + self._pause(flight, self.limits.keep_s)
        else:
            self._settle(flight, outcome)
            del self._in_flight[outcome.control_id]
            self._answered(flight, now)

    def _answered(self, flight: _InFlight, now: float) -> None:
        self._answered_sent_at = max(self._answered_sent_at, flight.sent_at)
        if now - self._answered_at > self.limits.ack_timeout_s and flight.tries > 1:  # it was silent, and is not now
            self._hasten(now)
        self._answered_at = now

    def _settle(self, flight: _InFlight, outcome: Outcome) -> None:
        if outcome.verdict is Verdict.ACCEPT:
            self._spool.ack(flight.message.seq)
            self.counters.accepted += 1
        else:
            self._reject(flight, outcome.reason)

    def _reject(self, flight: _InFlight, reason: str) -> None:
        self._spool.reject(flight.message.seq, reason)
        self.counters.rejected += 1
        log.error("message %s rejected: %s; kept in the side file", flight.message.control_id, shortened(reason))
