"""UDP: devices that speak in datagrams, one datagram a packet. Never two in one chunk, never one in two.

A device is reached at host:port. Its announcements (beacons: broadcast, or to a multicast group) are heard on a second
socket and passed on like everything else it says. Datagrams of anybody else are not: the system lets only the device's
own address and port through to the line, and an announcement counts only when it comes from the same address.

Where `host` is empty the first device that announces itself is the one, until the gateway is started anew. A second one
ends that: who of the two is at this bed cannot be known here, and a guess would put one patient's values under the
other's name. So an empty host is for a cable with one device on it, and says so when it finds two.

Nothing tells that a device has gone: UDP has no connection. Silence is for the driver to notice. Only a device that is
there and does not listen shows, by its refusal (ICMP), and what is sent before it is known is lost as on a bare cable.
"""

from __future__ import annotations

import select
import socket
from dataclasses import dataclass, field

from gateway.core.errors import ConfigError, LinkError
from gateway.core.settings import Settings, setting
from gateway.core.way import Way
from gateway.links.base import Clock, LinkKind
from gateway.links.descriptor import CLOSED, READ_MAX, DescriptorLink

DATAGRAMS_MAX = 64  # of each socket in one read: a second of the liveliest device, and no flood holds the port

_GROUP = r"2(2[4-9]|3\d)(\.\d{1,3}){3}"  # 224.0.0.0 to 239.255.255.255, RFC 5771


@dataclass(frozen=True, kw_only=True)
class UdpSettings(Settings):
    """Settings of a line to a device that speaks in datagrams."""

    host: str = field(
        default="",
        metadata=setting("Address of the device; empty: the one device that announces itself here.", empty=True),
    )
    port: int = field(metadata=setting("UDP port of the device.", low=1, high=65535))
    local_host: str = field(
        default="",
        metadata=setting("Address of this gateway on the device's network; empty: as the system routes.", empty=True),
    )
    local_port: int = field(
        default=0, metadata=setting("UDP port that the gateway sends from; 0: any free one.", low=0, high=65535)
    )
    beacon_port: int = field(
        default=0,
        metadata=setting("UDP port on which the device announces itself; 0: nobody listens.", low=0, high=65535),
    )
    beacon_group: str = field(
        default="",
        metadata=setting("Multicast group of the announcements; empty: broadcast.", pattern=_GROUP, empty=True),
    )

    def __post_init__(self) -> None:
        """Raise ConfigError for a wrong value, and for values that do not go together."""
        super().__post_init__()
        if not self.beacon_port and not self.host:
            raise ConfigError("host = '': nobody would ever be found", hint="name the host, or give the beacon_port")
        if not self.beacon_port and self.beacon_group:
            raise ConfigError(f"beacon_group = {self.beacon_group!r}: nobody listens", hint="give the beacon_port")


class UdpLink(DescriptorLink):
    """Implements Link on one socket for the line and one for announcements, waited for together."""

    gone = "nobody listens there"

    def __init__(self, settings: UdpSettings, clock: Clock) -> None:
        super().__init__(_describe(settings), clock)
        self._settings = settings
        self._announced = ""  # address of the device that announced itself; kept for the life of the link
        self._rival = ""  # address of a second one
        self._device = ""  # address of the device; "" = not known yet
        self._line_socket: socket.socket
        self._beacons: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._ready: select.epoll | None = None  # readable when any of the sockets is

    def _attach(self) -> int:
        self._refuse_two()
        self._device, self._beacons = "", None
        try:
            self._line_socket = self._new_socket()
            self._line_socket.bind((self._settings.local_host, self._settings.local_port))
            if self._settings.host or self._announced:
                self._face(self._announced or socket.gethostbyname(self._settings.host))
            self._beacons = self._listen() if self._settings.beacon_port else None
            self._ready = select.epoll()
            for one in self._open:
                self._ready.register(one, select.EPOLLIN)
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that cannot be one
            raise LinkError(f"cannot be opened: {getattr(error, 'strerror', None) or error}", self._where) from error
        return self._ready.fileno()

    def _detach(self) -> None:
        if self._ready is not None:
            self._ready.close()
            self._ready = None
        for one in self._open:
            one.close()
        self._open.clear()

    def _new_socket(self) -> socket.socket:
        found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._open.append(found)
        found.setblocking(False)
        return found

    def _listen(self) -> socket.socket:
        """Return a socket that hears announcements. Several ports may: each gets its own copy of a broadcast."""
        found = self._new_socket()
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(("", self._settings.beacon_port))  # a socket bound to an address of ours would hear no broadcast
        if self._settings.beacon_group:
            where = socket.inet_aton(self._settings.local_host or "0.0.0.0")
            group = socket.inet_aton(self._settings.beacon_group) + where
            found.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        return found

    def _face(self, device: str) -> None:
        """From now on the line leads to this address, and the system lets nobody else's datagrams through."""
        try:
            self._line_socket.connect((device, self._settings.port))
        except OSError as error:
            raise LinkError(f"no way to {device}: {error.strerror or error}", self._where) from error
        self._device = device

    def _refuse_two(self) -> None:
        if self._rival:
            what = f"two devices announce themselves, {self._announced} and {self._rival}"
            raise LinkError(what, self._where, "name the one at this bed as host")

    def write(self, data: bytes) -> None:
        """Send one datagram; while the device is not known it is lost. LinkError: closed, or it is refused."""
        with self._in_use:
            if self._wake == CLOSED:
                raise LinkError("the link is closed", self._where)
            if data and self._device:
                try:
                    self._line_socket.send(data)
                except OSError as error:
                    raise self._lost(error) from error

    def _receive(self) -> list[tuple[int, bytes]]:
        """Return the datagrams that are there. What came before a failure is given first."""
        found: list[tuple[int, bytes]] = []
        try:
            if self._beacons is not None:
                self._take(self._beacons, found)
            self._take(self._line_socket, found)
        except LinkError as fault:
            self._fail(fault, bool(found))
        return found

    def _take(self, one: socket.socket, found: list[tuple[int, bytes]]) -> None:
        """Add what the device said on one socket. LinkError: it does not listen, or a second one announces itself."""
        refusal: OSError | None = None
        for _ in range(DATAGRAMS_MAX):
            try:
                data, (address, port) = one.recvfrom(READ_MAX)
            except BlockingIOError:
                break
            except OSError as error:  # told before the datagrams that came earlier, and only once
                refusal = error
                continue
            if one is self._beacons:
                self._learn(address)
            elif port != self._settings.port:  # it came before the device was known: anybody could send then
                continue
            if data and address == self._device:
                found.append((self._clock(), data))
        if refusal is not None:
            raise self._lost(refusal)

    def _learn(self, address: str) -> None:
        """Somebody has announced itself. LinkError: it is the second one, and the device is not named."""
        if self._settings.host:
            return
        if not self._announced:
            self._announced = address
            self._face(address)
        elif address != self._announced:
            self._rival = address
            self._refuse_two()


def _describe(settings: UdpSettings) -> str:
    if settings.host:
        return f"udp {settings.host}:{settings.port}"
    return f"udp, device that announces itself on {settings.beacon_port}"


def _ways(settings: UdpSettings) -> tuple[Way, ...]:
    line = Way("udp", "host", host=settings.host, port=settings.port)
    if not settings.beacon_port:
        return (line,)
    return line, Way("udp", "beacon_port", host=settings.host, port=settings.beacon_port, inbound=True)


LINK = LinkKind(
    name="udp",
    settings=UdpSettings,
    create=UdpLink,
    describe=_describe,
    resource=_describe,
    ways=_ways,
)
