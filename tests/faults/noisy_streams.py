"""Drivers on a noisy line, in volume: what a device said is said over and over through a bad channel, in virtual time.

A talk of driver and simulator is recorded once, over a good line and with a scene that stands still. Then its bytes go
through a channel with a seed into the protocol, which is told what was asked when the recording was made. Whatever the
noise does, what the driver gives must be among what it gave over the good line. What else it gives is counted as wrong,
beside the number that the strength of the checksum lets expect.

    expected = sum over the frames that were hit of the chance that their checksum is right all the same

A piece that holds several frames is divided evenly among them; that is not exact, and good enough for an expectation.
"""

from __future__ import annotations

import multiprocessing
import os
import random
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from gateway import registry
from gateway.core.frame import Frame, Wave
from gateway.core.profile import Profile
from gateway.core.protocol import DeviceProtocol, Replayable
from gateway.core.sample import Validity
from gateway.core.scene import Scene
from gateway.registry import unseen_flips
from tests.conformance.rig import PROFILES, T0, Delivery, drained, driver_of, facts, plan_of, protocol_of, talk
from tests.faults.checksum_strength import OF_DRIVER, OF_PROFILE, passes
from tests.faults.noise import Channel, Harmed, Noise

LEDGER = registry.read_profile(Path(__file__).parent / "profiles/ledger/counter.toml", "ledger/counter")
PROFILES.setdefault(LEDGER.id, LEDGER)
ALMOST_NONE = 0.001  # share of single flips that a driver does not see: with a checksum it is at most this
TALK_S, KNOWN_S = 60.0, 75.0  # one round of everything that a device says (see tests/conformance)
JOB_FRAMES = 50_000  # of one job: seconds
NOISY_PIECES = 10  # at most, before the line is good again: some devices say less than twenty in the time
STILL = Scene(still=True)
LEVELS = (  # from hardly noticed to nothing left
    Noise(bit=1e-5, drop=1e-5, double=1e-5, split=True),
    Noise(bit=1e-4, drop=1e-4, double=1e-4, split=True),
    Noise(bit=1e-3, drop=1e-3, double=1e-3, split=True),
    Noise(bit=1e-2, split=True),
    Noise(bit=1e-2, drop=1e-2, double=1e-2, split=True),
)


@dataclass
class Tally:
    """What became of frames.

    hit: that the channel has harmed; wrong: with values that the device did not say, given as good; doubted: the same,
    given as questionable: the driver has not seen yet that the device has a checksum, and says so
    """

    frames: int = 0
    hit: int = 0
    expected: float = 0.0
    wrong: int = 0
    doubted: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add the counts of another one."""
        self.frames += other.frames
        self.hit += other.hit
        self.expected += other.expected
        self.wrong += other.wrong
        self.doubted += other.doubted
        self.examples = (self.examples + other.examples)[:5]


@dataclass(frozen=True, slots=True)
class Said:
    """One piece of a recorded talk: when, by whom, what, and how many frames it completed."""

    now: float
    by_device: bool
    data: bytes
    frames: int = 0


def checked_profiles() -> list[Profile]:
    """Return the profiles whose drivers have a checksum for every value. CAN has its own below us: row F28."""
    profiles = [p for p in PROFILES.values() if unseen_flips(p) <= ALMOST_NONE and driver_of(p).links[0] != "can"]
    return [*(p for p in profiles if p.id != LEDGER.id), LEDGER]


def strength_of(profile: Profile) -> str:
    """Return the kind of checksum. KeyError: a driver that says it has one is not in the table."""
    return OF_PROFILE.get(profile.id) or OF_DRIVER[profile.driver]


@cache
def recorded(profile_id: str) -> tuple[Said, ...]:
    """Return a talk over a good line, with the frames of each piece as the protocol counts them."""
    profile = PROFILES[profile_id]
    protocol = protocol_of(profile)
    protocol.start(0.0)
    found = []
    for now, by_device, data in talk(profile, TALK_S, scene=STILL).log:
        before = protocol.frames_ok
        _say(protocol, now, by_device, [data])
        drained(protocol)
        found.append(Said(now, by_device, data, protocol.frames_ok - before))
    assert sum(said.frames for said in found), f"{profile_id} has said nothing"
    return tuple(found)


def _say(protocol: DeviceProtocol, now: float, by_device: bool, pieces: Iterable[bytes]) -> None:
    if by_device:
        for piece in pieces:
            protocol.receive_data(piece, T0 + round(now * 1e9))
    elif isinstance(protocol, Replayable):
        protocol.was_sent(b"".join(pieces), now)
    else:
        protocol.data_to_send(now)


def key_of(frame: Frame) -> object:
    """Return what makes a frame the same as another one: all but its times."""
    payload = frame.payload
    if isinstance(payload, Wave):
        return frame.kind, payload.object, payload.instance, payload.unit, payload.samples.tobytes()
    return frame.kind, payload if isinstance(payload, bytes) else repr(payload)


@cache
def known(profile_id: str) -> tuple[frozenset[object], frozenset[tuple[int, float]]]:
    """Return what is given over a good line: frames, and the values in them."""
    events = talk(PROFILES[profile_id], KNOWN_S, scene=STILL).frames
    return frozenset(map(key_of, events)), frozenset(facts(PROFILES[profile_id], list(events)))


def run(profile_id: str, seed: int, frames: int) -> Tally:
    """Say the recorded talk through the channel, at each level of noise until its share of the frames was said."""
    tally = Tally()
    for number, noise in enumerate(LEVELS):
        channel, least = Channel(seed + number, noise), frames * (number + 1) // len(LEVELS)
        _once(profile_id, channel, tally, f"seed {seed}, level {number}")
        while tally.frames < least:
            _once(profile_id, channel, tally, f"seed {seed}, level {number}")
    return tally


def _once(profile_id: str, channel: Channel, tally: Tally, where: str) -> None:
    """Say the recorded talk once to a new protocol."""
    profile = PROFILES[profile_id]
    kind, good_frames = strength_of(profile), known(profile_id)[0]
    protocol = protocol_of(profile)
    protocol.start(0.0)
    for said in recorded(profile_id):
        pieces = [said.data]
        if said.by_device:
            harmed = channel.harm(said.data)
            pieces = channel.pieces(harmed.data)
            tally.frames += said.frames
            _expect(tally, kind, said, harmed)
        _say(protocol, said.now, said.by_device, pieces)
        odd = [e for e in drained(protocol) if isinstance(e, Frame) and key_of(e) not in good_frames]
        if odd:
            _judge(profile, odd, tally, f"{profile_id}: {where}, at {said.now:.3f} s")


def _judge(profile: Profile, odd: list[Frame], tally: Tally, where: str) -> None:
    """Count frames that are none of the known ones when a value in them is none of the known ones."""
    good = known(profile.id)[1]
    new = facts(profile, [_without_doubted(frame) for frame in odd]) - good
    if new:
        names = sorted({plan_of(profile.id).metrics[metric].ref_id for metric, _ in new})
        tally.wrong += 1
        tally.examples.append(f"{where}: {', '.join(names[:3])}")
    elif facts(profile, list(odd)) - good:
        tally.doubted += 1


def _without_doubted(frame: Frame) -> Frame:
    """Return the frame without readings that the driver itself calls questionable."""
    if not isinstance(frame.payload, list):
        return frame
    return replace(frame, payload=[reading for reading in frame.payload if reading.validity != Validity.QST])


def _expect(tally: Tally, kind: str, said: Said, harmed: Harmed) -> None:
    """Count the frames that were hit, and the chance that each passes."""
    parts = max(1, said.frames)
    length = max(1, len(said.data))
    hits: dict[int, list[bool]] = {}
    for bit in harmed.flips:
        hits.setdefault(bit // 8 * parts // length, []).append(False)
    for place in harmed.shifts:
        hits.setdefault(place * parts // length, []).append(True)
    tally.hit += len(hits)
    tally.expected += sum(passes(kind, len(hit), any(hit)) for hit in hits.values())


def lost_after_noise(profile_id: str, seed: int) -> int:
    """Return how many good pieces a driver lets go by after the noise has ended, until it reads one again.

    Driver and simulator speak with each other, so a driver that has lost its session must have it again.
    """
    profile = PROFILES[profile_id]
    channel, protocol = Channel(seed, LEVELS[-1]), protocol_of(profile)
    noisy = random.Random(seed).randrange(1, NOISY_PIECES)
    good: list[int] = []

    def line(n: int, data: bytes) -> Delivery:
        if n < noisy:
            return [(0.0, channel.harm(data).data)]
        good.append(protocol.frames_ok)
        return [(0.0, data)]

    protocol.start(0.0)
    talk(profile, 2 * KNOWN_S, scene=STILL, line=line, used=protocol)
    assert good, "the device has fallen silent"
    assert protocol.frames_ok > good[0], f"{profile_id} seed {seed}: after noise nothing is read any more"
    return sum(count == good[0] for count in good) - 1


def bytes_of_a_frame(profile_id: str) -> float:
    """Return how long a frame is, as the device says them."""
    said = [said for said in recorded(profile_id) if said.by_device]
    return sum(len(s.data) for s in said) / sum(s.frames for s in said)


def in_parallel(frames: int, seed: int) -> dict[str, Tally]:
    """Say so many frames of all checked profiles, on all cores; each profile says about as many bytes."""
    ids = [profile.id for profile in checked_profiles()]
    found = {profile_id: Tally() for profile_id in ids}
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork")) as pool:
        share = {i: 1 / length for i, length in zip(ids, pool.map(bytes_of_a_frame, ids), strict=True)}
        running = []
        for profile_id in ids:
            wanted = max(1, round(frames * share[profile_id] / sum(share.values())))
            for part in range(-(-wanted // JOB_FRAMES)):
                this_seed = seed + part * len(LEVELS)
                running.append(
                    (profile_id, pool.submit(run, profile_id, this_seed, min(JOB_FRAMES, wanted - part * JOB_FRAMES)))
                )
        for profile_id, future in running:
            found[profile_id].add(future.result())
    return found
