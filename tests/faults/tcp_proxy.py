"""A network that can be hurt: a TCP proxy in user space between gateway and broker, in a thread of the test.

The kernel's own tools for this (netem, tbf) are not on every machine; this needs none and no rights.

    with TcpProxy(rig.proxy_port, rig.broker_port, seed=7) as net:
        net.profile = Profile(latency_s=1.0, jitter_s=0.5)
        net.profile = Profile(drop=True)                  partition: nothing passes, nobody is told
        net.profile = Profile(up=False)                   half open: only the broker's bytes pass
        net.reset()                                       every connection ends with RST
        net.run([Step(2.0, Profile(latency_s=1.0)), Step(3.0, Profile(drop=True)), Step(0.0, HEALTHY)])

TCP has taken responsibility for bytes that the proxy's own system has acknowledged, so dropped bytes are not dropped
from the middle of a stream: they wait, and pass when the profile lets them, as with retransmission after a partition.
With `forget` they never do: the connection is dead without a word from then on (a router that has lost its table).
"""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
READ_BYTES = 16384
WAITING_MAX = 262144  # bytes of one direction; beyond it nothing is read: the sender's window closes, as in a stall
LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Profile:
    """How the network is now. up: gateway to broker; down: broker to gateway.

    latency_s, jitter_s: each piece waits latency + up to jitter, in order; rate: bytes per second and direction, 0 = no
    limit; stall: chance of each piece to hold its direction for stall_s; drop: nothing passes now, new connections get
    no answer; forget: connections that say something now are dead for ever; refuse: new connections are reset.
    """

    up: bool = True
    down: bool = True
    latency_s: float = 0.0
    jitter_s: float = 0.0
    rate: float = 0.0
    stall: float = 0.0
    stall_s: float = 1.0
    drop: bool = False
    forget: bool = False
    refuse: bool = False


HEALTHY = Profile()


@dataclass(frozen=True, slots=True)
class Step:
    """So many seconds of a profile, in a script. The profile of the last one stays."""

    seconds: float
    profile: Profile


@dataclass
class _Way:
    """One direction of one connection: pieces with the time at which they may pass."""

    to: socket.socket
    upward: bool
    pieces: deque[tuple[float, bytes]] = field(default_factory=deque)
    waiting: int = 0
    held_until: float = 0.0
    ended: bool = False
    dead: bool = False


class TcpProxy:
    """See the module text. connections: how many have been made through it."""

    def __init__(self, port: int, target: int, seed: int = 0) -> None:
        self.profile = HEALTHY
        self.connections = 0
        self.passed = 0  # bytes, both directions
        self._target = target
        self._random = random.Random(seed)
        self._server = socket.create_server((HOST, port))
        self._server.setblocking(False)
        self._ways: dict[socket.socket, _Way] = {}
        self._silent: list[socket.socket] = []  # accepted by the system during a partition; nobody answers
        self._selector = selectors.DefaultSelector()
        self._reset = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tcp-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._selector.register(self._server, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        for end in [*self._ways, *self._silent, self._server]:
            end.close()
        self._selector.close()

    def reset(self) -> None:
        """End every connection with RST."""
        self._reset.set()

    def run(self, script: Sequence[Step]) -> None:
        """Do a script and return."""
        for step in script:
            self.profile = step.profile
            self._stop.wait(step.seconds)

    # ---- the thread

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(LOOK_S):
                end = key.fileobj
                assert isinstance(end, socket.socket)
                if end is self._server:
                    self._accept()
                elif end in self._ways:
                    self._take(end)
            if self._reset.is_set():
                self._reset.clear()
                for end in [*self._ways, *self._silent]:
                    self._close(end, hard=True)
            self._pass_on(time.monotonic())

    def _accept(self) -> None:
        client, _ = self._server.accept()
        profile = self.profile
        if profile.refuse:
            _rst(client)
            return
        if profile.drop or profile.forget:
            self._silent.append(client)
            return
        try:
            broker = socket.create_connection((HOST, self._target), 1.0)
        except OSError:
            _rst(client)
            return
        self.connections += 1
        for end, other, upward in ((client, broker, True), (broker, client, False)):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._ways[end] = _Way(other, upward)
            self._selector.register(end, selectors.EVENT_READ)

    def _take(self, end: socket.socket) -> None:
        way, profile = self._ways[end], self.profile
        if way.waiting > WAITING_MAX:
            return
        try:
            data = end.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._close(end, hard=True)
            return
        if not data:
            way.ended = True
            self._selector.unregister(end)
            return
        if profile.forget:
            self._ways[way.to].dead = way.dead = True
        if way.dead:
            return
        at = time.monotonic() + profile.latency_s + profile.jitter_s * self._random.random()
        at = max(at, way.pieces[-1][0] if way.pieces else 0.0)  # order is kept
        way.pieces.append((at, data))
        way.waiting += len(data)

    def _pass_on(self, now: float) -> None:
        profile = self.profile
        for end, way in list(self._ways.items()):
            if profile.drop or not (profile.up if way.upward else profile.down):
                continue
            while way.pieces and way.pieces[0][0] <= now and way.held_until <= now and end in self._ways:
                self._send(way, now, profile)
            if way.ended and not way.pieces and end in self._ways:
                self._close(end)

    def _send(self, way: _Way, now: float, profile: Profile) -> None:
        at, data = way.pieces.popleft()
        most = max(1, int(profile.rate * 0.1)) if profile.rate else len(data)  # a tenth of a second at once
        try:
            sent = way.to.send(data[:most])
        except BlockingIOError:
            sent = 0
            way.held_until = now + LOOK_S
        except OSError:
            self._close(way.to, hard=True)
            return
        way.waiting -= sent
        self.passed += sent
        if data[sent:]:
            way.pieces.appendleft((at, data[sent:]))
        if profile.rate and sent:
            way.held_until = now + sent / profile.rate
        if profile.stall and self._random.random() < profile.stall:
            way.held_until = now + profile.stall_s

    def _close(self, end: socket.socket, hard: bool = False) -> None:
        """Close both ends of a connection."""
        way = self._ways.pop(end, None)
        if end in self._silent:
            self._silent.remove(end)
        for each in (end, way.to) if way else (end,):
            self._ways.pop(each, None)
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(each)
            if hard:
                _rst(each)
            else:
                each.close()


def _rst(end: socket.socket) -> None:
    """Close with RST: SO_LINGER of 0 s (socket(7))."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
