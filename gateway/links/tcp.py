"""TCP client: device servers (serial to Ethernet), Modbus TCP, simulators.

A line that says nothing for long is normal at a bed, a dead one must not look like it: keep-alive probes find a peer
that vanished without a word (power, cable) within KEEP_IDLE_S + KEEP_INTERVAL_S * KEEP_COUNT = 25 s; TCP_USER_TIMEOUT
does the same while bytes wait to be acknowledged, where keep-alive is silent (tcp(7)).
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from gateway.core.errors import LinkError
from gateway.core.settings import Settings, setting
from gateway.core.way import Way
from gateway.links.base import Clock, LinkKind
from gateway.links.descriptor import DescriptorLink

CONNECT_TIMEOUT_S = 1.0  # every blocking call ends within 1 s (architecture, Threads)
KEEP_IDLE_S = 10
KEEP_INTERVAL_S = 5
KEEP_COUNT = 3
USER_TIMEOUT_MS = 1000 * (KEEP_IDLE_S + KEEP_INTERVAL_S * KEEP_COUNT)


@dataclass(frozen=True)
class TcpSettings(Settings):
    """Settings of a TCP connection to a device or a device server."""

    host: str = field(
        metadata=setting("Address of the device. A name works too, but a slow name server then delays this port.")
    )
    port: int = field(metadata=setting("TCP port of the device.", low=1, high=65535))


class TcpLink(DescriptorLink):
    """Implements Link on a TCP connection."""

    gone = "the other side closed the connection"

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        super().__init__(f"{host}:{port}", clock)
        self._address = (host, port)
        self._socket: socket.socket | None = None

    def _attach(self) -> int:
        try:
            self._socket = _connect(self._address)
        except TimeoutError as error:
            raise LinkError(f"no answer within {CONNECT_TIMEOUT_S:g} s", self._where) from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that cannot be one
            raise LinkError(f"no connection: {getattr(error, 'strerror', None) or error}", self._where) from error
        return self._socket.fileno()

    def _detach(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _connect(address: tuple[str, int]) -> socket.socket:
    """Return a connected socket that does not block. OSError: no connection."""
    line = socket.create_connection(address, CONNECT_TIMEOUT_S)
    try:
        line.setblocking(False)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # polls are small and answers are awaited
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_IDLE_S)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEP_INTERVAL_S)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEP_COUNT)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    except OSError:
        line.close()
        raise
    return line


def _address(settings: TcpSettings) -> str:
    return f"{settings.host}:{settings.port}"


LINK = LinkKind(
    name="tcp",
    settings=TcpSettings,
    create=lambda settings, clock: TcpLink(settings.host, settings.port, clock),
    describe=_address,
    resource=_address,
    ways=lambda settings: (Way("tcp", "host", host=settings.host, port=settings.port),),
)
