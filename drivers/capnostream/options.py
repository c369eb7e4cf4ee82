"""What the driver can complain of, and what the simulated monitor can be like."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.settings import Settings, setting

FAULTS: dict[str, str] = {
    "noise": "Bytes outside of frames: check the baud rate (115200) and the cable.",
    "cut": "A frame began before the last one ended: bytes are lost, check the cable and its length.",
    "escape": "A frame with an escape that does not exist, thrown away: check the cable and its shield.",
    "checksum": "A frame with a wrong check byte, thrown away: check the cable and its shield.",
    "length": "A frame with a right check byte that is not built as this driver knows it: report it with a recording.",
    "unknown_code": "A response that this driver does not know, once per code: harmless, report it with a recording.",
    "unit": "The monitor names a CO2 unit that this driver does not know: its CO2 values are not shown; report it.",
    "text": "The monitor's identification is not readable text: harmless, report it with a recording.",
    "silent": "The monitor sends nothing: switch it on, check the cable; the driver asks it again every five seconds.",
    "no_numerics": "The CO2 curve comes but no numbers: the driver asks for them each second.",
    "no_rate": "The CO2 curve is not shown, because its rate cannot be measured without the numbers beside it.",
    "rate": "The monitor sends the CO2 curve at another rate than before and is shown at the new one: report it.",
}


@dataclass(frozen=True, slots=True)
class Scenario(Settings):
    """What the simulated monitor is like."""

    asked: bool = field(default=False, metadata=setting("it sends numbers only when it is asked for them"))
    rate: int = field(default=20, metadata=setting("CO2 samples per second, our choice", "/s", low=1, high=200))
