"""GE DRI: requests as the vendor's examples have them, records in a byte stream, and what is none."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from drivers.ge_dri.framing import MAX_RECORD, RecordReader, frame
from drivers.ge_dri.record import AlarmCommand, Values, alarm_request, parse, values_request, wave_request
from gateway.core.frame import Fault
from tests.unit.ge_dri_rig import Fed, faults, on_the_line, profile, record, values

# Vendor examples (specification M1017617), by way of the protocol notes section 7; checksums recomputed there.
DISPLAYED_10S = bytes.fromhex(
    "7e 31 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ff 00 00 00 00 00 00 00 00 00"
    "00 00 00 00 00 00 00 00 00 01 0a 00 0e 00 00 00 00 00 49 7e"
)
WAVE_ECG1 = bytes.fromhex(
    "7e 48 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 ff 00 00 00 00 00 00 00 00 00"
    "00 00 00 00 00 00 00 00 00 00 00 00 00 01 ff 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
    "00 00 00 00 00 00 00 00 00 48 7e"
)
HEAD = "00" * 20 + "ff" + "00" * 18  # of a request of values, from its second byte on


def test_requests_are_those_of_the_vendor() -> None:
    assert values_request(Values.DISPLAYED, 10) == DISPLAYED_10S
    assert wave_request([1]) == WAVE_ECG1


@pytest.mark.parametrize(
    ("request_", "end"),
    [
        (values_request(Values.DISPLAYED, 0), "01 00 00 00 00 00 00 00 00 31 7e"),
        (values_request(Values.TREND_60S, 60), "03 3c 00 0e 00 00 00 00 00 7d 5d 7e"),  # the checksum is escaped
        (values_request(Values.TREND_60S, 0), "03 00 00 00 00 00 00 00 00 33 7e"),
        (wave_request([1, 8]), "00 00 00 00 01 08 ff" + "00" * 25 + "50 7e"),
        (wave_request([]), "01 00 00 00 ff" + "00" * 27 + "48 7e"),
        (alarm_request(AlarmCommand.ENTER_DIFFERENTIAL), "02 00 00 00 00 00 00 00 00 00 00 00 39 7e"),
    ],
)
def test_ends_of_requests(request_: bytes, end: str) -> None:
    assert request_.endswith(bytes.fromhex(end))


def test_more_than_eight_waves_go_into_the_second_list() -> None:
    body = frame_content(wave_request(list(range(1, 13))))
    assert body[44:52] == bytes(range(1, 9))  # type[8], full: without an end
    assert body[52:57] == bytes([9, 10, 11, 12, 0xFF])
    full = frame_content(wave_request(list(range(1, 25))))
    assert full[44:68] == bytes(range(1, 25))


def frame_content(request_: bytes) -> bytes:
    (found,) = RecordReader().feed(request_)
    assert isinstance(found, bytes)
    return found


def test_flags_and_escapes_in_the_data() -> None:
    content = record(0, (9, bytes([0x7E, 0x7D, 0x5E, 0x5D, 0x7D, 0x7E])))
    assert on_the_line(content) == frame(content)
    assert RecordReader().feed(frame(content)) == [content]


@pytest.mark.parametrize("checksum", [0x7D, 0x7E])
def test_an_escaped_checksum(checksum: int) -> None:
    filler = next(n for n in range(256) if sum(record(0, (9, bytes([n])))) % 256 == checksum)
    content = record(0, (9, bytes([filler])))
    assert RecordReader().feed(frame(content)) == [content]


def test_one_flag_or_two_between_records_and_empty_frames() -> None:
    content = record(0, (9, b"abc"))
    inner = frame(content)[1:-1]
    line = b"\x7e" + inner + b"\x7e" + inner + b"\x7e\x7e\x7e" + inner + b"\x7e"
    assert RecordReader().feed(line) == [content] * 3


def test_a_record_whose_first_flag_is_lost_is_cut_but_the_next_is_read() -> None:
    content = record(0, (9, b"abc"))
    found = RecordReader().feed(b"end of something" + frame(content) + frame(content))
    assert [f for f in found if isinstance(f, bytes)] == [content] * 2


def test_every_flipped_bit_of_a_record_is_seen() -> None:
    """The 8-bit sum sees each; flips that make or break flags and escapes are seen by the length."""
    content = values({"nibp": (3, 0, {"sys": 12000, "dia": 8062, "mean": 32094})})  # holds 7D and 7E
    line = frame(content)
    assert b"\x7d\x5e" in line
    assert b"\x7d\x5d" in line
    for bit in range(8 * len(line)):
        spoiled = bytearray(line)
        spoiled[bit // 8] ^= 1 << bit % 8
        found = RecordReader().feed(bytes(spoiled) + b"\x7e")
        assert [f for f in found if isinstance(f, bytes)] in ([], [content])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\x7e" + b"\x11" * 4000 + b"\x7e" + frame(record(0, (9, b""))), "too_long"),
        (b"\x7e" + b"\x11" * 20 + b"\x7d\x31" + b"\x11" * 30 + b"\x7e", "escape"),
        (b"\x7eshort\x7e", "length"),
        (frame(record(0, (9, b"abcd")))[:-3] + b"\x7e", "length"),
        (frame(record(0, (9, b"abcd"))).replace(b"abcd", b"abce"), "checksum"),
    ],
)
def test_what_is_no_record_is_named(line: bytes, reason: str) -> None:
    events = Fed().line(line)
    assert reason in faults(events)
    assert all(event.bad_frame for event in events if isinstance(event, Fault) and event.reason == reason)


def test_a_subrecord_outside_of_its_record_is_named() -> None:
    broken = bytearray(record(0, (1, b"abcd"), (1, b"efgh")))
    broken[19:21] = (500).to_bytes(2, "little")
    assert parse(bytes(broken)) is None
    assert faults(Fed().record(bytes(broken))) == ["layout"]


def test_memory_stays_bounded_without_any_flag() -> None:
    reader = RecordReader()
    for _ in range(100):
        reader.feed(b"\x11" * 10_000)
    assert len(reader._cut._held) <= 2 * (MAX_RECORD + 1)


def test_any_bytes() -> None:
    rng = random.Random(4)
    fed = Fed()
    for _ in range(300):
        fed.record(record(rng.randrange(-2, 10), (rng.randrange(256), rng.randbytes(rng.randrange(600)))))
        fed.line(rng.randbytes(50))


def test_records_of_a_real_lossy_line_are_all_refused(shared: Path) -> None:
    """B650, 85 pieces that lost 2 to 19 bytes each. Two have a right checksum by chance: the length tells."""
    text = (shared / "captures/ge_dri/ge_b650_dri_result_c59dce4.hex.txt").read_text(encoding="latin-1")
    line = bytes(int(word, 16) for word in text.split() if len(word) == 2 and set(word) <= set("0123456789ABCDEF"))
    by_chance = [
        piece
        for piece in (part.replace(b"\x7d\x5e", b"\x7e").replace(b"\x7d\x5d", b"\x7d") for part in line.split(b"\x7e"))
        if len(piece) > 40 and sum(piece[:-1]) % 256 == piece[-1]
    ]
    assert len(by_chance) == 2
    fed = Fed()
    events = fed.line(line + b"\x7e")
    assert fed.protocol.frames_ok == 0
    assert set(faults(events)) <= {"length", "escape", "checksum", "too_long"}
    assert len(faults(events)) == len(events) > 30


def test_the_grammar_of_the_profiles_is_that_of_the_requests() -> None:
    allowed = set(profile().transmit)
    assert allowed == set(profile("carescape_v3_dri").transmit)
    assert len(allowed) == 3
