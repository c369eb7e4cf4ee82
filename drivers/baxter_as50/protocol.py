"""The conversation with an AS50: is it there, and what rate is set. Two questions, and no way to say anything else.

    OFFLINE ── [STATUS?] every 5 s ──► any good frame ──► ONLINE ── [PRIRATE?] every 5 s
       ▲                                                    │
       └──────── 30 s without a good frame, or three repeats spoilt ────┘

The port of this pump also takes commands that set its rate and start a bolus. Nothing here can make one: a request is
one of the two constants below, and the profile's transmit grammar lets through the bytes of those two and no others.

An answer names what it carries (`[PRIRATE=12.5]`), and that name is the object of the reading. So an answer that comes
late or twice can never pass for another value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from drivers.baxter_as50.framing import Damage, FrameReader, Noise, frame
from gateway.core.errors import ConfigError
from gateway.core.events import EventQueue
from gateway.core.frame import Fault, Frame, Reading
from gateway.core.protocol import DeviceSpec

ARE_YOU_THERE = b"STATUS?"  # its answer has some text that no source shows
SET_RATE = b"PRIRATE?"
# All from the protocol notes, state machine.
PERIOD_S = 5.0
ANSWER_S = 2.0
SILENT_S = 30.0
REPEATS = 3
_VALUE = re.compile(rb"([A-Z]{1,16})=([0-9]{1,6}(?:\.[0-9]{1,6})?)")

FAULTS = {
    "noise": "Bytes outside of frames: check baud rate, cable and shield.",
    "crc": "A frame with a wrong checksum, thrown away and asked for again: check the cable, its shield and length.",
    "echo": "What the gateway sends comes back to it: switch the local echo of the adapter off.",
    "rejected": "The pump refuses the question, so there is no rate: look whether its menu allows computer control.",
    "no_number": "The pump answered something that is no number, so there is no rate: report it with a recording.",
    "no_answer": "No answer in time. Now and then is noise; if it grows, check the cable.",
    "silent": "The pump has stopped answering, its rate is stale: check power, cable and line settings.",
}


class _Outcome(Enum):
    """What has come since data_to_send was asked last."""

    NOTHING = "nothing"
    ANSWER = "answer"
    DAMAGE = "damage"


class As50Protocol(EventQueue):
    """Sans-IO reader of one pump (DeviceProtocol). Raises: ConfigError on construction; never later."""

    def __init__(self, devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> None:
        if len(devices) != 1:
            raise ConfigError("a line has one AS50", hint="give each pump a port of its own")
        if options:
            raise ConfigError(f"unknown option {next(iter(options))!r}", hint="this driver has none")
        self._source = devices[0].source
        self._reader = FrameReader()
        super().__init__()
        self.start(0.0)

    def start(self, now: float) -> None:
        """Forget the line; ask whether somebody is there."""
        self.events.clear()
        self._reader.reset()
        self._online = self._stopped = False
        self._waiting = False
        self._outcome = _Outcome.NOTHING
        self._repeats = 0
        self._now = self._good_at = self._ask_at = self._due = now

    def stop(self, now: float) -> None:
        """Ask nothing more. Nothing was begun on the pump, so there is nothing to end."""
        self._now, self._stopped, self._waiting, self._outcome = now, True, False, _Outcome.NOTHING

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes of the line. A rate becomes a frame at once."""
        for content in self._reader.feed(data):
            if isinstance(content, Noise):
                self._fault("noise", f"{content.length} bytes", bad_frame=True)
            elif isinstance(content, Damage):
                self._fault(content.value, bad_frame=True)
                if self._outcome is _Outcome.NOTHING:
                    self._outcome = _Outcome.DAMAGE
            else:
                self.frames_ok += 1
                self._read(content, t_ns)

    def data_to_send(self, now: float) -> bytes:
        """Return the question that is due."""
        self._now = now
        self._settle(now)
        if self._stopped or self._waiting or now < self._ask_at:
            return b""
        self._waiting = True
        self._due, self._ask_at = now + ANSWER_S, now + PERIOD_S
        return frame(SET_RATE if self._online else ARE_YOU_THERE)

    def next_wake(self) -> float | None:
        """Return when the next question is due, or an answer overdue."""
        if self._stopped:
            return None
        if self._outcome is not _Outcome.NOTHING:
            return self._now
        return self._due if self._waiting else self._ask_at

    def _settle(self, now: float) -> None:
        """Draw the conclusions of what came, or did not come."""
        outcome, self._outcome = self._outcome, _Outcome.NOTHING
        if outcome is _Outcome.ANSWER:
            if not self._online:
                self._online, self._ask_at = True, now
            self._waiting, self._repeats, self._good_at = False, 0, now
        elif outcome is _Outcome.DAMAGE and self._waiting:
            self._waiting = False
            self._repeats += 1
            if self._repeats <= REPEATS:
                self._ask_at = now
            else:
                self._go_offline("three repeats were spoilt")
        elif self._waiting and now >= self._due:
            self._waiting = False
            self._fault("no_answer")
        if self._online and now - self._good_at >= SILENT_S:
            self._go_offline(f"nothing for {SILENT_S:.0f} s")

    def _go_offline(self, why: str) -> None:
        if self._online:
            self._fault("silent", why)
        self._online, self._repeats = False, 0

    def _read(self, text: bytes, t_ns: int) -> None:
        """Read one good frame."""
        if text in (ARE_YOU_THERE, SET_RATE):
            self._fault("echo")
            return
        self._outcome = _Outcome.ANSWER
        if text.startswith(b"REJECT"):
            self._fault("rejected")
        elif value := _VALUE.fullmatch(text):
            reading = Reading(value[1].decode(), 0, 0, float(value[2]))
            self.events.append(Frame("pump", [reading], t_ns, self._source))
        elif self._online:  # the rate was asked for; what a status looks like nobody says
            self._fault("no_number")

    def _fault(self, reason: str, detail: str = "", bad_frame: bool = False) -> None:
        self.events.append(Fault(reason, detail, self._source, bad_frame))
