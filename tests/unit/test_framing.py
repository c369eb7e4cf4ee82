"""Lines and delimited frames: any split gives the same, nothing is held without end, what is no frame is counted."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.framing import Delimited, Noise


def fed(framer: Delimited, *pieces: bytes) -> list[bytes | Noise]:
    return [item for piece in pieces for item in framer.feed(piece)]


def test_lines_end_with_either_end() -> None:
    assert fed(Delimited(b"", b"\r\n", 20), b"HR=72\r\nSPO2=97\nx") == [b"HR=72", b"SPO2=97"]


def test_frames_have_a_begin_and_what_stands_between_is_noise() -> None:
    assert fed(Delimited(b"\x02", b"\x03", 20), b"zz\x02ab\x03\x00\x02c\x03") == [Noise(2), b"ab", Noise(1), b"c"]


def test_a_begin_inside_a_frame_starts_it_anew() -> None:
    assert fed(Delimited(b"\x02", b"\x03", 20), b"\x02lost \x02good\x03") == [Noise(6), b"good"]


def test_what_is_longer_than_any_frame_is_thrown_up_to_its_end() -> None:
    assert fed(Delimited(b"", b"\r", 4), b"123456\r78\r") == [Noise(7), b"78"]
    assert fed(Delimited(b"\x02", b"\r", 4), b"\x02123456\r\x0278\r") == [Noise(7), b"78"]


@given(st.binary(max_size=80), st.lists(st.integers(0, 80), max_size=6))
def test_any_split_gives_the_same(data: bytes, cuts: list[int]) -> None:
    for begin in (b"", b"\x02"):
        whole, split = Delimited(begin, b"\r\x03", 10), Delimited(begin, b"\r\x03", 10)
        places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
        pieces = [data[a:b] for a, b in itertools.pairwise(places)]
        frames = [item for item in fed(whole, data) if isinstance(item, bytes)]
        assert frames == [item for item in fed(split, *pieces) if isinstance(item, bytes)]
        assert all(0 < len(frame) <= 10 for frame in frames)


@given(st.binary(max_size=200))
def test_every_byte_is_in_a_frame_or_counted(data: bytes) -> None:
    framer = Delimited(b"\x02", b"\x03", 10)
    found = fed(framer, data, b"\x03\x02end\x03")  # flushes what is held
    frames = [item for item in found if isinstance(item, bytes)]
    noise = sum(item.length for item in found if isinstance(item, Noise))
    total = len(data) + 6
    empty = total - noise - sum(len(frame) + 2 for frame in frames)  # begin and end with nothing between
    assert frames[-1] == b"end"
    assert 0 <= empty <= 2 * data.count(b"\x02") + 2
