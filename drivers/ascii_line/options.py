"""What the driver can complain of, and what the simulated device does. The driver itself has no options."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.settings import Settings, setting

FAULTS: dict[str, str] = {
    "garbage": "Bytes that belong to no line: check baud rate, data bits and parity, and `begin` and `end` of the "
    "profile.",
    "damaged": "A line does not have the form that the profile gives it and was thrown away: check line settings and "
    "cable; if every line is damaged, compare the profile with the device's manual.",
    "checksum": "A line with a wrong checksum was thrown away: check cable and line settings; if every line is wrong, "
    "compare [driver.checksum] with the manual.",
    "field": "A field is no number and no word that the profile knows: look at a recording with `mdi profile test`, "
    "and add the word to `sentinels`, `values` or [units].",
    "other": "A line that no [[driver.line]] of the profile describes: harmless when it is a greeting, else describe "
    "it, with `ignore` when it is not wanted.",
    "silent": "The device does not answer its poll: it is switched off, or cable, line settings or the poll are wrong.",
}


@dataclass(frozen=True, slots=True)
class Scenario(Settings):
    """What the simulated device does."""

    period_s: float = field(
        default=1.0, metadata=setting("a device that is not polled sends its lines so often", "s", low=0.05, high=20)
    )
