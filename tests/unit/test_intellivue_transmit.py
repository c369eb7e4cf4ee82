"""What may ever be written to an IntelliVue: the grammar of its profile against what the driver can say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.philips_intellivue import pdu as layout
from drivers.philips_intellivue.framing import frame
from drivers.philips_intellivue.pdu import attribute, listed
from drivers.philips_intellivue.protocol import MAX_WAVES
from gateway.core.transmit import Gate
from tests.unit.intellivue_rig import PROFILE

GATE = Gate(PROFILE.transmit)
U16, U32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF)
POLLED = {layout.NUMERICS: 1, layout.ALERT_MONITOR: 3}  # with the poll numbers of the session
SECONDS = st.integers(10, 86_400)  # of option poll_s


def allowed(pdu: bytes) -> bool:
    """Tell whether a PDU may be sent; on the serial line and on the LAN alike."""
    framed, bare = GATE.allows(frame(pdu)), GATE.allows(pdu)
    assert framed == bare, pdu.hex()
    return framed


def created(context: int, handle: int, time: int, invoke: int) -> bytes:
    return layout.mds_create_result(layout.Event(invoke, 1, (layout.MDS, context, handle), time, layout.MDS_CREATE, []))


# ---- all that the driver can say


@pytest.mark.parametrize(
    "pdu", [layout.ASSOCIATION_REQUEST, layout.RELEASE_REQUEST, layout.RELEASE_RESPONSE, layout.ABORT]
)
def test_what_is_always_the_same(pdu: bytes) -> None:
    assert allowed(pdu)
    for at in range(len(pdu)):
        changed = bytearray(pdu)
        changed[at] ^= 0x01
        assert not allowed(bytes(changed)), at
    assert not allowed(pdu[:-1])
    assert not allowed(pdu + b"\0")


@given(U16, U16, U32, U16)
def test_every_answer_to_the_mds_create_event(context: int, handle: int, time: int, invoke: int) -> None:
    assert allowed(created(context, handle, time, invoke))


@given(U16, st.sampled_from(sorted(POLLED)), SECONDS)
def test_every_poll(invoke: int, polled: int, seconds: int) -> None:
    assert allowed(layout.poll(invoke, POLLED[polled], polled))
    assert allowed(layout.poll(invoke, POLLED[polled], polled, 0, seconds))
    assert allowed(layout.poll(invoke, 2, layout.WAVES, 0, seconds))
    assert allowed(layout.poll(invoke, 0, layout.MDS, layout.GROUP_SYS_PROD))


@given(U16, st.lists(U32, min_size=1, max_size=MAX_WAVES))
def test_every_list_of_waves(invoke: int, labels: list[int]) -> None:
    assert allowed(layout.set_wave_list(invoke, tuple(labels)))


def test_several_frames_in_one_write() -> None:
    one, two = frame(layout.poll(1, 1, layout.NUMERICS)), frame(layout.RELEASE_REQUEST)
    assert GATE.allows(one + two + one)
    assert not GATE.allows(one + two[:-1])
    assert not GATE.allows(one + b"\xc0\xc1")


# ---- nothing else


@pytest.mark.parametrize(
    ("pdu", "free"),
    [
        (created(1, 2, 3, 4), {*range(8, 10), *range(16, 24)}),
        (layout.poll(1, 1, layout.NUMERICS), {8, 9}),
        (layout.poll(1, 0, layout.MDS, layout.GROUP_SYS_PROD), {8, 9}),
        (layout.poll(1, 2, layout.WAVES, 0, 600), {8, 9, *range(44, 48)}),
        (layout.set_wave_list(1, (0x0002_0102,)), {8, 9, *range(38, 42)}),
    ],
)
def test_only_the_fields_that_vary_may_vary(pdu: bytes, free: set[int]) -> None:
    """Invoke id; the copied object and time; the period; the labels. And the right FCS helps nothing."""
    for at in range(len(pdu)):
        for bit in range(8):
            changed = bytearray(pdu)
            changed[at] ^= 1 << bit
            assert at in free or not allowed(bytes(changed)), (at, bit)


def setting(attribute_id: int, value: bytes, operator: int = 0) -> bytes:
    """Return a confirmed set of an attribute of the MDS."""
    change = operator.to_bytes(2, "big") + attribute(attribute_id, value)
    return layout.invocation(
        layout.ROIV, 1, layout.CONFIRMED_SET, layout.MDS.to_bytes(2, "big") + bytes(8) + listed([change])
    )


LABELS = listed([(0x0002_0102).to_bytes(4, "big")])


@pytest.mark.parametrize(
    "pdu",
    [
        setting(0xF239, LABELS),  # the list of numerics
        setting(0xF23A, LABELS, operator=1),  # add, remove, back to the default
        setting(0xF23A, LABELS, operator=2),
        setting(0xF23A, LABELS, operator=3),
        setting(0x0987, bytes(8)),  # the clock
        setting(0x091E, bytes(8)),  # the bed label
        layout.set_wave_list(1, ()),
        layout.set_wave_list(1, tuple(range(MAX_WAVES + 1))),
        layout.poll(1, 4, 0x002A),  # patient demographics
        layout.poll(1, 1, layout.NUMERICS, 0x0803),
        layout.poll(1, 1, 0x002A, 0, 600),
        layout.poll(1, 1, layout.WAVES),
        layout.invocation(layout.ROIV, 1, 3, layout.MDS.to_bytes(2, "big") + bytes(8) + b"\0\1\0\2\xf2\x3a"),  # get
        layout.invocation(layout.ROIV, 1, layout.CONFIRMED_EVENT, bytes(14)),
        b"\x0d",
        b"\x11\x01",
        b"\0",
    ],
)
def test_whatever_else_the_protocol_has_is_refused(pdu: bytes) -> None:
    assert not allowed(pdu)


@given(st.binary(min_size=1, max_size=60))
def test_any_bytes_are_refused(data: bytes) -> None:
    assert not GATE.allows(data)
    assert not allowed(data)
