"""A driver and its simulator in conversation, in virtual time; what the driver read, in few words; flipped bits.

Shared by the tests of capnostream, bis_vista, ivy_ansarb and zephyr. `python -m tests.unit.converse_rig` makes their
recordings anew (drivers/<name>/captures): the bytes of the simulated device, and beside them what the driver reads.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from gateway.core.frame import Alert, Alerts, Event, Fault, Frame, Identified, NeedData, Reading, Wave
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import Profile, parse_profile
from gateway.core.protocol import DeviceProtocol, DeviceSpec, Driver, Simulator
from gateway.core.sample import Block
from gateway.core.scene import Scene
from tests.conftest import ROOT

S = 1_000_000_000
T0 = 1_767_225_600 * S  # when the scene's clock shows t = 0
RECORDINGS = {  # driver -> (profile, seconds)
    "capnostream": ("oridion/capnostream_20", 45),
    "bis_vista": ("medtronic/bis_vista_spectra", 10),
    "ivy_ansarb": ("ivy/450c", 45),
    "zephyr": ("zephyr/bioharness", 20),
}


def driver(name: str) -> Driver:
    found: Driver = import_module(f"drivers.{name}").DRIVER
    return found


def profile(profile_id: str) -> Profile:
    path = ROOT / "firmware_profiles" / f"{profile_id}.toml"
    return parse_profile(path.read_text(encoding="utf-8"), profile_id, path.name)


def plan(profile_id: str, firmware: str = "") -> Plan:
    return Plan(profile(profile_id), firmware, nomenclature())


def drain(protocol: DeviceProtocol) -> list[Frame | Identified | Fault]:
    found: list[Frame | Identified | Fault] = []
    while not isinstance(event := protocol.next_event(), NeedData):
        found.append(event)
    return found


class Talk:
    """Driver and simulator of a profile. heard, said: bytes of the device and of the driver, each with its time."""

    def __init__(self, profile_id: str, scene: Scene | None = None, scenario: Mapping[str, Any] | None = None) -> None:
        found = profile(profile_id)
        made = driver(found.driver)
        devices = [DeviceSpec(0, found)]
        self.protocol: DeviceProtocol = made.protocol(devices, {})
        self.device: Simulator | None = made.simulator(devices, scenario or {}, scene or Scene())
        self.now = 0.0
        self.heard: list[tuple[float, bytes]] = []
        self.said: list[tuple[float, bytes]] = []
        self.events: list[Event] = []
        self.protocol.start(0.0)

    def until(self, end: float) -> list[Event]:
        """Let them speak until `end`, and return the events of that time."""
        before = len(self.events)
        while self.now < end:
            self._step()
            wakes = [wake for wake in (self.protocol.next_wake(), self._device_wake()) if wake is not None]
            self.now = max(self.now + 0.001, min([*wakes, end]))
        return self.events[before:]

    def _step(self) -> None:
        out = self.protocol.data_to_send(self.now)
        if out:
            self.said.append((self.now, out))
            if self.device:
                self.device.receive_data(out, self.now)
        data = self.device.data_to_send(self.now) if self.device else b""
        if data:
            self.heard.append((self.now, data))
            self.protocol.receive_data(data, T0 + round(self.now * S))
        self.events += drain(self.protocol)

    def _device_wake(self) -> float | None:
        return self.device.next_wake() if self.device else None

    @property
    def wire(self) -> bytes:
        return b"".join(data for _, data in self.heard)


def read(protocol: DeviceProtocol, data: bytes, size: int = 0) -> list[Event]:
    """Start a protocol and give it these bytes, in pieces of `size`, 0 = at once."""
    protocol.start(0.0)
    found: list[Event] = []
    for at in range(0, len(data), size or max(1, len(data))):
        protocol.receive_data(data[at : at + (size or len(data))], T0)
        found += drain(protocol)
    return found


def frames(events: Sequence[Event], kind: str) -> list[Frame]:
    return [event for event in events if isinstance(event, Frame) and event.kind == kind]


def readings(events: Sequence[Event]) -> list[Reading]:
    lists = [event.payload for event in events if isinstance(event, Frame) and isinstance(event.payload, list)]
    return [reading for found in lists for reading in found]


def waves(events: Sequence[Event]) -> list[Wave]:
    return [event.payload for event in events if isinstance(event, Frame) and isinstance(event.payload, Wave)]


def alerts(events: Sequence[Event], kind: str) -> list[tuple[Alert, ...]]:
    found = [event.payload for event in frames(events, kind)]
    return [payload.active for payload in found if isinstance(payload, Alerts)]


def faults(events: Sequence[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Fault)]


def decoded(events: Sequence[Event], with_plan: Plan) -> list[Block]:
    return [with_plan.decode(event, 0) for event in events if isinstance(event, Frame)]


def values(events: Sequence[Event]) -> set[tuple[str, object, int, object, float | str, int]]:
    """Return all that is said of values: readings with their validity, samples of waves."""
    found: set[tuple[str, object, int, object, float | str, int]] = set()
    for event in events:
        if not isinstance(event, Frame):
            continue
        if isinstance(event.payload, list):
            found |= {(event.kind, r.object, r.instance, r.unit, r.value, r.validity) for r in event.payload}
        elif isinstance(event.payload, Wave):
            w = event.payload
            found |= {(event.kind, w.object, w.instance, w.unit, float(v), w.validity) for v in w.samples}
        elif isinstance(event.payload, Alerts):
            found |= {(event.kind, a.object, 0, a.source, a.text, a.flags) for a in event.payload.active}
    return {item for item in found if not (isinstance(item[4], float) and math.isnan(item[4]))}


def undetected(protocol: DeviceProtocol, wire: bytes, step: int = 1) -> tuple[int, int]:
    """Flip single bits, every `step`-th; return how many gave a value that was not sent, of how many."""
    clean = values(read(protocol, wire))
    bad = total = 0
    for bit in range(0, len(wire) * 8, step):
        flipped = bytearray(wire)
        flipped[bit // 8] ^= 1 << bit % 8
        total += 1
        bad += not values(read(protocol, bytes(flipped))) <= clean
    return bad, total


def summary(events: Sequence[Event]) -> dict[str, Any]:
    """Return what a driver read: counts, and of each value how often, from, to and the last."""
    found: dict[str, dict[str, Any]] = {"frames": {}, "faults": {}, "values": {}, "waves": {}, "alerts": {}}
    found["frames"] = dict(Counter(e.kind for e in events if isinstance(e, Frame)))
    found["faults"] = dict(Counter(e.reason for e in events if isinstance(e, Fault)))
    identities = [e for e in events if isinstance(e, Identified)]
    for name, seen in sorted(_by_name(events).items()):
        words = [value for value in seen if isinstance(value, str)]
        numbers = [value for value in seen if not isinstance(value, str) and not math.isnan(value)]
        said: list[Any] = sorted(set(words)) or ([min(numbers), max(numbers), numbers[-1]] if numbers else [])
        found["values"][name] = {"n": len(words) or len(numbers), "without": len(seen) - len(words or numbers)}
        found["values"][name]["words" if words else "min, max, last"] = said
    for wave in waves(events):
        entry = found["waves"].setdefault(f"{wave.object}", {"samples": 0, "without": 0, "period_ns": wave.period_ns})
        entry["samples"] += len(wave.samples)
        entry["without"] += sum(map(math.isnan, wave.samples.tolist()))
    for event in events:
        if isinstance(event, Frame) and isinstance(event.payload, Alerts):
            for alert in event.payload.active:
                name = f"{event.kind}: {alert.object}"
                found["alerts"][name] = found["alerts"].get(name, 0) + 1
    said_of_itself = [f"{i.vendor}|{i.model}|{i.firmware}|{i.serial}" for i in identities]
    return {**found, "identified": said_of_itself}


def _by_name(events: Sequence[Event]) -> dict[str, list[float | str]]:
    found: dict[str, list[float | str]] = {}
    for reading in readings(events):
        name = f"{reading.object}" + (f"/{reading.instance}" if reading.instance else "")
        found.setdefault(name + (f" unit {reading.unit}" if reading.unit else ""), []).append(reading.value)
    return found


def recording(name: str) -> bytes:
    """Return what the simulated device says in the recording of this driver."""
    profile_id, seconds = RECORDINGS[name]
    talk = Talk(profile_id)
    talk.until(seconds)
    return talk.wire


def read_recording(name: str, wire: bytes) -> dict[str, Any]:
    profile_id, _ = RECORDINGS[name]
    return summary(read(driver(name).protocol([DeviceSpec(0, profile(profile_id))], {}), wire, 64))


def recordings() -> Iterator[tuple[str, bytes, str]]:
    for name in RECORDINGS:
        wire = recording(name)
        yield name, wire, json.dumps(read_recording(name, wire), indent=1, ensure_ascii=False) + "\n"


def check_recording(name: str) -> None:
    """When this fails on purpose: python -m tests.unit.converse_rig, then read the difference."""
    folder = ROOT / "drivers" / name / "captures"
    wire = (folder / "simulator.bin").read_bytes()
    assert recording(name) == wire
    assert read_recording(name, wire) == json.loads((folder / "simulator.expected.json").read_text(encoding="utf-8"))


def main() -> None:
    for name, wire, text in recordings():
        folder = ROOT / "drivers" / name / "captures"
        (folder / "simulator.bin").write_bytes(wire)
        (folder / "simulator.expected.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
