"""The EDS of a profile, compiled for decoding: which frame carries which objects of a node, and where in it.

The library canopen parses the EDS (CiA 306) into an object dictionary; that is all it is used for. What the EDS leaves
open, or what somebody has changed on the device, stands in `[driver]` of the profile:

    eds           name of the EDS or DCF file, one of the profile's `files`
    node          node id, unless the port gives one or the file has a [DeviceComissioning] section
    heartbeat_ms  producer heartbeat time when 1017h of the file is not what the device does; 0 = it sends none
    tpdo          list of { number, cob_id, map }: replaces the mapping of the file; `map` as 1A00h holds it
    emcy_detail   numbers 0 to 4 of the manufacturer's bytes of an EMCY that tell two errors of one code apart
    read          objects that no PDO carries and that SDO uploads are to read ("2A20.00")

An object is named "index.sub" in hexadecimal, "2A10.00"; "2A10.00:7" is bit 7 of it, "2A10.00:8-11" four bits. That is
CANopen's own name of a value, and it stays when somebody maps the object into another PDO.

Sources: notes on CAN and CANopen of the project, sections "CANopen frames" and "PDO layout" (CiA 301 by way of two open
implementations).
"""

from __future__ import annotations

import configparser
import io
import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from canopen.objectdictionary import ObjectDictionary, ODVariable, datatypes
from canopen.objectdictionary.eds import import_eds

from gateway.core.can_frame import STANDARD_MASK
from gateway.core.errors import ProfileError
from gateway.core.profile import MetricSpec, Profile

KEYS = {
    "eds": "name of the EDS or DCF file",
    "node": "node id, 1 to 127",
    "heartbeat_ms": "producer heartbeat time in ms, 0 = none",
    "tpdo": "list of { number = 1, cob_id = 0x18A, map = [0x2A100010] }",
    "emcy_detail": "list of numbers 0 to 4",
    "read": 'list of objects, ["2A20.00"]',
}
OBJECT = "object"  # kind of the frames with values of the dictionary, however they came
TPDO_FIRST, TPDO_LAST = 0x1800, 0x19FF  # communication records of the TPDOs; the mapping is 200h further
MAPPING = 0x200
PRE_DEFINED = (0x180, 0x280, 0x380, 0x480)  # COB-ID of TPDO 1 to 4 less the node id
UNUSED = 0x8000_0000  # bit 31 of a COB-ID: the PDO does not exist
NO_REMOTE = 0x4000_0000  # bit 30: may not be asked for by RTR
EMCY, SDO_REPLY, SDO_REQUEST, HEARTBEAT = 0x080, 0x580, 0x600, 0x700
ERROR_REGISTER = 0x1001
PDO_BITS = 64
LAST_DUMMY = 0x001F  # indexes up to here are data types: as a mapped object they are padding
NAME = re.compile(r"([0-9A-F]{4})\.([0-9A-F]{2})(?::([0-9]{1,2})(?:-([0-9]{1,2}))?)?")


@dataclass(frozen=True, slots=True)
class Part:
    """One value in a PDO, or in the answer to an upload: `bits` bits from bit `shift`, lowest first."""

    name: str
    shift: int
    bits: int
    kind: str  # "signed", "unsigned" or "real"

    mask: int = field(init=False, repr=False)
    sign: int = field(init=False, repr=False)  # the bit that says "negative", 0 when no number can be

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", (1 << self.bits) - 1)
        object.__setattr__(self, "sign", 1 << self.bits - 1 if self.kind == "signed" else 0)

    def value(self, word: int) -> float:
        """Return the number in a frame that was read as one little-endian integer."""
        raw = word >> self.shift & self.mask
        if self.kind == "real":
            number: float = struct.unpack("<f" if self.bits == 32 else "<d", raw.to_bytes(self.bits // 8, "little"))[0]
            return number if math.isfinite(number) else math.nan
        return float(raw - self.mask - 1 if raw & self.sign else raw)


@dataclass(frozen=True, slots=True)
class Tpdo:
    """A process data object that the node sends. entries: as 1A00h+k holds them; length: bytes that they fill."""

    number: int
    cob_id: int
    entries: tuple[int, ...]
    length: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Readable:
    """An object that is read by SDO upload. length: of its type, bytes."""

    length: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Dictionary:
    """What the driver needs to know of one node.

    register: what the profile names of the error register 1001h, which comes with every EMCY
    identity: (vendor id, product code) of the file, 0 = not stated; described: indexes that the file has
    """

    node: int
    tpdos: tuple[Tpdo, ...]
    heartbeat_ms: int
    emcy_detail: tuple[int, ...]
    register: tuple[Part, ...]
    read: Mapping[tuple[int, int], Readable]
    identity: tuple[int, int]
    vendor: str
    described: frozenset[int]
    objects: ObjectDictionary


def metrics(profile: Profile) -> Iterator[MetricSpec]:
    """Yield the metrics of a profile for whatever firmware."""
    for channels in (profile.channels, *(added for _, added in profile.since)):
        for channel in channels:
            yield from channel.metrics


def object_name(index: int, sub: int) -> str:
    """Return the name of an object: "2A10.00"."""
    return f"{index:04X}.{sub:02X}"


def load_dictionary(profile: Profile, node: int) -> Dictionary:
    """Compile the EDS of a profile for a node id (0 = as profile or file say). Raises: ProfileError."""
    table = dict(profile.driver_table)
    for key in table:
        if key not in KEYS:
            known = ", ".join(f"{name} ({meaning})" for name, meaning in KEYS.items())
            raise ProfileError(f"[driver] has an unknown key {key!r}", profile.where, f"known keys: {known}")
    name = table.get("eds")
    if not isinstance(name, str) or name not in profile.files:
        hint = 'write files = ["x.eds"] in [profile] and eds = "x.eds" in [driver]'
        raise ProfileError("[driver] eds names no file of the profile", profile.where, hint)
    where = str(PurePosixPath(profile.where).with_name(name))
    node = node or _number(table, "node", profile.where, 0, 127)
    objects = _parse(profile.files[name], where, node or None)
    node = node or objects.node_id or 0
    if not 1 <= node <= 127:
        raise ProfileError("no node id", profile.where, "write node = 10 in [driver], or in the port's device")
    wanted = frozenset(str(metric.object) for metric in metrics(profile) if metric.frame == OBJECT)
    return _Compiler(profile, objects, node, wanted, where).dictionary(table)


class _Compiler:
    """Turns an object dictionary and what `[driver]` says into a Dictionary."""

    def __init__(
        self, profile: Profile, objects: ObjectDictionary, node: int, wanted: frozenset[str], where: str
    ) -> None:
        self.profile, self.objects, self.node, self.wanted, self.where = profile, objects, node, wanted, where

    def fail(self, what: str, hint: str) -> ProfileError:
        return ProfileError(what, self.profile.where, hint)

    def dictionary(self, table: Mapping[str, Any]) -> Dictionary:
        tpdos = self.tpdos(table.get("tpdo", []))
        read = self.read(table.get("read", []))
        register: tuple[Part, ...] = ()
        if any(name.startswith(object_name(ERROR_REGISTER, 0)) for name in self.wanted):
            register = tuple(self.parts(ERROR_REGISTER, 0, 0, 8))
        carried = {part.name for tpdo in tpdos for part in tpdo.parts} | {part.name for part in register}
        carried |= {part.name for readable in read.values() for part in readable.parts}
        for name in sorted(self.wanted - carried):
            hint = "2A10.00 or 2A10.00:7; the EDS must describe it, and a TPDO carry it or [driver] read name it"
            raise self.fail(f"object {name} is no number of a TPDO and is not read", hint)
        detail = table.get("emcy_detail", [])
        if not isinstance(detail, list) or not all(type(n) is int and 0 <= n <= 4 for n in detail):
            raise self.fail("[driver] emcy_detail is no list of numbers 0 to 4", KEYS["emcy_detail"])
        heartbeat = self.value(0x1017, 0) or 0
        if "heartbeat_ms" in table:
            heartbeat = _number(table, "heartbeat_ms", self.profile.where, 0, 0xFFFF)
        info = self.objects.device_information
        return Dictionary(
            node=self.node,
            tpdos=tpdos,
            heartbeat_ms=heartbeat,
            emcy_detail=tuple(detail),
            register=register,
            read=read,
            identity=(info.vendor_number or 0, info.product_number or 0),
            vendor=info.vendor_name or "",
            described=frozenset(self.objects),
            objects=self.objects,
        )

    def value(self, index: int, sub: int) -> int | None:
        """Return what the file says an object holds: ParameterValue of a DCF, else the default; None = nothing."""
        found = self.variable(index, sub)
        if found is None:
            return None
        value = found.default if found.value is None else found.value
        return value if isinstance(value, int) else None

    def variable(self, index: int, sub: int) -> ODVariable | None:
        found = self.objects.get(index)
        if found is None or isinstance(found, ODVariable):
            return found if sub == 0 else None
        member: ODVariable | None = found.get(sub)
        return member

    def tpdos(self, given: Any) -> tuple[Tpdo, ...]:
        """Return the TPDOs that exist, those of `[driver] tpdo` in place of those of the file."""
        if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
            raise self.fail("[driver] tpdo is no list of tables", KEYS["tpdo"])
        found = {}
        for index in range(TPDO_FIRST, TPDO_LAST + 1):
            if index in self.objects and (tpdo := self.described(index)):
                found[tpdo.number] = tpdo
        for item in given:
            tpdo = self.configured(item)
            found[tpdo.number] = tpdo
        ids: dict[int, int] = {}
        for tpdo in found.values():
            if tpdo.cob_id in ids:
                raise self.fail(f"TPDO{tpdo.number} and TPDO{ids[tpdo.cob_id]} have one COB-ID", KEYS["tpdo"])
            ids[tpdo.cob_id] = tpdo.number
        return tuple(found[number] for number in sorted(found))

    def described(self, index: int) -> Tpdo | None:
        """Return the TPDO of a communication record of the file, None when it is off or maps nothing."""
        number = index - TPDO_FIRST + 1
        cob_id = self.value(index, 1)
        if cob_id is None and number <= len(PRE_DEFINED):
            cob_id = PRE_DEFINED[number - 1] + self.node
        count = self.value(index + MAPPING, 0) or 0
        entries = tuple(self.value(index + MAPPING, sub) or 0 for sub in range(1, count + 1))
        if cob_id is None or cob_id & UNUSED or not any(entries):
            return None
        return self.tpdo(number, cob_id & ~NO_REMOTE, entries)

    def configured(self, item: Mapping[str, Any]) -> Tpdo:
        good = set(item) == {"number", "cob_id", "map"} and isinstance(item["map"], list)
        if not good or not all(type(n) is int for n in (item["number"], item["cob_id"], *item["map"])):
            raise self.fail("[driver] tpdo needs number, cob_id and map", KEYS["tpdo"])
        return self.tpdo(item["number"], item["cob_id"], tuple(item["map"]))

    def tpdo(self, number: int, cob_id: int, entries: tuple[int, ...]) -> Tpdo:
        if not 0 < cob_id <= STANDARD_MASK or not 1 <= number <= TPDO_LAST - TPDO_FIRST + 1:
            raise self.fail(f"TPDO{number} has COB-ID {cob_id:X}", "PDOs have 11-bit ids here, 1 to 7FF")
        parts: list[Part] = []
        shift = 0
        for entry in entries:
            index, sub, bits = entry >> 16, entry >> 8 & 0xFF, entry & 0xFF
            if index > LAST_DUMMY and bits:
                parts += self.parts(index, sub, shift, bits)
            shift += bits
        if not 0 < shift <= PDO_BITS:
            raise self.fail(f"TPDO{number} maps {shift} bits, a frame has {PDO_BITS}", KEYS["tpdo"])
        return Tpdo(number, cob_id, entries, (shift + 7) // 8, tuple(parts))

    def parts(self, index: int, sub: int, shift: int, bits: int) -> list[Part]:
        """Return the values of one mapped object: itself, and the bits of it that the profile names."""
        name = object_name(index, sub)
        variable = self.variable(index, sub)
        kind = "" if variable is None else _kind(variable.data_type or 0)
        if not kind:
            return []  # text, a domain, or an object that the file does not describe: no number, but it takes its place
        if kind == "real" and bits not in (32, 64):
            raise ProfileError(f"object {name} is a float of {bits} bits", self.where, "take the EDS of this firmware")
        fields = []
        for wanted in self.wanted:
            match = NAME.fullmatch(wanted)
            if match is None or match[3] is None or not wanted.startswith(name + ":"):
                continue
            first = int(match[3])
            last = int(match[4] or first)
            if not first <= last < bits:
                raise self.fail(f"object {wanted}: {name} has {bits} bits", "bits are numbered from 0, lowest first")
            fields.append(Part(wanted, shift + first, last - first + 1, "unsigned"))
        fields.sort(key=lambda field: field.shift)
        return [*([] if fields and name not in self.wanted else [Part(name, shift, bits, kind)]), *fields]

    def read(self, names: Any) -> dict[tuple[int, int], Readable]:
        if not isinstance(names, list):
            raise self.fail("[driver] read is no list", KEYS["read"])
        found = {}
        for name in names:
            match = NAME.fullmatch(str(name))
            variable = self.variable(int(match[1], 16), int(match[2], 16)) if match and match[3] is None else None
            if variable is None or not _kind(variable.data_type or 0) or not variable.readable:
                raise self.fail(f"[driver] read: {name!r} is no readable number of the EDS", KEYS["read"])
            index, sub = variable.index, variable.subindex
            found[index, sub] = Readable(len(variable) // 8, tuple(self.parts(index, sub, 0, len(variable))))
        return found


@lru_cache(maxsize=8)  # driver, simulator and each reconnect ask for the same text
def _parse(text: str, where: str, node: int | None) -> ObjectDictionary:
    try:
        found = import_eds(io.StringIO(text), node)  # type: ignore[no-untyped-call]
    except (configparser.Error, KeyError, ValueError, TypeError, AttributeError, OverflowError) as fault:
        # the library hands on whatever its parts raise
        line = re.search(r"\[line\s+(\d+)\]", str(fault))
        what = str(fault).splitlines()[0]
        raise ProfileError(f"not an EDS file: {what}", f"{where}:{line[1]}" if line else where) from fault
    assert isinstance(found, ObjectDictionary)
    return found


def _kind(data_type: int) -> str:
    if data_type in datatypes.FLOAT_TYPES:
        return "real"
    if data_type in datatypes.SIGNED_TYPES:
        return "signed"
    return "unsigned" if data_type in datatypes.UNSIGNED_TYPES or data_type == datatypes.BOOLEAN else ""


def _number(table: Mapping[str, Any], key: str, where: str, low: int, high: int) -> int:
    value = table.get(key, 0)
    if type(value) is not int or not low <= value <= high:
        raise ProfileError(f"[driver] {key} = {value!r}", where, KEYS[key])
    return value
