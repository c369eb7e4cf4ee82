"""A scene from a table: recorded or invented values, so that testers can stage a day.

A CSV file in UTF-8: the first column is the time, the others are 11073 reference ids; one row per moment, values hold
until the next row. A column head may carry its unit: `MDC_TEMP_CORE [Cel]`; without one it is the unit in which the
scene keeps the term. An empty cell is no value, and with `zero_is_none` a 0 is none either. Heads that are no reference
ids are named by `names`: HR=MDC_ECG_HEART_RATE.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from gateway.core.courses import COURSES
from gateway.core.errors import ConfigError
from gateway.core.nomenclature import nomenclature
from gateway.core.scene import Table
from gateway.core.units import parse_ucum

SECONDS = {"s": 1.0, "min": 60.0, "minute": 60.0, "h": 3600.0, "time_s": 1.0, "time": 1.0, "seconds": 1.0}
_HEAD = re.compile(r"\s*(?P<name>[^\[\]]+?)\s*(?:\[(?P<unit>.+)\])?\s*")


def read_table(path: Path, names: Mapping[str, str], zero_is_none: bool = False) -> Table:
    """Read the file. names: head of a column -> reference id. Raises: ConfigError with file and line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"cannot be read: {fault}", str(path), "a CSV file in UTF-8") from fault
    if len(rows) < 2:
        raise ConfigError("holds no values", str(path), "first line: heads, then one row per moment")
    unit_s, columns = _heads(rows[0], names, path)
    times = [_number(row[0], path, n) * unit_s for n, row in enumerate(rows[1:], 2)]
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise ConfigError("times do not rise", str(path), "sort the rows by their first column")
    found: dict[str, tuple[str, list[float]]] = {}
    for index, (ref_id, unit) in columns.items():
        values = [_value(row, index, path, n, zero_is_none) for n, row in enumerate(rows[1:], 2)]
        found[ref_id] = (unit, values)
    return Table(times, found)


def _heads(heads: list[str], names: Mapping[str, str], path: Path) -> tuple[float, dict[int, tuple[str, str]]]:
    first = heads[0].strip().lower()
    if first not in SECONDS:
        raise ConfigError(f"first column {heads[0]!r} is no time", f"{path}:1", "name it s, min or h")
    columns: dict[int, tuple[str, str]] = {}
    for index, head in enumerate(heads[1:], 1):
        match = _HEAD.fullmatch(head)
        name = match["name"] if match else head
        ref_id, unit = names.get(name, name), (match["unit"] if match else "") or ""
        term = nomenclature().terms.get(ref_id)
        if ref_id not in COURSES and term is None:
            hint = f"name it: --name {name}=MDC_…"
            raise ConfigError(f"column {head!r} is no 11073 reference id", f"{path}:1", hint)
        if not unit and ref_id in COURSES:
            unit = COURSES[ref_id].unit
        elif not unit and term is not None and term.units:
            unit = nomenclature().units[term.units[0]].ucum
        try:
            parse_ucum(unit)
        except ValueError as fault:
            raise ConfigError(f"column {head!r}: {fault}", f"{path}:1", "a UCUM unit in brackets: [mm[Hg]]") from None
        columns[index] = (ref_id, unit)
    return SECONDS[first], columns


def _value(row: list[str], index: int, path: Path, line: int, zero_is_none: bool) -> float:
    text = row[index].strip() if index < len(row) else ""
    value = _number(text, path, line) if text else math.nan
    return math.nan if zero_is_none and value == 0 else value


def _number(text: str, path: Path, line: int) -> float:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        raise ConfigError(f"{text!r} is no number", f"{path}:{line}", "a number, or nothing for no value") from None
    if not math.isfinite(number):
        raise ConfigError(f"{text!r} is no number", f"{path}:{line}", "leave the cell empty for no value")
    return number
