"""What a line of a ward scale says: one reader for each dialect. Bytes of one frame in, a weighing or a reason out.

A dialect names its quantities in its own way (a letter, a key, a place in the line). Readings of all dialects have the
same objects, so that a profile looks the same for every scale:

    weight height bmi tare gain fat fat_mass fat_free_mass muscle_mass muscle_score bone_mass water_mass water impedance

The unit word (kg, g, lb, oz, cm, in) is the scale's own; where a scale only says "metric" or "US", the word is what the
manual says it means. Which term and which unit go on is the profile's.

No reader repairs anything: a line that is not exactly built as its manual shows is a fault, because none of these
dialects has a checksum that could tell a damaged line from a whole one.

Sources: the manuals that README.md names, by way of the protocol notes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from math import nan
from typing import Any, NamedTuple

from gateway.core.errors import ProfileError
from gateway.core.frame import Reading
from gateway.core.sample import Validity


class Weighing(NamedTuple):
    """What one frame says. trouble: a fault that leaves the frame readable; model, serial: "" when not said."""

    readings: list[Reading]
    device_ns: int | None = None
    model: str = ""
    serial: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to cut the stream into frames (gateway.core.framing.Delimited), and how to read one.

    read: content of a frame -> Weighing, or the reason of a Fault
    poll: the question of a scale that speaks only when asked; b"" = it speaks by itself
    """

    begin: bytes
    ends: bytes
    limit: int
    read: Callable[[bytes], Weighing | str]
    poll: bytes = b""


def _single(validity: Validity, unit: int | str = 0, value: float = nan) -> list[Reading]:
    return [Reading("weight", 0, unit, value, validity)]


# ---- A&D standard format: EK-L manual p. 28, GC manual p. 51 [2 sources]

_AND = re.compile(
    rb"(?:(?:LO|OK|HI|--),)?"  # the result of a comparison, which some models put first
    rb"(ST|US|QT),([+-])(?=[0-9.]{8}[^0-9.])([0-9]+\.?[0-9]*)([ A-Za-z%]{3})"
)
_AND_OVER = re.compile(rb"(?:(?:LO|OK|HI|--),)?OL,[+-][ -~]*")


def read_and(line: bytes) -> Weighing | str:
    """Read HH,SDDDDDD.DUUU: header, sign, eight characters of a number, three of a unit."""
    if _AND_OVER.fullmatch(line):
        return Weighing(_single(Validity.OFLW))
    found = _AND.fullmatch(line)
    if found is None:
        return "format"
    header, sign, number, unit = found.groups()
    if header == b"QT":
        return "counting"
    value = float(sign + number)
    return Weighing(_single(Validity.VLD if header == b"ST" else Validity.ONG, unit.decode().strip(), value))


# ---- Health o meter ProPlus: ESC, a letter, a value [2 sources]

_ESC_FIELD = re.compile(rb"\x1b([A-Z])([0-9.mc]*)")
_ESC_READING = re.compile(rb"((?:\x1b[A-Z][0-9.mc]*)*)\x1b")  # after ESC R; its last letter, E, ended the frame
_ESC_UNITS = {b"m": ("kg", "cm"), b"c": ("lb", "in")}
_ESC_OBJECTS = {b"W": "weight", b"H": "height", b"T": "tare", b"B": "bmi"}
_NUMBER = re.compile(rb"[0-9]{1,6}(?:\.[0-9]{1,3})?")


def read_esc(content: bytes) -> Weighing | str:
    """Read one reading, ESC R … ESC E. The id of a patient that is in it (ESC I) is passed over."""
    before, begin, reading = content.rpartition(b"\x1bR")  # the last one: the end of one before may be lost
    found = _ESC_READING.fullmatch(reading)
    if not begin or found is None:
        return "format"
    fields = _ESC_FIELD.findall(found[1])
    values = dict(fields)
    if len(values) != len(fields):
        return "format"  # one letter twice: two readings ran into each other
    units = _ESC_UNITS.get(values.pop(b"N", b""))
    values.pop(b"I", None)
    unread = values.keys() - _ESC_OBJECTS.keys()
    if units is None:
        return "unit"
    mass, length = units
    readings = []
    for letter, text in values.items():
        if letter in unread:
            continue
        if not _NUMBER.fullmatch(text):
            return "format"
        object_ = _ESC_OBJECTS[letter]
        unit: int | str = 0 if object_ == "bmi" else length if object_ == "height" else mass
        readings.append(Reading(object_, 0, unit, float(text)))
    return Weighing(readings, trouble="garbage" if before.strip(b"\r\n") else "unread" if unread else "")


# ---- Tanita: keys and values, separated by commas: SC-240 p. 24, WB-3000, BD-815U [1 source]

_WEIGHTS = {"Wk": "kg", "Wp": "lb", "Wg": "g"}  # the key of the weight says the unit
_MASSES = {  # only the weight says its unit; for these it is known for kg, by the SC-240 example (fW)
    "Pt": "tare",
    "fW": "fat_mass",
    "MW": "fat_free_mass",
    "mW": "muscle_mass",
    "bW": "bone_mass",
    "wW": "water_mass",
}
_PLAIN: Mapping[str, tuple[str, int | str]] = {
    "Hm": ("height", "cm"),
    "FW": ("fat", 0),
    "sW": ("muscle_score", 0),
    "ww": ("water", 0),
    "MI": ("bmi", 0),
    "ZF": ("impedance", 0),
    "Gg": ("gain", "g"),
}
_TANITA_UNITS: dict[str, int | str] = {key: unit for key, (_, unit) in _PLAIN.items()} | {**_WEIGHTS}
_TANITA_OBJECTS = dict.fromkeys(_WEIGHTS, "weight") | _MASSES | {key: object_ for key, (object_, _) in _PLAIN.items()}
# Body type, sex and age were typed in by a person and are no measurement; a recalled weight (Rg) has no known time.
_PASSED_OVER = frozenset({"0", "~0", "~1", "~2", "Bt", "GE", "AG", "Rg", "CS", "MO", "SN"})
_SIGNED = re.compile(r"-?[0-9]{1,6}(?:\.[0-9]{1,3})?")


def read_tanita(checked: bool, content: bytes) -> Weighing | str:
    """Read {0,16,~0,1, … CS,hh, without its brace. checked: a line of this model ends with CS and two digits.

    How CS is computed is not published, so it shows that the line is whole, not that it is right.
    """
    words = content.decode("latin-1").removesuffix("\r").split(",")
    pairs = list(zip(words[::2], words[1::2], strict=False))
    values = dict(pairs)
    whole = len(words) % 2 == 0 and len(values) == len(pairs) and pairs[0] == ("0", "16")
    if not whole or (checked and not re.fullmatch("CS,[0-9A-Fa-f]{2}", ",".join(pairs[-1]))):
        return "format"
    weights = [key for key in values if key in _WEIGHTS]
    if len(weights) > 1:
        return "format"
    units = _TANITA_UNITS | (dict.fromkeys(_MASSES, "kg") if weights == ["Wk"] else {})
    readings, trouble = [], ""
    for key, text in pairs:
        object_ = _TANITA_OBJECTS.get(key)
        if object_ is None:
            trouble = trouble if key in _PASSED_OVER else "unread"
        elif not _SIGNED.fullmatch(text):
            return "format"
        elif key not in units:
            trouble = "unit"
            readings.append(Reading(object_, 0, 0, nan, Validity.INV))
        else:
            readings.append(Reading(object_, 0, units[key], float(text)))
    return Weighing(readings, None, values.get("MO", "").strip('"'), values.get("SN", "").strip('"'), trouble)


# ---- Detecto solo: time, date, BMI, height, weight [1 source]

_DETECTO = re.compile(
    r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2}),(?P<month>[0-9]{2})/(?P<day>[0-9]{2})/(?P<year>[0-9]{2}),"
    r"(?P<bmi>[0-9]{1,3}\.[0-9])?,"
    r"(?:(?P<feet>[0-9])'(?P<inches>[0-9]{2}\.[0-9])\"|(?P<height>[0-9]{1,3}\.[0-9])(?P<length>[a-z]{2}))?,"
    r"(?P<weight>[0-9]{1,4}\.[0-9])(?P<mass>[a-z]{2})"
)
IN_PER_FT = 12


def read_detecto(line: bytes) -> Weighing | str:
    """Read what the print key sends. An empty BMI or height is none."""
    found = _DETECTO.fullmatch(line.decode("latin-1"))
    if found is None:
        return "format"
    month, day, hour, minute = (int(found[part]) for part in ("month", "day", "hour", "minute"))
    try:
        clock = datetime(2000 + int(found["year"]), month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return "format"
    readings = [Reading("weight", 0, found["mass"], float(found["weight"]))]
    if found["feet"]:
        readings.append(Reading("height", 0, "in", IN_PER_FT * int(found["feet"]) + float(found["inches"])))
    elif found["height"]:
        readings.append(Reading("height", 0, found["length"], float(found["height"])))
    if found["bmi"]:
        readings.append(Reading("bmi", 0, 0, float(found["bmi"])))
    return Weighing(readings, int(clock.timestamp()) * 1_000_000_000)


# ---- Adam MDW: asked with W, answers with weight and status [1 source]

_ADAM = re.compile(rb"\n(.{9}) ?([ A-Za-z]{2})\r\n(.)(.)(.)\r\Z", re.DOTALL)
_ADAM_NUMBER = re.compile(rb"[ +-][ 0-9]{5}[0-9]\.[0-9]")  # polarity, w1 … w6, decimal point, w7
_ADAM_FILLED = {b"^" * 9: Validity.OFLW, b"_" * 9: Validity.UFLW, b"-" * 9: Validity.INV}  # over, under, zero error
_ADAM_FIXED = ((0x30, 0x30), (0x70, 0x70), (0x30, 0x30))  # bits of H1, H2, H3 that are always 1: (mask, value)
_UNSTABLE, _AT_ZERO, _EEPROM = 0x01, 0x02, 0x08  # H1 b0, b1, b3
_UNDER, _OVER = 0x01, 0x02  # H2 b0, b1
_NORMAL, _HOLD = 0b01, 0b10  # H3 b1 b0


def read_adam(content: bytes) -> Weighing | str:
    """Read LF weight unit CR LF H1 H2 H3 CR, without the ETX that ended it."""
    if content == b"\n?\r":
        return "refused"
    found = _ADAM.search(content)
    if found is None:
        return "format"
    number, unit, *status = found.groups()
    one, two, three = (character[0] & 0x7F for character in status)  # b7 is parity
    fixed = all(byte & mask == value for byte, (mask, value) in zip((one, two, three), _ADAM_FIXED, strict=True))
    if not fixed or three & 0b11 not in (_NORMAL, _HOLD):
        return "status"
    if one & _EEPROM:
        return Weighing(_single(Validity.INV), trouble="eeprom")
    filled = _ADAM_FILLED.get(number)
    if filled is not None:
        return Weighing(_single(filled), trouble="zero" if filled is Validity.INV else "")
    if two & (_UNDER | _OVER):
        return Weighing(_single(Validity.OFLW if two & _OVER else Validity.UFLW))
    if one & _AT_ZERO:  # nobody on it
        return Weighing(_single(Validity.NA))
    if not _ADAM_NUMBER.fullmatch(number):
        return "format"
    readings = _single(Validity.ONG if one & _UNSTABLE else Validity.VLD, unit.decode().strip(), _plain(number))
    return Weighing(readings, trouble="garbage" if found.start() else "")


def _plain(number: bytes) -> float:
    """Return the number of a field in which leading zeros are spaces."""
    return float(number.replace(b" ", b""))


# Limits: the longest line of the manual and room for one that is longer by as much again.
_DIALECTS: Mapping[str, Dialect] = {
    "and": Dialect(b"", b"\r\n", 40, read_and),
    "health_o_meter": Dialect(b"", b"E", 160, read_esc),
    "detecto": Dialect(b"", b"\r\n", 100, read_detecto),
    "adam": Dialect(b"", b"\x03", 50, read_adam, poll=b"W\r"),
}


def dialect_of(table: Mapping[str, Any], where: str) -> Dialect:
    """Return the dialect that the [driver] table of a profile names. Raises: ProfileError."""
    name = table.get("dialect")
    known = [*_DIALECTS, "tanita"]
    if name not in known:
        raise ProfileError(f"dialect {name!r} is not known", where, "use one of " + ", ".join(known))
    allowed = {"dialect", "checked"} if name == "tanita" else {"dialect"}
    if table.keys() - allowed or not isinstance(table.get("checked", True), bool):
        raise ProfileError("[driver] has a key that this dialect does not know", where, 'write dialect = "tanita"')
    if name == "tanita":
        return Dialect(b"{", b"\n", 1024, partial(read_tanita, table.get("checked", True)))
    return _DIALECTS[name]
