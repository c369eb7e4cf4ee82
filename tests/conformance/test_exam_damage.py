"""The exam, a bad line: whatever it does to the bytes, no value appears that the device did not say.

The scene stands still, so a device that is asked twice says the same twice: what is told over a bad line must be among
what is told over a good one. `MDI_EXAM` multiplies the number of tries (make nightly).
"""

from __future__ import annotations

import os
import random
from functools import cache
from itertools import pairwise

import pytest

from gateway.core.can_frame import RECORD
from gateway.core.frame import Event, Frame, Identified
from gateway.core.profile import Profile
from gateway.core.scene import Scene
from gateway.registry import unseen_flips
from tests.conformance.rig import (
    PROFILES,
    T0,
    Delivery,
    Fact,
    Talk,
    drained,
    driver_of,
    facts,
    plan_of,
    protocol_of,
    talk,
)

MORE = int(os.environ.get("MDI_EXAM", "1"))
FLIPS, CUTS = 60 * MORE, 24 * MORE
ECHO_S = 60.0
KNOWN_S = 75.0  # one round of everything that the device says
STILL = Scene(still=True)

each_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)


@cache
def known(profile_id: str) -> frozenset[Fact]:
    """Return what is told over a good line."""
    return frozenset(facts(PROFILES[profile_id], talk(PROFILES[profile_id], KNOWN_S, scene=STILL).events))


@cache
def try_s(profile_id: str) -> float:
    """Return how long a try must last so that the device has said something: a scale is silent for most of a minute."""
    profile = PROFILES[profile_id]
    return next((s for s in (4.0, 16.0) if facts(profile, talk(profile, s, scene=STILL).events)), KNOWN_S)


@cache
def good(profile_id: str) -> Talk:
    return talk(PROFILES[profile_id], try_s(profile_id), scene=STILL)


def unit_of(profile: Profile) -> int:
    """Return what a line can lose: bytes, or whole frames of a CAN bus."""
    return RECORD.size if driver_of(profile).links[0] == "can" else 1


def pieces_of(profile: Profile) -> list[bytes]:
    return [data for _, by_device, data in good(profile.id).log if by_device]


@each_profile
def test_a_flipped_bit_never_makes_a_value(profile: Profile) -> None:
    """Every single-bit flip is seen, but for the share that the driver says its checksum cannot see."""
    if unit_of(profile) > 1:
        return  # a CAN controller checks each frame with its CRC-15: flips never come here
    rng = random.Random(5)
    pieces = pieces_of(profile)
    unseen = 0
    for _ in range(FLIPS):
        number = rng.choices(range(len(pieces)), [len(piece) for piece in pieces])[0]
        bit = rng.randrange(8 * len(pieces[number]))

        def flipped(n: int, data: bytes, number: int = number, bit: int = bit) -> Delivery:
            if n != number or bit // 8 >= len(data):
                return [(0.0, data)]
            spoiled = bytearray(data)
            spoiled[bit // 8] ^= 1 << bit % 8
            return [(0.0, bytes(spoiled))]

        told = facts(profile, talk(profile, try_s(profile.id), scene=STILL, line=flipped).events)
        unseen += not told <= known(profile.id)
    assert unseen <= unseen_flips(profile) * FLIPS, f"{unseen} of {FLIPS} flips made a value"


@each_profile
def test_a_cut_never_makes_a_value(profile: Profile) -> None:
    """What comes is cut at any length, and the line goes on."""
    rng = random.Random(6)
    unit, pieces = unit_of(profile), pieces_of(profile)
    for _ in range(CUTS):
        number = rng.randrange(len(pieces))
        at = rng.randrange(0, len(pieces[number]) + 1, unit)
        told = talk(
            profile,
            try_s(profile.id),
            scene=STILL,
            line=lambda n, data, number=number, at=at: [(0.0, data[:at] if n == number else data)],  # type: ignore[misc]
        )
        _nothing_new(profile, told, f"piece {number} cut at {at}", cut=True)


@each_profile
@pytest.mark.parametrize("kind", ["late", "twice", "lost"])
def test_late_double_and_missing_answers_never_make_a_value(profile: Profile, kind: str) -> None:
    def line(n: int, data: bytes) -> Delivery:
        if n % 3 != 1:
            return [(0.0, data)]
        return {"late": [(2.5, data)], "twice": [(0.0, data), (0.0, data)], "lost": []}[kind]

    _nothing_new(profile, talk(profile, 4 * try_s(profile.id), scene=STILL, line=line), kind)


@each_profile
def test_garbage_before_inside_and_after(profile: Profile) -> None:
    unit = unit_of(profile)
    rng = random.Random(8)

    def line(n: int, data: bytes) -> Delivery:
        at = rng.randrange(0, len(data) + 1, unit)
        noise = rng.randbytes(rng.randrange(1, 40) * unit)
        if unit > 1:
            noise = b""  # noise on a bus is an error frame, not a frame
        return [(0.0, [noise + data, data[:at] + noise + data[at:], data + noise, data][n % 4])]

    told = talk(profile, 2 * try_s(profile.id), scene=STILL, line=line)
    if not unseen_flips(profile):
        _nothing_new(profile, told, "garbage")
    clean_again = talk(
        profile, 2 * KNOWN_S, scene=STILL, line=lambda n, data: line(n, data) if n < 8 else [(0.0, data)]
    )
    assert facts(profile, clean_again.events), "after garbage nothing is read any more"


def _nothing_new(profile: Profile, told: Talk, what: str, cut: bool = False) -> None:
    new = facts(profile, told.events) - known(profile.id)
    if cut and unseen_flips(profile):  # no checksum: the end of one line and the next may look like one
        numbers = [fact for fact in new if plan_of(profile.id).metrics[fact[0]].kind != "waveform"]
        assert len(numbers) <= 2, f"{what}: {numbers}"
    else:
        assert not new, f"{what}: {sorted(new)[:5]}"


@each_profile
def test_its_own_echo_is_no_value(profile: Profile) -> None:
    """A half-duplex line gives back what is written: alone, nothing of it is a value, nor a sign of life of alerts."""
    protocol = protocol_of(profile)
    protocol.start(0.0)
    events: list[Event] = []
    now = 0.0
    while now < ECHO_S:
        if data := protocol.data_to_send(now):
            protocol.receive_data(data, T0 + round(now * 1e9))
        events += drained(protocol)
        wake = protocol.next_wake()
        now = max(now + 0.01, ECHO_S if wake is None else wake)
    assert not [event for event in events if isinstance(event, Frame | Identified)]


@each_profile
def test_random_splits_give_the_same(profile: Profile) -> None:
    """What one read brings ends anywhere: in the middle of a number, of a checksum, of an escape."""
    unit, rng = unit_of(profile), random.Random(9)

    def line(_n: int, data: bytes) -> Delivery:
        cuts = sorted({0, len(data), *(rng.randrange(0, len(data) + 1, unit) for _ in range(rng.randrange(6)))})
        return [(0.0, data[a:b]) for a, b in pairwise(cuts)]

    split = talk(profile, try_s(profile.id), scene=STILL, line=line)
    assert facts(profile, split.events) == facts(profile, good(profile.id).events)
    assert split.said == good(profile.id).said
