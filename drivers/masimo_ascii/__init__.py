"""Masimo pulse oximeters (Rad-8, Radical-7, Rad-87) with serial output ASCII 1. See README.md."""

from __future__ import annotations

from drivers.masimo_ascii.options import FAULTS
from drivers.masimo_ascii.protocol import protocol
from drivers.masimo_ascii.simulator import simulator
from gateway.core.protocol import Driver

DRIVER = Driver(
    name="masimo_ascii",
    protocol=protocol,
    simulator=simulator,
    links=("serial", "tcp", "replay", "loopback"),
    frames=("line", "alert"),
    faults=FAULTS,
    undetected_flips=0.15,  # digits that become other digits; measured, see README.md
)
