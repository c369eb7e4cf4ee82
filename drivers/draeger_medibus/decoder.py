"""From checked responses to frames: what each value is called, what is gone, what cannot be."""

from __future__ import annotations

import math

from drivers.draeger_medibus import slow
from drivers.draeger_medibus.contents import ALARM, CLOCK, DATA, SETTING, TEXT, Contents
from gateway.core.frame import Alerts, Fault, Frame, Reading
from gateway.core.sample import Flag, Validity


class Decoder:
    """Reads the responses of one device and remembers what it has sent before.

    A value that a device does not have it leaves out (notes, section 5). So a value that was there and is not there any
    more is given once as NA; a text message that was on and is not listed any more is off.
    """

    def __init__(self, contents: Contents, source: int) -> None:
        self._contents = contents
        self._source = source
        self._before: dict[int, set[int | str]] = {}  # command -> objects with a value in the response before
        self._once: set[int] = set()  # text messages that were on at least once
        self.flags = 0
        """Flag.DEMO while the device says that it simulates."""

    def read(self, code: int, data: bytes, t_ns: int) -> list[Frame | Fault]:
        """Return what a response to the data request `code` says."""
        kind, page = DATA[code]
        if kind == CLOCK:
            return self._clock(data, t_ns)
        if kind in ALARM.values():
            alerts = slow.alarms(data, page)
            if alerts is None:
                return [self._layout(kind)]
            marked = tuple(alert._replace(flags=self.flags) for alert in alerts)
            return [Frame(kind, Alerts(marked), t_ns, self._source)]
        if kind == TEXT:
            return self._texts(code, data, t_ns)
        found = slow.values(data, slow.SETTING_WIDTH if kind == SETTING else slow.MEASURED_WIDTH)
        if found is None:
            return [self._layout(kind)]
        return [Frame(kind, self._readings(code, page, found), t_ns, self._source)]

    def _layout(self, kind: str) -> Fault:
        return Fault("layout", f"{kind}: not built as the protocol says", self._source, bad_frame=True)

    def _clock(self, data: bytes, t_ns: int) -> list[Frame | Fault]:
        if not data:
            return []  # it has no clock, or does not tell
        device_ns = slow.clock(data)
        if device_ns is None:
            return [self._layout(CLOCK)]
        return [Frame(CLOCK, [], t_ns, self._source, device_ns=device_ns)]

    def _readings(self, command: int, page: int, values: list[slow.Value]) -> list[Reading]:
        """Return the values under the names of the profile, and NA for each one that is gone."""
        sent = {page << 8 | value.code for value in values}
        readings = []
        for value in values:
            object_ = page << 8 | value.code
            into, unit = self._contents.merged.get(object_, (object_, 0))
            if into != object_ and into in sent:
                continue  # it has the same quantity under both codes
            readings.append(Reading(into, 0, unit, value.number, value.validity, self.flags))
        return readings + self._gone(command, {reading.object for reading in readings})

    def _gone(self, command: int, now: set[int | str]) -> list[Reading]:
        before, self._before[command] = self._before.get(command, set()), now
        return [Reading(object_, 0, 0, math.nan, Validity.NA) for object_ in sorted(before - now, key=str)]

    def _texts(self, command: int, data: bytes, t_ns: int) -> list[Frame | Fault]:
        codes = slow.texts(data)
        if codes is None:
            return [self._layout(TEXT)]
        active = set(codes)
        self.flags = int(Flag.DEMO) if active & self._contents.demo else 0
        readings: list[Reading] = []
        faults: list[Frame | Fault] = []
        named: set[int | str] = set()
        for name, group in self._contents.groups.items():
            said = active & group
            if len(said) == 1:
                readings.append(Reading(name, 0, 0, float(*said)))
                named.add(name)
            elif said:
                words = " and ".join(f"0x{code:02X}" for code in sorted(said))
                faults.append(Fault("ambiguous", f"{name}: text messages {words} at once", self._source))
                readings.append(Reading(name, 0, 0, math.nan, Validity.INV))
                named.add(name)
        readings += self._gone(command, named)
        self._once |= active.difference(*self._contents.groups.values())
        readings += [Reading(code, 0, 0, float(code in active)) for code in sorted(self._once)]
        return [*faults, Frame(TEXT, readings, t_ns, self._source)]
