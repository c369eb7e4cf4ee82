"""What a person can set, and what the driver can complain of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import nan
from typing import Any

from gateway.core.settings import Settings, build, setting

TRANSPORTS = ("serial", "udp")
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
    "no_answer": "Nothing answers: switch the monitor on, check cable, port set to Data Export, address and transport.",
    "abort": "The monitor ended the association; the driver associates again.",
    "silence": "The monitor has stopped sending; the driver asks and then associates again. Check the cable.",
    "stale": "A result came twice, or after a newer one, and is thrown away: harmless when rare on a network.",
    "ambiguous": "Two objects send the same value at once; only the first is used. Give them different labels.",
    "unscaled": "A wave came without its scale and is not shown; the driver asks for the scale.",
    "no_waves": "The monitor does not grant waves on this port: enable them, or remove them from the configuration.",
}


OWN_WAVES = "*"  # in place of a list of waves


@dataclass(frozen=True, slots=True)
class Options(Settings):
    """Options of a port."""

    transport: str = field(
        default="serial",
        metadata=setting("serial: framed, through the RS-232 port; udp: through the LAN port", choices=TRANSPORTS),
    )
    waves: tuple[int | str, ...] = field(
        default=(OWN_WAVES,),
        metadata=setting(
            'waves to ask for, by priority: ids of waveforms of the profile, or TextIds; ["*"]: the monitor chooses'
        ),
    )
    poll_s: int = field(
        default=600,  # protocol notes section 5
        metadata=setting("results are asked for so long, and again after nine tenths of it", "s", low=10, high=86_400),
    )


@dataclass(frozen=True, slots=True)
class Scenario(Settings):
    """What the simulated monitor does. What it measures comes from the scene, unless a number is given here.

    Windows are (from, to) in seconds since the first call.
    """

    hr: float = field(default=nan, metadata=setting("heart rate and pulse", "/min"))
    spo2: float = field(default=nan, metadata=setting("saturation", "%"))
    perf: float = field(default=nan, metadata=setting("perfusion index"))
    rr: float = field(default=nan, metadata=setting("respiration rate", "/min"))
    sys: float = field(default=nan, metadata=setting("systolic pressure, arterial and cuff", "mm[Hg]"))
    dia: float = field(default=nan, metadata=setting("diastolic pressure, arterial and cuff", "mm[Hg]"))
    temp: float = field(default=nan, metadata=setting("temperature", "Cel"))
    etco2: float = field(default=nan, metadata=setting("end-tidal CO2", "mm[Hg]"))
    only: tuple[str, ...] = field(
        default=(), metadata=setting("what is plugged in: ids of the profile, or the set icu; default: everything")
    )
    demo: bool = field(default=False, metadata=setting("mark all values as demonstration data"))
    test: bool = field(default=False, metadata=setting("mark all values as test data"))
    leads_off_s: tuple[float, ...] = field(default=(), metadata=setting("window without ECG leads", "s"))
    firmware: str = field(default="L.01.18", metadata=setting("software revision; default: the captured beacon's"))
    refuse: int = field(default=0, metadata=setting("association requests that are refused first"))
    silence_s: tuple[float, ...] = field(default=(), metadata=setting("window in which it is switched off", "s"))
    mtu: int = field(default=1456, metadata=setting("largest PDU it sends and takes", low=256, high=4096))
    extended: bool = field(default=True, metadata=setting("false: grants only single polls, as old revisions do"))
    said: object = field(default=None, metadata=setting("function called with each Said as it is sent"))


def port_options(given: Mapping[str, Any]) -> Options:
    """Check the options of a port. Raises: ConfigError."""
    return build(Options, given, _nowhere)


def scenario(given: Mapping[str, Any]) -> tuple[Scenario, str]:
    """Check a scenario; options of the port may be among it. Return it with the transport. Raises: ConfigError.

    `only` may be one text, too, with commas: so it is written on a command line.
    """
    if isinstance(only := given.get("only"), str):
        given = {**given, "only": tuple(only.split(","))}
    known = {field.name for field in fields(Options)}
    options = port_options({name: value for name, value in given.items() if name in known})
    return build(Scenario, given, _nowhere, known), options.transport


def _nowhere(*_: str) -> str:
    """Who gives the options knows the line they stand in."""
    return ""
