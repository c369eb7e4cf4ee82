"""The exam every driver passes by being registered, with every profile that is written for it.

Each driver speaks with its own simulator, in virtual time, without any I/O.
"""

from __future__ import annotations

import random
import tracemalloc
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import registry
from gateway.core.can_frame import RECORD
from gateway.core.frame import Event, Fault, Frame, Identified, NeedData, Wave
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import Profile
from gateway.core.protocol import DeviceProtocol, DeviceSpec
from gateway.core.sample import SAMPLE
from gateway.core.scene import Scene
from tests.conftest import ROOT

PROFILES = {profile.id: profile for profile in registry.Profiles()}
DRIVERS = registry.names("driver")
T0 = 1_700_000_000_000_000_000
HORIZON_S = 30.0

each_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
each_driver = pytest.mark.parametrize("name", DRIVERS)


def protocol_of(profile: Profile) -> DeviceProtocol:
    return registry.driver(profile.driver).protocol([DeviceSpec(0, profile)], {})


@cache
def used_protocol_of(profile_id: str) -> DeviceProtocol:
    """One protocol for many examples, as a port uses it: each `start` forgets the line before."""
    return protocol_of(PROFILES[profile_id])


@cache
def plan_of(profile_id: str) -> Plan:
    return Plan(PROFILES[profile_id], "", nomenclature())


def events(protocol: DeviceProtocol) -> list[Event]:
    found: list[Event] = []
    while not isinstance(event := protocol.next_event(), NeedData):
        found.append(event)
    return found


def conversation(
    profile: Profile, chop: int = 0, used: DeviceProtocol | None = None, begin: float = 0.0
) -> tuple[list[Event], bytes, bytes]:
    """Let driver and simulator speak; return events, what the device said, what the driver said.

    chop: the device's bytes arrive in pieces of this size; 0 = as they are sent
    used: goes on with this protocol at time `begin`, in whatever state it is
    """
    protocol = used or protocol_of(profile)
    device = registry.driver(profile.driver).simulator([DeviceSpec(0, profile)], {}, Scene())
    heard, said = bytearray(), bytearray()
    found: list[Event] = []
    now = begin
    if used is None:
        protocol.start(now)
    while now < begin + HORIZON_S:
        out = protocol.data_to_send(now)
        if out:
            said += out
            device.receive_data(out, now)
        data = device.data_to_send(now)
        heard += data
        for at in range(0, len(data), chop or max(1, len(data))):
            protocol.receive_data(data[at : at + (chop or len(data))], T0 + round(now * 1e9))
            found += events(protocol)
        found += events(protocol)
        wakes = [wake for wake in (protocol.next_wake(), device.next_wake()) if wake is not None]
        now = max(now + 0.001, min(wakes, default=begin + HORIZON_S))
    return found, bytes(heard), bytes(said)


@each_driver
def test_a_driver_is_a_folder(name: str) -> None:
    folder = ROOT / "drivers" / name
    for part in ("__init__.py", "protocol.py", "simulator.py", "README.md"):
        assert (folder / part).is_file(), f"{name} has no {part}"
    assert [p for p in (folder / "captures").iterdir() if p.is_file()], f"{name} has no captures of its own"


@each_driver
def test_what_a_driver_says_of_itself_is_complete(name: str) -> None:
    driver = registry.driver(name)
    assert driver.name == name
    assert set(driver.links) <= set(registry.names("link"))
    assert driver.frames
    readme = (ROOT / "drivers" / name / "README.md").read_text(encoding="utf-8")
    for reason, sentence in driver.faults.items():
        assert sentence.endswith("."), f"fault {reason} has no sentence"
    for option, (kind, default, sentence) in {**driver.options, **driver.device_options}.items():
        assert isinstance(kind, type), option
        assert default is None or isinstance(default, kind) or kind is float, option
        assert sentence, option
        assert option in readme, f"the README of {name} does not name option {option}"


@each_driver
def test_every_driver_has_a_profile(name: str) -> None:
    assert any(profile.driver == name for profile in PROFILES.values())


@each_profile
def test_driver_and_simulator_understand_each_other(profile: Profile) -> None:
    driver = registry.driver(profile.driver)
    found, _, _ = conversation(profile)
    frames = [event for event in found if isinstance(event, Frame)]
    assert frames
    assert not [event for event in found if isinstance(event, Fault) and event.bad_frame]
    plan = Plan(profile, "", nomenclature())
    blocks = [plan.decode(frame, 3) for frame in frames]
    assert sum(map(len, blocks))
    for frame, block in zip(frames, blocks, strict=True):
        assert "*" in driver.frames or frame.kind in driver.frames
        assert block.dtype == SAMPLE
        assert set(block["source"].tolist()) <= {3}
        if not isinstance(frame.payload, Wave) and len(block):
            assert max(block["t_ns"].tolist()) <= frame.t_ns  # episodic values may be older than their frame
    for event in found:
        if isinstance(event, Fault):
            assert event.reason in driver.faults
    for identified in (event for event in found if isinstance(event, Identified)):
        assert profile.accepts(identified.firmware)


@each_profile
@pytest.mark.parametrize("chop", [1, 7, 64])
def test_any_split_gives_the_same_events(profile: Profile, chop: int) -> None:
    def comparable(found: list[Event]) -> list[str]:
        return [repr(e) for e in found if not isinstance(e, Frame) or not isinstance(e.payload, Wave)]

    whole, heard, said = conversation(profile)
    if profile.driver == "can_signals" and chop < 16:
        chop = 16  # a bus delivers frames, never parts of one
    pieces, heard_again, said_again = conversation(profile, chop)
    assert (heard, said) == (heard_again, said_again)
    assert comparable(whole) == comparable(pieces)


@each_profile
def test_start_forgets_the_line_before(profile: Profile) -> None:
    protocol = protocol_of(profile)
    protocol.start(0.0)
    protocol.receive_data(random.Random(1).randbytes(5000), T0)
    events(protocol)
    protocol.start(1000.0)
    fresh = protocol_of(profile)
    fresh.start(1000.0)
    assert protocol.data_to_send(1000.0) == fresh.data_to_send(1000.0)
    assert protocol.next_wake() == fresh.next_wake()
    assert events(protocol) == events(fresh) == []


@each_profile
@settings(max_examples=150)
@given(data=st.data())
def test_any_bytes_give_frames_faults_or_nothing_never_an_exception(profile: Profile, data: st.DataObject) -> None:
    driver = registry.driver(profile.driver)
    protocol, plan = used_protocol_of(profile.id), plan_of(profile.id)
    protocol.start(0.0)
    now = 0.0
    for _ in range(data.draw(st.integers(1, 5))):
        protocol.data_to_send(now)
        protocol.receive_data(data.draw(st.binary(max_size=300)), T0)
        for event in events(protocol):
            if isinstance(event, Frame):
                plan.decode(event, 0)
            elif isinstance(event, Fault):
                assert event.reason in driver.faults
        now += data.draw(st.floats(0, 20))
        wake = protocol.next_wake()
        assert wake is None or isinstance(wake, float)


@each_profile
def test_damaged_conversations_never_raise_and_end_in_good_frames(profile: Profile) -> None:
    """The device's own bytes with flips, drops and bursts: no exception; clean bytes after it are read again."""
    _, heard, _ = conversation(profile)
    rng = random.Random(7)
    damaged = bytearray(heard)
    for _ in range(len(damaged) // 100):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    # A CAN link delivers whole records, whatever is in them; any other line delivers bytes.
    unit = RECORD.size if registry.driver(profile.driver).links[0] == "can" else 1
    for _ in range(5):
        at = rng.randrange(len(damaged) // unit) * unit
        damaged[at:at] = rng.randbytes(100 // unit * unit)
    protocol = protocol_of(profile)
    protocol.start(0.0)
    now = 0.0
    for at in range(0, len(damaged), 50):
        now = at / 1000
        protocol.data_to_send(now)
        protocol.receive_data(bytes(damaged[at : at + 50]), T0)
        events(protocol)
    found, _, _ = conversation(profile, used=protocol, begin=now + 1)
    assert [event for event in found if isinstance(event, Frame)]


@each_profile
def test_an_endless_line_of_garbage_takes_no_memory(profile: Profile) -> None:
    protocol = protocol_of(profile)
    protocol.start(0.0)
    rng = random.Random(3)
    chunks = [rng.randbytes(10_000), b"\xc0" + b"\x11" * 9_999, b":" + b"0" * 9_999, b"\x00" * 10_000, b"\xc0" * 10_000]
    for chunk in chunks:
        protocol.receive_data(chunk, T0)
        events(protocol)
    tracemalloc.start()
    for _ in range(20):
        for chunk in chunks:
            protocol.receive_data(chunk, T0)
            events(protocol)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1_000_000  # of 1,000,000 bytes fed; a port may hold 3 MB in all


@each_profile
def test_parting_ends(profile: Profile) -> None:
    """After stop the protocol says what it has to say and then wants nothing more, answered or not."""
    protocol = protocol_of(profile)
    protocol.start(0.0)
    protocol.data_to_send(0.0)
    protocol.stop(1.0)
    now = 1.0
    wake: float | None = now
    for _ in range(50):
        protocol.data_to_send(now)
        wake = protocol.next_wake()
        if wake is None:
            break
        now = max(now + 0.01, wake)
    assert wake is None or wake > 10


def test_captures_are_the_projects_own() -> None:
    """Nothing from outside is in the tree as a file: every capture has its maker beside it."""
    for folder in Path(ROOT / "drivers").glob("*/captures"):
        assert any(p.suffix in (".json", ".md", ".py") for p in folder.iterdir()), (
            f"{folder} says nothing of its origin"
        )
