"""Wires the rooms: one process with the ports, one with the network, or both in one.

    acquire   ports: links, protocols, rings (writing end)        has device ports, no network but its devices
    forward   rings (reading end), spool, sink                    has the network, no ports
    run       both

The roles meet in the ring files only, so the same code serves one process and two. Every thread is joined at the end.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from gateway.config import Config, Device
from gateway.config import Port as PortConfig
from gateway.core.hl7 import Encoder
from gateway.core.hl7_alert import AlertEncoder
from gateway.core.hl7_message import DeviceIdentity, Sender
from gateway.core.hl7_wave import WaveEncoder
from gateway.core.plan import Plan
from gateway.core.ring import RingWriter
from gateway.core.ring_layout import PlanName
from gateway.core.transmit import Gate
from gateway.delivery import ForwardLimits
from gateway.forward import Forwarder, ForwardPlan
from gateway.grade import Grade
from gateway.lane import Lane, Stream
from gateway.links.base import Link
from gateway.port import Clocks, Port, PortDevice, guarded
from gateway.ring_file import RingFile
from gateway.ring_source import RingSource
from gateway.route import Router
from gateway.route_alerts import WATCHDOG_S, AlertRouter
from gateway.route_waves import WaveRouter
from gateway.spool import RecoveryReport, Spool
from gateway.status import forward_status, port_status, write_status

log = logging.getLogger("mdi")
STEP_NS = 250_000_000  # a jump of the wall clock beyond this is an event (design, guarantees: clocks)
TIME_SYNC = {  # 11073-10101, values of MDC_TIME_SYNC_PROTOCOL
    "NONE": "532224^MDC_TIME_SYNC_NONE^MDC",
    "NTPV4": "532226^MDC_TIME_SYNC_NTPV4^MDC",
}
VALUES, WAVES = frozenset({"numeric", "enumeration", "clock"}), frozenset({"waveform"})  # kinds of metric
ALERTS = frozenset({"alert"})
WAVE_ROWS = 20_000  # of one message: a second of eight waves at 500 Hz fits five times, and 1 MiB holds it
DRAIN_S = 5.0  # an orderly stop waits this long for the receiver's answers
CLOCKS = Clocks(time.monotonic, time.time_ns)


def ring_path(config: Config, port: str) -> Path:
    """Return where the ring of a port lives."""
    return Path(config.gateway.run_dir) / "rings" / f"{port}.ring"


def make_link(port: PortConfig) -> Link:
    """Return the link of a port, not yet open."""
    link: Link = port.link_kind.create(port.link, CLOCKS.utc_ns)
    return link


def make_port(config: Config, port: PortConfig, link: Link, ring: RingWriter) -> Port:
    """Return a port, ready to run."""
    devices = [
        PortDevice(d.number, d.settings.name, d.settings.profile, d.settings.firmware, config.plan(d))
        for d in port.devices
    ]
    gate = Gate(pattern for d in port.devices for pattern in d.spec.profile.transmit)
    protocol = port.driver.protocol([d.spec for d in port.devices], port.settings.options)
    return Port(port.settings.name, link, protocol, devices, ring, config.profiles.plan, gate, CLOCKS)


class Acquire:
    """The ports of a configuration."""

    def __init__(self, config: Config) -> None:
        self._stop = threading.Event()
        self._rings: list[RingFile] = []
        self.ports: list[Port] = []
        for port in config.ports:
            ring = RingFile(ring_path(config, port.settings.name), port.settings.ring_rows, "writer")
            self._rings.append(ring)
            self.ports.append(make_port(config, port, make_link(port), ring.writer()))
        self._threads = [
            threading.Thread(target=guarded, args=(port, self._stop), name=f"port-{port.name}") for port in self.ports
        ]

    def start(self) -> None:
        """Start one thread per port."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Part from the devices, join the threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for ring in self._rings:
            ring.close()


class Forward:
    """The forwarder of a configuration, in a thread of its own."""

    def __init__(self, config: Config) -> None:
        gateway = config.gateway
        self._config = config
        self._stop = threading.Event()
        self._fault: BaseException | None = None
        self._round_s = config.forward.commit_ms / 1000
        self._files = [
            RingFile(ring_path(config, p.settings.name), p.settings.ring_rows, "reader") for p in config.ports
        ]
        rings = [RingSource(p.settings.name, file.reader()) for p, file in zip(config.ports, self._files, strict=True)]
        self.spool = Spool.open(
            Path(gateway.state_dir) / "spool",
            gateway=gateway.name,
            segment_bytes=config.spool.segment_mib << 20,
            limit_bytes=config.spool.limit_mib << 20,
            clock=lambda: (time.monotonic_ns(), time.time_ns()),
        )
        _say_recovery(self.spool.report)
        base = f"mdi/v1/{gateway.site}/{gateway.unit}/{gateway.name}"
        self.sink = config.sink_kind.create(config.sink, base)
        lanes = {d.settings.name: Lane(d.settings.name) for d in config.devices}
        self._base = base
        limits = ForwardLimits(config.forward.ack_timeout_s, config.forward.keep_s)
        make = ForwardPlan(self._compile, self._streams)
        self.forwarder = Forwarder(rings, lanes, make, self.spool, self.sink, limits)
        self._thread = threading.Thread(target=self._run, name="forward")

    def _compile(self, name: PlanName) -> Plan:
        return self._config.profiles.plan(name.profile_id, name.firmware)

    def _streams(self, device: str, plan: Plan, name: PlanName, note: Callable[[int], str]) -> list[Stream]:
        """Return what becomes of the samples of one device: values, waves, alerts."""
        config, topic = self._config, f"{self._base}/up"
        placed = next(d for d in config.devices if d.settings.name == device)
        said = sender(config), identity(placed)
        zone = ZoneInfo(config.gateway.timezone)

        def routed(carries: str) -> list[float | None]:
            return [config.interval_s(carries, device, metric.ref_id) for metric in plan.metrics]

        watchdog_s = config.interval_s("alerts", device, "MDC_EVT_ALARM")
        periodic = [metric.kind == "numeric" and metric.category != "setting" for metric in plan.metrics]
        values, waves, alerts = Router(routed("values"), periodic), WaveRouter(routed("waves")), AlertRouter(watchdog_s)
        of_values = encoder(config, placed, plan, name.serial)
        of_waves = WaveEncoder(plan, *said, zone, note)
        of_alerts = AlertEncoder(plan, *said, zone, note, watchdog_s or WATCHDOG_S)
        most = config.forward.rows_per_message
        return [
            Stream(VALUES, values, of_values, f"{topic}/oru-r01", most),
            Stream(WAVES, waves, of_waves, f"{topic}/wave", WAVE_ROWS),
            Stream(ALERTS, alerts, of_alerts, f"{topic}/oru-r40", 1, keeps=True),
        ]

    def start(self) -> None:
        """Start the sink and the forwarder's thread."""
        self.sink.start()
        self._thread.start()

    @property
    def fault(self) -> BaseException | None:
        """Why the forwarder has ended by itself, or None."""
        return self._fault

    def stop(self) -> None:
        """Spool what is in the rings, wait a bounded time for answers, join, close."""
        self._stop.set()
        self._thread.join()
        self.sink.stop()
        for file in self._files:
            file.close()
        self.spool.close()
        if self._fault is not None:
            raise self._fault

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._round_s):
                self.forwarder.step(time.monotonic(), time.time_ns())
            self.forwarder.flush(time.time_ns())
            end = time.monotonic() + DRAIN_S
            pause = threading.Event()
            while self.forwarder.waiting and self.sink.state().startswith("connected") and time.monotonic() < end:
                self.forwarder.step(time.monotonic(), time.time_ns())
                pause.wait(self._round_s)
        except BaseException as fault:
            self._fault = fault
            log.critical("forwarder stopped: %s", fault)


def sender(config: Config) -> Sender:
    """Return the sending side of MSH and OBR."""
    return Sender(
        application="MDIGW",
        eui64=config.gateway.eui64,
        facility=config.gateway.facility,
        receiving_application=config.receiver.application,
        receiving_facility=config.receiver.facility,
        processing_id=config.gateway.processing_id,
        time_sync=TIME_SYNC[config.gateway.time_sync],
    )


def identity(device: Device) -> DeviceIdentity:
    """Return who a device is and where it stands, as messages say it."""
    place = device.location
    return DeviceIdentity(
        device.settings.name, device.settings.eui64, place.unit, place.room, place.bed, place.facility
    )


def encoder(config: Config, device: Device, plan: Plan, serial: str = "") -> Encoder:
    """Return the encoder of the values of one device."""
    return Encoder(plan, sender(config), identity(device), ZoneInfo(config.gateway.timezone), serial)


def _say_recovery(report: RecoveryReport) -> None:
    """Say what the spool found when it was opened; loud when something was damaged or lost."""
    bad = report.damaged or report.lost or report.cursor_slots_bad > 1
    said = f"spool: {report.waiting} messages waiting"
    if bad or report.cut_bytes:
        said += f", {report.cut_bytes} bytes of a torn write cut"
        said += f", {report.damaged} damaged places, {report.lost} messages lost"
    log.log(logging.ERROR if bad else logging.INFO, "%s", said)


class ClockWatch:
    """Compares wall clock and monotonic clock once a second: a jump is an event, never a rewrite."""

    def __init__(self) -> None:
        self.steps = 0
        self._base = time.time_ns() - time.monotonic_ns()

    def look(self) -> None:
        """Count and say a jump since the last look."""
        base = time.time_ns() - time.monotonic_ns()
        if abs(base - self._base) > STEP_NS:
            self.steps += 1
            log.warning(
                "clock stepped by %+.3f s; times before and after are as the clock showed them",
                (base - self._base) / 1e9,
            )
        self._base = base


def serve(config: Config, roles: tuple[str, ...], stop: threading.Event) -> None:
    """Run the roles until `stop`; write the status each second. Raises what ended the forwarder."""
    forward = Forward(config) if "forward" in roles else None
    acquire = Acquire(config) if "acquire" in roles else None
    watch = ClockWatch()
    with ExitStack() as running:
        if forward:
            running.callback(forward.stop)
            forward.start()
        if acquire:
            running.callback(acquire.stop)  # stops first: what it publishes last is still forwarded
            acquire.start()
        log.info("%s started: %d ports", " and ".join(roles), len(config.ports))
        if forward:
            say_grade(config.grade)
        while not stop.wait(1.0) and not (forward and forward.fault):
            watch.look()
            publish_status(config, acquire, forward, watch)
    publish_status(config, acquire, forward, watch)


def say_grade(grade: Grade) -> None:
    """Say what is promised; anything less than the whole promise is a warning."""
    log.log(logging.INFO if grade.letter == "A" else logging.WARNING, "%s", grade)


def publish_status(config: Config, acquire: Acquire | None, forward: Forward | None, watch: ClockWatch) -> None:
    """Write the status file of each role to the run directory."""
    head: dict[str, Any] = {"pid": os.getpid(), "t_ns": time.time_ns(), "clock_steps": watch.steps}
    try:
        if acquire:
            ports = [port_status(p, time.monotonic()) for p in acquire.ports]
            write_status(config, "acquire", {**head, "ports": ports})
        if forward:
            head["grade"] = asdict(config.grade)
            write_status(config, "forward", {**head, **forward_status(forward.forwarder)})
    except OSError as fault:  # a full /run must not end what reads devices; mdi status then says "not alive"
        log.warning("status cannot be written: %s", fault)
