"""CANopen nodes of one bus: can_frame records in, values, states and alerts out.

    record ──► error frame?  Fault "error_frame"
           ──► RTR?          nothing: it carries no data
           ──► COB-ID        000 NMT · 080+n EMCY · TPDO by mapping · 580+n, 600+n SDO · 700+n heartbeat
                                 └► the node of the profile (node.py)

Listen-only: `data_to_send` returns b"" always, unless the port has `active = true`. Then it returns SDO upload requests
(asking.py, sdo.py) and nothing else. When another client speaks on the SDO channel of a node, that node is not asked
any more. What others ask is followed in either mode: the answers to them are as good as those to us.

Memory is bounded: 15 bytes of a begun record, MAX_UNKNOWN_IDS ids, 64 errors and 256 bytes of an upload per node.

Time: the only clock is `now` of data_to_send, so a lost heartbeat is noticed up to a quarter of its time late.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from drivers.canopen.asking import Asking
from drivers.canopen.dictionary import EMCY, HEARTBEAT, SDO_REPLY, SDO_REQUEST, load_dictionary
from drivers.canopen.node import BOOT_UP, Node
from gateway.core.can_frame import (
    ERROR,
    ERROR_CLASSES,
    EXTENDED,
    MAX_DATA,
    RECORD,
    REMOTE,
    STANDARD_MASK,
    pack,
    show_id,
)
from gateway.core.errors import ConfigError
from gateway.core.events import EventQueue
from gateway.core.frame import Fault
from gateway.core.protocol import DeviceSpec
from gateway.core.settings import Settings, build, setting

MAX_UNKNOWN_IDS = 256  # distinct ids that are named
CHECKS = 4  # how often within a heartbeat's time it is looked for
NMT, SYNC, TIME = 0x000, 0x080, 0x100
Taker = Callable[[bytes, int], bool]  # data, t_ns -> whether the frame was good
GRAMMAR = r"'[\x01-\x7F]\x06\x00\x00\x08\x00{3}(?:\x40.{3}\x00{4}|[\x60\x70]\x00{7})'"

FAULTS: dict[str, str] = {
    "error_frame": "The controller reports errors on the bus: check bit rate, termination and cable.",
    "bad_record": "The link handed over bytes that are no can_frame record: report it with a recording.",
    "unknown_id": "A frame that no profile describes; named once per id. Normal where other nodes share the bus.",
    "short_pdo": "A PDO is shorter than its mapping: the EDS is of another version, or somebody has mapped it anew.",
    "short_emcy": "An emergency object has less than 8 bytes: report it with a recording.",
    "bad_heartbeat": "A heartbeat says no known state: look for two nodes with one id.",
    "heartbeat_lost": "The node is silent and its values are stale: check its power, cable and node id.",
    "not_operational": "The node is starting, stopped or pre-operational; its NMT master has to start it.",
    "emergency": "The node reports an error and the profile has no alert rows: look at the device, add a row.",
    "too_many_errors": "More errors are active than can be kept; the oldest was dropped: look at the device.",
    "wrong_device": "The node is no device of this EDS and its values are not given: check node id and profile.",
    "mapping_differs": "The node maps its PDOs in another way than the EDS: take its DCF, or write [[driver.tpdo]].",
    "sdo_timeout": "The node did not answer an upload in time; it is asked again.",
    "sdo_abort": "The node refuses to have an object read: correct [driver] read, or take the EDS of its firmware.",
    "sdo_length": "An object has another length than its type: take the EDS of the node's firmware.",
    "sdo_toggle": "A segment of an upload was lost or came twice: check the bus; the object is asked for again.",
    "other_client": "Another client uses the SDO channel of this node: it is not asked again until the port reopens.",
}


@dataclass(frozen=True, slots=True)
class BusOptions(Settings):
    """Options of a port."""

    active: bool = field(
        default=False, metadata=setting("Ask nodes by SDO upload; the profile must have a [transmit] that allows it.")
    )
    poll_s: float = field(
        default=10.0, metadata=setting("Active only: period of the objects in [driver] read.", "s", low=0.1, high=3600)
    )


@dataclass(frozen=True, slots=True)
class NodeOptions(Settings):
    """Options of one device of the bus."""

    node: int = field(default=0, metadata=setting("Node id, 1 to 127; 0 = as the profile says.", low=0, high=127))


class CanOpen(EventQueue):
    """Fulfils gateway.core.protocol.DeviceProtocol and Replayable."""

    def __init__(self, devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> None:
        """Compile the EDS files. Raises: ConfigError, ProfileError."""
        super().__init__()
        settings = build(BusOptions, options, lambda *_: "")
        self._nodes: dict[int, Node] = {}
        self._asking: dict[int, Asking] = {}
        self._dispatch: dict[int, Taker] = {}
        for device in devices:
            if settings.active and not device.profile.transmit:
                what = f"active = true, but profile {device.profile.id} may not be written to"
                raise ConfigError(what, hint=f"add [transmit] allow = [{GRAMMAR}]")
            self._add(device, settings)
        self._clear(0.0)

    def _add(self, device: DeviceSpec, settings: BusOptions) -> None:
        dictionary = load_dictionary(device.profile, build(NodeOptions, device.options, lambda *_: "").node)
        number = dictionary.node
        node = Node(device.source, device.profile, dictionary, self.events.append)
        asking = Asking(node, self.events.append, settings.active, settings.poll_s)

        def heartbeat(data: bytes, t_ns: int) -> bool:
            if data == bytes([BOOT_UP]):
                asking.boot_up()
            return node.heartbeat(data, t_ns)

        takers: list[tuple[int, Taker]] = [
            (EMCY + number, node.emcy),
            (SDO_REPLY + number, asking.reply),
            (SDO_REQUEST + number, asking.overheard),
            (HEARTBEAT + number, heartbeat),
            *((tpdo.cob_id, partial(node.pdo, tpdo)) for tpdo in dictionary.tpdos),
        ]
        for cob_id, taker in takers:
            if cob_id in self._dispatch or cob_id in (NMT, SYNC, TIME):
                what = f"COB-ID {show_id(cob_id)} of node {number} is taken"
                raise ConfigError(what, hint="each device of a bus has a node id and PDOs of its own")
            self._dispatch[cob_id] = taker
        self._nodes[number], self._asking[number] = node, asking

    def _clear(self, now: float) -> None:
        self.events.clear()
        self._rest = b""
        self._unknown: set[int] = set()
        self._running = False
        self._asked = now
        for node in self._nodes.values():
            node.clear(now)
        for asking in self._asking.values():
            asking.clear(now)

    def start(self, now: float) -> None:
        """Forget the line before."""
        self._clear(now)
        self._running = True

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take can_frame records in any split."""
        buffer = self._rest + data if self._rest else data
        whole = len(buffer) - len(buffer) % RECORD.size
        for can_id, length, payload in RECORD.iter_unpack(buffer if whole == len(buffer) else buffer[:whole]):
            self._read(can_id, length, payload, t_ns)
        self._rest = buffer[whole:]

    def data_to_send(self, now: float) -> bytes:
        """Return upload requests in active mode, else b"". Use the call to notice lost heartbeats."""
        if not self._running:
            return b""
        self._asked = now
        for node in self._nodes.values():
            node.look(now)
        if not self._asking:
            return b""
        return b"".join(
            pack(SDO_REQUEST + number, request)
            for number, asking in self._asking.items()
            if (request := asking.request(now))
        )

    def next_wake(self) -> float | None:
        """Return when to look for heartbeats or to ask again; None while only a frame can change anything."""
        if not self._running:
            return None
        wakes = [self._asked + node.limit_s / CHECKS for node in self._nodes.values() if node.limit_s]
        wakes += [wake for asking in self._asking.values() if (wake := asking.next_wake()) is not None]
        return min(wakes, default=None)

    def stop(self, now: float) -> None:  # noqa: ARG002  # the contract's signature
        """Ask and watch no more. There is nothing to release."""
        self._running = False

    def was_sent(self, data: bytes, now: float) -> None:  # noqa: ARG002  # the contract's signature
        """Take the requests of a recording, so that its replies can be read."""
        for can_id, length, payload in RECORD.iter_unpack(data[: len(data) - len(data) % RECORD.size]):
            asking = self._asking.get(can_id - SDO_REQUEST)
            if asking is not None:
                asking.was_sent(payload[: min(length, MAX_DATA)])

    def _read(self, can_id: int, length: int, payload: bytes, t_ns: int) -> None:
        taker = self._dispatch.get(can_id)  # by far the most frames: of our nodes, without any flag in their id
        if taker is not None and length <= MAX_DATA:
            self.frames_ok += taker(payload[:length], t_ns)
        else:
            self._read_other(can_id, length, payload, t_ns)

    def _read_other(self, can_id: int, length: int, payload: bytes, t_ns: int) -> None:
        if can_id & ERROR:
            classes = [name for bit, name in ERROR_CLASSES if can_id & bit]
            self.events.append(Fault("error_frame", ", ".join(classes) or "class not stated", bad_frame=True))
            return
        if length > MAX_DATA or (not can_id & EXTENDED and can_id & ~REMOTE > STANDARD_MASK):
            self.events.append(Fault("bad_record", f"id {can_id:08X}, length {length}", bad_frame=True))
            return
        data = payload[:length]
        if can_id & REMOTE or can_id in (SYNC, TIME):
            self.frames_ok += 1
        elif can_id == NMT:
            self.frames_ok += 1
            self._command(data, t_ns)
        else:
            self.frames_ok += 1
            self._unknown_id(can_id)

    def _command(self, data: bytes, t_ns: int) -> None:
        """Take a command of the NMT master: [command, node], node 0 = all."""
        if len(data) < 2:
            return
        for number, node in self._nodes.items():
            if data[1] in (0, number):
                node.command(data[0], t_ns)

    def _unknown_id(self, can_id: int) -> None:
        if can_id in self._unknown or len(self._unknown) > MAX_UNKNOWN_IDS:
            return
        self._unknown.add(can_id)
        many = len(self._unknown) > MAX_UNKNOWN_IDS
        detail = f"more than {MAX_UNKNOWN_IDS} ids; further ones are not named" if many else show_id(can_id)
        self.events.append(Fault("unknown_id", detail))
