"""Waves and alerts in KITA's database: newest first by time, unknown after silence, demo kept apart."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.alert import Phase, pack, pack_count
from gateway.core.sample import Flag
from kita.check import check_message
from kita.query_measured import alerts, waves
from kita.store import Fate, Store
from tests.unit import test_hl7_alert as alert_rig
from tests.unit import test_hl7_wave as wave_rig
from tests.unit.hl7_rig import NOW_NS

SECOND = 1_000_000_000
DAMAGE = [
    b"",
    b"|",
    b"^",
    b"~",
    b"&",
    b"\\",
    b".",
    b"-",
    b"e",
    b"9",
    b"0" * 400,
    b"\r",
    b"\xff",
    "²".encode(),
    "٣".encode(),
]
_NOTES = wave_rig.NoteList()
WHOLE = [
    wave_rig.encoded(wave_rig.block([0.5, math.nan, -1.0], 4_000_000, _NOTES), _NOTES),
    alert_rig.encoder().encode(alert_rig.row(1, pack(Phase.START, 2), True, alert_rig.LOW), "gw.1", NOW_NS),
    alert_rig.encoder().encode(alert_rig.row(2, pack(Phase.END, 0), False, alert_rig.LOW), "gw.1", NOW_NS),
    alert_rig.encoder().encode(alert_rig.row(2, pack_count(2), False), "gw.1", NOW_NS),
]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "kita.db"


@pytest.fixture
def store(database: Path) -> Iterator[Store]:
    with closing(Store(database, busy_ms=20)) as made:
        yield made


def test_runs_of_a_wave_can_be_read_back(store: Store, database: Path) -> None:
    notes = wave_rig.NoteList()
    first = wave_rig.block([0.5, math.nan, 1.5], 4_000_000, notes)
    second = wave_rig.block([2.5], 4_000_000, notes, t_ns=wave_rig.T0 + SECOND, flags=int(Flag.AFTER_GAP))
    payload = wave_rig.encoded(np.concatenate([first, second]), notes)
    assert store.commit([check_message(payload).intake], NOW_NS) == [Fate.STORED]
    found = waves(database, None, apart=False, since_ns=0)
    assert [(w.ref_id, w.rate_hz, w.after_gap, len(w.samples)) for w in found] == [
        ("MDC_ECG_ELEC_POTL_II", 250.0, False, 3),
        ("MDC_ECG_ELEC_POTL_II", 250.0, True, 1),
    ]
    assert np.array_equal(found[0].samples, [0.5, math.nan, 1.5], equal_nan=True)
    assert waves(database, None, apart=True, since_ns=0) == []
    assert len(waves(database, None, apart=False, since_ns=wave_rig.T0 + SECOND // 2)) == 1


def test_the_life_of_an_alert_ends_in_nothing_active(store: Store, database: Path) -> None:
    coder = alert_rig.encoder()
    rows = [
        (alert_rig.row(1, pack(Phase.START, 2), True, alert_rig.LOW), 1),
        (alert_rig.row(1, pack(Phase.ESCALATE, 3), True, alert_rig.LOW), 1),
        (alert_rig.row(1, pack(Phase.END, 3), False, alert_rig.LOW), 0),
    ]
    for n, (row, active) in enumerate(rows):
        row["t_ns"] += n * SECOND
        store.commit([check_message(coder.encode(row, f"gw.{n}", NOW_NS)).intake], NOW_NS)
        assert len(alerts(database, None, apart=False, now_ns=NOW_NS)[0]) == active


def test_an_older_change_that_comes_late_does_not_bring_an_alert_back(store: Store, database: Path) -> None:
    coder = alert_rig.encoder()
    ended = alert_rig.row(1, pack(Phase.END, 2), False, alert_rig.LOW)
    began = alert_rig.row(1, pack(Phase.START, 2), True, alert_rig.LOW)
    began["t_ns"] -= 60 * SECOND
    for n, row in enumerate((ended, began)):
        store.commit([check_message(coder.encode(row, f"gw.{n}", NOW_NS)).intake], NOW_NS)
    assert alerts(database, None, apart=False, now_ns=NOW_NS)[0] == []


def test_after_silence_nobody_knows_what_alarms(store: Store, database: Path) -> None:
    payload = alert_rig.encoder().encode(alert_rig.row(2, pack_count(1), False), "gw.1", NOW_NS)
    store.commit([check_message(payload).intake], NOW_NS)
    _, (soon,) = alerts(database, None, apart=False, now_ns=alert_rig.T + 74 * SECOND)
    _, (later,) = alerts(database, None, apart=False, now_ns=alert_rig.T + 76 * SECOND)
    assert (soon.known, soon.active) == (True, 1)
    assert not later.known


def test_a_device_that_says_later_that_nothing_is_active_ends_all(store: Store, database: Path) -> None:
    """The end itself was lost: the ring was full, or the gateway was started anew."""
    coder = alert_rig.encoder()
    said = [alert_rig.row(1, pack(Phase.START, 2), True, alert_rig.LOW), alert_rig.row(2, pack_count(0), False)]
    said[1]["t_ns"] += SECOND
    for n, row in enumerate(said):
        store.commit([check_message(coder.encode(row, f"gw.{n}", NOW_NS)).intake], NOW_NS)
    found, (known,) = alerts(database, None, apart=False, now_ns=NOW_NS)
    assert (found, known.active, known.doubtful) == ([], 0, 0)


def test_more_alerts_than_the_device_counts_are_doubtful_and_none_is_hidden(store: Store, database: Path) -> None:
    coder = alert_rig.encoder()
    said = [
        alert_rig.row(1, pack(Phase.START, 2), True, alert_rig.LOW),
        alert_rig.row(2, pack(Phase.START, 1), True, alert_rig.note_of("", "Batteri")),
        alert_rig.row(2, pack_count(1), False),
        alert_rig.row(2, pack(Phase.START, 1), True, alert_rig.note_of("", "Kabel")),  # after the count
    ]
    for n, row in enumerate(said):
        row["t_ns"] += n * SECOND
        store.commit([check_message(coder.encode(row, f"gw.{n}", NOW_NS)).intake], NOW_NS)
    found, (known,) = alerts(database, None, apart=False, now_ns=NOW_NS)
    assert (len(found), known.active, known.doubtful) == (3, 1, 1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"|0.5^1|", b"|0.5~1|"),
        (b"|0.5^1|", b"|1" + b"0" * 40 + b"|"),
        (b"|0.5^1|", b"|1" + b"0" * 400 + b"|"),
        (b"|0.5^1|", b"|x|"),
        (b"|250|", b"|0|"),
        (b"|250|", b"||"),
    ],
)
def test_a_waveform_that_cannot_be_read_is_refused_and_never_raises(old: bytes, new: bytes) -> None:
    notes = wave_rig.NoteList()
    payload = wave_rig.encoded(wave_rig.block([0.5, 1.0], 4_000_000, notes), notes).replace(b"|0.5^1.0|", b"|0.5^1|")
    assert not check_message(payload).errors
    assert old in payload
    assert check_message(payload.replace(old, new)).errors


def test_the_rate_of_one_waveform_is_not_taken_for_that_of_another() -> None:
    """1.1.1.1 and 1.1.1.10 in one group of another sender: the beginning of a path is not the path."""
    notes = wave_rig.NoteList()
    payload = wave_rig.encoded(wave_rig.block([0.5, 1.0], 4_000_000, notes), notes)
    changed = payload.replace(b"|1.1.1.1.1|250|", b"|1.1.1.10.1|250|")
    assert changed != payload
    assert check_message(changed).errors


def test_a_facet_that_is_no_number_is_refused_and_never_raises() -> None:
    payload = alert_rig.encoder().encode(alert_rig.row(1, pack(Phase.START, 2), True, alert_rig.LOW), "gw.1", NOW_NS)
    assert check_message(payload.replace(b"|1.1.1.1.3|", b"|1.1.1.1.x|")).errors


@given(st.data())
@settings(max_examples=300)
def test_no_damage_to_a_waveform_or_an_alert_makes_kita_raise(data: st.DataObject) -> None:
    payload = bytearray(data.draw(st.sampled_from(WHOLE)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(payload) - 1))
        payload[at : at + data.draw(st.integers(0, 3))] = data.draw(st.sampled_from(DAMAGE))
    check_message(bytes(payload))


def test_two_unknown_events_are_two_alerts(store: Store, database: Path) -> None:
    coder = alert_rig.encoder()
    for n, text in enumerate(("event 7", "event 8")):
        row = alert_rig.row(2, pack(Phase.START, 1), True, alert_rig.note_of("", text))
        store.commit([check_message(coder.encode(row, f"gw.{n}", NOW_NS)).intake], NOW_NS)
    assert {a.text for a in alerts(database, None, apart=False, now_ns=NOW_NS)[0]} == {"event 7", "event 8"}


def test_what_the_device_says_of_itself_is_kept(store: Store, database: Path) -> None:
    import sqlite3

    from tests.parts.messages import payload

    store.commit([check_message(payload("gw-1.1.1")).intake], NOW_NS)
    with closing(sqlite3.connect(database)) as db:
        ((model, experimental),) = db.execute("SELECT model, experimental FROM device").fetchall()
    assert model
    assert experimental == ""
