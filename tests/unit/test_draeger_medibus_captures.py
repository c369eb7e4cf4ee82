"""Recordings of the simulated devices, and what the driver reads in them.

The captures of the driver are made here: python -m tests.unit.test_draeger_medibus_captures
"""

from __future__ import annotations

import json
from collections import Counter
from math import isnan
from pathlib import Path
from typing import Any

import pytest

from drivers.draeger_medibus import DRIVER
from gateway.core.frame import Alerts, Event, Fault, Frame, Identified, Wave
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity
from gateway.record import Direction, Header, RecordingWriter, open_capture
from tests.conftest import ROOT
from tests.unit.medibus_rig import T0, Wire, converse, drained, profile

CAPTURES: dict[str, tuple[str, float, dict[str, Any]]] = {  # file -> profile, seconds, options of the port
    "evita_4": ("evita_4", 15.0, {"waves": ["MDC_PRESS_AWAY", "MDC_FLOW_AWAY"]}),
    "evita_v500": ("evita_v500", 6.0, {"waves": []}),
}
each = pytest.mark.parametrize("name", CAPTURES)


def path_of(name: str) -> Path:
    return ROOT / "drivers" / "draeger_medibus" / "captures" / f"{name}.mdirec"


def read(name: str, wire: Wire) -> list[Event]:
    """Return what the driver reads when a recording is replayed to it."""
    profile_name, _, options = CAPTURES[name]
    source: Any = DRIVER.protocol([DeviceSpec(0, profile(profile_name))], options)
    source.start(0.0)
    events: list[Event] = []
    for now, way, data in wire:
        source.data_to_send(now)
        if way == ">":
            source.was_sent(data, now)
        else:
            source.receive_data(data, T0 + round(now * 1e9))
        events += drained(source)
    return events


def summary(events: list[Event]) -> dict[str, Any]:
    """Return what a stream of events says, as plain objects: for each object the numbers that came, without repeats."""
    values: dict[str, dict[str, None]] = {}
    samples: Counter[str] = Counter()
    active: set[str] = set()
    for frame in (event for event in events if isinstance(event, Frame)):
        if isinstance(frame.payload, Wave):
            samples[f"0x{frame.payload.object:02X}, {frame.payload.period_ns} ns"] += len(frame.payload.samples)
        elif isinstance(frame.payload, Alerts):
            active |= {f"{alert.object:#x} {alert.text}: {alert.priority}" for alert in frame.payload.active}
        elif isinstance(frame.payload, list):
            for r in frame.payload:
                key = f"{frame.kind} " + (f"{r.object:#x}" if isinstance(r.object, int) else r.object)
                number = Validity(r.validity).name if isinstance(r.value, float) and isnan(r.value) else f"{r.value:g}"
                values.setdefault(key, {})[f"{number} {r.unit}" if r.unit else number] = None
    return {
        "frames": dict(sorted(Counter(event.kind for event in events if isinstance(event, Frame)).items())),
        "faults": [event.reason for event in events if isinstance(event, Fault)],
        "identified": [f"{e.vendor} {e.model} {e.firmware}" for e in events if isinstance(e, Identified)],
        "values": {key: ", ".join(numbers) for key, numbers in sorted(values.items())},
        "alerts": sorted(active),
        "wave_samples": dict(sorted(samples.items())),
    }


def expected_of(events: list[Event]) -> str:
    return json.dumps(summary(events), indent=1, ensure_ascii=False) + "\n"


def wire_of(name: str) -> Wire:
    ways = {Direction.TO_DEVICE: ">", Direction.FROM_DEVICE: "<"}
    return [((t_ns - T0) / 1e9, ways[way], data) for t_ns, way, data in open_capture(path_of(name))]


def make(name: str) -> None:
    """Write one recording, and beside it what the driver reads in it."""
    profile_name, seconds, options = CAPTURES[name]
    path = path_of(name)
    path.unlink(missing_ok=True)
    note = f"made by the simulator for profile draeger/{profile_name}; no device, no patient"
    writer = RecordingWriter(path, Header("2026-01-01T00:00:00Z", "0.1.0", "lab", DRIVER.name, "simulator", note=note))
    for now, way, data in converse(profile_name, seconds, options)[1]:
        direction = Direction.TO_DEVICE if way == ">" else Direction.FROM_DEVICE
        writer.append(T0 + round(now * 1e9), direction, data)
    writer.close()
    path.chmod(0o644)
    path.with_suffix(".expected.json").write_text(expected_of(read(name, wire_of(name))), encoding="utf-8")


@each
def test_the_driver_reads_in_the_recording_what_is_written_beside_it(name: str) -> None:
    assert expected_of(read(name, wire_of(name))) == path_of(name).with_suffix(".expected.json").read_text("utf-8")


@each
def test_the_driver_still_asks_the_same(name: str) -> None:
    """Byte for byte; what the simulated device answers follows the scene, which may learn new courses."""
    profile_name, seconds, options = CAPTURES[name]
    recorded = [data for _, way, data in wire_of(name) if way == ">"]
    assert [data for _, way, data in converse(profile_name, seconds, options)[1] if way == ">"] == recorded


@each
def test_a_replay_gives_the_events_of_the_day(name: str) -> None:
    profile_name, seconds, options = CAPTURES[name]
    events, wire = converse(profile_name, seconds, options)
    assert summary(read(name, wire)) == summary(events)


if __name__ == "__main__":
    for capture in CAPTURES:
        make(capture)
