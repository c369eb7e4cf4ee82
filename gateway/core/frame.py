"""What a driver says: frames, who the device is, what went wrong, or that it needs more bytes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.core.sample import Validity


class Reading(NamedTuple):
    """One value of a self-describing protocol, still in the device's own words.

    object: the protocol's id of what was measured (physio id, signal name, parameter code)
    instance: tells two of the same kind apart (label, channel); 0 = the only one
    unit: the protocol's unit code or word, a key of the profile's [units]; 0 = the profile knows the unit
    value: the number as sent, already scaled by what the protocol itself says, NaN when there is none; a protocol that
        names the states of an enumeration by words gives the word
    validity, flags: Validity and Flag as plain ints (IntFlag arithmetic is slow)
    age_ns: for a value measured before it was sent (cuff, analyser result): how long before, by the device's own clock
        at both ends, so that an offset of that clock does not matter; 0 = now
    """

    object: int | str
    instance: int
    unit: int | str
    value: float | str
    validity: int = Validity.VLD
    flags: int = 0
    age_ns: int = 0


@dataclass(frozen=True, slots=True)
class Wave:
    """A run of equidistant waveform samples of one object.

    samples: float64, shape (n,), in the unit named by `unit`; NaN where the device marks a sample as invalid
    period_ns: time between two samples
    """

    object: int | str
    instance: int
    unit: int
    samples: npt.NDArray[np.float64]
    period_ns: int
    validity: int = Validity.VLD
    flags: int = 0


class Alert(NamedTuple):
    """One alert that is active now, in the device's own words.

    object: the protocol's id of the event (code, bit, text of a closed set)
    source: the protocol's id of what it is about, as the object of a numeric Reading; 0 = not said, or the device
    priority: 0 none (advisory, or not said), 1 low, 2 medium, 3 high
    text: what the device shows, when it sends that; never text that a person has typed
    flags: Flag.ALERT_INHIBITED when it is silenced or paused, TEST, DEMO
    technical: the device says that it is about itself; only used for an event that is not in the profile
    """

    object: int | str
    source: int | str = 0
    priority: int = 0
    text: str = ""
    flags: int = 0
    technical: bool = False


@dataclass(frozen=True, slots=True)
class Alerts:
    """All alerts of one kind of frame that are active now: what was active before and is not in it has ended."""

    active: tuple[Alert, ...]


Payload = bytes | list[Reading] | Wave | Alerts
"""bytes: a fixed layout, its fields are in the profile. The others: the protocol describes itself."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One checked unit of information from a device.

    kind: which table of the profile reads it ("numeric", "wave", "alert", a register block's name …)
    t_ns: UTC ns of arrival, as given to receive_data
    source: which device of the line (0 = the first configured)
    device_ns: the device's own clock as UTC ns under the assumption that it shows UTC, or None
    after_gap: the protocol itself shows that something before this frame is missing
    """

    kind: str
    payload: Payload
    t_ns: int
    source: int = 0
    device_ns: int | None = None
    after_gap: bool = False


@dataclass(frozen=True, slots=True)
class Identified:
    """The device has said what it is. Empty strings where it did not say."""

    vendor: str
    model: str
    firmware: str
    serial: str = ""
    source: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """Something on the line was not as the protocol wants it. Counted as frames_bad{reason} when `bad_frame`.

    reason: a short word from a closed set of the driver (its `faults`), used as a counter label
    detail: for a person; never holds device text that could name a patient
    """

    reason: str
    detail: str = ""
    source: int = 0
    bad_frame: bool = False


class NeedData(Enum):
    """The sentinel `NEED_DATA`: no event until more bytes or a later `now`."""

    NEED_DATA = "NEED_DATA"


NEED_DATA = NeedData.NEED_DATA
Event = Frame | Identified | Fault | NeedData
