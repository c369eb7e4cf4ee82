"""Ward scales with a serial output: A&D, Health o meter, Tanita, Detecto, Adam. See README.md."""

from __future__ import annotations

from dataclasses import fields

from drivers.ward_scales.options import FAULTS, Options
from drivers.ward_scales.protocol import KIND, protocol
from drivers.ward_scales.simulator import simulator
from gateway.core.protocol import Driver

DRIVER = Driver(
    name="ward_scales",
    protocol=protocol,
    simulator=simulator,
    links=("serial", "tcp"),
    frames=(KIND,),
    faults=FAULTS,
    options={f.name: (type(f.default), f.default, str(f.metadata["doc"])) for f in fields(Options)},
    undetected_flips=0.2,
)
