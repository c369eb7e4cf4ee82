"""Building blocks of the GE Dash tests: messages made by hand, a driver that is fed, the recording.

python -m tests.unit.ge_dash_rig        writes drivers/ge_dash/captures anew
"""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from math import isnan
from typing import Any

from drivers.ge_dash import DRIVER
from drivers.ge_dash.protocol import DashProtocol
from gateway.core.frame import Alerts, Event, Fault, Frame, NeedData, Reading
from gateway.core.profile import Profile, parse_profile
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from tests.conftest import ROOT

S = 1_000_000_000
T0 = 1_767_225_600 * S
CAPTURES = ROOT / "drivers/ge_dash/captures"
MISSING = 0x8001

# The worked example of the protocol notes: a record of a real Dash 4000, from the network. SpO2 97 %, pulse 64, third
# value missing; limits of SpO2 94 to 101 (101 = off), of the pulse 35 to 110.
SPO2 = bytes.fromhex(
    "01 2D C0 E0 00 61 00 40 80 01" + "00" * 14 + "03 2D A0 20 00 08 00 5E 00 65 00 23 00 6E 00 00 00 00 00 00"
    "15 2D 40 00 00 00 00 00 00 00" + "00" * 10 + "0B 2D 00 00 51 00"
)
# Its first record: ECG, all three values invalid (leads off), limits of the heart rate 35 to 110.
ECG_OFF = (
    bytes.fromhex("01 3A C0 1F 80 00 80 00 80 00" + "00" * 14 + "03 3A 90 80 00 02 00 23 00 6E" + "00" * 10)
    + bytes(20)
    + bytes.fromhex("01 3A 00 00 51 00")
)


def profile() -> Profile:
    path = ROOT / "firmware_profiles/ge/dash.toml"
    return parse_profile(path.read_text(encoding="utf-8"), "ge/dash", str(path))


def record(
    kind: int, code: int, values: tuple[int, ...], limits: tuple[int, ...] = (), place: int = 0, stride: int = 70
) -> bytes:
    """Return one record; values as unsigned 16-bit numbers."""
    update = struct.pack(">BBH3H14x", 1, code, 0, *(*values, MISSING, MISSING, MISSING)[:3])
    setup = struct.pack(">BBHH6hh", 3, code, 0, 0, *(*limits, 0, 0, 0, 0, 0, 0)[:6], 0) if limits else bytes(20)
    return update + setup + bytes(20) + bytes([kind, code, place, 0]) + bytes(stride - 68)


def message(
    *records: bytes, state: int = 0, level: int = 0, admitted: int = 1, function: int = 201, sub: int = 20
) -> bytes:
    """Return one answer of the monitor."""
    data = bytes([state, level, level, admitted, len(records), 0]) + b"".join(records)
    return bytes(12) + struct.pack(">HH42xH", function, sub, len(data)) + data + b"\xab\xcd"


def drained(protocol: DashProtocol) -> list[Event]:
    found: list[Event] = []
    while not isinstance(event := protocol.next_event(), NeedData):
        found.append(event)
    return found


class Fed:
    """A driver that nobody answers; bytes in, events out."""

    def __init__(self) -> None:
        self.protocol = DashProtocol(0, 2.0)
        self.protocol.start(0.0)
        self.t_ns = T0

    def line(self, data: bytes, after_s: float = 2.0) -> list[Event]:
        self.t_ns += round(after_s * S)
        self.protocol.receive_data(data, self.t_ns)
        return drained(self.protocol)

    def readings(self, *records: bytes) -> dict[str, Reading]:
        return readings(self.line(message(*records)))


def readings(events: list[Event]) -> dict[str, Reading]:
    """Return the last reading of each object."""
    return {
        str(reading.object): reading
        for event in events
        if isinstance(event, Frame) and isinstance(event.payload, list)
        for reading in event.payload
    }


def faults(events: list[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Fault)]


def lists(events: list[Event]) -> list[Alerts]:
    return [event.payload for event in events if isinstance(event, Frame) and isinstance(event.payload, Alerts)]


class Talk:
    """A driver and a simulated monitor in virtual time."""

    def __init__(self, **scenario: Any) -> None:
        devices = [DeviceSpec(0, profile())]
        self.protocol = DRIVER.protocol(devices, {})
        self.monitor = DRIVER.simulator(devices, scenario, Scene())
        self.protocol.start(0.0)
        self.now = 0.0
        self.sent: list[tuple[float, bytes]] = []
        self.heard = b""

    def until(self, end: float) -> list[Event]:
        found: list[Event] = []
        while self.now <= end:
            said = self.protocol.data_to_send(self.now)
            if said:
                self.sent.append((self.now, said))
                self.monitor.receive_data(said, self.now)
            data = self.monitor.data_to_send(self.now)
            self.heard += data
            self.protocol.receive_data(data, T0 + round(self.now * S))
            found += drained(self.protocol)  # type: ignore[arg-type]
            self.now = max(self.now + 0.001, self.protocol.next_wake() or end)
        return found


def recording() -> bytes:
    """Return what the monitor says in 12 s."""
    talk = Talk()
    talk.until(12.0)
    return talk.heard


def summary(data: bytes) -> dict[str, list[float | None]]:
    """Return what the driver reads in a recording: object -> numbers, None where there is none."""
    protocol = DashProtocol(0, 2.0)
    protocol.start(0.0)
    protocol.receive_data(data, T0)
    said: dict[str, list[float | None]] = defaultdict(list)
    for event in drained(protocol):
        if isinstance(event, Frame) and isinstance(event.payload, list):
            for reading in event.payload:
                number = float(reading.value)
                said[str(reading.object)].append(None if isnan(number) else number)
    return dict(sorted(said.items()))


def write() -> None:
    data = recording()
    (CAPTURES / "parameters.bin").write_bytes(data)
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(numbers)}" for name, numbers in summary(data).items())
    (CAPTURES / "parameters.expected.json").write_text("{\n" + lines + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    write()
