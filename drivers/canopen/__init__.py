"""CANopen nodes described by an EDS: listen-only, or asking by SDO upload. See README.md beside this file."""

from __future__ import annotations

import dataclasses

from drivers.canopen.protocol import FAULTS, BusOptions, CanOpen, NodeOptions
from drivers.canopen.simulator import CanOpenSimulator
from gateway.core.protocol import Driver
from gateway.core.settings import Settings


def _options(kind: type[Settings]) -> dict[str, tuple[type, object, str]]:
    """Return name -> (type, default, sentence) of a settings class, all of whose fields have defaults."""
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]  # subclasses of Settings are dataclasses
    return {f.name: (type(f.default), f.default, str(f.metadata["doc"])) for f in fields}


DRIVER = Driver(
    name="canopen",
    protocol=CanOpen,
    simulator=CanOpenSimulator,
    links=("can", "can_active"),
    frames=("object", "nmt", "emcy"),
    faults=FAULTS,
    options=_options(BusOptions),
    device_options=_options(NodeOptions),
)

__all__ = ["DRIVER", "CanOpen", "CanOpenSimulator"]
