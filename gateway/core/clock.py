"""What is known of the wall clock of this box. Pure: readings are handed in.

Order is by sequence number and intervals are by monotonic time, so nothing here decides either. What remains is to say
of each sample how far its time can be relied on, and to tell when the clock was set.

    not known        nobody says: the kernel does not tell
    synchronised     the kernel says that a program keeps the clock (adjtimex(2): STA_UNSYNC is clear)
    unsynchronised   the kernel says that nobody does
    stepped          the clock was set while we ran, and nobody has confirmed the time since
    unset            a time before this program was written: a box without a battery starts in 1970

A step is a jump of the wall clock against the monotonic clock between two looks. It is an event and a flag. Times that
were taken before it stay as they are.

A machine that was suspended looks stepped, because CLOCK_MONOTONIC stands still meanwhile: so does a value that waited.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from gateway.core.notes import Notes

STEP_NS = 250_000_000  # a jump beyond this is a step (design, guarantees: clocks)
SLEW_PPM = 500  # the kernel turns a clock by no more (adjtime(3), NTP: RFC 5905, frequency tolerance): it is no step
EARLIEST_NS = 1_735_689_600_000_000_000  # 2025-01-01: this program is younger, so an earlier clock was never set
CONFIRM_NS = 10_000_000_000  # a step stays marked so long at least: a clock that is set again and again is not steady


class ClockQuality(IntEnum):
    """How far the wall clock can be relied on. One byte, in rings and spools: numbers are never reused."""

    NOT_KNOWN = 0
    SYNCHRONISED = 1
    UNSYNCHRONISED = 2
    STEPPED = 3
    UNSET = 4

    @property
    def word(self) -> str:
        """As messages and people have it."""
        return self.name.lower().replace("_", " ")


class Kernel(NamedTuple):
    """What the kernel says of the wall clock. synchronised: None when it does not say; max_error_us: its own bound."""

    synchronised: bool | None = None
    max_error_us: int = 0


class ClockState(NamedTuple):
    """What a block of samples is published with. step_ns: the clock was set by so much just before it; 0: it was not.

    Samples of two states never stand in one message.
    """

    quality: ClockQuality = ClockQuality.NOT_KNOWN
    step_ns: int = 0


NOTHING_SAID = ClockState()
STEP_NOTES = 64  # of the ring's 512: a clock that is set all the time must not use up those of alerts
_NOTE = "clock step "
_NOTE_BIT = 4  # a word of 16 bits: quality in the low four, above them the number of the note with the step


class StepNotes:
    """Writes clock states as the word of a ring block; the step itself is a note of the ring."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._known: set[str] = set()

    def word(self, state: ClockState) -> int:
        """Return the word. A step that has no note any more is still marked, and its size is not told."""
        text = f"{_NOTE}{round(state.step_ns / 1e6)}"
        if not state.step_ns or (text not in self._known and len(self._known) >= STEP_NOTES):
            return int(state.quality)
        self._known.add(text)
        return state.quality | self._notes.index(text) << _NOTE_BIT


def state_of(word: int, note: Callable[[int], str]) -> ClockState:
    """Read the word of a ring block. note: text of a note. A quality that is not known here says nothing."""
    quality = word & (1 << _NOTE_BIT) - 1
    text = note(word >> _NOTE_BIT).removeprefix(_NOTE) if word >> _NOTE_BIT else ""
    step_ns = int(text) * 1_000_000 if text.removeprefix("-").isdecimal() else 0
    known = quality in ClockQuality._value2member_map_
    return ClockState(ClockQuality(quality) if known else ClockQuality.NOT_KNOWN, step_ns)


@dataclass(slots=True)
class ClockWatch:
    """Follows the wall clock of one process or thread.

    steps: how many were seen; last_step_ns, last_step_mono_ns: how much, and when on the monotonic clock
    """

    quality: ClockQuality = ClockQuality.NOT_KNOWN
    steps: int = 0
    last_step_ns: int = 0
    last_step_mono_ns: int = 0
    _base_ns: int | None = None
    _looked_ns: int = 0
    _doubt: bool = False

    def look(self, mono_ns: int, utc_ns: int, kernel: Kernel) -> int:
        """Take one reading; return the step since the one before, ns, 0 when there was none."""
        base_ns, before = utc_ns - mono_ns, self._base_ns
        slewed_ns = (mono_ns - self._looked_ns) * SLEW_PPM // 1_000_000
        self._base_ns, self._looked_ns = base_ns, mono_ns
        step_ns = 0
        if before is not None and abs(base_ns - before) > STEP_NS + slewed_ns:
            step_ns = base_ns - before
            self.steps += 1
            self.last_step_ns, self.last_step_mono_ns = step_ns, mono_ns
            self._doubt = True
        if self._doubt and kernel.synchronised and mono_ns - self.last_step_mono_ns >= CONFIRM_NS:
            self._doubt = False
        self.quality = self._judge(utc_ns, kernel)
        return step_ns

    def _judge(self, utc_ns: int, kernel: Kernel) -> ClockQuality:
        if utc_ns < EARLIEST_NS:
            return ClockQuality.UNSET
        if self._doubt:
            return ClockQuality.STEPPED
        if kernel.synchronised is None:
            return ClockQuality.NOT_KNOWN
        return ClockQuality.SYNCHRONISED if kernel.synchronised else ClockQuality.UNSYNCHRONISED
