"""Where the fields of the physiological classes stand, what they are called, and which words their codes stand for.

A class is 270 bytes of groups. A group is a status (u32), a label (u16) and then one i16 for each of its fields; the
fields of a group follow on one another without a hole, so a group is its place and the names of its fields. Names are
those of the vendor's record specification. What a field means, its scale and its unit are in the profile. A name that
begins with _ is not given: no unit code is known that fits it (kcal/24 h, mW/m2, mmHg/s), or its meaning is not stated
(the delays and CPMA of the tonometry; which way round the I:E ratio is).

Source: protocol notes section 4.4 to 4.9 (vendor record specification 8005313, three implementations; the basic class
up to co2 confirmed by a real B650 record). A test compares the table with the notes, offset by offset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CLASS_AT, CLASS_BYTES = 4, 270  # of a subrecord: behind its time
TYPE_AT = 276  # cl_drilvl_subt; bits 8 to 11 are the class
SUBRECORD_BYTES = 278
GROUP_HEADER_BYTES = 6
AUXILIARY_BYTES = 114


@dataclass(frozen=True, slots=True)
class Group:
    """One group. at: offset in its subrecord; fields: names in order; bare: it has no status and no label.

    uncalibrated, doubtful, off: status bits that mean: calibrating or zeroing, questionable, switched off
    """

    name: str
    at: int
    fields: tuple[str, ...]
    bare: bool = False
    uncalibrated: int = 0
    doubtful: int = 0
    off: int = 0


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _group(name: str, at: int, fields: str, uncalibrated: int = 0, doubtful: int = 0, off: int = 0) -> Group:
    return Group(name, at, _words(fields), False, uncalibrated, doubtful, off)


def _bits(*numbers: int) -> int:
    return sum(1 << number for number in numbers)


_PRESSURE, _OXIMETER = "sys dia mean hr", "SpO2 pr ir_amp SO2"
_HEART: dict[str, int] = {"doubtful": _bits(7, 8)}  # noise, artefact
_ZEROING: dict[str, int] = {"uncalibrated": _bits(2)}
_GAS: dict[str, int] = {"uncalibrated": _bits(2), "off": _bits(3)}
_EEG_FIELDS = "ampl sef mf delta_proc theta_proc alpha_proc beta_proc bsr"

BASIC = (  # section 4.4
    _group("ecg", 4, "hr st1 st2 st3 imp_rr", **_HEART),
    _group("p1", 20, _PRESSURE, **_ZEROING),
    _group("p2", 34, _PRESSURE, **_ZEROING),
    _group("p3", 48, _PRESSURE, **_ZEROING),
    _group("p4", 62, _PRESSURE, **_ZEROING),
    _group("nibp", 76, _PRESSURE),
    _group("t1", 90, "temp"),
    _group("t2", 98, "temp"),
    _group("t3", 106, "temp"),
    _group("t4", 114, "temp"),
    _group("SpO2", 122, _OXIMETER),
    _group("co2", 136, "et fi rr amb_press", uncalibrated=_bits(3, 4)),
    _group("o2", 150, "et fi", **_GAS),
    _group("n2o", 160, "et fi", **_GAS),
    _group("aa", 170, "et fi mac_sum", **_GAS),
    _group(
        "flow_vol",
        182,
        "rr ppeak peep pplat tv_insp tv_exp compliance mv_exp",
        uncalibrated=_bits(3, 4),
        off=_bits(7),
    ),
    _group("co_wedge", 204, "co blood_temp ref pcwp"),
    _group("nmt", 218, "t1 tratio ptc"),
    Group("ecg_extra", 230, ("hr_ecg", "hr_max", "hr_min"), bare=True),
    _group("svo2", 236, "svo2", doubtful=_bits(2, 5, 7)),  # calibrated over 24 h ago, not calibrated, out of range
    _group("p5", 244, _PRESSURE, **_ZEROING),
    _group("p6", 258, _PRESSURE, **_ZEROING),
)
EXT1 = (  # section 4.5
    _group("arrh_ecg", 4, "hr rr_time pvc", **_HEART),
    _group("ecg12", 52, "stI stII stIII staVL staVR staVF stV1 stV2 stV3 stV4 stV5 stV6", **_HEART),
    _group("p7", 82, _PRESSURE, **_ZEROING),
    _group("p8", 96, _PRESSURE, **_ZEROING),
    _group("SpO2_ch2", 110, _OXIMETER),
    _group("t5", 124, "temp"),
    _group("t6", 132, "temp"),
)
EXT2 = (  # section 4.6
    _group("nmt2", 4, "count t1 t2 t3 t4"),
    _group("eeg", 28, " ".join(["femg", *(f"eeg{n}.{field}" for n in (1, 2, 3, 4) for field in _words(_EEG_FIELDS))])),
    _group("eeg_bis", 100, "bis sqi_val emg_val sr_val"),
    _group("entropy", 116, "eeg_ent emg_ent bsr_ent"),
    _group("spi", 234, "spiVal"),
)
EXT3 = (  # section 4.7
    _group("gasex", 4, "vo2 vco2 _ee rq"),
    _group(
        "flow_vol2",
        18,
        "ipeep pmean raw mv_insp epeep mv_spont _ie_ratio insp_time exp_time"
        " static_compliance static_pplat static_peepe static_peepi",
    ),
    _group("bal_gas", 64, "et fi"),
    _group("tono", 74, "prco2 pr_et pr_pa _pa_delay phi _phi_delay amb_press _cpma"),
    _group("aa2", 96, "mac_age_sum"),
    _group("delp", 120, "spv ppv"),
    _group("cpp", 130, "value"),
    _group("cpp2", 138, "value"),
    _group(
        "picco",
        146,
        "cci cco cfi ci co _cpi cpo _dpmax elwi evlw gedi gedv gef itbi itbv ppv pvpi sv svi svr svri svv tblood tinj",
    ),
)
CLASSES = (BASIC, EXT1, EXT2, EXT3)

ARRHYTHMIA_AT = 16  # of ext1: arrh_status_bf, u32
ARRHYTHMIAS = _words(  # its bits, from 0 on
    "asystole v_fib rapid_v_tach v_tach extreme_brady extreme_tachy pvc_run long_rr pvc_triplet pvc_couplet r_on_t"
    " idioventricular v_bigeminy v_trigeminy frequent_pvc multifocal_pvc sv_tach frequent_svc missing_beat unclassified"
    " noisy_ecg problem_qrs low_amplitude salvo pacer_non_functional pacer_non_capture new_qrs brady tachy"
    " ventricular_brady arrhythmia_off no_telemetry"
)

CONDITIONS: Mapping[str, Mapping[int, str]] = {  # section 4.8: status bits that say that something is wrong
    "ecg": {2: "asystole", 7: "noise", 8: "artifact", 9: "learning", 11: "ch1_off", 12: "ch2_off", 13: "ch3_off"},
    "co2": {
        2: "apnea",
        5: "occlusion",
        6: "air_leak",
        7: "apnea_resp",
        8: "apnea_deactivated",
        9: "wet",
    },
    "flow_vol": {2: "disconnection", 5: "obstruction", 6: "leak"},
    "svo2": {
        2: "calibrated_24h_ago",
        3: "faulty_cable",
        4: "no_cable",
        5: "not_calibrated",
        7: "out_of_range",
        8: "check_position",
        9: "intensity_shift",
    },
    "eeg": {
        7: "headbox_off",
        8: "ssep_cable_off",
        **{8 + channel: f"leads_off_{channel}" for channel in range(1, 5)},
        **{12 + channel: f"artifact_{channel}" for channel in range(1, 5)},
        **{16 + channel: f"noise_{channel}" for channel in range(1, 5)},
    },
    "entropy": {
        2: "cable_off",
        3: "no_sensor",
        4: "sensor_off",
        12: "wrong_sensor",
        23: "replace_sensor",
        24: "isoelectric",
        25: "sensor_check_off",
    },
    "spi": {
        2: "incompatible_probe",
        3: "no_pleth",
        4: "arrhythmia",
        5: "nibp_inflated",
        6: "noise",
        7: "learning",
        8: "unknown_probe",
        10: "frozen",
        11: "entropy_high",
    },
    "gasex": {2: "fio2_over_85", 3: "n2o_high"},
    "tono": {2: "leak", 3: "volume_dropped", 4: "failure", 5: "cannot_fill", 6: "over_limit"},
}

# Section 4.8. The site of a pressure or a temperature is its label, never the number of its channel.
PRESSURE_LABELS = _words("undefined ART CVP PA RAP RVP LAP ICP ABP P1 P2 P3 P4 P5 P6 SP FEM UAC UVC ICP2 P7 P8 FEMV")
TEMPERATURE_LABELS = _words("unused ESO NASO TYMP RECT BLAD AXIL SKIN AIRW ROOM MYO T1 T2 T3 T4 CORE SURF T5 T6")
AGENTS = _words("unknown none HAL ENF ISO DES SEV")
SATURATIONS = _words("SO2 SaO2 SvO2")
HR_FROM_ECG = (1, 9)  # heart-rate source: ECG, ECG (Mortara); 0 is none, all others are pulses
HR_SOURCE_NONE = 0
RR_FROM_IMPEDANCE, FI_IS_O2 = 2, 2
CO_BOLUS, CO_CONTINUOUS = 1, 2
NMT_TOF, NMT_DBS = 0, 1


@dataclass(frozen=True, slots=True)
class WaveType:
    """One waveform: its code on the line and its samples per second (section 5.2)."""

    code: int
    rate: int


# Without 12-lead ECG (22: its resolution is ambiguous in the specification), the status bits of spirometry loops (29,
# no numbers) and high-resolution impedance (39: no rate is stated).
WAVES: Mapping[str, WaveType] = {
    **{f"ECG{n}": WaveType(n, 300) for n in (1, 2, 3)},
    **{f"INVP{n}": WaveType(3 + n, 100) for n in (1, 2, 3, 4)},
    "PLETH": WaveType(8, 100),
    "CO2": WaveType(9, 25),
    "O2": WaveType(10, 25),
    "N2O": WaveType(11, 25),
    "AA": WaveType(12, 25),
    "AWP": WaveType(13, 25),
    "FLOW": WaveType(14, 25),
    "RESP": WaveType(15, 25),
    "INVP5": WaveType(16, 100),
    "INVP6": WaveType(17, 100),
    **{f"EEG{n}": WaveType(17 + n, 100) for n in (1, 2, 3, 4)},
    "VOL": WaveType(23, 25),
    "TONO_PRESS": WaveType(24, 25),
    "ENT_100": WaveType(32, 100),
    "EEG_BIS": WaveType(35, 300),
    "INVP7": WaveType(36, 100),
    "INVP8": WaveType(37, 100),
    "PLETH_2": WaveType(38, 100),
}
