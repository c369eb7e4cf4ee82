"""Zephyr (Medtronic) BioHarness 3, BioPatch, BioModule and HxM chest sensors. See README.md."""

from __future__ import annotations

from drivers.zephyr.options import FAULTS
from drivers.zephyr.protocol import protocol
from drivers.zephyr.simulator import simulator
from gateway.core.protocol import Driver

DRIVER = Driver(
    name="zephyr",
    protocol=protocol,
    simulator=simulator,
    links=("serial", "tcp", "replay", "loopback"),
    frames=("numeric", "wave", "beat", "event"),
    faults=FAULTS,
)
