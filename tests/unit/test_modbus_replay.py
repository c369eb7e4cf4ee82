"""Recordings: two ways to run one again.

By its own schedule, called at the times of the recording: the protocol asks again what it asked, byte for byte.
Told what was sent (`was_sent`): also where those times are a little off, and from the middle of a recording.

The captures of the driver are made here, from the simulator: python -m tests.unit.test_modbus_replay
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.modbus.protocol import ModbusProtocol
from drivers.modbus.simulator import ModbusServer, Scenario, incubator, simulator, tagged
from gateway import registry
from gateway.core.frame import Event, Fault, Frame
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene, Table
from gateway.decode import Decoder, decode_file
from gateway.record import Direction, Header, Record, RecordingWriter, open_capture
from tests.unit.modbus_rig import ROOT, Line, block, devices, events, hettcube, shipped

CAPTURES = ROOT / "drivers" / "modbus" / "captures"
BEGAN_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
Wire = list[tuple[float, str, bytes]]
FREEZER = {  # what the freezer of the recording shows; every thermocouple the same
    "MDCX_FREEZER_TEMP_TC": -80.2,
    "MDCX_FREEZER_TEMP_SETTING": -80.0,
    "MDCX_FREEZER_ALARM_WARM_SETTING": -70.0,
    "MDCX_FREEZER_ALARM_COLD_SETTING": -90.0,
}

UNITS = {
    1: [block("a", fc=4, count=2), block("b", fc=3, address=9, interval_s=2.0)],
    2: [block("a", fc=1, address=3, count=20, interval_s=0.5)],
    7: [block("a", fc=3), block("b", fc=3, address=5), block("c", fc=2, count=9, interval_s=5.0)],
}
WELL = dict.fromkeys(UNITS, Scenario(delay_s=0.004, jitter_s=0.02))
SCENES: dict[str, dict[int, Scenario]] = {
    "all well": WELL,
    "one dead": {**WELL, 2: Scenario(dead=True)},
    "one late": {**WELL, 1: Scenario(delay_s=0.6, jitter_s=0.6)},
    "noise": {unit: replace(good, flipped=0.1, lost=0.1) for unit, good in WELL.items()},
    "refusals": {**WELL, 7: replace(WELL[7], exception=2)},
}


def run(framing: str, scene: str, seed: int, lag_s: float = 0.0) -> tuple[Wire, list[Event]]:
    """Two minutes of a line whose port wakes up to `lag_s` late: (what was sent and heard, events)."""
    rng = random.Random(seed)
    server = ModbusServer(framing, {unit: tagged(unit) for unit in UNITS}, SCENES[scene], seed)
    line = Line(_master(framing), server, lag=lambda: rng.random() * lag_s).run(120.0)
    return line.wire, [event for _, event in line.said]


def _master(framing: str) -> ModbusProtocol:
    return ModbusProtocol(devices(UNITS), {"framing": framing})


def replay(protocol: ModbusProtocol, wire: Wire, tell: bool) -> tuple[list[bytes], list[Event]]:
    """Run the records through the protocol: (what it sent, events). It is asked at the times that it wants as well."""
    protocol.start(wire[0][0])
    sent = []
    for t, way, data in wire:
        while (wake := protocol.next_wake()) is not None and wake < t:
            sent.append(protocol.data_to_send(wake))
            if (after := protocol.next_wake()) is not None and after <= wake:
                break
        if way == "<":
            protocol.receive_data(data, round(t * 1e9))
        if way == ">" and tell:
            protocol.was_sent(data, t)
        else:
            sent.append(protocol.data_to_send(t))
    return [data for data in sent if data], events(protocol)


def told(found: list[Event]) -> tuple[list[Event], list[str]]:
    """What a person would compare: the frames in order, and how often bytes were thrown away for which reason."""
    frames: list[Event] = [event for event in found if isinstance(event, Frame)]
    return frames, sorted(event.reason for event in found if isinstance(event, Fault) and event.bad_frame)


def _scene(framing: str, scene: str) -> str:
    return "all well" if framing == "tcp" and scene == "noise" else scene  # TCP has a checksum of its own


framings, scenes, seeds = (
    st.sampled_from(["rtu", "ascii", "tcp"]),
    st.sampled_from(sorted(SCENES)),
    st.integers(0, 9999),
)


@settings(max_examples=30)
@given(framings, scenes, seeds)
def test_at_the_recorded_times_the_same_is_asked_byte_for_byte(framing: str, scene: str, seed: int) -> None:
    wire, said = run(framing, _scene(framing, scene), seed)
    asked, heard = replay(_master(framing), wire, tell=False)
    assert asked == [data for _, way, data in wire if way == ">"]
    assert told(heard) == told(said)


@settings(max_examples=10)
@given(framings, seeds)
def test_a_line_that_works_replays_by_its_schedule_even_when_times_are_off(framing: str, seed: int) -> None:
    wire, said = run(framing, "all well", seed, lag_s=0.003)
    asked, heard = replay(_master(framing), written_late(wire, seed), tell=False)
    assert asked == [data for _, way, data in wire if way == ">"]
    assert told(heard) == told(said)


@settings(max_examples=30)
@given(framings, scenes, seeds, st.integers(0, 200))
def test_told_what_was_sent_it_hears_the_same_from_any_point_on(
    framing: str, scene: str, seed: int, start: int
) -> None:
    wire, said = run(framing, _scene(framing, scene), seed, lag_s=0.003)
    wire = written_late(wire, seed)[start:]
    while wire[0][1] == "<":  # begin with a request
        del wire[0]
    _, heard = replay(_master(framing), wire, tell=True)
    first_ns = round(wire[0][0] * 1e9)
    expected = [event for event in said if isinstance(event, Frame) and event.t_ns > first_ns]
    got = [event for event in heard if isinstance(event, Frame)]
    assert [replace(e, after_gap=False) for e in got] == [replace(e, after_gap=False) for e in expected]


def written_late(wire: Wire, seed: int) -> Wire:
    """A recorder stamps a request when it has been written: up to 2 ms after the protocol was asked for it."""
    rng = random.Random(seed + 1)
    return [(t + (rng.random() * 0.002 if way == ">" else 0.0), way, data) for t, way, data in wire]


def test_told_what_was_sent_it_finds_no_fault_where_there_was_none_and_the_faults_there_were() -> None:
    wire, said = run("tcp", "all well", 1)
    assert not [event for event in said if isinstance(event, Fault)]
    del wire[-1 if wire[-1][1] == ">" else len(wire) :]  # the end may cut off a reply
    protocol = _master("tcp")
    protocol.start(0.0)
    protocol.data_to_send(0.0)  # as a replay may do before it knows the first record
    for t, way, data in wire:
        if way == ">":
            protocol.was_sent(data, t)
        else:
            protocol.receive_data(data, round(t * 1e9))
    assert events(protocol) == said
    protocol.was_sent(wire[0][2], 200.0)
    protocol.was_sent(wire[0][2], 200.6)
    assert [event.reason for event in events(protocol) if isinstance(event, Fault)] == ["timeout"]


def test_a_request_that_is_not_in_the_plan_has_no_answer() -> None:
    protocol = _master("tcp")
    protocol.start(0.0)
    protocol.was_sent(bytes.fromhex("00 01 00 00 00 06 01 04 00 50 00 01"), 0.0)
    protocol.was_sent(b"\x00garbage", 0.0)
    protocol.receive_data(bytes.fromhex("00 01 00 00 00 05 01 04 02 01 72"), 1)
    assert [protocol.data_to_send(t) for t in (0.1, 0.2, 9.0)] == [b""] * 3
    assert [event.reason for event in events(protocol) if isinstance(event, Fault)] == ["unexpected"]


def _records(wire: Wire) -> list[Record]:
    way = {">": Direction.TO_DEVICE, "<": Direction.FROM_DEVICE}
    return [Record(BEGAN_NS + round(t * 1e9), way[w], data) for t, w, data in wire]


def freezer_capture() -> list[Record]:
    """A minute of a freezer, unit 25 as in its manual: ASCII, addresses of bytes, a status of one byte."""
    device = [DeviceSpec(0, shipped("thermo/ult_freezer"), {"unit": 25})]
    scene = Scene(table=Table([0.0], {ref_id: ("Cel", [value]) for ref_id, value in FREEZER.items()}))
    line = Line(ModbusProtocol(device, {}), simulator(device, {}, scene)).run(60.0)
    return _records(line.wire)


def test_the_capture_of_the_freezer_is_what_the_simulator_says_and_replays() -> None:
    records = list(open_capture(CAPTURES / "ult_freezer_ascii.mdirec"))
    assert records == freezer_capture()
    found = shipped("thermo/ult_freezer")
    decoder = Decoder(found, registry.Profiles(), {}, {"unit": 25})
    told = np.concatenate([samples for _, _, samples in decode_file(decoder, CAPTURES / "ult_freezer_ascii.mdirec")])
    shown: dict[str, set[float]] = {}
    for row in told:
        metric = decoder.plan.metrics[row["metric"]]
        if metric.kind == "numeric":
            shown.setdefault(metric.ref_id, set()).add(round(float(row["value"]), 1))
    assert shown == {ref_id: {value} for ref_id, value in FREEZER.items()}
    assert {metric.path for metric in decoder.plan.metrics} == {decoder.plan.metrics[i].path for i in told["metric"]}
    assert not decoder.faults


def capture(name: str) -> list[Record]:
    """The records of a shipped capture of the incubator."""
    framing, scenario, until = {
        "hettcube_tcp": ("tcp", Scenario(), 900.0),
        "hettcube_rtu_noisy": ("rtu", Scenario(flipped=0.05, lost=0.03, delay_s=0.1, jitter_s=0.45), 900.0),
    }[name]
    server = ModbusServer(framing, {1: incubator(4, 1)}, {1: scenario}, seed=4)
    line = Line(ModbusProtocol([DeviceSpec(0, hettcube())], {"framing": framing}), server).run(until)
    return _records(line.wire)


@pytest.mark.parametrize("name", ["hettcube_tcp", "hettcube_rtu_noisy"])
def test_the_shipped_captures_are_what_the_simulator_says_and_replay(name: str) -> None:
    records = list(open_capture(CAPTURES / f"{name}.mdirec"))
    assert records == capture(name)
    wire = [((r.t_ns - BEGAN_NS) / 1e9, ">" if r.direction == Direction.TO_DEVICE else "<", r.data) for r in records]
    framing = name.split("_")[1]
    protocol = ModbusProtocol([DeviceSpec(0, hettcube())], {"framing": framing})
    asked, heard = replay(protocol, wire, tell=False)
    assert asked == [data for _, way, data in wire if way == ">"]
    temperatures = [
        int.from_bytes(e.payload, "big", signed=True) / 10
        for e in heard
        if isinstance(e, Frame) and e.kind == "temperature" and isinstance(e.payload, bytes)
    ]
    assert len(temperatures) == {"hettcube_tcp": 181, "hettcube_rtu_noisy": 180}[name]
    assert 33.0 < min(temperatures) < max(temperatures) < 37.5
    doors = [
        e.payload[1] for e in heard if isinstance(e, Frame) and e.kind == "status" and isinstance(e.payload, bytes)
    ]
    assert set(doors) == {0, 1}


def write_captures(folder: Path) -> None:
    made = {name: capture(name) for name in ("hettcube_tcp", "hettcube_rtu_noisy")}
    for name, records in {**made, "ult_freezer_ascii": freezer_capture()}.items():
        path = folder / f"{name}.mdirec"
        path.unlink(missing_ok=True)
        header = Header("2026-01-01T00:00:00Z", "0.1.0", "lab", "modbus", "simulator", note="made by the simulator")
        writer = RecordingWriter(path, header)
        for record in records:
            writer.append(*record)
        writer.close()
        path.chmod(0o644)  # no device, no patient: the repository's own


if __name__ == "__main__":
    write_captures(CAPTURES)
