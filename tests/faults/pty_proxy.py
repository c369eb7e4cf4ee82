"""A serial line that can be hurt: between a ledger device and the gateway, in a thread of the test.

    with PtyProxy(rig.wires["d1"], rig.gateway_end(device), seed=7) as line:
        line.noise = Noise(bit=1e-4, drop=1e-4, double=1e-4, split=True)
        line.unplug(); line.plug()

Unplugging closes the master: the gateway's next read ends, as with an adapter that is pulled. Plugging in makes a new
pseudo-terminal (another /dev/pts number, as ttyUSB0 comes back as ttyUSB1) behind the same name, as udev does.
The same seed hurts the same bytes of the same stream.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import select
import threading
import tty
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.faults.ledger_device import n_of

READ_BYTES = 4096
LOOK_S = 0.05  # how soon an order is seen


@dataclass(frozen=True, slots=True)
class Noise:
    """Chances, each of one bit or byte. split: what is read at once is handed on in pieces of chance."""

    bit: float = 0.0
    drop: float = 0.0
    double: float = 0.0
    split: bool = False


@dataclass
class Hurt:
    """What has been done so far."""

    bytes: int = 0
    bits_flipped: int = 0
    dropped: int = 0
    doubled: int = 0


class PtyProxy:
    """See the module text. device: path of the device's line; link: the name that the gateway opens."""

    def __init__(self, device: str, link: str, seed: int = 0) -> None:
        self.noise = Noise()
        self.hurt = Hurt()
        self.damaged: set[int] = set()  # numbers of the lines that were not handed on as they were said
        self._line = bytearray()  # what the device has said of the current line
        self._line_hurt = False
        self._random = random.Random(seed)
        self._device = device
        self._link = Path(link)
        self._lock = threading.Lock()
        self._ends: tuple[int, int] | None = None  # master, slave: kept open so that bytes wait as in a UART
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pty-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._source = os.open(self._device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._source)
        self.plug()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.unplug()
        os.close(self._source)

    def plug(self) -> None:
        """Plug in: a new pseudo-terminal behind the old name."""
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        draft = self._link.with_name(self._link.name + ".new")
        draft.unlink(missing_ok=True)
        draft.symlink_to(os.ttyname(slave))
        os.replace(draft, self._link)
        with self._lock:
            assert self._ends is None, "it is plugged in"
            self._ends = (master, slave)

    def unplug(self) -> None:
        """Pull the cable: the name is gone, the open line ends. What the device says meanwhile is lost."""
        with self._lock:
            ends, self._ends = self._ends, None
        if ends:
            self._link.unlink(missing_ok=True)
            for end in ends:
                os.close(end)

    # ---- the thread

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                master = self._ends[0] if self._ends else None
            readable = select.select([self._source], [], [], LOOK_S)[0]
            if readable:
                with contextlib.suppress(BlockingIOError):
                    self._hand_on(os.read(self._source, READ_BYTES))
            if master is not None:
                self._back()

    def _back(self) -> None:
        """Hand on what the gateway says, unharmed."""
        with self._lock, contextlib.suppress(OSError):
            if self._ends:
                os.write(self._source, os.read(self._ends[0], READ_BYTES))

    def _hand_on(self, data: bytes) -> None:
        for piece in self._pieces(self._harm(data)):
            with self._lock, contextlib.suppress(BlockingIOError):
                if self._ends:
                    os.write(self._ends[0], piece)  # what does not fit is lost, as on a line

    def _harm(self, data: bytes) -> bytes:
        noise = self.noise
        self.hurt.bytes += len(data)
        if not (noise.bit or noise.drop or noise.double or self._line_hurt):
            self._line[:] = data[data.rfind(b"\n") + 1 :] if b"\n" in data else self._line + data
            return data
        out = bytearray()
        for byte in data:
            said = self._one(byte)
            out += said
            self._line.append(byte)
            self._line_hurt |= said != bytes((byte,))
            if byte == 0x0A:
                self._line_ends()
        return bytes(out)

    def _one(self, byte: int) -> bytes:
        """Return what becomes of one byte."""
        noise, chance = self.noise, self._random.random
        if chance() < noise.drop:
            self.hurt.dropped += 1
            return b""
        for bit in range(8):
            if noise.bit and chance() < noise.bit:
                byte ^= 1 << bit
                self.hurt.bits_flipped += 1
        if chance() < noise.double:
            self.hurt.doubled += 1
            return bytes((byte, byte))
        return bytes((byte,))

    def _line_ends(self) -> None:
        found = re.search(rb"\x02(\d+)\*", self._line)
        if self._line_hurt and found and (n := n_of(float(found[1]))):
            self.damaged.add(n)
        self._line.clear()
        self._line_hurt = False

    def _pieces(self, data: bytes) -> list[bytes]:
        if not self.noise.split:
            return [data] if data else []
        cuts = sorted(self._random.sample(range(1, len(data)), min(3, len(data) - 1))) if len(data) > 1 else []
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]
