"""From an EDS to the objects of a PDO; what is wrong with an EDS or with [driver] is refused by name."""

from __future__ import annotations

import contextlib
import math
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.canopen import CanOpen
from drivers.canopen.dictionary import load_dictionary
from gateway.core.errors import ConfigError, ProfileError
from gateway.core.profile import Profile
from gateway.core.protocol import DeviceSpec
from tests.unit.canopen_rig import EDS, OPERATIONAL, gamma_xl, heard, profile, record, started, values


def refused(wrong: Profile, node: int = 0) -> str:
    with pytest.raises(ProfileError) as caught:
        load_dictionary(wrong, node)
    return str(caught.value)


def test_cob_ids_and_mapping_come_from_the_records() -> None:
    found = load_dictionary(profile(), 0)
    assert [(t.number, t.cob_id, t.length) for t in found.tpdos] == [(1, 0x18A, 8), (2, 0x28A, 2)]
    assert [part.name for t in found.tpdos for part in t.parts] == [
        "2001.00", "2002.00", "2003.00", "2004.00", "2005.00",
    ]  # fmt: skip
    assert (found.heartbeat_ms, found.identity) == (1000, (0x77, 5))


def test_the_node_id_of_the_port_goes_before_that_of_the_profile() -> None:
    assert [t.cob_id for t in load_dictionary(profile(), 0x7F).tpdos] == [0x1FF, 0x2FF]


def test_objects_are_little_endian_and_packed_from_the_lowest_bit() -> None:
    data = struct.pack("<Hhf", 0x8001, -125, 2.5)
    events = heard(started(), OPERATIONAL, record(0x18A, data), record(0x28A, "5F FE"))
    assert values(events) == {"2001.00": 0x8001, "2002.00": -125, "2003.00": 2.5, "2004.00": 5, "2005.00": -2}


def test_bits_of_a_word_are_values_of_their_own() -> None:
    rows = """{ n = 2, id = "MDC_TEMP_DIFF", unit = "K", object = "2001.00:15" },
    { n = 3, id = "MDC_TEMP_DIFF", unit = "K", object = "2001.00:4-6" },"""
    events = heard(started(profile(metrics=rows)), OPERATIONAL, record(0x18A, struct.pack("<Hhf", 0x8050, 0, 0)))
    assert values(events) == {"2001.00:4-6": 5, "2001.00:15": 1, "2002.00": 0, "2003.00": 0}


def test_a_float_that_is_no_number_has_no_value() -> None:
    found = values(heard(started(), OPERATIONAL, record(0x18A, struct.pack("<Hhf", 0, 0, math.inf))))
    assert math.isnan(float(found["2003.00"]))


def test_a_mapping_of_the_profile_goes_before_that_of_the_eds() -> None:
    given = "tpdo = [{ number = 1, cob_id = 0x1A0, map = [0x20020010] }]"
    protocol = started(profile(driver=given))
    assert values(heard(protocol, OPERATIONAL, record(0x1A0, "FFFF"))) == {"2002.00": -1}
    assert values(heard(protocol, record(0x18A, "FFFF"))) == {}


def test_a_dcf_says_what_was_set_and_not_what_the_maker_set() -> None:
    set_ = EDS.replace("DefaultValue=$NODEID+0x280\n", "DefaultValue=$NODEID+0x280\nParameterValue=0x2AA\n")
    assert load_dictionary(profile(set_), 0).tpdos[1].cob_id == 0x2AA


def test_the_pdos_of_the_gamma_xl_are_those_of_its_manual() -> None:
    """Supplementary manual, page 9: 2A10h, 2A01h, 2A04h in TPDO1, 2A05h in TPDO2."""
    found = load_dictionary(gamma_xl(), 5)
    assert [(t.cob_id, t.entries) for t in found.tpdos] == [
        (0x185, (0x2A10_0010, 0x2A01_0010, 0x2A04_0008)),
        (0x285, (0x2A05_0008,)),
    ]


@pytest.mark.parametrize(
    ("driver", "what"),
    [
        ("nod = 1", "unknown key 'nod'"),
        ("heartbeat_ms = -1", "heartbeat_ms = -1"),
        ('tpdo = [{ number = 1, map = ["x"] }]', "needs number, cob_id and map"),
        ("tpdo = [{ number = 1, cob_id = 0x18A, map = [0x20020040, 0x20010010] }]", "maps 80 bits"),
        ("tpdo = [{ number = 1, cob_id = 0x1FFFFFFF, map = [0x20020010] }]", "has COB-ID 1FFFFFFF"),
        ("tpdo = [{ number = 3, cob_id = 0x18A, map = [0x20020010] }]", "have one COB-ID"),
        ("tpdo = [{ number = 1, cob_id = 0x18A, map = [0x20010010] }]", "object 2002.00 is no number of a TPDO"),
        ("tpdo = 3", "tpdo is no list"),
        ('read = ["2011.00"]', "'2011.00' is no readable number"),
        ('read = ["2002"]', "'2002' is no readable number"),
        ("read = 1", "read is no list"),
    ],
)
def test_the_driver_table_is_checked(driver: str, what: str) -> None:
    said = refused(profile(driver=driver))
    assert said.startswith("profiles/test/node.toml:")
    assert what in said


def test_what_no_node_can_be_is_refused() -> None:
    bare = {key: value for key, value in profile().driver_table.items() if key != "node"}
    assert "no node id" in refused(replace(profile(), driver_table=bare))
    assert "node = 128" in refused(replace(profile(), driver_table={**bare, "node": 128}))
    assert "emcy_detail" in refused(replace(profile(), driver_table={**bare, "node": 1, "emcy_detail": [5]}))
    with pytest.raises(ConfigError, match="node = 200"):
        CanOpen([DeviceSpec(0, profile(), {"node": 200})], {})


def test_a_float_that_is_not_as_wide_as_a_float_is_refused() -> None:
    said = refused(profile(driver="tpdo = [{ number = 1, cob_id = 0x18A, map = [0x20020010, 0x20030010] }]"))
    assert said.startswith("profiles/test/x.eds: object 2003.00 is a float of 16 bits")


def test_two_devices_with_one_node_id_are_refused() -> None:
    with pytest.raises(ConfigError, match="is taken"):
        CanOpen([DeviceSpec(0, profile()), DeviceSpec(1, profile())], {})
    CanOpen([DeviceSpec(0, profile()), DeviceSpec(1, profile(), {"node": 11})], {})


@pytest.mark.parametrize("table", [{}, {"eds": "y.eds"}, {"eds": 3}])
def test_the_profile_must_name_its_eds(table: dict[str, object]) -> None:
    assert "names no file of the profile" in refused(replace(profile(), driver_table=table))


def test_a_syntax_error_names_the_file() -> None:
    assert refused(profile("[1000\n")).startswith("profiles/test/x.eds")


@given(st.integers(0, len(EDS) - 1), st.sampled_from(["[", "]", "=", "0", "x", "\n", " ", "é", "$", ";", ""]))
def test_a_damaged_eds_loads_or_is_refused_by_name(at: int, put: str) -> None:
    with contextlib.suppress(ProfileError):  # any other error is a bug
        load_dictionary(profile(EDS[:at] + put + EDS[at + 1 :]), 0)


def test_the_sample_of_the_reference_library(shared: Path) -> None:
    text = (shared / "captures" / "canopen" / "sample.eds").read_text(encoding="utf-8")
    given = "tpdo = [{ number = 5, cob_id = 0x1C0, map = [0x20010010, 0x20020008, 0x20030008] }]"
    rows = '{ n = 2, id = "MDC_TEMP_DIFF", unit = "K", object = "2003.00" },'
    found = load_dictionary(_without_temperature(profile(text, given, rows)), 0)
    # TPDO1 to 4 map 6041h and others, which the file does not describe: nothing is read of them
    assert [(t.number, t.cob_id, len(t.parts)) for t in found.tpdos][:4] == [
        (1, 0x18A, 0), (2, 0x28A, 0), (3, 0x38A, 0), (4, 0x48A, 0),
    ]  # fmt: skip
    assert [part.name for part in found.tpdos[4].parts] == ["2001.00", "2002.00", "2003.00"]
    assert found.identity == (1, 0)


@pytest.mark.parametrize(
    ("index", "bits", "data", "value"),
    [
        (0x2002, 8, "F4", -12),
        (0x2003, 16, "DEFF", -34),
        (0x2004, 32, "D3FFFFFF", -45),
        (0x2005, 8, "F4", 0xF4),
        (0x2007, 32, "FFFFFFFF", 0xFFFFFFFF),
        (0x2008, 32, struct.pack("<f", 1.25).hex(), 1.25),
        (0x2010, 24, "FFFFFF", -1),
        (0x2011, 64, struct.pack("<d", 1.6).hex(), 1.6),
        (0x2012, 40, "D8FFFFFFFF", -40),
        (0x2014, 56, "C8FFFFFFFFFFFF", -56),
        (0x2016, 24, "180000", 24),
        (0x201A, 56, "38000000000000", 56),
    ],
)
def test_every_number_of_the_datatype_catalogue(shared: Path, index: int, bits: int, data: str, value: float) -> None:
    text = (shared / "captures" / "canopen" / "datatypes.eds").read_text(encoding="utf-8")
    given = f"tpdo = [{{ number = 1, cob_id = 0x18A, map = [{index << 16 | bits}] }}]"
    found = load_dictionary(_without_temperature(profile(text, given, "")), 0)
    (part,) = found.tpdos[0].parts
    assert part.value(int.from_bytes(bytes.fromhex(data), "little")) == value


def _without_temperature(profile_: Profile) -> Profile:
    (channel,) = profile_.channels
    rows = tuple(row for row in channel.metrics if row.object != "2002.00")
    return replace(profile_, channels=(replace(channel, metrics=rows),))
