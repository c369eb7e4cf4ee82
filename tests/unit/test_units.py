"""Units: what converts, converts back, and what does not fit is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.nomenclature import nomenclature
from gateway.core.units import convert, linear, parse_ucum, same_dimension

UCUM = sorted({unit.ucum for unit in nomenclature().units.values()})
units = st.sampled_from([*UCUM, "[in_i'H2O]", "[psi]", "[lb_av]", "bar", "m[H2O]", "/s", "mm[Hg].min/L", "kcal/d"])
values = st.floats(-1e6, 1e6, allow_nan=False)


# Source of the numbers: UCUM 2.1 tables (definitions of the units); the Fahrenheit fixed points are 32 and 212 degrees.
@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (98.6, "[degF]", "Cel", 37.0),
        (32, "[degF]", "Cel", 0.0),
        (212, "[degF]", "Cel", 100.0),
        (-40, "Cel", "[degF]", -40.0),
        (37, "Cel", "K", 310.15),
        (16, "kPa", "mm[Hg]", 120.010200867),  # 16000 / 133.322
        (120, "mm[Hg]", "kPa", 15.99864),
        (1, "[in_i'H2O]", "Pa", 249.08891),  # inch of water column: 0.0254 x 9806.65
        (1, "cm[H2O]", "mbar", 0.980665),
        (1, "[psi]", "kPa", 6.894757293168),
        (0.97, "1", "%", 97.0),
        (97, "%", "1", 0.97),
        (1, "%", "[ppm]", 10000.0),
        (72, "/min", "Hz", 1.2),
        (72, "/min", "1/min", 72.0),
        (3, "{beat}/min", "/min", 3.0),
        (6, "L/min", "mL/min", 6000.0),
        (1, "L/s", "L/min", 60.0),
        (3000, "360.deg/min", "rad/s", 314.159265359),  # 50 turns a second
        (1, "mm[Hg].min/L", "dyn.s/cm5", 79.9932),  # the Wood unit of vascular resistance
        (10, "cm[H2O].s/L", "mbar.s/L", 9.80665),
        (50, "mL/cm[H2O]", "mL/mbar", 50.9858106489),
        (1, "kg", "[lb_av]", 2.20462262185),
        (4.184, "J", "cal", 1.0),
        (40, "dB", "dB[10.nV]", 40.0),
    ],
)
def test_known_conversions(value: float, source: str, target: str, expected: float) -> None:
    assert convert(value, source, target) == pytest.approx(expected, rel=1e-11, abs=1e-10)


@given(units, units, values)
def test_what_converts_converts_back(a: str, b: str, value: float) -> None:
    if not same_dimension(a, b):
        with pytest.raises(ValueError, match="is"):
            linear(a, b)
        return
    there, back = linear(a, b), linear(b, a)
    again = (value * there[0] + there[1]) * back[0] + back[1]
    assert again == pytest.approx(value, rel=1e-9, abs=1e-6)


@given(units, units, units)
def test_the_way_between_two_units_does_not_matter(a: str, b: str, c: str) -> None:
    if not (same_dimension(a, b) and same_dimension(b, c)):
        return
    (f1, o1), (f2, o2), (f, o) = linear(a, b), linear(b, c), linear(a, c)
    assert f1 * f2 == pytest.approx(f, rel=1e-12)
    assert o1 * f2 + o2 == pytest.approx(o, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("mm[Hg]", "mm"),  # the classic: pressure and length
        ("mV", "mm"),
        ("/min", "L/min"),
        ("Cel", "1"),
        ("dB", "1"),
        ("[pH]", "1"),
        ("cm[H2O]/L/s", "cm[H2O].s/L"),  # why the published text of the airway resistance is not used
        ("kg", "N"),
    ],
)
def test_other_kinds_of_quantity_are_refused(a: str, b: str) -> None:
    with pytest.raises(ValueError, match="is"):
        convert(1, a, b)


def test_a_difference_has_no_zero() -> None:
    assert linear("[degF]", "Cel", difference=True) == pytest.approx((5 / 9, 0))
    assert linear("[degF]", "Cel")[1] == pytest.approx(-160 / 9)
    assert linear("Cel", "K", difference=True) == (1, 0)


@pytest.mark.parametrize(
    "text",
    # an open bracket once swallowed the rest and left a plain number
    [
        "",
        "/",
        "m/",
        ".m",
        "L//min",
        "mm[Hg",
        "mm]Hg",
        "{beats",
        "{x}kg",
        "(L/s)",
        "Mm[Foo]",
        "kCel/min",
        "0",
        "/0",
        "2m",
    ],
)
def test_broken_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"UCUM|offset"):
        parse_ucum(text)


def test_a_unit_beyond_all_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="beyond"):
        parse_ucum(".".join(["Mm9"] * 9))


@given(st.one_of(st.text(), st.text(st.sampled_from("mkgLPaHg[]{}./0129%'-min"))))
def test_any_text_is_a_unit_or_a_value_error(text: str) -> None:
    try:
        unit = parse_ucum(text)
    except ValueError:
        return
    assert 0 < unit.factor < math.inf
    assert unit.text == text


def test_longest_atom_before_prefix() -> None:
    """min is no milli-inch, Pa no peta-annum, cd no centi-day."""
    assert parse_ucum("min").dimension == (("T", 1),)
    assert parse_ucum("Pa").factor == 1
    with pytest.raises(ValueError, match="cd"):
        parse_ucum("cd")
