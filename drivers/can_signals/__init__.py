"""CAN signals described by a DBC file, listen-only. See README.md beside this file."""

from __future__ import annotations

from drivers.can_signals.protocol import FAULTS, CanSignals
from drivers.can_signals.simulator import CanSignalsSimulator
from gateway.core.protocol import Driver

DRIVER = Driver(
    name="can_signals",
    protocol=CanSignals,
    simulator=CanSignalsSimulator,
    links=("can",),
    frames=("signal",),
    faults=FAULTS,
    options={
        "silence_s": (float, 10.0, "Seconds without any data frame after which the bus is reported silent; 0 = never."),
    },
)

__all__ = ["DRIVER", "CanSignals", "CanSignalsSimulator"]
