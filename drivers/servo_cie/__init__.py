"""Maquet Servo-i and Servo-u ventilators through the Computer Interface Emulator (CIE). Experimental. See README.md."""

from __future__ import annotations

from drivers.servo_cie.options import FAULTS, Options
from drivers.servo_cie.protocol import protocol
from drivers.servo_cie.simulator import simulator
from gateway.core.protocol import Driver
from gateway.core.settings import described

DRIVER = Driver(
    name="servo_cie",
    protocol=protocol,
    simulator=simulator,
    links=("serial", "tcp", "replay", "loopback"),
    frames=("settings", "breath"),
    faults=FAULTS,
    options=described(Options),
)
