"""Values that are measured now and then (cuff, cardiac output by bolus, wedge pressure), and sent again and again.

The monitor repeats the last cuff pressure in every record of displayed values, without its time. The time stands in the
auxiliary record, which comes by itself. So a value is kept until an auxiliary record says when it was measured, and is
given then, once, with its age by the monitor's own clock:

    displayed, sent at D: 120/80        auxiliary, sent at A ≥ D: cuff at T
    T ≤ D and T new: 120/80 was measured at T, give it with age A - T
    T > D: the cuff has measured since; its numbers come with the next displayed record

A monitor that sends no auxiliary records, or no time in them, leaves the age open. After UNTIMED records of displayed
values without a time, a value is given whenever it changes, as of now. A second measurement with exactly the same
numbers is then not seen.

Old values are not given. What is older than HELD_BACK_S when the line is opened may have been measured on another
patient; what has no time and is marked by the monitor as older than a minute is at any rate not new. Both are told as
"no value", and the next measurement is given.
"""

from __future__ import annotations

from math import isnan, nan

from gateway.core.frame import Reading
from gateway.core.sample import Validity

UNTIMED = 3  # records without an auxiliary one between; both are asked for at the same interval, so one may be lost
HELD_BACK_S = 60  # the monitor's own limit for "older than" (notes section 4.8)
NS = 1_000_000_000


class Episode:
    """One measurement that is made at once, of one or more numbers."""

    def __init__(self) -> None:
        self._seen: list[Reading] = []  # in the last displayed record
        self._seen_s = 0
        self._dealt_with: list[Reading] = []  # given, or held back
        self._measured_s: int | None = None
        self._untimed = 0

    def seen(self, readings: list[Reading], sent_s: int, is_old: bool) -> list[Reading]:
        """Take what a record of displayed values says; return what can be given at once."""
        self._seen, self._seen_s = readings, sent_s
        self._untimed += 1
        measured = _has_value(readings)
        if readings == self._dealt_with or (measured and self._untimed < UNTIMED):
            return []
        self._dealt_with = readings
        return without_value(readings) if measured and is_old else readings

    def timed(self, measured_s: int, sent_s: int) -> list[Reading]:
        """Take the time of an auxiliary record (0 = not known); return what was measured then."""
        measured = _has_value(self._seen)
        if measured_s != 0 or not measured:
            self._untimed = 0  # a time of a value is missing only while there is a value
        if not measured or measured_s in (0, self._measured_s) or measured_s > self._seen_s:
            return []
        first, self._measured_s = self._measured_s is None, measured_s
        self._dealt_with = self._seen
        age_s = max(0, sent_s - measured_s)
        if first and age_s > HELD_BACK_S:
            return without_value(self._seen)
        return [reading._replace(age_ns=age_s * NS) for reading in self._seen]


def without_value(readings: list[Reading]) -> list[Reading]:
    """Return the same readings as "no value"."""
    return [reading._replace(value=nan, validity=Validity.NA, age_ns=0) for reading in readings]


def _has_value(readings: list[Reading]) -> bool:
    return not all(isinstance(reading.value, float) and isnan(reading.value) for reading in readings)
