"""What the simulated device answers to each data request: the rows of its profile, written as the device would."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from gateway.core.profile import MetricSpec, Profile
from gateway.core.scene import Scene
from gateway.core.units import linear

# command -> frame kind, codepage (notes, section 3)
_VALUES = {0x24: ("measured", 1), 0x25: ("low", 1), 0x26: ("high", 1), 0x2B: ("measured", 2), 0x2C: ("low", 2)}
_VALUES |= {0x2D: ("high", 2), 0x29: ("setting", 0)}
_ALARMS = {0x27: "alarm_1", 0x2E: "alarm_2", 0x23: "alarm_3"}
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAI", "JUN", "JUL", "AUG", "SEP", "OKT", "NOV", "DEZ"]
UNLISTED = b"UNLISTED    "  # the phrase of an alarm that no row of the profile names
_SHIFT_S = 3.0  # alarms come one after the other, so that no list is longer than a response may be


class Pages:
    """The answers of one device."""

    def __init__(self, profile: Profile, scene: Scene) -> None:
        self.rows = [spec for channel in profile.channels for spec in channel.metrics]
        self._scene = scene
        self._merged: dict[int, list[tuple[int, str]]] = {}  # object -> other codes of the same quantity, their units
        for pair in profile.driver_table.get("merged", ()):
            self._merged.setdefault(pair["into"], []).append((pair["code"], pair.get("unit", "")))

    def read(self, code: int, now: float) -> bytes:
        """Return the data of the response to a request."""
        if code in _VALUES:
            kind, page = _VALUES[code]
            width = 5 if kind == "setting" else 4
            rows = [row for row in self.rows if row.frame == kind and _page(row) == page]
            return b"".join(self._value(row, width, now) for row in rows)
        if code in _ALARMS:
            return self._alarms(_ALARMS[code], now)
        if code == 0x2A:
            return b"".join(self._text(row, now) for row in self.rows if row.frame == "text")
        return self._clock(now)

    def _value(self, row: MetricSpec, width: int, now: float) -> bytes:
        raw = self._raw(row, now)
        if raw is None:
            return b""
        assert isinstance(row.object, int)
        names = [(row.object, ""), *self._merged.get(row.object, [])]
        object_, unit = names[int(now / 2) % len(names)]
        if unit:
            raw *= linear(row.raw_unit or row.unit, unit)[0]
        return b"%02X%s" % (object_ & 0xFF, written(raw, width))

    def _raw(self, row: MetricSpec, now: float) -> float | None:
        """Return the number to send. An alarm limit lies a third below or above what is measured, and does not move."""
        if not row.limit_of:
            return self._scene.raw(row, now)
        measured = next(other for other in self.rows if other.path == row.limit_of)
        usual = replace(self._scene, still=True).raw(measured, 0.0)
        if usual is None:
            return None
        highest = row.range[1] if row.range and not row.raw_unit else usual * 2
        return usual * 2 / 3 if row.id == "MDCX_ALERT_LIMIT_LOW" else min(usual * 4 / 3, highest)

    def _alarms(self, kind: str, now: float) -> bytes:
        rows = [row for row in self.rows if row.kind == "alert" and row.frame == kind]
        listed = {row.object for row in rows}
        said = b""
        for i, row in enumerate(rows):
            if not self._scene.alert(row.id, now + i % 13 * _SHIFT_S):
                continue
            if isinstance(row.object, int):
                code, phrase = row.object & 0xFF, (row.text or row.id).encode("ascii", "replace")[:12].ljust(12)
            else:
                page = int(kind[-1])
                code, phrase = next(c for c in range(0xFF, -1, -1) if page << 8 | c not in listed), UNLISTED
            said += b"%c%02X%s" % (0x30 + 1 + i % 31, code, phrase)
        return said

    def _text(self, row: MetricSpec, now: float) -> bytes:
        raw = self._scene.raw(row, now)
        if raw is None or (isinstance(row.object, int) and not raw):
            return b""
        code = row.object if isinstance(row.object, int) else round(raw)
        token = dict(row.values)[round(raw)].encode("ascii", "replace")[:32]
        return b"%02X%c%s\x03" % (code, 0x30 + len(token), token)

    def _clock(self, now: float) -> bytes:
        shown = datetime.fromtimestamp(self._scene.utc_ns(now) // 1_000_000_000, UTC)
        date = f"{shown.day:2d}-{_MONTHS[shown.month - 1]}-{shown.year % 100:02d}"
        return f"{shown.hour:2d}:{shown.minute:02d}:{shown.second:02d}{date}".encode()


def _page(row: MetricSpec) -> int:
    """Return the codepage of a row, 0 where there is one page only."""
    return row.object >> 8 if isinstance(row.object, int) else -1


def written(value: float, width: int) -> bytes:
    """Return a number in `width` characters: as many decimals as fit, at most two; a minus stands first."""
    sign, size = ("-", width - 1) if value < 0 else ("", width)
    text = next((t for d in (2, 1, 0) if len(t := f"{abs(value):.{d}f}") <= size), "9" * size)
    return (sign + text.rjust(size)).encode()
