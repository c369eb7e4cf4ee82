"""The whole way: bytes of a line → samples → spool (synced) → MQTT → KITA (committed) → ACK, all on this machine.

Throughput: `mdi run`, mosquitto and `mdi kita run` as processes; the simulated monitor's bytes are written to a
pseudo-terminal as fast as they are taken; the clock stops when every observation is stored and acknowledged.
Alternative: one JSON message per observation over the same broker with QoS 1, stored by a subscriber in SQLite with one
commit a message: no spool, no HL7, no check, no application acknowledgement.

Latency: the same way at 1,000 observations/s; from the arrival of the bytes to the acknowledgement in the gateway,
weighted by observation, first second left out. Group commit included.
"""

from __future__ import annotations

import json
import queue
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from bench.parts import monitor_bytes, wait_for, whole_way
from gateway import service
from gateway.acquire import Acquire
from gateway.core.message import Message, Outcome, Sink
from tests.parts.broker import HOST, Mosquitto
from tests.parts.system import TABLE, System

OBSERVATIONS = 400_000
THROUGHPUT_TARGET = 20_000.0
LATENCY_RATE = 1000
LATENCY_S = 15
LATENCY_TARGET_MS = 300.0
_OBR_7 = re.compile(rb"OBR\|(?:[^|\r]*\|){6}(\d{14})\.(\d+)([+-]\d{4})")


def throughput() -> tuple[float, int]:
    """Return (observations/s, samples lost)."""
    data, numerics = monitor_bytes(1200)
    rounds = OBSERVATIONS // numerics + 1
    with whole_way(ring_rows=1 << 20) as system:
        start = time.perf_counter()
        for _ in range(rounds):
            system.feed(data)
        total = rounds * numerics
        assert wait_for(lambda: stored(system) >= total, 300), system.forward()
        assert wait_for(lambda: system.forward()["spool"]["waiting"] == 0, 30), system.forward()
        seconds = time.perf_counter() - start
        forward = system.forward()
        assert stored(system) == total, (stored(system), total)
        return total / seconds, forward["counters"]["rows_lost"]


def stored(system: System) -> int:
    """Return how many measured values KITA has: fed faster than real time, the device's clock runs away and is told."""
    with closing(sqlite3.connect(f"file:{system.database}?mode=ro", uri=True, timeout=10)) as db:
        return int(db.execute(f"SELECT count(*) FROM {TABLE} WHERE ref_id != 'MDC_ATTR_TIME_ABS'").fetchone()[0])


def json_per_observation(n: int = 4000) -> float:
    """Return observations/s of the alternative."""
    with TemporaryDirectory(prefix="mdi-bench-") as folder:
        broker = Mosquitto(Path(folder), "max_queued_messages 100000", "max_inflight_messages 1000")
        arrived: queue.Queue[bytes] = queue.Queue()
        subscriber = _connected(broker.port, arrived.put)
        publisher = _connected(broker.port, None)
        db = sqlite3.connect(Path(folder) / "alternative.db", isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE observation (ref_id, value, unit, t)")
        start = time.perf_counter()
        threading.Thread(target=_publish, args=(publisher, n)).start()
        for _ in range(n):
            row = json.loads(arrived.get(timeout=60))
            db.execute("INSERT INTO observation VALUES (?,?,?,?)", (row["ref_id"], row["value"], row["unit"], row["t"]))
        seconds = time.perf_counter() - start
        for client in (subscriber, publisher):
            client.disconnect()
            client.loop_stop()
        broker.stop()
        return n / seconds


def _connected(port: int, take: Callable[[bytes], None] | None) -> Client:
    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(100)
    ready = threading.Event()
    client.on_connect = lambda *_: ready.set()
    if take:
        client.on_subscribe = lambda *_: ready.set()
        client.on_connect = lambda c, *_: c.subscribe("bench", qos=1)
        client.on_message = lambda _c, _u, message: take(message.payload)
    client.connect(HOST, port)
    client.loop_start()
    assert ready.wait(10)
    return client


def _publish(client: Client, n: int) -> None:
    for i in range(n):
        row = {"ref_id": "MDC_ECG_HEART_RATE", "value": i % 200, "unit": "/min", "t": time.time_ns()}
        client.publish("bench", json.dumps(row), qos=1)


class TimedSink:
    """Stands around the sink and notes, for each message, how old each observation was when it was acknowledged."""

    def __init__(self, inner: Sink) -> None:
        self.inner = inner
        self.ages_ms: list[tuple[float, int]] = []
        self._times: dict[str, list[tuple[float, int]]] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def send(self, message: Message) -> None:
        """Note the times in the message."""
        groups = message.payload.split(b"\rOBR|")[1:]
        found = [(_seconds(b"OBR|" + group), group.count(b"|NM|")) for group in groups]
        self._times.setdefault(message.control_id, found)
        self.inner.send(message)

    def outcomes(self) -> list[Outcome]:
        """Note the ages."""
        said = self.inner.outcomes()
        now = time.time()
        for outcome in said:
            self.ages_ms += [((now - t) * 1000, n) for t, n in self._times.pop(outcome.control_id, [])]
        return said


def _seconds(obr: bytes) -> float:
    match = _OBR_7.match(obr)
    assert match, obr[:80]
    whole = time.strptime(match[1].decode() + match[3].decode(), "%Y%m%d%H%M%S%z")
    import calendar

    return calendar.timegm(whole) - whole.tm_gmtoff + float(b"0." + match[2])


def latency() -> dict[str, float]:
    """Return p50, p99 and max in ms."""
    data, numerics = monitor_bytes(1200)
    with whole_way(commit_ms=100) as system:
        system.end("gateway")
        forward, acquire = service.Forward(system.config, threading.Event()), Acquire(system.config)
        timed = TimedSink(forward.sink)
        forward.forwarder._delivery._sink = timed
        forward.start()
        acquire.start()
        assert wait_for(lambda: forward.sink.state().startswith("connected"), 20)
        _feed_at_rate(system, data, numerics)
        wait_for(lambda: forward.forwarder.waiting == 0, 20)
        acquire.stop()
        forward.stop()
    ages = sorted(age for age, n in timed.ages_ms[len(timed.ages_ms) // LATENCY_S :] for _ in range(n))
    pick = lambda q: ages[min(len(ages) - 1, int(q * len(ages)))]  # noqa: E731
    return {"p50": pick(0.5), "p99": pick(0.99), "max": ages[-1], "n": len(ages)}


def _feed_at_rate(system: System, data: bytes, numerics: int) -> None:
    """Write whole frames so that 1,000 observations arrive each second, 20 times a second."""
    frames = [b"\xc0" + part for part in data.split(b"\xc0")[1:]]
    per_tick = max(1, round(len(frames) / numerics * LATENCY_RATE / 20))
    start = time.monotonic()
    pause = threading.Event()
    for tick in range(LATENCY_S * 20):
        at = tick * per_tick % (len(frames) - per_tick)
        system.feed(b"".join(frames[at : at + per_tick]))
        pause.wait(max(0.0, start + (tick + 1) / 20 - time.monotonic()))


def run() -> list[dict[str, object]]:
    """Return throughput and latency."""
    mine, lost = throughput()
    theirs = json_per_observation()
    ages = latency()
    return [
        {
            "bench": f"bytes → spool → MQTT → KITA → ACK, {lost} lost, beside JSON per observation",
            "ours": mine,
            "baseline": theirs,
            "ratio": mine / theirs,
            "unit": "observations/s",
            "target": f"≥ {THROUGHPUT_TARGET:,.0f}, 0 lost",
            "met": mine >= THROUGHPUT_TARGET and lost == 0,
        },
        {
            "bench": f"arrival → ACK at {LATENCY_RATE}/s, p99 (p50 {ages['p50']:.0f}, max {ages['max']:.0f} ms)",
            "ours": ages["p99"],
            "baseline": None,
            "ratio": None,
            "unit": "ms",
            "target": f"≤ {LATENCY_TARGET_MS:g}",
            "met": ages["p99"] <= LATENCY_TARGET_MS,
        },
    ]


if __name__ == "__main__":
    for row in run():
        print(row)
