"""Hamilton Medical ventilators (Galileo, Raphael) through their polling port. Experimental. See README.md."""

from __future__ import annotations

from drivers.hamilton.options import FAULTS, Options
from drivers.hamilton.protocol import protocol
from drivers.hamilton.simulator import simulator
from gateway.core.protocol import Driver
from gateway.core.settings import described

DRIVER = Driver(
    name="hamilton",
    protocol=protocol,
    simulator=simulator,
    links=("serial", "tcp", "replay", "loopback"),
    frames=("parameter",),
    faults=FAULTS,
    options=described(Options),
    undetected_flips=0.2,  # no checksum: 0.12 of an answer (README, what protects a value)
)
