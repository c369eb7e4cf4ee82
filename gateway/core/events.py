"""What nearly every driver has: a queue of events and a count of good frames; and a driver that only listens."""

from __future__ import annotations

from collections import deque

from gateway.core.frame import NEED_DATA, Event, Fault, Frame, Identified


class EventQueue:
    """The reading side of DeviceProtocol. A driver appends to `events` and counts `frames_ok`."""

    def __init__(self) -> None:
        self.frames_ok = 0
        self.events: deque[Frame | Identified | Fault] = deque()

    def next_event(self) -> Event:
        """Return the next event, in order, or NEED_DATA."""
        return self.events.popleft() if self.events else NEED_DATA


class Listener(EventQueue):
    """A driver of a device that speaks by itself: nothing is ever sent. Subclasses add start and receive_data."""

    def data_to_send(self, now: float) -> bytes:  # noqa: ARG002  # the contract's signature
        """Return b"": the device is never written to."""
        return b""

    def next_wake(self) -> float | None:
        """Return None: only bytes change anything."""
        return None

    def stop(self, now: float) -> None:  # there is nothing to do
        """Do nothing: the device does not know that somebody listens."""
