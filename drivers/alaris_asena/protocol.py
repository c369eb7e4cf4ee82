"""The conversation with an Asena pump: its serial number, its rate, the volume it has given; in turn, for ever.

Each of these names is a question only while nothing stands behind it: `INF_RATE` asks, `INF_RATE^5^ml/h` sets. So the
driver has a function that makes questions out of a name and none that takes a value, and the profile's transmit grammar
lets through three whole frames.

An answer begins with the name that was asked, and that name is the object of the reading: an answer that is late or
comes twice can never pass for another value. The serial number is asked for in each round, because a pump can be
exchanged without the line noticing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

from drivers.alaris_asena.framing import BEGIN, END, LIMIT, Message, question, read
from drivers.alaris_asena.options import Options
from gateway.core.errors import ConfigError
from gateway.core.events import EventQueue
from gateway.core.frame import Fault, Frame, Identified, Reading
from gateway.core.framing import Delimited, Noise
from gateway.core.polling import Poller
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity
from gateway.core.settings import build

SERIAL = "INST_SERIALNO"
VALUES = ("INF_RATE", "INF_VI")
ANSWER_S = 0.5  # protocol notes
# The two ways in which a number may come with its unit: in fields of their own, or in one ("5.0ml/h", "5.0 ml/h").
_VALUE = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,6})?)[ ^]?([A-Za-z/]{0,8})")
_SERIAL_NUMBER = re.compile(r"[A-Za-z0-9-]{1,32}")


class AsenaProtocol(EventQueue):
    """Sans-IO reader of one pump (DeviceProtocol). Raises: ConfigError on construction; never later."""

    def __init__(self, devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> None:
        chosen = build(Options, options, lambda *keys: " ".join(keys))
        if len(devices) != 1:
            raise ConfigError("a line has one Asena pump", hint="give each pump a port of its own")
        self._source = devices[0].source
        self._cut = Delimited(BEGIN, END, LIMIT)
        self._poller = Poller((SERIAL, *VALUES), chosen.poll_s, ANSWER_S)
        super().__init__()
        self.start(0.0)

    def start(self, now: float) -> None:
        """Forget the line; ask everything."""
        self.events.clear()
        self._cut.reset()
        self._poller.start(now)
        self._serial = ""
        self._now = now
        self._answered = False

    def stop(self, now: float) -> None:
        """Ask nothing more. Nothing was begun on the pump, so there is nothing to end."""
        self._poller.stop()
        self._now, self._answered = now, False

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes of the line. A value becomes a frame at once."""
        for content in self._cut.feed(data):
            if isinstance(content, Noise):
                self._fault("noise", f"{content.length} bytes", bad_frame=True)
                continue
            message = read(content)
            if isinstance(message, str):
                self._fault(message, bad_frame=True)
            else:
                self.frames_ok += 1
                self._take(message, t_ns)

    def data_to_send(self, now: float) -> bytes:
        """Return the question that is due."""
        self._now = now
        if self._answered:
            self._answered = False
            self._poller.answered(now)
        if (late := self._poller.overdue(now)) is not None:
            self._fault("no_answer", late)
        name = self._poller.ask(now)
        return question(name) if name else b""

    def next_wake(self) -> float | None:
        """Return when the next question is due, or an answer overdue."""
        return self._now if self._answered else self._poller.next_wake()

    def _take(self, message: Message, t_ns: int) -> None:
        """Read one good frame."""
        if message.name not in (SERIAL, *VALUES):
            self._fault("unknown")
            return
        if not any(message.fields):
            self._fault("empty", message.name)
            return
        self._answered = self._answered or message.name == self._poller.waiting
        if message.name == SERIAL:
            self._identify(message.fields[0].strip())
        else:
            self.events.append(Frame("pump", [self._reading(message)], t_ns, self._source))

    def _reading(self, message: Message) -> Reading:
        """Return the number with its unit's own word; what is no number is no value, never the one before."""
        found = _VALUE.fullmatch("^".join(message.fields).strip())
        if found is None:
            self._fault("no_number", message.name)
            return Reading(message.name, 0, 0, nan, Validity.INV)
        return Reading(message.name, 0, found[2], float(found[1]))

    def _identify(self, serial: str) -> None:
        if not _SERIAL_NUMBER.fullmatch(serial):
            self._fault("no_number", SERIAL)
        elif serial != self._serial:
            self._serial = serial
            self.events.append(Identified("", "", "", serial, self._source))

    def _fault(self, reason: str, detail: str = "", bad_frame: bool = False) -> None:
        self.events.append(Fault(reason, detail, self._source, bad_frame))
