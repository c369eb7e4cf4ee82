"""From the 270 bytes of a class to readings: special codes, states of a group, and names that hang on a group's label.

    group ──► is it there? is it switched on? ──► field: number or special code ──► Reading("nibp.sys", 12000)

The object of a reading is `group.field` as the vendor's record specification calls them. Where a label or a mode
decides what a field is, the name follows it, so that no row of a profile can mistake one for the other:

    p1 … p8, t1 … t6    ART.sys, ESO.temp: named by the site on the label (see sites.py)
    ecg.hr              ecg.hr_pulse when the displayed rate is taken from a pressure or an oximeter
    aa.et, aa.fi        SEV.et, SEV.fi: by the agent; aa.et when the monitor does not know the agent
    SpO2.SO2            SpO2.SO2, SpO2.SaO2 or SpO2.SvO2
    co_wedge.co         co_wedge.cco when it is measured continuously
    nmt.tratio          nmt.tof_ratio or nmt.dbs_ratio; other modes have none
    nmt.ptc             nmt.ptc, nmt.count and nmt.current: three numbers in one field

Source: protocol notes sections 4.2, 4.3 and 4.8 (vendor record specification 8005313).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from math import isnan, nan
from typing import NamedTuple

from drivers.ge_dri import layout
from drivers.ge_dri.layout import Group
from gateway.core.frame import Reading
from gateway.core.sample import Validity

SMALLEST = -32000  # section 4.3; -32001 and below is not a measurement
_PTC_IGNORED = -31000  # for the bit field of nmt the limit is this
SPECIAL = {
    -32767: Validity.NA,  # DATA_INVALID: no value
    -32766: Validity.NA,  # DATA_NOT_UPDATED
    -32765: Validity.NA,  # DATA_DISCONT [1 source]
    -32764: Validity.UFLW,  # DATA_UNDER_RANGE
    -32763: Validity.OFLW,  # DATA_OVER_RANGE
    -32762: Validity.INV,  # DATA_NOT_CALIBRATED: BICEPS has Calib only for a calibration that is running
}
_WORDS = struct.Struct("<135h")
_EXISTS, _ACTIVE = 1, 2
LEVEL_RR_IS_CO2 = 8  # section 11: from here on co2.rr is always that of the CO2 measurement
_PTC_NONE = 31
_PULSE_WIDTHS = {1: 100.0, 2: 200.0, 3: 300.0}  # us

Value = tuple[float, int]


class Present(NamedTuple):
    """One group whose module is there. fields: name -> (value, validity), in order."""

    group: Group
    status: int
    label: int
    fields: dict[str, Value]


def groups(class_number: int, subrecord: bytes) -> list[Present]:
    """Return the groups of one class whose modules are there."""
    words = _WORDS.unpack_from(subrecord, layout.CLASS_AT)
    found = []
    for group in layout.CLASSES[class_number]:
        at = (group.at - layout.CLASS_AT) // 2
        status, label, validity = _EXISTS | _ACTIVE, 0, Validity.VLD
        if not group.bare:
            status = words[at] & 0xFFFF | (words[at + 1] & 0xFFFF) << 16
            label = words[at + 2] & 0xFFFF
            at += layout.GROUP_HEADER_BYTES // 2
            if not status & _EXISTS:
                continue
            validity = _state(group, status)
        fields = {name: value(words[at + i], validity) for i, name in enumerate(group.fields) if name[0] != "_"}
        found.append(Present(group, status, label, fields))
    return found


def value(raw: int, validity: int) -> Value:
    """Return a field as (number, validity); `validity` is that of its group, NA when that is switched off."""
    if validity == Validity.NA:
        return nan, Validity.NA
    if raw < SMALLEST:
        return nan, SPECIAL.get(raw, Validity.INV)
    return float(raw), validity


def _state(group: Group, status: int) -> Validity:
    if not status & _ACTIVE or status & group.off:
        return Validity.NA
    if status & group.uncalibrated:
        return Validity.CALIB
    return Validity.QST if status & group.doubtful else Validity.VLD


def has_value(found: Present) -> bool:
    """Tell whether any field of the group holds a number."""
    return not all(isnan(number) for number, _ in found.fields.values())


def readings(found: Present, level: int, in_trend: bool) -> list[Reading]:
    """Return the readings of a group that is no pressure and no temperature (those: sites.py)."""
    name = found.group.name
    special = _SPECIAL.get(name)
    if special is None:
        return [_reading(f"{name}.{field}", pair) for field, pair in found.fields.items()]
    return special(found, level, in_trend)


def conditions(subrecord: bytes, found: list[Present]) -> list[str]:
    """Return what the status bits of a class say is wrong, as `group.condition`."""
    wrong = [
        f"{present.group.name}.{word}"
        for present in found
        for bit, word in layout.CONDITIONS.get(present.group.name, {}).items()
        if present.status >> bit & 1
    ]
    if any(present.group.name == "arrh_ecg" for present in found):
        bits = int.from_bytes(subrecord[layout.ARRHYTHMIA_AT : layout.ARRHYTHMIA_AT + 4], "little")
        wrong += [f"arrhythmia.{word}" for bit, word in enumerate(layout.ARRHYTHMIAS) if bits >> bit & 1]
    return wrong


def _reading(name: str, pair: Value) -> Reading:
    return Reading(name, 0, 0, *pair)


def _code(name: str, number: int) -> Reading:
    """Return a state of the monitor, a row of kind enumeration."""
    return Reading(name, 0, 0, float(number))


def _rate(found: Present) -> tuple[str, Value]:
    """Return the name and value of a heart rate.

    The displayed rate is an ECG rate only if its source is the ECG. A monitor that names no source (no status bits
    before interface level 3) leaves that open: questionable.
    """
    source = found.status >> 3 & 0xF
    number, validity = found.fields["hr"]
    if source == layout.HR_SOURCE_NONE:
        return "hr", (number, max(validity, Validity.QST))
    return ("hr" if source in layout.HR_FROM_ECG else "hr_pulse"), (number, validity)


def _ecg(found: Present, _level: int, _in_trend: bool) -> list[Reading]:
    rate, pair = _rate(found)
    rest = [_reading(f"ecg.{field}", found.fields[field]) for field in found.group.fields if field != "hr"]
    return [
        _reading(f"ecg.{rate}", pair),
        *rest,
        _code("ecg.hr_source", found.status >> 3 & 0xF),
        _code("ecg.pacer", found.status >> 10 & 1),
        *(_code(f"ecg.lead{channel}", found.label >> shift & 0xF) for channel, shift in ((1, 8), (2, 4), (3, 0))),
    ]


def _arrhythmia(found: Present, _level: int, _in_trend: bool) -> list[Reading]:
    rate, pair = _rate(found)
    rest = [_reading(f"arrh_ecg.{field}", found.fields[field]) for field in ("rr_time", "pvc")]
    return [_reading(f"arrh_ecg.{rate}", pair), *rest, _code("arrh_ecg.level", found.status >> 15 & 0x1F)]


def _nibp(found: Present, _level: int, _in_trend: bool) -> list[Reading]:
    bits = {"auto": 3, "stat": 4, "measuring": 5, "stasis": 6, "calibrating": 7}
    return [
        *(_reading(f"nibp.{field}", pair) for field, pair in found.fields.items()),
        *(_code(f"nibp.{name}", found.label >> bit & 1) for name, bit in bits.items()),
    ]


def _oximeter(found: Present, _level: int, _in_trend: bool) -> list[Reading]:
    kind = found.label & 3
    fourth = layout.SATURATIONS[kind] if kind < len(layout.SATURATIONS) else f"label {kind}"
    return [
        _reading(f"{found.group.name}.{fourth if field == 'SO2' else field}", pair)
        for field, pair in found.fields.items()
    ]


def _co2(found: Present, level: int, _in_trend: bool) -> list[Reading]:
    """Leave out a rate or a fraction that is not of CO2: ecg.imp_rr and o2.fi carry those under their own names."""
    fields = dict(found.fields)
    if found.label & 7 == layout.RR_FROM_IMPEDANCE and level < LEVEL_RR_IS_CO2:
        fields["rr"] = (nan, Validity.NA)
    if found.label >> 3 & 7 == layout.FI_IS_O2:
        fields["fi"] = (nan, Validity.NA)
    return [_reading(f"co2.{field}", pair) for field, pair in fields.items()]


def _agent(found: Present, _level: int, _in_trend: bool) -> list[Reading]:
    number = found.label
    known = layout.AGENTS[number] if number < len(layout.AGENTS) else f"agent {number}"
    name = "aa" if known in ("unknown", "none") else known
    return [
        _reading(f"{name}.et", found.fields["et"]),
        _reading(f"{name}.fi", found.fields["fi"]),
        _reading("aa.mac_sum", found.fields["mac_sum"]),
        _code("aa.agent", number),
    ]


def _flow(found: Present, _level: int, _in_trend: bool) -> list[Reading]:
    return [
        *(_reading(f"flow_vol.{field}", pair) for field, pair in found.fields.items()),
        _code("flow_vol.tv_base", found.status >> 8 & 3),
    ]


def _cardiac_output(found: Present, _level: int, _in_trend: bool) -> list[Reading]:
    continuous = found.label >> 2 & 7 == layout.CO_CONTINUOUS
    return [
        _reading(f"co_wedge.{'cco' if field == 'co' and continuous else field}", pair)
        for field, pair in found.fields.items()
    ]


def _relaxation(found: Present, _level: int, in_trend: bool) -> list[Reading]:
    mode = found.status >> 2 & 3
    ratio = {layout.NMT_TOF: "tof_ratio", layout.NMT_DBS: "dbs_ratio"}.get(mode)
    word, validity = found.fields["ptc"]
    held = word > _PTC_IGNORED  # and so no NaN
    bits = int(word) & 0xFFFF if held else 0
    state = validity if held else Validity.NA
    post_tetanic = bits & 0x1F
    count_held = held and not in_trend  # section 4.8: the count is not valid in trends
    width = _PULSE_WIDTHS.get(found.status >> 4 & 3)
    return [
        _reading("nmt.t1", found.fields["t1"]),
        *([_reading(f"nmt.{ratio}", found.fields["tratio"])] if ratio else []),
        _reading("nmt.ptc", _held(post_tetanic, state, held and post_tetanic != _PTC_NONE)),
        _reading("nmt.count", _held(bits >> 5 & 0xF, state, count_held)),
        _reading("nmt.current", _held(bits >> 9 & 0x7F, state, held)),
        _reading("nmt.pulse_width", (nan, Validity.NA) if width is None else (width, Validity.VLD)),
        _code("nmt.mode", mode),
    ]


def _held(number: int, validity: int, held: bool) -> Value:
    return (float(number), validity) if held else (nan, Validity.NA)


_SPECIAL: Mapping[str, Callable[[Present, int, bool], list[Reading]]] = {
    "ecg": _ecg,
    "arrh_ecg": _arrhythmia,
    "nibp": _nibp,
    "SpO2": _oximeter,
    "SpO2_ch2": _oximeter,
    "co2": _co2,
    "aa": _agent,
    "flow_vol": _flow,
    "co_wedge": _cardiac_output,
    "nmt": _relaxation,
}
