"""The pulse oximeters' own recordings, and what every one of their profiles promises."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from gateway.core.frame import Wave
from gateway.core.sample import IS_USABLE
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from tests.unit.oximeter_rig import (
    PROFILES,
    RECORDED,
    capture,
    converse,
    decoded,
    faults,
    frames,
    heard,
    plan,
    profile,
    read,
    recording,
    said_by,
    summary,
)


@pytest.mark.parametrize("profile_id", RECORDED)
def test_our_recordings_are_those_that_the_simulator_makes(profile_id: str) -> None:
    """When this fails on purpose: python -m tests.unit.oximeter_rig, then read the difference."""
    data = capture(profile_id).read_bytes()
    assert recording(profile_id) == data
    expected = json.loads(capture(profile_id).with_suffix(".expected.json").read_text(encoding="utf-8"))
    assert summary(read(profile_id, data)) == expected
    assert expected["faults"] == {}


@pytest.mark.parametrize("profile_id", PROFILES)
def test_what_the_scene_measures_is_what_is_read(profile_id: str) -> None:
    """Saturation and rate of a scene that stands still come out as they are, under their codes."""
    table = plan(profile_id)
    wanted = {"MDC_PULS_OXIM_SAT_O2": 91.0, "MDC_PULS_OXIM_PULS_RATE": 187.0}
    scene = Scene(still=True, fixed=wanted)
    found: dict[str, set[float]] = {name: set() for name in wanted}
    for frame in heard(profile_id, said_by(profile_id, 9.0, scene)):
        for block in decoded(profile_id, [frame]):
            for row in block[IS_USABLE[block["validity"]]]:
                name = table.metrics[row["metric"]].ref_id
                if name in found:
                    found[name].add(float(row["value"]))
    assert found == {name: {value} for name, value in wanted.items()}


@pytest.mark.parametrize(
    "profile_id", [p for p in PROFILES if p.startswith(("nonin/9560_df2", "contec", "nonin/oem3"))]
)
def test_the_pleth_beats_with_the_pulse(profile_id: str) -> None:
    """Samples are evenly spaced, and 60 beats of a minute are 60 in the wave."""
    scene = Scene(fixed={"MDC_ECG_HEART_RATE": 60.0})
    waves = [frame.payload for frame in frames(heard(profile_id, said_by(profile_id, 9.5, scene)), "wave")]
    samples = [float(value) for wave in waves if isinstance(wave, Wave) for value in wave.samples]
    rate = 75 if "nonin" in profile_id else 60
    assert {round(1e9 / wave.period_ns, 3) for wave in waves if isinstance(wave, Wave)} == {float(rate)}
    middle = max(samples) / 2
    ups = [i for i in range(1, len(samples)) if samples[i - 1] < middle <= samples[i]]
    assert {later - earlier for earlier, later in pairwise(ups)} <= {rate - 1, rate, rate + 1}
    assert len(ups) >= 8


@pytest.mark.parametrize("profile_id", PROFILES)
def test_only_an_oximeter_that_waits_for_a_command_is_spoken_to(profile_id: str) -> None:
    said = [asked for _, asked, _ in converse(profile_id, 20.0) if asked]
    assert bool(said) == bool(profile(profile_id).transmit) == ("v7" in profile_id or "v46" in profile_id)
    gate = Gate(profile(profile_id).transmit)
    assert all(gate.allows(asked) for asked in said)


@pytest.mark.parametrize("profile_id", PROFILES)
def test_a_clean_line_has_no_faults(profile_id: str) -> None:
    assert faults(heard(profile_id, said_by(profile_id, 60.0))) == []
