"""A link over one non-blocking file descriptor: what serial, TCP and CAN sockets have in common.

The owner waits in poll() on two descriptors: the line, and an eventfd that close() raises. So a closing thread wakes
the owner at once, and `_in_use` lets it close the line only after the owner has left: a descriptor number is never
closed under a waiting poll, where the system might already have given it to somebody else.

A busy line is read in batches: behind a read that brought few bytes it rests for BATCH_S, while more of them gather.
One round for twenty lines of text, not twenty rounds: so a babbling device leaves the others their time.

poll, not select: select fails on descriptor numbers from 1024 on.
"""

from __future__ import annotations

import math
import os
import select
import threading
import time
from abc import ABC, abstractmethod

from gateway.core.errors import LinkError
from gateway.links.base import Clock

READ_MAX = 64 * 1024  # bytes of one read: 0.5 s of 1 Mbit/s, far more than a port lets pile up
BATCH_S = 0.02  # 230 bytes at 115,200 baud: a stamp is late by no more, and no line's buffer (4 KiB) runs over
BATCH_BYTES = 1024  # a read that brings more is a batch already, and
BULK_S = 1.0  # for so long the line is not made to wait: a backlog is read as fast as it comes
WRITE_TIMEOUT_S = 1.0  # every blocking call ends within 1 s (architecture, Threads)
CLOSED = -1


class DescriptorLink(ABC):
    """Implements Link. A subclass says how to attach to the line and how to let go of it."""

    gone = "the other side is gone"  # what a person reads when the line ends

    def __init__(self, where: str, clock: Clock) -> None:
        self._where = where
        self._clock = clock
        self._line = CLOSED
        self._wake = CLOSED
        self._fault: LinkError | None = None
        self._rests_until = self._in_bulk_until = 0.0  # monotonic
        self._in_use = threading.Lock()
        self._closing = threading.Lock()

    @abstractmethod
    def _attach(self) -> int:
        """Open the line; return its descriptor, non-blocking. LinkError: it cannot be opened."""

    @abstractmethod
    def _detach(self) -> None:
        """Close whatever _attach opened, also when it failed half-way. Never raises."""

    def open(self) -> None:
        """Attach to the line, after letting go of one that is still open. LinkError: it cannot be opened."""
        self.close()
        with self._in_use:
            try:
                self._line = self._attach()
                self._wake = os.eventfd(0)
            except LinkError:
                self._detach()
                raise
            except OSError as error:  # no descriptor left for the eventfd
                self._detach()
                self._line = CLOSED
                raise LinkError(f"cannot be opened: {error.strerror}", self._where) from error
            self._fault = None

    def close(self) -> None:
        """Wake a blocked call, wait until it has left, let go of the line."""
        with self._closing:
            if self._wake != CLOSED:
                os.eventfd_write(self._wake, 1)
            with self._in_use:
                if self._wake != CLOSED:
                    self._detach()
                    os.close(self._wake)
                    self._line = self._wake = CLOSED

    def read(self, timeout: float) -> list[tuple[int, bytes]]:
        """Return all that is there, or [] when nothing came within `timeout` seconds. LinkError: the line is gone.

        Once failed it fails until the next open: some lines report a failure only once, and are silent then.
        """
        with self._in_use:
            if self._fault is not None:
                raise self._fault
            try:
                left = timeout - self._rest(timeout)
                found = self._receive() if self._wait(select.POLLIN, left) else []
            except LinkError as fault:
                self._fault = fault
                raise
        self._plan_rest(sum(len(data) for _, data in found))
        return found

    def _plan_rest(self, came: int) -> None:
        now = time.monotonic()
        if came >= BATCH_BYTES:
            self._rests_until, self._in_bulk_until = now, now + BULK_S
        elif came and now >= self._in_bulk_until:
            self._rests_until = now + BATCH_S

    def _rest(self, timeout: float) -> float:
        """Let bytes gather, at most `timeout` seconds; return how long. LinkError: closed, or being closed."""
        rest = min(timeout, self._rests_until - time.monotonic())
        if rest <= 0 or self._wake == CLOSED:
            return 0.0
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if poll.poll(math.ceil(rest * 1000)):
            raise LinkError("the link is closed", self._where)
        return rest

    def write(self, data: bytes) -> None:
        """Write all of it. LinkError: the line is gone or takes no bytes."""
        deadline = time.monotonic() + WRITE_TIMEOUT_S
        left = memoryview(data)
        with self._in_use:
            while left:
                if not self._wait(select.POLLOUT, max(0.0, deadline - time.monotonic())):
                    raise LinkError(f"takes no bytes for {WRITE_TIMEOUT_S:g} s", self._where, "look at flow control")
                try:
                    left = left[os.write(self._line, left) :]
                except BlockingIOError:
                    continue  # poll was too optimistic; the deadline ends this
                except OSError as error:
                    raise self._lost(error) from error

    def _wait(self, events: int, timeout: float) -> bool:
        """Return whether the line is ready within `timeout` seconds. LinkError: closed, or being closed."""
        if self._wake == CLOSED:
            raise LinkError("the link is closed", self._where)
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._line != CLOSED:
            poll.register(self._line, events)
        ready = poll.poll(math.ceil(timeout * 1000))
        if any(number == self._wake for number, _ in ready):
            raise LinkError("the link is closed", self._where)
        return bool(ready)

    def _receive(self) -> list[tuple[int, bytes]]:
        """Return what is there as one chunk. Stamped after the read: a stamp is never before the arrival."""
        data = bytearray()
        while len(data) < READ_MAX:
            try:
                more = os.read(self._line, READ_MAX - len(data))
            except BlockingIOError:
                break
            except OSError as error:
                self._fail(self._lost(error), bool(data))
                break
            if not more:
                self._fail(LinkError(self.gone, self._where), bool(data))
                break
            data += more
        return [(self._clock(), bytes(data))] if data else []

    def _fail(self, fault: LinkError, later: bool) -> None:
        """Raise `fault` now, or at the next read when something is still to be delivered first."""
        if not later:
            raise fault
        self._fault = fault

    def _lost(self, error: OSError) -> LinkError:
        return LinkError(f"{self.gone} ({error.strerror or error})", self._where)
