"""Makes docs/evidence/faults.md of what the rows have found: `python -m tests.faults.report FOLDER OUT.md`.

FOLDER holds one JSON file per run of a row (see evidence.py). A row of the table that has none is shown as not run.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

ROWS = {  # the fault table: number -> fault
    "F1": "kill -9 of the gateway at any moment",
    "F2": "kill -9 during recovery",
    "F3": "kill -9 of acquire, of forward, of both",
    "F4": "power loss (simulated)",
    "F5": "damaged bytes at rest",
    "F6": "fsync EIO, ENOSPC, EINTR, short write at every call",
    "F7": "disk full",
    "F8": "broker away",
    "F9": "kill -9 of the broker with its default persistence",
    "F9b": "guarantee B: released by the broker",
    "F10": "broker loses sessions, client id taken over, refusing reason codes",
    "F11": "partition, half-open, RST, latency, stall, 1 kB/s",
    "F12": "receiver that answers after 5 s",
    "F13": "acknowledgements twice, out of order, missing, foreign",
    "F14": "rejected messages",
    "F15": "SIGSTOP and SIGCONT of any process",
    "F16": "unplug and replug",
    "F17": "noisy line",
    "F18": "babbling device, endless frame, silence, stuck value",
    "F19": "steps of the clock, 1970 at boot",
    "F20": "ends of summer time, leap second, new year, 29 February",
    "F21": "memory cap",
    "F22": "descriptors, threads and processes exhausted",
    "F23": "certificates expire, rotate, are revoked",
    "F24": "upgrade and downgrade with a full spool",
    "F25": "configuration reloaded during traffic",
    "F26": "soak",
    "F27": "all faults by chance",
    "F28": "faults of a CAN bus",
}


def read(folder: Path) -> list[dict[str, Any]]:
    """Return what has been found, in the order of the table."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    order = list(ROWS)
    return sorted(found, key=lambda e: (order.index(e["row"]) if e["row"] in order else len(order), e["title"]))


def markdown(found: list[dict[str, Any]], about: Mapping[str, str]) -> str:
    """Return the page."""
    ran = {entry["row"] for entry in found}
    met = sum(entry["met"] for entry in found)
    broken = sum(bool(entry["violations"]) for entry in found)
    lines = [
        "# Evidence: the fault table",
        "",
        "Written by tests/faults/report.py, never by hand. What the rows do: tests/faults/README.md. `make nightly`",
        "does the volumes of the table; the column *scale* says which part of them was done: `ci` is that of a commit.",
        "",
        *(f"- {name}: {value}" for name, value in about.items()),
        f"- {len(found)} runs: {met} met their target, {broken} broke a promise;"
        f" {len(ROWS.keys() - ran)} of {len(ROWS)} rows were not run",
        "",
        "| row | fault | how | times | seed | s | scale | target | result |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row, title in ROWS.items():
        entries = [entry for entry in found if entry["row"] == row]
        lines += [_line(entry) for entry in entries] or [f"| {row} | {title} | | | | | | | **not run** |"]
    lines += ["", "## Figures", ""]
    for entry in found:
        figures = ", ".join(f"{name} {value}" for name, value in entry["figures"].items())
        lines.append(f"- **{entry['row']} {entry['title']}**: {figures}")
    return "\n".join(lines) + "\n"


def _line(entry: Mapping[str, Any]) -> str:
    bad = [f"VIOLATED: {v}" for v in entry["violations"]] + list(entry.get("misses", []))
    result = "met" if entry["met"] else "; ".join(bad)[:400]
    cells = (entry["row"], entry["title"], entry["how"], entry["count"], entry["seed"], entry["seconds"])
    return "| " + " | ".join(str(c).replace("|", "/") for c in (*cells, entry["scale"], entry["target"], result)) + " |"


def about(found: list[dict[str, Any]]) -> dict[str, str]:
    """Return when, where and with what."""
    dates = sorted(str(entry["date"]) for entry in found if "date" in entry)
    git = shutil.which("git") or "git"
    commit = subprocess.run([git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    versions = [f"{name} {metadata.version(name)}" for name in ("numpy", "paho-mqtt", "msgspec", "pyserial")]
    broker = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
    told = subprocess.run([broker, "-h"], capture_output=True, text=True, check=False).stdout if broker else "none"
    return {
        "date (UTC)": f"{dates[0]} to {dates[-1]}" if dates else "never",
        "commit": commit.stdout.strip() or "unknown",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "versions": ", ".join((f"Python {platform.python_version()}", *versions, *told.splitlines()[:1])),
    }


def main(folder: str, out: str) -> None:
    """Write the page."""
    found = read(Path(folder))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_text(markdown(found, about(found)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
