"""What the tests of the driver canopen share: a small EDS, a profile around it, and ways to build and to speak."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.canopen import CanOpen
from gateway.core.frame import Event, Fault, Frame, NeedData, Reading
from gateway.core.profile import Profile, parse_profile
from gateway.core.protocol import DeviceSpec
from gateway.registry import read_profile
from tests.conftest import ROOT

T_NS = 1_700_000_000_000_000_000
GAMMA_XL = ROOT / "firmware_profiles" / "prominent" / "gamma_xl.toml"
GRAMMAR = r"[\x01-\x7F]\x06\x00\x00\x08\x00{3}(?:\x40.{3}\x00{4}|[\x60\x70]\x00{7})"
NODE = 10


def _object(section: str, name: str, data_type: int, default: str = "") -> str:
    text = (
        f"[{section}]\nParameterName={name}\nObjectType=0x7\nDataType=0x{data_type:04X}\nAccessType=rw\nPDOMapping=1\n"
    )
    return text + (f"DefaultValue={default}\n\n" if default else "\n")


def _record(index: str, name: str, *defaults: str) -> str:
    head = f"[{index}]\nParameterName={name}\nObjectType=0x9\nSubNumber={len(defaults)}\n\n"
    return head + "".join(_object(f"{index}sub{i}", f"{name} {i}", 7, text) for i, text in enumerate(defaults))


# TPDO1: u16 with bits, i16, float. TPDO2: padding of 4 bits, 4 bits of a u8, i8. TPDO3 is off.
EDS = (
    "[FileInfo]\nFileName=x.eds\n\n[DeviceInfo]\nVendorName=Acme\nVendorNumber=0x77\nProductNumber=5\n\n"
    + _object("1000", "Device type", 7, "0")
    + _object("1001", "Error register", 5)
    + _object("1008", "Device name", 9, "Acme infusion warmer")
    + _object("100A", "Software version", 9, "V1.2")
    + _object("1017", "Producer heartbeat time", 6, "1000")
    + _record("1018", "Identity", "4", "0x77", "5", "1", "4711")
    + _record("1800", "TPDO1", "2", "$NODEID+0x40000180", "255")
    + _record("1801", "TPDO2", "2", "$NODEID+0x280", "255")
    + _record("1802", "TPDO3", "2", "$NODEID+0x80000380", "255")
    + _record("1A00", "Mapping 1", "3", "0x20010010", "0x20020010", "0x20030020")
    + _record("1A01", "Mapping 2", "3", "0x00050004", "0x20040004", "0x20050008")
    + _record("1A02", "Mapping 3", "1", "0x20010010")
    + _object("2001", "State word", 6)
    + _object("2002", "Temperature", 3)
    + _object("2003", "Flow", 8)
    + _object("2004", "Level", 5)
    + _object("2005", "Trend", 2)
    + _object("2010", "Volume", 7)
    + _object("2011", "Note", 9, "nothing")
)

PROFILE = """
[profile]
vendor = "Test"
model = "node"
driver = "canopen"
source = "made for this test"
verified = "paper"
device = "MDC_DEV_SYS_MULTI_MODAL_MDS"
files = ["x.eds"]

[driver]
eds = "x.eds"
node = 10
emcy_detail = [1]
{driver}

{transmit}

[[channel]]
path = "1.1.1"
vmd = "MDC_DEV_GENERAL_VMD"
chan = "MDC_DEV_GENERAL_CHAN"
frame = "object"
metric = [
  {{ n = 1, id = "MDC_TEMP", unit = "Cel", object = "2002.00", scale = 0.1, raw_invalid = [-32768] }},
  {metrics}
]
"""
ALERTS = """{ n = 90, id = "MDC_EVT_LO", kind = "alert", frame = "emcy", object = "FF01.21", alert = "technical" },
  { n = 91, id = "MDC_EVT_ALARM", kind = "alert", frame = "emcy", object = "*", alert = "technical" },"""


def profile(eds: str = EDS, driver: str = "", metrics: str = ALERTS, active: bool = False) -> Profile:
    """Build a profile around an EDS."""
    transmit = f"[transmit]\nallow = ['{GRAMMAR}']" if active else ""
    text = PROFILE.format(driver=driver, metrics=metrics, transmit=transmit)
    return parse_profile(text, "test/node", "profiles/test/node.toml", {"x.eds": eds})


def gamma_xl() -> Profile:
    """Read the packaged profile."""
    return read_profile(GAMMA_XL)


def started(profile_: Profile | None = None, options: Mapping[str, Any] | None = None) -> CanOpen:
    """Build the driver for one node and start it at time 0."""
    protocol = CanOpen([DeviceSpec(0, profile_ or profile())], options or {})
    protocol.start(0.0)
    return protocol


def record(can_id: int, data: bytes | str) -> bytes:
    """Build a can_frame record without the driver's own code: 4 + 1 + 3 + 8 bytes."""
    data = bytes.fromhex(data) if isinstance(data, str) else data
    return struct.pack("<I", can_id) + bytes([len(data), 0, 0, 0]) + data.ljust(8, b"\0")


def heard(protocol: CanOpen, *records: bytes, t_ns: int = T_NS) -> list[Event]:
    """Let frames come, and fetch what the driver says."""
    for data in records:
        protocol.receive_data(data, t_ns)
    events: list[Event] = []
    while not isinstance(event := protocol.next_event(), NeedData):
        events.append(event)
    return events


OPERATIONAL = record(0x70A, "05")
BOOT_UP = record(0x70A, "00")


def faults(events: Sequence[Event]) -> list[str]:
    """Return the reasons of the faults."""
    return [event.reason for event in events if isinstance(event, Fault)]


def frames(events: Sequence[Event], kind: str) -> list[Frame]:
    """Return the frames of a kind."""
    return [event for event in events if isinstance(event, Frame) and event.kind == kind]


def readings(events: Sequence[Event]) -> list[Reading]:
    """Return all values of objects, in order."""
    found: list[Reading] = []
    for frame in frames(events, "object"):
        assert isinstance(frame.payload, list)
        found += frame.payload
    return found


def values(events: Sequence[Event]) -> dict[str, float | str]:
    """Return object -> last value."""
    return {str(reading.object): reading.value for reading in readings(events)}
