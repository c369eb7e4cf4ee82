"""Framing of the IntelliVue serial port: found in any stream, split or garbage; damage is never taken for data."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.philips_intellivue import framing, pdu
from drivers.philips_intellivue.framing import MAX_WIRE, FrameReader, escape, frame, unescape
from gateway.core.frame import Fault

ANY = st.binary(max_size=200)
PDU = st.binary(min_size=1, max_size=60)
# what a line is made of, rich in the bytes that mean something
SPECIAL = st.sampled_from([b"\xc0", b"\xc1", b"\x7d", b"\x11\x01", b"\x00", b"\x5d", b"\xe0"])
NOISE = st.lists(SPECIAL | ANY).map(b"".join)


def read(data: bytes) -> list[bytes | Fault]:
    return FrameReader().feed(data)


def good(items: list[bytes | Fault]) -> list[bytes]:
    return [item for item in items if isinstance(item, bytes)]


def reasons(items: list[bytes | Fault]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Fault)]


@pytest.mark.parametrize(("body", "wire"), [("3a71", "c03a719b26c1"), ("3a91", "c03a91957de1c1")])
def test_fcs_and_escape_vectors(body: str, wire: str) -> None:
    data = bytes.fromhex(body)
    assert (b"\xc0" + escape(data + framing.fcs(data)) + b"\xc1").hex() == wire


def test_the_association_request_and_the_release_as_framed_in_the_notes() -> None:
    request = frame(pdu.ASSOCIATION_REQUEST)
    assert (len(pdu.ASSOCIATION_REQUEST), len(request), request[-3:].hex()) == (238, 247, "e8b4c1")
    assert frame(pdu.RELEASE_REQUEST).hex() == (
        "c01101001a09187de11661803080020101a080628080010000000000000000004108c1"
    )


@given(ANY)
def test_escape_is_undone(body: bytes) -> None:
    plain = escape(body)
    assert not {0xC0, 0xC1} & set(plain)
    assert unescape(plain) == body


@given(st.binary(max_size=40).filter(lambda body: not body.endswith(b"\x7d")))
def test_any_byte_may_be_escaped(body: bytes) -> None:
    every = b"".join(bytes([0x7D, byte ^ 0x20]) for byte in body)
    assert unescape(every) == body


@given(PDU)
def test_a_frame_is_read(user_data: bytes) -> None:
    assert read(frame(user_data)) == [user_data]


@given(st.lists(PDU | NOISE.map(lambda noise: b"!" + noise), max_size=6), st.data())
def test_any_split_gives_the_same(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(part if part.startswith(b"!") else frame(part) for part in parts)
    whole = read(stream)
    bytewise = FrameReader()
    assert [item for byte in stream for item in bytewise.feed(bytes([byte]))] == whole
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    split = FrameReader()
    assert [item for piece in pieces for item in split.feed(piece)] == whole


@given(NOISE, PDU, PDU)
def test_after_garbage_at_most_one_frame_is_lost(noise: bytes, first: bytes, second: bytes) -> None:
    assert good(read(noise + frame(first) + frame(second)))[-1] == second


@given(PDU, NOISE.filter(lambda noise: b"\xc0" not in noise and b"\xc1" not in noise), PDU)
def test_garbage_between_frames_costs_none(first: bytes, noise: bytes, second: bytes) -> None:
    items = read(noise + frame(first) + noise + frame(second) + noise)
    assert good(items) == [first, second]
    assert set(reasons(items)) == ({"garbage"} if noise else set())


@given(PDU, PDU)
def test_a_frame_without_its_end_costs_only_itself(first: bytes, second: bytes) -> None:
    items = read(frame(first)[:-1] + frame(second))
    assert good(items) == [second]
    assert reasons(items) == ["cut"]


def test_every_flipped_bit_is_noticed() -> None:
    wire = frame(bytes.fromhex("e10000020001001c000000070016") + bytes(range(0x60, 0xD0)))
    for bit in range(8 * len(wire)):
        damaged = bytearray(wire)
        damaged[bit // 8] ^= 1 << bit % 8
        items = read(bytes(damaged) + frame(b"next") + frame(b"next"))
        assert good(items) in ([b"next"], [b"next"] * 2), bit
        assert reasons(items), bit


def test_every_truncation_is_noticed() -> None:
    wire = frame(pdu.RELEASE_REQUEST)
    for length in range(1, len(wire)):
        assert not good(read(wire[:length]))
        items = read(wire[:length] + frame(b"next"))
        assert good(items) == [b"next"], length
        assert reasons(items) == ([] if length == 1 else ["cut"]), length
        assert good(read(wire[length:])) == []


def test_two_and_three_flipped_bits_in_the_checked_part_never_pass() -> None:
    """CRC-16/X-25 promises this up to 4095 bytes; here at random places of the longest frame we may be sent."""
    body = framing.HEADER + (2500).to_bytes(2, "big") + random.Random(1).randbytes(2500)
    body += framing.fcs(body)
    places = random.Random(2)
    for _ in range(3000):
        damaged = bytearray(body)
        for bit in places.sample(range(8 * len(body)), places.choice((2, 3))):
            damaged[bit // 8] ^= 1 << bit % 8
        assert isinstance(framing._check(escape(bytes(damaged))), Fault)


def test_reasons() -> None:
    header = b"\x11\x02\x00\x01x"
    assert reasons(read(b"\xc0\xc1")) == ["length"]
    assert reasons(read(b"\xc0" + escape(header + framing.fcs(header)) + b"\xc1")) == ["header"]
    short = b"\x11\x01\x00\x05x"
    assert reasons(read(b"\xc0" + escape(short + framing.fcs(short)) + b"\xc1")) == ["length"]
    assert reasons(read(frame(b"x")[:-2] + b"\x00\xc1")) == ["fcs"]
    assert reasons(read(frame(b"x")[:-2] + b"\x7d\xc1")) == ["frame_abort"]
    assert all(item.bad_frame for item in read(b"x\xc1\xc0\xc1") if isinstance(item, Fault))
    assert read(b"\xc0\xc0" + frame(b"x")) == [b"x"]  # a repeated flag takes nothing with it


@pytest.mark.parametrize("piece", [1, 1000, 100_000])
def test_an_endless_frame_is_given_up_with_bounded_memory(piece: int) -> None:
    reader = FrameReader()
    reader.feed(b"\xc0")
    stream = b"\x55" * 100_000
    items: list[bytes | Fault] = []
    for at in range(0, len(stream), piece):
        items += reader.feed(stream[at : at + piece])
        assert sys.getsizeof(reader._body) <= MAX_WIRE + 100
    assert reasons(items) == ["too_long"] + ["garbage"] * ((100_000 - MAX_WIRE) // MAX_WIRE)
    assert good(reader.feed(frame(b"next"))) == [b"next"]


@pytest.mark.parametrize("extra", [-1, 0, 1, 2, MAX_WIRE])
def test_the_longest_frame_is_the_same_in_any_split(extra: int) -> None:
    stream = b"\xc0" + b"\x55" * (MAX_WIRE + extra) + b"\xc1" + frame(b"next")
    whole, bytewise = read(stream), FrameReader()
    assert [item for byte in stream for item in bytewise.feed(bytes([byte]))] == whole
    assert reasons(whole)[0] == ("header" if extra <= 0 else "too_long")
    assert good(whole) == [b"next"]


def test_endless_garbage_is_reported_as_it_goes() -> None:
    reader = FrameReader()
    items = [item for _ in range(100) for item in reader.feed(b"\x55" * 1000)]
    assert reasons(items) == ["garbage"] * (100_000 // MAX_WIRE)
    assert good(reader.feed(frame(b"next"))) == [b"next"]


@given(NOISE)
def test_nothing_raises_and_nothing_unchecked_comes_out(noise: bytes) -> None:
    for item in read(noise):
        assert isinstance(item, Fault)
        assert item.bad_frame
