"""F5, end to end: bytes of the spool flipped, zeroed or cut off while the gateway is down. Files alone: tests/model.

The test knows what each message held, and which of them were touched: it reads the backlog from a copy before the
damage. A message counts as touched when a byte of its record was changed.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from gateway.spool import Spool
from tests.faults import oracle
from tests.faults.evidence import evidence, scaled
from tests.faults.ledger_device import n_of
from tests.faults.rig import SETTLE_S, Counter, Rig
from tests.parts.wait import wait_until

SEED = 5
RATE, FLOOD = 200, 2000
BACKLOG = 2000  # samples
CURSOR_SLOTS = 2
BLOCK = 4096  # of a slot of the cursor
HEAD_BYTES = 80  # gateway/spool/layout.py: of a record 40, of its extent 40; then device, topic, ER7
MOST_BYTES = 3000  # of one damaged range: a few records


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message of the backlog. numbers: of the device's lines; where: its record in a segment, begin and end."""

    numbers: frozenset[int]
    file: Path
    begin: int
    end: int


def test_damage_at_rest_costs_the_touched_records_and_they_are_declared(tmp_path: Path) -> None:
    with (
        evidence(
            "F5",
            "damage at rest",
            how="orderly stop with a backlog, 1 to 4 ranges of up to 3000 bytes flipped or zeroed, or a segment cut;"
            " every other time a slot of the cursor too, or both",
            target="starts always, lost are touched records only, all of them declared, the rest delivered",
            seed=SEED,
        ) as row,
        Rig(tmp_path, (Counter("d1", RATE),), commit_ms=10, window=64) as rig,
    ):
        chance = random.Random(SEED)
        lost: set[int] = set()
        touched_in_all = 0
        for number in range(scaled(2, 50)):
            rig.wait_flowing()
            backlog = _backlog(rig, tmp_path / f"copy-{number}")
            before = {file: file.read_bytes() for file in {w.file for w in backlog.values()}}
            _damage(chance, rig.state_dir / "spool", sorted(before), cursor=number % 2 == 1)
            touched = {seq for seq, w in backlog.items() if _changed(w, before)}
            declared_before = len(_losses(rig))
            rig.start("gateway")
            rig.start("broker")
            _settle(rig)
            declared = {seq for loss in _losses(rig)[declared_before:] for seq in _messages(loss)}
            held = {n for n, _ in oracle.committed(rig.database)["d1"]}
            gone = {seq for seq, w in backlog.items() if not w.numbers <= held}
            lost |= {n for seq in gone for n in backlog[seq].numbers}
            touched_in_all += len(touched)
            row.violations += [f"round {number}: message {s} lost, but not touched" for s in sorted(gone - touched)]
            row.violations += [f"round {number}: message {s} lost, not declared" for s in sorted(gone - declared)]
            row.count += 1
        rig.finish()
        verdict = rig.verdict()
        row.figures |= verdict.figures() | {"touched_messages": touched_in_all, "lost_samples": len(lost)}
        row.violations += _violations(verdict, len(lost), oracle.declared_counts(rig.state_dir / "spool")["d1"])
        row.violations += [] if touched_in_all else ["no message was touched"]


def _backlog(rig: Rig, copy: Path) -> dict[int, Waiting]:
    """Make a backlog, end the gateway in order; return what waits, by the number of the message."""
    rig.term("broker")
    rig.order("rate", "d1", FLOOD)
    wait_until(lambda: rig.said("d1") - rig.committed("d1") > BACKLOG, "no backlog", SETTLE_S)
    rig.order("rate", "d1", RATE)
    assert rig.term("gateway") == 0
    spool = rig.state_dir / "spool"
    segments = {file: file.read_bytes() for file in sorted(spool.glob("segment-*"))}
    shutil.copytree(spool, copy)
    opened = Spool.open(copy, gateway="gw-fault", segment_bytes=1 << 20, clock=lambda: (0, 0))
    found: dict[int, Waiting] = {}
    for message in opened.unacknowledged(0, 1_000_000):
        file, at = next((f, at) for f, data in segments.items() if (at := data.find(message.payload)) >= 0)
        text = message.payload.decode().replace("\r", "\n")
        numbers = frozenset(n for value in oracle.VALUE.findall(text) if (n := n_of(float(value))) is not None)
        begin = at - len(message.topic) - len("d1") - HEAD_BYTES
        found[message.seq] = Waiting(numbers, file, begin, at + len(message.payload))
    opened.close()
    shutil.rmtree(copy)
    return found


def _settle(rig: Rig) -> None:
    """Return when all is delivered that was said until now."""
    rig.order("rate", "d1", 0)
    after_ns = time.time_ns() + 1_100_000_000  # what was said last is in the spool before the next but one status
    wait_until(lambda: rig.settled(after_ns), lambda: f"{rig.status()}\n{rig.logs()}", SETTLE_S)
    rig.order("rate", "d1", RATE)


def _violations(verdict: oracle.Verdict, lost: int, counted: int) -> list[str]:
    """Return the violations where `lost` samples were in declared messages. counted: of them the gateway has told how
    many: of a record that cannot be read it knows the number of the message, not how many samples it held."""
    device = verdict.devices["d1"]
    device.missing = max(0, device.missing + device.declared - lost)
    device.unaccounted += counted - lost
    return verdict.violations()


def _damage(chance: random.Random, spool: Path, segments: list[Path], cursor: bool) -> None:
    """Damage ranges of segments; with `cursor` slots of the cursor too. Not both slots with the end of the newest
    segment: then nothing is left that knows of it (docs/guarantees.md, what the promises rest on)."""
    newest = segments[-1]
    slots = chance.choice(((0,), (1,), (0, 1))) if cursor else ()
    spare_end = len(slots) == CURSOR_SLOTS
    for _ in range(chance.randint(1, 4)):
        path = chance.choice(segments)
        data = bytearray(path.read_bytes())
        used = len(data.rstrip(b"\0"))
        last = used // 2 if spare_end and path == newest else used
        begin = chance.randrange(0, max(1, last - 1))
        end = min(begin + chance.randint(1, MOST_BYTES), last)
        how = chance.choice(("flip", "zero", "flip", "zero", "cut"))
        if how == "cut" and not (spare_end and path == newest):
            path.write_bytes(data[: max(begin, used - MOST_BYTES)])
        elif how == "zero":
            data[begin:end] = bytes(end - begin)
            path.write_bytes(data)
        else:
            for at in range(begin, end, chance.randint(1, 500)):
                data[at] ^= 1 << chance.randrange(8)
            path.write_bytes(data)
    for slot in slots:
        data = bytearray((spool / "cursor").read_bytes())
        data[slot * BLOCK + chance.randrange(48)] ^= 0xFF
        (spool / "cursor").write_bytes(data)


def _changed(waiting: Waiting, before: dict[Path, bytes]) -> bool:
    now = waiting.file.read_bytes()
    return now[waiting.begin : waiting.end] != before[waiting.file][waiting.begin : waiting.end]


def _losses(rig: Rig) -> list[dict[str, object]]:
    path = rig.state_dir / "spool" / "losses.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def _messages(loss: dict[str, object]) -> set[int]:
    spans = loss.get("ranges") or ((loss["first_message"], loss["last_message"]),)
    return {seq for first, last in spans for seq in range(first, last + 1)}  # type: ignore[attr-defined]
