"""Building blocks of the IntelliVue tests: results made by hand, a driver that is fed, a conversation."""

from __future__ import annotations

import struct
from typing import Any

from drivers.philips_intellivue import pdu as layout
from drivers.philips_intellivue.framing import FrameReader, frame
from drivers.philips_intellivue.options import Scenario
from drivers.philips_intellivue.pdu import ALERT_MONITOR, attribute, listed
from drivers.philips_intellivue.protocol import IntellivueProtocol
from drivers.philips_intellivue.record import SCENE, converse, drain, shipped_profile
from drivers.philips_intellivue.simulator import IntellivueMonitor
from gateway.core.frame import Alert, Alerts, Event, Fault, Frame, Identified, Reading, Wave
from gateway.core.scene import Scene

PROFILE = shipped_profile()
BEACON = "captures/philips_beacon/philips_intellivue_connect_indication_udp_payload.bin"  # in the fixture `shared`
NOT_SET = b"\xff" * 8
S = 1_000_000_000

# protocol notes, section 16.2: a constructed single-poll result and what it says
SINGLE_POLL_RESULT = bytes.fromhex(
    "e1000002000200b60000000700b00021000000000c1600a600010010000020240115123045000001000600000001008e"
    "00000004008801010002001609240004000241820950000a418200000aa0000000480102000200160924000400024bb8"
    "0950000a4bb800000220ff0003cf01030002002e0924000400024a04094b00220003001e4a0500000f20000000784a06"
    "00000f20000000504a0700000f200000005d010400020016092400040002500a0950000a500a80000ae0007fffff"
)


def observation(handle: int, *attributes: bytes) -> bytes:
    return struct.pack(">H", handle) + listed(list(attributes))


def result(
    polled: int,
    *observations: bytes,
    sequence: int | None = 0,
    invoke: int = 9,
    relative: int = 0,
    link: tuple[int, int] | None = None,
    context: int = 1,
) -> bytes:
    """Return a poll result PDU. sequence None: a single poll's; link: (state, part) of a linked one."""
    head = struct.pack(">H", 1) + (b"" if sequence is None else struct.pack(">H", sequence))
    contexts = listed([struct.pack(">H", context) + listed(list(observations))])
    reply = head + struct.pack(">I8sHHH", relative, NOT_SET, 1, polled, 0) + contexts
    action = layout.SINGLE_POLL if sequence is None else layout.EXTENDED_POLL
    argument = struct.pack(">HHHHH", layout.MDS, 0, 0, action, len(reply)) + reply
    if link is None:
        return layout.invocation(layout.RORS, invoke, layout.CONFIRMED_ACTION, argument)
    body = struct.pack(">BBHHH", *link, invoke, layout.CONFIRMED_ACTION, len(argument)) + argument
    return layout.SESSION + struct.pack(">HH", layout.ROLRS, len(body)) + body


def value(physio_id: int, raw: int, state: int = 0, unit: int = 0x0AA0) -> bytes:
    """Return one NuObsValue."""
    return struct.pack(">HHHI", physio_id, state, unit, raw)


def number(physio_id: int, raw: int, state: int = 0, unit: int = 0x0AA0) -> bytes:
    return attribute(0x0950, value(physio_id, raw, state, unit))


def label(text_id: int) -> bytes:
    return attribute(0x0924, struct.pack(">I", text_id))


def wave(samples: list[int], state: int = 0, size: int = 2) -> bytes:
    """Return one SaObsValue of ECG II."""
    data = b"".join(sample.to_bytes(size, "big") for sample in samples)
    return attribute(0x096E, struct.pack(">HHH", 0x0102, state, len(data)) + data)


def statics(
    low: int,
    high: int,
    scaled: tuple[int, int],
    unit: int | None = 0x10B2,
    bits: tuple[int, int] = (16, 14),
    flags: int = 0,
    fixed: tuple[tuple[int, int], ...] = (),
) -> list[bytes]:
    """Return the static attributes of a wave: label, sample specification, period, scale, fixed values, unit."""
    items = [
        label(0x0002_0102),
        attribute(0x096D, struct.pack(">HBBH", 4, *bits, flags)),
        attribute(0x098D, struct.pack(">I", 16)),
        attribute(0x096F, struct.pack(">IIHH", low, high, *scaled)),
        attribute(0x0A16, listed([struct.pack(">HH", *pair) for pair in fixed])),
    ]
    return items + ([] if unit is None else [attribute(0x0996, struct.pack(">H", unit))])


ECG = statics(0xFDFF6000, 0xFD009FFB, (0, 16383))  # -40.960 to 40.955


def clock(absolute: str, relative: int) -> bytes:
    """Return an MDS Create Event that tells the time pair; absolute as 16 BCD digits."""
    mds = struct.pack(">HHH", layout.MDS, 0, 0)
    info = mds + listed([attribute(0x0987, bytes.fromhex(absolute)), attribute(0x098F, struct.pack(">I", relative))])
    argument = mds + struct.pack(">IHH", 0, layout.MDS_CREATE, len(info)) + info
    return layout.invocation(layout.ROIV, 1, layout.CONFIRMED_EVENT, argument)


def alert(source: int, code: int, kind: int, state: int = 0, info: bytes = b"") -> bytes:
    return struct.pack(">HHHHHHHHH", source, code, kind, state, 6, 1, 2, 0x0204, len(info)) + info


def alerts(patient: list[bytes] | None, technical: list[bytes] | None, **link: object) -> bytes:
    lists = ((0x0902, patient), (0x0904, technical))
    items = [attribute(which, listed(entries)) for which, entries in lists if entries is not None]
    return result(ALERT_MONITOR, observation(0x83C0, *items), **link)  # type: ignore[arg-type]


class Fed:
    """A driver that nobody answers; PDUs in, events out."""

    def __init__(self, carrier: str = "serial") -> None:
        self.protocol = IntellivueProtocol(0, (), 600, carrier)
        self.protocol.start(0.0)
        self._wrap = frame if carrier == "serial" else bytes

    def pdu(self, pdu: bytes, t_ns: int = 0) -> list[Event]:
        return self.line(self._wrap(pdu), t_ns)

    def line(self, data: bytes, t_ns: int = 0) -> list[Event]:
        self.protocol.receive_data(data, t_ns)
        return drain(self.protocol)

    def readings(self, pdu: bytes, t_ns: int = 0) -> list[Reading]:
        """Feed one PDU that must give one frame of readings."""
        (event,) = self.pdu(pdu, t_ns)
        return readings_in(event)

    def alerts(self, pdu: bytes) -> list[Alert]:
        """Feed one PDU that must give one list of alerts."""
        (event,) = self.pdu(pdu)
        return alerts_in(event)

    def wave(self, pdu: bytes) -> Wave:
        """Feed one PDU that must give one wave."""
        (wave,) = waves_of(self.pdu(pdu))
        return wave


class Talk:
    """A driver and a simulated monitor in virtual time, from one moment to the next."""

    def __init__(
        self,
        waves: tuple[int, ...] | None = (),
        poll_s: int = 600,
        carrier: str = "serial",
        scene: Scene = SCENE,
        begin: float = 0.0,
        **scenario: Any,
    ) -> None:
        self.protocol = IntellivueProtocol(0, waves, poll_s, carrier)
        self.monitor = IntellivueMonitor(PROFILE, Scenario(**scenario), scene, carrier)
        self.now = begin
        self.events: list[Event] = []
        self.sent: list[tuple[float, bytes]] = []
        self.said: list[tuple[float, bytes]] = []
        self.protocol.start(begin)

    def until(self, end: float) -> list[Event]:
        """Let them speak until `end` and return the events of that time."""
        before = len(self.events)
        for now, sent, said, events in converse(self.protocol, self.monitor, self.now, end):
            self.now = now
            self.events += events
            self.sent += [(now, sent)] if sent else []
            self.said += [(now, said)] if said else []
        self.now = end + 0.001
        return self.events[before:]


def frames(events: list[Event], kind: str) -> list[Frame]:
    return [event for event in events if isinstance(event, Frame) and event.kind == kind]


def faults(events: list[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Fault)]


def identities(events: list[Event]) -> list[Identified]:
    return [event for event in events if isinstance(event, Identified)]


def readings_in(event: Event) -> list[Reading]:
    """Return the readings of an event that must be a frame of them."""
    assert isinstance(event, Frame)
    assert isinstance(event.payload, list)
    return event.payload


def amount(reading: Reading) -> float:
    """Return the number of a reading; this protocol has no words."""
    assert isinstance(reading.value, float)
    return reading.value


def alerts_in(event: Event) -> list[Alert]:
    """Return the alerts of an event that must be a list of them."""
    assert isinstance(event, Frame)
    assert isinstance(event.payload, Alerts)
    return list(event.payload.active)


def readings_of(events: list[Event], kind: str = "numeric") -> list[Reading]:
    return [reading for frame in frames(events, kind) for reading in readings_in(frame)]


def waves_of(events: list[Event]) -> list[Wave]:
    return [frame.payload for frame in frames(events, "wave") if isinstance(frame.payload, Wave)]


def pdus(sent: list[tuple[float, bytes]], family: int | None = None) -> list[tuple[float, bytes]]:
    """Return the PDUs in what one side sent, all or those of one family."""
    reader = FrameReader()
    found = [(now, item) for now, data in sent for item in reader.feed(data) if isinstance(item, bytes)]
    return [(now, pdu) for now, pdu in found if family in (None, pdu[0])]


def polls(talk: Talk, polled: int, action: int = layout.EXTENDED_POLL) -> list[float]:
    """Return when the driver asked for a class."""
    wanted = action.to_bytes(2, "big"), polled.to_bytes(2, "big")
    return [now for now, pdu in pdus(talk.sent, layout.DATA) if (pdu[24:26], pdu[32:34]) == wanted]
