"""Byte layouts of the IntelliVue PDUs, against the vectors of the protocol notes and a captured beacon."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.philips_intellivue import pdu
from drivers.philips_intellivue.framing import frame
from drivers.philips_intellivue.simulator import ACCEPT, REFUSE
from gateway.core.sample import Validity
from tests.unit.intellivue_rig import SINGLE_POLL_RESULT

VLD, NA, INV = Validity.VLD, Validity.NA, Validity.INV


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (0xFD007D00, 32.0),
        (0xFF000140, 32.0),
        (0xFEFE7960, -1000.0),
        (0xFF00016E, 36.6),
        (0x0000004B, 75.0),
        (0x02000003, 300.0),
        (0xFFFFFFFE, -0.2),
        (0x807FFFFD, 8388605e-128),
        (0x7F000001, 1e127),
    ],
)
def test_float_type(raw: int, value: float) -> None:
    assert pdu.float_type(raw) == (value, VLD)


@pytest.mark.parametrize(
    ("mantissa", "validity"),
    [
        (0x7FFFFF, NA),
        (0x800000, INV),
        (0x7FFFFE, Validity.OFLW),
        (0x800002, Validity.UFLW),
        (0x800001, INV),
    ],
)
@pytest.mark.parametrize("exponent", [0, 1, 0xFF])
def test_special_mantissas_whatever_the_exponent(mantissa: int, validity: Validity, exponent: int) -> None:
    value, found = pdu.float_type(exponent << 24 | mantissa)
    assert math.isnan(value)
    assert found == validity


@given(st.integers(-8_388_605, 8_388_605), st.integers(0, 20))
def test_decimals_are_those_that_were_sent(mantissa: int, digits: int) -> None:
    raw = (-digits & 0xFF) << 24 | (mantissa & 0xFFFFFF)
    assert pdu.float_type(raw)[0] == float(f"{mantissa}e-{digits}")


def test_absolute_time_is_bcd() -> None:
    assert pdu.absolute_time_ns(bytes.fromhex("2024011512304550")) == 1_705_321_845_500_000_000
    for not_set in ("ff" * 8, "2024131512304500", "20240115123045ff", "202401151230", "20240a1512304500"):
        assert pdu.absolute_time_ns(bytes.fromhex(not_set)) is None


def test_requests_as_in_the_notes() -> None:
    assert frame(pdu.poll(0, 1, pdu.NUMERICS)).hex() == (
        "c011010024e10000020001001c000000070016002100000000000000000c16000800010001000600008e95c1"
    )
    assert pdu.poll(2, 2, pdu.NUMERICS, period_s=60).hex() == (
        "e10000020001002800020007002200210000000000000000f13b0014000200010006000000010008f13e000400075300"
    )
    assert pdu.poll(1, 1, pdu.MDS, pdu.GROUP_SYS_PROD).hex() == (
        "e10000020001001c000100070016002100000000000000000c160008000100010021080c"
    )
    assert pdu.set_wave_list(0, (0x0002_0102,)).hex() == (
        "e10000020001002200000005001c002100000000000000000001000e0000f23a00080001000400020102"
    )


def test_fixed_pdus_have_the_lengths_they_say() -> None:
    assert [len(fixed) for fixed in (pdu.RELEASE_REQUEST, pdu.RELEASE_RESPONSE, pdu.ABORT)] == [26, 26, 48]
    for fixed in (pdu.ASSOCIATION_REQUEST, pdu.RELEASE_REQUEST, pdu.RELEASE_RESPONSE, pdu.ABORT, ACCEPT):
        assert fixed[1] == len(fixed) - 2


def test_accept() -> None:
    assert pdu.accept(ACCEPT) == pdu.Accept(1.0, 1456, 0x8800_0000)
    # the other ending of the presentation header that monitors send (notes, section 7)
    other = ACCEPT.replace(bytes.fromhex("be80288002010281"), bytes.fromhex("be80288081"))
    assert pdu.accept(other) == pdu.accept(ACCEPT)
    longer = ACCEPT.replace(bytes.fromhex("8148800000"), bytes.fromhex("81820048800000"))
    assert pdu.accept(longer) == pdu.accept(ACCEPT)
    assert pdu.refuse_reason(REFUSE) == 0
    assert pdu.refuse_reason(b"\x0c\x03\x32\x01\x05") == 5
    for length in range(180):
        with pytest.raises(pdu.BROKEN):
            pdu.accept(ACCEPT[:length])


def test_single_poll_result_of_the_notes() -> None:
    assert len(SINGLE_POLL_RESULT) == 190
    found = pdu.poll_result(SINGLE_POLL_RESULT)
    assert found is not None
    assert found._replace(observations=[]) == pdu.PollResult(
        0, 0, False, pdu.NUMERICS, None, 0x0010_0000, 1_705_321_845_000_000_000, []
    )
    assert [observation.key for observation in found.observations] == [0x101, 0x102, 0x103, 0x104]
    assert frame(SINGLE_POLL_RESULT)[-4:].hex() == "ff70e8c1"


@given(st.data())
def test_no_inner_length_reaches_outside(data: st.DataObject) -> None:
    """Whatever the counts and lengths say: attributes lie inside the PDU, or the PDU is refused."""
    damaged = bytearray(SINGLE_POLL_RESULT)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(4, len(damaged) - 1))
        damaged[at] = data.draw(st.sampled_from([0, 1, 2, 4, 0x7F, 0x80, 0xFF]))
    try:
        found = pdu.poll_result(bytes(damaged))
    except pdu.BROKEN:
        return
    for observation in found.observations if found else []:
        for _, begin, end in observation.attributes:
            assert 0 <= begin <= end <= len(damaged)


def test_every_truncation_of_a_result_is_refused() -> None:
    for length in range(4, len(SINGLE_POLL_RESULT)):
        with pytest.raises(pdu.BROKEN):
            pdu.poll_result(SINGLE_POLL_RESULT[:length])


def test_the_captured_connect_indication(shared: Path) -> None:
    """A real monitor's beacon carries the same identity attributes as the MDS Create Event."""
    path = shared / "captures/philips_beacon/philips_intellivue_connect_indication_udp_payload.bin"
    beacon = path.read_bytes()
    event = pdu.event(beacon)
    assert event is not None
    assert (event.object[0], event.type, len(event.attributes)) == (0x23, 0x0D17, 16)
    places = {attribute: (begin, end) for attribute, begin, end in event.attributes}
    assert pdu.system_model(beacon, *places[0x0928]) == ("Philips", "866062")
    assert pdu.production_spec(beacon, *places[0x092D]) == [
        (1, 8, "DE351A4061"),
        (2, 8, "866062"),
        (3, 8, "A.00.30"),
        (5, 0x78, "--------"),
        (2, 0x58, "S-M8003-1402A"),
        (4, 0x58, "L.01.18"),
    ]
