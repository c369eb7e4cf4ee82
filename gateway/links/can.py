"""CAN, listen-only: there is no way to put a frame on a bus through this module.

SocketCAN, UDP multicast and the in-process virtual bus are read through python-can; a socketcand daemon, whose
connection needs closer watching, by gateway.links.socketcand. Bit rate and the listen-only mode of the controller are
set by the system, before: `ip link set can0 type can bitrate 500000 listen-only on`. In production a bus whose
controller does not only listen is not opened (gateway.links.can_mode).

Error frames are passed on with bit 29 set. What is no CAN 2.0 frame (CAN FD above all) does not fit a can_frame record
and is left out, which is said once. CAN logs are read by gateway.can_log.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import can

from gateway.can_log import message_ns, message_record
from gateway.core.errors import LinkError
from gateway.core.settings import Settings, setting
from gateway.core.way import Way
from gateway.links.base import Clock, Link, LinkKind
from gateway.links.bus_time import BusTime
from gateway.links.can_mode import fault_of
from gateway.links.descriptor import CLOSED, DescriptorLink
from gateway.links.socketcand import SocketcandLink

BATCH = 256  # frames of one read; 1 Mbit/s brings at most about 20 in a millisecond
SLICE_S = 0.05  # the virtual bus cannot be woken: how long a closing thread may wait for it

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CanSettings(Settings):
    """Settings of a CAN bus. Bit rate and listen-only mode belong to the system (ip link)."""

    channel: str = field(default="can0", metadata=setting("Name of the bus, for example can0."))
    interface: str = field(
        default="socketcan",
        metadata=setting("How to reach it.", choices=("socketcan", "socketcand", "udp_multicast", "virtual")),
    )
    host: str = field(default="127.0.0.1", metadata=setting("socketcand only: address of the daemon."))
    port: int = field(default=29536, metadata=setting("socketcand only: TCP port of the daemon.", low=1, high=65535))


class CanLink(DescriptorLink):
    """Implements Link on a python-can bus; each frame is one 16-byte record. Only listens."""

    gone = "the bus is gone"

    def __init__(self, settings: CanSettings, clock: Clock) -> None:
        super().__init__(f"{settings.interface} {settings.channel}", clock)
        self._settings = settings
        self._bus: can.BusABC | None = None
        self._ahead: can.Message | None = None  # what waiting on a bus without a descriptor has taken off it
        self._time = BusTime(self._where, clock)
        self._said = False

    def write(self, data: bytes) -> None:
        """Refuse. LinkError: always."""
        raise LinkError(f"a CAN link only listens, {len(data)} bytes not sent", self._where)

    def _attach(self) -> int:
        options: dict[str, Any] = {"fd": False} if self._settings.interface == "udp_multicast" else {}
        try:
            self._bus = can.Bus(
                interface=self._settings.interface,
                channel=self._settings.channel,
                receive_own_messages=False,
                ignore_config=True,  # python-can would else read ~/.canrc, ./can.ini and the environment
                **options,
            )
        except (can.CanError, OSError, ValueError) as error:
            raise LinkError(f"cannot be opened: {getattr(error, 'strerror', None) or error}", self._where) from error
        try:
            return self._bus.fileno()
        except NotImplementedError:
            return CLOSED  # the virtual bus has no descriptor

    def _detach(self) -> None:
        if self._bus is not None:
            self._bus.shutdown()
            self._bus = None

    def _wait(self, events: int, timeout: float) -> bool:
        if self._line != CLOSED or self._bus is None:
            return super()._wait(events, timeout)
        super()._wait(events, 0.0)  # raises when the link is being closed
        self._ahead = self._next(min(timeout, SLICE_S))
        return self._ahead is not None

    def _receive(self) -> list[tuple[int, bytes]]:
        frames: list[tuple[int, bytes]] = []
        try:
            while len(frames) < BATCH and (message := self._next(0.0)) is not None:
                if record := message_record(message):
                    frames.append((self._time.stamp(message_ns(message)), record))
                else:
                    self._leave_out()
        except LinkError as fault:
            self._fail(fault, bool(frames))
        return frames

    def _next(self, timeout: float) -> can.Message | None:
        """Return the next message, or None when there is none within `timeout` seconds. LinkError: the bus is gone."""
        assert self._bus is not None  # only called between _attach and _detach
        message, self._ahead = self._ahead, None
        try:
            return message or self._bus.recv(timeout)
        except can.CanError as error:  # python-can wraps the socket's errors
            raise LinkError(f"{self.gone} ({error})", self._where) from error

    def _leave_out(self) -> None:
        if not self._said:
            self._said = True
            _log.warning("%s: frames that are not CAN 2.0 (CAN FD?) are left out", self._where)


def _create(settings: CanSettings, clock: Clock) -> Link:
    if settings.interface == "socketcand":
        return SocketcandLink(settings.host, settings.port, settings.channel, clock)
    return CanLink(settings, clock)


def _resource(settings: CanSettings) -> str:
    daemon = f"{settings.host}:{settings.port} " if settings.interface == "socketcand" else ""
    return daemon + settings.channel


def _harm(settings: CanSettings) -> str:
    return fault_of(settings.channel) if settings.interface == "socketcan" else ""  # a rule judges the other kinds


def _ways(settings: CanSettings) -> tuple[Way, ...]:
    bus = Way("can", "channel", device=settings.channel)
    if settings.interface != "socketcand":
        return (bus,)
    return bus, Way("tcp", "host", host=settings.host, port=settings.port)


LINK = LinkKind(
    name="can",
    settings=CanSettings,
    create=_create,
    describe=lambda settings: f"{_resource(settings)} ({settings.interface}, listen only)",
    resource=_resource,
    ways=_ways,
    harm=_harm,
)
