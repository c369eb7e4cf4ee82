"""CAN that may ask: the link `can`, and one way out that is as wide as an SDO upload request and no wider.

Everything that this module ever puts on a bus is the first or a further request of an upload (a read): a data frame
with an 11-bit id of 601h to 67Fh (client to server of node 1 to 127), 8 bytes, and the command of an upload in the
first of them.
Whatever else is written is refused here, after the gate of the port (the profile's [transmit]) has refused it already.
The controller must not be in listen-only mode; the link `can` is for all that only listens.

Source: CiA 301, SDO protocol: COB-ID 600h + node; client command specifier 2 initiate upload (40h), 3 upload segment
(60h, 70h), 4 abort (80h). By way of the protocol notes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import can

from gateway.core.can_frame import RECORD
from gateway.core.errors import LinkError
from gateway.core.settings import Settings, setting
from gateway.core.way import Way
from gateway.links.base import Clock, Link, LinkKind
from gateway.links.can import CanLink, CanSettings

REQUEST, NODES = 0x600, 0x7F
UPLOADS = frozenset({0x40, 0x60, 0x70, 0x80})
SEND_S = 0.2  # a bus that takes nothing for so long has nobody on it who acknowledges


@dataclass(frozen=True)
class ActiveCanSettings(Settings):
    """Settings of a CAN bus on which the gateway may ask by SDO upload."""

    channel: str = field(default="can0", metadata=setting("Name of the bus, for example can0."))
    interface: str = field(
        default="socketcan",
        metadata=setting("How to reach it.", choices=("socketcan", "udp_multicast", "virtual")),
    )


class ActiveCanLink(CanLink):
    """Implements Link; see the module text."""

    def write(self, data: bytes) -> None:
        """Send upload requests, can_frame records. LinkError: anything else, or the bus does not take them."""
        if len(data) % RECORD.size or not all(map(is_upload, RECORD.iter_unpack(data))):
            raise LinkError("only SDO upload requests may be sent on this bus", self._where)
        if self._bus is None:
            raise LinkError("the bus is not open", self._where)
        for can_id, length, payload in RECORD.iter_unpack(data):
            message = can.Message(arbitration_id=can_id, data=payload[:length], is_extended_id=False)
            try:
                self._bus.send(message, timeout=SEND_S)
            except can.CanError as error:
                raise LinkError(f"the bus takes no frame ({error})", self._where) from error


def is_upload(record: tuple[int, int, bytes]) -> bool:
    """Tell whether (can_id with its flags, length, data) is a request of an SDO upload."""
    can_id, length, data = record
    return REQUEST < can_id <= REQUEST + NODES and length == 8 and data[0] in UPLOADS


def _create(settings: ActiveCanSettings, clock: Clock) -> Link:
    return ActiveCanLink(CanSettings(settings.channel, settings.interface), clock)


LINK = LinkKind(
    name="can_active",
    settings=ActiveCanSettings,
    create=_create,
    describe=lambda settings: f"{settings.channel} ({settings.interface}, asks by SDO upload)",
    resource=lambda settings: settings.channel,
    ways=lambda settings: (Way("can", "channel", device=settings.channel),),
)
