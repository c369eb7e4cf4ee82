"""The waveform port: a breath at a time, sent when it is over. The ventilator speaks, nobody asks.

    BS, S:123,<LF>      a breath begins, with its number
    30.2,12.4<LF>       flow L/min, airway pressure cmH2O, one pair every 20 ms
    BE<LF>              it has ended

All lines of a breath come together after its end, so its last sample was taken when the first line arrives, and BS is
the time of the end. Only "at least the first 8 s" of a long breath are sent: then the end of what came is not the end
of the breath, its times are too late by an unknown amount, and its samples are marked questionable.
"""

from __future__ import annotations

import re
from math import nan

import numpy as np

from gateway.core.events import Listener
from gateway.core.frame import Fault, Frame, Reading, Wave
from gateway.core.framing import Delimited, Noise
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity

PERIOD_NS = 20_000_000
WHOLE = 400  # samples: 8 s, the part of a breath that is always sent
LONGEST = 3000  # samples: 60 s; no breath, and no apnoea that does not alarm, is so long
LINE = 64  # bytes of a line: three times the longest that two numbers can need

_BEGIN = re.compile(rb"BS,\s*S:(\d{1,9}),\s*")
_PAIR = re.compile(rb"([+-]?(?:\d{1,4}(?:\.\d{0,3})?|\.\d{1,3})),\s*([+-]?(?:\d{1,4}(?:\.\d{0,3})?|\.\d{1,3}))\s*")
_END = re.compile(rb"BE,?\s*")


class WaveProtocol(Listener):
    """Listens to the waveform port of one ventilator."""

    def __init__(self, device: DeviceSpec) -> None:
        super().__init__()
        self._source = device.source
        self._lines = Delimited(b"", b"\n", LINE)
        self.start(0.0)

    def start(self, now: float) -> None:  # noqa: ARG002  # the contract's signature
        """Wait for the next breath."""
        self.frames_ok = 0
        self.events.clear()
        self._lines.reset()
        self._number: int | None = None  # of the breath that is under way
        self._last: int | None = None  # of the last one that was whole
        self._gap = False
        self._outside = 0  # lines since the last breath
        self._pairs: list[tuple[float, float]] = []
        self._unread = 0
        self._ended_ns = 0

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes; each LF ends a line."""
        for item in self._lines.feed(data):
            line = b"" if isinstance(item, Noise) else item
            pair = _PAIR.fullmatch(line)
            if pair:
                self._sample(float(pair[1]), float(pair[2]))
            elif begin := _BEGIN.fullmatch(line):
                self._begin(int(begin[1]), t_ns)
            elif _END.fullmatch(line) and self._number is not None:
                self._end(self._number)
            else:
                self._sample(nan, nan)
                self._unread += 1

    def _begin(self, number: int, t_ns: int) -> None:
        if self._number is not None:
            self._bad("cut", f"after {len(self._pairs)} samples")
        if self._outside:
            self._fault("outside", f"{self._outside} lines")
        self._number, self._ended_ns = number, t_ns
        self._pairs = []
        self._unread = self._outside = 0

    def _sample(self, flow: float, pressure: float) -> None:
        """Keep a sample in its place. One that cannot be read keeps its place too: the others stay where they were."""
        if self._number is None:
            self._outside += 1
            return
        self._pairs.append((flow, pressure))
        if len(self._pairs) > LONGEST:
            self._bad("too_long", f"more than {LONGEST} samples")
            self._number = None

    def _end(self, number: int) -> None:
        """Give the breath: its number at the time of its first sample, then flow and pressure."""
        if self._last is not None and number != self._last + 1:
            self._fault("missing", f"breath {number} came after {self._last}")
            self._gap = True
        if self._unread:
            self._fault("line", f"{self._unread} lines")
        count = len(self._pairs)
        begin = Reading("S", 0, 0, number, age_ns=PERIOD_NS * max(0, count - 1))
        found: list[tuple[str, list[Reading] | Wave]] = [("breath", [begin])]
        if count:
            validity = Validity.VLD if count < WHOLE else Validity.QST
            for name, column in zip(("flow", "pressure"), np.array(self._pairs, np.float64).T, strict=True):
                found.append(("wave", Wave(name, 0, 0, column.copy(), PERIOD_NS, validity)))
        for kind, payload in found:
            self.events.append(Frame(kind, payload, self._ended_ns, self._source, after_gap=self._gap))
        self.frames_ok += 1
        self._last, self._number, self._gap = number, None, False

    def _bad(self, reason: str, detail: str) -> None:
        self._gap = True
        self.events.append(Fault(reason, detail, self._source, bad_frame=True))

    def _fault(self, reason: str, detail: str) -> None:
        self.events.append(Fault(reason, detail, self._source))
