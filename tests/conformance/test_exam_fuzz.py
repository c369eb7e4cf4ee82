"""The exam, anything: any bytes give samples, faults or nothing, never an exception.

Half of the inputs are pieces of what the device really says, flipped, cut, repeated, moved: they get past the framing.
`MDI_FUZZ` is the number of inputs per driver (make nightly: one million).
"""

from __future__ import annotations

import os
import random

import pytest

from gateway import registry
from gateway.core.can_frame import RECORD
from gateway.core.frame import Fault, Frame, NeedData
from tests.conformance.rig import PROFILES, T0, driver_of, plan_of, protocol_of, talk

INPUTS = int(os.environ.get("MDI_FUZZ", "1500"))
PER_LINE = 60  # inputs before the line is opened anew
KEPT = 40_000  # bytes of the device that inputs are made of


def spoiled(rng: random.Random, said: bytes, unit: int) -> bytes:
    """Return one input, in whole frames where the link delivers nothing else."""
    kind = rng.randrange(6)
    size = rng.randrange(1, 200 // unit + 1) * unit
    at = rng.randrange(max(1, len(said) // unit)) * unit
    piece = bytearray(said[at : at + size])
    if kind == 0 or not piece:
        return rng.randbytes(size)
    if kind == 1:
        for _ in range(rng.randrange(1, 8)):
            piece[rng.randrange(len(piece))] ^= 1 << rng.randrange(8)
    elif kind == 2:
        piece = piece[:unit] * rng.randrange(1, 20)
    elif kind == 3:
        cut = rng.randrange(0, len(piece), unit)
        piece[cut:cut] = rng.randbytes(unit * rng.randrange(1, 9))
    elif kind == 4:
        piece[rng.randrange(len(piece))] = rng.choice((0, 0x7F, 0x80, 0xFF, 0x0D, 0x02, 0x1B, 0xC0))
    return bytes(piece)


@pytest.mark.parametrize("name", registry.names("driver"))
def test_any_bytes_give_samples_faults_or_nothing(name: str) -> None:
    mine = [profile for profile in PROFILES.values() if profile.driver == name]
    rng = random.Random(f"{name} {INPUTS}")
    for profile in mine:
        said = talk(profile, 20.0).heard[:KEPT]
        unit = RECORD.size if driver_of(profile).links[0] == "can" else 1
        protocol, plan = protocol_of(profile), plan_of(profile.id).twin()
        now = 0.0
        for n in range(max(1, INPUTS // len(mine))):
            if n % PER_LINE == 0:
                protocol.start(now)
            now += rng.choice((0.0, 0.001, 0.05, 1.0, 30.0))
            protocol.data_to_send(now)
            protocol.receive_data(spoiled(rng, said, unit), T0 + round(now * 1e9))
            while not isinstance(event := protocol.next_event(), NeedData):
                if isinstance(event, Frame):
                    block = plan.decode(event, 0)
                    assert not len(block) or int(block["metric"].max()) < len(plan.metrics)
                elif isinstance(event, Fault):
                    assert event.reason in driver_of(profile).faults
            wake = protocol.next_wake()
            assert wake is None or isinstance(wake, (int, float))
