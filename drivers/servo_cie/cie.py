"""The bytes of the Computer Interface Emulator (CIE): commands, the ends of answers, checksums, fields.

    host -> CIE   RADAB 54 EOT       command, two hexadecimal digits (XOR of all before), EOT; extended mode
    CIE -> host   0480 150 072 .. CC EOT     four characters for each channel of the list, in its order

HO, the way into the session, is of the older basic mode and has no checksum. That answers carry one is said by one
source and was never seen, so the session finds out (see Trailers).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import xor

EOT = b"\x04"
HELLO = b"HO" + EOT
LONGEST = 1024  # bytes of an answer: 75 settings of four characters, the most there can be, are 300
FIELD = 4
NOT_AVAILABLE = 9999
PROVEN = 3  # right checksums in a row: by chance once in 256^3

_ERROR = re.compile(rb"ER(\d\d)(?:[0-9A-F]{2})?")
_NUMBER = re.compile(rb"[+-]?\d{1,4}")
_POWER = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*(?:E\s*([+-]?\d+))?\s*")  # "+dddd E+-xx style", notes


def checksum(text: bytes) -> bytes:
    """Return the two digits that follow a command or an answer."""
    return b"%02X" % reduce(xor, text, 0)


def command(text: bytes) -> bytes:
    """Return an extended command as it goes out."""
    return text + checksum(text) + EOT


def definition(category: bytes, channels: Iterable[int]) -> bytes:
    """Return the command that defines the list of a category: S settings, B breath."""
    return command(b"SDAD" + category + b"".join(b"%03d" % channel for channel in channels))


def reading(category: bytes) -> bytes:
    """Return the command that reads the list of a category."""
    return command(b"RADA" + category)


def configuration(channel: int) -> bytes:
    """Return the command that asks how a channel is scaled."""
    return command(b"RCCO%03d" % channel)


def error_of(answer: bytes) -> int | None:
    """Return the code of an error answer."""
    found = _ERROR.fullmatch(answer)
    return int(found[1]) if found else None


def number_of(field: bytes) -> int | None:
    """Return the number of a field, None when it is none. Blanks on either side are padding."""
    text = field.strip(b" ")
    return int(text) if _NUMBER.fullmatch(text) else None


class Answers:
    """Cuts the stream at EOT. An answer may be empty: an acknowledgement is only known to end."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> tuple[list[bytes], int]:
        """Return (answers without their EOT, bytes that were thrown away because no EOT came)."""
        *whole, self._held = (self._held + data).split(EOT)
        lost = sum(len(answer) for answer in whole if len(answer) > LONGEST)
        if len(self._held) > LONGEST:  # what it was is not known, so what follows up to the next EOT is not used either
            lost += len(self._held) - LONGEST - 1
            self._held = self._held[: LONGEST + 1]
        return [answer for answer in whole if len(answer) <= LONGEST], lost


class Trailers:
    """Finds out whether this ventilator's answers carry the checksum, and from then on insists on it."""

    def __init__(self) -> None:
        self._right = 0

    @property
    def proven(self) -> bool:
        """Tell whether an answer without the right checksum is a damaged one."""
        return self._right >= PROVEN

    def check(self, answer: bytes) -> bytes | None:
        """Return what stands before a right checksum, None when there is none."""
        right = len(answer) > 2 and checksum(answer[:-2]) == answer[-2:]
        if not self.proven:
            self._right = self._right + 1 if right else 0
        return answer[:-2] if right else None


@dataclass(frozen=True, slots=True)
class Scaling:
    """What the ventilator says of a channel: value = raw x gain - offset, in the unit of this code."""

    channel: int
    gain: float
    offset: float
    unit: int


def scaling_of(text: bytes) -> Scaling | None:
    """Read a channel description (channel, gain, offset, unit code, type, name); None when it cannot be read."""
    fields = text.decode("latin-1").split(",")
    if len(fields) < 4:
        return None
    gain, offset = _power(fields[1]), _power(fields[2])
    channel, unit = fields[0].strip(), fields[3].strip()
    if gain is None or offset is None or not re.fullmatch(r"\d{3}", channel) or not re.fullmatch(r"\d{1,2}", unit):
        return None
    return Scaling(int(channel), gain, offset, int(unit))


def _power(text: str) -> float | None:
    """Return mantissa x 10^exponent."""
    found = _POWER.fullmatch(text)
    if found is None or len(found[2] or "") > 3:
        return None
    return float(f"{found[1]}e{found[2] or 0}")
