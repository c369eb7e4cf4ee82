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
    unit: the protocol's unit code; 0 = the profile knows the unit
    value: the number as sent, already scaled by what the protocol itself says; NaN when there is none
    validity, flags: Validity and Flag as plain ints (IntFlag arithmetic is slow)
    """

    object: int | str
    instance: int
    unit: int
    value: float
    validity: int = Validity.VLD
    flags: int = 0


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


Payload = bytes | list[Reading] | Wave
"""bytes: a fixed layout, its fields are in the profile. list[Reading], Wave: the protocol describes itself."""


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
