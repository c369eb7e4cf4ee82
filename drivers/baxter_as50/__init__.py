"""Baxter Auto Syringe AS50, a syringe pump, read through its serial control protocol. Experimental. See README.md."""

from __future__ import annotations

from drivers.baxter_as50.protocol import FAULTS, As50Protocol
from drivers.baxter_as50.simulator import simulator
from gateway.core.protocol import Driver

DRIVER = Driver(
    name="baxter_as50",
    protocol=As50Protocol,
    simulator=simulator,
    links=("serial", "tcp"),
    frames=("pump",),
    faults=FAULTS,
)
