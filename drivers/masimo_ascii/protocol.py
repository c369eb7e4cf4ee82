"""The driver: lines of text in, values and alerts out. It listens and never sends.

It knows the tokens' form and which exception takes a value's worth away; what a token means is in the profile.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drivers.masimo_ascii.line import LONGEST, Line, Unreadable, read, time_ns
from gateway.core.errors import ConfigError
from gateway.core.events import Listener
from gateway.core.frame import Alert, Alerts, Fault, Frame, Identified, Reading
from gateway.core.framing import Delimited, Noise
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity

# EXC: bits of the Rad-8 and Rad-57 manuals. 0x100 and 0x200 are reserved there; those above 0xFFF belong to rainbow
# models and are not documented: nothing is concluded from them, they are shown as they are.
NO_MEASUREMENT = 0x001 | 0x002 | 0x008 | 0x020 | 0x080
DOUBTFUL = 0x004 | 0x010 | 0x040 | 0x400
SET_MODE = 0x800  # the normal state: signal extraction is active

STEP_NS = 3_000_000_000
"""Lines come once a second. A time that is not within three seconds of what the line before lets expect is not used
until the next line agrees: a damaged digit is no jump of the clock."""
PAUSE_NS = 500_000_000  # a line takes 0.14 s at 9600 Bd: what was begun before a pause is not completed after it
SPOILT = b"\0\r"  # ends a line that was cut, so that it is not taken for a whole one


class MasimoProtocol(Listener):
    """One oximeter (gateway.core.protocol.DeviceProtocol)."""

    def __init__(self, source: int) -> None:
        super().__init__()
        self._source = source
        self._cutter = Delimited(b"", b"\r\n", LONGEST)
        self.start(0.0)

    def start(self, now: float) -> None:  # noqa: ARG002  # the contract's signature
        """The line is up: forget everything that was true of it before."""
        self.events.clear()
        self._cutter.reset()
        self._heard_ns = 0
        self._begun = False
        self._clock: tuple[int, int] | None = None  # time of the line before, and when it came, ns
        self._serial = ""  # of the line before
        self._identified = ""

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes in any split, with any garbage."""
        if self._begun and abs(t_ns - self._heard_ns) > PAUSE_NS:
            self._take(SPOILT, self._heard_ns)
        self._take(data, t_ns)
        self._heard_ns = t_ns
        self._begun = data[-1:] not in (b"\r", b"\n") if data else self._begun

    def _take(self, data: bytes, t_ns: int) -> None:
        for item in self._cutter.feed(data):
            if isinstance(item, Noise):
                self._fault("garbage", f"{item.length} bytes", bad_frame=True)
            elif item.strip():
                found = read(item.decode("latin-1"))
                if isinstance(found, Unreadable):
                    self._fault(found.reason, found.detail, bad_frame=found.reason == "damaged")
                else:
                    self._line(found, t_ns)

    def _line(self, line: Line, t_ns: int) -> None:
        self.frames_ok += 1
        if line.serial == self._serial != self._identified:  # two lines agree: there is no checksum
            self._identified = line.serial
            self.events.append(Identified("", "", "", line.serial, self._source))
        self._serial = line.serial
        self.events.append(Frame("alert", Alerts(tuple(_alerts(line))), t_ns, self._source))
        self.events.append(Frame("line", list(_readings(line)), t_ns, self._source, self._device_ns(line, t_ns)))

    def _device_ns(self, line: Line, t_ns: int) -> int | None:
        """Return the oximeter's time when it follows on that of the line before."""
        before, shown = self._clock, time_ns(line.stamp)
        self._clock = None if shown is None else (shown, t_ns)
        if shown is None:
            self._fault("clock", "no possible time")
        elif before is not None:
            step, passed = shown - before[0], max(0, t_ns - before[1])
            if 0 <= step <= passed + STEP_NS:
                return shown
            self._fault("clock", "it does not follow on the line before")
        return None

    def _fault(self, reason: str, detail: str, bad_frame: bool = False) -> None:
        self.events.append(Fault(reason, detail, self._source, bad_frame))


def _alerts(line: Line) -> Iterator[Alert]:
    """Yield each exception, and each bit of ALARM, none of which is known by name."""
    for name, bits, digits in (("EXC", line.exceptions & ~SET_MODE, 3), ("ALARM", line.alarm, 4)):
        for bit in (1 << i for i in range(bits.bit_length())):
            if bits & bit:
                yield Alert(f"{name} {bit:0{digits}X}")


def _readings(line: Line) -> Iterator[Reading]:
    doubt = Validity.QST if line.exceptions & DOUBTFUL else Validity.VLD
    for key, text in line.values.items():
        unit = "%" if text.endswith("%") else 0
        number = _number(text.rstrip("%"))
        if line.exceptions & NO_MEASUREMENT or number is None:
            yield Reading(key, 0, unit, math.nan, Validity.NA)
        else:
            yield Reading(key, 0, unit, number, doubt)
    yield Reading("SET", 0, 0, float(bool(line.exceptions & SET_MODE)))


def _number(text: str) -> float | None:
    """Return the number; None for dashes, also where one stands among digits. Behind a sign, the rest decides."""
    try:
        return float(text)
    except ValueError:
        return None


def protocol(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> MasimoProtocol:
    """Build the driver for one line. Raises: ConfigError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a Masimo oximeter has a line of its own")
    if options:
        raise ConfigError(f"unknown option {next(iter(options))!r}", hint="this driver has none")
    return MasimoProtocol(devices[0].source)
