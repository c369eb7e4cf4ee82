"""Agilia pumps on a line: acknowledge what comes, read values and alarms out of it, ask the next question.

    bytes ─► framing: messages, signals ─► answer ─► Frame("pump"), Frame("alert")
                                             └─────► session: what is asked next

What a pump says names itself: slot, letter of the variable, digits. So every good frame is read, whether it was asked
for, comes late or comes by itself, and none can pass for another. What each letter means stands in the profile, but for
two: `a` and `e` are the pump's alarm and error and become alerts.

An answer must have all that was asked. The checksum has eight bits and a frame has no length: when a flipped bit makes
an end (03) of a letter C (43), what stands before it is a shorter frame, and in 1 of 256 such cases its last two
characters are right by chance: 0096C8 was read as 0096C. So alarm and error are asked for last. A frame that was cut
lacks one of them, or has lost digits of the error and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

from drivers.fresenius_agilia.framing import ACK, DC4, NAK, LinkReader, Noise, Refused, Signal, frame
from drivers.fresenius_agilia.options import LINK_ERRORS, REFUSALS, Options
from drivers.fresenius_agilia.session import ALONE, BASE, MODULES, Question, Session
from gateway.core.errors import ConfigError
from gateway.core.events import EventQueue
from gateway.core.frame import Alert, Alerts, Fault, Frame, Reading
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity
from gateway.core.settings import build

# [origin] status ; data. C: answer, I: refused, E: event, M: adjust or model message, both by themselves.
_MESSAGE = re.compile(r"([0-5]?)([CIEM])(?:;(.*))?")
_FIELD = re.compile(r"([a-z])([0-9A-Fa-f]{1,8})")
ALARMS = ("a", "e")  # alarm, error
ASKED = frozenset("drae")  # session.VALUES
MODULE_MASK = "b"
MAX_REPLIES = 64  # bytes owed to the line; a device that sends ENQ without a pause is answered this often at a time


class AgiliaProtocol(EventQueue):
    """Sans-IO reader of a base with its pumps, or of one pump (DeviceProtocol). Raises: ConfigError when made."""

    def __init__(self, devices: Sequence[DeviceSpec], options: Mapping[str, Any]) -> None:
        chosen = build(Options, options, lambda *keys: " ".join(keys))
        if len(devices) != 1:
            raise ConfigError("a line has one base, or one pump", hint="give each base a port of its own")
        self._source = devices[0].source
        rows = [spec for channel in devices[0].profile.channels for spec in channel.metrics]
        self._shown = [spec for spec in rows if spec.frame == "pump"]
        self._reader = LinkReader()
        self._session = Session(chosen.stand_alone, chosen.poll_s)
        super().__init__()
        self.start(0.0)

    def start(self, now: float) -> None:
        """Forget the line."""
        self.events.clear()
        self._reader.reset()
        self._session.start()
        self._owed = bytearray()  # acknowledgements
        self._heard: str | Refused | None = None  # what the session must be told: application error or "", link error
        self._present: frozenset[str] = frozenset()
        self._alarms: dict[tuple[int, str], str] = {}  # (slot, letter) -> its digits
        self._now = now

    def stop(self, now: float) -> None:
        """Disconnect."""
        self._now, self._heard = now, None
        self._session.stop()

    def receive_data(self, data: bytes, t_ns: int) -> None:
        """Take bytes of the line."""
        for found in self._reader.feed(data):
            if isinstance(found, Noise):
                self._fault("noise", f"{found.length} bytes", bad_frame=True)
            elif found is Signal.ENQUIRY:
                self._owe(bytes([DC4]))
            elif found is Signal.CHECKSUM:
                self._fault("checksum", bad_frame=True)
                self._owe(b"%c2" % NAK)  # link error 2
            elif isinstance(found, Refused):
                self._fault("link_error", f"{found.code}: {LINK_ERRORS.get(found.code, 'unknown')}")
                self._heard = found
            elif isinstance(found, str):
                self.frames_ok += 1
                self._owe(bytes([ACK]))
                self._read(found, t_ns)

    def data_to_send(self, now: float) -> bytes:
        """Return acknowledgements, and the question that is due."""
        self._now = now
        heard, self._heard = self._heard, None
        if isinstance(heard, Refused):
            self._tell_lost(self._session.refused(heard.code, now))
        elif heard is not None:
            self._session.answered(heard, now)
        self._tell_lost(self._session.overdue(now))
        out, self._owed = bytes(self._owed), bytearray()
        question = self._session.ask(now)
        return out + frame(question.slot + question.command) if question else out

    def next_wake(self) -> float | None:
        """Return when there is something to say."""
        wake = self._session.next_wake()
        if self._owed or self._heard is not None:
            return self._now
        return None if wake is None else max(wake, self._now)

    # ---- what the pumps say

    def _read(self, message: str, t_ns: int) -> None:
        form = _MESSAGE.fullmatch(message)
        if form is None:
            self._fault("form")
            return
        origin, status, data = form[1], form[2], form[3] or ""
        waiting = self._session.waiting
        if status == "I":
            self._fault("refused", f"{data}: {REFUSALS[data]}" if data in REFUSALS else "without a known code")
        elif status in "EM":
            self._owe(frame(origin + status))
        if status in "CI" and waiting is not None and waiting.slot == origin:
            self._heard = data if status == "I" else ""
        fields = list(filter(None, data.split(";")))
        if status == "C" and fields and origin != BASE and not ASKED.issubset(text[0] for text in fields):
            self._fault("incomplete", bad_frame=True)
        elif status in "CE":
            self._values(origin, fields, t_ns)

    def _values(self, origin: str, fields: Sequence[str], t_ns: int) -> None:
        """Read fields of a letter and digits."""
        slot = 1 if origin == ALONE else int(origin)
        found: list[Reading] = []
        alarms = False
        for text in fields:
            field = _FIELD.fullmatch(text)
            if field is None:
                self._fault("field")
                if text[0].islower() and text[0] not in ALARMS:
                    found.append(Reading(text[0], slot, 0, nan, Validity.INV))
            elif origin == BASE:
                if field[1] == MODULE_MASK:
                    self._modules(int(field[2], 16), t_ns)
            elif field[1] in ALARMS:
                alarms = True
                self._alarm(slot, field[1], field[2])
            else:
                found.append(Reading(field[1], slot, 0, float(int(field[2], 16))))
        if found and origin != BASE:
            self.events.append(Frame("pump", found, t_ns, self._source))
        if alarms:
            self._tell_alarms(t_ns)

    def _alarm(self, slot: int, letter: str, digits: str) -> None:
        """No source lists the codes. That 0 is none is our reading; all else is shown as an alarm, with its digits."""
        if int(digits, 16):
            self._alarms[slot, letter] = digits
        else:
            self._alarms.pop((slot, letter), None)

    def _tell_alarms(self, t_ns: int) -> None:
        active = [Alert(letter, slot, text=f"code {digits}") for (slot, letter), digits in sorted(self._alarms.items())]
        self.events.append(Frame("alert", Alerts(tuple(active)), t_ns, self._source))

    def _modules(self, mask: int, t_ns: int) -> None:
        """The base says where pumps are: bit 0 is slot 1. Of a pump that is gone nothing is true any more."""
        present = frozenset(slot for i, slot in enumerate(MODULES) if mask >> i & 1)
        gone = {int(slot) for slot in self._present - present}
        self._present = present
        self._session.present(sorted(present))
        ended = [
            Reading(spec.object or "", spec.instance, 0, nan, Validity.NA)
            for spec in self._shown
            if spec.instance in gone
        ]
        if ended:
            self.events.append(Frame("pump", ended, t_ns, self._source))
        if gone:
            self._alarms = {key: digits for key, digits in self._alarms.items() if key[0] not in gone}
            self._tell_alarms(t_ns)

    def _owe(self, reply: bytes) -> None:
        if len(self._owed) < MAX_REPLIES:
            self._owed += reply

    def _tell_lost(self, question: Question | None) -> None:
        if question is not None:
            self._fault(
                "no_answer", f"{question.command} to slot {question.slot}" if question.slot else question.command
            )

    def _fault(self, reason: str, detail: str = "", bad_frame: bool = False) -> None:
        self.events.append(Fault(reason, detail, self._source, bad_frame))
