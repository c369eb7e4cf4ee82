"""What a person can set, and what the driver can complain of."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.settings import Settings, described, setting

FAULTS = {
    "noise": "Bytes outside of frames: check line settings (7E1), cable and shield.",
    "checksum": "A frame with a wrong checksum, refused and sent again by the pump: check cable, shield and length.",
    "form": "A frame that is not built as this driver knows it: report it with a recording and the pump's software.",
    "field": "A value that cannot be read, not shown: report it with a recording and the pump's software.",
    "incomplete": "An answer lacks what was asked, thrown away: check cable and shield; look for a second master.",
    "no_answer": "No answer in time, after one repeat: check cable and line settings; the driver connects again.",
    "link_error": "Pump or base refuses a frame; the code says why: when it is not rare, check the line.",
    "refused": "Pump or base refuses a question; the code says why: check that the data port is enabled in its menu.",
}
LINK_ERRORS = {  # protocol notes, link errors
    "1": "character reception",
    "2": "checksum",
    "4": "address",
    "5": "time-out of the acknowledgement",
    "6": "receiver not ready",
    "7": "frame length",
    "8": "control character",
}
REFUSALS = {  # protocol notes, application errors; those without a word there have none here
    "01": "unknown command",
    "02": "disabled in this mode",
    "03": "disabled in this status",
    "04": "syntax",
    "05": "mode",
    "06": "mode",
    "07": "mode",
    "08": "limit",
    "0A": "id not used",
    "0B": "id incorrect",
    "0C": "longer than 80 characters",
    "0D": "session of the base not open",
    "0E": "communication with the module impossible",
    "12": "alarm present",
    "14": "no rate",
    "15": "volume",
    "1A": "event number",
    "1E": "communication with the module not open",
    "20": "port not authorised",
    "25": "drug number",
}


@dataclass(frozen=True, slots=True)
class Options(Settings):
    """Options of a port."""

    stand_alone: bool = field(
        default=False, metadata=setting("one pump on the line, without a base; its values are those of slot 1")
    )
    poll_s: float = field(
        default=1.0,  # protocol notes: 1 to 2 s
        metadata=setting("each pump is asked once in this time", "s", low=0.5, high=60),
    )


OPTIONS = described(Options)
