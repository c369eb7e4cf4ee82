"""What a person can set, and what the driver can complain of."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.settings import Settings, described, setting

FAULTS = {
    "noise": "Bytes outside of blocks: check baud rate, cable and shield.",
    "form": "A block that is not built as this driver knows it: check baud rate and cable.",
    "stuffing": "Letters are not escaped as expected: set option stuffing as on the station's web page.",
    "length": "A block longer or shorter than it says: bytes are lost, check cable and baud rate.",
    "checksum": "A block with a wrong checksum, thrown away: check the cable, its shield and its length.",
    "too_long": "An answer without an end, thrown away: restart the station's SpaceCom, report it when it comes again.",
    "quadruple": "Part of an answer cannot be read, its value is left out: report it with a recording.",
    "value": "A value that is no number, shown as invalid: report it with a recording and the pump's software.",
    "unit": "A dose or concentration came without its unit and is not shown: report it with the pump's software.",
    "error": "The station refuses a request; the code says why: look it up in the interface description.",
    "bed_id": "The name set in the station cannot be used to ask it: use letters and digits, 15 at most.",
    "echo": "What is written comes back: check the adapter (local echo) and the cable. Answers are still read.",
    "no_answer": "No answer in time. Now and then is noise; if it grows, check the cable.",
    "silent": "The station has stopped answering, its values are stale: check power, cable and line settings.",
    "restarted": "The station has started anew; values of before are forgotten.",
    "withdrawn": "Pumps stop sending values: normal when one is changed; if all come and go, set changes_only = true.",
    "position": "A pump where the profile has no rows: its values are not read, its alarms are shown by their code.",
    "pillar": "A pump in a pillar that no device of this port has: its values and alarms are not read, add a device.",
}


@dataclass(frozen=True, slots=True)
class Options(Settings):
    """Options of a port."""

    stuffing: bool = field(
        default=True, metadata=setting("letters D, E, d, e are escaped on the line; as on the station's web page")
    )
    changes_only: bool = field(
        default=False,
        metadata=setting("the station sends only what has changed: values are held until they change or the pump goes"),
    )
    poll_s: float = field(
        default=3.0,  # as the open implementation does; the shortest pause is 0.5 s (protocol notes, requests)
        metadata=setting("the station is asked once in this time", "s", low=0.5, high=60),
    )


@dataclass(frozen=True, slots=True)
class PillarOptions(Settings):
    """Options of one device of the line."""

    pillar: int = field(default=1, metadata=setting("pillar of the station: the second digit of 501xy", low=1, high=3))


OPTIONS, DEVICE_OPTIONS = described(Options), described(PillarOptions)
