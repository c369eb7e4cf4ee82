"""The CO2 curve: one sample to a message, and nobody says how many messages come in a second.

Our sources give the layout of the message, not its rate. A rate that is guessed would stretch or squeeze every breath
on the screen, so it is measured, and with the device's own clock: numerics carry its seconds, waves carry a message
number. The number of samples between two seconds that lie MEASURE_S apart is right to one sample, which is enough to
find the whole number of samples per second. Arrival times, with the jitter of line and adapter, play no part.

Samples that come before the rate is known are held, and given when it is. The rate is measured anew all the time; when
the device changes it, that is told, because it should not.
"""

from __future__ import annotations

import numpy as np

from gateway.core.frame import Fault, Frame, Wave
from gateway.core.sample import Validity

OBJECT = "CO2"
NUMBERS = 256  # the message number is one byte
MEASURE_S = 4  # one sample too many or too few is then a quarter of a sample per second: the rounding is certain
CLOCK_STEP_S = 5  # numerics come about once a second; a larger step means that the clock was set
MAX_HELD = 1024  # samples held while the rate is not known: at 20/s nearly a minute


class Co2Wave:
    """Collects samples, and cuts them into runs without a gap and of one validity, about one to a second."""

    def __init__(self) -> None:
        self._samples: list[float] = []
        self._validity = int(Validity.VLD)
        self._last_ns = 0
        self._number: int | None = None
        self._after_gap = False
        self._runs: list[tuple[list[float], int, int, bool]] = []  # samples, arrival of the last, validity, after gap
        self._held = 0  # samples in all runs
        self._period_ns = 0
        self._counted = 0
        self._since: int | None = None  # device's second at which counting began
        self._second = 0  # the last one

    def take(self, number: int, value: float, validity: int, t_ns: int) -> list[Frame | Fault]:
        """Take one sample, NaN when the device says that it is invalid."""
        gap = self._number is not None and number != (self._number + 1) % NUMBERS
        if gap or validity != self._validity:
            self._end_run()
        if gap:
            self._after_gap, self._since = True, None
        self._number, self._validity, self._last_ns = number, validity, t_ns
        self._samples.append(value)
        self._counted += 1
        self._held += 1
        if self._held <= MAX_HELD:
            return []
        self._samples, self._runs, self._held, self._after_gap = [], [], 0, True
        return [Fault("no_rate", f"{MAX_HELD} samples without two seconds of the device's clock beside them")]

    def second(self, device_s: int) -> list[Frame | Fault]:
        """Take what the device's clock shows, and give what has come since."""
        told: list[Frame | Fault] = []
        if self._since is None or not 0 <= device_s - self._second <= CLOCK_STEP_S:
            self._since, self._counted = device_s, 0
        elif device_s - self._since >= MEASURE_S:
            told += self._measure(device_s - self._since)
            self._since, self._counted = device_s, 0
        self._second = device_s
        self._end_run()
        if not self._period_ns:
            return told
        for samples, last_ns, validity, after_gap in self._runs:
            wave = Wave(OBJECT, 0, 0, np.array(samples, np.float64), self._period_ns, validity)
            told.append(Frame("wave", wave, last_ns, after_gap=after_gap))
        self._runs, self._held = [], 0
        return told

    def _measure(self, elapsed_s: int) -> list[Fault]:
        rate = round(self._counted / elapsed_s)
        if not rate:  # no curve at all: nothing is learnt of its rate
            return []
        before, self._period_ns = self._period_ns, round(1e9 / rate)
        if before in (0, self._period_ns):
            return []
        return [Fault("rate", f"{rate} samples per second, {round(1e9 / before)} before")]

    def _end_run(self) -> None:
        if self._samples:
            self._runs.append((self._samples, self._last_ns, self._validity, self._after_gap))
            self._samples, self._after_gap = [], False
