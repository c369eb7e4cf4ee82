"""From the bytes of one message to what is stored and what is answered. The one place of KITA that knows the HL7 core.

    nothing wrong, or warnings only   stored, accepted: AA, or CA to a sender in enhanced mode that wants no AA
    an error in the content           dead letter, AE, with the segment and field of each error
    a type, version or processing id  dead letter, AR or CR
      that KITA does not take

Which code says it depends on what MSH-15 and MSH-16 ask for (HL7 v2.6, 2.9.3 and table 0155: AL always, NE never, ER
errors only, SU success only; both empty is original mode). An error in the content is AE in every mode: CE would have
the sender repeat for ever what will never be taken.

KITA takes unsolicited observations (ORU^R01), waveforms among them (WCM), and alerts (ORU^R40). Both have tables of
their own. Pump events are not taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from enum import Enum

from gateway.core.ack import TABLE_0357, Err, build_ack
from gateway.core.er7 import escape, instant
from gateway.core.hl7_check import Finding, Header, Observation, Oru, check_oru, parse_oru
from gateway.core.nomenclature import nomenclature
from gateway.core.sample import NOT_FOR_CHARTING, Validity
from kita.measured import ALARM, WAVES, Measured, measured
from kita.store import Intake, Row

TYPES = ("ORU^R01^ORU_R01", "ORU^R40^ORU_R40", "ORU^R40^ORU_R01")
UNSUPPORTED = frozenset({"200", "201", "202", "203"})  # HL7 table 0357: type, event, processing id, version
DUPLICATE_KEY = Err("MSH^1^10", "205", "this control id stands for another message")
MAX_REASON = 300  # characters of the reason that is kept with a dead letter
_VALIDITY = {validity: validity.name for validity in Validity}
_APART = NOT_FOR_CHARTING.value


class Judgement(Enum):
    """What KITA thinks of a message: (code in original and application mode, code in commit mode)."""

    ACCEPT = ("AA", "CA")
    ERROR = ("AE", "AE")
    REJECT = ("AR", "CR")
    NOT_NOW = ("", "CE")


@dataclass(frozen=True, slots=True)
class Checked:
    """One message, read and judged, not yet stored."""

    header: Header
    judgement: Judgement
    errors: tuple[Err, ...]
    intake: Intake

    @property
    def where(self) -> str:
        """Say what is wrong without repeating anything that stands in the message: for logs."""
        told = (f"{e.location.replace('^', ' ')}: {TABLE_0357.get(e.code, e.code)}" for e in self.errors[:3])
        return "; ".join(told)


def check_message(payload: bytes, correlation: bytes | None = None) -> Checked:
    """Read and judge one message. Any bytes; never raises.

    correlation: control id as the transport has it, for an answer to a message that does not show its own
    """
    oru = parse_oru(payload)
    header = oru.header
    more = measured(oru, not header.processing_id.startswith("P"))
    if not header.control_id and correlation is not None:
        header = header._replace(control_id=escape(correlation.decode("utf-8", "replace").strip()))
    errors = [finding for finding in _findings(oru) if finding.severity == "E"]
    judgement = Judgement.ACCEPT
    if errors:
        unsupported = any(finding.code in UNSUPPORTED for finding in errors)
        judgement = Judgement.REJECT if unsupported else Judgement.ERROR
    told = tuple(map(Err.of, errors))
    intake = _intake(payload, oru, more) if not errors else _refused(payload, header, told)
    return Checked(header, judgement, told, intake)


def answer(
    header: Header, judgement: Judgement, control_id: str, now_ns: int, errors: Iterable[Err] = ()
) -> tuple[str, bytes | None]:
    """Return (code, HL7 ACK), or ("", None) when the sender wants no such answer or none can be addressed."""
    code = _code(header, judgement)
    if not code or not header.control_id:
        return "", None
    return code, build_ack(header, code, control_id, now_ns, UTC, tuple(errors))


def _code(header: Header, judgement: Judgement) -> str:
    application, commit = judgement.value
    if not header.accept_ack and not header.application_ack:
        return application
    good = judgement is Judgement.ACCEPT
    if application and _wanted(header.application_ack, good):
        return application
    return commit if _wanted(header.accept_ack, good) else ""


def _wanted(condition: str, good: bool) -> bool:
    return condition in ("AL", "SU" if good else "ER")


def _findings(oru: Oru) -> list[Finding]:
    findings = check_oru(oru, nomenclature())
    if oru.header.type and oru.header.type not in TYPES and not any(finding.code == "200" for finding in findings):
        findings.append(Finding("MSH", 1, 9, "200", f"KITA takes {TYPES[0]} and {TYPES[1]} only"))
    return findings


def _refused(payload: bytes, header: Header, errors: tuple[Err, ...]) -> Intake:
    reason = "; ".join(f"{error.location.replace('^', ' ')}: {error.text}" for error in errors)
    return Intake(*header.key, hashlib.sha256(payload).digest(), payload, refused=reason[:MAX_REASON])


def _intake(payload: bytes, oru: Oru, more: Measured) -> Intake:
    """Return what is stored of a good message. A row without any time was not observed: it has the message's time."""
    told_ns = instant(oru.header.time)
    all_apart = not oru.header.processing_id.startswith("P")
    rows: list[Row] = []
    apart: list[Row] = []
    for group in oru.groups:
        for observation in () if group.code in (WAVES, ALARM) else group.observations:
            keep = apart if all_apart or observation.flags & _APART else rows
            keep.append(_row(observation, told_ns))
    device = oru.device
    return Intake(
        *oru.header.key,
        hashlib.sha256(payload).digest(),
        payload,
        device=(device.id or device.name if device else "") or oru.header.sending_application,
        location="^".join(oru.location).rstrip("^"),
        profile_digest=oru.profile_digest,
        rows=rows,
        apart=apart,
        more=more,
        attributes=oru.attributes,
        clock=oru.clock,
        clock_step_s=oru.clock_step_s,
    )


def _row(o: Observation, told_ns: int) -> Row:
    value = o.value
    number, text = (None, value) if isinstance(value, str) else (value, None)
    time = told_ns if o.t_ns is None else o.t_ns
    unit = o.ucum or o.unit_ref_id
    return o.path, o.code, o.ref_id, number, text, unit, _VALIDITY[o.validity], o.flags, o.status, time, o.limits
