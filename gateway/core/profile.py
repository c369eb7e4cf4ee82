"""Device profiles: what the bytes of one model mean. Data, never code.

A profile is one TOML file, `firmware_profiles/<vendor>/<model>.toml`:

    [profile]   vendor, model, driver, source, verified, device (MDS type), files
    [firmware]  ranges: list of {min, max}; a device outside them is refused
    [units]     the protocol's unit codes -> UCUM or MDC_DIM_ name (only where the device sends units)
    [driver]    what the driver itself wants to know (register blocks, DBC file …), given to it untouched
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
from gateway.core.toml_lines import Path, line_of, load

MAX_TEXT = 512 * 1024  # a profile is a table, not a program: larger is refused (design: size caps)
VERIFIED = ("capture", "simulator", "paper")
KINDS = ("numeric", "waveform", "enumeration", "alert")
CATEGORIES = ("measurement", "calculation", "setting")
RAW_TYPES = ("u8", "i8", "u16", "i16", "u32", "i32", "f32", "u64", "i64", "f64", "bit")

Number = int | float
_NUMBER: tuple[type, ...] = (int, float)
Keys = Mapping[str, tuple[tuple[type, ...], bool, str]]
"""key: (types, required, meaning). One table for checking, for the docs and for "did you mean"."""

METRIC_KEYS: Keys = {
    "n": ((int,), True, "number inside its channel: the last number of OBX-4"),
    "id": ((str,), True, "11073 reference id (MDC_…), or MDCX_… when there is no standard term"),
    "unit": ((str,), False, "unit of the value as stored and sent: UCUM text or MDC_DIM_…; none for enumerations"),
    "kind": ((str,), False, "numeric (default), waveform, enumeration or alert"),
    "category": ((str,), False, "measurement (default), calculation or setting"),
    "episodic": ((bool,), False, "true when it is measured now and then (cuff, bolus), not continuously"),
    "frame": ((str,), False, "frame kind that carries it; default: the channel's"),
    "object": ((int, str), False, "self-describing protocols: the protocol's id of the value"),
    "instance": ((int,), False, "self-describing protocols: tells two of one object apart (label); default any"),
    "at": ((int,), False, "fixed layouts: byte offset in the frame"),
    "type": ((str,), False, "fixed layouts: raw type: " + " ".join(RAW_TYPES)),
    "order": ((str,), False, "fixed layouts: byte order as ABCD, CDAB, BADC, DCBA …; default big-endian"),
    "bit": ((int,), False, "type bit: number of the bit in the big-endian u16 at `at`, 0 = lowest"),
    "scale": (_NUMBER, False, "physical = raw x scale + offset; default 1"),
    "offset": (_NUMBER, False, "physical = raw x scale + offset; default 0"),
    "raw_unit": ((str,), False, "unit after scale and offset, when it differs from `unit`: converted"),
    "raw_invalid": ((list,), False, "raw codes that mean: no value"),
    "range": ((list,), False, "[low, high] the device can mean, in `unit`; outside: flagged, never changed"),
    "values": ((list,), False, "enumeration: the list of [raw number, token]"),
    "source": ((str,), False, "where this row comes from, when not the profile's source"),
}
CHANNEL_KEYS: Keys = {
    "path": ((str,), True, "containment MDS.VMD.CHAN, for example 1.2.1"),
    "vmd": ((str,), True, "11073 reference id of the VMD row"),
    "chan": ((str,), True, "11073 reference id of the channel row"),
    "frame": ((str,), False, "frame kind of its metrics"),
    "source": ((str,), False, "where its rows come from"),
    "metric": ((list,), True, "the metrics, one inline table to a line"),
}
PROFILE_KEYS: Keys = {
    "vendor": ((str,), True, "maker of the device"),
    "model": ((str,), True, "model or family"),
    "driver": ((str,), True, "driver that finds the frames"),
    "source": ((str,), True, "manual, section, or capture that the table comes from"),
    "verified": ((str,), True, "capture, simulator or paper"),
    "device": ((str,), True, "11073 reference id of the MDS row"),
    "files": ((list,), False, "data files beside the profile that the driver reads (DBC, EDS)"),
    "note": ((str,), False, "what a biomedical engineer should know"),
}
SECTIONS: Mapping[str, type] = {
    "profile": dict,
    "firmware": dict,
    "units": dict,
    "driver": dict,
    "channel": list,
    "since": list,
}
_FIRMWARE_KEYS: Keys = {"ranges": ((list,), True, 'list of { min = "A.00", max = "M.99" }')}
_RANGE_KEYS: Keys = {"min": ((str,), False, "first firmware"), "max": ((str,), False, "last firmware")}
_SINCE_KEYS: Keys = {
    "firmware": ((str,), True, "first firmware that has these channels"),
    "channel": ((list,), True, "the channels added or replaced"),
}
_BOUNDS = {"n": (1, 65535), "at": (0, 65535), "bit": (0, 15)}  # of METRIC_KEYS; a bit is one of a u16


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
    values: tuple[tuple[int, str], ...] = ()
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
class Profile:
    """One model. `id` is "vendor/model", the path without .toml; `files` are the texts of its data files.

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
    units: Mapping[int, str]
    driver_table: Mapping[str, Any]
    channels: tuple[ChannelSpec, ...]
    since: tuple[tuple[str, tuple[ChannelSpec, ...]], ...]
    files: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
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
            channels=self.channels(doc["channel"], ("channel",)),
            since=tuple(self.since(i, block) for i, block in enumerate(doc.get("since", []))),
            files=self.files(head.pop("files", []), files),
            lines=self.lines,
            **head,
        )

    def sections(self, doc: Mapping[str, Any]) -> None:
        for section, content in doc.items():
            if section not in SECTIONS:
                self.fail(f"unknown section [{section}]", (section,), "use one of " + ", ".join(SECTIONS))
            if not isinstance(content, SECTIONS[section]):
                brackets = "[{}]" if SECTIONS[section] is dict else "[[{}]]"
                self.fail(f"{section} is no table", (section,), "write " + brackets.format(section))

    def files(self, names: Sequence[Any], files: Mapping[str, str]) -> dict[str, str]:
        path = ("profile", "files")
        for name in names:
            if not isinstance(name, str):
                self.fail(f"{name!r} is no file name", path, 'write files = ["model.dbc"]')
            if name not in files:
                self.fail(f"data file {name} is missing", path, "put it beside the profile")
        return {name: files[name] for name in names}

    def table(self, table: Any, keys: Keys, path: Path) -> dict[str, Any]:
        """Check one table against its key table and return it."""
        if not isinstance(table, dict):
            self.fail("must be a table", path, "write { key = value, … }")
        for key, value in table.items():
            if key not in keys:
                self.fail(f"unknown key {key!r}", (*path, key), _did_you_mean(key, keys))
            types, _, meaning = keys[key]
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                names = " or ".join(t.__name__ for t in types)
                self.fail(f"{key} must be {names}, not {value!r}", (*path, key), f"{key}: {meaning}")
        for key, (_, required, meaning) in keys.items():
            if required and key not in table:
                self.fail(f"{key} is missing", path, f"{key}: {meaning}")
        return dict(table)

    def choice(self, value: str, allowed: Sequence[str], path: Path) -> None:
        if value not in allowed:
            self.fail(f"{path[-1]} = {value!r} is not known", path, "use one of " + ", ".join(allowed))

    def firmware(self, table: Mapping[str, Any]) -> tuple[FirmwareRange, ...]:
        if not table:
            return ()
        ranges = []
        for i, item in enumerate(self.table(table, _FIRMWARE_KEYS, ("firmware",))["ranges"]):
            path = ("firmware", "ranges", i)
            ends = self.table(item, _RANGE_KEYS, path)
            ranges.append(FirmwareRange(ends.get("min", ""), ends.get("max", ""), self.where(path)))
        return tuple(ranges)

    def units(self, table: Mapping[str, Any]) -> dict[int, str]:
        units: dict[int, str] = {}
        for key, value in table.items():
            path = ("units", key)
            if not isinstance(value, str):
                self.fail(f"unit {value!r} is no text", path, 'write "0x0AA0" = "/min"')
            try:
                code = int(key, 0)
            except ValueError:
                self.fail(f"unit code {key!r} is no number", path, 'write "0x0AA0" = "/min"')
            if code in units:
                self.fail(f"unit code {key} stands twice", path, "one line for one code")
            units[code] = value
            self.lines["units", code] = self.where(path)
        return units

    def since(self, index: int, block: Any) -> tuple[str, tuple[ChannelSpec, ...]]:
        path = ("since", index)
        table = self.table(block, _SINCE_KEYS, path)
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
            self.fail(f"path {table['path']!r} is no MDS.VMD.CHAN", (*path, "path"), 'write "1.2.1"')
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
        for key, allowed in (("kind", KINDS), ("category", CATEGORIES), ("type", RAW_TYPES)):
            if key in table:
                self.choice(table[key], allowed, (*path, key))
        for key, (low, high) in _BOUNDS.items():
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
            if not all(isinstance(v, list) and list(map(type, v)) == [int, str] for v in values):
                hint = 'write [[0, "closed"], [1, "open"]]'
                self.fail("values must be a list of [raw number, token]", (*path, "values"), hint)
            table["values"] = tuple((raw, token) for raw, token in values)
        if invalid is not None:
            if not all(map(_is_number, invalid)):
                self.fail("raw_invalid must be a list of numbers", (*path, "raw_invalid"), "write [65535]")
            table["raw_invalid"] = tuple(invalid)


def _is_number(value: Any) -> bool:
    return isinstance(value, _NUMBER) and not isinstance(value, bool)


def _did_you_mean(word: str, known: Keys) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else "known keys: " + ", ".join(known)
