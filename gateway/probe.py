"""Finding out what is on a serial port: candidates from the registry, one protocol after the other, read-only.

    1  listen   once for each line format that a profile names. What is heard goes to a fresh protocol of every profile
                of that format; nothing is written, whatever a protocol would like to send.
    2  ask      only when nothing was recognised, and only with a person's consent: one profile at a time speaks, each
                write through the transmit gate of that profile, and parts as a running port does.

What counts is what a port would make of the line: good frames, rows of the plan that they give, and how little the
checksums of the protocol let through (Driver.undetected_flips). Formats without checksum never score high, and profiles
of one family often fit alike: all that match are named, in order, with how sure that is. Nothing here knows a driver.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway import registry
from gateway.core.errors import ConfigError, LinkError, ProfileError
from gateway.core.frame import Fault, Frame, Identified, NeedData
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import Profile
from gateway.core.protocol import DeviceSpec, Driver
from gateway.core.sample import IS_USABLE, Flag
from gateway.core.settings import did_you_mean
from gateway.core.transmit import Gate
from gateway.doctor import Diagnosis, Heard, LineFormat, diagnose
from gateway.probe_line import Marks, Piece, ProbeLine

READ_S = 0.2  # longest wait for bytes: a person who ends the probe waits no longer
PARTING_S = 3.0  # how long a device may take to answer the release, as on a running port (gateway.port)
FOUND = 0.25  # a score from here on is a match
SETTLED = 0.5  # so good that other settings, and other drivers, are not tried any more
PLAIN = 0.8  # so good that asking on tells nothing new
PROMISING, LONGER = 0.05, 3  # something was recognised, too little to be sure: so many times as long
DAMAGE_WEIGHT = 5.0  # a fifth of all characters damaged: whatever was read was read by chance
MUCH = 2.0  # good frames, each less what its checksum lets through, that make half of all certainty
REFUSED = 0.5  # of the score is left when the firmware is outside of the profile's range
ALIKE = 0.05  # scores that differ by less do so by chance
SURE = 0.99  # of all damage a protocol must see, for its frames to prove that it is spoken


@dataclass(frozen=True, slots=True)
class Candidate:
    """A profile on one of its lines. line: settings of the serial link; usual: the place of the line in the profile."""

    profile: Profile
    driver: Driver
    line: Mapping[str, Any]
    usual: int

    @property
    def format(self) -> LineFormat:
        """Return what a listener must set."""
        return LineFormat(*(self.line.get(name, default) for name, default in LineFormat._field_defaults.items()))


def candidates(profiles: Iterable[Profile], driver: str = "", experimental: bool = False) -> list[Candidate]:
    """Return every serial line of the profiles. driver: this one only. Raises: ConfigError when there is none."""
    found = [
        Candidate(profile, registry.driver(profile.driver), _settings(line), usual)
        for profile in profiles
        if driver in ("", profile.driver) and (experimental or not profile.experimental)
        for usual, line in enumerate(profile.wiring.lines if profile.wiring else ())
        if line["kind"] == "serial"
    ]
    if driver and driver not in (names := registry.names("driver")):
        raise ConfigError(f"there is no driver {driver!r}", hint=did_you_mean(driver, names))
    if not found:
        raise ConfigError("no profile to try names a serial line", hint="add it to its [wiring], or try --experimental")
    return found


def _settings(line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key != "kind"}


@dataclass
class Trial:
    """One candidate on the line: what its protocol and its plan make of the bytes. asked: it may speak."""

    candidate: Candidate
    asked: bool
    plan: Plan
    good: int = 0
    bad: int = 0
    rows: int = 0
    usable: int = 0
    characters: int = 0
    damaged: int = 0  # of these
    refused_writes: int = 0
    refusal: str = ""
    identity: Identified | None = None
    sent: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.protocol = self.candidate.driver.protocol([DeviceSpec(0, self.candidate.profile)], {})

    @property
    def unmapped(self) -> int:
        """Return how many values came that the profile does not name."""
        return self.plan.unmapped.total()

    @property
    def protection(self) -> float:
        """Return which share of damage the protocol would see."""
        return 1 - self.candidate.driver.undetected_flips

    @property
    def score(self) -> float:
        """Return 0 to 1: how well the line fits. Good frames alone, without one row of the profile, give little."""
        if not self.good:
            return 0.0
        damage = self.damaged / self.characters if self.characters else 0.0
        pure = self.good / (self.good + self.bad) * max(0.0, 1 - DAMAGE_WEIGHT * damage)
        weight = self.good * self.protection
        mapped = self.rows / (self.rows + self.unmapped) if self.rows else 0.0
        score = pure * weight / (weight + MUCH) * (0.2 + 0.6 * mapped + 0.2 * bool(self.usable))
        return score * (REFUSED if self.refusal else 1.0)

    @property
    def named(self) -> bool:
        """Tell whether the device calls itself as the profile does; True when it does not say."""
        said, model = (
            re.sub(r"[^0-9a-z]", "", text.lower())
            for text in (self.identity.model if self.identity else "", self.candidate.profile.model)
        )
        return not said or said in model or model in said

    @property
    def confidence(self) -> str:
        """Return how sure it is that this protocol is spoken; which model speaks it, only the device can say."""
        if self.score < SETTLED:
            return "possible"
        return "sure" if self.protection >= SURE else "likely"

    def take(self, piece: Piece, t_ns: int, compile_plan: Callable[[Profile, str], Plan]) -> None:
        """Take what came."""
        self.characters += len(piece.good) + len(piece.bad)
        self.damaged += len(piece.bad)
        self.protocol.receive_data(piece.data, t_ns)
        self.drain(compile_plan)

    def drain(self, compile_plan: Callable[[Profile, str], Plan]) -> None:
        """Count what the protocol says."""
        while not isinstance(event := self.protocol.next_event(), NeedData):
            if isinstance(event, Frame):
                block = self.plan.decode(event, 0)
                wave = bool(len(block)) and bool(block["flags"][0] & Flag.WAVEFORM)
                self.rows += 1 if wave else len(block)  # a wave is one fact, however many samples it has
                self.usable += int(IS_USABLE[block["validity"]].sum())
            elif isinstance(event, Identified):
                self._identify(event, compile_plan)
            elif isinstance(event, Fault):
                self.bad += event.bad_frame
        self.good = self.protocol.frames_ok

    def _identify(self, event: Identified, compile_plan: Callable[[Profile, str], Plan]) -> None:
        """Join what the device says of itself in several messages."""
        before = self.identity or Identified("", "", "")
        names = ("vendor", "model", "firmware", "serial")
        self.identity = Identified(*(getattr(event, name) or getattr(before, name) for name in names))
        if event.firmware and event.firmware != before.firmware:
            unmapped = self.plan.unmapped
            try:
                self.plan = compile_plan(self.candidate.profile, event.firmware)
            except ProfileError as fault:
                self.refusal = fault.what
            self.plan.unmapped = unmapped


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
    stop: ends it; report: called with what is done, s, and what is going on
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
        self._report = report
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
        """Listen at each format until something settles it. Return whether something was recognised."""
        for format_ in self.formats:
            group = {c.profile.id: c for c in reversed(self._tried) if c.format == format_}  # its most usual line
            trials = [self._trial(candidate, asked=False) for candidate in group.values()]
            self._trials += trials
            with self._opened({**format_._asdict()}) as line:
                self._run(line, format_, trials, None)
            if self._stop.is_set() or any(trial.score >= SETTLED for trial in trials):
                break
        return any(trial.score >= FOUND for trial in self._trials)

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
                self._run(line, candidate.format, [trial], Gate(candidate.profile.transmit))
            if trial.score >= SETTLED:
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
        return Trial(candidate, asked, self._plan(candidate.profile, ""))

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
            self._report(self._done + min(now - begin, self._seconds))
            if gate is not None and trials[0].score >= PLAIN:
                break
        if gate is not None:
            self._part(line, heard, marks, trials[0], gate)
        heard.look(line.inputs())
        self._done += self._seconds
        self._report(self._done)

    def _allowed(self, trials: Sequence[Trial]) -> float:
        """Return how long the trials may take: longer while something may still become sure."""
        best = max(trial.score for trial in trials)
        return self._seconds * (LONGER if PROMISING <= best < SETTLED else 1)

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
            heard.take(*piece)
            for trial in trials:
                trial.take(piece, t_ns, self._plan)
        for trial in trials:  # a protocol may also say something because time has passed
            trial.drain(self._plan)

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


def worst_case_s(tried: Sequence[Candidate], seconds: float, asking: bool) -> float:
    """Return how long a probe takes at most, s, but for the partings."""
    asked = sum(1 for c in tried if c.profile.transmit) if asking else 0
    return seconds * (len({c.format for c in tried}) + asked)


def grammar(tried: Iterable[Candidate]) -> dict[str, tuple[str, ...]]:
    """Return all that asking may write: profile -> its patterns."""
    return {c.profile.id: c.profile.transmit for c in tried if c.profile.transmit}
