"""The gateway's end of the link: asks for packets, keeps the link alive, reads what comes.

A profile says which packets are asked for; an HxM sends its only packet unasked and is never written to. The requests
are a closed list of constant frames, and none of them sets anything that lasts: the link time-out, which is a setting
of the sensor, is left as it is, and the link is kept alive instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from drivers.zephyr import framing, packets
from drivers.zephyr.framing import NAK, FrameReader, Packet
from drivers.zephyr.options import Requests
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.events import EventQueue
from gateway.core.frame import Fault, Frame, Identified, Reading, Wave
from gateway.core.framing import Bad
from gateway.core.protocol import DeviceSpec
from gateway.core.settings import build, did_you_mean

# Frames as the protocol notes give them (computed there; ids of two sources and more)
LIFESIGN = bytes.fromhex("0223000003")
SERIAL_NUMBER = bytes.fromhex("020B000003")
GENERAL_ON = bytes.fromhex("021401015E03")
REQUESTS = {  # name in a profile -> request, the packet that answers it
    "summary": (bytes.fromhex("02BD020100C403"), framing.SUMMARY),  # each second
    "ecg": (bytes.fromhex("021601015E03"), framing.ECG),
    "breathing": (bytes.fromhex("021501015E03"), framing.BREATHING),
    "rr": (bytes.fromhex("021901015E03"), framing.RR),
    "acceleration": (bytes.fromhex("021E01015E03"), framing.ACCELERATION),
}
SERIAL_ID = 0x0B
TICK_S = 5.0  # notes: lifesign every 5 s [1 source]; the slowest packet comes every 1.008 s
MAX_SERIAL_ASKED = 3
MAX_SERIAL = 32
MAX_UNKNOWN = 16  # unknown packets are told once per id, so many


class ZephyrProtocol(EventQueue):
    """One sensor on one link (gateway.core.protocol.DeviceProtocol)."""

    def __init__(self, ask: Sequence[str]) -> None:
        super().__init__()
        self._ask = tuple(ask)
        self._decode = {
            framing.GENERAL: self._general,
            framing.BREATHING: self._breathing,
            framing.ECG: self._ecg,
            framing.RR: self._rr,
            framing.ACCELERATION: self._acceleration,
            framing.HXM: self._hxm,
            framing.SUMMARY: self._summary,
            framing.EVENT: self._event,
        }
        self.start(0.0)

    def start(self, now: float) -> None:
        """Forget everything, and ask at once."""
        self.events.clear()
        self._reader = FrameReader()
        self._beats = packets.Beats()
        self._sequence: dict[int, int] = {}
        self._unknown: set[int] = set()
        self._has_summary = self._clock_told = False
        self._identity: Identified | None = None
        self._came: set[int] = set()  # packets since the last tick
        self._asked = 0  # how often
        self._tick_at = now
        self._until = inf  # stop

    # ---- what comes

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """See DeviceProtocol."""
        for item in self._reader.feed(data):
            if isinstance(item, Bad):
                self._fault(item.reason, item.detail, bad_frame=True)
            else:
                self.frames_ok += 1
                self._packet(item, t_ns)

    def _packet(self, packet: Packet, t_ns: int) -> None:
        if packet.end == NAK:
            self._fault("refused", f"request {packet.id:02X}")
        elif packet.id == SERIAL_ID:
            self._serial(packet.payload)
        elif packet.id == framing.LIFESIGN:
            self._came.add(packet.id)
        elif packet.end == framing.ETX and packet.id in self._decode:
            self._came.add(packet.id)
            self._decode[packet.id](packet.payload, t_ns, self._gap(packet))
        elif packet.end == framing.ETX and packet.id not in self._unknown and len(self._unknown) < MAX_UNKNOWN:
            self._unknown.add(packet.id)
            self._fault("unknown_packet", f"packet {packet.id:02X}, {len(packet.payload)} bytes")

    def _gap(self, packet: Packet) -> bool:
        """Tell whether packets of this kind are missing before this one. An HxM's packet has no number."""
        if packet.id == framing.HXM:
            return False
        before, self._sequence[packet.id] = self._sequence.get(packet.id), packet.payload[0]
        return before is not None and packet.payload[0] != (before + 1) % 256

    def _summary(self, payload: bytes, t_ns: int, gap: bool) -> None:
        version = payload[packets.SUMMARY_VERSION_AT]
        if version != packets.SUMMARY_VERSION:
            self._fault("version", f"summary version {version}")
            return
        self._has_summary = True
        self._numeric(packets.readings(payload, packets.SUMMARY), payload, t_ns, gap)

    def _general(self, payload: bytes, t_ns: int, gap: bool) -> None:
        """The same numbers again, and fewer of them: only used as long as no summary comes."""
        if not self._has_summary:
            self._numeric(packets.readings(payload, packets.GENERAL), payload, t_ns, gap)

    def _numeric(self, found: list[Reading], payload: bytes, t_ns: int, gap: bool) -> None:
        clock = packets.device_ns(payload)
        if clock is None and not self._clock_told:
            self._clock_told = True
            self._fault("clock", "no such date or time")
        self.events.append(Frame("numeric", found, t_ns, device_ns=clock, after_gap=gap))

    def _breathing(self, payload: bytes, t_ns: int, gap: bool) -> None:
        self._wave("breathing", packets.BREATHING(payload), packets.BREATHING_PERIOD_NS, t_ns, gap)

    def _ecg(self, payload: bytes, t_ns: int, gap: bool) -> None:
        self._wave("ECG", packets.ECG(payload), packets.ECG_PERIOD_NS, t_ns, gap)

    def _acceleration(self, payload: bytes, t_ns: int, gap: bool) -> None:
        axes = packets.ACCELERATION(payload).reshape(-1, len(packets.AXES)).T
        for name, samples in zip(packets.AXES, axes, strict=True):
            self._wave(f"acceleration {name}", samples, packets.ACCELERATION_PERIOD_NS, t_ns, gap)

    def _wave(self, name: str, samples: npt.NDArray[np.float64], period_ns: int, t_ns: int, gap: bool) -> None:
        self.events.append(Frame("wave", Wave(name, 0, 0, samples, period_ns), t_ns, after_gap=gap))

    def _rr(self, payload: bytes, t_ns: int, gap: bool) -> None:
        if gap:
            self._beats.lost()
        self.events.append(Frame("beat", self._beats.rr(payload), t_ns, after_gap=gap))

    def _event(self, payload: bytes, t_ns: int, gap: bool) -> None:
        code = int.from_bytes(payload[packets.EVENT_CODE_AT : packets.EVENT_CODE_AT + 2], "little")
        self.events.append(Frame("event", [Reading("event code", 0, 0, code)], t_ns, after_gap=gap))

    def _hxm(self, payload: bytes, t_ns: int, gap: bool) -> None:
        firmware = f"{int.from_bytes(payload[:2], 'little')} {_printable(payload[2:4])}".strip()
        self._identify(Identified("", "", firmware))
        self.events.append(Frame("numeric", packets.readings(payload, packets.HXM), t_ns, after_gap=gap))
        self.events.append(Frame("beat", self._beats.hxm(payload), t_ns, after_gap=gap))

    def _serial(self, payload: bytes) -> None:
        text = _printable(payload.rstrip(b"\0 "))
        if text:
            self._identify(Identified("", "", "", text[:MAX_SERIAL]))

    def _identify(self, identity: Identified) -> None:
        if identity != self._identity:
            self._identity = identity
            self.events.append(identity)

    # ---- what is said

    def data_to_send(self, now: float) -> bytes:
        """Return the requests and the sign of life that are due. Every five seconds what does not come is asked for."""
        if not self._tick_at <= now < self._until:
            return b""
        self._tick_at = now + TICK_S
        missing = [name for name in self._ask if REQUESTS[name][1] not in self._came]
        if self._asked and not self._came:
            self._fault("silent", f"nothing for {TICK_S:g} s")
        elif self._asked and missing:
            self._fault("missing", ", ".join(missing))
        self._came.clear()
        self._asked += 1
        if not self._ask:
            return b""
        out = LIFESIGN
        if self._identity is None and self._asked <= MAX_SERIAL_ASKED:
            out += SERIAL_NUMBER
        if "summary" in missing and self._asked > 1:  # an older sensor may only have the general packet
            out += GENERAL_ON
        return out + b"".join(REQUESTS[name][0] for name in missing)

    def next_wake(self) -> float | None:
        """Return when the next sign of life is due."""
        return self._tick_at if self._tick_at < self._until else None

    def stop(self, now: float) -> None:
        """Say nothing more: the sensor stops when the link is closed."""
        self._until = now

    def _fault(self, reason: str, detail: str, bad_frame: bool = False) -> None:
        self.events.append(Fault(reason, detail, bad_frame=bad_frame))


def _printable(data: bytes) -> str:
    """Return the text, "" when it is none."""
    return data.decode("ascii") if data and all(0x20 < byte < 0x7F for byte in data) else ""


def protocol(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> ZephyrProtocol:
    """Return the protocol of a link. Raises: ConfigError; ProfileError when [driver] is not as it should be."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="each sensor has a link of its own")
    if options:
        raise ConfigError(f"unknown option {next(iter(options))!r}", hint="this driver has none")
    profile = devices[0].profile
    try:
        ask = build(Requests, profile.driver_table, lambda *_: profile.where).ask
    except ConfigError as fault:
        raise ProfileError(fault.what, profile.where, fault.hint) from fault
    for name in ask:
        if name not in REQUESTS:
            raise ProfileError(f"ask: {name!r} is no packet", profile.where, did_you_mean(name, REQUESTS))
    return ZephyrProtocol(ask)
