"""How the command line speaks: one line for a mistake, tables for people, JSON for programs. Always UTF-8.

A table is as wide as the terminal; where nobody watches (a pipe, a file) it is as wide as it needs, so that no code
is cut.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

_BARS = "▁▂▃▄▅▆▇█"
WIDE = 200  # columns where there is no terminal
out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)


def speak_utf8() -> None:
    """Write UTF-8 whatever the locale says: Danish letters in LC_ALL=C, and JSON is UTF-8 anyway (RFC 8259, 8.1)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def print_mistake(fault: object) -> None:
    """Print one line that says what, where and what to do."""
    text = " ".join(str(fault).split())
    err.print(f"mdi: {text}", style="red", markup=False, highlight=False, emoji=False)


def print_json(value: Any) -> None:
    """Print one JSON value on one line, Danish letters as they are."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


def print_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print a table for a person."""
    table = Table(title=Text(title), title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text("—" if cell is None else str(cell)) for cell in row))
    (out if out.is_terminal else Console(width=WIDE)).print(table)


@contextmanager
def progress(title: str, total: float) -> Iterator[Any]:
    """Yield a function that takes how far we are; draws a bar on standard error when a person watches."""
    if not err.is_terminal:
        yield lambda _: None
        return
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task(title, total=total or None)
        yield lambda done: bar.update(task, completed=done)


def print_wave(pieces: Iterable[tuple[bool, Sequence[float]]]) -> None:
    """Draw waveform runs as one line of bars, as wide as the terminal. pieces: (after a gap, samples, NaN = none)."""
    samples: list[float] = []
    for gap, run in pieces:
        samples += ([math.nan] * max(1, len(run) // 20) if gap and samples else []) + list(run)
    known = [value for value in samples if not math.isnan(value)]
    if not known:
        out.print("—")
        return
    low, high = min(known), max(known)
    width = min(len(samples), out.width if out.is_terminal else 120)
    line = ""
    for column in range(width):
        part = samples[len(samples) * column // width : len(samples) * (column + 1) // width]
        there = [value for value in part if not math.isnan(value)]
        step = 0 if high == low or not there else round((max(there) - low) / (high - low) * (len(_BARS) - 1))
        line += _BARS[step] if there else " "
    out.print(f"{line}\n{low:.4g} … {high:.4g}", markup=False, highlight=False)
