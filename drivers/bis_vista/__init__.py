"""BIS Vista and BIS View (Aspect, Covidien, Medtronic), binary protocol. See README.md."""

from __future__ import annotations

from drivers.bis_vista.options import FAULTS
from drivers.bis_vista.protocol import protocol
from drivers.bis_vista.simulator import simulator
from gateway.core.protocol import Driver

DRIVER = Driver(
    name="bis_vista",
    protocol=protocol,
    simulator=simulator,
    links=("serial", "tcp", "replay", "loopback"),
    frames=("processed", "spectrum", "wave"),
    faults=FAULTS,
)
