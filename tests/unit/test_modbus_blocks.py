"""The poll plan: what a profile may ask for, and what its frames carry."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.pdu.utils import pack_bitstring

from drivers.modbus import DRIVER
from drivers.modbus.blocks import Block, FunctionCode, read_blocks
from gateway.core.alert import Phase, pack
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.frame import Frame
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import Plan
from gateway.core.profile import MetricSpec
from gateway.core.protocol import DeviceSpec
from tests.unit.modbus_rig import block, hettcube, profile


def test_the_plan_of_the_hettcube() -> None:
    assert read_blocks(hettcube()) == (
        Block("temperature", 4, 0, 1, 5.0),
        Block("status", 4, 3, 2, 2.0),
    )


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ({}, "no [[driver.block]]"),
        ({"block": []}, "no [[driver.block]]"),
        ({"block": 3}, "no [[driver.block]]"),
        ({"block": [3]}, "no [[driver.block]]"),
        ({"block": [block("a")], "blok": []}, "unknown key 'blok'"),
        ({"block": [{**block("a"), "addr": 1}]}, "unknown key 'addr'"),
        ({"block": [{"name": "a", "fc": 3, "address": 0, "count": 1}]}, "'interval_s' is missing"),
        ({"block": [block("a", fc=0)]}, "fc = 0"),
        ({"block": [block("a", fc=5)]}, "fc = 5"),
        ({"block": [block("a", fc=16)]}, "fc = 16"),
        ({"block": [block("a", fc=True)]}, "fc = True"),
        ({"block": [block("A b")]}, "name = 'A b'"),
        ({"block": [block("a", address=-1)]}, "address = -1"),
        ({"block": [block("a", address=65536)]}, "address = 65536"),
        ({"block": [block("a", address=65535, count=2)]}, "ends after address 65535"),
        ({"block": [block("a", count=0)]}, "count = 0"),
        ({"block": [block("a", fc=3, count=126)]}, "count = 126"),
        ({"block": [block("a", fc=4, count=126)]}, "count = 126"),
        ({"block": [block("a", fc=1, count=2001)]}, "count = 2001"),
        ({"block": [block("a", interval_s=0.0)]}, "interval_s = 0.0"),
        ({"block": [block("a", interval_s=float("nan"))]}, "interval_s = nan"),
        ({"block": [block("a"), block("a", address=9)]}, "two blocks 'a'"),
        ({"block": [block("a", count=5), block("b", address=4)]}, "'a' and 'b' overlap"),
        ({"block": [block("a", address=4), block("b", count=5)]}, "'a' and 'b' overlap"),
    ],
)
def test_a_wrong_table_is_refused_with_the_profile_named(table: dict[str, Any], what: str) -> None:
    with pytest.raises(ProfileError) as error:
        read_blocks(profile(table))
    assert what in error.value.what
    assert error.value.where.startswith("test.toml")
    assert error.value.hint


@pytest.mark.parametrize(
    "rows",
    [
        [block("a", count=125)],
        [block("a", fc=2, count=2000)],
        [block("a", address=65535)],
        [block("a", count=4), block("b", address=4)],
        [block("a", fc=3), block("b", fc=4)],
    ],
)
def test_what_the_standard_allows_is_accepted(rows: list[dict[str, Any]]) -> None:
    assert [b.name for b in read_blocks(profile({"block": rows}))] == [row["name"] for row in rows]


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        (MetricSpec("1.1.1.1", "M", "test.toml:7", "b", at=0, type="u16"), "no [[driver.block]] is called 'b'"),
        (MetricSpec("1.1.1.1", "M", "test.toml:7", "a", at=4, type="u16"), "outside its block (bytes 4 to 5)"),
        (MetricSpec("1.1.1.1", "M", "test.toml:7", "a", at=2, type="f32"), "outside its block (bytes 2 to 5)"),
        (MetricSpec("1.1.1.1", "M", "test.toml:7", "a", at=3, type="bit"), "outside its block (bytes 3 to 4)"),
        (MetricSpec("1.1.1.1", "M", "test.toml:7", "a", at=-1, type="u8"), "outside its block"),
        (MetricSpec("1.1.1.1", "M", "test.toml:7", "a", object=4), "reached by object"),
    ],
)
def test_a_metric_that_no_block_would_fill_is_refused_at_its_line(spec: MetricSpec, what: str) -> None:
    with pytest.raises(ProfileError) as error:
        read_blocks(profile({"block": [block("a", count=2)]}, [spec]))
    assert what in error.value.what
    assert error.value.where == "test.toml:7"


def test_of_256_function_codes_only_the_four_reads_can_be_asked() -> None:
    asked = {}
    for fc in range(256):
        try:
            protocol = DRIVER.protocol([DeviceSpec(0, profile({"block": [block("a", fc=fc)]}))], {"framing": "tcp"})
        except (ProfileError, ConfigError):
            continue
        protocol.start(0.0)
        asked[fc] = protocol.data_to_send(0.0)[7]  # the byte after the MBAP header
    assert asked == {1: 1, 2: 2, 3: 3, 4: 4}
    assert {code.value for code in FunctionCode} == {1, 2, 3, 4}


@given(st.lists(st.booleans(), min_size=1, max_size=2000), st.sampled_from([1, 2]))
def test_coils_become_one_byte_each_in_their_order(coils: list[bool], fc: int) -> None:
    row = Block("a", fc, 0, len(coils), 1.0)
    packed = pack_bitstring(coils)
    assert len(packed) == row.byte_count
    assert row.payload(packed) == bytes(coils)
    assert row.payload_size == len(coils)


def test_the_hettcube_decodes_to_degrees_door_and_alarms() -> None:
    plan = Plan(hettcube(), "", nomenclature())

    def values(kind: str, payload: bytes) -> list[tuple[str, float, str]]:
        block = plan.decode(Frame(kind, payload, 0), 0)
        found = []
        for row in block[block["value"] >= 0] if kind == "status" else block:
            metric = plan.metrics[row["metric"]]
            word = metric.tokens[int(row["value"])] if metric.tokens else metric.text
            found.append((metric.path, float(row["value"]), word or (metric.unit.ucum if metric.unit else "")))
        return found

    assert values("temperature", bytes.fromhex("0172")) == [("1.1.1.1", 37.0, "Cel")]  # notes, section 3
    assert values("temperature", bytes.fromhex("FFCE")) == [("1.1.1.1", -5.0, "Cel")]
    start, end = pack(Phase.START, 0), pack(Phase.END, 0)
    assert values("status", bytes.fromhex("0001 0005")) == [
        ("1.1.1.2", 1.0, "open"),
        ("1.1.1.3", start, "door alarm"),
        ("1.1.1.5", start, "lower temperature alarm"),
    ]
    assert values("status", bytes.fromhex("0000 0004")) == [
        ("1.1.1.2", 0.0, "closed"),
        ("1.1.1.5", pack(Phase.CONTINUE, 0), "lower temperature alarm"),
        ("1.1.1.3", end, "door alarm"),
    ]
