"""The encoder of waveforms: samples of one device to one ORU^R01^ORU_R01 as IHE WCM wants it.

One OBR (MDC_OBS_WAVE_CTS) for each unbroken run of one waveform: OBR-7 is the time of its first sample, OBR-8 the end
of its last. In it one OBX of type NA with the samples, separated by ^, and its sampling rate as a facet below it.

Laws
  * Nothing is padded: a run has as many samples as came. Where something is missing a new run begins, marked
    AFTER_GAP: where the sample says so, and where its time does (a whole block was lost, and the mark stands on a
    sample of something else). A sample that is no value is an empty component.
  * A run is all valid or all questionable, never a mixture.
  * Samples are physical values in the unit of OBX-6, rounded to DECIMALS.
  * Same samples, same control id, same bytes.

Sources: IHE PCD Technical Framework Supplement WCM 1.3 (OBR-4, NA, MDC_ATTR_SAMP_RATE), HL7 v2.6, 2.A.48 (NA).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import tzinfo
from decimal import Decimal
from typing import Final

import numpy as np
import numpy.typing as npt

from gateway.core.clock import NOTHING_SAID, ClockQuality, ClockState
from gateway.core.er7 import escape
from gateway.core.errors import InternalError
from gateway.core.hl7 import AFTER_GAP, NUMBERLESS, OBX_8, OBX_8_FLAGS
from gateway.core.hl7_message import (
    PCD_01,
    DeviceIdentity,
    Envelope,
    Sender,
    clock_rows,
    coded,
    device_rows,
    path_of,
    unit_of,
)
from gateway.core.metric import Metric
from gateway.core.plan import Plan
from gateway.core.sample import NOT_FOR_CHARTING, Block, Flag, Validity
from gateway.core.wave_clock import STEP_NS

WAVES: Final = "69121^MDC_OBS_WAVE_CTS^MDC"
SAMP_RATE: Final = "0^MDC_ATTR_SAMP_RATE^MDC"
PER_SECOND: Final = "264608^MDC_DIM_PER_SEC^MDC^/s^/s^UCUM"
DECIMALS = 4  # 0.1 µV of an ECG, 0.0001 mm[Hg]; below 1e16 repr of such a number has no exponent
_MAY_HAVE_NUMBER = np.array([validity not in NUMBERLESS for validity in Validity])


class WaveEncoder:
    """Encodes waveform samples of one device under one plan. note: text of a sample's note, its period in ns."""

    def __init__(
        self, plan: Plan, sender: Sender, device: DeviceIdentity, timezone: tzinfo, note: Callable[[int], str]
    ) -> None:
        self._metrics = plan.metrics
        self._envelope = Envelope(sender, device, timezone, "ORU^R01^ORU_R01", PCD_01)
        self._device_rows = device_rows(plan, device)
        self._time_sync = sender.time_sync
        self._digest = plan.digest.hex()[:16]
        self._note = note
        self._ends: dict[int, tuple[int, int]] = {}  # metric -> end of its last run, and of the one before that

    def encode(self, block: Block, control_id: str, now_ns: int, clock: ClockState = NOTHING_SAID) -> bytes:
        """Return the message of these samples.

        block: (n,) SAMPLE, n ≥ 1, waveforms of one device, in time for each metric; see hl7.Encoder.encode.
        Raises: InternalError.
        """
        control_id = escape(control_id)
        body: list[str] = []
        chartable = False
        for ordinal, (run, period_ns) in enumerate(self._runs(block), 1):
            number = f"{control_id}.{ordinal}{self._envelope.namespace}"
            obr = f"OBR|{ordinal}|{number}|{number}|{WAVES}|||"
            body.append(self._run(run, period_ns, obr, clock if ordinal == 1 else None))
            chartable |= not int(run["flags"][0]) & NOT_FOR_CHARTING
        return "".join((self._envelope.open(control_id, now_ns, chartable), *body)).encode()

    def _runs(self, block: Block) -> Iterator[tuple[Block, int]]:
        """Yield the runs of a block with their periods: those of `runs`, cut again where the time jumps."""
        for run in runs(block):
            period_ns = self._period_ns(run, self._metrics[run["metric"][0]])
            steps = np.abs(np.diff(run["t_ns"]) - period_ns)
            for part in np.split(run, np.flatnonzero(steps > STEP_NS) + 1):
                yield part, period_ns

    def _run(self, run: Block, period_ns: int, obr: str, first: ClockState | None) -> str:
        metric = self._metrics[run["metric"][0]]
        dtm = self._envelope.dtm
        start, end = int(run["t_ns"][0]), int(run["t_ns"][-1]) + period_ns
        late = self._is_late(metric.index, start, end)
        gap = f"NTE|1|L|{AFTER_GAP}\r" if late or run["flags"][0] & Flag.AFTER_GAP else ""
        path = path_of(metric.path)
        rows = {p: self._device_rows[p] for p in {path[:level] + (0,) * (4 - level) for level in (1, 2, 3)}}
        if first is not None:
            if first.quality is not ClockQuality.NOT_KNOWN:
                rows |= clock_rows(first, self._time_sync)
            rows[1, 0, 0, 2] = f"|ST|0^MDCX_PROFILE_DIGEST^MDC|1.0.0.2|{self._digest}||||||R\r"
        rate = float(f"{1e9 / period_ns:.6g}")
        text = samples_text(run)
        result = f"{_marks(run)}|||R" if text else "INV|||X"  # a run of one sample that is no value
        rows[path] = f"|NA|{coded(metric)}|{metric.path}|{text}|{unit_of(metric)}||{result}\r"
        rows[*path, 1] = f"|NM|{SAMP_RATE}|{metric.path}.1|{rate:g}|{PER_SECOND}|||||R\r"
        obx = "".join(f"OBX|{n}{rows[p]}" for n, p in enumerate(sorted(rows), 1))
        return f"{obr}{dtm.text(start)}|{dtm.text(end)}\r{gap}{obx}"

    def _is_late(self, metric: int, start: int, end: int) -> bool:
        """Tell whether a run begins later than the one before it ended. A run that is encoded again says the same."""
        last, before = self._ends.get(metric, (start, start))
        reference = last if start >= last - STEP_NS else before
        self._ends[metric] = (end, reference)
        return start - reference > STEP_NS

    def _period_ns(self, run: Block, metric: Metric) -> int:
        """Return the period of a run. Raises: InternalError, because without it the samples mean nothing."""
        text = self._note(int(run["note"][0]))
        if metric.kind != "waveform" or not text.isdecimal() or not int(text):
            raise InternalError(f"{metric.ref_id}: samples without a period ({text!r}) are no waveform")
        return int(text)


def runs(block: Block) -> Iterator[Block]:
    """Yield the runs of each metric: one ends before a sample that is marked AFTER_GAP or of another period.

    A change of TEST or DEMO, and of the validity of what is a value, begins a new one too: what is said of a run holds
    for all of it.
    """
    if not len(block):
        raise InternalError("a message without samples")
    for metric in dict.fromkeys(block["metric"].tolist()):
        rows = block[block["metric"] == metric]
        marks = rows["flags"] & np.uint8(NOT_FOR_CHARTING)
        new = (rows["flags"][1:] & np.uint8(Flag.AFTER_GAP)) != 0
        new |= (rows["note"][1:] != rows["note"][:-1]) | (marks[1:] != marks[:-1])
        values = np.flatnonzero(_is_value(rows))
        changed = np.diff(rows["validity"][values]) != 0
        new[values[1:][changed] - 1] = True
        yield from np.split(rows, np.flatnonzero(new) + 1)


def _is_value(rows: Block) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isfinite(rows["value"]) & _MAY_HAVE_NUMBER[rows["validity"]])


def samples_text(run: Block) -> str:
    """Return OBX-5: the samples separated by ^; one that is no value is an empty component."""
    values = np.where(_is_value(run), run["value"], np.nan).round(DECIMALS).tolist()
    text = str(values)[1:-1].replace(", ", "^").replace(".0^", "^").replace("nan", "")
    if "e" in text:  # a number without meaning, of more than 16 digits: sent as it is all the same
        text = "^".join("" if np.isnan(value) else f"{Decimal(repr(value)):f}" for value in values)
    return text


def _marks(run: Block) -> str:
    """Return OBX-8 of a run: what holds for all of it."""
    values = run["validity"][_is_value(run)]
    validity = Validity(int(values[0])) if len(values) else Validity.VLD
    flags = Flag(int(run["flags"][0]))
    known = [text for flag, text in OBX_8_FLAGS.items() if flag in flags]
    return "~".join(filter(None, ["" if validity is Validity.VLDATED else OBX_8[validity], *known]))
