"""Driver and simulator speak with each other in virtual time, over a line that can be made bad."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import count

from gateway import registry
from gateway.core.frame import Event, Frame, NeedData
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import Profile
from gateway.core.protocol import DeviceProtocol, DeviceSpec, Driver
from gateway.core.sample import IS_USABLE, Flag
from gateway.core.scene import Scene

PROFILES = {profile.id: profile for profile in registry.Profiles()}
T0 = 1_767_225_600_000_000_000  # what the clock of the scene shows at 0: device clocks then agree with ours

Delivery = list[tuple[float, bytes]]
"""What becomes of one piece that the device said: (delay in s, bytes) of each piece that arrives."""


@dataclass
class Talk:
    """What was said. events: of the driver; log: (now, True when the device said it, bytes)."""

    events: list[Event] = field(default_factory=list)
    log: list[tuple[float, bool, bytes]] = field(default_factory=list)

    @property
    def heard(self) -> bytes:
        return b"".join(data for _, by_device, data in self.log if by_device)

    @property
    def said(self) -> list[bytes]:
        return [data for _, by_device, data in self.log if not by_device]

    @property
    def frames(self) -> list[Frame]:
        return [event for event in self.events if isinstance(event, Frame)]


def driver_of(profile: Profile) -> Driver:
    return registry.driver(profile.driver)


def protocol_of(profile: Profile) -> DeviceProtocol:
    return driver_of(profile).protocol([DeviceSpec(0, profile)], {})


@cache
def plan_of(profile_id: str) -> Plan:
    return Plan(PROFILES[profile_id], "", nomenclature())


def drained(protocol: DeviceProtocol) -> list[Event]:
    found: list[Event] = []
    while not isinstance(event := protocol.next_event(), NeedData):
        found.append(event)
    return found


def as_it_is(_piece: int, data: bytes) -> Delivery:
    return [(0.0, data)]


def talk(
    profile: Profile,
    seconds: float,
    *,
    scene: Scene = Scene(),  # noqa: B008  # frozen
    line: Callable[[int, bytes], Delivery] = as_it_is,
    chop: int = 0,
    used: DeviceProtocol | None = None,
    begin: float = 0.0,
) -> Talk:
    """Let driver and simulator speak for `seconds`.

    line: what becomes of piece number n of the device's bytes; chop: what arrives, arrives in pieces of this size
    used: goes on with this protocol at time `begin`, in whatever state it is
    """
    protocol = used or protocol_of(profile)
    device = driver_of(profile).simulator([DeviceSpec(0, profile)], {}, scene)
    done = Talk()
    under_way: list[tuple[float, int, bytes]] = []
    order = count()  # what arrives at one time arrives in order
    pieces = 0
    now = begin
    if used is None:
        protocol.start(now)
    while now < begin + seconds:
        out = protocol.data_to_send(now)
        if out:
            done.log.append((now, False, out))
            device.receive_data(out, now)
        data = device.data_to_send(now)
        if data:
            done.log.append((now, True, data))
            for delay, piece in line(pieces, data):
                heapq.heappush(under_way, (now + delay, next(order), piece))
            pieces += 1
        while under_way and under_way[0][0] <= now:
            _, _, piece = heapq.heappop(under_way)
            for at in range(0, len(piece), chop or max(1, len(piece))):
                protocol.receive_data(piece[at : at + (chop or len(piece))], T0 + round(now * 1e9))
                done.events += drained(protocol)
        done.events += drained(protocol)
        wakes = [protocol.next_wake(), device.next_wake(), under_way[0][0] if under_way else None]
        now = max(now + 0.001, min((wake for wake in wakes if wake is not None), default=begin + seconds))
    return done


Fact = tuple[int, float]
"""(metric, value) of a row that a person could read; for an alert, (metric, priority)."""


def facts(profile: Profile, events: list[Event]) -> set[Fact]:
    """Return what a talk has told: usable values, waveform samples among them, and active alerts."""
    plan = plan_of(profile.id).twin()
    found: set[Fact] = set()
    for event in events:
        if not isinstance(event, Frame):
            continue
        block = plan.decode(event, 0)
        usable = block[IS_USABLE[block["validity"]]]
        for metric, value, flags in zip(
            usable["metric"].tolist(), usable["value"].tolist(), usable["flags"].tolist(), strict=True
        ):
            kind = plan.metrics[metric].kind
            if kind == "alert" and flags & Flag.ALERT_ACTIVE:
                found.add((metric, float(int(value) & 3)))
            elif kind not in ("alert", "clock"):
                found.add((metric, value))
    return found
