"""GE DRI: cuff, bolus and wedge pressures are given once, with the time at which they were measured."""

from __future__ import annotations

from math import isnan

import pytest

from gateway.core.frame import Reading
from gateway.core.sample import Validity
from tests.unit.ge_dri_rig import Fed, Group, S, auxiliary, values

ON = 3
OLD = 1 << 8


def cuff(sys: int, label: int = 0, time_s: int = 1000, number: int = 0) -> bytes:
    group: dict[str, Group] = {"nibp": (ON, label, {"sys": sys, "dia": sys - 4000})}
    return values(group, time_s=time_s, number=number)


class Line:
    """A line on which records of displayed values and auxiliary records come in turn."""

    def __init__(self) -> None:
        self.fed = Fed()

    def displayed(self, sys: int, time_s: int, label: int = 0) -> Reading | None:
        return self.fed.readings(cuff(sys, label, time_s)).get("nibp.sys")

    def timed(self, measured_s: int, time_s: int) -> Reading | None:
        return self.fed.readings(auxiliary(nibp=measured_s, time_s=time_s)).get("nibp.sys")


def test_a_cuff_pressure_waits_for_its_time_and_is_given_once() -> None:
    line = Line()
    assert line.displayed(12000, 1000) is None
    given = line.timed(980, 1001)
    assert given is not None
    assert (given.value, given.age_ns, given.validity) == (12000, 21 * S, Validity.VLD)
    for at in (1005, 1010, 1015):
        assert line.displayed(12000, at) is None
        assert line.timed(980, at + 1) is None


def test_the_same_numbers_measured_again_are_given_again() -> None:
    line = Line()
    line.displayed(12000, 1000)
    line.timed(980, 1001)
    assert line.displayed(12000, 1005) is None
    given = line.timed(1003, 1006)
    assert given is not None
    assert (given.value, given.age_ns) == (12000, 3 * S)


def test_a_time_that_is_newer_than_the_numbers_waits_for_the_new_numbers() -> None:
    """The cuff has measured between the two records: 120 was not measured at 1003."""
    line = Line()
    line.displayed(12000, 1000)
    line.timed(980, 1001)
    line.displayed(12000, 1002)
    assert line.timed(1003, 1004) is None
    assert line.displayed(9000, 1007) is None
    given = line.timed(1003, 1009)
    assert given is not None
    assert (given.value, given.age_ns) == (9000, 6 * S)


def test_a_cuff_pressure_from_before_the_line_was_opened_is_held_back() -> None:
    """It may be another patient's."""
    line = Line()
    line.displayed(12000, 1000)
    held = line.timed(900, 1001)
    assert held is not None
    assert isnan(float(held.value))
    assert held.validity == Validity.NA
    assert line.displayed(12000, 1005) is None
    line.displayed(9000, 1010)
    given = line.timed(1008, 1011)
    assert given is not None
    assert given.value == 9000


def test_a_late_time_is_told_as_it_is_when_the_line_was_up() -> None:
    line = Line()
    line.displayed(12000, 1000)
    line.timed(990, 1001)
    line.displayed(9000, 1200)
    given = line.timed(1100, 1201)
    assert given is not None
    assert given.age_ns == 101 * S


def test_without_auxiliary_records_a_value_is_given_when_it_changes() -> None:
    line = Line()
    assert line.displayed(12000, 1000) is None
    assert line.displayed(12000, 1005) is None
    third = line.displayed(12000, 1010)
    assert third is not None
    assert (third.value, third.age_ns) == (12000, 0)
    assert line.displayed(12000, 1015) is None
    changed = line.displayed(9000, 1020)
    assert changed is not None
    assert changed.value == 9000


def test_without_auxiliary_records_an_old_value_is_not_given() -> None:
    line = Line()
    for at in (1000, 1005):
        line.displayed(12000, at, OLD)
    held = line.displayed(12000, 1010, OLD)
    assert held is not None
    assert isnan(float(held.value))
    assert line.displayed(12000, 1015, OLD) is None


def test_a_time_of_0_is_no_time() -> None:
    line = Line()
    line.displayed(12000, 1000)
    assert line.timed(0, 1001) is None


def test_before_the_first_measurement_no_time_is_missing() -> None:
    line = Line()
    none: dict[str, Group] = {"nibp": (ON, 0, {})}
    for at in (1000, 1005, 1010, 1015):
        line.fed.readings(values(none, time_s=at))
        assert line.timed(0, at + 1) is None
    assert line.displayed(12000, 1020) is None
    given = line.timed(1018, 1021)
    assert given is not None
    assert given.age_ns == 3 * S


def test_a_value_whose_time_is_never_told_is_given_all_the_same() -> None:
    line = Line()
    for at in (1000, 1005):
        assert line.displayed(12000, at) is None
        assert line.timed(0, at + 1) is None
    given = line.displayed(12000, 1010)
    assert given is not None
    assert (given.value, given.age_ns) == (12000, 0)


def test_a_value_that_is_withdrawn_is_given_as_none_once() -> None:
    line = Line()
    line.displayed(12000, 1000)
    line.timed(990, 1001)
    fed = line.fed
    none: dict[str, Group] = {"nibp": (ON, 0, {})}
    gone = fed.readings(values(none, time_s=1005)).get("nibp.sys")
    assert gone is not None
    assert isnan(float(gone.value))
    assert "nibp.sys" not in fed.readings(values(none, time_s=1010))
    assert line.timed(990, 1011) is None


def test_a_module_that_comes_back_begins_anew() -> None:
    line = Line()
    line.displayed(12000, 1000)
    line.timed(990, 1001)
    assert isnan(float(line.fed.readings(values({}, time_s=1005))["nibp.sys"].value))
    line.displayed(12000, 1100)
    held = line.timed(990, 1101)
    assert held is not None
    assert isnan(float(held.value))  # older than a minute by now


@pytest.mark.parametrize(
    ("name", "field", "times"), [("co_wedge.co", "co", {"co": 990}), ("co_wedge.pcwp", "pcwp", {"pcwp": 990})]
)
def test_bolus_and_wedge_have_their_own_times(name: str, field: str, times: dict[str, int]) -> None:
    fed = Fed()
    assert name not in fed.readings(values({"co_wedge": (ON, 1 << 2, {field: 5000})}))
    given = fed.readings(auxiliary(**times, time_s=1001))[name]
    assert (given.value, given.age_ns) == (5000, 11 * S)


def test_body_surface() -> None:
    assert Fed().readings(auxiliary(surface=185))["pat_bsa"].value == 185
    assert isnan(float(Fed().readings(auxiliary())["pat_bsa"].value))
