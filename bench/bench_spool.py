"""Durable messages per second: the spool beside SQLite doing the same, in one run, on the disk of the temporary folder.

Both store 4 kB messages in groups and make each group durable with one sync: the spool with `append` and `sync`, SQLite
with one transaction per group in WAL mode with synchronous=FULL. They take turns, and the median of the rounds counts,
so that a slow moment of the disk hits both.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from gateway.core.message import Message
from gateway.spool import Extent, Spool

SIZE = 4096
PAYLOAD = (b"OBX|1|NM|147842^MDC_ECG_HEART_RATE^MDC|1.7.4.147842|72|264864^MDC_DIM_BEAT_PER_MIN^MDC\r" * 64)[:SIZE]
TOPIC = "mdi/gw-1/bed-1/oru"
ROUNDS = 5
PER_ROUND = 8000
GROUPS = {16: 0, 250: 50_000}  # messages per sync (64 KiB; 1 MB) and target per second, 0 for none: the disk decides


def spool_round(spool: Spool, group: int) -> float:
    """Append PER_ROUND messages, synced every `group`; return seconds."""
    begin = time.perf_counter()
    for n in range(1, PER_ROUND + 1):
        seq, control_id = spool.next_control_id()
        spool.append(Message(seq, control_id, TOPIC, PAYLOAD), Extent("bed-1", seq, seq, 1, seq, seq))
        if n % group == 0:
            spool.sync()
    spool.sync()
    return time.perf_counter() - begin


def sqlite_round(db: sqlite3.Connection, group: int) -> float:
    """The same with SQLite: one transaction per `group`; return seconds."""
    begin = time.perf_counter()
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM message").fetchone()
    for first in range(last + 1, last + 1 + PER_ROUND, group):
        db.execute("BEGIN")
        for seq in range(first, min(first + group, last + 1 + PER_ROUND)):
            row = (seq, f"gw-1-1-{seq}", TOPIC, PAYLOAD, "bed-1", seq, seq, 1, seq, seq)
            db.execute("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        db.execute("COMMIT")
    return time.perf_counter() - begin


def open_sqlite(path: Path) -> sqlite3.Connection:
    """Return the database that would stand in for the spool."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute(
        "CREATE TABLE message (seq INTEGER PRIMARY KEY, control_id TEXT, topic TEXT, payload BLOB, device TEXT,"
        " first_seq INTEGER, last_seq INTEGER, count INTEGER, first_t_ns INTEGER, last_t_ns INTEGER)"
    )
    return db


def compare(group: int) -> tuple[float, float]:
    """Return messages/s of the spool and of SQLite, for groups of this size."""
    with tempfile.TemporaryDirectory(prefix="mdi-bench-") as folder:
        clock = lambda: (time.monotonic_ns(), time.time_ns())  # noqa: E731
        spool = Spool.open(Path(folder) / "spool", gateway="gw-1", clock=clock)
        db = open_sqlite(Path(folder) / "sqlite.db")
        seconds = [(spool_round(spool, group), sqlite_round(db, group)) for _ in range(ROUNDS)]
        spool.close()
        db.close()
    ours, baseline = (statistics.median(column) for column in zip(*seconds, strict=True))
    return PER_ROUND / ours, PER_ROUND / baseline


def run() -> list[dict[str, Any]]:
    """Return one row per group size. ours, baseline: messages/s; ratio: ours to SQLite."""
    rows: list[dict[str, Any]] = []
    for group, target in GROUPS.items():
        ours, baseline = compare(group)
        row = {
            "bench": f"spool: append and sync, {SIZE} B, groups of {group}, beside SQLite WAL FULL",
            "ours": ours,
            "baseline": baseline,
            "ratio": ours / baseline,
            "unit": "messages/s",
            "target": f"≥ {target:,}" if target else "—",
        }
        rows.append(row | {"met": ours >= target} if target else row)
    return rows


def main() -> None:
    """Print the rows, in messages/s and MB/s."""
    for row in run():
        ours, baseline = row["ours"], row["baseline"]
        print(row["bench"])
        print(f"  spool  {ours:>8,.0f} messages/s {ours * SIZE / 1e6:8.1f} MB/s   target {row['target']}")
        print(f"  SQLite {baseline:>8,.0f} messages/s {baseline * SIZE / 1e6:8.1f} MB/s")
        print(f"  ratio  {row['ratio']:>8.2f}")


if __name__ == "__main__":
    main()
