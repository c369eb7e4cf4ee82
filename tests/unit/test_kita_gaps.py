"""Missing message numbers: every hole is seen, whatever the order, the repeats and the restarts."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from gateway.cli.app import app
from kita.check import check_message
from kita.numbers import gaps, note
from kita.schema import RECEIVED
from kita.store import Fate, Store
from tests.parts.messages import T_NS, changed, payload

NOW = T_NS + 5_000_000_000


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "kita.db"


@pytest.fixture
def store(database: Path) -> Iterator[Store]:
    with closing(Store(database, busy_ms=20)) as made:
        yield made


def put(store: Store, *control_ids: str, now: int = NOW) -> list[Fate]:
    return store.commit([check_message(payload(control_id)).intake for control_id in control_ids], now)


def holes(database: Path) -> list[tuple[str, int, int]]:
    return [(gap.gateway, gap.first, gap.last) for one in gaps(database) for gap in one.gaps]


def test_what_is_missing_between_two_is_seen_until_it_comes(store: Store, database: Path) -> None:
    put(store, "gw-a-7-1", "gw-a-7-2", "gw-a-7-5", "gw-a-7-9")
    assert holes(database) == [("gw-a", 3, 4), ("gw-a", 6, 8)]
    put(store, "gw-a-7-4", "gw-a-7-3")
    assert holes(database) == [("gw-a", 6, 8)]
    put(store, "gw-a-7-7", "gw-a-7-6", "gw-a-7-8", "gw-a-7-8")
    (one,) = gaps(database)
    assert (one.first, one.last, one.received, one.missing) == (1, 9, 9, 0)


def test_numbers_go_on_over_restarts_and_begin_again_with_a_spool_made_anew(store: Store, database: Path) -> None:
    put(store, "gw-7-1", "gw-7-2", "gw-8-3", "gw-9-5")
    assert holes(database) == [("gw", 4, 4)]
    put(store, "gw-1000-3")  # its state was wiped: 1 and 2 of the new spool have not come
    assert holes(database) == [("gw", 4, 4), ("gw", 1, 2)]


def test_gateways_are_counted_apart_and_so_are_senders_that_share_a_name(store: Store, database: Path) -> None:
    other = changed(payload("gw-7-9"), "0011223344556677", "0011223344556688")
    put(store, "gw-7-1", "gw-7-2", "gw-b-7-4")
    store.commit([check_message(other).intake], NOW)
    assert sorted((one.gateway, one.first, one.last) for one in gaps(database)) == [
        ("gw", 1, 2),
        ("gw", 9, 9),
        ("gw-b", 4, 4),
    ]


def test_a_refused_message_has_come(store: Store, database: Path) -> None:
    refused = check_message(changed(payload("gw-7-2"), "|97|", "|97,5|")).intake
    put(store, "gw-7-1")
    assert store.commit([refused], NOW) == [Fate.REFUSED]
    put(store, "gw-7-3")
    assert holes(database) == []


def test_ids_of_another_form_are_passed_over(store: Store, database: Path) -> None:
    assert put(store, "gw.1", "gw-1-x", "-1-1", "gw-1-9999999999999999999") == [Fate.STORED] * 4
    assert gaps(database) == []


def test_what_is_not_stored_has_not_come(store: Store, database: Path) -> None:
    put(store, "gw-7-1")
    store._db.execute("CREATE TRIGGER full BEFORE INSERT ON observation BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(Exception, match="full"):
        put(store, "gw-7-2", "gw-7-3")
    store._db.execute("DROP TRIGGER full")
    put(store, "gw-7-4")
    assert holes(database) == [("gw", 2, 3)]


def test_a_database_from_before_gets_its_numbers_from_what_is_stored(database: Path) -> None:
    with closing(Store(database, busy_ms=20)) as store:
        put(store, "gw-7-1", "gw-7-2", "gw-7-5")
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("DROP TABLE received")
        db.execute("PRAGMA user_version = 3")
    with closing(Store(database, busy_ms=20)) as store:
        assert holes(database) == [("gw", 3, 4)]
        put(store, "gw-7-3")
    assert holes(database) == [("gw", 4, 4)]


@settings(max_examples=200, deadline=None)
@given(st.sets(st.integers(1, 60), min_size=1), st.integers(0, 2**32))
def test_ranges_are_the_set(numbers: set[int], seed: int) -> None:
    order = [*numbers, *numbers]
    random.Random(seed).shuffle(order)
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute(RECEIVED)
        for at, number in enumerate(order):
            note(db, "s", f"gw-7-{number}", at)
        ranges = db.execute("SELECT first, last, since_ns FROM received ORDER BY first").fetchall()
    assert {n for first, last, _ in ranges for n in range(first, last + 1)} == numbers
    assert all(b[0] > a[1] + 1 for a, b in pairwise(ranges))  # none touches the next
    first_came = {n: order.index(n) for n in numbers}
    for first, last, since in ranges:
        assert since in {first_came[n] for n in range(first, last + 1)}


def test_the_command_says_what_is_missing_and_ends_with_1(store: Store, database: Path) -> None:
    put(store, "gw-7-1", "gw-7-4", "gw-7-6")
    shown = CliRunner().invoke(app, ["kita", "gaps", "--database", str(database)], terminal_width=200)
    assert shown.exit_code == 1
    assert "gw: 2–3 mangler" in shown.output
    assert "gw: 5 mangler" in shown.output
    told = CliRunner().invoke(app, ["kita", "gaps", "--database", str(database), "--json"])
    (one,) = json.loads(told.output)
    assert (one["missing"], [(g["first"], g["last"]) for g in one["gaps"]]) == (3, [(2, 3), (5, 5)])
    put(store, "gw-7-2", "gw-7-3", "gw-7-5")
    assert CliRunner().invoke(app, ["kita", "gaps", "--database", str(database)]).exit_code == 0
