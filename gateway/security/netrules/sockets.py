"""What is really open: /proc/net/{tcp,tcp6,udp,udp6} -> sockets -> those that no way allows. Pure; proc(5)."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.security.netrules.ways import GATEWAY, PEER, Way

LISTEN, ESTABLISHED, SYN_SENT, CLOSE = 10, 1, 2, 7  # include/net/tcp_states.h; an unconnected UDP socket is "close"
SPEAKING = (ESTABLISHED, SYN_SENT)
FILES = ("tcp", "tcp6", "udp", "udp6")


@dataclass(frozen=True, order=True)
class Socket:
    """One socket. protocol: tcp or udp; user: name, or the number of a user that has none."""

    protocol: str
    local: str
    local_port: int
    remote: str
    remote_port: int
    state: int
    user: str

    @property
    def listens(self) -> bool:
        """Tell whether anybody may send to it."""
        return self.state == (LISTEN if self.protocol == "tcp" else CLOSE)

    def __str__(self) -> str:
        there = "" if self.listens else f" to {_end(self.remote, self.remote_port)}"
        return f"{self.protocol} {_end(self.local, self.local_port)}{there}, user {self.user}"


def _end(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def parse(name: str, content: str, uids: Mapping[str, int]) -> Iterator[Socket]:
    """Yield the sockets of one file of /proc/net. Lines that are none are passed over."""
    users = {str(number): user for user, number in uids.items()}
    for row in content.splitlines()[1:]:
        cells = row.split()
        if len(cells) < 8:
            continue
        (local, local_port), (remote, remote_port) = _address(cells[1]), _address(cells[2])
        user = users.get(cells[7], cells[7])
        yield Socket(name.rstrip("6"), local, local_port, remote, remote_port, int(cells[3], 16), user)


def _address(cell: str) -> tuple[str, int]:
    """Return address and port. The kernel prints words of 32 bit in the order of its machine."""
    words, port = cell.split(":")
    raw = b"".join(int(words[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(words), 8))
    address = ipaddress.ip_address(raw)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address), int(port, 16)


def undeclared(sockets: Iterable[Socket], ways: Iterable[Way]) -> list[Socket]:
    """Return the sockets that no way allows. What stays on this box (loopback) is nobody's network."""
    listed = list(ways)
    return sorted({s for s in sockets if not _local(s) and not any(_allows(way, s) for way in listed)})


def _local(socket: Socket) -> bool:
    here, there = ipaddress.ip_address(socket.local), ipaddress.ip_address(socket.remote)
    if socket.listens:
        return here.is_loopback
    return there.is_loopback or socket.state not in SPEAKING


def _allows(way: Way, socket: Socket) -> bool:
    if way.protocol != socket.protocol:
        return False
    inside = any(_in(socket.remote, network) for network in way.addresses)
    if socket.listens:
        # Over UDP the one who asks has an open socket, too, until it is connected: any port, but only of its user.
        asks = way.protocol == "udp" and way.initiator == GATEWAY and socket.user in way.users
        return asks or (way.initiator == PEER and socket.local_port == way.port)
    if way.initiator == PEER:
        return inside and socket.local_port == way.port
    return inside and socket.remote_port == way.port and socket.user in way.users


def _in(address: str, network: str) -> bool:
    host: Any = ipaddress.ip_address(address)
    return host in ipaddress.ip_network(network)
