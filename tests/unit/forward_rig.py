"""Ring, spool and forwarder in one thread, with a sink that says what a test tells it to say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gateway.collect import ForwardPlan
from gateway.core.clock import NOTHING_SAID, ClockState
from gateway.core.errors import InternalError, ProfileError
from gateway.core.message import Message, Outcome, Verdict
from gateway.core.plan import Plan
from gateway.core.ring import RingWriter
from gateway.core.ring_layout import PlanName, buffer_size, format_buffer
from gateway.core.ring_reader import RingReader
from gateway.core.sample import SAMPLE, Block
from gateway.delivery import ForwardLimits
from gateway.forward import Forwarder
from gateway.lane import Spot, Stream
from gateway.ring_source import RingSource
from gateway.route import Router
from gateway.spool import Spool
from gateway.spool.files import Files

PLAN = PlanName(b"p" * 32, "vendor/model", "1")
OTHER = PlanName(b"o" * 32, "vendor/model", "2")


@dataclass
class FakeSink:
    """Connected, with room; says what the test tells it to say."""

    counters: None = None
    expires: float = 0.0
    answer: Verdict | None = Verdict.ACCEPT
    decide: Callable[[Message], Verdict | None] | None = None  # instead of `answer`, for each message
    window: int = 5
    number: int = 1
    sent: list[Message] = field(default_factory=list)
    said: list[Outcome] = field(default_factory=list)
    under_way: set[str] = field(default_factory=set)

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def state(self) -> str:
        return "connected to a test"

    def session(self) -> int:
        return self.number

    def room(self) -> int:
        return self.window - len(self.under_way)

    def send(self, message: Message) -> None:
        self.sent.append(message)
        self.under_way.add(message.control_id)
        answer = self.decide(message) if self.decide else self.answer
        if answer is not None:
            self.say(message.control_id, answer)

    def say(self, control_id: str, verdict: Verdict) -> None:
        self.said.append(Outcome(control_id, verdict, "" if verdict is Verdict.ACCEPT else "because"))
        if verdict is not Verdict.KEEP:
            self.under_way.discard(control_id)

    def expiry_s(self, topic: str) -> float:
        return self.expires if topic == "topic" else 0.0

    def forget(self, control_id: str) -> None:
        self.under_way.discard(control_id)

    def outcomes(self) -> list[Outcome]:
        said, self.said = self.said, []
        return said


class FakeEncoder:
    """One line per sample: readable, and different for each plan."""

    def __init__(self, plan: str) -> None:
        self.plan = plan

    def encode(self, block: Block, control_id: str, now_ns: int, clock: ClockState = NOTHING_SAID) -> bytes:
        if (block["value"] == 666).any():
            raise InternalError("666 cannot be said")
        lines = [[self.plan, *row] for row in zip(block["seq"].tolist(), block["value"].tolist(), strict=True)]
        return json.dumps(lines).encode()


@dataclass
class FakeMetric:
    kind: str = "numeric"


@dataclass
class FakePlanWithDigest:
    metrics: tuple[FakeMetric, ...]
    digest: bytes = b""


class Rig:
    """Ring, spool, sink and forwarder of one or two devices. sink: instead of the fake one; files: a disk in memory."""

    def __init__(
        self,
        path: Path,
        slots: int = 256,
        devices: int = 1,
        rows_per_message: int = 10,
        sink: Any = None,
        files: Files | None = None,
    ) -> None:
        self.path = path
        self.files = files
        self.sink = sink or FakeSink()
        self.now = 1000.0
        self.set_ns = 0  # the wall clock was set by so much
        self.buffers = [memoryview(bytearray(buffer_size(slots))) for _ in range(devices)]
        for i, buffer in enumerate(self.buffers):
            format_buffer(buffer, slots, incarnation=i + 1)
        self.writers = [RingWriter(b) for b in self.buffers]
        self.rows_per_message = rows_per_message
        self.limits = ForwardLimits(ack_timeout_s=30, keep_s=5)
        self.interval = 0.0
        self.start()

    def start(self) -> None:
        self.spool = Spool.open(
            self.path / "spool",
            gateway="gw",
            segment_bytes=1 << 16,
            limit_bytes=1 << 20,
            files=self.files,
            clock=lambda: (int(self.now * 1e9), 0),
        )
        rings = [RingSource(f"port{i}", RingReader(b)) for i, b in enumerate(self.buffers)]
        lanes = [(f"port{i}", f"device{i}") for i in range(len(self.buffers))]
        make = ForwardPlan(
            self.compile,  # type: ignore[arg-type]
            self.streams,
        )
        self.forwarder = Forwarder(rings, lanes, make, self.spool, self.sink, self.limits)

    def crash_and_start(self) -> None:
        """kill -9 of the forwarder, and its next start."""
        self.spool._disk.close_all()
        self.sink.under_way.clear()
        self.start()

    def streams(self, _spot: Spot, plan: Plan, _name: PlanName, _note: object) -> list[Stream]:
        encoder = FakeEncoder(plan.digest[:1].decode())
        return [Stream(frozenset({"numeric"}), Router([self.interval]), encoder, "topic", self.rows_per_message)]

    def compile(self, name: PlanName) -> FakePlanWithDigest:
        if name.firmware == "refused":
            raise ProfileError("firmware refused")
        return FakePlanWithDigest((FakeMetric(),), name.digest if name.firmware != "changed" else b"?" * 32)

    def publish(self, *values: float, device: int = 0, plan: PlanName = PLAN, t: int = 1, clock: int = 0) -> bool:
        block = np.zeros(len(values), SAMPLE)
        block["value"], block["source"], block["t_ns"] = values, device, t
        writer = self.writers[device]
        return writer.publish(block, writer.add_plan(plan), writer.add_device(f"device{device}"), clock)

    def step(self, seconds: float = 0.1) -> None:
        self.now += seconds
        self.forwarder.step(self.now, int(self.now * 1e9) + self.set_ns)
        self.balance()

    def balance(self) -> None:
        """The equation holds for every device, at any moment."""
        self.forwarder.look()
        for name, account in self.forwarder.accounts.items():
            assert not account.difference, f"{name}: {account}"

    def steps(self, n: int = 5) -> None:
        for _ in range(n):
            self.step()

    def values(self) -> list[float]:
        """Values of the messages sent, each control id once, in order."""
        first = {m.control_id: m.payload for m in self.sink.sent}
        for message in self.sink.sent:
            assert first[message.control_id] == message.payload  # same id, same bytes
        return [value for payload in first.values() for _, _, value in json.loads(payload)]
