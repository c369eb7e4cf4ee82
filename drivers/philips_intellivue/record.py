"""Driver and simulator in conversation, in virtual time; and the recordings of this folder, which are made with it.

    python -m drivers.philips_intellivue.record        writes captures/*.bin and captures/*.expected.json anew

A recording is what the monitor said, as bytes on the line, from the first byte. Beside it stands what the driver makes
of it, for people to read and for a test to compare.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from math import isnan
from pathlib import Path
from typing import Any

from drivers.philips_intellivue.options import Scenario
from drivers.philips_intellivue.protocol import IntellivueProtocol
from drivers.philips_intellivue.simulator import IntellivueMonitor
from gateway.core.frame import NEED_DATA, Event, Fault, Frame, Identified, Wave
from gateway.core.protocol import DeviceProtocol, Simulator
from gateway.core.sample import Flag, Validity

CAPTURES = Path(__file__).parent / "captures"
STEP_S = 0.001  # shortest time between two looks: a wake that is not honest shows as slowness, not as a hang

WAVES = (0x0002_0102, 0x0002_4BB4)  # ECG II, pleth

# name -> seconds, waves, scenario
SCENARIOS: dict[str, tuple[float, tuple[int, ...], Scenario]] = {
    "numerics": (30.0, (), Scenario(nbp_cycle_s=15.0)),
    "waves": (10.0, WAVES, Scenario(leads_off_s=(4.0, 7.0))),
    "demo_alarms_linked": (15.0, (), Scenario(hr=135.0, spo2=83.0, demo=True, mtu=300)),
    "single_polls": (12.0, (), Scenario(extended=False, firmware="C.00.01")),
}


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
    """Return what a stream of events says, as plain objects. Keys of values: object/instance/unit in hexadecimal."""
    values: dict[str, list[float]] = defaultdict(list)
    states: Counter[str] = Counter()
    samples: Counter[str] = Counter()
    for event in events:
        if not isinstance(event, Frame) or isinstance(event.payload, bytes):
            continue
        if isinstance(event.payload, Wave):
            samples[f"0x{event.payload.object:04x}"] += len(event.payload.samples)
            continue
        for r in event.payload:
            values[f"{event.kind} 0x{r.object:04x}/0x{r.instance:08x}/0x{r.unit:04x}"].append(r.value)
            flags = [str(flag.name) for flag in Flag if flag & r.flags]
            states[" ".join([event.kind, Validity(r.validity).name, *flags])] += 1
    return {
        "frames": dict(sorted(Counter(event.kind for event in events if isinstance(event, Frame)).items())),
        "faults": dict(sorted(Counter(event.reason for event in events if isinstance(event, Fault)).items())),
        "identified": [f"{e.vendor} {e.model} {e.firmware} {e.serial}" for e in events if isinstance(e, Identified)],
        "values": {key: _in_words(found) for key, found in sorted(values.items())},
        "states": dict(sorted(states.items())),
        "wave_samples": dict(sorted(samples.items())),
    }


def _in_words(values: list[float]) -> str:
    numbers = [value for value in values if not isnan(value)]
    if not numbers:
        return f"{len(values)} without a value"
    words = f"{len(numbers)} from {min(numbers)} to {max(numbers)}, last {numbers[-1]}"
    return words if len(numbers) == len(values) else f"{words}; {len(values) - len(numbers)} without a value"


def recording(name: str) -> bytes:
    """Return what the monitor of a scenario says to a driver that is there."""
    seconds, waves, scenario = SCENARIOS[name]
    protocol = IntellivueProtocol(0, waves, 600)
    protocol.start(0.0)
    talk = converse(protocol, IntellivueMonitor(scenario), 0.0, seconds)
    return b"".join(said for _, _, said, _ in talk)


def decoded(data: bytes) -> list[Event]:
    """Return what a driver that nobody answers makes of a recording. All bytes arrive at 0 ns."""
    protocol = IntellivueProtocol(0, (), 600)
    protocol.start(0.0)
    protocol.receive_data(data, 0)
    return drain(protocol)


if __name__ == "__main__":
    for scenario_name in SCENARIOS:
        line = recording(scenario_name)
        (CAPTURES / f"{scenario_name}.bin").write_bytes(line)
        text = json.dumps(summary(decoded(line)), indent=1)
        (CAPTURES / f"{scenario_name}.expected.json").write_text(text + "\n")
