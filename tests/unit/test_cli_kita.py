"""What people see of alerts and waves: unknown is said, doubt is said, and that nobody is called."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.core.alert import Phase, pack, pack_count
from gateway.core.sample import Block
from kita.check import check_message
from kita.store import Store
from tests.unit import test_hl7_alert as alert_rig
from tests.unit import test_hl7_wave as wave_rig

SECOND = 1_000_000_000
LOW_BEGINS = alert_rig.row(1, pack(Phase.START, 2), True, alert_rig.LOW)
BATTERY_BEGINS = alert_rig.row(2, pack(Phase.START, 0), True, alert_rig.note_of("", "Batteri"))


def counted(active: int) -> Block:
    return alert_rig.row(2, pack_count(active), False)


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["kita", *arguments], terminal_width=200)
    assert result.exit_code == 0, result.output
    return result.output


def alerts_after(database: Path, age_s: float, *rows: Block) -> str:
    """Store changes, one second apart, the last one `age_s` ago; return what `mdi kita alerts` shows."""
    now_ns = time.time_ns()
    with closing(Store(database, busy_ms=20)) as store:
        coder = alert_rig.encoder()
        for n, row in enumerate(rows):
            row = row.copy()
            row["t_ns"] = now_ns - round(age_s * SECOND) - (len(rows) - 1 - n) * SECOND
            store.commit([check_message(coder.encode(row, f"gw.{n}", now_ns)).intake], now_ns)
    return shown("alerts", "--database", str(database))


@pytest.mark.parametrize(
    ("age_s", "rows", "said", "unsaid"),
    [
        (1, (counted(0),), "0 aktive", "ukendt"),
        (1, (LOW_BEGINS, counted(1)), "1 aktive", "ukendt"),
        (100, (LOW_BEGINS, counted(1)), "alarmtilstand ukendt i", "aktive"),
        (100, (counted(0),), "alarmtilstand ukendt i", "0 aktive"),
        (1, (LOW_BEGINS, BATTERY_BEGINS, counted(1)), "1 aktive, 1 flere er meldt: nogle kan være ovre", "ukendt"),
    ],
)
def test_alerts_say_what_is_known(tmp_path: Path, age_s: float, rows: tuple[Block], said: str, unsaid: str) -> None:
    output = " ".join(alerts_after(tmp_path / "kita.db", age_s, *rows).split())
    assert said in output
    assert unsaid not in output
    assert "Ikke overvågning og ikke alarm." in output


def test_an_alert_is_shown_until_it_has_ended_whether_known_or_not(tmp_path: Path) -> None:
    assert "Lav iltmætning" in alerts_after(tmp_path / "a.db", 100, LOW_BEGINS, counted(1))
    ended = alert_rig.row(1, pack(Phase.END, 2), False, alert_rig.LOW)
    assert "Lav iltmætning" not in alerts_after(tmp_path / "b.db", 1, LOW_BEGINS, ended, counted(0))


def test_a_priority_of_another_sender_is_shown_as_it_came(tmp_path: Path) -> None:
    """Not a KeyError in the face of whoever looks."""
    payload = alert_rig.encoder().encode(LOW_BEGINS, "gw.1", alert_rig.NOW_NS)
    changed = payload.replace(b"|1.1.1.1.6|PM|", b"|1.1.1.1.6|PX|")
    assert changed != payload
    with closing(Store(tmp_path / "kita.db", busy_ms=20)) as store:
        store.commit([check_message(changed).intake], alert_rig.NOW_NS)
    assert "PX" in shown("alerts", "--database", str(tmp_path / "kita.db"))


def test_waves_of_the_last_seconds_with_their_samples(tmp_path: Path) -> None:
    notes, now_ns = wave_rig.NoteList(), time.time_ns()
    rows = wave_rig.block([0.5, float("nan"), 1.5], 4_000_000, notes, t_ns=now_ns - SECOND)
    old = wave_rig.block([7.0], 4_000_000, notes, t_ns=now_ns - 60 * SECOND)
    with closing(Store(tmp_path / "kita.db", busy_ms=20)) as store:
        store.commit([check_message(wave_rig.encoded(np.concatenate([old, rows]), notes)).intake], now_ns)
    database = ("--database", str(tmp_path / "kita.db"))
    (run,) = json.loads(shown("waves", *database, "--json"))
    assert (run["samples"], run["rate_hz"], run["unit"]) == ([0.5, None, 1.5], 250.0, "mV")
    picture = shown("waves", *database)
    assert "EKG" in picture
    assert "Ikke overvågning og ikke alarm." in picture
    assert json.loads(shown("waves", *database, "--json", "--apart")) == []
