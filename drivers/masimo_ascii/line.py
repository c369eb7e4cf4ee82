"""One line of ASCII 1: time, serial number, then KEY=value tokens, in any order.

    02/22/16 22:47:45 SN=0000056661 SPO2=098% BPM=097 PI=03.60% … ALARM=0000 EXC=000800

There is no checksum. What guards a line is its form: every field has its full width, so a lost or doubled character is
seen; the line begins with a time and has SN, ALARM and EXC, so a line that lost its end is seen, and two that ran
together are, because no key comes twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

LONGEST = 512  # the longest known line has 132 characters; rainbow models add tokens
STAMP = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d")
_TOKEN = re.compile(r"([A-Za-z][A-Za-z0-9]*)=(\S+)")
_FREE = re.compile(r"[+-]?[0-9.-]+%?")
"""Form of a value whose token is not in FORMS: newer models have more of them."""

FORMS: Mapping[str, re.Pattern[str]] = {
    key: re.compile(form)
    for key, form in {
        "SN": r"\d{10}",
        "SPO2": r"(\d{3}|---)%",
        "BPM": r"\d{3}|---",
        "PI": r"(\d\d\.\d\d|--\.--)%",
        "SPCO": r"(\d\d\.\d|--\.-)%",
        "SPMET": r"(\d\d\.\d|--\.-)%",
        "DESAT": r"\d\d|--",
        "PIDELTA": r"[+-](\d\d|--)",
        "ALARM": r"[0-9A-F]{4}",
        "EXC": r"[0-9A-F]{6}",
    }.items()
}
REQUIRED = frozenset({"SN", "SPO2", "BPM", "ALARM", "EXC"})
_ASCII_2 = re.compile(r"\bEXC=[0-9A-F]{3}(:|$)")


class Line(NamedTuple):
    """An intact line. values: token -> value as printed, without those below; alarm, exceptions: bit fields."""

    stamp: str
    serial: str
    values: Mapping[str, str]
    alarm: int
    exceptions: int


class Unreadable(NamedTuple):
    """A line that is not used. reason: of the fault; detail never holds what the line says."""

    reason: str
    detail: str


def read(text: str) -> Line | Unreadable:
    """Read one line."""
    stamp = STAMP.match(text)
    if not stamp:
        return Unreadable("damaged" if "=" in text else "other", f"{len(text)} characters without a time before them")
    if _ASCII_2.search(text):
        return Unreadable("ascii_2", "EXC has three digits")
    tokens: dict[str, str] = {}
    for part in text[stamp.end() :].split():
        token = _TOKEN.fullmatch(part)
        if token is None:
            return Unreadable("damaged", "a part is no KEY=value")
        key, value = token[1].upper(), token[2]
        key = "BPM" if key == "PR" else key  # the same in two manuals
        if key in tokens:
            return Unreadable("damaged", f"{key} stands twice")
        if not FORMS.get(key, _FREE).fullmatch(value):
            return Unreadable("damaged", f"{key} has another form")
        tokens[key] = value
    missing = REQUIRED - tokens.keys()
    if missing:
        return Unreadable("damaged", f"without {', '.join(sorted(missing))}")
    serial, alarm, exceptions = (tokens.pop(key) for key in ("SN", "ALARM", "EXC"))
    return Line(stamp[0], serial, tokens, int(alarm, 16), int(exceptions, 16))


def time_ns(stamp: str) -> int | None:
    """Return the oximeter's time as if it were UTC, ns; None when it is no time."""
    try:
        moment = datetime.strptime(stamp, "%m/%d/%y %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) * 1_000_000_000
