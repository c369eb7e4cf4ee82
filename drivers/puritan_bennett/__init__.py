"""Puritan Bennett 840 and 980 ventilators: SNDA and SNDF reports, and the waveform port. See README.md."""

from __future__ import annotations

from drivers.puritan_bennett.options import FAULTS, Options
from drivers.puritan_bennett.protocol import protocol
from drivers.puritan_bennett.simulator import simulator
from gateway.core.protocol import Driver
from gateway.core.settings import described

DRIVER = Driver(
    name="puritan_bennett",
    protocol=protocol,
    simulator=simulator,
    links=("serial", "tcp", "replay", "loopback"),
    frames=("report", "alert", "wave", "breath"),
    faults=FAULTS,
    options=described(Options),
    undetected_flips=0.3,  # no checksum: 0.06 of a report, 0.21 of a waveform (README, what protects a value)
)
