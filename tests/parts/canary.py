"""What must never come out of a log: numbers and names that are driven through every input of the canary tests."""

from __future__ import annotations

import re

CPRS = (
    "070761-4285",  # meets modulus 11
    "0707614285",
    "010190-1234",  # does not: such numbers are issued since 2007
    "0101901234",
    "31 12 99-4321".replace(" ", ""),
)
NAMES = ("Jens Sørensen", "Åshild Østergård", "KNUDSEN^OLGA")
DEVICE = ("ZQXKANARIE", "Qvistgaardsminde")  # a serial number, an identification, an alert text
ALL = (*CPRS, *NAMES, *DEVICE)
_WORDS = {word for text in (*NAMES, *DEVICE) for word in re.split(r"[\s^]", text)}
_FOUND = re.compile("|".join(map(re.escape, sorted({*CPRS, *_WORDS}, key=len, reverse=True))), re.I)


def leaks(text: str) -> list[str]:
    """Return what has got out, with some text around it."""
    return [text[max(0, m.start() - 60) : m.end() + 20] for m in _FOUND.finditer(text)]
