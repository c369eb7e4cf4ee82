"""The encoder of waveforms: samples of one device to one ORU^R01^ORU_R01 as IHE WCM wants it.

One OBR (MDC_OBS_WAVE_CTS) for each unbroken run of one waveform: OBR-7 is the time of its first sample, OBR-8 the end
of its last. In it one OBX of type NA with the samples, separated by ^, and its sampling rate as a facet below it.

Laws
  * Nothing is padded: a run has as many samples as came. Where something is missing a new run begins, marked
    AFTER_GAP; a sample that the device marks as invalid is an empty component.
  * Samples are physical values in the unit of OBX-6, rounded to DECIMALS.
  * Same samples, same control id, same bytes.

Sources: IHE PCD Technical Framework Supplement WCM 1.3 (OBR-4, NA, MDC_ATTR_SAMP_RATE), HL7 v2.6, 2.A.48 (NA).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import tzinfo
from typing import Final

import numpy as np

from gateway.core.er7 import escape
from gateway.core.errors import InternalError
from gateway.core.hl7 import AFTER_GAP, OBX_8, OBX_8_FLAGS
from gateway.core.hl7_message import PCD_01, DeviceIdentity, Envelope, Sender, coded, device_rows, path_of, unit_of
from gateway.core.metric import Metric
from gateway.core.plan import Plan
from gateway.core.sample import NOT_FOR_CHARTING, Block, Flag, Validity

WAVES: Final = "69121^MDC_OBS_WAVE_CTS^MDC"
SAMP_RATE: Final = "0^MDC_ATTR_SAMP_RATE^MDC"
PER_SECOND: Final = "264608^MDC_DIM_PER_SEC^MDC^/s^/s^UCUM"
DECIMALS = 4  # 0.1 µV of an ECG, 0.0001 mm[Hg]; and repr of such a number never has an exponent


class WaveEncoder:
    """Encodes waveform samples of one device under one plan. note: text of a sample's note, its period in ns."""

    def __init__(
        self, plan: Plan, sender: Sender, device: DeviceIdentity, timezone: tzinfo, note: Callable[[int], str]
    ) -> None:
        self._metrics = plan.metrics
        self._envelope = Envelope(sender, device, timezone, "ORU^R01^ORU_R01", PCD_01)
        self._device_rows = device_rows(plan, device)
        self._digest = plan.digest.hex()[:16]
        self._note = note

    def encode(self, block: Block, control_id: str, now_ns: int) -> bytes:
        """Return the message of these samples.

        block: (n,) SAMPLE, n ≥ 1, waveforms of one device, in time for each metric; see hl7.Encoder.encode.
        Raises: InternalError.
        """
        control_id = escape(control_id)
        body: list[str] = []
        chartable = False
        for ordinal, run in enumerate(runs(block), 1):
            number = f"{control_id}.{ordinal}{self._envelope.namespace}"
            body.append(self._run(run, f"OBR|{ordinal}|{number}|{number}|{WAVES}|||", ordinal == 1))
            chartable |= not int(run["flags"][0]) & NOT_FOR_CHARTING
        return "".join((self._envelope.open(control_id, now_ns, chartable), *body)).encode()

    def _run(self, run: Block, obr: str, first: bool) -> str:
        metric = self._metrics[run["metric"][0]]
        period_ns = self._period_ns(run, metric)
        dtm = self._envelope.dtm
        start, end = int(run["t_ns"][0]), int(run["t_ns"][-1]) + period_ns
        gap = f"NTE|1|L|{AFTER_GAP}\r" if run["flags"][0] & Flag.AFTER_GAP else ""
        path = path_of(metric.path)
        rows = {p: self._device_rows[p] for p in {path[:level] + (0,) * (4 - level) for level in (1, 2, 3)}}
        if first:
            rows[1, 0, 0, 2] = f"|ST|0^MDCX_PROFILE_DIGEST^MDC|1.0.0.2|{self._digest}||||||R\r"
        rate = float(f"{1e9 / period_ns:.6g}")
        text = samples_text(run)
        result = f"{_marks(run)}|||R" if text else "INV|||X"  # a run of one sample that is no value
        rows[path] = f"|NA|{coded(metric)}|{metric.path}|{text}|{unit_of(metric)}||{result}\r"
        rows[*path, 1] = f"|NM|{SAMP_RATE}|{metric.path}.1|{rate:g}|{PER_SECOND}|||||R\r"
        obx = "".join(f"OBX|{n}{rows[p]}" for n, p in enumerate(sorted(rows), 1))
        return f"{obr}{dtm.text(start)}|{dtm.text(end)}\r{gap}{obx}"

    def _period_ns(self, run: Block, metric: Metric) -> int:
        """Return the period of a run. Raises: InternalError, because without it the samples mean nothing."""
        text = self._note(int(run["note"][0]))
        if metric.kind != "waveform" or not text.isdecimal() or not int(text):
            raise InternalError(f"{metric.ref_id}: samples without a period ({text!r}) are no waveform")
        return int(text)


def runs(block: Block) -> Iterator[Block]:
    """Yield the unbroken runs of each metric: a run ends before a sample that is marked AFTER_GAP or of another period.

    Flags and validity of a run are those of its first sample; a change of TEST or DEMO begins a new one.
    """
    if not len(block):
        raise InternalError("a message without samples")
    for metric in dict.fromkeys(block["metric"].tolist()):
        rows = block[block["metric"] == metric]
        marks = rows["flags"] & np.uint8(NOT_FOR_CHARTING)
        new = (rows["flags"][1:] & np.uint8(Flag.AFTER_GAP)) != 0
        new |= (rows["note"][1:] != rows["note"][:-1]) | (marks[1:] != marks[:-1])
        yield from np.split(rows, np.flatnonzero(new) + 1)


def samples_text(run: Block) -> str:
    """Return OBX-5: the samples separated by ^; one that is no value is an empty component."""
    return str(run["value"].round(DECIMALS).tolist())[1:-1].replace(", ", "^").replace(".0^", "^").replace("nan", "")


def _marks(run: Block) -> str:
    """Return OBX-8 of a run: what holds for all of it."""
    validity = Validity(int(run["validity"].min()))
    flags = Flag(int(run["flags"][0]))
    known = [text for flag, text in OBX_8_FLAGS.items() if flag in flags]
    return "~".join(filter(None, [OBX_8[validity] if validity is Validity.QST else "", *known]))
