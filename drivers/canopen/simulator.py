"""CANopen nodes and their NMT master, simulated from the same EDS and profile that the driver reads.

A node boots (700+n 00, EMCY reset), is started by the master (000 01 n) and is then operational: a heartbeat as often
as 1017h says and each TPDO every event time (1800h:5, one second where the EDS has none). What its objects hold comes
from the scene, row by row of the profile. What is not measured is sent as the row's first `raw_invalid`; a PDO that
would need such a number and has none is not sent. Alert rows become EMCYs; when all errors are gone, the reset (0000).

The SDO server answers uploads, expedited up to 4 bytes and segmented above, and refuses everything else. It is written
apart from the client in sdo.py: each checks the other.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from canopen.objectdictionary import ODVariable

from drivers.canopen.dictionary import (
    EMCY,
    HEARTBEAT,
    MAPPING,
    OBJECT,
    SDO_REPLY,
    SDO_REQUEST,
    TPDO_FIRST,
    Part,
    Tpdo,
    load_dictionary,
    metrics,
)
from gateway.core.can_frame import RECORD, pack
from gateway.core.errors import ConfigError
from gateway.core.profile import MetricSpec
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene

EVENT_S = 1.0  # for a TPDO whose EDS states no event time
STARTED_S = 0.1  # from boot-up until the master starts the node
GENERIC, MANUFACTURER = 0x01, 0x80  # bits of the error register, notes: "Error register bits"
NO_OBJECT, READ_ONLY = 0x0602_0000, 0x0601_0002  # abort codes


class CanOpenSimulator:
    """The nodes of one bus. Fulfils gateway.core.protocol.Simulator."""

    def __init__(self, devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> None:
        """Read the EDS files. Raises: ConfigError, ProfileError."""
        if options:
            raise ConfigError(f"scenario option {min(options)!r} is not known", hint="this simulator has none")
        self._nodes = [_Node(device, scene) for device in devices]
        self._slots: list[tuple[float, int, int]] = []  # heap of (when, place, node); place: see _Node.frame
        self._replies = b""
        self._begun = False

    def receive_data(self, data: bytes, now: float) -> None:
        """Answer SDO requests."""
        for can_id, length, payload in RECORD.iter_unpack(data[: len(data) - len(data) % RECORD.size]):
            for node in self._nodes:
                if can_id == SDO_REQUEST + node.number:
                    self._replies += pack(SDO_REPLY + node.number, node.server.reply(payload[:length], now))

    def data_to_send(self, now: float) -> bytes:
        """Return the replies, and every frame that is due by now."""
        said, self._replies = self._replies, b""
        if not self._begun:
            self._begun = True
            for number, node in enumerate(self._nodes):
                said += node.boot()
                self._slots += [(now + first, place, number) for place, (first, _) in enumerate(node.periods)]
            heapq.heapify(self._slots)
        while self._slots and self._slots[0][0] <= now:
            at, place, number = self._slots[0]
            node = self._nodes[number]
            said += node.frame(place, at)
            heapq.heapreplace(self._slots, (at + node.periods[place][1], place, number))
        return said

    def next_wake(self) -> float | None:
        """Return when the next frame is due; a time that is past before the nodes have booted."""
        return self._slots[0][0] if self._begun else 0.0


class _Node:
    """One node. periods: (first, period) in s of what it sends: heartbeat, alerts, then its TPDOs in order."""

    def __init__(self, device: DeviceSpec, scene: Scene) -> None:
        self._dictionary = load_dictionary(device.profile, int(device.options.get("node", 0)))
        self.number = self._dictionary.node
        self._scene = scene
        rows = list(metrics(device.profile))
        self._specs = {str(row.object): row for row in rows if row.frame == OBJECT}
        self._alerts = [row for row in rows if row.kind == "alert" and row.object != "*"]
        self._active: set[str] = set()
        self.server = _SdoServer(self)
        heartbeat_s = self._dictionary.heartbeat_ms / 1000 or EVENT_S  # 0: its place stays empty
        self.periods = [(STARTED_S + 0.01, heartbeat_s), (1.0, 1.0)]
        for tpdo in self._dictionary.tpdos:
            self.periods.append((STARTED_S + 0.1 * tpdo.number, self._event_s(tpdo)))

    def _event_s(self, tpdo: Tpdo) -> float:
        record = self._dictionary.objects.get(TPDO_FIRST + tpdo.number - 1)
        timer = None if record is None or isinstance(record, ODVariable) else record.get(5)
        return (timer.value or timer.default or 0) / 1000 or EVENT_S if timer is not None else EVENT_S

    def boot(self) -> bytes:
        """Return what a node says when it is switched on, and what the master says to it."""
        said = pack(HEARTBEAT + self.number, b"\x00") + pack(EMCY + self.number, bytes(8))
        return said + pack(0x000, bytes([0x01, self.number]))

    def frame(self, place: int, t: float) -> bytes:
        """Return the frame of one place of `periods`."""
        if place == 0:
            return pack(HEARTBEAT + self.number, b"\x05") if self._dictionary.heartbeat_ms else b""
        if place == 1:
            return self._errors(t)
        tpdo = self._dictionary.tpdos[place - 2]
        word = self.word(tpdo.parts, t)
        return b"" if word is None else pack(tpdo.cob_id, word.to_bytes(tpdo.length, "little"))

    def word(self, parts: Sequence[Part], t: float) -> int | None:
        """Return the content of a PDO as one little-endian integer; None: it holds what cannot be said."""
        word = 0
        for part in parts:
            raw = self._raw(part, t)
            if raw is None:
                return None
            mask = (1 << part.bits) - 1
            word = word & ~(mask << part.shift) | (raw & mask) << part.shift
        return word

    def _raw(self, part: Part, t: float) -> int | None:
        spec = self._specs.get(part.name)
        if spec is None:
            return 0
        number = self._scene.raw(spec, t)
        if number is None:
            return int(spec.raw_invalid[0]) if spec.raw_invalid else None
        if part.kind == "real":
            packed = struct.pack("<f" if part.bits == 32 else "<d", number)
            return int.from_bytes(packed, "little")
        low, high = (
            (-(1 << part.bits - 1), (1 << part.bits - 1) - 1) if part.kind == "signed" else (0, (1 << part.bits) - 1)
        )
        return min(max(round(number), low), high)

    def _errors(self, t: float) -> bytes:
        """Return EMCYs of what has begun, and the reset when the last has gone."""
        said = b""
        now = {str(row.object) for row in self._alerts if self._scene.alert(_key(row), t)}
        for name in sorted(now - self._active):
            said += pack(EMCY + self.number, self._emcy(name))
        if self._active and not now:
            said += pack(EMCY + self.number, bytes(8))
        self._active = now
        return said

    def _emcy(self, name: str) -> bytes:
        code, *details = name.split(".")
        field = bytearray(5)
        for place, text in zip(self._dictionary.emcy_detail, details, strict=True):
            field[place] = int(text, 16)
        return struct.pack("<HB", int(code, 16), GENERIC | MANUFACTURER) + bytes(field)

    def content(self, index: int, sub: int, t: float) -> bytes | None:
        """Return what an object holds; None: there is no such object."""
        readable = self._dictionary.read.get((index, sub))
        if readable is not None:
            word = self.word(readable.parts, t)
            return None if word is None else word.to_bytes(readable.length, "little")
        for tpdo in self._dictionary.tpdos:
            record = TPDO_FIRST + tpdo.number - 1
            if (index, sub) == (record, 1):
                return struct.pack("<I", tpdo.cob_id)
            if index == record + MAPPING and sub <= len(tpdo.entries):
                return struct.pack("<I", tpdo.entries[sub - 1]) if sub else bytes([len(tpdo.entries)])
        found = self._dictionary.objects.get(index)
        variable = found if found is None or isinstance(found, ODVariable) else found.get(sub)
        if variable is None:
            return None
        value = variable.default if variable.value is None else variable.value
        return bytes(variable.encode_raw(0 if value is None else value))


def _key(row: MetricSpec) -> str:
    """Return the name by which the scene knows an alert: two rows with one term are two alerts."""
    return f"{row.id} {row.object}"


class _SdoServer:
    """The server's side of the SDO channel of one node: uploads."""

    def __init__(self, node: _Node) -> None:
        self._node = node
        self._rest: bytes | None = None
        self._toggle = 0

    def reply(self, request: bytes, now: float) -> bytes:
        request = request.ljust(8, b"\0")
        command, index, sub = struct.unpack_from("<BHB", request)
        if command & 0xE0 == 0x60 and self._rest is not None:
            return self._segment()
        self._rest = None
        if command & 0xE0 != 0x40:
            return struct.pack("<BHBI", 0x80, index, sub, READ_ONLY)
        data = self._node.content(index, sub, now)
        if data is None:
            return struct.pack("<BHBI", 0x80, index, sub, NO_OBJECT)
        if 0 < len(data) <= 4:
            return struct.pack("<BHB", 0x43 | (4 - len(data)) << 2, index, sub) + data.ljust(4, b"\0")
        self._rest, self._toggle = data, 0
        return struct.pack("<BHBI", 0x41, index, sub, len(data))

    def _segment(self) -> bytes:
        assert self._rest is not None
        piece, rest = self._rest[:7], self._rest[7:]
        last = not rest
        reply = bytes([self._toggle << 4 | (7 - len(piece)) << 1 | last]) + piece.ljust(7, b"\0")
        self._toggle ^= 1
        self._rest = None if last else rest
        return reply
