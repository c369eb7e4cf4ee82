"""The exam, what a device means: every metric with its value and without, nothing sent that is not allowed, one truth.

Parametrised over the registry: a profile takes it by lying in the tree.
"""

from __future__ import annotations

import tracemalloc
from contextlib import closing
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from gateway import registry
from gateway.core.errors import ProfileError
from gateway.core.frame import Alerts, Identified
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import Profile
from gateway.core.sample import IS_USABLE, Flag
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from gateway.decode import Decoder, decode_file
from gateway.record import Direction, Header, RecordingWriter
from tests.conformance.rig import PROFILES, T0, Talk, drained, plan_of, protocol_of, talk

EVERYTHING_S = 75.0  # one minute in which an episodic value comes, and a round of polls
PORT_BYTES = 3_000_000  # what one port may hold

each_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)


@cache
def long_talk(profile_id: str) -> Talk:
    return talk(PROFILES[profile_id], EVERYTHING_S)


@each_profile
def test_every_metric_is_produced(profile: Profile) -> None:
    """Each row of the profile comes at least once with a value that may be read; each alert begins and ends."""
    for firmware in ("", *(first for first, _ in profile.since)):
        _produced(Plan(profile, firmware, nomenclature()), long_talk(profile.id), all_named=not profile.since)


def _produced(plan: Plan, talk: Talk, all_named: bool) -> None:
    seen: set[int] = set()
    begun: set[int] = set()
    ended: set[int] = set()
    for frame in talk.frames:
        block = plan.decode(frame, 0)
        usable = block[IS_USABLE[block["validity"]]]
        seen |= set(usable["metric"].tolist())
        active = (block["flags"] & np.uint8(Flag.ALERT_ACTIVE)) != 0
        begun |= set(block["metric"][active].tolist())
        ended |= set(block["metric"][~active & (block["value"] >= 20)].tolist())
    values = {m.index for m in plan.metrics if m.kind != "alert"}
    assert not [plan.metrics[i].path for i in sorted(values - seen)], "never produced with a usable value"
    if any(m.kind == "alert" for m in plan.metrics):
        assert begun, "no alert ever began"
        assert ended, "no alert ever ended"
    assert not (all_named and plan.unmapped), "the simulator says what the profile does not name"


@each_profile
def test_nothing_measured_is_never_a_value(profile: Profile) -> None:
    """Every probe is off: the protocol's own sentinel, or silence, and no measurement that a person could read."""
    plan = plan_of(profile.id).twin()
    for frame in talk(profile, EVERYTHING_S, scene=Scene(nothing=True)).frames:
        block = plan.decode(frame, 0)
        for row in block[IS_USABLE[block["validity"]]]:
            metric = plan.metrics[row["metric"]]
            assert metric.kind != "numeric" or metric.category != "measurement", f"{metric.path} = {row['value']}"


@each_profile
def test_only_what_the_grammar_allows_is_sent(profile: Profile) -> None:
    gate = Gate(profile.transmit)
    said = list(long_talk(profile.id).said)
    protocol = protocol_of(profile)
    protocol.start(0.0)
    said.append(protocol.data_to_send(0.0))
    protocol.stop(1.0)
    said += [protocol.data_to_send(1.0 + 0.5 * i) for i in range(20)]
    for silent in range(40):  # a device that does not answer is asked again, with nothing else
        said.append(protocol.data_to_send(20.0 + silent))
        drained(protocol)
    for data in said:
        assert gate.allows(data), f"{data.hex()} is not in [transmit]"
    if not any(said):
        assert not profile.transmit, "a device that is never written to needs no [transmit]"


@each_profile
def test_firmware_outside_of_the_range_is_refused_by_name(profile: Profile) -> None:
    if not profile.firmware or not any(r.low or r.high for r in profile.firmware):
        assert profile.accepts("anything")
        return
    outside = next(text for text in ("ZZZZ.99", "0", "") if not text or not profile.accepts(text))
    assert outside, "the range holds everything: leave it out"
    with pytest.raises(ProfileError, match=outside):
        profile.resolve(outside)


@each_profile
def test_who_the_device_is_fits_its_profile(profile: Profile) -> None:
    for event in long_talk(profile.id).events:
        if isinstance(event, Identified):
            assert profile.accepts(event.firmware)
            assert event.vendor or event.model or event.serial or event.firmware


@each_profile
def test_alert_lists_are_alerts(profile: Profile) -> None:
    kinds = {m.kind for m in plan_of(profile.id).metrics}
    lists = [frame for frame in long_talk(profile.id).frames if isinstance(frame.payload, Alerts)]
    assert not lists or "alert" in kinds


@each_profile
def test_a_recording_replays_to_the_same_samples(profile: Profile, tmp_path: Path) -> None:
    said = talk(profile, 20.0)
    path = tmp_path / "talk.mdirec"
    record = RecordingWriter(path, Header("2026-01-01T00:00:00Z", "test", "port", profile.driver, "loopback"))
    with closing(record):
        for now, by_device, data in said.log:
            record.append(T0 + round(now * 1e9), Direction.FROM_DEVICE if by_device else Direction.TO_DEVICE, data)
    decoder = Decoder(profile, registry.Profiles())
    replayed = [block for _, _, block in decode_file(decoder, path)]
    plan = decoder.plan.twin()
    live = [block for frame in said.frames if len(block := plan.decode(frame, 0))]
    assert replayed
    columns = ["metric", "value", "validity", "flags"]
    again, once = np.concatenate(replayed)[columns], np.concatenate(live)[columns]
    assert len(again) >= 0.9 * len(once)  # a recording begins at its first byte, a talk at time 0
    assert again[-20:].tobytes() == once[-20:].tobytes()


@each_profile
def test_a_port_is_small(profile: Profile) -> None:
    tracemalloc.start()
    protocol = protocol_of(profile)
    plan = plan_of(profile.id).twin()
    for event in talk(profile, 10.0, used=_started(protocol)).frames:
        plan.decode(event, 0)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < PORT_BYTES


def _started(protocol: object) -> object:
    protocol.start(0.0)  # type: ignore[attr-defined]
    return protocol


@each_profile
def test_the_wiring_is_told(profile: Profile) -> None:
    wiring = profile.wiring
    assert wiring is not None, "a person must know which cable to take"
    for line in wiring.lines:
        kind = registry.find("link", line["kind"])
        assert line["kind"] in registry.driver(profile.driver).links
        assert set(line) - {"kind"} <= set(kind.settings.__dataclass_fields__), line
