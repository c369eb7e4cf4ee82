"""The Connect Indication: how a monitor on the LAN announces itself while nobody is associated with it.

    00 00 01 00 | ROIV {invoke id, event report {object, time, type 0D17, AttributeList}}

It tells who the monitor is (model and production specification, as the MDS Create Event does), and where its data
export is reached. Attributes that the notes do not explain are skipped by their length.

Source: protocol notes sections 5 and 16.1; one captured beacon of a revision L monitor.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from drivers.philips_intellivue import pdu as layout
from drivers.philips_intellivue.pdu import Attribute, Malformed, unpack_2

CONNECT_EVENT = 0x0D17  # NOM_NOTI_CONN_INDIC, section 5
NET_ADDRESS, PROTOCOL_SUPPORT = 0xF100, 0xF101  # section 13
DATA_OUT, UDP = 5, 1  # application and transport of a ProtoSupport entry, section 16.1

_entry = struct.Struct(">HHHH").unpack_from  # application, transport, port, options


class Beacon(NamedTuple):
    """What a Connect Indication says. address: "" and port: 0 when it does not say where the data export is."""

    address: str
    port: int
    attributes: list[Attribute]

    def where(self) -> str:
        """Return where its data export is, for a person."""
        return f"{self.address or 'an address it does not say'}, UDP port {self.port or 'unknown'}"


def beacon(pdu: bytes) -> Beacon:
    """Read a Connect Indication. Raises one of layout.BROKEN when it is none."""
    event = layout.event(pdu)
    if event is None or event.type != CONNECT_EVENT:
        raise Malformed("PDU of family 0x00 that is no connect indication")
    address, port = "", 0
    for attribute, at, end in event.attributes:
        if attribute == NET_ADDRESS and not address:
            address = _address(pdu, at, end)
        elif attribute == PROTOCOL_SUPPORT:
            port = _data_port(pdu, at, end)
    return Beacon(address, port, event.attributes)


def _address(pdu: bytes, at: int, end: int) -> str:
    """Return the IPv4 address of a network address {MAC 6, IPv4 4, mask 4}."""
    if end - at < 14:
        raise Malformed(f"network address of {end - at} bytes")
    return ".".join(map(str, pdu[at + 6 : at + 10]))


def _data_port(pdu: bytes, at: int, end: int) -> int:
    """Return the UDP port of the data export, 0 when it is not among the protocols."""
    count, length = unpack_2(pdu, at)
    at += 4
    if length < 8 * count or at + length > end:
        raise Malformed(f"{count} protocols in {length} bytes")
    for i in range(count):
        application, carrier, port, _ = _entry(pdu, at + 8 * i)
        if (application, carrier) == (DATA_OUT, UDP):
            return int(port)
    return 0
