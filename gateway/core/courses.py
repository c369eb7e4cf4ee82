"""How the simulated patient's values move: an adult on a ventilator, in bed, stable. Data for gateway.core.scene.

Physiological textbook numbers of an adult of 78 kg, not of any patient; they need to be plausible beside each other and
no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Course(NamedTuple):
    """How a value moves: around `base` by `swing`, on a sine of `period_s`. unit: UCUM."""

    base: float
    unit: str
    swing: float = 0.0
    period_s: float = 60.0


MM, CM, RATE = "mm[Hg]", "cm[H2O]", "/min"
HEART_S, BREATH_S, PRESSURE_S = 61.0, 53.0, 71.0  # periods that belong together have one drift


def _pressures() -> Iterator[tuple[str, Course]]:
    """Yield systolic, diastolic and mean of each blood pressure: (systolic, diastolic, swing)."""
    for name, (systolic, diastolic, swing) in {
        "ART": (122, 71, 5),
        "ART_ABP": (122, 71, 5),
        "ART_FEMORAL": (125, 69, 5),
        "ART_UMB": (68, 40, 3),
        "AORT": (120, 70, 5),
        "ART_PULM": (26, 11, 2),
        "ATR_RIGHT": (8, 4, 1),
        "ATR_LEFT": (12, 7, 1),
        "VEN_CENT": (9, 5, 1),
        "VENT_RIGHT": (26, 5, 2),
    }.items():
        yield f"MDC_PRESS_BLD_{name}_SYS", Course(systolic, MM, swing, PRESSURE_S)
        yield f"MDC_PRESS_BLD_{name}_DIA", Course(diastolic, MM, swing * 0.6, PRESSURE_S)
        yield f"MDC_PRESS_BLD_{name}_MEAN", Course((systolic + 2 * diastolic) / 3, MM, swing * 0.73, PRESSURE_S)
    yield "MDC_PRESS_BLD_SYS", Course(122, MM, 5, PRESSURE_S)
    yield "MDC_PRESS_BLD_DIA", Course(71, MM, 3, PRESSURE_S)
    yield "MDC_PRESS_BLD_MEAN", Course(88, MM, 3.7, PRESSURE_S)
    yield "MDC_PRESS_BLD_NONINV_SYS", Course(124, MM, 5, 600)
    yield "MDC_PRESS_BLD_NONINV_DIA", Course(72, MM, 3, 600)
    yield "MDC_PRESS_BLD_NONINV_MEAN", Course(89, MM, 3.7, 600)
    for name, base in (("SYS", 14), ("DIA", 9), ("MEAN", 11)):
        yield f"MDC_PRESS_INTRA_CRAN_{name}", Course(base, MM, 2, 89)


def _gases() -> Iterator[tuple[str, Course]]:
    """Yield inspired and end-tidal gases: no anaesthesia is given, so agents are 0."""
    for agent in ("AGENT", "DESFL", "ENFL", "HALOTH", "ISOFL", "SEVOFL", "N2O"):
        yield f"MDC_CONC_AWAY_{agent}_INSP", Course(0, "%")
        yield f"MDC_CONC_AWAY_{agent}_ET", Course(0, "%")
    yield "MDC_CONC_AWAY_O2", Course(40, "%", 0.5, 73)
    yield "MDC_CONC_AWAY_O2_INSP", Course(40, "%", 0.5, 73)
    yield "MDC_CONC_AWAY_O2_ET", Course(35, "%", 0.5, 73)
    yield "MDC_CONC_AWAY_O2_DELTA", Course(5, "%", 0.2, 73)
    for term in ("MDC_AWAY_CO2_ET", "MDC_CONC_AWAY_CO2_ET"):
        yield term, Course(38, MM, 2, 47)
    for term in ("MDC_CONC_AWAY_CO2_INSP", "MDC_AWAY_CO2_INSP_MIN"):
        yield term, Course(0, MM)


def _same(course: Course, *terms: str) -> Iterator[tuple[str, Course]]:
    yield from ((f"MDC_{term}", course) for term in terms)


def _others() -> Iterator[tuple[str, Course]]:
    rate, breath = Course(72, RATE, 3, HEART_S), Course(15, RATE, 1, BREATH_S)
    yield from _same(rate, "ECG_HEART_RATE", "PULS_RATE", "PULS_OXIM_PULS_RATE", "BLD_PULS_RATE_INV")
    yield from _same(rate, "PULS_RATE_NON_INV")
    yield from _same(breath, "RESP_RATE", "TTHOR_RESP_RATE", "CO2_RESP_RATE", "VENT_RESP_RATE", "AWAY_RESP_RATE")
    yield from _same(breath, "PRESS_RESP_RATE", "VENT_FLOW_RESP_RATE")
    yield from _same(Course(97, "%", 1, 43), "PULS_OXIM_SAT_O2", "SAT_O2", "SAT_O2_ART")
    yield from _same(Course(480, "mL", 20, 41), "VOL_AWAY_TIDAL")
    yield from _same(Course(470, "mL", 20, 41), "VOL_AWAY_TIDAL_EXP", "VOL_AWAY_TIDAL_EXP_BTSD_PS")
    yield from _same(Course(7.1, "L/min", 0.3, 41), "VOL_MINUTE_AWAY_EXP", "VOL_MINUTE_AWAY_EXP_BTSD_PS")
    yield from _same(Course(42, f"mL/{CM}", 2, 67), "COMPL_LUNG", "COMPL_LUNG_DYN", "COMPL_LUNG_STATIC")
    yield from _same(Course(11, f"{CM}.s/L", 1, 67), "RES_AWAY", "RES_AWAY_DYNAMIC")
    yield from _same(Course(5.2, "L/min", 0.3, 97), "OUTPUT_CARD", "OUTPUT_CARD_CTS")
    for lead, base in {"": 0.4, "_I": 0.4, "_II": 0.6, "_III": 0.2, "_AVR": -0.5, "_AVL": 0.1, "_AVF": 0.4}.items():
        yield f"MDC_ECG_AMPL_ST{lead}", Course(base, "mm", 0.1, 97)
    for number, base in enumerate((0.1, 0.5, 0.7, 0.6, 0.4, 0.3), 1):
        yield f"MDC_ECG_AMPL_ST_V{number}", Course(base, "mm", 0.1, 97)
    for band, base in {"DELTA": 52, "THETA": 22, "ALPHA": 17, "BETA": 9}.items():
        yield f"MDC_EEG_PWR_SPEC_{band}_REL", Course(base, "%", 2, 31)


_SINGLE: Mapping[str, Course] = {
    # the circulation
    "MDC_ECG_V_P_C_RATE": Course(0, RATE),
    "MDC_ECG_V_P_C_CNT": Course(0, RATE),
    "MDC_ECG_TIME_PD_RR_GL": Course(833, "ms", 34, HEART_S),
    "MDC_PULS_OXIM_PERF_REL": Course(2.4, "%", 0.4, 37),
    "MDC_PULS_OXIM_HB_CO_ART": Course(1.2, "%", 0.1, 600),
    "MDC_PULS_OXIM_HB_MET_ART": Course(0.6, "%", 0.1, 600),
    "MDC_SAT_O2_VEN": Course(72, "%", 2, 97),
    "MDC_PRESS_BLD_ART_PULM_WEDGE": Course(11, MM, 1, 97),
    "MDC_PRESS_CEREB_PERF": Course(77, MM, 3, 89),
    "MDC_OUTPUT_CARD_INDEX": Course(2.7, "L/min/m2", 0.15, 97),
    "MDC_VOL_BLD_STROKE": Course(72, "mL", 3, 97),
    "MDC_VOL_BLD_STROKE_INDEX": Course(37, "mL/m2", 1.5, 97),
    "MDC_RES_VASC_SYS": Course(1150, "dyn.s/cm5", 50, 97),
    # temperature
    "MDC_TEMP": Course(37.1, "Cel", 0.1, 599),
    "MDC_TEMP_BODY": Course(37.1, "Cel", 0.1, 599),
    "MDC_TEMP_CORE": Course(37.2, "Cel", 0.1, 599),
    "MDC_TEMP_SKIN": Course(33.6, "Cel", 0.2, 599),
    "MDC_TEMP_BLD": Course(37.0, "Cel", 0.1, 599),
    "MDC_TEMP_AWAY": Course(34.0, "Cel", 0.3, 599),
    "MDC_TEMP_INJ": Course(4.0, "Cel", 0.3, 599),
    "MDC_TEMP_ROOM": Course(21.5, "Cel", 0.3, 599),
    # breath and ventilator: 15 breaths of 480 mL, PEEP 6, plateau 19
    "MDC_VOL_AWAY_TIDAL_INSP": Course(485, "mL", 20, 41),
    "MDC_VOL_MINUTE_AWAY": Course(7.2, "L/min", 0.3, 41),
    "MDC_VOL_MINUTE_AWAY_INSP": Course(7.3, "L/min", 0.3, 41),
    "MDC_VOL_AWAY_DEADSP": Course(150, "mL", 5, 41),
    "MDC_RATIO_AWAY_DEADSP_TIDAL": Course(31, "%", 1, 41),
    "MDC_VENT_VOL_LUNG_TRAPD": Course(20, "mL", 3, 41),
    "MDC_VENT_VOL_LEAK_PERCENT": Course(3, "%", 1, 41),
    "MDC_PRESS_AWAY": Course(12, CM, 1, 47),
    "MDC_PRESS_AWAY_MEAN": Course(11, CM, 1, 47),
    "MDC_PRESS_AWAY_MIN": Course(5, CM, 0.3, 47),
    "MDC_PRESS_AWAY_INSP_PEAK": Course(22, CM, 1.5, 47),
    "MDC_PRESS_AWAY_INSP_END": Course(19, CM, 1, 47),
    "MDC_PRESS_RESP_PLAT": Course(19, CM, 1, 47),
    "MDC_PRESS_AWAY_END_EXP_POS": Course(6, CM, 0.3, 47),
    "MDC_PRESS_AWAY_END_EXP_POS_INTRINSIC": Course(1.2, CM, 0.2, 47),
    "MDC_VENT_PRESS_OCCL_P100MS": Course(1.8, CM, 0.3, 47),
    "MDC_VENT_PRESS_OCCL_NIF": Course(-28, CM, 2, 47),
    "MDC_RESP_SPONT_RATE": Course(4, RATE, 1, BREATH_S),
    "MDC_RESP_RAPID_SHALLOW_BREATHING_INDEX": Course(32, "/min/L", 3, BREATH_S),
    "MDC_RATIO_IE": Course(0.5, "1"),
    "MDC_TIME_PD_INSP": Course(1.33, "s", 0.05, BREATH_S),
    "MDC_TIME_PD_EXP": Course(2.67, "s", 0.1, BREATH_S),
    "MDC_TIME_PD_APNEA": Course(0, "s"),
    "MDC_FLOW_CO2_PROD_RESP": Course(210, "mL/min", 10, 97),
    "MDC_FLOW_O2_CONSUMP": Course(250, "mL/min", 10, 97),
    "MDC_PRESS_BAROMETRIC": Course(1013, "mbar", 2, 3600),
    # brain
    "MDC_EEG_BISPECTRAL_INDEX": Course(45, "1", 4, 31),
    "MDC_EEG_ENTROPY_STATE": Course(44, "1", 4, 31),
    "MDC_EEG_ENTROPY_RESPONSE": Course(47, "1", 4, 31),
    "MDC_EEG_PAROX_CRTX_BURST_SUPPRN": Course(0, "%"),
    "MDC_EEG_SIGNAL_QUALITY_INDEX": Course(92, "%", 4, 31),
    "MDC_EEG_FREQ_PWR_SPEC_CRTX_SPECTRAL_EDGE": Course(14, "Hz", 1, 31),
    "MDC_EEG_FREQ_PWR_SPEC_CRTX_MEDIAN": Course(4, "Hz", 0.5, 31),
    # laboratory, ward, device
    "MDC_CONC_GLU_GEN": Course(6.1, "mmol/L", 0.4, 7200),
    "MDC_CONC_K_GEN": Course(4.1, "mmol/L", 0.1, 7200),
    "MDC_MASS_BODY_ACTUAL": Course(78.4, "kg"),
    "MDC_LEN_BODY_ACTUAL": Course(176, "cm"),
    "MDC_RATIO_MASS_BODY_LEN_SQ": Course(25.3, "kg/m2"),
    # room and laboratory
    "MDCX_ROOM_PRESS": Course(-2.6, "Pa", 0.3, 97),
    "MDCX_LAB_INCUBATOR_TEMP": Course(37.0, "Cel", 0.1, 599),
    "MDC_ATTR_VAL_BATT_CHARGE": Course(86, "%", 4, 3600),
}

COURSES: Mapping[str, Course] = {**_SINGLE, **dict(_pressures()), **dict(_gases()), **dict(_others())}
"""Reference id -> course. Terms that are not here get a number of their own inside the range of their row."""
