"""What the tests of the ventilator drivers share: driver and simulator in conversation, in virtual time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway import registry
from gateway.core.frame import Alerts, Event, Fault, Frame, NeedData, Reading, Wave
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import Profile
from gateway.core.protocol import DeviceProtocol, DeviceSpec, Replayable
from gateway.core.sample import Validity
from gateway.core.scene import Scene

T0 = 1_767_225_600_000_000_000  # 2026-01-01 00:00 UTC, as the clock of a simulated device at now = 0
PROFILES = registry.Profiles()
Wire = list[tuple[float, str, bytes]]
"""(now, ">" to the device or "<" from it, bytes)."""


@dataclass
class Talk:
    """A conversation: what went over the line, and what the driver made of it."""

    wire: Wire = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def heard(self) -> bytes:
        return b"".join(data for _, way, data in self.wire if way == "<")

    @property
    def sent(self) -> list[bytes]:
        return [data for _, way, data in self.wire if way == ">"]

    @property
    def faults(self) -> Counter[str]:
        return Counter(event.reason for event in self.events if isinstance(event, Fault))

    def frames(self, kind: str) -> list[Frame]:
        return [event for event in self.events if isinstance(event, Frame) and event.kind == kind]


def profile_of(profile_id: str) -> Profile:
    return PROFILES.get(profile_id)


def protocol_of(profile_id: str, options: Mapping[str, Any] | None = None) -> DeviceProtocol:
    """Return a protocol that was started at 0."""
    profile = profile_of(profile_id)
    protocol = registry.driver(profile.driver).protocol([DeviceSpec(0, profile)], options or {})
    protocol.start(0.0)
    return protocol


def drained(protocol: DeviceProtocol) -> list[Event]:
    found: list[Event] = []
    while not isinstance(event := protocol.next_event(), NeedData):
        found.append(event)
    return found


def converse(
    profile_id: str,
    seconds: float,
    scenario: Mapping[str, Any] | None = None,
    scene: Scene | None = None,
    options: Mapping[str, Any] | None = None,
    lost: frozenset[int] = frozenset(),
) -> Talk:
    """Let driver and simulator speak. lost: numbers of answers that the line loses."""
    profile = profile_of(profile_id)
    protocol = protocol_of(profile_id, options)
    simulator = registry.driver(profile.driver).simulator([DeviceSpec(0, profile)], scenario or {}, scene or Scene())
    talk, now, answers = Talk(), 0.0, 0
    while now < seconds:
        out = protocol.data_to_send(now)
        if out:
            talk.wire.append((now, ">", out))
            simulator.receive_data(out, now)
        data = simulator.data_to_send(now)
        if data:
            if answers not in lost:
                talk.wire.append((now, "<", data))
                protocol.receive_data(data, T0 + round(now * 1e9))
            answers += 1
        talk.events += drained(protocol)
        wakes = [wake for wake in (protocol.next_wake(), simulator.next_wake()) if wake is not None]
        now = max(now + 0.001, min(wakes, default=seconds))
    return talk


def replay(profile_id: str, wire: Wire) -> list[Event]:
    """Run the records of a conversation through a new protocol, told what was asked where it wants to know."""
    protocol = protocol_of(profile_id)
    for now, way, data in wire:
        if way == "<":
            protocol.receive_data(data, T0 + round(now * 1e9))
        elif isinstance(protocol, Replayable):
            protocol.was_sent(data, now)
    return drained(protocol)


def readings(events: list[Event], kind: str) -> Iterator[Reading]:
    for event in events:
        if isinstance(event, Frame) and event.kind == kind:
            assert isinstance(event.payload, list)
            yield from event.payload


def last(events: list[Event], kind: str) -> dict[tuple[int | str, int], Reading]:
    """Return the last reading of each (object, instance)."""
    return {(reading.object, reading.instance): reading for reading in readings(events, kind)}


def decoded(profile_id: str, events: list[Event]) -> dict[str, list[Any]]:
    """Return what the plan makes of the events: "path term" -> values, with the validity where that is not VLD.

    Alerts are shown as the driver gives them: [field, priority].
    """
    plan = Plan(profile_of(profile_id), "", nomenclature())
    found: dict[str, list[Any]] = {}
    for event in events:
        if not isinstance(event, Frame):
            continue
        if isinstance(event.payload, Alerts):
            active = [[alert.object, alert.priority] for alert in event.payload.active]
            found.setdefault("active alerts", []).append(active)
            continue
        block = plan.decode(event, 0)
        if isinstance(event.payload, Wave):
            metric = plan.metrics[block["metric"][0]]
            column = found.setdefault(f"{metric.path} {metric.ref_id}", [])
            column.append({"samples": len(block), "first": block["value"][0], "last": block["value"][-1]})
            continue
        for row in block:
            metric = plan.metrics[row["metric"]]
            value, validity = float(row["value"]), Validity(int(row["validity"]))
            shown: Any = None if math.isnan(value) else metric.tokens[int(value)] if metric.tokens else value
            column = found.setdefault(f"{metric.path} {metric.ref_id}", [])
            column.append(shown if validity is Validity.VLD else [shown, validity.name])
    assert not plan.unmapped
    return found
