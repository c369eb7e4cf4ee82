"""How long the rounds of the forwarder take: a sample is on the disk a round after it came.

Nothing can make a slow disk faster. But a round beyond a second is later than what is promised (docs/guarantees.md,
G1), so it is said, once a minute, and counted.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

log = logging.getLogger("mdi.forward")
LATE_S = 1.0
SAY_AGAIN_S = 60.0


@dataclass(slots=True)
class Rounds:
    """done: rounds so far; late: those beyond LATE_S; longest_s: the longest of all."""

    done: int = 0
    late: int = 0
    longest_s: float = 0.0
    _said: float = float("-inf")

    def took(self, seconds: float, now: float) -> None:
        """A round has ended. now: monotonic s."""
        self.done += 1
        self.longest_s = max(self.longest_s, seconds)
        if seconds <= LATE_S:
            return
        self.late += 1
        if now - self._said >= SAY_AGAIN_S:
            self._said = now
            log.error("a round took %.1f s: samples were accepted that late; is the disk slow?", seconds)
