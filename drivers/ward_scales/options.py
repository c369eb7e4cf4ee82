"""What a person can set, and what the driver can complain of: two tables."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.settings import Settings, setting

FAULTS: dict[str, str] = {
    "garbage": "Bytes outside of a line: check baud rate, data bits and parity against the scale; after a reading, "
    "some scales leave noise on the line, which is harmless.",
    "format": "A line that is not built as its manual shows was thrown away: check line settings, cable, and that the "
    "profile is for this model.",
    "status": "A status with impossible bits was thrown away: check line settings and cable.",
    "counting": "The scale counts pieces instead of weighing: choose weighing on the scale.",
    "unit": "A value came without a known unit and is not used: set the scale to metric units.",
    "unread": "A line holds a field that the driver does not know; the rest of it is used. Report it with a recording.",
    "refused": "The scale does not know the question for the weight: check that the profile is for this model.",
    "zero": "The scale cannot find its zero: empty the platform and switch it on again.",
    "eeprom": "The scale reports that its memory is damaged: take it out of use, call biomedical engineering.",
    "silent": "The scale does not answer: it is switched off, or cable or line settings are wrong.",
}
BAD_FRAMES = frozenset({"garbage", "format", "status"})
"""Reasons for which bytes of the line were thrown away."""


@dataclass(frozen=True, slots=True)
class Options(Settings):
    """Options of a port."""

    poll_s: float = field(
        default=1.0,
        metadata=setting("Adam: the scale is asked for its weight so often", "s", low=0.5, high=60),
    )


@dataclass(frozen=True, slots=True)
class Scenario(Settings):
    """What the simulated scale does."""

    period_s: float = field(
        default=10.0, metadata=setting("somebody is weighed so often, the first time after a second", "s", low=4)
    )
