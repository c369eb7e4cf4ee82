"""A socketcand server without sockets: CAN frames of a simulator as text, for python-can's `socketcand` interface.

Where the kernel has no CAN, two processes can still share a bus: one serves this object on a loopback port, the other
opens `interface = "socketcand"`. One object per connection; whoever owns the socket moves the bytes.

    server: < hi >                      client: < open can0 >
    server: < ok >                      client: < rawmode >
    server: < ok >   then               < frame 10040070 23.424242 E425000001000000 >   and so on

python-can 4.6 compares each reply of the hand-shake with all that one `recv` returns. A frame that shares a TCP segment
with the last `< ok >` would make it give up, so the first frames are held back for HOLD_S.

Only what a receiver needs is understood: open, rawmode, echo, send. Broadcast-manager, control and ISO-TP modes are
not.
RTR records are not passed on: python-can's client cannot read `< rtr … >`.

Source: linux-can/socketcand, doc/protocol.md (modes NO_BUS, RAW); python-can 4.6, can/interfaces/socketcand (client).
"""

from __future__ import annotations

import re

from gateway.core.can_frame import (
    ERROR,
    EXTENDED,
    EXTENDED_MASK,
    MAX_DATA,
    RECORD,
    REMOTE,
    STANDARD_MASK,
    pack,
    show_id,
)
from gateway.core.protocol import Simulator

HOLD_S = 0.2  # longer than any scheduling delay between two sendall of one process on loopback
MAX_COMMAND = 256  # a command in the protocol has at most 60 characters; what is longer is noise
_COMMAND = re.compile(rb"<([^<>]*)>")


class SocketcandServer:
    """One connection. Feed it with what the socket says, send what `data_to_send` returns, close when `closed`."""

    def __init__(self, bus: Simulator, channel: str = "can0", utc_offset_s: float = 0.0) -> None:
        """`bus` returns can_frame records. `utc_offset_s` + now is the UTC time stamped on each frame."""
        self._bus = bus
        self._channel = channel
        self._utc_offset_s = utc_offset_s
        self._in = b""
        self._out = [b"< hi >"]
        self._opened = False
        self._raw_from: float | None = None
        self.closed = False

    def receive_data(self, data: bytes, now: float) -> None:
        """Take what the client wrote, in any split."""
        self._in += data
        end = 0
        for match in _COMMAND.finditer(self._in):
            end = match.end()
            if not self.closed:
                self._command(match[1].decode("ascii", "replace").split(), now)
        self._in = self._in[end:][-MAX_COMMAND:]

    def data_to_send(self, now: float) -> bytes:
        """Return what must go to the client: replies at once, frames as they come up on the bus."""
        out, self._out = b"".join(self._out), []
        if self._raw_from is not None and now >= self._raw_from and not out:
            stamp = f"{now + self._utc_offset_s:.6f}"
            records = self._bus.data_to_send(now)
            return b"".join(_line(can_id, length, data, stamp) for can_id, length, data in RECORD.iter_unpack(records))
        return out

    def next_wake(self) -> float | None:
        """Return when data_to_send has something new even without input."""
        if self._out:
            return 0.0
        wake = self._bus.next_wake()
        return None if wake is None or self._raw_from is None else max(wake, self._raw_from)

    def _command(self, words: list[str], now: float) -> None:
        match words:
            case ["open", name] if not self._opened:
                self._opened = name == self._channel
                self.closed = not self._opened
                self._out.append(b"< ok >" if self._opened else b"< error could not open bus >")
            case ["rawmode"] if self._opened:
                self._raw_from = now + HOLD_S
                self._out.append(b"< ok >")
            case ["echo"]:
                self._out.append(b"< echo >")
            case ["send", can_id, length, *data] if self._opened and (record := _record(can_id, length, data)):
                self._bus.receive_data(record, now)
            case _:
                self._out.append(b"< error unknown command >")


def _line(can_id: int, length: int, data: bytes, stamp: str) -> bytes:
    if can_id & ERROR:
        return f"< error {can_id & EXTENDED_MASK:03X} {stamp} >".encode()
    if can_id & REMOTE:
        return b""
    return f"< frame {show_id(can_id)} {stamp} {data[:length].hex().upper()} >".encode()


def _record(can_id: str, length: str, data: list[str]) -> bytes | None:
    """Return the record of a send command, None when it is none. Up to three hex digits are a standard id."""
    try:
        number, count, payload = int(can_id, 16), int(length, 16), bytes(int(byte, 16) for byte in data)
    except ValueError:
        return None
    extended = len(can_id) > 3
    if not 0 <= number <= (EXTENDED_MASK if extended else STANDARD_MASK) or count != len(payload) or count > MAX_DATA:
        return None
    return pack(number | (EXTENDED if extended else 0), payload)
