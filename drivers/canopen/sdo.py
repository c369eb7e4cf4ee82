"""SDO uploads: one object of a node read over the bus, one at a time. No I/O; there is no code for a download.

    request   40 idxLo idxHi sub 0 0 0 0                       initiate
    reply     4F/4B/47/43 idx sub + 1 to 4 bytes               expedited, size stated; 42: not stated
              41 idx sub + u32 size                            segmented: ask with 60, then 70, 60, … (toggle)
              toggle<<4 | (7-n)<<1 | last, then n bytes        segment
              80 idx sub + u32 code                            abort

Source: notes on CAN and CANopen of the project, section "SDO" (two implementations agree).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

INITIATE = struct.Struct("<BHBI")
UPLOAD, SEGMENT, ABORT = 0x40, 0x60, 0x80  # command specifiers of a client, and the abort of either side
TOGGLE = 0x10
MAX_BYTES = 256  # longest text of a device name or version that is read; also what bounds the memory

ABORTS = {
    0x0503_0000: "toggle bit not alternated",
    0x0504_0000: "time-out",
    0x0601_0001: "may not be read",
    0x0601_0002: "may not be written",
    0x0602_0000: "no such object",
    0x0609_0011: "no such sub-index",
    0x0800_0000: "general error",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an upload: `data`, or a fault as (reason, detail). sized: the device has said how long it is."""

    index: int
    sub: int
    data: bytes = b""
    sized: bool = True
    fault: tuple[str, str] | None = None


class Upload:
    """The client's side of one SDO channel.

    pending: the object that is being read, None = nothing; out: the request for the next segment, until it is sent
    """

    def __init__(self) -> None:
        self.drop()

    def drop(self) -> None:
        """Forget the transfer: the next initiate request begins anew on either side."""
        self.pending: tuple[int, int] | None = None
        self.out = b""
        self._segmented = False
        self._toggle = 0
        self._size: int | None = None
        self._held = bytearray()

    def ask(self, index: int, sub: int) -> bytes:
        """Return the request that begins to read an object."""
        self.drop()
        self.pending = (index, sub)
        return INITIATE.pack(UPLOAD, index, sub, 0)

    def sent(self, data: bytes) -> None:
        """Follow a request that somebody else has written, or that a recording holds. Short ones exist: 4 bytes."""
        if len(data) >= 4 and data[0] == UPLOAD:
            _, index, sub, _ = INITIATE.unpack(data[:4] + bytes(4))
            self.ask(index, sub)
        elif data[:1] and data[0] & ~TOGGLE == SEGMENT:
            self.out = b""
        else:
            self.drop()  # a download or an abort of another client: not ours to follow

    def reply(self, data: bytes) -> Answer | None:
        """Take a reply of 8 bytes. None: it answers nothing that was asked, or the transfer goes on."""
        if self.pending is None:
            return None
        command, index, sub, word = INITIATE.unpack(data)
        if command == ABORT:
            known = ABORTS.get(word, "reason not in the table")
            return self._end(fault=("sdo_abort", f"{word:08X}, {known}")) if (index, sub) == self.pending else None
        if self._segmented:
            return self._segment(data) if command >> 5 == 0 else None
        if command >> 5 != 2 or (index, sub) != self.pending:
            return None  # the reply to a question before, or to another client
        sized = bool(command & 1)
        if command & 2:
            return self._end(data[4 : 8 - (command >> 2 & 3)] if sized else data[4:], sized)
        if sized and word > MAX_BYTES:
            return self._end(fault=("sdo_length", f"{word} bytes"))
        self._segmented, self._size = True, word if sized else None
        self.out = bytes([SEGMENT]) + bytes(7)
        return None

    def _segment(self, data: bytes) -> Answer | None:
        if data[0] & TOGGLE != self._toggle:
            return self._end(fault=("sdo_toggle", "a segment came twice, or is missing"))
        self._held += data[1 : 8 - (data[0] >> 1 & 7)]
        if len(self._held) > MAX_BYTES:
            return self._end(fault=("sdo_length", f"more than {MAX_BYTES} bytes"))
        if data[0] & 1:
            if self._size not in (None, len(self._held)):
                return self._end(fault=("sdo_length", f"{len(self._held)} bytes, {self._size} announced"))
            return self._end(bytes(self._held))
        self._toggle ^= TOGGLE
        self.out = bytes([SEGMENT | self._toggle]) + bytes(7)
        return None

    def _end(self, data: bytes = b"", sized: bool = True, fault: tuple[str, str] | None = None) -> Answer:
        assert self.pending is not None
        index, sub = self.pending
        self.drop()
        return Answer(index, sub, data, sized, fault)
