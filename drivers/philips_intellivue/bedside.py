"""What the simulated monitor has to say of its patient: objects and their attributes as bytes.

Layouts: protocol notes sections 8, 11, 12, 14. The scenario decides over states: demo, test, leads off.
"""

from __future__ import annotations

import struct
from collections import deque
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from drivers.philips_intellivue import pdu as layout
from drivers.philips_intellivue.options import Scenario
from drivers.philips_intellivue.patient import NUMERICS, WAVES, Alert, Numeric, Patient, WaveForm
from drivers.philips_intellivue.pdu import TICKS_PER_S, attribute, listed

NUMERIC_PERIOD_S, WAVE_PERIOD_S = 1.024, 0.256  # as on the MP90 recordings
INVALID, UNAVAILABLE, TEST_DATA, DEMO_DATA, IN_ALARM = 0x8000, 0x2000, 0x0800, 0x0400, 0x0002  # section 11
FLOAT_NAN = 0x007F_FFFF


class Said(NamedTuple):
    """One numeric value that went out: text as displayed ("" for none), state as sent."""

    t: float
    object: int
    instance: int
    text: str
    state: int


class Bedside:
    """The monitor's objects under one scenario. `ledger` holds the last numeric values that went out."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.patient = Patient(scenario)
        self.ledger: deque[Said] = deque(maxlen=65_536)
        self._states = (TEST_DATA if scenario.test else 0) | (DEMO_DATA if scenario.demo else 0)

    def leads_off(self, t: float) -> bool:
        """Tell whether the ECG leads are off at `t`."""
        return within(self.scenario.leads_off_s, t)

    def mds_create(self, t: float) -> bytes:
        """Return the MDS Create Event, invoke id 1 as on the MP90 recordings."""
        attributes = [
            attribute(0x0928, _label("Philips") + _label("866062")),  # ID_MODEL, the captured beacon's
            attribute(0x092D, self._production()),  # ID_PROD_SPECN
            attribute(0x0946, b"\x20\x00" if self.scenario.demo else b"\x40\x00"),  # MODE_OP
            attribute(0x0987, self._bcd(t)),  # TIME_ABS
            attribute(0x098F, struct.pack(">I", ticks(t))),  # TIME_REL
        ]
        mds = struct.pack(">HHH", layout.MDS, 0, 0)
        info = mds + listed(attributes)
        argument = mds + struct.pack(">IHH", ticks(t), layout.MDS_CREATE, len(info)) + info
        return layout.invocation(layout.ROIV, 1, layout.CONFIRMED_EVENT, argument)

    def _production(self) -> bytes:
        """Serial number and software revision, component ids as in the captured beacon."""
        serial, software = b"SIM0000001", self.scenario.firmware.encode()
        entries = ((1, 8, serial), (4, 0x58, software))
        return listed([struct.pack(">HHH", kind, part, len(text)) + text for kind, part, text in entries])

    def observations(self, polled: int, t: float, static: bool, waves: tuple[int, ...]) -> list[bytes]:
        """Return the objects of a polled class. static: with label, unit, scale; waves: labels of those wanted."""
        if polled == layout.NUMERICS:
            return [self._numeric(numeric, t, static) for numeric in NUMERICS]
        if polled == layout.WAVES:
            return [self._wave(wave, t, static) for wave in WAVES if wave.label in waves]
        if polled == layout.ALERT_MONITOR:
            return [self._alert_monitor(t)]
        if polled == layout.MDS:
            return [_observation(0, [attribute(0x092D, self._production())])]
        return []

    def _numeric(self, numeric: Numeric, t: float, static: bool) -> bytes:
        values = b"".join(self._value(numeric, item, t) for item in numeric.values)
        attributes = _numeric_static(numeric) if static else []
        if numeric.episodic and (measured := self.patient.nbp_at(t)) is not None:
            attributes.append(attribute(0x0990, self._bcd(measured)))  # TIME_STAMP_ABS
        if len(numeric.values) > 1:
            attributes.append(attribute(0x094B, struct.pack(">HH", len(numeric.values), len(values)) + values))
        else:
            attributes.append(attribute(0x0950, values))
        return _observation(numeric.handle, attributes)

    def _value(self, numeric: Numeric, item: tuple[int, str, int], t: float) -> bytes:
        """Return one NuObsValue, and put it into the ledger."""
        physio_id, name, digits = item
        state = self._states
        value = self.patient.value(name, t)
        if numeric.of_ecg and self.leads_off(t):
            value, state = None, state | INVALID
        elif value is None:
            state |= UNAVAILABLE
        elif any(alert.source == physio_id and alert.kind > 0xFF for alert in self._alerts(t)):
            state |= IN_ALARM
        said = Said(t, physio_id, numeric.label, "" if value is None else f"{value:.{digits}f}", state)
        self.ledger.append(said)
        if callable(self.scenario.said):
            self.scenario.said(said)
        raw = FLOAT_NAN if value is None else _float_type(value, digits)
        return struct.pack(">HHHI", physio_id, state, numeric.unit, raw)

    def _wave(self, wave: WaveForm, t: float, static: bool) -> bytes:
        """Return one wave object with the samples of the block that ends at `t`."""
        low, high, low_scaled, high_scaled = wave.scale
        times = t + np.arange(-wave.samples, 0, dtype=np.float64) * (wave.period_ticks / TICKS_PER_S)
        counts = low_scaled + (self.patient.wave(wave, times) - low) * ((high_scaled - low_scaled) / (high - low))
        samples = np.clip(np.rint(counts), low_scaled, high_scaled).astype(">u2").tobytes()
        state = self._states
        if wave.of_ecg and self.leads_off(t):
            state |= INVALID
        value = struct.pack(">HHH", wave.physio_id, state, len(samples)) + samples
        return _observation(wave.handle, (_wave_static(wave) if static else []) + [attribute(0x096E, value)])

    def _alerts(self, t: float) -> list[Alert]:
        return self.patient.alerts(t, self.leads_off(t))

    def _alert_monitor(self, t: float) -> bytes:
        state = (0x0400 if self.scenario.test else 0) | (0x0100 if self.scenario.demo else 0)
        lists: dict[int, list[bytes]] = {0x0902: [], 0x0904: []}  # patient, technical
        for alert in self._alerts(t):
            entry = struct.pack(">HHHHHHHHH", alert.source, alert.code, alert.kind, state, 6, 0, 0, 0, 0)
            lists[0x0902 if alert.kind > 0xFF else 0x0904].append(entry)
        return _observation(0x83C0, [attribute(which, listed(entries)) for which, entries in lists.items()])

    def _bcd(self, t: float) -> bytes:
        """Return the monitor's clock as AbsoluteTime."""
        hundredths = round((self.scenario.epoch_s + t) * 100)
        when = datetime.fromtimestamp(hundredths // 100, UTC)
        return bytes.fromhex(f"{when:%Y%m%d%H%M%S}{hundredths % 100:02d}")


def within(window: tuple[float, ...], t: float) -> bool:
    """Tell whether `t` lies in a window (from, to); none is empty."""
    return len(window) == 2 and window[0] <= t < window[1]


def ticks(t: float) -> int:
    return round(t * TICKS_PER_S) & 0xFFFF_FFFF


def _float_type(value: float, digits: int) -> int:
    mantissa: int = round(value * 10**digits) & 0xFF_FFFF
    return (-digits & 0xFF) << 24 | mantissa


def _label(text: str) -> bytes:
    """Return a VariableLabel, NUL-terminated and padded to an even length as in the captures."""
    raw = text.encode() + (b"\0" if len(text) % 2 else b"\0\0")
    return struct.pack(">H", len(raw)) + raw


def _observation(handle: int, attributes: list[bytes]) -> bytes:
    return struct.pack(">H", handle) + listed(attributes)


def _numeric_static(numeric: Numeric) -> list[bytes]:
    """Type, label, unit and MetricSpec {period, category auto, access, structure, relevance}."""
    access = 0x2000 | 0x1000 if numeric.episodic else 0x4000  # episodic, non-continuous; periodic
    compound = len(numeric.values) > 1
    spec = struct.pack(">IHHBBH", ticks(NUMERIC_PERIOD_S), 1, access, compound, len(numeric.values), 0)
    return [
        attribute(0x092F, struct.pack(">HH", 1, layout.NUMERICS)),
        attribute(0x0924, struct.pack(">I", numeric.label)),
        attribute(0x093F, spec),
        attribute(0x0940, bytes(2)),  # METRIC_STAT: on
        attribute(0x0996, struct.pack(">H", numeric.unit)),
    ]


def _wave_static(wave: WaveForm) -> list[bytes]:
    """Type, label, unit, SaSpec, period and scale."""
    low, high, low_scaled, high_scaled = wave.scale
    scale = struct.pack(">IIHH", *(_float_type(v, wave.digits) for v in (low, high)), low_scaled, high_scaled)
    return [
        attribute(0x092F, struct.pack(">HH", 1, layout.WAVES)),
        attribute(0x0924, struct.pack(">I", wave.label)),
        attribute(0x0996, struct.pack(">H", wave.unit)),
        attribute(0x096D, struct.pack(">HBBH", wave.samples, 16, wave.bits, wave.flags)),
        attribute(0x098D, struct.pack(">I", wave.period_ticks)),
        attribute(0x096F, scale),
    ]
