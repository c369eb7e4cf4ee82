"""A serial line that can be hurt: between a ledger device and the gateway, in a thread of the test.

    with PtyProxy(rig.wires["d1"], rig.gateway_end(device), seed=7) as line:
        line.make_noise(Noise(bit=1e-4, drop=1e-4, double=1e-4, split=True))
        line.unplug(); line.plug()

Unplugging closes the master: the gateway's next read ends, as with an adapter that is pulled. Plugging in makes a new
pseudo-terminal (another /dev/pts number, as ttyUSB0 comes back as ttyUSB1) behind the same name, as udev does: `names`.
The same seed hurts the same bytes of the same stream.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import threading
import tty
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.faults.ledger_device import n_of
from tests.faults.noise import Channel, Noise

READ_BYTES = 4096
LOOK_S = 0.05  # how soon an order is seen
LINE = re.compile(rb"\x02(\d+)\*")  # of a ledger device


class PtyProxy:
    """See the module text. device: path of the device's line; link: the name that the gateway opens."""

    def __init__(self, device: str, link: str, seed: int = 0) -> None:
        self.channel = Channel(seed)
        self.damaged: set[int] = set()  # numbers of the lines that were not handed on as they were said
        self._line = bytearray()  # what the device has said of the current line
        self._line_hurt = False
        self.names: list[str] = []  # of the pseudo-terminals that have stood behind the link
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
        master, slave = self._openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        draft = self._link.with_name(self._link.name + ".new")
        draft.unlink(missing_ok=True)
        draft.symlink_to(os.ttyname(slave))
        os.replace(draft, self._link)
        with self._lock:
            assert self._ends is None, "it is plugged in"
            self._ends = (master, slave)

    def _openpty(self) -> tuple[int, int]:
        """Return master and slave, never under the name of last time: the system gives the lowest free number."""
        ends = os.openpty()
        if self.names and os.ttyname(ends[1]) == self.names[-1]:
            taken, ends = ends, os.openpty()
            for end in taken:
                os.close(end)
        self.names.append(os.ttyname(ends[1]))
        return ends

    def make_noise(self, noise: Noise) -> None:
        """Harm what is said from now on."""
        with self._lock:
            self.channel.noise = noise

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
        with self._lock:
            harmed = self.channel.harm(data)
            self._note(data, harmed.places)
            pieces = self.channel.pieces(harmed.data)
        for piece in pieces:
            with self._lock, contextlib.suppress(BlockingIOError):
                if self._ends:
                    os.write(self._ends[0], piece)  # what does not fit is lost, as on a line

    def _note(self, data: bytes, places: set[int]) -> None:
        """Keep which lines of the ledger have been harmed."""
        begin = 0
        for text in data.splitlines(keepends=True):  # "\r\n" may fall in two
            self._line += text
            self._line_hurt |= not places.isdisjoint(range(begin, begin + len(text)))
            begin += len(text)
            if text.endswith(b"\n"):
                found = LINE.search(self._line)
                if self._line_hurt and found and (n := n_of(float(found[1]))):
                    self.damaged.add(n)
                self._line.clear()
                self._line_hurt = False
