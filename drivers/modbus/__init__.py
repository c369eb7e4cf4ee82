"""Modbus RTU, ASCII and TCP: a register-map driver. It reads (function codes 1 to 4) and cannot write."""

from __future__ import annotations

from drivers.modbus.options import FAULTS, LineOptions, UnitOptions
from drivers.modbus.protocol import ModbusProtocol
from drivers.modbus.reads import only_reads
from drivers.modbus.simulator import simulator
from gateway.core.protocol import Driver
from gateway.core.settings import described

DRIVER = Driver(
    name="modbus",
    protocol=ModbusProtocol,
    simulator=simulator,
    links=("serial", "tcp"),
    frames=("*",),  # the blocks of the profile
    faults=FAULTS,
    options=described(LineOptions),
    device_options=described(UnitOptions),
    only_reads=only_reads,
)
