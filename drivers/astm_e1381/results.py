"""From a message to readings: which results there are, what they are worth, and when they were measured.

What an analyser says of a patient or a sample (their ids, a name, a date of birth, an operator) is read here and goes
no further: into no reading, no fault, no log. The gateway knows devices, never patients, and an analyser's word for who
somebody is was typed or scanned at the analyser. What is handed on is only that it named somebody: yes or no.
For the same reason a text of the analyser is handed on as a value only when the profile lists it: a field that should
hold "NEGATIVE" can hold anything.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from math import nan
from typing import NamedTuple

from drivers.astm_e1381.options import Table
from drivers.astm_e1381.records import Delimiters, Record, Unclear, delimiters, split
from gateway.core.frame import Frame, Identified, Reading
from gateway.core.profile import Profile
from gateway.core.sample import Flag, Validity

KIND = "result"
PATIENT, SAMPLE_TYPE, ABNORMAL = "patient", "sample_type", "{} abnormal"
REMEMBERED = 512  # results; an analyser sends again what was not answered, or what a person asks it to
MAX_WORD = 32  # of a test id or a unit: they can be seen in a counter when the profile does not know them
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}(?:\.[0-9]{1,12})?")  # no result is longer; no number is infinite

# Field numbers: protocol notes "Message layer", which count the record type as field 1.
H_SENDER, H_PROCESSING, H_TIME = 5, 12, 14
P_IDENTITY = (3, 4, 5, 6)  # practice's, laboratory's and third id, name
O_ACTION = 12
R_TEST, R_VALUE, R_UNIT, R_ABNORMAL, R_STATUS, R_START, R_COMPLETED = 3, 4, 5, 7, 9, 12, 13
PRODUCTION = ("", "P")  # H 12
ROUTINE = ("", "N")  # O 12: seen with results of patients; a control or calibration has another, and so may others
_STATES = {  # R 9: final, corrected, preliminary; seen empty too
    "F": (Validity.VLD, 0),
    "C": (Validity.VLD, 0),
    "": (Validity.VLD, 0),
    "P": (Validity.QST, int(Flag.EARLY)),
}
NOT_DONE = "X"
_BEYOND = {"<": Validity.UFLW, ">": Validity.OFLW}  # R 7: the value is the limit of what can be measured

Tell = Callable[[str, str], None]
"""(reason, detail) of a fault; the detail never holds a text of the analyser."""


@dataclass(slots=True)
class _Message:
    """What holds for the results that follow."""

    how: Delimiters
    header: Record
    named: bool = False
    order: Record | None = None
    readings: list[Reading] = field(default_factory=list)


class _Judged(NamedTuple):
    value: float | str
    validity: int
    flags: int


class Results:
    """Reads messages of one analyser. tell: takes faults; source: number of the device in its port."""

    def __init__(self, profile: Profile, table: Table, source: int, tell: Tell) -> None:
        self._table = table
        self._usual = {"vendor": profile.vendor, "model": profile.model, "firmware": "", "serial": ""}
        self._words = {
            row.object: {word for word, _ in row.values}
            for channel in profile.channels
            for row in channel.metrics
            if row.kind == "enumeration"
        }
        self._source = source
        self._tell = tell
        self.forget()

    def forget(self) -> None:
        """The line is new."""
        self._known: deque[bytes] = deque(maxlen=REMEMBERED)
        self._identified: Identified | None = None

    def read(self, text: bytes, t_ns: int) -> list[Frame | Identified]:
        """Return what a transmission says: each message in it begins with H and ends with L."""
        found: list[Frame | Identified] = []
        message: list[str] = []
        for record in split(text):
            if record[0] == "H" and message:
                self._tell("incomplete", f"{len(message)} records before another header")
                message = []
            message.append(record)
            if record[0] == "L":
                found += self._message(message, t_ns)
                message = []
        if message:
            self._tell("incomplete", f"{len(message)} records without the last")
        return found

    def _message(self, records: list[str], t_ns: int) -> list[Frame | Identified]:
        how = delimiters(records[0]) if records[0][0] == "H" else None
        if how is None:
            self._tell("header", f"{len(records)} records")
            return []
        if how.unclear:
            self._tell("delimiters", f"{len(how.unclear) + 1} different ones")
        message = _Message(how, Record(records[0], how))
        found: list[Frame | Identified] = [*self._who(message.header)]
        for text in records[1:]:
            record = Record(text, how)
            if record.kind == "P":
                found += self._frame(message, t_ns)
                message.named = any(record.raw(number).strip(how.component or None) for number in P_IDENTITY)
                message.order = None
            elif record.kind == "O":
                found += self._frame(message, t_ns)
                message.order = record
            elif record.kind == "R":
                self._result(message, record)
            elif record.kind == "Q":
                self._tell("query", "")
            elif record.kind not in ("C", "M", "L"):
                self._tell("record", "")
        return found + self._frame(message, t_ns)

    def _who(self, header: Record) -> list[Identified]:
        """Return who the analyser is when the header says so, once."""
        if not self._table.sender:
            return []
        try:
            parts = dict(zip(self._table.sender, header.components(H_SENDER), strict=False))
        except Unclear:
            return []
        known = self._usual | {part: text for part, text in parts.items() if part in self._usual and text}
        who = Identified(known["vendor"], known["model"], known["firmware"], known["serial"], self._source)
        if who == self._identified:
            return []
        self._identified = who
        return [who]

    def _frame(self, message: _Message, t_ns: int) -> list[Frame]:
        """Return the results of the order that has ended, with what holds for them all."""
        results, message.readings = message.readings, []
        if not results:
            return []
        age_ns, flags = results[0].age_ns, results[0].flags & int(Flag.TEST)
        about = [Reading(PATIENT, 0, 0, "yes" if message.named else "no", Validity.VLD, flags, age_ns)]
        about += self._sample_type(message.order, flags, age_ns) if message.order else []
        return [Frame(KIND, [*about, *results], t_ns, self._source, message.header.time_ns(H_TIME))]

    def _sample_type(self, order: Record, flags: int, age_ns: int) -> list[Reading]:
        try:
            word = order.text(self._table.sample_type)
        except Unclear:
            return []
        return [Reading(SAMPLE_TYPE, 0, 0, *self._listed(SAMPLE_TYPE, word), flags, age_ns)] if word else []

    def _listed(self, object_: str, word: str) -> tuple[float | str, int]:
        """Return (word, valid) when the profile lists it, else no value."""
        if word in self._words.get(object_, ()):
            return word, Validity.VLD
        self._tell("word", "")
        return nan, Validity.INV

    def _result(self, message: _Message, record: Record) -> None:
        """Add the readings of one R record."""
        if self._is_known(message, record):
            return
        try:
            test = _test(record)
            unit = record.text(R_UNIT)
            judged = self._judge(message, record, test)
        except Unclear:
            self._tell("delimiters", "a result depends on them")
            return
        if not test or len(test) > MAX_WORD or len(unit) > MAX_WORD:
            self._tell("test_id", "")
            return
        age_ns = _age_ns(message.header, record)
        if age_ns is None:
            self._tell("time", "")
            judged, age_ns = judged._replace(validity=max(judged.validity, Validity.QST)), 0
        message.readings.append(Reading(test, 0, unit or 0, *judged, age_ns))
        abnormal, object_ = record.raw(R_ABNORMAL), ABNORMAL.format(test)
        if abnormal and object_ in self._words:
            flags = judged.flags & int(Flag.TEST)
            message.readings.append(Reading(object_, 0, 0, *self._listed(object_, abnormal), flags, age_ns))

    def _judge(self, message: _Message, record: Record, test: str) -> _Judged:
        """Return value, validity and flags of a result. Raises: Unclear."""
        flags = self._test_flag(message)
        status, text = record.raw(R_STATUS), record.text(R_VALUE)
        if status == NOT_DONE or not text:
            return _Judged(nan, Validity.NA, flags)
        if status not in _STATES:
            self._tell("status", "")
        validity, more = _STATES.get(status, (Validity.QST, 0))
        validity = _BEYOND.get(record.raw(R_ABNORMAL), validity)
        value: float | str = float(text) if _NUMBER.fullmatch(text) else ""
        if value == "":  # a qualitative result, if the profile has its words
            value, listed = self._listed(test, text)
            validity = max(validity, Validity(listed))
        return _Judged(value, validity, flags | more)

    def _test_flag(self, message: _Message) -> int:
        action = message.order.raw(O_ACTION) if message.order else ""
        if message.header.raw(H_PROCESSING) in PRODUCTION and action in ROUTINE:
            return 0
        self._tell("not_routine", "")
        return int(Flag.TEST)

    def _is_known(self, message: _Message, record: Record) -> bool:
        """Tell whether this very result was given before. One without a time of its own is always new.

        Order and result are kept as a digest: the sample id in them tells two patients' results apart, and nobody.
        """
        if record.time_ns(R_COMPLETED) is None:
            return False
        order = message.order.rest(3) if message.order else ""
        digest = blake2b(f"{order}\r{record.rest(3)}".encode(), digest_size=16).digest()
        if digest in self._known:
            return True
        self._known.append(digest)
        return False


def _test(record: Record) -> str:
    """Return the code of a test: ^^^code, or a field without components. Raises: Unclear."""
    parts = record.components(R_TEST)
    return parts[0] if len(parts) == 1 else parts[3] if len(parts) > 3 else ""


def _age_ns(header: Record, record: Record) -> int | None:
    """Return how long before the message its result was measured, by the analyser's own clock; None: not known."""
    sent = header.time_ns(H_TIME)
    measured = record.time_ns(R_COMPLETED)
    measured = record.time_ns(R_START) if measured is None else measured
    if sent is None or measured is None or measured > sent:
        return None
    return sent - measured
