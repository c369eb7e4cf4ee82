"""Alert lists: what the monitor alarms on, as readings.

A reading is (object, instance) with the priority as value: 0 none, 1 low, 2 medium, 3 high. `object` is the event code,
plus TECHNICAL when the entry is from the list of technical alerts (INOPs); `instance` is the source, plus OBJECT_CLASS
when the source is an object class and not a physio id. A list that is sent empty says that nothing alarms.

Source: protocol notes section 14; the layout also holds on the MP90 recordings.
"""

from __future__ import annotations

import struct
from functools import lru_cache

from drivers.philips_intellivue.pdu import Malformed, unpack_2
from gateway.core.frame import Reading
from gateway.core.sample import Flag, Validity

PATIENT_ALERTS, TECHNICAL_ALERTS = 0x0902, 0x0904  # attributes of the alert monitor
TECHNICAL = 0x10000  # event codes and sources are u16, so these cannot collide
OBJECT_CLASS = 0x10000

_STATES = (
    (0x8000 | 0x4000, Flag.ALERT_INHIBITED),  # inhibited, suspended
    (0x0400, Flag.TEST),  # test mode
    (0x0100, Flag.DEMO),  # demo
)
_entry = struct.Struct(">HHHHHHHHH").unpack_from  # source, code, type, state, object (3), info id, info length


def alert_list(pdu: bytes, at: int, end: int, technical: bool) -> dict[tuple[int, int], Reading]:
    """Read a DevAlarmList. Two entries of one event and source: the higher priority counts. Raises Malformed."""
    count, length = unpack_2(pdu, at)
    at += 4
    if at + length > end:
        raise Malformed(f"alert list of {length} bytes does not fit")
    end = at + length
    found: dict[tuple[int, int], Reading] = {}
    for _ in range(count):
        source, code, kind, state, _, _, _, _, size = _entry(pdu, at)
        at += 18 + size
        if at > end:
            raise Malformed("alert entry does not fit into its list")
        event = (code & 0xFFFE) + (TECHNICAL if technical else 0)
        instance = source + (OBJECT_CLASS if code & 1 else 0)
        priority = float((kind >> 8 & 7 | kind & 7).bit_length())  # 1, 2, 4: high byte patient, low byte technical
        if (event, instance) not in found or found[event, instance].value < priority:
            found[event, instance] = Reading(event, instance, 0, priority, Validity.VLD, _flags(state))
    return found


@lru_cache(maxsize=256)
def _flags(state: int) -> int:
    flags = Flag(0)
    for bits, flag in _STATES:
        if state & bits:
            flags |= flag
    return int(flags)
