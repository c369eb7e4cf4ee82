"""F25: the configuration is edited and reloaded again and again while devices speak."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.evidence import evidence, scaled
from tests.faults.ledger_device import n_of
from tests.faults.oracle import said_utc
from tests.faults.parts_config import eui64_of
from tests.faults.rig import Counter, Rig
from tests.parts.wait import wait_until

SEED = 25
DEVICES = (Counter("d1", 100), Counter("d2", 50, "tcp"), Counter("d3", 20))
ROUTE = '[[route]]\ndevices = ["d3"]\ninterval_s = 0.0\n'
OTHERS = ("d1", "d2")  # whose port never changes
MARGIN_NS = 1_000_000_000  # a number that was said this long before a reload has been read before it


@dataclass
class Edited:
    """The configuration as a person edits it: d1 never, d2 moves from bed to bed, d3 anything.

    beds: (begun, done, bed) of d2, in UTC ns
    """

    rig: Rig
    route: bool = False
    baud: int = 115200
    present: bool = True
    beds: list[tuple[int, int, str]] = field(default_factory=list)
    order: list[str] = field(default_factory=lambda: [d.name for d in DEVICES])
    number: int = 2

    def __post_init__(self) -> None:
        head, *ports = self.rig.config_path.read_text(encoding="utf-8").split("[[port]]")
        self.head, self.ports = head, dict(zip(self.order, ports, strict=True))
        self.beds.append((0, 0, "Seng 2"))

    def write(self, more: str = "") -> None:
        ports = dict(self.ports)
        ports["d2"] = ports["d2"].replace("Seng 2", f"Seng {self.number}")
        ports["d3"] = ports["d3"].replace("115200", str(self.baud))
        head = self.head.replace("[[route]]", ROUTE + "[[route]]", 1) if self.route else self.head
        names = [name for name in self.order if self.present or name != "d3"]
        self.rig.config_path.write_text("[[port]]".join([head + more, *(ports[n] for n in names)]), encoding="utf-8")

    def reload(self) -> tuple[int, str]:
        command = [sys.executable, "-m", "gateway.cli.app", "reload", "--config", str(self.rig.config_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)
        return done.returncode, done.stdout + done.stderr


def edit(edited: Edited, what: str, chance: random.Random) -> None:
    """Change one thing and reload; d3 may have a gap when it is d3's port that changes."""
    touched = what in ("remove", "link")
    if what == "place":
        edited.number += 1
    elif what == "order":
        chance.shuffle(edited.order)
    elif what == "route":
        edited.route = not edited.route
    elif what == "remove":
        edited.present = not edited.present
    elif what == "link":
        edited.baud = 9600 if edited.baud == 115200 else 115200
    begun = time.time_ns()
    if touched:
        edited.rig.note("d3", "unplug")
    edited.write()
    code, said = edited.reload()
    assert code == 0, f"{what}: {said}\n{edited.rig.logs()}"
    if touched and edited.present:
        edited.rig.note("d3", "plug")
    if what == "place":
        edited.beds.append((begun, time.time_ns(), f"Seng {edited.number}"))


def refuse(edited: Edited, chance: random.Random) -> None:
    """A mistake, or what needs a restart, is refused in a line and changes nothing."""
    mistake = chance.choice(["[nonsense]\n", "[receiver]\napplication = 1\n", "[spool]\nlimit_mib = 99\n"])
    if mistake.startswith("[spool]"):
        head, edited.head = edited.head, edited.head.replace("limit_mib = 64", "limit_mib = 99")
        edited.write()
        edited.head = head
    else:
        edited.write(mistake)
    code, said = edited.reload()
    assert code == 2, said
    assert len(said.strip().splitlines()) == 1, said
    assert "Traceback" not in said
    edited.write()


def spool_epochs(database: Path) -> set[str]:
    """Return the epochs in the ids of all messages: each opening of the spool has its own."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return {identity.split("-")[-2] for (identity,) in db.execute("SELECT control_id FROM message")}


def hang_up(rig: Rig) -> None:
    """SIGHUP, as systemctl reload sends it: a process without a terminal takes it as reload."""
    for role in rig.roles:
        before = rig.parts[role].said().count("INFO mdi.reload: reloaded: ")
        os.kill(rig.parts[role].pid, signal.SIGHUP)
        wait_until(
            lambda role=role, n=before: rig.parts[role].said().count("INFO mdi.reload: reloaded: ") > n, rig.logs, 60
        )


def places(database: Path) -> dict[int, str]:
    """Return n -> bed of d2, as KITA holds it."""
    sql = (
        "SELECT o.value, message.location FROM apart o JOIN device ON device.id = o.device"
        f" JOIN message ON message.id = o.message WHERE device.identity LIKE '%{eui64_of('d2')}%'"
    )
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        found = db.execute(sql).fetchall()
    return {n: where.split("^")[2] for value, where in found if (n := n_of(value)) is not None}


def misplaced(rig: Rig, beds: list[tuple[int, int, str]]) -> list[str]:
    """Return numbers that went out under a bed where the device did not stand when they were said."""
    said, found = said_utc(rig.folder / "d2.ledger"), places(rig.database)
    assert len(found) > 100
    wrong = []
    for n, bed in found.items():
        possible = {beds[0][2]}
        for begun, done, there in beds[1:]:
            if said[n] > done + MARGIN_NS:
                possible = {there}
            elif said[n] >= begun - MARGIN_NS:
                possible.add(there)
        if bed not in possible:
            wrong.append(f"number {n} of d2 went out under {bed}, not {possible}")
    return wrong[:5]


@pytest.mark.parametrize("split", [False, True], ids=["one process", "two processes"])
def test_a_reload_touches_what_was_edited_and_nothing_else(tmp_path: Path, split: bool) -> None:
    with (
        evidence(
            "F25",
            f"reload under traffic, {'two processes' if split else 'one process'}",
            how="a place, the order, a route, a port's link, a port removed and added, a mistake; three devices speak",
            target="the other devices have no gap, same processes, same spool, every number under the bed of its time",
            seed=SEED,
        ) as row,
        Rig(tmp_path, DEVICES, split=split) as rig,
    ):
        chance, edited = random.Random(SEED), Edited(rig)
        for device in DEVICES:
            rig.wait_flowing(device.name)
        pids = [rig.parts[role].pid for role in rig.roles]
        kinds = ["order", "remove", "remove", "link", "route", "place"]
        for what in [*kinds, *(chance.choice(kinds) for _ in range(scaled(0, 193)))]:
            edit(edited, what, chance)
            row.count += 1
            rig.wait_flowing("d2")
        refuse(edited, chance)
        hang_up(rig)
        if not edited.present:
            edit(edited, "remove", chance)
        for device in DEVICES:
            rig.wait_flowing(device.name)
        wait_until(lambda: len(rig.status()) == 2, rig.logs, 60)
        ports = {port["name"]: port for port in rig.status()["acquire"]["ports"]}
        row.violations += ["another process"] if pids != [rig.parts[role].pid for role in rig.roles] else []
        row.violations += ["the line of d1 was touched"] if ports["d1-line"]["link_errors"] else []
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures() | {"unread_of_others": sum(verdict.devices[n].unread for n in OTHERS)}
        row.violations += verdict.violations() + misplaced(rig, edited.beds)
        row.violations += [f"{n}: a gap of {verdict.devices[n].unread}" for n in OTHERS if verdict.devices[n].unread]
        epochs = spool_epochs(rig.database)
        row.violations += [f"the spool was opened again: {epochs}"] if len(epochs) != 1 else []
