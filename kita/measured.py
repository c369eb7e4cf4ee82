"""Waveforms and alerts of a message, as they are stored. What cannot be understood is a finding, never a guess.

Sources: IHE PCD WCM 1.3 (OBR-4, NA, MDC_ATTR_SAMP_RATE), IHE DEV TF-2 (PCD-04: facets 1 to 7 below a metric path).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import nan

from gateway.core.er7 import unescape
from gateway.core.hl7_check import Finding, Group, Observation, Oru
from gateway.core.nomenclature import nomenclature
from gateway.core.sample import NOT_FOR_CHARTING

WAVES, ALARM = 69121, 196616  # MDC_OBS_WAVE_CTS, MDC_EVT_ALARM: OBR-4
DATA_TYPE, REQUIRED = "102", "101"  # HL7 table 0357
WATCHDOG = "MDCX_ALERT_WATCHDOG"
MAX_TEXT = 200  # characters of an alert's text
LARGEST = 3.4028234e38  # of a float32


@dataclass(frozen=True, slots=True)
class WaveRow:
    """One unbroken run of a waveform; see kita.schema, table wave."""

    apart: int
    path: str
    code: int
    ref_id: str
    unit: str
    t_utc_ns: int
    end_utc_ns: int
    rate_hz: float
    n: int
    flags: int
    samples: bytes


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One change of an alert; see kita.schema, table alert."""

    apart: int
    path: str
    code: int
    ref_id: str
    source: str
    text: str
    phase: str
    state: str
    silenced: str
    priority: str
    type: str
    t_utc_ns: int


@dataclass(frozen=True, slots=True)
class AlertLife:
    """A sign of life of a device's alerting."""

    t_utc_ns: int
    timeout_s: float
    active: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What a message holds beyond values and states."""

    waves: tuple[WaveRow, ...] = ()
    alerts: tuple[AlertRow, ...] = ()
    life: AlertLife | None = None


NOTHING_MORE = Measured()


def measured(oru: Oru, all_apart: bool) -> Measured:
    """Read waveforms and alerts of a message; what is wrong is added to its findings."""
    if oru.header.type.startswith("ORU^R40"):
        return Measured((), *_alerts(oru, all_apart))
    runs = (
        _wave(oru, group, index, row, all_apart)
        for index, group in enumerate(oru.groups, 1)
        for row in group.observations
        if group.code == WAVES and row.type == "NA"
    )
    return Measured(tuple(wave for wave in runs if wave is not None))


def _wave(oru: Oru, group: Group, index: int, row: Observation, all_apart: bool) -> WaveRow | None:
    below = f"{row.path}."
    rates = [o.value for o in group.observations if o.ref_id == "MDC_ATTR_SAMP_RATE" and o.path.startswith(below)]
    rate = rates[0] if rates else None
    if not isinstance(rate, float) or rate <= 0 or group.t_ns is None:
        what = "a waveform without sampling rate or time of its first sample"
        oru.findings.append(Finding("OBR", index, 7, REQUIRED, what))
        return None
    if "~" in row.text:
        oru.findings.append(Finding("OBX", row.number, 5, DATA_TYPE, "several arrays, and a waveform is one"))
        return None
    samples = [float(text) if text else nan for text in row.text.split("^")] if isinstance(row.value, str) else []
    if any(abs(sample) > LARGEST for sample in samples):
        oru.findings.append(Finding("OBX", row.number, 5, DATA_TYPE, "a sample is too large"))
        return None
    end = group.end_ns if group.end_ns is not None else group.t_ns + round(len(samples) / rate * 1e9)
    return WaveRow(
        int(all_apart or bool(row.flags & NOT_FOR_CHARTING)),
        row.path,
        row.code,
        row.ref_id,
        row.ucum or row.unit_ref_id,
        group.t_ns,
        end,
        rate,
        len(samples),
        row.flags,
        struct.pack(f"<{len(samples)}f", *samples),
    )


def _alerts(oru: Oru, all_apart: bool) -> tuple[tuple[AlertRow, ...], AlertLife | None]:
    found: list[AlertRow] = []
    life: AlertLife | None = None
    for index, group in enumerate(oru.groups, 1):
        for path, facets in _by_path(group):
            event = facets.get(1)
            if event is None or group.t_ns is None or not {3, 4, 6, 7} <= facets.keys():
                oru.findings.append(Finding("OBR", index, 0, REQUIRED, "an alert without event, phase, state or time"))
            elif WATCHDOG in event.text:
                life = _life(group.t_ns, facets)
            else:
                apart = int(all_apart or bool(event.flags & NOT_FOR_CHARTING))
                found.append(_alert(apart, path, event, facets, group.t_ns))
    return tuple(found), life


def _by_path(group: Group) -> Iterator[tuple[str, dict[int, Observation]]]:
    """Yield (path of the metric, facet -> row) of a group."""
    found: dict[str, dict[int, Observation]] = {}
    for row in group.observations:
        path, _, facet = row.path.rpartition(".")
        if path.count(".") == 3 and len(facet) == 1 and facet.isdecimal():
            found.setdefault(path, {})[int(facet)] = row
    yield from found.items()


def _alert(apart: int, path: str, event: Observation, facets: dict[int, Observation], t_ns: int) -> AlertRow:
    if event.code == ALARM and event.type == "CWE":  # technical: the event is the value
        parts = [*event.text.split("^"), *[""] * 9]
        code, ref_id, text = (int(parts[0]) if parts[0].isdecimal() else 0), unescape(parts[1]), unescape(parts[8])
    else:
        code, ref_id, text = event.code, event.ref_id, unescape(event.text)
    source = facets[2].text.split("^") if 2 in facets else []
    said = {n: str(row.value or "") for n, row in facets.items()}
    return AlertRow(
        apart,
        path,
        code,
        ref_id,
        unescape(source[1]) if len(source) > 1 else "",
        text[:MAX_TEXT],
        said[3],
        said[4],
        said.get(5, ""),
        said[6],
        said[7],
        event.t_ns or t_ns,
    )


def _life(t_ns: int, facets: dict[int, Observation]) -> AlertLife:
    active, timeout = facets.get(8), facets.get(9)
    return AlertLife(
        t_ns,
        timeout.value if timeout is not None and isinstance(timeout.value, float) else 0.0,
        int(active.value) if active is not None and isinstance(active.value, float) else 0,
    )


def names_event(ref_id: str) -> bool:
    """Tell whether an event has a term of its own; if not, its text tells it from others."""
    return ref_id in nomenclature().terms and ref_id != "MDC_EVT_ALARM"
