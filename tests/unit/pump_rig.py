"""A line to infusion pumps in virtual time, for test_baxter_as50, test_alaris_asena, test_fresenius_agilia and
test_bbraun_bcc: driver and simulator wired together, and the recordings of the four drivers, which are made with it.

    python -m tests.unit.pump_rig        writes drivers/*/captures/* of the four anew
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from gateway.core.frame import Alerts, Event, Fault, Frame, Identified, NeedData, Reading
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import Profile
from gateway.core.protocol import DeviceProtocol, DeviceSpec, Driver, Simulator
from gateway.core.sample import USABLE, Validity
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from gateway.registry import read_profile

ROOT = Path(__file__).resolve().parents[2]
T0 = 1_700_000_000_000_000_000
STEP_S = 0.001  # shortest time between two looks: a wake that is not honest shows as slowness, not as a hang

# driver -> profile, name of the recording -> (seconds, options of the port, scene)
RECORDINGS: dict[str, tuple[str, dict[str, tuple[float, dict[str, Any], Scene]]]] = {
    "baxter_as50": ("baxter/as50", {"set_rate": (20.0, {}, Scene()), "no_rate": (12.0, {}, Scene(nothing=True))}),
    "alaris_asena": ("bd/alaris_asena", {"rate_and_volume": (10.0, {}, Scene())}),
    "fresenius_agilia": (
        "fresenius/agilia",
        {"base_with_alarms": (45.0, {"poll_s": 5.0}, Scene()), "stand_alone": (8.0, {"stand_alone": True}, Scene())},
    ),
    "bbraun_bcc": (
        "bbraun/space",
        {
            "rack": (4.0, {}, Scene()),
            "changes_only": (12.0, {"changes_only": True}, Scene()),
            "no_values": (4.0, {"stuffing": False}, Scene(nothing=True)),
        },
    ),
}


@cache
def profile(profile_id: str) -> Profile:
    return read_profile(ROOT / "firmware_profiles" / f"{profile_id}.toml", profile_id)


@cache
def _plan(profile_id: str) -> Plan:
    return Plan(profile(profile_id), "", nomenclature())


def driver(name: str) -> Driver:
    found: Driver = import_module(f"drivers.{name}").DRIVER
    return found


def drain(protocol: DeviceProtocol) -> list[Event]:
    """All events that wait."""
    found: list[Event] = []
    while not isinstance(event := protocol.next_event(), NeedData):
        found.append(event)
    return found


@dataclass
class Line:
    """The loop of a port, with a clock that jumps from one happening to the next. The gate of the profile is shut.

    sent, said: (when, bytes) of gateway and pump; events: (when, event)
    deaf: while true, what the pump says is lost on the way
    """

    protocol: DeviceProtocol
    simulator: Simulator
    gate: Gate
    now: float = 0.0
    deaf: bool = False
    sent: list[tuple[float, bytes]] = field(default_factory=list)
    said: list[tuple[float, bytes]] = field(default_factory=list)
    events: list[tuple[float, Event]] = field(default_factory=list)

    def run(self, until: float) -> Line:
        while self.now < until:
            self.turn()
            wakes = [wake for wake in (self.protocol.next_wake(), self.simulator.next_wake()) if wake is not None]
            self.now = min(until, max(self.now + STEP_S, min(wakes, default=until)))
        return self

    def turn(self) -> None:
        """Let both speak once, now."""
        out = self.protocol.data_to_send(self.now)
        if out:
            assert self.gate.allows(out), f"not in the transmit grammar: {out!r}"
            self.sent.append((self.now, out))
            self.simulator.receive_data(out, self.now)
        data = self.simulator.data_to_send(self.now)
        if data and not self.deaf:
            self.said.append((self.now, data))
            self.feed(data)
        self.events += [(self.now, event) for event in drain(self.protocol)]

    def feed(self, data: bytes) -> list[Event]:
        """Give the driver bytes of the device; return what it made of them."""
        self.protocol.receive_data(data, T0 + round(self.now * 1e9))
        found = drain(self.protocol)
        self.events += [(self.now, event) for event in found]
        return found

    def part(self) -> None:
        """Stop, and let the driver say its last words."""
        self.protocol.stop(self.now)
        for _ in range(50):
            self.turn()
            wake = self.protocol.next_wake()
            if wake is None:
                return
            other = self.simulator.next_wake()
            self.now = max(self.now + STEP_S, wake if other is None else min(wake, other))
        raise AssertionError("parting does not end")

    @property
    def faults(self) -> Counter[str]:
        return Counter(event.reason for _, event in self.events if isinstance(event, Fault))


def line(name: str, profile_id: str, options: Mapping[str, Any] | None = None, scene: Scene | None = None) -> Line:
    """Driver and simulator of one device, started at 0."""
    found, read = driver(name), profile(profile_id)
    devices = [DeviceSpec(0, read)]
    protocol = found.protocol(devices, options or {})
    protocol.start(0.0)
    simulator = found.simulator(devices, options or {}, scene or Scene())
    return Line(protocol, simulator, Gate(read.transmit))


def frames(events: Sequence[Event], kind: str = "") -> list[Frame]:
    return [event for event in events if isinstance(event, Frame) and kind in ("", event.kind)]


def readings(events: Sequence[Event]) -> list[Reading]:
    return [reading for frame in frames(events) if isinstance(frame.payload, list) for reading in frame.payload]


def reasons(events: Sequence[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Fault)]


def samples(profile_id: str, events: Sequence[Event]) -> dict[str, list[tuple[float, int]]]:
    """Path of a metric -> (value, validity), as the plan of the profile makes them of the frames."""
    plan = _plan(profile_id).twin()
    found: dict[str, list[tuple[float, int]]] = {metric.path: [] for metric in plan.metrics}
    for frame in frames(events):
        for row in plan.decode(frame, 0):
            found[plan.metrics[row["metric"]].path].append((float(row["value"]), int(row["validity"])))
    return found


def usable_numbers(profile_id: str, events: Sequence[Event]) -> dict[str, list[float]]:
    """The same, of numerics and enumerations only, and only what a person may read."""
    paths = {spec.path for channel in profile(profile_id).channels for spec in channel.metrics if spec.kind != "alert"}
    found = samples(profile_id, events)
    usable = {path: [value for value, validity in found[path] if validity in USABLE] for path in paths}
    return {path: values for path, values in usable.items() if values}


def flips(data: bytes, every: int = 1) -> Iterator[bytes]:
    """Every `every`-th single-bit flip of `data`."""
    for bit in range(0, len(data) * 8, every):
        yield data[: bit >> 3] + bytes([data[bit >> 3] ^ 1 << (bit & 7)]) + data[(bit >> 3) + 1 :]


def heard_in(name: str, profile_id: str, data: bytes, options: Mapping[str, Any] | None = None) -> list[Event]:
    """What a fresh driver makes of bytes of a device."""
    protocol = driver(name).protocol([DeviceSpec(0, profile(profile_id))], options or {})
    protocol.start(0.0)
    protocol.data_to_send(0.0)
    protocol.receive_data(data, T0)
    return drain(protocol)


# ---- recordings


def described(events: Sequence[Event]) -> dict[str, Any]:
    """What the driver makes of a recording, for a person to read and a test to compare."""
    values: dict[str, list[Any]] = {}
    for reading in readings(events):
        name = f"{reading.object}/{reading.instance}" if reading.instance else str(reading.object)
        state = "" if reading.validity == Validity.VLD else f" {Validity(reading.validity).name}"
        number = isinstance(reading.value, str) or not math.isnan(reading.value)
        values.setdefault(name, []).append(f"{reading.value:g}{state}" if number else f"no value{state}")
    lists = [frame.payload for frame in frames(events) if isinstance(frame.payload, Alerts)]
    return {
        "identified": [[e.vendor, e.model, e.firmware, e.serial] for e in events if isinstance(e, Identified)],
        "faults": dict(Counter(reasons(events))),
        "alerts": [[f"{alert.object}/{alert.source}" for alert in alerts.active] for alerts in lists if alerts.active],
        "lists_of_alerts": len(lists),
        "values": {name: [len(found), *found[:3]] for name, found in sorted(values.items())},
    }


def recording(name: str, profile_id: str, seconds: float, options: Mapping[str, Any], scene: Scene) -> bytes:
    """What the simulated pump said, from the first byte."""
    return b"".join(data for _, data in line(name, profile_id, options, scene).run(seconds).said)


def write() -> None:
    """Make all recordings anew."""
    for name, (profile_id, wanted) in RECORDINGS.items():
        folder = ROOT / "drivers" / name / "captures"
        for stem, (seconds, options, scene) in wanted.items():
            data = recording(name, profile_id, seconds, options, scene)
            expected = described(heard_in(name, profile_id, data, options))
            (folder / f"{stem}.bin").write_bytes(data)
            (folder / f"{stem}.expected.json").write_text(_readable(expected), encoding="utf-8")


def _readable(expected: Mapping[str, Any]) -> str:
    """JSON with one value, one list of alerts to a line."""
    text = json.dumps(expected, indent=1, ensure_ascii=False)
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: re.sub(r"\s+", " ", found[0]), text) + "\n"


if __name__ == "__main__":
    write()
