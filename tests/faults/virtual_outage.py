"""A long outage in a short time: `python -m tests.faults.virtual_outage fill|drain FOLDER SECONDS`, its own process.

The forwarder, router, encoder, rings and spool are the gateway's own, wired by gateway.service; only three things are
not: the ports (this module publishes their blocks), the receiver (it answers at once, or is away), and the clock: each
second of the design load is written as soon as the one before is on the disk, and every time in it is a second later.

    fill    the design load of so many seconds while the receiver is away; the orderly end
    drain   a new process: recovery, then everything out while the design load goes on, a round taking 100 ms at least

One JSON line says what was measured. The receiver checks every value: of each device n = 1, 2, 3 … without a hole.
"""

from __future__ import annotations

import json
import math
import re
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil

from gateway import service
from gateway.acquire import ring_path
from gateway.config import Config, read_config
from gateway.core.message import Message, Outcome, Verdict
from gateway.core.ring import RingWriter
from gateway.core.ring_layout import PlanName
from gateway.core.sample import SAMPLE
from gateway.ring_file import RingFile
from gateway.sinks.base import ReleasedBy, SinkKind
from tests.faults.parts_config import CONFIG, eui64_of

DEVICES, PER_SECOND = 10, 20  # the design load: 10 devices, each once a second 20 values of one moment, one message
RING_ROWS = 4096
WINDOW = 64  # messages under way
ROUND_S = 0.1  # [forward] commit_ms of the sample configuration
DEVICE_STEP = 10**12  # value = device * DEVICE_STEP + n, exact in a double and within the range of the profile
WARM_S = 60  # virtual: caches are full, the first segment is there
BEGIN_NS = 1_800_000_000 * 10**9  # January 2027
PORT = """
[[port]]
name = "{name}-line"
driver = "philips_intellivue"
ring_rows = {ring_rows}
link = {{ kind = "serial", device = "/dev/ttyS{number}", baud = 115200 }}
[[port.device]]
name = "{name}"
profile = "philips/intellivue_mp"
eui64 = "{eui64}"
location = {{ unit = "ITA", room = "Stue 1", bed = "Seng {number}", facility = "AUH" }}
"""
VALUE = re.compile(rb"^OBX\|\d+\|NM\|[^|]*\|[^|]*\|([0-9.]+)\|", re.MULTILINE)


@dataclass
class Receiver:
    """A sink that answers at once when it is there, and checks what comes."""

    away: bool = True
    counters: SimpleNamespace = field(default_factory=SimpleNamespace)
    due: float = math.inf
    next_n: list[int] = field(default_factory=lambda: [1] * DEVICES)
    messages: int = 0
    wrong: list[str] = field(default_factory=list)
    said: list[Outcome] = field(default_factory=list)

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def forget(self, control_id: str) -> None: ...
    def expiry_s(self, topic: str) -> float:
        return 0.0

    def session(self) -> int:
        return 1

    def state(self) -> str:
        return "away" if self.away else "connected to the simulated receiver"

    def room(self) -> int:
        return 0 if self.away else WINDOW - len(self.said)

    def send(self, message: Message) -> None:
        """Check that each value is the next one of its device; accept."""
        self.messages += 1
        found = sorted(int(float(text)) for text in VALUE.findall(message.payload.replace(b"\r", b"\n")))
        device = found[0] // DEVICE_STEP
        first = device * DEVICE_STEP + self.next_n[device]
        if found != list(range(first, first + len(found))) and len(self.wrong) < 10:
            self.wrong.append(f"{found[0]} to {found[-1]}, {len(found)} values, instead of {first} and those behind it")
        self.next_n[device] += len(found)
        self.said.append(Outcome(message.control_id, Verdict.ACCEPT))

    def outcomes(self) -> list[Outcome]:
        said, self.said = self.said, []
        return said


class Bedside:
    """The ports: publish one second of the design load."""

    def __init__(self, config: Config, first_n: int) -> None:
        self.n = first_n
        self._rings = [RingFile(ring_path(config, p.settings.name), RING_ROWS, "writer") for p in config.ports]
        self._writers = [ring.writer() for ring in self._rings]
        self._named = [self._name(config, w, i) for i, w in enumerate(self._writers)]
        metrics = config.plan(config.devices[0]).metrics
        self._metrics = [m.index for m in metrics if m.kind == "numeric"][:PER_SECOND]

    @staticmethod
    def _name(config: Config, writer: RingWriter, number: int) -> tuple[int, int]:
        device = config.devices[number]
        plan = config.plan(device)
        name = PlanName(plan.digest, plan.profile_id, device.settings.firmware, "")
        return writer.add_plan(name), writer.add_device(device.settings.name)

    def second(self, utc_ns: int) -> None:
        """Publish a block of each device."""
        rows = np.zeros(PER_SECOND, SAMPLE)
        step = np.arange(PER_SECOND)
        rows["t_ns"], rows["metric"] = utc_ns, self._metrics
        for number, (writer, (plan, device)) in enumerate(zip(self._writers, self._named, strict=True)):
            rows["value"] = number * DEVICE_STEP + self.n + step
            rows["source"] = number
            assert writer.publish(rows.copy(), plan, device), "the ring is full"
        self.n += PER_SECOND


def write_config(folder: Path) -> Path:
    """Write the configuration of the design load; return where."""
    given = {"commit_ms": 100, "ack_timeout_s": 30.0, "keep_s": 5.0, "limit_mib": 1 << 14, "window": WINDOW, "more": ""}
    given |= {"sink": "", "folder": folder, "state": folder / "state", "port": 1, "keepalive_s": 10}
    text = CONFIG.format(**given, profiles=Path(__file__).parent / "profiles").replace("segment_mib = 1\n", "")
    for number in range(DEVICES):
        name = f"d{number}"
        text += PORT.format(name=name, ring_rows=RING_ROWS, eui64=eui64_of(name), number=number + 1)
    path = folder / "mdi_config.toml"
    path.write_text(text, encoding="utf-8")
    return path


class Clock:
    """Times for gateway.service: seconds since the begin are what `passed` says."""

    def __init__(self, passed: float) -> None:
        self.passed = passed

    def monotonic(self) -> float:
        return self.passed

    def monotonic_ns(self) -> int:
        return round(self.passed * 1e9)

    def time_ns(self) -> int:
        return BEGIN_NS + round(self.passed * 1e9)


class Box:
    """A gateway whose ports, receiver and clock are ours. passed: virtual seconds since the begin of the outage."""

    def __init__(self, folder: Path, passed: int, away: bool) -> None:
        self.receiver, self.clock = Receiver(away), Clock(passed)
        service.time = self.clock  # type: ignore[assignment]  # the clock that the wiring hands to the spool
        released_by = ReleasedBy.RECEIVER
        kind = SinkKind("simulated", type(None), lambda *_: self.receiver, lambda _settings: released_by)
        config = replace(read_config(write_config(folder)), sink_kind=kind)
        begun = time.monotonic()
        self.forward = service.Forward(config, threading.Event())
        self.opened_s = time.monotonic() - begun
        self.forwarder = self.forward.forwarder
        self.bedside = Bedside(config, 1 + passed * PER_SECOND)
        self._memory = psutil.Process()

    @property
    def rss(self) -> int:
        return int(self._memory.memory_info().rss)

    def round(self) -> float:
        """Do one round of the forwarder; return how long it took, in s of the real clock."""
        begun = time.monotonic()
        self.forwarder.step(self.clock.monotonic(), self.clock.time_ns())
        return time.monotonic() - begun

    def fill(self, seconds: int) -> dict[str, object]:
        """The design load for so long."""
        begun, before = time.monotonic(), self.rss
        for second in range(seconds):
            if second == min(WARM_S, seconds // 2):
                before = self.rss
            self.bedside.second(self.clock.time_ns())
            self.clock.passed += 1
            self.round()
        return {"rss_growth": self.rss - before, "took_s": time.monotonic() - begun}

    def drain(self) -> dict[str, object]:
        """Rounds as the gateway does them. The work of a round is measured; the pause up to ROUND_S is only counted."""
        backlog, before, rounds, took = self.forwarder.waiting, self.rss, 0, 0.0
        while self.receiver.messages < backlog:
            if rounds % round(1 / ROUND_S) == 0:
                self.bedside.second(self.clock.time_ns())
            took += max(ROUND_S, self.round())
            self.clock.passed += ROUND_S
            rounds += 1
        growth = self.rss - before
        while self.forwarder.waiting:
            self.round()
        last, found = [self.bedside.n] * DEVICES, self.receiver.next_n
        self.receiver.wrong += [] if found == last else [f"the next ones are {found}, not {last}"]
        return {"backlog": backlog, "rss_growth": growth, "took_s": took}


def main(what: str, folder: Path, seconds: int) -> dict[str, object]:
    """See the module text."""
    box = Box(folder, 0, away=True) if what == "fill" else Box(folder, seconds, away=False)
    figures = box.fill(seconds) if what == "fill" else box.drain()
    box.forward.stop()
    lost = box.forward.spool.counters
    return figures | {
        "opened_s": box.opened_s,
        "bytes": sum(file.stat().st_size for file in (folder / "state" / "spool").glob("segment-*")),
        "lost": lost.lost + lost.declared,
        "messages": box.forwarder.counters.messages,
        "waiting": box.forwarder.waiting,
        "received": box.receiver.messages,
        "wrong": box.receiver.wrong,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
