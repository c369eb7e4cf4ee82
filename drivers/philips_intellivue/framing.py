"""Fixed-baud-rate framing of the MIB/RS-232 port: find frames in a byte stream, whatever the stream is.

    C0 | 11 01 | length u16 | user data | FCS u16, low byte first | C1

Between the two flags every C0, C1 and 7D travels as 7D and the byte XOR 20. `7D C1` gives a frame up. The length
counts user data before that escaping; the FCS is CRC-16/X-25 over header and user data, also before it.

Invariants: the same bytes give the same result in any split; memory stays below MAX_WIRE plus what one call brings;
a frame is found whatever stood before its C0; nothing is returned that fails header, length or FCS.

Source: protocol notes section 3 (two independent implementations, FCS vectors recomputed).
"""

from __future__ import annotations

from fastcrc import crc16

from gateway.core.frame import Fault

BOF, EOF, ESC = b"\xc0", b"\xc1", b"\x7d"
HEADER = b"\x11\x01"  # protocol id: data export; message type
MAX_USER_DATA = 4096  # we offer an MTU of 2500 (association request); room for a monitor that is not exact
MAX_WIRE = 2 * (4 + MAX_USER_DATA + 2)  # header, user data and FCS when every byte is escaped
_RESIDUE = 0x0F47  # CRC over data and its FCS: 0xF0B8 before the final complement


def frame(user_data: bytes) -> bytes:
    """Return the bytes on the line for one PDU."""
    body = HEADER + len(user_data).to_bytes(2, "big") + user_data
    return BOF + escape(body + fcs(body)) + EOF


def fcs(body: bytes) -> bytes:
    """Return the two FCS bytes over header and user data."""
    return crc16.ibm_sdlc(body).to_bytes(2, "little")


def escape(body: bytes) -> bytes:
    """Make the flags and the escape byte transparent. 7D goes first: what the other two put in holds none."""
    return body.replace(b"\x7d", b"\x7d\x5d").replace(b"\xc0", b"\x7d\xe0").replace(b"\xc1", b"\x7d\xe1")


def unescape(body: bytes) -> bytes | None:
    """Undo `escape`; None when the last byte is an escape with nothing to act on (the sender gave the frame up)."""
    canonical = body.count(b"\x7d\xe0") + body.count(b"\x7d\xe1") + body.count(b"\x7d\x5d")
    if canonical == body.count(ESC):  # every 7D is one of the three pairs, so they are disjoint; 7D 5D must go last
        return body.replace(b"\x7d\xe0", b"\xc0").replace(b"\x7d\xe1", b"\xc1").replace(b"\x7d\x5d", b"\x7d")
    out, at = bytearray(), 0
    while at < len(body):
        if body[at] != 0x7D:
            out.append(body[at])
            at += 1
        elif at + 1 == len(body):
            return None
        else:
            out.append(body[at + 1] ^ 0x20)
            at += 2
    return bytes(out)


class FrameReader:
    """Cuts a byte stream into checked PDUs and faults, in order."""

    def __init__(self) -> None:
        self._body: bytes | None = None  # since the last BOF; None while hunting for one
        self._skipped = 0  # bytes hunted through and not yet reported

    def feed(self, data: bytes) -> list[bytes | Fault]:
        """Return the user data of every frame that `data` completes, and a Fault for all that was no frame."""
        out: list[bytes | Fault] = []
        *parts, rest = data.split(EOF)
        for part in parts:
            # The usual case, one whole frame and nothing else, without a copy of the rest of the stream.
            clean = self._body is None and not self._skipped and len(part) <= MAX_WIRE
            if clean and part.startswith(BOF) and part.find(BOF, 1) < 0:
                out.append(_check(part[1:]))
            else:
                self._take(part, out)
                self._end(out)
        self._take(rest, out)
        return out

    def _take(self, part: bytes, out: list[bytes | Fault]) -> None:
        """Go on with bytes that hold no EOF."""
        first, *others = part.split(BOF)
        self._extend(first, out)
        for other in others:
            if self._body:
                out.append(_bad("cut", f"a new frame began after {len(self._body)} bytes"))
            self._report_skipped(out)
            self._body = b""
            self._extend(other, out)

    def _extend(self, piece: bytes, out: list[bytes | Fault]) -> None:
        if self._body is None:
            self._skipped += len(piece)
        else:
            self._body += piece
            if len(self._body) > MAX_WIRE:
                out.append(_bad("too_long", f"no end after {MAX_WIRE} bytes"))
                self._skipped = len(self._body) - MAX_WIRE
                self._body = None
        while self._skipped >= MAX_WIRE:  # endless noise is reported as it goes, at the same places in any split
            out.append(_bad("garbage", f"{MAX_WIRE} bytes outside of frames"))
            self._skipped -= MAX_WIRE

    def _end(self, out: list[bytes | Fault]) -> None:
        """Take an EOF."""
        if self._body is None:
            self._skipped += 1
            self._report_skipped(out)
        else:
            out.append(_check(self._body))
            self._body = None

    def _report_skipped(self, out: list[bytes | Fault]) -> None:
        if self._skipped:
            out.append(_bad("garbage", f"{self._skipped} bytes outside of frames"))
            self._skipped = 0


def _check(body: bytes) -> bytes | Fault:
    """Return the user data of what stood between two flags, or what is wrong with it."""
    if ESC in body:
        plain = unescape(body)
        if plain is None:
            return _bad("frame_abort", "the sender gave the frame up (7D C1)")
        body = plain
    if len(body) < 6:
        return _bad("length", f"{len(body)} bytes, a frame has at least 6")
    if not body.startswith(HEADER):
        return _bad("header", f"header {body[:2].hex()}, expected 1101")
    if int.from_bytes(body[2:4], "big") != len(body) - 6:
        return _bad("length", f"length field {int.from_bytes(body[2:4], 'big')}, found {len(body) - 6}")
    if crc16.ibm_sdlc(body) != _RESIDUE:
        return _bad("fcs", f"frame of {len(body)} bytes")
    return body[4:-2]


def _bad(reason: str, detail: str) -> Fault:
    return Fault(reason, detail, bad_frame=True)
