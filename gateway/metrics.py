"""The status of a gateway as Prometheus metrics, read from its status files: nothing is added to the gateway itself.

Labels are names of devices, ports and roles: never a bed, a patient or a value. What a gateway that has ended last said
is still told, with `mdi_alive` 0: a silent exporter would look like a missing one.

Names follow the Prometheus convention (base unit, _total for counts that only grow).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

FATES = ("acknowledged", "waiting", "lost", "rejected", "left_out")


class StatusCollector(Collector):
    """Reads the status anew at each scrape. read: returns role -> status, as gateway.status.read_status."""

    def __init__(self, read: Callable[[], dict[str, Any]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yield all metric families."""
        found = self._read()
        if not found:
            return
        yield _gauge("alive", "1 when the role is running", "role", ((r, s["alive"]) for r, s in found.items()))
        modes = sorted({str(status["mode"]) for status in found.values()})
        yield _gauge("mode", "1 for the mode: lab means that nothing is charted", "mode", ((m, 1.0) for m in modes))
        steps = ((role, status["clock"]["steps"]) for role, status in found.items())
        yield _counter("clock_steps", "Jumps of the wall clock", "role", steps)
        if "acquire" in found:
            yield from _ports(found["acquire"]["ports"])
        if "forward" in found:
            yield from _forward(found["forward"])


def _ports(ports: list[dict[str, Any]]) -> Iterator[Metric]:
    yield _counter("frames", "Good frames", "port", ((p["name"], p["frames_ok"]) for p in ports))
    bad = ((p["name"], sum(p["frames_bad"].values())) for p in ports)
    yield _counter("frames_bad", "Frames that were damaged on the line", "port", bad)
    yield _counter("link_errors", "Failures of the line", "port", ((p["name"], p["link_errors"]) for p in ports))
    yield _gauge("port_idle_seconds", "Since the port's last round", "port", ((p["name"], p["idle_s"]) for p in ports))
    yield _gauge("ring_fill_ratio", "Part of the ring in use", "port", ((p["name"], p["ring"]["fill"]) for p in ports))
    last = ((d["name"], d["last_data_ns"] / 1e9) for p in ports for d in p["devices"])
    yield _gauge("device_last_data_seconds", "UTC of the last sample, 0: none yet", "device", last)


def _forward(status: dict[str, Any]) -> Iterator[Metric]:
    devices, spool = status["devices"], status["spool"]
    yield _counter(
        "samples_seen", "Samples that the port has seen", "device", ((d["name"], d["seen"]) for d in devices)
    )
    fates = GaugeMetricFamily("mdi_samples", "What became of the samples seen", labels=["device", "fate"])
    for device in devices:
        for fate in FATES:
            fates.add_metric([device["name"], fate], device[fate])
    yield fates
    unaccounted = ((d["name"], d["difference"]) for d in devices)
    yield _gauge("samples_unaccounted", "seen less the sum of all fates: 0, or there is a bug", "device", unaccounted)
    connected = [(status["sink"].split(" ")[0], 1.0)]
    yield _gauge("sink_state", "First word of the connection's state", "state", connected)
    yield _gauge("grade", "Grade of the guarantee", "grade", [(status["grade"]["letter"], 1.0)])
    yield GaugeMetricFamily("mdi_spool_waiting", "Messages that wait for an answer", spool["waiting"])
    yield GaugeMetricFamily("mdi_spool_fill_ratio", "Part of the spool's limit in use", spool["fill"])
    days = GaugeMetricFamily("mdi_cert_days_left", "Days until it expires", labels=["certificate", "serial"])
    for cert in status.get("certificates", []):
        if cert["days_left"] is not None:
            days.add_metric([cert["role"], cert["serial"]], cert["days_left"])
    yield days
    for name in ("accepted", "rejected", "resent", "expired"):
        yield CounterMetricFamily(f"mdi_messages_{name}", f"Messages {name}", status["counters"][name])


def _gauge(name: str, what: str, label: str, values: Any) -> Metric:
    return _family(GaugeMetricFamily(f"mdi_{name}", what, labels=[label]), values)


def _counter(name: str, what: str, label: str, values: Any) -> Metric:
    return _family(CounterMetricFamily(f"mdi_{name}", what, labels=[label]), values)


def _family(family: Any, values: Any) -> Metric:
    for label, value in values:
        family.add_metric([label], float(value))
    made: Metric = family
    return made
