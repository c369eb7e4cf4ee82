"""Building blocks of the BCC tests: good blocks, and what a driver makes of them."""

from __future__ import annotations

from gateway.core.frame import Alert, Alerts, Event
from tests.unit import pump_rig as rig

NAME, PROFILE = "bbraun_bcc", "bbraun/space"
RAW = {"stuffing": False}
# From the manual, length and checksum verified by the notes; the others computed by the notes (vectors).
ALIVE = b"\x0100031\x021/1/1>ADMIN:ALIVE\x0300061\x04"
ALIVE_ON_THE_LINE = b"\x0100031\x021/1/1>AEXMIN:ALIVEE\x0300061\x04"
GET = b"\x0100035\x02ComSystem/1/1>MEM:GET\x0300153\x04"
VERSION = b"\x0100041\x02ComSystem/1/1>ADMIN:VERSION\x0300102\x04"
REPLY = b"\x0100082\x02ICU1/1/1>1234,50111,INRT,5.0\x1e1234,50111,INVI,12.34\x1e1234,50111,INA3,0\x0300087\x04"


def block(*quadruples: str, last: bool = True, bed: str = "ICU1") -> bytes:
    """A good block, unescaped. A quadruple without a time gets one."""
    rows = [row if row[:1].isdigit() and not row.startswith("501") else f"1234,{row}" for row in quadruples]
    return whole("\x1e".join(rows), last, bed)


def whole(information: str, last: bool = True, bed: str = "ICU1") -> bytes:
    text = f"{bed}/1/1>{information}".encode()
    begin = b"\x01%05d\x02" % (len(text) + 14) + text + (b"\x03" if last else b"\x17")
    return begin + b"%05d\x04" % (sum(begin) % 256)


def heard(*blocks: bytes, **options: bool) -> list[Event]:
    return rig.heard_in(NAME, PROFILE, b"".join(blocks), RAW | options)


def alerts_of(events: list[Event]) -> list[tuple[Alert, ...]]:
    return [frame.payload.active for frame in rig.frames(events) if isinstance(frame.payload, Alerts)]
