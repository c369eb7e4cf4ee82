"""Blocks of BCC on the line: escaping, length, checksum.

    01  LLLLL  02  bedId/1/1>information  03 | 17  CCCCC  04
    SOH        STX                        ETX  ETB        EOT

    LLLLL  five digits: bytes of the whole block, SOH and EOT included
    CCCCC  five digits: sum of all bytes from SOH to ETX or ETB, modulo 256
    ETX    the last block of an answer; after ETB another one follows, when the host has said ACK

Both count the block as it is before escaping. On the line four letters are written as two: D as EX, E as EE, d as ex,
e as ee. It must be undone from left to right in one pass: "EEX" is E and X, and whoever replaces EX first makes ED of
it. Here it is undone strictly, so a letter that cannot stand there is damage, before any sum is looked at.

Source: protocol notes, frame, vectors [2 sources]. The examples of the maker's manual that contain "ComSystem/1/1" do
not verify (length one off, checksum 38 off) and are no test of anything.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway.core.framing import Delimited, Noise

ACK = b"\x06"
MAX_LENGTH = 99_999  # LLLLL has five digits
BED_LENGTH = 15  # characters (protocol notes, response)
_SOH, _STX, _ETX, _ETB, _EOT = b"\x01", b"\x02", b"\x03", b"\x17", b"\x04"
_PLAIN = re.compile(rb"(?:[^DEde]|EE|EX|ee|ex)*+")
_PAIR = re.compile(rb"EE|EX|ee|ex")
_LETTERS = {b"EE": b"E", b"EX": b"D", b"ee": b"e", b"ex": b"d"}
_FORM = re.compile(rb"(\d{5})\x02([^/>]{0,60})/1/1>([^\x01-\x04\x17]*)([\x03\x17])(\d{5})")
_BED = re.compile(r"[^\x00-\x1f\x7f/>]+")


class Block(NamedTuple):
    """One good block. last: it ends with ETX."""

    bed: str
    information: str
    last: bool


def request(bed: str, information: str, stuffing: bool) -> bytes:
    """Return a block that asks for `information`."""
    text = f"{bed}/1/1>{information}".encode()
    # SOH LLLLL STX, text, ETX CCCCC EOT
    begin = _SOH + b"%05d" % (7 + len(text) + 7) + _STX + text + _ETX
    block = begin + b"%05d" % (sum(begin) % 256) + _EOT
    return escaped(block) if stuffing else block


def escaped(data: bytes) -> bytes:
    """Return `data` with four letters written as two each."""
    doubled = data.replace(b"E", b"EE").replace(b"e", b"ee")
    return doubled.replace(b"D", b"EX").replace(b"d", b"ex")


def plain(data: bytes) -> bytes | None:
    """Return what was escaped, None when a letter stands where none can."""
    if not _PLAIN.fullmatch(data):
        return None
    return _PAIR.sub(lambda pair: _LETTERS[pair[0]], data)


def usable(bed: str) -> bool:
    """Tell whether a station can be asked by this name."""
    return len(bed) <= BED_LENGTH and _BED.fullmatch(bed) is not None


class BlockReader:
    """Finds blocks in bytes that come in any split."""

    def __init__(self, stuffing: bool) -> None:
        self._stuffing = stuffing
        self._cut = Delimited(_SOH, _EOT, 2 * MAX_LENGTH if stuffing else MAX_LENGTH)

    def reset(self) -> None:
        """Forget what came: the line is new."""
        self._cut.reset()

    def feed(self, data: bytes) -> list[Block | Noise | str]:
        """Return good blocks, noise, and the reason why a block is not good."""
        return [found if isinstance(found, Noise) else self._read(found) for found in self._cut.feed(data)]

    def _read(self, content: bytes) -> Block | str:
        text = plain(content) if self._stuffing else content
        if text is None:
            return "stuffing"
        form = _FORM.fullmatch(text)
        if form is None:
            return "form"
        if int(form[1]) != len(text) + 2:  # the two are SOH and EOT
            return "length"
        if (sum(text[:-5]) + _SOH[0]) % 256 != int(form[5]):
            return "checksum"
        return Block(form[2].decode(errors="replace"), form[3].decode(errors="replace"), form[4] == _ETX)
