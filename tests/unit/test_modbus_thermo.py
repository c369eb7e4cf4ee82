"""Thermo ULT freezers: ASCII with addresses of bytes, items of one byte, and a manual with wrong numbers in it.

The lines are printed in the manuals, by way of the protocol notes (section 2); their LRC was worked out again there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from drivers.modbus import DRIVER
from drivers.modbus.adu import FRAMINGS, Ascii
from drivers.modbus.blocks import read_blocks
from drivers.modbus.protocol import ModbusProtocol
from gateway.core.alert import Phase, pack, unpack
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.frame import Event, Fault, Frame
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import Profile
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity
from gateway.core.scene import Scene
from tests.unit.modbus_rig import Line, block, devices, events, hettcube, profile, reasons, shipped

UNIT = 0x19
PRINTED = b":190304FFFFFCE002\r\n"  # TDE manual: its LRC is 4 too low; right is 06
RIGHT = b":190304FFFFFCE006\r\n"


def freezer(**driver: Any) -> Profile:
    found = shipped("thermo/ult_freezer")
    return replace(found, driver_table={**found.driver_table, **driver})


def asked_for(kind: str, used: Profile, unit: int = UNIT) -> ModbusProtocol:
    """A protocol whose request for block `kind` is in flight."""
    table = {**used.driver_table, "block": [row for row in used.driver_table["block"] if row["name"] == kind]}
    alone = replace(used, driver_table=table, channels=())
    protocol = ModbusProtocol([DeviceSpec(0, alone, {"unit": unit})], {})
    protocol.start(0.0)
    assert protocol.data_to_send(0.0)
    return protocol


def heard(protocol: ModbusProtocol, line: bytes) -> list[Event]:
    """What becomes of one line, up to its time-out and beyond."""
    protocol.receive_data(line, 0)
    for now in (0.2, 0.6, 0.7):
        protocol.data_to_send(now)
    return events(protocol)


def test_error_4_thermo_table_addresses_are_typos_and_are_not_asked() -> None:
    """Table: 671, 674, 2E0. The printed requests, whose LRC is right: 066F, 0670, 04E0."""
    blocks = {row.name: row for row in read_blocks(freezer())}
    assert not {0x0671, 0x0674, 0x02E0} & {row.address for row in blocks.values()}
    for name, sent in (
        ("setpoint", b":190305300002AD\r\n"),
        ("enclosure", b":1903067000026C\r\n"),
        ("status", b":1903066F00016E\r\n"),
    ):
        assert FRAMINGS["ascii"].encode(blocks[name].request(UNIT, 0)) == sent
    assert (blocks["tc7"].address, blocks["tc7"].count) == (0x04E0, 2)


def test_error_4_thermo_replies_of_unit_0x19_have_an_lrc_4_too_low_and_are_refused() -> None:
    found = heard(asked_for("setpoint", freezer()), PRINTED)
    assert reasons(found) == ["timeout", "garbled"]
    assert not [event for event in found if isinstance(event, Frame)]


def test_error_4_thermo_is_read_only_where_the_profile_says_lrc_strict_false() -> None:
    for line in (PRINTED, RIGHT):
        (frame,) = heard(asked_for("setpoint", freezer(lrc_strict=False)), line)
        assert isinstance(frame, Frame)
        assert frame.payload == bytes.fromhex("FFFFFCE0")


@pytest.mark.parametrize(
    "line",
    [
        b":190304FFFFFCE00A\r\n",  # 4 too high
        b":190304FFFFFCE003\r\n",  # 3 too low
        b":1903020028B6\r\n",  # 4 too low, but two bytes of data
        b":19030228B6\r\n",  # 4 too low, but one byte of data
        b":010304FFFFFCE01A\r\n",  # 4 too low, of another unit of the line
    ],
)
def test_lrc_strict_false_takes_nothing_but_4_too_low_in_replies_of_four_bytes_of_that_unit(line: bytes) -> None:
    assert Ascii(frozenset({UNIT})).open(line) is None


def test_what_a_lenient_lrc_costs() -> None:
    """Single bit flips of a reply that make another value. README.md has the share; strict, there are none."""
    lenient, strict = Ascii(frozenset({UNIT})), FRAMINGS["ascii"]
    unseen = tried = 0
    for raw in range(-1200, 400, 7):
        body = b":190304" + (raw & 0xFFFFFFFF).to_bytes(4, "big").hex().upper().encode()
        right = -sum(bytes.fromhex(body[1:].decode())) & 0xFF
        line = body + b"%02X\r\n" % right
        good = strict.open(line)
        assert good is not None
        for bit in range(8 * len(line)):
            spoilt = bytearray(line)
            spoilt[bit // 8] ^= 1 << bit % 8
            found = lenient.open(bytes(spoilt))
            tried += 1
            unseen += found is not None and found != good
            assert strict.open(bytes(spoilt)) is None
    assert round(unseen / tried, 3) == 0.014


def test_the_isotemp_example() -> None:
    protocol = asked_for("setpoint", freezer(), unit=1)
    (frame,) = heard(protocol, b":010304FFFFFCE01E\r\n")
    assert isinstance(frame, Frame)
    plan = Plan(freezer(), "", nomenclature())
    (row,) = plan.decode(frame, 0)
    assert (plan.metrics[row["metric"]].path, row["value"], row["validity"]) == ("1.1.1.1", -80.0, Validity.VLD)


def test_a_float_and_the_code_that_looks_like_no_sensor() -> None:
    plan = Plan(freezer(), "", nomenclature())
    (row,) = plan.decode(Frame("tc7", bytes.fromhex("41E5816E"), 0), 0)
    assert (plan.metrics[row["metric"]].path, round(float(row["value"]), 2)) == ("1.2.7.1", 28.69)
    (row,) = plan.decode(Frame("tc7", bytes.fromhex("C2FE0000"), 0), 0)  # -127.0
    assert row["validity"] == Validity.NA


@pytest.mark.parametrize("line", [b":19030228BA\r\n", b":1903020028BA\r\n"])
def test_an_item_of_one_byte_is_read_as_printed_and_as_the_standard_has_it(line: bytes) -> None:
    (frame,) = heard(asked_for("status", freezer()), line)
    assert isinstance(frame, Frame)
    assert frame.payload == b"\x00\x28"
    plan = Plan(freezer(), "", nomenclature())
    block = plan.decode(frame, 0)
    active = {plan.metrics[row["metric"]].text for row in block if row["value"] == pack(Phase.START, 0)}
    assert active == {"service", "BOT (word of the manual)"}  # 28 hex: bits 3 and 5
    assert reasons(heard(asked_for("status", freezer()), line[:-3])) == ["timeout", "garbled"]  # not before it is whole


def test_a_reply_of_one_byte_is_garbage_where_a_register_was_asked_for() -> None:
    rows = [{**row, "one_byte": False} for row in freezer().driver_table["block"]]
    assert reasons(heard(asked_for("status", freezer(block=rows)), b":19030228BA\r\n")) == ["timeout", "wrong_length"]


def test_every_single_bit_flip_of_a_short_reply_is_seen() -> None:
    line = b":19030228BA\r\n"
    for bit in range(8 * len(line)):
        spoilt = bytearray(line)
        spoilt[bit // 8] ^= 1 << bit % 8
        found = heard(asked_for("status", freezer()), bytes(spoilt))
        assert not [event for event in found if isinstance(event, Frame)]


def test_the_door_and_memory_bits_of_the_enclosure() -> None:
    plan = Plan(freezer(), "", nomenclature())
    block = plan.decode(Frame("enclosure", bytes.fromhex("0001 0410"), 0), 0)  # bits 16, 10 and 4
    told = {}
    for row in block[block["value"] >= 0]:
        metric = plan.metrics[row["metric"]]
        told[metric.path] = metric.tokens[int(row["value"])] if metric.tokens else unpack(row["value"])[0].name
    assert told == {"1.1.1.12": "START", "1.1.1.14": "off", "1.1.1.15": "START", "1.3.1.1": "closed", "1.3.2.1": "open"}


# ---- the keys of [driver]


def test_addresses_of_bytes_overlap_differently() -> None:
    rows = [block("a", address=0, count=2), block("b", address=2, count=1)]
    assert len(read_blocks(profile({"block": rows}))) == 2
    with pytest.raises(ProfileError, match="overlap"):
        read_blocks(profile({"block": rows, "byte_addressed": True}))
    apart = [block("a", address=0, count=2), block("b", address=4, count=1)]
    assert len(read_blocks(profile({"block": apart, "byte_addressed": True}))) == 2
    with pytest.raises(ProfileError, match="ends after address 65535"):
        read_blocks(profile({"block": [block("a", address=65534, count=2)], "byte_addressed": True}))


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ({"lrc_strict": False}, "lrc_strict = false without ascii_only"),
        ({"lrc_strict": 0, "ascii_only": True}, "lrc_strict = 0"),
        ({"lrc_lenient": True}, "unknown key 'lrc_lenient'"),
        ({"byte_addressed": True, "block": [block("a", fc=1)]}, "does not fit the keys of [driver]"),
        ({"block": [{**block("a"), "one_byte": True}]}, "does not fit the keys of [driver]"),
        ({"byte_addressed": True, "block": [{**block("a"), "one_byte": True}]}, "does not fit the keys of [driver]"),
        (
            {"byte_addressed": True, "ascii_only": True, "block": [{**block("a", count=2), "one_byte": True}]},
            "does not fit the keys of [driver]",
        ),
    ],
)
def test_keys_that_do_not_fit_are_refused(table: dict[str, Any], what: str) -> None:
    with pytest.raises(ProfileError) as error:
        read_blocks(profile({"block": [block("a")], **table}))
    assert what in error.value.what
    assert error.value.where.startswith("test.toml")
    assert error.value.hint


def test_the_dialect_is_off_by_default() -> None:
    for spec in devices({1: [block("a")]}):
        protocol = ModbusProtocol([spec], {"framing": "ascii"})
        protocol.start(0.0)
        assert protocol.data_to_send(0.0) == b":010300000001FB\r\n"
        protocol.receive_data(b":01030228D2\r\n", 0)  # one byte, LRC right
        assert not events(protocol)


@pytest.mark.parametrize("framing", ["rtu", "tcp"])
def test_a_device_that_speaks_ascii_only_is_not_asked_otherwise(framing: str) -> None:
    spec = DeviceSpec(0, freezer())
    for make in (DRIVER.protocol, lambda d, o: DRIVER.simulator(d, o, Scene())):
        with pytest.raises(ConfigError, match="speaks ASCII only") as error:
            make([spec], {"framing": framing})
        assert error.value.hint


def test_framing_is_that_of_the_profiles_unless_they_differ() -> None:
    both = [DeviceSpec(0, freezer()), DeviceSpec(1, hettcube(), {"unit": 2})]
    with pytest.raises(ConfigError, match="speaks ASCII only, hettich/hettcube need not"):
        DRIVER.protocol(both, {})
    protocol = DRIVER.protocol(both, {"framing": "ascii"})
    protocol.start(0.0)
    assert protocol.data_to_send(0.0).startswith(b":01")
    for spec, first in ((both[0], b":"), (both[1], b"\x02")):
        protocol = DRIVER.protocol([spec], {})
        protocol.start(0.0)
        assert protocol.data_to_send(0.0).startswith(first)


def test_a_freezer_and_its_simulator() -> None:
    devices_ = [DeviceSpec(0, freezer(), {"unit": UNIT})]
    line = Line(DRIVER.protocol(devices_, {}), DRIVER.simulator(devices_, {}, Scene())).run(60.0)  # type: ignore[arg-type]
    assert line.faults() == []
    assert {frame.kind for _, frame in line.frames()} == {row.name for row in read_blocks(freezer())}
    assert any(way == "<" and len(data) == len(b":19030228BA\r\n") for _, way, data in line.wire)
    assert not [event for _, event in line.said if isinstance(event, Fault)]
