"""Modbus RTU, ASCII and TCP: a register-map driver. It reads (function codes 1 to 4) and cannot write."""

from __future__ import annotations

import dataclasses

from drivers.modbus.options import FAULTS, LineOptions, UnitOptions
from drivers.modbus.protocol import ModbusProtocol
from drivers.modbus.simulator import simulator
from gateway.core.protocol import Driver
from gateway.core.settings import Settings


def _options(kind: type[Settings]) -> dict[str, tuple[type, object, str]]:
    """Return name -> (type, default, sentence) of a settings class, all of whose fields have defaults."""
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]  # subclasses of Settings are dataclasses
    return {f.name: (type(f.default), f.default, str(f.metadata["doc"])) for f in fields}


DRIVER = Driver(
    name="modbus",
    protocol=ModbusProtocol,
    simulator=simulator,
    links=("serial", "tcp"),
    frames=("*",),  # the blocks of the profile
    faults=FAULTS,
    options=_options(LineOptions),
    device_options=_options(UnitOptions),
)
