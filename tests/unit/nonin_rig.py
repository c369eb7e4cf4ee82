"""Building blocks of the Nonin tests: packets made by hand, and the two numbers of a frame."""

from __future__ import annotations

import math

from gateway.core.frame import Event
from tests.unit.oximeter_rig import frames, readings

DF2, DF7, DF8, DF13, ASCII = (
    f"nonin/{name}" for name in ("oem3_df2", "9560_3150_df7", "9560_df8", "9560_df13", "monitors_ascii")
)
GOOD = 0x80  # STATUS with nothing but its constant bit


def packet(
    floats: dict[int, int] | None = None, status: int = GOOD, pleth: int = 0, wide: bool = False, counter: int = 0
) -> bytes:
    """Return 25 frames. floats: number of the frame, from 1 as in the specification, -> FLOAT byte."""
    given = {6: counter >> 7, 7: counter & 0x7F} | (floats or {})
    out = bytearray()
    for number in range(1, 26):
        state, value = status | (number == 1), given.get(number, 0)
        body = [state, pleth >> 8, pleth & 0xFF, value] if wide else [1, state, pleth, value]
        out += bytes([*body, sum(body) & 0xFF])
    return bytes(out)


def shown(rate: int, saturation: int) -> dict[int, int]:
    """Return the display values: HR-D in frames 20 and 21, SpO2-D in frame 9."""
    return {20: rate >> 7, 21: rate & 0x7F, 9: saturation}


def numbers(events: list[Event], kind: str = "packet") -> list[tuple[object, ...]]:
    """Return (rate, saturation) of each frame, None where there is none."""
    names = {"packet": ("HR-D", "SpO2-D"), "line": ("HR", "SPO2")}.get(kind, ("HR", "SpO2"))
    found = [readings(frame) for frame in frames(events, kind)]
    return [tuple(None if math.isnan(float(row[name].value)) else row[name].value for name in names) for row in found]
