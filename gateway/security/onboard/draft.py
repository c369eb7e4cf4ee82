"""A new record as text: what is known already is filled in, the rest is asked for or left to be filled in. Pure."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.config import Config
from gateway.core.errors import ConfigError
from gateway.core.settings import Settings, did_you_mean
from gateway.security.onboard.content import used_conduits
from gateway.security.onboard.observed import Observed
from gateway.security.onboard.record import SECTIONS

Values = dict[str, str | tuple[str, ...]]
"""Dotted key -> value: {"device.maker": "Philips", "use.conduits": ("line", "broker")}."""


def entries() -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """Yield each key of a record with its field."""
    for section, kind in SECTIONS.items():
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # all are dataclasses
            yield f"{section}.{field.name}", field


def required(field: dataclasses.Field[Any]) -> bool:
    """Tell whether a key must be given."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def known(config: Config, asset: str, device: str, seen: Observed | None) -> Values:
    """Return what the configuration and the running gateway know. Raises: ConfigError when there is no such device."""
    for port in config.ports:
        for one in port.devices:
            if one.settings.name == device:
                place, profile = one.location, one.spec.profile
                said = seen or Observed("", "", one.settings.firmware, "", "")
                found: Values = {
                    "device.asset": asset,
                    "device.maker": profile.vendor,
                    "device.model": profile.model,
                    "device.location": ", ".join(t for t in (place.facility, place.unit, place.room, place.bed) if t),
                    "device.firmware": said.firmware or one.settings.firmware,
                    "device.says_model": said.model,
                    "device.says_serial": said.serial,
                    "device.serial": said.serial,
                    "use.device": device,
                    "use.port": port.settings.name,
                    "use.conduits": tuple(used_conduits(config, port)),
                }
                return {key: value for key, value in found.items() if value}
    names = [one.settings.name for one in config.devices]
    raise ConfigError(f"no device {device!r} is configured", str(config.path), did_you_mean(device, names))


def probed(found: Mapping[str, Any]) -> Values:
    """Return what `mdi probe --json` has found. Raises: ConfigError when it is none of its answers, or empty."""
    matches = found.get("found")
    if not isinstance(matches, list) or not matches or not isinstance(matches[0], dict):
        raise ConfigError("nothing was recognised by that probe", hint="mdi probe PORT --json > FILE.json")
    match = matches[0]
    texts = {"device.maker": "vendor", "device.says_model": "model", "device.firmware": "firmware"}
    return {key: str(match[name]) for key, name in texts.items() if match.get(name)}


def parsed(settings: list[str]) -> Values:
    """Return KEY=VALUE pairs; a list is parted by commas. Raises: ConfigError with a suggestion."""
    fields, found = dict(entries()), Values()
    short = {key.rpartition(".")[2]: key for key in fields}
    for text in settings:
        key, is_, value = text.partition("=")
        key = short.get(key, key)
        if not is_ or key not in fields:
            raise ConfigError(f"--set {text!r}", hint=did_you_mean(key, fields))
        found[key] = as_value(fields[key], value)
    return found


def as_value(field: dataclasses.Field[Any], text: str) -> str | tuple[str, ...]:
    """Return what a person has typed as the field wants it."""
    if str(field.type).startswith("tuple"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text.strip()


def written(values: Mapping[str, str | tuple[str, ...]]) -> str:
    """Return the record: every key with its sentence, those without a value commented out."""
    lines = ["# A device record. It is approved as it stands; a change needs two new signatures."]
    for section, kind in SECTIONS.items():
        lines += ["", f"# {_first(kind)}", f"[{section}]"]
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # all are dataclasses
            value = values.get(f"{section}.{field.name}")
            lines.append(f"# {field.metadata['doc']}" + _choices(field))
            if value not in (None, "", ()):
                lines.append(f"{field.name} = {_toml(value)}")
            else:
                usual = "" if required(field) else field.default
                lines.append(f"# {field.name} = {_toml(usual)}")
    lines += ["", "# [[evidence]]", '# name = "mds2.pdf"', '# kind = "mds2"', '# sha256 = "…"', ""]
    return "\n".join(lines)


def _first(kind: type[Settings]) -> str:
    return (kind.__doc__ or "").split("\n")[0].partition(": ")[2]


def _choices(field: dataclasses.Field[Any]) -> str:
    choices = field.metadata.get("choices")
    return " One of " + ", ".join(choices) + "." if choices else ""


def _toml(value: Any) -> str:
    """Return a text or a list of texts as TOML writes it: as JSON does, but for DEL (TOML 1.0, String)."""
    return re.sub("\x7f", r"\\u007f", json.dumps(value, ensure_ascii=False))
