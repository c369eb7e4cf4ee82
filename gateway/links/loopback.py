"""An in-process line with two ends, for tests and the demo: what one end writes, the other reads, piece by piece.

It behaves like a cable with a device on it. The device's end is the plug: while it is closed, the gateway's end cannot
be opened, and when it closes, the gateway's end reads what was still on the wire and then fails, as with a pulled USB
plug. The device does not notice whether a gateway listens, as on RS-232: what it says then is lost.

Each write arrives as one piece, so a CAN simulator writes its can_frame records one by one.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from weakref import WeakValueDictionary

from gateway.core.errors import LinkError
from gateway.core.settings import Settings, setting
from gateway.links.base import Clock, LinkKind

WIRE_MAX = 1024 * 1024  # bytes on the way to one end: more means that nobody reads, so writing fails


class Side(IntEnum):
    """The two ends of a wire."""

    DEVICE = 0
    GATEWAY = 1


@dataclass(frozen=True)
class LoopbackSettings(Settings):
    """Settings of an in-process line."""

    name: str = field(metadata=setting("Name of the line; a simulator in this process opens the other end."))


class _Wire:
    """What both ends share, guarded by `changed`: which end is open, and the pieces on the way to each end."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.open = [False, False]
        self.pieces: tuple[deque[bytes], deque[bytes]] = (deque(), deque())


_wires: WeakValueDictionary[str, _Wire] = WeakValueDictionary()
_wires_lock = threading.Lock()


class LoopbackEnd:
    """Implements Link on one end of the wire of that name in this process."""

    def __init__(self, name: str, side: Side, clock: Clock) -> None:
        with _wires_lock:
            self._wire = _wires.setdefault(name, _Wire())
        self._where = f"loopback {name}"
        self._side = side
        self._peer = Side(1 - side)
        self._clock = clock

    def open(self) -> None:
        """Plug in. LinkError: there is no device at the other end."""
        with self._wire.changed:
            if self._side is Side.GATEWAY and not self._wire.open[Side.DEVICE]:
                raise LinkError("nothing at the other end", self._where, "start the simulator")
            self._wire.pieces[self._side].clear()
            self._wire.open[self._side] = True

    def close(self) -> None:
        """Unplug; wake whoever reads at either end."""
        with self._wire.changed:
            self._wire.open[self._side] = False
            self._wire.changed.notify_all()

    def read(self, timeout: float) -> list[tuple[int, bytes]]:
        """Return the pieces that have come, or []. LinkError: this end is closed, or the device is gone."""
        incoming = self._wire.pieces[self._side]
        with self._wire.changed:
            self._wire.changed.wait_for(lambda: incoming or self._cut(), timeout)
            if self._cut() and not (incoming and self._wire.open[self._side]):
                raise LinkError(self._cut(), self._where)
            now = self._clock()
            taken = [(now, piece) for piece in incoming]
            incoming.clear()
            return taken

    def write(self, data: bytes) -> None:
        """Put one piece on the wire. LinkError: this end is closed, the device is gone, or nobody reads."""
        outgoing = self._wire.pieces[self._peer]
        with self._wire.changed:
            if self._cut():
                raise LinkError(self._cut(), self._where)
            if not self._wire.open[self._peer] or not data:
                return
            if sum(map(len, outgoing)) + len(data) > WIRE_MAX:
                raise LinkError(f"{WIRE_MAX} bytes wait and nobody reads them", self._where)
            outgoing.append(bytes(data))
            self._wire.changed.notify_all()

    def _cut(self) -> str:
        """Return why nothing more can come to this end, or ""."""
        if not self._wire.open[self._side]:
            return "the link is closed"
        return "the device is gone" if self._side is Side.GATEWAY and not self._wire.open[Side.DEVICE] else ""


LINK = LinkKind(
    name="loopback",
    settings=LoopbackSettings,
    create=lambda settings, clock: LoopbackEnd(settings.name, Side.GATEWAY, clock),
    describe=lambda settings: f"loopback {settings.name}",
    resource=lambda settings: f"loopback {settings.name}",
)
