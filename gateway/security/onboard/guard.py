"""The standing at run time: judged anew each second, so that what people write takes effect without a restart.

    each second: what devices say they are ─► observed.json
                 has a file changed, or a minute passed? ─► standing ─► who may be open, who is barred, what to say

Looking costs one stat per file; only what changed is read. The process with the ports writes what it sees; the process
with the network reads it, and judges for itself.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.config import Config
from gateway.config_security import LAB
from gateway.core.frame import Identified
from gateway.core.protocol import DeviceSpec
from gateway.security.audit import Audit, Event, silent
from gateway.security.onboard import approval, journal, record
from gateway.security.onboard.canonical import digest
from gateway.security.onboard.journal import moment
from gateway.security.onboard.life import State
from gateway.security.onboard.observed import (
    Activated,
    Observed,
    read_activated,
    read_observed,
    write_activated,
    write_observed,
)
from gateway.security.onboard.standing import Standing, read_trust, standing
from gateway.security.trust.people import Trust

log = logging.getLogger("mdi.onboard")
GRACE_S = 60.0  # the list of people and its signature are two files, copied one after the other: so long the last good
# list holds. Longer would keep a revoked person; shorter would stop devices because somebody copies slowly.
FOLDERS = (record.FOLDER, record.RISKS, "trust", approval.FOLDER)
EVENTS = {
    State.SUSPENDED: Event.DEVICE_SUSPENDED,
    State.REVOKED: Event.DEVICE_REVOKED,
    State.DRIFTED: Event.DEVICE_DRIFTED,
}
SHORT = 16  # hex digits of a hash, for a log line


def admitted(config: Config, standings: Mapping[str, Standing]) -> Config:
    """Return the configuration with the devices that may be opened, and the ports that have one.

    Numbers of devices (SAMPLE.source) stay; their places on the line are those of the devices that are left.
    """
    ports = []
    for port in config.ports:
        left = [device for device in port.devices if standings[device.settings.name].may_open]
        if len(left) == len(port.devices):
            ports.append(port)
        elif left:
            devices = [
                replace(device, spec=DeviceSpec(place, device.spec.profile, device.spec.options))
                for place, device in enumerate(left)
            ]
            ports.append(replace(port, devices=tuple(devices)))
    return replace(config, ports=tuple(ports))


class Guard:
    """Judges for one process. writes: whether it is the one with the ports; now: UTC, aware."""

    def __init__(
        self,
        config: Config,
        writes: bool,
        audit: Audit | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.standings: dict[str, Standing] = {}
        self._writes, self._audit, self._now = writes, audit or silent(), now
        self._seen: dict[str, Observed] = {}
        self._key: tuple[object, ...] = ()
        self._trust: Trust | None = None
        self._trusted: datetime | None = None
        self._said = ""
        self.look(config, {})

    def admits(self, config: Config) -> Config:
        """Return what of a configuration may be opened now. Of any thread: nothing is written or said."""
        now = self._now()
        return admitted(config, standing(config, self._people(config, now), now))

    def refused(self, name: str) -> None:
        """Write down that something unknown was plugged in."""
        self._audit.write(Event.DEVICE_REFUSED, name, rule="not-configured")

    @property
    def open(self) -> frozenset[str]:
        """The devices that may be opened."""
        return frozenset(name for name, one in self.standings.items() if one.may_open)

    @property
    def barred(self) -> dict[str, str]:
        """device -> why nothing of it is taken."""
        return {name: f"{one.state}: {first(one)}" for name, one in self.standings.items() if not one.may_open}

    def look(self, config: Config, identities: Mapping[str, Identified]) -> None:
        """Judge anew if anything changed. identities: device -> what it has said that it is."""
        now = self._now()
        self._observe(config, identities, now)
        key = (config, now.replace(second=0, microsecond=0), stamp(config))
        if key == self._key and not (self._trust is None and self._key):
            return
        trust = self._people(config, now)
        found = standing(config, trust, now)
        if self._writes and self._activate(config, found, now):
            found = standing(config, trust, now)
        self._key = (config, key[1], stamp(config))
        self._tell(config, found)
        self.standings = found

    def status(self) -> list[dict[str, Any]]:
        """Return the standings, for mdi status and the page."""
        return [
            {
                "device": one.device,
                "asset": one.asset,
                "state": str(one.state),
                "may_open": one.may_open,
                "flagged": one.flagged,
                "reasons": list(one.reasons),
                "rev": one.rev,
            }
            for one in self.standings.values()
        ]

    # ---- what is written

    def _observe(self, config: Config, identities: Mapping[str, Identified], now: datetime) -> None:
        """Write down what devices say they are, when that changes."""
        if not self._writes or not identities:
            return
        state_dir = Path(config.gateway.state_dir)
        known = self._seen or read_observed(state_dir)
        found = dict(known)
        for name, said in identities.items():
            one = Observed.of(said, moment(now))
            looked = self.standings[name].looked if name in self.standings else ""
            if not one.same(known.get(name)) or known[name].t <= looked:
                found[name] = one
        if found != known:
            self._tried("observed.json", lambda: write_observed(state_dir, found))
        self._seen = found

    def _activate(self, config: Config, found: Mapping[str, Standing], now: datetime) -> bool:
        """Write down which approvals are in force from now on. Return whether there are new ones."""
        state_dir = Path(config.gateway.state_dir)
        known = read_activated(state_dir)
        new = {
            one.asset: Activated(one.rev, one.sha256, moment(now))
            for one in found.values()
            if one.state is State.APPROVED and one.may_open
        }
        if not new:
            return False
        for asset, one in new.items():
            self._audit.write(Event.APPROVAL_VERIFIED, asset, rev=one.rev, sha256=one.sha256)
        return self._tried("activated.json", lambda: write_activated(state_dir, known | new))

    def _tried(self, what: str, write: Callable[[], None]) -> bool:
        try:
            write()
        except OSError as fault:  # a full disk must not end what reads devices
            self._say(f"{what} cannot be written: {fault.strerror}")
            return False
        return True

    # ---- what is read and said

    def _people(self, config: Config, now: datetime) -> Trust | None:
        """Return who may sign. What cannot be read for a moment is bridged by the last good list."""
        trust, fault = read_trust(config, now)
        if trust is not None:
            self._trust, self._trusted = trust, now
            return trust
        if self._trust and self._trusted and 0 <= (now - self._trusted).total_seconds() < GRACE_S:
            self._say(f"who may sign cannot be read, the last good list holds for {GRACE_S:.0f} s: {fault}")
            return replace(self._trust, now=now)
        self._trust = None
        if config.security.mode != LAB:
            self._say(f"who may sign cannot be read, so nothing is approved: {fault}")
        return None

    def _tell(self, config: Config, found: Mapping[str, Standing]) -> None:
        """Say what has changed, in the log and in the audit log."""
        for name, one in found.items():
            was = self.standings.get(name)
            if was and (was.state, was.may_open, was.rules) == (one.state, one.may_open, one.rules):
                continue
            bad = not one.may_open or one.flagged
            level = logging.WARNING if bad else logging.INFO
            what = "may be opened" if one.may_open else "is not opened"
            lab = "LAB: " if config.security.mode == LAB and bad else ""
            log.log(level, "%s%s is %s and %s%s", lab, name, one.state, what, f": {first(one)}" if bad else "")
            self._write(one, was)

    def _write(self, one: Standing, was: Standing | None) -> None:
        """One entry in the audit log for one change."""
        rule = one.rules[0] if one.rules else "none"
        if one.state is State.DRIFTED:
            action = "flag" if one.may_open else "hold"
            self._audit.write(Event.DEVICE_DRIFTED, one.device, what=rule, action=action)
        elif was and was.state is State.SUSPENDED and one.may_open:
            self._audit.write(Event.DEVICE_RESUMED, one.device, state=str(one.state), was=str(was.state))
        elif one.state in EVENTS:
            self._audit.write(EVENTS[one.state], one.device, state=str(one.state), rule=rule, rev=one.rev)
        elif not one.may_open:
            self._audit.write(Event.DEVICE_REFUSED, one.device, state=str(one.state), rule=rule)
        else:
            before = str(was.state) if was else "none"
            self._audit.write(Event.DEVICE_STATE, one.device, state=str(one.state), was=before, rev=one.rev)

    def _say(self, what: str) -> None:
        if what != self._said:
            log.error("%s", what)
            self._said = what


def first(one: Standing) -> str:
    """Return the reason that comes first."""
    return one.reasons[0] if one.reasons else "not approved"


def stamp(config: Config) -> str:
    """Return a digest of what can be seen of all files that the standing depends on, without reading them."""
    etc_dir, state_dir = Path(config.security.etc_dir), Path(config.gateway.state_dir)
    found: list[list[Any]] = []
    for folder in (*(etc_dir / name for name in FOLDERS), state_dir / journal.FOLDER):
        _stat(folder, found)
    return digest(found)


def _stat(folder: Path, found: list[list[Any]], depth: int = 2) -> None:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as fault:
        found.append([str(folder), str(fault.errno)])
        return
    for entry in entries:
        try:
            seen = entry.stat()
        except OSError:
            continue
        found.append([entry.path, str(seen.st_ino), str(seen.st_size), str(seen.st_mtime_ns), str(seen.st_ctime_ns)])
        if depth > 1 and entry.is_dir():
            _stat(Path(entry.path), found, depth - 1)
