"""Who is alive: each thread says by when it will show itself again; the watchdog is fed only while all keep their word.

    port threads ─┐
    forwarder    ─┼─► due: monotonic time of the next sign of life ─► Supervisor.look ─► WATCHDOG=1, STATUS=, the log
    connection   ─┘

A worker moves its `due` ahead itself, in the loop that does the work, before each step and by what that step may take.
So a worker that waits for a device, for a broker or for nothing at all is alive, because its loop turns, and one that
hangs in a driver, in a name server or in fsync is not, however many other threads run. No timer pings by itself.

A process that stood still (SIGSTOP, a suspended box, a machine that swaps) has no stuck worker: all are late by as
much. It is said once, and nobody is blamed until they have had time to turn. Nothing is pinged before they did.

Pure but for the log and what it is handed: time is an argument.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.notify import Notify

log = logging.getLogger("mdi.supervise")
LOOK_S = 1.0  # between two looks
STILL_S = 5.0  # a look that comes so late was held up with everybody else
GRACE_S = 5.0  # after a standstill: the longest that a healthy loop takes to turn is a port's pause, 5 s


@dataclass(frozen=True, slots=True)
class Worker:
    """A thread. due: monotonic time, s, by which it shows itself again, inf: it has nothing to do; doing: what now."""

    name: str
    due: Callable[[], float]
    doing: Callable[[], str] = str


class Supervisor:
    """Looks after the workers of one process, once a second, in the main thread."""

    def __init__(self, notify: Notify, now: float) -> None:
        self.stuck: tuple[str, ...] = ()
        self.standstills = 0
        self._notify = notify
        self._looked = self._pinged = now
        self._blame_from = now

    def look(self, workers: Sequence[Worker], now: float) -> None:
        """Find who is late, say it when that changes, and feed the watchdog when nobody is."""
        if now - self._looked > STILL_S:
            self.standstills += 1
            self._blame_from = now + GRACE_S
            log.error(
                "this process stood still for %.0f s; what devices sent meanwhile may be lost", now - self._looked
            )
        self._looked = now
        late = [worker for worker in workers if worker.due() < now]
        self._say(late if now >= self._blame_from else [], now)
        # At half the interval, as sd_watchdog_enabled(3) wants it; a look later at the latest.
        if not late and self._notify.watchdog_s and now - self._pinged >= self._notify.watchdog_s / 2 - LOOK_S:
            self._notify.alive()
            self._pinged = now

    def _say(self, late: Sequence[Worker], now: float) -> None:
        names = tuple(worker.name for worker in late)
        for worker in late:
            if worker.name not in self.stuck:
                doing = f" {worker.doing()}" if worker.doing() else ""
                log.error("%s is stuck%s: overdue by %.1f s", worker.name, doing, now - worker.due())
        for name in self.stuck:
            if name not in names:
                log.warning("%s moves again", name)
        self.stuck = names
