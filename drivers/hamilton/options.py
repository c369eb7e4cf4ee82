"""What a person can set, and what the driver can complain of."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.settings import Settings, setting

FAULTS: dict[str, str] = {
    "garbage": "Bytes that belong to no answer: check the line settings, and that this port speaks this protocol.",
    "answer": "An answer that is not built as expected, thrown away: bytes are lost, check cable and line settings.",
    "echo": "The adapter sends back what is sent: switch its local echo off.",
    "unexpected": "An answer to what was not asked, thrown away: it is late, or there is a second reader on the line.",
    "value": "An answer holds no number: its value is left out. Check the line settings.",
    "mode": "The mode is not known or has just changed: parameters whose meaning depends on it are left out once.",
    "timeout": "No answer in time. Now and then is noise; a parameter that never answers is not in this ventilator.",
    "silent": "The ventilator has stopped answering, its values are stale: check power, cable and line settings.",
}


@dataclass(frozen=True, slots=True)
class Options(Settings):
    """Options of a port. A round of 25 parameters takes 2 to 3 s (protocol notes)."""

    poll_s: float = field(
        default=3.0, metadata=setting("every parameter is asked for so often, s", "s", low=1, high=60)
    )
    timeout_s: float = field(
        default=1.0, metadata=setting("an answer must be there in full after this time, s", "s", low=0.1, high=10)
    )
