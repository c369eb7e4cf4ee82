"""A new configuration without an end: read and checked whole, refused whole, or taken over by difference.

    file ─► read, check, judge ─► what needs a restart? ─► open what is new ─► forwarder changes ─► ports change
                │                        │                     │
                └────────────────────────┴─────────────────────┴─► refused: one line, and nothing was touched

What can fail is done first. After that the forwarder goes first, so that it knows a device before its first sample
comes. Who this gateway is, where it keeps things and whom it sends to cannot change under way: spool and sink are never
touched by a reload.

It runs in a thread of its own, because reading profiles and parting from a device take seconds, and the supervisor has
to look on meanwhile.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import fields
from typing import Any

from gateway.acquire import Acquire
from gateway.config import Config
from gateway.core.errors import ConfigError, MdiError
from gateway.ring_file import RingFile
from gateway.security.audit import Audit, Event, silent
from gateway.service import Forward
from gateway.supervise import Worker
from gateway.words import WORDS, texts_of

log = logging.getLogger("mdi.reload")
WITHIN_S = 120.0  # reading, the judge (seconds on a small box), and a port that hangs in opening its line for 60 s
RELOADABLE = frozenset({"profiles"})  # of [gateway]
FIXED = ("mode", "etc_dir", "tls_min")  # of [security]: how strict this process is cannot become less under way


def needs_restart(old: Config, new: Config) -> list[str]:
    """Return the keys that differ and that only a new start can take over, as the file names them."""
    found = [f"[gateway] {key}" for key in _differing(old.gateway, new.gateway) if key not in RELOADABLE]
    found += [f"[security] {key}" for key in _differing(old.security, new.security) if key in FIXED]
    found += [f"[log] {key}" for key in _differing(old.log, new.log)]
    found += [f"[spool] {key}" for key in _differing(old.spool, new.spool)]
    if old.sink_kind.name != new.sink_kind.name:
        found.append("[sink] kind")
    else:
        found += [f"[sink] {key}" for key in _differing(old.sink, new.sink)]
    if old.tls_rules.name != new.tls_rules.name:
        found.append("san of the broker's conduit")
    rows = {port.settings.name: port.settings.ring_rows for port in old.ports}
    ports = (port.settings for port in new.ports)
    return found + [f"ring_rows of port {p.name}" for p in ports if rows.get(p.name, p.ring_rows) != p.ring_rows]


def _differing(old: Any, new: Any) -> Iterator[str]:
    return (f.name for f in fields(old) if getattr(old, f.name) != getattr(new, f.name))


def accepted(config: Config) -> dict[str, Any]:
    """Return the facts of Event.CONFIG_ACCEPTED."""
    mode, ports, devices = config.security.mode, len(config.ports), len(config.devices)
    return {"sha256": config.sha256, "mode": mode, "ports": ports, "devices": devices}


def names(config: Config) -> frozenset[str]:
    """Return the names of the devices of a configuration."""
    return frozenset(device.settings.name for device in config.devices)


class Reload:
    """The configuration in force, and how it is replaced.

    admits: names of the devices that may be opened, as last carried out; admit: what of a configuration may be
    fault: what broke in the middle of a change; the process must end, and a new start takes the configuration whole
    """

    def __init__(
        self,
        config: Config,
        read: Callable[[], Config],
        acquire: Acquire | None,
        forward: Forward | None,
        admit: Callable[[Config], Config] = lambda config: config,
        audit: Audit | None = None,
    ) -> None:
        self.config = config
        self.fault: BaseException | None = None
        self.said: dict[str, Any] = {"count": 0, "ok": True, "said": ""}
        self.worker = Worker("reload", lambda: self._due)
        self._read, self._acquire, self._forward, self._admit = read, acquire, forward, admit
        self.admits = names(admit(config))
        self.running = False
        self._audit = audit or silent()
        self._thread: threading.Thread | None = None
        self._due = math.inf

    def begin(self) -> None:
        """Begin a reload; `just_done` says when it has ended, also when it could not begin."""
        self._begin(self._run)

    def readmit(self) -> None:
        """Begin to open and close ports of the same configuration: other devices may be opened than before."""
        self._begin(self._readmit)

    def _begin(self, work: Callable[[], None]) -> None:
        self.running, self._due = True, time.monotonic() + WITHIN_S
        self._thread = threading.Thread(target=work, name="reload")
        try:
            self._thread.start()
        except RuntimeError as fault:
            self._thread = None
            self._say(False, f"no thread: {fault}")

    def just_done(self) -> bool:
        """Tell, once, that a reload has ended."""
        if not self.running or (self._thread and self._thread.is_alive()):
            return False
        self.running, self._thread, self._due = False, None, math.inf
        return True

    def end(self) -> None:
        """Wait for a reload under way. Raises: what broke in one."""
        if self._thread is not None:
            self._thread.join()
        if self.fault is not None:
            raise self.fault

    def _run(self) -> None:
        try:
            new, admitted, rings, said = self._prepare()
        except MdiError as fault:
            self._audit.write(Event.CONFIG_REFUSED, error=type(fault).__name__, where=fault.where)
            self._say(False, str(fault))
            return
        except Exception as fault:  # a bug, before anything was changed: no reason to end what runs
            log.exception("bug in a reload")
            self._say(False, f"stopped by a bug ({fault}); see the log, please report")
            return
        try:
            said += [self._acquire.change(admitted, rings)] if self._acquire else []
        except BaseException as fault:  # half done, which must not stay: the next start takes the whole file
            self.fault = fault
            log.critical("reload broke: %s; the process ends, and its next start takes the new configuration", fault)
            return
        self.config, self.admits = new, names(admitted)
        WORDS.learn(texts_of(tomllib.loads(new.text)))
        self._audit.write(Event.CONFIG_ACCEPTED, **accepted(new))
        self._say(True, "; ".join(said))

    def _readmit(self) -> None:
        acquire = self._acquire
        if acquire is None:
            return
        try:
            admitted = self._admit(self.config)
            with ExitStack() as undo:
                rings = acquire.added(admitted, undo)
                undo.pop_all()
        except MdiError as fault:  # the next look tries again
            log.error("ports cannot be opened: %s", fault)
            return
        try:
            log.info("what may be opened has changed: %s", acquire.change(admitted, rings))
        except BaseException as fault:
            self.fault = fault
            log.critical("ports cannot be changed: %s; the process ends, and its next start opens what may be", fault)
            return
        self.admits = names(admitted)

    def _prepare(self) -> tuple[Config, Config, dict[str, RingFile], list[str]]:
        """Read, check, open what is new, and let the forwarder change. Raises: MdiError; then nothing was changed.

        Returns the configuration, what of it may be opened, new rings, and what was changed so far.
        """
        with ExitStack() as undo:
            new = self._read()
            if keys := needs_restart(self.config, new):
                hint = "take these back, or restart the gateway"
                raise ConfigError(f"cannot be changed without a restart: {', '.join(keys)}", str(new.path), hint)
            admitted = self._admit(new)
            rings = self._acquire.added(admitted, undo) if self._acquire else {}
            said = []
            if self._forward:
                with ExitStack() as reading:
                    said.append(self._forward.change(new, self._forward.added(new, reading), reading))
            undo.pop_all()
            return new, admitted, rings, said

    def _say(self, ok: bool, said: str) -> None:
        log.log(*((logging.INFO, "reloaded: %s") if ok else (logging.ERROR, "not reloaded, all goes on: %s")), said)
        self._audit.write(Event.RELOAD, ok=ok, sha256=self.config.sha256)
        self.said = {"count": self.said["count"] + 1, "ok": ok, "said": said}
