"""The one noun between plan and encoder: a 32-byte row.

    byte  0        8        16       24     26     28       29    30   32
          | t_ns   | seq    | value  |metric|source|validity|flags|note |
          | i8     | u8     | f8     | u2   | u2   | u1     | u1  | u2  |

Array of structs on purpose: a slice of the ring *is* the sample recording, and a block moves with one copy.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

import numpy as np
import numpy.typing as npt

SAMPLE = np.dtype(
    [
        ("t_ns", "<i8"),  # UTC ns when it was measured, by our clock: arrival, less the age that the device says
        ("seq", "<u8"),  # per-port sample number; a gap is a loss
        ("value", "<f8"),  # physical value in the metric's unit; NaN when there is none; enumerations: table index;
        # alerts: phase and priority (gateway.core.alert); clock: offset of the device's clock, s
        ("metric", "<u2"),  # index into the resolved plan's metrics
        ("source", "<u2"),  # number of the configured device (its position in the configuration)
        ("validity", "u1"),  # Validity
        ("flags", "u1"),  # Flag
        ("note", "<u2"),  # number of a side note of the line (gateway.core.notes), 0 = none
    ]
)
Block = npt.NDArray[np.void]
"""A 1-D array of dtype SAMPLE, shape (n,)."""

assert SAMPLE.itemsize == 32


class Validity(IntEnum):
    """MeasurementValidity in the order of ISO/IEEE 11073-10207 (BICEPS), pm:MeasurementValidity."""

    VLD = 0
    VLDATED = 1
    ONG = 2
    QST = 3
    CALIB = 4
    INV = 5
    OFLW = 6
    UFLW = 7
    NA = 8


USABLE = frozenset({Validity.VLD, Validity.VLDATED, Validity.QST})
"""Validities whose value is a number that a person may read (with a mark, when questionable)."""


IS_USABLE: npt.NDArray[np.bool_] = np.isin(np.arange(256), list(USABLE))
"""The same for a whole column: IS_USABLE[block["validity"]]."""


class Flag(IntFlag):
    """What else is known of a sample. Eight bits: all are taken."""

    WAVEFORM = 1  # one of many samples at the metric's own rate
    AFTER_GAP = 2  # something was lost between the sample before and this one
    TEST = 4  # the device says: test data
    DEMO = 8  # the device says: demonstration data
    EPISODIC = 16  # measured at once (cuff, spot temperature), not continuously
    ALERT_ACTIVE = 32  # the device alarms on this metric
    ALERT_INHIBITED = 64  # the device's alarm on this metric is switched off
    EARLY = 128  # early indication of a measurement still running


NOT_FOR_CHARTING = Flag.TEST | Flag.DEMO


def empty_block() -> Block:
    """Return a block of no rows: shape (0,), dtype SAMPLE."""
    return np.empty(0, SAMPLE)
