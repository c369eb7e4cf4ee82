"""What the kernel says of a CAN controller: is it one, and does it only listen.

A controller that is not in listen-only mode acknowledges each frame that it hears, and after a wrong bit rate it
disturbs the bus. So a bus is opened only when the kernel says that its controller cannot send.

    RTM_GETLINK ─► kernel ─► RTM_NEWLINK: [nlmsghdr][ifinfomsg][attributes …]
                                          IFLA_LINKINFO { IFLA_INFO_KIND "can", IFLA_INFO_DATA { IFLA_CAN_CTRLMODE } }

Sources: include/uapi/linux/netlink.h (nlmsghdr, nlattr), rtnetlink.h, if_link.h (IFLA_*), can/netlink.h (IFLA_CAN_*,
struct can_ctrlmode, CAN_CTRLMODE_LISTENONLY); rtnetlink(7).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

RTM_NEWLINK, RTM_GETLINK, NLMSG_ERROR = 16, 18, 2
NLM_F_REQUEST = 1
IFLA_IFNAME, IFLA_LINKINFO, IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_CAN_CTRLMODE = 3, 18, 1, 2, 5
LISTEN_ONLY = 0x02
NESTED = 0x8000 | 0x4000  # flags in the type of an attribute
ANSWER_MAX = 64 * 1024
ANSWER_S = 1.0  # the kernel answers at once; every blocking call ends within 1 s
_HEAD, _INFO, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BxHiII"), struct.Struct("=HH")


@dataclass(frozen=True, slots=True)
class Controller:
    """kind: "can", or of what else the interface is; listen_only: None when the kernel says nothing of a mode."""

    kind: str
    listen_only: bool | None

    @property
    def fault(self) -> str:
        """Return why this bus may not be opened; "" when its controller only listens."""
        if self.kind != "can":
            return f"is no CAN controller ({self.kind or 'unknown kind'}), so nothing keeps it from sending"
        return "" if self.listen_only else "its controller is not in listen-only mode"


def question(name: str) -> bytes:
    """Return the request for one interface. Raises: ValueError for a name that cannot be one."""
    text = name.encode() + b"\0"
    if not 1 < len(text) <= 16:  # IFNAMSIZ, linux/if.h
        raise ValueError(f"{name!r} cannot be the name of an interface")
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(text), IFLA_IFNAME) + text
    attribute += bytes(-len(attribute) % 4)
    size = _HEAD.size + _INFO.size + len(attribute)
    return _HEAD.pack(size, RTM_GETLINK, NLM_F_REQUEST, 1, 0) + _INFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + attribute


def parse(answer: bytes) -> Controller:
    """Return what an answer says. Pure. Raises: OSError with the kernel's number, ValueError for what is no answer."""
    if len(answer) < _HEAD.size:
        raise ValueError("the answer ends too early")
    size, kind, *_ = _HEAD.unpack_from(answer)
    if not _HEAD.size <= size <= len(answer):
        raise ValueError("the answer has another size than it says")
    body = answer[_HEAD.size : size]
    if kind == NLMSG_ERROR and len(body) >= 4:
        number = -struct.unpack_from("=i", body)[0]
        raise OSError(number, os.strerror(number))
    if kind != RTM_NEWLINK or len(body) < _INFO.size:
        raise ValueError(f"the answer is of kind {kind}")
    info = dict(_attributes(dict(_attributes(body[_INFO.size :])).get(IFLA_LINKINFO, b"")))
    mode = dict(_attributes(info.get(IFLA_INFO_DATA, b""))).get(IFLA_CAN_CTRLMODE, b"")
    listen_only = bool(struct.unpack_from("=II", mode)[1] & LISTEN_ONLY) if len(mode) >= 8 else None
    return Controller(info.get(IFLA_INFO_KIND, b"").rstrip(b"\0").decode("ascii", "replace"), listen_only)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (type, value). Raises: ValueError for one that is longer than what holds it."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= size <= len(data) - at:
            raise ValueError("an attribute is longer than the answer")
        yield kind & ~NESTED, data[at + _ATTRIBUTE.size : at + size]
        at += size + -size % 4


def ask(name: str) -> bytes:
    """Ask the kernel for one interface; needs AF_NETLINK and no privilege. Raises: OSError, ValueError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as line:
        line.settimeout(ANSWER_S)
        line.bind((0, 0))
        line.sendto(question(name), (0, 0))
        return line.recv(ANSWER_MAX)


def listen_only(name: str) -> bool:
    """Tell whether the controller of a bus only listens, as the kernel says now. Raises: OSError, ValueError."""
    return not parse(ask(name)).fault


def fault_of(name: str) -> str:
    """Return why the bus `name` may not be opened, "" when it cannot send. What is not known is a fault."""
    try:
        return parse(ask(name)).fault
    except (OSError, ValueError) as fault:
        return f"nothing is known of its controller ({getattr(fault, 'strerror', None) or fault})"
