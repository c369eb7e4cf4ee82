"""The client's side of an association: who speaks when. It decides only what is sent, never what is decoded.

    IDLE ──AssocReq──► WAIT_AC ──AC──► WAIT_MDS ──MDS Create, answered──► OPERATING ──stop──► RELEASING ──► CLOSED
      ▲                │  │ results of an older association                  │
      │                │  └────Release────► DRAIN ──DN or time-out──┐        │
      └──back-off── RF, AB, no answer ◄─────────────────────────────┴── AB, FN, silence

While OPERATING three things run side by side: a stream of results per polled class (an extended poll, renewed before
it lapses, asked for again when nothing comes), a keep-alive that is also the question for the monitor's identity, and
the watch for silence. A monitor that does not grant extended polls is asked every second with single polls.

`now` is known only in `due`, so whatever received data changes is stamped with the time of the next call: `_deadline`
is NaN until then.

Source: protocol notes sections 5 to 9; timings of the implementations named there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from math import inf, isnan, nan

from drivers.philips_intellivue import pdu as layout
from drivers.philips_intellivue.pdu import ALERT_MONITOR, MDS, NUMERICS, WAVES, Accept

ANSWER_S = 5.0  # association request and MDS Create Event, section 5: 5..10 s
REPEAT_S = 2.0  # association request to a monitor that announces itself: as often as one implementation does, section 5
BACK_OFF_S = 5.0  # after refuse or abort, section 7
RETRY_S = 1.0  # after an association that we ended ourselves
DRAIN_S = 2.0  # for the answer to a release of an older association
RELEASE_S = 2.5  # section 5: up to about 3 s, and a port waits no longer than that for the abort to go out
SILENCE_S = 8.0  # between the 5 s and the 10 s of two implementations, and longer than one keep-alive
KEEP_ALIVE_S = 5.0  # section 6: something at least every 1 to 5 s
MAX_MISSES = 2  # after so many silences of the numerics the association is given up
SINGLE_POLL_S = 1.0  # when the monitor grants no extended polls
REFRESH_S = 5.0  # between a poll and the next one for static attributes that were lost
RENEW = 0.9  # of the period of an extended poll: section 5, 9 of 10 minutes
SHORTEST_MTU = 128  # our longest request, a list of twelve waves, has 86 bytes


class State(Enum):
    """Where the association stands."""

    IDLE = auto()
    WAIT_AC = auto()
    WAIT_MDS = auto()
    OPERATING = auto()
    DRAIN = auto()
    RELEASING = auto()
    CLOSED = auto()


IDENTITY, NUMERIC_STREAM, WAVE_STREAM, ALERT_STREAM, WAVE_LIST = range(5)
REQUESTS = ("identity", "numerics", "waves", "alerts", "wave list")
"""What is asked for. The number is the poll number and the low bits of the invoke id, so an error names its request."""

_ERRORS = {  # section 10
    0: "no such object class",
    1: "no such object instance",
    2: "access denied",
    7: "get list error",
    8: "set list error",
    9: "no such action",
    10: "processing failure",
    15: "invalid argument value",
    16: "invalid scope",
    17: "invalid object instance",
}


@dataclass(slots=True)
class Stream:
    """Results of one polled class."""

    request: int
    polled: int
    due: float  # when to ask: at once, later the renewal
    asked_at: float = 0.0
    heard_at: float = 0.0
    heard: bool = False  # since the last call of `due`
    misses: int = 0
    refresh: bool = False  # static attributes are missing
    wanted: bool = True  # false: nobody asked for it in particular, so its silence is no fault, and asked about rarely
    quiet_s: float = SILENCE_S  # so long it may be silent
    patience: float = REFRESH_S


class Session:
    """Associates, polls, keeps alive and parts.

    waves: TextIds, in order of priority; None: those of the monitor's own list; fault: takes (reason, detail)
    """

    def __init__(self, waves: tuple[int, ...] | None, poll_s: int, fault: Callable[[str, str], None]) -> None:
        self._waves = waves
        self._poll_s = poll_s
        self._fault = fault
        self.start(0.0)
        self._go(State.CLOSED, inf)

    def start(self, now: float) -> None:
        """The link is up: associate."""
        self._now = self._heard_at = self._sent_at = now
        self._out: list[bytes] = []
        self._counter = 0
        self._heard = False
        self._stale = False  # results come while an association is only asked for
        self._announced = ""  # where the data export of the monitor is, by its own words
        self._streams: list[Stream] = []
        self._granted = Accept(0.0, 0, 0)
        self._deadline: float
        self._go(State.IDLE, 0.0)

    def stop(self, now: float) -> None:
        """Part: release what is open, and do not come back."""
        self._now = now
        self._out = []
        if self.state in {State.WAIT_MDS, State.OPERATING}:
            self._out.append(layout.RELEASE_REQUEST)
            self._go(State.RELEASING, RELEASE_S)
        elif self.state is not State.RELEASING:
            if self.state in {State.WAIT_AC, State.DRAIN}:
                self._out.append(layout.ABORT)
            self._go(State.CLOSED, inf)

    # ---- what was received

    def heard(self) -> None:
        """A good frame, of whatever kind."""
        self._heard = True

    def announced(self, where: str) -> None:
        """Connect Indication: the monitor is there, and nobody is associated with it. Ask again, but not at once."""
        self._announced = where
        if self.state is State.WAIT_AC and not isnan(self._deadline):
            self._deadline = min(self._deadline, self._sent_at + REPEAT_S)

    def accepted(self, granted: Accept) -> None:
        """AC: the terms of the association."""
        if self.state not in {State.IDLE, State.WAIT_AC, State.DRAIN}:
            return
        if granted.mtu < SHORTEST_MTU:
            self._fault("refused", f"the monitor takes only {granted.mtu} bytes in a message")
            self._out.append(layout.ABORT)
            self._go(State.IDLE, BACK_OFF_S)
            return
        if self._waves and not granted.options & layout.EXT_WAVES:
            self._fault("no_waves", "the monitor does not grant waves on this port")
        self._granted = granted
        self._go(State.WAIT_MDS, ANSWER_S)

    def refused(self, reason: int) -> None:
        """RF: another client may hold the only association."""
        self._fault("refused", f"the monitor refuses the association (reason {reason}); next try in {BACK_OFF_S:g} s")
        if self.state in {State.WAIT_AC, State.DRAIN}:
            self._go(State.IDLE, BACK_OFF_S)

    def ended(self, detail: str) -> None:
        """AB or FN: the monitor ends the association."""
        self._fault("abort", detail)
        if self.state is State.RELEASING:
            self._go(State.CLOSED, inf)
        elif self.state is not State.CLOSED:
            self._go(State.IDLE, BACK_OFF_S)

    def release_asked(self) -> None:
        """FN: answer and go."""
        self.ended("the monitor released the association")
        self._out.append(layout.RELEASE_RESPONSE)

    def released(self) -> None:
        """DN: the answer to our release. An accept that crossed it on the line is void."""
        if self.state is State.RELEASING:
            self._go(State.CLOSED, inf)
        elif self.state in {State.DRAIN, State.WAIT_MDS, State.OPERATING}:
            self._go(State.IDLE, 0.0)

    def created(self, event: layout.Event) -> None:
        """MDS Create Event: answer it, every time, and begin to poll after the first."""
        if self.state is State.WAIT_AC:
            self._stale = True  # the accept was lost or the association is an older one
        if self.state not in {State.WAIT_MDS, State.OPERATING}:
            return
        self._out.append(layout.mds_create_result(event))
        if self.state is State.WAIT_MDS:
            self._operate()

    def result(self, polled: int, incomplete: bool) -> None:
        """A poll result came. incomplete: it lacks static attributes that are sent only once after a poll."""
        self._stale = self._stale or self.state is State.WAIT_AC
        for stream in self._streams:
            if stream.polled == polled:
                stream.heard = True
                stream.refresh = stream.refresh or incomplete

    def wave_list_set(self) -> None:
        """The confirmed set was confirmed: ask for the waves."""
        if self.state is State.OPERATING and not any(stream.polled == WAVES for stream in self._streams):
            self._streams.append(Stream(WAVE_STREAM, WAVES, self._now))
            self._deadline = inf

    def error(self, invoke: int, value: int) -> None:
        """ROER: a request failed. A stream is asked for again when nothing has come of it; a wave list is not."""
        request = invoke & 7
        name = REQUESTS[request] if request < len(REQUESTS) else f"request 0x{invoke:04X}"
        self._fault("roer", f"{name}: error {value}, {_ERRORS.get(value, 'unknown')}")
        if request == WAVE_LIST and self.state is State.OPERATING:
            self._deadline = inf

    # ---- time

    def due(self, now: float) -> list[bytes]:
        """Do what is due and return the PDUs to send."""
        self._now = now
        if self._heard:
            self._heard_at, self._heard = now, False
        self._stamp(now)
        if self.state is State.OPERATING:
            self._operating(now)
        elif self.state is State.WAIT_AC and self._stale:
            self._out.append(layout.RELEASE_REQUEST)
            self._go(State.DRAIN, DRAIN_S)
        elif now >= self._deadline:
            self._late()
        self._stamp(now)
        out, self._out = self._out, []
        if out:
            self._sent_at = now
        return out

    def next_wake(self) -> float | None:
        """Return when `due` has something to do, a time that has passed when it has so now."""
        if self._out or isnan(self._deadline) or (self._stale and self.state is State.WAIT_AC):
            return self._now
        wake = self._deadline
        if self.state is State.OPERATING:
            wake = min(wake, self._heard_at + SILENCE_S, self._sent_at + self._keep_alive_s())
            for stream in self._streams:
                wake = min(wake, self._due(stream), self._silent_at(stream))
        return None if wake == inf else wake

    def _stamp(self, now: float) -> None:
        if isnan(self._deadline):
            self._deadline = now + self._wait

    def _go(self, state: State, wait: float) -> None:
        """Change state; `wait` seconds run from the next call of `due`."""
        self.state, self._wait, self._deadline = state, wait, nan

    def _late(self) -> None:
        """The deadline of a state other than OPERATING has passed."""
        if self.state is State.WAIT_AC and self._now >= self._sent_at + ANSWER_S:
            said = f"; it announces its data export at {self._announced}" if self._announced else ""
            self._fault("no_answer", f"the monitor does not answer the association request{said}")
        if self.state in {State.IDLE, State.WAIT_AC}:
            self._stale = False
            self._out.append(layout.ASSOCIATION_REQUEST)
            self._go(State.WAIT_AC, ANSWER_S)
        elif self.state is State.WAIT_MDS:
            self._lose("no MDS Create Event after the accept")
        elif self.state is State.DRAIN:
            self._out.append(layout.ABORT)
            self._go(State.IDLE, RETRY_S)
        elif self.state is State.RELEASING:
            self._out.append(layout.ABORT)
            self._go(State.CLOSED, inf)

    def _lose(self, detail: str) -> None:
        self._fault("silence", detail)
        self._out = [layout.ABORT]
        self._go(State.IDLE, RETRY_S)

    # ---- OPERATING

    def _operate(self) -> None:
        granted = bool(self._granted.options & layout.EXT_WAVES)
        listed = bool(self._waves) and granted
        self._streams = [
            Stream(NUMERIC_STREAM, NUMERICS, self._now),
            Stream(ALERT_STREAM, ALERT_MONITOR, self._now),
        ]
        if self._waves is None and granted:
            self._streams.append(Stream(WAVE_STREAM, WAVES, self._now, wanted=False))
        self._go(State.OPERATING, ANSWER_S if listed else inf)
        self._ask_identity()
        if listed:
            self._ask_wave_list()

    def _operating(self, now: float) -> None:
        if now - self._heard_at >= SILENCE_S:
            self._lose(f"nothing heard for {SILENCE_S:g} s")
            return
        for stream in self._streams:
            if stream.heard:
                stream.heard_at, stream.heard, stream.misses, stream.quiet_s = now, False, 0, SILENCE_S
            if now >= self._due(stream):
                self._ask(stream, now)
            elif now < self._silent_at(stream):
                continue
            elif not stream.wanted:
                stream.quiet_s *= 2
                self._ask(stream, now)
            else:
                stream.misses += 1
                if stream.polled == NUMERICS and stream.misses >= MAX_MISSES:
                    self._lose(f"no numerics after {MAX_MISSES} polls")
                    return
                self._fault("silence", f"no {REQUESTS[stream.request]} for {SILENCE_S:g} s, asked again")
                self._ask(stream, now)
        if now >= self._deadline:
            self._fault("silence", f"no answer to the wave list for {ANSWER_S:g} s, asked again")
            self._ask_wave_list()
            self._deadline = now + ANSWER_S
        if not self._out and now - self._sent_at >= self._keep_alive_s():
            self._ask_identity()

    def _due(self, stream: Stream) -> float:
        """Return when a stream is to be asked for: the renewal, earlier when static attributes are missing."""
        return min(stream.due, stream.asked_at + stream.patience) if stream.refresh else stream.due

    def _ask(self, stream: Stream, now: float) -> None:
        """Ask for a stream. What cannot be refreshed (the monitor never sends it) is asked for less and less often."""
        stream.patience = stream.patience * 2 if stream.refresh and now < stream.due else REFRESH_S
        stream.refresh = False
        stream.asked_at = now
        if stream.polled == WAVES or self._granted.options & layout.EXT_1S_NUMERICS:  # no single poll of waves, 9.1
            stream.due = now + self._poll_s * RENEW
            self._out.append(layout.poll(self._invoke(stream.request), stream.request, stream.polled, 0, self._poll_s))
        else:
            stream.due = now + max(SINGLE_POLL_S, self._granted.min_poll_s)
            self._out.append(layout.poll(self._invoke(stream.request), stream.request, stream.polled))

    def _ask_identity(self) -> None:
        """The keep-alive of two implementations (section 9.4), and the only way to the firmware of some monitors."""
        self._out.append(layout.poll(self._invoke(IDENTITY), IDENTITY, MDS, layout.GROUP_SYS_PROD))

    def _ask_wave_list(self) -> None:
        self._out.append(layout.set_wave_list(self._invoke(WAVE_LIST), self._waves or ()))

    def _invoke(self, request: int) -> int:
        self._counter += 1
        return (self._counter << 3 | request) & 0xFFFF

    def _keep_alive_s(self) -> float:
        """A third of the time after which the monitor gives the association up (section 6), at most KEEP_ALIVE_S."""
        period = self._granted.min_poll_s
        time_out = 10.0 if period <= 3.3 else 3 * period if period <= 43 else 130.0
        return min(KEEP_ALIVE_S, time_out / 3)

    def _silent_at(self, stream: Stream) -> float:
        """Return when a stream counts as silent. While nothing at all is heard, that is the line's silence."""
        since = max(stream.heard_at, stream.asked_at)
        return since + stream.quiet_s if self._heard_at - since >= SILENCE_S / 2 else inf
