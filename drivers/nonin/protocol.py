"""The driver: it listens to one oximeter and never sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from drivers.nonin.formats import Ascii, Df2, Df7, Df8, Df13, Event, Packets
from drivers.nonin.options import format_of
from gateway.core.errors import ConfigError
from gateway.core.events import Listener
from gateway.core.frame import Fault
from gateway.core.protocol import DeviceSpec

PAUSE_NS = 500_000_000
"""Nothing pauses so long inside (the longest record, 263 bytes, takes 0.28 s at 9600 Bd): what was begun before a pause
is never completed by what comes after it."""


class NoninProtocol(Listener):
    """One oximeter (gateway.core.protocol.DeviceProtocol)."""

    def __init__(self, device: DeviceSpec) -> None:
        super().__init__()
        self._make = _MAKERS[format_of(device.profile.driver_table).format]
        self._device = device
        self.start(0.0)

    def start(self, now: float) -> None:  # noqa: ARG002  # the contract's signature
        """The line is up: forget everything that was true of it before."""
        self.events.clear()
        self._reader = self._make(self._device)
        self._heard_ns: int | None = None

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes in any split, with any garbage."""
        if self._heard_ns is not None and abs(t_ns - self._heard_ns) > PAUSE_NS:
            self._take(self._reader.interrupt())
        self._heard_ns = t_ns
        self._take(self._reader.feed(data, t_ns))

    def _take(self, found: Iterator[list[Event]]) -> None:
        for events in found:
            self.frames_ok += not all(isinstance(event, Fault) for event in events)
            self.events.extend(events)


_MAKERS: Mapping[str, Callable[[DeviceSpec], Packets | Df8 | Df13 | Ascii]] = {
    "df2": Df2,
    "df7": Df7,
    "df8": Df8,
    "df13": Df13,
    "ascii": Ascii,
}


def protocol(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> NoninProtocol:
    """Build the driver for one line. Raises: ConfigError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a Nonin oximeter has a line of its own")
    if options:
        raise ConfigError(f"unknown option {next(iter(options))!r}", hint="this driver has none")
    return NoninProtocol(devices[0])
