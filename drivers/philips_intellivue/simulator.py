"""The monitor at the other end of the line, without I/O: what the driver is tested and demonstrated against.

It follows the simulator checklist of the protocol notes (section 18): answers the association, sends the MDS Create
Event 100 ms later and again until it is answered, streams extended polls, answers single polls, splits replies that
exceed the MTU into linked ones, aborts when it hears nothing, refuses or falls silent when the scenario says so.
On the LAN it announces itself while nobody is associated with it. Periods (1.024 s for numerics and alerts, 256 ms for
waves), invoke ids and empty absolute time stamps of results are those of the MP90 recordings. Line noise is not made
here.

All it says follows from profile, scenario, scene, time and what it is asked.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from drivers.philips_intellivue import pdu as layout
from drivers.philips_intellivue.bedside import NUMERIC_PERIOD_S, WAVE_PERIOD_S, Bedside, Said, ticks, within
from drivers.philips_intellivue.options import Scenario, scenario
from drivers.philips_intellivue.pdu import TICKS_PER_S, listed
from drivers.philips_intellivue.transport import transport
from gateway.core.errors import ConfigError
from gateway.core.profile import Profile
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene

MDS_CREATE_S, MDS_AGAIN_S = 0.1, 1.0
BEACON_S = 10.0  # between two announcements, section 5
TIME_OUT_S = 10.0  # for the 1 s minimum poll period it grants, section 6
# Section 7, constructed there: minimum poll period 1 s, MTU 1456 both ways, 1 s numerics and waves.
ACCEPT = bytes.fromhex(
    "0ece0508130100160102800014020002c1be3180a0808001010000a280a003000001a58030808001008102510100003080800100"
    "810c2a8648ce14020100000002010000000061803080020101a0806180a180060c2a8648ce14020100000003010000a203020100"
    "a305a103020100be80288002010281488000000040000000000000000080000080000000000000000001002c0001002880000000"
    "00001f40000005b0000005b0ffffffff600000000001000cf0010008880000000000000000000000000000000000000000000000"
)
GRANTED_MTU, GRANTED_OPTIONS = slice(160, 168), slice(184, 188)  # receive and transmit; poll profile extension
REFUSE = bytes.fromhex("0c03320100")
NO_SUCH_ACTION, PROCESSING_FAILURE = 9, 10  # section 10
NOT_SET = b"\xff" * 8


@dataclass(slots=True)
class _Poll:
    """A poll to be answered: an extended one until it lapses."""

    invoke: int
    number: int
    polled: int
    group: int
    extended: bool
    next_at: float
    until: float
    sequence: int = 0
    seen: set[int] = field(default_factory=set)  # handles whose static attributes went out


class IntellivueMonitor:
    """One monitor (gateway.core.protocol.Simulator). carrier: "serial" or "udp"."""

    def __init__(self, profile: Profile, scenario: Scenario, scene: Scene, carrier: str = "serial") -> None:
        self._bedside = Bedside(profile, scenario, scene)
        self._scenario = scenario
        self._carrier = carrier
        self._refusals = scenario.refuse
        self._begun = False
        self._t = 0.0
        self._out: deque[bytes] = deque()
        self._drop()

    @property
    def ledger(self) -> Sequence[Said]:
        """The last 65,536 numeric values that it sent, oldest first."""
        return self._bedside.ledger

    def receive_data(self, data: bytes, now: float) -> None:
        """Take what the gateway wrote."""
        if self._is_off(now):
            return
        for item in self._transport.read(data):
            if isinstance(item, bytes) and item:
                self._heard_at = self._t
                self._take(item)

    def data_to_send(self, now: float) -> bytes:
        """Return what the monitor says by now; on the LAN one datagram of it."""
        if self._is_off(now):
            return b""
        while (at := self._next_at()) <= self._t:
            self._act(at)
        return self._transport.write(self._out)

    def next_wake(self) -> float | None:
        """Return when it has something to say without being asked."""
        at = self._t if self._out else self._next_at()
        return None if at == inf or not self._begun else at

    def _is_off(self, now: float) -> bool:
        """Keep the time, and tell whether the monitor is switched off, in which case it forgets everything."""
        self._t = now
        if not self._begun:
            self._begun = True
            self._bedside.begin = now
            self._drop()
        off = within(self._scenario.silence_s, now - self._bedside.begin)
        if off:
            self._drop()
            self._beacon_at = self._bedside.begin + self._scenario.silence_s[1]
            self._out.clear()
        return off

    # ---- association

    def _drop(self) -> None:
        """Forget the association."""
        self._transport = transport(self._carrier)
        self._associated = False
        self._beacon_at = self._t  # when to announce itself (again)
        self._wave_list: tuple[int, ...] | None = None  # its own
        self._create_at = inf  # when to send the MDS Create Event (again)
        self._heard_at = 0.0
        self._polls: dict[tuple[int, int], _Poll] = {}

    def _take(self, pdu: bytes) -> None:
        family = pdu[0]
        if family == layout.ASSOCIATE_REQUEST and not self._associated:
            self._associate()
        elif family == layout.RELEASE_REQUESTED:
            self._drop()
            self._out.append(layout.RELEASE_RESPONSE)
        elif family == layout.ABORTED:
            self._drop()
        elif family == layout.DATA and self._associated:
            self._request(pdu)

    def _associate(self) -> None:
        if self._refusals > 0:
            self._refusals -= 1
            self._out.append(REFUSE)
            return
        self._associated = True
        self._create_at = self._t + MDS_CREATE_S
        accept = bytearray(ACCEPT)
        accept[GRANTED_MTU] = struct.pack(">II", self._scenario.mtu, self._scenario.mtu)
        if not self._scenario.extended:
            accept[GRANTED_OPTIONS] = bytes(4)
        self._out.append(bytes(accept))

    def _request(self, pdu: bytes) -> None:
        kind, _, invoke, command = struct.unpack_from(">HHHH", pdu, 4)
        if kind == layout.RORS and command == layout.CONFIRMED_EVENT:
            self._create_at = inf
        elif kind == layout.ROIV and self._create_at != inf:
            self._refuse(invoke, PROCESSING_FAILURE)
        elif kind == layout.ROIV and command == layout.CONFIRMED_SET:
            self._set(pdu, invoke)
        elif kind == layout.ROIV and command == layout.CONFIRMED_ACTION:
            self._poll(pdu, invoke)

    def _refuse(self, invoke: int, error: int) -> None:
        self._out.append(layout.SESSION + struct.pack(">HHHHH", layout.ROER, 6, invoke, error, 0))

    def _set(self, pdu: bytes, invoke: int) -> None:
        """Take a wave list, and confirm it as the MP90 does."""
        count = struct.unpack_from(">H", pdu, 34)[0]
        self._wave_list = struct.unpack_from(f">{count}I", pdu, 38)
        argument = bytes.fromhex("002100000000") + listed([pdu[30:]])
        self._out.append(layout.invocation(layout.RORS, invoke, layout.CONFIRMED_SET, argument))

    def _poll(self, pdu: bytes, invoke: int) -> None:
        action = struct.unpack_from(">H", pdu, 24)[0]
        number, _, polled, group = struct.unpack_from(">HHHH", pdu, 28)
        extended = action == layout.EXTENDED_POLL
        if extended and not self._scenario.extended:
            self._refuse(invoke, NO_SUCH_ACTION)
            return
        until = self._t
        for attribute_id, at, _ in layout.attribute_list(pdu, 36, len(pdu)) if extended else ():
            if attribute_id == layout.TIME_PD_POLL:
                until = self._t + struct.unpack_from(">I", pdu, at)[0] / TICKS_PER_S
        self._polls[polled, number] = _Poll(invoke, number, polled, group, extended, self._t, until)

    # ---- time

    def _next_at(self) -> float:
        if not self._associated:
            return self._beacon_at if self._carrier == "udp" else inf
        return min(self._heard_at + TIME_OUT_S, self._create_at, *(poll.next_at for poll in self._polls.values()), inf)

    def _act(self, at: float) -> None:
        """Do what is due at `at`."""
        if not self._associated:
            self._beacon_at = at + BEACON_S
            self._out.append(self._bedside.connect_indication(at))
        elif self._heard_at + TIME_OUT_S <= at:
            self._drop()
            self._out.append(layout.ABORT)
        elif self._create_at <= at:
            self._create_at = at + MDS_AGAIN_S
            self._out.append(self._bedside.mds_create(at))
        else:
            key, poll = min(self._polls.items(), key=lambda item: item[1].next_at)
            self._out += self._results(poll, at)
            poll.sequence = (poll.sequence + 1) & 0xFFFF
            poll.next_at += WAVE_PERIOD_S if poll.polled == layout.WAVES else NUMERIC_PERIOD_S
            if poll.next_at >= poll.until:
                del self._polls[key]

    # ---- what it says

    def _results(self, poll: _Poll, t: float) -> list[bytes]:
        """Return the reply to a poll: one result, or linked ones when it exceeds the MTU."""
        observations = self._bedside.observations(poll.polled, t, poll.seen, self._wave_list)
        room = self._scenario.mtu - 64  # headers of a linked extended result have 58 bytes
        parts: list[list[bytes]] = [[]]
        for observation in observations:
            if parts[-1] and sum(map(len, parts[-1])) + len(observation) > room:
                parts.append([])
            parts[-1].append(observation)
        return [self._result(poll, t, part, number, len(parts)) for number, part in enumerate(parts, 1)]

    def _result(self, poll: _Poll, t: float, part: list[bytes], number: int, count: int) -> bytes:
        context = struct.pack(">H", 1) + listed(part)
        head = struct.pack(">HH", poll.number, poll.sequence) if poll.extended else struct.pack(">H", poll.number)
        reply = head + struct.pack(">I8sHHH", ticks(t), NOT_SET, 1, poll.polled, poll.group) + listed([context])
        action = layout.EXTENDED_POLL if poll.extended else layout.SINGLE_POLL
        argument = struct.pack(">HHHHH", layout.MDS, 0, 0, action, len(reply)) + reply
        if number == count:
            return layout.invocation(layout.RORS, poll.invoke, layout.CONFIRMED_ACTION, argument)
        state = 1 if number == 1 else 3 if number == count - 1 else 2
        link = struct.pack(">BBHHH", state, number, poll.invoke, layout.CONFIRMED_ACTION, len(argument))
        return layout.SESSION + struct.pack(">HH", layout.ROLRS, len(link) + len(argument)) + link + argument


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> IntellivueMonitor:
    """Build the monitor of one line. Raises ConfigError for an unknown scenario option."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="an IntelliVue port serves exactly one monitor")
    checked, carrier = scenario(options)
    return IntellivueMonitor(devices[0].profile, checked, scene, carrier)
