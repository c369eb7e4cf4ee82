"""A database of KITA as an older version had it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_BACK = {
    3: "ALTER TABLE message DROP COLUMN clock; ALTER TABLE message DROP COLUMN clock_step_s;"
    + "".join(f"ALTER TABLE {t} RENAME COLUMN order_ns TO t_utc_ns;" for t in ("latest", "alert_now", "alerting")),
    2: "DROP TABLE received;",
}


def make_older(database: Path, version: int) -> None:
    """Take away what later versions have added."""
    with closing(sqlite3.connect(database)) as db:
        for back in range(3, version - 1, -1):
            db.executescript(_BACK[back])
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()
