"""The link layer of an Agilia line: frames, and the single bytes that stand between them.

    02  [slot digit] message  CC  03          CC = FF - (sum of all before it, without the 02, modulo 256), two digits
    05  ENQ, at any time: are you there? → 14 DC4
    06  ACK: your frame was good                15 NAK and one digit: it was not, and why

Everything is seven bits; a byte above 7F is damage. An ENQ inside of a frame is answered and the frame goes on: nothing
is lost by that, because the checksum decides on the frame. Source: protocol notes, line, frame, vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from drivers.fresenius_agilia.options import LINK_ERRORS

STX, ETX, ENQ, ACK, DC4, NAK = 0x02, 0x03, 0x05, 0x06, 0x14, 0x15
LIMIT = 255  # characters of a frame; the pump takes 80 (error 0C), its own longest answer is not stated


class Signal(Enum):
    """A byte, or a failed frame, that stands for itself."""

    ENQUIRY = "enquiry"
    ACKNOWLEDGED = "acknowledged"
    CHECKSUM = "checksum"


@dataclass(frozen=True, slots=True)
class Refused:
    """A NAK with its link error."""

    code: str


@dataclass(frozen=True, slots=True)
class Noise:
    """So many bytes belonged to nothing."""

    length: int


def checksum(message: bytes) -> bytes:
    """Return CC of slot digit and message."""
    return b"%02X" % (0xFF - sum(message) % 256)


def frame(message: str) -> bytes:
    """Return slot digit and message as they go over the line."""
    body = message.encode("ascii")
    return bytes([STX]) + body + checksum(body) + bytes([ETX])


class LinkReader:
    """Finds frames and signals in bytes that come in any split."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what came: the line is new."""
        self._held: bytearray | None = None  # of the frame that is open
        self._refused = False  # a NAK has come, its digit not yet
        self._noise = 0

    def feed(self, data: bytes) -> list[str | Signal | Refused | Noise]:
        """Return what is complete: messages of good frames as text, signals, and noise with the next good frame."""
        found: list[str | Signal | Refused | Noise] = []
        for byte in data:
            if byte == ENQ:
                found.append(Signal.ENQUIRY)
            elif byte == STX:
                self._give_up()
                self._held = bytearray()
            elif self._held is not None:
                self._inside(byte, self._held, found)
            elif self._refused:
                self._refused = False
                found.append(Refused(chr(byte) if chr(byte) in LINK_ERRORS else "?"))
            elif byte == ACK:
                found.append(Signal.ACKNOWLEDGED)
            elif byte == NAK:
                self._refused = True
            else:
                self._noise += 1
        return found

    def _inside(self, byte: int, held: bytearray, found: list[str | Signal | Refused | Noise]) -> None:
        """Take one byte of an open frame."""
        if 0x20 <= byte < 0x7F and len(held) < LIMIT:
            held.append(byte)
        elif byte != ETX:
            self._give_up()
            self._noise += 1
        else:
            self._held = None
            message, given = bytes(held[:-2]), bytes(held[-2:])
            if not message or given != checksum(message):
                found.append(Signal.CHECKSUM)
                return
            if self._noise:
                found.append(Noise(self._noise))
                self._noise = 0
            found.append(message.decode("ascii"))

    def _give_up(self) -> None:
        """What was open is no frame: a control character came in it, it is too long, or another one began."""
        if self._held is not None:
            self._noise += len(self._held) + 1
            self._held = None
        self._refused = False
