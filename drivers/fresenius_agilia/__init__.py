"""Fresenius Kabi Agilia pumps, one alone or up to five in an Orchestra or Link base, over RS-232. See README.md."""

from __future__ import annotations

from drivers.fresenius_agilia.options import FAULTS, OPTIONS
from drivers.fresenius_agilia.protocol import AgiliaProtocol
from drivers.fresenius_agilia.simulator import simulator
from gateway.core.protocol import Driver

DRIVER = Driver(
    name="fresenius_agilia",
    protocol=AgiliaProtocol,
    simulator=simulator,
    links=("serial", "tcp"),
    frames=("pump", "alert"),
    faults=FAULTS,
    options=OPTIONS,
    undetected_flips=0.001,  # README, what protects a value: an 8-bit sum and no length
)
