"""A monitor that talks unasked, one message a second, and is only listened to.

Nothing protects a byte on this line. So what can be done without a checksum is done: a line of text is read only when
every part of it fits, and a cuff pressure, which the monitor repeats each second, only when it has come twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf, isnan, nan
from typing import Any

import numpy as np
import numpy.typing as npt

from drivers.ivy_ansarb.framing import Message, MessageReader
from drivers.ivy_ansarb.text import VALUES, Line, apnea_limit, lead, lines_of, pulse_rate
from gateway.core.errors import ConfigError
from gateway.core.events import Listener
from gateway.core.frame import Alert, Alerts, Fault, Frame, Reading, Wave
from gateway.core.framing import Bad
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity

SILENCE_S = 10.0  # notes: disconnected after 10 s (suggested)

ECG, RESP, PLETH, P1, P2 = slice(0, 200), slice(200, 250), slice(250, 300), slice(300, 350), slice(350, 400)
ECG_PERIOD_NS, PERIOD_NS = 5_000_000, 20_000_000  # 200 Hz; 50 Hz
NO_SIGNAL = 251  # FB; bytes above it were never seen
PRESSURE_LOW, PRESSURE_HIGH = 0, 250  # at its limits: the pressure may be anything beyond
# The unit is not on the wire, and no source has seen a value: what is assumed is questionable.
UNIT_ASSUMED = frozenset({"ETCO2", "T1", "T2"})
Pressures = tuple[float, ...]


class AnsarB(Listener):
    """One monitor on one line (gateway.core.protocol.DeviceProtocol)."""

    def __init__(self) -> None:
        super().__init__()
        self.start(0.0)

    def start(self, now: float) -> None:
        """Forget everything."""
        self.events.clear()
        self._reader = MessageReader()
        self._cuff = Cuff()
        self._after_gap = False
        self._synchronous = False  # a message was read: from now on what does not fit is damage
        self._heard = False
        self._silent_at = now + SILENCE_S
        self._until = inf  # stop

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """See DeviceProtocol."""
        for item in self._reader.feed(data):
            if isinstance(item, Bad):
                self._after_gap = self._synchronous
                self.events.append(Fault(item.reason, item.detail, bad_frame=True))
            else:
                self.frames_ok += 1
                self._heard = self._synchronous = True
                self._message(item, t_ns)
                self._after_gap = False

    def _message(self, message: Message, t_ns: int) -> None:
        lines, wrong = lines_of(message.text)
        self.events += [Fault("line", detail, bad_frame=True) for detail in wrong]
        has_co2 = "ETCO2" in lines and not isnan(lines["ETCO2"].values[0])
        found = list(_readings(lines, has_co2))
        if "NIBP" in lines:
            found += self._cuff.readings(lines["NIBP"].values)
        self._give("numeric", found, t_ns)
        self._give_waves(message.waves, lead(lines["HR"].label) if "HR" in lines else "ECG", has_co2, t_ns)
        if not wrong:  # a line that was not read may hold an alarm: then nothing is known to have ended
            active = (Alert(name, VALUES[name][0], text=line.alarm) for name, line in lines.items() if line.alarm)
            self._give("alert", Alerts(tuple(active)), t_ns)

    def _give_waves(self, raw: bytes, lead_: str, has_co2: bool, t_ns: int) -> None:
        samples = np.frombuffer(raw, np.uint8).astype(np.float64)
        samples[samples >= NO_SIGNAL] = nan
        pressures = samples[P1.start :]
        pressures[(pressures <= PRESSURE_LOW) | (pressures >= PRESSURE_HIGH)] = nan
        # The scale of the ECG is of one source, its unit assumed.
        self._wave(lead_, samples[ECG], ECG_PERIOD_NS, t_ns, Validity.QST)
        self._wave("RESP CO2" if has_co2 else "RESP", samples[RESP], PERIOD_NS, t_ns)
        for name, place in (("PLETH", PLETH), ("P1", P1), ("P2", P2)):
            self._wave(name, samples[place], PERIOD_NS, t_ns)

    def _wave(
        self, name: str, samples: npt.NDArray[np.float64], period_ns: int, t_ns: int, best: Validity = Validity.VLD
    ) -> None:
        validity = Validity.NA if np.isnan(samples).all() else best
        self._give("wave", Wave(name, 0, 0, samples, period_ns, int(validity)), t_ns)

    def _give(self, kind: str, payload: list[Reading] | Wave | Alerts, t_ns: int) -> None:
        self.events.append(Frame(kind, payload, t_ns, after_gap=self._after_gap))

    # ---- nothing is ever sent; silence is noticed

    def data_to_send(self, now: float) -> bytes:
        """Return b"", and tell when the monitor has fallen silent, once per silence."""
        if self._heard:
            self._silent_at, self._heard = now + SILENCE_S, False
        if self._silent_at <= now < self._until:
            self._silent_at = inf
            self._after_gap = self._synchronous
            self.events.append(Fault("silent", f"nothing for {SILENCE_S:g} s"))
        return b""

    def next_wake(self) -> float | None:
        """Return when silence would be noticed."""
        return self._silent_at if self._silent_at < self._until else None

    def stop(self, now: float) -> None:
        """Wait for nothing more."""
        self._until = now


def _readings(lines: Mapping[str, Line], has_co2: bool) -> Iterator[Reading]:
    """Yield all but the cuff. The breath rate has another source, and so another name, when there is end-tidal CO2."""
    for name, line in lines.items():
        if name == "NIBP":
            continue
        for object_, value in zip(VALUES[name], line.values, strict=True):
            yield _reading("RR CO2" if object_ == "RR" and has_co2 else object_, value)
        if name == "SPO2":
            yield _reading("PR", pulse_rate(line.label))
        if name == "RR":
            yield _reading("APNEA", apnea_limit(line.label))


def _reading(name: str, value: float, validity: Validity = Validity.VLD) -> Reading:
    if isnan(value):
        validity = Validity.NA
    elif name in UNIT_ASSUMED:
        validity = Validity.QST
    return Reading(name, 0, 0, value, int(validity))


class Cuff:
    """The last cuff pressure, which the monitor repeats every second without its time.

    It is given once, when it changes, and only after it came twice: a digit that was hit would otherwise be a new
    measurement, and the right one behind it another. What is there when listening begins may have been measured on
    somebody else and is questionable. Two measurements with the same result are one.
    """

    def __init__(self) -> None:
        self._given: Pressures | None = None
        self._seen: Pressures | None = None

    def readings(self, values: Pressures) -> list[Reading]:
        """Take what the monitor shows now, and return it when it is new."""
        if not _same(values, self._seen):
            self._seen = values
            return []
        if _same(values, self._given):
            return []
        validity = Validity.QST if self._given is None else Validity.VLD
        self._given = values
        return [_reading(name, value, validity) for name, value in zip(VALUES["NIBP"], values, strict=True)]


def _same(a: Pressures, b: Pressures | None) -> bool:
    """Tell whether two results are the same; no value is the same as no value."""
    return b is not None and all(x == y or (isnan(x) and isnan(y)) for x, y in zip(a, b, strict=True))


def protocol(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> AnsarB:
    """Return the protocol of a line. Raises: ConfigError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="an Ivy monitor has a line of its own")
    if options:
        raise ConfigError(f"unknown option {next(iter(options))!r}", hint="this driver has none")
    return AnsarB()
