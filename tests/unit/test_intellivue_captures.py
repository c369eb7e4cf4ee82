"""Recordings: those of a real MP90, and our own, made with the simulator; clean and damaged."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from drivers.philips_intellivue.framing import FrameReader, frame
from drivers.philips_intellivue.protocol import IntellivueProtocol
from drivers.philips_intellivue.record import CAPTURES, RECORDINGS, decoded, drain, recording, summary
from gateway.core.frame import Alert, Event, Fault, Frame, Identified, Wave
from gateway.core.sample import Flag, Validity
from tests.unit.intellivue_rig import alerts_in, amount, readings_in

MP90 = ["1A", "1B", "1D"]


def mp90(shared: Path, name: str) -> tuple[bytes, dict[str, Any]]:
    folder = shared / "captures/philips_mp90"
    return (folder / f"mp90_{name}.bin").read_bytes(), json.loads((folder / f"mp90_{name}.expected.json").read_text())


def in_pieces(data: bytes, sizes: list[int]) -> list[Event]:
    protocol = IntellivueProtocol(0, (), 600)
    protocol.start(0.0)
    events: list[Event] = []
    at = 0
    while at < len(data):
        size = sizes[at % len(sizes)]
        protocol.receive_data(data[at : at + size], 0)
        events += drain(protocol)
        at += size
    return events


@pytest.mark.parametrize("name", MP90)
def test_mp90_as_an_independent_decoder_read_it(shared: Path, name: str) -> None:
    data, expected = mp90(shared, name)
    protocol = IntellivueProtocol(0, (), 600)
    protocol.start(0.0)
    protocol.receive_data(data, 0)
    events = drain(protocol)
    assert protocol.frames_ok == expected["frames_ok"]
    assert [e.reason for e in events if isinstance(e, Fault)] == ["unscaled"] * 2  # static attributes were not polled
    assert [e for e in events if isinstance(e, Identified)] == [Identified("Philips", "M8000", "")]
    values: dict[str, list[float]] = defaultdict(list)
    without: Counter[str] = Counter()
    samples: Counter[str] = Counter()
    for event in events:
        if isinstance(event, Frame) and isinstance(event.payload, Wave):
            samples[f"0x{event.payload.object:04x}"] += len(event.payload.samples)
            assert event.payload.validity == Validity.INV
            assert all(map(math.isnan, event.payload.samples))
        elif isinstance(event, Frame) and event.kind == "numeric":
            for reading in readings_in(event):
                if math.isnan(amount(reading)):
                    without[f"0x{reading.object:04x}"] += 1
                    assert reading.validity in {Validity.INV, Validity.NA}
                else:
                    values[f"0x{reading.object:04x}/0x{reading.unit:04x}"].append(amount(reading))
    assert samples == expected["wave_samples"]
    assert without == expected["no_value"]
    assert {key: len(found) for key, found in values.items()} == {k: v["n"] for k, v in expected["numerics"].items()}
    for key, found in values.items():
        wanted = expected["numerics"][key]
        assert (min(found), max(found)) == (wanted["min"], wanted["max"])
        assert median(found) == pytest.approx(wanted["median"])


def test_mp90_alerts_and_time(shared: Path) -> None:
    data, _ = mp90(shared, "1D")
    alerts = [e for e in decoded(data) if isinstance(e, Frame) and e.kind == "alert"]
    assert len(alerts) == 234
    new, silenced = (
        [
            Alert(0x00C98, 0x04261, 3, "VTACH", flags),  # ventricular tachycardia, red
            Alert(0x10046, 0, 2, "Rem.AlarmDev.Malf.", Flag.ALERT_INHIBITED, technical=True),  # of an object class
            Alert(0x10180, 0x00300, 1, "CANNOT ANALYZE ST", flags, technical=True),
        ]
        for flags in (Flag(0), Flag.ALERT_INHIBITED)
    )
    assert [alerts_in(frame) for frame in alerts[:4]] == [new, new, new, silenced]
    assert alerts[0].device_ns is not None
    assert alerts[-1].device_ns is not None
    assert 238e9 < alerts[-1].device_ns - alerts[0].device_ns < 240e9  # 234 results of 1.024 s


def test_mp90_texts_of_alerts(shared: Path) -> None:
    """All that these monitors showed, as their strings say it."""
    shown = {a.text for name in MP90 for e in decoded(mp90(shared, name)[0]) if _is_list(e) for a in alerts_in(e)}
    assert shown == {
        "CANNOT ANALYZE ST",
        "Rem.AlarmDev.Malf.",
        "SpO₂   LOW",
        "SpO₂   NON-PULSAT.",
        "SpO₂   SEARCHING",
        "SpO₂   SENSOR OFF",
        "VTACH",
    }


def _is_list(event: Event) -> bool:
    return isinstance(event, Frame) and event.kind == "alert"


@pytest.mark.parametrize("name", MP90)
def test_mp90_in_any_pieces(shared: Path, name: str) -> None:
    data, _ = mp90(shared, name)
    start = data.index(b"\xc0", 200_000)
    part = data[:3000] + data[start - 20 : start + 12_000]  # beginning, a jump into the middle of a frame
    whole = in_pieces(part, [len(part)])
    assert repr(in_pieces(part, [1])) == repr(whole)
    assert repr(in_pieces(part, random.Random(1).choices(range(1, 300), k=997))) == repr(whole)


@pytest.mark.parametrize("damage", ["flips", "drops", "bursts"])
@pytest.mark.parametrize("name", MP90)
def test_mp90_on_a_bad_line(shared: Path, name: str, damage: str) -> None:
    """One byte in a hundred hit, or bursts of garbage: no exception, and after the damage at most one frame is lost."""
    data, _ = mp90(shared, name)
    source = data[:150_000]
    noise = random.Random(f"{name} {damage}")
    wire = bytearray()
    while len(wire) < len(source):
        piece = bytearray(source[len(wire) : len(wire) + 100])
        at = noise.randrange(len(piece))
        wire += piece
        if damage == "flips":
            wire[-len(piece) + at] ^= 1 << noise.randrange(8)
    if damage == "drops":
        wire = bytearray(byte for byte in wire if noise.random() >= 0.01)
    if damage == "bursts":
        for at in range(120_000, 0, -7_000):
            wire[at:at] = noise.randbytes(noise.randrange(1, 600))
    sent = set(good(source))
    assert set(good(bytes(wire))) <= sent  # nothing that was not sent
    events = in_pieces(bytes(wire), [4096])
    assert any(isinstance(event, Fault) and event.bad_frame for event in events)
    follow = [frame(bytes([0xE1, 0, 0, 2, 0, 9, 0, n])) for n in range(2)]  # two good frames
    assert good(bytes(wire) + b"".join(follow))[-1] == bytes([0xE1, 0, 0, 2, 0, 9, 0, 1])
    if damage == "bursts":
        lost = len(good(source)) - len(good(bytes(wire)))
        assert 0 < lost <= 2 * 18


def good(data: bytes) -> list[bytes]:
    return [item for item in FrameReader().feed(data) if isinstance(item, bytes)]


@pytest.mark.parametrize("name", RECORDINGS)
def test_our_recordings_are_those_that_the_simulator_makes(name: str) -> None:
    """When this fails on purpose: python -m drivers.philips_intellivue.record, then read the difference."""
    line = (CAPTURES / f"{name}.bin").read_bytes()
    assert recording(name) == line
    assert summary(decoded(line)) == json.loads((CAPTURES / f"{name}.expected.json").read_text())


@pytest.mark.parametrize("name", RECORDINGS)
def test_our_recordings_hold_what_their_names_say(name: str) -> None:
    found = summary(decoded((CAPTURES / f"{name}.bin").read_bytes()))
    assert found["faults"] == {}
    assert bool(found["wave_samples"]) == (name in ("waves", "own_waves"))
    assert ("VLD DEMO ALERT_ACTIVE" in found["states"]) == (len(found["alerts"]) > 8) == (name == "demo_alarms_linked")
    assert ("0x10112 of 0x4182, priority 2: LEADS OFF" in found["alerts"]) == (name == "waves")
    assert found["identified"][0].split()[2] == ("C.00.01" if name == "single_polls" else "L.01.18")
