"""The recorded bytes of a real monitor, through a pseudo-terminal, `mdi run`, mosquitto and `mdi kita run`.

What KITA holds at the end is compared with what the same bytes decode to in this process: each numeric sample exactly
once, with its value, code, unit and time.
"""

from __future__ import annotations

import math
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway import registry
from gateway.core.frame import Frame, NeedData
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import Validity
from gateway.decode import Decoder
from tests.parts.system import System
from tests.parts.wait import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
# How long a part is away in the outage tests. The acceptance runs use 60 s: MDI_OUTAGE_S=60 make test
OUTAGE_S = float(os.environ.get("MDI_OUTAGE_S", "5"))

CLOCK = "MDC_ATTR_TIME_ABS"
Sample = tuple[str, int, float | None, str, str]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System(tmp_path) as running:
        yield running


def recording(shared: Path, name: str) -> bytes:
    return (shared / "captures" / "philips_mp90" / f"mp90_1{name}.bin").read_bytes()


def numerics(data: bytes) -> list[Sample]:
    """What the bytes decode to: (ref_id, code, value, unit, validity) of each numeric sample, in order.

    The clock of the monitor is left to itself: which of its times are told depends on when they arrive.
    """
    profiles = registry.Profiles()
    decoder = Decoder(profiles.get("philips/intellivue_mp"), profiles)
    found: list[Sample] = []
    for at in range(0, len(data), 4096):
        for plan, block in decoder.feed(1_700_000_000_000_000_000, data[at : at + 4096]):
            for row in block:
                metric = plan.metrics[row["metric"]]
                if metric.kind == "numeric":
                    value = None if math.isnan(row["value"]) else float(row["value"])
                    assert metric.unit
                    found.append((metric.ref_id, metric.code, value, metric.unit.ucum, Validity(row["validity"]).name))
    return found


def clocks(data: bytes) -> set[str]:
    """The times that the monitor shows in these bytes, to the second, in Copenhagen: 20260101120000."""
    profiles = registry.Profiles()
    profile = profiles.get("philips/intellivue_mp")
    protocol = registry.driver(profile.driver).protocol([DeviceSpec(0, profile)], {})
    protocol.start(0.0)
    found = set()
    for at in range(0, len(data), 4096):
        protocol.receive_data(data[at : at + 4096], 1)
        while not isinstance(event := protocol.next_event(), NeedData):
            if isinstance(event, Frame) and event.device_ns is not None:
                shown = datetime.fromtimestamp(event.device_ns / 1e9, ZoneInfo("Europe/Copenhagen"))
                found |= {f"{shown + timedelta(milliseconds=ms):%Y%m%d%H%M%S}" for ms in (-1, 1)}
    return found


def stored(system: System) -> list[Sample]:
    return [row[:5] for row in system.rows() if row[0] != CLOCK]


def settled(system: System) -> None:
    wait_until(lambda: system.drained() and system.settled(), lambda: f"{system.forward()}\n{system.log()}", 60)
    wait_until(system.settled, lambda: str(system.forward()), 30)  # the status is at most a second old


@pytest.mark.parametrize("name", ["A", "D"])
def test_kita_holds_each_numeric_sample_exactly_once(shared: Path, system: System, name: str) -> None:
    data = recording(shared, name)
    expected = numerics(data)
    system.feed(data)
    wait_until(
        lambda: len(stored(system)) >= len(expected),
        lambda: f"{len(stored(system))} of {len(expected)}\n{system.log()}",
        60,
    )
    settled(system)
    assert system.end("gateway") == 0
    assert sorted(stored(system), key=repr) == sorted(expected, key=repr)
    for ref_id in {row[0] for row in expected}:  # in order, each metric by itself
        assert [r for r in stored(system) if r[0] == ref_id] == [r for r in expected if r[0] == ref_id]
    assert all(t_ns > 1_700_000_000_000_000_000 for *_, t_ns in system.rows())
    shown = {text[:14] for ref_id, text in system.texts() if ref_id == CLOCK}
    assert shown
    assert shown <= clocks(data)  # the time of the monitor itself, of years ago
    forward = system.forward()
    assert forward["counters"]["accepted"] == forward["counters"]["messages"] == system.counts()["messages"]
    assert (forward["spool"]["waiting"], forward["counters"]["rows_lost"], forward["counters"]["rejected"]) == (0, 0, 0)
    counts = system.counts()
    assert (counts["observations"], counts["dead_letters"], counts["repeated"]) == (0, 0, 0)  # nothing is charted
    nbp = [row for row in stored(system) if row[0].startswith("MDC_PRESS_BLD_NONINV")]
    assert nbp
    assert all(value is None and validity == "NA" for _, _, value, _, validity in nbp)


class Feeder:
    """Feeds a recording at a pace, so that something happens while a part is away."""

    def __init__(self, system: System, data: bytes, seconds: float) -> None:
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(system, data, seconds))
        self._thread.start()

    def _run(self, system: System, data: bytes, seconds: float) -> None:
        step = max(1, int(len(data) / (seconds * 20)))
        for at in range(0, len(data), step):
            system.feed(data[at : at + step], self.stop)
            if self.stop.wait(0.05):
                return

    def join(self) -> None:
        self._thread.join(OUTAGE_S * 3 + 120)
        assert not self._thread.is_alive()


@pytest.mark.parametrize("part", ["broker", "kita"])
def test_an_outage_in_the_middle_loses_nothing(shared: Path, system: System, part: str) -> None:
    data = recording(shared, "A")
    expected = numerics(data)
    feeder = Feeder(system, data, OUTAGE_S + 6)
    wait_until(lambda: len(stored(system)) > 50, system.log, 30)
    if part == "broker":
        system.broker.kill()
    else:
        system.end("kita", signal.SIGKILL)
    away = threading.Event()
    away.wait(OUTAGE_S)
    if part == "broker":
        system.broker.start()
    else:
        system.start_kita()
    feeder.join()
    wait_until(
        lambda: len(stored(system)) >= len(expected),
        lambda: f"{len(stored(system))} of {len(expected)}\n{system.log()}",
        90,
    )
    settled(system)
    assert Counter(stored(system)) == Counter(expected)
    assert system.forward()["counters"]["rows_lost"] == 0
    assert system.counts()["dead_letters"] == 0


def test_a_killed_gateway_delivers_what_it_had_and_nothing_twice(shared: Path, system: System) -> None:
    """SIGKILL in the middle, twice. What came while it was down is gone; all else is there exactly once."""
    data = recording(shared, "D")
    expected = numerics(data)
    feeder = Feeder(system, data, 12)
    for goal in (300, 900):
        wait_until(lambda goal=goal: len(stored(system)) > goal, system.log, 60)
        system.end("gateway", signal.SIGKILL)
        system.start_gateway()
    feeder.join()
    settled(system)
    got = stored(system)
    assert not Counter(got) - Counter(expected)  # nothing invented, nothing twice
    for ref_id in {row[0] for row in expected}:
        mine = iter([r for r in expected if r[0] == ref_id])
        assert all(row in mine for row in got if row[0] == ref_id)  # in order
    assert len(got) > len(expected) * 0.5
    assert system.counts()["dead_letters"] == 0
    assert system.forward()["spool"]["waiting"] == 0
