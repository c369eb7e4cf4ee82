"""The words that may leave in a log or a status: an allow-list, made of what the program itself says.

A word passes when it stands, written so, in a text of the source, in the configuration, or in what the system and the
MQTT library say of an error. Digits and signs pass; what looks like a CPR number does not. All else becomes "…": what a
device, a receiver or a broker has put into an exception, a name or a text cannot get out, whoever composed the line and
however. A list of what is forbidden could not do that: names are not known beforehand.

It cannot tell a patient's name from a word that the engineer has written into the configuration. Nothing of a patient
belongs there; a CPR number in it is found by the rule `no-person` (`mdi check`), and stops a start in production.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType
from typing import Any

from gateway.core.personal import withhold

HIDDEN = "…"
OURS = ("gateway", "kita", "drivers", "paho.mqtt.reasoncodes")
_RUN = re.compile(r"[^\W\d_]{2,}")  # letters; a single one says nothing
_HEX = re.compile(r"(?<![0-9A-Za-z])(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}(?![0-9A-Za-z])")


class Words:
    """A vocabulary. `shown` is what the log and the status use."""

    def __init__(self) -> None:
        self._known = {run for number in errno.errorcode for run in _runs(os.strerror(number))}
        self._modules: set[str] = set()

    def learn(self, texts: Iterable[str]) -> None:
        """Let the words of these texts pass: names of the configuration."""
        for text in texts:
            self._known.update(_runs(text))

    def shown(self, text: str) -> str:
        """Return a text with what is not known hidden."""
        kept = {match.span() for match in _HEX.finditer(text)}

        def word(match: re.Match[str]) -> str:
            begin, end = match.span()
            if self._knows(match[0]) or any(a <= begin and end <= b for a, b in kept):
                return match[0]
            return HIDDEN

        return withhold(_RUN.sub(word, text))

    def _knows(self, word: str) -> bool:
        if word in self._known:
            return True
        self._learn_modules()
        return word in self._known or (word.islower() and word.upper() in self._known)  # names of an enum

    def _learn_modules(self) -> None:
        """Learn what modules say that were loaded since the last time."""
        for name in sorted(set(sys.modules) - self._modules):
            self._modules.add(name)
            if name.split(".")[0] in OURS or name in OURS:
                get_code = getattr(getattr(sys.modules[name], "__loader__", None), "get_code", None)
                code = get_code(name) if get_code else None
                if code is not None:
                    self.learn(_texts(code))


def _runs(text: str) -> Iterator[str]:
    return (match[0] for match in _RUN.finditer(text))


def _texts(code: CodeType) -> Iterator[str]:
    """Yield the texts of a module's code of one line: in docstrings and templates examples stand, names among them."""
    for place, constant in enumerate(code.co_consts):
        if isinstance(constant, CodeType):
            yield from _texts(constant)
        elif isinstance(constant, str) and "\n" not in constant and not (place == 0 and constant.endswith(".")):
            yield constant
        elif isinstance(constant, (tuple, frozenset)):
            yield from (part for part in constant if isinstance(part, str))
    yield from (name for name in code.co_names if name.isupper())


def presentable(value: Any, words: Words) -> Any:
    """Return a JSON value with all its texts as `Words.shown` has them."""
    if isinstance(value, str):
        return words.shown(value)
    if isinstance(value, Mapping):
        return {words.shown(str(key)): presentable(part, words) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [presentable(part, words) for part in value]
    return value


def texts_of(document: Any) -> Iterator[str]:
    """Yield all texts of a TOML document: keys and values, not its comments."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, Mapping):
        for key, value in document.items():
            yield str(key)
            yield from texts_of(value)
    elif isinstance(document, list):
        for value in document:
            yield from texts_of(value)


WORDS = Words()  # one per process, like the logging module's own loggers: there is one standard error
