"""The sense of a profile: what the reader cannot see, because each key alone is well formed.

The reader (profile.py) stops at the first thing that is not a profile. The lint tells everything that would make a
value wrong, misplaced or silent: a code that does not exist, a unit of another kind of quantity, two rows that read the
same bytes, a raw code that can never occur. A finding is for the person who wrote the file: where it stands, what is
wrong, what to write instead.

A profile means something else for each firmware, so what concerns rows together (paths, overlap) is looked at once for
the plain profile and once for each `since` block.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass

from gateway.core.alert import CATCH_ALL
from gateway.core.errors import ProfileError
from gateway.core.metric import LIMITS
from gateway.core.nomenclature import PRIVATE_PREFIX, Nomenclature, Term, Unit
from gateway.core.profile import ChannelSpec, FirmwareRange, MetricSpec, Profile, firmware_key
from gateway.core.units import parse_ucum, same_dimension

# key of a device term -> the ending of its reference id, if it has one of these endings at all
_LEVELS = {"device": "_MDS", "vmd": "_VMD", "chan": "_CHAN"}
# kind of metric -> kinds of term that may stand for it
_TERM_KINDS = {
    "numeric": ("metric", "attr"),
    "waveform": ("metric",),
    "enumeration": ("metric", "attr"),
    "alert": ("event",),
    "clock": ("attr",),
}
# kind of metric -> keys that decide nothing there; a row that carries one was meant to do something else
_NUMBER_KEYS = ("unit", "raw_unit", "scale", "offset", "range")
_ALERT_KEYS = ("alert", "of", "text", "priority")
_MEANINGLESS = {
    "numeric": ("values", *_ALERT_KEYS),
    "waveform": ("values", "limit_of", *_ALERT_KEYS),
    "enumeration": (*_NUMBER_KEYS, "limit_of", *_ALERT_KEYS),
    "alert": (*_NUMBER_KEYS, "values", "limit_of"),
    "clock": (*_NUMBER_KEYS, "values", "limit_of", *_ALERT_KEYS),
}
_BITS = {"u8": 8, "i8": 8, "u16": 16, "i16": 16, "u32": 32, "i32": 32, "u64": 64, "i64": 64, "f32": 32, "f64": 64}
_BITS["bit"] = 16  # the u16 that holds it


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to change. `where` is file:line; `hint`: what to write instead."""

    where: str
    what: str
    hint: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what} → {self.hint}"


Findings = Iterator[Finding]


def lint(profile: Profile, nomenclature: Nomenclature, frames: tuple[str, ...] | None) -> list[Finding]:
    """Return all findings, in the order of the file, each once.

    frames: the frame kinds that the profile's driver emits (Driver.frames); "*" in it: any; None: not known
    """
    found: list[Finding] = [*_head(profile, nomenclature), *_firmware(profile)]
    for channel in _all_channels(profile):
        found += _device_term(nomenclature, "vmd", channel.vmd, channel.where)
        found += _device_term(nomenclature, "chan", channel.chan, channel.where)
        for spec in channel.metrics:
            found += _metric(profile, spec, nomenclature, frames)
    for channels in _variants(profile):
        found += _paths(channels)
        found += _references(channels)
        found += _overlaps(channels)
    return sorted(dict.fromkeys(found), key=lambda finding: (_line(finding.where), finding.what))


# ---- the profile as a whole


def _head(profile: Profile, nomenclature: Nomenclature) -> Findings:
    yield from _device_term(nomenclature, "device", profile.device, _place(profile, "profile", "device"))
    for key in ("vendor", "model", "driver", "source"):
        if not getattr(profile, key).strip():
            yield Finding(_place(profile, "profile", key), f"{key} is empty", "every row stands on it: fill it in")
    for code, text in profile.units.items():
        try:
            _ucum(text, nomenclature)
        except ValueError as fault:
            yield Finding(_place(profile, "units", code), str(fault), "use a UCUM text or an MDC_DIM_ id of units.csv")


def _firmware(profile: Profile) -> Findings:
    ranges = profile.firmware
    for i, one in enumerate(ranges):
        if one.low and not one.holds(one.low):
            yield Finding(one.where, f"range {_show(one)} is reversed", "the smaller firmware is `min`")
        for other in ranges[:i]:
            if _overlap(one, other):
                hint = f"end one before the other begins; the other is {other.where}"
                yield Finding(one.where, f"ranges {_show(other)} and {_show(one)} overlap", hint)
    seen: dict[tuple[tuple[int, int, str], ...], str] = {}
    for number, (first, channels) in enumerate(profile.since):
        where = _place(profile, "since", number)
        key = firmware_key(first)
        if not profile.accepts(first) or not key:
            yield Finding(
                where, f"since {first!r} lies outside the firmware ranges", "extend [firmware] or drop the block"
            )
        if key in seen:
            yield Finding(where, f"since {first!r} stands twice", f"put both into one block, {seen[key]}")
        if not channels:
            yield Finding(where, f"since {first!r} changes nothing", "add [[since.channel]] or drop the block")
        seen.setdefault(key, where)


def _overlap(one: FirmwareRange, other: FirmwareRange) -> bool:
    """Tell whether two ranges share a firmware: the one that begins later begins inside the other."""
    return one.holds(other.low) or other.holds(one.low)


def _show(one: FirmwareRange) -> str:
    return f"{one.low or '…'} to {one.high or '…'}"


def _all_channels(profile: Profile) -> Iterator[ChannelSpec]:
    yield from profile.channels
    for _, channels in profile.since:
        yield from channels


def _variants(profile: Profile) -> Iterator[tuple[ChannelSpec, ...]]:
    """Yield the channels as they hold before, and from each `since` block on."""
    yield profile.channels
    for first, _ in profile.since:
        try:
            yield profile.resolve(first)
        except ProfileError:  # outside the ranges: _firmware has said so
            continue


def _device_term(nomenclature: Nomenclature, key: str, ref_id: str, where: str) -> Findings:
    term = nomenclature.terms.get(ref_id)
    if term is None:
        yield _unknown_term(ref_id, where, nomenclature)
        return
    level = next((level for level, ending in _LEVELS.items() if ref_id.endswith(ending)), key)
    if term.kind != "device" or level != key:
        hint = f"use a MDC_DEV_…{_LEVELS[key]} term"
        yield Finding(where, f"{key} = {ref_id} is no term for this level", hint)


# ---- one metric


def _metric(profile: Profile, spec: MetricSpec, nomenclature: Nomenclature, frames: tuple[str, ...] | None) -> Findings:
    term = nomenclature.terms.get(spec.id)
    if term is None:
        yield _unknown_term(spec.id, spec.where, nomenclature)
    elif term.kind not in _TERM_KINDS[spec.kind]:
        hint = "an alert is named by an event term (MDC_EVT_…), all else by a metric"
        yield Finding(spec.where, f"{spec.id} is of kind {term.kind}, not for kind = {spec.kind!r}", hint)
        term = None  # its units say nothing here
    if frames is not None and "*" not in frames and spec.frame not in frames:
        hint = "use one of " + ", ".join(frames)
        yield Finding(spec.where, f"driver {profile.driver} has no frame {spec.frame!r}", hint)
    for key in _MEANINGLESS[spec.kind]:
        if getattr(spec, key) != _default(key):
            yield Finding(
                spec.where, f"{key} has no meaning for kind = {spec.kind!r}", f"drop {key}, or change the kind"
            )
    if spec.kind in ("numeric", "waveform"):
        yield from _unit(spec, term, nomenclature)
        yield from _numbers(spec)
    if spec.kind == "enumeration":
        yield from _values(spec)
    if spec.kind == "alert" and not spec.alert:
        yield Finding(spec.where, f"{spec.id} does not say what kind of alert it is", 'alert = "physiological"')
    if bool(spec.limit_of) != (spec.id in LIMITS):
        yield Finding(spec.where, f"limit_of and {spec.id} do not fit", "a limit is " + " or ".join(LIMITS))
    yield from _raw(spec)


def _default(key: str) -> object:
    return MetricSpec.__dataclass_fields__[key].default


def _unit(spec: MetricSpec, term: Term | None, nomenclature: Nomenclature) -> Findings:
    known = term.units if term else ("MDC_DIM_DIMLESS",)
    usual = " or ".join(nomenclature.units[ref_id].ucum for ref_id in known) or "a term that carries a unit"
    if not spec.unit:
        yield Finding(spec.where, f"{spec.id} has no unit", f"unit: {usual}")
        return
    try:
        unit: Unit = nomenclature.unit(spec.unit, term)
    except KeyError:
        yield Finding(spec.where, f"unit {spec.unit!r} is not known", "use a UCUM text or an MDC_DIM_ id of units.csv")
        return
    if term is not None and not spec.limit_of and not nomenclature.fits(term, unit):
        yield Finding(spec.where, f"unit {spec.unit} does not fit {spec.id}", f"use {usual}, or another term")
    if not spec.raw_unit:
        return
    try:
        convertible = same_dimension(_ucum(spec.raw_unit, nomenclature), unit.ucum)
    except ValueError as fault:
        yield Finding(spec.where, str(fault), "raw_unit: use a UCUM text or an MDC_DIM_ id of units.csv")
        return
    if not convertible:
        hint = "scale and offset must lead to a unit of the same kind"
        yield Finding(spec.where, f"raw_unit {spec.raw_unit} cannot become {spec.unit}", hint)


def _numbers(spec: MetricSpec) -> Findings:
    if spec.range is not None:
        low, high = spec.range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            yield Finding(spec.where, f"range [{low}, {high}] is empty", "write [low, high], low < high, in the unit")
    if spec.scale == 0 or not math.isfinite(spec.scale) or not math.isfinite(spec.offset):
        what = f"scale {spec.scale}, offset {spec.offset} give no value"
        yield Finding(spec.where, what, "physical = raw x scale + offset, with a scale that is not 0")


def _values(spec: MetricSpec) -> Findings:
    if not spec.values:
        yield Finding(
            spec.where, f"{spec.id} is an enumeration without values", 'values = [[0, "closed"], [1, "open"]]'
        )
    for what, column in (
        ("raw number", [raw for raw, _ in spec.values]),
        ("token", [token for _, token in spec.values]),
    ):
        double = [entry for i, entry in enumerate(column) if entry in column[:i]]
        if double:
            yield Finding(spec.where, f"{what} {double[0]!r} stands twice in values", "one raw number, one token")
    for raw in {raw for raw, _ in spec.values} & set(spec.raw_invalid):
        yield Finding(spec.where, f"raw {raw} is both a value and raw_invalid", "decide for one")
    if any(not token.strip() for _, token in spec.values):
        yield Finding(spec.where, "an empty token says nothing", "name the state as the manual does")


def _raw(spec: MetricSpec) -> Findings:
    """Look at what concerns the raw number: its place, its bytes, the codes it can have."""
    fixed = spec.at is not None
    for key in ("instance",) if fixed else ("type", "order", "bit"):
        if getattr(spec, key) != _default(key):
            way = "at" if fixed else "object"
            yield Finding(spec.where, f"{key} has no meaning with {way}", f"drop {key}")
    if not fixed:
        return
    if spec.bit and spec.type != "bit":
        yield Finding(spec.where, f"bit has no meaning for type {spec.type}", 'write type = "bit", or drop bit')
    letters = "ABCDEFGH"[: _BITS[spec.type] // 8]
    if spec.order and sorted(spec.order) != list(letters):
        yield Finding(spec.where, f"order {spec.order!r} does not fit {spec.type}", f"a permutation of {letters}")
    low, high = _limits(spec.type)
    for raw in (*spec.raw_invalid, *(raw for raw, _ in spec.values)):
        if isinstance(raw, str):
            yield Finding(spec.where, f"{raw!r} is a word, and {spec.type} is a number", "write the raw number")
        elif not low <= raw <= high or (spec.type not in ("f32", "f64") and raw != int(raw)):
            hint = f"raw numbers are {low} to {high}, before scale and offset"
            yield Finding(spec.where, f"raw {raw} can never come as {spec.type}", hint)


def _limits(raw_type: str) -> tuple[float, float]:
    if raw_type == "bit":
        return 0, 1
    bits = _BITS[raw_type]
    if raw_type[0] == "f":
        top = 3.4028234663852886e38 if bits == 32 else math.inf  # IEEE 754 binary32, the largest finite number
        return -top, top
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if raw_type[0] == "i" else (0, (1 << bits) - 1)


# ---- rows together


def _paths(channels: tuple[ChannelSpec, ...]) -> Findings:
    vmds: dict[str, ChannelSpec] = {}
    for channel in channels:
        number = channel.path.rsplit(".", 1)[0]
        first = vmds.setdefault(number, channel)
        if first.vmd != channel.vmd:
            what = f"VMD {number} is both {first.vmd} and {channel.vmd}"
            yield Finding(channel.where, what, f"one term for one path; the other is {first.where}")
    specs = (spec for channel in channels for spec in channel.metrics)
    yield from _twice(specs, lambda spec: (spec.path,), "{row} stands on the path of {first}", "give it another n")


def _references(channels: tuple[ChannelSpec, ...]) -> Findings:
    """Look at rows that name other rows, and for the row that takes the alerts which no other row names."""
    specs = {spec.path: spec for channel in channels for spec in channel.metrics}
    for spec in specs.values():
        for key in ("limit_of", "of"):
            path = getattr(spec, key)
            if path and (path not in specs or specs[path].kind not in ("numeric", "enumeration")):
                yield Finding(spec.where, f"{key} = {path!r} is no metric here", "name the path of a metric: 1.2.1.1")
    alerts = [spec for spec in specs.values() if spec.kind == "alert"]
    if alerts and not any(spec.object == CATCH_ALL for spec in alerts):
        hint = f'{{ n = …, id = "MDC_EVT_ALARM", kind = "alert", object = "{CATCH_ALL}", alert = "technical" }}'
        yield Finding(alerts[0].where, "an alert that is not listed here would be dropped", f"add {hint}")


def _overlaps(channels: tuple[ChannelSpec, ...]) -> Findings:
    specs = [spec for channel in channels for spec in channel.metrics]
    objects = (spec for spec in specs if spec.at is None)
    fields = (spec for spec in specs if spec.at is not None)
    hint = "one way, one metric; tell them apart by instance or frame"
    yield from _twice(objects, lambda s: ((s.frame, s.object, s.instance),), "{row} is reached like {first}", hint)
    yield from _twice(fields, _bits, "{row} reads bits that {first} reads", "check at, type and bit with the manual")


def _bits(spec: MetricSpec) -> Iterator[tuple[str, int]]:
    """Yield (frame, number of the bit from the beginning) of all bits that a field reads."""
    first = 8 * (spec.at or 0)
    if spec.type == "bit":
        yield spec.frame, first + 15 - spec.bit  # bit 0 is the lowest of the big-endian u16, so the last on the line
    else:
        yield from ((spec.frame, first + i) for i in range(_BITS[spec.type]))


def _twice(
    specs: Iterable[MetricSpec], keys: Callable[[MetricSpec], Iterable[Hashable]], what: str, hint: str
) -> Findings:
    """Yield one finding for each row that shares a key with a row before it. `what` names {row} and {first}."""
    seen: dict[Hashable, MetricSpec] = {}
    for spec in specs:
        shared = [first for key in keys(spec) if (first := seen.setdefault(key, spec)) is not spec]
        if shared:
            text = what.format(row=spec.id, first=shared[0].id)
            yield Finding(spec.where, text, f"{hint}; the other is {shared[0].where}")


# ---- small things


def _place(profile: Profile, *path: str | int) -> str:
    return profile.lines.get(path, profile.where)


def _ucum(name: str, nomenclature: Nomenclature) -> str:
    """Return the UCUM text of a unit given as MDC_DIM_ id or as UCUM. Raises: ValueError."""
    text = nomenclature.units[name].ucum if name in nomenclature.units else name
    parse_ucum(text)
    return text


def _unknown_term(ref_id: str, where: str, nomenclature: Nomenclature) -> Finding:
    close = difflib.get_close_matches(ref_id, nomenclature.terms, n=1, cutoff=0.8)
    hint = f"did you mean {close[0]}?" if close else f"add it to nomenclature.csv, or use a {PRIVATE_PREFIX} term there"
    return Finding(where, f"{ref_id} is not in the nomenclature", hint)


def _line(where: str) -> int:
    line = where.rpartition(":")[2]
    return int(line) if line.isdecimal() else 0
