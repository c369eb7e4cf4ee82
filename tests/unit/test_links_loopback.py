"""The in-process line: pieces in order, and a device's end that plugs and unplugs like a USB cable."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from gateway.core.errors import ConfigError, LinkError
from gateway.links.base import Link
from gateway.links.loopback import LINK, WIRE_MAX, LoopbackEnd, LoopbackSettings, Side

PATIENCE = 1.0


@pytest.fixture
def device() -> Iterator[LoopbackEnd]:
    device = LoopbackEnd("bed", Side.DEVICE, lambda: 2)
    yield device
    device.close()


@pytest.fixture
def gateway(device: LoopbackEnd) -> Iterator[Link]:
    del device  # only for the order: the wire lives as long as one of its ends
    gateway = LINK.create(LoopbackSettings("bed"), lambda: 1)
    yield gateway
    gateway.close()


def test_each_write_is_one_piece_stamped_by_the_reading_end(device: LoopbackEnd, gateway: Link) -> None:
    device.open()
    gateway.open()
    device.write(b"one")
    device.write(b"")
    device.write(b"two")
    assert gateway.read(PATIENCE) == [(1, b"one"), (1, b"two")]
    assert gateway.read(0.0) == []
    gateway.write(b"poll")
    assert device.read(PATIENCE) == [(2, b"poll")]


def test_lines_of_other_names_are_other_lines(device: LoopbackEnd, gateway: Link) -> None:
    other = LoopbackEnd("other", Side.DEVICE, lambda: 3)
    other.open()
    with pytest.raises(LinkError, match="nothing at the other end → start the simulator"):
        gateway.open()
    device.open()
    gateway.open()
    other.write(b"not for bed")
    assert gateway.read(0.0) == []


def test_unplugged_fails_after_the_last_bytes_and_replugged_opens(device: LoopbackEnd, gateway: Link) -> None:
    for turn in (b"first", b"second"):
        device.open()
        gateway.open()
        device.write(turn)
        device.close()
        assert gateway.read(PATIENCE) == [(1, turn)]
        with pytest.raises(LinkError, match="loopback bed: the device is gone"):
            gateway.read(PATIENCE)
        with pytest.raises(LinkError, match="the device is gone"):
            gateway.write(b"x")
        with pytest.raises(LinkError, match="nothing at the other end"):
            gateway.open()


def test_a_device_does_not_notice_who_listens(device: LoopbackEnd, gateway: Link) -> None:
    device.open()
    device.write(b"into the void")
    assert device.read(0.0) == []
    for _ in range(3):
        device.write(bytes(WIRE_MAX))
    gateway.open()
    device.write(b"heard")
    assert gateway.read(PATIENCE) == [(1, b"heard")]
    gateway.write(b"poll")
    gateway.close()
    assert device.read(PATIENCE) == [(2, b"poll")]
    device.write(b"lost")
    gateway.open()
    assert gateway.read(0.0) == []
    device.write(b"not read before the line was closed")
    gateway.close()
    gateway.open()
    assert gateway.read(0.0) == []


def test_a_closed_end_neither_reads_nor_writes(device: LoopbackEnd, gateway: Link) -> None:
    device.open()
    gateway.open()
    device.write(b"x")
    gateway.close()
    gateway.close()
    for end in (gateway, LoopbackEnd("never opened", Side.DEVICE, lambda: 0)):
        with pytest.raises(LinkError, match="the link is closed"):
            end.read(0.0)
        with pytest.raises(LinkError, match="the link is closed"):
            end.write(b"x")


@pytest.mark.parametrize("closing", [Side.GATEWAY, Side.DEVICE])
def test_closing_either_end_wakes_a_waiting_read(device: LoopbackEnd, gateway: Link, closing: Side) -> None:
    device.open()
    gateway.open()
    waiting = threading.Event()
    ended: list[str] = []

    def wait() -> None:
        waiting.set()
        try:
            gateway.read(60.0)
        except LinkError as error:
            ended.append(error.what)

    reader = threading.Thread(target=wait, daemon=True)
    reader.start()
    assert waiting.wait(PATIENCE)
    (gateway if closing is Side.GATEWAY else device).close()
    reader.join(10)
    assert not reader.is_alive(), "a read of 60 s was not woken"
    assert ended == ["the link is closed" if closing is Side.GATEWAY else "the device is gone"]


def test_a_write_wakes_a_waiting_read(device: LoopbackEnd, gateway: Link) -> None:
    device.open()
    gateway.open()
    waiting = threading.Event()
    got: list[tuple[int, bytes]] = []

    def wait() -> None:
        waiting.set()
        got.extend(gateway.read(60.0))

    reader = threading.Thread(target=wait, daemon=True)
    reader.start()
    assert waiting.wait(PATIENCE)
    device.write(b"now")
    reader.join(10)
    assert got == [(1, b"now")]


def test_a_wire_that_nobody_reads_is_full(device: LoopbackEnd, gateway: Link) -> None:
    device.open()
    gateway.open()
    device.write(bytes(WIRE_MAX))
    with pytest.raises(LinkError, match="nobody reads"):
        device.write(b"x")
    assert gateway.read(0.0) == [(1, bytes(WIRE_MAX))]
    device.write(b"x")
    assert gateway.read(0.0) == [(1, b"x")]


def test_nothing_is_lost_between_two_threads(device: LoopbackEnd, gateway: Link) -> None:
    device.open()
    gateway.open()
    pieces = [b"%d" % n for n in range(5000)]

    def say() -> None:
        for piece in pieces:
            device.write(piece)

    writer = threading.Thread(target=say, daemon=True)
    writer.start()
    got: list[bytes] = []
    while len(got) < len(pieces):
        chunks = gateway.read(PATIENCE)
        assert chunks
        got += [data for _, data in chunks]
    writer.join()
    assert got == pieces


def test_settings_and_kind() -> None:
    assert LINK.describe(LoopbackSettings("bed")) == LINK.resource(LoopbackSettings("bed")) == "loopback bed"
    with pytest.raises(ConfigError, match="name = '': must not be empty"):
        LoopbackSettings("")
