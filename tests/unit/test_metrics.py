"""`mdi metrics`: what a gateway counts, as Prometheus reads it; the equation is one of its metrics."""

from __future__ import annotations

from typing import Any

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import FATES, StatusCollector

DEVICE = {
    "name": "monitor",
    "seen": 120,
    "acknowledged": 80,
    "waiting": 20,
    "lost": 10,
    "rejected": 4,
    "left_out": 6,
    "difference": 0,
}
STATUS: dict[str, Any] = {
    "acquire": {
        "alive": True,
        "mode": "lab",
        "clock": {"steps": 2},
        "ports": [
            {
                "name": "bed",
                "frames_ok": 30,
                "frames_bad": {"crc": 2, "short": 1},
                "link_errors": 1,
                "idle_s": 0.2,
                "ring": {"fill": 0.25},
                "devices": [{"name": "monitor", "last_data_ns": 1_800_000_000_500_000_000}],
            }
        ],
    },
    "forward": {
        "alive": False,
        "mode": "lab",
        "clock": {"steps": 0},
        "devices": [DEVICE],
        "sink": "connected to broker:8883",
        "grade": {"letter": "A"},
        "spool": {"waiting": 3, "fill": 0.01},
        "counters": {"accepted": 7, "rejected": 1, "resent": 2, "expired": 0},
    },
}


def told(status: dict[str, Any]) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return (name, values of its labels) -> value, as another program reads it."""
    registry = prometheus_client.CollectorRegistry()
    registry.register(StatusCollector(lambda: status))
    text = prometheus_client.generate_latest(registry).decode()
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


def test_the_equation_can_be_checked_from_the_metrics_alone() -> None:
    found = told(STATUS)
    fates = {fate: found[("mdi_samples", ("monitor", fate))] for fate in FATES}
    assert found[("mdi_samples_seen_total", ("monitor",))] == sum(fates.values())
    assert found[("mdi_samples_unaccounted", ("monitor",))] == 0
    assert fates == {fate: DEVICE[fate] for fate in FATES}


def test_what_does_not_balance_is_told() -> None:
    broken = STATUS | {"forward": STATUS["forward"] | {"devices": [DEVICE | {"difference": 3, "seen": 123}]}}
    assert told(broken)[("mdi_samples_unaccounted", ("monitor",))] == 3


def test_a_role_that_has_ended_is_told_as_such_and_what_it_said_last_stays() -> None:
    found = told(STATUS)
    assert (found[("mdi_alive", ("acquire",))], found[("mdi_alive", ("forward",))]) == (1, 0)
    assert found[("mdi_spool_waiting", ())] == 3
    assert found[("mdi_frames_bad_total", ("bed",))] == 3
    assert found[("mdi_grade", ("A",))] == 1


@pytest.mark.parametrize("role", ["acquire", "forward"])
def test_one_role_alone_is_told(role: str) -> None:
    assert told({role: STATUS[role]})[("mdi_alive", (role,))] == float(STATUS[role]["alive"])


def test_nothing_that_ever_ran_is_no_error() -> None:
    assert told({}) == {}
