"""The text of a message: nine lines, each with numbers, a label and an alarm.

    NAME=COUNT;value;…;label;alarm

COUNT says how many values there are, so a line split at ";" has COUNT + 3 parts; one that has not was hit. A value is
digits, with a decimal point for temperatures, or nothing: no value, which is never 0. Whatever does not fit this to the
letter is not read: a number is never picked out of a line that is not understood.
"""

from __future__ import annotations

import re
from math import nan
from typing import NamedTuple

# Lines in the order in which they come, with the names of their values; all as seen in the recording of the notes.
VALUES = {
    "HR": ("HR",),
    "RR": ("RR",),
    "ETCO2": ("ETCO2",),
    "SPO2": ("SPO2",),
    "NIBP": ("NIBP sys", "NIBP dia", "NIBP mean", "NIBP pulse"),
    "P1": ("P1 sys", "P1 dia", "P1 mean"),
    "P2": ("P2 sys", "P2 dia", "P2 mean"),
    "T1": ("T1",),
    "T2": ("T2",),
}
_ORDER = list(VALUES)
_NUMBER = re.compile(r"[0-9]{1,4}(\.[0-9]{1,2})?")
_PULSE = re.compile(r"PR=([0-9]{1,3}) *")  # label of SPO2, padded with a blank
_APNEA = re.compile(r"APNEA: ([0-9]{1,3}) SEC")  # label of RR: after how many seconds the monitor alarms
LEADS = ("ECG-III", "ECG-II", "ECG-I")  # beginnings of the label of HR; the longest first
LEAD_NOT_STATED = "ECG"


class Line(NamedTuple):
    """One line that is built as it should be. values: NaN where there is none."""

    values: tuple[float, ...]
    label: str
    alarm: str


def lines_of(text: str) -> tuple[dict[str, Line], list[str]]:
    """Return the good lines by name, and of each other line what is wrong with it."""
    *rows, rest = text.split("\r")
    found: dict[str, Line] = {}
    wrong = [f"{len(rest)} characters behind the last line"] if rest else []
    place = -1
    for row in rows:
        name, line = _line(row)
        if line is None or _ORDER.index(name) <= place:
            wrong.append(f"line {name[:8]!r}, {len(row)} characters")
            continue
        place = _ORDER.index(name)
        found[name] = line
    return found, wrong


def _line(row: str) -> tuple[str, Line | None]:
    head, *parts = row.split(";")
    name, _, count = head.partition("=")
    names = VALUES.get(name, ())
    if not names or count != str(len(names)) or len(parts) != len(names) + 2:
        return name, None
    *texts, label, alarm = parts
    if not all(text == "" or _NUMBER.fullmatch(text) for text in texts):
        return name, None
    return name, Line(tuple(float(text) if text else nan for text in texts), label, alarm)


def pulse_rate(label: str) -> float:
    """Return the pulse rate of the oximeter in the label of SPO2, NaN when there is none."""
    match = _PULSE.fullmatch(label)
    return float(match[1]) if match else nan


def apnea_limit(label: str) -> float:
    """Return the apnoea limit in the label of RR, NaN when there is none."""
    match = _APNEA.fullmatch(label)
    return float(match[1]) if match else nan


def lead(label: str) -> str:
    """Return the lead that the label of HR names."""
    return next((name for name in LEADS if re.match(name + r"(?![A-Z0-9])", label)), LEAD_NOT_STATED)
