"""Framing: the three ways a PDU travels, against printed vectors, pymodbus and noise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerAscii, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU

from drivers.modbus.adu import FRAMINGS, Adu, Expected
from drivers.modbus.blocks import Block

TCP = FRAMINGS["tcp"]
framings = st.sampled_from(sorted(FRAMINGS))
OUTSIDE = {"rtu": FramerRTU, "ascii": FramerAscii, "tcp": FramerSocket}  # the judge


@pytest.mark.parametrize(
    ("framing", "unit", "row", "wire"),
    [  # protocol notes, sections 0 to 3
        ("rtu", 1, Block("a", 3, 0, 2, 1.0), bytes.fromhex("01 03 00 00 00 02 C4 0B")),
        ("rtu", 1, Block("a", 4, 0, 4, 1.0), bytes.fromhex("01 04 00 00 00 04 F1 C9")),
        ("rtu", 1, Block("a", 4, 0, 1, 1.0), bytes.fromhex("01 04 00 00 00 01 31 CA")),
        ("ascii", 0x19, Block("a", 3, 0x0530, 2, 1.0), b":190305300002AD\r\n"),
        ("ascii", 0x19, Block("a", 3, 0x0670, 2, 1.0), b":1903067000026C\r\n"),
        ("ascii", 0x19, Block("a", 3, 0x066F, 1, 1.0), b":1903066F00016E\r\n"),
        ("ascii", 1, Block("a", 3, 0x0530, 2, 1.0), b":010305300002C5\r\n"),
        ("tcp", 1, Block("a", 4, 0, 1, 1.0), bytes.fromhex("00 01 00 00 00 06 01 04 00 00 00 01")),
    ],
)
def test_requests_as_printed(framing: str, unit: int, row: Block, wire: bytes) -> None:
    assert FRAMINGS[framing].encode(row.request(unit, 1)) == wire


@pytest.mark.parametrize(
    ("framing", "wire", "adu"),
    [
        ("rtu", "01 84 02 C2 C1", Adu(0, 1, b"\x84\x02")),
        ("rtu", "01 04 02 FF 9C F8 A9", Adu(0, 1, b"\x04\x02\xff\x9c")),  # -100: -0.0100 in. w.c.
        ("ascii", b":010304FFFFFCE01E\r\n".hex(), Adu(0, 1, b"\x03\x04\xff\xff\xfc\xe0")),  # -80.0 °C
        ("tcp", "00 01 00 00 00 05 01 04 02 01 72", Adu(1, 1, b"\x04\x02\x01\x72")),  # 37.0 °C
    ],
)
def test_replies_as_printed(framing: str, wire: str, adu: Adu) -> None:
    data = bytes.fromhex(wire)
    assert FRAMINGS[framing].open(data) == adu
    assert list(FRAMINGS[framing].strays(b"\x00" + data + b"\x00")) == [1, adu, 1]


@pytest.mark.parametrize(
    ("framing", "wire"),
    [
        ("ascii", b":190304FFFFFCE002\r\n"),  # printed in the TDE manual; its LRC is 4 too low
        ("ascii", b":19030228BA\r\n".lower()),  # no lower case on the line: Serial Line V1.02, 2.5.2
        ("ascii", b":010304FFFFFCE0 E\r\n"),  # int() would read " E" as 14
        ("ascii", b":010304FF:FCE01E\r\n"),
        ("ascii", b":01\r\n"),
        ("rtu", b"\x01\x84\x02\xc1\xc2"),  # CRC, high byte first
        ("rtu", b""),
        ("tcp", bytes.fromhex("00 01 00 01 00 05 01 04 02 01 72")),  # protocol 1
        ("tcp", bytes.fromhex("00 01 00 00 00 06 01 04 02 01 72")),  # length one more than there is
        ("tcp", bytes.fromhex("00 01 00 00 00 01 01")),  # no PDU
    ],
)
def test_what_is_no_adu_is_not_opened(framing: str, wire: bytes) -> None:
    assert FRAMINGS[framing].open(wire) is None


def _reply(framing: str, unit: int, fc: int, data: bytes, transaction: int = 7) -> tuple[bytes, Expected, Adu]:
    """A reply as pymodbus would send it, what we expect, and what it is."""
    pdu = bytes([fc, len(data)]) + data
    wire = OUTSIDE[framing](DecodePDU(False)).encode(pdu, unit, transaction)
    expected = FRAMINGS[framing].expect(transaction, unit, pdu[:2], len(pdu))
    return wire, expected, Adu(transaction if framing == "tcp" else 0, unit, pdu)


replies = {"unit": st.integers(1, 247), "fc": st.integers(1, 4), "data": st.binary(min_size=1, max_size=250)}


@given(framing=framings, **replies)
def test_the_judge_and_we_agree_on_a_reply(framing: str, unit: int, fc: int, data: bytes) -> None:
    wire, expected, adu = _reply(framing, unit, fc, data)
    assert expected.size == len(wire)
    assert wire.startswith(expected.head)
    assert FRAMINGS[framing].open(wire) == adu
    used, judged_unit, _, judged_pdu = OUTSIDE[framing](DecodePDU(False)).decode(wire)
    assert (used, judged_unit, judged_pdu) == (len(wire), adu.unit, adu.pdu)


@given(framing=framings, before=st.binary(max_size=60), after=st.binary(max_size=60), **replies)
def test_a_reply_in_noise_is_found_where_it_stands(
    framing: str, before: bytes, after: bytes, unit: int, fc: int, data: bytes
) -> None:
    wire, expected, adu = _reply(framing, unit, fc, data)
    found = FRAMINGS[framing].search(before + wire + after, 0, expected, b"")
    assert found is not None
    at, seen = found
    assert at <= len(before)
    if at == len(before):
        assert seen == adu


@given(framing=framings, noise=st.binary(max_size=600))
def test_any_bytes_are_accounted_for_and_nothing_raises(framing: str, noise: bytes) -> None:
    where = FRAMINGS[framing]
    around = {"rtu": 3, "ascii": 0, "tcp": 7}
    total = 0
    for item in where.strays(noise):
        if isinstance(item, int):
            total += item
        elif framing == "ascii":
            total += 1 + 2 * (1 + len(item.pdu) + 1) + 2
        else:
            total += len(item.pdu) + around[framing]
    assert total == len(noise)
    where.open(noise)


@given(st.sampled_from(["rtu", "ascii"]), st.integers(1, 247), st.integers(1, 4), st.binary(min_size=2, max_size=40))
def test_every_single_bit_flip_of_a_serial_reply_is_detected(framing: str, unit: int, fc: int, data: bytes) -> None:
    wire, expected, _ = _reply(framing, unit, fc, data)
    for bit in range(8 * len(wire)):
        spoilt = bytearray(wire)
        spoilt[bit // 8] ^= 1 << bit % 8
        assert FRAMINGS[framing].search(bytes(spoilt), 0, expected, b"") is None


def test_a_reply_with_another_transaction_is_not_the_expected_one() -> None:
    wire, expected, _ = _reply("tcp", 1, 4, b"\x01\x72", transaction=1)
    assert TCP.search(wire, 0, expected, b"") is not None
    assert TCP.search(b"\x00\x02" + wire[2:], 0, expected, b"") is None
