"""Frames of the Asena pumps: `!` name, fields, `|`, checksum, CR.

    21  NAME ^ field ^ field …  7C  CRC as four upper-case hexadecimal digits  0D

The CRC is CRC-16/CCITT-FALSE (polynomial 1021, start FFFF, not reflected, no final inversion) over what stands between
`!` and `|`, both excluded. Source: protocol notes; the rule of one implementation reproduces the one frame that was
published elsewhere (`!INF|4961`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from fastcrc import crc16

LIMIT = 256  # characters of a frame; no source states the longest, questions have 17 at most
BEGIN, END = b"!", b"\r"
_FORM = re.compile(rb"([A-Z][A-Z_]{0,31})((?:\^[\x20-\x7d~]*)*)\|([0-9A-F]{4})")


class Message(NamedTuple):
    """One good frame. fields: its text after the name, as sent."""

    name: str
    fields: tuple[str, ...]


def question(name: str) -> bytes:
    """Return the frame that asks for `name`: the name alone, because a field behind it would set the value."""
    body = name.encode()
    return b"!%s|%04X\r" % (body, crc16.ibm_3740(body))


def read(content: bytes) -> Message | str:
    """Return what stands between `!` and CR, or the reason why it cannot be used."""
    form = _FORM.fullmatch(content)
    if form is None:
        return "form"
    if crc16.ibm_3740(form[1] + form[2]) != int(form[3], 16):
        return "crc"
    return Message(form[1].decode(), tuple(form[2].decode().split("^")[1:]))
