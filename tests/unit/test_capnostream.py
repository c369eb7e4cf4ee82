"""Capnostream: vectors of the protocol notes, framing, the measured rate of the curve, alarms, the session."""

from __future__ import annotations

import math
import random
import struct
from typing import Any

import pytest

from drivers.capnostream.framing import FrameReader
from drivers.capnostream.options import FAULTS
from drivers.capnostream.protocol import (
    DISABLE,
    ENABLE,
    INQUIRE_NUMERICS,
    LINK_ACTIVE,
    MAX_CODES,
    START_REAL_TIME,
    STOP_REAL_TIME,
    CapnostreamProtocol,
)
from drivers.capnostream.simulator import frame
from gateway.core.errors import ConfigError
from gateway.core.frame import Alert, Event, Fault, Frame, Identified, Reading
from gateway.core.framing import Bad, Outside
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Flag, Validity
from gateway.core.scene import Scene
from tests.unit.converse_rig import (
    T0,
    Talk,
    alerts,
    check_recording,
    decoded,
    drain,
    driver,
    faults,
    frames,
    plan,
    profile,
    readings,
    undetected,
    waves,
)

PROFILE = "oridion/capnostream_20"


def numerics(second: int = 100, **fields: int) -> bytes:
    """Return a numerics payload: end-tidal 38 mmHg, inspired 0, RR 15, SpO2 97, pulse 72, no alarm."""
    at = {"et": 4, "fi": 5, "rr": 6, "spo2": 7, "pr": 8, "slow": 9, "co2": 13, "oxi": 14, "unit": 25}
    payload = bytearray(27)
    payload[:4] = struct.pack(">I", second)
    for name, value in {"et": 38, "rr": 15, "spo2": 97, "pr": 72, "unit": 1, **fields}.items():
        payload[at[name]] = value
    return bytes(payload)


def sample(number: int, value: float = 10.0, status: int = 0) -> bytes:
    count = round(value * 256)
    return frame(0, bytes([number % 256, count >> 8, count & 255, status]))


def curve(first: int, seconds: int, rate: int = 20, status: int = 0) -> bytes:
    """Return so many seconds of the curve, numerics at each full second."""
    data = b""
    for n in range(seconds * rate + 1):
        if n % rate == 0:
            data += frame(1, numerics(first // rate + n // rate))
        data += sample(first + n, n / 10, status)
    return data


def fed(data: bytes, size: int = 0) -> list[Event]:
    protocol = CapnostreamProtocol()
    for at in range(0, len(data), size or len(data)):
        protocol.receive_data(data[at : at + (size or len(data))], T0)
    return list(drain(protocol))


def by_name(payload: bytes) -> dict[Any, Reading]:
    return {reading.object: reading for reading in readings(fed(frame(1, payload)))}


# ---- the wire


def test_the_commands_are_those_of_the_notes() -> None:
    """Vectors of the protocol notes, computed there from the rule of the check byte."""
    assert bytes.fromhex("85010100") == ENABLE
    assert bytes.fromhex("85010405") == START_REAL_TIME
    assert bytes.fromhex("85010607") == LINK_ACTIVE
    for command in (ENABLE, DISABLE, START_REAL_TIME, STOP_REAL_TIME, INQUIRE_NUMERICS, LINK_ACTIVE):
        assert FrameReader().feed(command) == [command[2:3]]


def test_the_worked_wave_frame_of_the_notes() -> None:
    """Message 5, 38.5 mmHg, status 0; its 80 is escaped."""
    wire = bytes.fromhex("8505000526800000A6")
    assert FrameReader().feed(wire) == [bytes.fromhex("0005268000")]
    assert frame(0, bytes.fromhex("05268000")) == wire


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_every_byte_travels_through_the_escape_in_any_split(size: int) -> None:
    payload = bytes(range(100, 200)) + b"\x80\x05\x80\x00\x85\x85\x80\x80"
    wire = frame(9, payload) * 2
    reader = FrameReader()
    found = [item for at in range(0, len(wire), size) for item in reader.feed(wire[at : at + size])]
    assert found == [b"\x09" + payload] * 2
    assert wire.count(b"\x85") == 2


def test_an_escaped_check_byte() -> None:
    payload = b"\x82\x00\x00\x00"
    wire = frame(2, payload)
    assert wire.endswith(b"\x80\x05")  # 05 ^ 02 ^ 82 = 85
    assert FrameReader().feed(wire) == [b"\x02" + payload]


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (b"\x01\x02" + LINK_ACTIVE, "noise"),
        (LINK_ACTIVE + b"\x01\x02" + LINK_ACTIVE, "noise"),
        (LINK_ACTIVE[:3] + LINK_ACTIVE, "cut"),
        (b"\x85\x05\x00\x80\x07", "escape"),
        (b"\x85\x05\x00\x05\x26\x00\x00\xa6", "checksum"),
        (b"\x85\x00\x00", "length"),
        (frame(0, b"\x01\x02\x03"), "length"),
        (frame(1, numerics()[:-1]), "length"),
    ],
)
def test_damage_is_told_by_its_name_and_the_next_frame_is_read(damaged: bytes, reason: str) -> None:
    events = fed(damaged + sample(1) + frame(1, numerics()))
    assert [event.reason for event in events if isinstance(event, Fault) and event.bad_frame] == [reason]
    assert len(readings(events)) == 13


def test_any_split_gives_the_same_events() -> None:
    rng = random.Random(3)
    wire = bytearray(rng.randbytes(9000) + curve(0, 8) + b"\x80\x07\x80")
    for _ in range(60):
        wire[rng.randrange(9000, len(wire))] = rng.choice([0x80, 0x85, 0x00, 0x05, rng.randrange(256)])
    whole = [repr(event) for event in fed(bytes(wire))]
    for size in (1, 7, 61):
        assert [repr(event) for event in fed(bytes(wire), size)] == whole


def test_noise_behind_a_frame_does_not_cost_the_frame() -> None:
    assert len(readings(fed(frame(1, numerics()) + b"\x80\x07"))) == 13


def test_a_line_of_noise_is_told_while_it_goes_on() -> None:
    reader = FrameReader()
    assert [item for _ in range(50) for item in reader.feed(bytes(100))] == [Bad("noise", f"{Outside.MOST} bytes")]


# ---- numerics


def test_values_and_states() -> None:
    found = by_name(numerics(et=38, fi=1, rr=15, spo2=97, pr=130, slow=0x80 | 0x02 | 0x01))
    values = {name: reading.value for name, reading in found.items()}
    assert values == {
        "EtCO2": 38, "FiCO2": 1, "RR": 15, "SpO2": 97, "PR": 130, "neonatal": 1, "silence": 1, "high alarm": 0,
        "low alarm": 0, "advisory": 0, "beeps off": 0, "oximeter": 1, "CO2 unit": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "raw", "metric", "value"),
    [(1, 38, "MDC_AWAY_CO2_ET", 5.066236), (2, 51, "MDC_AWAY_CO2_ET", 5.1), (3, 50, "MDC_CONC_AWAY_CO2_ET", 5.0)],
)
def test_end_tidal_co2_in_each_unit_of_the_monitor(unit: int, raw: int, metric: str, value: float) -> None:
    compiled = plan(PROFILE)
    ids = {m.index: m.ref_id for m in compiled.metrics}
    rows = decoded(fed(frame(1, numerics(et=raw, unit=unit))), compiled)[0]
    found = {ids[row["metric"]]: row["value"] for row in rows if "CO2_ET" in ids[row["metric"]]}
    assert found == {metric: pytest.approx(value)}


@pytest.mark.parametrize("unit", [0, 4, 255])
def test_a_unit_that_is_not_known_gives_no_co2_value(unit: int) -> None:
    events = fed(frame(1, numerics(unit=unit)))
    assert faults(events) == ["unit"]
    compiled = plan(PROFILE)
    row = decoded(events, compiled)[0][0]
    assert (compiled.metrics[row["metric"]].ref_id, row["validity"]) == ("MDC_AWAY_CO2_ET", Validity.INV)
    assert math.isnan(row["value"])


def test_ff_is_no_value_in_every_field() -> None:
    found = by_name(numerics(et=255, fi=255, rr=255, spo2=255, pr=255))
    for name in ("EtCO2", "FiCO2", "RR", "SpO2", "PR"):
        assert math.isnan(float(found[name].value))
        assert found[name].validity == Validity.NA


def test_no_breath_seconds_are_not_given() -> None:
    """Byte 15: whether it counts since the last breath or is the setting of the alarm is not stated."""
    payload = bytearray(numerics())
    payload[15] = 30
    assert by_name(bytes(payload)) == by_name(numerics())


def test_alarms_with_what_they_are_about() -> None:
    (first, second, none) = alerts(
        fed(frame(1, numerics(co2=0x03, oxi=0x44)) + frame(1, numerics(co2=0x40, slow=4)) + frame(1, numerics())),
        "alarm",
    )
    assert first == (
        Alert("no breath", "RR"), Alert("Et high", "EtCO2"), Alert("SpO2 low", "SpO2"),
        Alert("sensor disconnected", "SpO2"),
    )  # fmt: skip
    assert second == (Alert("CO2 alarm bit 40", 0, flags=Flag.ALERT_INHIBITED),)  # silenced, and not in our sources
    assert none == ()


def test_every_alarm_of_the_driver_has_a_row_in_the_profile() -> None:
    """But SFM, which our source does not explain, and bits without a name: these are shown as unknown."""
    rows = {spec.object for channel in profile(PROFILE).channels for spec in channel.metrics if spec.kind == "alert"}
    events = fed(frame(1, numerics(co2=0x2F, oxi=0x7F)) + sample(0, status=0xFE))
    told = {alert.object for kind in ("alarm", "status") for active in alerts(events, kind) for alert in active}
    assert told - rows == {"SFM"}


# ---- the curve


def test_the_curve_is_given_when_its_rate_is_known() -> None:
    events = fed(curve(100, 4))
    (first, *rest) = waves(events)
    assert not faults(events)
    assert first.period_ns == 50_000_000
    assert first.samples[:3].tolist() == [0.0, 0.1015625, 0.19921875]
    assert sum(len(wave.samples) for wave in [first, *rest]) == 80
    assert not waves(fed(curve(100, 3)))


@pytest.mark.parametrize("rate", [10, 18, 25])
def test_the_rate_is_measured_not_assumed(rate: int) -> None:
    assert {wave.period_ns for wave in waves(fed(curve(0, 12, rate)))} == {round(1e9 / rate)}


def test_one_sample_more_or_less_between_two_numerics_does_not_change_the_rate() -> None:
    data, number = b"", 0
    for second, count in enumerate([20, 21, 19, 20, 21, 20, 19, 20, 21]):
        data += frame(1, numerics(second)) + b"".join(sample(number + n) for n in range(count))
        number += count
    assert {wave.period_ns for wave in waves(fed(data))} == {50_000_000}


def test_another_rate_is_told() -> None:
    events = fed(curve(0, 4, 20) + curve(81, 8, 25))
    assert "rate" in faults(events)
    assert waves(events)[-1].period_ns == 40_000_000


def test_a_missing_message_is_a_gap() -> None:
    events = fed(curve(0, 5) + curve(103, 1))
    assert [event.after_gap for event in frames(events, "wave")][-2:] == [False, True]


def test_the_message_number_is_one_byte() -> None:
    events = fed(curve(250, 5))
    assert not any(event.after_gap for event in frames(events, "wave"))


def test_a_clock_that_is_set_begins_the_measurement_anew() -> None:
    data = frame(1, numerics(10)) + b"".join(sample(n) for n in range(20)) + frame(1, numerics(50_000))
    assert not waves(fed(data))
    assert {wave.period_ns for wave in waves(fed(data + curve(20, 4)))} == {50_000_000}


def test_a_curve_without_numbers_is_told_and_not_kept() -> None:
    events = fed(b"".join(sample(n) for n in range(1100)))
    assert faults(events) == ["no_rate"]
    assert not waves(events)


def test_invalid_samples_and_technical_states() -> None:
    events = fed(curve(0, 4) + sample(81, status=0x01) + sample(82, status=0x20) + frame(1, numerics(9)))
    *_, before, purge = waves(events)
    assert math.isnan(before.samples[-1])
    assert (before.validity, purge.validity) == (Validity.VLD, Validity.QST)
    told = alerts(events, "status")
    assert told[0] == ()
    assert told[-2] == told[-1] == (Alert("purge", "EtCO2", technical=True),)


def test_the_end_of_a_breath_is_no_state() -> None:
    assert set(alerts(fed(curve(0, 1, status=0x08)), "status")) == {()}


# ---- the session


def test_it_enables_keeps_the_link_alive_and_parts() -> None:
    talk = Talk(PROFILE)
    talk.until(10)
    assert talk.said[0] == (0.0, ENABLE + START_REAL_TIME)
    assert {data for _, data in talk.said[1:]} == {LINK_ACTIVE}
    assert len(talk.said) == 10
    talk.protocol.stop(10.0)
    assert talk.protocol.next_wake() == 10.0
    assert talk.protocol.data_to_send(10.0) == STOP_REAL_TIME + DISABLE
    assert talk.protocol.data_to_send(11.0) == b""
    assert talk.protocol.next_wake() is None


def test_silence_is_told_and_the_monitor_is_asked_again() -> None:
    talk = Talk(PROFILE)
    talk.until(6)
    device, talk.device = talk.device, None
    talk.until(17)
    assert faults(talk.events) == ["silent"] * 2
    assert (ENABLE + START_REAL_TIME) in [data for now, data in talk.said if now > 1]
    talk.device = device
    before = len(waves(talk.events))
    talk.until(30)
    assert len(waves(talk.events)) > before + 5


def test_numbers_that_must_be_asked_for_are_asked_for() -> None:
    talk = Talk(PROFILE, scenario={"asked": True})
    talk.until(20)
    assert faults(talk.events) == ["no_numerics"]
    assert len(frames(talk.events, "numeric")) >= 16
    assert waves(talk.events)


def test_the_link_of_the_simulator_dies_without_keep_alive() -> None:
    talk = Talk(PROFILE)
    talk.until(2)
    assert talk.device
    assert talk.device.data_to_send(60.0)
    assert talk.device.next_wake() is None


def test_who_it_is() -> None:
    assert Identified("", "Capnostream20 simulator", "") in Talk(PROFILE).until(1)
    assert faults(fed(frame(4, b"\x01\x02"))) == ["text"]


def test_unknown_responses_are_told_once_each() -> None:
    events = fed((frame(7, b"") + frame(8, b"12")) * 3 + b"".join(frame(code, b"") for code in range(20, 90)))
    assert faults(events) == ["unknown_code"] * MAX_CODES


def test_all_faults_are_in_the_table_and_nothing_else() -> None:
    assert set(driver("capnostream").faults) == set(FAULTS)
    assert len(FAULTS) == 12


def test_one_line_one_monitor_and_no_options() -> None:
    spec = DeviceSpec(0, profile(PROFILE))
    with pytest.raises(ConfigError, match="unknown option"):
        driver("capnostream").protocol([spec], {"baud": 9600})
    with pytest.raises(ConfigError, match="2 devices"):
        driver("capnostream").protocol([spec, spec], {})


def test_an_unknown_scenario_is_refused() -> None:
    with pytest.raises(ConfigError, match="lead_off"):
        Talk(PROFILE, scenario={"lead_off": True})


# ---- the whole


def test_single_flipped_bits_are_seen() -> None:
    talk = Talk(PROFILE)
    talk.until(6)
    bad, total = undetected(talk.protocol, talk.wire, 11)
    assert (bad, total > 500) == (0, True)


def test_with_nothing_measured_there_is_no_value() -> None:
    events = Talk(PROFILE, Scene(nothing=True)).until(8)
    measured = {"EtCO2", "FiCO2", "RR", "SpO2", "PR"}
    assert {math.isnan(float(r.value)) for r in readings(events) if r.object in measured} == {True}
    assert all(map(math.isnan, (value for wave in waves(events) for value in wave.samples)))


def test_our_recording_is_what_the_simulator_says() -> None:
    check_recording("capnostream")


def test_frames_of_a_wave_carry_the_time_of_their_last_sample() -> None:
    events = Talk(PROFILE).until(6)
    times = [event.t_ns for event in events if isinstance(event, Frame) and event.kind == "wave"]
    assert times[:2] == [T0 + 950_000_000, T0 + 1_950_000_000]
