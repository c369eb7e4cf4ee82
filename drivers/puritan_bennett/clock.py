"""The ventilator's clock: minutes, out of which comes a time that moves evenly.

A report says HH:MM and the date, no seconds. Taken as it stands, the clock would seem to lose up to a minute and to win
it back, again and again. So the seconds are counted from the report in which the minute was seen for the first time:
the clock is then right to within one poll, and to within a minute as long as no minute has been seen to begin.
"""

from __future__ import annotations

import re
from datetime import date

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_DATE = re.compile(rf"({'|'.join(_MONTHS)}) +(\d{{1,2}}) (\d{{4}})")
_EPOCH = date(1970, 1, 1).toordinal()
_MINUTE_NS = 60_000_000_000
_LAST_NS = 59_000_000_000  # a clock whose minute does not end stands still


def minute_ns(time: str, day: str) -> int | None:
    """Return the minute as ns since 1970, as if the clock showed UTC; None when it cannot be read."""
    at, on = _TIME.fullmatch(time), _DATE.fullmatch(day)
    if at is None or on is None:
        return None
    try:
        days = date(int(on[3]), _MONTHS.index(on[1]) + 1, int(on[2])).toordinal() - _EPOCH
    except ValueError:  # the 31st of a month that has no such day
        return None
    return ((days * 24 + int(at[1])) * 60 + int(at[2])) * _MINUTE_NS


class MinuteClock:
    """Follows the minutes of one line."""

    def __init__(self) -> None:
        self._minute = -1
        self._since_ns = 0  # our time when the minute was seen first

    def at(self, minute: int, t_ns: int) -> int:
        """Return what the clock shows at our time t_ns, ns since 1970, when its report says `minute`."""
        if minute != self._minute or t_ns < self._since_ns:
            self._minute, self._since_ns = minute, t_ns
        return minute + min(t_ns - self._since_ns, _LAST_NS)
