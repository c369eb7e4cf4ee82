"""Asking a Hamilton ventilator for one parameter after the other.

    host       STX id ETX CR
    ventilator STX id v1 v2 v3 v4 v5 ETX CR      the value: five characters, with blanks and decimal point

    round:  mode ─► parameters that depend on the mode ─► mode again ─► all others

An answer names its parameter, and is taken only when that is the one that was asked for: so neither a late answer nor a
damaged id puts a value under a wrong name. What depends on the mode is held until the mode has been read a second time
and is still the same. There is no checksum.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isnan, nan
from typing import Any

from drivers.hamilton.meaning import FRAME, Meaning
from drivers.hamilton.options import Options
from gateway.core.errors import ConfigError
from gateway.core.events import EventQueue
from gateway.core.frame import Fault, Frame, Reading
from gateway.core.framing import Delimited, Noise
from gateway.core.polling import Poller
from gateway.core.protocol import DeviceProtocol, DeviceSpec
from gateway.core.sample import Validity
from gateway.core.settings import build

STX, ETX, CR = b"\x02", b"\x03", b"\r"
LONGEST = 16  # bytes between STX and CR; an answer has 7
TRIES = 3  # questions without an answer in a row, after which the ventilator is silent (notes)
NOT_AVAILABLE = frozenset({"9999", "999.9"})  # after the final point has been cut off

# The app of the notes clears bit 7 of what it receives: a line with a parity bit, read as 8 bits.
_SEVEN_BITS = bytes(byte & 0x7F for byte in range(256))
_VALUE = re.compile(r"-?(?:\d+(?:\.\d+)?|\.\d+)")


def request(number: int) -> bytes:
    """Return the question for one parameter."""
    return STX + bytes([number]) + ETX + CR


class HamiltonProtocol(EventQueue):
    """Polls one ventilator. Replayable: a recording knows what was asked."""

    def __init__(self, device: DeviceSpec, options: Options) -> None:
        super().__init__()
        self._source = device.source
        self._meaning = meaning = Meaning(device.profile)
        framed = [meaning.mode, *meaning.bound, meaning.mode] if meaning.bound else []
        alone = [meaning.mode] if meaning.mode in meaning.instances and not framed else []
        self._poller = Poller([*framed, *alone, *meaning.free], options.poll_s, options.timeout_s)
        self._cutter = Delimited(STX, CR, LONGEST)
        self.start(0.0)

    def start(self, now: float) -> None:
        """Ask from the beginning; neither mode nor anything else is known."""
        self.frames_ok = 0
        self.events.clear()
        self._cutter.reset()
        self._poller.start(now)
        self._now = now
        self._asked: int | None = None
        self._mode: int | None = None
        self._held: list[tuple[int, float, int, int, bool]] = []  # number, value, validity, t_ns, gap
        self._missed: set[int] = set()  # parameters whose last question had no answer

    def stop(self, now: float) -> None:
        """Ask nothing more. The protocol has no release."""
        self._now = now
        self._poller.stop()

    def next_wake(self) -> float | None:
        """Return when an answer is overdue, or when to ask again."""
        return self._poller.next_wake()

    def data_to_send(self, now: float) -> bytes:
        """Return the next question, when none is open."""
        self._now = now
        late = self._poller.overdue(now)
        if late is not None:
            self._asked = None
            self._lost(late)
            silent = self._poller.unanswered == TRIES
            self._fault("silent" if silent else "timeout", f"parameter {late}, {self._poller.unanswered} in a row")
        number = self._poller.ask(now)
        if number is None:
            return b""
        self._asked = number
        return request(number)

    def was_sent(self, data: bytes, now: float) -> None:
        """Replay: take what the recording says was asked; from then on nothing else is."""
        self._now = now
        self._poller.stop()
        if self._asked is not None:
            self._lost(self._asked)
        number = data[1] if len(data) == len(request(0)) else 0
        self._asked = number if number in self._meaning.instances else None

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes; what stands between STX and CR is an answer."""
        for item in self._cutter.feed(data.translate(_SEVEN_BITS)):
            if isinstance(item, Noise):
                self._bad("garbage", f"{item.length} bytes")
            else:
                self._take(item, t_ns)

    # ---- answers

    def _take(self, answer: bytes, t_ns: int) -> None:
        if len(answer) == 2 and answer[1:] == ETX:
            self._fault("echo", f"parameter {answer[0]}")
        elif len(answer) != 7 or answer[6:] != ETX:
            self._bad("answer", f"{len(answer)} bytes")
        elif answer[0] != self._asked:
            self._bad("unexpected", f"parameter {answer[0]}")
        else:
            number, self._asked = answer[0], None
            self._poller.answered(self._now)
            self.frames_ok += 1
            self._value(number, answer[1:6].decode("ascii"), t_ns)

    def _value(self, number: int, text: str, t_ns: int) -> None:
        value, validity = self._read(number, text)
        gap = number in self._missed
        self._missed.discard(number)
        if number in self._meaning.bound:
            self._held.append((number, value, validity, t_ns, gap))
            return
        if number == self._meaning.mode:
            self._confirm(None if isnan(value) else round(value))
        readings = [Reading(number, instance, 0, value, validity) for instance in self._meaning.instances[number]]
        self._give(readings, t_ns, gap)

    def _read(self, number: int, text: str) -> tuple[float, int]:
        """Return (value, validity) of the five characters."""
        text = text.strip(" ").removesuffix(".")
        if not text or text in NOT_AVAILABLE:
            return nan, Validity.NA
        if not _VALUE.fullmatch(text):
            self._fault("value", f"parameter {number}")
            return nan, Validity.INV
        return float(text), Validity.VLD

    def _confirm(self, mode: int | None) -> None:
        """The mode has been read: give what was held if it is the mode of before, else give it without a value."""
        held, self._held = self._held, []
        same = mode is not None and mode == self._mode
        if held and mode != self._mode:
            self._fault("mode", f"{self._mode} before, {mode} now")
        self._mode = mode
        for number, value, validity, t_ns, gap in held:
            row = self._meaning.instance(number, mode) if same else None
            self._give(
                [
                    Reading(number, i, 0, value, validity) if i == row else Reading(number, i, 0, nan, Validity.NA)
                    for i in self._meaning.instances[number]
                ],
                t_ns,
                gap,
            )

    def _lost(self, number: int) -> None:
        """A question had no answer. Without the mode, what depends on it has no meaning."""
        self._missed.add(number)
        if number == self._meaning.mode:
            self._confirm(None)

    def _give(self, readings: list[Reading], t_ns: int, gap: bool) -> None:
        self.events.append(Frame(FRAME, readings, t_ns, self._source, after_gap=gap))

    def _bad(self, reason: str, detail: str) -> None:
        self.events.append(Fault(reason, detail, self._source, bad_frame=True))

    def _fault(self, reason: str, detail: str) -> None:
        self.events.append(Fault(reason, detail, self._source))


def protocol(devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> DeviceProtocol:
    """Return the protocol of one ventilator. Raises: ConfigError, ProfileError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="a polling port serves exactly one ventilator")
    return HamiltonProtocol(devices[0], build(Options, options, lambda *keys: " ".join(keys)))
