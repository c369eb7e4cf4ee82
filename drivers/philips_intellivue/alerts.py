"""Alert lists: what the monitor alarms on.

The monitor keeps two lists, of patient alerts and of technical ones (INOPs). Each is sent whole, so what is not in it
has ended. Of one entry is kept
    object     event code, plus TECHNICAL when it is from the technical list: the same event can stand in both
    source     physio id of what it is about, which is the object of a reading; 0 when it is about an object class
    priority   of the alert type: 0 none, 1 low, 2 medium, 3 high
    text       what the monitor shows for it, when the entry carries a string
    flags      inhibited, suspended or silenced: ALERT_INHIBITED; TEST; DEMO

Source: protocol notes section 14; the layout also holds on the MP90 recordings.
"""

from __future__ import annotations

import struct
from functools import lru_cache

from drivers.philips_intellivue.pdu import Malformed, unpack_2
from gateway.core.frame import Alert
from gateway.core.sample import Flag

PATIENT_ALERTS, TECHNICAL_ALERTS = 0x0902, 0x0904  # attributes of the alert monitor
TECHNICAL = 0x10000  # event codes are u16, so this cannot collide
OF_CLASS = 1  # bit 0 of an event code: the source is an object class, not a physio id
WITH_STRING = 0x0204  # alert_info_id STR: instance u16, TextId u32, priority u16, flags u16, String
STRING_AT = 10
LONGEST_TEXT = 100  # characters; the longest that a screen line shows is far shorter

_STATES = (
    (0x8000 | 0x4000 | 0x1000, Flag.ALERT_INHIBITED),  # inhibited, suspended, silenced
    (0x0400, Flag.TEST),  # test mode
    (0x0100, Flag.DEMO),  # demo
)
_entry = struct.Struct(">HHHHHHHHH").unpack_from  # source, code, type, state, object (3), info id, info length

AlertTable = dict[tuple[int | str, int | str], Alert]
"""(object, source) -> the alert."""


def alert_list(pdu: bytes, at: int, end: int, technical: bool) -> AlertTable:
    """Read a DevAlarmList. Two entries of one event and source: the higher priority counts. Raises Malformed."""
    count, length = unpack_2(pdu, at)
    at += 4
    if at + length > end:
        raise Malformed(f"alert list of {length} bytes does not fit")
    end = at + length
    found: AlertTable = {}
    for _ in range(count):
        source, code, kind, state, _, _, _, info, size = _entry(pdu, at)
        at += 18 + size
        if at > end:
            raise Malformed("alert entry does not fit into its list")
        alert = Alert(
            (code & ~OF_CLASS) + (TECHNICAL if technical else 0),
            0 if code & OF_CLASS else source,
            (kind >> 8 & 7 | kind & 7).bit_length(),  # 1, 2, 4: high byte patient, low byte technical
            _text(pdu[at - size : at]) if info == WITH_STRING else "",
            _flags(state),
            technical,
        )
        key = alert.object, alert.source
        if key not in found or found[key].priority < alert.priority:
            found[key] = alert
    return found


def _text(info: bytes) -> str:
    """Return the string of an alert as one line, "" when it does not hold: an alert is worth more than its wording."""
    length = int.from_bytes(info[STRING_AT : STRING_AT + 2], "big")
    raw = info[STRING_AT + 2 : STRING_AT + 2 + length]
    if len(raw) < length:
        return ""
    words = raw[: length & ~1].decode("utf-16-be", "replace").split("\0")[0]
    return "".join(c if c.isprintable() else " " for c in words)[:LONGEST_TEXT].strip()


@lru_cache(maxsize=256)
def _flags(state: int) -> int:
    flags = Flag(0)
    for bits, flag in _STATES:
        if state & bits:
            flags |= flag
    return int(flags)
