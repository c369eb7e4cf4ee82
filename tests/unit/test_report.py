"""The monthly report: each range that was lost or rejected, from a real spool's side files."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.core.message import Message
from gateway.grade import Grade
from gateway.report import NOBODY_KNOWS, report
from gateway.spool import Extent, Spool
from gateway.spool.look import side_lines
from tests.parts.system import fresh_environment

S = 1_000_000_000
NOVEMBER = round(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()) * S
DECEMBER = round(datetime(2026, 12, 1, tzinfo=UTC).timestamp()) * S
GRADE = Grade("A", "kept until the receiver has acknowledged it", ())

CONFIG = """
[security]
mode = "lab"
[gateway]
name = "gw"
eui64 = "0011223344556677"
site = "auh"
unit = "ita"
facility = "AUH"
state_dir = "{folder}"
run_dir = "{folder}/run"
[sink]
kind = "mqtt"
host = "127.0.0.1"
[[route]]
interval_s = 0.0
[[port]]
name = "bed"
driver = "philips_intellivue"
link = {{ kind = "serial", device = "/dev/ttyS0", baud = 115200 }}
[[port.device]]
name = "monitor"
profile = "philips/intellivue_mp"
eui64 = "0009FBFFFE012345"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A spool that has lost and rejected something in November, and lost something in December."""
    now = [NOVEMBER]
    spool = Spool.open(tmp_path / "spool", gateway="gw", clock=lambda: (now[0], now[0]))
    spool.declare_loss(Extent("monitor", 11, 15, 5, NOVEMBER - 9 * S, NOVEMBER - 5 * S), "ring full")
    spool.declare_loss(Extent("pump", 3, 4, 2, NOVEMBER - 9 * S, NOVEMBER - 8 * S), "ring full")
    spool.declare_loss(Extent("", 0, 0, 0, NOVEMBER, NOVEMBER), "damaged")
    for seq in (1, 2):
        control_id = spool.next_control_id()[1]
        extent = Extent("monitor", 20 + seq, 20 + seq, 1, NOVEMBER, NOVEMBER)
        spool.append(Message(seq, control_id, "topic", b"MSH|"), extent)
    spool.sync()
    spool.reject(1, "AE: 103 Table value not found")
    now[0] = DECEMBER
    spool.declare_loss(Extent("monitor", 30, 30, 1, DECEMBER, DECEMBER), "thinned")
    spool.close()
    return tmp_path


def made(root: Path, month: str) -> object:
    losses, rejected = root / "spool" / "losses.jsonl", root / "spool" / "rejected" / "messages.jsonl"
    return report(month, GRADE, side_lines(losses), side_lines(rejected), 0)


def test_each_range_stands_in_the_report_of_its_month(root: Path) -> None:
    november = made(root, "2026-11")
    assert november.totals() == {  # type: ignore[attr-defined]
        ("monitor", "ring full"): 5,
        ("pump", "ring full"): 2,
        (NOBODY_KNOWS, "damaged"): 0,
        ("monitor", "rejected"): 1,
    }
    first = november.lost[0]  # type: ignore[attr-defined]
    assert (first.first, first.last, first.samples, first.since) == (11, 15, 5, "2026-11-21T11:59:51.000+00:00")
    (refused,) = november.rejected  # type: ignore[attr-defined]
    assert refused.reason == "AE: 103 Table value not found"
    assert made(root, "2026-12").totals() == {("monitor", "thinned"): 1}  # type: ignore[attr-defined]
    assert made(root, "2026-10").totals() == {}  # type: ignore[attr-defined]


@pytest.mark.parametrize("word", ["november", "2026-13", "2026-1", "2026-11-21"])
def test_another_word_than_a_month_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="is no month"):
        report(word, GRADE, (), (), 0)


def test_the_command_tells_it_to_people_and_programs(root: Path) -> None:
    config = root / "mdi_config.toml"
    config.write_text(CONFIG.format(folder=root), encoding="utf-8")

    def said(*more: str) -> str:
        command = [sys.executable, "-m", "gateway.cli.app", "report", "month", *more, "--config", str(config)]
        environment = fresh_environment() | {"COLUMNS": "200"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    people = said("2026-11")
    assert people.startswith("LAB, gw, 2026-11: guarantee C: lab")
    assert "ring full" in people
    totals = json.loads(said("2026-11", "--json"))["totals"]
    assert {"device": "monitor", "reason": "ring full", "samples": 5} in totals
    assert "nothing was lost" in said("2026-10")
