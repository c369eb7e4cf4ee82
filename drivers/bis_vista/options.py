"""What a profile can ask the driver to request, what the driver can complain of, and scenarios of the simulator."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.settings import Settings, setting

FAULTS: dict[str, str] = {
    "noise": "Bytes outside of frames: check the baud rate (57600) and that the monitor's port is set to binary.",
    "header": "A frame whose type or lengths cannot be, thrown away: check the cable and its shield.",
    "checksum": "A frame with a wrong checksum, thrown away: check the cable and its shield.",
    "refused": "The monitor refuses a request: check that its serial port is set to the binary protocol.",
    "unsupported": "A message that is not built as described, perhaps of a bilateral sensor: report it.",
    "unknown_message": "A message that this driver does not know, once per number: harmless, report it.",
    "unscaled": "EEG came before the monitor told its calibration; these samples have no value.",
    "silent": "No processed data: switch the monitor on, check cable and port; it is asked again every five seconds.",
    "no_eeg": "No raw EEG, though it was asked for: it is asked for again every five seconds; check the sensor.",
}


@dataclass(frozen=True, slots=True)
class Requests(Settings):
    """Table [driver] of a profile: what is requested beside the processed variables."""

    spectra: bool = field(default=False, metadata=setting("power spectra of both channels, 120 numbers a second"))
    eeg: bool = field(default=False, metadata=setting("raw EEG, 128 samples a second and channel"))


@dataclass(frozen=True, slots=True)
class Scenario(Settings):
    """What the simulated monitor is like."""

    refuse: int = field(default=0, metadata=setting("so many first requests are refused", low=0, high=100))
    extra: bool = field(default=False, metadata=setting("it sends the longer form of processed variables, 156 bytes"))
    bilateral: bool = field(default=False, metadata=setting("it sends the longer messages of a bilateral sensor"))
