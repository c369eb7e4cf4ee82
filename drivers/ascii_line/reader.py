"""One line of the device: its checksum, its kind, its fields, and what is in them.

What stands in a field is, in this order: a sentinel, a word of an enumeration, a number with or without a unit. What is
none of these is damage. Under a checksum that is right the device has sent it so: then only this field has no value,
and the fault says that the profile does not know the word. Without a checksum nobody knows what else is damaged, and
the line is thrown away.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from drivers.ascii_line.checksum import KINDS
from drivers.ascii_line.table import Form, Line, Object, Table
from gateway.core.frame import Alert, Reading
from gateway.core.profile import MetricSpec, Profile
from gateway.core.sample import Validity

MAX_DIGITS = 12  # of a number before and after its mark: no device measures finer, and no float overflows


@dataclass(slots=True)
class Content:
    """An intact line.

    readings: what is measured all the time; episodes: the episodic values, with the age that the line tells
    said: the texts of the episodic fields; age_ns: None when the line does not tell it, or tells that there is none
    alerts: None when this kind of line has none; unread: how many fields could not be read
    """

    line: Line
    readings: list[Reading] = field(default_factory=list)
    episodes: list[Reading] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    age_ns: int | None = None
    alerts: list[Alert] | None = None
    unread: int = 0


class Reader:
    """Reads the lines of one device."""

    def __init__(self, profile: Profile, table: Table) -> None:
        self._table = table
        self._form: Form = table.form
        self._sentinels = frozenset(table.form.sentinels)
        self._units = frozenset(word for word in profile.units if isinstance(word, str))
        self._words = {
            (name, object_): frozenset(raw for raw, _ in spec.values if isinstance(raw, str))
            for name, rows in table.rows.items()
            for object_, spec in rows.items()
        }
        mark, digits = re.escape(table.form.decimal), f"[0-9]{{1,{MAX_DIGITS}}}"
        self._number = re.compile(rf"([+-]?) *({digits}(?:{mark}(?:{digits})?)?|{mark}{digits}) *([^0-9+.,-]*)")
        other = {line.name: (line.age, table.form.select) for line in table.lines}
        self._taken = {
            line.name: frozenset((*line.ignore, *line.alert_bits, *line.alert_words, *other[line.name]))
            for line in table.lines
        }

    def read(self, item: bytes) -> Content | str:
        """Return the content of a line, without its `begin` and end; or the reason why it is not used."""
        if self._table.check is not None:
            body = self._checked(item)
            if body is None:
                return "checksum"
            item = body
        text = item.decode("latin-1")
        if not text.replace("\t", " ").isprintable():
            return "damaged"
        found = self._kind(text)
        if found is None:
            return "other"
        line, fields = found
        if fields is None:
            return "damaged"
        content = Content(line)
        self._fill(content, fields)
        return "field" if content.unread and self._table.check is None else content

    def _checked(self, item: bytes) -> bytes | None:
        """Return what the checksum protects, None when it is wrong or missing."""
        check = self._table.check
        assert check is not None
        compute, digits = KINDS[check.kind]
        after = check.after.encode("latin-1")
        at = item.rfind(after) if after else len(item) - digits
        given = item[at + len(after) :]
        if at < 0 or len(given) != digits or not re.fullmatch(rb"[0-9A-Fa-f]+", given):
            return None
        begin = self._form.begin.encode("latin-1") if check.covers_begin else b""
        covered = begin + item[:at] + (after if check.covers_after else b"")
        return item[:at] if compute(covered) == int(given, 16) else None

    # ---- from a text to its fields

    def _kind(self, text: str) -> tuple[Line, Mapping[Object, str] | None] | None:
        """Return which kind of line it is, and its fields when its form is right; None when it is of no kind."""
        select = self._form.select
        for line in self._table.lines:
            fields, whole = self._split(text, line)
            if select is None or fields.get(select) == line.when:  # type: ignore[call-overload]  # checked: an Object
                return line, fields if whole else None
        return None

    def _split(self, text: str, line: Line) -> tuple[dict[Object, str], bool]:
        """Return the fields, and whether the line has the form of this kind."""
        if self._form.layout == "pairs":
            return self._pairs(text, line)
        if self._form.layout == "columns":
            parts = _parts(text, self._form.separator)
            whole = len(parts) == line.columns
            whole = whole and all(len(part) <= width for part, width in zip(parts, line.widths, strict=False))
        else:
            ends = [sum(line.widths[: i + 1]) for i in range(len(line.widths))]
            parts = [text[end - width : end] for end, width in zip(ends, line.widths, strict=True)]
            whole = len(text) == ends[-1]
        return {number: part.strip() for number, part in enumerate(parts, 1)}, whole

    def _pairs(self, text: str, line: Line) -> tuple[dict[Object, str], bool]:
        fields: dict[Object, str] = {}
        whole = True
        for part in _parts(text, self._form.separator):
            key, equals, value = part.partition(self._form.equals)
            key = key.strip()
            if not part.strip():  # a separator behind the last pair
                continue
            whole = whole and bool(equals) and key not in fields
            fields[key] = value.strip()
        return fields, whole and fields.keys() >= set(line.required)

    # ---- from fields to values

    def _fill(self, content: Content, fields: Mapping[Object, str]) -> None:
        line = content.line
        rows = self._table.rows[line.name]
        if line.age is not None:
            content.age_ns = self._age_ns(content, fields.get(line.age, ""))  # type: ignore[call-overload]
        for object_, text in fields.items():
            if object_ in self._taken[line.name]:
                continue
            spec = rows.get(object_)
            reading = self._reading(line.name, object_, spec, text)
            if reading is None:
                content.unread += 1
                reading = Reading(object_, 0, 0, math.nan, Validity.INV)
            if spec is not None and spec.episodic:
                content.episodes.append(reading._replace(age_ns=content.age_ns or 0))
                content.said.append(text)
            else:
                content.readings.append(reading)
        if line.alert_bits or line.alert_words:
            content.alerts = self._alerts(content, fields)

    def _reading(self, name: str, object_: Object, spec: MetricSpec | None, text: str) -> Reading | None:
        """Return the value of a field, None when it cannot be read."""
        if text in self._sentinels:
            return Reading(object_, 0, 0, math.nan, Validity.NA)
        if text in self._words.get((name, object_), ()):
            return Reading(object_, 0, 0, text)
        number = self._number.fullmatch(text)
        if number is not None and (not number[3] or number[3] in self._units):
            return Reading(object_, 0, number[3] or 0, self._value(number))
        # A field that the profile does not name may say what it likes: the plan counts it.
        return Reading(object_, 0, 0, math.nan, Validity.INV) if spec is None else None

    def _value(self, number: re.Match[str]) -> float:
        return float((number[1] + number[2]).replace(self._form.decimal, "."))

    def _age_ns(self, content: Content, text: str) -> int | None:
        if text in self._sentinels:
            return None
        number = self._number.fullmatch(text)
        if number is None or number[3] or number[1] == "-":
            content.unread += 1
            return None
        return round(self._value(number) * content.line.age_unit_s * 1e9)

    def _alerts(self, content: Content, fields: Mapping[Object, str]) -> list[Alert]:
        """Return what is active: bits as "4.0" (field, number of the bit), words as they are."""
        found: list[Alert] = []
        digits = "[0-9A-Fa-f]{1,8}" if content.line.alert_base == 16 else "[0-9]{1,10}"
        for object_ in content.line.alert_bits:
            text = fields.get(object_, "")
            if text in self._sentinels:
                continue
            if not re.fullmatch(digits, text):
                content.unread += 1
                continue
            bits = int(text, content.line.alert_base)
            found += [Alert(f"{object_}.{bit}") for bit in range(bits.bit_length()) if bits >> bit & 1]
        for object_ in content.line.alert_words:
            found += [Alert(word) for word in fields.get(object_, "").split() if word not in self._sentinels]
        return found


def _parts(text: str, separator: str) -> list[str]:
    return text.split() if separator == " " else text.split(separator)
