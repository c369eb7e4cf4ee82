"""Driver and simulator in conversation, in virtual time; and the recordings of this folder, which are made with it.

    python -m drivers.philips_intellivue.record        writes captures/*.bin and captures/*.expected.json anew

A recording is what the monitor said, as bytes on the line, from the first byte. Beside it stands what the driver makes
of it, for people to read and for a test to compare.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

from drivers.philips_intellivue.options import Scenario
from drivers.philips_intellivue.protocol import IntellivueProtocol
from drivers.philips_intellivue.simulator import IntellivueMonitor
from gateway.core.frame import NEED_DATA, Alert, Alerts, Event, Fault, Frame, Identified, Wave
from gateway.core.profile import Profile, parse_profile
from gateway.core.protocol import DeviceProtocol, Simulator
from gateway.core.sample import Flag, Validity
from gateway.core.scene import Scene

CAPTURES = Path(__file__).parent / "captures"
PROFILE = Path(__file__).parents[2] / "firmware_profiles" / "philips" / "intellivue_mp.toml"
STEP_S = 0.001  # shortest time between two looks: a wake that is not honest shows as slowness, not as a hang
SCENE = Scene(seed=1)

WAVES = (0x0002_0102, 0x0002_4BB4)  # ECG II, pleth


class Recording(NamedTuple):
    """How one of the recordings is made. begin: `now` at its first byte; a scene alarms from 30 to 40 s."""

    begin: float
    seconds: float
    waves: tuple[int, ...] | None
    scenario: Scenario


RECORDINGS = {
    "numerics": Recording(3.0, 5.0, (), Scenario(hr=81, spo2=96.5)),
    "waves": Recording(0.0, 5.0, WAVES, Scenario(leads_off_s=(2.0, 3.5))),
    "own_waves": Recording(0.0, 8.0, None, Scenario()),
    "demo_alarms_linked": Recording(36.0, 6.0, (), Scenario(demo=True, mtu=700)),
    "single_polls": Recording(0.0, 4.0, (), Scenario(extended=False, firmware="C.00.01")),
}


@cache
def shipped_profile() -> Profile:
    """Return the profile of this driver's monitor."""
    return parse_profile(PROFILE.read_text(encoding="utf-8"), "philips/intellivue_mp", PROFILE.name)


def converse(
    protocol: DeviceProtocol, simulator: Simulator, start: float, end: float, t0_ns: int = 0
) -> Iterator[tuple[float, bytes, bytes, list[Event]]]:
    """Let a protocol that was started and a monitor speak from `start` to `end`.

    Yields (now, what the driver sent, what the monitor sent, events). Time jumps from wake to wake; `t0_ns` is UTC ns
    at now = 0.
    """
    now = start
    while now <= end:
        sent = protocol.data_to_send(now)
        if sent:
            simulator.receive_data(sent, now)
        said = simulator.data_to_send(now)
        if said:
            protocol.receive_data(said, t0_ns + round(now * 1e9))
        yield now, sent, said, drain(protocol)
        wakes = [wake for wake in (protocol.next_wake(), simulator.next_wake()) if wake is not None]
        now = max(now + STEP_S, min(wakes, default=end))


def drain(protocol: DeviceProtocol) -> list[Event]:
    """Return all events there are."""
    events: list[Event] = []
    while (event := protocol.next_event()) is not NEED_DATA:
        events.append(event)
    return events


def summary(events: list[Event]) -> dict[str, Any]:
    """Return what a stream of events says, as plain objects. Keys of values: object/label/unit in hexadecimal."""
    values: dict[str, list[float]] = defaultdict(list)
    states: Counter[str] = Counter()
    alerts: Counter[str] = Counter()
    samples: Counter[str] = Counter()
    for event in events:
        if not isinstance(event, Frame) or isinstance(event.payload, bytes):
            continue
        if isinstance(event.payload, Wave):
            samples[f"0x{event.payload.object:04x}"] += len(event.payload.samples)
            continue
        if isinstance(event.payload, Alerts):
            alerts.update(_alert_in_words(alert) for alert in event.payload.active)
            continue
        for r in event.payload:
            assert isinstance(r.object, int)
            assert isinstance(r.unit, int)
            assert isinstance(r.value, float)
            values[f"0x{r.object:04x}/0x{r.instance:08x}/0x{r.unit:04x}"].append(r.value)
            states[" ".join([Validity(r.validity).name, *_flags(r.flags)])] += 1
    return {
        "frames": dict(sorted(Counter(event.kind for event in events if isinstance(event, Frame)).items())),
        "faults": dict(sorted(Counter(event.reason for event in events if isinstance(event, Fault)).items())),
        "identified": [f"{e.vendor} {e.model} {e.firmware} {e.serial}" for e in events if isinstance(e, Identified)],
        "values": {key: _in_words(found) for key, found in sorted(values.items())},
        "states": dict(sorted(states.items())),
        "alerts": dict(sorted(alerts.items())),
        "wave_samples": dict(sorted(samples.items())),
    }


def _flags(flags: int) -> list[str]:
    return [str(flag.name) for flag in Flag if flag & flags]


def _alert_in_words(alert: Alert) -> str:
    """Return for example "0x0f148 of 0x4182, priority 2, DEMO: ECG TACHY"."""
    assert isinstance(alert.object, int)
    assert isinstance(alert.source, int)
    words = [f"0x{alert.object:05x} of 0x{alert.source:04x}", f"priority {alert.priority}", *_flags(alert.flags)]
    return ", ".join(words) + (f": {alert.text}" if alert.text else "")


def _in_words(values: list[float]) -> str:
    numbers = [value for value in values if not isnan(value)]
    if not numbers:
        return f"{len(values)} without a value"
    words = f"{len(numbers)} from {min(numbers)} to {max(numbers)}, last {numbers[-1]}"
    return words if len(numbers) == len(values) else f"{words}; {len(values) - len(numbers)} without a value"


def recording(name: str) -> bytes:
    """Return what the monitor of a scenario says to a driver that is there."""
    begin, seconds, waves, scenario = RECORDINGS[name]
    protocol = IntellivueProtocol(0, waves, 600)
    protocol.start(begin)
    talk = converse(protocol, IntellivueMonitor(shipped_profile(), scenario, SCENE), begin, begin + seconds)
    return b"".join(said for _, _, said, _ in talk)


def decoded(data: bytes) -> list[Event]:
    """Return what a driver that nobody answers makes of a recording. All bytes arrive at 0 ns."""
    protocol = IntellivueProtocol(0, (), 600)
    protocol.start(0.0)
    protocol.receive_data(data, 0)
    return drain(protocol)


if __name__ == "__main__":
    for recording_name in RECORDINGS:
        line = recording(recording_name)
        (CAPTURES / f"{recording_name}.bin").write_bytes(line)
        text = json.dumps(summary(decoded(line)), indent=1)
        (CAPTURES / f"{recording_name}.expected.json").write_text(text + "\n")
