"""The shell around a simulator: gives the sans-IO device of a driver a wire that a gateway can open.

    Pty          a serial line: /dev/pts/N, with a link of your own name to it
    TcpServer    a device on the network, loopback only; one client at a time
    UdpServer    the same in datagrams; it announces itself while nobody speaks to it
    CanBus       a CAN bus: the simulator's can_frame records as a socketcand daemon on loopback

A wire is a context manager; `serve` runs device and wire in one thread until told to stop. A simulated device loses
what nobody reads, as a real one does (write). A replay must lose nothing: it waits for somebody to listen (listening),
for room (write_some) and at the end until all has been read (drained).
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import sys
import termios
import threading
import time
import tty
from pathlib import Path
from typing import Protocol, Self

from gateway.core.errors import ConfigError, LinkError
from gateway.core.protocol import Simulator
from gateway.socketcand_server import SocketcandServer

READ_MAX = 65536
UNSENT_MAX = 1 << 20  # bytes; a client that is so far behind does not read: it is let go
PIECE = 4096  # bytes taken at once by write_some, about what a pseudo-terminal holds
CLIENT_S = 10.0  # a client of datagrams that has been silent for so long is gone: drivers keep alive more often


class Wire(Protocol):
    """The device's end of a line."""

    where: str

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def read(self, timeout: float) -> bytes:
        """Return what the gateway wrote, b"" after `timeout` seconds or earlier."""

    def write(self, data: bytes) -> None:
        """Put the device's bytes on the line; nobody there: they are lost, as on a cable."""

    def write_some(self, data: bytes) -> int:
        """Put on the line what fits now; return how many bytes that was. 0: nobody there, or no room."""

    def listening(self) -> bool:
        """Return whether somebody has opened the line and takes what comes."""

    def drained(self) -> bool:
        """Return whether all that was written has been taken."""


class Pty:
    """A pseudo-terminal in raw mode. link: a path that points to it, so that a configuration can name it."""

    def __init__(self, link: Path | None = None) -> None:
        self._link = link

    def __enter__(self) -> Self:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self._slave = slave  # kept open: a pty whose last opener has gone reads as unplugged
        self._untouched = termios.tcgetattr(slave)
        self.where = os.ttyname(slave)
        os.set_blocking(self._master, False)
        if self._link:
            self._name(self._link)
            self.where = str(self._link)
        return self

    def _name(self, link: Path) -> None:
        """Make the link. Raises: ConfigError. What a person keeps under that name is never replaced."""
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            if link.is_symlink() and os.readlink(link).startswith("/dev/pts/"):
                link.unlink()  # left behind by an earlier one
            link.symlink_to(self.where)
        except OSError as fault:
            self._close()
            raise ConfigError(f"cannot be made a link: {fault.strerror}", str(link), "name a new path") from fault

    def _close(self) -> None:
        os.close(self._slave)
        os.close(self._master)

    def __exit__(self, *_: object) -> None:
        if self._link:
            self._link.unlink(missing_ok=True)
        self._close()

    def read(self, timeout: float) -> bytes:
        """See Wire."""
        if not select.select([self._master], [], [], timeout)[0]:
            return b""
        try:
            return os.read(self._master, READ_MAX)
        except OSError:  # nobody has the other end open
            return b""

    def write(self, data: bytes) -> None:
        """See Wire. A line that nobody reads fills up; what does not fit is lost, old bytes go first."""
        while data and (taken := self.write_some(data)):
            data = data[taken:]
        if data:
            termios.tcflush(self._slave, termios.TCIFLUSH)

    def write_some(self, data: bytes) -> int:
        """See Wire."""
        try:
            return os.write(self._master, data)
        except BlockingIOError:
            return 0

    def writable(self, timeout: float) -> bool:
        """Wait until something fits again."""
        return bool(select.select([], [self._master], [], timeout)[1])

    def listening(self) -> bool:
        """See Wire. Whoever opens a serial line sets it up; a program that leaves it as it is, is not noticed."""
        return termios.tcgetattr(self._slave) != self._untouched

    def drained(self) -> bool:
        """See Wire."""
        return not self.unread()

    def unread(self) -> int:
        """Return how many bytes the gateway has not read yet."""
        return int.from_bytes(fcntl.ioctl(self._slave, termios.FIONREAD, bytes(4)), sys.byteorder)


class TcpServer:
    """A listening socket on loopback that serves one client at a time; a new client takes the place of the old."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._address = (host, port)
        self._client: socket.socket | None = None
        self._unsent = b""

    def __enter__(self) -> Self:
        try:
            self._server = socket.create_server(self._address)
        except OSError as fault:
            where = f"{self._address[0]}:{self._address[1]}"
            raise LinkError(f"cannot listen: {fault.strerror}", where, "choose a free port") from fault
        self.port = self._server.getsockname()[1]
        self.where = f"{self._address[0]}:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()
        self._server.close()

    def read(self, timeout: float) -> bytes:
        """See Wire."""
        self._push()
        waiting = [self._server] if self._client is None else [self._server, self._client]
        ready = select.select(waiting, [], [], timeout)[0]
        if self._server in ready:
            self._drop()
            self._client, _ = self._server.accept()
            self._client.setblocking(False)
            self._connected()
        elif self._client in ready:
            return self._receive()
        return b""

    def write(self, data: bytes) -> None:
        """See Wire."""
        if self._client is None or not data:
            return
        self._unsent += data
        self._push()
        if len(self._unsent) > UNSENT_MAX:
            self._drop()

    def write_some(self, data: bytes) -> int:
        """See Wire."""
        self._push()
        if self._unsent or not self.listening():
            return 0
        self.write(data[:PIECE])
        return len(data[:PIECE])

    def listening(self) -> bool:
        """See Wire."""
        return self._client is not None

    def drained(self) -> bool:
        """See Wire. Taken means: the client's system has it (SIOCOUTQ, tcp(7))."""
        self._push()
        if self._client is None:
            return True
        waiting = fcntl.ioctl(self._client, termios.TIOCOUTQ, bytes(4))  # the same number as SIOCOUTQ
        return not self._unsent and not any(waiting)

    def _push(self) -> None:
        """Send what goes out without waiting."""
        if self._client is None or not self._unsent:
            return
        try:
            self._unsent = self._unsent[self._client.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:  # gone: the device goes on without it
            self._drop()

    def _receive(self) -> bytes:
        assert self._client is not None
        try:
            data = self._client.recv(READ_MAX)
        except OSError:
            data = b""
        if not data:
            self._drop()
        return data

    def _connected(self) -> None:
        """A client is there."""

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        self._unsent = b""


class UdpServer:
    """A device on the network, loopback only, that speaks in datagrams: what is written at once is one.

    It serves whoever spoke to it last. beacon_port: while nobody does, what it says goes to this port of loopback,
    where a gateway listens for devices that announce themselves; 0: it is lost.
    """

    def __init__(self, port: int, beacon_port: int = 0, host: str = "127.0.0.1") -> None:
        self._address = (host, port)
        self._beacon_port = beacon_port
        self._client: tuple[str, int] | None = None
        self._heard_at = 0.0

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind(self._address)
        except OSError as fault:
            self._socket.close()
            where = f"{self._address[0]}:{self._address[1]}"
            raise LinkError(f"cannot listen: {fault.strerror}", where, "choose a free port") from fault
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        self.where = f"{self._address[0]}:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def read(self, timeout: float) -> bytes:
        """See Wire. One datagram at a time."""
        if not select.select([self._socket], [], [], timeout)[0]:
            return b""
        data, self._client = self._socket.recvfrom(READ_MAX)
        self._heard_at = time.monotonic()
        return data

    def write(self, data: bytes) -> None:
        """See Wire."""
        to = self._client if self.listening() else (self._address[0], self._beacon_port)
        if data and to and to[1]:
            self._socket.sendto(data, to)  # nobody there: lost, the system says nothing

    def write_some(self, data: bytes) -> int:
        """See Wire. All or nothing: a datagram is never split."""
        if not self.listening():
            return 0
        self.write(data)
        return len(data)

    def listening(self) -> bool:
        """See Wire. A client is there as long as it says something."""
        return self._client is not None and time.monotonic() - self._heard_at < CLIENT_S

    def drained(self) -> bool:
        """See Wire. A datagram on loopback is with its receiver, or lost, as soon as it is sent."""
        return True


class CanBus(TcpServer):
    """A CAN bus on loopback: what is written are can_frame records, what a client sees is a socketcand daemon."""

    def __init__(self, port: int, channel: str = "can0") -> None:
        super().__init__(port)
        self._channel = channel
        self._connected()

    def _connected(self) -> None:
        self._records = Outbox()
        self._daemon = SocketcandServer(self._records, self._channel, time.time() - time.monotonic())

    def read(self, timeout: float) -> bytes:
        """Answer commands; nothing that a client sends reaches the simulated devices."""
        wake = self._daemon.next_wake()
        now = time.monotonic()
        self._daemon.receive_data(super().read(timeout if wake is None else min(timeout, max(0.0, wake - now))), now)
        self._flush()
        return b""

    def write(self, data: bytes) -> None:
        """See Wire."""
        if self.listening():  # before that the bus is not open: what is on it then, nobody hears
            self._records.data += data
        self._flush()

    def listening(self) -> bool:
        """See Wire. A client listens once it has opened the bus."""
        return self._client is not None and self._records.asked

    def drained(self) -> bool:
        """See Wire."""
        self._flush()
        return not self._records.data and super().drained()

    def _flush(self) -> None:
        super().write(self._daemon.data_to_send(time.monotonic()))
        if self._daemon.closed:
            self._drop()


class Outbox:
    """A simulator that says what was put into it."""

    def __init__(self) -> None:
        self.data = b""
        self.asked = False  # somebody has listened

    def receive_data(self, data: bytes, now: float) -> None:
        """A listener has nothing to say to the bus."""

    def data_to_send(self, now: float) -> bytes:  # noqa: ARG002  # the contract's signature
        """Return and forget what was put in."""
        self.asked = True
        data, self.data = self.data, b""
        return data

    def next_wake(self) -> float | None:
        """At once when there is something."""
        return 0.0 if self.data else None


def serve(simulator: Simulator, wire: Wire, stop: threading.Event) -> None:
    """Run the device on an entered wire until `stop`."""
    while not stop.is_set():
        now = time.monotonic()
        wire.write(simulator.data_to_send(now))
        wake = simulator.next_wake()
        wait = 0.5 if wake is None else min(0.5, max(0.0, wake - time.monotonic()))
        data = wire.read(wait)
        if data:
            simulator.receive_data(data, time.monotonic())
