"""mdi replay: play the device's side of a capture to a gateway.

Nothing is lost on the way: the play begins when somebody listens, waits for room on the line, and ends when all has
been taken. Where the recording says what the gateway asked, the play waits for the gateway to ask as much again before
it answers, so that a polled protocol (Modbus) hears its answers after its questions, at any speed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import err, out, progress
from gateway.cli.run import stop_on_signals
from gateway.cli.simulate import CanOption, PtyOption, TcpOption, UdpOption, wire_of
from gateway.core.errors import LinkError
from gateway.record import Direction, open_capture
from gateway.simulate import Wire

LISTEN_S = 10.0  # then it is played anyway: a program that opens a pseudo-terminal as it is goes unnoticed
SETTLE_S = 0.3  # after opening, a gateway throws away what was on the line before
ASK_S = 3.0  # beyond the time of the recording: a gateway asks by its own clock, at any speed of the replay
STALL_S = 30.0  # nobody takes anything for so long: give up
LOOK_S = 0.005


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording, a CAN log, or raw line bytes.")],
    pty: PtyOption = None,
    tcp: TcpOption = None,
    udp: UdpOption = None,
    can: CanOption = None,
    speed: Annotated[
        float,
        typer.Option(metavar="FACTOR", min=0, help="1: as recorded, 10: ten times faster, 0: as fast as it is taken."),
    ] = 1.0,
    baud: Annotated[
        int, typer.Option(metavar="BIT/S", min=50, help="Pace of raw line bytes, which carry no times.")
    ] = 115200,
) -> None:
    """Play the device's side of a capture to a gateway.

    The play begins when a gateway has opened the line, and loses nothing. Where the recording says what the gateway
    asked, an answer is played only after the question has come again. The gateway must have processing_id = "T"
    or "D": these values are of no patient who lies there now.

    \b
    mdi replay bed3.mdirec --pty ./monitor
    mdi replay cabinet.mdirec --tcp 1502 --speed 0
    mdi replay ecmo.asc --can 29536 --speed 10
    """
    records = open_capture(file)
    stop = stop_on_signals()
    with wire_of(pty, tcp, udp, can) as wire, progress(f"replay on {wire.where}", file.stat().st_size) as show:
        err.print(f"replaying on {wire.where}", markup=False, highlight=False)
        play = _Play(wire, _Pace(speed, baud), stop)
        play.wait_for_listener()
        for t_ns, direction, data in records:
            if stop.is_set():
                break
            if direction is Direction.TO_DEVICE:
                play.expect(len(data))
            elif direction is Direction.FROM_DEVICE:
                play.say(t_ns, data)
                show(play.sent)
        play.finish()
    out.print(f"{play.sent} bytes played", markup=False, highlight=False)


class _Pace:
    """When the next bytes are due: as recorded, or at line rate (10 bits a byte) where there are no times."""

    def __init__(self, speed: float, baud: int) -> None:
        self._speed, self._baud = speed, baud
        self._start = time.monotonic()
        self._first: int | None = None
        self._bytes = 0

    def behind_s(self, t_ns: int) -> float:
        """Return how long it takes yet until as much time has passed as in the recording at t_ns; 0 when it has."""
        after = (t_ns - (t_ns if self._first is None else self._first)) / 1e9
        return max(0.0, self._start + after - time.monotonic())

    def due(self, t_ns: int, size: int) -> float:
        """Return the monotonic time at which bytes recorded at t_ns are due."""
        if self._first is None:
            self._start, self._first = time.monotonic(), t_ns
        if not self._speed:
            return 0.0
        self._bytes += size
        after = (t_ns - self._first) / 1e9 if t_ns else self._bytes * 10 / self._baud
        return self._start + after / self._speed


class _Play:
    """One capture on one wire."""

    def __init__(self, wire: Wire, pace: _Pace, stop: threading.Event) -> None:
        self.sent = 0
        self._wire, self._pace, self._stop = wire, pace, stop
        self._heard = 0  # bytes that the gateway has said
        self._asked = 0  # bytes that it had said by now in the recording
        self._alone = False  # it does not say what it said then

    def wait_for_listener(self) -> None:
        """Wait until somebody has opened the line, in bounds."""
        if not self._until(lambda: bool(self._wire.listening() or self._heard), LISTEN_S) and not self._stop.is_set():
            err.print("nobody seems to listen; playing anyway", markup=False)
        self._until(lambda: False, SETTLE_S)

    def expect(self, size: int) -> None:
        """The recording says that the gateway wrote `size` bytes here."""
        self._asked += size

    def say(self, t_ns: int, data: bytes) -> None:
        """Play bytes when they are due and asked for. Raises: LinkError when nobody takes them."""
        due = self._pace.due(t_ns, len(data))
        if not self._alone and not self._until(lambda: self._heard >= self._asked, ASK_S + self._pace.behind_s(t_ns)):
            self._alone = not self._stop.is_set()
            if self._alone:
                err.print("the gateway does not ask what it asked then; playing on by itself", markup=False)
        self._until(lambda: time.monotonic() >= due, float("inf"))
        self._put(data)

    def _put(self, data: bytes) -> None:
        since = time.monotonic()
        while data and not self._stop.is_set():
            taken = self._wire.write_some(data)
            data = data[taken:]
            self.sent += taken
            if taken:
                since = time.monotonic()
            elif time.monotonic() - since > STALL_S:
                raise LinkError("nobody reads the line", self._wire.where, f"{self.sent} bytes were played")
            else:
                self._until(lambda: False, LOOK_S)

    def finish(self) -> None:
        """Wait until all has been taken. Raises: LinkError."""
        if not self._until(self._wire.drained, STALL_S) and not self._stop.is_set():
            raise LinkError("the last bytes were not read", self._wire.where, "does the gateway still run?")

    def _until(self, condition: Callable[[], bool], limit_s: float) -> bool:
        """Listen to the gateway until the condition holds; False: not within the time, or told to stop."""
        end = time.monotonic() + limit_s
        while not self._stop.is_set():
            self._heard += len(self._wire.read(0))
            if condition():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._heard += len(self._wire.read(min(left, LOOK_S)))
        return False
