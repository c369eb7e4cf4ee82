"""The plan: a profile resolved for one firmware, compiled so that decoding asks no questions.

    Frame ──► table of its kind ──► block of SAMPLE

Four shapes of payload, each with its own compiled table:
    bytes            fixed layout: fields at offsets (registers, binary records)
    list[Reading]    self-describing numbers and words: looked up by (object, instance)
    Wave             a run of samples of one object: one numpy pass, no per-sample Python
    Alerts           the list of what is active: rows for what began, changed and ended (gateway.core.alert)

Laws
  * No value is dropped or repaired. What has no value is NaN with a validity that says why; what is outside the range
    of the profile keeps its number and is marked OFLW or UFLW; what is not in the profile is counted in `unmapped`.
  * An experimental profile has no valid value: everything that would be is questionable, in every output.
  * The digest names everything that decides the meaning of a number; it travels with the data.
"""

from __future__ import annotations

import copy
import math
import struct
from collections import Counter

import numpy as np

from gateway.core.alert import AlertList, Row
from gateway.core.conversion import Field, Target, target
from gateway.core.errors import ProfileError
from gateway.core.frame import Alert, Alerts, Frame, Reading, Wave
from gateway.core.metric import DeviceRow, Metric, device_rows, digest, resolve
from gateway.core.nomenclature import Nomenclature
from gateway.core.notes import NoteList, Notes
from gateway.core.profile import MetricSpec, Profile
from gateway.core.sample import SAMPLE, USABLE, Block, Flag, Validity, empty_block
from gateway.core.wave_clock import WaveClock

__all__ = ["DeviceRow", "Metric", "Plan"]

_pack_row = struct.Struct("<qQdHHBBH").pack  # one SAMPLE
OWNER_NS = 5_000_000_000  # five missed updates of a device that sends once a second
_AFTER_GAP = np.uint8(Flag.AFTER_GAP)  # numpy widens an IntFlag, and refuses to narrow it again
MAX_UNMAPPED = 1024  # distinct ids kept in the counter; a device with more is counted under "other"
CLOCK_STEP_S = 1.0  # a device's clock that moves against ours by so much is told
CLOCK_AGAIN_NS = 600_000_000_000  # and every ten minutes anyway
CLOCK_END_NS = 7_258_118_400_000_000_000  # 2200-01-01; a clock before 1970 or from then on shows no time


class Plan:
    """Decodes frames of one device.

    digest: 32 bytes, sha256 of all that decides the meaning of its numbers
    metrics: resolved metrics, by index
    rows: device rows, parents before children
    unmapped: (kind, object) -> how often a value came that the profile does not name
    notes: where texts that rows refer to get their numbers; a port puts the notes of its ring here
    """

    def __init__(self, profile: Profile, firmware: str, nomenclature: Nomenclature) -> None:
        channels = profile.resolve(firmware)
        specs = [spec for channel in channels for spec in channel.metrics]
        self.profile_id = profile.id
        self.firmware = firmware
        self.model = f"{profile.vendor} {profile.model}"
        self.experimental = profile.experimental
        self.metrics = resolve(specs, nomenclature)
        self.rows = device_rows(profile, channels, nomenclature)
        self.digest = digest(profile, channels, self.metrics)
        self.unmapped: Counter[tuple[str, int | str]] = Counter()
        self.notes: Notes = NoteList()
        self._objects: dict[str, dict[tuple[int | str, int], Target]] = {}
        self._fields: dict[str, list[Field]] = {}
        self._alert_bits: dict[str, list[tuple[str, Field]]] = {}
        self._clock = next((m.index for m in self.metrics if m.kind == "clock"), None)
        for spec, metric in zip(specs, self.metrics, strict=True):
            self._compile(spec, target(spec, metric, profile, nomenclature))
        paths = {spec.object: spec.path for spec in specs if spec.object is not None and spec.kind == "numeric"}
        alerts = [(i, spec) for i, spec in enumerate(specs) if spec.kind == "alert"]
        self._follow(AlertList(alerts, paths))

    def _compile(self, spec: MetricSpec, found: Target) -> None:
        if spec.kind == "alert":
            if spec.object is None:
                self._alert_bits.setdefault(spec.frame, []).append((spec.path, Field(spec, found)))
            return
        if spec.kind == "clock":
            return
        if spec.object is None:
            self._fields.setdefault(spec.frame, []).append(Field(spec, found))
            return
        table = self._objects.setdefault(spec.frame, {})
        if (spec.object, spec.instance) in table:
            raise ProfileError(f"{spec.id} is reached like a metric before it", spec.where, "one way, one metric")
        table[spec.object, spec.instance] = found

    def _follow(self, alerts: AlertList) -> None:
        """Begin to follow a device: nothing is known of it yet."""
        self._owners: dict[tuple[str, int | str], tuple[int, int]] = {}  # -> (instance, t_ns)
        self._alerts = alerts
        self._waves: dict[int, WaveClock] = {}
        self._offset: tuple[float, int] | None = None  # of the device's clock, s, and when it was told

    def twin(self) -> Plan:
        """Return the same plan for another device: the tables are shared, what it counts and follows is its own."""
        other = copy.copy(self)
        other.unmapped = Counter()
        other.notes = NoteList()
        other._follow(self._alerts.fresh())
        return other

    def decode(self, frame: Frame, source: int) -> Block:
        """Return the samples of one frame, shape (n,), seq not yet set (0). `source`: number of the device."""
        payload = frame.payload
        if isinstance(payload, Wave):
            return self._wave(frame, payload, source)
        if isinstance(payload, bytes):
            rows = self._read_fields(frame, payload, source)
        elif isinstance(payload, Alerts):
            rows = self._read_alerts(frame, payload, source)
        else:
            rows = self._read_objects(frame, payload, source)
        if frame.device_ns is not None and self._clock is not None:
            rows += self._read_clock(frame, frame.device_ns, self._clock, source)
        if not rows:
            return empty_block()
        # Packing rows one by one and viewing the bytes costs half of np.array(rows, SAMPLE).
        block = np.frombuffer(bytearray(b"".join([_pack_row(*row) for row in rows])), SAMPLE)
        if frame.after_gap:
            block["flags"] |= _AFTER_GAP
        return block

    def _read_objects(self, frame: Frame, readings: list[Reading], source: int) -> list[Row]:
        table = self._objects.get(frame.kind, {})
        rows: list[Row] = []
        for object_, instance, unit, raw, validity, flags, age_ns in readings:
            target = table.get((object_, instance)) or self._general(frame, object_, instance)
            if target is None:
                continue
            value, state = self._judge(frame.kind, object_, target, unit, raw, validity)
            t_ns = frame.t_ns - age_ns if age_ns > 0 else frame.t_ns
            rows.append((t_ns, 0, value, target.metric, source, state, target.flags | flags, 0))
        return rows

    def _read_alerts(self, frame: Frame, alerts: Alerts, source: int) -> list[Row]:
        rows = self._alerts.rows(frame, alerts, source, self.notes)
        if rows is None:
            self._count_unmapped(frame.kind, "alerts")
            return []
        return [(*row[:5], self._trust(row[5]), *row[6:]) for row in rows] if self.experimental else rows

    def _read_clock(self, frame: Frame, device_ns: int, metric: int, source: int) -> list[Row]:
        """Return a row with the offset of the device's clock, s, when it is new."""
        offset, validity = round((device_ns - frame.t_ns) / 1e9, 3), self._trust(Validity.VLD)
        if not 0 <= device_ns < CLOCK_END_NS:
            offset, validity = math.nan, Validity.INV
        if self._offset is not None:
            before, told = self._offset
            same = abs(offset - before) < CLOCK_STEP_S or (math.isnan(offset) and math.isnan(before))
            if same and 0 <= frame.t_ns - told < CLOCK_AGAIN_NS:
                return []
        self._offset = (offset, frame.t_ns)
        return [(frame.t_ns, 0, offset, metric, source, validity, 0, 0)]

    def _general(self, frame: Frame, object_: int | str, instance: int) -> Target | None:
        """Return the target for any instance.

        It belongs to one instance at a time: two sources are never mixed. When its owner has been silent for OWNER_NS
        (the monitor now takes the pulse from another sensor), the next one that comes takes over.
        """
        target = self._objects.get(frame.kind, {}).get((object_, 0))
        if target is None:
            self._count_unmapped(frame.kind, object_)
            return None
        owner, heard = self._owners.get((frame.kind, object_), (instance, frame.t_ns))
        if owner != instance and abs(frame.t_ns - heard) < OWNER_NS:  # also when our clock was set back
            self._count_unmapped(frame.kind, f"{object_} instance {instance}")
            return None
        self._owners[frame.kind, object_] = (instance, frame.t_ns)
        return target

    def _read_fields(self, frame: Frame, payload: bytes, source: int) -> list[Row]:
        rows: list[Row] = []
        for field in self._fields.get(frame.kind, ()):
            raw = field.read(payload)
            validity = Validity.NA if raw is None else Validity.VLD
            value = math.nan if raw is None else raw
            value, state = self._judge(frame.kind, field.at, field.target, 0, value, validity)
            rows.append((frame.t_ns, 0, value, field.target.metric, source, state, field.target.flags, 0))
        bits = self._alert_bits.get(frame.kind)
        if bits:  # an alert of a fixed layout is a field that is not 0
            active = tuple(Alert(path) for path, field in bits if field.read(payload))
            rows += self._read_alerts(frame, Alerts(active), source)
        elif not rows:
            self._count_unmapped(frame.kind, "frame")
        return rows

    def _judge(
        self, kind: str, object_: int | str, target: Target, unit: int | str, raw: float | str, validity: int
    ) -> tuple[float, int]:
        """Return (value in the metric's unit, validity)."""
        if target.enum is not None:
            return self._state(target.enum, target.raw_invalid, raw, validity)
        if isinstance(raw, str):  # a word where a number belongs
            self._count_unmapped(kind, f"{object_} is no number")
            return math.nan, Validity.INV
        if math.isnan(raw):
            return raw, (Validity.NA if validity in USABLE else validity)
        if raw in target.raw_invalid:
            return math.nan, Validity.NA
        convert = target.by_unit.get(unit)
        if convert is None:  # a unit whose dimension does not fit: a number without meaning
            self._count_unmapped(kind, f"{object_} unit {unit}")
            return math.nan, Validity.INV
        value = convert.one(raw)
        if validity in USABLE:
            validity = Validity.OFLW if value > target.high else Validity.UFLW if value < target.low else validity
        return value, (Validity.QST if self.experimental and validity <= Validity.VLDATED else validity)

    def _trust(self, validity: int) -> int:
        """Nothing of an experimental profile is valid: what would be is questionable."""
        return Validity.QST if self.experimental and validity <= Validity.VLDATED else validity

    def _state(
        self, enum: dict[int | str, int], invalid: frozenset[float], raw: float | str, validity: int
    ) -> tuple[float, int]:
        """Return (index of the token, validity) of an enumeration. A state that is not listed is no value."""
        if raw in invalid or (not isinstance(raw, str) and math.isnan(raw)):
            return math.nan, (Validity.NA if validity in USABLE else validity)
        index = enum.get(raw if isinstance(raw, str) else int(raw))
        if index is None:
            return math.nan, Validity.INV
        return float(index), (Validity.QST if self.experimental and validity <= Validity.VLDATED else validity)

    def _wave(self, frame: Frame, wave: Wave, source: int) -> Block:
        table = self._objects.get(frame.kind, {})
        target = table.get((wave.object, wave.instance)) or self._general(frame, wave.object, wave.instance)
        n = len(wave.samples)
        if target is None or not n:
            return empty_block()
        clock = self._waves.setdefault(target.metric, WaveClock())
        block = np.zeros(n, SAMPLE)
        block["t_ns"], gap = clock.times(frame.t_ns, wave.period_ns, n, frame.after_gap)
        block["metric"] = target.metric
        block["source"] = source
        block["note"] = self.notes.index(str(wave.period_ns))
        block["flags"] = target.flags | wave.flags | Flag.WAVEFORM
        block["validity"] = self._trust(wave.validity)
        convert = target.by_unit.get(wave.unit)
        if convert is None:
            self._count_unmapped(frame.kind, f"{wave.object} unit {wave.unit}")
            block["value"], block["validity"] = math.nan, Validity.INV
            return block
        values = convert.many(wave.samples)
        block["value"] = values
        missing = np.isnan(values)
        if missing.any():
            block["validity"][missing] = max(wave.validity, Validity.INV)
        if frame.after_gap or gap:
            block["flags"][0] |= _AFTER_GAP
        return block

    def _count_unmapped(self, kind: str, object_: int | str) -> None:
        key = (kind, object_)
        if key not in self.unmapped and len(self.unmapped) >= MAX_UNMAPPED:
            key = (kind, "other")
        self.unmapped[key] += 1
