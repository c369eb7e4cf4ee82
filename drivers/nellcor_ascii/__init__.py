"""Nellcor pulse oximeters: the real-time printout of the N-5xx, N-6xx and NPB-29x, and the N-200. See README.md."""

from __future__ import annotations

from drivers.nellcor_ascii.options import FAULTS
from drivers.nellcor_ascii.protocol import protocol
from drivers.nellcor_ascii.simulator import simulator
from gateway.core.protocol import Driver

DRIVER = Driver(
    name="nellcor_ascii",
    protocol=protocol,
    simulator=simulator,
    links=("serial", "tcp", "replay", "loopback"),
    frames=("line", "heading", "mode", "packet", "alert"),
    faults=FAULTS,
    undetected_flips=0.25,  # digits that become other digits; measured, see README.md
)
