"""Ivy 450C bedside monitor, serial output ANSAR-B: listened to, never written to. See README.md."""

from __future__ import annotations

from drivers.ivy_ansarb.options import FAULTS
from drivers.ivy_ansarb.protocol import protocol
from drivers.ivy_ansarb.simulator import simulator
from gateway.core.protocol import Driver

DRIVER = Driver(
    name="ivy_ansarb",
    protocol=protocol,
    simulator=simulator,
    links=("serial", "tcp", "replay", "loopback"),
    frames=("numeric", "wave", "alert"),
    faults=FAULTS,
    undetected_flips=0.85,  # no checksum; 0.77 was measured, see README
)
