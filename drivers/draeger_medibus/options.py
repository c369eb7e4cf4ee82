"""What a person can set, and what the driver can complain of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.core.settings import Settings, build, setting

ALL = "all"

FAULTS: dict[str, str] = {
    "garbage": "Characters outside of frames: check baud rate, parity, and that the port of the device speaks MEDIBUS.",
    "cut": "A frame has no end, or holds a character that no frame may hold: bytes are lost, check the cable.",
    "too_long": "A frame without an end: bytes are lost, check the cable and its length.",
    "checksum": "A frame with a wrong checksum, thrown away: check the cable, its shield and its length.",
    "layout": "A response is intact but not built as this driver knows it: report it with a recording and the model.",
    "realtime": "A record of the curves is not whole, one sample is lost: bytes are lost, check the cable.",
    "refused": "The device could not read a command of ours; it is sent again. Check the cable.",
    "aborted": "The device gave up what it was sending: harmless when rare.",
    "echo": "What is written comes back: check the adapter (local echo) and the cable. Answers are still read.",
    "late": "The device did not answer a request within 10 s; it is asked again. Check the load of the device's port.",
    "no_answer": "Nothing answers: switch the device on, check cable, baud rate, parity and that its port is MEDIBUS.",
    "silence": "The device has stopped sending; the driver calls it again. Check the cable.",
    "ended": "The device has ended the communication; the driver calls it again.",
    "other_device": "The device is of another kind than the profile: nothing is read; choose its own profile.",
    "ambiguous": "The device reports two states that exclude each other; none is shown. Look at the device.",
    "no_waves": "The device does not offer a curve that the configuration asks for: remove it from `waves`.",
}


@dataclass(frozen=True, slots=True)
class Options(Settings):
    """Options of a port."""

    waves: tuple[str, ...] = field(
        default=(ALL,),
        metadata=setting('curves to ask for: ids of waveform metrics of the profile; ["all"]: all of them; []: none'),
    )
    poll_s: float = field(
        default=2.0,
        metadata=setting(
            "period of measured data, alarms and texts; settings and limits: five times it", "s", low=1, high=60
        ),
    )


def port_options(given: Mapping[str, Any]) -> Options:
    """Check the options of a port. Raises: ConfigError."""
    return build(Options, given, lambda *keys: " ".join(keys))
