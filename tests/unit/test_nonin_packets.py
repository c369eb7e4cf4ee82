"""Nonin data formats 2 and 7: published frames, constructed streams, damaged lines."""

from __future__ import annotations

import csv
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.nonin import DRIVER
from drivers.nonin.packets import RATES, SATURATIONS
from gateway.core.frame import Identified, Reading
from gateway.core.profile import ChannelSpec, MetricSpec
from gateway.core.protocol import DeviceProtocol, DeviceSpec
from gateway.core.sample import Validity
from tests.unit.nonin_rig import DF2, DF7, DF8, GOOD, numbers, packet, shown
from tests.unit.oximeter_rig import T0, S, active, faults, frames, profile, protocol, read, readings, wave, ways


def everything(profile_id: str = DF2) -> DeviceProtocol:
    """Return a driver whose profile has a row for every number of the packet."""
    names = [*RATES, *SATURATIONS]
    metrics = tuple(MetricSpec(f"1.1.1.{i}", "MDC_X", "", "packet", object=name) for i, name in enumerate(names, 1))
    channel = ChannelSpec("1.1.1", "", "", metrics, "")
    made = DRIVER.protocol([DeviceSpec(0, replace(profile(profile_id), channels=(channel,)))], {})
    made.start(0.0)
    return made


def test_published_test_frames_of_an_oem_iii() -> None:
    """pufferfish-software, unit test of its OEM III driver, by way of the protocol notes: HR 72, SpO2 97, SREV 48."""
    published = bytes.fromhex("0181010083 01800148CA 01800161E3 01800130B2")
    line = published + packet(pleth=1)[len(published) :]
    (identified, *events) = read(DF2, line, made=everything())
    assert identified == Identified("", "", "48")
    values = readings(events[0])
    assert (values["HR"].value, values["SpO2"].value) == (72.0, 97.0)


@pytest.mark.parametrize(
    ("profile_id", "given"),
    [
        (DF2, "01815001D3 01805016E7 0180506132"),
        (DF7, "813C2101DF 803C2516F7 803C2F614C"),
    ],
)
def test_computed_frames_of_the_protocol_notes(profile_id: str, given: str) -> None:
    """HR 150 = 1 << 7 | 0x16, SpO2 97."""
    wide = profile_id == DF7
    line = bytes.fromhex(given)
    line += packet(wide=wide)[len(line) :]
    events = read(profile_id, line, made=everything(profile_id))
    values = readings(frames(events, "packet")[0])
    assert (values["HR"].value, values["SpO2"].value) == (150.0, 97.0)
    samples = wave(frames(events, "wave")[0]).samples[:3].tolist()
    assert samples == ([0x3C21, 0x3C25, 0x3C2F] if wide else [0x50, 0x50, 0x50])


@pytest.mark.parametrize("rate", [127, 128, 150, 255, 256, 384, 510])
def test_error_1_openice_shifts_the_msb_of_the_rate_by_8_instead_of_7(rate: int) -> None:
    """Seven bits of each byte count: 150 must not become 278. Error 1 of public sources in the protocol notes."""
    for first, name in ((1, "HR"), (14, "E-HR"), (20, "HR-D"), (22, "E-HR-D")):
        events = read(DF2, packet({first: rate >> 7, first + 1: rate & 0x7F}), made=everything())
        assert readings(frames(events, "packet")[0])[name].value == rate


def test_format8_java_joins_the_rate_with_and_instead_of_or() -> None:
    """150 = 0x80 | 0x16; with & it would be 0."""
    assert numbers(read(DF8, bytes.fromhex("81166100") * 3), "record") == [(150.0, 97.0)] * 3


def test_each_number_stands_in_its_frame() -> None:
    """The table of the specification: frame -> value, no two the same."""
    table = {3: "SpO2", 9: "SpO2-D", 10: "SpO2 Fast", 11: "SpO2 B-B", 16: "E-SpO2", 17: "E-SpO2-D"}
    pairs = {1: "HR", 14: "E-HR", 20: "HR-D", 22: "E-HR-D"}
    floats = {frame: 60 + frame for frame in table} | {first + 1: 100 + first for first in pairs}
    values = readings(frames(read(DF2, packet(floats), made=everything()), "packet")[0])
    assert {name: values[name].value for name in table.values()} == {n: 60.0 + f for f, n in table.items()}
    assert {name: values[name].value for name in pairs.values()} == {n: 100.0 + f for f, n in pairs.items()}


def test_codes_for_missing_data_are_no_values() -> None:
    """511 and 127; above 100 there is no saturation either. [computed] frames: sensor alarm, HR 511, SpO2 127."""
    for floats, validity in ((shown(511, 127), Validity.NA), (shown(300, 101), Validity.INV)):
        values = readings(frames(read(DF2, packet(floats)), "packet")[0])
        assert math.isnan(float(values["SpO2-D"].value))
        assert values["SpO2-D"].validity == validity
    line = bytes.fromhex("01895003DD 0188507F58 0188507F58")
    line += packet(status=0x88, pleth=0x50)[len(line) :]
    events = read(DF2, line, made=everything())
    assert {r.validity for r in readings(frames(events, "packet")[0]).values() if r.object != "SPA"} == {Validity.NA}


@pytest.mark.parametrize("status", [0x88, 0xC0])
def test_display_values_that_are_held_while_the_sensor_alarms_are_not_given(status: int) -> None:
    """The oximeter holds the last number for 10 s: with SNSA or SNSD it is 10 s old."""
    events = read(DF2, packet(shown(72, 97), status, pleth=90))
    assert numbers(events) == [(None, None)]
    assert active(frames(events, "alert")[0]) == (["SNSA"] if status == 0x88 else ["SNSD"])
    pleth = wave(frames(events, "wave")[0])
    assert all(map(math.isnan, pleth.samples))
    assert pleth.validity == Validity.NA


def test_one_frame_with_a_sensor_alarm_takes_the_numbers_and_its_own_sample() -> None:
    line = bytearray(packet(shown(72, 97), pleth=90))
    at = 5 * 12
    line[at + 1] |= 0x08
    line[at + 4] = sum(line[at : at + 4]) & 0xFF
    events = read(DF2, bytes(line))
    assert numbers(events) == [(None, None)]
    pleth = wave(frames(events, "wave")[0])
    assert [i for i, sample in enumerate(pleth.samples) if math.isnan(sample)] == [12]
    assert pleth.validity == Validity.VLD


def test_status_bit_6_is_reserved_on_a_9560() -> None:
    events = read("nonin/9560_df2", packet(shown(72, 97), 0xC0))
    assert numbers(events) == [(72.0, 97.0)]
    assert active(frames(events, "alert")[0]) == []


@pytest.mark.parametrize(("status", "validity"), [(0xA0, Validity.QST), (0x90, Validity.QST), (0x80, Validity.VLD)])
def test_artifact_and_out_of_track_are_questionable(status: int, validity: Validity) -> None:
    values = readings(frames(read(DF2, packet(shown(72, 97), status)), "packet")[0])
    assert {values["HR-D"].validity, values["SpO2-D"].validity} == {validity}


@pytest.mark.parametrize(("bits", "colour"), [(0x02, "green"), (0x06, "yellow"), (0x04, "red"), (0, None)])
def test_perfusion_is_told_when_there_is_a_pulse(bits: int, colour: str | None) -> None:
    """RPRF, GPRF: 0,1 green; 1,1 yellow; 1,0 red; 0,0 no pulse in this frame."""
    values = readings(frames(read(DF2, packet(status=GOOD | bits)), "packet")[0])
    assert (values["PRF"].value if "PRF" in values else None) == colour


def test_stat2_tells_smartpoint_and_the_battery() -> None:
    for stat2, point, alerts in ((0x20, 1.0, []), (0x01, 0.0, ["LOW BAT"]), (0x5E, 0.0, [])):
        events = read(DF2, packet({8: stat2}))
        assert readings(frames(events, "packet")[0])["SPA"] == Reading("SPA", 0, 0, point)
        assert active(frames(events, "alert")[0]) == alerts


def test_the_firmware_is_told_once() -> None:
    made = protocol(DF2)
    events = [event for revision in (48, 48, 49) for event in read(DF2, packet({4: revision}), made=made)]
    assert [e.firmware for e in events if isinstance(e, Identified)] == ["48", "49"]


@pytest.mark.parametrize(
    ("counters", "gaps"),
    [
        ([5, 6, 7, 8], [False, False, False, False]),
        ([5, 6, 8, 9], [False, False, True, False]),
        ([16382, 16383, 0, 1], [False, False, False, False]),  # 14 bits
        ([0, 0, 0, 0], [False, False, False, False]),  # an OEM III that leaves it reserved
        ([7, 99, 3, 50], [False, False, False, False]),  # bytes that never counted are no counter
    ],
)
def test_the_packet_counter_shows_a_gap_where_it_counts(counters: list[int], gaps: list[bool]) -> None:
    made = protocol(DF2)
    events = [event for counter in counters for event in read(DF2, packet(counter=counter), made=made)]
    assert [frame.after_gap for frame in frames(events, "packet")] == gaps
    assert [frame.after_gap for frame in frames(events, "wave")] == gaps


def test_constructed_stream_clean_and_garbled(shared: Path) -> None:
    """Our constructed capture: 15 packets; while the sensor alarms the display values are held, and not to be used."""
    folder = shared / "captures/nonin_df2"
    expected = [
        (float(row["hr"]), float(row["spo2"])) if row["hr"] else (None, None)
        for row in csv.DictReader((folder / "expected.csv").read_text().splitlines())
    ]
    events = read(DF2, (folder / "synthetic_df2.bin").read_bytes())
    assert numbers(events) == expected
    assert faults(events) == []
    garbled = read(DF2, (folder / "synthetic_df2_garbled.bin").read_bytes())
    assert set(numbers(garbled)) <= set(expected)
    assert numbers(garbled)
    assert faults(garbled)


@pytest.mark.parametrize("wide", [False, True])
def test_no_flipped_bit_of_a_packet_makes_a_value(wide: bool) -> None:
    """All 1000 of them: the packet is thrown away, the next one is read."""
    profile_id = DF7 if wide else DF2
    first, next_ = (packet(shown(rate, 97), pleth=60, wide=wide) for rate in (72, 73))
    made = protocol(profile_id)
    for spoiled in ways(first):
        made.start(0.0)
        events = read(profile_id, packet(shown(71, 97), pleth=60, wide=wide) + spoiled + next_, made=made)
        assert numbers(events) == [(71.0, 97.0), (73.0, 97.0)]
        assert set(faults(events)) == {"broken"}
        assert frames(events, "wave")[1].after_gap


def test_a_lost_frame_puts_no_number_under_the_name_of_its_neighbour() -> None:
    whole = packet(shown(72, 97))
    for lost in range(25):
        events = read(DF2, whole + whole[: 5 * lost] + whole[5 * lost + 5 :] + whole)
        assert numbers(events) == [(72.0, 97.0)] * 2


def test_garbage_is_told_once_a_second_and_passes() -> None:
    noise = random.Random(4).randbytes(1000)
    events = read(DF2, noise + packet(shown(72, 97)))
    assert numbers(events) == [(72.0, 97.0)]
    assert faults(events) == ["garbage"] * 3


def test_what_was_begun_before_a_pause_is_not_completed_after_it() -> None:
    """Unplugged in the middle of a packet, plugged in again at the same place of a later one."""
    made = protocol(DF2)
    before, after = packet(shown(72, 97)), packet(shown(140, 85))
    events = read(DF2, before[:60], T0, made)
    events += read(DF2, after[60:], T0 + 60 * S, made)
    events += read(DF2, after, T0 + 61 * S, made)
    assert numbers(events) == [(140.0, 85.0)]
    assert faults(events) == ["garbage"]
