"""The plan: no value dropped, none repaired, none read with the wrong table."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ProfileError
from gateway.core.frame import Frame, Reading, Wave
from gateway.core.nomenclature import nomenclature
from gateway.core.plan import MAX_UNMAPPED, Plan
from gateway.core.profile import parse_profile
from gateway.core.sample import Flag, Validity

HEAD = """
[profile]
vendor = "Test"
model = "Test"
driver = "test"
source = "made for this test"
verified = "paper"
device = "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS"
[units]
"0x0AA0" = "/min"
"0x0220" = "%"
"0x0200" = "1"
"0x0F20" = "mm[Hg]"
"0x0F03" = "kPa"
[[channel]]
path = "1.1.1"
vmd = "MDC_DEV_ANALY_SAT_O2_VMD"
chan = "MDC_DEV_ANALY_SAT_O2_CHAN"
frame = "numeric"
metric = [
"""
SPO2 = '{ n = 1, id = "MDC_PULS_OXIM_SAT_O2", unit = "%", object = 1, range = [0, 100] },'
PRESSURE = '{ n = 2, id = "MDC_PRESS_BLD_NONINV_SYS", unit = "mm[Hg]", object = 2, episodic = true },'
PLETH = '{ n = 3, id = "MDC_PULS_OXIM_PLETH", unit = "1", kind = "waveform", frame = "wave", object = 3 },'
DOOR = (
    '{ n = 4, id = "MDCX_LAB_INCUBATOR_DOOR", kind = "enumeration", frame = "f", at = 0, type = "u16",'
    ' values = [[1, "closed"], [2, "open"]] },'
)


def plan(*metrics: str) -> Plan:
    return Plan(parse_profile(HEAD + "\n".join(metrics) + "\n]\n", "test/test", "test.toml"), "", nomenclature())


def field(text: str) -> Plan:
    return plan('{ n = 1, id = "MDC_PULS_OXIM_SAT_O2", unit = "%", frame = "f", ' + text + " },")


def one(p: Plan, payload: object, kind: str = "numeric", **more: object) -> tuple[float, int, int]:
    (row,) = p.decode(Frame(kind, payload, 1000, **more), 7)  # type: ignore[arg-type]
    assert (row["t_ns"], row["source"], row["seq"]) == (1000, 7, 0)
    return float(row["value"]), int(row["validity"]), int(row["flags"])


def test_a_value_keeps_its_digits() -> None:
    assert one(plan(SPO2), [Reading(1, 0, 0x0220, 97.5)]) == (97.5, Validity.VLD, 0)


def test_nan_is_never_a_number() -> None:
    value, validity, _ = one(plan(SPO2), [Reading(1, 0, 0x0220, math.nan)])
    assert (math.isnan(value), validity) == (True, Validity.NA)
    value, validity, _ = one(plan(SPO2), [Reading(1, 0, 0x0220, math.nan, Validity.INV)])
    assert (math.isnan(value), validity) == (True, Validity.INV)


@pytest.mark.parametrize(("value", "validity"), [(100.1, Validity.OFLW), (-0.1, Validity.UFLW), (100, 0), (0, 0)])
def test_out_of_range_is_flagged_never_changed(value: float, validity: int) -> None:
    assert one(plan(SPO2), [Reading(1, 0, 0x0220, value)]) == (value, validity, 0)


def test_what_the_device_calls_invalid_is_not_made_better_by_its_range() -> None:
    assert one(plan(SPO2), [Reading(1, 0, 0x0220, 200.0, Validity.CALIB)])[:2] == (200.0, Validity.CALIB)


def test_a_unit_of_the_same_kind_is_converted_and_another_is_no_value() -> None:
    p = plan(PRESSURE)
    assert one(p, [Reading(2, 0, 0x0F20, 120.0)]) == (120.0, Validity.VLD, Flag.EPISODIC)
    assert one(p, [Reading(2, 0, 0x0F03, 16.0)])[0] == pytest.approx(120.01, abs=0.01)
    value, validity, _ = one(p, [Reading(2, 0, 0x0220, 97.0)])
    assert (math.isnan(value), validity) == (True, Validity.INV)
    assert p.unmapped == {("numeric", "2 unit 544"): 1}


def test_a_unit_code_nobody_knows_is_no_value() -> None:
    value, validity, _ = one(plan(SPO2), [Reading(1, 0, 0xBEEF, 97.0)])
    assert (math.isnan(value), validity) == (True, Validity.INV)


def test_flags_of_the_device_travel() -> None:
    assert one(plan(SPO2), [Reading(1, 0, 0x0220, 97.0, 0, int(Flag.DEMO | Flag.ALERT_ACTIVE))])[2] == 40


def test_an_instance_goes_to_its_own_metric_and_else_to_the_general_one() -> None:
    p = plan(SPO2, '{ n = 9, id = "MDC_PULS_OXIM_SAT_O2", unit = "%", object = 1, instance = 5 },')
    metrics = p.decode(Frame("numeric", [Reading(1, 5, 0x0220, 1.0), Reading(1, 6, 0x0220, 2.0)], 1), 0)["metric"]
    assert metrics.tolist() == [1, 0]


def test_two_sources_of_one_object_are_never_mixed() -> None:
    p = plan(SPO2)
    second = 1_000_000_000

    def values(t: int, *readings: tuple[int, float]) -> list[float]:
        frame = Frame("numeric", [Reading(1, i, 0x0220, v) for i, v in readings], t * second)
        return p.decode(frame, 0)["value"].tolist()

    assert values(1, (5, 97.0), (6, 80.0)) == [97.0]
    assert values(2, (6, 80.0), (5, 97.0)) == [97.0]
    assert values(6, (6, 81.0)) == []  # the first one may come back
    assert values(8, (6, 82.0)) == [82.0]  # it has been silent: the other one takes over
    assert values(9, (5, 97.0)) == []
    assert p.unmapped == {("numeric", "1 instance 6"): 3, ("numeric", "1 instance 5"): 1}


@pytest.mark.parametrize("set_back_s", [3600, 365 * 86400])
def test_another_source_takes_over_also_after_our_clock_was_set_back(set_back_s: int) -> None:
    """A source that has gone must not keep its place for a year."""
    p, now = plan(SPO2), 1_800_000_000
    for t, instance, taken in ((now, 5, 1), (now - set_back_s, 6, 1), (now - set_back_s + 1, 6, 1)):
        rows = p.decode(Frame("numeric", [Reading(1, instance, 0x0220, 97.0)], t * 1_000_000_000), 0)
        assert len(rows) == taken


def test_a_temperature_difference_is_converted_without_the_zero_of_the_scale() -> None:
    text = '{ n = 1, id = "MDC_TEMP_DIFF", unit = "Cel", frame = "f", at = 0, type = "u16", raw_unit = "[degF]" },'
    assert one(plan(text), b"\x00\x09", "f")[0] == 5.0


def test_unknown_objects_are_counted_within_bounds() -> None:
    p = plan(SPO2)
    assert len(p.decode(Frame("numeric", [Reading(i, 0, 0, 1.0) for i in range(10, 3000)], 1), 0)) == 0
    assert sum(p.unmapped.values()) == 2990
    assert len(p.unmapped) <= MAX_UNMAPPED + 1


def test_a_gap_marks_the_first_samples_after_it() -> None:
    assert one(plan(SPO2), [Reading(1, 0, 0x0220, 97.0)], after_gap=True)[2] == Flag.AFTER_GAP


# ---- fixed layouts


@pytest.mark.parametrize(
    ("text", "payload", "value"),
    [
        ('at = 0, type = "i16", scale = 0.1', b"\x01\x72", 37.0),
        ('at = 0, type = "i16", scale = 0.1', b"\x01\x71", 36.9),  # 369 x 0.1 would be 36.900000000000006
        ('at = 2, type = "u8"', b"\xff\xff\x61", 97.0),
        ('at = 0, type = "i16", scale = 0.0001', b"\xff\x9c", -0.01),
        ('at = 0, type = "u32", order = "CDAB"', b"\x00\x02\x00\x01", 65538.0),
        ('at = 0, type = "u32", order = "DCBA"', b"\x01\x00\x00\x00", 1.0),
        ('at = 0, type = "u16", order = "BA"', b"\x01\x00", 1.0),
        ('at = 0, type = "f32"', struct.pack(">f", 0.5), 0.5),
        ('at = 0, type = "f64", order = "HGFEDCBA"', struct.pack("<d", 36.6), 36.6),
        ('at = 0, type = "i64"', struct.pack(">q", -5), -5.0),
        ('at = 0, type = "u16", scale = 0.5, offset = -10', b"\x00\x64", 40.0),
        ('at = 0, type = "u16", raw_unit = "1"', b"\x00\x01", 100.0),  # a fraction becomes percent
    ],
)
def test_raw_types(text: str, payload: bytes, value: float) -> None:
    assert one(field(text), payload, "f")[0] == value


@pytest.mark.parametrize("payload", [b"", b"\x01", struct.pack(">f", math.nan), struct.pack(">f", math.inf)])
def test_a_short_or_not_finite_field_is_no_value(payload: bytes) -> None:
    value, validity, _ = one(field('at = 0, type = "f32"'), payload, "f")
    assert (math.isnan(value), validity) == (True, Validity.NA)


def test_raw_invalid_is_no_value() -> None:
    value, validity, _ = one(field('at = 0, type = "i16", raw_invalid = [-32768, 32767]'), b"\x80\x00", "f")
    assert (math.isnan(value), validity) == (True, Validity.NA)


def test_enumerations_are_indexes_and_unknown_codes_are_invalid() -> None:
    p = plan(DOOR)
    assert one(p, b"\x00\x02", "f")[:2] == (1.0, Validity.VLD)
    assert p.metrics[0].tokens == ("closed", "open")
    value, validity, _ = one(p, b"\x00\x07", "f")
    assert (math.isnan(value), validity) == (True, Validity.INV)


@given(st.integers(0, 15), st.integers(0, 0xFFFF))
def test_a_bit_is_the_bit(bit: int, word: int) -> None:
    p = field(f'at = 0, type = "bit", bit = {bit}')
    assert one(p, struct.pack(">H", word), "f")[0] == float(word >> bit & 1)


# ---- waves


def test_a_wave_ends_when_its_bytes_arrived() -> None:
    block = plan(PLETH).decode(
        Frame("wave", Wave(3, 0, 0x0200, np.array([0.25, np.nan, 0.75]), 8_000_000), 1_000_000_000), 2
    )
    assert block["t_ns"].tolist() == [984_000_000, 992_000_000, 1_000_000_000]
    assert block["validity"].tolist() == [Validity.VLD, Validity.INV, Validity.VLD]
    assert set(block["flags"].tolist()) == {int(Flag.WAVEFORM)}
    assert block["value"][0] == 0.25


def test_a_gap_marks_the_first_sample_of_a_wave_only() -> None:
    frame = Frame("wave", Wave(3, 0, 0x0200, np.zeros(3), 8_000_000), 1_000_000_000, after_gap=True)
    assert plan(PLETH).decode(frame, 0)["flags"].tolist() == [
        Flag.WAVEFORM | Flag.AFTER_GAP,
        Flag.WAVEFORM,
        Flag.WAVEFORM,
    ]


def test_a_wave_in_a_unit_that_does_not_fit_has_no_values() -> None:
    block = plan(PLETH).decode(Frame("wave", Wave(3, 0, 0x0F20, np.ones(4), 1), 10**9), 0)
    assert np.isnan(block["value"]).all()
    assert set(block["validity"].tolist()) == {int(Validity.INV)}


# ---- digest


def test_the_digest_changes_with_what_decides_the_meaning_and_with_nothing_else() -> None:
    digest = plan(SPO2, PRESSURE).digest
    assert plan(SPO2, PRESSURE).digest == digest
    assert plan("", SPO2, "# a comment", PRESSURE).digest == digest
    changed = [
        plan(SPO2.replace("[0, 100]", "[0, 101]"), PRESSURE),
        plan(SPO2.replace("object = 1", "object = 4"), PRESSURE),
        plan(SPO2, PRESSURE.replace("mm[Hg]", "kPa")),
        plan(SPO2.replace("n = 1", "n = 3"), PRESSURE),
        plan(SPO2),
    ]
    assert len({digest, *(p.digest for p in changed)}) == 1 + len(changed)


def test_one_way_leads_to_one_metric() -> None:
    with pytest.raises(ProfileError, match=r"test.toml:\d+: .* is reached like a metric before it"):
        plan(SPO2, SPO2.replace("n = 1", "n = 8"))


def test_terms_and_units_must_be_known() -> None:
    with pytest.raises(ProfileError, match="MDC_NO_SUCH_TERM is not in the nomenclature"):
        plan(SPO2.replace("MDC_PULS_OXIM_SAT_O2", "MDC_NO_SUCH_TERM"))
    with pytest.raises(ProfileError, match="unit 'furlong' is not known"):
        plan(SPO2.replace('"%"', '"furlong"'))
    with pytest.raises(ProfileError, match="order 'AB' does not fit u32"):
        field('at = 0, type = "u32", order = "AB"')


@given(st.binary(max_size=40))
def test_any_bytes_give_samples_never_an_exception(payload: bytes) -> None:
    p = plan(
        DOOR,
        '{ n = 5, id = "MDC_PULS_OXIM_SAT_O2", unit = "%", frame = "f", at = 8, type = "f64", order = "BADCFEHG" },',
    )
    block = p.decode(Frame("f", payload, 1), 0)
    assert len(block) == 2
    assert not np.isinf(block["value"]).any()
