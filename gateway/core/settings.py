"""Settings: frozen dataclasses that cannot hold a wrong value, and document themselves.

Each field carries metadata, made by `setting`: a sentence and a unit for the sample configuration, and what it allows.
Values are checked on construction, whoever constructs, so nothing further in ever sees a wrong one. `build` makes one
from a parsed TOML table and names the line of whatever does not fit.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from gateway.core.errors import ConfigError
from gateway.core.toml_lines import shown

S = TypeVar("S")
_REQUIRED = dataclasses.MISSING


def setting(
    doc: str,
    unit: str = "",
    choices: tuple[Any, ...] = (),
    low: float | None = None,
    high: float | None = None,
    pattern: str = "",
    empty: bool = False,
) -> Mapping[str, Any]:
    """Return field metadata.

    choices: the allowed values; low, high: inclusive bounds of a number; pattern: regular expression that a text
    matches in full; empty: whether a text may be empty.
    """
    meta = {"doc": doc, "unit": unit, "choices": choices, "low": low, "high": high}
    return {**meta, "pattern": pattern, "empty": empty}


class Settings:
    """Base of every settings dataclass. Fields are str, int, float, bool or tuple[str, ...]."""

    __slots__ = ()

    def __post_init__(self) -> None:
        """Raise ConfigError, one line, for the first field with a wrong value."""
        types = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # subclasses are dataclasses
            value = getattr(self, field.name)
            fault = _fault(value, types[field.name], field.metadata)
            if fault:
                raise ConfigError(f"{field.name} = {shown(value)}: {fault}", hint=str(field.metadata.get("doc", "")))


def described(kind: type[Settings]) -> dict[str, tuple[type, Any, str]]:
    """Return name -> (type, default, sentence) of a settings class, all of whose fields have defaults.

    The form in which a driver tells its options (gateway.core.protocol.Driver).
    """
    known = dataclasses.fields(kind)  # type: ignore[arg-type]  # subclasses are dataclasses
    return {field.name: (type(field.default), field.default, str(field.metadata["doc"])) for field in known}


def build(kind: type[S], table: Mapping[str, Any], where: Callable[..., str], ignore: Iterable[str] = ()) -> S:
    """Make settings of `kind` from a TOML table.

    where: keys -> "file:line" of that key in this table; ignore: keys that somebody else reads.
    Raises: ConfigError with line, key and a suggestion.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    given = {key: _untangle(value) for key, value in table.items() if key not in ignore}
    for key in given:
        if key not in fields:
            raise ConfigError(f"unknown key {shown(key)}", where(key), did_you_mean(key, [*fields, *ignore]))
    for name, field in fields.items():
        if name not in given and field.default is _REQUIRED and field.default_factory is _REQUIRED:
            raise ConfigError(f"key {name!r} is missing", where(), str(field.metadata.get("doc", "")))
    try:
        return kind(**given)
    except ConfigError as fault:
        key = fault.what.split(" ", 1)[0]
        raise ConfigError(fault.what, where(key) if key in fields else where(), fault.hint) from None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint: the nearest known word, or all of them."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(names)


def _untangle(value: Any) -> Any:
    """TOML arrays become tuples: settings are frozen."""
    return tuple(value) if isinstance(value, list) else value


def _fault(value: Any, kind: Any, meta: Mapping[str, Any]) -> str:
    """Return what is wrong with a value, or ""."""
    if kind == tuple[str, ...]:
        good = isinstance(value, tuple) and all(isinstance(item, str) and item for item in value)
        return "" if good else "must be a list of texts"
    if kind not in (str, int, float, bool):
        return "" if isinstance(value, typing.get_origin(kind) or kind) else f"must be {kind}"
    if type(value) not in ((int, float) if kind is float else (kind,)):  # not isinstance: True is no number here
        return f"must be {_NAMES[kind]}"
    if meta.get("choices") and value not in meta["choices"]:
        return "must be one of " + ", ".join(map(repr, meta["choices"]))
    if kind is str:
        return _text_fault(value, meta)
    low, high = meta.get("low"), meta.get("high")
    # Asked this way round, NaN fails.
    if not ((low is None or value >= low) and (high is None or value <= high)):
        unit = f" {meta['unit']}" if meta.get("unit") else ""
        return f"must be {'at most' if low is None else low}{' to' if low is not None else ''} {high}{unit}"
    return ""


def _text_fault(value: str, meta: Mapping[str, Any]) -> str:
    if not value.strip():
        return "" if meta.get("empty") else "must not be empty"
    if meta.get("pattern") and not re.fullmatch(meta["pattern"], value):
        return f"must match {meta['pattern']}"
    return ""


_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
