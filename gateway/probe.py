"""Finding out what is on a serial port: candidates from the registry, one protocol after the other, read-only.

    1  listen   once for each line format that a profile names. What is heard goes to a fresh protocol of every profile
                of that format; nothing is written, whatever a protocol would like to send.
    2  ask      only when nothing was recognised, and only with a person's consent: one profile at a time speaks, each
                write through the transmit gate of that profile, and parts as a running port does.

Profiles of one family often fit alike: all that match are named, in order, with how sure that is (probe_trial). What is
wrong with the line, the doctor tells (gateway.doctor). Nothing here knows a driver.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from gateway import registry
from gateway.core.errors import LinkError
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import Profile
from gateway.core.protocol import DeviceSpec
from gateway.core.transmit import Gate
from gateway.doctor import Diagnosis, Heard, LineFormat, diagnose, fits
from gateway.probe_line import Marks, ProbeLine
from gateway.probe_trial import FOUND, SETTLED, Candidate, Trial

READ_S = 0.2  # longest wait for bytes: a person who ends the probe waits no longer
PARTING_S = 3.0  # how long a device may take to answer the release, as on a running port (gateway.port)
PLAIN = 0.8  # so good that asking on tells nothing new
PROMISING, LONGER = 0.05, 3  # something was recognised, too little to be sure: so many times as long
ALIKE = 0.05  # scores that differ by less do so by chance


@dataclass(frozen=True)
class Findings:
    """What a probe has found. matches: the best first; heard: each setting; diagnoses: the most probable first."""

    matches: tuple[Trial, ...]
    heard: tuple[Heard, ...]
    diagnoses: tuple[Diagnosis, ...]
    sent: Mapping[str, Sequence[bytes]]  # profile -> each different message that was written

    @property
    def equals(self) -> tuple[Trial, ...]:
        """Return those that fit as well as the best: nothing that was heard tells them apart."""
        first = self.matches[0] if self.matches else None
        return tuple(
            t
            for t in self.matches[1:]
            if first
            and t.candidate.driver is first.candidate.driver
            and t.named == first.named
            and first.score - t.score <= ALIKE
        )


class Probe:
    """One probe of one port. Call listen, then ask if it should, then findings.

    open_line: link settings -> a closed ProbeLine; clock: monotonic s; seconds: for each setting, and each question
    stop: ends it; report: called with how much of worst_case_s is done
    """

    def __init__(
        self,
        tried: Sequence[Candidate],
        open_line: Callable[[Mapping[str, Any]], ProbeLine],
        clock: Callable[[], float],
        seconds: float,
        stop: threading.Event | None = None,
        report: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._tried = tried
        self._open_line = open_line
        self._clock = clock
        self._seconds = seconds
        self._stop = stop or threading.Event()
        self.report = report
        self._done = 0.0
        self._trials: list[Trial] = []
        self._heard: dict[LineFormat, Heard] = {}
        self._plans: dict[tuple[str, str], Plan] = {}

    @property
    def formats(self) -> list[LineFormat]:
        """Return the formats to listen at, those of most profiles first."""
        formats = [candidate.format for candidate in self._tried]
        return sorted(dict.fromkeys(formats), key=lambda f: -formats.count(f))

    @property
    def questions(self) -> list[Candidate]:
        """Return who may ask, in order: where something was recognised or heard, then each on its usual line first."""
        score = {(t.candidate.profile.id, t.candidate.format): t.score for t in self._trials}
        heard = {h.format: h.count * (1 - h.damaged) for h in self._heard.values()}

        def order(c: Candidate) -> tuple[float, float, int]:
            return -score.get((c.profile.id, c.format), 0.0), -heard.get(c.format, 0.0), c.usual

        return sorted((c for c in self._tried if c.profile.transmit), key=order)

    def listen(self) -> bool:
        """Listen at each format until something settles it. Return whether something was recognised.

        Where characters come undamaged and nobody knows them, the profiles of all other formats listen, too: the device
        may be set to another speed than its profile says.
        """
        for format_ in self.formats:
            if self._hear(format_, [c for c in reversed(self._tried) if c.format == format_]):
                return True  # reversed: of two lines of one format, the more usual one is left
        if any(trial.score >= FOUND for trial in self._trials):
            return True
        for heard in [heard for heard in self._heard.values() if fits(heard)]:
            known = {c.profile.id for c in self._tried if c.format == heard.format}
            others = [_moved(c, heard.format) for c in self._tried if c.profile.id not in known]
            if self._hear(heard.format, others):
                return True
        return any(trial.score >= FOUND for trial in self._trials)

    def _hear(self, format_: LineFormat, group: Sequence[Candidate]) -> bool:
        """Listen at one format with one candidate of each profile. Return whether that settles it."""
        trials = [self._trial(c, asked=False) for c in {c.profile.id: c for c in group}.values()]
        if self._stop.is_set() or not trials:
            return False
        self._trials += trials
        with self._opened(format_._asdict()) as line:
            self._run(line, format_, trials, None)
        return any(trial.score >= SETTLED for trial in trials)

    def ask(self) -> None:
        """Let one candidate after the other speak; once one has an answer, only its siblings on that line."""
        found: Candidate | None = None
        for candidate in self.questions:
            if self._stop.is_set():
                return
            if found and (candidate.driver.name, candidate.line) != (found.driver.name, found.line):
                continue
            trial = self._trial(candidate, asked=True)
            self._trials.append(trial)
            with self._opened(candidate.line) as line:
                gate = registry.gate(candidate.driver, [DeviceSpec(0, candidate.profile)], {})
                self._run(line, candidate.format, [trial], gate)
            if trial.score >= FOUND:  # it answers: what is meant for others must not be said to it any more
                found = found or candidate

    def findings(self) -> Findings:
        """Return what was found so far."""
        best: dict[str, Trial] = {}
        for trial in self._trials:
            name = trial.candidate.profile.id
            if trial.score >= FOUND and (name not in best or trial.score > best[name].score):
                best[name] = trial
        top: dict[str, float] = {}
        for trial in best.values():
            driver = trial.candidate.driver.name
            top[driver] = max(trial.score, top.get(driver, 0.0))

        def order(t: Trial) -> tuple[float, str, bool, float, str]:  # one driver after the other
            driver = t.candidate.driver.name
            return -top[driver], driver, not t.named, -round(t.score, 2), t.candidate.profile.id

        matches = sorted(best.values(), key=order)
        sent: dict[str, list[bytes]] = {}
        for trial in self._trials:
            known = sent.setdefault(trial.candidate.profile.id, [])
            known += [data for data in dict.fromkeys(trial.sent) if data not in known]
        wirings = [c.profile.wiring for c in self._tried]
        crossed = all(wiring is not None and "null modem" in wiring.cable for wiring in wirings)
        heard = tuple(self._heard.values())
        diagnoses = tuple(diagnose(heard, bool(matches), crossed))
        return Findings(tuple(matches), heard, diagnoses, {name: data for name, data in sent.items() if data})

    # ---- one line

    def _trial(self, candidate: Candidate, asked: bool) -> Trial:
        return Trial(candidate, asked, self._plan)

    def _plan(self, profile: Profile, firmware: str) -> Plan:
        key = (profile.id, firmware)
        if key not in self._plans:
            self._plans[key] = Plan(profile, firmware, nomenclature())
        return self._plans[key].twin()

    @contextmanager
    def _opened(self, settings: Mapping[str, Any]) -> Iterator[ProbeLine]:
        line = self._open_line(settings)
        line.open()
        try:
            yield line
        finally:
            line.close()

    def _run(self, line: ProbeLine, format_: LineFormat, trials: Sequence[Trial], gate: Gate | None) -> None:
        """Have the trials hear the line for the time of one setting. gate: what the only trial may write."""
        heard = self._heard.setdefault(format_, Heard(format_))
        marks = Marks()
        begin = now = self._clock()
        for trial in trials:
            trial.protocol.start(now)
        while now - begin < self._allowed(trials) and not self._stop.is_set():
            self._round(line, heard, marks, trials, gate, READ_S)
            now = self._clock()
            self.report(self._done + min(now - begin, self._seconds))
            if gate is not None and trials[0].score >= PLAIN:
                break
        if gate is not None:
            self._part(line, heard, marks, trials[0], gate)
        heard.look(line.inputs())
        self._done += self._seconds
        self.report(self._done)

    def _allowed(self, trials: Sequence[Trial]) -> float:
        """Return how long the trials may take: longer while something may still become sure, or show a value."""
        best = max(trials, key=lambda trial: trial.score)
        done = best.score < PROMISING or (best.score >= SETTLED and best.usable)
        return self._seconds * (1 if done else LONGER)

    def _round(
        self, line: ProbeLine, heard: Heard, marks: Marks, trials: Sequence[Trial], gate: Gate | None, wait: float
    ) -> None:
        """Write what may be written, read once, and hand it to all."""
        now = self._clock()
        for trial in trials:
            data = trial.protocol.data_to_send(now)
            if gate is None:  # listening: what it would like to say is said to nobody
                continue
            self._write(line, heard, trial, data, gate)
            wake = trial.protocol.next_wake()
            wait = wait if wake is None else min(wait, max(0.0, wake - self._clock()))
        for t_ns, raw in line.read(wait):
            piece = marks.take(raw)
            echoed = heard.take(*piece)
            for trial in trials:
                trial.echoed += echoed
                trial.take(piece, t_ns)
        for trial in trials:  # a protocol may also say something because time has passed
            trial.drain()

    def _write(self, line: ProbeLine, heard: Heard, trial: Trial, data: bytes, gate: Gate) -> None:
        if not data:
            return
        if not gate.allows(data):  # a bug of a driver: it never gets out
            trial.refused_writes += 1
            return
        try:
            line.write(data)
        except LinkError:  # held back by flow control; when the port is gone, the next read says so
            heard.blocked += 1
            return
        trial.sent.append(data)
        heard.sent(data)

    def _part(self, line: ProbeLine, heard: Heard, marks: Marks, trial: Trial, gate: Gate) -> None:
        """Let the device go in order, as a running port does."""
        now = self._clock()
        end = now + PARTING_S
        trial.protocol.stop(now)
        self._write(line, heard, trial, trial.protocol.data_to_send(now), gate)
        while trial.protocol.next_wake() is not None and now < end:
            self._round(line, heard, marks, [trial], gate, READ_S)
            now = self._clock()
        self._round(line, heard, marks, [trial], gate, READ_S)  # the last answer, or the last echo


def _moved(candidate: Candidate, format_: LineFormat) -> Candidate:
    """Return the candidate on a line that its profile does not name."""
    return replace(candidate, line={**candidate.line, **format_._asdict()})


def worst_case_s(tried: Sequence[Candidate], seconds: float, asking: bool) -> float:
    """Return how long a probe takes at most, s, but for the partings."""
    asked = sum(1 for c in tried if c.profile.transmit) if asking else 0
    return seconds * (len({c.format for c in tried}) + asked)


def grammar(tried: Iterable[Candidate]) -> dict[str, tuple[str, ...]]:
    """Return all that asking may write: profile -> its patterns."""
    return {c.profile.id: c.profile.transmit for c in tried if c.profile.transmit}
