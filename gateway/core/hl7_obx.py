"""What an OBX says apart from its value and its time: term, path, unit, validity, flags, role.

All of this repeats from message to message, so it is read once per distinct text and remembered, bounded. A text that
cannot be read is a fault; what it would have said is then nothing (code 0, no unit), never a guess.

Sources: IHE DEV TF-2 (PCD-01: OBX-2 to OBX-17), HL7 v2.6 chapter 7. The tables of OBX-8 are those of the encoder.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.core.er7 import split, unescape
from gateway.core.hl7 import (
    ATTRIBUTES,
    CLOCK,
    NUMBERLESS,
    OBS_NONCTS_CODE,
    OBX_8,
    OBX_8_FLAGS,
    PROFILE_DIGEST,
    TIME_SYNC_CODE,
)
from gateway.core.sample import USABLE, Flag, Validity

# HL7 table 0357, as far as it is used here
SEQUENCE, REQUIRED, DATA_TYPE, TABLE_VALUE = "100", "101", "102", "103"

_OBX_2: Final = frozenset({"NM", "ST", "CWE", "NA", "NR", "DTM", "ED"})
_OBX_11: Final = frozenset("XRFCDWPSUI")
_WITHDRAWN: Final = frozenset("DW")  # OBX-11: deleted, wrong patient

# OBX-8 -> validity. NI (no information) and OFF (switched off) say like NAV that there is none.
_VALIDITIES = {text: validity for validity, text in OBX_8.items() if text} | dict.fromkeys(("NI", "OFF"), Validity.NA)
_FLAGS = {text: flag for flag, text in OBX_8_FLAGS.items()}
# Abnormality, alert priority, alert type (HL7 table 0078, IHE PCD-04): known, and of no effect on validity.
_OTHER_MARKS = frozenset({"N", "L", "LL", "H", "HH", "A", "PN", "PL", "PM", "PH", "SP", "ST", "SA"})

_code = re.compile(r"[0-9]{1,10}").fullmatch  # a context-free code is a u32
_path = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){3,5}").fullmatch
_device_path = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.0").fullmatch

Fault = tuple[int, str, str]
"""(field, code of table 0357, what)"""


class Kind(NamedTuple):
    """What an OBX says apart from value and time. readable: OBX-5 may be read as a value."""

    code: int
    ref_id: str
    unit_code: int
    unit_ref_id: str
    ucum: str
    validity: Validity
    flags: int
    readable: bool
    role: str  # "" observation; mds, device (VMD, channel), time sync, clock, digest, attribute
    faults: tuple[Fault, ...]


@lru_cache(maxsize=8192)
def kind(type_: str, identifier: str, path: str, unit: str, marks: str, status: str, method: str, filled: bool) -> Kind:
    faults: list[Fault] = []
    code, ref_id = _identifier(identifier, faults)
    unit_code, unit_ref_id, ucum = _unit(unit, faults)
    device = bool(_device_path(path))
    if not _path(path):
        faults.append((4, DATA_TYPE if path else REQUIRED, f"{path[:40]!r} is no path MDS.VMD.CHAN.METRIC"))
    if status not in _OBX_11:
        faults.append((11, TABLE_VALUE if status else REQUIRED, f"{status[:10]!r} is no result status"))
    if device:
        _device_faults(type_, status, filled, faults)
    else:
        _metric_faults(type_, unit, status, filled, faults)
    known = set(filter(None, marks.split("~")))
    _mark_faults(known, status, faults)
    validity = _validity(known, status, filled)
    flags = Flag(0)
    for mark in known & _FLAGS.keys():
        flags |= _FLAGS[mark]
    if any(repetition.split("^", 1)[0] == OBS_NONCTS_CODE for repetition in method.split("~")):
        flags |= Flag.EPISODIC
    role = "mds" if device and path.endswith(".0.0.0") else "device" if device else ""
    if not device:
        role = "time sync" if code == TIME_SYNC_CODE else "digest" if ref_id == PROFILE_DIGEST else ""
        role = "attribute" if ref_id in ATTRIBUTES else "clock" if ref_id in CLOCK else role
    readable = not device and validity not in NUMBERLESS
    return Kind(code, ref_id, unit_code, unit_ref_id, ucum, validity, flags.value, readable, role, tuple(faults))


def _identifier(text: str, faults: list[Fault]) -> tuple[int, str]:
    """Read OBX-3: (context-free code, reference id)."""
    code, ref_id, system = split(text, "^", 3)
    if not _code(code):
        faults.append((3, DATA_TYPE if code else REQUIRED, f"{code[:40]!r} is no code"))
    if not ref_id:
        faults.append((3, REQUIRED, "OBX-3.2 is empty: the reference id"))
    if system != "MDC":
        faults.append((3, TABLE_VALUE, f"coding system {system[:20]!r} is not MDC"))
    return int(code) if _code(code) else 0, unescape(ref_id)


def _unit(text: str, faults: list[Fault]) -> tuple[int, str, str]:
    """Read OBX-6: (MDC code or 0, MDC reference id or "", UCUM text or "")."""
    if not text:
        return 0, "", ""
    first, second, system, other, _, other_system = split(text, "^", 6)
    if system == "UCUM":
        return 0, "", unescape(first)
    if system != "MDC" or not _code(first):
        faults.append((6, TABLE_VALUE, f"{text[:40]!r} is neither an MDC nor a UCUM unit"))
        return 0, "", ""
    return int(first), unescape(second), unescape(other) if other_system == "UCUM" else ""


def _device_faults(type_: str, status: str, filled: bool, faults: list[Fault]) -> None:
    if type_ or filled:
        faults.append((2 if type_ else 5, DATA_TYPE, "a device row has neither type nor value"))
    if status != "X":
        faults.append((11, TABLE_VALUE, "OBX-11 of a device row is X"))


def _metric_faults(type_: str, unit: str, status: str, filled: bool, faults: list[Fault]) -> None:
    if type_ not in _OBX_2:
        faults.append((2, TABLE_VALUE if type_ else REQUIRED, f"{type_[:10]!r} is no type of a value in PCD-01"))
    if type_ == "NM" and filled and not unit:
        faults.append((6, REQUIRED, "a number without a unit"))
    if filled and status == "X":
        faults.append((5, TABLE_VALUE, "a value, and OBX-11 X says that there is none"))
    if not filled and status != "X" and status not in _WITHDRAWN:
        faults.append((5, REQUIRED, "no value, and OBX-11 does not say X"))


def _mark_faults(marks: set[str], status: str, faults: list[Fault]) -> None:
    unknown = sorted(marks - _VALIDITIES.keys() - _FLAGS.keys() - _OTHER_MARKS)
    faults += [(8, TABLE_VALUE, f"{mark[:20]!r} is not known") for mark in unknown]
    without = [mark for mark in sorted(marks) if _VALIDITIES.get(mark) in NUMBERLESS]
    if without and status != "X":
        faults.append((11, TABLE_VALUE, f"OBX-8 {without[0]} needs OBX-11 X"))
    if "VAL" in marks and status == "R":
        faults.append((11, TABLE_VALUE, "OBX-8 VAL needs OBX-11 F"))


def _validity(marks: set[str], status: str, filled: bool) -> Validity:
    """Return the most restrictive thing that OBX-8 and OBX-11 say."""
    if status in _WITHDRAWN:
        return Validity.INV
    said = [_VALIDITIES[mark] for mark in marks & _VALIDITIES.keys()]
    worst = max(said, key=lambda validity: (validity not in USABLE, validity), default=Validity.VLD)
    if (status == "X" or not filled) and worst in USABLE:
        return Validity.NA
    return Validity.VLDATED if status == "F" and worst is Validity.VLD else worst
