"""From messages to readings and alerts.

    parameter   one per message: values and alarm limits, named by type and code of their record, and the states
    alarm       one per message: the highest alarm level, unless the monitor says none

Source: protocol notes, "Types and codes", "Value sentinels", "Answer data".
"""

from __future__ import annotations

from collections.abc import Mapping
from math import nan

from drivers.ge_dash.message import Message, Parameter
from gateway.core.frame import Alert, Alerts, Reading
from gateway.core.sample import Flag, Validity

# (type, code) of a record -> its name, and how many of its three values are known. Temperature (35) has no known type
# and scale, ST (86 to 89) no proven scale, BIS (132) is packed: they come under their numbers.
PARAMETERS: Mapping[tuple[int, int], tuple[str, int]] = {
    **{(kind, 58): ("ECG", 2) for kind in (1, 45)},  # heart rate, PVC
    **{(kind, 45): ("SPO2", 2) for kind in (11, 28, 43, 44)},  # saturation, pulse rate
    **{(kind, 24): ("NIBP", 3) for kind in (10, 57)},  # mean, systolic, diastolic: in this order
    (2, 77): ("INVP", 3),  # the same
    (8, 34): ("RESP", 1),
}
_SPECIAL = {
    0x8000: Validity.INV,
    0x8001: Validity.NA,  # missing
    0x8002: Validity.NA,  # drawing
    0x8003: Validity.NA,  # flush
    0x8004: Validity.CALIB,  # zeroing
    0x8005: Validity.CALIB,
    0x8006: Validity.NA,  # no pulse
    0x8007: Validity.INV,  # sensor failure
}
_NOT_SAID = (0x80, 0x81)  # of a byte: invalid, missing
_SILENCED = range(1, 6)  # alarm state: silenced, paused, off, volume off, paused and display off
_SYSTEM = range(1, 4)  # alarm level: system message, advisory, warning


def number(raw: int) -> tuple[float, int]:
    """Return a value as (number, validity). Every code 80xx means that there is none; negative numbers are numbers."""
    code = raw & 0xFFFF
    if code >> 8 == 0x80:
        return nan, _SPECIAL.get(code, Validity.INV)
    return float(raw), Validity.VLD


class Decoder:
    """Keeps what was said of the cuff: its pressures come with every message, without their time.

    They are given when they change. What is there from the first message on may be another patient's: it is held back
    until it changes. A second measurement with exactly the same numbers is not seen.
    """

    def __init__(self) -> None:
        self._cuff: list[Reading] | None = None

    def readings(self, message: Message) -> list[Reading]:
        """Return the readings of one message."""
        found = [
            _state("alarm.state", message.state),
            _state("alarm.level", message.level),
            _state("admitted", message.admitted),
        ]
        cuff: list[Reading] = []
        for parameter in message.parameters:
            name, known = PARAMETERS.get(
                (parameter.kind, parameter.code), (f"type {parameter.kind} code {parameter.code}", 3)
            )
            values = _values(parameter, name, known)
            if name == "NIBP":
                cuff += values
            else:
                found += values
            found += _limits(parameter, name, known)
        return found + self._news_of(cuff)

    def _news_of(self, cuff: list[Reading]) -> list[Reading]:
        before, self._cuff = self._cuff, cuff
        if cuff == before:
            return []
        if before is None:
            return [reading._replace(value=nan, validity=Validity.NA) for reading in cuff]
        return cuff


def alerts(message: Message) -> Alerts | None:
    """Return the alarm that the level tells; None when the monitor does not say."""
    if message.level in _NOT_SAID:
        return None
    if message.level == 0:
        return Alerts(())
    flags = Flag.ALERT_INHIBITED if message.state in _SILENCED else 0
    return Alerts((Alert(message.level, flags=int(flags), technical=message.level in _SYSTEM),))


def _state(name: str, code: int) -> Reading:
    if code in _NOT_SAID:
        return Reading(name, 0, 0, nan, Validity.NA)
    return Reading(name, 0, 0, float(code))


def _place(parameter: Parameter) -> int:
    """Return which of several records of one kind this is, not 0."""
    position, port = parameter.place
    return 1 + (position << 8 | port)


def _values(parameter: Parameter, name: str, known: int) -> list[Reading]:
    place = _place(parameter)
    return [Reading(f"{name}.{i}", place, 0, *number(raw)) for i, raw in enumerate(parameter.values[:known])]


def _limits(parameter: Parameter, name: str, known: int) -> list[Reading]:
    """Return the alarm limits of a parameter whose values are known.

    Both 0 is how a pair stands there that nobody uses (third value of the worked example): no limits, not 0 to 0.
    """
    place = _place(parameter)
    if (parameter.kind, parameter.code) not in PARAMETERS:
        return []
    return [
        Reading(f"{name}.{i}.{side}", place, 0, *(number(raw) if any(pair) else (nan, Validity.NA)))
        for i, pair in enumerate(parameter.limits[:known])
        for side, raw in zip(("low", "high"), pair, strict=True)
    ]
