"""The clocks of this box: what `gateway.core.clock` judges, read from the kernel.

The kernel is asked with adjtimex(2) through ntp_adjtime(3) of the C library, which reads only when no mode is set and
needs no right for that. It is told by whoever keeps the clock (chrony, ntpd, systemd-timesyncd), and says itself that
the clock is not kept when it has heard nothing for so long that the error may be 16 s (about nine hours).
"""

from __future__ import annotations

import ctypes
import logging
import time
from collections.abc import Callable
from typing import Any

from gateway.core.clock import ClockState, ClockWatch, Kernel

_STA_UNSYNC = 0x0040  # <sys/timex.h>
_TIME_BAD = -1  # the call itself failed: a sandbox forbids it
AGAIN_NS = 1_000_000_000  # the kernel is asked once a second, and after each step


class _Timex(ctypes.Structure):
    """struct timex of Linux, as far as it is read; the rest is room (<sys/timex.h>: 208 bytes where long has 8)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),  # µs
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def _find() -> Callable[[ctypes.Structure], int] | None:
    """Return the call of the C library; None where there is none."""
    try:
        call = ctypes.CDLL(None).ntp_adjtime
    except (OSError, AttributeError):
        return None
    return lambda timex: int(call(ctypes.byref(timex)))


_ntp_adjtime = _find()


def kernel_clock() -> Kernel:
    """Return what the kernel says of the wall clock; nothing is known where it may not be asked."""
    timex = _Timex()
    if _ntp_adjtime is None or _ntp_adjtime(timex) == _TIME_BAD:
        return Kernel()
    return Kernel(not timex.status & _STA_UNSYNC, timex.maxerror)


log = logging.getLogger("mdi")


class SystemClock:
    """Looks at the clocks of this box; one per thread. `look` is cheap enough for each block of samples."""

    def __init__(
        self,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        utc_ns: Callable[[], int] = time.time_ns,
        kernel: Callable[[], Kernel] = kernel_clock,
    ) -> None:
        self.watch = ClockWatch()
        self.kernel = Kernel()
        self._monotonic_ns, self._utc_ns, self._ask = monotonic_ns, utc_ns, kernel
        self._asked_ns: int | None = None
        self.look()

    def look(self) -> ClockState:
        """Return the quality now, and the step since the last look."""
        mono_ns, utc_ns = self._monotonic_ns(), self._utc_ns()
        if self._asked_ns is None or mono_ns - self._asked_ns >= AGAIN_NS:
            self.kernel, self._asked_ns = self._ask(), mono_ns
        step_ns = self.watch.look(mono_ns, utc_ns, self.kernel)
        return ClockState(self.watch.quality, step_ns)

    def report(self) -> ClockState:
        """Look, and say a step and a change of the quality: for the one who speaks for a process."""
        before = self.watch.quality
        state = self.look()
        if state.step_ns:
            said = "times before and after are as the clock showed them"
            log.warning("clock stepped by %+.3f s; %s", state.step_ns / 1e9, said)
        if state.quality is not before:
            log.warning("clock: %s, was %s", state.quality.word, before.word)
        return state

    def status(self) -> dict[str, Any]:
        """Return what `mdi status` shows of the clock. last_step_age_s: by the monotonic clock; None: never."""
        watch = self.watch
        age_s = (self._monotonic_ns() - watch.last_step_mono_ns) / 1e9
        return {
            "quality": watch.quality.word,
            "max_error_s": self.kernel.max_error_us / 1e6,
            "steps": watch.steps,
            "last_step_s": round(watch.last_step_ns / 1e9, 3),
            "last_step_age_s": round(age_s, 1) if watch.steps else None,
        }
