"""Replay: a capture instead of a device, through the same contract as any other link.

Plays what the device said, of a recording, a CAN log or a file of line bytes (gateway.record.open_capture); what the
gateway said then is left out, and what it writes now goes nowhere. At the end it raises EndOfRecording; open() starts
again from the beginning.

Time, by `speed`:
  n > 0  The device is played live, n times as fast as it spoke; bytes are stamped on arrival, like those of a device.
         Line bytes carry no time and are played as fast as they are read.
  0      The past is run again, as fast as it is read; bytes keep their recorded stamps, so the same capture gives the
         same samples each time. A capture without absolute time (ASC, line bytes) is laid at the moment of open().
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.core.errors import ConfigError, LinkError
from gateway.core.settings import Settings, setting
from gateway.links.base import Clock, LinkEnded, LinkKind
from gateway.record import Direction, Record, open_capture

READ_MAX = 64 * 1024  # bytes of one read, as of any other link
# A capture that begins before 2000-01-01 has no absolute time: its ns count from the start of the measurement.
_ABSOLUTE_NS = 946_684_800 * 1_000_000_000


class EndOfRecording(LinkEnded):
    """The capture has been played to its end; nothing is wrong."""


@dataclass(frozen=True)
class ReplaySettings(Settings):
    """Settings of a replay."""

    path: str = field(metadata=setting("Path of a recording (.mdirec), a CAN log, or a file of line bytes."))
    speed: float = field(
        default=1.0,
        metadata=setting("How many times faster than recorded; 0: at once, with recorded times.", low=0, high=10_000),
    )
    chunk: int = field(
        default=256,
        metadata=setting("A file of line bytes comes in pieces of this size.", "byte", low=1, high=READ_MAX),
    )


class ReplayLink:
    """Implements Link on a capture."""

    def __init__(self, settings: ReplaySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._in_use = threading.Lock()
        self._closed = threading.Event()
        self._closed.set()
        self._records: Iterator[Record] = iter(())
        self._end: LinkError | None = None  # set once the records have come to their end
        self._next: Record | None = None
        self._first_ns = self._opened_ns = 0

    def open(self) -> None:
        """Start from the beginning. LinkError: the file is missing, unreadable or damaged."""
        self.close()
        with self._in_use:
            try:
                self._records = open_capture(Path(self._settings.path), self._settings.chunk)
            except ConfigError as error:
                raise _unusable(error) from error
            self._end = None
            self._closed.clear()
            self._advance()
            self._opened_ns = self._clock()
            self._first_ns = self._next.t_ns if self._next else 0

    def close(self) -> None:
        """Wake a blocked read, wait until it has left, let go of the file."""
        self._closed.set()
        with self._in_use:
            self._records = iter(())

    def write(self, data: bytes) -> None:  # noqa: ARG002  part of the contract
        """Take bytes and do nothing: a recorded device does not listen. LinkError: closed."""
        self._check_open()

    def read(self, timeout: float) -> list[tuple[int, bytes]]:
        """Return what is due by now. EndOfRecording: that was all. LinkError: closed, or damaged from here on."""
        with self._in_use:
            self._check_open()
            if self._end is not None:
                raise self._end
            delay = self._due_in()
            if delay > 0:
                self._closed.wait(min(delay, timeout))
                self._check_open()
            return self._take()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise LinkError("the link is closed", self._settings.path)

    def _take(self) -> list[tuple[int, bytes]]:
        due: list[tuple[int, bytes]] = []
        size = 0
        while self._next is not None and size < READ_MAX and self._due_in() <= 0:
            due.append((self._stamp(self._next.t_ns), self._next.data))
            size += len(self._next.data)
            self._advance()
        return due

    def _advance(self) -> None:
        """Go to the next bytes of the device; at the end, keep why there are no more."""
        self._next = None
        try:
            for record in self._records:
                if record.direction is Direction.FROM_DEVICE and record.data:
                    self._next = record
                    return
            self._end = EndOfRecording("the recording is at its end", self._settings.path)
        except ConfigError as error:
            self._end = _unusable(error)

    def _due_in(self) -> float:
        """Return the seconds until the next bytes are due, 0 or less when they are."""
        if self._next is None or self._settings.speed == 0:
            return 0.0
        played_ns = (self._next.t_ns - self._first_ns) / self._settings.speed
        return (self._opened_ns + played_ns - self._clock()) / 1e9

    def _stamp(self, t_ns: int) -> int:
        if self._settings.speed > 0:
            return self._clock()
        return t_ns if self._first_ns >= _ABSOLUTE_NS else self._opened_ns + t_ns - self._first_ns


def _unusable(error: ConfigError) -> LinkError:
    """Return the same line as a fault of the link: a port backs off on it, it does not end the gateway."""
    return LinkError(error.what, error.where, error.hint)


LINK = LinkKind(
    name="replay",
    settings=ReplaySettings,
    create=ReplayLink,
    describe=lambda settings: f"replay of {os.path.basename(settings.path)} at speed {settings.speed:g}",
    resource=lambda _: "",  # several ports may play one file
)
