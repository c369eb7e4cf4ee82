"""The driver: cuts the line into packets, believes what they agree on, and tells it once a second and when it changes.

The pleth goes on as it comes, in runs of half a second. Nothing in a packet tells that one is missing between two; a
pause on the line does, and a packet that is cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from drivers.contec_cms50 import packets
from drivers.contec_cms50.framing import DISCONNECT, FEEDBACK, FREE, REAL_TIME, Skipped, old_cutter, unpacked, v7_cutter
from drivers.contec_cms50.options import generation_of
from drivers.contec_cms50.packets import Agreement, Fields, Moment
from drivers.contec_cms50.session import Session
from gateway.core.errors import ConfigError
from gateway.core.events import EventQueue
from gateway.core.frame import Alert, Alerts, Fault, Frame, Reading, Wave
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity

PER_SECOND = 60  # packets, V7.0 document and captures
PERIOD_NS = 16_666_667
RUN = 30  # samples of one Wave, half a second
PAUSE_NS = 500_000_000
"""Thirty packets should have come meanwhile: what was begun before a pause is not completed by what comes after it."""

REASONS = {  # V7.0 document
    0x00: "done",
    0x01: "shutdown",
    0x02: "user changed",
    0x03: "recording",
    0x04: "delete failed",
    0x05: "not supported",
}


class ContecProtocol(EventQueue):
    """One oximeter (gateway.core.protocol.DeviceProtocol)."""

    def __init__(self, device: DeviceSpec) -> None:
        super().__init__()
        self._agreement = Agreement()
        self._told = Fields()
        self._since = 0  # packets since numbers were given
        self._source = device.source
        self._generation = generation_of(device.profile.driver_table)
        metrics = [metric for channel in device.profile.channels for metric in channel.metrics]
        self._knows_perfusion = any(metric.object == "PI" for metric in metrics)
        self._session = Session(lambda: self._fault("silence", "no real-time data")) if self._is_v7 else None
        self.start(0.0)

    @property
    def _is_v7(self) -> bool:
        return self._generation == "v7"

    def start(self, now: float) -> None:
        """The line is up: forget everything that was true of it before."""
        self.events.clear()
        self._cutter = v7_cutter() if self._is_v7 else old_cutter()
        self._heard_ns: int | None = None
        self._samples: list[float] = []
        self._sampled_ns = 0
        self._gap = False
        self._forget_numbers()
        if self._session:
            self._session.start(now)

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes in any split, with any garbage."""
        if self._heard_ns is not None and abs(t_ns - self._heard_ns) > PAUSE_NS:
            self._interrupted()
            self._take(self._cutter.interrupt(), self._heard_ns)
            self._forget_numbers()
        self._heard_ns = t_ns
        self._take(self._cutter.feed(data), t_ns)

    def data_to_send(self, now: float) -> bytes:
        """Return start, keep-alive or stop, when one is due; the old generation is never written to."""
        return self._session.data_to_send(now) if self._session else b""

    def next_wake(self) -> float | None:
        """Return when to ask again."""
        return self._session.next_wake() if self._session else None

    def stop(self, now: float) -> None:
        """Stop the real-time data."""
        if self._session:
            self._session.stop(now)

    # ---- packets

    def _take(self, found: Sequence[bytes | Skipped], t_ns: int) -> None:
        for item in found:
            if isinstance(item, Skipped):
                self._interrupted()
                self._fault(item.reason, f"{item.length} bytes", bad_frame=True)
                continue
            self.frames_ok += 1
            if not self._is_v7:
                self._moment(packets.old_moment(item), t_ns)
            elif item[0] == REAL_TIME:
                assert self._session
                self._session.heard()
                self._moment(packets.v7_moment(item), t_ns)
            else:
                self._other(item)

    def _other(self, packet: bytes) -> None:
        """Take a packet of V7 that is no real-time data."""
        if packet[0] == DISCONNECT:
            (reason,) = unpacked(packet)
            self._fault("disconnected", REASONS.get(reason, f"reason {reason:02X}"))
        elif packet[0] == FEEDBACK:
            code, reason = unpacked(packet)
            self._fault("refused", f"command {code:02X}: {REASONS.get(reason, f'reason {reason:02X}')}")
        elif packet[0] != FREE:  # FREE answers our own stop
            self._fault("unasked", f"packet type {packet[0]:02X}")

    def _moment(self, moment: Moment, t_ns: int) -> None:
        self._samples.append(moment.wave)
        self._sampled_ns = t_ns
        if len(self._samples) == RUN:
            self._give_wave(t_ns)
        self._agreement.see(moment.fields)
        believed = self._agreement.believed
        self._since += 1
        if (believed != self._told and None not in believed) or self._since >= PER_SECOND:
            self._told = believed
            self._since = 0
            self._give_numbers(believed, t_ns)

    def _interrupted(self) -> None:
        """Something is missing here: what came before it is given by itself."""
        self._agreement.interrupt()
        if self._samples:
            self._give_wave(self._sampled_ns)
        self._gap = True

    def _forget_numbers(self) -> None:
        self._agreement = Agreement()
        self._told = Fields()
        self._since = 0

    # ---- what is given

    def _give_wave(self, t_ns: int) -> None:
        wave = Wave("PLETH", 0, 0, np.array(self._samples), PERIOD_NS)
        self.events.append(Frame("wave", wave, t_ns, self._source, after_gap=self._gap))
        self._samples.clear()
        self._gap = False

    def _give_numbers(self, fields: Fields, t_ns: int) -> None:
        if fields.states is not None:
            names = packets.NAMES[self._generation]
            active = tuple(Alert(name) for bit, name in names.items() if fields.states & bit)
            self.events.append(Frame("alert", Alerts(active), t_ns, self._source))
        self.events.append(Frame("packet", list(self._readings(fields)), t_ns, self._source))

    def _readings(self, fields: Fields) -> Iterator[Reading]:
        none = packets.PROBE | packets.SEARCHING | packets.LONG_SEARCH
        measures = None if fields.states is None else not fields.states & none
        yield _reading("PR", fields.rate, measures, range(1, packets.MOST_RATE + 1), packets.NO_RATE)
        yield _reading(
            "SpO2", fields.saturation, measures, range(1, packets.MOST_SATURATION + 1), packets.NO_SATURATION
        )
        if self._knows_perfusion:
            yield _reading("PI", fields.perfusion, measures, range(packets.MOST_PERFUSION + 1), packets.NO_PERFUSION)
        yield _reading("strength", fields.strength, measures, range(16), -1)  # four bits, all of them a strength

    def _fault(self, reason: str, detail: str, bad_frame: bool = False) -> None:
        self.events.append(Fault(reason, detail, self._source, bad_frame))


def _reading(name: str, number: int | None, measures: bool | None, valid: range, none: int) -> Reading:
    """Return a value, or why there is none. measures: whether the oximeter says that it does; None: not known."""
    if measures is False or number == none:
        return Reading(name, 0, 0, math.nan, Validity.NA)
    if measures is None or number is None or number not in valid:
        return Reading(name, 0, 0, math.nan, Validity.INV)
    return Reading(name, 0, 0, float(number))


def protocol(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> ContecProtocol:
    """Build the driver for one line. Raises: ConfigError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a CMS50 has a line of its own")
    if options:
        raise ConfigError(f"unknown option {next(iter(options))!r}", hint="this driver has none")
    return ContecProtocol(devices[0])
