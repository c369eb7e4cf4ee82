"""Recordings of the simulated ventilators, and what their drivers read in them, now and when they are replayed.

The captures of the drivers are made here: python -m tests.unit.test_ventilator_captures
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.core.frame import Event, Frame, Wave
from gateway.record import Direction, Header, RecordingWriter, open_capture
from tests.conftest import ROOT
from tests.unit.ventilator_rig import T0, Talk, Wire, converse, decoded, profile_of, replay

Capture = tuple[str, float, dict[str, Any], dict[str, Any]]
CAPTURES: dict[str, Capture] = {  # file -> profile, seconds, scenario of the simulator, options of the driver
    "sndf": ("puritan_bennett/pb840_sndf", 42.0, {}, {"poll_s": 10.0}),
    "snda": ("puritan_bennett/pb840_snda", 42.0, {}, {"poll_s": 10.0}),
    "waveforms": ("puritan_bennett/pb840_waves", 13.0, {}, {}),
    "session": ("maquet/servo_i", 8.5, {}, {}),
    "conflict": ("maquet/servo_i", 3.0, {"conflict": 209}, {}),
    "standby": ("maquet/servo_i", 3.0, {"standby": True}, {}),
    "two_rounds": ("hamilton/polling", 5.0, {}, {}),
}
each = pytest.mark.parametrize("name", CAPTURES)


def path_of(name: str) -> Path:
    return ROOT / "drivers" / profile_of(CAPTURES[name][0]).driver / "captures" / f"{name}.mdirec"


def talk_of(name: str) -> Talk:
    profile_id, seconds, scenario, options = CAPTURES[name]
    return converse(profile_id, seconds, scenario, options=options)


def expected_of(profile_id: str, events: list[Event]) -> str:
    text = json.dumps(decoded(profile_id, events), indent=1, ensure_ascii=False, sort_keys=True)
    return text + "\n"


def make(name: str) -> None:
    """Write one recording, and beside it what the driver reads in it."""
    profile_id, _, scenario, _ = CAPTURES[name]
    path = path_of(name)
    path.unlink(missing_ok=True)
    driver = profile_of(profile_id).driver
    note = f"made by the simulator for profile {profile_id}, scenario {scenario}; no device, no patient"
    writer = RecordingWriter(path, Header("2026-01-01T00:00:00Z", "0.1.0", "lab", driver, "simulator", note=note))
    talk = talk_of(name)
    for now, way, data in talk.wire:
        direction = Direction.TO_DEVICE if way == ">" else Direction.FROM_DEVICE
        writer.append(T0 + round(now * 1e9), direction, data)
    writer.close()
    path.chmod(0o644)
    path.with_suffix(".expected.json").write_text(expected_of(profile_id, talk.events), encoding="utf-8")


def wire_of(name: str) -> Wire:
    ways = {Direction.TO_DEVICE: ">", Direction.FROM_DEVICE: "<"}
    return [((t_ns - T0) / 1e9, ways[way], data) for t_ns, way, data in open_capture(path_of(name))]


@each
def test_the_driver_reads_in_the_recording_what_is_written_beside_it(name: str) -> None:
    profile_id = CAPTURES[name][0]
    text = expected_of(profile_id, replay(profile_id, wire_of(name)))
    assert text == path_of(name).with_suffix(".expected.json").read_text(encoding="utf-8")


@each
def test_the_simulator_still_says_the_same(name: str) -> None:
    recorded = wire_of(name)
    assert [(way, data) for _, way, data in talk_of(name).wire] == [(way, data) for _, way, data in recorded]


@each
def test_a_replay_gives_the_events_of_the_day(name: str) -> None:
    def comparable(events: list[Event]) -> list[str]:
        return [repr(e) for e in events if not (isinstance(e, Frame) and isinstance(e.payload, Wave))]

    talk = talk_of(name)
    assert comparable(replay(CAPTURES[name][0], talk.wire)) == comparable(talk.events)


if __name__ == "__main__":
    for capture in CAPTURES:
        make(capture)
