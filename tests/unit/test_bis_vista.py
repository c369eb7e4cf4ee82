"""BIS Vista: request vectors of the protocol notes, framing by length, variables, spectra, EEG, the session."""

from __future__ import annotations

import math
import random
import struct

import numpy as np
import pytest

from drivers.bis_vista import messages
from drivers.bis_vista.framing import FrameReader, checksum
from drivers.bis_vista.options import FAULTS, Requests
from drivers.bis_vista.protocol import (
    MAX_NUMBERS,
    START_EEG,
    START_PROCESSED,
    START_PROCESSED_SPECTRA,
    STOP_PROCESSED,
    BisVistaProtocol,
)
from drivers.bis_vista.simulator import frame, message
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.frame import Event
from gateway.core.framing import Bad, Outside
from gateway.core.profile import Profile, parse_profile
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity
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
    values,
    waves,
)

PLAIN, SPECTRA = "medtronic/bis_vista", "medtronic/bis_vista_spectra"


def block(**fields: int) -> bytes:
    """Return a trend block of 24 bytes, offsets as in the protocol notes."""
    at = {"bsr": (0, "h"), "sef95": (2, "h"), "status": (4, "H"), "bis": (6, "h"), "bis2": (8, "h"), "bis3": (10, "h")}
    at |= {"power": (12, "h"), "emg": (14, "h"), "sqi": (16, "i"), "artefact": (20, "i")}
    data = bytearray(24)
    for name, value in fields.items():
        struct.pack_into("<" + at[name][1], data, at[name][0], value)
    return bytes(data)


def settings(gain: int = 1, divisor: int = 20, offset: int = 0, offset_divisor: int = 1) -> bytes:
    """Return the 48 bytes before the trend blocks: 8 of id, gain and offset, 24 that are not read."""
    return b"DSC-ID.." + struct.pack("<iiii", gain, divisor, offset, offset_divisor) + bytes(24)


def processed(first: bytes = b"", second: bytes = b"", both: bytes = b"", extra: int | None = None) -> bytes:
    tail = b"" if extra is None else struct.pack("<h10x", extra)
    return settings() + b"".join((found or block()) + tail for found in (first, second, both))


def eeg(*samples: tuple[int, ...], channels: int = 2, rate: int = 128) -> bytes:
    return struct.pack("<hh", channels, rate) + b"".join(struct.pack(f"<{len(s)}h", *s) for s in samples)


def fed(data: bytes, size: int = 0) -> list[Event]:
    protocol = BisVistaProtocol(Requests(eeg=True))
    for at in range(0, len(data), size or len(data)):
        protocol.receive_data(data[at : at + (size or len(data))], T0)
    return list(drain(protocol))


def by_name(events: list[Event]) -> dict[object, float | str]:
    return {reading.object: reading.value for reading in readings(events)}


# ---- the wire


def test_the_requests_are_those_of_the_notes() -> None:
    """As the notes write them, with their checksums; and our own rule of the checksum agrees with each."""
    assert bytes.fromhex("BAAB00000D00010004000000730000000000010000" + "8600") == START_PROCESSED
    assert bytes.fromhex("BAAB00000D00010004000000730000000000010001" + "8700") == START_PROCESSED_SPECTRA
    assert bytes.fromhex("BAAB00000C000100040000007400000000000000" + "8500") == STOP_PROCESSED
    assert bytes.fromhex("BAAB00000E000100040000006F000000000002008000" + "0401") == START_EEG
    for request in (START_PROCESSED, START_PROCESSED_SPECTRA, STOP_PROCESSED, START_EEG):
        assert checksum(request[2:-2]) == int.from_bytes(request[-2:], "little")
        (found,) = FrameReader().feed(request)
        assert not isinstance(found, Bad)
    assert message(0x73, b"\0") == START_PROCESSED


def test_error_8_ba_ab_inside_the_data_does_not_split_a_frame() -> None:
    """VSCaptureBISV cuts the stream at BA AB: an EEG sample of ABBA hexadecimal then costs the frame."""
    inside = -0x5446  # as i16: BA AB on the wire
    data = message(0x34, processed(block(bis=inside, emg=1234), both=block(bis=452))) + message(0x32, eeg((inside, 7)))
    assert data.count(b"\xba\xab") == 4
    for size in (0, 1, 3):
        events = fed(data, size)
        assert not faults(events)
        assert by_name(events)["ch1 EMG"] == 1234
        assert by_name(events)["ch12 BIS"] == 452
        assert [wave.samples.tolist() for wave in waves(events)] == [
            [pytest.approx(inside / 20)],
            [pytest.approx(0.35)],
        ]


def test_error_8_channel_2_has_its_own_spectrum() -> None:
    """VSCaptureBISV fills the spectrum of channel 2 from the buffer of channel 1."""
    powers = struct.pack("<HH120h", 2, 60, *range(100, 160), *range(500, 560))
    events = fed(message(0x35, processed() + powers))
    found = {(r.object, r.instance): r.value for r in readings(events) if "power" in str(r.object) and r.instance}
    assert len(found) == 120
    assert (found["ch1 power", 1], found["ch1 power", 60]) == (100, 159)
    assert (found["ch2 power", 1], found["ch2 power", 60]) == (500, 559)
    compiled = plan(SPECTRA)
    paths = {compiled.metrics[row["metric"]].path: row["value"] for row in decoded(events, compiled)[1]}
    assert (paths["1.1.2.101"], paths["1.1.3.101"]) == (1.0, 5.0)


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (b"\x01\x02\x03", "noise"),
        (frame(4, b""), "header"),
        (frame(1, bytes(11)), "header"),
        (frame(2, bytes(65)), "header"),
        (b"\xba\xab\x00\x00\xff\xff\x01\x00", "header"),
        (frame(1, b"\x05" + bytes(11)), "header"),
        (frame(1, b"\x04" + bytes(9) + b"\x09\x00"), "header"),
        (message(0x34, processed())[:-2] + b"\xff\xff", "checksum"),
    ],
)
def test_damage_is_told_by_its_name_and_the_next_frame_is_read(damaged: bytes, reason: str) -> None:
    events = fed(damaged + message(0x34, processed(both=block(bis=500))))
    assert faults(events)[0] == reason
    assert by_name(events)["ch12 BIS"] == 500


def test_a_length_that_was_hit_does_not_hold_up_the_frames_behind_it() -> None:
    """Each bit of the first eight bytes: the next frame is there when its own last byte has come, not later."""
    good = message(0x34, processed(both=block(bis=500)))
    for bit in range(8 * 20):
        hit = bytearray(message(0x34, processed()))
        hit[bit // 8] ^= 1 << bit % 8
        assert by_name(fed(bytes(hit) + good)).get("ch12 BIS") == 500, bit


def test_any_split_gives_the_same_events() -> None:
    rng = random.Random(8)
    talk = Talk(SPECTRA)
    talk.until(3)
    wire = rng.randbytes(9000) + talk.wire + b"\xba" + talk.wire[:100] + talk.wire
    whole = [repr(event) for event in fed(wire)]
    assert [repr(event) for event in fed(wire, 1)] == whole
    assert [repr(event) for event in fed(wire, 97)] == whole


def test_a_line_of_noise_is_told_while_it_goes_on() -> None:
    reader = FrameReader()
    assert [item for _ in range(50) for item in reader.feed(bytes(100))] == [Bad("noise", f"{Outside.MOST} bytes")]


# ---- variables


def test_each_variable_from_its_own_bytes() -> None:
    one = block(bsr=11, sef95=12, status=13, bis=14, bis2=15, bis3=16, power=17, emg=18, sqi=19, artefact=20)
    events = fed(message(0x34, processed(one, block(bis=24), block(bis=34, sqi=965))))
    names = ("BSR", "SEF95", "BIS", "total power", "EMG", "SQI")
    found = by_name(events)
    assert [found[f"ch1 {name}"] for name in names] == [11, 12, 14, 17, 18, 19]
    assert (found["ch2 BIS"], found["ch12 BIS"], found["ch12 SQI"]) == (24, 34, 965)


def test_of_the_longer_form_the_same_is_read() -> None:
    """Its bursts per minute have no stated scale, so they are no value."""
    found = by_name(fed(message(0x34, processed(block(bis=1), block(bis=2), block(bis=3), extra=9))))
    assert (found["ch1 BIS"], found["ch2 BIS"], found["ch12 BIS"]) == (1, 2, 3)
    assert len(found) == 3 * len(messages.TREND_FIELDS)


def test_the_lengths_of_the_notes() -> None:
    assert (messages.PLAIN_BYTES, messages.EXTRA_BYTES, messages.SPECTRA_BYTES) == (120, 156, 244)
    assert len(processed()) == 120
    assert len(processed(extra=0)) == 156


def test_the_plan_scales_and_the_combined_block_is_the_first_channel() -> None:
    compiled = plan(PLAIN)
    found = block(bis=452, sqi=965, emg=2835, bsr=15, sef95=1425, power=6510)
    (rows,) = decoded(fed(message(0x34, processed(both=found))), compiled)
    said = {compiled.metrics[row["metric"]].path: row["value"] for row in rows}
    assert [said[f"1.1.1.{n}"] for n in range(1, 7)] == [45.2, 96.5, 28.35, 1.5, 14.25, 65.1]


@pytest.mark.parametrize(("raw", "has_value"), [(-3276, True), (-3277, False), (-3278, False), (-32768, False)])
def test_what_means_no_value(raw: int, has_value: bool) -> None:
    (reading,) = [r for r in readings(fed(message(0x34, processed(both=block(bis=raw))))) if r.object == "ch12 BIS"]
    assert math.isnan(float(reading.value)) != has_value
    assert reading.validity == (Validity.VLD if has_value else Validity.NA)


@pytest.mark.parametrize("data", [bytes(119), bytes(121), bytes(288), b""])
def test_other_lengths_are_unsupported_and_give_no_value(data: bytes) -> None:
    events = fed(message(0x34, data))
    assert faults(events) == ["unsupported"]
    assert not readings(events)


def test_spectra_of_another_length_are_unsupported_and_the_variables_still_read() -> None:
    events = fed(message(0x35, processed(both=block(bis=410)) + bytes(244)))  # names no channel
    assert faults(events) == ["unsupported"]
    assert by_name(events)["ch12 BIS"] == 410
    assert faults(fed(message(0x35, bytes(100)))) == ["unsupported"] * 2


def test_one_channel_has_one_spectrum() -> None:
    events = fed(message(0x35, processed() + struct.pack("<HH120h", 1, 60, *range(120))))
    assert {r.object for r in readings(events) if r.instance} == {"ch1 power"}


# ---- EEG


def test_eeg_in_microvolts_with_its_exact_period() -> None:
    data = message(0x34, settings(3, 60, 200, 2) + block() * 3) + message(0x32, eeg((100, 300), (120, 280), (0, -100)))
    first, second = waves(fed(data))
    assert (first.object, second.object, first.period_ns) == ("ch1 EEG", "ch2 EEG", 7_812_500)
    np.testing.assert_allclose(first.samples, [0.0, 1.0, -5.0])
    np.testing.assert_allclose(second.samples, [10.0, 9.0, -10.0])


@pytest.mark.parametrize("calibration", [b"", settings(0, 20), settings(1, 0), settings(1, 20, 5, 0)])
def test_eeg_without_a_calibration_is_never_given_as_microvolts(calibration: bytes) -> None:
    data = message(0x34, calibration + block() * 3) if calibration else b""
    events = fed(data + message(0x32, eeg((1, 2))) * 2)
    assert faults(events) == ["unscaled"]
    assert {wave.validity for wave in waves(events)} == {Validity.INV}
    assert all(math.isnan(value) for wave in waves(events) for value in wave.samples)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x02", eeg(), eeg((1, 2, 3)), eeg((1, 2), channels=4), eeg((1, 2), channels=-1), eeg((1, 2), rate=0)],
)
def test_eeg_that_is_not_built_as_described(data: bytes) -> None:
    assert faults(fed(message(0x32, data))) == ["unsupported"]


# ---- the session


def test_it_asks_for_variables_then_for_eeg_and_parts() -> None:
    talk = Talk(PLAIN)
    talk.until(30)
    assert talk.said == [(0.0, START_PROCESSED), (1.0, START_EEG)]
    talk.protocol.stop(30.0)
    assert talk.protocol.next_wake() == 30.0
    assert talk.protocol.data_to_send(30.0) == STOP_PROCESSED
    assert talk.protocol.next_wake() is None
    assert talk.protocol.data_to_send(31.0) == b""


def test_the_profile_decides_what_is_asked_for() -> None:
    talk = Talk(SPECTRA)
    talk.until(5)
    assert talk.said[0] == (0.0, START_PROCESSED_SPECTRA)
    assert len(frames(talk.events, "spectrum")) == 5


def test_silence_is_told_and_the_monitor_is_asked_again() -> None:
    talk = Talk(PLAIN)
    talk.until(3)
    talk.device = None
    talk.until(15)
    assert faults(talk.events).count("silent") == 2
    assert faults(talk.events).count("no_eeg") == 2
    assert {data for now, data in talk.said if now > 5} >= {START_PROCESSED, START_EEG}


def test_a_refusal_is_told() -> None:
    talk = Talk(PLAIN, scenario={"refuse": 1})
    talk.until(10)
    assert faults(talk.events) == ["refused", "silent"]
    assert readings(talk.events)


def test_a_bilateral_monitor_is_told_as_unsupported() -> None:
    events = Talk(PLAIN, scenario={"bilateral": True}).until(5)
    assert set(faults(events)) == {"unsupported"}
    assert not readings(events)


def test_unknown_messages_are_told_once_each() -> None:
    data = b"".join(message(number, b"x") for number in (0x50, 0x50, *range(0x60, 0x90)))
    assert faults(fed(data)) == ["unknown_message"] * MAX_NUMBERS


def test_all_faults_are_in_the_table_and_nothing_else() -> None:
    assert set(driver("bis_vista").faults) == set(FAULTS)
    assert len(FAULTS) == 9


def edited(old: str, new: str) -> Profile:
    text = (ROOT / "firmware_profiles" / f"{PLAIN}.toml").read_text(encoding="utf-8")
    return parse_profile(text.replace(old, new), PLAIN, "edited.toml")


@pytest.mark.parametrize("line", ["eeg = 1", "egg = true"])
def test_a_wrong_driver_table_is_refused(line: str) -> None:
    with pytest.raises(ProfileError, match="edited"):
        driver("bis_vista").protocol([DeviceSpec(0, edited("eeg = true", line))], {})


def test_one_line_one_monitor_and_no_options() -> None:
    spec = DeviceSpec(0, profile(PLAIN))
    with pytest.raises(ConfigError, match="unknown option"):
        driver("bis_vista").protocol([spec], {"baud": 9600})
    with pytest.raises(ConfigError, match="2 devices"):
        driver("bis_vista").protocol([spec, spec], {})


def test_an_unknown_scenario_is_refused() -> None:
    with pytest.raises(ConfigError, match="noisy"):
        Talk(PLAIN, scenario={"noisy": True})


# ---- the whole


def test_single_flipped_bits_are_seen() -> None:
    talk = Talk(PLAIN)
    talk.until(3)
    bad, total = undetected(talk.protocol, talk.wire, 13)
    assert (bad, total > 500) == (0, True)


def test_with_nothing_measured_there_is_no_value() -> None:
    events = Talk(SPECTRA, Scene(nothing=True)).until(5)
    assert readings(events)
    assert values(events) == set()


def test_our_recording_is_what_the_simulator_says() -> None:
    check_recording("bis_vista")
