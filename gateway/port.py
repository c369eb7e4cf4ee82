"""A port: one line to one or more devices. One thread, which owns link, protocol and the writing end of the ring.

    link.read ─► protocol.receive_data ─► events ─► plan ─► ring.publish
    link.write ◄─ protocol.data_to_send

The thread sleeps in link.read only, at most one second and never past the protocol's next wish. A failure of the line
or a device closes the link, is said once, and is tried again with growing pauses; other ports never notice.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.clock import SystemClock
from gateway.core.clock import NOTHING_SAID, Kernel, StepNotes
from gateway.core.errors import InternalError, LinkError, MdiError, ProfileError
from gateway.core.frame import Fault, Frame, Identified, NeedData
from gateway.core.plan import CLOCK_END_NS, Plan
from gateway.core.protocol import DeviceProtocol
from gateway.core.ring import RingWriter
from gateway.core.ring_layout import PlanName
from gateway.core.sample import Block
from gateway.core.transmit import Gate
from gateway.links.base import Link, LinkEnded

log = logging.getLogger("mdi.port")

READ_S = 1.0  # longest wait in link.read: every blocking call ends within a second (architecture, Threads)
PAUSES_S = (0.5, 1.0, 2.0, 5.0)  # between tries to open a line; a replugged cable works again within 5 s
SAY_AGAIN_S = 60.0
PARTING_S = 3.0  # how long a device may take to answer the release (IntelliVue: 3 s)
STALL_S = 3.0  # a round reads 1 s and writes 1 s at most; a line's buffer (4 KiB) fills in 0.4 s at 115,200 baud
ROUND_S = 10.0  # within this the thread shows itself again: a read is 1 s, parting 3 s, the longest pause 5 s
OPEN_S = 60.0  # opening may ask a name server: 30 s with three that are silent (resolv.conf(5)), then 3 s to connect


@dataclass(slots=True)
class PortDevice:
    """One device of the line, as the port follows it."""

    number: int
    name: str
    profile_id: str
    firmware: str
    plan: Plan
    ring_plan: int = 0
    ring_device: int = 0
    identity: Identified | None = None
    refused: str = ""
    barred: str = ""  # why nothing of it is taken now; written by whoever judges that, read here
    samples: int = 0
    last_data_ns: int = 0
    offset_s: float | None = None  # of its own clock against ours, as last told; None: never told
    offset_at: float = 0.0  # monotonic s of that
    step_ns: int = 0  # our clock was set by so much since its last block


@dataclass(slots=True)
class PortCounters:
    """Counted by the port's thread only; anybody may read."""

    frames_ok: int = 0
    frames_bad: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    opened: int = 0
    link_errors: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    samples: int = 0
    refused_frames: int = 0
    refused_writes: int = 0


@dataclass(frozen=True, slots=True)
class Clocks:
    """monotonic: s; utc_ns: ns since 1970; kernel: how that is kept. Handed in, so that tests own the time."""

    monotonic: Callable[[], float]
    utc_ns: Callable[[], int]
    kernel: Callable[[], Kernel] = Kernel


class Port:
    """See the module text. `run` is the body of its thread."""

    def __init__(
        self,
        name: str,
        link: Link,
        protocol: DeviceProtocol,
        devices: Sequence[PortDevice],
        ring: RingWriter,
        compile_plan: Callable[[str, str], Plan],
        gate: Gate,
        clocks: Clocks,
    ) -> None:
        self.name = name
        self.link = link
        self.protocol = protocol
        self.devices = devices
        self.ring = ring
        self.counters = PortCounters()
        self.state = "starting"
        self.progress = 0.0  # monotonic time of the last round
        self.due = math.inf  # monotonic time of the next sign of life: the supervisor watches it
        self._gate = gate
        self._compile = compile_plan
        self._clocks = clocks
        self._state = NOTHING_SAID
        self._clock = SystemClock(lambda: round(clocks.monotonic() * 1e9), clocks.utc_ns, clocks.kernel)
        self._steps = StepNotes(ring)
        self._said: dict[str, float] = {}
        self._told = False  # trouble was said, and not yet that it is over
        for device in devices:
            self._register(device)

    # ---- the thread

    def run(self, stop: threading.Event) -> None:
        """Serve the line until `stop` is set."""
        tries = 0
        while not stop.is_set():
            self.alive(OPEN_S)
            try:
                self.link.open()
                self.alive(ROUND_S)
                self.counters.opened += 1
                self.state = "open"
                self.protocol.start(self._clocks.monotonic())
                while not stop.is_set():
                    if self._round():
                        tries = 0
                self._part()
            except LinkEnded as end:
                self.link.close()
                self._say(str(end), "end")
                self.alive(math.inf)
                stop.wait()
            except LinkError as fault:
                self.counters.link_errors += 1
                self._say(str(fault), str(fault))
                self.link.close()
                self.alive(ROUND_S)
                stop.wait(PAUSES_S[min(tries, len(PAUSES_S) - 1)])
                tries += 1
        self.link.close()
        self.state = "stopped"

    def alive(self, within_s: float) -> None:
        """Show a sign of life, and promise the next one within so many seconds."""
        self.progress = self._clocks.monotonic()
        self.due = self.progress + within_s

    def _round(self) -> bool:
        """Read once, publish, answer. Return whether bytes came."""
        before = self.progress
        self.alive(ROUND_S)
        now = self.progress
        if now - before > STALL_S:  # the process was stopped, or the box too slow: the line's buffer may have run over
            self.ring.gap = True
        self._write(now)
        wake = self.protocol.next_wake()
        wait = READ_S if wake is None else min(READ_S, max(0.0, wake - self._clocks.monotonic()))
        packets = self.link.read(wait)
        self._take(packets)
        return bool(packets)

    def _take(self, packets: list[tuple[int, bytes]]) -> None:
        """Decode and publish what came.

        The clock is looked at before: what was stamped after a step is never published as from before it.
        """
        self._look()
        blocks: list[tuple[PortDevice, Block]] = []
        for t_ns, data in packets:
            self.counters.bytes_in += len(data)
            self.protocol.receive_data(data, t_ns)
            self._events(blocks)
        self._events(blocks)  # a protocol may also say something because time has passed
        if blocks:
            self._publish(blocks)
            self._recovered()

    def _look(self) -> None:
        """Look at the wall clock. A step is told with the next block of each device."""
        self._state = self._clock.look()
        if self._state.step_ns:
            for device in self.devices:
                device.step_ns += self._state.step_ns

    def _write(self, now: float) -> None:
        data = self.protocol.data_to_send(now)
        if not data:
            return
        if not self._gate.allows(data):  # a bug of a driver, or a profile without a grammar: it never gets out
            self.counters.refused_writes += 1
            self._say("bytes that the profile's [transmit] does not allow were not sent", "transmit")
            return
        self.counters.bytes_out += len(data)
        self.link.write(data)

    def _part(self) -> None:
        """Let the device go in order: write the release and read until the protocol has nothing more to do."""
        now = self._clocks.monotonic()
        end = now + PARTING_S
        self.protocol.stop(now)
        while now < end:
            self._write(now)
            wake = self.protocol.next_wake()
            if wake is None:
                return
            self._take(self.link.read(min(0.2, max(0.0, wake - now))))  # the last values come with the answer
            now = self._clocks.monotonic()

    # ---- events

    def _events(self, blocks: list[tuple[PortDevice, Block]]) -> None:
        while not isinstance(event := self.protocol.next_event(), NeedData):
            if isinstance(event, Frame):
                self._frame(event, blocks)
            elif isinstance(event, Identified):
                self._publish(blocks)  # what came before was decoded with the plan before
                self._identified(self.devices[event.source], event)
            else:
                self._fault(event)
        self.counters.frames_ok = self.protocol.frames_ok

    def _frame(self, frame: Frame, blocks: list[tuple[PortDevice, Block]]) -> None:
        device = self.devices[frame.source]
        if device.refused or device.barred:
            self.counters.refused_frames += 1
            return
        if frame.device_ns is not None and 0 <= frame.device_ns < CLOCK_END_NS:
            device.offset_s = (frame.device_ns - frame.t_ns) / 1e9
            device.offset_at = self._clocks.monotonic()
        block = device.plan.decode(frame, device.number)
        if len(block):
            device.last_data_ns = frame.t_ns
            blocks.append((device, block))

    def _publish(self, blocks: list[tuple[PortDevice, Block]]) -> None:
        """Publish, neighbours of one device as one block: blocks, never single rows."""
        start = 0
        for i in range(1, len(blocks) + 1):
            if i < len(blocks) and blocks[i][0] is blocks[start][0]:
                continue
            device, run = blocks[start][0], [block for _, block in blocks[start:i]]
            rows = run[0] if len(run) == 1 else np.concatenate(run)
            limit = self.ring.slots // 4  # a block must always leave room for its neighbours
            for at in range(0, len(rows), limit):
                clock = self._steps.word(self._state._replace(step_ns=device.step_ns))
                if self.ring.publish(rows[at : at + limit], device.ring_plan, device.ring_device, clock):
                    device.step_ns = 0
            device.samples += len(rows)
            self.counters.samples += len(rows)
            start = i
        blocks.clear()

    def _identified(self, device: PortDevice, identity: Identified) -> None:
        """The device has said what it is: use the plan of its firmware, or refuse it by name."""
        device.identity = identity
        if identity.firmware and identity.firmware != device.firmware:
            try:
                device.plan = self._compile(device.profile_id, identity.firmware)
            except ProfileError as fault:
                device.refused = f"{device.name}: {fault}"
                self._say(device.refused, device.refused)
                return
            device.firmware = identity.firmware
        device.refused = ""
        self._register(device)
        log.info("port %s: %s is firmware %s", self.name, device.name, identity.firmware or "not said")

    def _register(self, device: PortDevice) -> None:
        device.plan.notes = self.ring
        serial = device.identity.serial[:32] if device.identity else ""
        name = PlanName(device.plan.digest, device.profile_id, device.firmware, serial)
        try:
            device.ring_plan = self.ring.add_plan(name)
            device.ring_device = self.ring.add_device(device.name)
        except InternalError as fault:
            device.refused = f"{device.name}: {fault}"
            self._say(device.refused, device.refused)

    def _fault(self, fault: Fault) -> None:
        self.counters.faults[fault.reason] += 1
        if fault.bad_frame:
            self.counters.frames_bad[fault.reason] += 1
        else:
            device = self.devices[fault.source].name
            self._say(f"{device}: {fault.reason}", f"{device} {fault.reason}")  # its detail may be bytes: `mdi probe`

    # ---- for people: a state that lasts is said when it begins, once a minute, and when it ends

    def _say(self, what: str, kind: str) -> None:
        self.state = what
        now = self._clocks.monotonic()
        if now - self._said.get(kind, -SAY_AGAIN_S) >= SAY_AGAIN_S:
            log.warning("port %s: %s", self.name, what)
            self._said[kind] = now
            self._told = True

    def _recovered(self) -> None:
        refused = next((device.refused for device in self.devices if device.refused), "")
        if self.state not in ("receiving", refused):
            if self._told:  # what was not said need not be taken back
                log.info("port %s: receiving", self.name)
                self._told = False
            self.state = refused or "receiving"


def guarded(port: Port, stop: threading.Event) -> None:
    """Body of a port's thread under supervision: a bug of ours ends this port with its trace, never the others."""
    while not stop.is_set():
        try:
            port.run(stop)
        except MdiError as fault:
            port.state = str(fault)
            log.error("port %s: %s", port.name, fault)
        except Exception:
            port.state = "stopped by a bug; see the log, please report"
            log.exception("port %s: bug", port.name)
        port.alive(ROUND_S)
        stop.wait(PAUSES_S[-1])
    port.due = math.inf
