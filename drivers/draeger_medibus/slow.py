"""What stands in the responses: measured data, limits, settings, alarms, text messages, date and time, identification.

Everything here is a pure function of the data of one checked response. A layout that does not fit gives None: the
response is then told as a fault as a whole, because where one field is not what it should be, its neighbours are not
trusted either. Protocol notes, sections 4, 5 and 6.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.core.frame import Alert
from gateway.core.sample import Validity

MEASURED_WIDTH, SETTING_WIDTH = 4, 5  # characters of a value after its code
_PHRASE = 12
HIGHEST_PRIORITY = 31
# Ours, from memory, unverified (notes, section 8): 31 to 25 warning, 24 to 11 caution, 10 to 1 advisory.
_WARNING, _CAUTION = 25, 11
# Pairs of characters that the device shows as one glyph (notes, section 5).
_GLYPHS = {"$&": " LOW ", '"#': " HIGH ", "'@": " ALARM "}

_CODE = re.compile(rb"[0-9A-F]{2}")
_NUMBER = re.compile(rb" *(-?) *([0-9]+\.?[0-9]*|\.[0-9]+) *")
_CLOCK = re.compile(
    rb" *([ 0-9]?[0-9]):([ 0-9][0-9])(?::([ 0-9][0-9]))? *([ 0-9]?[0-9])-([A-Z]{3})-([0-9]{2}) *",
)
# German, as the vendor writes them; English as one public implementation accepts them, too (notes, section 5).
_MONTHS = {
    month: number
    for names in (
        b"JAN FEB MAR APR MAI JUN JUL AUG SEP OKT NOV DEZ",
        b"JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC",
    )
    for number, month in enumerate(names.split(), 1)
}
_IDENTITY = re.compile(rb"([ -~]{4})'([ -~]{1,32})'([ 0-9][0-9]\.[0-9]{2}):([ 0-9][0-9]\.[0-9]{2})")


@dataclass(frozen=True, slots=True)
class Value:
    """One value as sent. number: NaN when there is none, and then `validity` says why."""

    code: int
    number: float
    validity: int = Validity.VLD


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device says it is. number: Dräger's four characters for the kind of device."""

    number: str
    name: str
    revision: str
    medibus: str


def number(text: bytes) -> tuple[float, Validity]:
    """Return (value, validity) of a field: digits, a decimal point, a minus that may have spaces behind it."""
    match = _NUMBER.fullmatch(text)
    if match:
        return float(match[1] + match[2]), Validity.VLD
    return math.nan, Validity.INV if text.strip() else Validity.NA


def values(data: bytes, width: int) -> list[Value] | None:
    """Read measured data, limits (width 4) or settings (width 5): n times code and value."""
    step = 2 + width
    found = []
    for at in range(0, len(data), step):
        code = data[at : at + 2]
        if len(data) - at < step or not _CODE.fullmatch(code):
            return None
        found.append(Value(int(code, 16), *number(data[at + 2 : at + step])))
    return found


def alarms(data: bytes, page: int) -> list[Alert] | None:
    """Read a list of active alarms: n times priority, code, phrase. object: 0x100 x codepage + code.

    The raw priority stays in the text, because our three classes are coarser than the device's 31 steps.
    """
    found = []
    for at in range(0, len(data), 3 + _PHRASE):
        code = data[at + 1 : at + 3]
        if len(data) - at < 3 + _PHRASE or not _CODE.fullmatch(code):
            return None
        priority = data[at] - 0x30
        phrase = _spelled(data[at + 3 : at + 3 + _PHRASE])
        text = f"{phrase} (priority {priority})" if 1 <= priority <= HIGHEST_PRIORITY else phrase
        found.append(Alert(page << 8 | int(code, 16), priority=_class(priority), text=text.strip()))
    return found


def _class(priority: int) -> int:
    """Return 3 high, 2 medium, 1 low; 0 for what is no priority."""
    if not 1 <= priority <= HIGHEST_PRIORITY:
        return 0
    return 3 if priority >= _WARNING else 2 if priority >= _CAUTION else 1


def _spelled(phrase: bytes) -> str:
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else " " for byte in phrase)
    for glyph, word in _GLYPHS.items():
        text = text.replace(glyph, word)
    return " ".join(text.split())


def texts(data: bytes) -> list[int] | None:
    """Read text messages and return their codes. The texts are thrown away: two of them are the patient's name."""
    found, at = [], 0
    while at < len(data):
        code, length = data[at : at + 2], data[at + 2 : at + 3]
        if not length or not _CODE.fullmatch(code) or not 1 <= length[0] - 0x30 <= 32:
            return None
        end = at + 3 + length[0] - 0x30
        if data[end : end + 1] != b"\x03":
            return None
        found.append(int(code, 16))
        at = end + 1
    return found


def clock(data: bytes) -> int | None:
    """Return the device's clock, HH:MM:SSDD-MMM-YY, as UTC ns under the assumption that it shows UTC.

    Blanks stand for leading zeros; an Evita V500 leaves the seconds out, which then count as 0.
    """
    match = _CLOCK.fullmatch(data)
    if not match or match[5] not in _MONTHS:
        return None
    hour, minute, second, day, year = (int(part or b"0") for part in (*match.group(1, 2, 3, 4), match[6]))
    try:
        shown = datetime(2000 + year, _MONTHS[match[5]], day, hour, minute, second, tzinfo=UTC)
    except ValueError:  # the 31st of February
        return None
    return round(shown.timestamp()) * 1_000_000_000


def identity(data: bytes) -> Identity | None:
    """Read NNNN'name'DD.DD:MM.MM."""
    match = _IDENTITY.fullmatch(data)
    return Identity(*(part.decode("ascii").strip() for part in match.groups())) if match else None
