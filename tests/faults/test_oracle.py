"""The oracle must be able to fail: each way to break a promise, made up, is seen."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from kita.schema import SCHEMA
from tests.faults.ledger_device import crc16, line_of, n_of, value_of
from tests.faults.oracle import Traces, Verdict, judge
from tests.faults.parts_config import eui64_of, name_of
from tests.faults.process import Ended
from tests.faults.rig import Event

SECOND = 1_000_000_000
START = Event(5 * SECOND, "gateway", "start")


def verdict(
    folder: Path,
    held: Sequence[float],
    *,
    events: Sequence[Event] = (START,),
    lost: int = 0,
    log: str = "",
    ended: Sequence[Ended] = (),
    seen: int | None = None,
) -> Verdict:
    """Judge a device that has said 1 to 20, one a second from second 1 on; KITA holds what is given, one a message."""
    (folder / "d1.ledger").write_text("".join(f"S {n} {n * SECOND} {n * SECOND}\n" for n in range(1, 21)))
    (folder / "gateway.log").write_text(log)
    (folder / "losses.jsonl").write_text(json.dumps({"extents": [{"device": "d1", "count": lost}]}) + "\n")
    with sqlite3.connect(folder / "kita.db") as db:
        db.executescript(SCHEMA)
        db.execute("INSERT INTO device (identity) VALUES (?)", (eui64_of("d1"),))
        for n, value in enumerate(held, 1):
            db.execute("INSERT INTO message VALUES (?,'s','f',?,x'00','','',0,'',0)", (n, str(n)))
            row = (n, n, 1, "1.1.1.1", 1, "MDC", value, None, "", "VLD", 0, "F", n, "")
            db.execute(f"INSERT INTO apart VALUES ({','.join('?' * 14)})", row)
    status = {"acquire": {"ports": [{"name": "d1-line", "ring": {"seen": seen}}]}} if seen is not None else {}
    logs = {"gateway": folder / "gateway.log"}
    return judge(Traces({"d1": folder / "d1.ledger"}, folder / "kita.db", folder, events, ended, logs, status))


ALL = [float(value_of(n)) for n in range(6, 21)]  # the gateway was started in second 5


def test_all_is_well(tmp_path: Path) -> None:
    found = verdict(tmp_path, ALL, seen=15, log="INFO mdi: gateway started\n", ended=[Ended("gateway", 0, 15)])
    assert found.violations() == []
    assert (found.devices["d1"].unheard, found.devices["d1"].committed) == (5, 15)


@pytest.mark.parametrize(
    ("held", "given", "said"),
    [
        (ALL[:4] + ALL[5:], {}, "1 missing"),
        ([*ALL, ALL[3]], {}, "1 twice"),
        ([ALL[1], ALL[0], *ALL[2:]], {}, "1 out_of_order"),
        ([*ALL, 6001.0], {}, "1 wrong"),
        ([*ALL, float(value_of(21))], {}, "1 wrong"),
        (ALL, {"seen": 16}, "1 unaccounted"),
        (ALL, {"log": "Traceback (most recent call last):\n"}, "Traceback"),
        (ALL, {"log": "what is this\n"}, "what is this"),
        (ALL, {"ended": [Ended("kita", 1, 0)]}, "ended by itself"),
        (ALL, {"ended": [Ended("gateway", 3, 15)]}, "not documented"),
    ],
)
def test_each_broken_promise_is_seen(tmp_path: Path, held: list[float], given: dict[str, object], said: str) -> None:
    found = verdict(tmp_path, held, **given)  # type: ignore[arg-type]
    assert any(said in line for line in found.violations()), found


def test_what_is_declared_is_not_missing(tmp_path: Path) -> None:
    found = verdict(tmp_path, ALL[:4] + ALL[6:], lost=2, seen=15)
    assert found.violations() == []
    assert found.devices["d1"].declared == 2


def test_numbers_are_unread_only_while_nobody_could_read(tmp_path: Path) -> None:
    """Killed in second 10, back in second 12: 9 to 12 may be missing, 8 and 14 may not."""
    away = [START, Event(10 * SECOND, "gateway", "kill"), Event(12 * SECOND, "gateway", "start")]
    held = [float(value_of(n)) for n in (6, 7, 13, 15, 16, 17, 18, 19, 20)]
    device = verdict(tmp_path, held, events=away).devices["d1"]
    assert (device.unread, device.missing) == (4, 2)


def test_a_value_says_which_line_it_was() -> None:
    assert [n_of(float(value_of(n))) for n in range(1, 2000)] == list(range(1, 2000))
    assert [n_of(value) for value in (None, 0.0, 1000.0, 1918.0, 1919.5)] == [None] * 5
    assert crc16(b"123456789") == 0x4B37  # the check value of CRC-16/MODBUS in the catalogue of parametrised CRCs
    assert line_of(1) == b"\x021919*%04X\r\n" % crc16(b"1919")
    assert name_of(eui64_of("d1")) == "d1"
