"""What a person can set, and what the driver can complain of: two tables.

Sources: MODBUS over Serial Line V1.02 and MODBUS Application Protocol V1.1b3, section beside the number.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.settings import Settings, setting

MIN_RTU_SILENCE_S = 0.00175  # Serial Line V1.02, 2.5.1.1: fixed 1.750 ms above 19200 Bd

EXCEPTIONS = {  # Application Protocol V1.1b3, section 7
    0x01: "The device does not know this function code: correct fc in the profile.",
    0x02: "The device has no such register: check the block's address and count against the manual of this firmware.",
    0x03: "The device does not take this count: make the block smaller.",
    0x04: "The device failed while answering: look at its display, call biomedical engineering.",
    0x05: "The device is busy with a long task; it is asked again at its interval.",
    0x06: "The device is busy; it is asked again at its interval.",
    0x08: "The device reports a memory parity error: call biomedical engineering.",
    0x0A: "The Modbus gateway has no path to this unit: check the unit number and the gateway's own configuration.",
    0x0B: "The Modbus gateway got no answer from this unit: check that it is switched on and its line to the gateway.",
}
FAULTS = {
    "timeout": "No reply in time. Now and then is noise; if it grows, check the cable or raise timeout_s.",
    "silent": "The unit stopped answering, its values are stale: check power, cable, unit number and line settings.",
    "late": "A reply came after its time-out and was thrown away: raise timeout_s.",
    "garbled": "Bytes came that are no reply with a right checksum: check line settings, termination and shielding.",
    "echo": "The adapter sends back what is sent: switch its local echo off. Replies are still read.",
    "wrong_unit": "A unit answered that was not asked: look for two masters or two devices with one unit number.",
    "wrong_function": "The reply has another function code than the request: look for a second master on the line.",
    "wrong_length": "The reply has another byte count than was asked for: check the block's count against the manual.",
    "wrong_transaction": "The reply has another transaction number than the request: check the device's Modbus TCP.",
    "unexpected": "A reply came that nobody waits for: look for a second master on the line.",
    **{f"exception_{code:02X}": text for code, text in EXCEPTIONS.items()},
    "exception_other": "The device refuses with a code outside the standard: look it up in its manual.",
}


@dataclass(frozen=True, slots=True)
class LineOptions(Settings):
    """Options of a port. The defaults are for 9600 Bd and for TCP."""

    framing: str = field(
        default="auto",
        metadata=setting(
            "how requests travel on the line: rtu, ascii or tcp; auto: ascii where the profile asks for it, else rtu",
            choices=("auto", "rtu", "ascii", "tcp"),
        ),
    )
    timeout_s: float = field(
        default=0.5, metadata=setting("a unit must have answered in full after this time", "s", low=0.05, high=10)
    )
    tries: int = field(default=3, metadata=setting("a unit is silent after so many time-outs in a row", low=1, high=10))
    turnaround_s: float = field(
        default=0.0041,  # 3.5 characters of 11 bits at 9600 Bd are 4.01 ms
        metadata=setting("serial: silence between a reply and the next request, 3.5 characters", "s", low=0, high=1),
    )
    late_s: float = field(
        default=10.0,
        metadata=setting("serial: a reply may come so long after its request; later it is lost", "s", low=1, high=600),
    )


@dataclass(frozen=True, slots=True)
class UnitOptions(Settings):
    """Options of one device of the line."""

    # Serial Line V1.02, 2.2: 1 to 247 are units, 0 is broadcast.
    unit: int = field(default=1, metadata=setting("Modbus unit id (slave address) of the device", low=1, high=247))
