"""The ports of a configuration at work: one thread each, which a reload can change one by one.

Each port has its link, its protocol, its end of the ring, its thread and its own stop. A port whose configuration did
not change is not touched by anything that happens to the others.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from gateway import registry
from gateway.clock import kernel_clock
from gateway.config import Config
from gateway.config import Port as PortConfig
from gateway.core.ring import RingWriter
from gateway.links.base import Link
from gateway.links.guarded import Guarded
from gateway.port import Clocks, Port, PortDevice, guarded
from gateway.ring_file import RingFile
from gateway.supervise import Worker

log = logging.getLogger("mdi")
CLOCKS = Clocks(time.monotonic, time.time_ns, kernel_clock)


def ring_path(config: Config, port: str) -> Path:
    """Return where the ring of a port lives."""
    return Path(config.gateway.run_dir) / "rings" / f"{port}.ring"


def make_link(config: Config, port: PortConfig) -> Link:
    """Return the link of a port, not yet open; one that could disturb its line is looked at whenever it is opened."""
    kind, settings = port.link_kind, port.link
    link: Link = kind.create(settings, CLOCKS.utc_ns)
    harm = kind.harm
    return link if harm is None else Guarded(link, lambda: harm(settings), kind.describe(settings), config.lab)


def make_port(config: Config, port: PortConfig, link: Link, ring: RingWriter) -> Port:
    """Return a port, ready to run."""
    devices = [
        PortDevice(d.number, d.settings.name, d.settings.profile, d.settings.firmware, config.plan(d))
        for d in port.devices
    ]
    specs = [d.spec for d in port.devices]
    gate = registry.gate(port.driver, specs, port.settings.options)
    protocol = port.driver.protocol(specs, port.settings.options)
    return Port(port.settings.name, link, protocol, devices, ring, config.profiles.plan, gate, CLOCKS)


def same_port(a: PortConfig, b: PortConfig) -> bool:
    """Tell whether two configurations make the same port. Where its devices stand is the forwarder's affair."""
    return (a.settings, a.driver, a.link_kind, a.link) == (b.settings, b.driver, b.link_kind, b.link) and [
        (d.settings.name, d.settings.firmware, d.spec) for d in a.devices
    ] == [(d.settings.name, d.settings.firmware, d.spec) for d in b.devices]


@dataclass(slots=True)
class _Running:
    """A port with what it runs on."""

    config: PortConfig
    ring: RingFile
    port: Port
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


class Acquire:
    """The ports of a configuration."""

    def __init__(self, config: Config) -> None:
        self._running: dict[str, _Running] = {}
        self._ended: list[Port] = []
        self._said = ""
        with ExitStack() as undo:
            rings = self._open(config, (port.settings.name for port in config.ports), undo)
            for port in config.ports:
                self._make(config, port, rings[port.settings.name])
            undo.pop_all()

    @property
    def ports(self) -> list[Port]:
        """All ports, in the order in which they came; after the end those that there were, for the last status."""
        return [running.port for running in list(self._running.values())] or self._ended

    @property
    def workers(self) -> list[Worker]:
        """The threads, for the supervisor."""
        return [Worker(f"port {port.name}", lambda port=port: port.due) for port in self.ports]  # type: ignore[misc]

    def start(self) -> None:
        """Start one thread per port."""
        self.keep_running()

    def keep_running(self) -> None:
        """Start the thread of each port that has none: at the start, or as soon as the system grants one."""
        for running in list(self._running.values()):
            if running.stop.is_set() or (running.thread and running.thread.is_alive()):
                continue
            name = running.port.name
            running.thread = threading.Thread(target=guarded, args=(running.port, running.stop), name=f"port-{name}")
            try:
                running.thread.start()
            except RuntimeError as fault:  # the limit of threads: the others go on, and this one is tried again
                running.thread, running.port.state = None, f"no thread: {fault}"
                self._say_once(f"port {name}: {fault}; tried again each second")

    def stop(self) -> None:
        """Part from the devices, join the threads."""
        self._ended = self.ports
        self._end(list(self._running))

    def bar(self, reasons: Mapping[str, str]) -> None:
        """Take nothing more of these devices (name -> why), at once; of all others again."""
        for port in self.ports:
            for device in port.devices:
                device.barred = reasons.get(device.name, "")

    # ---- a reload

    def added(self, config: Config, undo: ExitStack) -> dict[str, RingFile]:
        """Open the rings of ports that are new in a configuration: all that can fail of taking it over.

        undo: closes them again. Raises: ConfigError.
        """
        return self._open(config, (p.settings.name for p in config.ports if p.settings.name not in self._running), undo)

    def change(self, config: Config, added: dict[str, RingFile]) -> str:
        """Take a configuration over by difference, and return what was changed, for a person.

        A port that is the same goes on untouched. One that changed is ended in order and made anew on its ring.
        """
        wanted = {port.settings.name: port for port in config.ports}
        gone = [name for name in self._running if name not in wanted]
        changed = [n for n, r in self._running.items() if n in wanted and not same_port(r.config, wanted[n])]
        rings = added | {name: self._running[name].ring for name in changed}
        self._end([*gone, *changed], keep=changed)
        for name in [*changed, *added]:
            self._make(config, wanted[name], rings[name])
        self.keep_running()
        parts = (("added", list(added)), ("changed", changed), ("removed", gone))
        return "; ".join(f"{what} {', '.join(names)}" for what, names in parts if names) or "no port changed"

    # ---- one port

    def _open(self, config: Config, names: Iterable[str], undo: ExitStack) -> dict[str, RingFile]:
        rows = {port.settings.name: port.settings.ring_rows for port in config.ports}
        rings = {}
        for name in names:
            rings[name] = RingFile(ring_path(config, name), rows[name], "writer")
            undo.callback(rings[name].close)
        return rings

    def _make(self, config: Config, port: PortConfig, ring: RingFile) -> None:
        made = make_port(config, port, make_link(config, port), ring.writer())
        self._running[port.settings.name] = _Running(port, ring, made)

    def _end(self, names: list[str], keep: Iterable[str] = ()) -> None:
        """End ports in order, all at the same time. keep: whose rings stay open."""
        for name in names:
            self._running[name].stop.set()
        for name in names:
            running = self._running[name]
            if running.thread:
                running.thread.join()
            if name not in keep:
                running.ring.close()
                del self._running[name]

    def _say_once(self, what: str) -> None:
        if what != self._said:
            log.error("%s", what)
            self._said = what
