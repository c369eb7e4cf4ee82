"""The ASCII output of older monitors: one line a second, ended by CR LF, without a checksum.

SPO2=097 HR=072             --- when there is no value
12:30:45 SPO2=097 HR=072    8600V and 9847 put the time of day before it (without a date, so it is not used)
SPO2=097 HR=072 F           fast averaging; B: a breath; *: the event key
"""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST = 80  # a data line has 34 characters at most; the greeting at power-on shall still be told from noise
MARKS = {"F": "F", "B": "B", "*": "event"}  # as printed, and the name of the reading

# Values have three characters in all manuals, filled up at the left. Fewer are a line that lost some: taken
# as they are, 097 without its last digit would be a saturation of 9.
_VALUE = r"(\d{3}| \d{2}|  \d|---)"
_DATA = re.compile(rf"(?:\d\d:\d\d:\d\d\s+)?SPO2={_VALUE}\s+HR={_VALUE}\s*([FB*\s]*)")


class DataLine(NamedTuple):
    """One line. saturation, rate: None when dashes; marks: what stands behind them."""

    saturation: int | None
    rate: int | None
    marks: str


def data_line(text: str) -> DataLine | None:
    """Read a line; None when it is no data line, or not all of one."""
    found = _DATA.fullmatch(text)
    if found is None:
        return None
    saturation, rate, marks = found.groups()
    return DataLine(_number(saturation), _number(rate), marks)


def is_damaged(text: str) -> bool:
    """Tell whether a line that cannot be read was meant to be a data line."""
    return "=" in text or not text.isprintable()


def _number(text: str) -> int | None:
    return None if "-" in text else int(text)
