"""GE Dash, Solar and Eagle monitors (Marquette Unity) on RS-232: experimental. See README.md."""

from __future__ import annotations

from drivers.ge_dash.options import FAULTS, Options
from drivers.ge_dash.protocol import protocol
from drivers.ge_dash.simulator import simulator
from gateway.core.protocol import Driver
from gateway.core.settings import described

DRIVER = Driver(
    name="ge_dash",
    protocol=protocol,
    simulator=simulator,
    links=("serial", "tcp", "replay", "loopback"),
    frames=("parameter", "alarm"),
    faults=FAULTS,
    options=described(Options),
    undetected_flips=0.2,  # no checksum: measured 0.08, most bytes of an answer are zeros that mean nothing
)
