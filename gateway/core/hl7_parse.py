"""The reader of observation messages: ER7 bytes to values, times and validity, and what is wrong with the bytes.

Any bytes give an Oru, with findings; nothing raises. What cannot be understood is never guessed: a number that is none
is no value, a time without an offset is no time, and what would be read under the wrong device or patient is not read.

Sources: IHE DEV TF-2 (PCD-01), HL7 v2.6 chapters 2, 3 and 7.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway.core.er7 import instant, parse_dtm, read, split, unescape
from gateway.core.hl7 import AFTER_GAP
from gateway.core.hl7_obx import DATA_TYPE, REQUIRED, SEQUENCE, kind
from gateway.core.sample import Flag, Validity

# What else may stand in an ORU_R01 (HL7 v2.6, 7.3.1), and PRT, which IHE adds
_PASSED_OVER: Final = frozenset(
    {"SFT", "UAC", "PID", "PD1", "NK1", "PV2", "ORC", "TQ1", "TQ2", "CTD", "FT1", "CTI", "SPM", "DSC", "PRT"}
)
_NM = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_SYNTAX: Final[dict[str, Callable[[str], object]]] = {
    "NM": re.compile(_NM).fullmatch,
    "NR": re.compile(rf"(?:{_NM})?\^(?:{_NM})?").fullmatch,
    "NA": re.compile(rf"(?:{_NM})?(?:[\^~](?:{_NM})?)*").fullmatch,
}
_set_id = re.compile(r"[0-9]{1,9}").fullmatch


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. segment, index, field: where; index counts the segments of that name from 1."""

    segment: str
    index: int
    field: int  # 0: the whole segment
    code: str  # HL7 table 0357
    what: str
    severity: str = "E"  # E error, W warning (HL7 table 0516)


class Observation(NamedTuple):
    """One OBX. value: float (NM), str (token of a CWE, text); None: nothing that may be read as a value."""

    number: int  # of the OBX in the message: where an error points
    set_id: str
    type: str  # OBX-2; "" = device row
    code: int
    ref_id: str
    path: str
    value: float | str | None
    text: str  # OBX-5 as it stands
    unit_code: int
    unit_ref_id: str
    ucum: str
    limits: str  # OBX-7: alarm limits set on the device
    validity: Validity
    flags: int  # Flag
    status: str  # OBX-11
    t_ns: int | None  # UTC: OBX-14, else OBR-7; None: not known


@dataclass(slots=True)
class Group:
    """One OBR with its OBX. rows: all; observations: without device rows and what stands in Oru."""

    id: str  # OBR-3
    time: str  # OBR-7
    code: int = 0  # OBR-4: 69121 for waveforms, 196616 for alerts
    t_ns: int | None = None
    end_ns: int | None = None  # OBR-8
    after_gap: bool = False  # samples of the device were lost before this time
    rows: list[Observation] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)


class Header(NamedTuple):
    """MSH-3 to 7, 9 to 12, 15, 16 and 21, as they stand; "" where there is nothing."""

    sending_application: str = ""
    sending_facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    time: str = ""
    type: str = ""
    control_id: str = ""
    processing_id: str = ""
    version: str = ""
    accept_ack: str = ""
    application_ack: str = ""
    profile: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Return (MSH-3, MSH-4, MSH-10): a message with the same key is the same message again."""
        return self.sending_application, self.sending_facility, self.control_id


class Mds(NamedTuple):
    """The device of a message: its MDS row and OBX-18."""

    path: str
    code: int
    ref_id: str
    name: str
    id: str  # an EUI-64 as a rule
    id_type: str


@dataclass(slots=True)
class Oru:
    """One message, read. findings: what could not be read as it stands."""

    header: Header = field(default_factory=Header)
    location: tuple[str, str, str, str] = ("", "", "", "")  # PV1-3: unit, room, bed, facility
    device: Mds | None = None
    profile_digest: str = ""  # the plan that decoded the values (16 hex digits)
    time_sync: str = ""  # how the sender keeps its clock, reference id
    clock: str = ""  # how far the times can be relied on (gateway.core.clock), "" = not said
    clock_step_s: float = 0.0  # the clock of the gateway was set by so much just before
    attributes: dict[str, str] = field(default_factory=dict)  # of the device: model, firmware, serial number
    groups: list[Group] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def parse_header(msh: str) -> Header:
    """Read an MSH segment in standard delimiters."""
    fields = ["", *split(msh, "|", 21)]  # MSH-1 is the delimiter itself, so MSH-n is fields[n]
    return Header(*(fields[n].strip() for n in (3, 4, 5, 6, 7, 9, 10, 11, 12, 15, 16, 21)))


def parse_oru(payload: bytes) -> Oru:
    """Read one message. Any bytes; never raises."""
    segments, problems = read(payload)
    oru = Oru(findings=[Finding("MSH", 1, at, DATA_TYPE if at else SEQUENCE, what) for at, what in problems])
    if not segments or not segments[0].startswith("MSH|"):
        oru.findings.append(Finding("MSH", 1, 0, SEQUENCE, "the message does not begin with MSH"))
        return oru
    oru.header = parse_header(segments[0])
    reader = _Reader(oru)
    for segment in segments[1:]:
        if not reader.take(segment):
            break
    return oru


class _Reader:
    """Takes the segments after MSH, in order."""

    def __init__(self, oru: Oru) -> None:
        self.oru = oru
        self.count = Counter[str]()
        self.group: Group | None = None

    def find(self, segment: str, at: int, code: str, what: str) -> None:
        self.oru.findings.append(Finding(segment, self.count[segment], at, code, what))

    def take(self, segment: str) -> bool:
        """Take one segment; False when nothing from here on may be read as part of this message."""
        name = segment.partition("|")[0]
        self.count[name] += 1
        if name == "OBX":
            self.obx(segment)
        elif name == "OBR":
            self.obr(segment)
        elif name == "NTE":
            self.nte(segment)
        elif name == "MSH":
            self.oru.findings.append(Finding("MSH", 2, 0, SEQUENCE, "a second message begins"))
            return False
        elif name in ("PID", "PV1") and self.count[name] > 1:
            self.find(name, 0, SEQUENCE, f"a second {name}: one message is of one patient at one place")
            return False
        elif name == "PV1":
            self.pv1(segment)
        elif name not in _PASSED_OVER and not name.startswith("Z"):
            self.find(name[:3], 0, SEQUENCE, f"segment {name[:20]!r} is not known in an observation message")
        return True

    def pv1(self, segment: str) -> None:
        place = split(split(segment, "|", 4)[3], "^", 4)
        unit, room, bed, facility = (unescape(part.split("&", 1)[0]) for part in place)
        self.oru.location = (unit, room, bed, facility)

    def obr(self, segment: str) -> None:
        fields = split(segment, "|", 9)
        code = split(fields[4], "^", 1)[0]
        self.group = group = Group(fields[3], fields[7], int(code) if code.isdecimal() and len(code) <= 10 else 0)
        self.oru.groups.append(group)
        if not fields[4]:
            self.find("OBR", 4, REQUIRED, "OBR-4 is empty: what was observed")
        for at, text, name in ((7, group.time, "t_ns"), (8, fields[8], "end_ns")):
            try:
                setattr(group, name, instant(text) if text else None)
            except ValueError as fault:
                self.find("OBR", at, DATA_TYPE, str(fault))

    def nte(self, segment: str) -> None:
        if self.group is not None and not self.group.rows and split(segment, "|", 4)[3] == AFTER_GAP:
            self.group.after_gap = True

    def obx(self, segment: str) -> None:
        group = self.group
        if group is None:
            self.find("OBX", 0, SEQUENCE, "an OBX before the first OBR belongs to no time")
            return
        _, set_id, type_, identifier, path, text, unit, limits, marks, *more = split(segment, "|", 19)
        _, _, status, _, _, time, _, _, method, equipment = more  # OBX-9 to 18
        said = kind(type_, identifier, path, unit, marks, status, method, bool(text))
        for fault in said.faults:
            self.find("OBX", *fault)
        value, validity = None, said.validity
        if text and said.readable:
            value = self.value(type_, text)
            if value is None:
                validity = Validity.INV
        row = Observation(
            self.count["OBX"],
            set_id,
            type_,
            said.code,
            said.ref_id,
            path,
            value,
            text,
            said.unit_code,
            said.unit_ref_id,
            said.ucum,
            limits,
            validity,
            said.flags | Flag.AFTER_GAP.value if group.after_gap else said.flags,
            status,
            group.t_ns if not time and group.t_ns is not None else self.time(time, group, bool(text)),
        )
        group.rows.append(row)
        if said.role:
            self.about_device(said.role, row, equipment)
        else:
            group.observations.append(row)
        if not _set_id(set_id):
            self.find("OBX", 1, DATA_TYPE if set_id else REQUIRED, f"{set_id[:20]!r} is no set id")

    def value(self, type_: str, text: str) -> float | str | None:
        """Return what OBX-5 says, None where it does not say it in the syntax of its type."""
        syntax = _SYNTAX.get(type_)
        if syntax is not None and not syntax(text):
            self.find("OBX", 5, DATA_TYPE, f"{text[:40]!r} is no {type_}")
            return None
        if type_ == "NM":
            number = float(text)
            if math.isfinite(number):
                return number
            self.find("OBX", 5, DATA_TYPE, "the number is too large")
            return None
        if type_ == "CWE":
            identifier, token = split(text, "^", 2)
            if not token and not identifier:
                self.find("OBX", 5, DATA_TYPE, f"{text[:40]!r} names nothing")
            return unescape(token or identifier) or None
        if type_ == "DTM":
            try:
                parse_dtm(text)
            except ValueError as fault:
                self.find("OBX", 5, DATA_TYPE, str(fault))
                return None
        return unescape(text) if type_ == "ST" else text

    def time(self, time: str, group: Group, filled: bool) -> int | None:
        """Return the time of a row that has one of its own, or whose group has none."""
        if time:
            try:
                return instant(time)
            except ValueError as fault:
                self.find("OBX", 14, DATA_TYPE, str(fault))
        elif filled and not group.time:
            self.find("OBX", 14, REQUIRED, "neither OBX-14 nor OBR-7 says when this was observed")
        return None

    def about_device(self, role: str, row: Observation, equipment: str) -> None:
        """Take a row that says something of the device."""
        if role == "digest":
            self.oru.profile_digest = row.text
        elif role == "attribute":
            self.oru.attributes[row.ref_id] = str(row.value or "")
        elif role == "clock" and isinstance(row.value, float):
            self.oru.clock_step_s = row.value
        elif role == "clock":
            self.oru.clock = str(row.value or "")
        elif role == "time sync":
            self.oru.time_sync = str(row.value or "")
        elif role == "mds":
            name, _, id_, id_type = (unescape(part) for part in split(equipment.split("~", 1)[0], "^", 4))
            known = self.oru.device
            if known is None:
                self.oru.device = Mds(row.path, row.code, row.ref_id, name, id_ or name, id_type)
            elif (known.path, known.code) != (row.path, row.code) or (equipment and (id_ or name) != known.id):
                self.find("OBX", 18, SEQUENCE, "a second device: one message is of one device")
