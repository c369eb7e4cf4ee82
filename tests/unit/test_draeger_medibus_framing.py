"""MEDIBUS, frames: commands and responses in one stream with realtime bytes.

The worked examples and the table of data-less frames are those of the vendor's definition 4.03, by way of the protocol
notes (sections 3 and 9).
"""

from __future__ import annotations

import pytest

from drivers.draeger_medibus.framing import CAN, DC1, DC3, NAK, Control, Damaged, FrameReader, Item, Message
from drivers.draeger_medibus.framing import command as made_command
from drivers.draeger_medibus.framing import response as made_response
from gateway.core.frame import Reading
from tests.unit.medibus_rig import command, faults, protocol, readings, response, told

# code -> command, empty response (notes, section 3, "all checked")
DATALESS = {
    0x30: ("1B3034420D", "013033310D"),
    0x51: ("1B5136430D", "015135320D"),
    0x52: ("1B5236440D", "015235330D"),
    0x55: ("1B5537300D", "015535360D"),
    0x24: ("1B2433460D", "012432350D"),
    0x25: ("1B2534300D", "012532360D"),
    0x26: ("1B2634310D", "012632370D"),
    0x27: ("1B2734320D", "012732380D"),
    0x28: ("1B2834330D", "012832390D"),
    0x29: ("1B2934340D", "012932410D"),
    0x2A: ("1B2A34350D", "012A32420D"),
    0x2B: ("1B2B34360D", "012B32430D"),
    0x2C: ("1B2C34370D", "012C32440D"),
    0x2D: ("1B2D34380D", "012D32450D"),
    0x2E: ("1B2E34390D", "012E32460D"),
    0x49: ("1B4936340D", "014934410D"),
    0x53: ("1B5336450D", "015335340D"),
    0x56: ("1B5637310D", "015635370D"),
}


def read(data: bytes) -> list[Item]:
    return FrameReader().feed(data)


# ---- frames


@pytest.mark.parametrize("code", DATALESS)
def test_frames_without_data_are_those_of_the_definition(code: int) -> None:
    ask, answer = (bytes.fromhex(text) for text in DATALESS[code])
    assert (made_command(code), made_response(code)) == (ask, answer)
    assert read(ask + answer) == [Message(True, code, b""), Message(False, code, b"")]


def test_example_2_measured_data() -> None:
    data = bytes.fromhex("01244542203938204531203730203741" + "0D")
    assert read(data) == [Message(False, 0x24, b"EB 98 E1 70 ")]
    assert readings(told(protocol(), data), "measured") == [Reading(0x1EB, 0, 0, 98.0), Reading(0x1E1, 0, 0, 70.0)]


def test_example_3_a_single_value_and_its_misprinted_checksum() -> None:
    """The printed definition ends this response with 7A; the sum is 5D."""
    assert read(bytes.fromhex("0124454220393820354" + "40D")) == [Message(False, 0x24, b"EB 98 ")]
    assert read(b"\x01$EB 98 7A\r") == [Damaged("checksum", "response of 10 bytes")]
    assert read(bytes.fromhex("1B4A24454231300D")) == [Message(True, 0x4A, b"$EB")]


def test_the_definition_misprints_the_checksum_of_nop() -> None:
    """It prints 46; the sum of 1B 30 is 4B."""
    assert read(b"\x1b046\r") == [Damaged("checksum", "command of 4 bytes", command=True)]
    assert made_command(0x30) == b"\x1b04B\r"


def test_example_7_a_command_that_could_not_be_read() -> None:
    assert read(bytes.fromhex("011531360D")) == [Control(NAK)]


def test_a_command_may_stand_inside_a_response() -> None:
    """Whatever its place; neither counts for the other's checksum."""
    outer, inner = response(0x24, b"EB 98 "), command(0x52)
    for at in range(1, len(outer)):
        found = read(outer[:at] + inner + outer[at:])
        assert found == [Message(True, 0x52, b""), Message(False, 0x24, b"EB 98 ")], at


def test_realtime_bytes_may_stand_anywhere() -> None:
    outer = response(0x24, b"EB 98 ")
    for at in range(len(outer) + 1):
        found = read(outer[:at] + b"\xd1\x94\x81" + outer[at:])
        assert [item for item in found if isinstance(item, Message)] == [Message(False, 0x24, b"EB 98 ")]
        assert [item for item in found if isinstance(item, bytes)] == [b"\xd1\x94\x81"]


@pytest.mark.parametrize("code", [DC1, DC3])
def test_suspend_and_resume_stand_for_themselves(code: int) -> None:
    assert read(b"\x01$EB" + bytes((code,)) + b" 98 5D\r") == [Control(code), Message(False, 0x24, b"EB 98 ")]


def test_cancel_voids_what_is_open() -> None:
    assert read(b"\x01$EB 9\x18" + response(0x30)) == [Control(CAN), Message(False, 0x30, b"")]


def test_etx_is_no_end_of_a_frame() -> None:
    assert read(response(0x2A, b"064SIMV\x03")) == [Message(False, 0x2A, b"064SIMV\x03")]


@pytest.mark.parametrize("byte", [0x00, 0x02, 0x0A, 0x1C])
def test_a_character_that_no_frame_holds_ends_it(byte: int) -> None:
    """0x00 is how a serial line shows a parity error; it would not change the sum."""
    found = read(b"\x01$EB 98" + bytes((byte,)) + b" 5D\r" + response(0x30))
    assert found[0] == Damaged("cut", f"character 0x{byte:02X} inside a frame")
    assert found[-1] == Message(False, 0x30, b"")


def test_lower_case_checksums_are_refused() -> None:
    assert faults(told(protocol(), b"\x01$EB 98 5d\r")) == ["checksum"]


def test_a_frame_without_an_end_is_given_up() -> None:
    reader = FrameReader()
    assert reader.feed(b"\x01$") == []
    found = [item for _ in range(8) for item in reader.feed(b" " * 1000)]
    assert found == [Damaged("too_long", "more than 3900 bytes without an end")]
    assert reader.feed(response(0x30)) == [
        Damaged("garbage", "4000 characters outside of frames"),
        Message(False, 0x30, b""),
    ]


def test_every_single_bit_flip_of_a_response_is_seen() -> None:
    clean = response(0x24, b"EB 98 E1 70 D6 15 7D 21 ")
    good = read(clean)
    for bit in range(8 * len(clean)):
        spoilt = bytearray(clean)
        spoilt[bit // 8] ^= 1 << bit % 8
        messages = [item for item in read(bytes(spoilt) + response(0x30)) if isinstance(item, Message) and item.data]
        assert not messages or messages == good, f"bit {bit}"


def test_example_4_is_intact() -> None:
    assert read(b"\x01(11:11:1911-NOV-93E6\r") == [Message(False, 0x28, b"11:11:1911-NOV-93")]
