"""A Modbus line in virtual time, for test_modbus_*: protocol and simulator wired together, all that passes is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymodbus.framer import FramerAscii, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU

from drivers.modbus.protocol import ModbusProtocol
from drivers.modbus.simulator import ModbusServer, Scenario, tagged
from gateway.core.frame import NEED_DATA, Event, Fault, Frame
from gateway.core.profile import ChannelSpec, MetricSpec, Profile, parse_profile
from gateway.core.protocol import DeviceSpec, Simulator

FRAMINGS = ("rtu", "ascii", "tcp")
T = 0.5  # timeout_s, the default

ROOT = Path(__file__).resolve().parents[2]
PROFILES = (
    "egnite/querx_th",
    "hettich/hettcube",
    "igd/toc_635",
    "parker/hl_050",
    "thermo/ult_freezer",
    "tsi/pressura",
    "tsi/pressura_rpm20",
)


def shipped(profile_id: str) -> Profile:
    path = ROOT / "firmware_profiles" / f"{profile_id}.toml"
    return parse_profile(path.read_text(encoding="utf-8"), profile_id, path.name)


def hettcube() -> Profile:
    return shipped("hettich/hettcube")


def block(name: str, fc: int = 3, address: int = 0, count: int = 1, interval_s: float = 1.0) -> dict[str, Any]:
    return {"name": name, "fc": fc, "address": address, "count": count, "interval_s": interval_s}


def profile(driver: Mapping[str, Any], metrics: Sequence[MetricSpec] = ()) -> Profile:
    """A profile whose [driver] table is `driver`."""
    channel = ChannelSpec("1.1.1", "V", "C", tuple(metrics), "test.toml:9")
    return Profile(
        "test/test", "test.toml", "T", "T", "modbus", "test", "paper", "D", (), {}, driver, (channel,), ()
    )  # fmt: skip


def devices(units: Mapping[int, Sequence[dict[str, Any]]]) -> list[DeviceSpec]:
    """unit -> its blocks; sources are numbered in that order."""
    return [
        DeviceSpec(source, profile({"block": list(blocks)}), {"unit": unit})
        for source, (unit, blocks) in enumerate(units.items())
    ]


def events(protocol: ModbusProtocol) -> list[Event]:
    """All events that wait."""
    found: list[Event] = []
    while (event := protocol.next_event()) is not NEED_DATA:
        found.append(event)
    return found


@dataclass
class Line:
    """The loop of a port, with a clock that jumps from one happening to the next."""

    protocol: ModbusProtocol
    simulator: Simulator
    now: float = 0.0
    lag: Callable[[], float] = float  # how much later than it asked the protocol is woken; float() = 0.0
    wire: list[tuple[float, str, bytes]] = field(default_factory=list)
    said: list[tuple[float, Event]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.protocol.start(self.now)

    def run(self, until: float) -> Line:
        while True:
            self._keep()
            self.write(self.protocol.data_to_send(self.now))
            self._keep()
            answer, wake = self.simulator.next_wake(), self.protocol.next_wake()
            times = [t for t in (answer, None if wake is None else wake + self.lag()) if t is not None]
            if not times or min(times) > until:
                self.now = until
                return self
            self.now = max(self.now, min(times))
            self.hear(self.simulator.data_to_send(self.now))

    def write(self, data: bytes) -> None:
        if data:
            self.wire.append((self.now, ">", data))
            self.simulator.receive_data(data, self.now)

    def hear(self, data: bytes) -> None:
        if data:
            self.wire.append((self.now, "<", data))
            self.protocol.receive_data(data, round(self.now * 1e9))

    def _keep(self) -> None:
        self.said += [(self.now, event) for event in events(self.protocol)]

    def frames(self, source: int | None = None, kind: str | None = None) -> list[tuple[float, Frame]]:
        return [
            (t, e)
            for t, e in self.said
            if isinstance(e, Frame) and source in (None, e.source) and kind in (None, e.kind)
        ]

    def faults(self) -> list[str]:
        return [e.reason for _, e in self.said if isinstance(e, Fault)]

    def sent(self) -> list[tuple[float, bytes]]:
        return [(t, data) for t, way, data in self.wire if way == ">"]


# The reply to: unit 1, fc 4, address 0, count 1; value 0x0172 (protocol notes, section 3; CRC and LRC computed)
REPLY = {
    "rtu": bytes.fromhex("01 04 02 01 72 38 85"),
    "ascii": b":010402017286\r\n",
    "tcp": bytes.fromhex("00 01 00 00 00 05 01 04 02 01 72"),
}


def wire(framing: str, unit: int, pdu: bytes) -> bytes:
    """An ADU as pymodbus makes it, transaction 1."""
    framer = {"rtu": FramerRTU, "ascii": FramerAscii, "tcp": FramerSocket}[framing]
    return framer(DecodePDU(False)).encode(pdu, unit, 1)


REFUSAL = {framing: wire(framing, 1, b"\x84\x04") for framing in FRAMINGS}


def line(framing: str, units: dict[int, list[dict[str, Any]]], bad: dict[int, Scenario] | None = None) -> Line:
    server = ModbusServer(framing, {unit: tagged(unit) for unit in units}, bad)
    return Line(ModbusProtocol(devices(units), {"framing": framing}), server)


def asked(framing: str) -> ModbusProtocol:
    """A protocol that has asked unit 1 for one input register at time 0, and will ask unit 2."""
    protocol = ModbusProtocol(devices({1: [block("a", fc=4)], 2: [block("a", fc=4)]}), {"framing": framing})
    protocol.start(0.0)
    assert protocol.data_to_send(0.0)
    return protocol


def reasons(found: list[Event]) -> list[str]:
    return [event.reason for event in found if isinstance(event, Fault)]
