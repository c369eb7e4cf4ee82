"""What packets, records and lines say: their fields, the codes for "no value", the bits that take a value's worth away.

The driver knows where a field is. What it means is in the profile: of the many averages of a packet, those are given
that have a row there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from drivers.nonin import packets, records
from drivers.nonin.lines import LONGEST, MARKS, DataLine, data_line, is_damaged
from drivers.nonin.options import format_of
from drivers.nonin.packets import Packet, PacketReader, Skipped
from gateway.core.frame import Alert, Alerts, Fault, Frame, Identified, Reading, Wave
from gateway.core.framing import Delimited, Noise
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity

NO_RATE, NO_SATURATION = 511, 127  # codes for missing data, specification of the 9560
MOST_RATE, MOST_SATURATION = 510, 100
COUNTER = 1 << 14
SPOILT = b"\0\r"  # ends a line that was cut, so that it is not taken for a whole one

Event = Frame | Identified | Fault
_COLOURS = {packets.GPRF: "green", packets.GPRF | packets.RPRF: "yellow", packets.RPRF: "red"}


class Format:
    """Base of the formats: bytes of the line in, the events of one packet, record or line at a time out."""

    def __init__(self, device: DeviceSpec) -> None:
        self.source = device.source
        metrics = [metric for channel in device.profile.channels for metric in channel.metrics]
        self.wanted = {metric.object for metric in metrics}
        self.alerts = any(metric.kind == "alert" for metric in metrics)
        self.sensor_bit = format_of(device.profile.driver_table).sensor_bit

    def fault(self, reason: str, detail: str) -> list[Event]:
        """Return a fault; most say that something was thrown away."""
        return [Fault(reason, detail, self.source, bad_frame=reason not in {"stored", "clock", "text"})]

    def frame(self, kind: str, payload: list[Reading] | Wave | Alerts, t_ns: int, gap: bool = False) -> Frame:
        """Return a frame of this oximeter."""
        return Frame(kind, payload, t_ns, self.source, after_gap=gap)


class Packets(Format):
    """Data formats 2 and 7."""

    layout: packets.Layout

    def __init__(self, device: DeviceSpec) -> None:
        super().__init__(device)
        self._reader = PacketReader(self.layout)
        self._off = packets.SNSA | packets.SNSD if self.sensor_bit else packets.SNSA
        self._rates = [name for name in packets.RATES if name in self.wanted]
        self._saturations = [name for name in packets.SATURATIONS if name in self.wanted]
        self._revision: int | None = None
        self._counter: int | None = None
        self._counts = False  # the counter went on by one the last time: these bytes are a counter on this oximeter
        self._gap = False
        self._t_ns = 0

    def interrupt(self) -> Iterator[list[Event]]:
        """Give up what has begun: the rest of it will not come any more."""
        return self._events(self._reader.interrupt(), self._t_ns)

    def feed(self, data: bytes, t_ns: int) -> Iterator[list[Event]]:
        """Take bytes; yield the events of each thing that is complete."""
        self._t_ns = t_ns
        return self._events(self._reader.feed(data), t_ns)

    def _events(self, found: Sequence[Packet | Skipped], t_ns: int) -> Iterator[list[Event]]:
        for item in found:
            if isinstance(item, Skipped):
                self._gap = True
                yield self.fault(item.reason, f"{item.length} bytes skipped")
            else:
                yield list(self._packet(item, t_ns))

    def _packet(self, packet: Packet, t_ns: int) -> Iterator[Event]:
        revision = packet.floats[packets.SREV] & 0x7F
        if revision != self._revision:
            self._revision = revision
            yield Identified("", "", str(revision), source=self.source)
        gap = self._missed(packet.counter) or self._gap
        self._gap = False
        every = int(np.bitwise_or.reduce(packet.status))  # what any of the 25 frames says
        off = every & self._off
        if self.alerts:
            yield self.frame("alert", Alerts(tuple(self._active(every, packet.floats[packets.STAT2]))), t_ns, gap)
        yield self.frame("packet", list(self._readings(packet, every, bool(off))), t_ns, gap)
        samples = np.where(packet.status & self._off, math.nan, packet.pleth)
        validity = Validity.NA if np.isnan(samples).all() else Validity.VLD
        yield self.frame("wave", Wave("PLETH", 0, 0, samples, packets.PERIOD_NS, validity), t_ns, gap)

    def _missed(self, counter: int) -> bool:
        """Tell whether packets are missing before this one. Bytes that have not been seen to count are no counter."""
        steps = None if self._counter is None else (counter - self._counter) % COUNTER
        jumped = self._counts and steps != 1
        self._counter, self._counts = counter, steps == 1
        return jumped

    def _active(self, status: int, stat2: int) -> Iterator[Alert]:
        if status & packets.SNSD and self.sensor_bit:
            yield Alert("SNSD")
        for name, bit in (("SNSA", packets.SNSA), ("OOT", packets.OOT)):
            if status & bit:
                yield Alert(name)
        if stat2 & packets.LOW_BAT:
            yield Alert("LOW BAT")

    def _readings(self, packet: Packet, every: int, off: bool) -> Iterator[Reading]:
        doubt = Validity.QST if every & (packets.ARTF | packets.OOT) else Validity.VLD
        for name in self._rates:
            yield _reading(name, packet.rate(name), NO_RATE, MOST_RATE, doubt, off)
        for name in self._saturations:
            yield _reading(name, packet.saturation(name), NO_SATURATION, MOST_SATURATION, doubt, off)
        beats = [colour for status in packet.status if (colour := int(status) & (packets.GPRF | packets.RPRF))]
        if off:
            yield Reading("PRF", 0, 0, math.nan, Validity.NA)
        elif beats:  # a packet is shorter than a beat: one without a beat says nothing new
            yield Reading("PRF", 0, 0, _COLOURS[beats[-1]])
        yield Reading("SPA", 0, 0, float(bool(packet.floats[packets.STAT2] & packets.SPA)))


class Df2(Packets):
    """Data format 2."""

    layout = packets.DF2


class Df7(Packets):
    """Data format 7."""

    layout = packets.DF7


class Df8(Format):
    """Data format 8."""

    def __init__(self, device: DeviceSpec) -> None:
        super().__init__(device)
        self._reader = records.Df8Reader()
        self._gap = False

    def interrupt(self) -> Iterator[list[Event]]:
        """Give up what has begun: the rest of it will not come any more."""
        return self._events(self._reader.interrupt())

    def feed(self, data: bytes, t_ns: int) -> Iterator[list[Event]]:
        """Take bytes; yield the events of each thing that is complete."""
        return self._events(self._reader.feed(data, t_ns))

    def _events(self, found: Sequence[records.Df8Record | Skipped]) -> Iterator[list[Event]]:
        for item in found:
            if isinstance(item, Skipped):
                self._gap = True
                yield self.fault(item.reason, f"{item.length} bytes skipped")
            else:
                yield list(self._record(item.data, item.t_ns))
                self._gap = False

    def _record(self, data: bytes, t_ns: int) -> Iterator[Event]:
        status, extra = data[0], data[3]
        off = bool(extra & records.DF8_SNSA)
        if self.alerts:
            states = (("SNSA", off), ("OOT", status & records.DF8_OOT), ("LOW BAT", extra & records.DF8_LOW_BAT))
            yield self.frame("alert", Alerts(tuple(Alert(name) for name, on in states if on)), t_ns, self._gap)
        doubt = Validity.QST if status & (records.DF8_ARTF | records.DF8_OOT) else Validity.VLD
        perfusion = "low" if status & records.DF8_LPRF else "marginal" if status & records.DF8_MPRF else "good"
        readings = [
            _reading("HR", (status & 0x03) << 7 | data[1], NO_RATE, MOST_RATE, doubt, off),
            _reading("SpO2", data[2], NO_SATURATION, MOST_SATURATION, doubt, off),
            Reading("PRF", 0, 0, math.nan, Validity.NA) if off else Reading("PRF", 0, 0, perfusion),
            Reading("SPA", 0, 0, float(bool(extra & records.DF8_SPA))),
        ]
        yield self.frame("record", readings, t_ns, self._gap)


class Df13(Format):
    """Data format 13."""

    def __init__(self, device: DeviceSpec) -> None:
        super().__init__(device)
        self._reader = records.Df13Reader()
        self._stamp = b""
        self._t_ns = 0

    def interrupt(self) -> Iterator[list[Event]]:
        """Give up what has begun: the rest of it will not come any more."""
        return self._events(self._reader.interrupt(), self._t_ns)

    def feed(self, data: bytes, t_ns: int) -> Iterator[list[Event]]:
        """Take bytes; yield the events of each thing that is complete."""
        self._t_ns = t_ns
        return self._events(self._reader.feed(data), t_ns)

    def _events(self, found: Sequence[records.Spot | Skipped], t_ns: int) -> Iterator[list[Event]]:
        for item in found:
            if isinstance(item, Skipped):
                yield self.fault(item.reason, f"{item.length} bytes skipped")
            elif item.status & records.FROM_MEMORY:
                yield self.fault("stored", "")
            else:
                yield list(self._spot(item, t_ns))

    def _spot(self, spot: records.Spot, t_ns: int) -> Iterator[Event]:
        device_ns = records.time_ns(spot.stamp)
        if device_ns is None:
            yield from self.fault("clock", "the date is not set, or not possible")
        if self.alerts:
            low = spot.status & records.DF13_LOW_BAT
            yield self.frame("alert", Alerts((Alert("LOW BAT"),) if low else ()), t_ns)
        if spot.stamp == self._stamp and device_ns is not None:  # sent again, because nobody acknowledges
            return
        self._stamp = spot.stamp
        missed = bool(spot.status & records.NO_MEASUREMENT)
        readings = [
            _reading("HR", spot.rate & 0x1FF, NO_RATE, MOST_RATE, Validity.VLD, missed),
            _reading("SpO2", spot.saturation & 0x7F, NO_SATURATION, MOST_SATURATION, Validity.VLD, missed),
            Reading("SPA", 0, 0, float(bool(spot.status & records.DF13_SPA))),
        ]
        yield Frame("spot", readings, t_ns, self.source, device_ns)


class Ascii(Format):
    """The lines of older monitors."""

    def __init__(self, device: DeviceSpec) -> None:
        super().__init__(device)
        self._cutter = Delimited(b"", b"\r\n", LONGEST)
        self._t_ns = 0
        self._begun = False
        self._marks = {mark: name for mark, name in MARKS.items() if name in self.wanted}

    def interrupt(self) -> Iterator[list[Event]]:
        """Give up the line that has begun, if one has: what comes after the pause does not belong to it."""
        return self.feed(SPOILT, self._t_ns) if self._begun else iter(())

    def feed(self, data: bytes, t_ns: int) -> Iterator[list[Event]]:
        """Take bytes; yield the events of each thing that is complete."""
        self._t_ns = t_ns
        self._begun = data[-1:] not in (b"\r", b"\n") if data else self._begun
        for item in self._cutter.feed(data):
            if isinstance(item, Noise):
                yield self.fault("garbage", f"{item.length} bytes without an end of line")
                continue
            text = item.decode("latin-1")
            line = data_line(text)
            if line is not None:
                yield [self.frame("line", list(self._readings(line)), t_ns)]
            elif text.strip():
                yield self.fault("line" if is_damaged(text) else "text", f"{len(text)} characters")

    def _readings(self, line: DataLine) -> Iterator[Reading]:
        """The event key, fast averaging and breath are marks: one that is not there says "no"."""
        yield _reading("SPO2", line.saturation, NO_SATURATION, MOST_SATURATION, Validity.VLD)
        yield _reading("HR", line.rate, NO_RATE, MOST_RATE, Validity.VLD)
        for mark, name in self._marks.items():
            yield Reading(name, 0, 0, float(mark in line.marks))


def _reading(name: str, number: int | None, none: int, most: int, doubt: int, off: bool = False) -> Reading:
    """Return a value, or why there is none. none: the code for missing data; most: what is above is no value either."""
    if off or number is None or number == none:
        return Reading(name, 0, 0, math.nan, Validity.NA)
    if number > most:
        return Reading(name, 0, 0, math.nan, Validity.INV)
    return Reading(name, 0, 0, float(number), doubt)
