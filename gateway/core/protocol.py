"""The driver contract, all of it. Bytes in, events out; time is an argument.

A driver never opens a port, sleeps, reads a clock, logs or starts a thread. It is a folder under `drivers/` whose
package exposes `DRIVER: Driver`, registered by one entry-point line in group `mdi.drivers`.

Bytes of a CAN link are Linux `struct can_frame` records, 16 bytes each (include/uapi/linux/can.h), one per call:
    [can_id u32 le: bit 31 = 29-bit id, bit 30 = RTR, bit 29 = error][len u8][3 pad][data 8]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from gateway.core.frame import Event
from gateway.core.profile import Profile
from gateway.core.scene import Scene
from gateway.core.transmit import OnlyReads


class DeviceProtocol(Protocol):
    """Speaks with the device or devices of one line. `now` is monotonic seconds, `t_ns` is UTC ns of arrival.

    An episodic value (cuff pressure) that the protocol repeats with the same time stamp is given once.
    """

    frames_ok: int
    """How many frames of the wire were good so far (a frame may hold several events, or none)."""

    def start(self, now: float) -> None:
        """The link is up: forget everything that was true of the line before."""

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes in any split, with any garbage; keep bounded memory; never raise on them."""

    def next_event(self) -> Event:
        """Return the next event, in order, or NEED_DATA."""

    def data_to_send(self, now: float) -> bytes:
        """Return what must go to the device now (polls, keep-alives); b"" when there is nothing."""

    def next_wake(self) -> float | None:
        """Return when data_to_send wants to be asked again, or None when only bytes can change anything."""

    def stop(self, now: float) -> None:
        """Part politely: data_to_send then returns the release, if the protocol has one."""


@runtime_checkable
class Replayable(Protocol):
    """A protocol that matches replies to requests, and so wants to know what a recording says was asked."""

    def was_sent(self, data: bytes, now: float) -> None:
        """Take what went to the device when the recording was made, in place of an own request."""


class Simulator(Protocol):
    """The other end of the same line, also without I/O: the device that answers."""

    def receive_data(self, data: bytes, now: float) -> None:
        """Take what the gateway wrote."""

    def data_to_send(self, now: float) -> bytes:
        """Return what the device says by now; a CAN simulator returns whole can_frame records."""

    def next_wake(self) -> float | None:
        """Return when data_to_send has something new even without input."""


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """One device of a line, as a driver is told of it: position in the port, profile, driver options."""

    source: int
    profile: Profile
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Driver:
    """What the registry knows of a driver.

    protocol: devices, port options -> DeviceProtocol; raises ConfigError or ProfileError, never later
    simulator: devices, scenario options, scene -> Simulator; what it measures comes from the scene
    links: kinds of link it can run on, the first is the usual one
    only_reads: devices, port options -> bytes of one write -> whether they only read, where the standard tells
    options: port options of mdi_config.toml it understands: name -> (type, default, one sentence)
    device_options: the same for one device of the line
    frames: frame kinds it emits; a profile may read no other ("*" = the profile names them)
    faults: closed set of Fault.reason, each with one sentence on what a person can do
    undetected_flips: largest share of the single bit flips of a conversation that change a value and are not seen;
        0 where a checksum covers every value (measured by the exam, told in the README)
    """

    name: str
    protocol: Callable[[Sequence[DeviceSpec], Mapping[str, Any]], DeviceProtocol]
    simulator: Callable[[Sequence[DeviceSpec], Mapping[str, Any], Scene], Simulator]
    links: tuple[str, ...]
    frames: tuple[str, ...]
    faults: Mapping[str, str]
    options: Mapping[str, tuple[type, Any, str]] = field(default_factory=dict)
    device_options: Mapping[str, tuple[type, Any, str]] = field(default_factory=dict)
    undetected_flips: float = 0.0
    only_reads: Callable[[Sequence[DeviceSpec], Mapping[str, Any]], OnlyReads] | None = None
