"""Asking a device one question after the other: what to ask when, and when an answer is overdue. Time is an argument.

    p = Poller(["HR", "SPO2"], period_s=1.0, timeout_s=0.5)
    p.start(now)
    q = p.ask(now)         # what to write now, or None; an answer that is overdue is told by `overdue`
    p.answered(now)        # the answer has come: the next question may go out at once
    p.next_wake()          # for DeviceProtocol.next_wake

A round asks every question once, in order; rounds begin `period_s` apart, or at once when the one before took longer.
A question without an answer is not repeated within its round: the next one is asked, so that a dead channel of a device
delays its neighbours by one time-out and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")


class Poller(Generic[Q]):
    """See the module text. timeout_s: longest wait for an answer; gap_s: shortest pause between answer and question."""

    def __init__(self, questions: Sequence[Q], period_s: float, timeout_s: float, gap_s: float = 0.0) -> None:
        self._questions = list(questions)
        self._period_s, self._timeout_s, self._gap_s = period_s, timeout_s, gap_s
        self.waiting: Q | None = None
        self.unanswered = 0
        """How many questions in a row got no answer."""
        self._stopped = True

    def start(self, now: float) -> None:
        """Begin with the first question, at once."""
        self.waiting = None
        self.unanswered = 0
        self._next = 0
        self._round_at = self._ask_at = now
        self._due = now
        self._stopped = not self._questions

    def replace(self, questions: Sequence[Q]) -> None:
        """Ask these from the next round on."""
        self._questions = list(questions)
        self._next = 0
        self._stopped = self._stopped or not self._questions

    def overdue(self, now: float) -> Q | None:
        """Return the question whose answer has not come in time, once; the next may then be asked."""
        if self.waiting is None or now < self._due:
            return None
        late, self.waiting = self.waiting, None
        self.unanswered += 1
        return late

    def ask(self, now: float) -> Q | None:
        """Return the question to write now, or None while one waits for its answer or none is due."""
        if self._stopped or self.waiting is not None or now < self._ask_at:
            return None
        if self._next == 0:
            self._round_at = max(now, self._round_at)
        question = self._questions[self._next]
        self._next += 1
        if self._next == len(self._questions):
            self._next = 0
            self._round_at += self._period_s
            self._ask_at = max(now + self._gap_s, self._round_at)
        else:
            self._ask_at = now + self._gap_s
        self.waiting = question
        self._due = now + self._timeout_s
        return question

    def answered(self, now: float) -> None:
        """The question that waits has its answer."""
        self.waiting = None
        self.unanswered = 0
        self._ask_at = max(self._ask_at, now + self._gap_s)

    def next_wake(self) -> float | None:
        """Return when to ask again: a question is due, or an answer overdue."""
        if self._stopped:
            return None
        return self._ask_at if self.waiting is None else self._due

    def stop(self) -> None:
        """Ask nothing more."""
        self._stopped = True
        self.waiting = None
