"""What to say to the monitor, and when. It never acknowledges anything: that data come is the only answer there is.

    values    asked for at once; again when none has come for an interval and 5 s, for as long as the line is up
    waves     asked for after the first values; again when none has come for 5 s (a monitor that was held back by RTS
              for 2 s has given them up)
    alarms    from interface level 10 on: their state and from then on each change; the state again every 10 s, so that
              a lost record cannot leave an alarm standing, or hide one

A monitor that has been silent may have been restarted; it is then asked for everything anew. Every request only makes
the monitor send; none changes a setting of it.

Source: protocol notes sections 4.1, 5.1, 6 and 8; the times without a section are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from drivers.ge_dri.record import AlarmCommand, Values, alarm_request, values_request, wave_request

ANSWER_S = 5.0  # section 8: a valid record within interval + 5 s; section 5.1: waves begin within 1 s
ALARMS_AGAIN_S = 10.0
ALARM_LEVEL = 10  # section 6
TREND_PERIOD_S = {Values.TREND_10S: 10, Values.TREND_60S: 60}  # section 4.1: whatever interval is asked for


class _Stream:
    """One thing that the monitor sends by itself once it is asked to.

    due: when to ask for it (again), inf = not now; asked: it was asked for; heard: set when some of it has come
    refreshed: it is asked for again although it comes
    """

    def __init__(self, patience_s: float, refreshed: bool = False) -> None:
        self.due = inf
        self.asked = False
        self.heard = False
        self._patience_s, self._refreshed = patience_s, refreshed
        self._unanswered = False
        self._silent = False

    def ask(self, now: float) -> bool:
        """Note that it is asked for now; tell whether it should have come before and did not, once in each silence."""
        missing = self._unanswered or (self.asked and not self._refreshed)
        begins = missing and not self._silent
        self._silent = missing
        self._unanswered = self.asked = True
        self.due = now + self._patience_s
        return begins

    def take_note(self, now: float) -> None:
        """Look whether some of it has come since the last look."""
        if self.heard:
            self.heard = self._silent = self._unanswered = False
            self.due = now + self._patience_s


class Session:
    """Keeps what was asked and what has come.

    shown: type of the values to be given; interval_s: of the displayed values; waves: types to ask for; with_alarms:
    whether the profile reads alarms; fault: called with a reason and a detail
    """

    def __init__(
        self, shown: Values, interval_s: int, waves: Sequence[int], with_alarms: bool, fault: Callable[[str, str], None]
    ) -> None:
        self._shown, self._interval_s, self._wanted, self._with_alarms = shown, interval_s, tuple(waves), with_alarms
        self._fault = fault
        self.start(0.0)

    def start(self, now: float) -> None:
        """The line is up: nothing was asked, nothing has come."""
        self._now = now
        self._parting: bytes | None = None
        self.level = 0  # of the monitor; 0 = not known
        self.values = _Stream(self._interval_s + ANSWER_S)
        self.trend = _Stream(TREND_PERIOD_S.get(self._shown, 0) + ANSWER_S)
        self.values.due = now
        self._forget_the_rest()

    def _forget_the_rest(self) -> None:
        self.waves = _Stream(ANSWER_S)
        self.alarms = _Stream(ALARMS_AGAIN_S, refreshed=True)

    def stop(self, now: float) -> None:
        """Cancel what was asked for."""
        self._now = now
        said = [values_request(kind, 0) for kind in self._kinds()] if self.values.asked else []
        if self.waves.asked:
            said.append(wave_request(()))
        if self.alarms.asked:
            said.append(alarm_request(AlarmCommand.LEAVE_DIFFERENTIAL))
        self._parting = b"".join(said)

    def next_wake(self) -> float | None:
        """Return when data_to_send is to be asked again."""
        if self._parting is not None:
            return self._now if self._parting else None
        streams = self._streams()
        return self._now if any(stream.heard for stream in streams) else min(stream.due for stream in streams)

    def data_to_send(self, now: float) -> bytes:
        """Return the requests that are due."""
        self._now = now
        if self._parting is not None:
            said, self._parting = self._parting, b""
            return said
        self._take_note(now)
        said = b""
        if self.values.due <= now:
            said += self._ask_values(now)
        if self.trend.due <= now:
            said += self._ask_trend(now)
        if self.waves.due <= now:
            if self.waves.ask(now):
                self._fault("no_waves", f"types {list(self._wanted)}")
            said += wave_request(self._wanted)
        if self.alarms.due <= now:
            said += self._ask_alarms(now)
        return said

    def _streams(self) -> tuple[_Stream, ...]:
        return self.values, self.trend, self.waves, self.alarms

    def _take_note(self, now: float) -> None:
        """Look what has come; the first values show that somebody is there to be asked for more."""
        if self.values.heard:
            if self._wanted and not self.waves.asked:
                self.waves.due = now
            if self._with_alarms and self.level >= ALARM_LEVEL and not self.alarms.asked:
                self.alarms.due = now
        for stream in self._streams():
            stream.take_note(now)

    def _kinds(self) -> list[Values]:
        """Return what is asked for: trends only come when displayed values were asked for first (section 4.1)."""
        return [Values.DISPLAYED, Values.AUXILIARY] + ([self._shown] if self._shown in TREND_PERIOD_S else [])

    def _ask_values(self, now: float) -> bytes:
        if self.values.ask(now):
            self._fault("no_answer", "")
            self._forget_the_rest()
        if self._shown in TREND_PERIOD_S:
            self.trend.ask(now)
        return b"".join(values_request(kind, TREND_PERIOD_S.get(kind, self._interval_s)) for kind in self._kinds())

    def _ask_trend(self, now: float) -> bytes:
        if self.trend.ask(now):
            self._fault("no_trend", "")
        return values_request(self._shown, TREND_PERIOD_S[self._shown])

    def _ask_alarms(self, now: float) -> bytes:
        first = not self.alarms.asked
        if self.alarms.ask(now):
            self._fault("no_alarms", "")
        status = alarm_request(AlarmCommand.STATUS)
        return status + alarm_request(AlarmCommand.ENTER_DIFFERENTIAL) if first else status
