"""Nonin pulse oximeters: data formats 2, 7, 8 and 13, and the ASCII lines of older monitors. See README.md."""

from __future__ import annotations

from drivers.nonin.options import FAULTS
from drivers.nonin.protocol import protocol
from drivers.nonin.simulator import simulator
from gateway.core.protocol import Driver

DRIVER = Driver(
    name="nonin",
    protocol=protocol,
    simulator=simulator,
    links=("serial", "tcp", "replay", "loopback"),
    frames=("packet", "wave", "record", "spot", "line", "alert"),
    faults=FAULTS,
    undetected_flips=0.7,  # data format 8: four marker bits in 32; ASCII 0.09, the others none: measured, README.md
)
