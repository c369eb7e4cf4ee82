"""From poll results to frames: numerics, waves, alerts, and who the monitor is.

Results are taken in every state of the session and by their polled class, whoever asked for them: a restarted gateway
and a recording that begins in the middle see the results of an association that is not theirs.

Of a PDU whose structure does not hold nothing is told but a Fault; the gap it leaves is marked on the next frame.

Memory is bounded: at most MAX_OBJECTS objects and as many owners of a (physio id, label); beyond that the cache is
dropped with a Fault and learned anew.

Source: protocol notes sections 8 and 10 to 14.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from math import nan

import numpy as np

from drivers.philips_intellivue import pdu as layout
from drivers.philips_intellivue.alerts import PATIENT_ALERTS, TECHNICAL_ALERTS, AlertTable, alert_list
from drivers.philips_intellivue.continuity import Continuity, Place
from drivers.philips_intellivue.objects import MonitorObject, meaning
from drivers.philips_intellivue.pdu import ALERT_MONITOR, MDS, NUMERICS, TICK_NS, WAVES, Malformed, PollResult
from gateway.core.frame import Alerts, Event, Fault, Frame, Identified, Payload, Reading, Wave
from gateway.core.sample import Validity

MAX_OBJECTS = 1024  # a monitor has some hundred
OWNER_TIMEOUT_NS = 5_000_000_000  # an object that was silent for so long gives its (physio id, label) free
WAVE_RESULT_NS = 256_000_000  # waves come in blocks of 256 ms, sections 9.2 and 12, and so on the MP90 recordings

CLASSES = frozenset({NUMERICS, WAVES, ALERT_MONITOR, MDS})
NU_VAL, NU_CMPD_VAL, SA_VAL, SA_CMPD_VAL = 0x0950, 0x094B, 0x096E, 0x0967  # section 13
ID_MODEL, PROD_SPEC, TIME_ABS, TIME_REL = 0x0928, 0x092D, 0x0987, 0x098F
SERIAL_NUMBER, SOFTWARE_REVISION, APPLICATION_SOFTWARE = 1, 4, 0x58  # ProductionSpec types; component, section 16.1

_number = struct.Struct(">HHHI").unpack_from  # NuObsValue


@dataclass(slots=True)
class _Result:
    """One poll result while it is decoded: its place in time and what it has given so far."""

    pdu: bytes
    found: PollResult
    t_ns: int
    source: int
    device_ns: int | None
    gap: bool
    place: Place
    events: list[Event] = field(default_factory=list)

    def tell(self, kind: str, payload: Payload) -> None:
        self.events.append(Frame(kind, payload, self.t_ns, self.source, self.device_ns, self.gap))

    def fault_once(self, known: MonitorObject, reason: str, detail: str) -> None:
        if reason not in known.told:
            known.told.add(reason)
            self.events.append(Fault(reason, detail, self.source))


class Decoder:
    """Turns the results and events of one monitor into frames."""

    def __init__(self, source: int) -> None:
        self._source = source
        self._told: set[int] = set()  # polled classes that have given anything since the line is up
        self._announced = Identified("", "", "", "", source)  # what the monitor said of itself before it was associated
        self.reset()

    def reset(self) -> None:
        """A new association: forget what the monitor said in the one before. What it gave then now has a gap."""
        self._objects: dict[int, MonitorObject] = {}
        self._owners: dict[int, dict[tuple[int, int], tuple[int, int]]] = {NUMERICS: {}, WAVES: {}}
        self._who = self._announced
        self._clock: tuple[int, int] | None = None  # device time as UTC ns, and the same as RelativeTime
        self._continuity = Continuity()
        self._gap = set(self._told)  # polled classes of which something was lost since their last frame
        self._listing = 0  # counts complete lists of numerics
        self._alerts: AlertTable | None = None  # of the result under way; None = no list sent
        self.incomplete: set[int] = set()  # polled classes whose static attributes should be asked for again

    def interrupted(self) -> None:
        """Bytes were lost on the line: a linked result under way can no longer be taken as complete."""
        self._continuity.interrupted()

    def mds(self, pdu: bytes, attributes: list[layout.Attribute]) -> list[Event]:
        """Take attributes of the MDS object: clock and identity. Tells who the monitor is when that is new."""
        times: dict[int, int | None] = {}
        for attribute, at, end in attributes:
            if attribute == TIME_ABS:
                times[TIME_ABS] = layout.absolute_time_ns(pdu[at:end])
            elif attribute == TIME_REL:
                times[TIME_REL] = int.from_bytes(pdu[at:end], "big")
        absolute, relative = times.get(TIME_ABS), times.get(TIME_REL)
        if absolute is not None and relative is not None:
            self._clock = absolute, relative
        return self._identified(_identity(pdu, attributes, self._who))

    def announced(self, pdu: bytes, attributes: list[layout.Attribute]) -> list[Event]:
        """Take the attributes of a Connect Indication: who the monitor is, in the associations that follow."""
        self._announced = _identity(pdu, attributes, Identified("", "", "", "", self._source))
        return self._identified(self._announced)

    def _identified(self, who: Identified) -> list[Event]:
        """Tell who the monitor is when that is new."""
        if who == self._who:
            return []
        self._who = who
        return [who]

    def result(self, pdu: bytes, found: PollResult, t_ns: int) -> list[Event]:
        """Return the events of one result. Raises one of BROKEN; nothing of the result is told then."""
        polled = found.polled
        if polled not in CLASSES:
            return []
        if self._continuity.is_stale(found):
            return [Fault("stale", f"result {found.sequence} came twice or after a newer one", self._source)]
        place = self._continuity.place(found)
        if place.lost:
            self._gap.add(polled)
            self.incomplete.add(polled)
        gap = polled in self._gap
        self._gap.add(polled)  # until this result has been told
        result = _Result(pdu, found, t_ns, self._source, self._device_time(found), gap, place)
        try:
            self._decode(result)
        except layout.BROKEN:
            for known in self._objects.values():
                known.last = None  # a measurement that was not told is not told yet
            raise
        if result.events:
            self._told.add(polled)
        if result.events or not gap:
            self._gap.discard(polled)
        return result.events

    def _decode(self, result: _Result) -> None:
        polled = result.found.polled
        if polled == NUMERICS:
            self._numerics(result)
        elif polled == WAVES:
            self._waves(result)
        elif polled == ALERT_MONITOR:
            self._alert_lists(result)
        else:
            for _, attributes in result.found.observations:
                result.events += self.mds(result.pdu, attributes)

    # ---- what holds for every result

    def _device_time(self, found: PollResult) -> int | None:
        """Return the monitor's clock at this result. The pair moves along, for ticks wrap after 6.2 days."""
        if found.absolute_ns is not None:
            self._clock = found.absolute_ns, found.relative_time
        elif self._clock is not None:
            ns, ticks = self._clock
            self._clock = ns + _ticks(ticks, found.relative_time) * TICK_NS, found.relative_time
        return self._clock[0] if self._clock else None

    def _known(self, key: int) -> MonitorObject:
        known = self._objects.get(key)
        if known is None:
            if len(self._objects) >= MAX_OBJECTS:
                self.reset()
                raise Malformed(f"more than {MAX_OBJECTS} objects")
            known = self._objects[key] = MonitorObject()
        return known

    def _owns(self, result: _Result, key: int, known: MonitorObject, code: int) -> bool:
        """Tell whether this object may speak for (physio id, label). Two at once are never mixed: the first stays."""
        owners = self._owners[result.found.polled]
        owner, heard_ns = owners.get((code, known.label), (key, 0))
        if owner != key and abs(result.t_ns - heard_ns) <= OWNER_TIMEOUT_NS:  # also when our clock was set back
            detail = f"physio id 0x{code:04X} label 0x{known.label:08X} is sent by two objects at once"
            result.fault_once(known, "ambiguous", detail)
            return False
        if len(owners) >= MAX_OBJECTS:
            self.reset()
            raise Malformed(f"more than {MAX_OBJECTS} physio ids")
        owners[code, known.label] = key, result.t_ns
        return True

    # ---- numerics

    def _numerics(self, result: _Result) -> None:
        readings: list[Reading] = []
        self._listing += result.place.begins
        pdu = result.pdu
        for key, attributes in result.found.observations:
            known = self._known(key)
            known.listed = self._listing
            values: list[int] = []
            for attribute, at, end in attributes:
                if attribute == NU_VAL:
                    values += _items(at, 1, 10, end)
                elif attribute == NU_CMPD_VAL:
                    values += _items(at + 4, layout.unpack_2(pdu, at)[0], 10, end)
                else:
                    known.learn(attribute, pdu, at, end)
            if values:
                readings += self._readings(result, key, known, values)
            elif known.off:
                readings += known.withdrawn()
        if result.place.complete:
            for known in self._objects.values():
                if known.units and known.listed != self._listing:
                    readings += known.withdrawn()
        if readings:
            result.tell("numeric", readings)

    def _readings(self, result: _Result, key: int, known: MonitorObject, values: list[int]) -> list[Reading]:
        """Return the readings of one object, one for each NuObsValue that begins at `values`."""
        readings = []
        label = known.label
        if not label:
            self.incomplete.add(NUMERICS)
        for at in values:
            code, state, unit, raw = _number(result.pdu, at)
            if not self._owns(result, key, known, code):
                continue
            validity, flags, blank = meaning(state, known.episodic, known.off)
            value, special = layout.float_type(raw)
            if blank:
                value = nan
            elif special is not Validity.VLD:
                validity = special
            known.units[code] = unit
            readings.append(Reading(code, label, unit, value, validity, flags))
        if known.episodic:
            return known.measured(readings, _age_ns(known.stamp, result))
        return readings

    # ---- waves

    def _waves(self, result: _Result) -> None:
        for key, attributes in result.found.observations:
            known = self._known(key)
            blocks: list[tuple[int, int]] = []
            for attribute, at, end in attributes:
                if attribute == SA_VAL:
                    blocks.append((at, end))
                elif attribute == SA_CMPD_VAL:
                    blocks += _blocks(result.pdu, at, end)
                else:
                    known.learn(attribute, result.pdu, at, end)
            for at, end in blocks:
                self._wave(result, key, known, at, end)

    def _wave(self, result: _Result, key: int, known: MonitorObject, at: int, end: int) -> None:
        """Tell one SaObsValue {physio id, state, length, samples}."""
        code, state, length = layout.unpack_3(result.pdu, at)
        if at + 6 + length > end:
            raise Malformed(f"{length} bytes of samples do not fit")
        if not length or not self._owns(result, key, known, code):
            return
        validity, flags, blank = meaning(state, known.episodic, known.off)
        conversion = known.conversion
        if conversion is None:
            self.incomplete.add(WAVES)
            result.fault_once(known, "unscaled", f"wave 0x{code:04X}: specification, scale, unit or period not seen")
            count = max(length // 2, 1)
            wave = Wave(code, known.label, 0, np.full(count, nan), WAVE_RESULT_NS // count, Validity.INV, flags)
        else:
            samples = conversion.samples(result.pdu, at + 6, length)
            if blank:
                samples.fill(nan)
            wave = Wave(code, known.label, conversion.unit, samples, conversion.period_ns, validity, flags)
        result.tell("wave", wave)

    # ---- alerts

    def _alert_lists(self, result: _Result) -> None:
        """Tell the alerts of a complete result: all monitors, both lists; a list that was not sent is unchanged."""
        if result.place.begins:
            self._alerts = None
        for key, attributes in result.found.observations:
            known = self._known(key)
            for attribute, at, end in attributes:
                if attribute in {PATIENT_ALERTS, TECHNICAL_ALERTS}:
                    known.alerts[attribute] = alert_list(result.pdu, at, end, attribute == TECHNICAL_ALERTS)
            for alerts in known.alerts.values():
                self._alerts = {**(self._alerts or {}), **alerts}
        if result.place.complete and self._alerts is not None:
            result.tell("alert", Alerts(tuple(self._alerts.values())))


def _ticks(then: int, now: int) -> int:
    """Return the signed number of ticks between two RelativeTimes, which are u32 and wrap."""
    return ((now - then + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000


def _items(at: int, count: int, size: int, end: int) -> range:
    """Return where `count` items of `size` bytes begin."""
    if at + count * size > end:
        raise Malformed(f"{count} values do not fit in {end - at} bytes")
    return range(at, at + count * size, size)


def _blocks(pdu: bytes, at: int, end: int) -> list[tuple[int, int]]:
    """Return where the SaObsValues of a compound begin, and where the next one does."""
    count, length = layout.unpack_2(pdu, at)
    at += 4
    if at + length > end:
        raise Malformed(f"compound of {length} bytes does not fit")
    blocks = []
    for _ in range(count):
        stop = at + 6 + layout.unpack_3(pdu, at)[2]
        if stop > end:
            raise Malformed("samples do not fit in their compound")
        blocks.append((at, stop))
        at = stop
    return blocks


def _age_ns(stamp: bytes, result: _Result) -> int | None:
    if len(stamp) == 4:
        return _ticks(int.from_bytes(stamp, "big"), result.found.relative_time) * TICK_NS
    measured_ns = layout.absolute_time_ns(stamp)
    if measured_ns is None or result.device_ns is None:
        return None
    return result.device_ns - measured_ns


def _identity(pdu: bytes, attributes: list[layout.Attribute], who: Identified) -> Identified:
    """Return who the monitor is: what was known, and over it what the attributes say."""
    for attribute, at, end in attributes:
        if attribute == ID_MODEL:
            vendor, model = layout.system_model(pdu, at, end)
            who = replace(who, vendor=vendor, model=model)
        elif attribute == PROD_SPEC:
            firmware, serial = _production(layout.production_spec(pdu, at, end))
            who = replace(who, firmware=firmware or who.firmware, serial=serial or who.serial)
    return who


def _production(entries: list[tuple[int, int, str]]) -> tuple[str, str]:
    """Return firmware and serial number. Of several software revisions the application software's counts."""
    software = {component: text for kind, component, text in reversed(entries) if kind == SOFTWARE_REVISION}
    serials = [text for kind, _, text in entries if kind == SERIAL_NUMBER]
    firmware = software.get(APPLICATION_SOFTWARE) or next(reversed(software.values()), "")
    return firmware, serials[0] if serials else ""
