"""Byte layouts of the Data Export application PDUs, both ways. Big-endian throughout; nothing here has state.

The first byte names the family (protocol notes section 4). Data PDUs nest: session header (4), remote operation
{type, length}, operation {invoke id, command, length}, action {object, type, length}, then what was asked for.

Reading obeys two rules: every inner length is bounded by the one around it, and the next element is where the length
says, not where the fields we know end. What does not fit raises Malformed, which never leaves this package.

Source: protocol notes sections 4 and 6 to 15; section numbers stand beside the numbers.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from math import nan
from typing import NamedTuple

from gateway.core.sample import Validity

# PDU families, section 4
ASSOCIATE_ACCEPT, ASSOCIATE_REFUSE, ASSOCIATE_REQUEST = 0x0E, 0x0C, 0x0D
RELEASE_REQUESTED, RELEASE_DONE, ABORTED, DATA, CONNECT_INDICATION = 0x09, 0x0A, 0x19, 0xE1, 0x00
FAMILIES = frozenset(
    {
        *(ASSOCIATE_ACCEPT, ASSOCIATE_REFUSE, ASSOCIATE_REQUEST),
        *(RELEASE_REQUESTED, RELEASE_DONE, ABORTED, DATA, CONNECT_INDICATION),
    }
)
# remote operations and commands, sections 8 to 10
ROIV, RORS, ROER, ROLRS = 1, 2, 3, 5
LAST_LINKED = 3  # state of the last ROLRS, before the RORS that ends the linked result
CONFIRMED_EVENT, CONFIRMED_SET, CONFIRMED_ACTION = 1, 5, 7
MDS_CREATE, SINGLE_POLL, EXTENDED_POLL = 0x0D06, 0x0C16, 0xF13B
# object classes, section 13
NUMERICS, WAVES, MDS, ALERT_MONITOR = 0x0006, 0x0009, 0x0021, 0x0036
GROUP_ALL, GROUP_SYS_PROD = 0x0000, 0x080C
# attributes of requests and association, sections 6, 9.2, 9.3
TIME_PD_POLL, WAVE_PRIORITY_LIST = 0xF13E, 0xF23A
POLL_PROFILE_SUPPORT, POLL_PROFILE_EXT = 0x0001, 0xF001
EXT_1S_NUMERICS, EXT_WAVES = 0x8000_0000, 0x0800_0000

TICKS_PER_S = 8000  # RelativeTime counts 125 us, section 4
TICK_NS = 125_000
SESSION = b"\xe1\x00\x00\x02"  # SPpdu, section 8

# Section 6, the complete request as two implementations send it: RX MTU 2500, TX MTU 1000, minimum poll period
# 312.5 ms, 1 s numerics, waves, enumerations.
ASSOCIATION_REQUEST = bytes.fromhex(
    "0dec0508130100160102800014020002c1dc3180a0808001010000a280a003000001a48030800201010604520100013080060251"
    "01000000003080020102060c2a8648ce14020100000001013080060c2a8648ce1402010000000201000000000000618030800201"
    "01a0806080a180060c2a8648ce14020100000003010000be802880060c2a8648ce14020100000001010201028148800000004000"
    "0000000000008000000020000000000000000001002c0001002880000000000009c4000009c4000003e8ffffffff600000000001"
    "000cf00100088c0000000000000000000000000000000000000000000000"
)
# Section 15
RELEASE_REQUEST = bytes.fromhex("0918c11661803080020101a08062808001000000000000000000")
RELEASE_RESPONSE = bytes.fromhex("0a18c11661803080020101a08063808001000000000000000000")
ABORT = bytes.fromhex(
    "192e110103c129a080a0803080020101060251010000000061803080020101a080648080010100000000000000000000"
)

unpack_2 = struct.Struct(">HH").unpack_from
unpack_3 = struct.Struct(">HHH").unpack_from
_u16, _u32 = struct.Struct(">H").unpack_from, struct.Struct(">I").unpack_from
_operation = struct.Struct(">HHHHHHHH").unpack_from  # operation 3, object 3, action 2
_time = struct.Struct(">I8sHHH").unpack_from  # relative, absolute, object type 2, attribute group


class Malformed(ValueError):
    """A PDU whose frame is intact but whose inner structure does not hold."""


BROKEN = (ValueError, IndexError, struct.error)
"""What reading a PDU can raise: Malformed, and what slicing and unpacking raise of themselves."""

Attribute = tuple[int, int, int]
"""Attribute id, begin and end of its value in the PDU."""


class Observation(NamedTuple):
    """What one result says of one object. `key` is context << 16 | handle."""

    key: int
    attributes: list[Attribute]


class PollResult(NamedTuple):
    """One poll result, or one part of a linked one.

    part: 1, 2, …; the final part and a lone result have 0; next_final: it says that the final part follows
    """

    invoke: int
    part: int
    next_final: bool
    polled: int
    sequence: int | None
    relative_time: int
    absolute_ns: int | None
    observations: list[Observation]


class Event(NamedTuple):
    """An event report: MDS create, connect indication."""

    invoke: int
    command: int
    object: tuple[int, int, int]
    time: int
    type: int
    attributes: list[Attribute]


class Accept(NamedTuple):
    """What the monitor granted (section 7)."""

    min_poll_s: float
    mtu: int
    options: int


USUAL_TERMS = Accept(1.0, 1000, EXT_1S_NUMERICS | EXT_WAVES)  # sections 6 and 7: smallest values seen

# ---- what comes in


def operation(pdu: bytes) -> int:
    """Return the remote operation of a data PDU; Malformed when its length does not fit the PDU."""
    kind: int
    kind, length = unpack_2(pdu, 4)
    _within(8 + length, len(pdu))
    return kind


def poll_result(pdu: bytes) -> PollResult | None:
    """Read a result (RORS or ROLRS); None when it answers something else than a poll. Section 10."""
    linked = operation(pdu) == ROLRS
    at = 10 if linked else 8
    if _u16(pdu, at + 2)[0] != CONFIRMED_ACTION:
        return None
    invoke, _, length, _, _, _, action, inner = _operation(pdu, at)
    end = _within(at + 6 + length, len(pdu))
    at += 16
    end = _within(at + inner, end)
    if action == EXTENDED_POLL:
        sequence = _u16(pdu, at + 2)[0]
        at += 4
    elif action == SINGLE_POLL:
        sequence = None
        at += 2
    else:
        return None
    relative, absolute, _, polled, _ = _time(pdu, at)
    observations = _observations(pdu, at + 18, end)
    state, part = pdu[8:10] if linked else (0, 0)
    time_ns = absolute_time_ns(absolute)
    return PollResult(invoke, part, state == LAST_LINKED, polled, sequence, relative, time_ns, observations)


def _observations(pdu: bytes, at: int, end: int) -> list[Observation]:
    """Read a PollInfoList: contexts, in them objects, in them attributes."""
    contexts, length = unpack_2(pdu, at)
    at += 4
    end = _within(at + length, end)
    found: list[Observation] = []
    for _ in range(contexts):
        context, count, length = unpack_3(pdu, at)
        at += 6
        stop = _within(at + length, end)
        for _ in range(count):
            handle, attributes, length = unpack_3(pdu, at)
            at += 6
            last = _within(at + length, stop)
            found.append(Observation(context << 16 | handle, _attributes(pdu, at, attributes, last)))
            at = last
        at = stop
    return found


def _attributes(pdu: bytes, at: int, count: int, end: int) -> list[Attribute]:
    found = []
    for _ in range(count):
        attribute, length = unpack_2(pdu, at)
        at += 4
        stop = at + length
        if stop > end:
            raise Malformed(f"attribute 0x{attribute:04X} ends {stop - end} bytes after its list")
        found.append((attribute, at, stop))
        at = stop
    return found


def attribute_list(pdu: bytes, at: int, end: int) -> list[Attribute]:
    """Read an AttributeList {count, length, attributes} that begins at `at`."""
    count, length = unpack_2(pdu, at)
    return _attributes(pdu, at + 4, count, _within(at + 4 + length, end))


def event(pdu: bytes, at: int = 4) -> Event | None:
    """Read an event report from its ROIV at `at`; None when it is another request. Sections 8 and 16.1."""
    kind, length, invoke, command, inner = struct.unpack_from(">HHHHH", pdu, at)
    if kind != ROIV or command > CONFIRMED_EVENT:
        return None
    end = _within(at + 4 + length, len(pdu))
    at += 10
    end = _within(at + inner, end)
    cls, context, handle, time, event_type, size = struct.unpack_from(">HHHIHH", pdu, at)
    at += 14
    end = _within(at + size, end)
    if event_type == MDS_CREATE:
        at += 6  # MDSCreateInfo repeats the object
    return Event(invoke, command, (cls, context, handle), time, event_type, attribute_list(pdu, at, end))


def accept(pdu: bytes) -> Accept:
    """Read what was granted. The presentation header differs between monitors, so it is not parsed (section 7)."""
    at = pdu.index(b"\x81", pdu.index(b"\xbe\x80\x28\x80") + 4) + 1
    at += 1 if pdu[at] < 0x80 else 1 + (pdu[at] & 0x7F)  # ASN length, section 4
    at += 20  # versions, functional units, system type, startup mode
    at += 4 + unpack_2(pdu, at)[1]  # option list
    for attribute, begin, end in attribute_list(pdu, at, len(pdu)):
        if attribute == POLL_PROFILE_SUPPORT:
            _within(begin + 24, end)
            _, min_poll, mtu = struct.unpack_from(">III", pdu, begin)  # revision, minimum poll period, receive MTU
            packages = {a: at for a, at, _ in attribute_list(pdu, begin + 24, end)}
            options = _u32(pdu, packages[POLL_PROFILE_EXT])[0] if POLL_PROFILE_EXT in packages else 0
            return Accept(min_poll / TICKS_PER_S, mtu, options)
    raise Malformed("accept without poll profile")


def refuse_reason(pdu: bytes) -> int:
    """Return parameter 0x32 of a refuse, 0 when it has none (section 7)."""
    return pdu[4] if len(pdu) > 4 and pdu[2] == 0x32 else 0


def confirms_set(pdu: bytes) -> bool:
    """Tell whether a result answers a confirmed set (the wave list)."""
    return operation(pdu) == RORS and bool(_u16(pdu, 10)[0] == CONFIRMED_SET)


def error(pdu: bytes) -> tuple[int, int]:
    """Return invoke id and error value of a ROER. Section 10."""
    return unpack_2(pdu, 8)


def _within(end: int, limit: int) -> int:
    if end > limit:
        raise Malformed(f"inner length is {end - limit} bytes too long")
    return end


# ---- basic types, section 4 and 11

_POWERS = tuple(10**n for n in range(129))
_SPECIAL = {  # raw 24-bit mantissas, whatever the exponent
    0x7FFFFF: Validity.NA,  # NaN
    0x800000: Validity.INV,  # NRes, not at this resolution
    0x7FFFFE: Validity.OFLW,  # +INF
    0x800002: Validity.UFLW,  # -INF
    0x800001: Validity.INV,  # reserved
}


def float_type(raw: int) -> tuple[float, Validity]:
    """Decode a FLOAT-Type: exponent i8, mantissa i24. Division by a power of ten rounds once, so 366e-1 is 36.6."""
    mantissa = raw & 0xFFFFFF
    if 0x7FFFFE <= mantissa <= 0x800002:
        return nan, _SPECIAL[mantissa]
    if mantissa & 0x800000:
        mantissa -= 0x1000000
    if raw & 0x80000000:
        return mantissa / _POWERS[256 - (raw >> 24)], Validity.VLD
    return float(mantissa * _POWERS[raw >> 24]), Validity.VLD


def absolute_time_ns(raw: bytes) -> int | None:
    """Return a BCD AbsoluteTime as UTC ns, as if the monitor's local clock showed UTC; None when it is not set."""
    if len(raw) != 8 or raw[0] == 0xFF:
        return None
    try:
        century, *rest, hundredths = (int(f"{byte:02x}") for byte in raw)
        year, month, day, hour, minute, second = rest
        when = datetime(century * 100 + year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return int(when.timestamp()) * 1_000_000_000 + hundredths * 10_000_000


def text(raw: bytes) -> str:
    """Return the printable text of an 8-bit string up to its NUL, at most 64 characters."""
    return "".join(c for c in raw.split(b"\0")[0].decode("latin-1") if c.isprintable())[:64].strip()


def system_model(pdu: bytes, at: int, end: int) -> tuple[str, str]:
    """Return manufacturer and model: two VariableLabels."""
    middle = _within(at + 2 + _u16(pdu, at)[0], end)
    last = _within(middle + 2 + _u16(pdu, middle)[0], end)
    return text(pdu[at + 2 : middle]), text(pdu[middle + 2 : last])


def production_spec(pdu: bytes, at: int, end: int) -> list[tuple[int, int, str]]:
    """Return (specification type, component, text) of each entry. Section 16.1."""
    count, length = unpack_2(pdu, at)
    at += 4
    end = _within(at + length, end)
    entries = []
    for _ in range(count):
        kind, component, size = unpack_3(pdu, at)
        stop = _within(at + 6 + size, end)
        entries.append((kind, component, text(pdu[at + 6 : stop])))
        at = stop
    return entries


# ---- what goes out


def attribute(attribute_id: int, value: bytes) -> bytes:
    """Return one AVA."""
    return struct.pack(">HH", attribute_id, len(value)) + value


def listed(items: list[bytes]) -> bytes:
    """Return a list {count, length, items}."""
    body = b"".join(items)
    return struct.pack(">HH", len(items), len(body)) + body


def invocation(kind: int, invoke: int, command: int, argument: bytes) -> bytes:
    """Return a data PDU with a plain remote operation (ROIV or RORS)."""
    return SESSION + struct.pack(">HHHHH", kind, len(argument) + 6, invoke, command, len(argument)) + argument


def mds_create_result(created: Event) -> bytes:
    """Answer the MDS Create Event, section 8. The current time is the event's own: any relative time will do."""
    argument = struct.pack(">HHHIHH", *created.object, created.time, MDS_CREATE, 0)
    return invocation(RORS, created.invoke, CONFIRMED_EVENT, argument)


def poll(invoke: int, number: int, polled: int, group: int = GROUP_ALL, period_s: int | None = None) -> bytes:
    """Ask once, or with `period_s` for a stream of results for so long. Sections 9.1, 9.2."""
    request = struct.pack(">HHHH", number, 1, polled, group)
    if period_s is not None:
        request += listed([attribute(TIME_PD_POLL, struct.pack(">I", period_s * TICKS_PER_S))])
    action = SINGLE_POLL if period_s is None else EXTENDED_POLL
    argument = struct.pack(">HHHIHH", MDS, 0, 0, 0, action, len(request)) + request
    return invocation(ROIV, invoke, CONFIRMED_ACTION, argument)


def set_wave_list(invoke: int, labels: tuple[int, ...]) -> bytes:
    """Replace the list of the waves to be sent, by TextId. Section 9.3."""
    value = struct.pack(f">HH{len(labels)}I", len(labels), 4 * len(labels), *labels)
    change = struct.pack(">H", 0) + attribute(WAVE_PRIORITY_LIST, value)
    argument = struct.pack(">HHHI", MDS, 0, 0, 0) + listed([change])
    return invocation(ROIV, invoke, CONFIRMED_SET, argument)
