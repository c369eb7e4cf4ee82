"""GE DRI: a real record of a B650, our own recordings, and the profiles."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path

import pytest

from drivers.ge_dri import layout
from gateway.core.frame import Frame
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import MetricSpec, Profile
from gateway.core.sample import IS_USABLE
from tests.unit.ge_dri_rig import (
    CAPTURES,
    RECORDINGS,
    Fed,
    Group,
    S,
    active,
    auxiliary,
    profile,
    readings,
    summary,
    values,
    wave,
)

ON = 3


def test_a_real_record_of_a_b650(shared: Path) -> None:
    """Level 11, four classes, no patient; expected decode: protocol notes section 12."""
    events = Fed().line((shared / "captures/ge_dri/ge_b650_dri_phdb_frame_valid.bin").read_bytes())
    numeric = events[0]
    assert isinstance(numeric, Frame)
    assert numeric.device_ns == 1609601756 * S  # 2021-01-02 15:35:56
    found = readings(events)
    assert (found["ecg.hr_source"].value, found["ecg.lead1"].value) == (9, 2)
    for name in ("ecg.hr", "SpO2.SpO2", "nibp.sys", "ecg12.stII", "ecg_extra.hr_ecg"):
        assert isnan(float(found[name].value)), name
    assert active(events, "status") == []
    # the pressures have labels (ART, PA, CVP, ART), but no module; neither have temperatures and CO2
    assert not [name for name in found if str(name).startswith(("ART", "PA", "CVP", "T1", "co2", "p1"))]
    plan = Plan(profile(), "", nomenclature())
    block = plan.decode(numeric, 0)
    assert not plan.unmapped
    kinds = {plan.metrics[metric].kind for metric in block["metric"][IS_USABLE[block["validity"]]].tolist()}
    assert kinds == {"enumeration", "clock"}


@pytest.mark.parametrize("name", RECORDINGS)
def test_our_own_recordings(name: str) -> None:
    expected = json.loads((CAPTURES / f"{name}.expected.json").read_text(encoding="utf-8"))
    assert summary(name, (CAPTURES / f"{name}.bin").read_bytes()) == expected
    assert expected["frames_ok"] >= 5


# ---- profiles


def usable(plan: Plan, fed: Fed, record: bytes) -> dict[str, float]:
    """Return object -> value of the usable rows that a record gives."""
    objects = {spec.path: str(spec.object) for spec in rows(profile())}
    found: dict[str, float] = {}
    for event in fed.record(record):
        if isinstance(event, Frame):
            block = plan.decode(event, 0)
            for row in block[IS_USABLE[block["validity"]]]:
                found[objects[plan.metrics[int(row["metric"])].path]] = float(row["value"])
    return found


def rows(of: Profile) -> list[MetricSpec]:
    return [metric for channel in of.channels for metric in channel.metrics]


def test_scales_and_units() -> None:
    """One of each scale of section 4.4 to 4.7. ir_amp is in 1/100 %: two hobby programs take 1/10 or 1."""
    groups: dict[str, Group] = {
        "ecg": (ON | 1 << 3, 0x1200, {"hr": 72, "st1": -120, "imp_rr": 16}),
        "p1": (ON, 1, {"sys": 12150, "dia": 7025, "mean": 8790}),
        "t1": (ON, 1, {"temp": 3712}),
        "SpO2": (ON, 0, {"SpO2": 9750, "pr": 72, "ir_amp": 240}),
        "co2": (ON, 9, {"et": 512, "amb_press": 7598}),
        "aa": (ON, 6, {"et": 185, "mac_sum": 95}),
        "flow_vol": (ON, 0, {"ppeak": 2150, "tv_exp": 4805, "mv_exp": 712}),
        "co_wedge": (ON, 2 << 2, {"co": 5230}),
        "gasex": (ON, 0, {"vo2": 2505, "rq": 850}),
        "flow_vol2": (ON, 0, {"insp_time": 125, "exp_time": 250}),
        "tono": (ON, 0, {"prco2": 650}),
        "picco": (ON, 0, {"cci": 2800, "cfi": 520, "elwi": 75, "svr": 1100, "tblood": 3701}),
        "nmt": (ON | 2 << 4, 0, {"t1": 985, "tratio": 805}),
        "eeg": (ON, 0, {"eeg1.sef": 155}),
    }
    plan = Plan(profile(), "", nomenclature())
    found = usable(plan, Fed(), values(groups))
    assert not plan.unmapped
    expected = {
        "ecg.hr": 72,
        "ecg.st1": -1.2,
        "ecg.imp_rr": 16,
        "ART.sys": 121.5,
        "ART.dia": 70.25,
        "ART.mean": 87.9,
        "ESO.temp": 37.12,
        "SpO2.SpO2": 97.5,
        "SpO2.ir_amp": 2.4,
        "co2.et": 5.12,
        "co2.amb_press": 759.8,
        "SEV.et": 1.85,
        "aa.mac_sum": 0.95,
        "flow_vol.ppeak": 21.5,
        "flow_vol.tv_exp": 480.5,
        "flow_vol.mv_exp": 7.12,
        "co_wedge.cco": 5.23,
        "gasex.vo2": 250.5,
        "gasex.rq": 0.85,
        "flow_vol2.insp_time": 1.25,
        "flow_vol2.exp_time": 2.5,
        "tono.prco2": 6.5,
        "picco.cci": 2.8,
        "picco.cfi": 5.2,
        "picco.elwi": 7.5,
        "picco.svr": 1100,
        "picco.tblood": 37.01,
        "nmt.t1": 98.5,
        "nmt.tof_ratio": 80.5,
        "nmt.pulse_width": 0.2,
        "eeg.eeg1.sef": 15.5,
    }
    assert {name: found[name] for name in expected} == expected


def test_a_cuff_pressure_stands_where_it_was_measured() -> None:
    plan = Plan(profile(), "", nomenclature())
    fed = Fed()
    fed.record(values({"nibp": (ON, 0, {"sys": 12400, "dia": 7150})}))
    (event,) = fed.record(auxiliary(nibp=980, surface=185, time_s=1001))
    assert isinstance(event, Frame)
    block = plan.decode(event, 0)
    at = {plan.metrics[int(row["metric"])].ref_id: (float(row["value"]), int(row["t_ns"])) for row in block}
    assert at["MDC_PRESS_BLD_NONINV_SYS"] == (124.0, event.t_ns - 21 * S)
    assert at["MDC_AREA_BODY_SURF_ACTUAL"] == (1.85, event.t_ns)


@pytest.mark.parametrize(
    ("kind", "raw", "value"), [(1, 1500, 1.5), (4, 12000, 120.0), (8, 50, 0.5), (9, 512, 5.12), (13, 215, 21.5)]
)
def test_waves_in_their_units(kind: int, raw: int, value: float) -> None:
    plan = Plan(profile(), "", nomenclature())
    (event,) = Fed().record(wave(kind, [raw]))
    assert isinstance(event, Frame)
    assert plan.decode(event, 0)["value"].tolist() == pytest.approx([value])


def test_both_profiles_read_the_same_values_and_alarms() -> None:
    """They differ in waves, and in where they stand in their file."""

    def plain(of: Profile) -> list[str]:
        return [repr(spec).replace(spec.where, "") for spec in rows(of) if spec.kind != "waveform"]

    assert plain(profile()) == plain(profile("carescape_v3_dri"))


def test_labels_are_the_path_numbers_of_their_channels() -> None:
    sites = {str(spec.object).split(".")[0]: spec.path for spec in rows(profile()) if spec.path.startswith("1.4.")}
    for number, label in enumerate(layout.PRESSURE_LABELS[1:], 1):
        assert sites[label].startswith(f"1.4.{number}."), label
    temperatures = {
        str(spec.object).split(".")[0]: spec.path for spec in rows(profile()) if ".temp" in str(spec.object)
    }
    for number, label in enumerate(layout.TEMPERATURE_LABELS[1:], 1):
        assert temperatures[label] == f"1.6.{number}.1", label


def test_no_condition_says_that_a_number_is_high_or_low() -> None:
    """Entropy is high, a volume has dropped: neither is said of the number that the row is about."""
    events = {str(spec.object): spec.id for spec in rows(profile()) if spec.kind == "alert"}
    assert not [name for name, event in events.items() if event in ("MDC_EVT_HI", "MDC_EVT_LO", "MDC_EVT_IRREG")]


def test_what_is_set_is_sent_as_a_setting() -> None:
    settings = {str(spec.object) for spec in rows(profile()) if spec.category == "setting"}
    assert settings >= {"p1.label", "p8.label", "ecg.lead1", "arrh_ecg.level", "nmt.mode", "nmt.current", "nibp.auto"}
    assert not settings & {"ecg.hr_source", "nibp.measuring", "nibp.stasis", "alarm.silence"}


def test_every_condition_has_its_row() -> None:
    named = {spec.object for spec in rows(profile()) if spec.kind == "alert"}
    told = {f"{group}.{word}" for group, words in layout.CONDITIONS.items() for word in words.values()}
    told |= {f"arrhythmia.{word}" for word in layout.ARRHYTHMIAS}
    assert named == told | {"*"}
    assert len(layout.ARRHYTHMIAS) == 32
