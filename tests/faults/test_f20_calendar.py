"""F20: the calendar, as a table under a virtual clock: DST, leap seconds, years, 29 February, midnight backwards.

Each case is a row of wall clock times, one sample at each, on its way through encoder, checker and KITA.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gateway.core.clock import ClockQuality, ClockState, ClockWatch, Kernel
from gateway.core.er7 import DtmFormat, instant
from gateway.core.hl7_check import check, parse_oru
from gateway.core.nomenclature import nomenclature
from gateway.core.sample import SAMPLE
from gateway.route import Router
from gateway.spool.layout import control_id
from kita.check import check_message
from kita.query import count, latest
from kita.store import Fate, Store
from tests.faults.evidence import evidence
from tests.unit.hl7_rig import COPENHAGEN, encoder_of, plan_of

S = 1_000_000_000
PLAN = plan_of("vitals")


def utc(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * S


# Of each moment: UTC, and the DTM in Copenhagen. EU summer time: directive 2000/84/EC, last Sundays of March and
# October at 01:00 UTC. Leap seconds: Linux repeats 23:59:59 UTC (kernel/time/ntp.c); smeared ones show no second twice.
TABLE = {
    "summer time begins 2025": [
        ("2025-03-30T00:59:59", "20250330015959.000+0100"),
        ("2025-03-30T01:00:00", "20250330030000.000+0200"),
    ],
    "summer time ends 2025": [
        ("2025-10-26T00:30:00", "20251026023000.000+0200"),
        ("2025-10-26T00:59:59", "20251026025959.000+0200"),
        ("2025-10-26T01:00:00", "20251026020000.000+0100"),
        ("2025-10-26T01:30:00", "20251026023000.000+0100"),
    ],
    "summer time begins 2026": [
        ("2026-03-29T00:59:59", "20260329015959.000+0100"),
        ("2026-03-29T01:00:00", "20260329030000.000+0200"),
    ],
    "summer time ends 2026": [
        ("2026-10-25T00:30:00", "20261025023000.000+0200"),
        ("2026-10-25T01:30:00", "20261025023000.000+0100"),
        ("2026-10-25T02:00:00", "20261025030000.000+0100"),
    ],
    "leap second, 23:59:59 twice": [
        ("2026-12-31T23:59:58", "20270101005958.000+0100"),
        ("2026-12-31T23:59:59", "20270101005959.000+0100"),
        ("2026-12-31T23:59:59", "20270101005959.000+0100"),
        ("2027-01-01T00:00:00", "20270101010000.000+0100"),
    ],
    "year change": [
        ("2026-12-31T22:59:59", "20261231235959.000+0100"),
        ("2026-12-31T23:00:00", "20270101000000.000+0100"),
    ],
    "29 February 2028": [
        ("2028-02-28T22:59:59", "20280228235959.000+0100"),
        ("2028-02-28T23:00:00", "20280229000000.000+0100"),
        ("2028-02-29T23:00:00", "20280301000000.000+0100"),
    ],
    "no 29 February 2026": [
        ("2026-02-28T22:59:59", "20260228235959.000+0100"),
        ("2026-02-28T23:00:00", "20260301000000.000+0100"),
    ],
    "midnight backwards": [
        ("2026-11-20T23:00:02", "20261121000002.000+0100"),
        ("2026-11-20T22:59:57", "20261120235957.000+0100"),
        ("2026-11-20T23:00:00", "20261121000000.000+0100"),
    ],
    "1970 at boot": [
        ("1970-01-01T00:00:40", "19700101010040.000+0100"),
        ("2026-11-21T09:30:01", "20261121103001.000+0100"),
    ],
    "a year ahead and back": [
        ("2027-11-21T09:30:01", "20271121103001.000+0100"),
        ("2026-11-21T09:30:02", "20261121103002.000+0100"),
    ],
}


@pytest.mark.parametrize("case", TABLE)
def test_every_time_is_unambiguous_in_its_order_and_under_its_own_id(case: str, tmp_path: Path) -> None:
    moments = [(utc(text), dtm) for text, dtm in TABLE[case]]
    with (
        evidence("F20", case, how="virtual clock, Europe/Copenhagen", target="unambiguous DTM, no id twice") as row,
        closing(Store(tmp_path / "kita.db", busy_ms=20)) as store,
    ):
        watch, encoder, fates, ids = ClockWatch(), encoder_of(PLAN), [], []
        watch.look(0, moments[0][0], Kernel(True))
        for n, (t_ns, dtm) in enumerate(moments, 1):
            step_ns = watch.look(n * S, t_ns, Kernel(True))
            state = ClockState(watch.quality, step_ns)
            block = np.zeros(1, SAMPLE)
            block["t_ns"], block["value"], block["seq"] = t_ns, n, n
            ids.append(control_id("gw", 1, n))
            payload = encoder.encode(block, ids[-1], t_ns, state)
            assert check(payload, nomenclature()) == []
            (group,) = parse_oru(payload).groups
            assert (group.time, group.t_ns) == (dtm, t_ns)  # as the clock showed it, and read back as the same instant
            fates += store.commit([check_message(payload).intake], utc("2026-11-21T10:00:00") + n * S)
            row.count += 1
        assert len(set(ids)) == len(moments)
        assert fates == [Fate.STORED] * len(moments)
        assert count(tmp_path / "kita.db")["observations"] == len(moments)
        if all(abs(b - a) <= 3600 * S for (a, _), (b, _) in pairwise(moments)):
            assert latest(tmp_path / "kita.db")[0].value == len(moments)  # the last one said


@pytest.mark.parametrize("day", ["2025-10-26", "2026-10-25", "2025-03-30", "2026-03-29"])
def test_each_second_of_a_day_of_25_or_23_hours_has_a_dtm_of_its_own(day: str) -> None:
    midnight = utc(f"{day}T00:00:00") - 2 * 3600 * S
    format_, seen = DtmFormat(COPENHAGEN), set()
    for second in range(28 * 3600):
        text = format_.text(midnight + second * S)
        assert instant(text) == midnight + second * S
        seen.add(text)
    assert len(seen) == 28 * 3600


def test_a_smeared_leap_second_is_no_step_and_a_repeated_one_is_told() -> None:
    """Google and AWS smear over 24 hours, noon to noon: 11.6 ppm."""
    watch = ClockWatch()
    smeared = [
        watch.look(n * S, utc("2026-12-31T12:00:00") + n * S - n * S // 86400, Kernel(True)) for n in range(86400)
    ]
    assert not any(smeared)
    assert watch.quality is ClockQuality.SYNCHRONISED
    told = [watch.look((86400 + n) * S, utc("2027-01-01T11:59:59") + (n - (n > 2)) * S, Kernel(True)) for n in range(6)]
    assert [step for step in told if step] == [-S]


@pytest.mark.parametrize("case", TABLE)
def test_windows_neither_stall_nor_flood(case: str) -> None:
    """Of 60 s, one sample a second for three minutes, half of them on each side of what happens to the clock."""
    (before, _), (after, _) = (utc(TABLE[case][0][0]), ""), (utc(TABLE[case][-1][0]), "")
    router, sent = Router([60.0]), []
    for n in range(181):
        t_ns = before + n * S if n < 90 else after + (n - 90) * S
        if n == 90:
            sent += router.cut(after - before - 90 * S)["seq"].tolist()
        block = np.zeros(1, SAMPLE)
        block["t_ns"], block["seq"] = t_ns, n
        sent += router.take(block)["seq"].tolist() + router.due(t_ns, n * S)["seq"].tolist()
    assert sent == sorted(set(sent))
    assert 3 <= len(sent) <= 6
    assert max(b - a for a, b in pairwise([0, *sent, 180])) <= 61
