"""Data formats 2 and 7: a stream of 5-byte frames, 75 in a second, 25 to a packet.

    DF2   0x01    | STATUS    | PLETH     | FLOAT | CHK        pleth 0..255, compressed
    DF7   STATUS  | PLETH MSB | PLETH LSB | FLOAT | CHK        pleth 0..65535

CHK is the sum of the four bytes before it, mod 256. STATUS bit 0 (SYNC) is set in the first frame of a packet only.
What FLOAT means follows from the number of the frame, so a packet is used when all its 25 frames are intact, or not at
all: one frame that is lost would put every later number under the wrong name. It is also what makes finding the
beginning safe: one frame has 8 bits of checksum, a packet 200.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FRAME, FRAMES = 5, 25
PACKET = FRAME * FRAMES
TELL_AT = 375  # bytes without a packet before it is told: those of one second
PERIOD_NS = 13_333_333  # 1/75 s; the third of a nanosecond that is missing adds up to 8 ns in a packet

SYNC, GPRF, RPRF, SNSA, OOT, ARTF, SNSD = (1 << bit for bit in range(7))  # STATUS; bit 7 is always set
ALWAYS = 0x80
SPA, LOW_BAT = 0x20, 0x01  # STAT2

# Index of the FLOAT byte, from 0: of the MSB where there are two. The specification counts from 1.
RATES: Mapping[str, int] = {"HR": 0, "E-HR": 13, "HR-D": 19, "E-HR-D": 21}
SATURATIONS: Mapping[str, int] = {
    "SpO2": 2,
    "SpO2-D": 8,
    "SpO2 Fast": 9,
    "SpO2 B-B": 10,
    "E-SpO2": 15,
    "E-SpO2-D": 16,
}
SREV, TMR, STAT2 = 3, 5, 7


class Layout(NamedTuple):
    """Where things are in a frame. lead: a byte that every frame begins with; b"" = none."""

    lead: bytes
    status: int
    pleth: slice


DF2 = Layout(b"\x01", 1, slice(2, 3))
DF7 = Layout(b"", 0, slice(1, 3))


class Skipped(NamedTuple):
    """So many bytes were nothing of this format. reason: of the fault to tell."""

    length: int
    reason: str


@dataclass(frozen=True, slots=True)
class Packet:
    """A third of a second. status (25,) u1, pleth (25,) raw counts, floats (25,) u1."""

    status: npt.NDArray[np.uint8]
    pleth: npt.NDArray[np.float64]
    floats: bytes

    def rate(self, name: str) -> int:
        """Return a heart rate of 9 bits: two of the MSB, seven of the LSB."""
        at = RATES[name]
        return (self.floats[at] & 0x03) << 7 | self.floats[at + 1] & 0x7F

    def saturation(self, name: str) -> int:
        """Return a saturation of 7 bits."""
        return self.floats[SATURATIONS[name]] & 0x7F

    @property
    def counter(self) -> int:
        """The packet counter, 14 bits; older OEM III leave these bytes reserved."""
        return (self.floats[TMR] & 0x7F) << 7 | self.floats[TMR + 1] & 0x7F


class PacketReader:
    """Cuts a stream into packets, in any split; never holds more than one packet."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._held = bytearray()
        self._checked = 0  # frames at the beginning of `_held` that are intact and in their place
        self._skipped = 0
        self._in_step = False

    def feed(self, data: bytes) -> list[Packet | Skipped]:
        """Return the packets that are complete, and what was skipped before them."""
        found: list[Packet | Skipped] = []
        self._held += data
        while len(self._held) >= FRAME * (self._checked + 1):
            if not self._fits():
                self._skip(1, found)
            elif self._checked < FRAMES - 1:
                self._checked += 1
            else:
                self._tell(found)
                found.append(self._take())
        return found

    def interrupt(self) -> list[Packet | Skipped]:
        """Give up what is held: the rest of it will not come any more."""
        found: list[Packet | Skipped] = []
        if self._held:
            self._skip(len(self._held), found)
        return found

    def _fits(self) -> bool:
        """Tell whether the next frame is intact and in its place: the first has SYNC, the others have not."""
        at = FRAME * self._checked
        frame = self._held[at : at + FRAME]
        status = frame[self._layout.status]
        return (
            frame.startswith(self._layout.lead)
            and status & ALWAYS != 0
            and bool(status & SYNC) == (self._checked == 0)
            and sum(frame[:4]) & 0xFF == frame[4]
        )

    def _take(self) -> Packet:
        cells = np.frombuffer(bytes(self._held[:PACKET]), np.uint8).reshape(FRAMES, FRAME)
        del self._held[:PACKET]
        self._checked = 0
        self._in_step = True
        pleth = np.zeros(FRAMES)
        for column in cells[:, self._layout.pleth].T:
            pleth = pleth * 256 + column
        return Packet(cells[:, self._layout.status], pleth, cells[:, 3].tobytes())

    def _skip(self, length: int, found: list[Packet | Skipped]) -> None:
        del self._held[:length]
        self._checked = 0
        self._skipped += length
        if self._skipped >= TELL_AT:
            self._tell(found)

    def _tell(self, found: list[Packet | Skipped]) -> None:
        if self._skipped:
            found.append(Skipped(self._skipped, "broken" if self._in_step else "garbage"))
            self._skipped = 0
            self._in_step = False
