"""Acknowledgements: the receiving application's word on a message, read and written.

    accept  AA, CA       it has the message; the sender may forget it
    keep    CE           it cannot store now; the same bytes come again later
    reject  AE, AR, CR   it will never take these bytes

Reading is tolerant, because engines differ: any ACK trigger and structure, any version, other delimiters, LF ends. It
is not tolerant of doubt: what does not name one code and one message is no acknowledgement, and the message is kept.

Sources: HL7 v2.6 chapter 2 (2.9.2 and 2.9.3 acknowledgement, MSA, ERR; tables 0008, 0357, 0516); IHE PCD TF-2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo

from gateway.core.er7 import DELIMITERS, DtmFormat, escape, read, split, unescape
from gateway.core.errors import DeliveryError
from gateway.core.hl7_parse import Finding, Header
from gateway.core.message import Outcome, Verdict

VERDICTS = {
    "AA": Verdict.ACCEPT,
    "CA": Verdict.ACCEPT,
    "CE": Verdict.KEEP,
    "AE": Verdict.REJECT,
    "AR": Verdict.REJECT,
    "CR": Verdict.REJECT,
}
TABLE_0357 = {
    "0": "Message accepted",
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "205": "Duplicate key identifier",
    "206": "Application record locked",
    "207": "Application internal error",
}
MAX_ERRORS = 20  # ERR segments in one answer: a person reads the first ones
MAX_REASON = 300  # characters of a reason: one line of a log


class AckError(DeliveryError):
    """What came back is no acknowledgement of one message."""


@dataclass(frozen=True, slots=True)
class Err:
    """One ERR. location: ERR-2, "OBX^9^3" (segment, its number, field); code: table 0357; severity: E, W, I, F."""

    location: str
    code: str
    text: str
    severity: str = "E"

    @classmethod
    def of(cls, finding: Finding) -> Err:
        """Return the ERR that tells a finding of the checker."""
        location = f"{finding.segment}^{finding.index}" + (f"^{finding.field}" if finding.field else "")
        return cls(location, finding.code, finding.what, finding.severity)


@dataclass(frozen=True, slots=True)
class Ack:
    """One acknowledgement. code: MSA-1; control_id: MSA-2, the message it is about; text: MSA-3."""

    code: str
    control_id: str
    text: str = ""
    errors: tuple[Err, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """Return what it means for the message, with a reason of one line unless it is accepted."""
        verdict = VERDICTS[self.code]
        if verdict is Verdict.ACCEPT:
            return Outcome(self.control_id, verdict)
        told = [" ".join((e.location.replace("^", " "), e.code, e.text)) for e in self.errors]
        words = " ".join("; ".join(filter(str.strip, (self.text, *told))).split())
        plain = "".join(c for c in words if c.isprintable())[:MAX_REASON]
        return Outcome(self.control_id, verdict, f"{self.code}: {plain}" if plain else self.code)


def shortened(reason: str) -> str:
    """Return a reason for a log: the code alone of what a receiver has said; its words may be about a patient."""
    code = reason.partition(":")[0]
    return code if code in VERDICTS else reason


def parse_ack(payload: bytes) -> Ack:
    """Read one acknowledgement. Any bytes. Raises: AckError."""
    segments, _ = read(payload)
    if not segments or not segments[0].startswith("MSH|"):
        raise AckError("an answer that does not begin with MSH")
    if any(segment.startswith("MSH|") for segment in segments[1:]):
        raise AckError("an answer of two messages")
    kind = split(segments[0], "|", 9)[8].split("^", 1)[0].strip()
    if kind != "ACK":
        raise AckError("an answer of another type, not ACK")
    about = [split(segment, "|", 4) for segment in segments if segment.startswith("MSA|")]
    if len(about) != 1:
        raise AckError(f"an ACK with {len(about)} MSA")
    code, control_id, text = (unescape(field).strip() for field in about[0][1:])
    if code not in VERDICTS:
        raise AckError("an ACK with a code that is none")
    if not control_id:
        raise AckError("an ACK that names no message (MSA-2)")
    return Ack(code, control_id, text, tuple(map(_err, (s for s in segments if s.startswith("ERR|")))))


def _err(segment: str) -> Err:
    """Read an ERR. Before v2.5 it had ERR-1 only; the words stand in ERR-8, ERR-7 or beside the code."""
    fields = split(segment, "|", 9)
    code, name = split(fields[3], "^", 2)
    words = unescape(fields[8] or fields[7] or name)
    return Err(unescape(fields[2] or fields[1]), unescape(code).strip(), words, fields[4].strip() or "E")


def build_ack(
    header: Header,
    code: str,
    control_id: str,
    now_ns: int,
    timezone: tzinfo,
    errors: Sequence[Err] = (),
    text: str = "",
) -> bytes:
    """Return the answer to a message, in UTF-8.

    header: MSH of that message; code: MSA-1; control_id: MSH-10 of the answer; now_ns: UTC; text: MSA-3;
    errors: the first 20 are told
    """
    if code not in VERDICTS:
        raise ValueError(f"{code!r} is no acknowledgement code")
    event = split(header.type, "^", 2)[1] or "R01"
    segments = [
        f"MSH{DELIMITERS}|{header.receiving_application}|{header.receiving_facility}|{header.sending_application}|"
        f"{header.sending_facility}|{DtmFormat(timezone).text(now_ns)}||ACK^{event}^ACK|{escape(control_id)}|"
        f"{header.processing_id or 'P'}|2.6|||NE|NE||UNICODE UTF-8",
        _trimmed(f"MSA|{code}|{header.control_id}|{escape(text)}"),
    ]
    for error in errors[:MAX_ERRORS]:
        location = "^".join(map(escape, error.location.split("^")))
        name = TABLE_0357.get(error.code, "")
        coded = f"{escape(error.code)}^{name}^HL70357"
        segments.append(_trimmed(f"ERR||{location}|{coded}|{escape(error.severity)}||||{escape(error.text)}"))
    return "".join(f"{segment}\r" for segment in segments).encode()


def _trimmed(segment: str) -> str:
    return segment.rstrip("|")
