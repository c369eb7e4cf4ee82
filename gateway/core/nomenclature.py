"""The ISO/IEEE 11073-10101 terms that the profiles use: code, names, units, and where each row comes from.

The table is data: `nomenclature.csv` and `units.csv` beside this file, read once. These two packaged files are the only
thing that the core reads; everything else is handed to it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from gateway.core.units import parse_ucum

PRIVATE_PREFIX = "MDCX_"
"""Reference ids not yet standardised; sent as code 0 (IHE PCD TF-2, OBX-3)."""

DIFFERENCES = frozenset({"MDC_TEMP_DIFF"})
"""Terms whose value is the distance of two points on a scale with an arbitrary zero: converted without that zero."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measure as HL7 names it: MDC code, MDC reference id and UCUM text (OBX-6)."""

    ref_id: str
    code: int
    ucum: str


@dataclass(frozen=True, slots=True)
class Term:
    """One term. `units`: reference ids of the units it may carry, the usual one first; empty: has no unit."""

    ref_id: str
    code: int
    kind: str  # metric, device, event, attr
    units: tuple[str, ...]
    en: str
    da: str
    source: str

    @property
    def difference(self) -> bool:
        """Tell whether a value converts as a distance (see units.linear)."""
        return self.ref_id in DIFFERENCES


class Nomenclature:
    """Look-up of terms and units by reference id."""

    def __init__(self, terms: Iterable[Term], units: Iterable[Unit]) -> None:
        self.terms: Mapping[str, Term] = {term.ref_id: term for term in terms}
        self.units: Mapping[str, Unit] = {unit.ref_id: unit for unit in units}
        self._by_code = {term.code: term for term in reversed(list(self.terms.values())) if term.code}

    def term(self, ref_id: str) -> Term:
        """Return the term. Raises: KeyError."""
        return self.terms[ref_id]

    def by_code(self, code: int) -> Term | None:
        """Return the first term listed with this context-free code, or None."""
        return self._by_code.get(code)

    def unit(self, name: str, term: Term | None = None) -> Unit:
        """Return the unit called `name`: an MDC_DIM_ reference id or a UCUM text.

        One UCUM text can stand for several MDC units (/min: beats, breaths); the term's own units are asked first.
        Raises: KeyError.
        """
        if name in self.units:
            return self.units[name]
        own = [self.units[ref_id] for ref_id in (term.units if term else ())]
        for unit in [*own, *self.units.values()]:
            if unit.ucum == name:
                return unit
        raise KeyError(name)

    def fits(self, term: Term, unit: Unit) -> bool:
        """Tell whether a value of `term` may stand in `unit`: its dimension is that of one of the term's units."""
        if not term.units:
            return False
        wanted = parse_ucum(unit.ucum).dimension
        return any(parse_ucum(self.units[ref_id].ucum).dimension == wanted for ref_id in term.units)


@lru_cache(maxsize=1)
def nomenclature() -> Nomenclature:
    """Return the packaged nomenclature."""
    units = [Unit(row["ref_id"], int(row["code"]), row["ucum"]) for row in _rows("units.csv")]
    terms = [
        Term(
            row["ref_id"],
            int(row["code"]),
            row["kind"],
            tuple(row["units"].split()),
            row["en"],
            row["da"],
            row["source"],
        )
        for row in _rows("nomenclature.csv")
    ]
    return Nomenclature(terms, units)


def _rows(name: str) -> list[dict[str, str]]:
    text = files("gateway.core").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))
