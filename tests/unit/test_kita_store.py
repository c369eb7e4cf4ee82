"""What KITA keeps: all of a batch or nothing, each message once, an id for one content only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import ConfigError, DeliveryError
from gateway.core.nomenclature import nomenclature
from gateway.core.sample import Validity
from kita.check import check_message
from kita.query import count, latest
from kita.store import Fate, Intake, Store
from tests.parts.messages import DEVICE, METRICS, T_NS, changed, payload

NOW = T_NS + 5_000_000_000
SECOND = 1_000_000_000


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "kita.db"


@pytest.fixture
def store(database: Path) -> Iterator[Store]:
    with closing(Store(database, busy_ms=20)) as made:
        yield made


def intake(control_id: str = "gw-1.1.1", *args: object, **more: object) -> Intake:
    return check_message(payload(control_id, *args, **more)).intake  # type: ignore[arg-type]


def counts(database: Path) -> dict[str, int]:
    """Without what these messages never hold."""
    return {what: number for what, number in count(database).items() if what not in ("waves", "alerts", "clock_steps")}


def rows(database: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as db:
        return db.execute(sql).fetchall()


def test_a_stored_message_can_be_read_back_in_full(store: Store, database: Path) -> None:
    assert store.commit([intake()], NOW) == [Fate.STORED]
    assert rows(database, "SELECT sender, facility, control_id, location, received_ns FROM message") == [
        ("MDIGW^0011223344556677^EUI-64", "AUH", "gw-1.1.1", "ITA^Stue 3^Seng 2^AUH", NOW)
    ]
    columns = "path, code, ref_id, value, text, unit, validity, flags, status, t_utc_ns"
    assert rows(database, f"SELECT {columns} FROM observation ORDER BY id") == [
        ("1.1.1.1", 150456, "MDC_PULS_OXIM_SAT_O2", 97.0, None, "%", "VLD", 0, "R", T_NS),
        ("1.1.1.2", 147842, "MDC_ECG_HEART_RATE", 72.0, None, "/min", "VLD", 0, "R", T_NS),
        ("1.1.1.3", 150368, "MDC_TEMP_CORE", 36.8, None, "Cel", "VLD", 0, "R", T_NS),
    ]
    assert rows(database, "SELECT identity FROM device") == [(DEVICE,)]


def test_the_same_bytes_again_are_counted_and_nothing_is_stored(store: Store, database: Path) -> None:
    first = intake()
    assert store.commit([first, first], NOW) == [Fate.STORED, Fate.REPEATED]
    assert store.commit([first], NOW) == [Fate.REPEATED]
    assert counts(database) == {"messages": 1, "observations": 3, "apart": 0, "dead_letters": 0, "repeated": 2}


def test_the_same_id_with_other_bytes_is_a_dead_letter(store: Store, database: Path) -> None:
    other = intake(values=(50.0, 72.0, 36.8))
    assert store.commit([intake(), other], NOW) == [Fate.STORED, Fate.CONFLICT]
    assert store.commit([other], NOW) == [Fate.CONFLICT]
    assert rows(database, "SELECT value FROM observation ORDER BY id LIMIT 1") == [(97.0,)]
    assert rows(database, "SELECT control_id, times, payload FROM dead_letter") == [("gw-1.1.1", 2, other.payload)]


def test_an_id_belongs_to_its_sender(store: Store) -> None:
    first = intake()
    assert (
        store.commit([first, replace(first, sender="OTHER"), replace(first, facility="RH")], NOW) == [Fate.STORED] * 3
    )


def test_refused_messages_are_kept_once_with_the_reason(store: Store, database: Path) -> None:
    bad = check_message(changed(payload(), "|97|", "|x|")).intake
    assert store.commit([bad, bad], NOW) == [Fate.REFUSED] * 2
    assert store.commit([intake()], NOW) == [Fate.STORED]  # nothing was stored under the id, so it is free
    ((reason, times),) = rows(database, "SELECT reason, times FROM dead_letter")
    assert "OBX 7 5" in str(reason)
    assert times == 2


def test_demo_data_never_stands_among_observations(store: Store, database: Path) -> None:
    store.commit([intake(processing_id="D"), intake("gw-1.1.2")], NOW)
    assert counts(database) == {"messages": 2, "observations": 3, "apart": 3, "dead_letters": 0, "repeated": 0}
    assert rows(database, "SELECT DISTINCT message FROM apart") == [(1,)]
    assert {row.ref_id for row in latest(database)} == set(METRICS)
    assert {row.t_utc_ns for row in latest(database, apart=True)} == {T_NS}


# ---- latest


def test_latest_shows_names_value_unit_and_validity(store: Store, database: Path) -> None:
    store.commit([intake()], NOW)
    row = latest(database)[1]
    assert (row.device, row.ref_id, row.path, row.value, row.unit, row.validity) == (
        DEVICE,
        "MDC_ECG_HEART_RATE",
        "1.1.1.2",
        72.0,
        "/min",
        "VLD",
    )
    term = nomenclature().term("MDC_ECG_HEART_RATE")
    assert (row.en, row.da, row.t_utc_ns) == (term.en, term.da, T_NS)
    assert latest(database, "0000000000000000") == []
    assert len(latest(database, DEVICE)) == 3


def test_no_value_now_replaces_the_value_before(store: Store, database: Path) -> None:
    gone = intake("gw-1.1.2", (float("nan"),), T_NS + SECOND, Validity.NA)
    store.commit([intake(), gone], NOW)
    newest = latest(database)[0]
    assert (newest.ref_id, newest.value, newest.validity) == (METRICS[0], None, "NA")


@settings(max_examples=30)  # each example syncs a database of its own
@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3), min_size=1, max_size=4))
def test_latest_is_the_newest_by_observation_time_however_messages_arrive(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]]
) -> None:
    """batches: seconds of observation, in order of arrival; on a tie the later arrival holds."""
    database = tmp_path_factory.mktemp("kita") / "kita.db"
    newest = (-1, 0.0)
    with closing(Store(database, busy_ms=20)) as store:
        number = 0
        for batch in batches:
            intakes = []
            for second in batch:
                number += 1
                intakes.append(intake(f"gw-1.1.{number}", (float(number),), T_NS + second * SECOND))
                newest = max(newest, (second, float(number)))
            store.commit(intakes, NOW)
        (row,) = latest(database)
        assert (row.t_utc_ns, row.value) == (T_NS + newest[0] * SECOND, newest[1])
        assert count(database)["observations"] == number


# ---- all or nothing


def test_while_the_database_is_locked_nothing_is_stored_and_later_all_is(store: Store, database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DeliveryError, match="locked"):
            store.commit([intake()], NOW)
        other.execute("ROLLBACK")
    assert count(database)["messages"] == 0
    assert store.commit([intake()], NOW) == [Fate.STORED]


def test_a_full_disk_stores_nothing_of_the_batch(store: Store, database: Path) -> None:
    store.commit([intake("gw-1.1.0")], NOW)
    limit_pages(store, database)
    many = [intake(f"gw-1.1.{n}") for n in range(1, 401)]
    with pytest.raises(DeliveryError, match="full"):
        store.commit(many, NOW)
    assert counts(database) == {"messages": 1, "observations": 3, "apart": 0, "dead_letters": 0, "repeated": 0}
    store._db.execute("PRAGMA max_page_count = 1000000")
    assert store.commit(many, NOW) == [Fate.STORED] * 400
    assert len({number for (number,) in rows(database, "SELECT id FROM observation")}) == 3 + 400 * 3


def limit_pages(store: Store, database: Path) -> None:
    """Let SQLite find the disk full: the file may not grow by more than two pages."""
    ((pages,),) = rows(database, "PRAGMA page_count")
    store._db.execute(f"PRAGMA max_page_count = {int(str(pages)) + 2}")


def test_a_device_first_seen_in_a_failed_batch_is_made_again(store: Store, database: Path) -> None:
    limit_pages(store, database)
    many = [intake(f"gw-1.1.{n}") for n in range(400)]
    with pytest.raises(DeliveryError):
        store.commit(many, NOW)
    store._db.execute("PRAGMA max_page_count = 1000000")
    store.commit([replace(intake(), device="other"), intake("gw-1.1.2")], NOW)
    joined = "SELECT DISTINCT identity FROM observation JOIN device ON device.id = device ORDER BY 1"
    assert rows(database, joined) == [(DEVICE,), ("other",)]


def test_what_was_committed_is_there_after_reopening(database: Path) -> None:
    with closing(Store(database, 20)) as store:
        store.commit([intake()], NOW)
    with closing(Store(database, 20)) as store:
        assert store.commit([intake(), intake("gw-1.1.2")], NOW) == [Fate.REPEATED, Fate.STORED]
    assert count(database)["observations"] == 6


def test_the_disk_has_it_when_commit_returns(store: Store) -> None:
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# ---- who may use it


@pytest.mark.usefixtures("store")
def test_one_database_has_one_writer(database: Path) -> None:
    with pytest.raises(ConfigError, match="another KITA"):
        Store(database, 20)


def test_a_database_of_another_version_is_refused(database: Path) -> None:
    with closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="schema version 99"):
        Store(database, 20)


def test_what_is_no_database_is_refused(database: Path) -> None:
    database.write_bytes(b"this is a text file, not a database, and long enough to be looked at" * 20)
    with pytest.raises(ConfigError, match="cannot be used"):
        Store(database, 20)


def test_asking_needs_a_database_and_does_not_make_one(database: Path) -> None:
    with pytest.raises(ConfigError, match="no database"):
        count(database)
    assert not database.exists()
