"""A UART and an RS-232 cable at the level of bits: what is sent at one setting, heard at another.

The line is a run of levels, one for each bit time of the sender (1 = mark, idle). A receiver looks for the edge of a
start bit and samples the middle of each bit at its own speed, as every UART does; a stop bit that is 0 is a framing
error. What it hears carries the marks of PARMRK, as from a tty.

After a framing error UARTs differ: one waits until the line is idle again ("edge"), another takes the 0 in the stop
bit's place as the next start bit ("at once", as the 16550 does). Both are modelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.core.protocol import Simulator
from gateway.doctor import Inputs

IDLE_BITS = 24  # before and after what is said at once


class Setting(NamedTuple):
    """One end's setting."""

    baud: int = 9600
    data_bits: int = 8
    parity: str = "none"
    stop_bits: int = 1

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Setting:
        """Return the setting in a line of a profile."""
        return cls(*(line.get(name, default) for name, default in cls._field_defaults.items()))


def parity_bit(value: int, parity: str) -> int:
    return (value.bit_count() & 1) ^ (parity == "odd")


def levels(data: bytes, setting: Setting, gap_bits: int = 0) -> bytes:
    """Return the levels of the line while `data` is sent, with idle bits after each character."""
    line = bytearray(b"\x01" * IDLE_BITS)
    for value in data:
        line.append(0)
        kept = value & ((1 << setting.data_bits) - 1)
        line += bytes(kept >> n & 1 for n in range(setting.data_bits))
        if setting.parity != "none":
            line.append(parity_bit(kept, setting.parity))
        line += b"\x01" * (setting.stop_bits + gap_bits)
    return bytes(line + b"\x01" * IDLE_BITS)


def receive(line: bytes, sender_baud: int, setting: Setting, resync: str = "edge") -> list[tuple[int, bool]]:
    """Return (character, damaged) of all that a receiver makes of the line."""
    ratio = sender_baud / setting.baud  # bits of the line in one bit of ours
    found: list[tuple[int, bool]] = []
    at, needs_edge = 0.0, True

    def level(time: float) -> int:
        return line[int(time)] if int(time) < len(line) else 1

    while True:
        if needs_edge:
            idle = line.find(1, int(at))
            start = line.find(0, idle) if idle >= 0 else -1
            if start < 0:
                return found
            at = float(max(start, at)) if line[int(at)] else float(start)
            if level(at + ratio / 2):  # shorter than half a bit: no start bit
                at += ratio / 2
                continue
        bits = [level(at + ratio * (n + 1.5)) for n in range(setting.data_bits + (setting.parity != "none") + 1)]
        value = sum(bit << n for n, bit in enumerate(bits[: setting.data_bits]))
        wrong = setting.parity != "none" and bits[-2] != parity_bit(value, setting.parity)
        found.append((value, wrong or not bits[-1]))
        at += ratio * (len(bits) + 0.5)  # the middle of the stop bit
        needs_edge = bool(bits[-1]) or resync == "edge"
        if not needs_edge:
            at -= ratio / 2  # the stop bit was a start bit: it began half a bit ago
        if at >= len(line):
            return found


def marked(heard: list[tuple[int, bool]]) -> bytes:
    """Return what a tty with PARMRK hands over."""
    return b"".join(b"\xff\x00%c" % v if bad else b"\xff\xff" if v == 0xFF else b"%c" % v for v, bad in heard)


def over(data: bytes, sender: Setting, receiver: Setting, gap_bits: int = 0, resync: str = "edge") -> bytes:
    """Return, with marks, what a receiver hears of `data`."""
    return marked(receive(levels(data, sender, gap_bits), sender.baud, receiver, resync))


CROSSED, STRAIGHT, NONE = "crossed", "straight", "none"


@dataclass
class Bench:
    """A device at the other end of a cable, in virtual time. Opens lines for the probe.

    device: the simulator, wired as DTE as we are; setting: of the device
    cable: CROSSED (null modem), STRAIGHT (transmitter on transmitter), NONE (nothing plugged in)
    echo: the adapter hears itself; on: the device is switched on; handshake: the adapter tells CTS, DSR, DCD
    """

    device: Simulator | None
    setting: Setting
    cable: str = CROSSED
    echo: bool = False
    on: bool = True
    handshake: bool = True
    resync: str = "edge"
    gap_bits: int = 0
    now: float = 100.0
    opened: list[Setting] = field(default_factory=list)
    written: list[bytes] = field(default_factory=list)

    def line(self, settings: Mapping[str, Any]) -> BenchLine:
        """Return the line at our setting; for gateway.probe."""
        return BenchLine(self, Setting.of(settings))

    @property
    def speaking(self) -> Simulator | None:
        return self.device if self.on else None


@dataclass
class BenchLine:
    """Implements ProbeLine on a Bench."""

    bench: Bench
    setting: Setting
    waiting: bytes = b""
    closed: bool = True

    def open(self) -> None:
        self.closed = False
        self.bench.opened.append(self.setting)

    def close(self) -> None:
        self.closed = True

    def write(self, data: bytes) -> None:
        assert not self.closed
        bench = self.bench
        bench.written.append(data)
        if bench.echo:
            self.waiting += over(data, self.setting, self.setting)
        if bench.speaking and bench.cable == CROSSED:
            heard = receive(levels(data, self.setting), self.setting.baud, bench.setting, bench.resync)
            bench.speaking.receive_data(bytes(value for value, bad in heard if not bad), bench.now)

    def read(self, timeout: float) -> list[tuple[int, bytes]]:
        assert not self.closed
        end = self.bench.now + timeout
        while not (raw := self._arrived()) and self.bench.now < end:
            device = self.bench.speaking
            wake = device.next_wake() if device else None
            self.bench.now = min(end, max(wake if wake is not None else end, self.bench.now + 0.001))
        self.bench.now += 1e-4  # also a read that finds something takes its time
        return [(round(self.bench.now * 1e9), raw)] if raw else []

    def _arrived(self) -> bytes:
        bench = self.bench
        raw, self.waiting = self.waiting, b""
        if bench.speaking:
            said = bench.speaking.data_to_send(bench.now)
            if said and bench.cable == CROSSED:
                raw += over(said, bench.setting, self.setting, bench.gap_bits, bench.resync)
        return raw

    def inputs(self) -> Inputs | None:
        """Two DTEs: the outputs of the other one reach our inputs through a null modem only."""
        driven = self.bench.on and self.bench.cable == CROSSED
        return Inputs(driven, driven, driven) if self.bench.handshake else None
