"""CANopen nodes described by an EDS: listen-only, or asking by SDO upload. See README.md beside this file."""

from __future__ import annotations

from drivers.canopen.protocol import FAULTS, BusOptions, CanOpen, NodeOptions
from drivers.canopen.simulator import CanOpenSimulator
from gateway.core.protocol import Driver
from gateway.core.settings import described

DRIVER = Driver(
    name="canopen",
    protocol=CanOpen,
    simulator=CanOpenSimulator,
    links=("can", "can_active"),
    frames=("object", "nmt", "emcy"),
    faults=FAULTS,
    options=described(BusOptions),
    device_options=described(NodeOptions),
)

__all__ = ["DRIVER", "CanOpen", "CanOpenSimulator"]
