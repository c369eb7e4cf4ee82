"""Ward scales with a serial output: A&D, Health o meter, Tanita, Detecto, Adam. See README.md."""

from __future__ import annotations

from drivers.ward_scales.options import FAULTS, Options
from drivers.ward_scales.protocol import KIND, protocol
from drivers.ward_scales.simulator import simulator
from gateway.core.protocol import Driver
from gateway.core.settings import described

DRIVER = Driver(
    name="ward_scales",
    protocol=protocol,
    simulator=simulator,
    links=("serial", "tcp"),
    frames=(KIND,),
    faults=FAULTS,
    options=described(Options),
    undetected_flips=0.2,
)
