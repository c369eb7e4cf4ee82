"""The sensor at the other end of the link, without I/O. What it measures comes from the scene, by the profile's rows.

A sensor that is asked for nothing by its profile is an HxM, which speaks unasked. Packets are packed and sealed by code
of its own (the CRC bit by bit), so that each end is a check of the other. Their clock is the scene's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from math import inf
from typing import Any

import numpy as np

from drivers.zephyr.options import Requests, Scenario
from drivers.zephyr.packets import EPOCH_DAY, GENERAL, HXM, SUMMARY, Field
from gateway.core.profile import MetricSpec, Profile
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.core.settings import build

STREAMS = {  # command -> name, packet, period in ms
    0x14: ("general", 0x20, 1000),
    0x15: ("breathing", 0x21, 1008),
    0x16: ("ecg", 0x22, 252),
    0x19: ("rr", 0x24, 1008),
    0x1E: ("acceleration", 0x25, 400),
    0xBD: ("summary", 0x2B, 1000),
}
LIFESIGN_MS, EVENT_MS, HXM_MS = 3000, 10_000, 1000
SERIAL = b"SIM0001"
_LINK_S = 30.0  # factory value of the link time-out
_NONE = {"H": 0xFFFF, "B": 0xFF, "h": -0x8000}


def sealed(id_: int, payload: bytes, end: int = 0x03) -> bytes:
    """Return a frame as it travels."""
    crc = 0
    for byte in payload:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return bytes([0x02, id_, len(payload)]) + payload + bytes([crc, end])


def packed(samples: Sequence[int]) -> bytes:
    """Return samples of 10 bits as a little-endian stream of bits."""
    bits = sum((sample & 0x3FF) << 10 * k for k, sample in enumerate(samples))
    return bits.to_bytes((10 * len(samples) + 7) // 8, "little")


class ZephyrSensor:
    """One sensor (gateway.core.protocol.Simulator)."""

    def __init__(self, profile: Profile, scenario: Scenario, scene: Scene) -> None:
        specs = [spec for channel in profile.resolve("") for spec in channel.metrics]
        self._specs: dict[tuple[str, int | str | None], MetricSpec] = {(s.frame, s.object): s for s in specs}
        self._is_hxm = not build(Requests, profile.driver_table, lambda *_: profile.where).ask
        self._scenario, self._scene = scenario, scene
        self._heard = b""
        self._out = b""
        self._began: float | None = None
        self._link_until = inf if self._is_hxm else -inf
        self._due: dict[str, tuple[int, int]] = {}  # name -> next at, period: ms since it began
        self._numbers: dict[int, int] = {}
        self._beat_ms, self._beats, self._sign = 0, [0] * 15, 1

    def receive_data(self, data: bytes, now: float) -> None:
        """Take commands, all of them frames of at most two bytes of payload."""
        self._heard = (self._heard + data)[-64:]
        while (at := self._heard.find(b"\x02")) >= 0 and len(self._heard) >= at + 5:
            end = at + 5 + self._heard[at + 2]
            if len(self._heard) < end:
                return
            whole, self._heard = self._heard[at:end], self._heard[end:]
            if whole == sealed(whole[1], whole[3:-2]):
                self._command(whole[1], whole[3:-2], now)

    def _command(self, id_: int, data: bytes, now: float) -> None:
        self._link_until = now + _LINK_S
        if id_ == 0x23:
            return
        if self._scenario.refuse:
            self._out += sealed(id_, b"", 0x15)
        elif id_ == 0x0B:
            self._out += sealed(id_, SERIAL, 0x06)
        elif id_ in STREAMS:
            self._out += sealed(id_, b"", 0x06)
            name, _, period = STREAMS[id_]
            if any(data) and name not in self._due and name not in self._scenario.deaf:
                self._due[name] = (self._ms(now) + period, period)

    def data_to_send(self, now: float) -> bytes:
        """Return the packets that are due, in order."""
        if self._began is None:
            self._began = now
            first = {"hxm": (HXM_MS, HXM_MS)} if self._is_hxm else {"lifesign": (LIFESIGN_MS, LIFESIGN_MS)}
            self._due.update(first)
            if ("event", "event code") in self._specs and not self._scene.nothing:
                self._due["event"] = (EVENT_MS, EVENT_MS)
        while (at := self._next_ms()) <= self._ms(now):
            name = next(name for name, (due, _) in self._due.items() if due == at)
            self._due[name] = (at + self._due[name][1], self._due[name][1])
            if at / 1000 + self._began <= self._link_until:
                self._out += self._packet(name, at / 1000 + self._began)
        out, self._out = self._out, b""
        return out

    def next_wake(self) -> float | None:
        """Return when the next packet is due."""
        return None if self._began is None else self._began + self._next_ms() / 1000

    def _ms(self, now: float) -> int:
        return int((now - (self._began if self._began is not None else now)) * 1000 + 0.001)

    def _next_ms(self) -> int:
        return min(due for due, _ in self._due.values())

    # ---- what it says

    def _packet(self, name: str, t: float) -> bytes:
        make: dict[str, Callable[[float], bytes]] = {
            "hxm": lambda t: sealed(0x26, self._hxm(t)),
            "lifesign": lambda _: sealed(0x23, b""),
            "event": lambda t: sealed(0x2C, self._stamped(0x2C, t) + struct.pack("<H2x", self._raw("event code", t))),
            "general": lambda t: sealed(0x20, self._fields(0x20, GENERAL, 17, t)),
            "summary": lambda t: sealed(0x2B, self._fields(0x2B, SUMMARY, 71, t)),
            "breathing": lambda t: self._wave(0x21, [("breathing", 18, 0.056)], t),
            "ecg": lambda t: self._wave(0x22, [("ECG", 63, 0.004)], t),
            "acceleration": lambda t: self._wave(0x25, [(f"acceleration {axis}", 20, 0.02) for axis in "xyz"], t),
            "rr": lambda t: sealed(0x24, self._stamped(0x24, t) + struct.pack("<18h", *self._rr(t))),
        }
        return make[name](t)

    def _stamped(self, id_: int, t: float) -> bytes:
        number = self._numbers[id_] = (self._numbers.get(id_, -1) + 1) % 256
        days, ms = divmod(self._scene.utc_ns(t) // 1_000_000, 86_400_000)
        day = date.fromordinal(EPOCH_DAY + days)
        return struct.pack("<BHBBI", number, day.year, day.month, day.day, ms)

    def _raw(self, name: str, t: float) -> int:
        frame = {"event code": "event", "R-R interval": "beat"}.get(name, "numeric")
        spec = self._specs.get((frame, name))
        return 0 if spec is None else round(self._scene.raw(spec, t) or 0)

    def _fields(self, id_: int, fields: tuple[Field, ...], size: int, t: float) -> bytes:
        """Return a packet of numbers; with nothing to measure, "none" or an impossible number: every bit set."""
        payload = bytearray(self._stamped(id_, t).ljust(size, b"\0"))
        payload[9:10] = b"\x02" if id_ == 0x2B else payload[9:10]
        self._put(payload, fields, t)
        return bytes(payload)

    def _put(self, payload: bytearray, fields: tuple[Field, ...], t: float) -> None:
        for field in fields:
            spec = self._specs.get(("numeric", field.name))
            raw = None if spec is None else self._scene.raw(spec, t)
            if raw is not None and field.name == "heart rate confidence":
                raw = self._scenario.confidence
            none = _NONE[field.type] if field.none is None else field.none
            struct.pack_into("<" + field.type, payload, field.at, none if raw is None else round(raw))

    def _wave(self, id_: int, parts: list[tuple[str, int, float]], t: float) -> bytes:
        """Return a packet of samples, those of several waves in turn; nothing when there is nothing to measure."""
        if self._scene.nothing:
            return b""
        columns = []
        for name, count, period in parts:
            times = np.asarray(t - np.arange(count - 1, -1, -1) * period, np.float64)
            wave = self._scene.wave("MDC_ECG_ELEC_POTL" if name == "ECG" else "MDC_RESP", times)
            columns.append(np.clip(np.rint(512 + wave * (200 if name == "ECG" else 1)), 0, 1023).astype(int))
        return sealed(id_, self._stamped(id_, t) + packed(np.stack(columns, axis=1).ravel().tolist()))

    def _beat(self, until_ms: float, t: float) -> bool:
        """Make the next beat, if there is one until then."""
        interval = self._raw("R-R interval", t)
        if not interval or self._beat_ms + interval > until_ms:
            return False
        self._beat_ms += interval
        self._beats = [self._beat_ms % 65536, *self._beats[:14]]
        self._numbers[0] = (self._numbers.get(0, 0) + 1) % 256
        self._sign = -self._sign
        return True

    def _rr(self, t: float) -> list[int]:
        """Return the interval of the last beat in each slot of 56 ms; its sign flips with each beat."""
        found = []
        for slot in range(18):
            self._beat((t - (self._began or 0.0)) * 1000 - (17 - slot) * 56, t)
            found.append(self._sign * self._raw("R-R interval", t) if self._beat_ms else 0)
        return found

    def _hxm(self, t: float) -> bytes:
        while self._beat((t - (self._began or 0.0)) * 1000, t):
            continue
        payload = bytearray(55)
        payload[:8] = struct.pack("<H2sH2s", 26, b"1f", 80, b"1d")
        payload[10] = self._numbers.get(0, 0)
        struct.pack_into("<15H", payload, 11, *self._beats)
        self._put(payload, HXM, t)
        return bytes(payload)


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> ZephyrSensor:
    """Return the sensor of a link. Raises: ConfigError for an option that a scenario does not have."""
    return ZephyrSensor(devices[0].profile, build(Scenario, options, lambda *_: "scenario"), scene)
