"""Oridion (Medtronic) Capnostream 20: CO2 curve, numerics and alarms over RS-232. See README.md."""

from __future__ import annotations

from drivers.capnostream.options import FAULTS
from drivers.capnostream.protocol import protocol
from drivers.capnostream.simulator import simulator
from gateway.core.protocol import Driver

DRIVER = Driver(
    name="capnostream",
    protocol=protocol,
    simulator=simulator,
    links=("serial", "tcp", "replay", "loopback"),
    frames=("numeric", "wave", "alarm", "status"),
    faults=FAULTS,
)
