"""Waves: raw counts to physical values, and what has none."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest

from drivers.philips_intellivue.pdu import WAVES, attribute
from gateway.core.sample import Validity
from tests.unit.intellivue_rig import ECG, Fed, faults, observation, result, statics, wave, waves_of


def test_a_wave_is_scaled_and_masked() -> None:
    found = Fed().wave(result(WAVES, observation(1, *ECG, wave([0, 8192, 16383, 0x4000 | 8192]))))
    assert (found.object, found.instance, found.unit, found.period_ns) == (0x0102, 0x0002_0102, 0x10B2, 2_000_000)
    np.testing.assert_allclose(found.samples, [-40.96, 0.0, 40.955, 0.0], atol=1e-9)
    assert found.samples.dtype == np.dtype(np.float64)
    assert found.validity == Validity.VLD


def test_static_attributes_hold_for_later_results() -> None:
    fed = Fed()
    fed.wave(result(WAVES, observation(1, *ECG, wave([0]))))
    assert fed.wave(result(WAVES, observation(1, wave([8192])), sequence=1)).samples == pytest.approx([0.0])


def test_without_physical_unit_a_wave_goes_from_0_to_1() -> None:
    items = statics(0x007FFFFF, 0x007FFFFF, (0, 4095), unit=None, bits=(16, 12))
    found = Fed().wave(result(WAVES, observation(1, *items, wave([0, 4095]))))
    assert (found.unit, list(found.samples)) == (0x0200, [0.0, 1.0])


def test_eight_bit_samples() -> None:
    items = statics(0, 100, (0, 200), bits=(8, 8))
    assert list(Fed().wave(result(WAVES, observation(1, *items, wave([0, 100, 200], size=1)))).samples) == [0, 50, 100]


def test_outside_of_the_scale_there_is_no_value() -> None:
    items = statics(0xFFFFFFD8, 520, (160, 9120), unit=0x0F20)
    found = Fed().wave(result(WAVES, observation(1, *items, wave([159, 160, 9120, 9121]))))
    assert list(np.isnan(found.samples)) == [True, False, False, True]
    assert found.samples[2] == 520.0


@pytest.mark.parametrize("invalid", [0x8000, 0x1FFF])
def test_invalid_samples_are_nan(invalid: int) -> None:
    items = statics(0, 16383, (0, 16383), fixed=((1, invalid), (2, 0x4000)))
    raw = [100, invalid | 100 if invalid == 0x8000 else invalid, 0x4000 | 100]
    found = Fed().wave(result(WAVES, observation(1, *items, wave(raw))))
    assert list(np.isnan(found.samples)) == [False, True, False]
    assert found.samples[2] == 100.0  # the pacer mark is no part of the value


def test_with_extended_range_only_the_declared_marks_are_taken_off() -> None:
    items = statics(0, 16383, (0, 16383), flags=0x1000, fixed=((2, 0x4000),))
    found = Fed().wave(result(WAVES, observation(1, *items, wave([100, 0x4000 | 100, 0x8000 | 100]))))
    assert list(found.samples[:2]) == [100.0, 100.0]
    assert math.isnan(found.samples[2])  # beyond the scale: a marker that nobody declared


@pytest.mark.parametrize("missing", range(1, 6))
def test_a_wave_of_unknown_scale_has_no_values(missing: int) -> None:
    items = [item for i, item in enumerate(ECG) if i != missing]
    fed = Fed()
    events = fed.pdu(result(WAVES, observation(1, *items, wave([1, 2, 3, 4]))))
    if missing == 4:  # fixed values are not needed
        assert faults(events) == []
        return
    assert faults(events) == ["unscaled"]
    (found,) = waves_of(events)
    assert (found.unit, found.validity, len(found.samples)) == (0, Validity.INV, 4)
    assert np.isnan(found.samples).all()
    assert faults(fed.pdu(result(WAVES, observation(1, wave([5])), sequence=1))) == []  # said once


@pytest.mark.parametrize(("state", "validity"), [(0x8000, Validity.INV), (0x2000, Validity.NA)])
def test_an_invalid_wave_has_no_values(state: int, validity: Validity) -> None:
    found = Fed().wave(result(WAVES, observation(1, *ECG, wave([8192], state))))
    assert found.validity == validity
    assert np.isnan(found.samples).all()


def test_compound_waves_give_one_frame_each() -> None:
    blocks = b"".join(struct.pack(">HHH", 0x0101 + i, 0, 4) + struct.pack(">HH", 8192, 8192 + i) for i in range(2))
    compound = attribute(0x0967, struct.pack(">HH", 2, len(blocks)) + blocks)
    found = waves_of(Fed().pdu(result(WAVES, observation(1, *ECG, compound))))
    assert [(wave.object, wave.samples.round(9).tolist()) for wave in found] == [(0x0101, [0, 0]), (0x0102, [0, 0.005])]
