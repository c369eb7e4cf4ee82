"""Alerts: from the lists that devices send to rows of SAMPLE that say what began, changed and ended.

A device sends the list of all that is active now. The plan keeps the list before and gives one row for each entry:

    metric   the event (a row of the profile with kind = "alert"); the catch-all row for one that is not listed
    value    phase and priority (see pack)
    flags    ALERT_ACTIVE while it is active; ALERT_INHIBITED when it is silenced or paused; TEST, DEMO
    note     what it is about, and what the device says of it (see note_of)

and, for each list that came, one row of the catch-all metric whose value is below 0: how many alerts are active.
That row is the sign of life of alerting: from it the forwarder makes the watchdog, so that silence is never read as
"no alerts" (IHE PCD-04 as Dräger uses it: a cyclic message with its own time-out).

Phases are those of PCD-04, MDC_ATTR_EVENT_PHASE. This is for documentation, not an alarm system.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from gateway.core.frame import Alert, Alerts, Frame
from gateway.core.notes import Notes
from gateway.core.profile import MetricSpec
from gateway.core.sample import Flag, Validity

CATCH_ALL = "*"  # object of the row for events that a profile does not list
MAX_ACTIVE = 256  # alerts of one list; a device that sends more is broken, the rest is counted by the plan

Row = tuple[int, int, float, int, int, int, int, int]  # one SAMPLE in field order


class Phase(IntEnum):
    """MDC_ATTR_EVENT_PHASE."""

    CONTINUE = 0
    START = 1
    UPDATE = 2
    ESCALATE = 3
    DEESCALATE = 4
    END = 5


def pack(phase: Phase, priority: int) -> float:
    """Return the value of an alert row: phase x 4 + priority (0 none, 1 low, 2 medium, 3 high)."""
    return float(phase * 4 + priority)


def unpack(value: float) -> tuple[Phase, int]:
    """Return (phase, priority) of an alert row."""
    return Phase(int(value) >> 2), int(value) & 3


def pack_count(active: int) -> float:
    """Return the value of the row that counts: -1 - active, so that it looks like no alert."""
    return -1.0 - active


def unpack_count(value: float) -> int | None:
    """Return how many alerts are active, None when the row is one of an alert."""
    return None if value >= 0 else int(-1.0 - value)


def note_of(path: str, text: str) -> str:
    """Return the note of an alert: OBX-4 path of the metric it is about ("" = the device), then the device's text."""
    return f"{path}|{text}"


def read_note(note: str) -> tuple[str, str]:
    """Return (path, text) of a note."""
    path, _, text = note.partition("|")
    return path, text


@dataclass(frozen=True, slots=True)
class _Event:
    """One alert row of the profile."""

    metric: int
    of: str
    priority: int


@dataclass(frozen=True, slots=True)
class _Active:
    """How an alert was when it came last. row: (metric, note)."""

    priority: int
    flags: int
    metric: int
    note: int


class AlertList:
    """The alerts of one device.

    specs: rows of the profile with their index; the event of a row of a fixed layout is its own path
    paths: object of a numeric -> its path
    """

    def __init__(self, specs: list[tuple[int, MetricSpec]], paths: dict[int | str, str]) -> None:
        self._events: dict[tuple[int | str | None, int | str], _Event] = {}
        self._catch_all: _Event | None = None
        self._paths = paths
        for index, spec in specs:
            event = _Event(index, spec.of, spec.priority)
            if spec.object == CATCH_ALL:
                self._catch_all = event
            else:
                self._events[spec.path if spec.object is None else spec.object, spec.instance] = event
        self._before: dict[str, dict[tuple[int, str], _Active]] = {}

    def fresh(self) -> AlertList:
        """Return the same for another device: the table is shared, what is active is its own."""
        other = AlertList([], self._paths)
        other._events, other._catch_all = self._events, self._catch_all
        return other

    def rows(self, frame: Frame, alerts: Alerts, source: int, notes: Notes) -> list[Row] | None:
        """Return the rows of one list, the last one counts. None: the profile has no rows for alerts."""
        if self._catch_all is None:
            return None
        before = self._before.get(frame.kind, {})
        active: dict[tuple[int, str], _Active] = {}
        for alert in alerts.active[:MAX_ACTIVE]:
            key, state = self._read(alert, notes)
            if key not in active or active[key].priority < state.priority:
                active[key] = state
        rows = [_row(frame, source, state, _phase(before.get(key), state)) for key, state in active.items()]
        rows += [_row(frame, source, state, Phase.END) for key, state in before.items() if key not in active]
        self._before[frame.kind] = active
        total = pack_count(sum(map(len, self._before.values())))
        rows.append((frame.t_ns, 0, total, self._catch_all.metric, source, int(Validity.VLD), 0, 0))
        return rows

    def _read(self, alert: Alert, notes: Notes) -> tuple[tuple[int, str], _Active]:
        event = self._events.get((alert.object, alert.source)) or self._events.get((alert.object, 0))
        known, text = event is not None, alert.text
        if event is None:
            assert self._catch_all is not None
            event, text = self._catch_all, text or f"event {alert.object}"
        path = event.of or self._paths.get(alert.source, "")
        plain = notes.index(note_of(path, "")) if path else 0
        note = (notes.index(note_of(path, text)) if text else 0) or plain  # no room for texts: what it is about stays
        # An event that has no term of its own is told from others by its text alone, here and at the receiver.
        word = "" if known or note == plain else text
        state = _Active(alert.priority or event.priority, alert.flags, event.metric, note)
        return (event.metric, f"{path}|{word}"), state


def _phase(before: _Active | None, now: _Active) -> Phase:
    if before is None:
        return Phase.START
    if before.priority != now.priority:
        return Phase.ESCALATE if now.priority > before.priority else Phase.DEESCALATE
    return Phase.CONTINUE if (before.flags, before.note) == (now.flags, now.note) else Phase.UPDATE


def _row(frame: Frame, source: int, state: _Active, phase: Phase) -> Row:
    flags = state.flags if phase is Phase.END else state.flags | Flag.ALERT_ACTIVE
    value = pack(phase, state.priority)
    return (frame.t_ns, 0, value, state.metric, source, int(Validity.VLD), int(flags), state.note)
