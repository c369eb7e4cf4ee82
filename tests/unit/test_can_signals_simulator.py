"""The simulated bus: deterministic, within the ranges of the profile, and recorded.

`python -m tests.unit.test_can_signals_simulator` writes the recordings anew.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.can_signals import DRIVER, CanSignalsSimulator
from gateway.core.errors import ConfigError
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Flag, Validity
from gateway.core.scene import Scene
from tests.unit.can_signals_rig import ROOT, drain, faults, frames, profile, readings, smartecla, started

CAPTURES = ROOT / "drivers" / "can_signals" / "captures"
START_S, SECONDS = 1000.0, 3.0
SCENARIOS: dict[str, dict[str, Any]] = {
    "ecmo_patient": {"seed": 1},
    "faults": {
        "seed": 2,
        "leave_out": ["AS3", "PiCCO2", "CDI500", "Servo300", "TCM"],
        "error_every": 10,
        "out_of_range": ["BloodPump_rpm.value", "SonoTT_coupling1.value"],
    },
    "no_values": {
        "seed": 3,
        "leave_out": ["PiCCO2", "CDI500", "Servo300", "TCM", "SonoTT", "BloodPump", "GasBlender", "PressureBoard"],
        "invalid": ["AS3_spo2_spo2.value", "AS3_temp3.value"],
    },
}


def simulator(options: dict[str, Any], said: Any = None) -> CanSignalsSimulator:
    return CanSignalsSimulator([DeviceSpec(0, smartecla())], options, Scene(), said)


def line(options: dict[str, Any], start: float = START_S, seconds: float = SECONDS, step: float = 0.25) -> bytes:
    """Return what is on the bus from `start` on."""
    bus = simulator(options)
    assert bus.data_to_send(start) == b""
    return b"".join(bus.data_to_send(start + step * (i + 1)) for i in range(round(seconds / step)))


def described(data: bytes) -> dict[str, Any]:
    """Return what the driver makes of a recording, for a person to read."""
    protocol = started([smartecla()])
    protocol.receive_data(data, 0)
    events = drain(protocol)
    found: dict[str, list[object]] = {}
    for frame in frames(events):
        for reading in readings(frame):
            value = None if math.isnan(reading.value) else reading.value
            marked = value if reading.validity == Validity.VLD else [value, Validity(reading.validity).name]
            found.setdefault(str(reading.object), []).append(marked)
    return {
        "records": len(data) // 16,
        "faults": dict(Counter(f"{fault.reason}: {fault.detail}" for fault in faults(events))),
        "values": dict(sorted(found.items())),
    }


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_recording_is_what_the_simulator_says_today(name: str) -> None:
    assert (CAPTURES / f"{name}.bin").read_bytes() == line(SCENARIOS[name])


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_recording_decodes_to_what_stands_beside_it(name: str) -> None:
    expected = json.loads((CAPTURES / f"{name}.expected.json").read_text(encoding="utf-8"))
    assert described((CAPTURES / f"{name}.bin").read_bytes()) == expected


def test_the_driver_hears_what_the_simulator_says_it_said() -> None:
    """cantools' own scaling, in the simulator, is the judge of ours."""
    said: list[tuple[str, float]] = []
    bus = simulator({"seed": 7, "invalid": ["AS3_temp1.value"]}, lambda name, value: said.append((name, value)))
    bus.data_to_send(0.0)
    protocol = started([smartecla()])
    protocol.receive_data(bus.data_to_send(1.0), 0)
    heard = [(str(r.object), r.value) for frame in frames(drain(protocol)) for r in readings(frame)]
    assert [name for name, _ in heard] == [name for name, _ in said]
    assert [value for _, value in heard] == pytest.approx([value for _, value in said], rel=1e-12, nan_ok=True)
    assert math.isnan(dict(heard)["AS3_temp1.value"])


def test_every_metric_is_sent_once_a_second_and_is_in_range() -> None:
    """An hour of the patient, a second in every five minutes."""
    profile_ = smartecla()
    plan = Plan(profile_, "2690", nomenclature())
    protocol = started([profile_])
    episodic = {metric.index for metric in plan.metrics if metric.episodic}
    for minute in range(0, 60, 5):
        protocol.receive_data(line({}, 60.0 * minute, 1.0), 0)
        block = np.concatenate([plan.decode(frame, 0) for frame in frames(drain(protocol))])
        first = np.array([minute == 0 and row["metric"] in episodic for row in block])
        assert (block["validity"] == np.where(first, Validity.QST, Validity.VLD)).all()
        assert set(block["metric"]) | episodic == set(range(len(plan.metrics)))
        assert len(set(block["metric"])) == len(block)
        assert all(bool(row["flags"] & Flag.EPISODIC) == (row["metric"] in episodic) for row in block)
    assert not plan.unmapped


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.lists(st.floats(0.0, 3.0), max_size=12))
def test_asking_more_often_changes_nothing(start: int, times: list[float]) -> None:
    whole, often = simulator({}), simulator({})
    for bus in (whole, often):
        bus.data_to_send(float(start))
    parts = [often.data_to_send(start + t) for t in sorted(times)]
    assert b"".join([*parts, often.data_to_send(start + 3.0)]) == whole.data_to_send(start + 3.0)


def test_waking_when_asked_to_gives_one_frame_at_a_time() -> None:
    bus, now = simulator({}), 123456.789
    bus.data_to_send(now)
    sent = b""
    while len(sent) < 16 * 400:
        wake = bus.next_wake()
        assert wake is not None
        assert wake > now
        now = wake
        data = bus.data_to_send(now)
        assert data
        sent += data
    assert sent == line({}, 123456.789, 4.0)[: len(sent)]


def test_another_seed_is_another_day() -> None:
    assert line({"seed": 1}) != line({"seed": 2})


def test_a_pause_is_not_made_up_for() -> None:
    bus = simulator({})
    bus.data_to_send(0.0)
    assert len(bus.data_to_send(1e6)) // 16 == 10 * len(line({}, 0.0, 1.0)) // 16


def test_nodes_that_are_left_out_are_silent() -> None:
    every = {f"{node}_" for node in ("AS3", "CDI500", "PiCCO2", "TCM", "N560")}
    named = {name.split("_")[0] + "_" for name in described(line({"leave_out": ["AS3", "TCM"]}))["values"]}
    assert every - named == {"AS3_", "TCM_"}


@pytest.mark.parametrize(
    "options",
    [
        {"speed": 2},
        {"seed": "1"},
        {"leave_out": ["AS4"]},
        {"out_of_range": ["AS3_spo2_spo2"]},
        {"invalid": ["N560_spo2.value"]},
    ],
)
def test_a_scenario_that_would_test_nothing_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        simulator(options)


def test_any_dbc_can_be_simulated() -> None:
    bus = DRIVER.simulator([DeviceSpec(0, profile())], {"out_of_range": ["Plain.coarse"]}, Scene())
    bus.data_to_send(0.0)
    protocol = started([profile()])
    protocol.receive_data(bus.data_to_send(2.0), 0)
    events = drain(protocol)
    assert [readings(frame)[1].validity for frame in frames(events)] == [Validity.OFLW, Validity.OFLW]


def shown(scene: Scene, seconds: float = 2.0) -> dict[str, list[float]]:
    """Return what the bus of a scene says: object -> its numbers; an empty list: it says that there is none."""
    bus = CanSignalsSimulator([DeviceSpec(0, smartecla())], {}, scene)
    bus.data_to_send(0.0)
    protocol = started([smartecla()])
    protocol.receive_data(bus.data_to_send(seconds), 0)
    found: dict[str, list[float]] = {}
    for frame in frames(drain(protocol)):
        for reading in readings(frame):
            numbers = found.setdefault(str(reading.object), [])
            if reading.validity != Validity.NA:
                numbers.append(float(reading.value))
    return found


def test_what_the_scene_knows_is_what_the_bus_shows() -> None:
    """In the unit and with the scale of the wire: 97.4 % is 9740 in hundredths, 22 cmH2O goes out in mbar."""
    scene = Scene(fixed={"MDC_PULS_OXIM_SAT_O2": 97.4, "MDC_ECG_HEART_RATE": 61.0, "MDC_PRESS_AWAY_INSP_PEAK": 22.0})
    found = shown(scene)
    assert set(found["AS3_spo2_spo2.value"]) == {97.4}
    assert set(found["N560_spo2.value"]) == {97.0}  # whole per cent
    assert set(found["AS3_ecg_hr.value"]) == {61.0}
    assert found["AS3_flow_ppeak.value"][0] == pytest.approx(22.0, abs=0.01)


def test_a_cuff_pressure_is_that_of_its_last_measurement() -> None:
    scene = Scene()
    at = scene.measured_at("MDC_PRESS_BLD_NONINV_SYS", 130.0)
    assert at is not None
    found = shown(scene, 130.0)["AS3_noninv_pressure_sys.value"]
    assert found[-1] == pytest.approx(scene.value("MDC_PRESS_BLD_NONINV_SYS", at), abs=0.01)
    assert len(found) <= 4  # one a minute, and the old one at the start


def test_where_nothing_is_measured_only_the_numbers_for_that_are_sent() -> None:
    found = shown(Scene(nothing=True))
    assert {name.split("_")[0] for name in found} == {"AS3"}  # no other node has such a number in the profile
    assert not any(found.values())
    one = shown(Scene(fixed={"MDC_PULS_OXIM_SAT_O2": None}))
    assert one["AS3_spo2_spo2.value"] == []
    assert "N560_spo2.value" not in one
    assert one["N560_bpm.value"]


def test_what_the_gateway_writes_is_counted() -> None:
    bus = simulator({})
    bus.receive_data(b"x", 0.0)
    assert bus.received == 1


def write() -> None:
    """Write the recordings anew."""
    for name, options in SCENARIOS.items():
        data = line(options)
        (CAPTURES / f"{name}.bin").write_bytes(data)
        (CAPTURES / f"{name}.expected.json").write_text(_readable(described(data)), encoding="utf-8")


def _readable(found: dict[str, Any]) -> str:
    """Return JSON with each signal on a line."""
    rows = ",\n".join(f"    {json.dumps(name)}: {json.dumps(numbers)}" for name, numbers in found["values"].items())
    head = json.dumps({key: found[key] for key in ("records", "faults")}, indent=2)
    return head[:-2] + ',\n  "values": {\n' + rows + "\n  }\n}\n"


if __name__ == "__main__":
    write()
