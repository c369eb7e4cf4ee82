"""Application data units: how one PDU travels in RTU, ASCII and TCP framing.

    RTU     [unit u8][PDU][CRC-16, low byte first]
    ASCII   ":" [unit, PDU, LRC, each byte as two hex digits 0-9 A-F] CR LF
    TCP     [transaction u16][0000][length u16 = 1 + PDU][unit u8][PDU]

How a reply is found. A master knows exactly which reply may come: unit, function code and byte count are those of its
request, so the first bytes (`Expected.head`) and the size are known. The reply is the first stretch of the line that
has this head and size and whose checksum is right. Garbage before it, a frame of somebody else, a lost byte: all of it
is passed over, one byte at a time, and where the line was cut into reads makes no difference. A single flipped bit
cannot change the size of what is accepted, so CRC-16 finds every one of them.

pymodbus builds the requests and computes the checksums. Its framers' `decode` is not used on what comes from a device:
version 3.16 throws the whole buffer away on a wrong CRC (RTU), raises on a unit that is no hex number (ASCII) and
stands still on a protocol id that is not zero (TCP).

Sources: MODBUS over Serial Line V1.02, sections 2.5.1 (RTU), 2.5.2 (ASCII), 6.2 (checksums);
MODBUS Messaging on TCP/IP V1.0b, section 3.1.3 (MBAP header).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from binascii import Error as HexError
from binascii import a2b_hex, b2a_hex
from collections.abc import Iterator
from typing import NamedTuple

from pymodbus.framer import FramerAscii, FramerBase, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU

MAX_ADU = 513  # ASCII: 1 + 2 x (1 + 253 + 1) + 2 characters. TCP has 260 bytes at most, RTU 256
EXCEPTION = 0x80  # this bit of the function code marks an exception reply (V1.1b3, section 7)
_CRLF = b"\r\n"
_LOW_SIZE, _LOW_BY = (
    1 + 2 + 4 + 1,
    4,
)  # replies of unit 0x19 as the Thermo manuals print them (protocol notes, section 2)
_DECODER = DecodePDU(is_server=False)  # asked for by the framers' constructors; never used to decode


class Adu(NamedTuple):
    """One unit of the line, its checksum already found right. transaction: 0 on a serial line."""

    transaction: int
    unit: int
    pdu: bytes


class Expected(NamedTuple):
    """What a reply must look like: how it begins, and its size on the line in bytes."""

    head: bytes
    size: int


class Framing(ABC):
    """One of the three ways to carry a PDU.

    tagged: a reply carries the number of its request
    """

    tagged = False

    def __init__(self, framer: FramerBase) -> None:
        self._framer = framer

    def encode(self, request: ModbusPDU) -> bytes:
        """Return the bytes of a request."""
        return self._framer.buildFrame(request)

    @abstractmethod
    def expect(self, transaction: int, unit: int, start: bytes, pdu_size: int) -> Expected:
        """Return how a reply looks whose PDU begins with `start` and has `pdu_size` bytes."""

    @abstractmethod
    def open(self, data: bytes) -> Adu | None:
        """Return the ADU that `data` is, from its first byte to its last; None when it is none."""

    @abstractmethod
    def size_at(self, data: bytes, at: int) -> int | None:
        """Return the size of the reply that may begin at `at`, as its own bytes say; None when none begins there."""

    def search(self, data: bytes, at: int, expected: Expected, sent: bytes) -> tuple[int, Adu] | None:
        """Return where the first expected reply begins, not before `at`, and the reply; None when it is not there.

        sent: the request. An adapter that echoes sends it back, and a request for 17 to 24 coils at 03xx has the head,
        the size and the checksum of a reply: byte for byte the same is never taken for one.
        """
        while (at := data.find(expected.head, at)) != -1 and at + expected.size <= len(data):
            window = data[at : at + expected.size]
            adu = self.open(window)
            if adu is not None and window != sent:
                return at, adu
            at += 1
        return None

    def strays(self, data: bytes) -> Iterator[Adu | int]:
        """Yield all that stands in `data`, in order: an Adu for a reply, a number for so many bytes that are none."""
        at = garbage = 0
        while at < len(data):
            size = self.size_at(data, at)
            adu = self.open(data[at : at + size]) if size else None
            if adu is None or size is None:
                at, garbage = at + 1, garbage + 1
                continue
            if garbage:
                yield garbage
            yield adu
            at, garbage = at + size, 0
        if garbage:
            yield garbage


class Rtu(Framing):
    """Binary, for serial lines; also as it is through a serial-to-network converter."""

    def __init__(self) -> None:
        super().__init__(FramerRTU(_DECODER))

    def expect(self, transaction: int, unit: int, start: bytes, pdu_size: int) -> Expected:  # noqa: ARG002
        return Expected(bytes([unit]) + start, 1 + pdu_size + 2)

    def open(self, data: bytes) -> Adu | None:
        if len(data) < 4 or not FramerRTU.check_CRC(data[:-2], int.from_bytes(data[-2:], "big")):
            return None
        return Adu(0, data[0], data[1:-2])

    def size_at(self, data: bytes, at: int) -> int | None:
        head = data[at : at + 3]
        if len(head) < 3:
            return None
        return 5 if head[1] & EXCEPTION else 5 + head[2]


class Ascii(Framing):
    """Hex digits, for serial lines. Its LRC is weak: 8 bits, and blind to two bytes that change places.

    lenient: units whose LRC may be 4 too low where they send four bytes of data (see dialect, `lrc_strict`)
    """

    def __init__(self, lenient: frozenset[int] = frozenset()) -> None:
        super().__init__(FramerAscii(_DECODER))
        self._lenient = lenient

    def expect(self, transaction: int, unit: int, start: bytes, pdu_size: int) -> Expected:  # noqa: ARG002
        return Expected(b":" + b2a_hex(bytes([unit]) + start).upper(), 1 + 2 * (1 + pdu_size + 1) + len(_CRLF))

    def open(self, data: bytes) -> Adu | None:
        if data[:1] != b":" or data[-2:] != _CRLF or data != data.upper():
            return None
        try:
            raw = a2b_hex(data[1:-2])
        except HexError:
            return None
        if len(raw) < 3:
            return None
        right = FramerAscii.compute_LRC(raw[:-1])
        low = raw[0] in self._lenient and len(raw) == _LOW_SIZE and raw[2] == 4
        if raw[-1] != right and not (low and raw[-1] == (right - _LOW_BY) & 0xFF):
            return None
        return Adu(0, raw[0], raw[1:-1])

    def size_at(self, data: bytes, at: int) -> int | None:
        end = data.find(_CRLF, at)
        return end + len(_CRLF) - at if data[at : at + 1] == b":" and end != -1 else None


class Tcp(Framing):
    """MBAP header, no checksum: TCP has its own. The transaction number ties a reply to its request."""

    tagged = True

    def __init__(self) -> None:
        super().__init__(FramerSocket(_DECODER))

    def expect(self, transaction: int, unit: int, start: bytes, pdu_size: int) -> Expected:
        head = transaction.to_bytes(2, "big") + bytes(2) + (1 + pdu_size).to_bytes(2, "big") + bytes([unit])
        return Expected(head + start, 7 + pdu_size)

    def open(self, data: bytes) -> Adu | None:
        if len(data) < 8 or data[2:4] != bytes(2) or int.from_bytes(data[4:6], "big") != len(data) - 6:
            return None
        return Adu(int.from_bytes(data[:2], "big"), data[6], data[7:])

    def size_at(self, data: bytes, at: int) -> int | None:
        return 6 + int.from_bytes(data[at + 4 : at + 6], "big")


FRAMINGS: dict[str, Framing] = {"rtu": Rtu(), "ascii": Ascii(), "tcp": Tcp()}  # they hold no state
