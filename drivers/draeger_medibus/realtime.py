"""The realtime stream: the configuration that the device offers, what is asked for, and the curves.

    sync byte 0xD0|s   bit i of s = a value of stream i+1 follows
    sync commands      pairs 0xC0|c, 0xC0|a: C4, C5 = which of streams 5-8, 9-12 follow from now on (others: no matter)
    values             pairs 0x80|d: 12 bits, the low 6 first; physical = MIN + raw x (MAX - MIN) / MAXBIN

A record is read when the next one begins, and only when it has exactly the values that it announces: nothing else says
that it is whole. Streams have no checksum and no counter. A flipped bit in a value is not seen; a lost byte is, and
costs one sample. One record is one tick; a stream that is not announced when its turn has come has a sample without a
value, so that the times of its neighbours stay right. Protocol notes, section 6.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.core.frame import Fault, Wave

MAX_STREAMS = 12
BLOCK_S = 0.25  # so much of a curve is given at once: four times a second is smooth for an eye
LONGEST_RECORD = 1 + 2 * 16 + 2 * MAX_STREAMS
LOST_RECORDS = 100  # ours: some seconds of curves that do not fit what was configured
_CONFIG_WIDTH = 23
_HELD = 2 * LONGEST_RECORD  # bytes without a sync byte that are kept

_CONFIG = re.compile(rb"([0-9A-F]{2}) *([0-9]+) *")
_MAXBIN = re.compile(rb"[0-9A-F]{3}")
_LIMIT = re.compile(rb"-?([0-9]+\.?[0-9]*|\.[0-9]+)")
_RECORD = re.compile(rb"[\xd0-\xdf][^\xd0-\xdf]*")
_PARTS = re.compile(rb"([\xd0-\xdf])((?:[\xc0-\xcf]{2})*)((?:[\x80-\xbf]{2})*)")


@dataclass(frozen=True, slots=True)
class Stream:
    """One curve that the device can send."""

    code: int
    interval_us: int
    low: float
    high: float
    maxbin: int


def offered(data: bytes) -> list[Stream] | None:
    """Read the realtime configuration: n times code, interval (µs), MIN, MAX, MAXBIN. None: it is not built so."""
    found = []
    for at in range(0, len(data), _CONFIG_WIDTH):
        row = data[at : at + _CONFIG_WIDTH]
        head = _CONFIG.fullmatch(row[:10])
        low, high = (_LIMIT.fullmatch(row[i : i + 5].replace(b" ", b"")) for i in (10, 15))
        if not (head and low and high and _MAXBIN.fullmatch(row[20:])):
            return None
        stream = Stream(int(head[1], 16), int(head[2]), float(low[0]), float(high[0]), int(row[20:], 16))
        if not (stream.interval_us and stream.maxbin and stream.low < stream.high):
            return None
        found.append(stream)
    return found


@dataclass(frozen=True, slots=True)
class Choice:
    """Which streams are asked for, in this order, and that each sends every `multiplier`-th sample."""

    streams: tuple[Stream, ...]
    multiplier: int

    @property
    def argument(self) -> bytes:
        """The argument of the command that configures the transmission."""
        return b"".join(b"%02X%02X" % (stream.code, self.multiplier) for stream in self.streams)

    @property
    def enable(self) -> bytes:
        """The sync sequence that lets all of them flow."""
        return self._switch((1 << len(self.streams)) - 1)

    @property
    def disable(self) -> bytes:
        """The sync sequence that stops them."""
        return self._switch(0)

    def _switch(self, mask: int) -> bytes:
        sent = bytearray(b"\xd0")
        for group in range((len(self.streams) + 3) // 4):
            sent += bytes((0xC1 + group, 0xC0 | mask >> 4 * group & 0xF))
        return bytes(sent + b"\xc0\xc0")


def choose(streams: Sequence[Stream], codes: Sequence[int], bytes_per_s: float) -> Choice | None:
    """Return the streams of `codes` that the device offers, thinned until they fit into `bytes_per_s`.

    None: there is none, or not even every 255th sample fits.
    """
    by_code = {stream.code: stream for stream in streams}
    wanted = tuple(by_code[code] for code in dict.fromkeys(codes) if code in by_code)[:MAX_STREAMS]
    if not wanted:
        return None
    records = 1e6 / min(stream.interval_us for stream in wanted)
    load = records + sum(2e6 / stream.interval_us for stream in wanted)
    multiplier = max(1, math.ceil(load / bytes_per_s))
    return Choice(wanted, multiplier) if multiplier <= 0xFF else None


def asked(streams: Sequence[Stream], argument: bytes) -> Choice | None:
    """Return the choice that an argument of the configuring command stands for; None when it is none of ours."""
    by_code = {stream.code: stream for stream in streams}
    pairs = [argument[at : at + 4] for at in range(0, len(argument), 4)]
    if not all(re.fullmatch(rb"[0-9A-F]{4}", pair) for pair in pairs):
        return None
    multipliers = {int(pair[2:], 16) for pair in pairs}
    codes = [int(pair[:2], 16) for pair in pairs]
    if len(multipliers) != 1 or 0 in multipliers or not set(codes) <= by_code.keys():
        return None
    return Choice(tuple(by_code[code] for code in codes), multipliers.pop())


@dataclass(slots=True)
class _Curve:
    """One stream while it flows. every: so many records lie between two of its samples."""

    stream: Stream
    period_ns: int
    every: int
    block: int
    samples: list[float] = field(default_factory=list)
    since: int = 0
    began: bool = False
    after_gap: bool = False

    def take(self, raw: int | None) -> None:
        """Take what a record has of this stream; None: it has nothing."""
        self.since += 1
        if raw is None and not (self.began and self.since >= self.every):
            return
        self.samples.append(math.nan if raw is None else raw)
        self.began, self.since = True, 0

    def wave(self) -> Wave | None:
        """Return a block when it is full."""
        if len(self.samples) < self.block:
            return None
        stream = self.stream
        raw = np.array(self.samples, np.float64)
        self.samples.clear()
        samples = stream.low + raw * ((stream.high - stream.low) / stream.maxbin)
        return Wave(stream.code, 0, 0, samples, self.period_ns)


class Records:
    """Reads the stream of one configuration. A `Wave` comes with whether something is missing before it.

    good: records read; lost: so many in a row were bad that it is not what was configured, and no more is read
    """

    def __init__(self, choice: Choice) -> None:
        self.good = self._bad_in_a_row = 0
        self._ours = (choice.enable, choice.disable)
        tick = min(stream.interval_us for stream in choice.streams)
        self._curves = []
        for stream in choice.streams:
            period_us = stream.interval_us * choice.multiplier
            block = max(1, round(BLOCK_S * 1e6 / period_us))
            self._curves.append(_Curve(stream, period_us * 1000, max(1, round(stream.interval_us / tick)), block))
        self._held = b""
        self._later = 0  # mask of the streams from 5 on, which stays until it is changed
        self._mask = 0  # the set of streams that was announced last
        self._order: tuple[int, ...] = ()  # the same as numbers

    def feed(self, data: bytes) -> list[tuple[Wave, bool] | Fault]:
        """Take realtime bytes and return full blocks and what was wrong."""
        found: list[tuple[Wave, bool] | Fault] = []
        data = self._without_echo(self._held + data, found)
        records = _RECORD.findall(data)
        if records and not self.lost and not _is_sync(data[0]):
            self._bad("no sync byte", found)
        # What is longer than any record is bad, however much more comes of it.
        self._held = (records.pop() if records else data)[:_HELD]
        for record in records:
            if not self.lost:
                self._record(record, found)
        return found

    def _without_echo(self, data: bytes, found: list[tuple[Wave, bool] | Fault]) -> bytes:
        """Take out what lets streams flow or stops them: it is no record but what we wrote, and it came back."""
        for switch in self._ours:
            if switch in data:
                data = data.replace(switch, b"")
                found.append(Fault("echo", "switch of the curves"))
        return data

    @property
    def lost(self) -> bool:
        """See the class."""
        return self._bad_in_a_row >= LOST_RECORDS

    def _record(self, record: bytes, found: list[tuple[Wave, bool] | Fault]) -> None:
        parts = _PARTS.fullmatch(record)
        raws = self._raws(parts[1][0] & 0xF, parts[2], parts[3]) if parts else None
        if raws is None:
            self._bad("a record that does not have the values it announces", found)
            raws = {}
        else:
            self.good += 1
            self._bad_in_a_row = 0
        for i, curve in enumerate(self._curves):
            curve.take(raws.get(i))
            wave = curve.wave()
            if wave is not None:
                found.append((wave, curve.after_gap))
                curve.after_gap = False

    def _raws(self, mask: int, commands: bytes, values: bytes) -> dict[int, int] | None:
        """Return stream number -> raw value; None when the record is not whole."""
        for at in range(0, len(commands), 2):
            group = commands[at] & 0xF
            if group in (4, 5):
                shift = 4 * (group - 3)
                self._later = self._later & ~(0xF << shift) | (commands[at + 1] & 0xF) << shift
        mask |= self._later
        if mask != self._mask:
            self._mask = mask
            self._order = tuple(i for i in range(MAX_STREAMS) if mask >> i & 1)
        order = self._order
        if len(values) != 2 * len(order) or mask >> len(self._curves):
            return None
        return {i: values[2 * k] & 0x3F | (values[2 * k + 1] & 0x3F) << 6 for k, i in enumerate(order)}

    def _bad(self, detail: str, found: list[tuple[Wave, bool] | Fault]) -> None:
        self._bad_in_a_row += 1
        for curve in self._curves:
            curve.after_gap = True
        found.append(Fault("realtime", detail, bad_frame=True))


def _is_sync(byte: int) -> bool:
    return byte & 0xF0 == 0xD0
