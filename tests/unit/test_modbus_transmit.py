"""Read-only by construction: what the gates of the profiles let through, and what the driver ever sends.

A gate knows the bytes only, the driver the blocks only; here each is held against the other, and both against an
independent reading of the standard: unit, function code, address, count (Application Protocol V1.1b3, 6.1 to 6.4).
"""

from __future__ import annotations

import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.modbus import DRIVER
from drivers.modbus.blocks import Block, read_blocks
from gateway.core.protocol import DeviceSpec
from gateway.core.scene import Scene
from gateway.core.transmit import Gate
from tests.unit.modbus_rig import FRAMINGS, PROFILES, Line, shipped, wire

# The framings in which a profile may ask: its device speaks ASCII only, or never.
MAY = {profile_id: ("ascii",) if profile_id == "thermo/ult_freezer" else ("rtu", "tcp") for profile_id in PROFILES}
WAYS = [(profile_id, framing) for profile_id, framings in MAY.items() for framing in framings]


@cache
def gate(profile_id: str) -> Gate:
    return Gate(shipped(profile_id).transmit)


@cache
def plan(profile_id: str) -> tuple[Block, ...]:
    return read_blocks(shipped(profile_id))


def asks(profile_id: str) -> set[tuple[int, int, int]]:
    return {(block.fc, block.address, block.count) for block in plan(profile_id)}


def pdu(fc: int, address: int, count: int) -> bytes:
    return bytes([fc]) + address.to_bytes(2, "big") + count.to_bytes(2, "big")


def understood(framing: str, data: bytes) -> tuple[int, int, int, int] | None:
    """(unit, function code, address, count) of a request, as the standard has it; None when it is none."""
    if framing == "tcp":
        if len(data) != 12 or data[2:6] != b"\x00\x00\x00\x06":
            return None
        body = data[6:]
    elif framing == "rtu":
        if len(data) != 8:
            return None
        body = data[:6]
    else:
        if len(data) != 17 or data[:1] != b":" or data[-2:] != b"\r\n" or set(data[1:-2]) - set(b"0123456789ABCDEF"):
            return None
        body = bytes.fromhex(data[1:13].decode())
    return body[0], body[1], int.from_bytes(body[2:4], "big"), int.from_bytes(body[4:6], "big")


@pytest.mark.parametrize("profile_id", PROFILES)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_of_256_function_codes_only_those_of_the_blocks_pass_and_only_with_their_registers(
    profile_id: str, framing: str
) -> None:
    wanted = asks(profile_id)
    assert {fc for fc, _, _ in wanted} <= {1, 2, 3, 4}
    for fc in range(256):
        for block in plan(profile_id):
            for address in (block.address - 1, block.address, block.address + 1):
                for count in (0, block.count, block.count + 1, 0xFFFF):
                    good = framing in MAY[profile_id] and (fc, address, count) in wanted
                    request = wire(framing, 1, pdu(fc, address % 65536, count))
                    assert gate(profile_id).allows(request) == good, request.hex()


@pytest.mark.parametrize("profile_id", PROFILES)
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize(
    "body",
    [
        b"\x05\x00\x00\xff\x00",  # write single coil
        b"\x06\x00\x00\x00\x05",  # write single register
        b"\x0f\x00\x00\x00\x08\x01\xff",  # write multiple coils
        b"\x10\x00\x00\x00\x06\x0c" + b"\x04\x00\x00\x00\x05\x04" * 2,  # write multiple registers, with reads inside
        b"\x16\x00\x00\x00\x00\x00\x00",  # mask write register
        b"\x17\x00\x00\x00\x05\x00\x00\x00\x01\x02\x00\x00",  # read and write
        b"\x08\x00\x01\x00\x00",  # diagnostics: restart
        b"\x2b\x0e\x01\x00",  # device identification
        b"\x11",  # report server id
    ],
)
def test_no_other_function_passes_in_its_own_shape(profile_id: str, framing: str, body: bytes) -> None:
    assert not gate(profile_id).allows(wire(framing, 1, body))


@settings(max_examples=400)
@given(
    way=st.sampled_from(WAYS),
    number=st.integers(0, 99),
    unit=st.integers(0, 255),
    edits=st.lists(st.tuples(st.sampled_from(["flip", "set", "cut", "add"]), st.integers(0, 999), st.integers(0, 255))),
)
def test_a_mutated_request_passes_only_if_it_is_still_a_read_of_a_block(
    way: tuple[str, str], number: int, unit: int, edits: list[tuple[str, int, int]]
) -> None:
    """Transaction and checksum may be anything: a request with a wrong checksum is ignored by every device."""
    profile_id, framing = way
    block = plan(profile_id)[number % len(plan(profile_id))]
    data = bytearray(wire(framing, unit, pdu(block.fc, block.address, block.count)))
    for kind, at, value in edits:
        at %= len(data) + 1
        if kind == "add":
            data[at:at] = bytes([value])
        elif kind == "cut":
            del data[at : at + 1]
        elif at < len(data):
            data[at] = data[at] ^ 1 << value % 8 if kind == "flip" else value
    read = understood(framing, bytes(data))
    good = read is not None and read[1:] in asks(profile_id) and 1 <= read[0] <= 247
    assert gate(profile_id).allows(bytes(data)) == (good or not data), data.hex()


@pytest.mark.parametrize("profile_id", PROFILES)
def test_random_bytes_and_two_requests_run_together(profile_id: str) -> None:
    rng = random.Random(profile_id)
    for _ in range(3000):
        assert not gate(profile_id).allows(rng.randbytes(rng.randrange(1, 40)))
    framing = MAY[profile_id][0]
    request = wire(framing, 9, pdu(*sorted(asks(profile_id))[0]))
    assert gate(profile_id).allows(request + request)
    assert not gate(profile_id).allows(request + request[:-1])


@settings(max_examples=60, deadline=None)
@given(
    way=st.sampled_from(WAYS),
    unit=st.integers(1, 247),
    noise=st.lists(st.tuples(st.floats(0, 20), st.binary(max_size=80)), max_size=8),
    dead=st.booleans(),
)
def test_whatever_the_line_says_the_driver_sends_reads_of_its_blocks_and_nothing_else(
    way: tuple[str, str], unit: int, noise: list[tuple[float, bytes]], dead: bool
) -> None:
    profile_id, framing = way
    devices = [DeviceSpec(0, shipped(profile_id), {"unit": unit})]
    protocol = DRIVER.protocol(devices, {"framing": framing})
    device = DRIVER.simulator(devices, {"framing": framing, "dead": dead}, Scene())
    line = Line(protocol, device)  # type: ignore[arg-type]
    for at, data in sorted(noise):
        line.run(at)
        line.hear(data)
    line.run(25.0)
    protocol.stop(25.0)
    line.run(40.0)
    assert line.sent()
    for _, data in line.sent():
        assert gate(profile_id).allows(data)
        read = understood(framing, data)
        assert read is not None
        assert read[0] == unit
        assert read[1:] in asks(profile_id)
