"""What the simulated monitor has to say: its objects (modules) with the values of a scene, as bytes.

Layouts: protocol notes sections 8, 11, 12, 14, 16.1. The scenario decides over states: demo, test, leads off, and over
single values. What the scene does not measure is sent as the monitor's own "no value": FLOAT NaN and UNAVAILABLE for a
number, INVALID for a wave. All is a function of scenario, scene and time; `t` is `now`.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import floor, isnan
from typing import NamedTuple, TypeVar

import numpy as np

from drivers.philips_intellivue import pdu as layout
from drivers.philips_intellivue.alerts import OF_CLASS, PATIENT_ALERTS, TECHNICAL_ALERTS, WITH_STRING
from drivers.philips_intellivue.modules import AlertEvent, Modules, Numeric, WaveForm, number
from drivers.philips_intellivue.options import Scenario
from drivers.philips_intellivue.pdu import TICKS_PER_S, attribute, listed
from gateway.core.profile import MetricSpec, Profile
from gateway.core.scene import Scene

T = TypeVar("T")
NUMERIC_PERIOD_S, WAVE_PERIOD_S = 1.024, 0.256  # as on the MP90 recordings
INVALID, UNAVAILABLE, TEST_DATA, DEMO_DATA, IN_ALARM = 0x8000, 0x2000, 0x0800, 0x0400, 0x0002  # section 11
FLOAT_NAN = 0x007F_FFFF
ALERT_MONITOR_HANDLE = 0x83C0  # ours
ALERTS_AT_ONCE = 8  # in each list: with their texts they fit into one PDU; a list has about 16 at most, section 14
ALERTS_TURN_S = 2.0  # then the next ones, so that all come in the ten seconds in which a scene alarms; ours
WAVES_AT_ONCE, WAVES_TURN_S = 4, 5.0  # of the monitor's own list: what a serial line carries; then the next ones; ours
PRIORITIES = {True: (0, 0x0001, 0x0002, 0x0004), False: (0, 0x0100, 0x0200, 0x0400)}  # technical, patient; section 14
ADDRESS = bytes.fromhex("0009fb0000017f000001ff000000")  # MAC (ours), 127.0.0.1 and its mask: where simulators are
# applications ACSE (1) and DATA_OUT (5) by UDP (1) on port 24105, section 16.1
PROTOCOLS = ((1, 1, 24105, 0), (5, 1, 24105, 0))

PREMATURE = {"MDC_ECG_V_P_C_CNT": "MDC_ECG_V_P_C_RATE"}  # this monitor counts them per minute, as the scene does
PERFUSION = "MDC_PULS_OXIM_PERF_REL"  # the MP90 sends 2.4 with the unit "none"; the scene has 2.4 %, which is 0.024

OVERRIDES = {  # option of the scenario -> terms of the scene
    "hr": ("MDC_ECG_HEART_RATE", "MDC_PULS_RATE", "MDC_PULS_OXIM_PULS_RATE"),
    "spo2": ("MDC_PULS_OXIM_SAT_O2",),
    "perf": ("MDC_PULS_OXIM_PERF_REL",),
    "rr": ("MDC_RESP_RATE", "MDC_AWAY_RESP_RATE"),
    "sys": ("MDC_PRESS_BLD_ART_SYS", "MDC_PRESS_BLD_ART_ABP_SYS", "MDC_PRESS_BLD_NONINV_SYS"),
    "dia": ("MDC_PRESS_BLD_ART_DIA", "MDC_PRESS_BLD_ART_ABP_DIA", "MDC_PRESS_BLD_NONINV_DIA"),
    "temp": ("MDC_TEMP",),
    "etco2": ("MDC_AWAY_CO2_ET",),
}


def dressed(scene: Scene, scenario: Scenario) -> Scene:
    """Return the scene with the numbers that the scenario gives in place of its own."""
    given = {name: float(getattr(scenario, name)) for name in OVERRIDES}
    fixed = {term: value for name, value in given.items() if not isnan(value) for term in OVERRIDES[name]}
    if not isnan(scenario.sys + scenario.dia):
        mean = (scenario.sys + 2 * scenario.dia) / 3
        fixed |= {term.replace("_SYS", "_MEAN"): mean for term in OVERRIDES["sys"]}
    return replace(scene, fixed={**scene.fixed, **fixed})


class Said(NamedTuple):
    """One numeric value that went out: text as displayed ("" for none), state as sent."""

    t: float
    object: int
    instance: int
    text: str
    state: int


class Bedside:
    """The monitor's objects under one scenario. `ledger` holds the last numeric values that went out."""

    def __init__(self, profile: Profile, scenario: Scenario, scene: Scene) -> None:
        self.scenario = scenario
        self.scene = dressed(scene, scenario)
        self.modules = Modules(profile, scenario.firmware, scenario.only)
        self.begin = 0.0  # `t` at which the windows of the scenario begin to count
        self.ledger: deque[Said] = deque(maxlen=65_536)
        self._states = (TEST_DATA if scenario.test else 0) | (DEMO_DATA if scenario.demo else 0)

    def leads_off(self, t: float) -> bool:
        """Tell whether the ECG leads are off at `t`."""
        return within(self.scenario.leads_off_s, t - self.begin)

    # ---- who it is

    def mds_create(self, t: float) -> bytes:
        """Return the MDS Create Event, invoke id 1 as on the MP90 recordings."""
        attributes = [
            *self._identity(),
            attribute(0x0946, b"\x20\x00" if self.scenario.demo else b"\x40\x00"),  # MODE_OP
            attribute(0x0987, self._bcd(t)),  # TIME_ABS
            attribute(0x098F, struct.pack(">I", ticks(t))),  # TIME_REL
        ]
        mds = struct.pack(">HHH", layout.MDS, 0, 0)
        info = mds + listed(attributes)
        argument = mds + struct.pack(">IHH", ticks(t), layout.MDS_CREATE, len(info)) + info
        return layout.invocation(layout.ROIV, 1, layout.CONFIRMED_EVENT, argument)

    def connect_indication(self, t: float) -> bytes:
        """Return the beacon, as the captured one is built: an unconfirmed event of object class 0x23."""
        protocols = listed([struct.pack(">HHHH", *entry) for entry in PROTOCOLS])
        attributes = [attribute(0xF100, ADDRESS), attribute(0xF101, protocols), *self._identity()]
        body = struct.pack(">HHHIH", 0x23, 0, 0, ticks(t), 0x0D17)
        info = listed(attributes)
        argument = body + struct.pack(">H", len(info)) + info
        report = struct.pack(">HHHHH", layout.ROIV, len(argument) + 6, 0, 0, len(argument))
        return b"\x00\x00\x01\x00" + report + argument  # nomenclature version in place of the session header

    def _identity(self) -> list[bytes]:
        model = attribute(0x0928, _label("Philips") + _label("866062"))  # ID_MODEL, the captured beacon's
        return [model, attribute(0x092D, self._production())]  # ID_PROD_SPECN

    def _production(self) -> bytes:
        """Serial number and software revision, component ids as in the captured beacon."""
        serial, software = b"SIM0000001", self.scenario.firmware.encode()
        entries = ((1, 8, serial), (4, 0x58, software))
        return listed([struct.pack(">HHH", kind, part, len(text)) + text for kind, part, text in entries])

    # ---- what it measures

    def observations(self, polled: int, t: float, seen: set[int], wanted: tuple[int, ...] | None) -> list[bytes]:
        """Return the objects of a polled class.

        seen: handles whose label, unit and scale the client has; those that are told now are added
        wanted: labels of the waves to be sent, None: those of the monitor's own list
        """
        if polled == layout.NUMERICS:
            alarming = {event.source for event in self._active(t) if not event.technical}
            return [self._numeric(item, t, _is_new(item.handle, seen), alarming) for item in self.modules.numerics]
        if polled == layout.WAVES:
            return [self._wave(wave, t, _is_new(wave.handle, seen)) for wave in self._sent_waves(t, wanted)]
        if polled == layout.ALERT_MONITOR:
            return [self._alert_monitor(t)]
        if polled == layout.MDS:
            return [_observation(0, [attribute(0x092D, self._production())])]
        return []

    def _numeric(self, numeric: Numeric, t: float, static: bool, alarming: set[int]) -> bytes:
        attributes = _numeric_static(numeric) if static else []
        measured: float | None = t
        if numeric.episodic:
            measured = self.scene.measured_at(numeric.rows[0].id, t)
            if measured is not None:
                attributes.append(attribute(0x0990, self._bcd(measured)))  # TIME_STAMP_ABS
        values = b"".join(self._value(numeric, row, t, measured, alarming) for row in numeric.rows)
        if len(numeric.rows) > 1:
            attributes.append(attribute(0x094B, struct.pack(">HH", len(numeric.rows), len(values)) + values))
        else:
            attributes.append(attribute(0x0950, values))
        return _observation(numeric.handle, attributes)

    def _value(self, numeric: Numeric, row: MetricSpec, t: float, measured: float | None, alarming: set[int]) -> bytes:
        """Return one NuObsValue, and put it into the ledger."""
        physio_id, digits = number(row), decimals(row)
        state = self._states
        asked = replace(row, id=PREMATURE[row.id]) if row.id in PREMATURE else row
        value = None if measured is None else self.scene.raw(asked, measured)
        if value is not None and row.id == PERFUSION:
            value *= 100
        if numeric.of_ecg and self.leads_off(t):
            value, state = None, state | INVALID
        elif value is None:
            state |= UNAVAILABLE
        elif physio_id in alarming:
            state |= IN_ALARM
        said = Said(t, physio_id, numeric.label, "" if value is None else f"{value:.{digits}f}", state)
        self.ledger.append(said)
        if callable(self.scenario.said):
            self.scenario.said(said)
        raw = FLOAT_NAN if value is None else _float_type(value, digits)
        return struct.pack(">HHHI", physio_id, state, numeric.unit, raw)

    def _sent_waves(self, t: float, wanted: tuple[int, ...] | None) -> list[WaveForm]:
        waves = self.modules.waves
        if wanted is not None:
            return [wave for wave in waves if wave.label in wanted]
        return _turn(waves, WAVES_AT_ONCE, floor(t / WAVES_TURN_S))

    def _wave(self, wave: WaveForm, t: float, static: bool) -> bytes:
        """Return one wave object with the samples of the block that ends at `t`."""
        shape = wave.shape
        low, high, low_scaled, high_scaled = shape.scale
        times = t + np.arange(-shape.samples, 0, dtype=np.float64) * (shape.period_ticks / TICKS_PER_S)
        physical = self.scene.wave(wave.row.id, times)
        if wave.row.unit == "Ohm":  # the scene breathes 30 L/min; the impedance follows in its own small range
            physical = 0.65 + physical / 50
        state = self._states
        if np.isnan(physical).any() or (wave.of_ecg and self.leads_off(t)):
            physical, state = np.full(shape.samples, low), state | INVALID
        counts = low_scaled + (physical - low) * ((high_scaled - low_scaled) / (high - low))
        samples = np.clip(np.rint(counts), low_scaled, high_scaled).astype(">u2").tobytes()
        value = struct.pack(">HHH", number(wave.row), state, len(samples)) + samples
        return _observation(wave.handle, (_wave_static(wave) if static else []) + [attribute(0x096E, value)])

    # ---- what it alarms on

    def _active(self, t: float) -> list[AlertEvent]:
        """Return the events that alarm at `t`: as many of the scene's as a list holds, and leads that are off."""
        found = []
        for technical in (False, True):
            events = [e for e in self.modules.events if e.technical == technical and self.scene.alert(e.row.id, t)]
            found += _turn(events, ALERTS_AT_ONCE, floor(t / ALERTS_TURN_S))
        if self.leads_off(t):
            found += [event for event in self.modules.leads_off if event not in found]
        return found

    def _alert_monitor(self, t: float) -> bytes:
        room = (self.scenario.mtu - 128) // 2  # of each list: both are one object, and that is one PDU
        lists: dict[int, list[bytes]] = {PATIENT_ALERTS: [], TECHNICAL_ALERTS: []}
        for event in self._active(t):
            entries = lists[TECHNICAL_ALERTS if event.technical else PATIENT_ALERTS]
            entry = self._alert_entry(event, t)
            if sum(map(len, entries)) + len(entry) <= room:
                entries.append(entry)
        attributes = [attribute(which, listed(entries)) for which, entries in lists.items()]
        return _observation(ALERT_MONITOR_HANDLE, attributes)

    def _alert_entry(self, event: AlertEvent, t: float) -> bytes:
        """Return one DevAlarmEntry with the text on the screen, as the MP90 sends them all."""
        state = (0x0400 if self.scenario.test else 0) | (0x0100 if self.scenario.demo else 0)
        priority = self.scene.alert(event.row.id, t) or 2
        words = event.row.id.split("_EVT_")[-1].replace("_", " ").encode("utf-16-be") + b"\0\0"
        info = struct.pack(">HIHHH", 1, 0, 0, 0, len(words)) + words  # instance, TextId, priority, flags, String
        kind = PRIORITIES[event.technical][priority]
        about = layout.MDS if event.code & OF_CLASS else layout.NUMERICS
        head = (event.source, event.code, kind, state, about, 0, 0, WITH_STRING, len(info))
        return struct.pack(">HHHHHHHHH", *head) + info

    def _bcd(self, t: float) -> bytes:
        """Return the monitor's clock as AbsoluteTime."""
        hundredths = self.scene.utc_ns(t) // 10_000_000
        when = datetime.fromtimestamp(hundredths // 100, UTC)
        return bytes.fromhex(f"{when:%Y%m%d%H%M%S}{hundredths % 100:02d}")


def _turn(items: Sequence[T], size: int, turn: int) -> list[T]:
    """Return `size` of the items: the first ones, then the next ones, and so on in circles."""
    first = turn % max(1, -(-len(items) // size)) * size
    return list(items[first : first + size])


def _is_new(handle: int, seen: set[int]) -> bool:
    new = handle not in seen
    seen.add(handle)
    return new


def within(window: tuple[float, ...], t: float) -> bool:
    """Tell whether `t` lies in a window (from, to); none is empty."""
    return len(window) == 2 and window[0] <= t < window[1]


def ticks(t: float) -> int:
    """Return `t` as RelativeTime."""
    return round(t * TICKS_PER_S) & 0xFFFF_FFFF


def decimals(row: MetricSpec) -> int:
    """Return how many decimals the monitor shows: none for what goes to hundreds, two for what stays below ten."""
    low, high = row.range or (0, 100)
    span = high - low
    return 0 if span > 105 else 1 if span > 10 else 2


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
    compound = len(numeric.rows) > 1
    spec = struct.pack(">IHHBBH", ticks(NUMERIC_PERIOD_S), 1, access, compound, len(numeric.rows), 0)
    return [
        attribute(0x092F, struct.pack(">HH", 1, layout.NUMERICS)),
        attribute(0x0924, struct.pack(">I", numeric.label)),
        attribute(0x093F, spec),
        attribute(0x0940, bytes(2)),  # METRIC_STAT: on
        attribute(0x0996, struct.pack(">H", numeric.unit)),
    ]


def _wave_static(wave: WaveForm) -> list[bytes]:
    """Type, label, unit, SaSpec, period and scale."""
    shape = wave.shape
    low, high, low_scaled, high_scaled = shape.scale
    scale = struct.pack(">IIHH", *(_float_type(v, shape.digits) for v in (low, high)), low_scaled, high_scaled)
    return [
        attribute(0x092F, struct.pack(">HH", 1, layout.WAVES)),
        attribute(0x0924, struct.pack(">I", wave.label)),
        attribute(0x0996, struct.pack(">H", shape.unit)),
        attribute(0x096D, struct.pack(">HBBH", shape.samples, 16, shape.bits, shape.flags)),
        attribute(0x098D, struct.pack(">I", shape.period_ticks)),
        attribute(0x096F, scale),
    ]
