"""What a person can set, and what the driver can complain of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gateway.core.settings import Settings, build, setting

FAULTS: dict[str, str] = {
    "garbage": "Bytes outside of frames: check baud rate, cable and that the port speaks Data Export.",
    "cut": "A frame began before the last one ended: bytes are lost, check the cable and its length.",
    "too_long": "A frame without an end: bytes are lost, check the cable and its length.",
    "length": "A frame shorter or longer than it says: bytes are lost, check the cable and its length.",
    "header": "A frame that is not Data Export: check the protocol chosen for this port of the monitor.",
    "fcs": "A frame with a wrong checksum, thrown away: check the cable, its shield and its length.",
    "frame_abort": "The monitor gave a frame up: harmless when rare.",
    "pdu": "A frame is intact but not built as this driver knows it: report it with a recording and the firmware.",
    "roer": "The monitor refuses a request: check that Data Export is fully enabled in its configuration.",
    "refused": "The monitor refuses the association: end the other client of its data export, or restart the monitor.",
    "no_answer": "Nothing answers: switch the monitor on, check the cable and that the port is set to Data Export.",
    "abort": "The monitor ended the association; the driver associates again.",
    "silence": "The monitor has stopped sending; the driver asks and then associates again. Check the cable.",
    "ambiguous": "Two objects send the same value at once; only the first is used. Give them different labels.",
    "unscaled": "A wave came without its scale and is not shown; the driver asks for the scale.",
    "no_waves": "The monitor does not grant waves on this port: enable them, or remove them from the configuration.",
}


@dataclass(frozen=True, slots=True)
class Options(Settings):
    """Options of a port."""

    waves: tuple[int | str, ...] = field(
        default=(),
        metadata=setting("waves to ask for, in order of priority: ids of waveform metrics of the profile, or TextIds"),
    )
    poll_s: int = field(
        default=600,  # protocol notes section 5
        metadata=setting("results are asked for so long, and again after nine tenths of it", "s", low=10, high=86_400),
    )


@dataclass(frozen=True, slots=True)
class Scenario(Settings):
    """What the simulated monitor and its patient are like. Windows are (from, to) in seconds since the first call."""

    seed: int = field(default=1, metadata=setting("chooses the phases of the drifts"))
    hr: float = field(default=78.0, metadata=setting("heart rate, start value; above 120 it alarms", "/min"))
    pvc: float = field(default=0.0, metadata=setting("premature beats", "/min"))
    st1: float = field(default=0.1, metadata=setting("ST level, lead I", "mm"))
    spo2: float = field(default=97.0, metadata=setting("saturation, start value; below 90 it alarms", "%"))
    perf: float = field(default=2.4, metadata=setting("perfusion index, start value"))
    rr: float = field(default=16.0, metadata=setting("respiration rate, start value", "/min"))
    sys: float = field(default=122.0, metadata=setting("systolic pressure, start value", "mm[Hg]"))
    dia: float = field(default=74.0, metadata=setting("diastolic pressure, start value", "mm[Hg]"))
    temp: float = field(default=36.8, metadata=setting("temperature, start value", "Cel"))
    etco2: float = field(default=38.0, metadata=setting("end-tidal CO2, start value", "mm[Hg]"))
    demo: bool = field(default=False, metadata=setting("mark all values as demonstration data"))
    test: bool = field(default=False, metadata=setting("mark all values as test data"))
    leads_off_s: tuple[float, ...] = field(default=(), metadata=setting("window without ECG leads", "s"))
    nbp_cycle_s: float = field(
        default=300.0, metadata=setting("from one cuff measurement to the next; the first is at 5 s", "s", low=1)
    )
    firmware: str = field(default="L.01.18", metadata=setting("software revision; default: the captured beacon's"))
    refuse: int = field(default=0, metadata=setting("association requests that are refused first"))
    silence_s: tuple[float, ...] = field(default=(), metadata=setting("window in which it is switched off", "s"))
    mtu: int = field(default=1456, metadata=setting("largest PDU it sends and takes", low=256, high=4096))
    extended: bool = field(default=True, metadata=setting("false: grants only single polls, as old revisions do"))
    epoch_s: float = field(
        default=1_705_321_845.0,  # 2024-01-15 12:30:45, as in the worked example, protocol notes section 16.2
        metadata=setting("what its clock shows at the first call, as UTC seconds since 1970", "s"),
    )
    said: object = field(default=None, metadata=setting("function called with each Said as it is sent"))


def port_options(given: Mapping[str, Any]) -> Options:
    """Check the options of a port. Raises: ConfigError."""
    return build(Options, given, _nowhere)


def scenario(given: Mapping[str, Any]) -> Scenario:
    """Check a scenario; options of the port may be among them and are left out. Raises: ConfigError."""
    return build(Scenario, given, _nowhere, [field.name for field in fields(Options)])


def _nowhere(*_: str) -> str:
    """Who gives the options knows the line they stand in."""
    return ""
