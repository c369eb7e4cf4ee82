"""The forward role: rings (reading end), spool and sink of a configuration, wired, in a thread of its own.

A reload changes it under way. Rings and devices that are new are added, what was removed is read to its end, streams of
devices whose routes changed are made anew, and a device that stands elsewhere does so from a boundary on (see
gateway.places). Spool and sink are never touched.
"""

from __future__ import annotations

import fnmatch
import logging
import math
import threading
import time
from collections.abc import Callable, Container, Iterable
from concurrent.futures import Future, wait
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from zoneinfo import ZoneInfo

from gateway.acquire import ring_path
from gateway.collect import ForwardPlan
from gateway.config import Config, Device
from gateway.config_security import PRODUCTION
from gateway.core.errors import DeliveryError
from gateway.core.hl7 import Encoder
from gateway.core.hl7_alert import AlertEncoder
from gateway.core.hl7_message import Sender
from gateway.core.hl7_wave import WaveEncoder
from gateway.core.plan import Plan
from gateway.core.ring_layout import PlanName
from gateway.delivery import ForwardLimits
from gateway.forward import Forwarder
from gateway.lane import Spot, Stream
from gateway.places import Places, identities, identity
from gateway.ring_file import RingFile
from gateway.ring_source import RingSource
from gateway.rounds import Rounds
from gateway.route import Router
from gateway.route_alerts import WATCHDOG_S, AlertRouter
from gateway.route_waves import WaveRouter
from gateway.security.seal import Seal, needed
from gateway.spool import RecoveryReport, Spool
from gateway.supervise import Worker

log = logging.getLogger("mdi")
TIME_SYNC = {  # 11073-10101, values of MDC_TIME_SYNC_PROTOCOL
    "NONE": "532224^MDC_TIME_SYNC_NONE^MDC",
    "NTPV4": "532226^MDC_TIME_SYNC_NTPV4^MDC",
}
VALUES, WAVES = frozenset({"numeric", "enumeration", "clock"}), frozenset({"waveform"})  # kinds of metric
ALERTS = frozenset({"alert"})
WAVE_ROWS = 20_000  # of one message: a second of eight waves at 500 Hz fits five times, and 1 MiB holds it
DRAIN_S = 5.0  # an orderly stop waits this long for the receiver's answers
PROFILES = 4  # profiles of the last reloads are kept for samples that wait with an older plan
LEFT_BEHIND_ROWS = 1024  # for a ring file that is none: it is made anew, empty
ROUND_S = 10.0  # within this the forwarder shows itself again: a sync of a sick disk takes seconds


class Forward:
    """The forwarder of a configuration, in a thread of its own."""

    def __init__(self, config: Config, hurry: threading.Event) -> None:
        gateway = config.gateway
        self._config = config
        self._stop, self._hurry = threading.Event(), hurry
        self._fault: BaseException | None = None
        self.rounds = Rounds()
        self._due = math.inf
        self._round_s = config.forward.commit_ms / 1000
        self._files = ExitStack()
        self._said = ""
        self._held: frozenset[str] = frozenset()  # devices of which nothing is sent, as it is carried out
        self._to_hold: frozenset[str] = frozenset()  # the same, as it was ordered
        rings = self._open(config, {}, self._files) + self._left_behind(config)
        self._places = Places(Path(gateway.run_dir) / "places.json")
        self._want(config, rings)
        self._profiles = [config.profiles]  # newest first; older ones for samples that wait with an older plan
        self._orders: SimpleQueue[tuple[Config, list[RingSource], Future[str]]] = SimpleQueue()
        self.spool = Spool.open(
            Path(gateway.state_dir) / "spool",
            gateway=gateway.name,
            segment_bytes=config.spool.segment_mib << 20,
            limit_bytes=config.spool.limit_mib << 20,
            compression=config.spool.compression,
            turn_over_s=config.spool.turn_over_h * 3600,
            seal=needed(Seal.read(), config.security.mode == PRODUCTION),
            clock=lambda: (time.monotonic_ns(), time.time_ns()),
        )
        _say_recovery(self.spool.report, bool(self.spool.sealed_with))
        base = f"mdi/v1/{gateway.site}/{gateway.unit}/{gateway.name}"
        self.sink = config.sink_kind.create(config.sink, base, config.tls_rules)
        self._base = base
        make = ForwardPlan(self._compile, self._streams)
        self.forwarder = Forwarder(rings, self._places.in_force, make, self.spool, self.sink, limits(config))
        self._thread = threading.Thread(target=self._run, name="forward")

    def _open(self, config: Config, known: Container[str], undo: ExitStack) -> list[RingSource]:
        found = []
        for port in config.ports:
            if port.settings.name not in known:
                file = RingFile(ring_path(config, port.settings.name), port.settings.ring_rows, "reader")
                undo.callback(file.close)
                found.append(RingSource(port.settings.name, file.reader()))
        return found

    def _left_behind(self, config: Config) -> list[RingSource]:
        """Return rings of ports that are not configured any more and still hold samples: they are read to their end."""
        ports = {port.settings.name for port in config.ports}
        found = []
        for path in sorted(ring_path(config, "").parent.glob("*.ring")):
            if path.stem not in ports and path.stem:
                file = RingFile(path, LEFT_BEHIND_ROWS, "reader")
                source = RingSource(path.stem, file.reader())
                if source.reader.waiting:
                    self._files.callback(file.close)
                    found.append(source)
                else:
                    file.close()
        return found

    def _compile(self, name: PlanName) -> Plan:
        plans = (profiles.plan(name.profile_id, name.firmware) for profiles in self._profiles)
        first = next(plans)
        return first if first.digest == name.digest else next((p for p in plans if p.digest == name.digest), first)

    def _streams(self, spot: Spot, plan: Plan, name: PlanName, note: Callable[[int], str]) -> list[Stream]:
        """Return what becomes of the samples of one device: values, waves, alerts."""
        config, topic, device = self._config, f"{self._base}/up", spot[1]
        said = (sender(config), self._places.in_force[spot])
        zone = ZoneInfo(config.gateway.timezone)

        def routed(carries: str) -> list[float | None]:
            held = device in self._held
            return [None if held else config.interval_s(carries, device, metric.ref_id) for metric in plan.metrics]

        watchdog_s = config.interval_s("alerts", device, "MDC_EVT_ALARM")
        periodic = [metric.kind == "numeric" and metric.category != "setting" for metric in plan.metrics]
        values, waves, alerts = Router(routed("values"), periodic), WaveRouter(routed("waves")), AlertRouter(watchdog_s)
        of_values = Encoder(plan, *said, zone, name.serial)
        of_waves = WaveEncoder(plan, *said, zone, note)
        of_alerts = AlertEncoder(plan, *said, zone, note, watchdog_s or WATCHDOG_S)
        most = config.forward.rows_per_message
        return [
            Stream(VALUES, values, of_values, f"{topic}/oru-r01", most),
            Stream(WAVES, waves, of_waves, f"{topic}/wave", WAVE_ROWS),
            Stream(ALERTS, alerts, of_alerts, f"{topic}/oru-r40", 1, keeps=True),
        ]

    def hold(self, devices: frozenset[str]) -> None:
        """Send nothing more of these devices that is not in the spool yet, from the next round on; of others again."""
        self._to_hold = devices

    def _take_holds(self) -> None:
        """In the forwarder's thread: what is held is left out by the routes, and counted there."""
        wanted = self._to_hold
        if changed := wanted ^ self._held:
            self._held = wanted
            self.forwarder.renew([spot for spot in self.forwarder.lanes if spot[1] in changed], limits(self._config))

    # ---- a reload

    def added(self, config: Config, undo: ExitStack) -> list[RingSource]:
        """Open the rings that are new in a configuration: all that can fail of taking it over. Raises: ConfigError."""
        return self._open(config, {ring.port for ring in self.forwarder.rings}, undo)

    def change(self, config: Config, rings: list[RingSource], undo: ExitStack) -> str:
        """Take a configuration over between two rounds; return what was changed, for a person. undo: ours when done.

        Raises: DeliveryError; then nothing was changed.
        """
        done: Future[str] = Future()
        self._orders.put((config, rings, done))
        while not done.done():
            if not self._thread.is_alive():
                raise DeliveryError("the forwarder has ended", hint="look at the log")
            wait((done,), timeout=self._round_s)
        said = done.result()
        self._files.push(undo.pop_all())
        return said

    def _take_orders(self) -> None:
        """In the forwarder's thread: the configurations that wait, one by one."""
        while not self._orders.empty():
            config, rings, done = self._orders.get()
            try:
                self._want(config, [*self.forwarder.rings, *rings])
            except OSError as fault:
                done.set_exception(DeliveryError(f"places cannot be written down: {fault}", hint="look at run_dir"))
                continue
            old, self._config = self._config, config
            self._profiles = [config.profiles, *self._profiles][:PROFILES]
            self._round_s = config.forward.commit_ms / 1000
            self.forwarder.extend(rings, self._places.in_force)
            routed = [spot for spot in self.forwarder.lanes if routing(old, spot[1]) != routing(config, spot[1])]
            self.forwarder.renew(routed, limits(config))
            parts = (("other routes", names_of(routed)), ("other place", names_of(self._places.coming)))
            done.set_result("; ".join(f"{what} for {', '.join(of)}" for what, of in parts if of) or "same routes")

    def _want(self, config: Config, rings: list[RingSource]) -> None:
        self._places.want(identities(config))
        self._boundary = {ring.port: ring.reader.published for ring in rings}

    def _take_places(self) -> None:
        """Let new places come into force as soon as all from before is stored."""
        if not self._places.coming or not self.forwarder.settle(self._places.coming, self._boundary, time.time_ns()):
            return
        try:
            arrived = self._places.arrive()
        except OSError as fault:
            if str(fault) != self._said:
                log.error("a new place is not in force: %s", fault)
                self._said = str(fault)
            return
        self.forwarder.renew(arrived, limits(self._config))
        log.info("another place from here on: %s", ", ".join(names_of(arrived)))

    def start(self) -> None:
        """Start the sink and the forwarder's thread. Raises: DeliveryError when the system grants no thread."""
        try:
            self.sink.start()
            self._thread.start()
        except RuntimeError as fault:
            raise DeliveryError(
                f"no thread: {fault}", hint="raise the limit of threads: TasksMax=, ulimit -u"
            ) from fault

    @property
    def workers(self) -> list[Worker]:
        """The threads, for the supervisor."""
        return [
            Worker("forwarder", lambda: self._due, lambda: self.forwarder.doing),
            Worker("connection", lambda: self.sink.due, self.sink.state),
        ]

    @property
    def fault(self) -> BaseException | None:
        """Why the forwarder has ended by itself, or None."""
        return self._fault

    def stop(self) -> None:
        """Spool what is in the rings, wait a bounded time for answers, join, close."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.sink.stop()
        self._files.close()
        self.spool.close()
        if self._fault is not None:
            raise self._fault

    def _run(self) -> None:
        try:
            pause = self._round_s
            while not self._stop.wait(pause):
                began = time.monotonic()
                self._take_holds()
                self._round()
                self._take_orders()
                self._take_places()
                pause = max(0.0, began + self._round_s - time.monotonic())  # from begin to begin: a long round is no
                # reason to let the next samples wait longer still
            self._due = math.inf  # the end has bounds of its own
            self.forwarder.flush(time.time_ns())
            end = time.monotonic() + DRAIN_S
            while self.forwarder.waiting and self.sink.state().startswith("connected") and time.monotonic() < end:
                if self._hurry.wait(self._round_s):
                    break
                self.forwarder.step(time.monotonic(), time.time_ns())
            self.forwarder.look()  # for the last status
        except BaseException as fault:
            self._fault = fault
            log.critical("forwarder stopped: %s", fault)

    def _round(self) -> None:
        now = time.monotonic()
        self._due = now + ROUND_S
        self.forwarder.step(now, time.time_ns())
        ended = time.monotonic()
        self.rounds.took(ended - now, ended)


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


def names_of(spots: Iterable[Spot]) -> list[str]:
    """Return the names of devices, for a person."""
    return sorted({device for _, device in spots})


def encoder(config: Config, device: Device, plan: Plan) -> Encoder:
    """Return the encoder of the values of one device, as the configuration says where it stands."""
    return Encoder(plan, sender(config), identity(device), ZoneInfo(config.gateway.timezone))


def limits(config: Config) -> ForwardLimits:
    """Return what [forward] says of answers."""
    f = config.forward
    return ForwardLimits(f.ack_timeout_s, f.keep_s, f.resend_max_s, f.give_up_after)


def routing(config: Config, device: str) -> tuple[object, ...]:
    """Return all that decides what goes out of a device's samples, and to whom."""
    routes = tuple(r for r in config.routes if any(fnmatch.fnmatchcase(device, d) for d in r.devices))
    return routes, config.receiver, config.forward.rows_per_message


def _say_recovery(report: RecoveryReport, sealed: bool) -> None:
    """Say what the spool found when it was opened; loud when something was damaged or lost."""
    bad = report.damaged or report.lost or report.cursor_slots_bad > 1
    said = f"spool: {report.waiting} messages waiting"
    if bad or report.cut_bytes:
        said += f", {report.cut_bytes} bytes of a torn write cut"
        said += f", {report.damaged} damaged places, {report.lost} messages lost"
    log.log(logging.ERROR if bad else logging.INFO, "%s", said)
    if report.changed:
        log.error("spool: somebody has changed it: segment %s", ", ".join(map(str, report.changed)))
    if not sealed:
        log.warning("spool: not encrypted: there is no key")
    elif report.plain:
        log.warning("spool: %d segments from before there was a key are not encrypted; sent first", report.plain)
