"""The device at the other end of the line: what a profile lists, as a scene has it. No part of it is a driver's.

It follows the checklist of the protocol notes (section 11): calls by ICC every 3 s until it is answered, asks who is
there inside its own ICC response, answers what it is asked, leaves out what it does not have, keeps the line alive by
NOP, and sends curves in between, in the middle of its own responses when both are due at once.

Made up, because the notes do not say: 20 ms between two samples of a curve (they name 16 and 20 ms), MAXBIN FA0, the
revision of the device, its kind where the profile names none, and which alarms come when.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import floor, isnan
from typing import Any

import numpy as np

from drivers.draeger_medibus.pages import Pages
from gateway.core.profile import MetricSpec
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.core.units import linear

CALL_S, NOP_S, LOST_S = 3.0, 2.0, 10.0  # notes, section 4
SAMPLE_S, MAXBIN = 0.02, 0xFA0
CURVES_S = 0.1  # so much of the curves is sent at once
REVISION = b"01.00:"
_CO2 = {"mm[Hg]": 1.0, "kPa": linear("mm[Hg]", "kPa")[0], "%": 100 / 760}  # of the scene's mmHg, at sea level
DATA = set(b"\x23\x24\x25\x26\x27\x28\x29\x2a\x2b\x2c\x2d\x2e")

_FRAME = re.compile(rb"([\x1b\x01])([^\x1b\x01\r])([^\x1b\x01\r]*)([0-9A-F]{2})\r")
_SWITCH = re.compile(rb"[\xc1-\xc3][\xc0-\xcf]")


@dataclass(slots=True)
class _Curve:
    """A stream that was asked for."""

    spec: MetricSpec
    every: int
    enabled: bool = False


@dataclass(slots=True)
class _Flow:
    """The curves that flow. tick: the next sample, counted from time 0; later: streams from 5 on announced last."""

    curves: list[_Curve] = field(default_factory=list)
    tick: int = 0
    later: int = 0


class MedibusDevice:
    """One device (gateway.core.protocol.Simulator)."""

    def __init__(self, spec: DeviceSpec, scene: Scene) -> None:
        self._pages = Pages(spec.profile, scene)
        self._waves = [row for row in self._pages.rows if row.frame == "wave" and isinstance(row.object, int)]
        self._scene = scene
        table = spec.profile.driver_table
        kind = str(table.get("ids", ["SIM0"])[0]).encode()
        name = spec.profile.model.encode("ascii", "replace")[:32]
        self._identity = b"%s'%s'%s%s" % (kind, name, REVISION, str(table["revision"]).encode())
        self._out: list[bytes] = []
        self._line = b""
        self._connected = False
        self._call_at = self._heard_at = self._nop_at = 0.0
        self._flow = _Flow()
        self._curves_at: float | None = None

    def receive_data(self, data: bytes, now: float) -> None:
        """Take what the gateway wrote."""
        self._heard_at = now
        if _SWITCH.search(data):
            self._switch(data, now)
        self._line += bytes(byte for byte in data if byte < 0x80)
        while match := _FRAME.search(self._line):
            self._line = self._line[match.end() :]
            body = match[0][:-3]
            good = b"%02X" % (sum(body) % 256) == match[4]
            if match[1] == b"\x1b":
                self._take(match[2][0], match[3], now) if good else self._out.append(b"\x01\x1516\r")
            elif good and match[2] == b"Q":
                self._connected = True

    def data_to_send(self, now: float) -> bytes:
        """Return what the device says by now."""
        if self._connected and now - self._heard_at >= LOST_S:
            self._connected, self._curves_at = False, None
        if not self._connected and now >= self._call_at:
            self._say(0x1B, 0x51)
            self._call_at = now + CALL_S
        if self._connected and not self._out and now >= self._nop_at:
            self._say(0x1B, 0x30)
        slow, self._out = b"".join(self._out), []
        if slow:
            self._nop_at = now + NOP_S
        curves = self._realtime(now)
        middle = len(slow) // 2  # a realtime byte may stand anywhere
        return slow[:middle] + curves + slow[middle:]

    def next_wake(self) -> float | None:
        """Return when it has something to say without being asked."""
        times = [self._nop_at] if self._connected else [self._call_at]
        return min([*times, *([] if self._curves_at is None else [self._curves_at])])

    # ---- slow

    def _say(self, begin: int, code: int, data: bytes = b"") -> None:
        self._out.append(_framed(begin, code, data))

    def _take(self, code: int, argument: bytes, now: float) -> None:
        """Answer a command of the gateway."""
        if code == 0x51:
            self._connected, self._curves_at = True, None
            inside = _framed(0x1B, 0x52)  # who are you? in the middle of the answer
            answer = _framed(0x01, 0x51)
            self._out.append(answer[:2] + inside + answer[2:])
        elif code == 0x55:
            self._connected, self._curves_at = False, None
            self._call_at = now + LOST_S
            self._say(0x01, code)
        elif not self._connected:
            self._say(0x01, code)
        elif code == 0x52:
            self._say(0x01, code, self._identity)
        elif code == 0x53:
            self._say(0x01, code, b"".join(map(_offer, self._waves)))
        elif code == 0x54:
            self._configure(argument)
            self._say(0x01, code)
        else:
            self._say(0x01, code, self._pages.read(code, now) if code in DATA else b"")

    # ---- curves

    def _configure(self, argument: bytes) -> None:
        by_code = {spec.object: spec for spec in self._waves}
        pairs = [(int(argument[i : i + 2], 16), int(argument[i + 2 : i + 4], 16)) for i in range(0, len(argument), 4)]
        self._flow = _Flow([_Curve(by_code[code], every) for code, every in pairs if code in by_code])
        self._curves_at = None

    def _switch(self, data: bytes, now: float) -> None:
        """Take the sync commands that let streams flow or stop them."""
        for pair in _SWITCH.findall(data):
            first = 4 * (pair[0] - 0xC1)
            for i, curve in enumerate(self._flow.curves[first : first + 4]):
                curve.enabled = bool(pair[1] >> i & 1)
        if not any(curve.enabled for curve in self._flow.curves):
            self._curves_at = None
        elif self._curves_at is None:
            self._flow.tick, self._flow.later = _tick(now), 0
            self._curves_at = now + CURVES_S

    def _realtime(self, now: float) -> bytes:
        """Return the records of the time that has passed. A stream without a value is not announced."""
        if self._curves_at is None or now < self._curves_at:
            return b""
        self._curves_at += CURVES_S
        flow = self._flow
        end = _tick(now)
        ticks = [tick for tick in range(flow.tick, end) if any(tick % curve.every == 0 for curve in flow.curves)]
        times = SAMPLE_S * np.array(ticks, np.float64)
        raws = [self._raw(curve.spec, times) for curve in flow.curves]
        flow.tick = end
        return b"".join(self._record(tick, [raw[i] for raw in raws]) for i, tick in enumerate(ticks))

    def _raw(self, spec: MetricSpec, times: Any) -> list[int | None]:
        """Return the samples of one curve, 0 to MAXBIN of its range; None: no value."""
        low, high = _ends(spec)
        values = self._scene.wave(spec.id, times)
        if "CO2" in spec.id:
            values = values * _CO2[spec.raw_unit or spec.unit]
        return [None if isnan(v) else round(min(max((v - low) / (high - low), 0), 1) * MAXBIN) for v in values.tolist()]

    def _record(self, tick: int, raws: Sequence[int | None]) -> bytes:
        flow = self._flow
        mask, values = 0, bytearray()
        for i, (curve, raw) in enumerate(zip(flow.curves, raws, strict=True)):
            if curve.enabled and tick % curve.every == 0 and raw is not None:
                mask |= 1 << i
                values += bytes((0x80 | raw & 0x3F, 0x80 | raw >> 6))
        later = mask & ~0xF
        commands = b""
        if later != flow.later:
            commands = bytes((0xC4, 0xC0 | mask >> 4 & 0xF, 0xC5, 0xC0 | mask >> 8 & 0xF))
            flow.later = later
        if not values:
            commands += b"\xc0\xc0"
        return bytes((0xD0 | mask & 0xF,)) + commands + bytes(values)


def _framed(begin: int, code: int, data: bytes = b"") -> bytes:
    body = bytes((begin, code)) + data
    return body + b"%02X\r" % (sum(body) % 256)


def _tick(now: float) -> int:
    """Return the number of the sample that is due at `now`: an even grid, whenever it was asked to begin."""
    return floor(round(now / SAMPLE_S, 6))


def _ends(spec: MetricSpec) -> tuple[int, int]:
    """Return MIN and MAX of a curve, in the unit of the wire: the range of the profile."""
    assert spec.range is not None  # a curve of a profile has a range: it is what the device offers
    scale = linear(spec.unit, spec.raw_unit)[0] if spec.raw_unit else 1.0
    return round(spec.range[0] * scale), round(spec.range[1] * scale)


def _offer(spec: MetricSpec) -> bytes:
    """Return one line of the realtime configuration; a minus stands first, then blanks (notes, example 5)."""
    assert isinstance(spec.object, int)
    low, high = (b"-%4d" % -end if end < 0 else b"%5d" % end for end in _ends(spec))
    return b"%02X%8d%s%s%03X" % (spec.object, round(SAMPLE_S * 1e6), low, high, MAXBIN)


def simulator(devices: Sequence[DeviceSpec], _options: Mapping[str, Any], scene: Scene) -> MedibusDevice:
    """Return the device of a line."""
    return MedibusDevice(devices[0], scene)
