"""Decode a capture with a profile: the same protocol and plan as a live port, on bytes from a file.

Recorded times drive the protocol's clock, and a polled protocol is told what it asked when the recording was made, so
that it matches the answers to it. Raw line bytes carry no time of arrival: there the device's own time stands in its
place, and where the device says none the time is unknown.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from gateway import registry
from gateway.core.errors import ProfileError
from gateway.core.frame import Fault, Frame, Identified, NeedData
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Metric, Plan
from gateway.core.profile import Profile
from gateway.core.protocol import DeviceSpec, Replayable
from gateway.core.sample import IS_USABLE, NOT_FOR_CHARTING, Block, Flag, Validity
from gateway.record import Direction, open_capture

_WORDS = {Validity.VLD: "Vld", Validity.VLDATED: "Vldated", Validity.ONG: "Ong", Validity.QST: "Qst"}
_WORDS |= {
    Validity.CALIB: "Calib",
    Validity.INV: "Inv",
    Validity.OFLW: "Oflw",
    Validity.UFLW: "Uflw",
    Validity.NA: "NA",
}


@dataclass
class Decoder:
    """Decodes one device's bytes. `blocks` yields (plan, block) as they come."""

    profile: Profile
    profiles: registry.Profiles
    options: Mapping[str, Any] = field(default_factory=dict)
    device_options: Mapping[str, Any] = field(default_factory=dict)
    firmware: str = ""
    frames_ok: int = 0
    clock: str = "gateway"  # whose time the samples carry: "device" where the bytes have no time of arrival
    reasons: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        driver = registry.driver(self.profile.driver)
        self.plan: Plan = self._compile(self.firmware)
        self._protocol = driver.protocol([DeviceSpec(0, self.profile, self.device_options)], self.options)
        self._start_ns: int | None = None

    def _compile(self, firmware: str) -> Plan:
        return Plan(self.profile, firmware, nomenclature())

    def feed(self, t_ns: int, data: bytes) -> Iterator[tuple[Plan, Block]]:
        """Take bytes of the device that arrived at t_ns (UTC ns)."""
        self.advance(t_ns)
        self._protocol.receive_data(data, t_ns)
        yield from self._events()
        self.frames_ok = self._protocol.frames_ok

    def advance(self, t_ns: int) -> None:
        """Let the protocol do what it wanted to do before t_ns; nothing is sent anywhere."""
        if self._start_ns is None:
            self._start_ns = t_ns
            self._protocol.start(0.0)
        now = (t_ns - self._start_ns) / 1e9
        while (wake := self._protocol.next_wake()) is not None and wake <= now:
            self._protocol.data_to_send(wake)
            after = self._protocol.next_wake()
            if after is not None and after <= wake:  # wants nothing but the present
                break
        self._protocol.data_to_send(now)

    def was_sent(self, t_ns: int, data: bytes) -> None:
        """Take bytes that went to the device at t_ns."""
        self.advance(t_ns)
        if isinstance(self._protocol, Replayable) and self._start_ns is not None:
            self._protocol.was_sent(data, (t_ns - self._start_ns) / 1e9)

    def _events(self) -> Iterator[tuple[Plan, Block]]:
        while not isinstance(event := self._protocol.next_event(), NeedData):
            if isinstance(event, Frame):
                self.clock = "gateway" if event.t_ns else "device"
                if not event.t_ns and event.device_ns is not None:
                    event = replace(event, t_ns=event.device_ns)
                block = self.plan.decode(event, 0)
                if len(block):
                    yield self.plan, block
            elif isinstance(event, Identified):
                if event.firmware and not self.firmware:
                    self.plan = self._compile(event.firmware)
            elif isinstance(event, Fault):
                (self.reasons if event.bad_frame else self.faults)[event.reason] += 1


def decode_file(decoder: Decoder, path: Path) -> Iterator[tuple[int, Plan, Block]]:
    """Decode a capture: a recording, a CAN log or raw line bytes. Yields (bytes consumed, plan, block)."""
    done = 0
    for t_ns, direction, data in open_capture(path):
        if direction is Direction.TO_DEVICE:
            decoder.was_sent(t_ns, data)
        if direction is not Direction.FROM_DEVICE:
            continue
        done += len(data)
        for plan, block in decoder.feed(t_ns, data):
            yield done, plan, block


def sample_json(plan: Plan, row: np.void, clock: str) -> dict[str, Any]:
    """Return one sample as a plain object. value: number, token of an enumeration, or None; clock: whose time t is."""
    metric = plan.metrics[row["metric"]]
    flags = int(row["flags"])
    return {
        "t": time_text(int(row["t_ns"])),
        "clock": clock,
        "code": metric.code,
        "ref_id": metric.ref_id,
        "path": metric.path,
        "value": value_of(metric, float(row["value"])),
        "unit": metric.unit.ucum if metric.unit else None,
        "validity": _WORDS[Validity(int(row["validity"]))],
        "waveform": bool(flags & Flag.WAVEFORM),
        "flags": [flag.name.lower() for flag in Flag if flags & flag and flag is not Flag.WAVEFORM and flag.name],
    }


def time_text(t_ns: int) -> str | None:
    """Return UTC ns as ISO 8601 with milliseconds; None when the time is unknown (0)."""
    if not t_ns:
        return None
    seconds, ns = divmod(t_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns // 1_000_000:03d}Z"


def value_of(metric: Metric, value: float) -> float | str | None:
    """Return what a person reads: number, token, or None when there is no value."""
    if math.isnan(value):
        return None
    return metric.tokens[int(value)] if metric.kind == "enumeration" else value


class Statistics:
    """Counts per metric over many blocks."""

    def __init__(self) -> None:
        self.metrics: dict[str, dict[str, Any]] = {}
        self.waveforms: Counter[str] = Counter()
        self.alerts: Counter[str] = Counter()

    def add(self, plan: Plan, block: Block) -> None:
        """Count one block; n, min and max over usable values only."""
        if block["flags"][0] & Flag.WAVEFORM:
            self.waveforms[plan.metrics[block["metric"][0]].ref_id] += len(block)
            return
        for index, value, validity, flags in zip(
            block["metric"].tolist(),
            block["value"].tolist(),
            block["validity"].tolist(),
            block["flags"].tolist(),
            strict=True,
        ):
            metric = plan.metrics[index]
            if metric.kind == "alert":
                self.alerts[metric.ref_id] += 1
                continue
            usable = IS_USABLE[validity] and not flags & NOT_FOR_CHARTING and not math.isnan(value)
            self._count(metric, value, bool(usable))

    def _count(self, metric: Metric, value: float, usable: bool) -> None:
        unit = metric.unit.ucum if metric.unit else None
        row = self.metrics.setdefault(metric.ref_id, {"n": 0, "no_value": 0, "min": None, "max": None, "unit": unit})
        if not usable:
            row["no_value"] += 1
            return
        row["n"] += 1
        row["min"] = value if row["min"] is None else min(row["min"], value)
        row["max"] = value if row["max"] is None else max(row["max"], value)

    def json(self, decoder: Decoder) -> dict[str, Any]:
        """Return the statistics as one object."""
        unmapped = {f"{kind} {object_}": n for (kind, object_), n in decoder.plan.unmapped.items()}
        return {
            "frames_ok": decoder.frames_ok,
            "frames_bad": sum(decoder.reasons.values()),
            "reasons": dict(decoder.reasons),
            "faults": dict(decoder.faults),
            "metrics": self.metrics,
            "waveforms": dict(self.waveforms),
            "alerts": dict(self.alerts),
            "unmapped": unmapped,
        }


def find_profile(name: str, profiles: registry.Profiles) -> Profile:
    """Return the profile called VENDOR/MODEL, or the one in a file. Raises: ProfileError."""
    if name.endswith(".toml"):
        return registry.read_profile(Path(name))
    if name.count("/") != 1:
        raise ProfileError(
            f"{name!r} is no profile", hint="write VENDOR/MODEL or a .toml file: " + ", ".join(profiles.ids())
        )
    return profiles.get(name)
