"""Point-of-care analysers that speak ASTM E1381 and E1394 (CLSI LIS1-A, LIS2-A2). See README.md."""

from __future__ import annotations

from drivers.astm_e1381.options import FAULTS
from drivers.astm_e1381.protocol import protocol
from drivers.astm_e1381.results import KIND
from drivers.astm_e1381.simulator import simulator
from gateway.core.protocol import Driver

DRIVER = Driver(
    name="astm_e1381", protocol=protocol, simulator=simulator, links=("serial", "tcp"), frames=(KIND,), faults=FAULTS
)
