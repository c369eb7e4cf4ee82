"""CAN signals described by a DBC: can_frame records in, one Frame of readings out per CAN frame.

Listen-only by construction: `data_to_send` returns b"", whatever happens; there is no code that builds a frame to send.

    record ──► error frame?  Fault "error_frame"
           ──► RTR?          nothing: it carries no data
           ──► arbitration id ──► message of one device ──► Frame("signal", [Reading …])

Invariants
  * Records stay aligned to the first byte after `start`. The kernel hands out whole records, so a record that cannot be
    one is dropped whole. Sliding on by a byte to find the next plausible one could turn shifted bytes into values.
  * Nothing is repeated: a signal that is no longer sent gives no Frame. That its value grows old is for others to show.
  * A metric that the profile calls episodic (cuff pressure, thermodilution) is given when its number changes. The
    device sends the last result over and over without its time; given each time, an old pressure would look new. The
    first number after a start is given as questionable: nobody knows when it was measured.
  * Memory is bounded: at most 15 bytes of a begun record, MAX_EVENTS events, MAX_UNKNOWN_IDS ids.

Time: the only clock is `now` of data_to_send, so a silent bus is noticed between silence_s and 1.25 x silence_s.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.can_signals.database import CompiledMessage, UnknownMultiplexer, load_messages
from gateway.core.can_frame import (
    ERROR,
    ERROR_CLASSES,
    ERROR_CONTROLLER,
    ERROR_RX_OVERFLOW,
    EXTENDED,
    MAX_DATA,
    RECORD,
    REMOTE,
    STANDARD_MASK,
    show_id,
)
from gateway.core.errors import ConfigError
from gateway.core.frame import NEED_DATA, Event, Fault, Frame, Reading
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity

MAX_EVENTS = 16384  # events not yet fetched: 2 s of a full 1 Mbit/s bus; more means that nobody fetches them
MAX_UNKNOWN_IDS = 256  # distinct ids reported one by one
CHECKS_PER_SILENCE = 4  # how often within silence_s the bus is looked at

FAULTS: dict[str, str] = {
    "error_frame": "The controller reports errors on the bus: check bit rate, termination and cable.",
    "bad_record": "The link handed over bytes that are no can_frame record: report it with a recording.",
    "short_frame": "A frame is shorter than its message in the DBC: the DBC is of another version of the device.",
    "unknown_multiplexer": "A frame selects signals that the DBC does not have: the DBC is of another version.",
    "unknown_id": "A frame that no profile describes; named once per id. Normal where other devices share the bus.",
    "silence": "No data frame for silence_s seconds: check that the devices are on and the cable is plugged in.",
    "overrun": "Events were not fetched in time and frames were dropped: the box is overloaded.",
}


class CanSignals:
    """The devices of one CAN bus. Fulfils gateway.core.protocol.DeviceProtocol."""

    def __init__(self, devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> None:
        """Compile the DBC files. Raises: ConfigError, ProfileError."""
        self._silence_s = _silence(options)
        self._sources = [device.source for device in devices]
        self._messages = _dispatch(devices)
        self._clear()
        self._running = False
        self._asked = self._heard_at = 0.0
        self.frames_ok = 0

    def _clear(self) -> None:
        self._events: deque[Event] = deque()
        self._lost = 0
        self._gap: set[int] = set()
        self._rest = b""
        self._unknown: set[int] = set()
        self._last: dict[tuple[int, int | str], tuple[int, float | None]] = {}
        self._heard = False
        self._silent = False

    def start(self, now: float) -> None:
        """Forget the line before."""
        self._clear()
        self._running = True
        self._asked = self._heard_at = now

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take can_frame records in any split."""
        buffer = self._rest + data if self._rest else data
        whole = len(buffer) - len(buffer) % RECORD.size
        for can_id, length, payload in RECORD.iter_unpack(buffer if whole == len(buffer) else buffer[:whole]):
            event = self._read(can_id, length, payload, t_ns)
            if event is not None:
                self._append(event)
        self._rest = buffer[whole:]

    def next_event(self) -> Event:
        """Return the next event, or NEED_DATA."""
        if self._events:
            return self._events.popleft()
        if self._lost:
            lost, self._lost = self._lost, 0
            return Fault("overrun", f"{lost} events dropped", bad_frame=True)
        return NEED_DATA

    def data_to_send(self, now: float) -> bytes:
        """Return b"": this driver listens. Use the call to notice a silent bus."""
        self._asked = now
        if self._heard:
            self._heard, self._silent, self._heard_at = False, False, now
        elif self._watches() and not self._silent and now - self._heard_at >= self._silence_s:
            self._silent = True
            self._append(Fault("silence", f"no data frame for {self._silence_s:g} s"))
        return b""

    def next_wake(self) -> float | None:
        """Return when to look again whether the bus is silent; None while only a frame can change anything."""
        if not self._watches() or (self._silent and not self._heard):
            return None
        return self._asked + self._silence_s / CHECKS_PER_SILENCE

    def stop(self, now: float) -> None:  # noqa: ARG002  # the contract's signature
        """Stop watching for silence. There is nothing to release: no device knows that we listen."""
        self._running = False

    def _watches(self) -> bool:
        return self._running and self._silence_s > 0

    def _append(self, event: Event) -> None:
        if len(self._events) < MAX_EVENTS:
            self._events.append(event)
            return
        self._lost += 1
        self._gap.update(self._sources)
        self._last.clear()  # an episodic value may be among the lost: give it again

    def _read(self, can_id: int, length: int, payload: bytes, t_ns: int) -> Event | None:
        if can_id & ERROR:
            return self._error_frame(can_id, payload)
        if length > MAX_DATA or (not can_id & EXTENDED and can_id & ~REMOTE > STANDARD_MASK):
            return Fault("bad_record", f"id {can_id:08X}, length {length}", bad_frame=True)
        if can_id & REMOTE:
            self.frames_ok += 1
            return None
        self._heard = True
        message = self._messages.get(can_id)
        if message is None:
            self.frames_ok += 1
            return self._unknown_id(can_id)
        if length < message.length:
            detail = f"{message.name}: {length} bytes, not {message.length}"
            return Fault("short_frame", detail, message.source, bad_frame=True)
        try:
            readings = message.readings(payload)
        except UnknownMultiplexer as fault:
            return Fault("unknown_multiplexer", f"{message.name}: {fault}", message.source, bad_frame=True)
        self.frames_ok += 1
        if message.episodic:
            readings = [new for reading in readings if (new := self._once(message, reading))]
            if not readings:
                return None
        after_gap = message.source in self._gap and len(self._events) < MAX_EVENTS
        if after_gap:
            self._gap.discard(message.source)
        return Frame("signal", readings, t_ns, message.source, after_gap=after_gap)

    def _once(self, message: CompiledMessage, reading: Reading) -> Reading | None:
        """Return what to give of this reading: nothing when it is episodic and its number is the one before."""
        if reading.object not in message.episodic:
            return reading
        key, what = (message.source, reading.object), (reading.validity, _number(reading))
        before = self._last.get(key)
        self._last[key] = what
        if before is None and reading.validity == Validity.VLD:
            return reading._replace(validity=Validity.QST)
        return None if before == what else reading

    def _error_frame(self, can_id: int, payload: bytes) -> Fault:
        classes = [name for bit, name in ERROR_CLASSES if can_id & bit]
        if can_id & ERROR_CONTROLLER and payload[1] & ERROR_RX_OVERFLOW:
            classes.append("receive overflow")
            self._gap.update(self._sources)
        return Fault("error_frame", ", ".join(classes) or "class not stated", bad_frame=True)

    def _unknown_id(self, can_id: int) -> Fault | None:
        if can_id in self._unknown or len(self._unknown) > MAX_UNKNOWN_IDS:
            return None
        self._unknown.add(can_id)
        if len(self._unknown) > MAX_UNKNOWN_IDS:
            return Fault("unknown_id", f"more than {MAX_UNKNOWN_IDS} ids; further ones are not named")
        return Fault("unknown_id", show_id(can_id))


def _number(reading: Reading) -> float | None:
    """Return the value, None for NaN: NaN is not equal to itself."""
    assert not isinstance(reading.value, str)  # a DBC signal is a number
    return None if math.isnan(reading.value) else reading.value


def _dispatch(devices: Sequence[DeviceSpec]) -> dict[int, CompiledMessage]:
    """Return arbitration id -> message. Raises: ConfigError when two devices claim one id."""
    messages: dict[int, CompiledMessage] = {}
    owners: dict[int, str] = {}
    for device in devices:
        for message in load_messages(device.profile, device.source):
            if message.can_id in messages:
                shown, other = show_id(message.can_id), owners[message.can_id]
                what = f"arbitration id {shown} is in the DBC of both {other} and {device.profile.id}"
                raise ConfigError(what, hint="leave one of the two out, or put them on buses of their own")
            messages[message.can_id] = message
            owners[message.can_id] = device.profile.id
    return messages


def _silence(options: Mapping[str, Any]) -> float:
    silence = options.get("silence_s", 10.0)
    if isinstance(silence, bool) or not isinstance(silence, (int, float)) or not 0 <= silence <= 3600:
        raise ConfigError(f"silence_s = {silence!r}", hint="seconds, 0 (never) to 3600")
    return float(silence)
