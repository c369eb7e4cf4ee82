"""The DBC file of a profile, compiled for decoding: arbitration id -> readings.

cantools parses the DBC and unpacks the bits. Per frame it is asked for raw numbers only; scale and offset are applied
here, because its plain float product shows noise (7 x 0.1 = 0.7000000000000001) and because sentinels are raw numbers.

A value is named "<Message>.<Signal>": DBC makes signal names unique within a message only, and message names unique
within the file. The names are the `object` of the profile's metrics.

`[driver]` of a profile:
    dbc      name of the DBC file, one of the profile's `files`
    invalid  raw numbers that mean "no value", by "<Message>.<Signal>" or by the sending node for all its signals

Source of the DBC idioms: Vector, DBC File Format Documentation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

import cantools.database
from cantools.database.can import Message
from cantools.database.can import Signal as DbcSignal
from cantools.database.errors import DecodeError, UnsupportedDatabaseFormatError

from gateway.core.can_frame import EXTENDED, MAX_DATA, show_id
from gateway.core.errors import ProfileError
from gateway.core.frame import Reading
from gateway.core.profile import MetricSpec, Profile
from gateway.core.sample import Validity

KEYS = {"dbc": "name of the DBC file", "invalid": 'raw numbers without a value: { "Message.Signal" = [-1] }'}


class UnknownMultiplexer(Exception):
    """The frame selects a group of signals that the DBC does not have."""


@dataclass(frozen=True, slots=True)
class _Signal:
    """One signal, compiled."""

    object: str
    physical: Callable[[float], float]
    invalid: frozenset[float]
    low: float
    high: float

    def read(self, raw: float) -> Reading:
        """Return the physical value with what the DBC says of its validity; a number outside its limits is kept."""
        if raw in self.invalid:
            return Reading(self.object, 0, 0, math.nan, Validity.NA)
        if not math.isfinite(raw):  # only a float signal can be that
            return Reading(self.object, 0, 0, math.nan, Validity.INV)
        value = self.physical(raw)
        if value > self.high:
            return Reading(self.object, 0, 0, value, Validity.OFLW)
        if value < self.low:
            return Reading(self.object, 0, 0, value, Validity.UFLW)
        return Reading(self.object, 0, 0, value)


class CompiledMessage:
    """One message of the DBC.

    can_id: arbitration id, with bit 31 set for a 29-bit one
    length: least number of data bytes
    episodic: those of its signals that the profile calls episodic
    """

    __slots__ = ("_signals", "can_id", "dbc", "episodic", "length", "name", "source")

    def __init__(
        self, message: Message, source: int, invalid: Mapping[str, frozenset[float]], episodic: frozenset[str]
    ) -> None:
        self.dbc = message
        self.name = message.name
        self.can_id = message.frame_id | (EXTENDED if message.is_extended_frame else 0)
        self.length = message.length
        self.source = source
        self.episodic = episodic.intersection(f"{message.name}.{signal.name}" for signal in message.signals)
        self._signals = {signal.name: _compile(signal, message, invalid) for signal in message.signals}

    def readings(self, data: bytes) -> list[Reading]:
        """Decode one frame of at least `length` bytes. Raises: UnknownMultiplexer."""
        try:
            numbers = self.dbc.decode_simple(data, decode_choices=False, scaling=False)
        except DecodeError as fault:
            raise UnknownMultiplexer(str(fault)) from fault
        signals = self._signals
        return [signals[name].read(raw) for name, raw in numbers.items()]  # type: ignore[arg-type]  # no choices: a number


def load_messages(profile: Profile, source: int) -> list[CompiledMessage]:
    """Compile the DBC of a profile. Raises: ProfileError with the file, and the line where cantools names one."""
    table = dict(profile.driver_table)
    for key in table:
        if key not in KEYS:
            known = ", ".join(f"{name} ({meaning})" for name, meaning in KEYS.items())
            raise ProfileError(f"[driver] has an unknown key {key!r}", profile.where, f"known keys: {known}")
    name = table.get("dbc")
    if not isinstance(name, str) or name not in profile.files:
        hint = 'write files = ["x.dbc"] in [profile] and dbc = "x.dbc" in [driver]'
        raise ProfileError("[driver] dbc names no file of the profile", profile.where, hint)
    where = str(PurePosixPath(profile.where).with_name(name))
    messages = _parse(profile.files[name], where)
    invalid = _invalid(table.get("invalid", {}), messages, profile.where)
    _check(messages, where)
    episodic = frozenset(str(metric.object) for metric in metrics(profile) if metric.episodic)
    return [CompiledMessage(message, source, invalid, episodic) for message in messages]


def metrics(profile: Profile) -> Iterator[MetricSpec]:
    """Yield the metrics of a profile for whatever firmware."""
    for channels in (profile.channels, *(added for _, added in profile.since)):
        for channel in channels:
            yield from channel.metrics


@lru_cache(maxsize=4)  # every device of a bus, its simulator and each reconnect ask for the same text
def _parse(text: str, where: str) -> tuple[Message, ...]:
    try:
        database = cantools.database.load_string(text, "dbc", strict=True)
    except UnsupportedDatabaseFormatError as fault:
        line = re.search(r"at line (\d+)", str(fault))
        what = re.sub(r'^DBC: "|"$', "", str(fault))
        raise ProfileError(f"not a DBC file: {what}", f"{where}:{line[1]}" if line else where) from fault
    assert isinstance(database, cantools.database.Database)  # format "dbc" gives no other
    if not database.messages:
        raise ProfileError("the DBC has no message", where, "add BO_ and SG_ lines")
    return tuple(database.messages)


def _check(messages: Sequence[Message], where: str) -> None:
    """Refuse what cannot be told apart or cannot arrive."""
    ids: dict[tuple[int, bool], str] = {}
    names: set[str] = set()
    for message in messages:
        if message.length > MAX_DATA:
            hint = "CAN FD is not supported: its records cannot be told from classic ones"
            raise ProfileError(f"{message.name} has {message.length} bytes, a CAN frame has {MAX_DATA}", where, hint)
        key = (message.frame_id, message.is_extended_frame)
        if key in ids or message.name in names:
            shown = show_id(message.frame_id | (EXTENDED if message.is_extended_frame else 0))
            other = ids.get(key, message.name)
            raise ProfileError(f"{message.name} ({shown}) repeats {other}", where, "one name and one id to a message")
        ids[key] = message.name
        names.add(message.name)


def _invalid(table: Any, messages: Sequence[Message], where: str) -> dict[str, frozenset[float]]:
    """Check `[driver] invalid` and return it: object or sender -> raw numbers."""
    hint = KEYS["invalid"]
    if not isinstance(table, dict):
        raise ProfileError("[driver] invalid is no table", where, hint)
    known = {f"{m.name}.{signal.name}" for m in messages for signal in m.signals}
    known.update(sender for m in messages for sender in m.senders)
    for name, numbers in table.items():
        if name not in known:
            raise ProfileError(f"[driver] invalid: {name!r} is no signal and no node of the DBC", where, hint)
        if not isinstance(numbers, list) or not all(type(n) in (int, float) for n in numbers):
            raise ProfileError(f"[driver] invalid: {name!r} is no list of numbers", where, hint)
    return {name: frozenset(float(n) for n in numbers) for name, numbers in table.items()}


def _compile(signal: DbcSignal, message: Message, invalid: Mapping[str, frozenset[float]]) -> _Signal:
    name = f"{message.name}.{signal.name}"
    numbers = frozenset[float]().union(*(invalid.get(key, frozenset()) for key in (name, *message.senders)))
    low = -math.inf if signal.minimum is None else float(signal.minimum)
    high = math.inf if signal.maximum is None else float(signal.maximum)
    return _Signal(name, _linear(signal.scale, signal.offset), numbers, low, high)


def _linear(scale: float, offset: float) -> Callable[[float], float]:
    """Return raw -> physical. 12 significant digits: what follows them is noise of the float product."""
    if scale == 1 and offset == 0:
        return float
    return lambda raw: float(f"{raw * scale + offset:.12g}")
