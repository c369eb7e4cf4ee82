"""A candidate for what is on a line: a profile on one of its line settings, and how well it fits what was heard.

What counts is what a port would make of the line: good frames, rows of the plan that they give, and how little the
checksums of the protocol let through (Driver.undetected_flips). A format without checksum never scores high on a few
frames, and nothing scores on a line whose characters come damaged. Nothing here knows a driver.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway import registry
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.frame import Fault, Frame, Identified, NeedData
from gateway.core.plan import Plan
from gateway.core.profile import Profile
from gateway.core.protocol import DeviceSpec, Driver
from gateway.core.sample import IS_USABLE, Flag
from gateway.core.settings import did_you_mean
from gateway.doctor import LineFormat
from gateway.probe_line import Piece

FOUND = 0.25  # a score from here on is a match
SETTLED = 0.5  # so good that other settings, and other drivers, are not tried any more
DAMAGE_WEIGHT = 5.0  # a fifth of all characters damaged: whatever was read was read by chance
MUCH = 2.0  # good frames, each less what its checksum lets through, that make half of all certainty
REFUSED = 0.5  # of the score is left when the firmware is outside of the profile's range
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
    """One candidate on the line: what its protocol and its plan make of the bytes.

    asked: it may speak; compile_plan: profile, firmware -> Plan of its own; called when there is a frame to read, which
    for most candidates is never
    """

    candidate: Candidate
    asked: bool
    compile_plan: Callable[[Profile, str], Plan]
    good: int = 0
    bad: int = 0
    rows: int = 0
    usable: int = 0
    characters: int = 0
    damaged: int = 0  # of these
    echoed: int = 0  # of these, at least: they were our own
    refused_writes: int = 0
    refusal: str = ""
    identity: Identified | None = None
    sent: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.protocol = self.candidate.driver.protocol([DeviceSpec(0, self.candidate.profile)], {})
        self._plans: list[Plan] = []  # the last is in use; the firmware may be told late

    @property
    def unmapped(self) -> int:
        """Return how many values came that the profile does not name."""
        return sum(plan.unmapped.total() for plan in self._plans)

    @property
    def protection(self) -> float:
        """Return which share of damage the protocol would see."""
        return 1 - self.candidate.driver.undetected_flips

    @property
    def score(self) -> float:
        """Return 0 to 1: how well the line fits. Good frames alone, without one row of the profile, give little."""
        if not self.good or self.echo_only:
            return 0.0
        damage = self.damaged / self.characters if self.characters else 0.0
        pure = self.good / (self.good + self.bad) * max(0.0, 1 - DAMAGE_WEIGHT * damage)
        weight = self.good * self.protection
        mapped = self.rows / (self.rows + self.unmapped) if self.rows else 0.0
        score = pure * weight / (weight + MUCH) * (0.2 + 0.6 * mapped + 0.2 * bool(self.usable))
        return score * (REFUSED if self.refusal else 1.0)

    @property
    def echo_only(self) -> bool:
        """Tell whether all that came may be what was sent: some requests look like frames of the device."""
        return self.echoed > 0 and self.characters <= sum(map(len, self.sent))

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

    def take(self, piece: Piece, t_ns: int) -> None:
        """Take what came."""
        self.characters += len(piece.good) + len(piece.bad)
        self.damaged += len(piece.bad)
        self.protocol.receive_data(piece.data, t_ns)
        self.drain()

    def drain(self) -> None:
        """Count what the protocol says."""
        while not isinstance(event := self.protocol.next_event(), NeedData):
            if isinstance(event, Frame):
                if not self._plans:
                    self._plans.append(self.compile_plan(self.candidate.profile, ""))
                block = self._plans[-1].decode(event, 0)
                wave = bool(len(block)) and bool(block["flags"][0] & Flag.WAVEFORM)
                self.rows += 1 if wave else len(block)  # a wave is one fact, however many samples it has
                usable = int(IS_USABLE[block["validity"]].sum())
                self.usable += bool(usable) if wave else usable
            elif isinstance(event, Identified):
                self._identify(event)
            elif isinstance(event, Fault):
                self.bad += event.bad_frame
        self.good = self.protocol.frames_ok

    def _identify(self, event: Identified) -> None:
        """Join what the device says of itself in several messages."""
        before = self.identity or Identified("", "", "")
        names = ("vendor", "model", "firmware", "serial")
        self.identity = Identified(*(getattr(event, name) or getattr(before, name) for name in names))
        if event.firmware and event.firmware != before.firmware:
            try:
                self._plans.append(self.compile_plan(self.candidate.profile, event.firmware))
            except ProfileError as fault:
                self.refusal = fault.what
