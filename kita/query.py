"""Questions to the database of KITA, for people. Read-only connections: asking never disturbs storing."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.clock import ClockQuality
from gateway.core.errors import ConfigError
from gateway.core.nomenclature import nomenclature

BUSY_S = 2.0


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest observation of one metric. value: a number, a text, or None when there is none now."""

    device: str
    ref_id: str
    path: str
    en: str  # names: "" for terms that the nomenclature does not have
    da: str
    value: float | str | None
    unit: str
    validity: str
    flags: int
    t_utc_ns: int | None  # as told; None where the sender's clock was never set: that time is none
    limits: str  # the alarm limits set on the device, "" where it does not say
    clock: str  # what the sender says of its clock (gateway.core.clock), "" = nothing
    order_ns: int  # by what it is the newest (kita.schema); its age is counted from here


def count(database: Path) -> dict[str, int]:
    """Return how many messages, observations, rows kept apart, dead letters and repeats there are.

    dead_letters counts each message once, however often it came. Raises: ConfigError.
    """
    return {name: rows[0][0] for name, rows in ask(database, _COUNTS)}


def latest(database: Path, device: str | None = None, apart: bool = False) -> list[Latest]:
    """Return the newest observation of each metric, of one device or of all, in the order of the containment tree.

    apart: of demo, test and training data instead. Raises: ConfigError.
    """
    question = _LATEST.format(table="apart" if apart else "observation", apart=int(apart))
    ((_, rows),) = ask(database, {"latest": question}, {"device": device})
    return sorted((_named(*row) for row in rows), key=lambda row: (row.device, [int(n) for n in row.path.split(".")]))


_COUNTS = {
    "messages": "SELECT count(*) FROM message",
    "observations": "SELECT count(*) FROM observation",
    "waves": "SELECT count(*) FROM wave",
    "alerts": "SELECT count(*) FROM alert",
    "apart": "SELECT count(*) FROM apart",
    "dead_letters": "SELECT count(*) FROM dead_letter",
    "clock_steps": "SELECT count(*) FROM message WHERE clock_step_s != 0",
    "repeated": "SELECT value FROM counter WHERE name = 'repeated'",
}
_LATEST = """
SELECT device.identity, o.code, o.ref_id, o.path, o.value, o.text, o.unit, o.validity, o.flags, o.t_utc_ns, o.limits,
       message.clock, latest.order_ns
FROM latest JOIN {table} o ON o.id = latest.row JOIN device ON device.id = latest.device
     JOIN message ON message.id = o.message
WHERE latest.apart = {apart} AND (:device IS NULL OR device.identity = :device)
"""


def ask(
    database: Path, questions: dict[str, str], values: Mapping[str, str | int | None] | None = None
) -> list[tuple[str, list[tuple[Any, ...]]]]:
    """Return (name, rows) of each question; all see the database at one moment. Raises: ConfigError."""
    if not database.is_file():
        raise ConfigError("there is no database", str(database), "has KITA run here?")
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)) as db:
            db.execute("BEGIN")
            return [(name, db.execute(sql, values or {}).fetchall()) for name, sql in questions.items()]
    except sqlite3.Error as fault:
        raise ConfigError(f"database cannot be read: {fault}", str(database)) from fault


def _named(
    device: str,
    code: int,
    ref_id: str,
    path: str,
    value: float | None,
    text: str | None,
    unit: str,
    validity: str,
    flags: int,
    t_utc_ns: int,
    limits: str,
    clock: str,
    order_ns: int,
) -> Latest:
    terms = nomenclature()
    term = terms.terms.get(ref_id) or (terms.by_code(code) if code else None)
    return Latest(
        device=device,
        ref_id=ref_id,
        path=path,
        en=term.en if term else "",
        da=term.da if term else "",
        value=text if value is None else value,
        unit=unit,
        validity=validity,
        flags=flags,
        t_utc_ns=None if clock == ClockQuality.UNSET.word else t_utc_ns,
        limits=limits,
        clock=clock,
        order_ns=order_ns,
    )
