"""What a profile says of the device's lines: its [driver] table, read and checked.

    [driver]            how a line looks: where it begins and ends, what stands between its fields
    [[driver.line]]     one kind of line: the frame kind of its metrics, its fields
    [driver.checksum]   what protects a line, when anything does
    [driver.poll]       what the device is asked with, when it does not speak by itself

README.md has every key with an example. A mistake is a ProfileError that names the place ("[[driver.line]] 2 widths")
and the key that was perhaps meant. What a key cannot mean where it stands is refused: a key without effect is a
misunderstanding of the person who wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from drivers.ascii_line.checksum import KINDS
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.profile import MetricSpec, Profile
from gateway.core.settings import Settings, build, did_you_mean, setting
from gateway.core.transmit import Gate

S = TypeVar("S", bound=Settings)
Object = int | str
"""Number of a column, the first is 1; or the key of a pair."""

LAYOUTS = ("columns", "fixed", "pairs")
MAX_COLUMNS = 200
_SUBTABLES = ("line", "checksum", "poll")


@dataclass(frozen=True, slots=True)
class Form(Settings):
    """[driver]: what all lines of the device have in common."""

    layout: str = field(metadata=setting("how fields are found: columns, fixed or pairs", choices=LAYOUTS))
    begin: str = field(default="", metadata=setting("text that every line begins with", empty=True))
    end: str = field(default="\r\n", metadata=setting("characters, each of which ends a line", empty=True))
    separator: str = field(default=",", metadata=setting('text between two fields; " ": any blanks', empty=True))
    equals: str = field(default="=", metadata=setting("pairs: text between key and value", empty=True))
    decimal: str = field(default=".", metadata=setting("decimal mark of a number", choices=(".", ",")))
    sentinels: tuple[Any, ...] = field(default=(), metadata=setting("words that mean: no value"))
    select: object = field(default=None, metadata=setting("column or key whose text tells the kind of line"))


@dataclass(frozen=True, slots=True)
class Line(Settings):
    """[[driver.line]]: one kind of line."""

    name: str = field(metadata=setting("frame kind that the profile's metrics name", pattern="[a-z][a-z0-9_]*"))
    when: str = field(default="", metadata=setting("text in the `select` field that tells this kind", empty=True))
    columns: int = field(default=0, metadata=setting("columns: how many a line has", low=0, high=MAX_COLUMNS))
    widths: tuple[int, ...] = field(
        default=(), metadata=setting("fixed: characters of each field; columns: the most that each can have")
    )
    required: tuple[str, ...] = field(default=(), metadata=setting("pairs: keys that every line has"))
    ignore: tuple[Object, ...] = field(default=(), metadata=setting("fields that are known and not wanted"))
    age: object = field(default=None, metadata=setting("field that tells how old the episodic values of the line are"))
    age_unit_s: float = field(
        default=1.0, metadata=setting("unit of the age, in seconds: 60 for minutes", "s", low=0.001, high=86400)
    )
    repeats: bool = field(default=False, metadata=setting("episodic values are repeated until there are new ones"))
    alert_bits: tuple[Object, ...] = field(default=(), metadata=setting("fields whose bits are alerts"))
    alert_base: int = field(default=16, metadata=setting("number base of the alert bits", choices=(10, 16)))
    alert_words: tuple[Object, ...] = field(default=(), metadata=setting("fields with words, each of them an alert"))


@dataclass(frozen=True, slots=True)
class Check(Settings):
    """[driver.checksum]."""

    kind: str = field(metadata=setting("sum8, xor8, or a CRC by name: crc16.modbus"))
    after: str = field(
        default="", metadata=setting("text before the digits; without it they are the last of the line", empty=True)
    )
    covers_begin: bool = field(default=False, metadata=setting("whether `begin` is part of what is protected"))
    covers_after: bool = field(default=False, metadata=setting("whether `after` is part of what is protected"))


@dataclass(frozen=True, slots=True)
class Poll(Settings):
    """[driver.poll]."""

    text: str = field(metadata=setting("what the device is asked with; a pattern of [transmit] must allow it"))
    period_s: float = field(default=2.0, metadata=setting("it is asked so often", "s", low=1, high=3600))
    timeout_s: float = field(default=1.0, metadata=setting("an answer must have come by then", "s", low=0.1, high=60))


@dataclass(frozen=True, slots=True)
class Table:
    """All of it. rows: of each kind of line, the metrics by object."""

    form: Form
    lines: tuple[Line, ...]
    check: Check | None
    poll: Poll | None
    rows: Mapping[str, Mapping[Object, MetricSpec]]

    def repeats(self, line: Line) -> bool:
        """Tell whether a line can hold an episodic value that it held before."""
        return line.repeats or line.age is not None or self.poll is not None


def read_table(profile: Profile) -> Table:
    """Return what the profile says. Raises: ProfileError for the first thing that is wrong."""
    place = f"{profile.where}, [driver]"
    table = profile.driver_table
    form = _build(Form, {k: v for k, v in table.items() if k not in _SUBTABLES}, place, _SUBTABLES)
    _check_form(form, place)
    raw = table.get("line")
    if not isinstance(raw, list) or not raw or not all(isinstance(row, dict) for row in raw):
        _fail("profile has no [[driver.line]]", place, "describe each kind of line that the device sends")
    places = [f"{profile.where}, [[driver.line]] {n}" for n in range(1, len(raw) + 1)]
    lines = tuple(_build(Line, row, where) for row, where in zip(raw, places, strict=True))
    for line, where in zip(lines, places, strict=True):
        _check_line(form, line, where)
    _check_kinds(form, lines, places)
    check, poll = table.get("checksum"), table.get("poll")
    return Table(
        form,
        lines,
        None if check is None else _checksum(check, f"{profile.where}, [driver.checksum]"),
        _poll(poll, profile, f"{profile.where}, [driver.poll]"),
        _rows(profile, form, {line.name: line for line in lines}),
    )


def _build(kind: type[S], table: Any, place: str, known: Iterable[str] = ()) -> S:
    if not isinstance(table, dict):
        _fail("is no table", place, "write [driver.checksum] above its keys")
    try:
        return build(kind, table, lambda *keys: " ".join([place, *map(str, keys)]), known)
    except ConfigError as fault:  # the same check, in a profile: the profile is at fault
        raise ProfileError(fault.what, fault.where, fault.hint) from None


def _fail(what: str, where: str, hint: str) -> NoReturn:
    raise ProfileError(what, where, hint)


# ---- each table for itself


def _check_form(form: Form, place: str) -> None:
    for key in ("end", "separator", "equals"):
        if not getattr(form, key):
            _fail(f"{key} is empty", f"{place} {key}", 'write it as it is sent, for example "\\r\\n"')
    for key in ("begin", "end", "separator", "equals"):
        if not getattr(form, key).isascii():
            _fail(f"{key} is no ASCII text", f"{place} {key}", "this driver reads ASCII lines")
    if not all(isinstance(word, str) for word in form.sentinels):
        _fail("sentinels must be a list of texts", f"{place} sentinels", 'write ["---", ""]')
    if set(form.separator) & set(form.end):
        _fail("separator ends the line, too", f"{place} separator", "a character is one or the other")
    if form.layout != "fixed" and form.decimal == form.separator:
        _fail("decimal is the separator, too", f"{place} decimal", "with a decimal comma, fields are parted otherwise")
    if form.layout == "pairs" and form.equals == form.separator:
        _fail("equals is the separator, too", f"{place} equals", "SPO2=98,HR=72 has equals = and separator ,")


_MEANT: Mapping[str, tuple[str, ...]] = {
    "columns": ("columns",),
    "widths": ("columns", "fixed"),
    "required": ("pairs",),
}
_NEEDED = {"columns": "columns", "fixed": "widths", "pairs": "required"}


def _check_line(form: Form, line: Line, place: str) -> None:
    for key, layouts in _MEANT.items():
        if getattr(line, key) and form.layout not in layouts:
            hint = f"it is for {' and '.join(layouts)}; did you mean {_NEEDED[form.layout]!r}?"
            _fail(f"{key} has no meaning with layout {form.layout!r}", f"{place} {key}", hint)
    needed = _NEEDED[form.layout]
    if not getattr(line, needed):
        _fail(f"{needed} is missing", place, Line.__dataclass_fields__[needed].metadata["doc"])
    if not all(type(width) is int and width > 0 for width in line.widths):
        _fail("widths must be a list of numbers above 0", f"{place} widths", "one for each column")
    if form.layout == "columns" and line.widths and len(line.widths) != line.columns:
        _fail(f"{len(line.widths)} widths for {line.columns} columns", f"{place} widths", "one for each column")
    for key in ("ignore", "alert_bits", "alert_words"):
        for object_ in getattr(line, key):
            _check_object(form, line, object_, f"{place} {key}")
    if line.age is not None:
        _check_object(form, line, line.age, f"{place} age")
    if form.select is not None:
        _check_object(form, line, form.select, f"{place}, [driver] select")
    if line.alert_words and form.layout != "fixed" and form.separator == " ":
        _fail("words of alerts are parted by blanks, as the fields are", f"{place} alert_words", "use alert_bits")
    roles = [*line.ignore, *line.alert_bits, *line.alert_words, line.age, form.select]
    twice = next((r for i, r in enumerate(roles) if r is not None and r in roles[:i]), None)
    if twice is not None:
        _fail(f"field {twice!r} has two meanings", place, "one of ignore, age, alert_bits, alert_words and select")


def _check_object(form: Form, line: Line, object_: object, where: str) -> None:
    """Refuse what can be no field of the line."""
    if form.layout == "pairs":
        if not isinstance(object_, str) or not object_:
            _fail(f"{object_!r} is no key", where, 'write the key as the line has it: "SPO2"')
        return
    count = line.columns or len(line.widths)
    if type(object_) is not int or not 1 <= object_ <= count:
        _fail(f"{object_!r} is no column of {line.name!r}", where, f"columns are 1 to {count}, without quotes")


def _check_kinds(form: Form, lines: tuple[Line, ...], places: list[str]) -> None:
    """Look at the kinds of line together: each must be told from the others."""
    if form.select is None and len(lines) > 1:
        _fail("nothing tells the kinds of line apart", places[1], "name the field that does: select in [driver]")
    for i, (line, place) in enumerate(zip(lines, places, strict=True)):
        if bool(line.when) != (form.select is not None):
            what = "when is missing" if form.select is not None else "when has no meaning without select"
            _fail(what, place, "select names a field, when the text in it that tells this line")
        if any(line.name == other.name for other in lines[:i]):
            _fail(f"there are two lines {line.name!r}", f"{place} name", "the name is the frame kind, one each")
        if line.when and any(line.when == other.when for other in lines[:i]):
            _fail(f"there are two lines when {line.when!r}", f"{place} when", "one text, one kind of line")


def _checksum(table: Any, place: str) -> Check:
    check = _build(Check, table, place)
    if check.kind not in KINDS:
        _fail(f"checksum {check.kind!r} is not known", f"{place} kind", did_you_mean(check.kind, KINDS))
    if check.covers_after and not check.after:
        _fail("covers_after has no meaning without after", f"{place} covers_after", "drop it, or name the text")
    return check


def _poll(table: Any, profile: Profile, place: str) -> Poll | None:
    if table is None:
        if profile.transmit:
            _fail("[transmit] allows what nobody sends", place, "add [driver.poll], or drop [transmit]")
        return None
    poll = _build(Poll, table, place)
    if not poll.text.isascii() or not Gate(profile.transmit).allows(poll.text.encode("ascii", "replace")):
        hint = f"write [transmit] allow = ['{poll.text.encode('unicode_escape').decode()}']"
        _fail(f"the poll {poll.text!r} is not allowed by [transmit]", f"{place} text", hint)
    if poll.timeout_s >= poll.period_s:
        _fail("timeout_s is not below period_s", f"{place} timeout_s", "an answer belongs to one poll")
    return poll


# ---- the profile's metrics


def _rows(profile: Profile, form: Form, lines: Mapping[str, Line]) -> dict[str, dict[Object, MetricSpec]]:
    """Return the metrics of each kind of line; refuse those that no line can carry: they would stay empty."""
    found: dict[str, dict[Object, MetricSpec]] = {name: {} for name in lines}
    for spec in metrics(profile):
        line = lines.get(spec.frame)
        if line is None:
            _fail(f"no [[driver.line]] is named {spec.frame!r}", spec.where, did_you_mean(spec.frame, lines))
        if spec.object is None or spec.kind in ("waveform", "clock") or spec.instance:
            _fail(f"{spec.id} cannot stand in a line of text", spec.where, "use object, and neither at nor instance")
        if spec.kind == "alert":
            _check_alert(form, line, spec)
            continue
        _check_object(form, line, spec.object, spec.where)
        if spec.object in (*line.ignore, *line.alert_bits, *line.alert_words, line.age, form.select):
            _fail(f"field {spec.object!r} has another meaning in line {line.name!r}", spec.where, "decide for one")
        found[line.name][spec.object] = spec
    return found


def metrics(profile: Profile) -> Iterator[MetricSpec]:
    """Yield the metrics of a profile for whatever firmware."""
    for channels in (profile.channels, *(added for _, added in profile.since)):
        for channel in channels:
            yield from channel.metrics


def _check_alert(form: Form, line: Line, spec: MetricSpec) -> None:
    """Refuse the alert that cannot come: its bit belongs to no field of bits, and no field has words."""
    if not (line.alert_bits or line.alert_words):
        _fail(f"line {line.name!r} has no alerts", spec.where, "name its fields: alert_bits or alert_words")
    word = str(spec.object)
    field_, _, bit = word.rpartition(".")
    if spec.object == "*" or (bit.isdecimal() and field_ in map(str, line.alert_bits)):
        return
    if not isinstance(spec.object, str) or not line.alert_words:
        some = line.alert_bits[0] if line.alert_bits else "3"
        _fail(
            f"alert {word!r} is no bit of line {line.name!r}", spec.where, f'write object = "{some}.0" for its lowest'
        )
    if word in form.sentinels:
        _fail(f"alert {word!r} is a sentinel", spec.where, "it means that there is none")
