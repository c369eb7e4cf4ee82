"""Ring: publish and consume with the torn-read check, beside what one would use without it.

Method: one process, one thread, blocks of 64 and of 1,024 rows; eight blocks are published, read, checked and released
in turn until three million rows are through; best of five. The alternatives move the same blocks (deque and queue.Queue
as arrays, SQLite in memory as one blob a block), without a check and without a second process being able to see them.
"""

from __future__ import annotations

import queue
import sqlite3
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from gateway.core.ring import RingWriter
from gateway.core.ring_layout import PlanName, buffer_size, format_buffer
from gateway.core.ring_reader import RingReader
from gateway.core.sample import SAMPLE

SLOTS = 1 << 16
ROWS = 3_000_000
TARGET = {64: 15.0, 1024: 75.0}  # million rows a second


def best(run: Callable[[int], int], block: int) -> float:
    """Return million rows/s, best of five."""
    result = 0.0
    for _ in range(5):
        start = time.perf_counter()
        done = run(block)
        result = max(result, done / (time.perf_counter() - start) / 1e6)
    return result


def ours(n: int) -> int:
    """The ring."""
    buffer = memoryview(bytearray(buffer_size(SLOTS)))
    format_buffer(buffer, SLOTS)
    writer, reader = RingWriter(buffer), RingReader(buffer)
    plan = writer.add_plan(PlanName(b"d" * 32, "vendor/model", ""))
    block = np.zeros(n, SAMPLE)
    done = 0
    while done < ROWS:
        for _ in range(8):
            writer.publish(block, plan)
        for got in reader.read(8 * n):
            done += len(got.rows)
        reader.release()
    return done


def with_deque(n: int) -> int:
    """collections.deque of copies."""
    line: deque[np.ndarray] = deque()
    block = np.zeros(n, SAMPLE)
    done = 0
    while done < ROWS:
        for _ in range(8):
            line.append(block.copy())
        while line:
            done += len(line.popleft())
    return done


def with_queue(n: int) -> int:
    """queue.Queue of copies."""
    line: queue.Queue[np.ndarray] = queue.Queue()
    block = np.zeros(n, SAMPLE)
    done = 0
    while done < ROWS:
        for _ in range(8):
            line.put(block.copy())
        while not line.empty():
            done += len(line.get())
    return done


def with_sqlite(n: int) -> int:
    """SQLite in memory, one blob a block, one transaction for eight."""
    db = sqlite3.connect(":memory:")
    db.execute("create table ring (seq integer primary key, rows blob)")
    block = np.zeros(n, SAMPLE)
    done = 0
    while done < ROWS // 8:
        db.executemany("insert into ring (rows) values (?)", [(block.tobytes(),) for _ in range(8)])
        for _, rows in db.execute("select seq, rows from ring"):
            done += len(np.frombuffer(rows, SAMPLE))
        db.execute("delete from ring")
        db.commit()
    return done


def run() -> list[dict[str, object]]:
    """Return one row per block size and alternative."""
    rows: list[dict[str, object]] = []
    for n, target in TARGET.items():
        mine = best(ours, n)
        for name, other in (("deque", with_deque), ("queue.Queue", with_queue), ("SQLite memory", with_sqlite)):
            theirs = best(other, n)
            rows.append(
                {
                    "bench": f"ring, {n}-row blocks, beside {name}",
                    "ours": mine,
                    "baseline": theirs,
                    "ratio": mine / theirs,
                    "unit": "M rows/s",
                    "target": f"≥ {target:g}",
                    "met": mine >= target,
                }
            )
    return rows


if __name__ == "__main__":
    for row in run():
        print(row)
