"""Building blocks of the GE DRI tests: records made by hand, a driver that is fed, a conversation, the recordings.

python -m tests.unit.ge_dri_rig        writes drivers/ge_dri/captures anew
"""

from __future__ import annotations

import json
import re
import struct
from collections import Counter, defaultdict
from collections.abc import Mapping
from math import isnan
from pathlib import Path
from typing import Any

from drivers.ge_dri import DRIVER, layout
from drivers.ge_dri.options import Options
from drivers.ge_dri.protocol import DriProtocol
from gateway.core.frame import Alerts, Event, Fault, Frame, NeedData, Reading, Wave
from gateway.core.profile import Profile, parse_profile
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from tests.conftest import ROOT

S = 1_000_000_000
T0 = 1_767_225_600 * S
CAPTURES = ROOT / "drivers/ge_dri/captures"
INVALID = -32767
GROUPS = {group.name: (number, group) for number, groups in enumerate(layout.CLASSES) for group in groups}


def profile(name: str = "s5_dri") -> Profile:
    path = ROOT / f"firmware_profiles/ge/{name}.toml"
    return parse_profile(path.read_text(encoding="utf-8"), f"ge/{name}", str(path))


def on_the_line(record: bytes) -> bytes:
    """Return a record with its checksum between two flags."""
    body = record + bytes([sum(record) % 256])
    return b"\x7e" + b"".join({0x7D: b"\x7d\x5d", 0x7E: b"\x7d\x5e"}.get(b, bytes([b])) for b in body) + b"\x7e"


def record(main: int, *parts: tuple[int, bytes], number: int = 0, level: int = 11, time_s: int = 1000) -> bytes:
    descriptors, at = b"", 0
    for kind, data in parts:
        descriptors += struct.pack("<hB", at, kind)
        at += len(data)
    descriptors = (descriptors + b"\0\0\xff").ljust(24, b"\0")[:24]
    return (
        struct.pack("<hBBHIBBHh", 40 + at, number, level, 0, time_s, 0, 0, 0, main)
        + descriptors
        + b"".join(data for _, data in parts)
    )


Group = tuple[int, int, dict[str, int]]  # status, label, fields


def subrecord(number: int, groups: Mapping[str, Group], kind: int = 1, time_s: int = 1000, more: bytes = b"") -> bytes:
    """Return the 278 bytes of a class; a group that is not named is not there. more: overwrites from byte 16 on."""
    data = bytearray(278)
    struct.pack_into("<I", data, 0, time_s)
    struct.pack_into("<H", data, 276, number << 8 | kind)
    for name, (status, label, values) in groups.items():
        _, group = GROUPS[name]
        at = group.at
        if not group.bare:
            struct.pack_into("<IH", data, at, status, label)
            at += 6
        for i, field in enumerate(group.fields):
            struct.pack_into("<h", data, at + 2 * i, values.get(field, INVALID))
    data[16 : 16 + len(more)] = more
    return bytes(data)


def values(
    groups: Mapping[str, Group], kind: int = 1, number: int = 0, level: int = 11, time_s: int = 1000, more: bytes = b""
) -> bytes:
    """Return a record of values, all four classes. more: arrh_status_bf."""
    parts = []
    for cls in range(4):
        mine = {name: group for name, group in groups.items() if GROUPS[name][0] == cls}
        parts.append((kind, subrecord(cls, mine, kind, time_s, more if cls == 1 else b"")))
    return record(0, *parts, number=number, level=level, time_s=time_s)


def auxiliary(nibp: int = 0, co: int = 0, pcwp: int = 0, surface: int = INVALID, time_s: int = 1000) -> bytes:
    return record(0, (4, struct.pack("<IhIIh98x", nibp, 0, co, pcwp, surface)), time_s=time_s)


def wave(kind: int, samples: list[int], status: int = 0, number: int = 0) -> bytes:
    data = struct.pack(f"<hHH{len(samples)}h", len(samples), status, 1, *samples)
    return record(1, (kind, data), number=number)


def alarms(*lines: tuple[str, int], silence: int = 0, sound: int = 1) -> bytes:
    """Return a record of alarms. lines: (text, color)."""
    rows = [struct.pack("<80shhh12x", text.encode("latin-1"), 0, color, 0) for text, color in lines]
    rows += [bytes(98)] * (5 - len(rows))
    return record(4, (1, struct.pack("<hh4xh", 0, sound, silence) + b"".join(rows) + bytes(10)))


def drained(protocol: DriProtocol) -> list[Event]:
    found: list[Event] = []
    while not isinstance(event := protocol.next_event(), NeedData):
        found.append(event)
    return found


class Fed:
    """A driver that nobody answers; bytes in, events out."""

    def __init__(self, **options: Any) -> None:
        self.protocol = DriProtocol(0, Options(**options), (1,), True)
        self.protocol.start(0.0)

    def line(self, data: bytes, t_ns: int = T0) -> list[Event]:
        self.protocol.receive_data(data, t_ns)
        return drained(self.protocol)

    def record(self, data: bytes, t_ns: int = T0) -> list[Event]:
        return self.line(on_the_line(data), t_ns)

    def readings(self, data: bytes) -> dict[int | str, Reading]:
        return readings(self.record(data))


def readings(events: list[Event]) -> dict[int | str, Reading]:
    """Return the last reading of each object."""
    return {
        reading.object: reading
        for event in events
        if isinstance(event, Frame) and isinstance(event.payload, list)
        for reading in event.payload
    }


def active(events: list[Event], kind: str) -> list[str]:
    """Return the objects of the last alert list of a kind."""
    lists = [e.payload for e in events if isinstance(e, Frame) and e.kind == kind and isinstance(e.payload, Alerts)]
    return [str(alert.object) for alert in lists[-1].active]


def faults(events: list[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Fault)]


def waves(events: list[Event]) -> list[Wave]:
    return [e.payload for e in events if isinstance(e, Frame) and isinstance(e.payload, Wave)]


class Talk:
    """A driver and a simulated monitor in virtual time, from one moment to the next."""

    def __init__(
        self, options: dict[str, Any] | None = None, name: str = "s5_dri", scene: Scene | None = None, **scenario: Any
    ) -> None:
        devices = [DeviceSpec(0, profile(name))]
        self.protocol = DRIVER.protocol(devices, options or {})
        self.monitor = DRIVER.simulator(devices, scenario, scene or Scene())
        self.now = 0.0
        self.events: list[Event] = []
        self.sent: list[tuple[float, bytes]] = []
        self.heard = b""
        self.protocol.start(0.0)

    def until(self, end: float) -> list[Event]:
        """Let them speak until `end` and return the events of that time."""
        before = len(self.events)
        while self.now <= end:
            said = self.protocol.data_to_send(self.now)
            if said:
                self.sent.append((self.now, said))
                self.monitor.receive_data(said, self.now)
            data = self.monitor.data_to_send(self.now)
            self.heard += data
            self.protocol.receive_data(data, T0 + round(self.now * S))
            self.events += drained(self.protocol)  # type: ignore[arg-type]
            wakes = [wake for wake in (self.protocol.next_wake(), self.monitor.next_wake()) if wake is not None]
            self.now = max(self.now + 0.001, min(wakes, default=end))
        return self.events[before:]


RECORDINGS: dict[str, tuple[float, dict[str, Any], dict[str, Any]]] = {  # seconds, options, scenario
    "values": (21.0, {"waves": []}, {}),
    "waves": (4.0, {}, {"level": 9}),
    "trend_10s": (31.0, {"waves": [], "values": "trend_10s"}, {}),
}


def recording(name: str) -> bytes:
    """Return what the monitor says in one of the conversations."""
    seconds, options, scenario = RECORDINGS[name]
    talk = Talk(options, **scenario)
    talk.until(seconds)
    return talk.heard


def summary(name: str, data: bytes) -> dict[str, Any]:
    """Return what the driver reads in a recording, as plain objects."""
    protocol = DRIVER.protocol([DeviceSpec(0, profile())], RECORDINGS[name][1])
    protocol.start(0.0)
    protocol.receive_data(data, T0)
    said: dict[str, list[float | None]] = defaultdict(list)
    samples: Counter[str] = Counter()
    alerts: Counter[str] = Counter()
    for event in drained(protocol):  # type: ignore[arg-type]
        payload = event.payload if isinstance(event, Frame) else None
        if isinstance(payload, Wave):
            samples[str(payload.object)] += len(payload.samples)
        elif isinstance(payload, Alerts):
            alerts.update(str(alert.object) for alert in payload.active)
        elif isinstance(payload, list):
            for reading in payload:
                number = float(reading.value)
                said[str(reading.object)].append(None if isnan(number) else number)
    found = {"frames_ok": protocol.frames_ok, "values": dict(said), "samples": dict(samples), "alerts": dict(alerts)}
    return {key: dict(sorted(value.items())) if isinstance(value, dict) else value for key, value in found.items()}


def write(folder: Path = CAPTURES) -> None:
    for name in RECORDINGS:
        data = recording(name)
        (folder / f"{name}.bin").write_bytes(data)
        text = re.sub(r"\s+(?=[^\[\]]*\])", " ", json.dumps(summary(name, data), indent=1))  # a list on one line
        (folder / f"{name}.expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
