"""Contec CMS50: a real recording, the vectors of the protocol notes, both generations' traps, the V7 conversation."""

from __future__ import annotations

import csv
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivers.contec_cms50 import DRIVER
from drivers.contec_cms50.framing import v7_cutter
from drivers.contec_cms50.options import FAULTS
from drivers.contec_cms50.packets import v7_moment
from drivers.contec_cms50.session import ALIVE, START, STOP
from gateway.core.errors import ConfigError
from gateway.core.frame import Event, Fault, Reading
from gateway.core.protocol import DeviceProtocol, DeviceSpec
from gateway.core.sample import Validity
from gateway.core.scene import Scene
from tests.unit.oximeter_rig import T0, S, active, drain, faults, frames, profile, protocol, read, readings, wave, ways

V7, V46, OLD = "contec/cms50e_v7", "contec/cms50dplus_v46", "contec/cms50_old"
NOTES_V7 = bytes.fromhex("01A0C5B587C8E2A581")  # strength 5, beep, wave 0x35, bar 7, PR 72, SpO2 98, PI 4.21 %
NOTES_V7_142 = bytes.fromhex("01A885B5878EE2A581")  # PR 142: bit 3 of `high` is bit 7 of the rate
NOTES_V7_OUT = bytes.fromhex("01E980C090FFFFFFFF")  # finger out
NOTES_OLD = bytes.fromhex("C53547 0E62".replace(" ", ""))  # PR 142, SpO2 98, wave 0x35, bar 7, strength 5, beep


def v7(d0: int = 5, d1: int = 0x35, d2: int = 7, rate: int = 72, saturation: int = 98, pi: int = 421) -> bytes:
    data = [d0, d1, d2, rate, saturation, pi & 0xFF, pi >> 8]
    high = sum((byte >> 7) << i for i, byte in enumerate(data))
    return bytes([0x01, 0x80 | high, *(byte | 0x80 for byte in data)])


def old(b0: int = 0x85, wave: int = 0x35, b2: int = 0x07, rate: int = 72, saturation: int = 98) -> bytes:
    return bytes([b0 | 0x80, wave, b2 | (rate >> 7) << 6, rate & 0x7F, saturation])


def last(events: list[Event]) -> dict[int | str, Reading]:
    return readings(frames(events, "packet")[-1])


def told(events: list[Event], name: str = "PR") -> list[float | None]:
    """Return the numbers of all packet frames, None where there is none."""
    values = [float(readings(frame)[name].value) for frame in frames(events, "packet")]
    return [None if math.isnan(value) else value for value in values]


# ---- a real device, and the notes


def test_recording_of_a_cms50e_as_an_independent_decoder_read_it(shared: Path) -> None:
    folder = shared / "captures/contec_cms50"
    data = (folder / "cms50e_data.bin").read_bytes()
    rows = list(csv.DictReader((folder / "decoded.csv").read_text().splitlines()))
    made = protocol(V7)
    events = read(V7, data + v7() * 18, made=made)
    assert made.frames_ok == len(rows) + 18 == 120
    assert faults(events) == []
    samples = [float(s) for frame in frames(events, "wave") for s in wave(frame).samples]
    assert samples[: len(rows)] == [float(row["wave"]) for row in rows]
    first = readings(frames(events, "packet")[0])
    assert (first["PR"].value, first["SpO2"].value, first["strength"].value) == (60.0, 99.0, 4.0)
    assert first["PI"].validity == Validity.NA
    for packet, row in zip(v7_cutter().feed(data), rows, strict=True):
        assert isinstance(packet, bytes)
        fields = v7_moment(packet).fields
        assert (fields.rate, fields.saturation, fields.strength) == tuple(
            int(row[key]) for key in ("pr_bpm", "spo2_pct", "signal")
        )


def test_vectors_of_the_protocol_notes() -> None:
    values = last(read(V7, NOTES_V7 * 3))
    assert {name: reading.value for name, reading in values.items()} == {
        "PR": 72.0,
        "SpO2": 98.0,
        "PI": 421.0,
        "strength": 5.0,
    }
    values = last(read(OLD, NOTES_OLD * 3))
    assert {n: r.value for n, r in values.items()} == {"PR": 142.0, "SpO2": 98.0, "strength": 5.0}
    events = read(V7, NOTES_V7_OUT * 30)
    assert {r.validity for r in last(events).values()} == {Validity.NA}
    assert active(frames(events, "alert")[-1]) == ["probe error"]
    assert all(map(math.isnan, wave(frames(events, "wave")[0]).samples))


@pytest.mark.parametrize("rate", [127, 128, 142, 200, 254])
def test_error_2_cms50_readers_mask_the_rate_with_0x7f(rate: int) -> None:
    """Bit 7 of the rate is in `high`, or in byte 2: 142 must not become 14. Error 2 of public sources in the notes."""
    assert told(read(V7, v7(rate=rate) * 3)) == [float(rate)]
    assert told(read(OLD, old(rate=rate) * 3)) == [float(rate)]
    assert told(read(V7, NOTES_V7_142 * 3)) == [142.0]


def test_error_2_timegrid_names_d2_bit_4_pi_valid_though_1_means_invalid() -> None:
    """Error 2 of public sources in the notes, second half."""
    assert last(read(V7, v7(d2=0x07) * 3))["PI"].value == 421.0
    assert last(read(V7, v7(d2=0x17) * 3))["PI"].validity == Validity.NA
    assert last(read(V7, v7(pi=0xFFFF) * 3))["PI"].validity == Validity.NA


# ---- numbers and states


@pytest.mark.parametrize(
    ("profile_id", "packet", "alert"),
    [
        (V7, v7(d0=0x85), "probe error"),
        (V7, v7(d1=0xB5), "searching"),
        (V7, v7(d0=0x15), "searching too long"),
        (OLD, old(b2=0x17), "probe error"),
        (OLD, old(b2=0x27), "searching"),
        (OLD, old(b0=0x95), "finger out"),
    ],
)
def test_no_value_without_a_measurement(profile_id: str, packet: bytes, alert: str) -> None:
    events = read(profile_id, packet * 3)
    assert {reading.validity for reading in last(events).values()} == {Validity.NA}
    assert active(frames(events, "alert")[-1]) == [alert]


@pytest.mark.parametrize(
    ("profile_id", "packet", "alert"), [(V7, v7(d0=0x25), "low SpO2"), (OLD, old(b0=0xA5), "SpO2 dropping")]
)
def test_an_alarm_does_not_take_the_value(profile_id: str, packet: bytes, alert: str) -> None:
    events = read(profile_id, packet * 3)
    assert last(events)["SpO2"].value == 98.0
    assert active(frames(events, "alert")[-1]) == [alert]


@pytest.mark.parametrize(
    ("change", "name", "validity"),
    [
        ({"rate": 0xFF}, "PR", Validity.NA),
        ({"rate": 0}, "PR", Validity.INV),
        ({"saturation": 0x7F}, "SpO2", Validity.NA),
        ({"saturation": 0}, "SpO2", Validity.INV),
        ({"saturation": 101}, "SpO2", Validity.INV),
        ({"pi": 2201}, "PI", Validity.INV),
        ({"pi": 0}, "PI", Validity.VLD),
        ({"rate": 254, "saturation": 100, "pi": 2200}, "PI", Validity.VLD),
    ],
)
def test_what_is_outside_of_the_document_is_no_value(change: dict[str, Any], name: str, validity: Validity) -> None:
    assert last(read(V7, v7(**change) * 3))[name].validity == validity


def test_numbers_once_a_second_and_at_once_when_they_change() -> None:
    made = protocol(V7)
    assert told(read(V7, v7() * 63, made=made)) == [72.0, 72.0]
    assert told(read(V7, v7(rate=73) * 3, made=made)) == [73.0]


def test_a_cms50dplus_v46_has_no_perfusion_index() -> None:
    assert set(last(read(V46, v7(pi=0xFFFF) * 3))) == {"PR", "SpO2", "strength"}


@pytest.mark.parametrize(("profile_id", "good"), [(V7, v7()), (OLD, old())])
def test_no_flipped_bit_makes_a_number(profile_id: str, good: bytes) -> None:
    made = protocol(profile_id)
    for spoiled in ways(good):
        made.start(0.0)
        events = read(profile_id, good * 10 + spoiled + good * 60, made=made)
        assert set(told(events)) == {72.0}
        assert set(told(events, "SpO2")) == {98.0}
        assert {tuple(active(frame)) for frame in frames(events, "alert")} == {()}


def test_a_number_that_never_agrees_with_itself_is_told_as_invalid() -> None:
    line = b"".join(v7(rate=60 + n % 2) for n in range(120))
    events = read(V7, line)
    assert {reading.validity for frame in frames(events, "packet") for reading in readings(frame).values()} == {
        Validity.INV,
        Validity.VLD,  # the saturation is steady
    }
    assert told(events) == [None, None]


@pytest.mark.parametrize("profile_id", [V7, OLD])
def test_noise_makes_no_number(profile_id: str) -> None:
    events = read(profile_id, random.Random(1).randbytes(300_000))
    assert set(told(events)) <= {None}
    assert "garbage" in faults(events)


# ---- the pleth


def test_pleth_comes_in_runs_of_half_a_second_and_a_cut_packet_ends_one() -> None:
    events = read(V7, v7(d1=10) * 40 + v7(d1=11)[:5] + v7(d1=12) * 30)
    waves = [wave(frame) for frame in frames(events, "wave")]
    assert [w.samples.tolist() for w in waves] == [[10.0] * 30, [10.0] * 10, [12.0] * 30]
    assert [frame.after_gap for frame in frames(events, "wave")] == [False, False, True]
    assert {w.period_ns for w in waves} == {16_666_667}
    assert faults(events) == ["cut"]


def test_a_pause_ends_a_run_and_makes_all_numbers_old() -> None:
    """What was true before the finger was taken out and the plug pulled is not given again after it."""
    made = protocol(V7)
    read(V7, v7(d1=10) * 5 + v7()[:4], T0, made)
    events = read(V7, v7(d1=12, rate=90)[4:] + v7(d1=12, rate=90) * 2, T0 + 60 * S, made)
    (run,) = frames(events, "wave")
    assert (run.t_ns, wave(run).samples.tolist()) == (T0, [10.0] * 5)
    assert frames(events, "packet") == []
    assert told(read(V7, v7(d1=12, rate=90), T0 + 60 * S, made)) == [90.0]


@pytest.mark.parametrize("profile_id", [V7, OLD])
def test_a_lost_byte_costs_one_packet(profile_id: str) -> None:
    good = v7() if profile_id == V7 else old()
    for lost in range(len(good)):
        made = protocol(profile_id)
        events = read(profile_id, good * 5 + good[:lost] + good[lost + 1 :] + good * 5, made=made)
        assert made.frames_ok in (9, 10)
        assert faults(events) == ["cut"]
        assert set(told(events)) == {72.0}


# ---- the conversation of V7


def test_start_keep_alive_and_stop() -> None:
    """The commands of the V7.0 document, nine bytes; the first at once, keep-alives every 3 s, stop when we leave."""
    assert bytes.fromhex("7D81A1808080808080") == START
    assert bytes.fromhex("7D81A2808080808080") == STOP
    assert bytes.fromhex("7D81AF808080808080") == ALIVE
    made = protocol(V7)
    sent: list[tuple[float, bytes]] = []
    for tenth in range(100):
        now = tenth / 10
        if out := made.data_to_send(now):
            sent.append((now, out))
        read(V7, v7() * 6, T0 + round(now * 1e9), made)
    assert sent == [(0.0, START), (3.0, ALIVE), (6.0, ALIVE), (9.0, ALIVE)]
    made.stop(10.0)
    assert (made.data_to_send(10.0), made.next_wake()) == (STOP, None)
    assert made.data_to_send(11.0) == b""


def ask(made: DeviceProtocol, seconds: list[float]) -> list[bytes]:
    return [made.data_to_send(now) for now in seconds]


def test_an_oximeter_that_does_not_begin_is_asked_again_and_told_once() -> None:
    made = protocol(V7)
    assert ask(made, [0.0, 1.9, 2.0, 4.0]) == [START, b"", START, START + ALIVE]
    assert faults(drain(made)) == ["silence"]


def test_an_oximeter_that_stops_is_asked_again_and_told_once() -> None:
    made = protocol(V7)
    made.data_to_send(0.0)
    read(V7, v7() * 6, made=made)
    assert ask(made, [0.1, 2.0, 2.1, 4.1]) == [b"", b"", START, START + ALIVE]
    assert faults(drain(made)) == ["silence"]
    read(V7, v7() * 6, made=made)
    assert ask(made, [4.2, 6.2]) == [b"", START]
    assert faults(drain(made)) == ["silence"]


def test_other_packets_of_the_oximeter() -> None:
    """Disconnect notice, refusal, an answer to somebody else; FREE answers our own stop."""
    line = bytes.fromhex("0D8181 0B81A185 0C80 04808080808080808080"[:-2].replace(" ", ""))
    found = [(e.reason, e.detail, e.bad_frame) for e in read(V7, line) if isinstance(e, Fault)]
    assert found == [
        ("disconnected", "reason 81", False),
        ("refused", "command A1: not supported", False),
        ("unasked", "packet type 04", False),
    ]
    (gone,) = read(V7, bytes.fromhex("0D8081"))
    assert isinstance(gone, Fault)
    assert gone.detail == "shutdown"


def test_the_simulated_oximeter_waits_and_loses_patience() -> None:
    device = DRIVER.simulator([DeviceSpec(0, profile(V7))], {}, Scene())
    assert (device.data_to_send(0.0), device.next_wake()) == (b"", None)
    device.receive_data(START, 1.0)
    assert len(device.data_to_send(1.0)) == 9
    assert len(device.data_to_send(1.5)) == 30 * 9
    device.receive_data(b"\x00" + ALIVE + bytes.fromhex("7D81AE808080808080"), 4.0)
    assert device.data_to_send(4.0)[:4] == bytes.fromhex("0B81AE85")  # not supported
    assert device.data_to_send(9.1) == bytes.fromhex("0D81FF")
    device.receive_data(START + STOP, 10.0)
    assert device.data_to_send(10.0) == bytes.fromhex("0C80")


# ---- the driver

PROVOKED = {
    "garbage": b"\x80" * 600,
    "cut": v7() + v7()[:4] + v7(),
    "disconnected": bytes.fromhex("0D8080"),
    "refused": bytes.fromhex("0B81A185"),
    "unasked": bytes.fromhex("0E8080"),
}


@pytest.mark.parametrize("reason", [reason for reason in FAULTS if reason != "silence"])  # silence: above
def test_each_fault_can_be_provoked(reason: str) -> None:
    assert faults(read(V7, PROVOKED[reason])) == [reason]


def test_one_oximeter_to_a_line_and_no_options() -> None:
    device = DeviceSpec(0, profile(V7))
    for make in (DRIVER.protocol, lambda devices, options: DRIVER.simulator(devices, options, Scene())):
        with pytest.raises(ConfigError):
            make([device, device], {})
        with pytest.raises(ConfigError):
            make([device], {"baud": 1})
    with pytest.raises(ConfigError):
        DRIVER.protocol([DeviceSpec(0, replace(profile(V7), driver_table={"generation": "v8"}))], {})


def test_the_old_generation_is_never_written_to() -> None:
    made = protocol(OLD)
    made.stop(1.0)
    assert (made.data_to_send(1.0), made.next_wake()) == (b"", None)
