"""Contec CMS50 finger oximeters, V7.0 protocol and the 5-byte stream of older ones. See README.md."""

from __future__ import annotations

from drivers.contec_cms50.options import FAULTS
from drivers.contec_cms50.protocol import protocol
from drivers.contec_cms50.simulator import simulator
from gateway.core.protocol import Driver

DRIVER = Driver(
    name="contec_cms50",
    protocol=protocol,
    simulator=simulator,
    links=("serial", "tcp", "replay", "loopback"),
    frames=("packet", "wave", "alert"),
    faults=FAULTS,
    undetected_flips=0.3,  # single samples of the pleth; numbers and states none; measured, see README.md
)
