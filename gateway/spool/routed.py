"""How far a device was cared for when one of its messages was stored.

Each message says it of its device: every sample up to `through` is in this message or an earlier one, was left out by
the routes or declared lost, but for those in `open`, which were still waiting for a decision. So the spool alone tells,
after any crash, which samples of the ring are to be taken again.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MOST_RANGES = 1000  # beyond it the last ones become one: samples may then come twice after a crash, none is lost
_HEAD = struct.Struct("<QH")
_RANGE = struct.Struct("<QQ")
ROUTED_BYTES = _HEAD.size  # the least that `encode` returns


@dataclass(frozen=True, slots=True)
class Routed:
    """through: sequence number of the port; open: ranges of numbers up to it, inclusive, ascending."""

    through: int = 0
    open: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, through: int, seqs: npt.NDArray[np.uint64]) -> Routed:
        """Return it from the open numbers, in any order, each once or more."""
        if not len(seqs):
            return cls(through)
        seqs = np.unique(seqs)
        ends = np.flatnonzero(np.diff(seqs) != 1)
        first = seqs[np.concatenate(([0], ends + 1))].tolist()
        last = seqs[np.concatenate((ends, [len(seqs) - 1]))].tolist()
        if len(first) > MOST_RANGES:
            first, last = first[:MOST_RANGES], [*last[: MOST_RANGES - 1], last[-1]]
        return cls(through, tuple(zip(first, last, strict=True)))

    def leaves(self, seqs: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Tell of each sequence number whether it is still to be cared for."""
        mask = seqs > self.through
        for first, last in self.open:
            mask |= (seqs >= first) & (seqs <= last)
        return mask

    def without_open(self) -> Routed:
        """Return as much of it as one number says: up to the first that is open."""
        return Routed(self.open[0][0] - 1) if self.open else self

    def encode(self) -> bytes:
        """Return: through u64 | ranges u16 | (first u64, last u64) …"""
        return _HEAD.pack(self.through, len(self.open)) + b"".join(_RANGE.pack(*pair) for pair in self.open)

    @classmethod
    def decode(cls, data: bytes | memoryview, pos: int) -> tuple[Routed, int]:
        """Return what `encode` has written at `pos`, and where it ends. Raises: struct.error beyond the end."""
        through, count = _HEAD.unpack_from(data, pos)
        begin = pos + _HEAD.size
        end = begin + count * _RANGE.size
        if end > len(data):
            raise struct.error("ranges beyond the end")
        return cls(through, tuple(_RANGE.iter_unpack(data[begin:end]))), end
