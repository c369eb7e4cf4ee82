"""A bad line, by chance with a seed: bits flip, bytes are dropped and doubled, what is sent at once arrives in pieces.

The same seed hurts the same bytes of the same stream, however the stream is cut: the chances are not tossed byte by
byte, the distance to the next harm is drawn (geometric). So a good stretch costs nothing.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from itertools import pairwise

PIECES = 4  # at most, of what was sent at once


@dataclass(frozen=True, slots=True)
class Noise:
    """Chances, each of one bit or byte. split: what is sent at once is handed on in pieces of chance."""

    bit: float = 0.0
    drop: float = 0.0
    double: float = 0.0
    split: bool = False


@dataclass
class Hurt:
    """What has been done so far."""

    bytes: int = 0
    bits_flipped: int = 0
    dropped: int = 0
    doubled: int = 0


@dataclass(slots=True)
class Harmed:
    """What has become of some bytes. flips: bit positions; shifts: byte positions that were dropped or doubled."""

    data: bytes
    flips: list[int] = field(default_factory=list)
    shifts: list[int] = field(default_factory=list)

    @property
    def places(self) -> set[int]:
        """Return the bytes that did not arrive as they were sent, once."""
        return {bit // 8 for bit in self.flips} | set(self.shifts)


class Channel:
    """Harms a stream. `noise` may be changed at any time."""

    def __init__(self, seed: int, noise: Noise = Noise()) -> None:  # frozen
        self.hurt = Hurt()
        self._random = random.Random(seed)
        self.noise = noise

    @property
    def noise(self) -> Noise:
        return self._noise

    @noise.setter
    def noise(self, noise: Noise) -> None:
        self._noise = noise
        self._bit, self._drop, self._double = (self._far(p) for p in (noise.bit, noise.drop, noise.double))

    def _far(self, chance: float) -> float:
        """Return how many bits or bytes pass unharmed before the next that does not."""
        if chance <= 0:
            return math.inf
        return math.floor(math.log(1.0 - self._random.random()) / math.log1p(-chance)) if chance < 1 else 0

    def _places(self, far: float, chance: float, count: int) -> tuple[list[int], float]:
        """Return which of `count` bits or bytes are hit, and how far the next is behind them."""
        found = []
        while far < count:
            found.append(int(far))
            far += 1 + self._far(chance)
        return found, far - count

    def harm(self, data: bytes) -> Harmed:
        """Return what arrives of `data`."""
        flips, self._bit = self._places(self._bit, self._noise.bit, 8 * len(data))
        drops, self._drop = self._places(self._drop, self._noise.drop, len(data))
        doubles, self._double = self._places(self._double, self._noise.double, len(data))
        self.hurt.bytes += len(data)
        self.hurt.bits_flipped += len(flips)
        self.hurt.dropped += len(drops)
        self.hurt.doubled += len(doubles)
        out = bytearray(data)
        for bit in flips:
            out[bit // 8] ^= 1 << bit % 8
        for at, dropped in sorted([(d, True) for d in drops] + [(d, False) for d in doubles], reverse=True):
            out[at : at + 1] = b"" if dropped else out[at : at + 1] * 2
        return Harmed(bytes(out), flips, [*drops, *doubles])

    def pieces(self, data: bytes) -> list[bytes]:
        """Return what arrives at once."""
        if not self._noise.split or len(data) < 2:
            return [data] if data else []
        cuts = sorted(self._random.sample(range(1, len(data)), min(PIECES - 1, len(data) - 1)))
        return [data[a:b] for a, b in pairwise([0, *cuts, len(data)])]
