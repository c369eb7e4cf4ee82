"""Records in a byte stream: flags, escapes, checksum, length.

    7E | escaped( record[r_len] , checksum ) | 7E          checksum = sum of the record's bytes, modulo 256

A byte 7E of the record travels as 7D 5E, a byte 7D as 7D 5D, the checksum's too. What stands between two flags is a
candidate, and all that decides about it is its own content; so a flag that is lost or made up costs the two records
beside it and no more, and empty frames (two flags in a row) are nothing. A candidate is a record when its escapes are
those two, its length is that of its own header, and its checksum is right. The sum alone is weak (see README.md); the
length finds what the sum cannot: a real recording holds a record that is two bytes short and has a right sum.

Source: protocol notes section 2 (vendor record specification 8005313 and two implementations; a real capture).
"""

from __future__ import annotations

import re

from gateway.core.frame import Fault
from gateway.core.framing import Delimited, Noise

FLAG = b"\x7e"
HEADER_BYTES = 40
MAX_RECORD = HEADER_BYTES + 1450  # section 2
_MAX_WIRE = 2 * (MAX_RECORD + 1)  # every byte escaped
_STRANGE_ESCAPE = re.compile(rb"\x7d(?![\x5d\x5e])")


def frame(record: bytes) -> bytes:
    """Return the bytes on the line for one record."""
    body = record + bytes([sum(record) & 0xFF])
    # 7D goes first: what the other puts in holds one.
    return FLAG + body.replace(b"\x7d", b"\x7d\x5d").replace(b"\x7e", b"\x7d\x5e") + FLAG


class RecordReader:
    """Cuts a byte stream into checked records and faults, in order; memory is bounded by the longest record."""

    def __init__(self) -> None:
        self._cut = Delimited(b"", FLAG, _MAX_WIRE)

    def feed(self, data: bytes) -> list[bytes | Fault]:
        """Return what `data` completes: records without their checksum, and a Fault for all that is none."""
        return [
            _bad("too_long", f"{found.length} bytes without a flag") if isinstance(found, Noise) else _check(found)
            for found in self._cut.feed(data)
        ]


def _check(body: bytes) -> bytes | Fault:
    """Return the record between two flags, or what is wrong with it."""
    if b"\x7d" in body:
        if _STRANGE_ESCAPE.search(body):
            return _bad("escape", f"frame of {len(body)} bytes")
        # No 7D 5D can come out of the first replacement: what it leaves of each pair is a 7E.
        body = body.replace(b"\x7d\x5e", b"\x7e").replace(b"\x7d\x5d", b"\x7d")
    length = int.from_bytes(body[:2], "little")
    if len(body) <= HEADER_BYTES or length != len(body) - 1:
        return _bad("length", f"the record says {length} bytes, there are {len(body) - 1}")
    if sum(body[:-1]) & 0xFF != body[-1]:
        return _bad("checksum", f"record of {length} bytes")
    return body[:-1]


def _bad(reason: str, detail: str) -> Fault:
    return Fault(reason, detail, bad_frame=True)
