"""Waves and alerts on the whole way: a simulated monitor on a pseudo-terminal, `mdi run`, mosquitto and `mdi kita run`.

The bytes on the line are kept, in both directions, and decoded in this process by the same driver and plan. What KITA
holds at the end is compared with that: each sample once, in order, with its time; each change of an alert once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gateway import registry
from gateway.core.alert import Phase, read_note, unpack, unpack_count
from gateway.core.notes import NoteList
from gateway.core.protocol import DeviceSpec
from gateway.core.sample import IS_USABLE
from gateway.core.scene import Scene
from gateway.core.wave_clock import STEP_NS
from gateway.decode import Decoder
from gateway.simulate import Pty, serve
from kita.query import ask
from kita.query_measured import Alerting, AlertNow, WaveRun, alerts, waves
from tests.parts.system import System
from tests.parts.wait import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PROFILE = "philips/intellivue_mp"
WAVES = {"MDC_ECG_ELEC_POTL_II": 0.002, "MDC_PULS_OXIM_PLETH": 0.008}  # period in s
OPTIONS = {"waves": list(WAVES)}
WATCHDOG_S = 2.0
TIMEOUT_S = 5.0  # two and a half of it, see gateway.core.hl7_alert
ROUTES = f"""
[[route]]
carries = "waves"
[[route]]
carries = "alerts"
interval_s = {WATCHDOG_S}
"""
SECOND = 1_000_000_000
MS = 1_000_000


@dataclass(frozen=True)
class Patient(Scene):
    """A scene that alarms when the test says so. alarming: event -> priority."""

    alarming: dict[str, int] = field(default_factory=dict)

    def alert(self, ref_id: str, t: float) -> int:
        """See Scene."""
        return self.alarming.get(ref_id, 0)


class Ear:
    """The device's end of the line, which keeps what goes over it and loses nothing."""

    def __init__(self, pty: Pty, stop: threading.Event) -> None:
        self.heard: list[tuple[int, bool, bytes]] = []  # (UTC ns, by the device, bytes)
        self._pty, self._stop = pty, stop

    def write(self, data: bytes) -> None:
        if not data:
            return
        self.heard.append((time.time_ns(), True, data))
        while data and not self._stop.is_set():
            taken = self._pty.write_some(data)
            data = data[taken:]
            if not taken:
                self._stop.wait(0.005)

    def read(self, timeout: float) -> bytes:
        data = self._pty.read(timeout)
        if data:
            self.heard.append((time.time_ns(), False, data))
        return data


class Monitor:
    """The simulated monitor in a thread."""

    def __init__(self, system: System) -> None:
        self.patient = Patient()
        profile = registry.Profiles().get(PROFILE)
        self._stop = threading.Event()
        self.ear = Ear(system.pty, self._stop)
        driver = registry.driver(profile.driver)
        device = driver.simulator([DeviceSpec(0, profile, {})], {}, self.patient)
        self._thread = threading.Thread(target=serve, args=(device, self.ear, self._stop))
        self._thread.start()

    def stop(self) -> None:
        """The device falls silent."""
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System(tmp_path, routes=ROUTES, options='{ waves = ["MDC_ECG_ELEC_POTL_II", "MDC_PULS_OXIM_PLETH"] }') as s:
        yield s


@pytest.fixture
def monitor(system: System) -> Iterator[Monitor]:
    made = Monitor(system)
    yield made
    made.stop()


@dataclass
class Said:
    """What the driver said: of each wave (t_ns, value, validity) in order; the changes of alerts."""

    waves: dict[str, list[np.ndarray]] = field(default_factory=dict)
    changes: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # (event, text, phase)
    blocks: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # of each wave: (arrival, samples)


def decoded(heard: list[tuple[int, bool, bytes]]) -> Said:
    profiles = registry.Profiles()
    decoder = Decoder(profiles.get(PROFILE), profiles, options=OPTIONS)
    notes, said = NoteList(), Said()
    for t_ns, by_device, data in heard:
        if not by_device:
            decoder.was_sent(t_ns, data)
            continue
        decoder.plan.notes = notes
        for plan, block in decoder.feed(t_ns, data):
            plan.notes = notes
            metric = plan.metrics[block["metric"][0]]
            if metric.kind == "waveform":
                said.waves.setdefault(metric.ref_id, []).append(block)
                said.blocks.setdefault(metric.ref_id, []).append((t_ns, len(block)))
            for row in block:
                event = plan.metrics[row["metric"]]
                if event.kind == "alert" and unpack_count(float(row["value"])) is None:
                    phase = unpack(float(row["value"]))[0]
                    if phase is not Phase.CONTINUE:
                        text = read_note(notes.text(int(row["note"])))[1]
                        said.changes[event.ref_id, text, phase.name.lower()] += 1
    assert not decoder.reasons
    return said


def runs(system: System) -> dict[str, list[WaveRun]]:
    found: dict[str, list[WaveRun]] = {}
    for run in waves(system.database, None, apart=True, since_ns=0):
        found.setdefault(run.ref_id, []).append(run)
    return found


def now(system: System) -> tuple[list[AlertNow], list[Alerting]]:
    return alerts(system.database, None, apart=True, now_ns=time.time_ns())


def active(system: System) -> set[tuple[str, str]]:
    return {(alert.ref_id, alert.priority) for alert in now(system)[0]}


def drained(system: System) -> None:
    wait_until(lambda: system.drained() and system.settled(), lambda: f"{system.forward()}\n{system.log()}", 60)
    done = time.time_ns() + 3 * SECOND  # a block of waves waits up to two seconds; the status is at most a second old
    wait_until(lambda: time.time_ns() > done and system.settled(), lambda: str(system.forward()), 60)


def test_every_sample_of_every_wave_is_in_kita_once_in_order_and_in_time(system: System, monitor: Monitor) -> None:
    def seconds() -> float:
        return min(sum(len(r.samples) for r in runs(system).get(ref, [])) * period for ref, period in WAVES.items())

    wait_until(lambda: seconds() > 8, lambda: f"{seconds()} s of waves\n{system.log()}", 60)
    monitor.stop()
    drained(system)
    said, stored = decoded(monitor.ear.heard), runs(system)
    assert set(stored) == set(said.waves) == set(WAVES)
    for ref_id, period in WAVES.items():
        block = np.concatenate(said.waves[ref_id])
        expected = np.where(IS_USABLE[block["validity"]], block["value"], np.nan).round(4).astype("<f4")
        got = np.concatenate([run.samples for run in stored[ref_id]]).astype("<f4")
        assert len(got) == len(expected)  # none missing, none twice, none made up
        assert np.array_equal(got, expected, equal_nan=True)
        assert {run.rate_hz for run in stored[ref_id]} == {1 / period}
        times = np.concatenate(
            [run.t_utc_ns + np.arange(len(run.samples)) * round(period * SECOND) for run in stored[ref_id]]
        )
        arrivals = np.repeat(*zip(*said.blocks[ref_id], strict=True))
        # A sample was taken before its block arrived, at most a block and the way of half a second before.
        assert ((arrivals - times > -500 * MS) & (arrivals - times < (256 + 500) * MS)).all()
        for before, after in pairwise(stored[ref_id]):
            assert before.end_utc_ns - before.t_utc_ns == pytest.approx(
                len(before.samples) * period * SECOND, abs=20 * MS
            )
            jump = after.t_utc_ns - before.end_utc_ns  # one run goes on where the other ended, or says that it does not
            assert after.after_gap == (jump > STEP_NS + MS)
            assert abs(jump) < SECOND
    forward, counts = system.forward(), system.counts()
    assert (forward["counters"]["expired"], forward["counters"]["rows_lost"]) == (0, 0)
    assert (counts["dead_letters"], counts["observations"], counts["repeated"]) == (0, 0, 0)
    (device,) = forward["devices"]
    assert (device["lost"], device["rejected"], device["difference"]) == (0, 0, 0)
    assert device["seen"] == device["acknowledged"] + device["waiting"] + device["left_out"]


def test_alerts_begin_and_end_are_known_while_the_device_speaks_and_unknown_when_it_is_unplugged(
    system: System, monitor: Monitor
) -> None:
    def is_known() -> bool:
        return any(life.known for life in now(system)[1])

    wait_until(is_known, system.log, 60)
    assert active(system) == set()  # nothing alarms, and that is known
    monitor.patient.alarming["MDC_EVT_LO"] = 2
    wait_until(lambda: ("MDC_EVT_LO", "PM") in active(system), system.log, 30)
    monitor.patient.alarming["MDC_EVT_DISCONN"] = 1
    wait_until(lambda: {"MDC_EVT_LO", "MDC_EVT_DISCONN"} <= {event for event, _ in active(system)}, system.log, 30)
    monitor.patient.alarming["MDC_EVT_LO"] = 3
    wait_until(lambda: ("MDC_EVT_LO", "PH") in active(system), system.log, 30)
    del monitor.patient.alarming["MDC_EVT_LO"]
    wait_until(lambda: {event for event, _ in active(system)} == {"MDC_EVT_DISCONN"}, system.log, 30)

    # Known for two time-outs and more though nothing changes: the watchdog keeps it so.
    (before,) = now(system)[1]
    wait_until(lambda: now(system)[1][0].t_utc_ns - before.t_utc_ns > 2.5 * TIMEOUT_S * SECOND, system.log, 60)
    (life,) = now(system)[1]
    assert (life.known, life.active, life.timeout_s, life.doubtful) == (True, len(now(system)[0]), TIMEOUT_S, 0)

    monitor.stop()
    drained(system)
    said = decoded(monitor.ear.heard)
    question = "SELECT ref_id, text, phase FROM alert WHERE phase != 'continue'"
    ((_, stored),) = ask(system.database, {"alerts": question})
    assert Counter(stored) == said.changes
    assert {phase for _, _, phase in said.changes} >= {"start", "escalate", "end"}
    assert system.counts()["dead_letters"] == 0

    system.unplug()
    wait_until(lambda: not is_known(), system.log, 30)
    (life,) = now(system)[1]
    assert time.time_ns() - life.t_utc_ns > TIMEOUT_S * SECOND
    assert {event for event, _ in active(system)} == {"MDC_EVT_DISCONN"}  # still shown, and said to be unknown
    command = [sys.executable, "-m", "gateway.cli.app", "kita", "alerts", "--database", str(system.database)]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "alarmtilstand ukendt" in shown
    told = json.loads(subprocess.run([*command, "--json"], capture_output=True, timeout=60, check=True).stdout)
    assert [alerting["known"] for alerting in told["alerting"]] == [False]


def test_a_wave_that_nobody_took_in_time_is_declared_and_values_are_not(tmp_path: Path) -> None:
    """KITA is away for longer than waves are wanted: values and alerts wait, waves are given up and declared lost."""
    with System(
        tmp_path, routes=ROUTES, options='{ waves = ["MDC_PULS_OXIM_PLETH"] }', sink="wave_expiry_s = 2.0"
    ) as s:
        monitor = Monitor(s)
        try:
            wait_until(lambda: runs(s), s.log, 60)
            s.end("kita")
            wait_until(lambda: s.forward()["counters"]["expired"] >= 2, lambda: str(s.forward()), 60)
            s.start_kita()
            resumed = time.time_ns()
            wait_until(lambda: max(r.t_utc_ns for r in runs(s)["MDC_PULS_OXIM_PLETH"]) > resumed, s.log, 60)
        finally:
            monitor.stop()
        drained(s)
        assert s.end("gateway") == 0
        said, stored = decoded(monitor.ear.heard), runs(s)["MDC_PULS_OXIM_PLETH"]
        losses = [json.loads(line) for line in (tmp_path / "state/spool/losses.jsonl").read_text().splitlines()]
        assert {loss["reason"] for loss in losses} == {"expired"}
        lost = sum(extent["count"] for loss in losses for extent in loss["extents"])
        assert sum(len(run.samples) for run in stored) + lost == sum(map(len, said.waves["MDC_PULS_OXIM_PLETH"]))
        assert s.counts()["dead_letters"] == 0
        (device,) = s.forward()["devices"]
        values = s.counts()["apart"]
        assert device["acknowledged"] == sum(len(r.samples) for r in stored) + values + _alert_messages(s)
        assert (device["lost"], device["waiting"], device["difference"]) == (lost, 0, 0)


def _alert_messages(system: System) -> int:
    """Alerts and signs of life that KITA has stored: one message each, without a value or a wave."""
    question = "SELECT count(*) FROM message WHERE id NOT IN (SELECT message FROM apart UNION SELECT message FROM wave)"
    ((_, ((n,),)),) = ask(system.database, {"alerts": question})
    return int(n)
