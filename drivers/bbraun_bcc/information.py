"""What an answer says: quadruples `time,address,parameter,value`, separated by 1E.

    1234,50111,INRT,5.0        second 1234 since the station started, pillar 1, position 1, rate 5.0 mL/h
    1234,5012A,INRT,_NV        pillar 2, position 10: no value; _NA: not available for the moment
    1234,50100,GNACK,0         the station itself
    1234,50100,V3.30           its version: a triple, without a parameter

Source: protocol notes, response. `time` is no clock: it counts from the start of the station.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

SEPARATOR = "\x1e"
POSITIONS = "123456789ABCDEFGHIJKLMNO"  # 1 to 24, from the bottom
NO_VALUE = ("_NV", "_NA")
VERSION = "VERSION"  # our name for what the triple says
_WHOLE = re.compile(r"(\d{1,10}),501([1-3])([1-9A-O]),([A-Z][A-Z0-9]{1,11}),(.*)", re.DOTALL | re.ASCII)
_STATION = re.compile(r"(\d{1,10}),50100,(?:([A-Z][A-Z0-9]{1,11}),)?(.*)", re.DOTALL | re.ASCII)
_BEGINS = re.compile(r"\d{1,10},501", re.ASCII)


class Entry(NamedTuple):
    """One quadruple. pillar, position: 0, 0 = the station."""

    time: int
    pillar: int
    position: int
    parameter: str
    value: str


def joined(blocks: Sequence[str]) -> list[str]:
    """Return the quadruples of an answer that came in several blocks.

    No source says where a block may be cut. Each guess makes wrong values when it is wrong: glued together, "5.0" and
    the time "1234" of the next one become 5.01234; taken apart, "12" is left of "12.34". So both sides of a cut are
    looked at: only where the one before is whole and the one behind begins like a quadruple is the cut between two.
    """
    rows = [""]
    for text in blocks:
        head, *rest = text.split(SEPARATOR)
        if _BEGINS.match(head) and (_WHOLE.fullmatch(rows[-1]) or _STATION.fullmatch(rows[-1])):
            rows.append(head)
        else:
            rows[-1] += head
        rows += rest
    return [row for row in rows if row]


def entries(rows: Iterable[str]) -> tuple[list[Entry], int]:
    """Return what can be read, and how many rows cannot."""
    found: list[Entry] = []
    bad = 0
    for row in rows:
        if whole := _WHOLE.fullmatch(row):
            found.append(Entry(int(whole[1]), int(whole[2]), POSITIONS.index(whole[3]) + 1, whole[4], whole[5]))
        elif station := _STATION.fullmatch(row):
            found.append(Entry(int(station[1]), 0, 0, station[2] or VERSION, station[3]))
        else:
            bad += 1
    return found, bad
