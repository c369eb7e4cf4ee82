"""What the driver can complain of, what a profile can tell it, and the scenario of the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.core.errors import ConfigError
from gateway.core.settings import Settings, build, setting

FAULTS: dict[str, str] = {
    "garbage": "Bytes outside of frames: check baud rate, parity and cable.",
    "format": "A frame that is not built like one was refused and is sent again: check line settings and cable.",
    "checksum": "A frame with a wrong checksum was refused and is sent again: check cable and its shield.",
    "cut": "A frame without an end was refused and is sent again: check cable and flow control.",
    "too_long": "A frame or message is longer than any analyser's and was refused: report it with a recording.",
    "sequence": "A frame does not follow the one before and was refused: look for a second program on the line.",
    "unasked": "A frame came outside of a transmission and was not answered: the analyser begins anew by itself.",
    "incomplete": "A message ended without its last record and was thrown away: send the results again.",
    "header": "A message without a header was thrown away: check that this port of the analyser speaks ASTM E1394.",
    "delimiters": "The header does not name four different delimiters; results that depend on them are left out.",
    "record": "A message holds a record of unknown type; the rest of it is used. Report it with a recording.",
    "test_id": "A result does not say of which test it is and was left out: report it with a recording.",
    "word": "A text that is not in the profile came in place of a value and is not handed on: look at the analyser.",
    "status": "A result has a status that is not known and is marked as questionable: look at the analyser.",
    "time": "A result has no time that fits the header's: it counts as measured when it came, and is questionable.",
    "not_routine": "Results of a control, a calibration or a training are marked as test data, never as a patient's.",
    "query": "The analyser asks for orders and gets none: switch its host query off.",
}
BAD_FRAMES = frozenset(
    {"garbage", "format", "checksum", "cut", "too_long", "sequence", "unasked", "incomplete", "header"}
)
"""Reasons for which something that was received has been thrown away."""
_SENDER_PARTS = ("-", "vendor", "model", "firmware", "serial")


@dataclass(frozen=True, slots=True)
class Table(Settings):
    """[driver] of a profile: where this analyser says what E1394 leaves open."""

    sender: tuple[str, ...] = field(
        default=(),
        metadata=setting(
            "what the components of the sender (H, field 5) are: vendor, model, firmware, serial, - for none"
        ),
    )
    sample_type: int = field(
        default=16, metadata=setting("field of O that holds the type of the sample", low=2, high=31)
    )


@dataclass(frozen=True, slots=True)
class Scenario(Settings):
    """What the simulated analyser does."""

    period_s: float = field(default=6.0, metadata=setting("a message so often, the first after a second", "s", low=1))
    packing: str = field(
        default="record",
        metadata=setting(
            "record: one record to a frame (cobas c111); message: all in one frame (Afinion 2)",
            choices=("record", "message"),
        ),
    )
    delimiters: str = field(
        default="|\\^&", metadata=setting("field, repeat, component, escape", pattern=r"[^\w\s]{4}")
    )


def table_of(given: Mapping[str, Any], where: str) -> Table:
    """Check the [driver] table of a profile. Raises: ConfigError."""
    table = build(Table, given, lambda *_: where)
    for part in table.sender:
        if part not in _SENDER_PARTS:
            hint = "use " + ", ".join(_SENDER_PARTS)
            raise ConfigError(f"sender: {part!r} is not known", where, hint)
    return table
