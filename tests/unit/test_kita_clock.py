"""KITA and the clocks of gateways: what it orders by, what it shows, and a database of the version before."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.core.alert import Phase, pack, pack_count
from gateway.core.clock import ClockQuality, ClockState
from gateway.core.sample import SAMPLE, Block
from kita.check import check_message
from kita.query import count, latest
from kita.query_measured import alerts, waves
from kita.schema import FROM_VERSION, SCHEMA
from kita.store import Store
from tests.unit import test_hl7_alert as alert_rig
from tests.unit import test_hl7_wave as wave_rig
from tests.unit.hl7_rig import encoder_of, plan_of

S = 1_000_000_000
NOW = 1_795_253_401 * S
YEAR = 365 * 86400 * S
KEPT, FREE, STEPPED, UNSET = (
    ClockState(quality)
    for quality in (
        ClockQuality.SYNCHRONISED,
        ClockQuality.UNSYNCHRONISED,
        ClockQuality.STEPPED,
        ClockQuality.UNSET,
    )
)
PLAN = plan_of("vitals")
LOW_BEGINS = alert_rig.row(1, pack(Phase.START, 2), True, alert_rig.LOW)
LOW_ENDS = alert_rig.row(1, pack(Phase.END, 2), False, alert_rig.LOW)
ONE_ACTIVE = alert_rig.row(2, pack_count(1), False)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "kita.db"


@pytest.fixture
def store(database: Path) -> Iterator[Store]:
    with closing(Store(database, busy_ms=20)) as made:
        yield made


class Sender:
    """A gateway whose messages arrive one a second."""

    def __init__(self, store: Store, now_ns: int = NOW) -> None:
        self.store, self.now_ns, self.number = store, now_ns, 0
        self.alerts = alert_rig.encoder()

    def _put(self, payload: bytes) -> None:
        self.store.commit([check_message(payload).intake], self.now_ns)
        self.now_ns += S

    def value(self, value: float, t_ns: int, clock: ClockState) -> None:
        self.number += 1
        block = np.zeros(1, SAMPLE)
        block["t_ns"], block["value"] = t_ns, value
        self._put(encoder_of(PLAN).encode(block, f"gw-1-{self.number}", t_ns, clock))

    def alert(self, row: Block, t_ns: int, clock: ClockState) -> None:
        self.number += 1
        row = row.copy()
        row["t_ns"] = t_ns
        self._put(self.alerts.encode(row, f"gw-1-{self.number}", t_ns, clock))


def newest(database: Path) -> float | str | None:
    (row,) = latest(database)
    return row.value


def test_a_value_from_a_clock_a_year_ahead_does_not_stay_the_newest_for_a_year(store: Store, database: Path) -> None:
    """It was shown as measured this second, for a year."""
    gateway = Sender(store)
    gateway.value(1, NOW + YEAR, FREE)
    gateway.value(2, NOW + 1 * S, STEPPED)
    assert newest(database) == 2
    gateway.value(3, NOW + 2 * S, FREE)
    gateway.value(4, NOW + YEAR, KEPT)  # whoever says that it is kept
    for second in range(5, 15):
        gateway.value(second, NOW + second * S, KEPT)
    assert newest(database) == 14


@pytest.mark.parametrize("clock", [STEPPED, UNSET])
def test_values_from_a_clock_that_was_set_back_are_the_newest_as_they_come(
    store: Store, database: Path, clock: ClockState
) -> None:
    gateway = Sender(store)
    gateway.value(1, NOW, KEPT)
    for value, t_ns in ((2, NOW - 3600 * S), (3, NOW - 3599 * S), (4, 40 * S)):
        gateway.value(value, t_ns, clock)
        assert newest(database) == value


def test_an_old_message_of_a_kept_clock_still_does_not_replace_a_newer_one(store: Store, database: Path) -> None:
    gateway = Sender(store)
    gateway.value(2, NOW, KEPT)
    gateway.value(1, NOW - 60 * S, KEPT)  # it was sent again
    assert newest(database) == 2


def test_1970_is_never_shown_as_a_time(store: Store, database: Path) -> None:
    gateway = Sender(store, time.time_ns())
    gateway.value(97, 40 * S, UNSET)
    (row,) = latest(database)
    assert (row.t_utc_ns, row.clock, row.value) == (None, "unset", 97)
    shown = CliRunner().invoke(app, ["kita", "latest", "--database", str(database)], terminal_width=250).output
    assert "ur aldrig stillet" in " ".join(shown.split())
    (told,) = json.loads(CliRunner().invoke(app, ["kita", "latest", "--database", str(database), "--json"]).output)
    assert told["t_utc_ns"] is None
    assert abs(told["age_s"]) < 60  # since it came
    with closing(sqlite3.connect(database)) as db:  # what was told is kept as it was told
        assert db.execute("SELECT t_utc_ns FROM observation").fetchall() == [(40 * S,)]


@pytest.mark.parametrize(("clock", "mark"), [(FREE, "uden synkronisering"), (STEPPED, "netop stillet"), (KEPT, "")])
def test_doubt_about_the_clock_stands_beside_the_value(
    store: Store, database: Path, clock: ClockState, mark: str
) -> None:
    Sender(store).value(97, NOW, clock)
    shown = CliRunner().invoke(app, ["kita", "latest", "--database", str(database)], terminal_width=250).output
    assert mark in " ".join(shown.split())
    assert mark or " ur " not in shown
    assert latest(database)[0].t_utc_ns == NOW


def test_a_step_is_counted(store: Store, database: Path) -> None:
    gateway = Sender(store)
    gateway.value(1, NOW, KEPT)
    gateway.value(2, NOW, ClockState(ClockQuality.STEPPED, -3600 * S))
    assert count(database)["clock_steps"] == 1
    with closing(sqlite3.connect(database)) as db:
        told = db.execute("SELECT clock, clock_step_s FROM message ORDER BY id").fetchall()
    assert told == [("synchronised", 0.0), ("stepped", -3600.0)]


def test_a_sign_of_life_from_the_future_does_not_make_alerts_known_for_a_year(store: Store, database: Path) -> None:
    """A clock a year ahead, and a device that fell silent: its alert state was shown as known."""
    gateway = Sender(store)
    gateway.alert(ONE_ACTIVE, NOW + YEAR, FREE)
    assert [life.known for life in alerts(database, None, False, NOW + 30 * S)[1]] == [True]
    assert [life.known for life in alerts(database, None, False, NOW + 100 * S)[1]] == [False]
    assert [life.known for life in alerts(database, None, False, NOW - 3600 * S)[1]] == [False]  # KITA's own was set


@pytest.mark.parametrize("back_ns", [3600 * S, YEAR])
def test_signs_of_life_go_on_when_the_clock_was_set_back(store: Store, database: Path, back_ns: int) -> None:
    gateway = Sender(store)
    gateway.alert(ONE_ACTIVE, NOW, KEPT)
    gateway.now_ns += 200 * S
    gateway.alert(ONE_ACTIVE, NOW + 200 * S - back_ns, STEPPED)
    assert [life.known for life in alerts(database, None, False, gateway.now_ns)[1]] == [True]


def test_an_alert_ends_when_the_clock_was_set_back_meanwhile(store: Store, database: Path) -> None:
    gateway = Sender(store)
    gateway.alert(LOW_BEGINS, NOW, KEPT)
    assert len(alerts(database, None, False, NOW)[0]) == 1
    gateway.alert(LOW_ENDS, NOW - 3600 * S, STEPPED)
    assert alerts(database, None, False, NOW)[0] == []


def test_waves_of_a_clock_that_was_never_set_are_found_by_when_they_came(store: Store, database: Path) -> None:
    notes = wave_rig.NoteList()
    payload = wave_rig.encoded(wave_rig.block([1.0, 2.0], 4_000_000, notes, t_ns=40 * S), notes, clock=UNSET)
    store.commit([check_message(payload).intake], NOW)
    (run,) = waves(database, None, False, NOW - S)
    assert (run.clock, run.samples) == ("unset", (1.0, 2.0))


def test_a_database_of_the_version_before_is_taken_over_with_all_that_is_in_it(tmp_path: Path) -> None:
    database = tmp_path / "kita.db"
    with closing(Store(database, busy_ms=20)) as store:
        gateway = Sender(store)
        gateway.value(1, NOW, ClockState())
        gateway.alert(ONE_ACTIVE, NOW, ClockState())
        gateway.alert(LOW_BEGINS, NOW, ClockState())
    before = latest(database), alerts(database, None, False, NOW), count(database)
    columns = columns_of(database)
    with closing(sqlite3.connect(database)) as db:  # as version 2 had it
        db.executescript(
            "ALTER TABLE message DROP COLUMN clock; ALTER TABLE message DROP COLUMN clock_step_s;"
            + "".join(
                f"ALTER TABLE {table} RENAME COLUMN order_ns TO t_utc_ns;"
                for table in ("latest", "alert_now", "alerting")
            )
            + "DROP TABLE received; PRAGMA user_version = 2;"
        )
    with closing(Store(database, busy_ms=20)) as store:
        assert columns_of(database) == columns
        assert (latest(database), alerts(database, None, False, NOW), count(database)) == before
        gateway = Sender(store)
        gateway.number = 10
        gateway.value(2, NOW + S, STEPPED)
    assert newest(database) == 2


def columns_of(database: Path) -> dict[str, list[str]]:
    with closing(sqlite3.connect(database)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {table: [row[1] for row in db.execute(f"PRAGMA table_info({table})")] for table in tables}


def test_every_version_leads_to_the_one_of_this_program() -> None:
    assert set(FROM_VERSION) == {2}  # and Store itself leads from 3 to 4: it reads what is stored
    assert "user_version = 4" in SCHEMA
