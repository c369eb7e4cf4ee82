"""The real-time printout: headings now and then, and a line of values every two seconds.

    N-595 VERSION 1.00.00 CRC:XXXX SpO2 Limit: 90-100% PR Limit: 50-120BPM      every 25 lines, and when it changes
    ADULT 0SAT-S SPO2 RESP MODE: NORMAL                                         N-595 and N-600 only
    TIME             %SPO2  BPM  PA  Status
    21-NOV-26 09:30:02    97*   72   45   SL

Fields of a line are set apart by spaces; `---` = no value, `*` = this parameter is in alarm. There is no checksum, and
the notes do not fix the columns: a digit that is lost between two others is not seen.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

LONGEST = 160  # the longest known line is a heading of 85 characters; a data line may have all codes behind it

_FIELD = r"(---|\d{1,3})(\*?)"
_DATA = re.compile(
    rf"(\d\d-[A-Z]{{3}}-\d\d \d\d:\d\d:\d\d)\s+{_FIELD}\s+{_FIELD}\s+{_FIELD}((?:\s+[A-Z]{{2}})*)\s*", re.IGNORECASE
)
_LOOKS_LIKE_DATA = re.compile(r"\s*\d\d-[A-Z]{3}-\d\d|.*\d\d:\d\d:\d\d", re.IGNORECASE)
_HEADING = re.compile(
    r"\s*(\S+)\s+VERSION\s+(\S+)\s+CRC:\s*\S+\s+SpO2 Limit:\s*(\d+)-(\d+)%\s+PR Limit:\s*(\d+)-(\d+)\s*BPM\s*",
    re.IGNORECASE,
)
_MODE = re.compile(r"\s*(ADULT|NEO)\s+(\d{1,3})SAT-S\s+SPO2 RESP MODE:\s*(NORMAL|FAST)\s*", re.IGNORECASE)
_TITLES = re.compile(r"\s*TIME\s+%SPO2\s+BPM\s+PA\s+STATUS\s*", re.IGNORECASE)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

COLUMNS = ("%SPO2", "BPM", "PA")


class Value(NamedTuple):
    """One column. number: None when dashes."""

    number: int | None
    in_alarm: bool


class Data(NamedTuple):
    """One line of values, in the order of COLUMNS. codes: of the status column, as sent."""

    stamp: str
    values: tuple[Value, ...]
    codes: tuple[str, ...]


class Heading(NamedTuple):
    """Who the oximeter is, and its alarm limits."""

    model: str
    version: str
    saturation: tuple[int, int]
    rate: tuple[int, int]


class Mode(NamedTuple):
    """How it is set."""

    patient: str
    sat_seconds: int
    response: str


class Titles(NamedTuple):
    """The names of the columns: nothing to say."""


class Unreadable(NamedTuple):
    """A line that is not used. reason: of the fault."""

    reason: str


def read(text: str) -> Data | Heading | Mode | Titles | Unreadable:
    """Read one line."""
    if found := _DATA.fullmatch(text):
        stamp, *fields, codes = found.groups()
        values = tuple(Value(_number(fields[i]), bool(fields[i + 1])) for i in (0, 2, 4))
        return Data(stamp, values, tuple(codes.upper().split()))
    if found := _HEADING.fullmatch(text):
        low, high, slow, fast = map(int, found.groups()[2:])
        return Heading(found[1], found[2], (low, high), (slow, fast))
    if found := _MODE.fullmatch(text):
        return Mode(found[1].upper(), int(found[2]), found[3].upper())
    if _TITLES.fullmatch(text):
        return Titles()
    return Unreadable("damaged" if _LOOKS_LIKE_DATA.match(text) or not text.isprintable() else "other")


def time_ns(stamp: str) -> int | None:
    """Return the oximeter's time as if it were UTC, ns; None when it is no time. Years are 1970 to 2069."""
    day, month, year = stamp[:9].upper().split("-")
    if month not in _MONTHS:
        return None
    hour, minute, second = map(int, stamp[10:].split(":"))
    century = 1900 if int(year) >= 70 else 2000
    try:
        moment = datetime(century + int(year), _MONTHS.index(month) + 1, int(day), hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) * 1_000_000_000


def _number(text: str) -> int | None:
    return None if text == "---" else int(text)
