"""How a profile reads a recording, row by row, and what it leaves unread: for whoever writes the profile.

    bytes ──► driver ──► Frame ──► field, raw number ──► value, unit, validity ──► OBX

The decoder is the one of `mdi decode`, so what is shown is what would be stored and sent. Nothing is concluded here:
that a byte is unread or an object unmapped is no mistake in itself, it is what the manual has to be asked about.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.alert import read_note, unpack, unpack_count
from gateway.core.conversion import Field, target
from gateway.core.errors import ConfigError
from gateway.core.frame import Frame, Reading, Wave
from gateway.core.hl7 import Encoder
from gateway.core.hl7_alert import AlertEncoder
from gateway.core.hl7_message import DeviceIdentity, Sender
from gateway.core.nomenclature import nomenclature
from gateway.core.notes import NoteList
from gateway.core.plan import Plan
from gateway.core.profile import MetricSpec, Profile
from gateway.core.sample import IS_USABLE, SAMPLE, Block, Flag, empty_block
from gateway.decode import Decoder, sample_json, value_of
from gateway.record import Direction, open_capture, read_recording
from gateway.registry import Profiles

HEARD = 512  # bytes of the line kept for the frame that ends in them
PIECE = 32  # raw bytes are read in pieces so small that each frame has its own; two records of a CAN bus
_SENDER = Sender("MDI", "0000000000000000", "", "", "")
_DEVICE = DeviceIdentity("device", "0000000000000000")


class _Row:
    """One row of the profile in a plan: its index, how a person calls its field, byte -> mask of the bits it reads."""

    def __init__(self, index: int, spec: MetricSpec, reader: Field | None) -> None:
        self.index, self.spec, self.reader = index, spec, reader
        self.masks = {} if reader is None else _masks(reader)
        kind = f"bit {spec.bit}" if spec.type == "bit" else spec.type
        instance = f" instance {_id(spec.instance)}" if spec.instance else ""
        self.field = _id(spec.object) + instance if spec.at is None else f"at {spec.at} {kind}"


@dataclass(slots=True)
class Item:
    """One value on its way. metric: index in the plan, None when no row names it; marks: names of flags."""

    field: str
    raw: str
    metric: int | None = None
    row: str = ""
    value: str = "—"
    unit: str = ""
    validity: str = ""
    marks: tuple[str, ...] = ()
    obx: str = ""


@dataclass(slots=True)
class Traced:
    """One frame. heard: what came on the line since the frame before; items: its values, in its order.

    owners: byte of the payload -> index of the row that reads it first; samples: of a wave, as stored
    """

    number: int
    frame: Frame
    heard: bytes
    items: list[Item] = field(default_factory=list)
    owners: Mapping[int, int] = field(default_factory=dict)
    samples: list[float] = field(default_factory=list)


class _TracedPlan(Plan):
    """A plan that remembers which frame gave which rows; readings are decoded one by one, so that each has its own."""

    def __init__(self, profile: Profile, firmware: str) -> None:
        super().__init__(profile, firmware, nomenclature())
        self.notes = self.texts = NoteList()
        self.seen: list[tuple[Frame, list[tuple[Reading | None, Block]]]] = []

    def decode(self, frame: Frame, source: int) -> Block:
        if isinstance(frame.payload, list) and frame.payload:
            pieces: list[tuple[Reading | None, Block]] = [
                (reading, super(_TracedPlan, self).decode(replace(frame, payload=[reading]), source))
                for reading in frame.payload
            ]
        else:
            pieces = [(None, super().decode(frame, source))]
        self.seen.append((frame, pieces))
        blocks = [block for _, block in pieces if len(block)]
        return np.concatenate(blocks) if blocks else empty_block()


class _TracedDecoder(Decoder):
    """The decoder of `mdi decode`, with plans that remember."""

    def _compile(self, firmware: str) -> Plan:
        return _TracedPlan(self.profile, firmware)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a device was recorded with: options of its port and of itself, its firmware as configured."""

    options: dict[str, Any] = field(default_factory=dict)
    device_options: dict[str, Any] = field(default_factory=dict)
    firmware: str = ""


def recorded_settings(path: Path, profile_id: str) -> Recorded:
    """Return what a recording says of the device with this profile; nothing for any other file."""
    try:
        header = read_recording(path).header
    except ConfigError:  # no recording: whoever reads it next says what is wrong with it, if anything is
        return Recorded()
    devices = zip(header.profiles, json.loads(header.devices), strict=False)
    mine: dict[str, Any] = next((device for (name, _), device in devices if name == profile_id), {})
    return Recorded(json.loads(header.options), mine.get("options", {}), mine.get("firmware", ""))


class Trace:
    """Reads one recording with one profile. `frames` yields them; `unread` then tells what was left."""

    def __init__(
        self,
        profile: Profile,
        profiles: Profiles,
        options: Mapping[str, Any],
        device_options: Mapping[str, Any],
        firmware: str = "",
    ) -> None:
        self._decoder = _TracedDecoder(profile, profiles, options, device_options, firmware)
        self._plan: _TracedPlan | None = None
        self._unmapped: Counter[tuple[str, int | str]] = Counter()  # of plans before this one
        self._heard = bytearray()
        self._sizes: dict[str, int] = {}  # frame kind of a fixed layout -> its longest payload, bytes
        self._counts: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()  # path of a metric -> samples
        self._usable: Counter[str] = Counter()  # of these, with a value that a person may read
        self._codes: Counter[int | str] = Counter()  # units of the wire
        self._number = 0

    def frames(self, path: Path, most: int = 0) -> Iterator[Traced]:
        """Yield the first `most` frames of each kind (0: all) of a recording, a CAN log or raw bytes; count all."""
        self._most = most
        for t_ns, direction, data in open_capture(path, PIECE):
            if direction is Direction.TO_DEVICE:
                self._decoder.was_sent(t_ns, data)
            elif direction is Direction.FROM_DEVICE:
                self._heard = (self._heard + data)[-HEARD:]
                before = self._decoder.plan
                for _ in self._decoder.feed(t_ns, data):
                    pass  # the plan remembers
                yield from self._traced(before)
                if self._decoder.plan is not before:
                    yield from self._traced(self._decoder.plan)

    def _traced(self, plan: Plan) -> Iterator[Traced]:
        assert isinstance(plan, _TracedPlan)
        if plan is not self._plan:
            self._use(plan)
        seen, plan.seen = plan.seen, []
        for frame, pieces in seen:
            self._number += 1
            self._count(frame, pieces)
            traced = Traced(self._number, frame, bytes(self._heard))
            self._heard.clear()
            if not self._most or self._counts[frame.kind] <= self._most:
                self._fill(traced, pieces)
                yield traced

    def _use(self, plan: _TracedPlan) -> None:
        """Prepare for a plan: another one begins when the device has told its firmware."""
        profile, terms = self._decoder.profile, nomenclature()
        specs = [spec for channel in profile.resolve(plan.firmware) for spec in channel.metrics]
        if self._plan is not None:
            self._unmapped += self._plan.unmapped
        self._plan = plan
        self._rows = [
            _Row(i, spec, None if spec.at is None else Field(spec, target(spec, plan.metrics[i], profile, terms)))
            for i, spec in enumerate(specs)
        ]
        self._encoder = Encoder(plan, _SENDER, _DEVICE, UTC)
        self._alerts = AlertEncoder(plan, _SENDER, _DEVICE, UTC, plan.texts.text, 1.0)

    def _count(self, frame: Frame, pieces: list[tuple[Reading | None, Block]]) -> None:
        """Note what a frame used of the profile, whether it is shown or not."""
        assert self._plan is not None
        payload = frame.payload
        self._counts[frame.kind] += 1
        if isinstance(payload, bytes):
            self._sizes[frame.kind] = max(len(payload), self._sizes.get(frame.kind, 0))
        if isinstance(payload, Wave):
            self._codes[payload.unit] += 1
        for reading, block in pieces:
            if reading is not None:
                self._codes[reading.unit] += 1
            usable = IS_USABLE[block["validity"]] & ~np.isnan(block["value"])
            paths = [metric.path for metric in self._plan.metrics]
            self._seen.update(paths[i] for i in block["metric"].tolist())
            self._usable.update(paths[i] for i in block["metric"][usable].tolist())

    # ---- one frame

    def _fill(self, traced: Traced, pieces: list[tuple[Reading | None, Block]]) -> None:
        frame = traced.frame
        payload = frame.payload
        if isinstance(payload, bytes):
            traced.owners = self._owners(frame.kind)
        if isinstance(payload, Wave):
            self._wave(traced, payload, pieces[0][1])
            return
        for reading, block in pieces:
            if reading is not None:
                named = [row for row in block if self._rows[row["metric"]].spec.kind != "clock"]
                if not named:
                    traced.items.append(Item(_id(reading.object), _raw(reading.value, reading.unit), row="no row"))
            traced.items += [self._item(row, payload, reading) for row in block]

    def _wave(self, traced: Traced, wave: Wave, block: Block) -> None:
        item = Item(_id(wave.object), f"{len(wave.samples)} samples, {wave.period_ns / 1e6:g} ms", row="no row")
        traced.items.append(item)
        if not len(block):
            return
        row = block[0]
        self._name(item, row)
        item.value = f"{len(block)} samples"
        traced.samples = block["value"].tolist()

    def _item(self, row: np.void, payload: object, reading: Reading | None) -> Item:
        """Return how one sample came about."""
        known = self._rows[row["metric"]]
        item = Item(known.field, "")
        self._name(item, row)
        assert self._plan is not None
        metric = self._plan.metrics[known.index]
        if metric.kind == "clock":
            item.field, item.raw = "device clock", ""
        elif reading is not None:
            item.field = _id(reading.object) + (f" instance {_id(reading.instance)}" if reading.instance else "")
            item.raw = _raw(reading.value, reading.unit)
        elif known.reader is not None and isinstance(payload, bytes):
            raw = known.reader.read(payload)
            item.raw = "beyond the end" if raw is None else f"{raw:g}" if isinstance(raw, float) else str(raw)
        if metric.kind == "alert":
            self._alert(item, row)
            return item
        value = value_of(metric, float(row["value"]))
        item.value = "—" if value is None else value if isinstance(value, str) else f"{value:.12g}"
        item.obx = _obx(self._encoder.encode(_block(row), "1", 0), metric.path)
        return item

    def _alert(self, item: Item, row: np.void) -> None:
        """Fill in an alert: what phase it is in, or how many there are."""
        assert self._plan is not None
        active = unpack_count(float(row["value"]))
        message = self._alerts.encode(_block(row), "1", 0)
        path, text = read_note(self._plan.texts.text(int(row["note"])))
        metric = self._plan.metrics[int(row["metric"])]
        item.obx = _obx(message, f"{path if active is None and path else metric.path}.{1 if active is None else 8}")
        if active is not None:
            item.field, item.raw, item.value = "alerts", str(active), f"{active} active"
            return
        phase, priority = unpack(float(row["value"]))
        item.raw = item.raw or text or item.field
        item.value = f"{phase.name.lower()}, priority {priority}"

    def _name(self, item: Item, row: np.void) -> None:
        assert self._plan is not None
        told = sample_json(self._plan, row, "gateway")
        item.metric = int(row["metric"])
        item.row = f"{told['path']} {told['ref_id']}"
        item.unit = told["unit"] or ""
        item.validity = told["validity"]
        item.marks = tuple(f.name.lower() for f in Flag if int(row["flags"]) & f and f.name and f is not Flag.WAVEFORM)

    def _owners(self, kind: str) -> dict[int, int]:
        owners: dict[int, int] = {}
        for row in self._rows:
            if row.spec.frame == kind:
                for at in row.masks:
                    owners.setdefault(at, row.index)
        return owners

    # ---- what is left

    def unread(self) -> dict[str, Any]:
        """Return what the profile leaves unread, as plain objects; every list is empty when nothing is left."""
        if self._plan is None:  # nothing came
            self._use(_TracedPlan(self._decoder.profile, self._decoder.firmware))
        assert self._plan is not None
        units = self._decoder.profile.units
        names = {m.path: f"{m.path} {m.ref_id}" for m in self._plan.metrics}
        unmapped = self._unmapped + self._plan.unmapped
        return {
            "frames": dict(self._counts),
            "bytes": {kind: self._left(kind, size) for kind, size in self._sizes.items()},
            "unmapped": {f"{kind} {_id(object_)}": n for (kind, object_), n in unmapped.most_common()},
            "never_seen": [name for path, name in names.items() if not self._seen[path]],
            "never_a_value": [name for path, name in names.items() if self._seen[path] and not self._usable[path]],
            "bad_frames": dict(self._decoder.reasons),
            "faults": dict(self._decoder.faults),
            "unused_units": [f"{_id(code)} = {units[code]}" for code in units if not self._codes[code]],
        }

    def _left(self, kind: str, size: int) -> list[str]:
        """Return the bytes of a fixed layout that no row reads ("4-7"), and bits of bytes that are read in part."""
        read: Counter[int] = Counter()
        for row in self._rows:
            if row.spec.frame == kind:
                for at, mask in row.masks.items():
                    read[at] |= mask
        whole = _ranges([at for at in range(size) if not read[at]])
        parts = [(at, [b for b in range(8) if not read[at] >> b & 1]) for at in range(size) if 0 < read[at] < 0xFF]
        return whole + [f"{at} bits {', '.join(_ranges(bits))}" for at, bits in parts]


def _masks(reader: Field) -> dict[int, int]:
    """Return byte of the payload -> mask of its bits that a field reads."""
    if reader.bit is not None:  # of the big-endian u16 at `at`: the lowest eight are in its second byte
        return {reader.at + (reader.bit < 8): 1 << reader.bit % 8}
    return dict.fromkeys(range(reader.at, reader.end), 0xFF)


def _ranges(numbers: list[int]) -> list[str]:
    """Return ascending numbers as "3" and "5-8"."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return [f"{low}" if low == high else f"{low}-{high}" for low, high in found]


def _block(row: np.void) -> Block:
    block = np.zeros(1, SAMPLE)
    block[0] = row
    return block


def _obx(message: bytes, path: str) -> str:
    """Return the OBX of a message that stands at this path (OBX-4)."""
    segments = message.decode().split("\r")
    return next((s for s in segments if s.startswith("OBX|") and s.split("|")[4] == path), "")


def _id(code: int | str | None) -> str:
    """Return an id of a protocol as manuals write it: small numbers plain, others hexadecimal."""
    return str(code) if not isinstance(code, int) or code < 256 else f"0x{code:04X}"


def _raw(value: float | str, unit: int | str) -> str:
    text = value if isinstance(value, str) else "—" if math.isnan(value) else f"{value:.12g}"
    return f"{text} [{_id(unit)}]" if unit else text
