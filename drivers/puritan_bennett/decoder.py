"""From a report to frames: readings of its fields, the list of its alarms, who the ventilator is, what its clock shows.

Which field is a number and which a word says the profile (an enumeration has words). A field that is in no row is given
all the same when it is not blank, so that it is counted as unmapped; a row whose field the report does not have (older
software sends fewer fields) has no value.
"""

from __future__ import annotations

import re
from math import nan

from drivers.puritan_bennett.clock import MinuteClock, minute_ns
from drivers.puritan_bennett.reports import FIRST, Report, ReportKind
from gateway.core.frame import Alert, Alerts, Fault, Frame, Identified, Reading
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Flag, Validity

# RESET is taken for what the word says, an alarm that was reset and is over: the notes list it without a word more.
ENDED = frozenset({"", "NORMAL", "RESET"})
# MISCF gives the urgency; MISCA says ALARM; field 95 of MISCF is written "ALERT" in the manual's table.
PRIORITIES = {"LOW": 1, "MEDIUM": 2, "HIGH": 3, "ALARM": 0, "ALERT": 0}

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")
# "840 3510012345", "980 35B…", or the serial number alone (notes, firmware differences)
_IDENT = re.compile(r"(?:(\S+) +)?(\S+)")


class ReportDecoder:
    """Reads the reports of one ventilator. `start` a new one for each line: it follows clock and identity."""

    def __init__(self, device: DeviceSpec, kind: ReportKind) -> None:
        specs = [spec for channel in device.profile.channels for spec in channel.metrics if spec.frame == "report"]
        self._source = device.source
        self._kind = kind
        self._rows = [spec.object for spec in specs if isinstance(spec.object, int)]
        self._words = {spec.object for spec in specs if spec.kind == "enumeration"}
        self._others = kind.unsaid | set(kind.alarms) | set(self._rows)
        self._clock = MinuteClock()
        self._ident = ""
        self._alarms: dict[int, str] = {}  # field -> word that counts
        self._doubted: dict[int, str | None] = {}  # field -> word of the last report, when it was not known

    def events(self, report: Report, t_ns: int, after_gap: bool) -> list[Frame | Identified | Fault]:
        """Return all that a whole report says."""
        faults: dict[str, list[int]] = {}
        readings = [self._reading(report, number, faults) for number in self._rows]
        readings += self._unmapped(report)
        device_ns = self._device_ns(report, t_ns, faults)
        found: list[Frame | Identified | Fault] = [*self._identified(report)]
        found.append(Frame("report", readings, t_ns, self._source, device_ns, after_gap))
        alerts = self._alerts(report, faults)
        if alerts is not None:
            found.append(Frame("alert", alerts, t_ns, self._source, device_ns, after_gap))
        for reason, numbers in faults.items():
            where = ", ".join(map(str, numbers[:8])) + (" …" if len(numbers) > 8 else "")
            found.append(Fault(reason, f"field {where}", self._source))
        return found

    def _reading(self, report: Report, number: int, faults: dict[str, list[int]]) -> Reading:
        text = report.text(number)
        if text is None:
            faults.setdefault("width", []).append(number)
            return Reading(number, 0, 0, nan, Validity.INV)
        if not text:
            return Reading(number, 0, 0, nan, Validity.NA)
        if number in self._words:
            return Reading(number, 0, 0, text)
        if _NUMBER.fullmatch(text):
            return Reading(number, 0, 0, float(text))
        if text == "OFF":  # of a limit: there is none, and no alarm either
            return Reading(number, 0, 0, nan, Validity.NA, Flag.ALERT_INHIBITED)
        faults.setdefault("value", []).append(number)
        return Reading(number, 0, 0, nan, Validity.INV)

    def _unmapped(self, report: Report) -> list[Reading]:
        """Return what the profile has no row for. The plan counts it under its number; nobody gets to see it."""
        numbers = range(FIRST, FIRST + len(report.fields))
        return [Reading(n, 0, 0, nan) for n in numbers if n not in self._others and report.text(n)]

    def _alerts(self, report: Report, faults: dict[str, list[int]]) -> Alerts | None:
        """Return what alarms now; None when the report says nothing of alarms, which is not the same as none."""
        words = {number: self._alarm_word(number, report.text(number), faults) for number in self._kind.alarms}
        if not any(words.values()):
            return None
        flags = int(Flag.ALERT_INHIBITED) if report.text(self._kind.silence) == "ON" else 0
        return Alerts(
            tuple(
                Alert(number, 0, PRIORITIES.get(word, 0), "" if word in PRIORITIES else f"{number}: {word}", flags)
                for number, word in words.items()
                if word not in ENDED
            )
        )

    def _alarm_word(self, number: int, word: str | None, faults: dict[str, list[int]]) -> str:
        """Return the word that counts for an alarm.

        A word that is not known may be one that was damaged on the line, and no checksum tells. So it changes nothing,
        unless it comes twice in a row: then it is the ventilator's own, and is shown.
        """
        known = word is not None and (word in ENDED or word in PRIORITIES)
        if word is not None and (known or self._doubted.get(number) == word):
            self._alarms[number] = word
        else:
            faults.setdefault("word", []).append(number)
        self._doubted[number] = None if known else word
        return self._alarms.get(number, "")

    def _device_ns(self, report: Report, t_ns: int, faults: dict[str, list[int]]) -> int | None:
        time, day = report.text(self._kind.time), report.text(self._kind.date)
        if time == "" and day == "":
            return None
        minute = minute_ns(time or "", day or "")
        if minute is None:
            faults.setdefault("clock", []).extend((self._kind.time, self._kind.date))
            return None
        return self._clock.at(minute, t_ns)

    def _identified(self, report: Report) -> list[Identified]:
        """Return who the ventilator is, when it has not been said yet. It says neither vendor nor software."""
        text = report.text(self._kind.ident) or ""
        found = _IDENT.fullmatch(text)
        if found is None or text == self._ident:
            return []
        self._ident = text
        return [Identified("", found[1] or "", "", found[2], self._source)]
