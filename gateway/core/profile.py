"""Device profiles: what the bytes of one model mean. Data, never code.

A profile is one TOML file, `firmware_profiles/<vendor>/<model>.toml`:

    [profile]   vendor, model, driver, source, verified, device (MDS type), files
    [firmware]  ranges: list of {min, max}; a device outside them is refused
    [units]     the protocol's unit codes -> UCUM or MDC_DIM_ name (only where the device sends units)
    [driver]    what the driver itself wants to know (register blocks, DBC file …), given to it untouched
    [transmit]  allow = what may ever be written to the device, as patterns; without it nothing may
    [wiring]    connector, cable, menu, lines: how the device is connected, and the settings of its line
    [[channel]] path "1.2.1", vmd, chan, frame; `metric` = a list, one inline table to a line
    [[since]]   firmware = "L.00": channels that are added, or replace those of the same path, from there on

There are no expressions, no includes and no inheritance. `resolve` turns a profile and a firmware into the flat list
that the plan compiler takes. Structure is checked here, and the first thing that is wrong raises; sense (codes, units,
ranges, overlap) in profile_lint, which tells all.

Docs: docs/profiles.md has each key with an example.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from gateway.core.errors import ProfileError
from gateway.core.profile_keys import (
    BOUNDS,
    CHANNEL_KEYS,
    CHOICES,
    FIRMWARE_KEYS,
    MAX_TEXT,
    METRIC_KEYS,
    NUMBER,
    PROFILE_KEYS,
    RANGE_KEYS,
    RAW_TYPES,
    SECTIONS,
    SINCE_KEYS,
    TRANSMIT_KEYS,
    VERIFIED,
    WIRING_KEYS,
    Keys,
    Number,
)
from gateway.core.toml_lines import Path, line_of, load, shown
from gateway.core.transmit import grammar_fault


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One row of a profile, checked for structure. `where` is file:line."""

    path: str
    id: str
    where: str
    frame: str
    unit: str = ""
    kind: str = "numeric"
    category: str = "measurement"
    episodic: bool = False
    object: int | str | None = None
    instance: int = 0
    at: int | None = None
    type: str = ""
    order: str = ""
    bit: int = 0
    scale: Number = 1
    offset: Number = 0
    raw_unit: str = ""
    raw_invalid: tuple[Number, ...] = ()
    range: tuple[Number, Number] | None = None
    values: tuple[tuple[int | str, str], ...] = ()
    limit_of: str = ""
    alert: str = ""
    of: str = ""
    text: str = ""
    priority: int = 0
    source: str = ""


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """A containment channel with its metrics."""

    path: str
    vmd: str
    chan: str
    metrics: tuple[MetricSpec, ...]
    where: str


@dataclass(frozen=True, slots=True)
class FirmwareRange:
    """From `low` up to and including `high`, both as the device writes them; "" = open."""

    low: str
    high: str
    where: str = ""

    def holds(self, firmware: str) -> bool:
        """Tell whether `firmware` lies in the range. `high` includes all that begins with it: "L" holds "L.01.18"."""
        key, high = firmware_key(firmware), firmware_key(self.high)
        return (not self.low or firmware_key(self.low) <= key) and (
            not self.high or key <= high or key[: len(high)] == high
        )


@dataclass(frozen=True, slots=True)
class Wiring:
    """How the device is connected. lines: link settings ("kind", "baud", "parity" …), the usual ones first."""

    connector: str
    cable: str
    lines: tuple[Mapping[str, Any], ...]
    source: str
    menu: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """One model. `id` is "vendor/model", the path without .toml; `files` are the texts of its data files.

    transmit: patterns of what may be written to the device (gateway.core.transmit); none: nothing may
    experimental: why nobody may rely on it yet; "" = it is not
    lines: where in the file stands ("profile", key), ("units", wire code), and the firmware of ("since", block number)
    """

    id: str
    where: str
    vendor: str
    model: str
    driver: str
    source: str
    verified: str
    device: str
    firmware: tuple[FirmwareRange, ...]
    units: Mapping[int | str, str]
    driver_table: Mapping[str, Any]
    channels: tuple[ChannelSpec, ...]
    since: tuple[tuple[str, tuple[ChannelSpec, ...]], ...]
    files: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    experimental: str = ""
    undetected_flips: float | None = None
    transmit: tuple[str, ...] = ()
    wiring: Wiring | None = None
    lines: Mapping[Path, str] = field(default_factory=dict)

    def accepts(self, firmware: str) -> bool:
        """Tell whether the profile may be used for this firmware; "" (not known) is accepted."""
        return not firmware or not self.firmware or any(r.holds(firmware) for r in self.firmware)

    def resolve(self, firmware: str) -> tuple[ChannelSpec, ...]:
        """Return the channels that hold for `firmware` ("" = not known: no `since` block applies).

        Raises: ProfileError when the firmware is outside every range.
        """
        if not self.accepts(firmware):
            ranges = ", ".join(f"{r.low or '…'} to {r.high or '…'}" for r in self.firmware)
            raise ProfileError(
                f"firmware {firmware!r} is outside the range of profile {self.id} ({ranges})",
                self.where,
                "check the device, or have the profile extended and tested for this firmware",
            )
        channels = {channel.path: channel for channel in self.channels}
        for first, added in sorted(self.since, key=lambda block: firmware_key(block[0])):  # the latest word counts
            if firmware and firmware_key(first) <= firmware_key(firmware):
                channels.update((channel.path, channel) for channel in added)
        return tuple(channels.values())


def firmware_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key: numbers as numbers, letters as letters ("L.01.9" comes before "L.01.18").

    Takes whatever a device sends: digits are compared as text of their length, so no number is too long.
    """
    key = []
    for part in re.findall(r"[0-9]+|[A-Za-z]+", text):
        digits = part.lstrip("0")
        key.append((0, len(digits), digits) if part.isdecimal() else (1, 0, part.upper()))
    return tuple(key)


def parse_profile(text: str, profile_id: str, where: str, files: Mapping[str, str] | None = None) -> Profile:
    """Read one profile. Raises: ProfileError with file and line for the first thing that is wrong."""
    if len(text) > MAX_TEXT:
        hint = "a profile is a table; split the model"
        raise ProfileError(f"profile is larger than {MAX_TEXT // 1024} KiB", f"{where}:1", hint)
    return _Reader(text, where).profile(profile_id, load(text, where, ProfileError), files or {})


class _Reader:
    """Turns the parsed document into a Profile and names the line of whatever does not fit."""

    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.file = where
        self.lines: dict[Path, str] = {}

    def where(self, path: Path) -> str:
        return f"{self.file}:{line_of(self.text, path)}"

    def fail(self, what: str, path: Path, hint: str) -> NoReturn:
        raise ProfileError(what, self.where(path), hint)

    def profile(self, profile_id: str, doc: dict[str, Any], files: Mapping[str, str]) -> Profile:
        self.sections(doc)
        head = self.table(doc.get("profile", {}), PROFILE_KEYS, ("profile",))
        self.lines.update({("profile", key): self.where(("profile", key)) for key in PROFILE_KEYS})
        self.choice(head["verified"], VERIFIED, ("profile", "verified"))
        if not doc.get("channel"):
            self.fail("profile has no [[channel]]", ("profile",), "add at least one channel with metrics")
        return Profile(
            id=profile_id,
            where=self.where(("profile",)),
            firmware=self.firmware(doc.get("firmware", {})),
            units=self.units(doc.get("units", {})),
            driver_table=doc.get("driver", {}),
            transmit=self.transmit(doc.get("transmit", {})),
            wiring=self.wiring(doc.get("wiring", {})),
            channels=self.channels(doc["channel"], ("channel",)),
            since=tuple(self.since(i, block) for i, block in enumerate(doc.get("since", []))),
            files=self.files(head.pop("files", []), files),
            lines=self.lines,
            **head,
        )

    def sections(self, doc: Mapping[str, Any]) -> None:
        for section, content in doc.items():
            if section not in SECTIONS:
                self.fail(f"unknown section [{shown(section)[1:-1]}]", (section,), "use one of " + ", ".join(SECTIONS))
            if not isinstance(content, SECTIONS[section]):
                brackets = "[{}]" if SECTIONS[section] is dict else "[[{}]]"
                self.fail(f"{section} is no table", (section,), "write " + brackets.format(section))

    def files(self, names: Sequence[Any], files: Mapping[str, str]) -> dict[str, str]:
        path = ("profile", "files")
        for name in names:
            if not isinstance(name, str):
                self.fail(f"{shown(name)} is no file name", path, 'write files = ["model.dbc"]')
            if name not in files:
                self.fail(f"data file {name} is missing", path, "put it beside the profile")
        return {name: files[name] for name in names}

    def table(self, table: Any, keys: Keys, path: Path) -> dict[str, Any]:
        """Check one table against its key table and return it."""
        if not isinstance(table, dict):
            self.fail("must be a table", path, "write { key = value, … }")
        for key, value in table.items():
            if key not in keys:
                self.fail(f"unknown key {shown(key)}", (*path, key), _did_you_mean(key, keys))
            types, _, meaning = keys[key]
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                names = " or ".join(t.__name__ for t in types)
                self.fail(f"{key} must be {names}, not {shown(value)}", (*path, key), f"{key}: {meaning}")
        for key, (_, required, meaning) in keys.items():
            if required and key not in table:
                self.fail(f"{key} is missing", path, f"{key}: {meaning}")
        return dict(table)

    def choice(self, value: str, allowed: Sequence[str], path: Path) -> None:
        if value not in allowed:
            self.fail(f"{path[-1]} = {shown(value)} is not known", path, "use one of " + ", ".join(allowed))

    def firmware(self, table: Mapping[str, Any]) -> tuple[FirmwareRange, ...]:
        if not table:
            return ()
        ranges = []
        for i, item in enumerate(self.table(table, FIRMWARE_KEYS, ("firmware",))["ranges"]):
            path = ("firmware", "ranges", i)
            ends = self.table(item, RANGE_KEYS, path)
            ranges.append(FirmwareRange(ends.get("min", ""), ends.get("max", ""), self.where(path)))
        return tuple(ranges)

    def transmit(self, table: Mapping[str, Any]) -> tuple[str, ...]:
        if not table:
            return ()
        patterns = self.table(table, TRANSMIT_KEYS, ("transmit",))["allow"]
        texts = [pattern for pattern in patterns if isinstance(pattern, str)]
        at = next((i for i, pattern in enumerate(patterns) if not isinstance(pattern, str)), None)
        i, what = grammar_fault(texts) if at is None else (at, "is no text")
        if what:
            self.fail(f"pattern {str(patterns[i])[:80]!r} {what}", ("transmit", "allow", i), r"write '\x02SNDA\r'")
        return tuple(patterns)

    def wiring(self, table: Mapping[str, Any]) -> Wiring | None:
        if not table:
            return None
        found = self.table(table, WIRING_KEYS, ("wiring",))
        if not found["lines"] or not all(isinstance(line, dict) and "kind" in line for line in found["lines"]):
            hint = 'write lines = [{ kind = "serial", baud = 9600 }]'
            self.fail("lines must be a list of link settings", ("wiring", "lines"), hint)
        return Wiring(**{**found, "lines": tuple(found["lines"])})

    def units(self, table: Mapping[str, Any]) -> dict[int | str, str]:
        """Read the wire's unit codes; a code that is no number is a word of the device (lb, mmol/L)."""
        units: dict[int | str, str] = {}
        for key, value in table.items():
            path = ("units", key)
            if not isinstance(value, str):
                self.fail(f"unit {shown(value)} is no text", path, 'write "0x0AA0" = "/min"')
            code = int(key, 0) if re.fullmatch(r"0x[0-9A-Fa-f]+|[0-9]+", key) else key
            if code in units:
                self.fail(f"unit code {key} stands twice", path, "one line for one code")
            units[code] = value
            self.lines["units", code] = self.where(path)
        return units

    def since(self, index: int, block: Any) -> tuple[str, tuple[ChannelSpec, ...]]:
        path = ("since", index)
        table = self.table(block, SINCE_KEYS, path)
        self.lines[path] = self.where((*path, "firmware"))
        return table["firmware"], self.channels(table["channel"], (*path, "channel"))

    def channels(self, items: Sequence[Any], path: Path) -> tuple[ChannelSpec, ...]:
        channels: dict[str, ChannelSpec] = {}
        for i, item in enumerate(items):
            channel = self.channel(item, (*path, i))
            if channel.path in channels:
                first = channels[channel.path].where
                self.fail(f"channel {channel.path} stands twice", (*path, i), f"add its metrics to the first, {first}")
            channels[channel.path] = channel
        return tuple(channels.values())

    def channel(self, item: Any, path: Path) -> ChannelSpec:
        table = self.table(item, CHANNEL_KEYS, path)
        if not re.fullmatch(r"1\.[1-9][0-9]*\.[1-9][0-9]*", table["path"]):
            self.fail(f"path {shown(table['path'])} is no MDS.VMD.CHAN", (*path, "path"), 'write "1.2.1"')
        metrics = tuple(self.metric(m, table, (*path, "metric", i)) for i, m in enumerate(table["metric"]))
        return ChannelSpec(table["path"], table["vmd"], table["chan"], metrics, self.where(path))

    def metric(self, item: Any, channel: Mapping[str, Any], path: Path) -> MetricSpec:
        table = self.table(item, METRIC_KEYS, path)
        frame = table.pop("frame", channel.get("frame", ""))
        if not frame:
            self.fail("frame is missing", path, "name the frame kind in the channel or in the metric")
        if ("object" in table) == ("at" in table):
            self.fail("exactly one of object and at is needed", path, "object: self-describing; at: fixed layout")
        if "at" in table and "type" not in table:
            self.fail("type is missing", path, "a value at an offset needs its raw type: " + " ".join(RAW_TYPES))
        for key, allowed in CHOICES:
            if key in table:
                self.choice(table[key], allowed, (*path, key))
        for key, (low, high) in BOUNDS.items():
            if key in table and not low <= table[key] <= high:
                self.fail(f"{key} = {table[key]} is not possible", (*path, key), f"{low} to {high}")
        self.lists(table, path)
        return MetricSpec(
            path=f"{channel['path']}.{table.pop('n')}",
            where=self.where(path),
            frame=frame,
            source=table.pop("source", channel.get("source", "")),
            **table,
        )

    def lists(self, table: dict[str, Any], path: Path) -> None:
        """Check what stands inside the lists of a metric, and make tuples of them."""
        limits, values, invalid = (table.pop(key, None) for key in ("range", "values", "raw_invalid"))
        if limits is not None:
            if len(limits) != 2 or not all(map(_is_number, limits)):
                self.fail("range must be [low, high]", (*path, "range"), "two numbers in the metric's unit")
            table["range"] = (limits[0], limits[1])
        if values is not None:
            if not all(isinstance(v, list) and list(map(type, v)) in ([int, str], [str, str]) for v in values):
                hint = 'write [[0, "closed"], [1, "open"]]'
                self.fail("values must be a list of [raw number or word, token]", (*path, "values"), hint)
            table["values"] = tuple((raw, token) for raw, token in values)
        if invalid is not None:
            if not all(map(_is_number, invalid)):
                self.fail("raw_invalid must be a list of numbers", (*path, "raw_invalid"), "write [65535]")
            table["raw_invalid"] = tuple(invalid)


def _is_number(value: Any) -> bool:
    return isinstance(value, NUMBER) and not isinstance(value, bool)


def _did_you_mean(word: str, known: Keys) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else "known keys: " + ", ".join(known)
