"""B. Braun Space: the pumps of a SpaceStation, read through the BCC protocol of its SpaceCom. See README.md."""

from __future__ import annotations

from drivers.bbraun_bcc.options import DEVICE_OPTIONS, FAULTS, OPTIONS
from drivers.bbraun_bcc.protocol import BccProtocol
from drivers.bbraun_bcc.simulator import simulator
from gateway.core.protocol import Driver

DRIVER = Driver(
    name="bbraun_bcc",
    protocol=BccProtocol,
    simulator=simulator,
    links=("serial", "tcp"),
    frames=("pump", "alert"),
    faults=FAULTS,
    options=OPTIONS,
    device_options=DEVICE_OPTIONS,
)
