"""Routes: which samples go out, and when. Pure; one Router per device plan.

    interval 0    every sample, as it comes
    interval > 0  in each window [k·interval, (k+1)·interval) of the wall clock the latest usable sample of a metric,
                  sent when the window has passed, by the monotonic clock: a wall clock that is set neither holds a
                  value back nor sends one twice; a window with no usable sample sends its latest no-value, so that a
                  receiver sees "no value" and not silence; an episodic value goes at once, when it is new
    no route      not sent, counted

When the disk fills up, routes are thinned (`thin`): a periodic number goes out once a minute only, states and settings
only when they change or once a minute; episodic values as ever. What is given up for that is counted apart, with its
numbers and times, and declared lost by whoever owns the router.

A mark AFTER_GAP is never thinned away: the next sample that goes out carries it.

Waveforms and alerts have routers and messages of their own (IHE WCM, PCD-04); see gateway.route_waves and
gateway.route_alerts. All routers of a device share one count (gateway.lane).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.core.sample import IS_USABLE, SAMPLE, Block, Flag, empty_block

_AFTER_GAP = np.uint8(Flag.AFTER_GAP)
END_OF_TIME = 1 << 63  # ns; at this time everything is due: the orderly end
REPEAT_NS = 10_000_000_000  # the same episodic value within 10 s is a repetition: devices repeat about once a second


THIN_NS = 60_000_000_000  # a ward charts once a minute


@dataclass(slots=True)
class RouteCounters:
    """What became of the samples a router has seen: seen = sent + waiting + thinned + not_routed + given_up.

    thinned: left out because the route has an interval; given_up: left out because the disk fills up, which is a loss
    """

    seen: int = 0
    sent: int = 0
    thinned: int = 0
    not_routed: int = 0
    given_up: int = 0


@dataclass(slots=True)
class Span:
    """Samples given up and not yet declared: how many, and the first and last of their numbers and times (UTC ns)."""

    count: int = 0
    seq: list[int] = field(default_factory=list)
    t_ns: list[int] = field(default_factory=list)

    def add(self, rows: Block) -> None:
        """Take samples into it."""
        self.count += len(rows)
        for column, kept in (("seq", self.seq), ("t_ns", self.t_ns)):
            kept[:] = min([int(rows[column].min()), *kept]), max([int(rows[column].max()), *kept])


class Router:
    """Chooses numbers, states and clocks of one device.

    intervals: seconds per metric of the plan, None where no route names it
    periodic: per metric, whether it is a number that is measured again and again; else a state or a setting
    """

    def __init__(self, intervals: Sequence[float | None], periodic: Sequence[bool] = ()) -> None:
        self._interval_ns = np.array([-1 if i is None else round(i * 1e9) for i in intervals])
        self._all_now = bool(np.all(self._interval_ns <= 0))
        self._periodic = np.array([*periodic] or [True] * len(intervals))
        self._window: dict[int, tuple[int, Block]] = {}  # metric -> (end of window, latest sample)
        self._passes: dict[int, int] = {}  # metric -> when its window has passed, monotonic ns
        self._episodic: dict[int, Block] = {}  # metric -> sample last seen
        self._told: dict[int, np.void] = {}  # state or setting -> sample last sent while thin
        self._thin = False
        self._freed: list[Block] = []  # waited because the route was thinned, and goes out next
        self.gap = False  # the next sample that goes out says that some were lost before it
        self.counters = RouteCounters()
        self.given_up = Span()

    def thin(self, on: bool) -> None:
        """Give up what can be given up, or stop to: then what waited only for that goes out before anything newer."""
        if not on:
            self._told.clear()
            for metric in [metric for metric in self._window if self._interval_ns[metric] == 0]:
                self._passes.pop(metric, None)
                self._freed.append(self._window.pop(metric)[1])
        self._thin = on

    def waiting(self) -> Block:
        """Return the samples that were taken and are not yet decided."""
        return np.concatenate([empty_block(), *(block for _, block in self._window.values()), *self._freed])

    def take(self, rows: Block) -> Block:
        """Return what goes out now. rows, result: (n,) SAMPLE of this device, in order."""
        self.counters.seen += len(rows)
        self.gap = self.gap or bool((rows["flags"] & _AFTER_GAP).any())
        interval = self._interval_ns[rows["metric"]]
        routed = interval >= 0
        if not routed.all():
            self.counters.not_routed += len(rows) - int(routed.sum())
            rows, interval = rows[routed], interval[routed]
        if self._thin:
            interval = np.where(self._periodic[rows["metric"]], np.maximum(interval, THIN_NS), interval)
        if self._all_now and not self._thin and not self._freed:
            now = rows
        else:
            at_once = interval == 0
            out = [*self._take_freed(), self._changes(rows[at_once]) if self._thin else rows[at_once]]
            out += [
                chosen
                for row, i in zip(rows[~at_once], interval[~at_once], strict=True)
                for chosen in self._windowed(row, int(i))
            ]
            now = np.concatenate(out)
        return self._out(now)

    def _take_freed(self) -> list[Block]:
        freed, self._freed = self._freed, []
        return freed

    def _changes(self, rows: Block) -> Block:
        """Return the states and settings that say something new, or have not been said for a minute."""
        new = np.array([bool(row["flags"] & Flag.EPISODIC) or self._is_news(row) for row in rows], bool)
        if not new.all():
            self._give_up(rows[~new])
        news: Block = rows[new]
        return news

    def _is_news(self, row: np.void) -> bool:
        before = self._told.get(int(row["metric"]))
        if before is not None and _says_the_same(before, row) and 0 <= int(row["t_ns"]) - int(before["t_ns"]) < THIN_NS:
            return False
        self._told[int(row["metric"])] = row
        return True

    def _give_up(self, rows: Block) -> None:
        self.counters.given_up += len(rows)
        self.given_up.add(rows)

    def due(self, now_ns: int, mono_ns: int) -> Block:
        """Return the samples whose window has passed.

        How long a window still lasts is asked of the wall clock once, at the first look; from then on the monotonic
        clock counts.
        """
        ready: list[int] = []
        for metric, (end, _) in self._window.items():
            if metric not in self._passes:
                longest = max(int(self._interval_ns[metric]), THIN_NS if self._thin else 0)
                self._passes[metric] = mono_ns + min(max(0, end - now_ns), longest)
            if self._passes[metric] <= mono_ns:
                ready.append(metric)
        return self._windows(ready)

    def cut(self, step_ns: int) -> Block:
        """Return all that waits: the clock was set, or is kept in another way, and no window spans that."""
        for seen in self._episodic.values():  # what is remembered only to know a repetition again
            seen["t_ns"] += step_ns
        return self._windows(list(self._window))

    def _windows(self, metrics: list[int]) -> Block:
        if not metrics and not self._freed:
            return empty_block()
        for metric in metrics:
            self._passes.pop(metric, None)
        rows = np.concatenate([*self._take_freed(), *(self._window.pop(metric)[1] for metric in metrics)])
        return self._out(rows[np.argsort(rows["seq"], kind="stable")])

    def _out(self, rows: Block) -> Block:
        """Count what goes out. A gap is told by the next sample that does, whichever sample was marked with it."""
        self.counters.sent += len(rows)
        if self.gap and len(rows):
            rows = rows.copy()
            rows["flags"][0] |= _AFTER_GAP
            self.gap = False
        return rows

    def _windowed(self, row: np.void, interval: int) -> list[Block]:
        """Put one sample into its window; return what that pushes out."""
        metric, t_ns = int(row["metric"]), int(row["t_ns"])
        block = np.array([row], SAMPLE)
        if row["flags"] & Flag.EPISODIC:
            before, self._episodic[metric] = self._episodic.get(metric), block
            if before is not None and _repeats(before[0], row):
                self.counters.thinned += 1
                return []
            return [block]
        waiting = self._window.get(metric)
        out: list[Block] = []
        if waiting and not waiting[0] - interval <= t_ns < waiting[0]:  # also when the clock was set back
            out = [waiting[1]]
            waiting = None
            self._passes.pop(metric, None)
        end = (t_ns // interval + 1) * interval
        if waiting:
            usable = IS_USABLE[waiting[1]["validity"][0]] and not IS_USABLE[row["validity"]]
            self._leave_out(block if usable else waiting[1])
            if usable:
                return out
        self._window[metric] = (end, block)
        return out

    def _leave_out(self, block: Block) -> None:
        """Count a sample that another one of its window replaces: as the route wishes, or for want of room."""
        if self._thin and self._interval_ns[block["metric"][0]] < THIN_NS:
            self._give_up(block)
        else:
            self.counters.thinned += 1


def _repeats(before: np.void, row: np.void) -> bool:
    """Tell whether an episodic sample only says again what the one before it said.

    Many devices repeat the last cuff pressure each second. A second measurement with the same result is a new one: it
    comes after a pause, or with a no-value (measuring) between.
    """
    return _says_the_same(before, row) and abs(int(row["t_ns"]) - int(before["t_ns"])) <= REPEAT_NS


def _says_the_same(before: np.void, row: np.void) -> bool:
    a, b = float(before["value"]), float(row["value"])
    return bool(before["validity"] == row["validity"]) and (a == b or (math.isnan(a) and math.isnan(b)))
