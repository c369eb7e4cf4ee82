"""Puritan Bennett 840/980, the waveform port: breaths, their times, and what becomes of damaged ones."""

from __future__ import annotations

import random

import numpy as np
import pytest

from gateway.core.frame import Event, Fault, Frame, Wave
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.sample import Validity
from gateway.core.scene import Scene
from tests.unit.ventilator_rig import T0, converse, drained, profile_of, protocol_of, readings

WAVES = "puritan_bennett/pb840_waves"
PERIOD_NS = 20_000_000


def breath(number: int, pairs: int = 3) -> bytes:
    return b"BS, S:%03d,\n" % number + b"".join(b"%d.5,-%d\n" % (i, i) for i in range(pairs)) + b"BE\n"


def heard(data: bytes, t_ns: int = T0) -> list[Event]:
    protocol = protocol_of(WAVES)
    protocol.receive_data(data, t_ns)
    return drained(protocol)


def faults(events: list[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Fault)]


def waves(events: list[Event], name: str = "flow") -> list[Wave]:
    found = [event.payload for event in events if isinstance(event, Frame)]
    return [payload for payload in found if isinstance(payload, Wave) and payload.object == name]


def numbers(events: list[Event]) -> list[float | str]:
    return [reading.value for reading in readings(events, "breath")]


def test_a_breath_is_a_number_a_flow_and_a_pressure() -> None:
    events = heard(b"BS, S:017,\n30.2,12.4\n-5, 6.0\n.5,-.25\nBE\n")
    assert numbers(events) == [17]
    assert waves(events)[0].samples.tolist() == [30.2, -5.0, 0.5]
    assert waves(events, "pressure")[0].samples.tolist() == [12.4, 6.0, -0.25]
    assert {wave.period_ns for wave in waves(events)} == {PERIOD_NS}
    assert faults(events) == []


def test_the_number_stands_at_the_time_of_the_first_sample() -> None:
    plan = Plan(profile_of(WAVES), "", nomenclature())
    blocks = [plan.decode(event, 0) for event in heard(breath(5, 200)) if isinstance(event, Frame)]
    marker, flow, pressure = blocks
    assert marker["t_ns"].tolist() == [flow["t_ns"][0]] == [pressure["t_ns"][0]]
    assert flow["t_ns"][-1] == T0
    assert np.all(np.diff(flow["t_ns"]) == PERIOD_NS)


def test_the_breath_ended_when_its_first_line_arrived() -> None:
    """The lines of a long breath take a second on the wire, so the last one arrives well after the breath ended."""
    protocol = protocol_of(WAVES)
    whole = breath(1, 100)
    protocol.receive_data(whole[:20], T0)
    protocol.receive_data(whole[20:], T0 + 700_000_000)
    assert {event.t_ns for event in drained(protocol) if isinstance(event, Frame)} == {T0}


def test_of_a_long_breath_the_time_is_questionable() -> None:
    assert [wave.validity for wave in waves(heard(breath(1, 399) + breath(2, 400)))] == [Validity.VLD, Validity.QST]


def test_a_line_that_cannot_be_read_keeps_its_place() -> None:
    events = heard(breath(1, 5).replace(b"2.5,-2", b"2.5;-2"))
    assert np.isnan(waves(events)[0].samples).tolist() == [False, False, True, False, False]
    assert np.isnan(waves(events, "pressure")[0].samples).tolist() == [False, False, True, False, False]
    assert faults(events) == ["line"]


@pytest.mark.parametrize("line", [b"1.2", b"1,2,3", b"nan,1", b"inf,1", b"1e3,1", b"12345,1", b"1..2,3", b"x" * 500])
def test_what_is_no_pair_is_no_sample(line: bytes) -> None:
    events = heard(b"BS, S:1,\n" + line + b"\n1,2\nBE\n")
    assert np.isnan(waves(events)[0].samples).tolist() == [True, False]


def test_samples_outside_of_a_breath_are_left_out_and_told() -> None:
    events = heard(b"1,2\n3,4\nBE\n" + breath(8) + breath(9))
    assert numbers(events) == [8, 9]
    assert faults(events) == ["outside"]


def test_a_breath_without_its_end_is_left_out_and_the_next_one_is_after_a_gap() -> None:
    events = heard(breath(1) + breath(2).replace(b"BE\n", b"") + breath(3))
    assert numbers(events) == [1, 3]
    assert faults(events) == ["cut", "missing"]
    assert [e.after_gap for e in events if isinstance(e, Frame) and e.kind == "wave"] == [False, False, True, True]


def test_a_lost_breath_shows_in_the_numbers() -> None:
    events = heard(breath(999) + breath(1001))
    assert faults(events) == ["missing"]


def test_a_breath_without_an_end_takes_no_memory() -> None:
    events = heard(b"BS, S:1,\n" + b"1,2\n" * 10_000 + breath(2))
    assert faults(events) == ["too_long", "outside"]
    assert numbers(events) == [2]


def test_a_breath_without_samples_is_a_breath() -> None:
    events = heard(breath(4, 0))
    assert numbers(events) == [4]
    assert waves(events) == []


def test_the_port_is_never_written_to() -> None:
    assert converse(WAVES, 20.0).sent == []
    assert profile_of(WAVES).transmit == ()


def test_the_simulated_breaths_follow_each_other_without_a_gap() -> None:
    events = converse(WAVES, 60.0).events
    assert len(numbers(events)) >= 13
    assert faults(events) == []
    samples = sum(len(wave.samples) for wave in waves(events))
    assert 2700 < samples < 3000  # 50 per second, less the breath that was under way
    assert converse(WAVES, 60.0, scene=Scene(nothing=True)).events == []


def test_single_bit_flips_that_change_a_sample_unseen_are_no_more_than_the_readme_says() -> None:
    whole = converse(WAVES, 9.0).heard
    clean = [wave.samples for name in ("flow", "pressure") for wave in waves(heard(whole), name)]
    rng = random.Random(4)
    unseen, tries = 0, 1000
    for bit in rng.sample(range(8 * len(whole)), tries):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        events = heard(bytes(damaged))
        found = [wave.samples for name in ("flow", "pressure") for wave in waves(events, name)]
        if len(found) == len(clean) and all(map(_same_length, found, clean)):
            unseen += any(np.any((a != b) & ~np.isnan(a)) for a, b in zip(found, clean, strict=True))
    assert 0.1 < unseen / tries < 0.28


def _same_length(a: np.ndarray, b: np.ndarray) -> bool:
    return len(a) == len(b)
