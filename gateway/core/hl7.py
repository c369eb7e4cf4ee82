"""The encoder: samples of one device to one ORU^R01^ORU_R01 of HL7 v2.6, profile IHE PCD-01.

    block of SAMPLE ─► group per time ─► skeleton of its shape ─► values put in ─► ER7

Layout of a message: MSH, PID (unknown), PV1 (location), then one OBR group per instant, in the order of the samples:
that of their numbers, also when the clock was set back between them. In a group the containment tree stands depth
first: MDS, VMD and channel rows that are needed, each before its children, OBX-1 from 1. A metric that comes twice at
one instant opens a further group of the same time, so OBX-4 is unique in a group.

Laws
  * Patient identity never travels: PID says "unknown", PV1-3 says where the device stands.
  * Nothing is dropped. A sample without a number goes out as a row without OBX-5 that says why. A sample whose validity
    promises a number that is not there goes out as invalid.
  * A number out of the range of its profile is sent as it is, marked > or <: putting the end of the scale in its place
    would turn a nonsensical saturation of 127 into a healthy 100 for whoever does not read OBX-8.
  * Same samples, same control id, same bytes.
  * What cannot be encoded (a waveform, an alert, two devices in one block) is a bug of the caller: InternalError.

What a group looks like depends only on (metric, validity, flags, is there a number) of its samples, in order. That
shape is the key of a cache of skeletons: a shape seen before costs one join.

Sources: IHE DEV TF-2 (PCD-01; OBX-8 and OBX-11 by its table of measurement status), SDPi gateway chapters (OBX-17),
HL7 v2.6 chapters 2, 3 and 7. Codes: ISO/IEEE 11073-10101.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import tzinfo
from decimal import Decimal
from itertools import pairwise
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from gateway.core.clock import NOTHING_SAID, ClockState
from gateway.core.er7 import escape
from gateway.core.errors import InternalError
from gateway.core.hl7_message import (
    CLOCK_QUALITY,
    CLOCK_STEP,
    PCD_01,
    DeviceIdentity,
    Envelope,
    Path,
    Sender,
    clock_rows,
    coded,
    device_rows,
    path_of,
    unit_of,
)
from gateway.core.metric import LIMITS, Metric
from gateway.core.plan import Plan
from gateway.core.sample import IS_USABLE, NOT_FOR_CHARTING, Block, Flag, Validity

# Terms of our own. There is no standard one: sent with code 0, as TF-2 says of terms not yet standardised.
PROFILE_DIGEST: Final = "MDCX_PROFILE_DIGEST"  # OBX of the MDS: first 16 hex digits of the digest of the plan
AFTER_GAP: Final = "MDCX_AFTER_GAP"  # NTE-3 below an OBR: samples of this device were lost before its time
MODEL: Final = "67880^MDC_ATTR_ID_MODEL^MDC"  # ST, attributes of the MDS: vendor and model of the profile
FIRMWARE: Final = "MDCX_FIRMWARE"  # what the device says of itself
SERIAL: Final = "MDCX_SERIAL_NUMBER"
EXPERIMENTAL: Final = "MDCX_EXPERIMENTAL"  # nobody may rely on these values, and why
ATTRIBUTES: Final = frozenset({"MDC_ATTR_ID_MODEL", FIRMWARE, SERIAL, EXPERIMENTAL})  # of the device, not observed
CLOCK: Final = frozenset({CLOCK_QUALITY, CLOCK_STEP})  # of the gateway, not observed
OWN_TERMS: Final = frozenset({PROFILE_DIGEST, FIRMWARE, SERIAL, EXPERIMENTAL}) | CLOCK  # not in the nomenclature
TIME_SYNC_CODE: Final = 68220  # MDC_TIME_SYNC_PROTOCOL
OBS_NONCTS_CODE: Final = "69124"  # MDC_OBS_NONCTS

OBX_8: Final = {
    Validity.VLD: "",
    Validity.VLDATED: "VAL",
    Validity.ONG: "BUSY",
    Validity.QST: "QUES",
    Validity.CALIB: "CAL",
    Validity.INV: "INV",
    Validity.OFLW: ">",
    Validity.UFLW: "<",
    Validity.NA: "NAV",
}
OBX_8_FLAGS: Final = {
    Flag.TEST: "TEST",
    Flag.DEMO: "DEMO",
    Flag.EARLY: "EARLY",
    Flag.ALERT_ACTIVE: "ALACT",
    Flag.ALERT_INHIBITED: "ALINH",
}
NUMBERLESS: Final = frozenset({Validity.ONG, Validity.INV, Validity.NA})
"""OBX-8 BUSY, INV, NAV: OBX-5 stays empty and OBX-11 is X, whatever the device sent along."""
_PROMISES_NUMBER = frozenset({Validity.VLD, Validity.VLDATED, Validity.QST})

# OBX-17 (SDPi). No device protocol here says who has set a setting; by hand is the rule, and what the examples send.
_METHOD = {
    "measurement": "AMEAS^auto-measurement^MDC",
    "calculation": "ACALC^auto-calculation^MDC",
    "setting": "MSET^manual-setting^MDC",
}
_TYPES: Final = {"numeric": "NM", "enumeration": "CWE", "clock": "DTM"}  # OBX-2
_CONTINUOUS = "69123^MDC_OBS_CTS^MDC"
_EPISODIC = f"{OBS_NONCTS_CODE}^MDC_OBS_NONCTS^MDC"
MAX_CACHED = 512  # rows, skeletons; a device has a handful of shapes, a fault that makes many must not fill the memory
_KEY = struct.Struct("<HHBBBx")  # columns 24 to 31 of a SAMPLE; in place of the note: is there a number
_SHAPE_COLUMNS, _NUMBER_COLUMN = slice(24, 32), 6

Shape = npt.NDArray[np.uint64]
K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Row:
    """One OBX but for OBX-1 and OBX-5. tokens: value -> text of an enumeration; has_value: OBX-5 is filled."""

    path: Path
    before: str
    after: str
    has_value: bool
    tokens: dict[float, str] | None
    clock: bool  # the value is the offset of the device's clock; what is sent is the time that it shows
    after_gap: bool
    chartable: bool


@dataclass(frozen=True, slots=True)
class _Skeleton:
    """A group but for its OBR and its values.

    parts: texts with a gap between each two for a value; order: the sample that fills each gap;
    tokens: gap -> texts of an enumeration; clocks: gaps of the device's time; again: samples whose path was taken, for
    a further group;
    chartable: some sample is neither test nor demo
    """

    parts: list[str]
    order: list[int]
    tokens: list[tuple[int, dict[float, str]]]
    clocks: list[int]
    again: list[int]
    chartable: bool


class Encoder:
    """Encodes blocks of one device under one plan. Compiled once; not for several threads at a time."""

    def __init__(self, plan: Plan, sender: Sender, device: DeviceIdentity, timezone: tzinfo, serial: str = "") -> None:
        self._metrics = plan.metrics
        self._envelope = Envelope(sender, device, timezone, "ORU^R01^ORU_R01", PCD_01)
        self._dtm = self._envelope.dtm
        self._device_rows = device_rows(plan, device)
        self._time_sync = sender.time_sync
        self._attributes = _attributes(plan, serial)
        self._rows: dict[int, _Row] = {}
        self._skeletons: dict[tuple[ClockState | None, bytes], _Skeleton] = {}
        self._limiting = np.array([bool(metric.limit_of) for metric in plan.metrics])
        self._limits: dict[str, dict[str, str]] = {}  # path of a metric -> its alarm limits, low and high

    def encode(self, block: Block, control_id: str, now_ns: int, clock: ClockState = NOTHING_SAID) -> bytes:
        """Return the message of these samples.

        block: (n,) SAMPLE, n ≥ 1, one device, numerics, enumerations and clock, any order; control_id: MSH-10;
        now_ns: UTC, the time of the message (MSH-7); clock: by which the samples were taken. Raises: InternalError.
        """
        control_id = escape(control_id)
        self._note_limits(block)
        body: list[str] = []
        chartable = False
        ordinal = 0
        for t_ns, shape, values in _instants(block):
            time = self._dtm.text(t_ns)
            while True:
                skeleton = self._skeleton(clock if ordinal == 0 else None, shape)
                chartable |= skeleton.chartable
                ordinal += 1
                number = f"{control_id}.{ordinal}{self._envelope.namespace}"
                body.append(f"OBR|{ordinal}|{number}|{number}|182777000^monitoring of patient^SCT|||{time}\r")
                body.append(self._filled(skeleton, values, t_ns))
                if not skeleton.again:
                    break
                shape, values = shape[skeleton.again], [values[i] for i in skeleton.again]
        return "".join((self._envelope.open(control_id, now_ns, chartable), *body)).encode()

    def _skeleton(self, first: ClockState | None, shape: Shape) -> _Skeleton:
        """Return the skeleton of a group. first: of the first one, what is said of the clock; None for the others."""
        key = (first, shape.tobytes())
        return self._skeletons.get(key) or _keep(self._skeletons, key, self._compile(first, shape))

    def _compile(self, first: ClockState | None, shape: Shape) -> _Skeleton:
        rows: dict[Path, tuple[int, _Row]] = {}
        again: list[int] = []
        for i, key in enumerate(shape.tolist()):
            row = self._rows.get(key) or _keep(self._rows, key, self._row(key))
            if row.path in rows:
                again.append(i)
            else:
                rows[row.path] = (i, row)
        fixed = {path: self._device_rows[path] for path in _parents(rows)}
        if first is not None:
            fixed |= self._attributes | clock_rows(first, self._time_sync)
        parts = [f"NTE|1|L|{AFTER_GAP}\r" if any(row.after_gap for _, row in rows.values()) else ""]
        order: list[int] = []
        tokens: list[tuple[int, dict[float, str]]] = []
        clocks: list[int] = []
        for n, path in enumerate(sorted([*fixed, *rows]), 1):
            if path in fixed:
                parts[-1] += f"OBX|{n}{fixed[path]}"
                continue
            i, row = rows[path]
            parts[-1] += f"OBX|{n}{row.before}"
            if row.has_value:
                if row.tokens is not None:
                    tokens.append((len(order), row.tokens))
                if row.clock:
                    clocks.append(len(order))
                order.append(i)
                parts += ["", ""]  # the gap of the value, then the text that goes on after it
            parts[-1] += row.after
        return _Skeleton(parts, order, tokens, clocks, again, any(row.chartable for _, row in rows.values()))

    def _row(self, key: int) -> _Row:
        """Compile the OBX of one (metric, validity, flags, is there a number)."""
        index, _, code, bits, number = _KEY.unpack(key.to_bytes(8, "little"))
        try:
            metric, validity, flags = self._metrics[index], Validity(code), Flag(bits)
        except (IndexError, ValueError) as fault:
            raise InternalError(f"sample of metric {index}, validity {code}: {fault}") from None
        if metric.kind not in _TYPES or Flag.WAVEFORM in flags:
            raise InternalError(f"{metric.ref_id} is no numeric and no enumeration: it has a message of its own")
        if validity in _PROMISES_NUMBER and not number:
            validity = Validity.INV
        has_value = bool(number) and validity not in NUMBERLESS
        result = "X" if not has_value else "F" if validity is Validity.VLDATED else "R"
        marks = [OBX_8[validity], *(text for flag, text in OBX_8_FLAGS.items() if flag in flags)]
        type_ = _TYPES[metric.kind]
        tokens = {float(i): f"^{escape(token)}" for i, token in enumerate(metric.tokens)}
        return _Row(
            path=path_of(metric.path),
            before=f"|{type_}|{coded(metric)}|{metric.path}|",
            after=f"|{unit_of(metric) if type_ == 'NM' else ''}|{_range(self._limits.get(metric.path, {}))}|"
            f"{'~'.join(filter(None, marks))}|||{result}||||||{_method(metric, flags)}\r",
            has_value=has_value,
            tokens=tokens if type_ == "CWE" else None,
            clock=type_ == "DTM",
            after_gap=Flag.AFTER_GAP in flags,
            chartable=not flags & NOT_FOR_CHARTING,
        )

    def _filled(self, skeleton: _Skeleton, values: list[float], t_ns: int) -> str:
        """Put the values in: the shortest decimal that reads back as the same double, without exponent."""
        chosen = [values[i] for i in skeleton.order]
        texts = [
            text[:-2] if text[-2:] == ".0" else text if "e" not in text else f"{Decimal(text):f}"
            for text in map(repr, chosen)
        ]
        for gap, tokens in skeleton.tokens:
            try:
                texts[gap] = tokens[chosen[gap]]
            except KeyError:
                raise InternalError(f"value {chosen[gap]} has no token among {list(tokens.values())}") from None
        for gap in skeleton.clocks:
            texts[gap] = self._dtm.text(t_ns + round(chosen[gap] * 1e9))
        parts = skeleton.parts.copy()
        parts[1::2] = texts
        return "".join(parts)

    def _note_limits(self, block: Block) -> None:
        """Keep the newest alarm limits: they stand in OBX-7 of what they limit, in this message already."""
        if len(block) and int(block["metric"].max()) >= len(self._metrics):
            raise InternalError(f"sample of metric {int(block['metric'].max())}, and the plan has {len(self._metrics)}")
        changed = False
        for row in block[self._limiting[block["metric"]]]:
            metric = self._metrics[row["metric"]]
            limits = self._limits.setdefault(metric.limit_of, {})
            known = IS_USABLE[row["validity"]] and np.isfinite(row["value"])
            text = f"{Decimal(repr(float(row['value']))):f}".removesuffix(".0") if known else ""
            changed |= limits.get(LIMITS[metric.ref_id], "") != text
            limits[LIMITS[metric.ref_id]] = text
        if changed:  # seldom: somebody has turned a knob
            self._rows.clear()
            self._skeletons.clear()


def _instants(block: Block) -> Iterator[tuple[int, Shape, list[float]]]:
    """Yield (t_ns, shape, values) for each instant of the block, as the first of its samples stands in the block.

    Never sorted by time: the order of samples is that of their numbers, and the clock may have been set back.
    """
    if not len(block):
        raise InternalError("a message without samples")
    if (block["source"] != block["source"][0]).any():
        raise InternalError("samples of two devices in one message")
    times = block["t_ns"]
    cuts = [0, len(block)]
    if (times != times[0]).any():
        if (times[1:] < times[:-1]).any():  # an age that the device told, or a clock that was set back
            block = block[_by_first(times)]
            times = block["t_ns"]
        cuts[1:1] = (np.flatnonzero(times[1:] != times[:-1]) + 1).tolist()
    values = block["value"]
    columns = np.ascontiguousarray(block).view(np.uint8).reshape(-1, block.itemsize)[:, _SHAPE_COLUMNS].copy()
    columns[:, _NUMBER_COLUMN:] = 0  # a note says nothing here
    columns[:, _NUMBER_COLUMN] = np.isfinite(values)
    shapes, numbers = columns.view("<u8").reshape(-1), values.tolist()
    for start, end in pairwise(cuts):
        yield int(times[start]), shapes[start:end], numbers[start:end]


def _by_first(times: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Return the order that brings equal times together, each group where its first sample stands."""
    _, first, group = np.unique(times, return_index=True, return_inverse=True)
    return np.argsort(first[group], kind="stable")


def _keep(cache: dict[K, V], key: K, value: V) -> V:
    if len(cache) >= MAX_CACHED:
        cache.clear()
    cache[key] = value
    return value


def _parents(paths: Iterable[Path]) -> set[Path]:
    """Return the device rows above these metrics: MDS, VMD and channel of each."""
    return {path[:level] + (0,) * (4 - level) for path in paths for level in (1, 2, 3)}


def _range(limits: dict[str, str]) -> str:
    """Return OBX-7: both alarm limits, or the one that is set."""
    low, high = limits.get("low", ""), limits.get("high", "")
    return f"{low}-{high}" if low and high else f"<{high}" if high else f">{low}" if low else ""


def _method(metric: Metric, flags: Flag) -> str:
    """Return OBX-17: how it came about, and whether it comes continuously. A setting is neither."""
    repetitions = [_METHOD[metric.category]]
    if Flag.EPISODIC in flags:
        repetitions.append(_EPISODIC)
    elif metric.category != "setting":
        repetitions.append(_CONTINUOUS)
    return "~".join(repetitions)


def _attributes(plan: Plan, serial: str) -> dict[Path, str]:
    """Return the attributes of the MDS; they hold for the whole message and stand in its first group."""
    texts = [
        f"0^{PROFILE_DIGEST}^MDC|1.0.0.2|{plan.digest.hex()[:16]}",
        f"{MODEL}|1.0.0.3|{escape(plan.model)}",
        *([f"0^{FIRMWARE}^MDC|1.0.0.4|{escape(plan.firmware)}"] if plan.firmware else []),
        *([f"0^{SERIAL}^MDC|1.0.0.5|{escape(serial)}"] if serial else []),
        *([f"0^{EXPERIMENTAL}^MDC|1.0.0.6|{escape(plan.experimental)}"] if plan.experimental else []),
    ]
    return {path_of(text.split("|")[1]): f"|ST|{text}||||||R\r" for text in texts}
