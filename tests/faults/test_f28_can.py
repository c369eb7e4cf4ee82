"""F28: faults of a CAN bus: error frames, bus-off, babble, noise, an adapter that is pulled.

Bus, link, port and ring are real and in this process; the bus is python-can's `virtual`, because containers have no
AF_CAN. What that leaves out: the controller and the driver of the kernel (its receive queue, its restart after bus-off,
`ip link`), bit timing, and arbitration. A controller checks each frame with its CRC-15 and makes an error frame of a
damaged one; so noise is here what a gateway sees of it: error frames, frames of nobody's id, frames that are too short.
A frame with a right CRC-15, a known id and wrong data would be a wrong value: nothing above the controller can see it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import can
import pytest

from gateway import registry
from gateway.core.can_frame import ERROR, EXTENDED, EXTENDED_MASK, RECORD, REMOTE, STANDARD_MASK
from gateway.core.frame import Frame, NeedData
from gateway.core.protocol import DeviceProtocol, DeviceSpec
from gateway.core.ring import RingWriter
from gateway.core.ring_layout import buffer_size, format_buffer
from gateway.core.ring_reader import RingReader
from gateway.core.sample import Block
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from gateway.links.can import CanLink, CanSettings
from gateway.port import Clocks, Port, PortDevice, guarded
from tests.faults.evidence import evidence, scaled
from tests.parts.wait import wait_until

SEED = 28
PROFILE = "smartecla/bedside_network"
SLOTS = 16384
BUS_OFF, RESTARTED, BUS_ERROR = 0x040, 0x100, 0x088  # linux/can/error.h
FRAMES = scaled(600, 10_000)
BABBLE = 100  # foreign frames for each good one
PAUSE_S = 30.0
Row = tuple[int, float, int]


def good_frames(count: int) -> list[bytes]:
    """Return what the devices of the bus say, one record each."""
    profile = registry.Profiles().get(PROFILE)
    bus = registry.driver(profile.driver).simulator([DeviceSpec(0, profile)], {}, Scene())
    found: list[bytes] = []
    now = 0.0
    while len(found) < count:
        data = bus.data_to_send(now)
        found += [data[at : at + RECORD.size] for at in range(0, len(data), RECORD.size)]
        now = max(now + 0.001, bus.next_wake() or 0.0)
    return found[:count]


class Told:
    """What a driver makes of good frames on a good bus: what must be in the ring, and nothing else."""

    def __init__(self) -> None:
        profile = registry.Profiles().get(PROFILE)
        self.protocol: DeviceProtocol = registry.driver(profile.driver).protocol([DeviceSpec(0, profile)], {})
        self.plan = registry.Profiles().plan(PROFILE, "")
        self.rows: list[Row] = []
        self.protocol.start(0.0)

    def take(self, record: bytes) -> None:
        self.protocol.receive_data(record, 1)
        while not isinstance(event := self.protocol.next_event(), NeedData):
            if isinstance(event, Frame):
                self.rows += rows_of(self.plan.decode(event, 0))


def rows_of(block: Block) -> list[Row]:
    values = [repr(value) for value in block["value"].tolist()]  # NaN is equal to itself as text
    return list(zip(block["metric"].tolist(), values, block["validity"].tolist(), strict=True))  # type: ignore[arg-type]


class Bus:
    """The devices' end of the bus, and the gateway's port on it."""

    def __init__(self) -> None:
        self.link = CanLink(CanSettings(f"f28-{time.monotonic_ns()}", "virtual"), time.time_ns)
        profiles = registry.Profiles()
        profile = profiles.get(PROFILE)
        buffer = memoryview(bytearray(buffer_size(SLOTS)))
        format_buffer(buffer, SLOTS)
        self.reader = RingReader(buffer)
        self.port = Port(
            "bus",
            self.link,
            registry.driver(profile.driver).protocol([DeviceSpec(0, profile)], {}),
            [PortDevice(0, "bus", PROFILE, "", profiles.plan(PROFILE, ""))],
            RingWriter(buffer),
            profiles.plan,
            Gate([]),
            Clocks(time.monotonic, time.time_ns),
        )
        self.rows: list[Row] = []
        self._end = can.Bus(interface="virtual", channel=self.link._settings.channel, ignore_config=True)

    def say(self, record: bytes) -> None:
        """Put a frame on the bus."""
        word, length, data = RECORD.unpack(record)
        extended = bool(word & EXTENDED)
        number = word & (EXTENDED_MASK if extended or word & ERROR else STANDARD_MASK)
        remote = bool(word & REMOTE)
        self._end.send(
            can.Message(
                arbitration_id=number,
                is_extended_id=extended,
                is_error_frame=bool(word & ERROR),
                is_remote_frame=remote,
                dlc=length,
                data=None if remote else data[:length],
            )
        )

    def arrived(self, count: int) -> bool:
        """Take what is in the ring; tell whether so many rows have come."""
        for block in self.reader.read(SLOTS):
            self.rows += rows_of(block.rows)
        self.reader.release()
        return len(self.rows) >= count

    def await_rows(self, told: Told) -> None:
        wait_until(lambda: self.arrived(len(told.rows)), lambda: f"{len(self.rows)} of {len(told.rows)}", PAUSE_S)

    def pull(self) -> None:
        """Pull the adapter: the next read fails; the port opens it again, and that works once it is there."""
        errors = self.port.counters.link_errors
        assert self.link._bus is not None
        self.link._bus.shutdown()
        wait_until(lambda: self.port.counters.link_errors > errors, "the port has not noticed", PAUSE_S)
        wait_until(lambda: self.port.state == "open", lambda: self.port.state, PAUSE_S)

    def close(self) -> None:
        self._end.shutdown()


@contextmanager
def running() -> Iterator[Bus]:
    bus, stop = Bus(), threading.Event()
    thread = threading.Thread(target=guarded, args=(bus.port, stop))
    thread.start()
    try:
        wait_until(lambda: bus.port.state == "open", lambda: bus.port.state, PAUSE_S)
        yield bus
    finally:
        stop.set()
        bus.link.close()
        thread.join(10)
        bus.close()


def foreign(chance: random.Random, known: set[int]) -> bytes:
    """Return a frame with an id that no device of the bus has, as a flipped bit of an id makes them."""
    while True:
        word = chance.choice(sorted(known)) ^ 1 << chance.randrange(29)
        word = word & EXTENDED_MASK | EXTENDED
        if word not in known:
            return RECORD.pack(word, 8, chance.randbytes(8))


def error(word: int) -> bytes:
    return RECORD.pack(ERROR | word, 8, bytes(8))


def error_frames(chance: random.Random, _known: set[int], _record: bytes) -> list[bytes]:
    return [error(chance.choice([BUS_ERROR, 0x004, 0x008, 0x020]))]


def bus_off(_chance: random.Random, _known: set[int], _record: bytes) -> list[bytes]:
    return [error(BUS_OFF), error(RESTARTED)]


def babble(chance: random.Random, known: set[int], _record: bytes) -> list[bytes]:
    return [foreign(chance, known) for _ in range(BABBLE)]


def noise(chance: random.Random, known: set[int], record: bytes) -> list[bytes]:
    word, _, data = RECORD.unpack(record)
    short = RECORD.pack(word, 0, bytes(8))
    asked = RECORD.pack(word | REMOTE, 8, data)
    return chance.sample([foreign(chance, known), short, asked, error(BUS_ERROR)], chance.randrange(3))


@pytest.mark.parametrize("fault", [error_frames, bus_off, babble, noise], ids=lambda fault: fault.__name__)
def test_what_is_wrong_on_the_bus_makes_no_value_and_costs_none(fault) -> None:  # type: ignore[no-untyped-def]
    chance, told, frames = random.Random(SEED), Told(), good_frames(FRAMES)
    known = {RECORD.unpack(record)[0] for record in frames}
    with (
        evidence(
            "F28",
            f"CAN: {fault.__name__}",
            how=f"{FRAMES} frames of a bedside network on python-can's virtual bus, hurt between any two",
            target="each good frame's values once, in order, and no other",
            seed=SEED,
        ) as row,
        running() as bus,
    ):
        for number, record in enumerate(frames):
            if chance.random() < 0.2:
                for bad in fault(chance, known, record):
                    bus.say(bad)
                    row.count += 1
            bus.say(record)
            told.take(record)
            if number % 100 == 99:  # the ring holds that many
                bus.await_rows(told)
        bus.await_rows(told)
        counters = bus.port.counters
        row.figures |= {"rows": len(bus.rows), "frames_bad": dict(counters.frames_bad), "faults": dict(counters.faults)}
        row.violations += [] if bus.rows == told.rows else ["other values than those that were said"]
        row.violations += [] if sum(counters.faults.values()) else ["nothing of the fault was counted"]


def test_an_adapter_that_is_pulled_is_opened_again() -> None:
    told, frames, times = Told(), good_frames(FRAMES), scaled(3, 100)
    with (
        evidence(
            "F28",
            "CAN: replug",
            how="the bus of the gateway is closed under it, frames go on",
            target="read again within 5 s, all that was on the bus while it was open is there",
            seed=SEED,
        ) as row,
        running() as bus,
    ):
        for number, record in enumerate(frames):
            bus.say(record)
            told.take(record)
            if number % (len(frames) // times) == 0:
                bus.await_rows(told)
                begun = time.monotonic()
                bus.pull()
                row.at_most("reopen_s", time.monotonic() - begun, 5.0)
                told.protocol.start(0.0)
                row.count += 1
        bus.await_rows(told)
        row.violations += [] if bus.rows == told.rows else ["other values than those that were said"]
