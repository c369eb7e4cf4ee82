"""The plan, beyond numbers: the device's clock, episodic values, words of the device, and what is experimental."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gateway.core.frame import Alert, Alerts, Frame, Reading, Wave
from gateway.core.hl7_alert import AlertEncoder
from gateway.core.nomenclature import nomenclature
from gateway.core.notes import NoteList
from gateway.core.plan import Plan
from gateway.core.profile import parse_profile
from gateway.core.sample import Flag, Validity
from kita.check import check_message
from tests.unit.hl7_rig import CONTROL_ID, COPENHAGEN, DEVICE, NOW_NS, SENDER, encoder_of
from tests.unit.test_plan import DOOR, HEAD, PLETH, PRESSURE, SPO2

SECOND = 1_000_000_000
CLOCK = '{ n = 9, id = "MDC_ATTR_TIME_ABS", kind = "clock", object = "clock" },'
MODE = (
    '{ n = 5, id = "MDCX_LAB_INCUBATOR_DOOR", kind = "enumeration", object = "mode",'
    ' values = [["A/C", "assist-control"], ["SIMV", "simv"]] },'
)
WEIGHT = '{ n = 6, id = "MDC_MASS_BODY_ACTUAL", unit = "kg", object = "weight", episodic = true },'
WORDS = HEAD.replace('"0x0F03" = "kPa"', '"0x0F03" = "kPa"\nkg = "kg"\nlb = "[lb_av]"')


def plan(*metrics: str, experimental: bool = False) -> Plan:
    head = WORDS.replace("[units]", 'experimental = "a test"\n[units]') if experimental else WORDS
    return Plan(parse_profile(head + "\n".join(metrics) + "\n]\n", "test/test", "test.toml"), "", nomenclature())


# ---- the device's clock


def offsets(p: Plan, *told: tuple[float, float | None], kind: str = "numeric") -> list[float | None]:
    """(our time, device's time or None), s: the offset that the plan gives at each, None = nothing."""
    found: list[float | None] = []
    for t, device in told:
        device_ns = None if device is None else round(device * SECOND)
        rows = p.decode(Frame(kind, [], round(t * SECOND), device_ns=device_ns), 3)
        assert len(rows) <= 1
        found.append(float(rows["value"][0]) if len(rows) else None)
    return found


def test_the_clock_is_told_at_first_sight_at_a_step_and_every_ten_minutes() -> None:
    p = plan(SPO2, CLOCK)
    assert offsets(
        p,
        (1000, None),
        (1001, 998),  # first sight
        (1002, 999.5),  # half a second: jitter
        (1003, 1000.999),
        (1004, 1002),  # a whole second against what was told
        (1005, 1003),
        (1604 - 0.001, 1602),
        (1604, 1602.25),  # ten minutes after it was told last
        (1605, 1603.25),
        (1606, 5206),  # somebody has set it
        (1607, 5207),
        (900, 4500),  # our own clock was set back: told again
    ) == [None, -3, None, None, -2, None, None, -1.75, None, 3600, None, 3600]


def test_small_steps_are_told_when_together_they_are_one() -> None:
    told = offsets(plan(CLOCK), *((t, t * 1.01) for t in range(0, 400)))
    assert [round(offset or 0, 6) for offset in told if offset is not None] == [0, 1, 2, 3]


def test_two_devices_of_one_plan_have_their_own_clocks() -> None:
    one = plan(CLOCK)
    other = one.twin()
    assert offsets(one, (1, 1)) + offsets(other, (1, 5)) + offsets(one, (2, 2)) == [0, 4, None]


def test_without_a_row_for_it_the_clock_is_not_told() -> None:
    assert offsets(plan(SPO2), (1, 1)) == [None]


@pytest.mark.parametrize("device_s", [-1.0, 7_258_118_400.0, 32_503_680_000.0])
def test_a_clock_that_shows_no_time_is_no_value_and_said_once(device_s: float) -> None:
    """A year 3000 in one row would have the receiver refuse the whole message, values and all."""
    p = plan(CLOCK)
    (row,) = p.decode(Frame("numeric", [], 5, device_ns=round(device_s * SECOND)), 0)
    assert (math.isnan(row["value"]), row["validity"]) == (True, Validity.INV)
    assert len(p.decode(Frame("numeric", [], 6, device_ns=round(device_s * SECOND)), 0)) == 0
    assert offsets(p, (1, 1)) == [0]


def test_the_clock_comes_beside_the_values_of_its_frame() -> None:
    frame = Frame("numeric", [Reading(1, 0, 0x0220, 97.0)], 50 * SECOND, device_ns=49 * SECOND)
    rows = plan(SPO2, CLOCK).decode(frame, 3)
    assert rows[["t_ns", "value", "metric", "source"]].tolist() == [
        (50 * SECOND, 97.0, 0, 3),
        (50 * SECOND, -1.0, 1, 3),
    ]


# ---- episodic values


def test_an_episodic_value_reaches_kita_with_the_time_at_which_it_was_measured() -> None:
    p = plan(SPO2, PRESSURE)
    cuff = Reading(2, 0, 0x0F20, 120.0, age_ns=93 * SECOND + 500_000_000)
    block = p.decode(Frame("numeric", [Reading(1, 0, 0x0220, 97.0), cuff], NOW_NS), 0)
    rows = check_message(encoder_of(p).encode(block, CONTROL_ID, NOW_NS)).intake.rows
    assert sorted((ref_id, value, (NOW_NS - t_ns) / SECOND) for _, _, ref_id, value, *_, t_ns, _ in rows) == [
        ("MDC_PRESS_BLD_NONINV_SYS", 120.0, 93.5),
        ("MDC_PULS_OXIM_SAT_O2", 97.0, 0.0),
    ]
    flags = {row[2]: row[7] for row in rows}
    assert flags == {"MDC_PRESS_BLD_NONINV_SYS": Flag.EPISODIC, "MDC_PULS_OXIM_SAT_O2": 0}


def test_a_value_of_the_future_is_one_of_now() -> None:
    (row,) = plan(PRESSURE).decode(Frame("numeric", [Reading(2, 0, 0x0F20, 120.0, age_ns=-5)], 1000), 0)
    assert row["t_ns"] == 1000


# ---- words of the device


@pytest.mark.parametrize(
    ("word", "value", "validity"),
    [
        ("A/C", 0.0, Validity.VLD),
        ("SIMV", 1.0, Validity.VLD),
        ("BILEVEL", math.nan, Validity.INV),  # a mode that the profile does not know is no value, never a guess
        ("a/c", math.nan, Validity.INV),
        (math.nan, math.nan, Validity.NA),
        (0.0, math.nan, Validity.INV),
    ],
)
def test_states_told_by_words(word: str | float, value: float, validity: Validity) -> None:
    (row,) = plan(MODE).decode(Frame("numeric", [Reading("mode", 0, 0, word)], 1), 0)
    assert np.array_equal([row["value"]], [value], equal_nan=True)
    assert row["validity"] == validity


def test_units_told_by_words() -> None:
    p = plan(WEIGHT)

    def weighed(value: float | str, unit: str) -> tuple[float, int]:
        (row,) = p.decode(Frame("numeric", [Reading("weight", 0, unit, value)], 1), 0)
        return float(row["value"]), int(row["validity"])

    assert weighed(78.4, "kg") == (78.4, Validity.VLD)
    assert weighed(100.0, "lb")[0] == pytest.approx(45.359237)
    value, validity = weighed(12.0, "st")  # a unit nobody knows
    assert (math.isnan(value), validity) == (True, Validity.INV)
    value, validity = weighed("heavy", "kg")  # a word where a number belongs
    assert (math.isnan(value), validity) == (True, Validity.INV)
    assert p.unmapped == {("numeric", "weight unit st"): 1, ("numeric", "weight is no number"): 1}


# ---- experimental


@pytest.mark.parametrize("validity", list(Validity))
def test_nothing_of_an_experimental_profile_is_valid(validity: Validity) -> None:
    """Values, states, words, waves and the clock: what would be valid is questionable; what is worse stays as it is."""
    metrics = (SPO2, PLETH, DOOR, MODE, CLOCK)
    trusted, doubted = plan(*metrics), plan(*metrics, experimental=True)

    def validities(p: Plan) -> list[int]:
        readings = [Reading(1, 0, 0x0220, 97.0, validity), Reading("mode", 0, 0, "SIMV", validity)]
        blocks = [
            p.decode(Frame("numeric", readings, 5, device_ns=5), 0),
            p.decode(Frame("wave", Wave(3, 0, 0x0200, np.array([0.5, math.nan]), 1000, validity), 5), 0),
            p.decode(Frame("f", b"\x00\x01", 5), 0),
        ]
        return np.concatenate(blocks)["validity"].tolist()

    expected = [
        int(Validity.QST) if before in (Validity.VLD, Validity.VLDATED) else before for before in validities(trusted)
    ]
    assert validities(doubted) == expected
    assert not {Validity.VLD, Validity.VLDATED} & set(validities(doubted))


@pytest.mark.parametrize("experimental", [False, True])
@pytest.mark.parametrize("validity", [Validity.ONG, Validity.CALIB, Validity.INV, Validity.NA])
def test_a_no_value_keeps_its_reason(validity: Validity, experimental: bool) -> None:
    """ONG stands below QST in the order of the standard, and is no number all the same: the cuff is being inflated."""
    p = plan(SPO2, MODE, experimental=experimental)
    readings = [Reading(1, 0, 0x0220, math.nan, validity), Reading("mode", 0, 0, math.nan, validity)]
    assert p.decode(Frame("numeric", readings, 1), 0)["validity"].tolist() == [validity, validity]


def test_a_measurement_still_running_does_not_become_a_number_because_it_is_out_of_range() -> None:
    (row,) = plan(SPO2).decode(Frame("numeric", [Reading(1, 0, 0x0220, 127.0, Validity.ONG)], 1), 0)
    assert row["validity"] == Validity.ONG


def test_out_of_range_is_told_of_an_experimental_profile_too() -> None:
    (row,) = plan(SPO2, experimental=True).decode(Frame("numeric", [Reading(1, 0, 0x0220, 127.0)], 1), 0)
    assert (float(row["value"]), row["validity"]) == (127.0, Validity.OFLW)


def test_an_alert_of_an_experimental_profile_is_questionable_and_says_so() -> None:
    alarm = '{ n = 8, id = "MDC_EVT_ALARM", kind = "alert", alert = "technical", frame = "alert", object = "*" },'
    for experimental in (False, True):
        p, notes = plan(SPO2, alarm, experimental=experimental), NoteList()
        p.notes = notes
        rows = p.decode(Frame("alert", Alerts((Alert(7, text="Kabel"),)), NOW_NS), 0)
        assert set(rows["validity"].tolist()) == {int(Validity.QST if experimental else Validity.VLD)}
        payload = AlertEncoder(p, SENDER, DEVICE, COPENHAGEN, notes.text, 30.0).encode(rows[:1], CONTROL_ID, NOW_NS)
        assert (b"|PN~ST~QUES|" in payload) is experimental
        checked = check_message(payload)
        assert not checked.errors
        assert [alert.text for alert in checked.intake.more.alerts] == ["Kabel"]


def test_experimental_is_a_part_of_the_digest() -> None:
    assert plan(SPO2).digest != plan(SPO2, experimental=True).digest
