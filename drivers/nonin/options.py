"""What a profile says to this driver, and what the driver can complain of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.core.settings import Settings, build, setting

FORMATS = ("df2", "df7", "df8", "df13", "ascii")

FAULTS: dict[str, str] = {
    "garbage": "Bytes that are no data of this format: normal once when listening begins; else check format and baud.",
    "broken": "A packet was cut or damaged and is thrown away, a third of a second is missing: check cable and plugs.",
    "checksum": "A spot check came with a wrong checksum and is thrown away: check the cable, and measure again.",
    "stored": "A spot check from the oximeter's memory is not used, for nobody knows whose it is: measure again.",
    "clock": "The oximeter's clock shows no possible time: set it with the maker's program.",
    "line": "A line with a measurement is damaged and is thrown away: check cable, baud rate and plugs.",
    "text": "A line that is no measurement, such as the greeting at power-on: harmless when rare.",
}


@dataclass(frozen=True, slots=True)
class Format(Settings):
    """The table [driver] of a profile."""

    format: str = field(metadata=setting("the data format that the oximeter is set to", choices=FORMATS))
    sensor_bit: bool = field(
        default=False,
        metadata=setting("formats 2 and 7: status bit 6 tells that the sensor is unplugged; false: it is reserved"),
    )


def format_of(table: Mapping[str, Any]) -> Format:
    """Check the table [driver] of a profile. Raises: ConfigError."""
    return build(Format, table, lambda *_: "table [driver] of the profile")
