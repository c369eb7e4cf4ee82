"""make bench: run every bench, print its table, write bench/README.md. Exit code 1 when a figure is not reached."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

BENCHES = ("ring", "decode", "drivers", "hl7", "spool", "pipeline", "security", "isolation", "footprint")
HERE = Path(__file__).resolve().parent
HEAD = """\
# Benches

Each figure is ours beside the obvious alternative in the same run; the method stands at the top of each `bench_*.py`.
`make bench` measures everything anew and writes this page; `python -m bench ring hl7` measures some and writes nothing.
Nothing here is a test: timing is judged on this page only.

"""


def machine() -> str:
    """Return what the figures were measured on."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "",
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "paho-mqtt", "hl7apy"))
    return (
        f"{cpu or platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}, {packages}"
    )


def cell(value: Any) -> str:
    """Return a number with three significant digits, or a dash."""
    if value is None:
        return "—"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def main() -> int:
    """Run the benches named on the command line, or all."""
    chosen = sys.argv[1:] or list(BENCHES)
    console = Console()
    rows: list[dict[str, Any]] = []
    for name in chosen:
        module = import_module(f"bench.bench_{name}")
        with console.status(f"measuring {name} …"):
            found = module.run()
        rows += found
        table = Table(
            "bench", "ours", "alternative", "ratio", "unit", "target", "met", title=f"{name}", title_justify="left"
        )
        for row in found:
            table.add_row(*cells(row))
        console.print(table)
    if not sys.argv[1:]:
        write(rows)
    missed = [str(row["bench"]) for row in rows if not row.get("met", True)]
    for bench in missed:
        console.print(f"not reached: {bench}", style="red", markup=False)
    return 1 if missed else 0


def cells(row: dict[str, Any]) -> list[str]:
    """Return the texts of one row."""
    met = row.get("met")
    numbers = [cell(row[key]) for key in ("ours", "baseline", "ratio")]
    return [
        str(row["bench"]),
        *numbers,
        str(row["unit"]),
        str(row["target"]),
        "—" if met is None else "yes" if met else "NO",
    ]


def write(rows: list[dict[str, Any]]) -> None:
    """Write the page."""
    lines = ["| bench | ours | alternative | ratio | unit | target | met |", "|---|---:|---:|---:|---|---|---|"]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    measured = f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine()}.\n"
    (HERE / "README.md").write_text(HEAD + measured + "\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
