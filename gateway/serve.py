"""Runs the roles: one process with the ports, one with the network, or both in one.

    acquire   ports: links, protocols, rings (writing end)        has device ports, no network but its devices
    forward   rings (reading end), spool, sink                    has the network, no ports
    run       both

The roles meet in the ring files only, so the same code serves one process and two. The main thread does no work of its
own: once a second it looks after the threads, tells systemd, writes the status, and lets a reload begin. Every thread
is joined at the end.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import tomllib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.acquire import Acquire
from gateway.clock import SystemClock
from gateway.config import Config
from gateway.door import Door
from gateway.grade import Grade
from gateway.notify import Notify
from gateway.reload import Reload
from gateway.security.audit import Audit, silent
from gateway.security.audit.publish import Publisher
from gateway.security.certs.expiry import CertificateWatch
from gateway.security.onboard.guard import Guard, admitted
from gateway.service import Forward
from gateway.status import forward_status, headline, port_status, write_status
from gateway.supervise import LOOK_S, Supervisor
from gateway.watch import Watch
from gateway.words import WORDS, presentable, texts_of

log = logging.getLogger("mdi")


@dataclass(frozen=True, slots=True)
class Orders:
    """What the outside wants of a running gateway; signal handlers set these.

    stop: the orderly end; hurry: do not wait for the receiver's answers; reload: read the configuration again
    """

    stop: threading.Event = field(default_factory=threading.Event)
    hurry: threading.Event = field(default_factory=threading.Event)
    reload: threading.Event = field(default_factory=threading.Event)


def serve(
    config: Config, roles: tuple[str, ...], orders: Orders, read: Callable[[], Config], audit: Audit | None = None
) -> None:
    """Run the roles until told to stop; once a second supervise, write the status, take a reload.

    read: returns the configuration as the file is now, checked whole. Raises: what ended the forwarder or a reload.
    """
    audit = audit or silent()
    now = time.monotonic()
    WORDS.learn(texts_of(tomllib.loads(config.text)))
    with ExitStack() as running:
        notify = Notify(os.environ, os.getpid())
        running.callback(notify.close)
        guard = Guard(config, "acquire" in roles, audit)
        forward = Forward(config, orders.hurry) if "forward" in roles else None
        if forward:
            running.callback(forward.stop)
            forward.hold(frozenset(guard.barred))
            forward.start()
        opened = admitted(config, guard.standings)
        acquire = Acquire(opened) if "acquire" in roles else None
        if acquire:
            running.callback(acquire.stop)  # stops first: what it publishes last is still forwarded
            acquire.start()
        log.info("%s started: %d ports", " and ".join(roles), len(opened.ports))
        if forward:
            say_grade(config.grade)
        watch = Watch(audit)
        if forward:
            watch.recovery(forward.spool.report)
        reload = Reload(config, read, acquire, forward, guard.admits, audit)
        door = Door(guard, reload, acquire, forward)
        service = _Service(acquire, forward, notify, Supervisor(notify, now), reload, door, watch)
        running.callback(service.end)  # first of all
        service.publish()  # whoever asks now finds a gateway
        while not orders.stop.wait(LOOK_S) and not service.fault:
            service.look(orders)
    service.publish()


def say_grade(grade: Grade) -> None:
    """Say what is promised; anything less than the whole promise is a warning."""
    log.log(logging.INFO if grade.letter == "A" else logging.WARNING, "%s", grade)


class _Service:
    """What the main thread of a running gateway does once a second."""

    def __init__(
        self,
        acquire: Acquire | None,
        forward: Forward | None,
        notify: Notify,
        supervisor: Supervisor,
        reload: Reload,
        door: Door,
        watch: Watch,
    ) -> None:
        self._door = door
        self._acquire, self._forward, self._notify = acquire, forward, notify
        self._supervisor, self._reload, self._clock = supervisor, reload, SystemClock()
        self._watch = watch
        post = forward.sink.post if forward else lambda _name, _payload: None
        self._publisher = Publisher(Path(reload.config.gateway.state_dir) / "audit", post)
        self._ready = False
        self._certificates = CertificateWatch(watch.audit)

    @property
    def fault(self) -> bool:
        """Something ended that nothing can go on without."""
        return self._reload.fault is not None or (self._forward is not None and self._forward.fault is not None)

    def look(self, orders: Orders) -> None:
        """Look after the threads, take a reload, tell everybody how it stands."""
        self._watch.clock(self._clock.report())
        workers = [self._reload.worker]
        if self._acquire:
            self._acquire.keep_running()
            workers += self._acquire.workers
            self._watch.ports(self._acquire.ports)
        if self._forward:
            workers += self._forward.workers
            self._watch.forwarder(self._forward.forwarder)
            self._publisher.look()
        self._door.look()
        if not self._ready and (self._forward is None or self._forward.rounds.done):
            self._ready = True
            self._notify.ready()
        self._supervisor.look(workers, time.monotonic())
        if self._ready and orders.reload.is_set() and not self._reload.running:
            orders.reload.clear()
            self._notify.reloading()
            self._reload.begin()
        if self._reload.just_done():
            self._notify.ready()
        self._notify.status(headline(*self.publish(), self._supervisor.stuck))

    def publish(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Write the status file of each role to the run directory; return what they say, {} of a role not run here."""
        config, acquire, forward = self._reload.config, {}, {}
        head: dict[str, Any] = {"pid": os.getpid(), "t_ns": time.time_ns(), "mono_ns": time.monotonic_ns()}
        head["clock"] = {"source": config.gateway.time_sync, **self._clock.status()}
        head |= {"stuck": list(self._supervisor.stuck), "standstills": self._supervisor.standstills}
        head |= {"reload": self._reload.said, "mode": config.security.mode}
        head |= {"onboard": self._door.status(), "audit": self._watch.audit.status()}
        try:
            if self._acquire:
                acquire = {**head, "ports": [port_status(p, time.monotonic()) for p in self._acquire.ports]}
                acquire = presentable(acquire, WORDS)  # also the line that systemd shows is made of it
                write_status(config, "acquire", acquire)
            if self._forward:
                forward = {**head, "grade": asdict(config.grade), **forward_status(self._forward.forwarder)}
                rounds = self._forward.rounds
                forward["rounds"] = {"late": rounds.late, "longest_s": round(rounds.longest_s, 3)}
                forward = presentable(forward, WORDS)
                forward["certificates"] = self._certificates.look(config, datetime.now(UTC), time.monotonic())
                forward["tls"] = self._forward.sink.protection()
                write_status(config, "forward", forward)
        except OSError as fault:  # a full /run must not end what reads devices; mdi status then says "not alive"
            log.warning("status cannot be written: %s", fault)
        return acquire, forward

    def end(self) -> None:
        """The orderly end begins. Raises: what made it necessary."""
        self._notify.stopping()
        self._reload.end()
