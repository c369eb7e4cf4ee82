"""The driver: lines of the printout, or packets of an N-200, in; values, limits and alerts out. It never sends."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drivers.nellcor_ascii import n200, printout
from drivers.nellcor_ascii.options import output_of
from gateway.core.errors import ConfigError
from gateway.core.events import Listener
from gateway.core.frame import Alert, Alerts, Fault, Frame, Identified, Reading
from gateway.core.framing import Delimited, Noise
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Flag, Validity

NO_MEASUREMENT = {"SD", "SO", "PS", "LP", "LM"}  # sensor disconnected, sensor off, pulse search, loss of pulse (2)
DOUBTFUL = {"MO"}  # interference
QUIET = {"AO", "AS"}  # alarm off, alarm silenced

STEP_NS = 5_000_000_000
"""Lines come every two seconds. A time that is not within five of what the line before lets expect is not used until
the next line agrees: a damaged digit is no jump of the clock."""
PAUSE_NS = 500_000_000  # a line takes 0.17 s at 9600 Bd: what was begun before a pause is not completed after it
SPOILT = b"\0\r"  # ends a line that was cut, so that it cannot be taken for a whole one: 45 without its last digit is 4


class _Nellcor(Listener, ABC):
    """What both outputs have in common (gateway.core.protocol.DeviceProtocol). Subclasses read what is cut."""

    def __init__(self, source: int, cutter: Delimited) -> None:
        super().__init__()
        self._source = source
        self._cutter = cutter
        self.start(0.0)

    def start(self, now: float) -> None:  # noqa: ARG002  # the contract's signature
        """The line is up: forget everything that was true of it before."""
        self.events.clear()
        self._cutter.reset()

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes in any split, with any garbage."""
        for item in self._cutter.feed(data):
            if isinstance(item, Noise):
                self._noise(item.length)
            elif item.strip():
                self._found(item, t_ns)

    def _noise(self, length: int) -> None:
        self._fault("garbage", f"{length} bytes", bad_frame=True)

    @abstractmethod
    def _found(self, content: bytes, t_ns: int) -> None:
        """Take what stood between two ends."""

    def _give(self, kind: str, payload: list[Reading] | Alerts, t_ns: int, device_ns: int | None = None) -> None:
        self.events.append(Frame(kind, payload, t_ns, self._source, device_ns))

    def _fault(self, reason: str, detail: str, bad_frame: bool = False) -> None:
        self.events.append(Fault(reason, detail, self._source, bad_frame))


class Printout(_Nellcor):
    """The lines of N-550, N-560, N-595, N-600, N-600x, NPB-290 and NPB-295."""

    def __init__(self, source: int) -> None:
        super().__init__(source, Delimited(b"", b"\r\n", printout.LONGEST))

    def start(self, now: float) -> None:
        """The line is up: forget everything that was true of it before."""
        super().start(now)
        self._heard_ns = 0
        self._begun = False
        self._clock: tuple[int, int] | None = None  # time of the line before, and when it came, ns
        self._identity: tuple[str, str] | None = None

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes in any split, with any garbage."""
        if self._begun and abs(t_ns - self._heard_ns) > PAUSE_NS:
            super().receive_data(SPOILT, self._heard_ns)
        super().receive_data(data, t_ns)
        self._heard_ns = t_ns
        self._begun = data[-1:] not in (b"\r", b"\n") if data else self._begun

    def _found(self, content: bytes, t_ns: int) -> None:
        text = content.decode("latin-1")
        line = printout.read(text)
        if isinstance(line, printout.Unreadable):
            self._fault(line.reason, f"{len(text)} characters", bad_frame=line.reason == "damaged")
            return
        self.frames_ok += 1
        if isinstance(line, printout.Data):
            self._data(line, t_ns)
        elif isinstance(line, printout.Heading):
            self._heading(line, t_ns)
        elif isinstance(line, printout.Mode):
            readings = [
                Reading("patient", 0, 0, line.patient),
                Reading("SAT-S", 0, 0, float(line.sat_seconds)),
                Reading("RESP MODE", 0, 0, line.response),
            ]
            self._give("mode", readings, t_ns)

    def _data(self, line: printout.Data, t_ns: int) -> None:
        codes = set(line.codes)
        quiet = int(Flag.ALERT_INHIBITED) if codes & QUIET else 0
        self._give("alert", Alerts(tuple(Alert(code, flags=quiet) for code in sorted(codes))), t_ns)
        doubt = Validity.QST if codes & DOUBTFUL else Validity.VLD
        readings = []
        for name, value in zip(printout.COLUMNS, line.values, strict=True):
            flags = quiet | (int(Flag.ALERT_ACTIVE) if value.in_alarm else 0)
            if value.number is None or codes & NO_MEASUREMENT:
                readings.append(Reading(name, 0, 0, math.nan, Validity.NA, flags))
            else:
                readings.append(Reading(name, 0, 0, float(value.number), doubt, flags))
        self._give("line", readings, t_ns, self._device_ns(line.stamp, t_ns))

    def _heading(self, line: printout.Heading, t_ns: int) -> None:
        if (line.model, line.version) != self._identity:
            self._identity = line.model, line.version
            self.events.append(Identified("", line.model, line.version, source=self._source))
        limits = zip(("SpO2 low", "SpO2 high", "PR low", "PR high"), (*line.saturation, *line.rate), strict=True)
        self._give("heading", [Reading(name, 0, 0, float(limit)) for name, limit in limits], t_ns)

    def _device_ns(self, stamp: str, t_ns: int) -> int | None:
        """Return the oximeter's time when it follows on that of the line before."""
        before, shown = self._clock, printout.time_ns(stamp)
        self._clock = None if shown is None else (shown, t_ns)
        if shown is None:
            self._fault("clock", "no possible time")
        elif before is not None:
            step, passed = shown - before[0], max(0, t_ns - before[1])
            if 0 <= step <= passed + STEP_NS:
                return shown
            self._fault("clock", "it does not follow on the line before")
        return None


class N200(_Nellcor):
    """The packets of an N-200."""

    def __init__(self, source: int) -> None:
        super().__init__(source, Delimited(n200.BEGIN, n200.END, n200.LONGEST))

    def _noise(self, length: int) -> None:
        if length > n200.TRAILER:
            super()._noise(length)

    def _found(self, content: bytes, t_ns: int) -> None:
        packet = n200.read(content)
        if packet is None:
            self._fault("damaged", f"{len(content)} characters", bad_frame=True)
            return
        self.frames_ok += 1
        quiet = 0 if packet.status & n200.AUDIO else int(Flag.ALERT_INHIBITED)
        self._give("alert", Alerts(tuple(Alert(name, flags=quiet) for name in _alerts(packet))), t_ns)
        self._give("packet", list(_readings(packet, quiet)), t_ns)


def _alerts(packet: n200.Packet) -> Iterator[str]:
    """Yield what is active: the bits of A, and the states of M that take the values away."""
    yield from (f"A{bit}" for bit in range(packet.alarms.bit_length()) if packet.alarms >> bit & 1)
    if not packet.status & n200.LOCKED:
        yield "not locked"
    if not packet.status & n200.ATTACHED:
        yield "not attached"
    if packet.status & n200.LOST:
        yield "monitor lost"


def _readings(packet: n200.Packet, quiet: int) -> Iterator[Reading]:
    for name, number in (("R", packet.rate), ("S", packet.saturation), ("P", packet.amplitude)):
        if packet.measures:
            yield Reading(name, 0, 0, float(number), flags=quiet)
        else:
            yield Reading(name, 0, 0, math.nan, Validity.NA, quiet)
    for name, limit in (("L", packet.rate_low), ("H", packet.rate_high), ("O", packet.saturation_low)):
        yield Reading(name, 0, 0, float(limit))


def protocol(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> Printout | N200:
    """Build the driver for one line. Raises: ConfigError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a Nellcor oximeter has a line of its own")
    if options:
        raise ConfigError(f"unknown option {next(iter(options))!r}", hint="this driver has none")
    device = devices[0]
    return (Printout if output_of(device.profile.driver_table) == "lines" else N200)(device.source)
