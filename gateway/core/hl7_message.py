"""What every message of one device has: MSH, PID, PV1, the number of an OBR, the rows of the containment tree.

Sources: IHE DEV TF-2 (PCD-01, PCD-04), IHE WCM, HL7 v2.6 chapters 2, 3 and 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import Final

from gateway.core.clock import ClockQuality, ClockState
from gateway.core.er7 import DELIMITERS, DtmFormat, escape
from gateway.core.metric import DeviceRow, Metric
from gateway.core.plan import Plan

PCD_01_OID: Final = "1.3.6.1.4.1.19376.1.6.1.1.1"
PCD_04_OID: Final = "1.3.6.1.4.1.19376.1.6.1.4.1"
PCD_01: Final = f"IHE_PCD_001^IHE PCD^{PCD_01_OID}^ISO"
PCD_04: Final = f"IHE_PCD_ACM_001^IHE PCD^{PCD_04_OID}^ISO"

_NO_PATIENT = 'PID|||""^^^CPR&1.2.208.176.1.2&ISO^NI||^^^^^^U||||||||||||||||||||||||||Y\r'
_DIMENSIONLESS = "262656^MDC_DIM_DIMLESS^MDC^1^1^UCUM"

CLOCK_QUALITY: Final = "MDCX_CLOCK_QUALITY"  # ST, attribute of the MDS: gateway.core.clock.ClockQuality in a word
CLOCK_STEP: Final = "MDCX_CLOCK_STEP"  # NM, s: the clock of the gateway was set by so much just before this message
TIME_SYNC: Final = "68220^MDC_TIME_SYNC_PROTOCOL^MDC"
_NO_TIME_SYNC = "532224^MDC_TIME_SYNC_NONE^MDC"
_KEPT = frozenset({ClockQuality.NOT_KNOWN, ClockQuality.SYNCHRONISED})  # nobody says that the configuration is wrong
_SECONDS = "264320^MDC_DIM_SEC^MDC^s^s^UCUM"

Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sender:
    """The sending gateway (MSH, OBR-3) and the receiver.

    eui64: 16 hex digits of the gateway; processing_id: P, T or D (MSH-11); accept_ack, application_ack: MSH-15 and
    MSH-16, AL or NE; time_sync: how the clock of the gateway is kept (OBX of the MDS, 11073 MDC_TIME_SYNC_…)
    """

    application: str
    eui64: str
    facility: str
    receiving_application: str
    receiving_facility: str
    processing_id: str = "P"
    accept_ack: str = "AL"
    application_ack: str = "NE"
    time_sync: str = "532226^MDC_TIME_SYNC_NTPV4^MDC"


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """The device and where it stands. name, eui64: OBX-18; unit, room, bed, facility: PV1-3, "" where not known."""

    name: str
    eui64: str
    unit: str = ""
    room: str = ""
    bed: str = ""
    facility: str = ""


class Envelope:
    """MSH to PV1, and the first part of an OBR. type_: MSH-9; profile: MSH-21."""

    def __init__(self, sender: Sender, device: DeviceIdentity, timezone: tzinfo, type_: str, profile: str) -> None:
        self.dtm = DtmFormat(timezone)
        self._sender = sender
        self._type = type_
        self._head = (
            f"MSH{DELIMITERS}|{escape(sender.application)}^{escape(sender.eui64)}^EUI-64|{escape(sender.facility)}|"
            f"{escape(sender.receiving_application)}|{escape(sender.receiving_facility)}|"
        )
        place = "^".join(map(escape, (device.unit, device.room, device.bed, device.facility))).rstrip("^")
        self._rest = (
            f"|2.6|||{escape(sender.accept_ack)}|{escape(sender.application_ack)}|DNK|UNICODE UTF-8|da^Danish^ISO639||"
            f"{profile}\r{_NO_PATIENT}PV1||U|{place}\r"
        )
        self.namespace = f"^{escape(sender.application)}^{escape(sender.eui64)}^EUI-64"

    def open(self, control_id: str, now_ns: int, chartable: bool) -> str:
        """Return MSH, PID and PV1. chartable: some of what follows is neither test nor demo."""
        # TF-2, MSH-11: D when the device is in demonstration or service mode.
        wanted = escape(self._sender.processing_id)
        processing_id = "D" if wanted == "P" and not chartable else wanted
        return f"{self._head}{self.dtm.text(now_ns)}||{self._type}|{control_id}|{processing_id}{self._rest}"


def clock_rows(clock: ClockState, time_sync: str) -> dict[Path, str]:
    """Return what a message says of the clock by which its times were taken, by path, each but for its OBX-1.

    How it is kept is the standard term: as configured, and NONE where the kernel or a step speaks against it. A
    receiver that knows no term of ours so learns it too.
    """
    protocol = time_sync if clock.quality in _KEPT else _NO_TIME_SYNC
    rows: dict[Path, str] = {(1, 0, 0, 1): f"|CWE|{TIME_SYNC}|1.0.0.1|{protocol}||||||R\r"}
    if clock.quality is not ClockQuality.NOT_KNOWN:
        rows[1, 0, 0, 7] = f"|ST|0^{CLOCK_QUALITY}^MDC|1.0.0.7|{clock.quality.word}||||||R\r"
    if clock.step_ns:
        rows[1, 0, 0, 8] = f"|NM|0^{CLOCK_STEP}^MDC|1.0.0.8|{clock.step_ns / 1e9:.3f}|{_SECONDS}|||||R\r"
    return rows


def path_of(text: str) -> Path:
    """Return OBX-4 as numbers, so that paths sort as the tree stands."""
    return tuple(map(int, text.split(".")))


def coded(row: Metric | DeviceRow) -> str:
    """Return OBX-3."""
    return f"{row.code}^{escape(row.ref_id)}^MDC"


def unit_of(metric: Metric) -> str:
    """Return OBX-6: MDC and UCUM."""
    unit = metric.unit
    if unit is None:
        return _DIMENSIONLESS
    return f"{unit.code}^{escape(unit.ref_id)}^MDC^{escape(unit.ucum)}^{escape(unit.ucum)}^UCUM"


def device_row(row: DeviceRow, device: DeviceIdentity) -> str:
    """Return a row of the containment tree but for its OBX-1; the MDS carries the identity of the device (OBX-18)."""
    text = f"||{coded(row)}|{row.path}|||||||X"
    if row.path.endswith(".0.0.0"):
        text += f"|||||||{escape(device.name)}^^{escape(device.eui64)}^EUI-64"
    return text + "\r"


def device_rows(plan: Plan, device: DeviceIdentity) -> dict[Path, str]:
    """Return the rows of the containment tree by path, each but for its OBX-1."""
    return {path_of(row.path): device_row(row, device) for row in plan.rows}
