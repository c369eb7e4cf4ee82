"""Alaris (Asena, IVAC) GH, CC and TIVA syringe pumps through their serial protocol. Experimental. See README.md."""

from __future__ import annotations

from drivers.alaris_asena.options import FAULTS, OPTIONS
from drivers.alaris_asena.protocol import AsenaProtocol
from drivers.alaris_asena.simulator import simulator
from gateway.core.protocol import Driver

DRIVER = Driver(
    name="alaris_asena",
    protocol=AsenaProtocol,
    simulator=simulator,
    links=("serial", "tcp"),
    frames=("pump",),
    faults=FAULTS,
    options=OPTIONS,
)
