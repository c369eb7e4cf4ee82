"""When to say what to an oximeter of generation V7: start, stay alive, start again, stop. Nothing else is ever said."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

KEEP_ALIVE_S = 3.0  # at least every 5 s, V7.0 document; two to four are usual
SILENCE_S = 2.0  # sixty packets a second should come: after so long without one it is asked again


def command(code: int) -> bytes:
    """Return a command without parameters: nine bytes, bit 7 of the code is in the second."""
    return bytes([0x7D, 0x81, code, *[0x80] * 6])


START, STOP, ALIVE = command(0xA1), command(0xA2), command(0xAF)


class Session:
    """Keeps real-time data coming. silent: called once when it has stopped, or does not begin."""

    def __init__(self, silent: Callable[[], None]) -> None:
        self._silent = silent

    def start(self, now: float) -> None:
        """Begin anew."""
        self._heard = False
        self._asked = 0  # times in a row without anything coming
        self._ask_at = now
        self._alive_at = now + KEEP_ALIVE_S
        self._part_at = inf
        self._over = False

    def heard(self) -> None:
        """Real-time data has come."""
        self._heard = True

    def data_to_send(self, now: float) -> bytes:
        """Return the commands that are due."""
        if self._over:
            return b""
        if self._part_at <= now:
            self._over = True
            return STOP
        out = b""
        if self._heard:
            self._heard = False
            self._asked = 1  # it has answered the last one: when it is asked again, it was silent
            self._ask_at = now + SILENCE_S
        elif self._ask_at <= now:
            if self._asked == 1:
                self._silent()
            self._asked += 1
            self._ask_at = now + SILENCE_S
            out += START
        if self._alive_at <= now:
            self._alive_at = now + KEEP_ALIVE_S
            out += ALIVE
        return out

    def next_wake(self) -> float | None:
        """Return when to ask again."""
        return None if self._over else min(self._ask_at, self._alive_at, self._part_at)

    def stop(self, now: float) -> None:
        """Stop the real-time data, and be silent then."""
        self._part_at = now
