"""Commands, responses and realtime bytes in one stream of characters.

    0xxxxxxx   slow: commands ESC code argument CK CK CR, responses SOH echo data CK CK CR
    1xxxxxxx   realtime: may stand anywhere, even inside a command or a response

Both sides send commands, and one may be embedded in a response: ESC while a response is open puts the response aside
until the command's CR. Neither realtime bytes nor an embedded command count for the checksum of what surrounds them.
A begin (ESC in a command, SOH in anything) or a character that no frame may hold ends what is open: bytes are lost.
Protocol notes, sections 2 and 3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ESC, SOH, CR, ETX, NAK = 0x1B, 0x01, 0x0D, 0x03, 0x15
DC1, DC3, CAN = 0x11, 0x13, 0x18  # suspend, resume (the opposite of XON and XOFF), abort
LONGEST = 3900  # of a response, which has at most 3845 bytes; the notes' own bound for giving up, section 3
SHORTEST = 4  # begin, code, two digits of checksum

_RUN = re.compile(rb"[\x80-\xff]+|[\x20-\x7f]+|[\x00-\x1f]")


@dataclass(frozen=True, slots=True)
class Message:
    """A command or a response whose checksum is right. code: of the command, or the one that the response echoes."""

    command: bool
    code: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Damaged:
    """Something that was thrown away. reason: a fault of the driver; command: it was one, so it is answered by NAK."""

    reason: str
    detail: str
    command: bool = False


@dataclass(frozen=True, slots=True)
class Control:
    """DC1, DC3 or CAN, which stand for themselves, and NAK: the other side could not read our command."""

    code: int


Item = Message | Damaged | Control | bytes
"""bytes: a run of realtime bytes."""


def checksum(frame: bytes | bytearray) -> bytes:
    """Return the two digits for a frame from ESC or SOH on: low 8 bits of the sum, upper case, high nibble first."""
    return b"%02X" % (sum(frame) & 0xFF)


def command(code: int, argument: bytes = b"") -> bytes:
    """Return the bytes of a command."""
    frame = bytes((ESC, code)) + argument
    return frame + checksum(frame) + b"\r"


def response(code: int, data: bytes = b"") -> bytes:
    """Return the bytes of a response."""
    frame = bytes((SOH, code)) + data
    return frame + checksum(frame) + b"\r"


class FrameReader:
    """Cuts the stream. Holds one response and one command at most."""

    def __init__(self) -> None:
        self._open: list[bytearray] = []  # a response, a command, or a response and the command inside it
        self._noise = 0

    @property
    def begun(self) -> bytes:
        """What has come of the innermost frame that has begun and not ended; b"": there is none."""
        return bytes(self._open[-1]) if self._open else b""

    def feed(self, data: bytes) -> list[Item]:
        """Return what is complete, in the order in which it ended."""
        found: list[Item] = []
        for match in _RUN.finditer(data):
            run = match[0]
            if run[0] >= 0x80:
                found.append(run)
            elif run[0] >= 0x20:
                self._text(run, found)
            else:
                self._control(run[0], found)
        return found

    def _text(self, run: bytes, found: list[Item]) -> None:
        if not self._open:
            self._noise += len(run)
            return
        self._open[-1] += run
        if len(self._open[-1]) > LONGEST:
            self._give_up("too_long", f"more than {LONGEST} bytes without an end", found)

    def _control(self, byte: int, found: list[Item]) -> None:
        if byte in (DC1, DC3):
            found.append(Control(byte))
        elif byte == CAN:
            self._open.clear()
            found.append(Control(CAN))
        elif byte in (ESC, SOH):
            self._begin(byte, found)
        elif not self._open:
            self._noise += byte != CR
        elif byte == CR:
            self._end(self._open.pop(), found)
        elif self._open[-1][0] == SOH and (byte == ETX or (byte == NAK and len(self._open[-1]) == 1)):
            self._text(bytes((byte,)), found)
        else:
            self._give_up("cut", f"character 0x{byte:02X} inside a frame", found)

    def _begin(self, byte: int, found: list[Item]) -> None:
        embedded = byte == ESC and len(self._open) == 1 and self._open[0][0] == SOH
        if self._open and not embedded:
            self._give_up("cut", "a frame began before the last one ended", found)
        if self._noise:
            found.append(Damaged("garbage", f"{self._noise} characters outside of frames"))
            self._noise = 0
        self._open.append(bytearray((byte,)))

    def _give_up(self, reason: str, detail: str, found: list[Item]) -> None:
        self._open.clear()
        found.append(Damaged(reason, detail))

    def _end(self, frame: bytearray, found: list[Item]) -> None:
        is_command = frame[0] == ESC
        if len(frame) < SHORTEST or checksum(frame[:-2]) != frame[-2:]:
            kind = "command" if is_command else "response"
            found.append(Damaged("checksum", f"{kind} of {len(frame)} bytes", command=is_command))
        elif frame[1] == NAK:
            found.append(Control(NAK))
        else:
            found.append(Message(is_command, frame[1], bytes(frame[2:-2])))
