"""What a person can set, and what the driver can complain of."""

from __future__ import annotations

from dataclasses import dataclass, field

from drivers.ge_dri.record import Values
from gateway.core.settings import Settings, setting

ALL_WAVES = "*"
FAULTS = {
    "too_long": "Bytes without an end of a record: check baud rate, parity and cable.",
    "escape": "A frame with a broken escape, thrown away: bytes are lost, check the cable and RTS/CTS flow control.",
    "length": "A frame that is no whole record, thrown away: bytes are lost, check the cable and RTS/CTS flow control.",
    "checksum": "A record with a wrong checksum, thrown away: check the cable, its shield and its length.",
    "layout": "A record is intact but not built as this driver knows it: report it with a recording and the software.",
    "unread": "The monitor sends records that this driver does not read; told once for each type, nothing to do.",
    "same_label": "Two channels have one label, only one of them is shown: give them different labels on the monitor.",
    "no_answer": "No values come: switch the monitor on, check cable, even parity and RTS/CTS, and the port's setting.",
    "no_trend": "No trend comes: open a patient case on the monitor, or set `values` to displayed.",
    "no_waves": "None of the waves asked for come: ask for fewer (option `waves`), or check their modules.",
    "no_alarms": "The monitor does not answer for its alarms: its software may be too old for that.",
}
VALUES = {"displayed": Values.DISPLAYED, "trend_10s": Values.TREND_10S, "trend_60s": Values.TREND_60S}


@dataclass(frozen=True, slots=True)
class Options(Settings):
    """Options of a port."""

    interval_s: int = field(
        default=5,  # section 4.1: the shortest that a monitor grants
        metadata=setting("the monitor sends its displayed values so often", "s", low=5, high=60),
    )
    values: str = field(
        default="displayed",
        metadata=setting(
            "which values are given: those on the screen, or the monitor's own trend of 10 or 60 s",
            choices=tuple(VALUES),
        ),
    )
    waves: tuple[str, ...] = field(
        default=(ALL_WAVES,),
        metadata=setting("waveforms to ask for, in order of priority: their names, or * for all of the profile"),
    )


@dataclass(frozen=True, slots=True)
class Scenario(Settings):
    """What the simulated monitor is like."""

    level: int = field(default=11, metadata=setting("interface level of the monitor", low=2, high=11))
    case_open: bool = field(default=True, metadata=setting("a patient case is open: trends are sent"))
    off_s: tuple[float, ...] = field(default=(), metadata=setting("window (from, to) in which it is switched off", "s"))
