"""Waveforms as IHE WCM: what goes in comes out at KITA, whole, in time, nothing padded."""

from __future__ import annotations

import math
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.clock import NOTHING_SAID, ClockState
from gateway.core.errors import InternalError
from gateway.core.hl7_check import check
from gateway.core.hl7_wave import WaveEncoder, samples_text
from gateway.core.nomenclature import nomenclature
from gateway.core.notes import NoteList
from gateway.core.plan import Plan
from gateway.core.profile import parse_profile
from gateway.core.sample import SAMPLE, Block, Flag, Validity
from gateway.core.wave_clock import STEP_NS
from gateway.hl7_validate import validate
from kita.check import check_message
from tests.unit.hl7_rig import CONTROL_ID, COPENHAGEN, DEVICE, NOW_NS, SENDER

SECOND = 1_000_000_000
T0 = NOW_NS - 5 * SECOND
PROFILE = """
[profile]
vendor = "Golden"
model = "Monitor"
driver = "none"
source = "made for this test"
verified = "paper"
device = "MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS"
[[channel]]
path = "1.1.1"
vmd = "MDC_DEV_ECG_RESP_VMD"
chan = "MDC_DEV_ECG_RESP_CHAN"
frame = "wave"
metric = [
  { n = 1, id = "MDC_ECG_ELEC_POTL_II", unit = "mV", kind = "waveform", object = 1 },
  { n = 2, id = "MDC_PULS_OXIM_PLETH", unit = "1", kind = "waveform", object = 2 },
]
"""
PLAN = Plan(parse_profile(PROFILE, "golden/monitor", "monitor.toml"), "", nomenclature())


def block(
    values: list[float], period_ns: int, notes: NoteList, metric: int = 0, t_ns: int = T0, flags: int = 0
) -> Block:
    rows = np.zeros(len(values), SAMPLE)
    rows["value"], rows["metric"], rows["note"] = values, metric, notes.index(str(period_ns))
    rows["t_ns"] = t_ns + period_ns * np.arange(len(values))
    rows["flags"] = int(Flag.WAVEFORM) | flags
    rows["validity"][np.isnan(rows["value"])] = Validity.INV
    return rows


def encoded(rows: Block, notes: NoteList, processing_id: str = "P", clock: ClockState = NOTHING_SAID) -> bytes:
    sender = replace(SENDER, processing_id=processing_id)
    return WaveEncoder(PLAN, sender, DEVICE, COPENHAGEN, notes.text).encode(rows, CONTROL_ID, NOW_NS, clock)


def test_a_message_a_person_can_read() -> None:
    notes = NoteList()
    lines = encoded(block([0.0, 0.125, -0.25, math.nan, 1.0], 16_000_000, notes), notes).decode().split("\r")
    assert lines[0].split("|")[8] == "ORU^R01^ORU_R01"
    number = f"{CONTROL_ID}.1^MDIGW^0011223344556677^EUI-64"
    assert lines[3:-1] == [
        f"OBR|1|{number}|{number}|69121^MDC_OBS_WAVE_CTS^MDC|||20261121102956.400+0100|20261121102956.480+0100",
        "OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X|||||||skop-3^^0009FBFFFE012345^EUI-64",
        f"OBX|2|ST|0^MDCX_PROFILE_DIGEST^MDC|1.0.0.2|{PLAN.digest.hex()[:16]}||||||R",
        "OBX|3||70666^MDC_DEV_ECG_RESP_VMD^MDC|1.1.0.0|||||||X",
        "OBX|4||70667^MDC_DEV_ECG_RESP_CHAN^MDC|1.1.1.0|||||||X",
        "OBX|5|NA|131330^MDC_ECG_ELEC_POTL_II^MDC|1.1.1.1|0^0.125^-0.25^^1.0|266418^MDC_DIM_MILLI_VOLT^MDC^mV^mV^UCUM|||||R",
        "OBX|6|NM|0^MDC_ATTR_SAMP_RATE^MDC|1.1.1.1.1|62.5|264608^MDC_DIM_PER_SEC^MDC^/s^/s^UCUM|||||R",
    ]


def test_our_judge_and_a_foreign_one_accept_it() -> None:
    notes = NoteList()
    payload = encoded(block([0.5] * 62, 16_000_000, notes), notes)
    assert [f for f in check(payload, nomenclature()) if f.severity == "E"] == []
    assert not validate(payload)


@given(
    st.sampled_from([(16_000_000, 62.5), (round(SECOND / 300), 300.0), (4_000_000, 250.0), (2_000_000, 500.0)]),
    st.lists(st.integers(2, 400), min_size=1, max_size=6),
    st.integers(0, 2**31),
)
def test_blocks_of_any_length_arrive_whole_and_in_time(rate: tuple[int, float], sizes: list[int], seed: int) -> None:
    period, hertz = rate
    rng = np.random.default_rng(seed)
    notes, t_ns, arrived = NoteList(), T0, []
    values = rng.uniform(-5, 300, sum(sizes))
    values[rng.random(sum(sizes)) < 0.05] = np.nan
    at = 0
    for size in sizes:
        rows = block(values[at : at + size].tolist(), period, notes, t_ns=t_ns)
        (wave,) = check_message(encoded(rows, notes)).intake.more.waves
        assert (wave.n, wave.rate_hz, wave.ref_id) == (size, hertz, "MDC_ECG_ELEC_POTL_II")
        assert abs(wave.t_utc_ns - t_ns) < 1_000_000  # a time in HL7 has milliseconds
        assert abs(wave.end_utc_ns - (t_ns + size * period)) < 1_000_000
        arrived += struct.unpack(f"<{size}f", wave.samples)
        at, t_ns = at + size, t_ns + size * period
    assert len(arrived) == len(values)
    assert np.allclose(arrived, values, atol=1e-4, equal_nan=True)


def test_a_gap_begins_a_run_of_its_own() -> None:
    notes = NoteList()
    rows = np.concatenate([block([1.0, 2.0], 4_000_000, notes), block([3.0], 4_000_000, notes, t_ns=T0 + SECOND)])
    rows["flags"][2] |= int(Flag.AFTER_GAP)
    waves = check_message(encoded(rows, notes)).intake.more.waves
    assert [(w.n, bool(w.flags & Flag.AFTER_GAP), w.t_utc_ns - T0) for w in waves] == [(2, False, 0), (1, True, SECOND)]


def test_a_hole_that_only_the_time_shows_is_no_run_without_a_gap() -> None:
    """A whole block was lost in the ring, and the mark AFTER_GAP stands on a sample of something else."""
    notes = NoteList()
    rows = np.concatenate([block([1.0, 2.0], 4_000_000, notes), block([3.0], 4_000_000, notes, t_ns=T0 + SECOND)])
    waves = check_message(encoded(rows, notes)).intake.more.waves
    assert [(w.n, bool(w.flags & Flag.AFTER_GAP), w.t_utc_ns - T0) for w in waves] == [(2, False, 0), (1, True, SECOND)]


def test_a_hole_between_two_messages_is_told_each_time_the_second_is_made() -> None:
    notes = NoteList()
    coder = WaveEncoder(PLAN, SENDER, DEVICE, COPENHAGEN, notes.text)

    def gap(rows: Block) -> bool:
        (wave,) = check_message(coder.encode(rows, CONTROL_ID, NOW_NS)).intake.more.waves
        return bool(wave.flags & Flag.AFTER_GAP)

    assert not gap(block([1.0] * 250, 4_000_000, notes))
    assert not gap(block([1.0] * 250, 4_000_000, notes, t_ns=T0 + SECOND + STEP_NS))  # jitter that is followed
    assert not gap(block([1.0] * 250, 4_000_000, notes, t_ns=T0 + 2 * SECOND))  # followed back again
    late = block([1.0] * 250, 4_000_000, notes, t_ns=T0 + 4 * SECOND)
    assert gap(late)
    assert gap(late)  # the disk was full, the same samples are encoded again
    assert not gap(block([1.0], 4_000_000, notes, t_ns=T0 + 5 * SECOND))
    assert not gap(block([1.0], 4_000_000, notes, t_ns=T0 - 3600 * SECOND))  # the clock was set back


def test_a_clock_that_is_set_back_in_a_block_begins_a_run() -> None:
    notes = NoteList()
    rows = np.concatenate([block([1.0] * 3, 4_000_000, notes), block([2.0] * 2, 4_000_000, notes, t_ns=T0 - SECOND)])
    waves = check_message(encoded(rows, notes)).intake.more.waves
    assert [(w.n, w.t_utc_ns - T0, w.flags & Flag.AFTER_GAP) for w in waves] == [(3, 0, 0), (2, -SECOND, 0)]


def test_questionable_samples_are_never_sold_as_valid_by_valid_ones_beside_them() -> None:
    notes = NoteList()
    rows = block([1.0, math.nan, 2.0, 3.0, math.nan, 4.0], 4_000_000, notes)
    rows["validity"][[0, 2]] = Validity.QST
    payload = encoded(rows, notes)
    waves = check_message(payload).intake.more.waves
    assert [w.n for w in waves] == [3, 3]
    assert [line.split("|")[5:9:3] for line in payload.decode().split("\r") if "|NA|" in line] == [
        ["1^^2.0", "QUES"],
        ["3^^4.0", ""],
    ]


@pytest.mark.parametrize("validity", [Validity.INV, Validity.NA, Validity.ONG])
def test_a_number_that_is_no_value_does_not_travel(validity: Validity) -> None:
    notes = NoteList()
    rows = block([1.0, 77.0, 3.0], 4_000_000, notes)
    rows["validity"][1] = validity
    (wave,) = check_message(encoded(rows, notes)).intake.more.waves
    assert np.array_equal(struct.unpack("<3f", wave.samples), [1.0, math.nan, 3.0], equal_nan=True)


def test_numbers_without_end_or_meaning_make_no_message_that_kita_refuses() -> None:
    notes = NoteList()
    checked = check_message(encoded(block([1.0, math.inf, -math.inf, 1e17, -2.5e22], 4_000_000, notes), notes))
    assert not checked.errors
    samples = struct.unpack("<5f", checked.intake.more.waves[0].samples)
    assert np.allclose(samples, [1.0, math.nan, math.nan, 1e17, -2.5e22], equal_nan=True)


def test_a_lone_sample_that_is_no_value_is_a_row_that_says_so() -> None:
    notes = NoteList()
    payload = encoded(block([math.nan], 4_000_000, notes), notes)
    assert b"||266418^MDC_DIM_MILLI_VOLT^MDC^mV^mV^UCUM||INV|||X" in payload
    assert not check_message(payload).errors


def test_several_waves_stand_in_one_message() -> None:
    notes = NoteList()
    rows = np.concatenate([block([1.0] * 3, 2_000_000, notes), block([0.5] * 2, 8_000_000, notes, metric=1)])
    waves = check_message(encoded(rows, notes)).intake.more.waves
    assert [(w.ref_id, w.n, w.rate_hz) for w in waves] == [
        ("MDC_ECG_ELEC_POTL_II", 3, 500.0),
        ("MDC_PULS_OXIM_PLETH", 2, 125.0),
    ]


@pytest.mark.parametrize(("flags", "processing_id", "apart"), [(0, "P", 0), (int(Flag.DEMO), "P", 1), (0, "T", 1)])
def test_demo_and_test_waves_are_kept_apart(flags: int, processing_id: str, apart: int) -> None:
    notes = NoteList()
    payload = encoded(block([1.0], 4_000_000, notes, flags=flags), notes, processing_id)
    (wave,) = check_message(payload).intake.more.waves
    assert wave.apart == apart


def test_samples_without_a_period_are_a_bug() -> None:
    rows = block([1.0], 4_000_000, NoteList())
    with pytest.raises(InternalError, match="without a period"):
        encoded(rows, NoteList())


@given(st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=50))
def test_numbers_have_no_exponent_and_read_back(values: list[float]) -> None:
    text = samples_text(block(values, 1, NoteList()))
    assert "e" not in text
    read = [float(part) if part else math.nan for part in text.split("^")]
    assert np.allclose(read, values, atol=1e-4, equal_nan=True)
