"""Devices that send lines of text, described by their profile alone. See README.md beside this file."""

from __future__ import annotations

from drivers.ascii_line.options import FAULTS, Scenario
from drivers.ascii_line.protocol import protocol
from drivers.ascii_line.simulator import simulator
from gateway.core.protocol import Driver
from gateway.core.settings import described

DRIVER = Driver(
    name="ascii_line",
    protocol=protocol,
    simulator=simulator,
    links=("serial", "tcp"),
    frames=("*",),  # the kinds of line that the profile names
    faults=FAULTS,
    undetected_flips=0.4,  # a line of digits without a checksum: 3 of the 8 bits of a digit make another; see README.md
)
SCENARIO = described(Scenario)
