"""The encoder: what stands in the golden files, and for any samples a message that reads back as the same samples."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import groupby
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import InternalError
from gateway.core.hl7 import MAX_CACHED, NUMBERLESS, Encoder
from gateway.core.hl7_check import Group, Observation, Oru, check, parse_oru
from gateway.core.nomenclature import nomenclature
from gateway.core.sample import NOT_FOR_CHARTING, SAMPLE, USABLE, Block, Flag, Validity, empty_block
from gateway.hl7_validate import validate
from tests.unit.hl7_rig import CONTROL_ID, DEVICE, GOLDEN, NOW_NS, SENDER, encoder_of, er7_of, plan_of, samples_of

MONITOR, INCUBATOR = plan_of("vitals"), plan_of("enumerations")


def lines_of(payload: bytes) -> list[str]:
    """Return the segments as text."""
    return payload.decode().split("\r")


# ---- golden files


@pytest.mark.parametrize("case", sorted(path.name for path in GOLDEN.iterdir()))
def test_golden(case: str) -> None:
    plan = plan_of(case)
    expected = (GOLDEN / case / "expected.er7").read_text(encoding="utf-8")
    payload = encoder_of(plan).encode(samples_of(case, plan), CONTROL_ID, NOW_NS)
    assert lines_of(payload) == lines_of(er7_of(expected.replace("<digest>", plan.digest.hex()[:16])))
    assert check(payload, nomenclature()) == []
    assert validate(payload) == []


# ---- any samples


def blocks(most: int = 12) -> st.SearchStrategy[Block]:
    """Samples of the monitor: any value, validity and flag but that of waveforms, few different times."""
    row = st.tuples(
        st.integers(1_700_000_000_000, 1_700_000_000_003).map(lambda ms: ms * 1_000_000),
        st.just(0),
        st.floats(),
        st.integers(0, len(MONITOR.metrics) - 1),
        st.just(4),
        st.sampled_from(list(Validity)),
        st.integers(0, 255).map(lambda bits: bits & ~Flag.WAVEFORM),
        st.integers(0, 65535),  # spare: means nothing
    )
    return st.lists(row, min_size=1, max_size=most).map(lambda rows: np.array(rows, SAMPLE))


def expected_of(row: np.void) -> tuple[float | None, Validity]:
    """Say what a receiver must read of a sample, from the laws in the encoder's text."""
    value, validity = float(row["value"]), Validity(row["validity"])
    if validity in USABLE and not math.isfinite(value):
        validity = Validity.INV
    sent = math.isfinite(value) and validity not in NUMBERLESS
    return (value if sent else None), validity


def observations(oru: Oru) -> list[tuple[Group, Observation]]:
    """Return the observations of a message with their groups."""
    return [(group, observation) for group in oru.groups for observation in group.observations]


@given(blocks())
@settings(max_examples=300)
def test_any_samples_come_back_with_value_time_validity_and_flags(block: Block) -> None:
    oru = parse_oru(encoder_of(MONITOR).encode(block, CONTROL_ID, NOW_NS))
    assert oru.findings == []
    read = sorted(
        (o.t_ns, o.path, repr(o.value), o.validity, o.flags & ~Flag.AFTER_GAP, o.unit_ref_id, o.code)
        for _, o in observations(oru)
    )
    sent = []
    for row in block:
        metric = MONITOR.metrics[row["metric"]]
        assert metric.unit is not None
        value, validity = expected_of(row)
        flags = int(row["flags"]) & ~Flag.AFTER_GAP
        sent.append((int(row["t_ns"]), metric.path, repr(value), validity, flags, metric.unit.ref_id, metric.code))
    assert read == sorted(sent)


@given(blocks())
@settings(max_examples=300)
def test_any_samples_make_a_message_without_findings(block: Block) -> None:
    assert check(encoder_of(MONITOR).encode(block, CONTROL_ID, NOW_NS), nomenclature()) == []


@given(blocks(4))
@settings(max_examples=10)
def test_any_samples_satisfy_hl7apy(block: Block) -> None:
    assert validate(encoder_of(MONITOR).encode(block, CONTROL_ID, NOW_NS)) == []


@given(st.lists(blocks(), min_size=2, max_size=6))
def test_what_was_encoded_before_does_not_show(several: list[Block]) -> None:
    one = encoder_of(MONITOR)
    for block in several:
        assert one.encode(block, CONTROL_ID, NOW_NS) == encoder_of(MONITOR).encode(block, CONTROL_ID, NOW_NS)


@given(blocks())
def test_a_gap_is_told_at_its_time_and_only_there(block: Block) -> None:
    oru = parse_oru(encoder_of(MONITOR).encode(block, CONTROL_ID, NOW_NS))
    told = {group.t_ns for group in oru.groups if group.after_gap}
    assert told == {int(row["t_ns"]) for row in block if row["flags"] & Flag.AFTER_GAP}
    assert all(bool(o.flags & Flag.AFTER_GAP) == group.after_gap for group, o in observations(oru))


@given(blocks())
def test_groups_are_in_the_order_of_their_samples_and_none_has_a_path_twice(block: Block) -> None:
    oru = parse_oru(encoder_of(MONITOR).encode(block, CONTROL_ID, NOW_NS))
    times = [group.t_ns for group in oru.groups]
    assert list(dict.fromkeys(times)) == list(dict.fromkeys(block["t_ns"].tolist()))
    assert len(list(groupby(times))) == len(set(times))  # the groups of one instant stand together
    for group in oru.groups:
        paths = [tuple(map(int, row.path.split("."))) for row in group.rows]
        assert paths == sorted(set(paths))  # depth first: parents before children, no path twice
        assert [row.set_id for row in group.rows] == [str(n + 1) for n in range(len(paths))]


@given(blocks())
def test_only_a_message_of_nothing_but_test_and_demonstration_is_marked_so_as_a_whole(block: Block) -> None:
    nothing_else = all(row["flags"] & NOT_FOR_CHARTING for row in block)
    for processing_id in "PTD":
        encoder = encoder_of(MONITOR, replace(SENDER, processing_id=processing_id))
        header = parse_oru(encoder.encode(block, CONTROL_ID, NOW_NS)).header
        assert header.processing_id == ("D" if nothing_else and processing_id == "P" else processing_id)


def test_samples_of_one_path_at_one_instant_keep_their_order() -> None:
    block = np.zeros(600, SAMPLE)
    block["value"] = np.arange(600)
    block["t_ns"] = -(np.arange(600) % 2)
    oru = parse_oru(encoder_of(MONITOR).encode(block, CONTROL_ID, NOW_NS))
    assert [o.value for _, o in observations(oru)] == [*range(0, 600, 2), *range(1, 600, 2)]


def test_more_shapes_than_are_remembered() -> None:
    encoder = encoder_of(MONITOR)
    for n in range(1, MAX_CACHED + 50):
        block = np.zeros(n, SAMPLE)
        block["metric"] = np.arange(n) % len(MONITOR.metrics)
        block["t_ns"] = np.arange(n) // 2
        block["validity"] = np.arange(n) % 9
        block["flags"] = (np.arange(n) % 128) & ~1
        assert len(observations(parse_oru(encoder.encode(block, CONTROL_ID, NOW_NS)))) == n
        assert len(encoder._skeletons) <= MAX_CACHED
        assert len(encoder._rows) <= MAX_CACHED


def test_a_block_that_is_a_view_into_a_ring() -> None:
    ring = np.zeros(20, SAMPLE)
    ring["value"], ring["metric"] = np.arange(20), np.arange(20) % len(MONITOR.metrics)
    view = ring[1:13:3]
    encoder = encoder_of(MONITOR)
    assert encoder.encode(view, CONTROL_ID, NOW_NS) == encoder.encode(view.copy(), CONTROL_ID, NOW_NS)


# ---- numbers


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_has_no_exponent_and_reads_back_as_the_same_double(value: float) -> None:
    block = np.zeros(1, SAMPLE)
    block["value"] = value
    ((_, observation),) = observations(parse_oru(encoder_of(MONITOR).encode(block, CONTROL_ID, NOW_NS)))
    assert set(observation.text) <= set("-.0123456789")
    assert repr(observation.value) == repr(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (72.0, "72"),
        (100.0, "100"),
        (36.6, "36.6"),
        (-0.5, "-0.5"),
        (0.1 + 0.2, "0.30000000000000004"),
        (5e-7, "0.0000005"),
        (1.5e16, "15000000000000000"),
        (1e22, "1" + "0" * 22),
    ],
)
def test_numbers_are_the_shortest_decimal(value: float, text: str) -> None:
    block = np.zeros(1, SAMPLE)
    block["value"] = value
    ((_, observation),) = observations(parse_oru(encoder_of(MONITOR).encode(block, CONTROL_ID, NOW_NS)))
    assert observation.text == text


# ---- texts


@given(st.text(), st.text(), st.text(), st.text())
def test_whatever_is_configured_comes_through(unit: str, room: str, bed: str, facility: str) -> None:
    device = replace(DEVICE, name=room, unit=unit, room=room, bed=bed, facility=facility)
    payload = encoder_of(MONITOR, device=device).encode(np.zeros(1, SAMPLE), CONTROL_ID, NOW_NS)
    oru = parse_oru(payload)
    assert oru.findings == []
    assert oru.location == (unit, room, bed, facility)
    assert oru.device is not None
    assert oru.device.name == room


def test_device_plan_and_clock_are_named() -> None:
    oru = parse_oru(encoder_of(MONITOR).encode(np.zeros(1, SAMPLE), CONTROL_ID, NOW_NS))
    assert oru.device is not None
    assert (oru.device.name, oru.device.id, oru.device.id_type) == ("skop-3", "0009FBFFFE012345", "EUI-64")
    assert oru.device.ref_id == "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS"
    assert oru.profile_digest == MONITOR.digest.hex()[:16]
    assert oru.time_sync == "MDC_TIME_SYNC_NTPV4"
    assert oru.header.key == ("MDIGW^0011223344556677^EUI-64", "AUH", CONTROL_ID)


def test_nothing_of_a_patient_is_in_a_message() -> None:
    segments = lines_of(encoder_of(MONITOR).encode(np.zeros(1, SAMPLE), CONTROL_ID, NOW_NS))
    (pid,) = (segment.split("|") for segment in segments if segment.startswith("PID"))
    assert pid[3] == '""^^^CPR&1.2.208.176.1.2&ISO^NI'  # an id of nobody
    assert pid[5] == "^^^^^^U"
    assert pid[31] == "Y"  # identity unknown
    assert [n for n, text in enumerate(pid) if text] == [0, 3, 5, 31]


def test_answers_are_asked_for_as_configured() -> None:
    sender = replace(SENDER, accept_ack="NE", application_ack="AL", processing_id="T")
    header = parse_oru(encoder_of(MONITOR, sender).encode(np.zeros(1, SAMPLE), CONTROL_ID, NOW_NS)).header
    assert (header.accept_ack, header.application_ack, header.processing_id) == ("NE", "AL", "T")


# ---- what must not be encoded


def with_fields(**fields: object) -> Block:
    """Return two samples with fields of the second set."""
    block = np.zeros(2, SAMPLE)
    for name, value in fields.items():
        block[name][1] = value
    return block


@pytest.mark.parametrize(
    ("block", "what"),
    [
        (empty_block(), "without samples"),
        (with_fields(source=1), "two devices"),
        (with_fields(metric=len(MONITOR.metrics)), "metric"),
        (with_fields(validity=9), "validity 9"),
        (with_fields(flags=Flag.WAVEFORM), "message of its own"),
    ],
)
def test_a_block_that_is_a_bug_of_the_caller(block: Block, what: str) -> None:
    with pytest.raises(InternalError, match=what):
        encoder_of(MONITOR).encode(block, CONTROL_ID, NOW_NS)


@pytest.mark.parametrize("kind", ["waveform", "alert"])
def test_waveforms_and_alerts_have_messages_of_their_own(kind: str) -> None:
    plan = plan_of("vitals")
    plan.metrics = tuple(replace(metric, kind=kind) for metric in plan.metrics)
    with pytest.raises(InternalError, match="message of its own"):
        encoder_of(plan).encode(np.zeros(1, SAMPLE), CONTROL_ID, NOW_NS)


@pytest.mark.parametrize("value", [3.0, -1.0, 0.5])
def test_an_enumeration_never_gets_a_wrong_token(value: float) -> None:
    block = np.zeros(1, SAMPLE)
    block["metric"], block["value"] = 1, value
    with pytest.raises(InternalError, match="no token"):
        encoder_of(INCUBATOR).encode(block, CONTROL_ID, NOW_NS)


def test_one_bad_sample_leaves_the_encoder_usable() -> None:
    encoder, good = encoder_of(INCUBATOR), np.zeros(1, SAMPLE)
    before = encoder.encode(good, CONTROL_ID, NOW_NS)
    with pytest.raises(InternalError):
        encoder.encode(with_fields(validity=200), CONTROL_ID, NOW_NS)
    assert encoder.encode(good, CONTROL_ID, NOW_NS) == before


def test_another_zone_is_the_same_instant() -> None:
    block = np.zeros(1, SAMPLE)
    block["t_ns"] = NOW_NS
    oru = parse_oru(Encoder(MONITOR, SENDER, DEVICE, ZoneInfo("America/Nuuk")).encode(block, CONTROL_ID, NOW_NS))
    ((_, observation),) = observations(oru)
    assert oru.groups[0].time.endswith("-0200")
    assert observation.t_ns == NOW_NS
