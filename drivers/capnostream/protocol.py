"""The gateway's end of the line: enables the monitor's output, keeps the link alive, reads what comes.

What is written to the monitor is a closed list of six commands without data, and none of them sets anything: enable
and disable the output, begin and end the real-time output, "link active", and "inquire numerics", which is used only
when no numerics come by themselves (our sources do not say whether they do).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from math import inf, nan
from typing import Any

from drivers.capnostream.co2_wave import Co2Wave
from drivers.capnostream.framing import FrameReader
from gateway.core.errors import ConfigError
from gateway.core.events import EventQueue
from gateway.core.frame import Alert, Alerts, Fault, Frame, Identified, Reading
from gateway.core.framing import Bad
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Flag, Validity

# Commands of the host. 1, 4 and 6 are vectors of the protocol notes; 2, 3 and 5 follow from the same rule.
ENABLE, DISABLE = b"\x85\x01\x01\x00", b"\x85\x01\x02\x03"
START_REAL_TIME, STOP_REAL_TIME = b"\x85\x01\x04\x05", b"\x85\x01\x05\x04"
INQUIRE_NUMERICS, LINK_ACTIVE = b"\x85\x01\x03\x02", b"\x85\x01\x06\x07"
LINK_ACTIVE_S = 1.0  # notes: about every 1 to 2 s
SILENCE_S = 5.0  # notes: consider lost after 5 s (suggested)
NO_NUMERICS_S = 3.0  # three of those that are expected each second

# Codes of responses
CO2_WAVE, NUMERICS, DEVICE_ID = 0, 1, 4
WAVE_BYTES, NUMERICS_BYTES = 4, 27  # payload: exactly, at least
MAX_TEXT = 64
MAX_CODES = 16  # unknown codes are told once each, so many

NO_VALUE = 0xFF
MMHG, KPA, VOL_PERCENT = 1, 2, 3
CO2_FIELDS = ((4, "EtCO2"), (5, "FiCO2"))  # in the unit of byte 25, in tenths unless that is mmHg
FIELDS = ((6, "RR"), (7, "SpO2"), (8, "PR"))
SLOW_STATUS = (  # byte 9: name, mask, shift
    ("neonatal", 0x01, 0),
    ("silence", 0x06, 1),  # bit 0 temporary silence, bit 1 silenced
    ("high alarm", 0x08, 3),
    ("low alarm", 0x10, 4),
    ("advisory", 0x20, 5),
    ("beeps off", 0x40, 6),
    ("oximeter", 0x80, 7),
)
SILENCED = 0x06
ALARM_BITS = (  # byte, names of its bits with what they are about; a bit without a name is told as it is
    (13, "CO2", {0x01: ("no breath", "RR"), 0x02: ("Et high", "EtCO2"), 0x04: ("Et low", "EtCO2"),
                 0x08: ("RR high", "RR"), 0x10: ("RR low", "RR"), 0x20: ("Fi high", "FiCO2")}),
    (14, "SpO2", {0x01: ("no pulse", "PR"), 0x02: ("SpO2 high", "SpO2"), 0x04: ("SpO2 low", "SpO2"),
                  0x08: ("PR high", "PR"), 0x10: ("PR low", "PR"), 0x20: ("sensor off", "SpO2"),
                  0x40: ("sensor disconnected", "SpO2")}),
)  # fmt: skip
FAST_INVALID = 0x01
FAST_STATUS = {  # fast status of the wave that is a technical state; 08 is the end of a breath, which is none
    0x02: "initialising",
    0x04: "occlusion",
    0x10: "SFM",
    0x20: "purge",
    0x40: "FilterLine off",
    0x80: "malfunction",
}
FAST_ALERTS = sum(FAST_STATUS)
VLD, QST, INV, NA = map(int, (Validity.VLD, Validity.QST, Validity.INV, Validity.NA))  # IntEnum is slow arithmetic


class CapnostreamProtocol(EventQueue):
    """One monitor on one line (gateway.core.protocol.DeviceProtocol)."""

    def __init__(self) -> None:
        super().__init__()
        self.start(0.0)

    def start(self, now: float) -> None:
        """Forget everything, and enable the output at once."""
        self.events.clear()
        self._reader = FrameReader()
        self._wave = Co2Wave()
        self._fast: int | None = None  # fast status that is an alert, as told last
        self._codes: set[int] = set()
        self._stopped = False
        self._parting = b""
        self._begin_at = now  # when to enable the output (again)
        self._alive_at = inf
        self._waves_at = -inf
        self._numerics_at = now
        self._asked = False  # the output was enabled at least once
        self._inquire = False  # numerics do not come by themselves
        self._waves_came = self._numerics_came = False  # since the last data_to_send

    # ---- what comes

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """See DeviceProtocol."""
        for item in self._reader.feed(data):
            if isinstance(item, Bad):
                self._fault(item.reason, item.detail, bad_frame=True)
            else:
                self._frame(item[0], item[1:], t_ns)

    def _frame(self, code: int, payload: bytes, t_ns: int) -> None:
        if (code == CO2_WAVE and len(payload) != WAVE_BYTES) or (code == NUMERICS and len(payload) < NUMERICS_BYTES):
            self._fault("length", f"code {code}, {len(payload)} bytes", bad_frame=True)
            return
        self.frames_ok += 1
        if code == CO2_WAVE:
            self._sample(payload, t_ns)
        elif code == NUMERICS:
            self._numerics(payload, t_ns)
        elif code == DEVICE_ID:
            self._identity(payload)
        elif code not in self._codes and len(self._codes) < MAX_CODES:
            self._codes.add(code)
            self._fault("unknown_code", f"code {code}, {len(payload)} bytes")

    def _sample(self, payload: bytes, t_ns: int) -> None:
        number, whole, fraction, status = payload
        self._waves_came = True
        value = nan if status & FAST_INVALID else whole + fraction / 256
        # What is drawn in during a purge or through an occluded line is not the patient's breath, even if the monitor
        # does not call it invalid.
        fast = status & FAST_ALERTS
        told = self._wave.take(number, value, QST if fast else VLD, t_ns)
        if told:
            self.events += told
        if fast != self._fast:
            self._fast = fast
            self._tell_fast_status(t_ns)

    def _tell_fast_status(self, t_ns: int) -> None:
        fast = self._fast or 0
        active = tuple(Alert(name, "EtCO2", technical=True) for bit, name in FAST_STATUS.items() if fast & bit)
        self.events.append(Frame("status", Alerts(active), t_ns))

    def _numerics(self, payload: bytes, t_ns: int) -> None:
        self._numerics_came = True
        self.events += self._wave.second(struct.unpack_from(">I", payload)[0])
        if payload[25] not in (MMHG, KPA, VOL_PERCENT):
            self._fault("unit", f"unit code {payload[25]}")
        self.events.append(Frame("numeric", readings(payload), t_ns))
        self.events.append(Frame("alarm", Alerts(alarms(payload)), t_ns))
        if self._fast is not None:
            self._tell_fast_status(t_ns)

    def _identity(self, payload: bytes) -> None:
        """Our sources say only that it is text, so it is given as it stands, and no firmware is read out of it."""
        text = payload.rstrip(b"\0 \r\n").lstrip()
        if not text or len(text) > MAX_TEXT or not all(0x20 <= byte < 0x7F for byte in text):
            self._fault("text", f"{len(payload)} bytes")
            return
        self.events.append(Identified("", text.decode("ascii"), ""))

    # ---- what is said

    def data_to_send(self, now: float) -> bytes:
        """Return the commands that are due."""
        if self._stopped:
            parting, self._parting = self._parting, b""
            return parting
        if self._waves_came:
            self._waves_at, self._begin_at = now, now + SILENCE_S
        if self._numerics_came:
            self._numerics_at = now
        self._waves_came = self._numerics_came = False
        out = b""
        if now >= self._begin_at:
            if self._asked:
                self._fault("silent", f"no CO2 curve for {SILENCE_S:g} s")
            else:
                self._numerics_at = now
            self._asked = True
            out += ENABLE + START_REAL_TIME
            self._begin_at, self._alive_at = now + SILENCE_S, now + LINK_ACTIVE_S
        elif now >= self._alive_at:
            out += LINK_ACTIVE
            self._alive_at = now + LINK_ACTIVE_S
            if now - self._numerics_at >= NO_NUMERICS_S > now - self._waves_at:
                self._inquire = True
                self._fault("no_numerics", f"none for {now - self._numerics_at:.0f} s")
            out += INQUIRE_NUMERICS if self._inquire else b""
        return out

    def next_wake(self) -> float | None:
        """Return when the next command is due."""
        if self._stopped:
            return self._begin_at if self._parting else None
        return min(self._begin_at, self._alive_at)

    def stop(self, now: float) -> None:
        """End what was begun."""
        if not self._stopped:
            self._stopped, self._begin_at = True, now
            self._parting = STOP_REAL_TIME + DISABLE

    def _fault(self, reason: str, detail: str, bad_frame: bool = False) -> None:
        self.events.append(Fault(reason, detail, bad_frame=bad_frame))


def readings(payload: bytes) -> list[Reading]:
    """Return what is in a numerics payload. CO2 in percent is another quantity than CO2 as a pressure: another name."""
    unit = payload[25]
    tail, divisor = (" vol%" if unit == VOL_PERCENT else ""), (1 if unit == MMHG else 10)
    if unit in (MMHG, KPA, VOL_PERCENT):
        found = [_number(name + tail, payload[at], unit, divisor) for at, name in CO2_FIELDS]
    else:  # a number whose unit nobody knows is no value
        found = [Reading(name, 0, 0, nan, INV) for _, name in CO2_FIELDS]
    found += [_number(name, payload[at]) for at, name in FIELDS]
    found += [Reading(name, 0, 0, (payload[9] & mask) >> shift) for name, mask, shift in SLOW_STATUS]
    found.append(Reading("CO2 unit", 0, 0, unit))
    return found


def _number(name: str, raw: int, unit: int = 0, divisor: int = 1) -> Reading:
    if raw == NO_VALUE:
        return Reading(name, 0, unit, nan, NA)
    return Reading(name, 0, unit, raw / divisor)


def alarms(payload: bytes) -> tuple[Alert, ...]:
    """Return the alarms of a numerics payload; a bit that our sources do not name is told by its number."""
    flags = int(Flag.ALERT_INHIBITED) if payload[9] & SILENCED else 0
    active = []
    for at, family, names in ALARM_BITS:
        for bit in (1 << i for i in range(8)):
            if payload[at] & bit:
                name, about = names.get(bit, (f"{family} alarm bit {bit:02X}", 0))
                active.append(Alert(name, about, flags=flags))
    return tuple(active)


def protocol(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> CapnostreamProtocol:
    """Return the protocol of a line. Raises: ConfigError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a Capnostream has a line of its own")
    if options:
        raise ConfigError(f"unknown option {next(iter(options))!r}", hint="this driver has none")
    return CapnostreamProtocol()
