"""What a profile can ask the driver to request, what the driver can complain of, and scenarios of the simulator."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.settings import Settings, setting

FAULTS: dict[str, str] = {
    "noise": "Bytes outside of packets: bytes are lost on the radio link, move the sensor nearer to the gateway.",
    "crc": "A packet with a wrong checksum, thrown away: bytes are lost on the radio link, move the sensor nearer.",
    "refused": "The sensor refuses a request: check its firmware, report it with a recording.",
    "version": "The summary packet has another version than this driver knows and is not read: report it.",
    "clock": "The sensor's clock shows a date that does not exist: set it with the maker's tool; values are read.",
    "unknown_packet": "A packet that this driver does not know, once per number: harmless, report it with a recording.",
    "silent": "The sensor sends nothing: check that it is worn, charged and in reach, and that it is paired.",
    "missing": "Some of the packets that were asked for do not come; they are asked for again every five seconds.",
}


@dataclass(frozen=True, slots=True)
class Requests(Settings):
    """Table [driver] of a profile. Without requests the sensor is only listened to (HxM)."""

    ask: tuple[str, ...] = field(
        default=(), metadata=setting("packets to ask for: summary, ecg, breathing, rr, acceleration")
    )


@dataclass(frozen=True, slots=True)
class Scenario(Settings):
    """What the simulated sensor is like."""

    deaf: tuple[str, ...] = field(default=(), metadata=setting("packets that it does not send although it is asked"))
    refuse: bool = field(default=False, metadata=setting("it refuses every request"))
    confidence: int = field(default=100, metadata=setting("its confidence in the heart rate", "%", low=0, high=100))
