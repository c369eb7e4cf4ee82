"""Devices that keep a ledger of what they have said: `python ledger_device.py SPEC.json`, a process of its own.

Each device counts: its n-th line carries the number that `value_of(n)` gives, so every value is unique for its device
and a value that was never said is known as such. The line is that of the profile ledger/counter, read by the driver
ascii_line; it is protected by CRC-16/MODBUS, so of random damage 1 line in 65,536 passes.

The ledger is a file of lines, one per event, written with one write(2) *before* the bytes are on the wire:

    S n mono_ns utc_ns      said
    L n                     lost on the line: nobody took all of its bytes (nobody connected, or the buffer was full)

SPEC: {"devices": [{"name", "wire": "pty" | "tcp", "where": link path | port, "rate": lines/s, "ledger": path}]}.
Commands come on standard input, one line each, and each is answered with "ok":

    rate NAME X     so many lines a second from now on; 0: silent
    raw NAME HEX    put these bytes on the wire: they are no line of the ledger
    stick NAME 0|1  say the last line again and again, without counting (a stuck value)

Only the standard library is imported: the process starts in 50 ms and is not what is tested.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import time
import tty
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SPREAD = 1000  # of 1000 numbers one is a value: a damaged one is taken for another value once in 1000 times
BEHIND_S = 0.2  # a device that was stopped does not catch up on more than this
UNSENT_MAX = 65536  # bytes; what a TCP client has not taken beyond this is lost


def value_of(n: int) -> int:
    """Return the value of the n-th line."""
    return n * SPREAD + n * 7919 % SPREAD  # 7919: a prime, so that neighbours differ in the last digits


def n_of(value: float | None) -> int | None:
    """Return which line a value stands for; None: no device has ever said it."""
    if value is None or value != int(value):
        return None
    n = int(value) // SPREAD
    return n if n > 0 and value_of(n) == int(value) else None


def crc16(data: bytes) -> int:
    """Return CRC-16/MODBUS: polynomial 0xA001 reflected, begin 0xFFFF (MODBUS over serial line V1.02, 6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def line_of(n: int) -> bytes:
    """Return the bytes of the n-th line."""
    body = b"%d" % value_of(n)
    return b"\x02%b*%04X\r\n" % (body, crc16(body))


class PtyWire:
    """A pseudo-terminal with a link to it. Its other end stays open here, so bytes wait there as in a UART."""

    def __init__(self, link: str) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self._master, False)
        draft = link + ".new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        os.symlink(os.ttyname(slave), draft)
        os.replace(draft, link)

    def fds(self) -> list[int]:
        return [self._master]

    def ready(self, _fd: int) -> None:
        """Read and forget what the gateway says."""
        with contextlib.suppress(OSError):
            os.read(self._master, 4096)

    def put(self, data: bytes) -> bool:
        """Tell whether all of it went out."""
        try:
            return os.write(self._master, data) == len(data)
        except BlockingIOError:
            return False


class TcpWire:
    """A listening socket on loopback for one client; a new client takes the place of the old."""

    def __init__(self, port: str) -> None:
        self._server = socket.create_server(("127.0.0.1", int(port)))
        self._client: socket.socket | None = None
        self._unsent = b""

    def fds(self) -> list[int]:
        return [self._server.fileno(), *([self._client.fileno()] if self._client else [])]

    def ready(self, fd: int) -> None:
        """Take a client, or read and forget what it says."""
        if fd == self._server.fileno():
            self._drop()
            self._client = self._server.accept()[0]
            self._client.setblocking(False)
        elif self._client:
            try:
                gone = not self._client.recv(4096)
            except BlockingIOError:
                return
            except OSError:
                gone = True
            if gone:
                self._drop()

    def put(self, data: bytes) -> bool:
        """Tell whether the system has taken all of it, or will."""
        if self._client is None or len(self._unsent) > UNSENT_MAX:
            return False
        self._unsent += data
        try:
            self._unsent = self._unsent[self._client.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._drop()
            return False
        return True

    def _drop(self) -> None:
        if self._client:
            self._client.close()
        self._client, self._unsent = None, b""


@dataclass
class Device:
    """One device. due: monotonic seconds of its next line."""

    name: str
    wire: PtyWire | TcpWire
    ledger: int
    rate: float
    n: int = 0
    due: float = 0.0
    stuck: bool = False

    def speak(self, now: float) -> None:
        """Say the lines that are due."""
        if self.rate <= 0:
            return
        self.due = max(self.due, now - BEHIND_S)
        while self.due <= now:
            self.due += 1 / self.rate
            if self.stuck:
                self.wire.put(line_of(self.n))
                continue
            self.n += 1
            os.write(self.ledger, b"S %d %d %d\n" % (self.n, time.monotonic_ns(), time.time_ns()))
            if not self.wire.put(line_of(self.n)):
                os.write(self.ledger, b"L %d\n" % self.n)

    def order(self, what: str, value: str) -> None:
        """Do what a command says."""
        if what == "rate":
            self.rate, self.due = float(value), time.monotonic()
        elif what == "raw":
            self.wire.put(bytes.fromhex(value))
        elif what == "stick":
            self.stuck = value == "1"


def make(spec: dict[str, Any]) -> Device:
    """Return a device with its wire; a ledger that is there is continued, its numbers too."""
    ledger = Path(spec["ledger"])
    last = 0
    if ledger.exists():
        said = [line.split()[1] for line in ledger.read_text().splitlines() if line.startswith("S ")]
        last = int(said[-1]) if said else 0
    wire = PtyWire(spec["where"]) if spec["wire"] == "pty" else TcpWire(spec["where"])
    fd = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return Device(spec["name"], wire, fd, float(spec["rate"]), last, time.monotonic())


def main(path: str) -> None:
    """Run until standard input ends: then whoever started this is gone."""
    devices = {d["name"]: make(d) for d in json.loads(Path(path).read_text())["devices"]}
    print("ready", flush=True)
    pending = b""
    while True:
        now = time.monotonic()
        for device in devices.values():
            device.speak(now)
        due = [device.due for device in devices.values() if device.rate > 0]
        wait = max(0.0, min(due) - time.monotonic()) if due else 1.0
        places = {fd: device.wire for device in devices.values() for fd in device.wire.fds()}
        readable = select.select([0, *places], [], [], wait)[0]
        for fd in readable:
            if fd:
                places[fd].ready(fd)
        if 0 in readable:
            data = os.read(0, 4096)
            if not data:
                return
            *orders, pending = (pending + data).split(b"\n")
            for order in orders:
                what, name, value = order.decode().split()
                devices[name].order(what, value)
                print("ok", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
