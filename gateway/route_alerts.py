"""The route of alerts: every change at once, and a watchdog at even intervals. Pure; one per device plan.

A row that only says "still active" is not sent again, unless this router has never told its beginning (the forwarder
was started anew, or the ring dropped it): then it goes out as it is, phase continue. The watchdog is made of the row
that counts the active alerts: it goes out only when the device has said so since the one before. So a device that is
silent has no watchdog, and the receiver knows that it knows nothing.
"""

from __future__ import annotations

import numpy as np

from gateway.core.alert import Phase, unpack, unpack_count
from gateway.core.sample import Block, Flag, empty_block
from gateway.route import END_OF_TIME, RouteCounters, Span

WATCHDOG_S = 30.0


class AlertRouter:
    """Chooses alert rows. watchdog_s: s between two signs of life; None: no route names the device."""

    def __init__(self, watchdog_s: float | None) -> None:
        self.counters = RouteCounters()
        self.gap = False  # kept, not sent: a message of an alert has no place for it; its watchdog tells what is known
        self._routed = watchdog_s is not None
        self._watchdog_ns = round((watchdog_s or WATCHDOG_S) * 1e9)
        self._told: set[tuple[int, int]] = set()  # (metric, note) of alerts whose beginning was sent
        self._life: Block = empty_block()
        self._next_ns = 0
        self.given_up = Span()

    def thin(self, on: bool) -> None:
        """Do nothing: alerts are never given up."""

    def waiting(self) -> Block:
        """Return no samples: all are decided when they come."""
        return empty_block()

    def take(self, rows: Block) -> Block:
        """Return what goes out now. rows, result: (n,) SAMPLE of this device, in order."""
        self.counters.seen += len(rows)
        if not self._routed:
            self.counters.not_routed += len(rows)
            return empty_block()
        out = [row for row in rows if self._says_something(row)]
        self.counters.sent += len(out)
        return np.array(out, rows.dtype) if out else empty_block()

    def due(self, _now_ns: int, mono_ns: int) -> Block:
        """Return the watchdog when it is its time and the device has spoken.

        By the monotonic clock: a wall clock set back by a year must not silence it for a year.
        """
        if not len(self._life) or mono_ns < self._next_ns:
            return empty_block()
        life, self._life = self._life, empty_block()
        if mono_ns < END_OF_TIME:  # else everything is due now, which says nothing of the next time
            self._next_ns = mono_ns + self._watchdog_ns
        self.counters.sent += 1
        self.counters.thinned -= 1  # it was counted as thinned when it came
        return life

    def cut(self, _step_ns: int) -> Block:
        """Forget a sign of life from before the clock was set: the next one, with a time of now, comes within seconds.

        It was counted as thinned when it came.
        """
        self._life = empty_block()
        return empty_block()

    def _says_something(self, row: np.void) -> bool:
        """Tell whether a row is news; what is not is counted as thinned."""
        metric, note, flags = int(row["metric"]), int(row["note"]), int(row["flags"])
        key = (metric, note)
        if unpack_count(float(row["value"])) is not None:
            self._life = np.array([row])
        elif not flags & Flag.ALERT_ACTIVE:
            self._told.discard(key)
            return True
        elif unpack(float(row["value"]))[0] is not Phase.CONTINUE or key not in self._told:
            self._told.add(key)
            return True
        self.counters.thinned += 1
        return False
