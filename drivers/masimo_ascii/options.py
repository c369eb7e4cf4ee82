"""What the driver can complain of. It has no options."""

from __future__ import annotations

FAULTS: dict[str, str] = {
    "garbage": "Bytes without an end of line: check the baud rate, and that the serial output is set to ASCII 1.",
    "damaged": "A line is damaged and is thrown away, a second is missing: check cable, plugs and baud rate.",
    "ascii_2": "The oximeter prints ASCII 2 or its trend memory, which is not used: set its serial output to ASCII 1.",
    "other": "A line that is no measurement, such as a greeting: harmless when rare; else set the output to ASCII 1.",
    "clock": "The oximeter's clock has jumped, or shows no possible time: set it.",
}
