"""The simulated monitor shows what the scene measures: each row of the profile, its number and its absence."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from drivers.philips_intellivue.bedside import PERFUSION, PREMATURE, decimals, dressed
from drivers.philips_intellivue.modules import LABELS, SETS, SHAPES, Modules, number
from drivers.philips_intellivue.options import Scenario, scenario
from gateway.core.alert import Phase, unpack
from gateway.core.errors import ConfigError
from gateway.core.frame import Alerts, Event, Frame, Wave
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.sample import IS_USABLE, Flag
from gateway.core.scene import Scene
from tests.unit.intellivue_rig import PROFILE, Talk, alerts_in, frames, readings_of, waves_of

STILL = Scene(seed=1, still=True)
SCENES = {"still": STILL, "nothing": Scene(seed=1, nothing=True)}
ROWS = {row.path: row for channel in PROFILE.channels for row in channel.metrics}


@cache
def minute(carrier: str, scene: str) -> tuple[Event, ...]:
    return tuple(Talk(waves=None, carrier=carrier, scene=SCENES[scene]).until(60.0))


@cache
def plan() -> Plan:
    return Plan(PROFILE, "", nomenclature())


def blocks(events: tuple[Event, ...]) -> list[np.ndarray]:
    found = plan().twin()
    return [block for event in events if isinstance(event, Frame) and len(block := found.decode(event, 0))]


@pytest.mark.parametrize("carrier", ["serial", "udp"])
def test_within_a_minute_every_row_comes_with_a_usable_value(carrier: str) -> None:
    usable = {
        index for b in blocks(minute(carrier, "still")) for index in b["metric"][IS_USABLE[b["validity"]]].tolist()
    }
    assert [metric.path for metric in plan().metrics if metric.index not in usable] == []
    twin = plan().twin()
    for event in minute(carrier, "still"):
        if isinstance(event, Frame):
            twin.decode(event, 0)
    assert not twin.unmapped


def test_every_number_is_the_one_of_the_scene_in_the_unit_of_its_row() -> None:
    """To the decimals that the monitor shows, and always the same, because the scene stands still."""
    seen: dict[str, set[float]] = {}
    for block in blocks(minute("serial", "still")):
        for row in block[~np.isnan(block["value"]) & ((block["flags"] & np.uint8(Flag.WAVEFORM)) == 0)]:
            seen.setdefault(plan().metrics[row["metric"]].path, set()).add(float(row["value"]))
    for path, row in ROWS.items():
        if row.kind == "numeric":
            expected = STILL.raw(replace(row, id=PREMATURE.get(row.id, row.id)), 0.0)
            assert expected is not None
            expected *= 100 if row.id == PERFUSION else 1
            assert len(seen[path]) == 1, path
            assert seen[path].pop() == pytest.approx(expected, abs=0.501 * 10 ** -decimals(row)), path


def test_waves_are_those_of_the_scene() -> None:
    talk = Talk(waves=(LABELS + 0x4A14, LABELS + 0x50AC), scene=STILL)
    for wave in waves_of(talk.until(6.0)):
        limits = {0x4A14: (71.0, 71 + 82 * 0.61), 0x50AC: (0.0, 38.1)}[int(wave.object)]
        assert limits[0] - 0.1 <= wave.samples.min() <= wave.samples.max() <= limits[1] + 0.1


def test_every_wave_of_the_profile_has_a_shape_that_holds_what_the_scene_breathes_and_beats() -> None:
    times = np.arange(0, 10, 0.008)
    for wave in Modules(PROFILE, "").waves:
        low, high, *_ = wave.shape.scale
        physical = STILL.wave(wave.row.id, times)
        if wave.row.unit == "Ohm":
            physical = 0.65 + physical / 50
        assert low <= physical.min() <= physical.max() <= high, wave.row.id
    assert {row.unit for row in ROWS.values() if row.kind == "waveform"} == set(SHAPES)


@pytest.mark.parametrize("carrier", ["serial", "udp"])
def test_nothing_measured_is_no_value_anywhere(carrier: str) -> None:
    events = minute(carrier, "nothing")
    assert {r.validity for r in readings_of(list(events))} == {8}  # NA
    assert all(math.isnan(value) for block in blocks(events) for value in block["value"][block["validity"] == 8])
    assert all(np.isnan(wave.samples).all() for wave in waves_of(list(events)))
    assert all(alerts_in(frame) == [] for frame in frames(list(events), "alert"))
    assert frames(list(events), "alert")  # an empty list is said all the same
    assert {type(e.payload) for e in events if isinstance(e, Frame)} == {list, Wave, Alerts}


def test_every_alert_of_the_profile_begins_and_ends_within_a_minute() -> None:
    begun: set[str] = set()
    ended: set[str] = set()
    for block in blocks(minute("serial", "still")):
        for row in block:
            metric = plan().metrics[row["metric"]]
            if metric.kind == "alert" and row["note"]:
                phase, _ = unpack(row["value"])
                (ended if phase is Phase.END else begun).add(metric.path)
    assert begun == ended == {path for path, row in ROWS.items() if row.kind == "alert"}


def test_alerts_are_of_what_they_are_about() -> None:
    told = {a.object: a for f in frames(list(minute("serial", "still")), "alert") for a in alerts_in(f)}
    assert (told[0x0CAE].source, told[0x0CAE].text) == (0x4BB8, "DESAT")
    assert told[0x0C32].source == 0x4182  # extreme tachycardia, heart rate
    assert told[0x100C2].source == 0  # battery low: the monitor itself
    assert told[0x1FFFE].technical  # an event that no profile knows


def test_a_number_of_the_scenario_takes_the_place_of_that_of_the_scene() -> None:
    options: dict[str, Any] = {
        "hr": 130.0,
        "spo2": 84.0,
        "sys": 180.0,
        "dia": 90.0,
        "temp": 39.5,
        "rr": 8.0,
        "etco2": 60.0,
        "perf": 0.3,
    }
    talk = Talk(scene=STILL, begin=70.0, **options)
    found = {r.object: r.value for r in readings_of(talk.until(72.0))}
    assert [found[code] for code in (0x4182, 0x4822, 0x480A)] == [130.0] * 3
    assert [found[code] for code in (0x4A15, 0x4A16, 0x4A17)] == [180.0, 90.0, 120.0]
    assert [found[code] for code in (0x4A05, 0x4A06, 0x4A07)] == [180.0, 90.0, 120.0]
    assert [found[code] for code in (0x4BB8, 0x4B48, 0x500A, 0x4BB0)] == [84.0, 39.5, 8.0, 0.3]
    assert found[0x50B0] == 8.0  # 60 mmHg; the profile has kPa
    assert dressed(Scene(fixed={"MDC_TEMP": 36.0}), Scenario(hr=80.0)).fixed["MDC_TEMP"] == 36.0
    assert dressed(STILL, Scenario()) == STILL


def test_what_is_not_measured_in_the_scene_is_not_measured_at_the_bed() -> None:
    scene = Scene(seed=1, still=True, fixed={"MDC_TEMP_CORE": None})
    readings = readings_of(Talk(scene=scene).until(2.0))
    assert {r.validity for r in readings if r.object == 0x4B60} == {8}
    assert {r.validity for r in readings if r.object == 0x4B48} == {0}


def test_pressures_with_three_numbers_are_one_object_with_the_label_of_the_pressure() -> None:
    compounds = {numeric.label: [number(row) for row in numeric.rows] for numeric in Modules(PROFILE, "").numerics}
    assert compounds[0x0002_4A14] == [0x4A14]  # the single value comes later, under the same label
    labels = [(n.label, len(n.rows)) for n in Modules(PROFILE, "").numerics if len(n.rows) > 1]
    assert (0x0002_4A04, 3) in labels  # NBP, ABP, ICP: labels of section 11
    assert (0x0002_4A14, 3) in labels
    assert (0x0002_5808, 3) in labels
    assert len(labels) == 15


def test_a_monitor_of_an_icu_shows_what_hangs_over_a_bed() -> None:
    """Every number and wave of it can be a patient's, nothing is made up, and all of it is there at once."""
    talk = Talk(waves=None, scene=Scene(seed=1), only=("icu",))
    events = talk.until(70.0)
    shown: dict[str, list[float]] = {}
    for block in blocks(tuple(events)):
        for row in block[IS_USABLE[block["validity"]]]:
            shown.setdefault(plan().metrics[row["metric"]].path, []).append(float(row["value"]))
    assert {ROWS[path].id for path in shown} >= set(SETS["icu"])
    assert {ROWS[path].id for path in shown} - set(SETS["icu"]) == {"MDC_ATTR_TIME_ABS", "MDC_EVT_ALARM"}
    assert {a.text for f in frames(events, "alert") for a in alerts_in(f)} == {"DESAT", "TACHY"}
    limits = {
        "MDC_ECG_HEART_RATE": (60, 85), "MDC_ECG_V_P_C_CNT": (0, 5), "MDC_RESP_RATE": (12, 18),
        "MDC_PULS_OXIM_SAT_O2": (94, 100), "MDC_PULS_OXIM_PULS_RATE": (60, 85), "MDC_PULS_OXIM_PERF_REL": (1, 4),
        "MDC_PRESS_BLD_NONINV_SYS": (100, 140), "MDC_PRESS_BLD_NONINV_DIA": (60, 80),
        "MDC_PRESS_BLD_NONINV_MEAN": (75, 100), "MDC_PRESS_BLD_ART_ABP_SYS": (100, 140),
        "MDC_PRESS_BLD_ART_ABP_DIA": (60, 80), "MDC_PRESS_BLD_ART_ABP_MEAN": (75, 100),
        "MDC_PRESS_BLD_VEN_CENT_MEAN": (2, 12), "MDC_TEMP": (36, 38), "MDC_AWAY_CO2_ET": (4.5, 6),
        "MDC_AWAY_RESP_RATE": (12, 18), "MDC_ECG_ELEC_POTL_II": (-1, 2), "MDC_PULS_OXIM_PLETH": (0, 1),
        "MDC_PRESS_BLD_ART_ABP": (60, 140), "MDC_AWAY_CO2": (-0.1, 6),
    }  # fmt: skip
    for path, values in shown.items():
        if ROWS[path].kind in ("numeric", "waveform"):
            low, high = limits[ROWS[path].id]
            assert low <= min(values) <= max(values) <= high, ROWS[path].id


def test_only_takes_ids_and_names_what_it_does_not_know() -> None:
    assert scenario({"only": "icu"})[0].only == ("icu",)
    found, _ = scenario({"only": "MDC_TEMP,MDC_PULS_OXIM_SAT_O2"})
    assert found == scenario({"only": ["MDC_TEMP", "MDC_PULS_OXIM_SAT_O2"]})[0]
    talk = Talk(scene=STILL, only=found.only)
    assert {r.object for r in readings_of(talk.until(3.0))} == {0x4B48, 0x4BB8}  # the first of three and of two rows
    with pytest.raises(ConfigError, match="'MDC_TEMB' is not measured"):
        Modules(PROFILE, "", ["MDC_TEMB"])


def test_leads_that_are_off_are_told_however_little_is_plugged_in() -> None:
    talk = Talk(scene=STILL, only=("icu",), leads_off_s=(0.0, 9.0))
    told = {a.object for f in frames(talk.until(4.0), "alert") for a in alerts_in(f)}
    assert 0x10112 in told


def test_a_profile_for_other_firmware_is_simulated_all_the_same() -> None:
    assert Modules(PROFILE, "Z.99").numerics == Modules(PROFILE, "").numerics
