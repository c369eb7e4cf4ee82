"""Questions to the database of KITA about waveforms and alerts, for people. Read-only."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from gateway.core.nomenclature import nomenclature
from gateway.core.sample import Flag
from kita.query import ask
from kita.store import DOUBTFUL


@dataclass(frozen=True, slots=True)
class AlertNow:
    """An alert that was active when its device was last heard of."""

    device: str
    path: str
    ref_id: str
    en: str
    da: str
    source: str
    text: str
    phase: str
    silenced: str
    priority: str
    type: str
    t_utc_ns: int  # of its last change, as KITA orders it (kita.schema, order_ns)
    clock: str  # what the sender said of its clock


@dataclass(frozen=True, slots=True)
class Alerting:
    """The alerting of one device.

    known: its last sign of life (t_utc_ns, as KITA orders it) still holds; if not, nobody knows what alarms. doubtful:
    so many more alerts are told as active than the device counted then: an end was lost on the way, and nobody knows
    whose.
    """

    device: str
    known: bool
    active: int
    t_utc_ns: int
    timeout_s: float
    doubtful: int


@dataclass(frozen=True, slots=True)
class WaveRun:
    """One unbroken run of a waveform; samples in `unit`, NaN where there was no valid one."""

    device: str
    path: str
    ref_id: str
    da: str
    unit: str
    t_utc_ns: int
    end_utc_ns: int
    rate_hz: float
    after_gap: bool
    samples: tuple[float, ...]
    clock: str = ""  # what the sender said of its clock


_ALERTS = """
SELECT device.identity, a.path, a.ref_id, a.source, a.text, a.phase, a.silenced, a.priority, a.type,
       alert_now.order_ns, message.clock
FROM alert_now JOIN alert a ON a.id = alert_now.row JOIN device ON device.id = alert_now.device
     JOIN message ON message.id = a.message
WHERE a.state != 'inactive' AND a.apart = :apart AND (:device IS NULL OR device.identity = :device)
ORDER BY device.identity, a.priority, alert_now.order_ns
"""
_LIFE = """
SELECT device.identity, alerting.active, alerting.order_ns, alerting.timeout_s
FROM alerting JOIN device ON device.id = alerting.device
WHERE :device IS NULL OR device.identity = :device ORDER BY device.identity
"""
_WAVES = """
SELECT device.identity, w.path, w.ref_id, w.unit, w.t_utc_ns, w.end_utc_ns, w.rate_hz, w.flags, w.samples,
       message.clock
FROM wave w JOIN device ON device.id = w.device JOIN message ON message.id = w.message
WHERE w.apart = :apart AND (:device IS NULL OR device.identity = :device) AND {order} >= :since
ORDER BY device.identity, w.path, {order}, w.id
"""
_WAVE_ORDER = f"iif(message.clock IN {tuple(sorted(DOUBTFUL))}, message.received_ns, w.t_utc_ns)"


def alerts(database: Path, device: str | None, apart: bool, now_ns: int) -> tuple[list[AlertNow], list[Alerting]]:
    """Return what is active, and of each device whether that is still known. Raises: ConfigError.

    An end can be lost on the way (a full ring, a gateway that was away). A device that says later that nothing is
    active ends all; one that counts fewer than were told makes all of them doubtful, which is said and never guessed.
    """
    values = {"device": device, "apart": int(apart)}
    (_, active), (_, life) = ask(database, {"alerts": _ALERTS, "life": _LIFE}, values)
    silent_since = {name: t_ns for name, count, t_ns, _ in life if count == 0}
    found = [AlertNow(row[0], row[1], row[2], *_names(row[2]), *row[3:]) for row in active]
    found = [alert for alert in found if alert.t_utc_ns > silent_since.get(alert.device, -1)]
    known = []
    for name, count, t_ns, timeout_s in life:
        told = sum(alert.device == name and alert.t_utc_ns <= t_ns for alert in found)
        holds = abs(now_ns - t_ns) <= timeout_s * 1e9  # a sign of life from the future is none: our clock was set back
        known.append(Alerting(name, holds, count, t_ns, timeout_s, max(0, told - count)))
    return found, known


def waves(database: Path, device: str | None, apart: bool, since_ns: int) -> list[WaveRun]:
    """Return the runs that began at `since_ns` or later, as KITA orders them. Raises: ConfigError."""
    ((_, rows),) = ask(
        database,
        {"waves": _WAVES.format(order=_WAVE_ORDER)},
        {"device": device, "apart": int(apart), "since": since_ns},
    )
    return [_run(*row) for row in rows]


def _run(
    device: str,
    path: str,
    ref_id: str,
    unit: str,
    t_ns: int,
    end_ns: int,
    rate_hz: float,
    flags: int,
    samples: bytes,
    clock: str,
) -> WaveRun:
    numbers = struct.unpack(f"<{len(samples) // 4}f", samples)
    gap = bool(flags & Flag.AFTER_GAP)
    return WaveRun(device, path, ref_id, _names(ref_id)[1], unit, t_ns, end_ns, rate_hz, gap, numbers, clock)


def _names(ref_id: str) -> tuple[str, str]:
    term = nomenclature().terms.get(ref_id)
    return (term.en, term.da) if term else ("", "")
