"""The pumps of one pillar: what each of them has said, and for how long that is true.

    answer ─► for each position: parameter → text ─► readings (numbers) and alerts (INA1, INA2 …)

Laws
  * Positions are never mixed: a position is the `instance` of a reading, and the `source` of an alert.
  * A value that a pump no longer says ends with one "no value", never in silence and never by being said again.
    Only when the station is set to send nothing but changes (`held`) is a value kept until it changes, and then only
    along an unbroken chain of good answers to one and the same pump: a lost answer may have held the change.
  * Text is never a value. Drug names (INSOL, INSOLSN), ids and serial numbers are free text that somebody has typed:
    they are not given out, not counted by their content, and not kept, but for those that tell one pump from another.
  * A quantity with a unit code beside it (INDORT and INDORTU) is given as "INDORT#48": the profile has one row for each
    unit it is sure of, and what comes in another is counted as unmapped under its code. Such a value is questionable:
    the table of unit codes has one source, which says to verify it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import nan

from drivers.bbraun_bcc.information import NO_VALUE, Entry
from gateway.core.frame import Alert, Reading
from gateway.core.profile import Profile
from gateway.core.sample import Validity

WITH_UNIT = {"INDCON": "INDCONU", "INDORT": "INDORTU"}  # quantity -> parameter of its unit code
PUMP_IS = ("GNNEW", "GNMODEL", "INNR", "INSERNUM")  # another text here is another pump
_ASIDE = (*PUMP_IS, *WITH_UNIT.values())  # read by this module, no value of their own
POWER, OFF = "DSSTATUS", 50  # 00050 off, 00051 on
MAX_PARAMETERS = 256  # of one pump; the notes list 70
MAX_TEXT = 64  # characters; a number has 19 at most, an id or serial number is told from another by fewer
_NUMBER = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,9})?")
_CODE = re.compile(r"[0-9]{1,5}")
_ALARM = re.compile(r"INA[0-9]{1,2}")

Said = dict[str, str]
"""Parameter -> text, of one pump."""


@dataclass(slots=True)
class Result:
    """What follows from one answer. faults: reason -> how often."""

    readings: list[Reading] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)

    def count(self, reason: str) -> None:
        self.faults[reason] = self.faults.get(reason, 0) + 1


class Pumps:
    """The pumps of one pillar, as one profile reads them."""

    def __init__(self, profile: Profile, held: bool) -> None:
        rows = [spec for channel in profile.channels for spec in channel.metrics]
        self._alerts = {(spec.object, spec.instance) for spec in rows if spec.kind == "alert"}
        values = [spec for spec in rows if spec.kind != "alert"]
        self._positions = {spec.instance for spec in values}
        self._names = {str(spec.object).partition("#")[0] for spec in values}
        self._held = held
        self.forget()

    def forget(self) -> None:
        """Nothing is known of any pump."""
        self._said: dict[int, Said] = {}
        self._given: dict[int, set[str]] = {}  # position -> objects of its last readings

    def take(self, entries: Iterable[Entry], unbroken: bool) -> Result:
        """Take all that one answer says of this pillar. unbroken: no answer was lost since the one before."""
        new: dict[int, Said] = {}
        for entry in entries:
            said = new.setdefault(entry.position, {})
            if entry.parameter not in said and len(said) >= MAX_PARAMETERS:
                continue
            if _is_value(entry.value) or self._is_known(entry.parameter):
                said[entry.parameter] = entry.value[:MAX_TEXT]
        result = Result()
        before, self._said = self._said, {}
        for position in sorted({*new, *before}):
            said = self._now_true(before.get(position, {}), new.get(position, {}), unbroken)
            if said:
                self._said[position] = said
            self._give(position, said, result)
        for position in [position for position in self._given if position not in self._said]:
            del self._given[position]
        return result

    def _is_known(self, parameter: str) -> bool:
        """Tell whether a text must be kept: to tell pumps apart, or because a number should stand there."""
        return parameter in PUMP_IS or parameter in self._names or _ALARM.fullmatch(parameter) is not None

    def _now_true(self, before: Said, new: Said, unbroken: bool) -> Said:
        another = any(name in before and name in new and before[name] != new[name] for name in PUMP_IS)
        said = {**before, **new} if self._held and unbroken and not another else new
        if _number(said.get(POWER, "")) == OFF:
            return {name: said[name] for name in said if name == POWER or name in PUMP_IS}
        return said if len(said) <= MAX_PARAMETERS else new

    def _give(self, position: int, said: Said, result: Result) -> None:
        """Add readings and alerts of one pump."""
        found: list[Reading] = []
        for name, text in said.items():
            if _ALARM.fullmatch(name):
                if text not in NO_VALUE and _number(text) != 0:  # whatever is not "no" is shown
                    result.alerts.append(self._alert(name, position))
                if text not in NO_VALUE and _number(text) is None:
                    result.count("value")
            elif name in WITH_UNIT:
                found += _with_unit(name, position, said, result)
            elif name in self._names or name not in _ASIDE:
                found.append(_reading(name, position, text, result))
        given = {str(reading.object) for reading in found}
        gone = self._given.get(position, set()) - given
        result.readings += found
        result.readings += [Reading(name, position, 0, nan, Validity.NA) for name in sorted(gone)]
        is_off = _number(said.get(POWER, "")) == OFF
        if not is_off and any(name.partition("#")[0] not in said for name in gone):
            result.count("withdrawn")
        if said and position not in self._positions:
            result.count("position")
        self._given[position] = given

    def _alert(self, name: str, position: int) -> Alert:
        """An alert that the profile does not list carries its position in its name, or two pumps would share it."""
        if (name, position) in self._alerts:
            return Alert(name, position)
        return Alert(f"{name}@{position}", position, text=f"{name}, position {position}")


def _reading(name: str, position: int, text: str, result: Result) -> Reading:
    if text in NO_VALUE:
        return Reading(name, position, 0, nan, Validity.NA)
    value = _number(text)
    if value is None:
        result.count("value")
        return Reading(name, position, 0, nan, Validity.INV)
    return Reading(name, position, 0, value)


def _with_unit(name: str, position: int, said: Said, result: Result) -> list[Reading]:
    """Return a quantity under its unit code; none without a value, so that the row it had before ends."""
    value, unit = _number(said[name]), said.get(WITH_UNIT[name], "")
    if value is not None and _CODE.fullmatch(unit):
        return [Reading(f"{name}#{int(unit)}", position, 0, value, Validity.QST)]
    if said[name] not in NO_VALUE:
        result.count("value" if value is None else "unit")
    return []


def _is_value(text: str) -> bool:
    return text in NO_VALUE or _NUMBER.fullmatch(text) is not None


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None
