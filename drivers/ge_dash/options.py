"""What a person can set, and what the driver can complain of."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.settings import Settings, setting

FAULTS = {
    "no_answer": "The monitor does not answer either form of the request: check cable, baud rate and its serial port.",
    "cut": "An answer stopped in its middle and was thrown away: check the cable, then raise `period_s`.",
    "header": "Bytes that are no answer were thrown away until the line was quiet: check baud rate and cable.",
    "records": "An answer is not built as this driver knows it and was thrown away: report it with a recording.",
    "echo": "The adapter sends back what is sent: switch its local echo off. Answers are still read.",
}


@dataclass(frozen=True, slots=True)
class Options(Settings):
    """Options of a port."""

    period_s: float = field(
        default=2.0,  # of one of the two programs; the other takes 5 s
        metadata=setting("the monitor is asked so often", "s", low=1, high=60),
    )


@dataclass(frozen=True, slots=True)
class Scenario(Settings):
    """What the simulated monitor is like."""

    understands: str = field(
        default="both",
        metadata=setting("which request it answers", choices=("both", "crc", "plain", "none")),
    )
