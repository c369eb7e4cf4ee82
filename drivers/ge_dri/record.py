"""What stands in a record: its header, its subrecords; and the requests, which are records too. All little-endian.

    0 r_len i16   2 r_nbr u8   3 dri_level u8   4 plug_id u16   6 r_time u32   10 reserved   14 r_maintype i16
    16 eight descriptors {offset i16 from byte 40, type u8}; type FF ends the list

Source: protocol notes sections 3 to 6 (vendor specifications 8005313 and M1017617).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from drivers.ge_dri.framing import HEADER_BYTES, frame

END_OF_LIST = 0xFF  # as a subrecord type and as a waveform type
MAX_SUBRECORDS = 8
ALL_CLASSES = 0x0E  # section 4.1: ext1, ext2 and ext3; the basic class is sent unless it is denied
WAVE_STOP = 1  # section 5.1
FIRST_WAVE_TYPES, ALL_WAVE_TYPES = 8, 24  # section 5.1: type[8], and addl_type[16] of CARESCAPE software 3
_HEADER = struct.Struct("<hBBHIBBHh")
_DESCRIPTOR = struct.Struct("<hB")


class Main(IntEnum):
    """r_maintype, section 3. 5 (network) and 8 (events) are never sent on a serial port."""

    PHYSIOLOGICAL = 0
    WAVE = 1
    ALARM = 4


class Values(IntEnum):
    """Type of a physiological subrecord, and of the request for it, section 4.1."""

    DISPLAYED = 1
    TREND_10S = 2
    TREND_60S = 3
    AUXILIARY = 4


class AlarmCommand(IntEnum):
    """Section 6."""

    STATUS = 0
    ENTER_DIFFERENTIAL = 2
    LEAVE_DIFFERENTIAL = 3


@dataclass(frozen=True, slots=True)
class Record:
    """A record taken apart. number: counts the records of one main type, modulo 256; time_s: of the monitor's clock."""

    main: int
    number: int
    level: int
    time_s: int
    parts: tuple[tuple[int, bytes], ...]


def parse(record: bytes) -> Record | None:
    """Return the record taken apart; None when a descriptor points outside of it or before the one before."""
    _, number, level, _, time_s, _, _, _, main = _HEADER.unpack_from(record)
    size = len(record) - HEADER_BYTES
    found: list[tuple[int, int]] = []
    for i in range(MAX_SUBRECORDS):
        offset, kind = _DESCRIPTOR.unpack_from(record, _HEADER.size + _DESCRIPTOR.size * i)
        if kind == END_OF_LIST:
            break
        if not (found[-1][0] if found else 0) <= offset <= size:
            return None
        found.append((offset, kind))
    found.append((size, END_OF_LIST))
    parts = [(kind, record[HEADER_BYTES + offset : HEADER_BYTES + end]) for (offset, kind), (end, _) in pairwise(found)]
    return Record(main, number, level, time_s, tuple(parts))


def values_request(values: Values, interval_s: int) -> bytes:
    """Ask for physiological values every so many seconds; 0 cancels (section 4.1). On the line.

    Whether a monitor sends the auxiliary record periodically is not stated; the driver can do without it (episodes.py).
    """
    classes = ALL_CLASSES if interval_s and values != Values.AUXILIARY else 0
    return _request(Main.PHYSIOLOGICAL, struct.pack("<BhIh", values, interval_s, classes, 0))


def wave_request(types: Sequence[int]) -> bytes:
    """Ask for these waveforms from now on, or for none (section 5.1). On the line.

    The first list ends with FF unless it is full, the rest is 0, as in the vendor's examples (section 7). That the
    second list ends like the first is assumed.
    """
    if not types:
        return _request(Main.WAVE, struct.pack("<hhB23xhh", WAVE_STOP, 0, END_OF_LIST, 0, 0))
    first, more = bytes(types[:FIRST_WAVE_TYPES]), bytes(types[FIRST_WAVE_TYPES:])
    first += bytes([END_OF_LIST]) if len(first) < FIRST_WAVE_TYPES else b""
    more += bytes([END_OF_LIST]) if 0 < len(more) < ALL_WAVE_TYPES - FIRST_WAVE_TYPES else b""
    return _request(Main.WAVE, struct.pack("<hh8s16shh", 0, 0, first, more, 0, 0))


def alarm_request(command: AlarmCommand) -> bytes:
    """Ask for the alarms on the screen: once, or from now on when they change (section 6). On the line."""
    return _request(Main.ALARM, struct.pack("<h10x", command))


def _request(main: Main, body: bytes) -> bytes:
    """Return a record with one subrecord of type 0; all else of its header is 0 (section 3)."""
    header = struct.pack("<h12xh", HEADER_BYTES + len(body), main)
    return frame(header + struct.pack("<hBhB18x", 0, 0, 0, END_OF_LIST) + body)
