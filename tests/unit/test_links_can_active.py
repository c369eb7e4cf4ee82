"""The CAN link that may ask: upload requests reach the bus, and not one bit of anything else."""

from __future__ import annotations

import time
from collections.abc import Iterator

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import registry
from gateway.core.can_frame import RECORD, pack
from gateway.core.errors import LinkError
from gateway.links.base import Link
from gateway.links.can_active import LINK, ActiveCanSettings, is_upload

UPLOAD = pack(0x60A, bytes.fromhex("4018100400000000"))


@pytest.fixture
def bus() -> Iterator[can.BusABC]:
    with can.Bus(interface="virtual", channel="active", ignore_config=True) as device:
        yield device


@pytest.fixture
def link(bus: can.BusABC) -> Iterator[Link]:
    made = LINK.create(ActiveCanSettings("active", "virtual"), time.time_ns)
    made.open()
    yield made
    made.close()


def test_an_upload_request_reaches_the_bus(bus: can.BusABC, link: Link) -> None:
    link.write(UPLOAD + pack(0x60A, bytes.fromhex("6000000000000000")))
    frames = [bus.recv(1.0), bus.recv(1.0)]
    assert [(f.arbitration_id, bytes(f.data).hex(), f.is_extended_id) for f in frames if f] == [
        (0x60A, "4018100400000000", False),
        (0x60A, "6000000000000000", False),
    ]
    assert bus.recv(0.0) is None


def test_what_the_device_says_is_still_heard(bus: can.BusABC, link: Link) -> None:
    bus.send(can.Message(arbitration_id=0x58A, data=bytes(8), is_extended_id=False))
    frames: list[tuple[int, bytes]] = []
    while not frames:
        frames = link.read(1.0)
    assert frames[0][1] == pack(0x58A, bytes(8))


@pytest.mark.parametrize(
    "record",
    [
        pack(0x000, bytes.fromhex("8000")),  # NMT
        pack(0x080, b""),  # SYNC
        pack(0x60A, bytes.fromhex("2318100400000000")),  # SDO download
        pack(0x600, UPLOAD[8:]),  # node 0
        pack(0x680, UPLOAD[8:]),
        pack(0x8000_060A, UPLOAD[8:]),  # 29-bit
        pack(0x4000_060A, UPLOAD[8:]),  # remote
        pack(0x60A, bytes.fromhex("40181004")),  # too short
        UPLOAD[:-1],
        UPLOAD + pack(0x000, bytes.fromhex("8000")),
    ],
)
def test_anything_else_is_refused_whole(bus: can.BusABC, link: Link, record: bytes) -> None:
    with pytest.raises(LinkError, match="only SDO upload requests"):
        link.write(record)
    assert bus.recv(0.0) is None


@given(st.integers(0, 0xFFFF_FFFF), st.integers(0, 255), st.binary(min_size=8, max_size=8))
def test_no_other_frame_is_an_upload(can_id: int, length: int, data: bytes) -> None:
    if is_upload((can_id, length, data)):
        assert 0x601 <= can_id <= 0x67F
        assert length == 8
        assert data[0] in (0x40, 0x60, 0x70, 0x80)


def test_every_download_command_is_refused() -> None:
    for command in range(256):
        allowed = command in (0x40, 0x60, 0x70, 0x80)
        assert is_upload(next(RECORD.iter_unpack(pack(0x605, bytes([command]) + bytes(7))))) is allowed


def test_only_canopen_runs_on_it() -> None:
    users = [name for name in registry.names("driver") if "can_active" in registry.driver(name).links]
    assert users == ["canopen"]
