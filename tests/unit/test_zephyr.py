"""Zephyr: vectors and worked packet of the protocol notes, the HxM recording, framing, beats, waves, the session."""

from __future__ import annotations

import csv
import math
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from fastcrc import crc8

from drivers.zephyr import packets
from drivers.zephyr.framing import LENGTHS, FrameReader, Packet
from drivers.zephyr.options import FAULTS
from drivers.zephyr.protocol import (
    GENERAL_ON,
    LIFESIGN,
    MAX_UNKNOWN,
    REQUESTS,
    SERIAL_NUMBER,
    ZephyrProtocol,
)
from drivers.zephyr.simulator import packed, sealed
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.frame import Event, Fault, Frame, Identified, Reading
from gateway.core.framing import Bad, Outside
from gateway.core.profile import Profile, parse_profile
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import IS_USABLE, Validity
from gateway.core.scene import Scene
from tests.conftest import ROOT
from tests.unit.converse_rig import (
    T0,
    Talk,
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

BIOHARNESS, HXM = "zephyr/bioharness", "zephyr/hxm"
# The first summary of a real recording, by way of the protocol notes ("worked example").
SUMMARY = bytes.fromhex(
    "022B47 2FDC07091A5078D803 02 3D00DF0000802C000B0014005D0F375B00FFFFFF681FC80064FFFF64FFFFF100AAFFC4FF3700"
    "4900E8FFF1FF2B010002FE000C74019E01A101FB010000D903"
)
STAMP = bytes.fromhex("DC07091A5078D803")  # 2012-09-26 17:55:18.224


def fed(data: bytes, size: int = 0) -> list[Event]:
    protocol = ZephyrProtocol(list(REQUESTS))
    for at in range(0, len(data), size or len(data)):
        protocol.receive_data(data[at : at + (size or len(data))], T0)
    return list(drain(protocol))


def stamped(number: int, body: bytes) -> bytes:
    return bytes([number % 256]) + STAMP + body


def summary(number: int = 0, **fields: int) -> bytes:
    """Return a summary packet: that of the recording with other fields."""
    at = {"hr": (10, "H"), "br": (12, "H"), "skin": (14, "h"), "posture": (16, "h"), "confidence": (34, "B")}
    at |= {"version": (9, "B"), "month": (3, "B"), "ms": (5, "I"), "core": (61, "H")}
    payload = bytearray(SUMMARY[3:-2])
    payload[0] = number % 256
    for name, value in fields.items():
        struct.pack_into("<" + at[name][1], payload, at[name][0], value)
    return sealed(0x2B, bytes(payload))


def rr(number: int, *values: int) -> bytes:
    return sealed(0x24, stamped(number, struct.pack("<18h", *values)))


def hxm(beat: int, *times: int, rate: int = 70) -> bytes:
    payload = bytearray(55)
    payload[:12] = struct.pack("<H2sH2sBBB", 26, b"1f", 80, b"1d", 90, rate, beat)[:11] + b"\0"
    struct.pack_into("<15H", payload, 11, *times)
    return sealed(0x26, bytes(payload))


def by_name(events: list[Event]) -> dict[object, Reading]:
    return {reading.object: reading for reading in readings(events)}


def intervals(events: list[Event]) -> list[tuple[float | str, int]]:
    return [(r.value, r.age_ns // 1_000_000) for r in readings(events) if r.object == "R-R interval"]


# ---- the wire


def test_the_checksum_of_the_notes() -> None:
    assert crc8.maxim_dow(b"123456789") == 0xA1
    assert sealed(0, b"123456789")[-2] == 0xA1


def test_the_requests_are_those_of_the_notes() -> None:
    asked = {name: request.hex(" ").upper() for name, (request, _) in REQUESTS.items()}
    assert asked == {
        "summary": "02 BD 02 01 00 C4 03", "ecg": "02 16 01 01 5E 03", "breathing": "02 15 01 01 5E 03",
        "rr": "02 19 01 01 5E 03", "acceleration": "02 1E 01 01 5E 03",
    }  # fmt: skip
    assert bytes.fromhex("021401015E03") == GENERAL_ON
    assert (bytes.fromhex("0223000003"), bytes.fromhex("020B000003")) == (LIFESIGN, SERIAL_NUMBER)
    for request in (*(request for request, _ in REQUESTS.values()), GENERAL_ON, LIFESIGN, SERIAL_NUMBER):
        assert request == sealed(request[1], request[3:-2])


def test_an_acknowledgement() -> None:
    assert FrameReader().feed(bytes.fromhex("0216000006")) == [Packet(0x16, b"", 0x06)]


@pytest.mark.parametrize("size", [0, 1, 5])
def test_the_worked_summary_of_the_notes(size: int) -> None:
    events = fed(SUMMARY, size)
    said = {name: reading.value for name, reading in by_name(events).items() if not math.isnan(float(reading.value))}
    assert said == {
        "heart rate": 61, "breath rate": 223, "posture": 44, "activity": 11, "peak acceleration": 20,
        "battery voltage": 3933, "battery charge": 55, "breathing amplitude": 91, "ECG amplitude": 8040,
        "ECG noise": 200, "heart rate confidence": 100, "system confidence": 100, "device temperature": 299,
        "estimated core temperature": 372,
    }  # fmt: skip
    (frame,) = frames(events, "numeric")
    assert frame.device_ns == 1_348_682_118_224_000_000  # 2012-09-26 17:55:18.224


def test_the_worked_summary_in_the_units_of_the_profile() -> None:
    compiled = plan(BIOHARNESS)
    rows = {compiled.metrics[row["metric"]].path: row for row in decoded(fed(SUMMARY), compiled)[0]}
    wanted = {"1.1.1.1": 61, "1.1.2.1": 22.3, "1.2.1.2": 37.2, "1.3.1.1": 44, "1.3.1.2": 0.11, "1.3.2.2": 3.933}
    assert {path: rows[path]["value"] for path in wanted} == pytest.approx(wanted)
    assert rows["1.2.1.1"]["validity"] == Validity.NA  # no skin temperature


def test_what_is_described_from_memory_only_is_questionable() -> None:
    compiled = plan(BIOHARNESS)
    rows = {compiled.metrics[row["metric"]].path: row["validity"] for row in decoded(fed(SUMMARY), compiled)[0]}
    specs = [spec for channel in profile(BIOHARNESS).channels for spec in channel.metrics]
    from_memory = {spec.path for spec in specs if "from memory" in spec.source}
    assert {path for path, validity in rows.items() if validity == Validity.QST} == {
        path for path in from_memory if IS_USABLE[rows[path]]
    }


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (b"\x01\x03\x02", "noise"),
        (SUMMARY[:-2] + b"\xda\x03", "crc"),
        (SUMMARY[:-1] + b"\x04", "noise"),
        (SUMMARY[:30], "noise"),
        (b"\x02\x2b\x46" + SUMMARY[3:], "noise"),
    ],
)
def test_damage_is_told_by_its_name_and_the_next_packet_is_read(damaged: bytes, reason: str) -> None:
    for size in (0, 1):
        events = fed(damaged + summary(1, hr=99), size)
        assert next(e.reason for e in events if isinstance(e, Fault)) == reason
        assert [r.value for r in readings(events) if r.object == "heart rate"] == [99]


def test_a_hit_id_never_makes_another_packet() -> None:
    """The checksum does not cover the id: an R-R packet with one bit of it flipped would be a general packet."""
    for id_, length in LENGTHS.items():
        whole = sealed(id_, bytes(length))
        for bit in range(8):
            hit = bytearray(whole)
            hit[1] ^= 1 << bit
            assert not [e for e in fed(bytes(hit)) if isinstance(e, Frame)], f"{id_:02X} {hit[1]:02X}"


def test_a_false_beginning_does_not_hold_up_the_packet_behind_it() -> None:
    assert "heart rate" in by_name(fed(b"\x02\x77\x7f" + SUMMARY))


def test_any_split_gives_the_same_events() -> None:
    rng = random.Random(5)
    talk = Talk(BIOHARNESS)
    talk.until(3)
    wire = bytearray(rng.randbytes(9000) + talk.wire)
    for _ in range(40):
        wire[rng.randrange(9000, len(wire))] = rng.randrange(256)
    whole = [repr(event) for event in fed(bytes(wire))]
    assert [repr(event) for event in fed(bytes(wire), 1)] == whole
    assert [repr(event) for event in fed(bytes(wire), 53)] == whole


def test_a_line_of_noise_is_told_while_it_goes_on() -> None:
    reader = FrameReader()
    assert [item for _ in range(50) for item in reader.feed(bytes(100))] == [Bad("noise", f"{Outside.MOST} bytes")]


# ---- numbers


@pytest.mark.parametrize(
    ("field", "none", "name"),
    [
        ("hr", 0xFFFF, "heart rate"), ("br", 0xFFFF, "breath rate"), ("skin", -0x8000, "skin temperature"),
        ("posture", -0x8000, "posture"), ("core", 0xFFFF, "estimated core temperature"),
    ],
)  # fmt: skip
def test_zephyr_bt_forgets_the_sentinels_and_would_report_3276_degrees(field: str, none: int, name: str) -> None:
    reading = by_name(fed(summary(**{field: none})))[name]
    assert math.isnan(float(reading.value))
    assert reading.validity == Validity.NA


@pytest.mark.parametrize(("confidence", "validity"), [(19, Validity.QST), (20, Validity.VLD), (255, Validity.VLD)])
def test_a_heart_rate_without_confidence_is_questionable(confidence: int, validity: Validity) -> None:
    assert by_name(fed(summary(confidence=confidence)))["heart rate"].validity == validity


def test_another_version_of_the_summary_is_not_read() -> None:
    events = fed(summary(version=3))
    assert faults(events) == ["version"]
    assert not readings(events)


def test_a_clock_that_shows_no_date_is_told_once_and_values_are_read() -> None:
    for wrong in ({"month": 13}, {"ms": 86_400_000}):
        events = fed(summary(0, **wrong) + summary(1, **wrong))
        assert faults(events) == ["clock"]
        assert [frame.device_ns for frame in frames(events, "numeric")] == [None, None]
        assert by_name(events)["heart rate"].value == 61


def test_the_general_packet_counts_only_as_long_as_no_summary_comes() -> None:
    general = sealed(0x20, stamped(0, struct.pack("<HHhh", 72, 0xFFFF, 335, -5)))
    found = by_name(fed(general))
    assert {name: r.value for name, r in found.items() if r.validity == Validity.VLD} == {
        "heart rate": 72, "skin temperature": 335, "posture": -5,
    }  # fmt: skip
    assert [r.value for r in readings(fed(summary() + general)) if r.object == "heart rate"] == [61]


def test_missing_packets_are_a_gap_of_their_own_kind() -> None:
    events = fed(summary(254) + summary(255) + summary(0) + rr(7, *[0] * 18) + summary(2))
    assert [f.after_gap for f in frames(events, "numeric")] == [False, False, False, True]
    assert [f.after_gap for f in frames(events, "beat")] == [False]


def test_events_are_given_by_their_code() -> None:
    events = fed(sealed(0x2C, stamped(0, b"\x00\x10\x01\x00")))
    assert readings(events) == [Reading("event code", 0, 0, 0x1000)]
    compiled = plan(BIOHARNESS)
    assert not any(len(block) for block in decoded(events, compiled))  # nobody knows what it means: counted, not sent
    assert compiled.unmapped == {("event", "event code"): 1}


# ---- waves


@pytest.mark.parametrize(
    ("id_", "count", "objects", "period_ns"),
    [
        (0x22, 63, ["ECG"], 4_000_000),
        (0x21, 18, ["breathing"], 56_000_000),
        (0x25, 60, ["acceleration x", "acceleration y", "acceleration z"], 20_000_000),
    ],
)
def test_ten_bits_are_unpacked(id_: int, count: int, objects: list[str], period_ns: int) -> None:
    raw = [random.Random(id_).randrange(1024) for _ in range(count)]
    found = waves(fed(sealed(id_, stamped(0, packed(raw)))))
    assert [wave.object for wave in found] == objects
    assert {wave.period_ns for wave in found} == {period_ns}
    columns = np.array(raw).reshape(-1, len(objects)).T - packets.CENTRE
    for wave, column in zip(found, columns, strict=True):
        np.testing.assert_array_equal(wave.samples, column)


def test_five_bytes_hold_four_samples() -> None:
    """As the notes say it: sample k begins at bit 10 k of a little-endian stream."""
    assert packed([1, 2, 3, 4]) == bytes([0x01, 0x08, 0x30, 0x00, 0x01])


# ---- beats


def test_a_beat_is_new_where_the_sign_flips() -> None:
    first = rr(0, *[800] * 10, *[-760] * 8)
    second = rr(1, *[-760] * 3, *[740] * 15)
    assert intervals(fed(first + second)) == [(760, 7 * 56), (740, 14 * 56)]


def test_the_first_value_and_the_first_behind_a_gap_are_no_new_beats() -> None:
    assert intervals(fed(rr(0, *[800] * 18))) == []
    assert intervals(fed(rr(0, *[800] * 18) + rr(2, *[-700] * 18))) == []
    assert intervals(fed(rr(0, *[800] * 18) + rr(1, *[-700] * 18))) == [(700, 17 * 56)]


def test_without_beats_there_are_no_intervals() -> None:
    assert intervals(fed(rr(0, *[0] * 18) + rr(1, *[0] * 17, 650) + rr(2, *[-640] * 18))) == [(640, 17 * 56)]


def test_hxm_beats_since_the_packet_before() -> None:
    times = [10_000 - 700 * n for n in range(15)]
    later = [11_500, 10_800, *times[:13]]
    assert intervals(fed(hxm(250, *times) + hxm(252, *later))) == [(800, 700), (700, 0)]


def test_hxm_times_and_numbers_begin_anew() -> None:
    times = [(60_000 - 700 * n) % 65536 for n in range(15)]
    later = [(65_636 + 300) % 65536, 65_236, *times[:13]]
    assert intervals(fed(hxm(255, *times) + hxm(1, *later))) == [(5236, 700), (700, 0)]


def test_hxm_without_new_beats_or_with_too_many() -> None:
    times = [20_000 - 700 * n for n in range(15)]
    assert intervals(fed(hxm(5, *times) + hxm(5, *times))) == []
    assert len(intervals(fed(hxm(5, *times) + hxm(105, *times)))) == 14


def test_hxm_heart_rate_0_is_none() -> None:
    assert math.isnan(float(by_name(fed(hxm(0, *[0] * 15, rate=0)))["heart rate"].value))


# ---- the recording of a real HxM


def recorded(shared: Path) -> bytes:
    return (shared / "captures/zephyr_hxm/120-second-bt-stream-hxm.dat").read_bytes()


@pytest.mark.parametrize("size", [0, 1, 60, 97])
def test_the_recording_of_a_real_hxm(shared: Path, size: int) -> None:
    """Against the independent reading that the protocol notes give of it."""
    protocol = ZephyrProtocol([])
    data = recorded(shared)
    for at in range(0, len(data), size or len(data)):
        protocol.receive_data(data[at : at + (size or len(data))], T0)
    events: list[Event] = list(drain(protocol))
    assert protocol.frames_ok == 142
    assert faults(events) == []
    assert [e for e in events if isinstance(e, Identified)] == [Identified("", "", "26 1f")]
    rates = [r.value for r in readings(events) if r.object == "heart rate"]
    assert (rates[0], rates[-1], min(map(float, rates)), max(map(float, rates))) == (67, 120, 67, 120)
    first = {r.object: r.value for r in readings(frames(events, "numeric")[:1])}
    assert first == {"battery charge": 100, "heart rate": 67, "distance": 75.3125 * 16, "speed": 0}
    assert readings(frames(events, "beat")[:2])[0].value == 884


def test_the_beats_of_the_recording_fill_its_time(shared: Path) -> None:
    """No beat is lost or counted twice: all intervals together are the time from the first packet to the last."""
    with (shared / "captures/zephyr_hxm/120-second-bt-stream-hxm-timing.csv").open(encoding="utf-8") as file:
        arrivals = [float(row[0]) for row in csv.reader(file)]
    found = [float(ms) for ms, _ in intervals(fed(recorded(shared)))]
    assert sum(found) / 1000 == pytest.approx(arrivals[-1] - arrivals[0], abs=2.5)


def test_the_recording_through_the_plan(shared: Path) -> None:
    compiled = plan(HXM, "26 1f")
    rows = np.concatenate(decoded(fed(recorded(shared)), compiled))
    assert not compiled.unmapped
    assert set(rows["validity"].tolist()) == {Validity.VLD}


def test_a_bad_radio_link(shared: Path) -> None:
    """One byte in two hundred is hit: no heart rate that was not sent, and most packets survive."""
    data = bytearray(recorded(shared))
    sent = {r.value for r in readings(fed(bytes(data))) if r.object == "heart rate"}
    rng = random.Random(6)
    for _ in range(len(data) // 200):
        data[rng.randrange(len(data))] = rng.randrange(256)
    events = fed(bytes(data))
    got = [r.value for r in readings(events) if r.object == "heart rate"]
    assert set(got) <= sent
    assert len(got) > 90


# ---- the session


def test_it_asks_for_what_the_profile_names_and_keeps_the_link_alive() -> None:
    talk = Talk(BIOHARNESS)
    talk.until(31)
    asked = [REQUESTS[name][0] for name in ("summary", "ecg", "breathing", "rr", "acceleration")]
    assert talk.said[0] == (0.0, LIFESIGN + SERIAL_NUMBER + b"".join(asked))
    assert {data for _, data in talk.said[1:]} == {LIFESIGN}
    assert len(talk.said) == 7
    assert faults(talk.events) == []
    assert Identified("", "", "", "SIM0001") in talk.events
    talk.protocol.stop(31.0)
    assert talk.protocol.next_wake() is None
    assert talk.protocol.data_to_send(60.0) == b""


def test_an_hxm_is_never_written_to() -> None:
    talk = Talk(HXM)
    talk.until(30)
    assert talk.said == []
    assert profile(HXM).transmit == ()
    assert len(frames(talk.events, "numeric")) == 29


def test_silence_is_told_and_all_is_asked_for_again() -> None:
    talk = Talk(BIOHARNESS)
    talk.until(4)
    talk.device = None
    talk.until(16)
    assert faults(talk.events) == ["silent", "silent"]
    assert talk.said[-1][1].startswith(LIFESIGN + GENERAL_ON + REQUESTS["summary"][0])


def test_an_older_sensor_without_summaries_is_read_by_its_general_packet() -> None:
    talk = Talk(BIOHARNESS, scenario={"deaf": ("summary",)})
    talk.until(20)
    assert set(faults(talk.events)) == {"missing"}
    assert len(frames(talk.events, "numeric")) >= 9


def test_a_stream_that_does_not_come_is_asked_for_again() -> None:
    talk = Talk(BIOHARNESS, scenario={"deaf": ("ecg",)})
    talk.until(11)
    assert [e.detail for e in talk.events if isinstance(e, Fault)] == ["ecg", "ecg"]
    assert talk.said[-1][1] == LIFESIGN + REQUESTS["ecg"][0]


def test_a_refusal_is_told() -> None:
    events = Talk(BIOHARNESS, scenario={"refuse": True}).until(3)
    assert set(faults(events)) == {"refused"}
    assert not readings(events)


def test_the_simulator_lets_the_link_die_without_a_sign_of_life() -> None:
    talk = Talk(BIOHARNESS)
    talk.until(2)
    assert talk.device
    assert talk.device.data_to_send(20.0)
    talk.device.data_to_send(40.0)
    assert talk.device.data_to_send(50.0) == b""


def test_unknown_packets_are_told_once_each() -> None:
    data = b"".join(sealed(id_, b"abc") for id_ in (0x40, 0x40, *range(0x50, 0x80)))
    assert faults(fed(data)) == ["unknown_packet"] * MAX_UNKNOWN


def test_all_faults_are_in_the_table_and_nothing_else() -> None:
    assert set(driver("zephyr").faults) == set(FAULTS)
    assert len(FAULTS) == 8


def test_one_link_one_sensor_and_no_options() -> None:
    spec = DeviceSpec(0, profile(HXM))
    with pytest.raises(ConfigError, match="unknown option"):
        driver("zephyr").protocol([spec], {"baud": 9600})
    with pytest.raises(ConfigError, match="2 devices"):
        driver("zephyr").protocol([spec, spec], {})
    with pytest.raises(ConfigError, match="sweat"):
        Talk(HXM, scenario={"sweat": True})


def edited(new: str) -> Profile:
    text = (ROOT / "firmware_profiles" / f"{HXM}.toml").read_text(encoding="utf-8")
    return parse_profile(text.replace("ask = []", new), HXM, "edited.toml")


@pytest.mark.parametrize("line", ['ask = ["egc"]', 'ask = "ecg"', "asks = []"])
def test_a_wrong_driver_table_is_refused(line: str) -> None:
    with pytest.raises(ProfileError, match="edited"):
        driver("zephyr").protocol([DeviceSpec(0, edited(line))], {})


# ---- the whole


def test_the_clock_of_the_sensor_is_told_as_an_offset() -> None:
    compiled = plan(BIOHARNESS)
    clock = next(m.index for m in compiled.metrics if m.ref_id == "MDC_ATTR_TIME_ABS")
    rows = np.concatenate(decoded(Talk(BIOHARNESS).until(5), compiled))
    assert rows[rows["metric"] == clock]["value"].tolist() == [0.0]


def test_intervals_carry_their_own_time() -> None:
    compiled = plan(BIOHARNESS)
    events = fed(rr(0, *[800] * 18) + rr(1, *[800] * 8, *[-700] * 10))
    assert decoded(events, compiled)[1]["t_ns"].tolist() == [T0 - 9 * 56_000_000]


def test_single_flipped_bits_are_seen() -> None:
    talk = Talk(BIOHARNESS)
    talk.until(3)
    bad, total = undetected(talk.protocol, talk.wire, 17)
    assert (bad, total > 500) == (0, True)


@pytest.mark.parametrize("profile_id", [BIOHARNESS, HXM])
def test_with_nothing_measured_no_value_is_usable(profile_id: str) -> None:
    """Fields for which no sentinel is described come with every bit set, and are out of range."""
    compiled = plan(profile_id)
    numerics = {m.index for m in compiled.metrics if m.kind == "numeric"}
    rows = np.concatenate(decoded(Talk(profile_id, Scene(nothing=True)).until(5), compiled))
    assert not [row for row in rows if row["metric"] in numerics and IS_USABLE[row["validity"]]]


def test_our_recording_is_what_the_simulator_says() -> None:
    check_recording("zephyr")
