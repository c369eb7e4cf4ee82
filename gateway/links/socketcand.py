"""CAN over TCP from a socketcand daemon, listen-only: the two commands that open a bus are all that is ever written.

The protocol is text, one element in angle brackets after the other (socketcand, doc/protocol.md and src/state_raw.c):

    daemon  < hi >              gateway  < open can0 >       daemon  < ok >
                                gateway  < rawmode >         daemon  < ok >
    < frame 123 1700000000.123456 11223344 >    data in one word or in pairs; an id of 8 digits is a 29-bit id
    < rtr 123 1700000000.123456 4 >             remote frame, length asked for
    < error 020 1700000000.123456 >             error frame: error class, without its data
    < fdframe … >                               CAN FD, left out

python-can has a client too, but it takes a closed connection for a silent bus: measured with 4.6.1, after the daemon
had gone recv() returned None for ever at 100 % CPU. A silent gap harms someone, so we watch the connection ourselves.

Errors do not quote what was received, but for the daemon's own words: behind a wrong port may be any text.
"""

from __future__ import annotations

import logging
import os
import re
import select
import time

from gateway.core.can_frame import can_frame
from gateway.core.errors import LinkError
from gateway.links.base import Clock
from gateway.links.bus_time import BusTime
from gateway.links.tcp import TcpLink

HANDSHAKE_TIMEOUT_S = 1.0  # every blocking call ends within 1 s (architecture, Threads)
ELEMENT_MAX = 512  # bytes; the longest, an fdframe with 64 bytes in pairs, has about 240

_ELEMENT = re.compile(rb"\s*<([^<>]*)>")
_FRAME = re.compile(r"(frame|rtr|error) ([0-9A-Fa-f]{1,8}) (\d{1,10})\.(\d{1,9}) ?([0-9A-Fa-f ]*)")

_log = logging.getLogger(__name__)


class SocketcandLink(TcpLink):
    """Implements Link on one bus of a socketcand daemon; each frame is one 16-byte can_frame record."""

    gone = "the socketcand daemon closed the connection"

    def __init__(self, host: str, port: int, channel: str, clock: Clock) -> None:
        super().__init__(host, port, clock)
        self._where = f"{channel} at socketcand {host}:{port}"
        self._channel = channel
        self._text = b""  # received, of which
        self._at = 0  # bytes are already taken
        self._time = BusTime(self._where, clock)
        self._left_out: set[str] = set()

    def write(self, data: bytes) -> None:
        """Refuse. LinkError: always."""
        raise LinkError(f"a CAN link only listens, {len(data)} bytes not sent", self._where)

    def _attach(self) -> int:
        line = super()._attach()
        self._text, self._at = b"", 0
        deadline = time.monotonic() + HANDSHAKE_TIMEOUT_S
        try:
            self._expect("hi", deadline)
            for command in (f"< open {self._channel} >", "< rawmode >"):
                os.write(line, command.encode())
                self._expect("ok", deadline)
        except OSError as error:
            raise self._lost(error) from error
        return line

    def _expect(self, answer: str, deadline: float) -> None:
        """Take one element of the handshake. LinkError: another one, nothing in time, or the end. OSError: the line."""
        assert self._socket is not None  # only called inside _attach
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while (element := self._next()) is None:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise LinkError(f"no answer within {HANDSHAKE_TIMEOUT_S:g} s", self._where)
            data = self._socket.recv(ELEMENT_MAX)
            if not data:
                raise LinkError(self.gone, self._where)
            self._text += data
        if element != answer:
            said = repr(element[:80]) if element.startswith("error") else "something else"
            raise LinkError(f"the daemon says {said}, not {answer!r}", self._where, "is the bus name right?")

    def _receive(self) -> list[tuple[int, bytes]]:
        self._text = self._text[self._at :] + b"".join(data for _, data in super()._receive())
        self._at = 0
        frames: list[tuple[int, bytes]] = []
        try:
            while (element := self._next()) is not None:
                if found := _FRAME.fullmatch(element):
                    frames.append(self._record(*found.groups()))
                elif element.startswith(("frame ", "rtr ")):
                    raise self._malformed()
                else:
                    self._leave_out(element)
        except LinkError as fault:
            self._fail(fault, bool(frames))
        return frames

    def _next(self) -> str | None:
        """Take the next whole element off the text, without its brackets. LinkError: this is not socketcand."""
        found = _ELEMENT.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
            return found[1].decode("ascii", "replace").strip()
        rest = self._text[self._at :].lstrip()
        if len(rest) > ELEMENT_MAX or rest[:1] not in (b"", b"<"):
            raise LinkError("this is not socketcand", self._where, "check host and port")
        return None

    def _record(self, kind: str, arbitration_id: str, seconds: str, fraction: str, rest: str) -> tuple[int, bytes]:
        """Return (UTC ns, can_frame record). LinkError: what follows the time is no data."""
        t_ns = self._time.stamp(int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0")))
        number, extended = int(arbitration_id, 16), len(arbitration_id) > 3
        try:
            if kind == "rtr":
                return t_ns, can_frame(number, b"", extended=extended, remote=int(rest))
            if kind == "error":
                return t_ns, can_frame(number, b"", extended=False, error=True)
            return t_ns, can_frame(number, bytes.fromhex(rest), extended=extended)
        except ValueError as error:
            raise self._malformed() from error

    def _malformed(self) -> LinkError:
        return LinkError("the daemon sent a frame that is none", self._where)

    def _leave_out(self, element: str) -> None:
        """Say once for each kind of element that it is left out; there are few kinds."""
        kind = element.partition(" ")[0][:20]
        if kind not in self._left_out and len(self._left_out) < 8:
            self._left_out.add(kind)
            _log.warning("%s: socketcand's %r elements are left out", self._where, kind)
