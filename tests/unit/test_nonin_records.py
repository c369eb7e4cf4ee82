"""Nonin data formats 8 and 13, the ASCII lines, and the driver itself: vectors of the notes, traps, damaged lines."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from drivers.nonin import DRIVER
from drivers.nonin.options import FAULTS
from gateway.core.errors import ConfigError
from gateway.core.frame import Event
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity
from gateway.core.scene import Scene
from tests.unit.nonin_rig import ASCII, DF2, DF8, DF13, GOOD, numbers, packet, shown
from tests.unit.oximeter_rig import T0, S, active, drain, faults, frames, profile, protocol, read, readings, ways

# ---- data format 8


def test_df8_record_of_the_protocol_notes() -> None:
    events = read(DF8, bytes.fromhex("81166100") * 3 + bytes.fromhex("A37F7F08"))
    assert numbers(events, "record") == [(150.0, 97.0)] * 3 + [(None, None)]
    assert active(frames(events, "alert")[-1]) == ["SNSA", "OOT"]


def test_df8_believes_three_records_in_a_row_and_keeps_their_times() -> None:
    made = protocol(DF8)
    events: list[Event] = []
    for second in range(4):
        events += read(DF8, bytes.fromhex("80486100"), T0 + second * S, made)
        assert len(frames(events, "record")) == (0 if second < 2 else second + 1)
    assert [frame.t_ns for frame in frames(events, "record")] == [T0 + second * S for second in range(4)]


def test_df8_does_not_read_a_stream_of_format_2() -> None:
    """A wrong setting must not show numbers: top bits alone would fit now and then."""
    rng = random.Random(2)
    stream = b"".join(packet(shown(rng.randrange(40, 200), 97), GOOD, rng.randrange(256)) for _ in range(200))
    mixed = bytearray()
    for _ in range(5000):
        body = [1, GOOD | (rng.random() < 0.04), rng.randrange(256), rng.randrange(128)]
        mixed += bytes([*body, sum(body) & 0xFF])
    for data in (stream, bytes(mixed)):
        events = read(DF8, data)
        assert frames(events, "record") == []
        assert set(faults(events)) == {"garbage"}


@pytest.mark.parametrize("lost", range(4))
def test_df8_finds_its_step_again_after_a_lost_byte(lost: int) -> None:
    record = bytes.fromhex("80486100")
    line = record * 4 + record[:lost] + record[lost + 1 :] + bytes.fromhex("80496100") * 4
    events = read(DF8, line)
    assert set(numbers(events, "record")) == {(72.0, 97.0), (73.0, 97.0)}
    assert faults(events) == ["garbage"]


def test_df8_does_not_join_records_over_a_pause() -> None:
    made = protocol(DF8)
    events = read(DF8, bytes.fromhex("80486100") * 3 + bytes.fromhex("8048"), T0, made)
    events += read(DF8, bytes.fromhex("5500"), T0 + S, made)
    assert numbers(events, "record") == [(72.0, 97.0)] * 3


@pytest.mark.parametrize(
    ("record", "perfusion", "validity"),
    [("90486120", "low", Validity.VLD), ("88486100", "marginal", Validity.VLD), ("84486101", "good", Validity.QST)],
)
def test_df8_states(record: str, perfusion: str, validity: Validity) -> None:
    values = readings(frames(read(DF8, bytes.fromhex(record) * 3), "record")[0])
    assert values["PRF"].value == perfusion
    assert values["HR"].validity == validity
    assert values["SPA"].value == (1.0 if record.endswith("20") else 0.0)


# ---- data format 13

SPOT = bytes.fromhex("0002000D000E 20261121093015 00 0200 0048 00 62 72 03".replace(" ", ""))
NOON = 1_795_253_415 * S  # 2026-11-21 09:30:15 UTC


def spot(second: int = 15, status: int = 0, rate: int = 72, saturation: int = 98, more: bytes = b"") -> bytes:
    data = bytes.fromhex(f"202611210930{second:02d}00") + status.to_bytes(2) + rate.to_bytes(2)
    data += bytes([0, saturation]) + more
    return b"\x00\x02\x00\x0d" + len(data).to_bytes(2) + data + bytes([sum(data) & 0xFF, 3])


def test_df13_record_of_the_protocol_notes() -> None:
    (event,) = frames(read(DF13, SPOT), "spot")
    assert event.device_ns == NOON
    assert numbers([event], "spot") == [(72.0, 98.0)]
    assert readings(event)["SPA"].value == 1.0


def test_df13_rate_is_a_plain_16_bit_number() -> None:
    """Unlike formats 2, 7 and 8: 300 is 0x012C."""
    assert numbers(read(DF13, spot(rate=300)), "spot") == [(300.0, 98.0)]
    assert numbers(read(DF13, spot(rate=511, saturation=127)), "spot") == [(None, None)]
    assert numbers(read(DF13, spot(status=0x0100)), "spot") == [(None, None)]


def test_df13_honours_the_length() -> None:
    assert numbers(read(DF13, spot(more=b"\x00\x02\x00\x0d\x99") + spot(16, rate=80)), "spot") == [
        (72.0, 98.0),
        (80.0, 98.0),
    ]


def test_df13_that_is_sent_again_is_given_once() -> None:
    """Nobody acknowledges: the oximeter may repeat."""
    assert numbers(read(DF13, spot(15) * 3 + spot(16, rate=80)), "spot") == [(72.0, 98.0), (80.0, 98.0)]


def test_df13_from_memory_is_not_used() -> None:
    """It may be of another patient, and of yesterday."""
    events = read(DF13, spot(status=0x0010) + spot(16, rate=80))
    assert numbers(events, "spot") == [(80.0, 98.0)]
    assert faults(events) == ["stored"]


def test_df13_without_a_possible_time_is_given_each_time() -> None:
    impossible = bytearray(spot())
    impossible[8] = 0x13  # the thirteenth month
    impossible[-2] = sum(impossible[6:-2]) & 0xFF
    events = read(DF13, bytes(impossible) * 2)
    assert [frame.device_ns for frame in frames(events, "spot")] == [None, None]
    assert faults(events) == ["clock", "clock"]


def test_df13_no_flipped_bit_makes_a_value() -> None:
    made = protocol(DF13)
    for spoiled in ways(spot()):
        made.start(0.0)
        events = read(DF13, spoiled, T0, made) + read(DF13, spot(16, rate=80), T0 + 60 * S, made)
        assert numbers(events, "spot") == [(80.0, 98.0)]
        assert set(faults(events)) <= {"checksum", "garbage"}
        assert faults(events)


def test_df13_low_battery_is_told() -> None:
    assert [active(frame) for frame in frames(read(DF13, spot(status=1) + spot(16)), "alert")] == [["LOW BAT"], []]


def test_df13_is_cut_at_any_place_and_a_pause_later_the_next_one_is_read() -> None:
    for end in range(len(SPOT)):
        made = protocol(DF13)
        events = read(DF13, SPOT[:end], T0, made) + read(DF13, spot(16, rate=80), T0 + 30 * S, made)
        assert numbers(events, "spot") == [(80.0, 98.0)]


# ---- ASCII


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("SPO2=097 HR=072", (72.0, 97.0)),
        ("SPO2= 97 HR= 72", (72.0, 97.0)),
        ("12:30:45 SPO2=100 HR=172 *", (172.0, 100.0)),  # 8600V, 9847
        ("SPO2=--- HR=---", (None, None)),
        ("SPO2=097 HR=072 F", (72.0, 97.0)),
    ],
)
def test_ascii_lines(line: str, values: tuple[float | None, ...]) -> None:
    events = read(ASCII, line.encode() + b"\r\n")
    assert numbers(events, "line") == [values]
    found = readings(frames(events, "line")[0])
    assert found["event"].value == float("*" in line)
    assert found["F"].value == float(line.endswith("F"))


def test_ascii_breath_of_a_9847() -> None:
    events = read("nonin/9847_ascii", b"SPO2=097 HR=072 B\r\nSPO2=097 HR=072\r\n")
    assert [readings(frame)["B"].value for frame in frames(events, "line")] == [1.0, 0.0]


@pytest.mark.parametrize("lost", range(len("SPO2=097 HR=072") + 2))
def test_ascii_a_lost_character_makes_no_value(lost: int) -> None:
    """097 without its last digit would be a saturation of 9."""
    line = b"SPO2=097 HR=072\r\n"
    events = read(ASCII, line[:lost] + line[lost + 1 :] + line)
    assert set(numbers(events, "line")) == {(72.0, 97.0)}


def test_ascii_greeting_is_no_damaged_line() -> None:
    events = read(ASCII, b"NONIN 8500 12/24/97 12:00\r\nSPO2=09 HR=072\r\nSPO2=097 HR=072\r\n")
    assert faults(events) == ["text", "line"]
    assert numbers(events, "line") == [(72.0, 97.0)]


def test_ascii_a_cut_line_is_given_up_after_a_pause() -> None:
    made = protocol(ASCII)
    events = read(ASCII, b"SPO2=09", T0, made) + read(ASCII, b"9 HR=072\r\n", T0 + S, made)
    assert numbers(events, "line") == []
    assert faults(events) == ["line", "line"]


# ---- the driver


PROVOKED = {
    "garbage": (DF2, b"\xff" * 400),
    "broken": (DF2, packet() + packet()[5:] + packet()),
    "checksum": (DF13, spot()[:-2] + b"\x00\x03"),
    "stored": (DF13, spot(status=0x0010)),
    "clock": (DF13, spot(61)),
    "line": (ASCII, b"SPO2=09 HR=072\r\n"),
    "text": (ASCII, b"NONIN\r\n"),
}


@pytest.mark.parametrize("reason", FAULTS)
def test_each_fault_can_be_provoked(reason: str) -> None:
    profile_id, data = PROVOKED[reason]
    assert set(faults(read(profile_id, data))) == {reason}


@pytest.mark.parametrize("change", [{"format": "df1"}, {"format": "df2", "speed": 1}, {}])
def test_a_profile_with_a_wrong_driver_table_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        DRIVER.protocol([DeviceSpec(0, replace(profile(DF2), driver_table=change))], {})


def test_one_oximeter_to_a_line_and_no_options() -> None:
    device = DeviceSpec(0, profile(DF2))
    for make in (DRIVER.protocol, lambda devices, options: DRIVER.simulator(devices, options, Scene())):
        with pytest.raises(ConfigError):
            make([device, device], {})
        with pytest.raises(ConfigError):
            make([device], {"waves": True})


def test_it_never_sends() -> None:
    made = protocol(DF2)
    read(DF2, packet(), made=made)
    made.stop(1.0)
    assert (made.data_to_send(1.0), made.next_wake(), drain(made)) == (b"", None, [])
