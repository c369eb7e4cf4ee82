"""Recordings: the bytes of a line with their times, both directions, in one format for every kind of link.

This module is the file; gateway.links.recorder makes one of what passes on a line.
Nor may it wait for the disk: the port hands its blocks to the page cache, and whoever stops a recording syncs it.

File, `.mdirec`, little-endian; docs/recordings.md describes it for other programs:
    magic "MDIREC" 1A 0A | version u16 | header length u32 | header CRC-32 u32 | header, JSON
    then records:  t_ns i64 | direction u8 | length u32 | CRC-32 u32 | bytes        the CRC covers all but itself

Version 2 is version 1, sealed: its header has the mark of the key alone, the bytes of each record are sealed for their
time, direction and number, and the first record holds the true header. gateway.security.seal says how.

Invariants: a file is only ever appended to; what a crash leaves behind is whole records and at most one cut one, which
a reader leaves out and reports. Anything else that does not check out is damage, and an error. The header has a closed
set of keys, none of which can name a patient; the bytes can (devices send admission data), hence file mode 0600.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import IntEnum
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gateway.core.errors import ConfigError
from gateway.security.seal import OVERHEAD, Box, Seal, parse_mark
from gateway.security.seal.box import missing_key

SUFFIX = ".mdirec"
MAGIC = b"MDIREC\x1a\n"  # 1A 0A: a copy made in text mode no longer matches
VERSION = 1
SEALED_VERSION = 2
HEADER_MAX = 64 * 1024  # bytes of JSON; ours has some hundred
RECORD_MAX = 1024 * 1024  # bytes of one record; longer ones are split
_PURPOSE = "recording"
BLOCK = 64 * 1024  # bytes written at once
FLUSH_NS = 1_000_000_000  # recorded time after which a block is written however small: what a crash may lose
SIZE_MAX = 1 << 30  # bytes of a file; about a day of a monitor with waveforms at 115200 bit/s

_FIXED = struct.Struct("<8sHII")
_RECORD = struct.Struct("<qBII")
_CHECKED = struct.Struct("<qBI")  # what the CRC covers of it
_PLACE = struct.Struct("<qBQ")  # time, direction and number of a record: what its seal holds together

_log = logging.getLogger(__name__)


class Direction(IntEnum):
    """Who said it. EVENT: text of the recorder itself (opened, unplugged, left out)."""

    FROM_DEVICE = 0
    TO_DEVICE = 1
    EVENT = 2


class Record(NamedTuple):
    """One piece of a line. t_ns: UTC ns of arrival, or of writing."""

    t_ns: int
    direction: Direction
    data: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """Where a recording comes from. These are all the keys there are; none may hold anything about a patient.

    created: ISO 8601, UTC (see utc_text) · gateway: version · link: its description
    profiles: (profile id, digest) of each device of the line · note: why it was made
    options: driver options of the port, devices: [{firmware, options}] as configured; both JSON, for who decodes it
    """

    created: str
    gateway: str
    port: str
    driver: str
    link: str
    profiles: tuple[tuple[str, str], ...] = ()
    note: str = ""
    options: str = "{}"
    devices: str = "[]"


_KEYS = frozenset(field.name for field in fields(Header))
_MAY_BE_MISSING = frozenset({"options", "devices"})  # recordings made before there were these two


def utc_text(t_ns: int) -> str:
    """Return UTC ns as ISO 8601 to the second, for example 2026-01-31T12:00:00Z."""
    return datetime.fromtimestamp(t_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class RecordingWriter:
    """Appends records to a new file. One thread at a time. OSError: disk full, or `size_max` reached."""

    def __init__(self, path: Path, header: Header, size_max: int = SIZE_MAX, seal: Seal | None = None) -> None:
        """Create the file, readable for its owner only, sealed with a seal. ConfigError: it exists, or cannot be
        created."""
        text = whole = json.dumps(asdict(header)).encode()
        if len(text) > HEADER_MAX:
            raise ConfigError(f"header of {len(text)} bytes, at most {HEADER_MAX} fit", str(path))
        self._box: Box | None = None
        if seal is not None:
            mark = seal.mark()
            self._box = seal.begin(mark, _PURPOSE, "")
            text = json.dumps({"sealed": mark.text}).encode()
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(descriptor, "wb", buffering=BLOCK)
            version = VERSION if seal is None else SEALED_VERSION
            self._file.write(_FIXED.pack(MAGIC, version, len(text), zlib.crc32(text)) + text)
            self._number = 0
            if self._box is not None:
                self._put(0, Direction.EVENT, whole)
            self._file.flush()
        except OSError as error:
            raise ConfigError(f"cannot be recorded to: {error.strerror}", str(path)) from error
        self.path = path
        self._size = self._file.tell()
        self._size_max = size_max
        self._flushed_ns = 0

    def append(self, t_ns: int, direction: Direction, data: bytes) -> None:
        """Append bytes of one direction; empty ones too."""
        more = OVERHEAD if self._box else 0
        for start in range(0, max(1, len(data)), RECORD_MAX - more):
            piece = data[start : start + RECORD_MAX - more]
            self._size += _RECORD.size + len(piece) + more
            if self._size > self._size_max:
                raise OSError(errno.EFBIG, f"the size limit of {self._size_max} bytes is reached")
            self._put(t_ns, direction, piece)
        if abs(t_ns - self._flushed_ns) >= FLUSH_NS:  # abs: the clock may be set back
            self._file.flush()
            self._flushed_ns = t_ns

    def _put(self, t_ns: int, direction: Direction, piece: bytes) -> None:
        if self._box is not None:
            piece = self._box.seal(piece, _PLACE.pack(t_ns, direction, self._number))
            self._number += 1
        self._file.write(_RECORD.pack(t_ns, direction, len(piece), _crc(t_ns, direction, piece)) + piece)

    def close(self, sync: bool = True) -> None:
        """Write out everything, down to the disk when `sync`. Does nothing on a closed file."""
        if self._file.closed:
            return
        with self._file:  # closes also when the disk is full
            self._file.flush()
            if sync:
                os.fsync(self._file.fileno())


class Recording:
    """A recording on disk. Iterating yields its records, from the start each time.

    cut: bytes at the end that are left out because their record is not whole (crash, power cut); known once an
    iteration has reached the end. ConfigError while iterating: a damaged record.
    """

    def __init__(self, path: Path, header: Header, start: int, box: Box | None = None) -> None:
        self.path = path
        self.header = header
        self.cut = 0
        self._start = start
        self._box = box
        self._number = 0

    def __iter__(self) -> Iterator[Record]:
        try:
            with self.path.open("rb") as file:
                file.seek(self._start)
                self._number = 1  # behind the record that holds the header
                while (record := self._next(file)) is not None:
                    yield record
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", str(self.path)) from error

    def _next(self, file: BinaryIO) -> Record | None:
        """Return the next record; None at the end, with `cut` set."""
        start = file.tell()
        head = file.read(_RECORD.size)
        if len(head) == _RECORD.size:
            t_ns, direction, length, crc = _RECORD.unpack(head)
            data = file.read(min(length, RECORD_MAX))
            if length == len(data) and crc == _crc(t_ns, direction, data):
                return Record(t_ns, self._direction(direction, start), self._opened(t_ns, direction, data, start))
            # Cut means: the file ends inside this record, or nothing but zeros comes behind it.
            if length > RECORD_MAX or (length == len(data) and not _only_zeros(file)):
                raise ConfigError(f"damaged at byte {start}", str(self.path))
        self.cut = file.seek(0, os.SEEK_END) - start
        return None

    def _opened(self, t_ns: int, direction: int, data: bytes, start: int) -> bytes:
        if self._box is None:
            return data
        found = _unsealed(self._box, (t_ns, direction, self._number), data, start, self.path)
        self._number += 1
        return found

    def _direction(self, number: int, start: int) -> Direction:
        if number > max(Direction):
            raise ConfigError(f"unknown direction {number} at byte {start}", str(self.path), "use a newer gateway")
        return Direction(number)


def _crc(t_ns: int, direction: int, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(_CHECKED.pack(t_ns, direction, len(data))))


def _only_zeros(file: BinaryIO) -> bool:
    """Return whether nothing but zeros follows: blocks that a power cut left unwritten in a file of full length."""
    return not any(block.strip(b"\0") for block in iter(lambda: file.read(BLOCK), b""))


def _unsealed(box: Box, place: tuple[int, int, int], data: bytes, start: int, path: Path) -> bytes:
    """Return what was sealed. ConfigError: it was not, or not there: somebody has changed the file."""
    found = box.open(data, _PLACE.pack(*place))
    if found is None:
        raise ConfigError(f"changed since it was written, at byte {start}", str(path), "do not trust it; keep it")
    return found


def read_recording(path: Path, seal: Seal | None = None) -> Recording:
    """Check and read the header. seal: opens a sealed one; by default the key of the credentials.

    ConfigError, one line: not a recording, another version, cut or damaged, or sealed and its key is not here.
    """
    try:
        with path.open("rb") as file:
            fixed = file.read(_FIXED.size)
            if fixed[: len(MAGIC)] != MAGIC:
                raise ConfigError("not a recording", str(path))
            if len(fixed) < _FIXED.size:
                raise ConfigError("cut inside the header", str(path))
            _, version, length, crc = _FIXED.unpack(fixed)
            if version not in (VERSION, SEALED_VERSION):
                what = f"recording of version {version}, only {VERSION} and {SEALED_VERSION} are known"
                raise ConfigError(what, str(path))
            if length > HEADER_MAX:
                raise ConfigError("the header is damaged", str(path))
            text = file.read(length)
            first = file.read(_RECORD.size + HEADER_MAX + OVERHEAD) if version == SEALED_VERSION else b""
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", str(path)) from error
    if len(text) < length:
        raise ConfigError("cut inside the header", str(path))
    if zlib.crc32(text) != crc:
        raise ConfigError("the header is damaged", str(path))
    start = _FIXED.size + length
    if version == VERSION:
        return Recording(path, _header(text, path), start)
    box = _box_of(text, path, seal or Seal.read())
    if len(first) < _RECORD.size:
        raise ConfigError("cut inside the header", str(path))
    t_ns, direction, size, crc = _RECORD.unpack_from(first)
    sealed = first[_RECORD.size : _RECORD.size + size]
    if len(sealed) < size or crc != _crc(t_ns, direction, sealed):
        raise ConfigError("cut inside the header, or damaged there", str(path))
    text = _unsealed(box, (t_ns, direction, 0), sealed, start, path)
    return Recording(path, _header(text, path), start + _RECORD.size + size, box)


def _box_of(text: bytes, path: Path, seal: Seal | None) -> Box:
    """Return what opens a sealed recording. ConfigError: its key is not here."""
    try:
        mark = parse_mark(str(json.loads(text)["sealed"]))
    except (ValueError, TypeError, KeyError):
        mark = None
    if mark is None:
        raise ConfigError("the header is damaged", str(path))
    if seal is None or not seal.knows(mark):
        raise missing_key(mark, str(path))
    return seal.box(mark, _PURPOSE, "")


def _header(text: bytes, path: Path) -> Header:
    """Return the header of a JSON text. ConfigError: not exactly our keys, or a value of the wrong kind."""
    try:
        values = json.loads(text)
        if not isinstance(values, dict) or not _KEYS - _MAY_BE_MISSING <= set(values) <= _KEYS:
            raise ValueError("its keys must be " + ", ".join(sorted(_KEYS)))
        profiles = tuple((name, digest) for name, digest in values.pop("profiles"))
        if not all(isinstance(value, str) for value in (*values.values(), *chain.from_iterable(profiles))):
            raise ValueError("its values must be text")
        header = Header(**values, profiles=profiles)
        if not isinstance(json.loads(header.options), dict) or not isinstance(json.loads(header.devices), list):
            raise ValueError("options must be an object and devices a list, both as JSON text")
        return header
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"the header is not one of version {VERSION}: {error}", str(path)) from error


def open_capture(path: Path, chunk: int = 256) -> Iterator[Record]:
    """Return the records of any capture: a recording, a CAN log (by its suffix), or line bytes as they are.

    Line bytes carry no time: they come as pieces of `chunk` bytes from the device, all at 0 ns. What is left out of a
    file (a cut record, a CAN FD frame) is reported by an EVENT record in its place.
    ConfigError, one line: cannot be read, at once; damaged, while iterating.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", str(path)) from error
    if start == MAGIC or path.suffix.lower() == SUFFIX:
        return _recorded(read_recording(path))
    # Imported here: python-can takes 0.1 s to load, and few boxes have a CAN bus.
    from gateway.can_log import LOG_SUFFIXES, read_log

    if path.suffix.lower() in LOG_SUFFIXES:
        return (
            Record(t_ns, Direction.FROM_DEVICE, frame)
            if frame
            else Record(t_ns, Direction.EVENT, b"left out: a frame that is not CAN 2.0")
            for t_ns, frame in read_log(path)
        )
    return _line_bytes(path, chunk)


def _recorded(recording: Recording) -> Iterator[Record]:
    t_ns = 0
    for record in recording:
        t_ns = record.t_ns
        yield record
    if recording.cut:
        yield Record(t_ns, Direction.EVENT, f"left out: {recording.cut} bytes of a cut record".encode())


def _line_bytes(path: Path, chunk: int) -> Iterator[Record]:
    with path.open("rb") as file:
        while data := file.read(chunk):
            yield Record(0, Direction.FROM_DEVICE, data)
