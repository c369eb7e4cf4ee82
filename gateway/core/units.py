"""Units of measure: a reader of UCUM expressions, enough for bedside devices, and linear conversion.

A unit is a dimension (exponents of the SI base units and of mole-like counts) and a linear map to the coherent SI unit:
    SI value = value x factor + offset
Annotations in braces ({beats}) count as 1. What has no linear map (dB, [pH]) is a dimension of its own, so it converts
to nothing but itself.

Source: The Unified Code for Units of Measure 2.1, section 2 (syntax) and tables 1-7 (atoms and prefixes).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache

Dimension = tuple[tuple[str, int], ...]
"""Sorted (base symbol, exponent) pairs, no zero exponents: (("L", 2), ("T", -1))."""

_PREFIX = {"M": 1e6, "k": 1e3, "h": 1e2, "d": 1e-1, "c": 1e-2, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12}

# atom: (dimension, factor to SI, offset to SI, takes a metric prefix). UCUM tables 1-7; the base units are
# m, s, kg, K, A, mol, rad. A percentage is the number 0.01.
_ATOMS: dict[str, tuple[dict[str, int], float, float, bool]] = {
    "1": ({}, 1.0, 0.0, False),
    "%": ({}, 0.01, 0.0, False),
    "[ppth]": ({}, 1e-3, 0.0, False),
    "[ppm]": ({}, 1e-6, 0.0, False),
    "m": ({"L": 1}, 1.0, 0.0, True),
    "[in_i]": ({"L": 1}, 0.0254, 0.0, False),
    "[ft_i]": ({"L": 1}, 0.3048, 0.0, False),
    "s": ({"T": 1}, 1.0, 0.0, True),
    "min": ({"T": 1}, 60.0, 0.0, False),
    "h": ({"T": 1}, 3600.0, 0.0, False),
    "d": ({"T": 1}, 86400.0, 0.0, False),
    "a": ({"T": 1}, 31557600.0, 0.0, False),
    "Hz": ({"T": -1}, 1.0, 0.0, True),
    "g": ({"M": 1}, 1e-3, 0.0, True),
    "[lb_av]": ({"M": 1}, 0.45359237, 0.0, False),
    "[oz_av]": ({"M": 1}, 0.028349523125, 0.0, False),
    "L": ({"L": 3}, 1e-3, 0.0, True),
    "K": ({"K": 1}, 1.0, 0.0, True),
    "Cel": ({"K": 1}, 1.0, 273.15, False),
    "[degF]": ({"K": 1}, 5 / 9, 459.67 * 5 / 9, False),
    "N": ({"M": 1, "L": 1, "T": -2}, 1.0, 0.0, True),
    "dyn": ({"M": 1, "L": 1, "T": -2}, 1e-5, 0.0, True),
    "gf": ({"M": 1, "L": 1, "T": -2}, 9.80665e-3, 0.0, True),
    "Pa": ({"M": 1, "L": -1, "T": -2}, 1.0, 0.0, True),
    "bar": ({"M": 1, "L": -1, "T": -2}, 1e5, 0.0, True),
    "[psi]": ({"M": 1, "L": -1, "T": -2}, 6894.757293168, 0.0, False),
    "m[Hg]": ({"M": 1, "L": -1, "T": -2}, 133322.0, 0.0, True),  # UCUM: 133.3220 kPa, so mm[Hg] = 133.322 Pa
    "m[H2O]": ({"M": 1, "L": -1, "T": -2}, 9806.65, 0.0, True),
    "[in_i'H2O]": ({"M": 1, "L": -1, "T": -2}, 249.08891, 0.0, False),  # m[H2O] x 0.0254
    "J": ({"M": 1, "L": 2, "T": -2}, 1.0, 0.0, True),
    "cal": ({"M": 1, "L": 2, "T": -2}, 4.184, 0.0, True),
    "W": ({"M": 1, "L": 2, "T": -3}, 1.0, 0.0, True),
    "A": ({"A": 1}, 1.0, 0.0, True),
    "V": ({"M": 1, "L": 2, "T": -3, "A": -1}, 1.0, 0.0, True),
    "Ohm": ({"M": 1, "L": 2, "T": -3, "A": -2}, 1.0, 0.0, True),
    "mol": ({"N": 1}, 1.0, 0.0, True),
    "eq": ({"N": 1}, 1.0, 0.0, True),  # UCUM: equivalents are moles
    "osm": ({"N": 1}, 1.0, 0.0, True),
    "deg": ({"rad": 1}, 0.017453292519943295, 0.0, False),
    "rad": ({"rad": 1}, 1.0, 0.0, False),
    "[iU]": ({"iU": 1}, 1.0, 0.0, True),
    "[drp]": ({"drp": 1}, 1.0, 0.0, False),
    "[pH]": ({"pH": 1}, 1.0, 0.0, False),
    "dB": ({"dB": 1}, 1.0, 0.0, False),
    "dB[10.nV]": ({"dB": 1}, 1.0, 0.0, False),
}
_TERM = re.compile(r"(?P<atom>(?:dB)?[A-Za-z%]*(?:\[[^\]]*\])*[A-Za-z%]*)(?P<exp>[+-]?[1-9])?(?P<note>\{[^{}]*\})?")
_NUMBER = re.compile(r"[1-9][0-9]{0,5}")
_ANNOTATION = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Ucum:
    """A UCUM expression, understood."""

    text: str
    dimension: Dimension
    factor: float
    offset: float = 0.0


@lru_cache(maxsize=512)
def parse_ucum(text: str) -> Ucum:
    """Read a UCUM expression ("mm[Hg]", "L/min/m2", "{beats}/min").

    Raises: ValueError naming the part that is not known.
    """
    special = _ATOMS.get(text)
    if special:
        return Ucum(text, _pack(special[0]), special[1], special[2])
    exponents: dict[str, int] = {}
    factor = 1.0
    for sign, term in _terms(text):
        dimension, size = _term(term, text)
        for base, exponent in dimension.items():
            exponents[base] = exponents.get(base, 0) + sign * exponent
        factor *= size**sign
    if not 0 < factor < math.inf:
        raise ValueError(f"{text[:40]!r}: the size of the unit is beyond all numbers")
    return Ucum(text, _pack(exponents), factor)


def linear(source: str, target: str, *, difference: bool = False) -> tuple[float, float]:
    """Return (scale, offset) so that target = source x scale + offset, both UCUM expressions.

    difference: the value is a distance on the scale (core minus skin temperature), not a point of it, so the zero of
    the scale falls away: 2 degF apart are 1.1 Cel apart, not -16.7.
    Raises: ValueError when their dimensions differ.
    """
    a, b = parse_ucum(source), parse_ucum(target)
    if a.dimension != b.dimension:
        raise ValueError(f"{source} is {_show(a.dimension)}, {target} is {_show(b.dimension)}")
    return a.factor / b.factor, 0.0 if difference else (a.offset - b.offset) / b.factor


def convert(value: float, source: str, target: str) -> float:
    """Convert one value; 12 significant digits, more would be noise of the arithmetic."""
    scale, offset = linear(source, target)
    return float(f"{value * scale + offset:.12g}")


def same_dimension(a: str, b: str) -> bool:
    """Tell whether a value in `a` can be converted to `b`."""
    return parse_ucum(a).dimension == parse_ucum(b).dimension


def _terms(text: str) -> list[tuple[int, str]]:
    """Split at '.' and '/' outside brackets: [(+1, "L"), (-1, "min")]. '/' divides only the next term.

    Only a leading '/' may stand without a term before it. A bracket left open would swallow the rest of the text and
    leave a plain number, so it is refused.
    """
    terms: list[tuple[int, str]] = []
    sign, start, depth = 1, 0, 0
    for i, char in enumerate(text + "."):
        depth += (char in "[{") - (char in "]}")
        if depth or char not in "./":
            continue
        if i > start:
            terms.append((sign, text[start:i]))
        elif i or char != "/" or len(text) == 1:
            raise ValueError(f"{text!r} is not a UCUM expression: a unit is missing at position {i}")
        sign, start = (-1 if char == "/" else 1), i + 1
    if depth:
        raise ValueError(f"{text!r} is not a UCUM expression: brackets do not match")
    return terms


def _term(term: str, text: str) -> tuple[dict[str, int], float]:
    if _ANNOTATION.fullmatch(term):
        return {}, 1.0
    if _NUMBER.fullmatch(term):
        return {}, float(term)
    match = _TERM.fullmatch(term)
    if not match or not match["atom"]:
        raise ValueError(f"{text!r}: {term!r} is not a UCUM unit")
    atom, exponent = match["atom"], int(match["exp"] or 1)
    dimension, size = _atom(atom, text)
    return {base: e * exponent for base, e in dimension.items()}, float(size**exponent)


def _atom(atom: str, text: str) -> tuple[dict[str, int], float]:
    if atom in _ATOMS:
        dimension, size, offset, _ = _ATOMS[atom]
        if offset:
            raise ValueError(f"{text!r}: {atom} has an offset and cannot be part of a product")
        return dimension, size
    prefix, rest = atom[:1], atom[1:]
    if prefix in _PREFIX and rest in _ATOMS and _ATOMS[rest][3]:
        return _ATOMS[rest][0], _ATOMS[rest][1] * _PREFIX[prefix]
    raise ValueError(f"{text!r}: {atom!r} is not a UCUM unit known here")


def _pack(exponents: dict[str, int]) -> Dimension:
    return tuple(sorted((base, e) for base, e in exponents.items() if e))


def _show(dimension: Dimension) -> str:
    return ".".join(f"{base}{e}" for base, e in dimension) or "a plain number"
