"""Our own judge of PCD-01 messages: what a general HL7 validator cannot see.

`parse_oru` reads a message and says what could not be read as it stands; `check_oru` adds what takes more than one
field to see: MSH against the profile, one OBX-4 per group, parents before children, codes against the nomenclature.
A term or unit that the nomenclature does not list is a warning (the table is ours, the standard is larger); one that it
lists otherwise is an error: code and name disagree, and nobody can say which one the sender meant.

Sources: IHE DEV TF-2 (PCD-01), ISO/IEEE 11073-10101 as far as nomenclature.csv lists it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from gateway.core.er7 import instant, split
from gateway.core.hl7 import OWN_TERMS
from gateway.core.hl7_message import PCD_01_OID
from gateway.core.hl7_obx import DATA_TYPE, REQUIRED, SEQUENCE, TABLE_VALUE
from gateway.core.hl7_parse import Finding, Group, Header, Observation, Oru, parse_oru
from gateway.core.nomenclature import Nomenclature, Term
from gateway.core.units import parse_ucum

__all__ = ["Finding", "Group", "Header", "Observation", "Oru", "check", "check_oru", "parse_oru"]

UNSUPPORTED_TYPE, UNSUPPORTED_PROCESSING_ID, UNSUPPORTED_VERSION = "200", "202", "203"  # HL7 table 0357
MESSAGE_TYPES = frozenset({"ORU^R01^ORU_R01", "ORU^R40^ORU_R40", "ORU^R40^ORU_R01", "ORU^R42^ORU_R01"})
"""PCD-01; PCD-04 in both structures that are sent; PCD-10."""
VERSIONS = frozenset({"2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8", "2.8.1", "2.8.2"})
"""2.6 is the one of PCD; the fields read here are the same in the others. Sending another is a warning."""
PROFILES = frozenset(
    {
        PCD_01_OID,
        "1.3.6.1.4.1.19376.1.6.4.1",  # PCD-01 as B. Braun sends it
        "1.3.6.1.4.1.19376.1.6.1.4.1",  # PCD-04
        "1.3.6.1.4.1.19376.1.6.4.4",  # PCD-04 as some send it
        "1.3.6.1.4.1.19376.1.6.4.4.1",
        "1.3.6.1.4.1.19376.1.6.4.10",  # PCD-10
    }
)
MAX_CONTROL_ID = 199  # TF-2, MSH-10


def check(payload: bytes, nomenclature: Nomenclature) -> list[Finding]:
    """Return all that is wrong with one message; [] for a clean one. Any bytes; never raises."""
    return check_oru(parse_oru(payload), nomenclature)


def check_oru(oru: Oru, nomenclature: Nomenclature) -> list[Finding]:
    """Return all that is wrong with a message already read, what the reader found first."""
    findings = [*oru.findings, *_header(oru.header)]
    ids: set[str] = set()
    for index, group in enumerate(oru.groups, 1):
        if not group.id or group.id in ids:
            what = "OBR-3 stands twice" if group.id else "OBR-3 is empty"
            findings.append(Finding("OBR", index, 3, SEQUENCE if group.id else REQUIRED, what))
        ids.add(group.id)
        findings += _containment(group)
        for row in group.rows:
            for field, code, what, severity in _meaning(
                nomenclature, row.type, row.code, row.ref_id, row.unit_code, row.unit_ref_id, row.ucum
            ):
                findings.append(Finding("OBX", row.number, field, code, what, severity))
    findings += _device(oru)
    return findings


def _header(msh: Header) -> Iterator[Finding]:
    if not msh.sending_application:
        yield Finding("MSH", 1, 3, REQUIRED, "MSH-3 is empty: who sends")
    try:
        instant(msh.time)
    except ValueError as fault:
        yield Finding("MSH", 1, 7, DATA_TYPE if msh.time else REQUIRED, str(fault))
    if msh.type not in MESSAGE_TYPES:
        yield Finding("MSH", 1, 9, UNSUPPORTED_TYPE, f"{msh.type[:40]!r} is no observation message of IHE PCD")
    if not msh.control_id:
        yield Finding("MSH", 1, 10, REQUIRED, "MSH-10 is empty: without it no answer can be given")
    elif len(msh.control_id) > MAX_CONTROL_ID:
        yield Finding("MSH", 1, 10, DATA_TYPE, f"MSH-10 is longer than {MAX_CONTROL_ID}")
    if split(msh.processing_id, "^", 1)[0] not in ("P", "T", "D"):
        yield Finding("MSH", 1, 11, UNSUPPORTED_PROCESSING_ID, f"{msh.processing_id[:10]!r} is not P, T or D")
    version = split(msh.version, "^", 1)[0]
    if version != "2.6":
        severity = "W" if version in VERSIONS else "E"
        yield Finding("MSH", 1, 12, UNSUPPORTED_VERSION, f"version {version[:10]!r}, and PCD is 2.6", severity)
    if not any(split(profile, "^", 3)[2] in PROFILES for profile in msh.profile.split("~")):
        yield Finding("MSH", 1, 21, TABLE_VALUE, f"profile {msh.profile[:80]!r} is none of IHE PCD that is known here")


def _device(oru: Oru) -> Iterator[Finding]:
    """Judge the message as one of one device."""
    if not oru.groups:
        yield Finding("OBR", 1, 0, SEQUENCE, "no OBR: nothing was observed")
    if oru.device is not None and not oru.device.id:
        yield Finding("OBX", 1, 18, REQUIRED, "OBX-18 of the MDS is empty: which device", "W")


def _containment(group: Group) -> Iterator[Finding]:
    """OBX-1 and OBX-4 are unique in a group; a device row stands before what it contains.

    A parent that is not there at all is a warning: senders leave VMD and channel rows out.
    """
    numbers: set[str] = set()
    paths: set[str] = set()
    missing: set[str] = set()
    for row in group.rows:
        if row.set_id in numbers:
            yield Finding("OBX", row.number, 1, SEQUENCE, f"OBX-1 {row.set_id[:20]!r} stands twice in its group")
        numbers.add(row.set_id)
        if row.path in paths:
            yield Finding("OBX", row.number, 4, SEQUENCE, f"OBX-4 {row.path[:40]!r} stands twice in its group")
        paths.add(row.path)
        if row.path in missing:
            yield Finding("OBX", row.number, 4, SEQUENCE, f"{row.path} stands after what it contains")
        parent = _parent(row.path)
        if parent and parent not in paths and parent not in missing:
            missing.add(parent)
            yield Finding("OBX", row.number, 4, SEQUENCE, f"no device row {parent} before its children", "W")


@lru_cache(maxsize=8192)
def _parent(path: str) -> str:
    """Return the path of the device row above; "" for an MDS and for what is no path of four numbers or more."""
    numbers = path.split(".")
    if len(numbers) < 4:
        return ""
    level = numbers[:3]
    if len(numbers) == 4 and numbers[3] == "0":  # a device row itself: one level up
        depth = max((i for i, number in enumerate(level) if number != "0"), default=0)
        level = level[:depth] + ["0"] * (3 - depth) if depth else []
    return ".".join([*level, "0"]) if level else ""


Fault = tuple[int, str, str, str]
"""(field, code of table 0357, what, severity)"""


@lru_cache(maxsize=8192)
def _meaning(
    nomenclature: Nomenclature, type_: str, code: int, ref_id: str, unit_code: int, unit_ref_id: str, ucum: str
) -> tuple[Fault, ...]:
    """Compare term and unit of an OBX with the nomenclature."""
    if not ref_id or ref_id in OWN_TERMS:  # the reader has said it; a term of the encoder
        return ()
    faults: list[Fault] = []
    term = _term(nomenclature, code, ref_id, faults)
    unit = _unit(nomenclature, unit_code, unit_ref_id, ucum, faults)
    if term is not None and term.units and unit and type_ == "NM":
        wanted = {parse_ucum(nomenclature.units[name].ucum).dimension for name in term.units}
        if parse_ucum(unit).dimension not in wanted:
            faults.append((6, TABLE_VALUE, f"{ref_id} is not measured in {unit}", "E"))
    return tuple(faults)


def _term(nomenclature: Nomenclature, code: int, ref_id: str, faults: list[Fault]) -> Term | None:
    term = nomenclature.terms.get(ref_id)
    if term is None:
        other = nomenclature.by_code(code)
        if other is not None:
            faults.append((3, TABLE_VALUE, f"{code} is {other.ref_id}, not {ref_id[:60]}", "E"))
        else:
            faults.append((3, TABLE_VALUE, f"{code} {ref_id[:60]} is not in the nomenclature here", "W"))
    elif term.code != code:
        faults.append((3, TABLE_VALUE, f"{ref_id} is {term.code}, not {code}", "E"))
    return term


def _unit(nomenclature: Nomenclature, code: int, ref_id: str, ucum: str, faults: list[Fault]) -> str:
    """Return the UCUM text of the unit that MDC and UCUM agree on, "" when there is none or they do not."""
    texts = [ucum] if ucum else []
    if ref_id or code:
        unit = nomenclature.units.get(ref_id)
        if unit is None:
            faults.append((6, TABLE_VALUE, f"unit {code} {ref_id[:60]} is not in the nomenclature here", "W"))
        elif unit.code != code:
            faults.append((6, TABLE_VALUE, f"{ref_id} is {unit.code}, not {code}", "E"))
            return ""
        else:
            texts.append(unit.ucum)
    try:
        sizes = {(u.dimension, u.factor, u.offset) for u in map(parse_ucum, texts)}
    except ValueError as fault:
        faults.append((6, TABLE_VALUE, str(fault)[:120], "W"))
        return ""
    if len(sizes) > 1:
        faults.append((6, TABLE_VALUE, f"{ref_id} is {texts[1]}, not {ucum[:40]}", "E"))
        return ""
    return texts[0] if texts else ""
