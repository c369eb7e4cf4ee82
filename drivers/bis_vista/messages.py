"""What is in the messages of the BIS Vista: processed variables, power spectra, raw EEG.

The device's numbers are given as they are sent; what they mean and their scale is in the profile. Three things are the
protocol's own and are known here: which numbers mean "no value", in which channel's block a number stands, and how the
EEG is brought to microvolts.
"""

from __future__ import annotations

import struct
from math import nan
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.core.frame import Reading
from gateway.core.sample import Validity

RAW_EEG, PROCESSED, PROCESSED_SPECTRA = 0x32, 0x34, 0x35

# Processed variables: 48 bytes of settings, then a trend block for each of three channels.
SETTINGS_BYTES = 48
CALIBRATION_AT = 8  # within the DSC info, behind its 8 bytes of id
CALIBRATION = struct.Struct("<iiii")  # gain numerator and divisor, offset numerator and divisor
CHANNELS = ("ch1", "ch2", "ch12")
# BSR, SEF95, status bits, BIS, alternate BIS, alternate 2, total power, EMG, SQI, artefact bits
TREND = struct.Struct("<hhHhhhhhii")
EXTRA_TREND_BYTES = 12  # bursts per minute, whose scale is not stated, and 5 reserved words: not read
TREND_FIELDS = ((0, "BSR"), (1, "SEF95"), (3, "BIS"), (6, "total power"), (7, "EMG"), (8, "SQI"))
NO_VALUE = -3277  # this and everything below: no value
PLAIN_BYTES = SETTINGS_BYTES + len(CHANNELS) * TREND.size
EXTRA_BYTES = PLAIN_BYTES + len(CHANNELS) * EXTRA_TREND_BYTES

SPECTRA_HEAD = struct.Struct("<HH")  # channels; size, of which is not said what it counts
BINS = 60  # 0.5 Hz wide, 0.5 to 30 Hz
SPECTRUM = struct.Struct(f"<{BINS}h")
SPECTRA_CHANNELS = ("ch1", "ch2")
SPECTRA_BYTES = SPECTRA_HEAD.size + len(SPECTRA_CHANNELS) * SPECTRUM.size

EEG_HEAD = struct.Struct("<hh")  # channels, samples per second
EEG_CHANNELS = ("ch1", "ch2")
EEG_RATES = (128,)  # the only one that the request for it is known of


class Calibration(NamedTuple):
    """How a raw EEG sample becomes microvolts: gain x (raw - offset)."""

    gain: float
    offset: float


def calibration(data: bytes) -> Calibration | None:
    """Return the calibration in the DSC info of processed variables, None when it has none (a divisor or gain of 0)."""
    gain, gain_divisor, offset, offset_divisor = CALIBRATION.unpack_from(data, CALIBRATION_AT)
    if not (gain and gain_divisor and offset_divisor):
        return None
    return Calibration(gain / gain_divisor, offset / offset_divisor)


def trends(data: bytes) -> list[Reading] | None:
    """Return what processed variables say, None when they are not built as described (a bilateral monitor's)."""
    if len(data) not in (PLAIN_BYTES, EXTRA_BYTES):
        return None
    size = TREND.size + (EXTRA_TREND_BYTES if len(data) == EXTRA_BYTES else 0)
    found: list[Reading] = []
    for number, channel in enumerate(CHANNELS):
        block = TREND.unpack_from(data, SETTINGS_BYTES + number * size)
        found += [_reading(f"{channel} {name}", block[i]) for i, name in TREND_FIELDS]
    return found


def spectra(data: bytes) -> list[Reading] | None:
    """Return the power in each bin (instance = its number, from 1) of each channel, None when not built as described.

    Each channel is read from its own bytes.
    """
    if len(data) != SPECTRA_BYTES or not 1 <= data[0] + 256 * data[1] <= len(SPECTRA_CHANNELS):
        return None
    found: list[Reading] = []
    for number, channel in enumerate(SPECTRA_CHANNELS[: data[0]]):
        powers = SPECTRUM.unpack_from(data, SPECTRA_HEAD.size + number * SPECTRUM.size)
        found += [_reading(f"{channel} power", raw, bin_) for bin_, raw in enumerate(powers, 1)]
    return found


def eeg(data: bytes) -> tuple[int, npt.NDArray[np.int16]] | None:
    """Return (samples per second, raw samples of shape (channels, n)), None when not built as described."""
    if len(data) < EEG_HEAD.size:
        return None
    channels, rate = EEG_HEAD.unpack_from(data)
    body = len(data) - EEG_HEAD.size
    if rate not in EEG_RATES or not 1 <= channels <= len(EEG_CHANNELS) or not body or body % (2 * channels):
        return None
    return rate, np.frombuffer(data, "<i2", offset=EEG_HEAD.size).reshape(-1, channels).T


def _reading(name: str, raw: int, instance: int = 0) -> Reading:
    if raw <= NO_VALUE:
        return Reading(name, instance, 0, nan, int(Validity.NA))
    return Reading(name, instance, 0, raw)
