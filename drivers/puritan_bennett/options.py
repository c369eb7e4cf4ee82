"""What a person can set, and what the driver can complain of."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.settings import Settings, setting

FAULTS: dict[str, str] = {
    "garbage": "Bytes that belong to no report: check the line settings against the DCI setup, and the cable.",
    "report": "A report without its beginning or its end, thrown away: bytes are lost, check the cable and RTS/CTS.",
    "code": "The ventilator sent the other kind of report: give the port the profile of the report that it knows.",
    "fields": "A report with more or fewer fields than it says, thrown away: bytes are lost, check the cable.",
    "width": "A field is too short or too long, so bytes of it are lost: its value is left out. Check the cable.",
    "value": "A field is neither number nor blank nor OFF: its value is left out. Check the line settings.",
    "word": "An alarm field has a word this driver does not know: shown as an alarm if it stays. Report it.",
    "clock": "Date or time of the report cannot be read: check the clock of the ventilator.",
    "timeout": "No report in time. Now and then is noise; if it grows, check the cable or raise timeout_s.",
    "silent": "The ventilator has stopped answering, its values are stale: check power, cable and line settings.",
    "line": "A line of the waveform port cannot be read: its sample is left out. Check line settings and cable.",
    "outside": "Samples came outside of a breath and are left out: usual when the port is opened in mid-breath.",
    "cut": "A breath came without its end and is left out: bytes are lost, check the cable.",
    "too_long": "A breath without an end: bytes are lost, check the cable.",
    "missing": "The numbers of the breaths jump: a breath was lost, or the ventilator was switched on anew.",
}


@dataclass(frozen=True, slots=True)
class Options(Settings):
    """Options of a port that asks for reports; the waveform port has none.

    At 9600 Bd a full report takes 1.3 s on the wire (protocol notes): hence the defaults and the bounds.
    """

    poll_s: float = field(
        default=2.0, metadata=setting("a report is asked for so often, s; 2 to 5 at 9600 Bd", "s", low=0.5, high=60)
    )
    timeout_s: float = field(
        default=3.0, metadata=setting("a report must be there in full after this time, s", "s", low=0.5, high=30)
    )
