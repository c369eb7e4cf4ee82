"""The device at the other end: lines as the profile describes them, with what the scene measures.

It puts lines together where the driver takes them apart, from the same table and by code of its own, so that each
checks the other. A number has one decimal where it fits into the field, none where it does not, or where the profile
scales it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import floor, inf
from typing import Any

from drivers.ascii_line.checksum import KINDS
from drivers.ascii_line.options import Scenario
from drivers.ascii_line.table import Line, Object, Table, metrics, read_table
from gateway.core.errors import ConfigError
from gateway.core.profile import MetricSpec
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.core.settings import build

CATCH_UP = 10  # lines of one kind; what is older is gone, as on a real line


class AsciiDevice:
    """One device (gateway.core.protocol.Simulator)."""

    def __init__(self, spec: DeviceSpec, scenario: Scenario, scene: Scene) -> None:
        self._table: Table = read_table(spec.profile)
        self._alerts = [row for row in metrics(spec.profile) if row.kind == "alert"]
        self._scene = scene
        self._period_s = scenario.period_s
        self._asked = b""
        self._polls = 0
        self._at: float | None = None  # when the next lines are due
        self._told: dict[str, float] = {}  # kind of line -> when the episodic values it told of were measured

    def receive_data(self, data: bytes, now: float) -> None:  # noqa: ARG002  # the contract's signature
        """Take polls; anything else is passed over."""
        if self._table.poll is None:
            return
        poll = self._table.poll.text.encode("ascii")
        self._asked += data
        self._polls += self._asked.count(poll)
        self._asked = self._asked[self._asked.rfind(poll) + len(poll) :] if poll in self._asked else b""

    def data_to_send(self, now: float) -> bytes:
        """Return the lines that are due, or the answers to the polls that came."""
        if self._table.poll is not None:
            polls, self._polls = self._polls, 0
            return b"".join(self._line(line, now) for line in self._table.lines) * polls
        self._at = now if self._at is None else max(self._at, now - CATCH_UP * self._period_s)
        said = b""
        while self._at <= now:
            said += b"".join(self._line(line, self._at) for line in self._table.lines if self._speaks(line, self._at))
            self._at += self._period_s
        return said

    def next_wake(self) -> float | None:
        """Return when the next line is due."""
        if self._table.poll is not None:
            return 0.0 if self._polls else None
        return self._at

    def _speaks(self, line: Line, t: float) -> bool:
        """Tell whether a line comes now: one that only tells of measurements comes when one was made."""
        rows = self._table.rows[line.name].values()
        if self._table.repeats(line) or not rows or not all(row.episodic for row in rows):
            return True
        measured = max((self._scene.measured_at(row.id, t) or -inf for row in rows), default=-inf)
        new = measured > self._told.get(line.name, -inf)
        self._told[line.name] = measured
        return new

    def _line(self, line: Line, t: float) -> bytes:
        fields: dict[Object, str] = {}
        for object_, row in self._table.rows[line.name].items():
            text = self._value(row, self._width(line, object_), t)
            if text is None:
                return b""  # nothing is measured, and the device has no word for it
            fields[object_] = text
        self._other_fields(fields, line, t)
        form = self._table.form
        if form.layout == "pairs":
            text = form.separator.join(f"{key}{form.equals}{value}" for key, value in fields.items())
        else:
            nothing = self._nothing() or ""
            columns = range(1, (line.columns or len(line.widths)) + 1)
            texts = [fields.get(n, nothing).rjust(self._width(line, n)) for n in columns]
            text = ("" if form.layout == "fixed" else form.separator).join(texts)
        return self._finished(text.encode("latin-1"))

    def _finished(self, body: bytes) -> bytes:
        """Return the whole line: begin, body, checksum, end."""
        begin, end = (text.encode("ascii") for text in (self._table.form.begin, self._table.form.end))
        check = self._table.check
        if check is None:
            return begin + body + end
        compute, digits = KINDS[check.kind]
        after = check.after.encode("ascii")
        covered = begin * check.covers_begin + body + after * check.covers_after
        return begin + body + after + b"%0*X" % (digits, compute(covered)) + end

    def _other_fields(self, fields: dict[Object, str], line: Line, t: float) -> None:
        """Add what is no metric: the kind of line, the age, alerts; what is ignored or only required stays empty."""
        select = self._table.form.select
        nothing = self._nothing() or "0"
        if isinstance(select, (int, str)):
            fields[select] = line.when
        for object_ in (*line.ignore, *line.required):
            fields.setdefault(object_, nothing)
        if isinstance(line.age, (int, str)):
            fields[line.age] = self._age(line, t)
        active = [str(row.object) for row in self._alerts if row.frame == line.name and self._scene.alert(row.id, t)]
        for object_ in line.alert_bits:
            bits = sum(1 << bit for bit in _bits(active, object_))
            fields[object_] = f"{bits:0{self._width(line, object_) or 1}X}" if line.alert_base == 16 else str(bits)
        words = [word for word in active if word != "*" and not any(_bits([word], o) for o in line.alert_bits)]
        for n, object_ in enumerate(line.alert_words):
            fields[object_] = " ".join(words if n == 0 else []) or self._nothing() or ""

    def _value(self, row: MetricSpec, width: int, t: float) -> str | None:
        """Return the text of a metric; None when there is no value and no word for that."""
        if row.episodic:
            measured = self._scene.measured_at(row.id, t)
            if measured is None:
                return self._nothing()
            t = measured
        word = self._scene.word(row, t)
        number = None if word is not None else self._scene.raw(row, t)
        if number is None:
            return word if word is not None else self._nothing()
        whole = f"{number:.0f}"
        text = whole if row.scale != 1 or row.kind == "enumeration" else f"{number:.1f}"
        text = whole if width and len(text) > width else text
        return text.replace(".", self._table.form.decimal)

    def _age(self, line: Line, t: float) -> str:
        rows = [row for row in self._table.rows[line.name].values() if row.episodic]
        measured = self._scene.measured_at(rows[0].id, t) if rows else None
        return self._nothing() or "0" if measured is None else str(floor((t - measured) / line.age_unit_s))

    def _nothing(self) -> str | None:
        """Return the word for "no value", None when the profile has none."""
        return next(iter(self._table.form.sentinels), None)

    def _width(self, line: Line, object_: Object) -> int:
        return line.widths[object_ - 1] if line.widths and isinstance(object_, int) else 0


def _bits(objects: Sequence[str], field: Object) -> Iterator[int]:
    """Yield the numbers of the bits that these alerts are, of one field."""
    for object_ in objects:
        name, _, bit = object_.rpartition(".")
        if name == str(field) and bit.isdecimal():
            yield int(bit)


def simulator(devices: Sequence[DeviceSpec], options: Mapping[str, Any], scene: Scene) -> AsciiDevice:
    """Build the device of one line. Raises: ConfigError, ProfileError."""
    if len(devices) != 1:
        raise ConfigError(f"{len(devices)} devices on one line", hint="lines of text carry no address: one device each")
    return AsciiDevice(devices[0], build(Scenario, options, lambda *_: ""), scene)
