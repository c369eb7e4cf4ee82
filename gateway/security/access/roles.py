"""The role of whoever is at the other end of a unix socket, as the kernel knows it. No password, no name that is told.

The groups are those of the process (SO_PEERGROUPS), and of those only the ones that its account still has: who was
taken out of a group loses the role at once, and a process that gave a group up does not get it back.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from gateway.config_security import AccessSettings

SO_PEERGROUPS = 59  # <asm-generic/socket.h>, since Linux 4.13; not in Python's socket module
_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid
_MOST_GROUPS = 256  # Python asks the kernel for 1024 bytes at most; a process in more groups has only its first one


class Role(IntEnum):
    """Each may what those below it may."""

    NOBODY = 0
    VIEWER = 1
    OPERATOR = 2
    APPROVER = 3
    ADMINISTRATOR = 4

    @property
    def word(self) -> str:
        """The role in one word."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection. name: of the account, "uid-1234" when it has none."""

    pid: int
    uid: int
    name: str
    groups: frozenset[int]


def peer_of(connection: socket.socket) -> Peer:
    """Ask the kernel. Raises: OSError."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    try:
        more = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 4 * _MOST_GROUPS)
    except OSError as fault:
        if fault.errno != errno.ERANGE:
            raise
        more = b""
    groups = {gid, *(value for (value,) in struct.iter_unpack("I", more))}
    try:
        account = pwd.getpwuid(uid)
    except KeyError:  # an account that this box does not know: what the kernel says is all there is
        return Peer(pid, uid, f"uid-{uid}", frozenset(groups))
    return Peer(pid, uid, account.pw_name, frozenset(groups & set(os.getgrouplist(account.pw_name, account.pw_gid))))


def role_of(peer: Peer, settings: AccessSettings, granted: Mapping[int, Role] | None = None) -> Role:
    """Return the highest role of a peer. granted: uid -> role by break-glass. root is administrator: it can do all."""
    if peer.uid == 0:
        return Role.ADMINISTRATOR
    ranks: Sequence[tuple[Role, tuple[str, ...]]] = (
        (Role.ADMINISTRATOR, settings.administrators),
        (Role.APPROVER, settings.approvers),
        (Role.OPERATOR, settings.operators),
        (Role.VIEWER, settings.viewers),
    )
    own = next((role for role, names in ranks if any(_number(name) in peer.groups for name in names)), Role.NOBODY)
    return max(own, (granted or {}).get(peer.uid, Role.NOBODY))


def _number(name: str) -> int:
    """Return the id of a group; -1 for one that this box does not have, which is nobody's."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return int(name) if name.isdecimal() else -1
