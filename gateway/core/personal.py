"""What looks like a person's number: a Danish CPR number, with or without a separator.

A CPR number is the day of birth as DDMMYY and four digits. The check by modulus 11 says nothing: since 2007 numbers are
issued that do not meet it (CPR-kontoret). So any ten digits that begin with a date count.
"""

from __future__ import annotations

import re

_DAY = r"(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d\d"
_CPR = re.compile(
    rf"{_DAY}[-– ./]\d{{4}}"  # whatever stands beside it: in bytes of a device nothing parts it from its neighbours
    rf"|(?<!\d)\d{{0,4}}{_DAY}\d{{4}}(?!\d)|(?<!\d){_DAY}\d{{4,8}}(?!\d)"
)


def looks_personal(text: str) -> bool:
    """Tell whether there is something in a text that can be a CPR number."""
    return _CPR.search(text) is not None


def withhold(text: str) -> str:
    """Return a text without what can be a CPR number."""
    return _CPR.sub("…", text)
