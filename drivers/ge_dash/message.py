"""The Marquette "Unity" parameter message: its header, its records, and the two requests for it. All big-endian.

    header 60: … 12 function u16, 14 sub-function u16, 16 version u16, … 58 data count u16
    data:      alarm state, alarm level, audio alarm level, patient admitted, number of records N, graph status
               N records of (data count - 6) / N bytes: 68 or 70
    2 bytes    CRC of an unknown kind
    record:    0 update (01, code, status u16, 3 values i16)   10 extended update   24 limits (03, code, flags 2 x u16,
               low and high of each value i16)   44 messages   54 more setup   64 type, code, position, port

There is no first byte and no escape: what is not a whole message of these lengths is none. The code stands in a record
twice; where the two differ nothing of the message is believed.

Source: protocol notes (two independent readers of the same record, one of them with a recording of the network; the
serial transport from one program each).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEADER_BYTES, CRC_BYTES = 60, 2
MAX_COUNT = 4096  # notes, "Resynchronisation"
DATA, REQUEST = 201, 202  # function codes
UPDATE, ASK = 20, 35  # sub-functions: parameter update, parameter request
_ALARM_BYTES = 6
STRIDES = (68, 70)  # version 0 and version 1
_FUNCTIONS = struct.Struct(">HH")
_COUNT_AT = 58
_LIMITS_AT, _LIMITS = 24, 0x03
_UPDATE = 0x01

# The request with its CRC, 62 bytes [1 source]: taken as it is, because the CRC could not be reproduced.
REQUEST_WITH_CRC = b"\x40" + bytes(12) + b"\xca\x00\x23\x00\x01" + bytes(31) + b"\x01" + bytes(10) + b"\xf4\xcc"
# The request of the other program, 104 bytes [1 source]: version 0, and 44 zero bytes where the CRC might be.
REQUEST_PLAIN = b"\x40" + bytes(12) + b"\xca\x00\x23" + bytes(44 + 44)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One record. values: three; limits: (low, high) of each, empty when the record has none; place: position, port."""

    kind: int
    code: int
    values: tuple[int, ...]
    limits: tuple[tuple[int, int], ...]
    place: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Message:
    """What the monitor says in one answer. state, level: of its alarms; admitted: whether it has a patient."""

    state: int
    level: int
    admitted: int
    parameters: tuple[Parameter, ...]


def length(held: bytes) -> int | None:
    """Return the length of the message that begins here, 0 while that cannot be known, None when it is none."""
    if len(held) < HEADER_BYTES:
        return 0
    function, sub = _FUNCTIONS.unpack_from(held, 12)
    count = int.from_bytes(held[_COUNT_AT:HEADER_BYTES], "big")
    if (function, sub) != (DATA, UPDATE) or count >= MAX_COUNT:
        return None
    return HEADER_BYTES + count + CRC_BYTES


def is_request(held: bytes) -> bool:
    """Tell whether a request begins here: our own, on a line with an echo."""
    return len(held) >= HEADER_BYTES and _FUNCTIONS.unpack_from(held, 12) == (REQUEST, ASK)


def parse(message: bytes) -> Message | str:
    """Return a whole message taken apart, or which of its tests it fails."""
    data = message[HEADER_BYTES:-CRC_BYTES]
    if len(data) < _ALARM_BYTES:
        return f"{len(data)} bytes of data"
    state, level, _, admitted, number, _ = data[:_ALARM_BYTES]
    records = data[_ALARM_BYTES:]
    stride = len(records) // number if number else 0
    if stride * number != len(records) or (number and stride not in STRIDES):
        return f"{number} records in {len(records)} bytes"
    parameters = []
    for at in range(0, len(records), stride or 1):
        record = records[at : at + stride]
        if record[0] != _UPDATE or record[1] != record[65]:
            return "a record that is no parameter update, or has two codes"
        parameters.append(_parameter(record))
    return Message(state, level, admitted, tuple(parameters))


def _parameter(record: bytes) -> Parameter:
    limits: tuple[tuple[int, int], ...] = ()
    if record[_LIMITS_AT] == _LIMITS:
        bounds = struct.unpack_from(">6h", record, _LIMITS_AT + 6)
        limits = tuple(zip(bounds[0::2], bounds[1::2], strict=True))
    return Parameter(record[64], record[1], struct.unpack_from(">3h", record, 4), limits, (record[66], record[67]))
