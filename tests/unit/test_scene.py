"""The scene: one patient for all simulators, or a recorded one; each mistake in a table on its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateway.core.courses import COURSES
from gateway.core.errors import ConfigError
from gateway.core.nomenclature import nomenclature
from gateway.core.profile import MetricSpec
from gateway.core.scene import Scene
from gateway.core.units import parse_ucum
from gateway.scene_file import read_table


def spec(**more: object) -> MetricSpec:
    return MetricSpec("1.1.1.1", "MDC_ECG_HEART_RATE", "", "numeric", unit="/min", **more)  # type: ignore[arg-type]


def test_all_simulators_see_the_same_heart() -> None:
    one, other = Scene(seed=3), Scene(seed=3)
    for t in (0.0, 17.5, 4000.0):
        assert one.value("MDC_ECG_HEART_RATE", t) == other.value("MDC_PULS_OXIM_PULS_RATE", t)
    assert one.value("MDC_ECG_HEART_RATE", 5) != Scene(seed=4).value("MDC_ECG_HEART_RATE", 5)


def test_beats_of_the_wave_are_those_of_the_rate() -> None:
    scene = Scene(fixed={"MDC_ECG_HEART_RATE": 75})
    times = np.arange(0, 60, 0.004)
    ecg = scene.wave("MDC_ECG_ELEC_POTL_II", times)
    peaks = np.flatnonzero((ecg[1:-1] > 0.9) & (ecg[1:-1] >= ecg[:-2]) & (ecg[1:-1] > ecg[2:]))
    assert abs(len(peaks) - 75) <= 1


def test_units_are_converted_and_scales_undone() -> None:
    scene = Scene(fixed={"MDC_AWAY_CO2_ET": 38, "MDC_ECG_HEART_RATE": 72})
    assert scene.value("MDC_AWAY_CO2_ET", 0, "kPa") == pytest.approx(5.066, abs=0.001)
    assert scene.raw(spec(scale=0.1), 0) == pytest.approx(720)
    assert scene.raw(spec(scale=2, offset=10), 0) == 31


def test_what_it_does_not_know_lies_in_the_range_of_the_row() -> None:
    row = MetricSpec("1.1.1.7", "MDCX_UNKNOWN", "", "numeric", unit="1", range=(200, 300))
    raw = Scene().raw(row, 1.0)
    assert raw is not None
    assert 200 < raw < 300
    assert raw == Scene().raw(row, 99.0)


def test_states_come_one_after_the_other() -> None:
    row = spec(kind="enumeration", values=((0, "off"), (1, "on"), ("A/C", "assist")))
    assert [Scene().raw(row, t) for t in (0, 2, 4)] == [0, 1, 0]
    assert Scene().word(row, 0) == "A/C"
    assert Scene(nothing=True).word(row, 0) is None


def test_nothing_is_nothing() -> None:
    scene = Scene(nothing=True)
    assert scene.value("MDC_ECG_HEART_RATE", 1) is None
    assert scene.raw(spec(), 1) is None
    assert np.isnan(scene.wave("MDC_ECG_ELEC_POTL_II", np.arange(3.0))).all()
    assert scene.measured_at("MDC_PRESS_BLD_NONINV_SYS", 500) is None
    assert scene.alert("MDC_EVT_LO", 35) == 0


def test_still_is_still() -> None:
    scene = Scene(still=True)
    assert len({scene.value("MDC_ECG_HEART_RATE", t) for t in range(100)}) == 1
    assert len(set(scene.wave("MDC_PULS_OXIM_PLETH", np.arange(0, 5, 0.1)).tolist())) == 1


def test_courses_have_units_that_can_be_read() -> None:
    for ref_id, course in COURSES.items():
        dimension = parse_ucum(course.unit).dimension
        term = nomenclature().terms.get(ref_id)
        known = [parse_ucum(nomenclature().units[u].ucum).dimension for u in term.units] if term else []
        assert not known or dimension in known, ref_id


TABLE = "min,HR,MDC_TEMP_CORE [[degF]],MDC_PULS_OXIM_SAT_O2\n0,80,98.6,97\n1,,100.4,0\n2.5,90,,95\n"


def test_a_recorded_day(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_text(TABLE)
    table = read_table(path, {"HR": "MDC_ECG_HEART_RATE"}, zero_is_none=True)
    scene = Scene(table=table, begin=1000.0)
    assert scene.value("MDC_ECG_HEART_RATE", 1000.0) == 80
    assert scene.value("MDC_ECG_HEART_RATE", 1059.9) == 80
    assert scene.value("MDC_ECG_HEART_RATE", 1060.0) is None
    assert scene.value("MDC_ECG_HEART_RATE", 1150.0) == 90
    assert scene.value("MDC_PULS_OXIM_SAT_O2", 1060.0) is None
    assert scene.value("MDC_TEMP_CORE", 1000.0, "Cel") == pytest.approx(37.0)
    assert scene.value("MDC_ECG_HEART_RATE", 999.0) is None
    assert scene.value("MDC_RESP_RATE", 1000.0) is not None  # what the table does not hold goes on as it was


def test_the_recorded_patient_of_mimic(shared: Path) -> None:
    path = shared / "captures" / "mimic_numerics" / "3234460n_decoded.csv"
    if not path.is_file():
        pytest.skip(f"no {path.name} in ../shared")
    names = {
        "HR": "MDC_ECG_HEART_RATE",
        "PULSE": "MDC_PULS_RATE",
        "RESP": "MDC_RESP_RATE",
        "SpO2": "MDC_PULS_OXIM_SAT_O2",
        "NBPSys": "MDC_PRESS_BLD_NONINV_SYS",
        "NBPDias": "MDC_PRESS_BLD_NONINV_DIA",
        "NBPMean": "MDC_PRESS_BLD_NONINV_MEAN",
    }
    scene = Scene(table=read_table(path, names, zero_is_none=True))
    assert scene.value("MDC_PULS_OXIM_SAT_O2", 125) == 95.7
    assert scene.value("MDC_PULS_OXIM_SAT_O2", 0) is None
    assert scene.value("MDC_PRESS_BLD_NONINV_SYS", 180) == 92


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("", "holds no values", None),
        ("when,HR\n0,1\n", "is no time", 1),
        ("s,HR\n0,1\n", "is no 11073 reference id", 1),
        ("s,MDC_ECG_HEART_RATE [bpm]\n0,1\n", "bpm", 1),
        ("s,MDC_ECG_HEART_RATE\n0,1\n0,2\n", "do not rise", None),
        ("s,MDC_ECG_HEART_RATE\n0,1\n1,x\n", "is no number", 3),
        ("s,MDC_ECG_HEART_RATE\n0,inf\n", "is no number", 2),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, what: str, line: int | None) -> None:
    path = tmp_path / "day.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=what) as told:
        read_table(path, {})
    assert told.value.where == (f"{path}:{line}" if line else str(path))
