"""The two ways to the monitor. The PDUs are the same: framed on the RS-232 port, one to a datagram on the LAN.

A datagram has no framing, no escaping and no checksum of its own; the UDP checksum was checked by whoever received it.
What can be checked here is: the family is known, it is no longer than any PDU, and a data PDU is as long as it says.

Source: protocol notes sections 1, 3, 4.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from drivers.philips_intellivue.framing import MAX_USER_DATA, FrameReader, frame
from drivers.philips_intellivue.pdu import CONNECT_INDICATION, DATA, FAMILIES
from gateway.core.frame import Fault


class Transport(Protocol):
    """Takes what came and returns PDUs; takes PDUs and returns what goes out next. New with each start of a line."""

    def read(self, data: bytes) -> list[bytes | Fault]:
        """Return the PDUs that `data` completes, and a Fault for all that was none."""

    def write(self, pdus: deque[bytes]) -> bytes:
        """Take PDUs from the left and return what goes out at once; what is left waits for the next call."""


class Serial:
    """RS-232: a byte stream of frames."""

    def __init__(self) -> None:
        self._reader = FrameReader()

    def read(self, data: bytes) -> list[bytes | Fault]:
        """See Transport. Any split will do."""
        return self._reader.feed(data)

    def write(self, pdus: deque[bytes]) -> bytes:
        """See Transport. All of them in one go."""
        out = b"".join(map(frame, pdus))
        pdus.clear()
        return out


class Udp:
    """LAN: each call is one datagram."""

    def read(self, data: bytes) -> list[bytes | Fault]:
        """See Transport."""
        if not data:
            return []
        if data[0] not in FAMILIES:
            return [Fault("header", f"datagram of family 0x{data[0]:02X}", bad_frame=True)]
        if len(data) > MAX_USER_DATA:
            return [Fault("too_long", f"datagram of {len(data)} bytes", bad_frame=True)]
        if data[0] in {DATA, CONNECT_INDICATION}:  # 4 bytes, type and length of the remote operation, then so many
            said = 8 + int.from_bytes(data[6:8], "big") if len(data) >= 8 else 8
            if said != len(data):
                return [Fault("length", f"datagram of {len(data)} bytes says {said}", bad_frame=True)]
        return [data]

    def write(self, pdus: deque[bytes]) -> bytes:
        """See Transport. One at a time: a datagram is one PDU."""
        return pdus.popleft() if pdus else b""


def transport(name: str) -> Transport:
    """Return a new transport: "serial" or "udp"."""
    return Udp() if name == "udp" else Serial()
