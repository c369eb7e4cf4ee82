"""What a profile says to this driver, and what the driver can complain of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.core.settings import Settings, build, setting

FAULTS: dict[str, str] = {
    "garbage": "Bytes that are no packet: normal once when listening begins; else check the profile and the baud rate.",
    "cut": "A packet was cut off by the next one, a sixtieth of a second is missing: check the plug and the hub.",
    "silence": "The oximeter has stopped sending and is asked again: check that it is on, and its USB output too.",
    "disconnected": "The oximeter has ended the connection, switched off or set to another user; it is asked again.",
    "refused": "The oximeter refuses real-time data: end its recording or its upload, or choose another profile.",
    "unasked": "The oximeter answers a question that was not asked: look for a second program on the same port.",
}


@dataclass(frozen=True, slots=True)
class Generation(Settings):
    """The table [driver] of a profile."""

    generation: str = field(
        metadata=setting("v7: 9-byte packets at 115200 Bd, on command; old: 5 bytes at 19200", choices=("v7", "old"))
    )


def generation_of(table: Mapping[str, Any]) -> str:
    """Check the table [driver] of a profile. Raises: ConfigError."""
    return build(Generation, table, lambda *_: "table [driver] of the profile").generation
