"""The bytes on disk, and the set of done numbers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from fastcrc.crc32 import iscsi as crc32c
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.message import Message
from gateway.spool.cursor import SeqSet
from gateway.spool.layout import (
    CARRIED,
    HEADER_BYTES,
    LOSS,
    MESSAGE,
    Extent,
    Identity,
    RecordFlag,
    decode_header,
    decode_message,
    encode_header,
    encode_record,
    message_payload,
    parse_name,
    recast,
    record_size,
)
from gateway.spool.scan import scan

IDENTITY = Identity(3, 1_800_000_000, 41)
MESSAGE_41 = Message(41, "gw-1800000000-41", "mdi/gw/bed-1", b"MSH|^~\\&|\r")
EXTENT = Extent("bed-1", 100, 109, 10, 1_700_000_000_000_000_000, 1_700_000_000_900_000_000)


def record(seq: int, payload: bytes = b"x", kind: int = MESSAGE, identity: Identity = IDENTITY) -> bytes:
    message = message_payload(Message(seq, "", "t", payload), EXTENT)
    return encode_record(kind, identity.epoch, seq, (7, 8), identity.salt("gw"), message)


def test_the_checksum_is_crc_32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32/ISCSI


def test_golden_header() -> None:
    header = encode_header(IDENTITY, "gw")
    assert len(header) == HEADER_BYTES
    salt = crc32c(b"gw/1800000000/3").to_bytes(4, "little").hex()
    assert header[:36].hex(" ", -4) == "4d444953 504f4f4c 02000200 00d2496b 03000000 00000000 29000000 00000000 " + salt
    assert header[36:100] == b"gw".ljust(64, b"\0")
    assert not any(header[104:])
    decoded = decode_header(header)
    assert decoded is not None
    assert decoded == (2, "gw", IDENTITY)


def test_golden_record() -> None:
    payload = message_payload(MESSAGE_41, EXTENT)
    data = encode_record(MESSAGE, IDENTITY.epoch, 41, (0x1122, 0x3344), IDENTITY.salt("gw"), payload, 1, 0x5C)
    assert data[:4] == len(data).to_bytes(4, "little")
    assert data[4:8] == crc32c(b"gw/1800000000/3" + data[:4] + data[8:]).to_bytes(4, "little")
    assert data[8:40].hex(" ", -4) == (
        "01015ca5 00d2496b 29000000 00000000 22110000 00000000 44330000 00000000"
    )  # type, flags, clock quality, mark | epoch | seq | monotonic ns | UTC ns
    assert data.endswith(b"bed-1mdi/gw/bed-1MSH|^~\\&|\r")
    assert decode_message(data, "gw") == (MESSAGE_41, EXTENT, 0x3344, 0x1122, IDENTITY.epoch, RecordFlag.PERIODIC, 0x5C)


def test_a_flipped_bit_anywhere_is_seen_the_length_included() -> None:
    """In format 1 the length was outside of the checksum: a length that reached behind the record could pass."""
    good = record(41)
    for bit in range(8 * len(good)):
        bad = bytearray(good + bytes(300))
        bad[bit // 8] ^= 1 << bit % 8
        assert record_size(bytes(bad), 0, IDENTITY.salt("gw")) == 0, bit


@pytest.mark.parametrize("flags", list(range(8)))
def test_every_kind_of_message_comes_back_as_it_was(flags: int) -> None:
    again = Message(41, "gw-1700000000-7" if flags & RecordFlag.RESENT else "gw-1800000000-41", "t", b"MSH|" * 99)
    data = encode_record(MESSAGE, IDENTITY.epoch, 41, (7, 8), 5, message_payload(again, EXTENT, flags), flags, 9)
    assert decode_message(data, "gw") == (again, EXTENT, 8, 7, IDENTITY.epoch, RecordFlag(flags), 9)
    assert (len(data) < 300) == bool(flags & RecordFlag.ZSTD)
    carried = recast(data, CARRIED, 6)
    assert record_size(carried, 0, 6) == len(data)
    assert record_size(carried, 0, 5) == 0
    assert decode_message(carried, "gw") == (again, EXTENT, 8, 7, IDENTITY.epoch, RecordFlag(flags), 9)


@pytest.mark.parametrize("flags", list(range(8)))
@pytest.mark.parametrize("quality", [0, 1, 10, 13, 0xA5, 255])
def test_a_record_is_found_behind_damage_whatever_its_flags_and_clock_quality(flags: int, quality: int) -> None:
    """10 is a line end, which a dot of a pattern does not match."""
    salt = IDENTITY.salt("gw")
    payload = message_payload(Message(42, "gw-1-2", "t", b"x"), EXTENT, flags)
    data = encode_record(MESSAGE, IDENTITY.epoch, 42, (7, 8), salt, payload, flags, quality)
    found = scan(bytes(HEADER_BYTES) + b"junk" * 9 + data, IDENTITY, salt)
    assert list(found.offsets) == [0, HEADER_BYTES + 36]
    assert found.holes == [(HEADER_BYTES, HEADER_BYTES + 36)]


def test_a_carried_message_is_of_an_earlier_segment() -> None:
    salt = IDENTITY.salt("gw")

    def carried(epoch: int, seq: int) -> bytes:
        return encode_record(CARRIED, epoch, seq, (7, 8), salt, message_payload(MESSAGE_41, EXTENT))

    good = [carried(1_700_000_000, 7), carried(1_800_000_000, 40)]
    found = scan(bytes(HEADER_BYTES) + b"".join(good) + record(41), IDENTITY, salt)
    assert list(found.carried) == [7, 40]
    assert list(found.offsets) == [HEADER_BYTES + sum(map(len, good))]
    for bad in (carried(1_800_000_001, 7), carried(1_800_000_000, 41)):
        assert not scan(bytes(HEADER_BYTES) + bad, IDENTITY, salt).carried


def test_names() -> None:
    assert IDENTITY.name == "segment-00000003-1800000000-00000000000000000041"
    assert parse_name(IDENTITY.name) == IDENTITY
    for other in ("segment-3", "cursor", IDENTITY.name + ".bak", "x" + IDENTITY.name):
        assert parse_name(other) is None


def test_a_record_is_of_one_segment_only() -> None:
    data = record(41)
    assert record_size(data, 0, IDENTITY.salt("gw")) == len(data)
    for salt in (0, Identity(4, 1_800_000_000, 41).salt("gw"), IDENTITY.salt("gw2"), Identity(3, 5, 41).salt("gw")):
        assert record_size(data, 0, salt) == 0


@given(st.binary(max_size=3000))
def test_scan_never_raises_and_invents_nothing(junk: bytes) -> None:
    found = scan(bytes(HEADER_BYTES) + junk, IDENTITY, IDENTITY.salt("gw"))
    assert not found.offsets
    assert not found.losses
    assert found.end == HEADER_BYTES
    assert found.tail == len(junk.rstrip(b"\0"))


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=60), st.just(None)), max_size=12), st.data())
def test_scan_finds_every_record_between_junk(parts: list[bytes | None], data: st.DataObject) -> None:
    pieces, expected, seq = bytearray(HEADER_BYTES), {}, 40
    for part in parts:
        if part is None:
            seq += data.draw(st.integers(1, 3))
            expected[seq] = len(pieces)
            pieces += record(seq, payload=bytes(data.draw(st.integers(0, 5))))
        else:
            pieces += part
    found = scan(bytes(pieces), IDENTITY, IDENTITY.salt("gw"))
    assert {41 + i: offset for i, offset in enumerate(found.offsets) if offset} == expected
    for begin, end in found.holes:
        assert not [offset for offset in expected.values() if begin <= offset < end]


def test_records_that_are_none_of_ours_are_stepped_over() -> None:
    """A valid checksum with senseless content is a bug elsewhere, but must not stop a start."""
    salt = IDENTITY.salt("gw")
    older_epoch = encode_record(MESSAGE, 5, 42, (0, 0), salt, message_payload(MESSAGE_41, EXTENT))
    short = encode_record(MESSAGE, IDENTITY.epoch, 42, (0, 0), salt, b"too short")
    data = bytes(HEADER_BYTES) + record(41) + older_epoch + record(41) + record(42, kind=LOSS) + short + record(43)
    found = scan(data, IDENTITY, salt)
    assert [bool(offset) for offset in found.offsets] == [True, False, True]
    assert len(found.holes) >= 1


seqs = st.integers(1, 40)


@given(st.lists(st.tuples(seqs, st.integers(0, 6))), seqs, st.integers(0, 45))
def test_seq_set_is_a_set(adds: list[tuple[int, int]], first: int, length: int) -> None:
    dumb, ours = {0}, SeqSet()
    for begin, more in adds:
        dumb |= set(range(begin, begin + more + 1))
        ours.add(begin, begin + more)
    assert {seq for seq in range(60) if seq in ours} == dumb
    assert ours.total == len(dumb)
    assert ours.watermark == next(seq for seq in range(60) if seq + 1 not in dumb)
    wanted = set(range(first, first + length))
    assert {seq for a, b in ours.gaps(first, first + length - 1) for seq in range(a, b + 1)} == wanted - dumb
    ranges = list(ours.ranges())
    assert all(a[1] + 1 < b[0] for a, b in pairwise(ranges)), "disjoint, sorted, merged"
