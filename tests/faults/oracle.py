"""What became of every number that a device has said: the one judge of all fault rows.

It joins what stands on disks when all is over: the ledgers of the devices, the database of KITA, losses.jsonl and
rejected/messages.jsonl of the gateway, the last status, the logs and the exit codes. Of each device

    said = committed + rejected + declared lost + unheard + unread + damaged + missing

    damaged   hurt on the line by a PtyProxy, or said next after one that was: the driver may need one to find its place
    unheard   said before the first reader had started
    unread    said while nobody could read the line: from 1 s before its reader was killed, stopped or unplugged (what
              is read and not yet published may be lost: at most the last second) until the first number that arrived
              after it was back. Bounded by these windows; their longest is a figure.
    declared  numbers outside of these windows that the gateway has declared lost (it counts, it does not know numbers)
    missing   the rest: lost silently. Must be 0.

Also 0: wrong values (never said by anybody), numbers in two messages, ids used for other bytes, rows seen in the rings
that no room accounts for, traces in logs, log lines of no known shape, exits that nobody asked for.
First deliveries out of order are counted; a row says what it allows.
"""

from __future__ import annotations

import json
import re
import sqlite3
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from signal import SIGABRT, SIGKILL
from typing import Any, Protocol

from tests.faults.ledger_device import n_of
from tests.faults.parts_config import name_of, port_of
from tests.faults.process import Ended

READ_NOT_PUBLISHED_NS = 1_000_000_000  # the promise: of samples not yet accepted at most one second
AWAY, BACK = ("kill", "term", "stop", "unplug", "away"), ("start", "cont", "plug", "back")
READERS = ("gateway", "acquire")
DOCUMENTED = (0, 1, 2, 70, 75)  # docs/operation.md, exit codes
LOG_LINE = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) mdi[a-z0-9_.]*: \S|error: \S|mdi: \S")
VALUE = re.compile(r"^OBX\|\d+\|NM\|[^|]*\|[^|]*\|([0-9.]+)\|", re.MULTILINE)


class EventLike(Protocol):
    """What was done to a part; see rig.Event."""

    @property
    def t_ns(self) -> int: ...
    @property
    def part(self) -> str: ...
    @property
    def what(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Traces:
    """Where what is left of a run stands."""

    ledgers: Mapping[str, Path]
    database: Path
    spool: Path
    events: Sequence[EventLike]
    ended: Sequence[Ended]
    logs: Mapping[str, Path]
    status: Mapping[str, Any]
    hurt: Mapping[str, Collection[int]] = field(default_factory=dict)


@dataclass(slots=True)
class DeviceVerdict:
    """The sum of one device; see the module text.

    longest_gap_s: between two neighbours of what KITA holds; longest_away_s: of the windows; back_s: of each window,
    from when the reader was back until the first number that arrived was said
    """

    said: int = 0
    committed: int = 0
    rejected: int = 0
    declared: int = 0
    unheard: int = 0
    unread: int = 0
    damaged: int = 0
    missing: int = 0
    wrong: int = 0
    no_value: int = 0
    twice: int = 0
    out_of_order: int = 0
    unaccounted: int = 0
    longest_gap_s: float = 0.0
    longest_away_s: float = 0.0
    back_s: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Verdict:
    """Of the whole run. repeated: messages that KITA got again (same bytes) and stored once."""

    devices: dict[str, DeviceVerdict]
    repeated: int = 0
    conflicts: int = 0
    dead_letters: int = 0
    faults: list[str] = field(default_factory=list)

    def total(self, name: str) -> int:
        """Return a sum over the devices."""
        return sum(getattr(device, name) for device in self.devices.values())

    def figures(self) -> dict[str, object]:
        """Return what a row prints."""
        names = (
            "said",
            "committed",
            "unheard",
            "unread",
            "damaged",
            "declared",
            "rejected",
            "missing",
            "wrong",
            "twice",
            "out_of_order",
        )
        longest = max((device.longest_gap_s for device in self.devices.values()), default=0.0)
        return {n: self.total(n) for n in names} | {"repeated": self.repeated, "longest_gap_s": round(longest, 2)}

    def violations(self, *, in_order: bool = True, exits: Collection[int] = ()) -> list[str]:
        """Return what must not be. in_order: first deliveries must be; exits: codes that this row expects."""
        zero = ("missing", "wrong", "no_value", "twice", "unaccounted", *(("out_of_order",) if in_order else ()))
        found = [
            f"{name}: {getattr(device, key)} {key} of {device.said}"
            for name, device in self.devices.items()
            for key in zero
            if getattr(device, key) > 0
        ]
        found += [f"{self.conflicts} ids used for other bytes"] if self.conflicts else []
        return found + [f for f in self.faults if not any(f.endswith(f"ended by itself with code {c}") for c in exits)]


def judge(traces: Traces) -> Verdict:
    """Return the verdict over a run that is over."""
    delivered, declared = committed_rows(traces.database), declared_counts(traces.spool)
    rejected = rejected_numbers(traces.spool)
    verdict = Verdict({}, *_counts(traces.database))
    for name, path in traces.ledgers.items():
        device = _judge_device(
            read_ledger(path),
            delivered.get(name, []),
            rejected.get(name, set()),
            declared[name],
            [e for e in traces.events if e.part in (*READERS, name)],
            traces.hurt.get(name, ()),
        )
        device.unaccounted = _unaccounted(name, device, declared[name], traces.status)
        verdict.devices[name] = device
    verdict.faults += [f"{name} is no device of this run" for name in delivered if name not in traces.ledgers]
    verdict.faults += [fault for end in traces.ended if (fault := _bad_end(end))]
    verdict.faults += [fault for name, path in traces.logs.items() for fault in bad_log_lines(name, path)]
    return verdict


Rows = list[tuple[float | None, int]]
"""(value, message) in the order in which KITA has committed them."""


def _judge_device(
    said: Mapping[int, int],
    rows: Rows,
    rejected: set[int],
    declared: int,
    events: Sequence[EventLike],
    hurt: Collection[int],
) -> DeviceVerdict:
    device = DeviceVerdict(said=len(said))
    numbers: list[int] = []
    for value, _ in rows:
        n = n_of(value)
        if value is None:
            device.no_value += 1
        elif n is None or n not in said:
            device.wrong += 1
        else:
            numbers.append(n)
    there = Counter(numbers)
    device.committed = len(there)
    device.twice = sum(count - 1 for count in there.values())
    first = list(dict.fromkeys(numbers))
    device.out_of_order = sum(b < a for a, b in pairwise(first))
    device.rejected = len(rejected - there.keys())
    absent = [n for n in said if n not in there and n not in rejected]
    windows = away_windows(events, sorted(said[n] for n in there), max(said.values(), default=0))
    outside = [n for n in absent if not any(begin <= said[n] <= end for begin, _, end in windows)]
    device.unheard = sum(said[n] <= windows[0][2] for n in absent)
    device.unread = len(absent) - len(outside) - device.unheard
    near = {n + step for n in hurt for step in (0, 1)}
    device.damaged = sum(n in near for n in outside)
    outside = [n for n in outside if n not in near]
    device.declared = min(declared, len(outside))
    device.missing = len(outside) - device.declared
    times = sorted(said[n] for n in there)
    device.longest_gap_s = max((b - a for a, b in pairwise(times)), default=0) / 1e9
    device.longest_away_s = max((end - begin for begin, _, end in windows[1:] if end > begin), default=0) / 1e9
    device.back_s = [(end - back) / 1e9 for _, back, end in windows[1:] if end > back]
    return device


def away_windows(events: Iterable[EventLike], arrived: Sequence[int], last_ns: int) -> list[tuple[int, int, int]]:
    """Return when nobody could read a line: from, back, until the first that arrived.

    arrived: when what KITA holds was said, ascending; last_ns: when the last line was said.
    """
    windows: list[tuple[int, int, int]] = []
    begin: int | None = 0  # nobody reads before the first start: windows[0]
    for event in sorted(events, key=lambda e: e.t_ns):
        if event.what in AWAY and begin is None:
            begin = event.t_ns - READ_NOT_PUBLISHED_NS
        elif event.what in BACK and begin is not None:
            at = bisect_right(arrived, event.t_ns)
            windows.append((begin, event.t_ns, arrived[at] if at < len(arrived) else last_ns))
            begin = None
    if begin is not None:
        windows.append((begin, last_ns, last_ns))
    return windows


def _unaccounted(name: str, device: DeviceVerdict, declared: int, status: Mapping[str, Any]) -> int:
    """Return the rows that the ring has seen and no room accounts for; 0 where no status says what it has seen."""
    ports = {p["name"]: p for p in status.get("acquire", {}).get("ports", [])}
    if port_of(name) not in ports:
        return 0
    seen = int(ports[port_of(name)]["ring"]["seen"])
    return seen - device.committed - device.twice - device.wrong - device.rejected - declared


# ---- what is left of a run


def read_ledger(path: Path) -> dict[int, int]:
    """Return n -> when it was said, in monotonic ns."""
    if not path.exists():
        return {}
    found: dict[int, int] = {}
    for line in path.read_text().splitlines():
        parts = line.split()
        if len(parts) == 4 and parts[0] == "S":
            found[int(parts[1])] = int(parts[2])
    return found


def said_utc(path: Path) -> dict[int, int]:
    """Return n -> when it was said, in UTC ns."""
    lines = (line.split() for line in path.read_text().splitlines() if line.startswith("S "))
    return {int(parts[1]): int(parts[3]) for parts in lines if len(parts) == 4}


# The gateways of the rig are labs: what they send is never charted, and KITA keeps it apart.
_ROWS = """
SELECT device.identity, o.value, o.message, o.validity, message.received_ns
FROM apart o JOIN device ON device.id = o.device JOIN message ON message.id = o.message ORDER BY o.id
"""


def _ask(database: Path, sql: str) -> list[tuple[Any, ...]]:
    if not database.exists():
        return []
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as db:
        return db.execute(sql).fetchall()


def committed_rows(database: Path) -> dict[str, Rows]:
    """Return of each device (value, message) in the order of commits; a value that is not valid is None."""
    found: dict[str, Rows] = {}
    for identity, value, message, validity, _ in _ask(database, _ROWS):
        found.setdefault(name_of(identity), []).append((value if validity == "VLD" else None, message))
    return found


def committed(database: Path) -> dict[str, list[tuple[int, int]]]:
    """Return of each device (n, when KITA committed it in UTC ns), in the order of commits."""
    found: dict[str, list[tuple[int, int]]] = {}
    for identity, value, _, _, received_ns in _ask(database, _ROWS):
        n = n_of(value)
        if n is not None:
            found.setdefault(name_of(identity), []).append((n, received_ns))
    return found


def newest(database: Path, device: str) -> int:
    """Return the number of a device that KITA holds as its newest, 0 for none. Cheap, to be asked often."""
    sql = (
        "SELECT device.identity, o.value FROM latest JOIN apart o ON o.id = latest.row"
        " JOIN device ON device.id = latest.device WHERE latest.apart = 1"
    )
    return max((n_of(value) or 0 for identity, value in _ask(database, sql) if name_of(identity) == device), default=0)


def _counts(database: Path) -> tuple[int, int, int]:
    """Return messages repeated, ids that stood for other bytes, dead letters."""
    ((repeated,),) = _ask(database, "SELECT value FROM counter WHERE name = 'repeated'") or [(0,)]
    letters = [str(reason) for (reason,) in _ask(database, "SELECT reason FROM dead_letter")]
    return repeated, sum("stands for another" in reason for reason in letters), len(letters)


def _json_lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:  # a torn line of a crash: the next begins on a line of its own
            continue
    return found


def declared_counts(spool: Path) -> Counter[str]:
    """Return of each device how many samples were declared lost."""
    found: Counter[str] = Counter()
    for loss in _json_lines(spool / "losses.jsonl"):
        for extent in loss["extents"]:
            found[extent["device"]] += extent["count"]
    return found


def rejected_numbers(spool: Path) -> dict[str, set[int]]:
    """Return of each device the numbers in the side file."""
    found: dict[str, set[int]] = {}
    for entry in _json_lines(spool / "rejected" / "messages.jsonl"):
        text = entry["message"].replace("\r", "\n")
        numbers = {n for value in VALUE.findall(text) if (n := n_of(float(value))) is not None}
        found.setdefault(entry["extent"]["device"], set()).update(numbers)
    return found


def bad_log_lines(name: str, path: Path) -> list[str]:
    """Return what must not stand in a log: traces, and lines of no known shape. At most ten."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    bad = [line for line in lines if line and not LOG_LINE.match(line)]
    return [f"log of {name}: {line[:200]}" for line in bad[:10]]


def _bad_end(end: Ended) -> str:
    """Return what is wrong with the end of a process, "" when it is as it should be."""
    if not end.asked:
        return f"{end.part} ended by itself with code {end.code}"
    wanted = -end.asked if end.asked in (SIGKILL, SIGABRT) else 0
    if end.code != wanted and end.part in (*READERS, "forward", "kita"):
        known = "" if end.code in DOCUMENTED else ", which is not documented"
        return f"{end.part} ended with code {end.code}{known} after signal {end.asked}"
    return ""
