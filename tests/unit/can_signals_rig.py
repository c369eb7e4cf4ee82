"""What the tests of the driver can_signals share: a small DBC with one of each kind of signal, and ways to build."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import can

from drivers.can_signals import CanSignals
from gateway.core.frame import Event, Fault, Frame, NeedData, Reading
from gateway.core.profile import Profile, parse_profile
from gateway.core.protocol import DeviceSpec
from gateway.registry import read_profile

ROOT = Path(__file__).resolve().parents[2]
SMARTECLA = ROOT / "firmware_profiles" / "smartecla" / "bedside_network.toml"

# 256 = 100h standard, 2147483905 = 101h extended. Motorola (big-endian), float, multiplexed and limited signals.
DBC = """VERSION ""

NS_ :

BS_:

BU_: Pump Meter

BO_ 256 Plain: 8 Meter
 SG_ fine : 0|16@1- (0.01,0) [0|0] "mmHg" Vector__XXX
 SG_ coarse : 16|8@1+ (1,-40) [-40|100] "degC" Vector__XXX
 SG_ big : 31|16@0+ (0.1,0) [0|1000] "" Vector__XXX

BO_ 2147483905 Extended: 4 Meter
 SG_ real : 0|32@1- (1,0) [0|0] "L/min" Vector__XXX

BO_ 258 Choice: 3 Pump
 SG_ page M : 0|8@1+ (1,0) [0|0] "" Vector__XXX
 SG_ rate m0 : 8|16@1+ (0.1,0) [0|0] "mL/h" Vector__XXX
 SG_ volume m1 : 8|16@1+ (1,0) [0|0] "mL" Vector__XXX

SIG_VALTYPE_ 2147483905 real : 1;
"""

PROFILE = """
[profile]
vendor = "Test"
model = "network"
driver = "can_signals"
source = "made for this test"
verified = "paper"
device = "MDC_DEV_SYS_MULTI_MODAL_MDS"
files = ["x.dbc"]

[driver]
dbc = "x.dbc"
{driver}

[[channel]]
path = "1.1.1"
vmd = "MDC_DEV_GENERAL_VMD"
chan = "MDC_DEV_GENERAL_CHAN"
frame = "signal"
metric = [
  {{ n = 1, id = "MDC_PRESS_BLD_MEAN", unit = "mm[Hg]", object = "Plain.fine" }},
  {{ n = 2, id = "MDC_TEMP", unit = "Cel", object = "Plain.coarse" }},
  {metrics}
]
"""


def profile(dbc: str = DBC, driver: str = "", metrics: str = "", name: str = "test/network") -> Profile:
    """Build a profile around a DBC."""
    text = PROFILE.format(driver=driver, metrics=metrics)
    return parse_profile(text, name, f"profiles/{name}.toml", {"x.dbc": dbc})


def smartecla() -> Profile:
    """Read the packaged SmartECLA profile."""
    return read_profile(SMARTECLA)


def started(profiles: Sequence[Profile], options: Mapping[str, Any] | None = None) -> CanSignals:
    """Build the driver and start it at time 0."""
    devices = [DeviceSpec(source, profile) for source, profile in enumerate(profiles)]
    protocol = CanSignals(devices, options or {})
    protocol.start(0.0)
    return protocol


def record(can_id: int, data: bytes) -> bytes:
    """Build a can_frame record without the driver's own code: 4 + 1 + 3 + 8 bytes."""
    return struct.pack("<I", can_id) + bytes([len(data), 0, 0, 0]) + data.ljust(8, b"\0")


def record_of(message: can.Message) -> bytes:
    """Turn a python-can message into the record that the kernel would give."""
    flags = message.is_extended_id << 31 | message.is_remote_frame << 30 | message.is_error_frame << 29
    return record(message.arbitration_id & 0x1FFF_FFFF | flags, bytes(message.data))


def drain(protocol: CanSignals) -> list[Event]:
    """Fetch all events."""
    events: list[Event] = []
    while not isinstance(event := protocol.next_event(), NeedData):
        events.append(event)
    return events


def frames(events: Sequence[Event]) -> list[Frame]:
    """Return the frames among the events."""
    return [event for event in events if isinstance(event, Frame)]


def faults(events: Sequence[Event]) -> list[Fault]:
    """Return the faults among the events."""
    return [event for event in events if isinstance(event, Fault)]


def readings(frame: Frame) -> list[Reading]:
    """Return the readings of a frame of this driver."""
    assert isinstance(frame.payload, list)
    return frame.payload


def values(events: Sequence[Event]) -> dict[str, float]:
    """Return object -> last value."""
    found: dict[str, float] = {}
    for frame in frames(events):
        found.update((str(reading.object), reading.value) for reading in readings(frame))
    return found
