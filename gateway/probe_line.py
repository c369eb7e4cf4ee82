"""A serial line that tells damaged characters from good ones: the link of `mdi probe`.

PARMRK, on top of what the serial link sets: the tty hands a character with a parity or framing error, and a break, as
FF 00 and what was received, and an undamaged FF as FF FF (termios(3)). `Marks` takes that apart again. A damaged
character goes to the protocols as NUL, exactly as on the serial link of a running port.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import struct
import termios
from typing import NamedTuple, Protocol

from gateway.doctor import Inputs
from gateway.links.base import Link
from gateway.links.serial import SerialLink

_IFLAG = 0  # place of the input flags in what tcgetattr returns
_NO_INPUTS = (errno.ENOTTY, errno.EINVAL, errno.EIO)  # pseudo-terminals and some adapters have no handshake lines
MARK = 0xFF
DAMAGED = 0x00  # what a damaged character reads as


class Piece(NamedTuple):
    """One piece of the line. data: all in order, damaged as NUL; good, bad: its characters by whether they are."""

    data: bytes
    good: bytes
    bad: bytes


class ProbeLine(Link, Protocol):
    """A Link whose bytes carry the marks of PARMRK."""

    def inputs(self) -> Inputs | None:
        """Return the handshake lines, None where the adapter does not tell."""


class MarkedSerial(SerialLink):
    """Implements ProbeLine."""

    def _attach(self) -> int:
        line = super()._attach()
        try:
            attributes = termios.tcgetattr(line)
            attributes[_IFLAG] |= termios.PARMRK | termios.INPCK
            termios.tcsetattr(line, termios.TCSANOW, attributes)
        except termios.error as error:
            raise self._lost(OSError(*error.args)) from error
        return line

    def _detach(self) -> None:
        if self._port is not None:  # what a missing CTS holds back would hold up the close for 30 s
            with contextlib.suppress(termios.error):
                termios.tcflush(self._port.fd, termios.TCOFLUSH)
        super()._detach()

    def inputs(self) -> Inputs | None:
        """See ProbeLine."""
        try:
            answer = fcntl.ioctl(self._line, termios.TIOCMGET, bytes(4))
        except OSError as error:
            if error.errno in _NO_INPUTS:
                return None
            raise self._lost(error) from error
        (lines,) = struct.unpack("=i", answer)
        return Inputs(bool(lines & termios.TIOCM_CTS), bool(lines & termios.TIOCM_DSR), bool(lines & termios.TIOCM_CD))


class Marks:
    """Takes the marks of PARMRK apart, in pieces of any size."""

    def __init__(self) -> None:
        self._begun = b""  # a mark that is not complete yet

    def take(self, raw: bytes) -> Piece:
        """Return what came."""
        raw = self._begun + raw
        data, good, bad = bytearray(), bytearray(), bytearray()
        at = 0
        while (mark := raw.find(MARK, at)) >= 0:
            data += raw[at:mark]
            good += raw[at:mark]
            at = mark
            if raw[mark + 1 : mark + 2] == b"\xff":
                data.append(MARK)
                good.append(MARK)
                at += 2
            elif raw[mark + 1 : mark + 2] == b"\x00" and len(raw) > mark + 2:
                data.append(DAMAGED)
                bad.append(raw[mark + 2])
                at += 3
            elif len(raw) > mark + 2 or raw[mark + 1 : mark + 2] not in (b"", b"\x00"):  # a tty that marks nothing
                data.append(MARK)
                good.append(MARK)
                at += 1
            else:
                self._begun = raw[mark:]
                return Piece(bytes(data), bytes(good), bytes(bad))
        self._begun = b""
        return Piece(bytes(data + raw[at:]), bytes(good + raw[at:]), bytes(bad))
