"""What a person can set, and what the driver can complain of."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.settings import Settings, described, setting

FAULTS = {
    "noise": "Bytes outside of frames: check baud rate, cable and shield.",
    "form": "A frame that is not built as this driver knows it, thrown away: check baud rate and cable.",
    "crc": "A frame with a wrong checksum, thrown away: check the cable, its shield and its length.",
    "empty": "An answer without a value: the pump does not tell it, or the adapter sends the question back (echo).",
    "no_number": "A value that is no number, not shown: report it with a recording, the pump's answers are not known.",
    "unknown": "The pump said something that was not asked: look for a second program on the line.",
    "no_answer": "No answer in time: check cable and line settings, and that RS-232 is selected in the pump's menu.",
}


@dataclass(frozen=True, slots=True)
class Options(Settings):
    """Options of a port."""

    poll_s: float = field(
        default=2.0,  # protocol notes: about 1 to 2 s
        metadata=setting("rate, volume and serial number are asked for once in this time", "s", low=1, high=60),
    )


OPTIONS = described(Options)
