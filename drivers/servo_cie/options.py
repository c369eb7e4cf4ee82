"""What a person can set, and what the driver can complain of."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.settings import Settings, setting

STANDBY = 17
ERRORS = {  # protocol notes, section Errors [1 source]
    9: "The interface of the ventilator reports an error of its own: call biomedical engineering.",
    10: "The ventilator does not know the command: check that its port speaks CIE; report it with a recording.",
    11: "The ventilator does not understand the command: report it with a recording and the ventilator's software.",
    12: "The ventilator says that a channel is out of range: take the channel out of the profile.",
    13: "The ventilator has no data: usual shortly after it was switched on.",
    14: "The ventilator's trend buffer has overflowed: this driver reads no trends, look for a second reader.",
    15: "A channel of the profile is not defined in this ventilator: take it out of the profile.",
    16: "The ventilator says that nothing is configured: it was restarted, the driver defines its list anew.",
    STANDBY: "The ventilator is in standby: it has no patient data, and all values are marked as not available.",
    18: "The ventilator found a wrong checksum in a command: bytes are lost, check cable and line settings.",
    19: "The ventilator's buffer is full: look for a second reader on the line.",
}
FAULTS: dict[str, str] = {
    "garbage": "Bytes without an end: check the line settings, parity above all, and that the port speaks CIE.",
    "hello": "What answers does not name itself 900PCI: check that the port of the ventilator speaks CIE.",
    "timeout": "No answer in time; the session begins anew. If it grows, check cable and line settings.",
    "silent": "The ventilator has stopped answering, its values are stale: check power, cable and line settings.",
    "checksum": "An answer with a wrong checksum, thrown away: check the cable and its shield.",
    "unchecked": "Answers come without the checksum that was expected: their values are marked questionable.",
    "length": "An answer of another length than its list, thrown away; the session begins anew. Check the cable.",
    "value": "A field is no number: its value is left out. Check the line settings.",
    "unexpected": "An answer came that nobody waits for, thrown away: raise timeout_s if it came late.",
    "configuration": "A channel description cannot be read, its values are marked questionable: report it.",
    "conflict": "The ventilator scales a channel otherwise than the profile: its value is withheld. Report it.",
    **{f"error_{code:02}": text for code, text in ERRORS.items()},
    "error_other": "The ventilator refuses with a code that is not in the notes: report it with a recording.",
}


@dataclass(frozen=True, slots=True)
class Options(Settings):
    """Options of a port."""

    poll_s: float = field(
        default=2.0, metadata=setting("settings and breath data are read so often, s", "s", low=1, high=60)
    )
    timeout_s: float = field(
        default=3.0,  # notes, suggested session
        metadata=setting("an answer must be there in full after this time, s", "s", low=0.5, high=30),
    )
