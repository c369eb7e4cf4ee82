"""The monitor at the other end, without I/O: it is asked, and then sends by itself.

Its framing is its own, so that driver and simulator check each other; the table of fields is shared, and is checked
against the protocol notes by a test. What it measures is in bed.py.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import floor, inf
from typing import Any

from drivers.ge_dri import layout
from drivers.ge_dri.bed import Bed
from drivers.ge_dri.options import Options, Scenario
from drivers.ge_dri.protocol import SAMPLES_PER_S, most_waves
from drivers.ge_dri.record import FIRST_WAVE_TYPES, AlarmCommand, Main, Values
from gateway.core.errors import ConfigError
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.core.settings import build

_HEADER = 40
_PACKETS_S = (1.0, 0.5, 0.25, 0.2, 1 / 6, 0.125)  # section 5.2; which of them belongs to which rate is not stated
_LARGEST = 1450  # section 2
_ALARM_GAP_S = 2.0  # section 6
_CLASSES_FROM = 3  # section 11: below this interface level there is only the basic class
_TREND_S = {Values.TREND_10S: 10.0, Values.TREND_60S: 60.0}
_RATES = {wave.code: (name, wave.rate) for name, wave in layout.WAVES.items()}


class Monitor:
    """A monitor with a computer interface (gateway.core.protocol.Simulator).

    most: how many waves it sends at once; more than 8 mean a fast line, without a limit of samples
    """

    def __init__(self, bed: Bed, scenario: Scenario, most: int = FIRST_WAVE_TYPES) -> None:
        self._bed, self._scenario, self._most = bed, scenario, most
        self._numbers = dict.fromkeys(Main, 0)
        self._zero: float | None = None  # `now` of the first call
        self._out = b""
        self._forget()

    def _forget(self) -> None:
        """As after switching it on: nothing was asked."""
        self._line = b""
        self._periodic: dict[Values, tuple[float, float]] = {}  # -> interval, due
        self._waves: list[int] = []
        self._wave_due = inf
        self._alarm_due = inf
        self._alarm_sent = b""

    def receive_data(self, data: bytes, now: float) -> None:
        """Take what the gateway wrote."""
        if self._is_off(now):
            return
        *whole, self._line = (self._line + data).split(b"\x7e")
        for piece in whole:
            body = re.sub(rb"\x7d(.)", lambda pair: bytes([pair[1][0] | 0x20]), piece, flags=re.DOTALL)
            if len(body) > _HEADER and sum(body[:-1]) % 256 == body[-1]:
                self._request(struct.unpack_from("<h", body, 14)[0], body[_HEADER:-1], now)

    def data_to_send(self, now: float) -> bytes:
        """Return what the monitor says by now."""
        if self._is_off(now):
            return b""
        for kind in [kind for kind, (_, due) in self._periodic.items() if due <= now]:
            interval, due = self._periodic[kind]
            self._periodic[kind] = (interval, due + interval)
            self._send_values(kind, now)
        while self._waves and self._wave_due <= now:
            self._send_waves(self._wave_due)
        if self._alarm_due <= now:
            self._alarm_due = now + _ALARM_GAP_S
            state = self._bed.alarms(now)
            if state != self._alarm_sent:
                self._send_alarms(now)
        out, self._out = self._out, b""
        return out

    def next_wake(self) -> float | None:
        """Return when it has something to say without being asked."""
        dues = [due for _, due in self._periodic.values()] + [self._alarm_due]
        at = min([*dues, self._wave_due if self._waves else inf])
        if self._out:
            return 0.0
        return None if at == inf else at

    def _is_off(self, now: float) -> bool:
        """Keep the time, and tell whether the monitor is switched off, in which case it forgets everything."""
        self._zero = now if self._zero is None else self._zero
        window = self._scenario.off_s
        off = len(window) == 2 and window[0] <= now - self._zero < window[1]
        if off:
            self._forget()
            self._out = b""
        return off

    # ---- requests

    def _request(self, main: int, body: bytes, now: float) -> None:
        if main == Main.PHYSIOLOGICAL and len(body) == 9:
            kind, interval_s = struct.unpack_from("<Bh", body)
            self._ask_values(kind, interval_s, now)
        elif main == Main.WAVE and len(body) == 32:
            self._ask_waves(body, now)
        elif main == Main.ALARM and len(body) == 12 and self._scenario.level >= 10:
            self._ask_alarms(struct.unpack_from("<h", body)[0], now)

    def _ask_values(self, kind: int, interval: int, now: float) -> None:
        if kind not in tuple(Values):
            return
        values = Values(kind)
        if interval <= 0:
            self._periodic.pop(values, None)
        elif values in (Values.DISPLAYED, Values.AUXILIARY):
            self._periodic[values] = (max(5.0, interval), now)
        elif Values.DISPLAYED in self._periodic and self._scenario.case_open:
            self._periodic[values] = (_TREND_S[values], now + _TREND_S[values])

    def _ask_waves(self, body: bytes, now: float) -> None:
        """Take a list; what is over the budget is left out without a word."""
        stop = struct.unpack_from("<h", body)[0] == 1
        wanted = [] if stop else [code for code in body[4:28] if code in _RATES][: self._most]
        self._waves, total = [], 0
        for code in wanted:
            rate = _RATES[code][1]
            if self._most > FIRST_WAVE_TYPES or total + rate <= SAMPLES_PER_S:
                self._waves.append(code)
                total += rate
        self._packet_s = self._longest_packet()
        self._wave_from = now
        self._wave_due = now + self._packet_s
        self._is_first = True

    def _longest_packet(self) -> float:
        """Return the longest packet whose records are not too long."""
        groups = [self._waves[at : at + 8] for at in range(0, len(self._waves), 8)]
        for period in _PACKETS_S:
            sizes = [sum(6 + 2 * (floor(_RATES[code][1] * period) + 1) for code in group) for group in groups]
            if max(sizes, default=0) <= _LARGEST:
                return period
        return _PACKETS_S[-1]

    def _ask_alarms(self, command: int, now: float) -> None:
        if command == AlarmCommand.STATUS:
            self._send_alarms(now)
        elif command == AlarmCommand.ENTER_DIFFERENTIAL:
            self._alarm_due = now + _ALARM_GAP_S
        elif command == AlarmCommand.LEAVE_DIFFERENTIAL:
            self._alarm_due = inf

    # ---- what it says

    def _send_values(self, kind: Values, now: float) -> None:
        if kind == Values.AUXILIARY:
            self._send(Main.PHYSIOLOGICAL, [(kind, self._bed.auxiliary(now))], now)
            return
        count = len(layout.CLASSES) if self._scenario.level >= _CLASSES_FROM else 1
        parts = []
        for number in range(count):
            tail = struct.pack("<BBH", 0, 0, number << 8 | self._scenario.level << 4 | kind)
            body = struct.pack("<I", self._bed.clock_s(now)) + self._bed.values(number, now) + tail
            parts.append((int(kind), body))
        self._send(Main.PHYSIOLOGICAL, parts, now)

    def _send_waves(self, until: float) -> None:
        parts = []
        for code in self._waves:
            name, rate = _RATES[code]
            first, end = floor(self._wave_from * rate), floor(until * rate)
            status, samples = self._bed.samples(name, first, end - first)
            parts.append((code, struct.pack("<hHH", end - first, status | self._is_first, 0) + samples))
        for at in range(0, len(parts), 8):  # a record has room for eight subrecords
            self._send(Main.WAVE, parts[at : at + 8], until)
        self._is_first = False
        self._wave_from, self._wave_due = until, until + self._packet_s

    def _send_alarms(self, now: float) -> None:
        self._alarm_sent = self._bed.alarms(now)
        self._send(Main.ALARM, [(1, self._alarm_sent)], now)

    def _send(self, main: Main, parts: Sequence[tuple[int, bytes]], now: float) -> None:
        descriptors, at = b"", 0
        for kind, body in parts:
            descriptors += struct.pack("<hB", at, kind)
            at += len(body)
        descriptors = (descriptors + b"\0\0\xff").ljust(24, b"\0")[:24]
        self._numbers[main] = (self._numbers[main] + 1) % 256
        head = (_HEADER + at, self._numbers[main], self._scenario.level, 0, self._bed.clock_s(now), main)
        record = struct.pack("<hBBHI4xh", *head) + descriptors + b"".join(body for _, body in parts)
        inner = record + bytes([sum(record) % 256])
        self._out += b"\x7e" + re.sub(rb"[\x7d\x7e]", lambda found: bytes([0x7D, found[0][0] & 0xDF]), inner) + b"\x7e"


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> Monitor:
    """Build the monitor of one line. Raises: ConfigError for an unknown scenario option."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a serial port of a monitor serves one gateway")
    scenario = build(Scenario, options, lambda *_: "", [field.name for field in fields(Options)])
    profile = devices[0].profile
    return Monitor(Bed(profile, scene), scenario, most_waves(profile))
