"""Nothing of a patient stands in the configuration: its words pass the log, and its names leave the box."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.config import Config
from gateway.core.personal import looks_personal
from gateway.security.policy.registry import Broken, Facts, rule


@rule("no-person", "No key and no text holds what can be a CPR number: nothing of a patient belongs here.")
def no_person(config: Config, _facts: Facts) -> Iterator[Broken]:
    """Where it is is said, never what it is: of a key that is one itself, the table above it."""
    for path in _personal(tomllib.loads(config.text), ()):
        hint = "take it out; name a serial number or a line that only looks so in another way, by udev for example"
        yield Broken(path, "something here can be a CPR number", hint)


def _personal(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, str):
        if looks_personal(value):
            yield path
    elif isinstance(value, Mapping):
        for key, part in value.items():
            if looks_personal(key):
                yield path
            yield from _personal(part, (*path, key))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _personal(part, (*path, number))
