"""What a profile says to this driver, and what the driver can complain of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.core.settings import Settings, build, setting

FAULTS: dict[str, str] = {
    "garbage": "Bytes that belong to no line: normal once when listening begins; else check the baud rate.",
    "damaged": "A line with a measurement is damaged and is thrown away: check cable, plugs and baud rate.",
    "other": "A line that is no measurement and no known heading, such as a menu: harmless when rare.",
    "clock": "The oximeter's clock has jumped, or shows no possible time: set it.",
}


@dataclass(frozen=True, slots=True)
class Output(Settings):
    """The table [driver] of a profile."""

    output: str = field(
        metadata=setting("lines: the real-time printout; n200: the packets of the N-200", choices=("lines", "n200"))
    )


def output_of(table: Mapping[str, Any]) -> str:
    """Check the table [driver] of a profile. Raises: ConfigError."""
    return build(Output, table, lambda *_: "table [driver] of the profile").output
