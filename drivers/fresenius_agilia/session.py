"""Who is asked what, and when. One question is in flight on a line.

    base:   DC ─► (1 s) ─► LE;b ─► which modules are there, again every 5 s
    module: DC ─► LE;drae, every poll_s

A question that is not answered within 1 s, or refused with link error 6 (not ready), is asked once more; then its
station is taken as lost and connected anew after a pause. One that is refused with another link error has its next turn
in its time. Losing the base loses its modules. A question for values that is refused with "1E" (not connected) or "0D"
(base not connected) leads to a new connection within poll_s.
Source of all: protocol notes, session.

The questions here are all that can be asked. Whatever sets, starts or stops has other letters, and no function makes
them. `DE` (let the pump speak by itself) is not sent either: asked every second it says the same, and what is not
switched on cannot be left on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

BASE, ALONE = "0", ""
MODULES = "12345"  # five bits of the base's mask
CONNECT, DISCONNECT, WHO, VALUES = "DC", "FC", "LE;b", "LE;drae"
ANSWER_S = 1.0  # protocol notes
SETTLE_S = 1.0  # after DC to the base; protocol notes
WHO_S = 5.0  # how soon a pump that is put in is noticed; not in the notes
AGAIN_S = 5.0  # before a lost station is connected anew; not in the notes
_LINK_NOT_READY = "6"
_BASE_NOT_OPEN, _MODULE_NOT_OPEN = "0D", "1E"


class Question(NamedTuple):
    """To whom, what."""

    slot: str
    command: str


@dataclass(slots=True)
class _Station:
    """The base, or a pump."""

    slot: str
    open: bool = False
    due: float = float("-inf")


class Session:
    """See the module text. waiting: the question in flight."""

    def __init__(self, stand_alone: bool, poll_s: float) -> None:
        self._root = ALONE if stand_alone else BASE
        self._poll_s = poll_s
        self.start()

    def start(self) -> None:
        """Nobody is connected."""
        self._stations = {self._root: _Station(self._root)}
        self.waiting: Question | None = None
        self._due = 0.0
        self._repeated = False
        self._again: Question | None = None
        self._parting: list[Question] | None = None

    def present(self, slots: Collection[str]) -> None:
        """The base has said which modules it holds."""
        for slot in [slot for slot in self._stations if slot not in slots and slot != self._root]:
            del self._stations[slot]
        for slot in slots:
            self._stations.setdefault(slot, _Station(slot))

    def stop(self) -> None:
        """Ask no more for values; take leave of whoever is connected, pumps first."""
        self.waiting = self._again = None
        is_open = [station.slot for station in self._stations.values() if station.open]
        self._parting = [Question(slot, DISCONNECT) for slot in sorted(is_open, reverse=True)]

    def ask(self, now: float) -> Question | None:
        """Return the question to write now, if one is due and none in flight."""
        question = None if self.waiting else self._next(now)
        if question is not None:
            self.waiting, self._due = question, now + ANSWER_S
        return question

    def answered(self, refusal: str, now: float) -> None:
        """The question in flight has its answer; refusal: the application error, "" when it was good."""
        question = self._done()
        station = self._stations.get(question.slot) if question else None
        if question is None or station is None or self._parting is not None:
            return
        if refusal in (_MODULE_NOT_OPEN, _BASE_NOT_OPEN):
            if refusal == _BASE_NOT_OPEN:
                station = self._stations[self._root]
            self._lost(station, now + AGAIN_S if question.command == CONNECT else min(station.due, now + self._poll_s))
        elif not refusal and question.command == CONNECT:
            station.open = True
            station.due = now + SETTLE_S if question.slot == BASE else now

    def refused(self, code: str, now: float) -> Question | None:
        """The question in flight was refused by a NAK. Return it when its station is lost."""
        if code == _LINK_NOT_READY:
            return self._failed(now)
        self._done()
        return None

    def overdue(self, now: float) -> Question | None:
        """Return the question whose answer, and that of its repeat, did not come."""
        return self._failed(now) if self.waiting and now >= self._due else None

    def next_wake(self) -> float | None:
        """Return when to ask again: a question is due, or an answer overdue."""
        if self.waiting:
            return self._due
        if self._parting is not None:
            return float("-inf") if self._parting else None
        return float("-inf") if self._again else min(station.due for station in self._stations.values())

    def _next(self, now: float) -> Question | None:
        if self._parting is not None:
            return self._parting.pop(0) if self._parting else None
        if self._again:
            question, self._again = self._again, None
            return question
        self._repeated = False
        station = min(self._stations.values(), key=lambda station: station.due)
        if now < station.due:
            return None
        station.due = now + (AGAIN_S if not station.open else WHO_S if station.slot == BASE else self._poll_s)
        if not station.open:
            return Question(station.slot, CONNECT)
        return Question(station.slot, WHO if station.slot == BASE else VALUES)

    def _done(self) -> Question | None:
        question, self.waiting = self.waiting, None
        return question

    def _failed(self, now: float) -> Question | None:
        question = self._done()
        if question is None:
            return None
        if self._parting is not None:
            self._parting = []  # whoever does not hear one farewell will not hear the next
        elif not self._repeated:
            self._repeated, self._again = True, question
            return None
        elif question.slot in self._stations:
            self._lost(self._stations[question.slot], now + AGAIN_S)
        return question

    def _lost(self, station: _Station, due: float) -> None:
        """Connect this station anew at `due`; with the base all its modules are lost."""
        station.open, station.due = False, due
        if station.slot == BASE:
            self.present(())
