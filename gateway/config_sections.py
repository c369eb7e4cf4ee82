"""The sections of mdi_config.toml: every key with its type, default, unit and one sentence. The one source of it."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.core.settings import Settings, setting

NAME = r"[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?"  # also used in topics and file names
EUI64 = r"[0-9A-F]{16}"


@dataclass(frozen=True)
class GatewaySettings(Settings):
    """[gateway]: who this box is."""

    name: str = field(metadata=setting("Name of this gateway; part of topics and message ids.", pattern=NAME))
    eui64: str = field(metadata=setting("EUI-64 of this gateway, 16 hex digits (MSH-3, OBR-3).", pattern=EUI64))
    site: str = field(metadata=setting("Hospital as named in topics.", pattern=NAME))
    unit: str = field(metadata=setting("Ward or department as named in topics.", pattern=NAME))
    facility: str = field(metadata=setting("Sending facility (MSH-4)."))
    timezone: str = field(default="Europe/Copenhagen", metadata=setting("Time zone of the times in messages."))
    time_sync: str = field(
        default="NONE",
        metadata=setting(
            "How the clock of this box is kept, as told to the receiver (11073 MDC_TIME_SYNC_…).",
            choices=("NONE", "NTPV4"),
        ),
    )
    processing_id: str = field(
        default="",
        metadata=setting(
            "MSH-11: P production, T training (never charted), D debugging; empty: P in production, T in lab.",
            choices=("", "P", "T", "D"),
            empty=True,
        ),
    )
    state_dir: str = field(default="/var/lib/mdi", metadata=setting("Where the spool lives; a disk that keeps data."))
    run_dir: str = field(default="/run/mdi", metadata=setting("Where rings and status live; memory (tmpfs)."))
    profiles: tuple[str, ...] = field(
        default=(), metadata=setting("Folders with own device profiles, asked before the packaged ones.")
    )


@dataclass(frozen=True)
class ReceiverSettings(Settings):
    """[receiver]: who the messages are for."""

    application: str = field(default="KITA", metadata=setting("Receiving application (MSH-5)."))
    facility: str = field(default="RM", metadata=setting("Receiving facility (MSH-6)."))


@dataclass(frozen=True)
class ForwardSettings(Settings):
    """[forward]: from the rings to the receiver's acknowledgement."""

    commit_ms: int = field(
        default=100,
        metadata=setting(
            "Pause between two rounds: a sample that is due is synced on disk about so soon.", "ms", low=10, high=200
        ),
    )
    ack_timeout_s: float = field(
        default=30.0,
        metadata=setting("Silence of the receiver after which the same bytes are sent again.", "s", low=1, high=600),
    )
    keep_s: float = field(
        default=5.0,
        metadata=setting("Pause before a resend when the receiver cannot store now (CE).", "s", low=0.1, high=600),
    )
    resend_max_s: float = field(
        default=60.0,
        metadata=setting(
            "Longest pause between two resends of a message; from the second on pauses double.", "s", low=1, high=3600
        ),
    )
    give_up_after: int = field(
        default=10,
        metadata=setting(
            "A message that gets no answer to so many sendings, while others get theirs, goes to the rejected ones; "
            "0 = never.",
            low=0,
            high=1000,
        ),
    )
    rows_per_message: int = field(default=500, metadata=setting("Most observations in one message.", low=1, high=5000))


@dataclass(frozen=True)
class SpoolSettings(Settings):
    """[spool]: what is kept until the receiver has acknowledged it."""

    segment_mib: int = field(default=16, metadata=setting("Size of one segment file.", "MiB", low=1, high=1024))
    limit_mib: int = field(
        default=2048,
        metadata=setting("Most disk space; beyond it the oldest data is lost, and declared lost.", "MiB", low=2),
    )
    compression: str = field(
        default="none",
        metadata=setting("none, or zstd: needs the package zstandard (extra zstd).", choices=("none", "zstd")),
    )
    turn_over_h: float = field(
        default=24.0,
        metadata=setting(
            "A segment takes messages for so long at most; it is removed when all in it are answered.", "h", low=1
        ),
    )


@dataclass(frozen=True)
class RouteSettings(Settings):
    """[[route]]: what is sent, and how often. The first of its kind that names a metric decides; none: not sent."""

    carries: str = field(
        default="values",
        metadata=setting(
            "values (PCD-01), waves (WCM) or alerts (PCD-04, for documentation only).",
            choices=("values", "waves", "alerts"),
        ),
    )

    metrics: tuple[str, ...] = field(
        default=("*",), metadata=setting("Reference ids, with * and ? as wildcards: MDC_ECG_HEART_RATE, MDC_PRESS_*.")
    )
    devices: tuple[str, ...] = field(default=("*",), metadata=setting("Names of devices, with * and ?."))
    interval_s: float = field(
        default=0.0,
        metadata=setting(
            "Values: 0 sends every sample, otherwise the latest usable value of each window, episodic values at once. "
            "Waves: length of a block, 0 = 1 s. Alerts: each change at once, and a sign of life so often, 0 = 30 s.",
            "s",
            low=0,
            high=86400,
        ),
    )

    def names(self, device: str, ref_id: str) -> bool:
        """Tell whether this route decides for the metric of the device."""
        return any(fnmatch.fnmatchcase(device, d) for d in self.devices) and any(
            fnmatch.fnmatchcase(ref_id, m) for m in self.metrics
        )


@dataclass(frozen=True)
class LocationSettings(Settings):
    """[port.device.location]: where the device stands (PV1-3). Never who lies there."""

    unit: str = field(default="", metadata=setting("Point of care.", empty=True))
    room: str = field(default="", metadata=setting("Room.", empty=True))
    bed: str = field(default="", metadata=setting("Bed.", empty=True))
    facility: str = field(default="", metadata=setting("Hospital.", empty=True))


@dataclass(frozen=True)
class DeviceSettings(Settings):
    """[[port.device]]: one device on the line of a port."""

    name: str = field(metadata=setting("Name of the device, unique on this gateway.", pattern=NAME))
    profile: str = field(metadata=setting("Device profile, vendor/model."))
    eui64: str = field(metadata=setting("EUI-64 of the device, 16 hex digits (OBX-18).", pattern=EUI64))
    firmware: str = field(
        default="", metadata=setting("Firmware, for a device that cannot say it itself; empty: as it says.", empty=True)
    )
    experimental: bool = field(
        default=False,
        metadata=setting("Use it though its profile is experimental: every value is questionable, and says so."),
    )
    options: Mapping[str, Any] = field(default_factory=dict, metadata=setting("What the driver wants to know of it."))


@dataclass(frozen=True)
class PortSettings(Settings):
    """[[port]]: one line to one or more devices."""

    name: str = field(metadata=setting("Name of the port, unique on this gateway.", pattern=NAME))
    driver: str = field(metadata=setting("Driver that speaks the protocol of the line."))
    ring_rows: int = field(
        default=16384,
        metadata=setting(
            "Room between port and forwarder, a power of two; for 10 s and more, and the longest window of its routes.",
            "rows",
            low=1024,
            high=1 << 22,
        ),
    )
    options: Mapping[str, Any] = field(default_factory=dict, metadata=setting("Options of the driver."))
