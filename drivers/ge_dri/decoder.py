"""From records to frames.

    numeric   one per record of values, and one per record of alarms (what it says of sound and silence)
    status    what the status bits of the groups say is wrong: with every record of displayed values
    alarm     what stands in the alarm lines of the screen: with every record of alarms
    wave      one per waveform subrecord

A value that was given and whose group, label or mode is no longer there is given once more as "no value": a module that
is pulled out, or a transducer that gets another label, leaves no number behind that looks current.

Source: protocol notes sections 4 to 6 (vendor specifications 8005313 and M1017617).
"""

from __future__ import annotations

import struct
from math import nan

import numpy as np

from drivers.ge_dri import layout
from drivers.ge_dri.episodes import NS, Episode
from drivers.ge_dri.record import Main, Record, Values
from drivers.ge_dri.sites import Sites, is_site
from drivers.ge_dri.values import Present, conditions, groups, readings, value
from gateway.core.frame import Alert, Alerts, Fault, Frame, Reading, Wave
from gateway.core.sample import Flag, Validity

Event = Frame | Fault
EPISODIC: dict[int | str, str] = {  # object -> the measurement it belongs to
    **{f"nibp.{field}": "nibp" for field in ("sys", "dia", "mean", "hr")},
    "co_wedge.co": "co",
    "co_wedge.pcwp": "pcwp",
}
_OLD = {"nibp": ("nibp", 8), "co": ("co_wedge", 0), "pcwp": ("co_wedge", 1)}
"""Measurement -> group, and bit of its label that marks it as older than 60 s (section 4.8)."""
_TREND = (Values.TREND_10S, Values.TREND_60S)
_AUXILIARY = struct.Struct("<IhIIh")  # nibp_time, reserved, co_time, pcwp_time, pat_bsa (section 4.9)
_WAVE_HEADER = struct.Struct("<hHH")  # act_len, status, label (section 5.2)
_WAVE_NAMES = {wave.code: name for name, wave in layout.WAVES.items()}
_LARGEST_NO_SAMPLE = -32000  # section 4.3: for samples the limit itself is no value
_GAP, _LEAD_OFF = 1, 8
_ALARM_BYTES, _ALARM_LINES = 510, range(10, 500, 98)  # section 6
_TEXT_BYTES, _COLOR_AT = 80, 82
_COLORS = (1, 2, 3)  # white, yellow, red: also the priority that is given; 0: the line is empty
_ALL_SILENCED = (4, 5, 6, 7)  # silence_info; 1 to 3 silence apnea, asystole or both, and no text tells which that is


class Decoder:
    """Keeps what one record says about the next: numbers, owners of sites, episodes, what was given.

    shown: type of record whose values are given; source: number of the device in its port
    """

    def __init__(self, shown: Values, source: int) -> None:
        self._shown, self._source = shown, source
        self._numbers: dict[int, int] = {}  # main type -> r_nbr of its last record
        self._sites = Sites()
        self._claimed: list[str] = []
        self._episodes: dict[str, Episode] = {}
        self._there: dict[tuple[int, ...], set[int | str]] = {}  # classes of a record -> objects it gave
        self._unread: set[tuple[int, int]] = set()

    def decode(self, record: Record, t_ns: int) -> list[Event]:
        """Return what one record says."""
        gap = self._follow(record)
        if record.main == Main.PHYSIOLOGICAL:
            return self._physiological(record, t_ns, gap)
        if record.main == Main.WAVE:
            return [event for kind, data in record.parts for event in self._wave(kind, data, record, t_ns, gap)]
        if record.main == Main.ALARM:
            return [event for _, data in record.parts for event in self._alarms(data, record, t_ns)]
        return self._not_read(record.main, 0)

    def _follow(self, record: Record) -> bool:
        """Tell whether a record is missing before this one. Each main type counts by itself (B650 recording)."""
        before = self._numbers.get(record.main)
        self._numbers[record.main] = record.number
        return before is not None and record.number != (before + 1) & 0xFF

    def _frame(
        self, kind: str, payload: list[Reading] | Alerts | Wave, record: Record, t_ns: int, gap: bool = False
    ) -> Frame:
        return Frame(kind, payload, t_ns, self._source, record.time_s * NS, gap)

    def _fault(self, reason: str, detail: str) -> Fault:
        return Fault(reason, detail, self._source)

    def _not_read(self, main: int, kind: int) -> list[Event]:
        """Tell once of each type of record that nothing here reads."""
        if (main, kind) in self._unread:
            return []
        self._unread.add((main, kind))
        return [self._fault("unread", f"main type {main}, subrecord type {kind}")]

    # ---- values

    def _physiological(self, record: Record, t_ns: int, gap: bool) -> list[Event]:
        events: list[Event] = []
        found: dict[int, list[Present]] = {}  # by class
        wrong: list[str] | None = None
        measured_s = record.time_s
        for kind, data in record.parts:
            if kind == Values.AUXILIARY and len(data) >= layout.AUXILIARY_BYTES:
                events.append(self._frame("numeric", self._auxiliary(data, record.time_s), record, t_ns, gap))
            elif (number := _class_of(kind, data)) is not None:
                present = groups(number, data)
                if kind == Values.DISPLAYED:
                    wrong = (wrong or []) + conditions(data, present)
                if kind == self._shown:
                    found[number] = present
                    measured_s = int.from_bytes(data[:4], "little")
            elif kind in tuple(Values):
                events.append(self._fault("layout", f"values of type {kind} in {len(data)} bytes"))
            else:
                events += self._not_read(record.main, kind)
        if found:
            events.append(self._frame("numeric", self._values(found, record.level, measured_s), record, t_ns, gap))
            events += [self._fault("same_label", site) for site in self._claims()]
        if wrong is not None:
            alerts = Alerts(tuple(Alert(word, technical=True) for word in wrong))
            events.append(self._frame("status", alerts, record, t_ns))
        return events

    def _values(self, found: dict[int, list[Present]], level: int, measured_s: int) -> list[Reading]:
        """Return what the classes of one record say, and what they no longer say."""
        present = [group for groups_of_class in found.values() for group in groups_of_class]
        said = self._sites.readings([group for group in present if is_site(group)])
        for group in present:
            if not is_site(group):
                said += readings(group, level, self._shown in _TREND)
        there = {reading.object for reading in said}
        gone = self._there.get(tuple(found), set()) - there
        self._there[tuple(found)] = there
        for object_ in gone & EPISODIC.keys():
            self._episodes.pop(EPISODIC[object_], None)
        given = [reading for reading in said if reading.object not in EPISODIC]
        given += self._episodic(said, {group.group.name: group.label for group in present}, measured_s)
        return given + [Reading(object_, 0, 0, nan, Validity.NA) for object_ in sorted(gone, key=str)]

    def _claims(self) -> list[str]:
        """Return the sites that two channels claim since this record."""
        before, self._claimed = self._claimed, self._sites.claimed
        return [site for site in self._claimed if site not in before]

    def _episodic(self, said: list[Reading], labels: dict[str, int], measured_s: int) -> list[Reading]:
        given: list[Reading] = []
        for name, (group, bit) in _OLD.items():
            mine = [reading for reading in said if EPISODIC.get(reading.object) == name]
            if mine:
                episode = self._episodes.setdefault(name, Episode())
                given += episode.seen(mine, measured_s, bool(labels[group] >> bit & 1))
        return given

    def _auxiliary(self, data: bytes, sent_s: int) -> list[Reading]:
        nibp_s, _, co_s, pcwp_s, surface = _AUXILIARY.unpack_from(data)
        given = [Reading("pat_bsa", 0, 0, *value(surface, Validity.VLD))]
        for name, at_s in (("nibp", nibp_s), ("co", co_s), ("pcwp", pcwp_s)):
            if name in self._episodes:
                given += self._episodes[name].timed(at_s, sent_s)
        return given

    # ---- waves

    def _wave(self, kind: int, data: bytes, record: Record, t_ns: int, gap: bool) -> list[Event]:
        name = _WAVE_NAMES.get(kind)
        if name is None:
            return self._not_read(record.main, kind)
        count, status, _ = _WAVE_HEADER.unpack_from(data) if len(data) >= _WAVE_HEADER.size else (-1, 0, 0)
        if not 0 <= count <= (len(data) - _WAVE_HEADER.size) // 2:
            return [self._fault("layout", f"wave {name}: {count} samples in {len(data)} bytes")]
        samples = np.frombuffer(data, "<i2", count, _WAVE_HEADER.size).astype(np.float64)
        validity = Validity.NA if status & _LEAD_OFF else Validity.VLD
        samples[samples <= (np.inf if status & _LEAD_OFF else _LARGEST_NO_SAMPLE)] = nan
        wave = Wave(name, 0, 0, samples, round(1e9 / layout.WAVES[name].rate), validity)
        return [self._frame("wave", wave, record, t_ns, gap or bool(status & _GAP))]

    # ---- alarms

    def _alarms(self, data: bytes, record: Record, t_ns: int) -> list[Event]:
        if len(data) < _ALARM_BYTES:
            return [self._fault("layout", f"alarms in {len(data)} bytes")]
        sound, silence = (int.from_bytes(data[at : at + 2], "little") for at in (2, 8))
        flags = Flag.ALERT_INHIBITED if silence in _ALL_SILENCED else 0
        active = []
        for at in _ALARM_LINES:
            text = _text(data[at : at + _TEXT_BYTES])
            color = int.from_bytes(data[at + _COLOR_AT : at + _COLOR_AT + 2], "little")
            if text:
                active.append(Alert(text, priority=color if color in _COLORS else 0, text=text, flags=int(flags)))
        states = [Reading("alarm.sound", 0, 0, float(sound != 0)), Reading("alarm.silence", 0, 0, float(silence))]
        return [
            self._frame("alarm", Alerts(tuple(active)), record, t_ns),
            self._frame("numeric", states, record, t_ns),
        ]


def _class_of(kind: int, data: bytes) -> int | None:
    """Return the class of a subrecord of values; None when it is none, or not whole."""
    if kind not in (Values.DISPLAYED, *_TREND) or len(data) < layout.SUBRECORD_BYTES:
        return None
    number = data[layout.TYPE_AT + 1] & 0xF  # bits 8 to 11 of cl_drilvl_subt
    return number if number < len(layout.CLASSES) else None


def _text(field: bytes) -> str:
    """Return a text up to its NUL. The monitor's character set is not documented: Latin-1 is assumed."""
    return "".join(letter for letter in field.split(b"\0", 1)[0].decode("latin-1") if letter.isprintable()).strip()
