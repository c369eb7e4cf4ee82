"""What a profile says to this driver: which data to ask for, and its [driver] table.

    revision = "04.03"                      MEDIBUS revision that we say we speak
    ids = ["8240", "8260"]                  kinds of device the table is good for; none: not known
    demo = [0x62]                           text messages that say: what is sent is not of a patient
    merged = [                              one quantity that the device sends under one code or another
      { code = 0x188, into = 0x182, unit = "mL" },
    ]

Objects are 0x100 x codepage + code for measured data, limits and alarms, because one code means another thing on each
codepage; the bare code for settings, text messages and curves. A text message that is one of several that exclude each
other belongs to a row whose object is a word and whose `values` are the codes; one that stands alone, to a row whose
object is its code: 0 off, 1 on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from gateway.core.errors import ProfileError
from gateway.core.profile import MetricSpec, Profile
from gateway.core.settings import Settings, build, setting

MEASURED, LOW, HIGH, SETTING, TEXT, CLOCK, WAVE = "measured", "low", "high", "setting", "text", "clock", "wave"
ALARM = {1: "alarm_1", 2: "alarm_2", 3: "alarm_3"}  # one list for each codepage
FRAMES = (MEASURED, LOW, HIGH, SETTING, TEXT, CLOCK, WAVE, *ALARM.values())

# command -> frame kind, codepage; in the order in which they are asked for (notes, sections 3 and 4). 0x23 stands in
# one source only.
DATA: Mapping[int, tuple[str, int]] = {
    0x2A: (TEXT, 0),  # first, because it can say that all the rest is not of a patient
    0x24: (MEASURED, 1),
    0x2B: (MEASURED, 2),
    0x27: (ALARM[1], 1),
    0x2E: (ALARM[2], 2),
    0x23: (ALARM[3], 3),
    0x29: (SETTING, 0),
    0x25: (LOW, 1),
    0x26: (HIGH, 1),
    0x2C: (LOW, 2),
    0x2D: (HIGH, 2),
    0x28: (CLOCK, 0),
}
WAVE_SHARE = 0.5  # of the line, at most, for curves: the answers keep the other half, and measured data go first
USUAL_BAUD = 9600  # the slowest line among the devices of the notes, section 1; where a profile names none


@dataclass(frozen=True, slots=True)
class _Table(Settings):
    """The [driver] table."""

    revision: str = field(metadata=setting("MEDIBUS revision that we say we speak", pattern=r"[0-9]{2}\.[0-9]{2}"))
    ids: tuple[str, ...] = field(default=(), metadata=setting("four characters for each kind of device"))
    demo: tuple[Any, ...] = field(default=(), metadata=setting("text messages that mark what is sent as no patient's"))
    merged: tuple[Any, ...] = field(default=(), metadata=setting("{ code, into, unit }: one quantity, two codes"))


@dataclass(frozen=True, slots=True)
class Contents:
    """What the driver takes from a profile.

    commands: data to ask for
    groups: name -> codes of text messages of which one is active
    waves: reference id and code of each curve
    demo: text messages of a simulation
    merged: object -> object it belongs to, and its unit word or 0
    wave_bytes_per_s: what curves may take of the line
    """

    revision: str
    ids: tuple[str, ...]
    commands: tuple[int, ...]
    groups: Mapping[str, frozenset[int]]
    waves: tuple[tuple[str, int], ...]
    demo: frozenset[int]
    merged: Mapping[int, tuple[int, str | int]]
    wave_bytes_per_s: float


def contents(profile: Profile) -> Contents:
    """Read a profile. Raises: ConfigError, ProfileError."""
    table = build(_Table, profile.driver_table, lambda *_: profile.where)
    channels = [*profile.channels, *(channel for _, added in profile.since for channel in added)]
    rows = [spec for channel in channels for spec in channel.metrics]
    groups: dict[str, frozenset[int]] = {}
    for spec in rows:
        if spec.frame == TEXT and isinstance(spec.object, str):
            groups[spec.object] = frozenset(raw for raw, _ in spec.values if isinstance(raw, int))
    return Contents(
        table.revision,
        table.ids,
        tuple(code for code, (kind, page) in DATA.items() if any(_carries(kind, page, spec) for spec in rows)),
        groups,
        tuple((spec.id, spec.object) for spec in rows if spec.frame == WAVE and isinstance(spec.object, int)),
        frozenset(code for code in table.demo if isinstance(code, int)),
        _merged(table.merged, profile),
        _wave_bytes_per_s(profile),
    )


def _carries(kind: str, page: int, spec: MetricSpec) -> bool:
    """Tell whether a response of this frame kind and codepage carries the row."""
    if spec.frame != kind:
        return False
    return kind not in (MEASURED, LOW, HIGH) or (isinstance(spec.object, int) and spec.object >> 8 == page)


def _merged(rows: tuple[Any, ...], profile: Profile) -> dict[int, tuple[int, str | int]]:
    found: dict[int, tuple[int, str | int]] = {}
    for row in rows:
        good = isinstance(row, dict) and {"code", "into"} <= row.keys() <= {"code", "into", "unit"}
        if not good or not (isinstance(row["code"], int) and isinstance(row["into"], int)):
            hint = 'write { code = 0x188, into = 0x182, unit = "mL" }'
            raise ProfileError(f"merged: {row!r} is no pair of codes", profile.where, hint)
        unit = row.get("unit", 0)
        if unit and unit not in profile.units:
            raise ProfileError(f"merged: unit {unit!r} is not in [units]", profile.where, "name it there")
        found[row["code"]] = (row["into"], unit)
    return found


def _wave_bytes_per_s(profile: Profile) -> float:
    """Return what the usual line of the profile can carry of curves: start bit, data, parity, stop bits per byte."""
    line = profile.wiring.lines[0] if profile.wiring else {}
    bits = 1 + line.get("data_bits", 8) + (line.get("parity", "none") != "none") + ceil(line.get("stop_bits", 1))
    return float(WAVE_SHARE * line.get("baud", USUAL_BAUD) / bits)
